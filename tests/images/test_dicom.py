"""DICOM: greys in their own units, inverted ones turned over, colours as RGB; what has no image is named."""

import io
from typing import Any

import numpy as np
import pytest

from toolkit.images.reading import decoded

pydicom = pytest.importorskip("pydicom")
RNG = np.random.default_rng(0)
STORED = RNG.integers(0, 4096, (9, 12), np.uint16)


def packed(image: np.ndarray, preamble: bool = True, **tags: Any) -> bytes:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = CTImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = generate_uid()
    bits = 8 * image.dtype.itemsize
    header.Rows, header.Columns = image.shape[-3:-1] if image.shape[-1] == 3 else image.shape[-2:]
    header.SamplesPerPixel = 3 if image.shape[-1] == 3 else 1
    header.PhotometricInterpretation = "RGB" if image.shape[-1] == 3 else "MONOCHROME2"
    header.BitsAllocated, header.BitsStored = bits, min(bits, 12)
    header.HighBit = header.BitsStored - 1
    header.PixelRepresentation = int(image.dtype.kind == "i")
    if image.shape[-1] == 3:
        header.PlanarConfiguration = 0
    for name, value in tags.items():
        setattr(header, name, value)
    header.PixelData = image.tobytes()
    out = io.BytesIO()
    if preamble:
        header.save_as(out, enforce_file_format=True)
        return out.getvalue()
    del header.file_meta
    header.save_as(out, implicit_vr=True, little_endian=True)
    return out.getvalue()


def test_greys_are_in_the_units_that_the_file_declares() -> None:
    assert (decoded(packed(STORED)) == STORED).all() and decoded(packed(STORED)).dtype == np.uint16
    found = decoded(packed(STORED, RescaleSlope=2, RescaleIntercept=-1024))
    assert found.dtype == np.float32 and (found == STORED * 2.0 - 1024).all()
    assert (decoded(packed(STORED, RescaleSlope=1, RescaleIntercept=0)) == STORED).all()
    signed = STORED.astype(np.int16) - 2000
    assert (decoded(packed(signed, BitsStored=16, HighBit=15)) == signed).all()


def test_inverted_greys_are_turned_over_within_the_range_of_the_file() -> None:
    assert (decoded(packed(STORED, PhotometricInterpretation="MONOCHROME1")) == 4095 - STORED).all()


def test_a_files_own_window_gives_8_bits() -> None:
    tags: dict[str, Any] = {"RescaleSlope": 1, "RescaleIntercept": -1000, "WindowCenter": 500, "WindowWidth": 1000}
    found = decoded(packed(STORED, **tags), window=True)
    expected = np.rint(((STORED.astype(float) - 1000) / 1000 * 255).clip(0, 255))
    assert found.dtype == np.uint8 and np.abs(found - expected).max() <= 1
    over = decoded(packed(STORED, PhotometricInterpretation="MONOCHROME1", **tags), window=True)
    assert np.abs(over.astype(int) - (255 - expected)).max() <= 1


def test_colours_frames_and_missing_preambles() -> None:
    colour = RNG.integers(0, 256, (5, 6, 3), np.uint8)
    assert (decoded(packed(colour)) == colour).all()
    frames = np.stack([STORED, STORED[::-1]])
    data = packed(frames, NumberOfFrames=2)
    assert (decoded(data, row=1) == STORED[::-1]).all()
    with pytest.raises(ValueError, match="has 2 frames: say by `rows` which"):
        decoded(data)
    assert (decoded(packed(STORED, preamble=False)) == STORED).all()


def test_a_file_without_an_image_or_cut_short_is_refused() -> None:
    with pytest.raises(ValueError, match="is a DICOM file without an image"):
        decoded(packed(STORED)[:300])
    with pytest.raises(ValueError, match="can't be read: The number of bytes"):
        decoded(packed(STORED)[:-40])


def test_tags_that_are_empty_say_nothing() -> None:
    assert (decoded(packed(STORED, RescaleSlope=None, RescaleIntercept=None)) == STORED).all()
    assert (decoded(packed(STORED, RescaleSlope=None, RescaleIntercept=-5)) == STORED - 5.0).all()
    assert (decoded(packed(STORED, RescaleSlope=2)) == STORED * 2.0).all()
    plain = decoded(packed(STORED), window=True)
    for tags in ({"WindowWidth": None, "WindowCenter": None}, {"WindowWidth": 1000}, {"WindowCenter": 7}):
        assert (decoded(packed(STORED, **tags), window=True) == plain).all()
