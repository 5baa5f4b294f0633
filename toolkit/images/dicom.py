"""Images in DICOM files, in the units that the files declare (of CT: Hounsfield's)."""

import io
from typing import Any

import numpy as np

from toolkit.images.pixels import Unreadable


def is_dicom(data: bytes) -> bool:
    """Also where the preamble is missing, as it is in some collections."""
    return data[128:132] == b"DICM" or (data[:2] == b"\x08\0" and data[3:4] == b"\0")


def read_dicom(data: bytes, row: int, window: bool) -> np.ndarray:
    """Frame `row`, or the only one where it is -1: uint8 (h, w, 3), or greys (h, w) in their own units, the darkest
    lowest: MONOCHROME1 is turned over.

    window: greys as uint8, as the file says that they be shown. Unreadable for what can't be read.
    """
    try:
        from pydicom import dcmread, uid
        from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array
    except ImportError:
        raise Unreadable("is a DICOM file, which needs `pip install pydicom python-gdcm`") from None
    header = dcmread(io.BytesIO(data), force=True)
    if "PixelData" not in header:
        raise Unreadable("is a DICOM file without an image")
    if "TransferSyntaxUID" not in header.file_meta:  # as in files without a preamble
        implicit, _ = header.original_encoding
        header.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
    frames = int(header.get("NumberOfFrames", 1) or 1)
    if row >= frames or (row < 0 and frames > 1):
        raise Unreadable(f"has {frames} frames: say by `rows` which of them is the image, counted from 0")
    image = pixel_array(header, index=max(row, 0))
    image = image.astype(image.dtype.newbyteorder("="), copy=False)
    kind = header.PhotometricInterpretation
    if kind == "PALETTE COLOR":
        image = apply_color_lut(image, header)
        return image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)
    if image.ndim == 3:
        return image
    over = kind == "MONOCHROME1"
    if over and not window:  # within the range that the file declares, not that of this image
        bits, signed = int(header.BitsStored), int(header.PixelRepresentation)
        image = (-1 if signed else 2**bits - 1) - image
    slope, start = (_number(header, word) for word in ("RescaleSlope", "RescaleIntercept"))
    slope, start = 1 if slope is None else slope, start or 0
    if header.get("ModalityLUTSequence"):
        image = apply_modality_lut(image, header).astype(np.float32)
    elif (slope, start) != (1, 0):
        image = (image * slope + start).astype(np.float32)
    if not window:
        return image
    by_table = header.get("VOILUTSequence")
    shown = apply_voi_lut(image, header, index=0) if by_table else image
    centre, width = (_number(header, word) for word in ("WindowCenter", "WindowWidth"))
    if centre is not None and width is not None and not by_table:
        low, high = centre - width / 2, centre + width / 2
    else:
        low, high = float(shown.min()), float(shown.max())
    grey = ((shown.astype(np.float32) - low) * (255 / max(high - low, 1e-6))).clip(0, 255)
    return np.rint(255 - grey if over else grey).astype(np.uint8)


def _number(header: Any, word: str) -> float | None:
    """What a tag says, of several numbers the first; None where it is missing or empty."""
    value = header.get(word)
    return None if value is None or not np.size(value) or str(value) == "" else float(np.ravel(value)[0])
