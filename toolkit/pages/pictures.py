"""Pictures, uint8 (h, w, 3): strips with captions, masks in colours, the first images of a batch; and PNG files."""

from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import cv2
import numpy as np

from toolkit.checked import readable
from toolkit.data.preview import Preview
from toolkit.store import atomic
from toolkit.task import IGNORED

if TYPE_CHECKING:
    import torch

SHOWN = 160  # pixels, the shorter side of a shown picture at least
LONGEST = 24  # letters of a name below a picture
# of classes, everywhere. The first seven, by Okabe and Ito 2008, are told apart by the colour-blind; the others are
# seen on light and on dark grounds too
OKABE_ITO = ("#56b4e9", "#e69f00", "#f0e442", "#cc79a7", "#009e73", "#d55e00", "#0072b2")
SKY, ORANGE, YELLOW, PURPLE, GREEN, VERMILION, BLUE = OKABE_ITO
HUES = (*OKABE_ITO, "#8a63d2", "#999933", "#b0416b", "#f4a6b5", "#a0703c", "#a6a6a6", "#4fd1b5")
# uint8 (256, 3): of each class of a mask, black for the first; white where it is IGNORED
COLOURS = np.zeros((IGNORED + 1, 3), np.uint8)
COLOURS[1:IGNORED] = [tuple(bytes.fromhex(HUES[at % len(HUES)][1:])) for at in range(IGNORED - 1)]
COLOURS[IGNORED] = 255


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a picture uint8 (h, w, 3), red first, whole or not at all."""
    _, data = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
    with atomic(path) as partial:
        partial.write_bytes(data.tobytes())


def stored_png(path: Path, remedy: str) -> bytes:
    """What is in a PNG file. UserError where its own checksums don't fit; remedy: what to do then."""
    from PIL import Image

    with readable(path, remedy):
        content = path.read_bytes()
        with Image.open(BytesIO(content), formats=("PNG",)) as picture:
            picture.verify()
    return content


def short(name: str) -> str:
    """The name of a file without its folders, as it fits below a picture."""
    last = PurePosixPath(name).name
    return last if len(last) <= LONGEST else f"..{last[2 - LONGEST :]}"


def strip(panels: list[tuple[str, np.ndarray]]) -> np.ndarray:
    """Captioned pictures side by side, uint8 (h, w, 3); without room for captions where all are empty."""
    columns, top = [], 24 if any(caption for caption, _ in panels) else 2
    for caption, image in panels:
        picture = enlarged(image)
        width = max(picture.shape[1], 7 * len(caption) + 8)
        column = np.full((picture.shape[0] + top + 2, width + 8, 3), 255, np.uint8)
        column[top : top + picture.shape[0], 4 : 4 + picture.shape[1]] = picture
        drawn = caption.encode("ascii", "replace").decode()  # OpenCV has no other letters
        cv2.putText(column, drawn, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (20, 20, 20), 1, cv2.LINE_AA)
        columns.append(column)
    height = max(column.shape[0] for column in columns)
    padded = [np.pad(c, ((0, height - len(c)), (0, 0), (0, 0)), constant_values=255) for c in columns]
    return np.concatenate(padded, axis=1)


def stacked(pictures: list[np.ndarray], gap: int = 0) -> np.ndarray:
    """Pictures below each other, each with a white gap below it, uint8 (h, w, 3)."""
    width = max(picture.shape[1] for picture in pictures)
    padded = [np.pad(p, ((0, gap), (0, width - p.shape[1]), (0, 0)), constant_values=255) for p in pictures]
    return np.concatenate(padded)


def enlarged(image: np.ndarray) -> np.ndarray:
    """A picture (H, W, 1 or 3) as colours, at a size that a person can look at."""
    colour = np.repeat(image, 3, 2) if image.shape[2] == 1 else np.ascontiguousarray(image)
    factor = max(1, round(SHOWN / min(colour.shape[:2])))
    return np.asarray(cv2.resize(colour, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST))


def with_mask(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mask's classes as colours over the image."""
    colour = np.repeat(image, 3, 2) if image.shape[2] == 1 else image
    painted = COLOURS[mask]
    return np.where((mask > 0)[..., None], colour // 2 + painted // 2, colour).astype(np.uint8)


def batch_picture(images: "torch.Tensor", targets: "torch.Tensor", preview: Preview, count: int = 32) -> np.ndarray:
    """The first images of a batch as a network gets it; masks in colours beside them.

    images: (B, C, H, W) on the scale 0..255, of any type. targets: masks (B, H, W), or others, not shown. preview: of
    the images that they were made from.
    """
    tiles = preview(images[:count].float().cpu().permute(0, 2, 3, 1).numpy())
    tiles = np.broadcast_to(tiles, (*tiles.shape[:3], 3))
    if targets.ndim > 2:
        tiles = np.concatenate([tiles, COLOURS[targets[:count].cpu().numpy()]], 2)
    columns = max(1, min(8, len(tiles), 1600 // tiles.shape[2]))
    tiles = np.pad(tiles, ((0, -len(tiles) % columns), (2, 2), (2, 2), (0, 0)), constant_values=128)
    _, height, width, _ = tiles.shape
    return tiles.reshape(-1, columns, height, width, 3).transpose(0, 2, 1, 3, 4).reshape(-1, columns * width, 3)
