"""One image out of one file, whatever its format: as it is stored, then as a network wants it.

The format is told by a file's first bytes, never by its name.
"""

import io
import re
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from toolkit.disk import of_the_machine
from toolkit.errors import UserError
from toolkit.images.dicom import is_dicom, read_dicom
from toolkit.images.jpeg import decode_jpeg, has_hole
from toolkit.images.pixels import Stored, Unreadable, laid_on, pixels_of, turned
from toolkit.images.tiff import is_tiff, read_tiff
from toolkit.outcome import counted

Image.MAX_IMAGE_PIXELS = None  # the organisers' files are there to be read, and some are slides
warnings.filterwarnings("ignore", module=r"PIL\.")  # of tags that are damaged; pixels that are raise an error
# libjpeg reads on after each of its warnings; after these, nothing of the picture is missing
HARMLESS = re.compile(r"extraneous bytes before marker 0xd9|unknown JFIF revision|Unknown Adobe color")
DAMAGED = re.compile(r"corrupt|premature|bad .* code|inconsistent|SOS parameters", re.IGNORECASE)
SHOWN = 200  # characters of what a decoder says
# what becomes 0, and what 255: for all channels, or a number a channel
Values = tuple[float | tuple[float, ...], float | tuple[float, ...]]
PNG = b"\x89PNG\r\n\x1a\n"
# the first bytes of what is found in the place of pictures
OTHERS = {b"version https://git-lfs": "is a pointer of Git LFS, not the file itself", b"<": "is a web page or XML"}


def read_image(path: Path, row: int = -1, least: int = 0, ground: int | None = 0, window: bool = False) -> np.ndarray:
    """The image as it is stored, (h, w) or (h, w, channels), turned as EXIF says, colours in the order RGB.

    row: its page or frame; -1: the only one, or of animated pictures the first. least: a JPEG may come at reduced
    scale while neither side gets shorter than that; 0: as it is. ground: the grey, of 0..255, on which transparent
    pictures are laid; None: transparency stays a last channel. window: DICOM's own is applied, to uint8.

    Palettes and CMYK become RGB, bits 0 and 255; more than 8 bits and floats stay what they are. UserError for a file
    that can't be read or isn't whole; OSError where that is no fault of the file, such as too many open files.
    """
    try:
        return decoded(Path(path).read_bytes(), row, least, ground, window)
    except OSError as error:
        if of_the_machine(error):
            raise
        raise UserError(f"{path} {'is missing' if not Path(path).exists() else f'is not read: {error}'}") from None
    except Unreadable as error:
        raise UserError(f"{path} {error}") from None


def decoded(data: bytes, row: int = -1, least: int = 0, ground: int | None = 0, window: bool = False) -> np.ndarray:
    """As `read_image`, of the bytes of a file; Unreadable for one that isn't whole."""
    if not data:
        raise Unreadable("is empty")
    try:
        if is_dicom(data):
            return read_dicom(data, row, window)
        if data.startswith(b"\x93NUMPY"):
            return np.load(io.BytesIO(data), allow_pickle=False)
        image, transparent = read_tiff(data, row) if is_tiff(data) else _by_pillow(data, row, least)
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # decoders raise whatever they come across
        if of_the_machine(error):
            raise
        reason = " ".join(str(error).split())[:SHOWN] or type(error).__name__
        raise Unreadable(f"can't be read: {reason}") from None
    return laid_on(image, ground) if transparent and ground is not None else image


def check_whole(data: bytes) -> None:
    """Unreadable where a PNG has a chunk that isn't whole: decoders stop at the last row, before they would see it."""
    if not data.startswith(PNG):
        return
    at, kind = len(PNG), b""
    while kind != b"IEND":
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data) or end < at + 12:
            raise Unreadable("is cut short")
        kind = data[at + 4 : at + 8]
        counts = not kind[0] & 32
        if counts and zlib.crc32(memoryview(data)[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise Unreadable("is damaged: a checksum differs")
        at = end


def _by_pillow(data: bytes, row: int, least: int) -> Stored:
    check_whole(data)
    try:
        opened = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        return _by_opencv(data)
    with opened:
        if row >= 0:
            frames = getattr(opened, "n_frames", 1)
            if row >= frames:
                raise Unreadable(f"has no picture {row}, it has {frames}, counted from 0")
            opened.seek(row)
        jpeg = opened.format in ("JPEG", "MPO")
        if jpeg and has_hole(data):
            raise Unreadable("is damaged: a part of it is nothing but zeros")
        if jpeg and opened.mode in ("L", "RGB") and row <= 0:
            stored: Stored | None = _by_libjpeg(data, opened.mode, least)
        else:
            stored = None
        if stored is None:
            opened.load()
            stored = _by_opencv(data) if _is_cut(opened, data) else pixels_of(opened)
        image, transparent = stored
        return turned(image, opened.getexif().get(ExifTags.Base.Orientation, 1)), transparent


def _by_libjpeg(data: bytes, mode: str, least: int) -> Stored | None:
    """A JPEG, (h, w) or (h, w, 3); None where Pillow has to look at it. Unreadable where a part of it is missing."""
    try:  # scales between 1/2 and 1 take longer than the whole
        image = decode_jpeg(data, mode == "L", (least, least), factor=2)
    except ValueError as error:
        if DAMAGED.search(str(error)) and not HARMLESS.search(str(error)):
            raise Unreadable(f"is damaged or cut short: {error}") from None
        if has_hole(data, surely=False):
            raise Unreadable(f"is damaged: a part of it is nothing but zeros ({error})") from None
        return None
    return (image[..., 0] if mode == "L" else image), False


def _is_cut(opened: Image.Image, data: bytes) -> bool:
    """Has Pillow cut it to 8 bits?"""
    if opened.mode.startswith("I") or opened.mode == "F":
        return False
    if opened.format == "PNG":
        return data[24] == 16
    if opened.format == "PPM":
        if data[:2] in (b"P1", b"P4"):  # bits, of which no line says the most
            return False
        return bool(int(re.split(rb"\s+", re.sub(rb"#[^\n]*\n", b" ", data[:1000]), maxsplit=4)[3]) > 255)
    if opened.format == "AVIF":
        return bool(data[data.index(b"av1C") + 6] & 0x40)
    return opened.format == "JPEG2000"


def _by_opencv(data: bytes) -> Stored:
    """What Pillow doesn't read, or only in part."""
    import cv2

    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None:
        what = next((said for start, said in OTHERS.items() if data.lstrip().startswith(start)), None)
        start = "".join(chr(one) if 32 <= one < 127 else "·" for one in data[:16])
        raise Unreadable(what or f"is no picture of a known kind: it begins with {start!r}")
    if found.ndim == 3 and found.shape[2] >= 3:
        found[..., :3] = found[..., 2::-1].copy()
    return found, found.ndim == 3 and found.shape[2] == 4


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """(h, w, channels) of an image (h, w) or (h, w, c): grey from colour, colour from grey.

    Unreadable where there is no way from c to `channels`.
    """
    image = image[..., None] if image.ndim == 2 else image
    if image.ndim != 3:
        raise Unreadable(f"has the shape {image.shape}, expected (height, width, {channels})")
    if image.shape[2] == channels:
        return image
    if image.shape[2] == 3 and channels == 1:
        import cv2

        known = image if image.dtype in (np.uint8, np.uint16) else image.astype(np.float32)
        return cv2.cvtColor(known, cv2.COLOR_RGB2GRAY)[..., None]
    if image.shape[2] == 1 and channels == 3:
        return np.repeat(image, 3, axis=2)
    raise Unreadable(f"has {counted(image.shape[2], 'channel')}, expected {channels}, the last number of image_shape")


def scaled(image: np.ndarray, values: Values | None) -> np.ndarray:
    """(h, w, channels) on the scale 0..255: uint8 as it is, or float32 where `values` says what becomes 0 and 255.

    Unreadable for more than 8 bits without `values`, and for what is no number.
    """
    if values is None and image.dtype == np.uint8:
        return image
    if image.dtype.kind not in "buif":
        raise Unreadable(f"has values of type {image.dtype}, expected numbers")
    if image.dtype.kind == "f" and np.isnan(image).any():
        raise Unreadable("has NaN among its values; a `read` of your own says what stands for it")
    if values is None:
        least, most = image.min(), image.max()
        raise Unreadable(
            f"has values of type {image.dtype} from {least:g} to {most:g}, not 8 bits; say which become 0 and 255, "
            f"the same for all images: image_folder(…, values=({least:g}, {most:g}))"
        )
    low, high = (np.asarray(end, np.float32) for end in values)
    if {low.size, high.size} - {1, image.shape[-1]}:
        raise Unreadable(f"has {counted(image.shape[-1], 'channel')}, `values` are for {max(low.size, high.size)}")
    return ((image.astype(np.float32) - low) * (255 / (high - low))).clip(0, 255)
