"""Tiles of huge pictures: cut while they are read, those that show nothing left out."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from toolkit.errors import UserError
from toolkit.images.files import ImageFiles
from toolkit.images.pixels import Unreadable
from toolkit.images.places import Places
from toolkit.images.reading import Values, read_image, scaled
from toolkit.images.regions import WHOLE, opened, region
from toolkit.images.rows import CORES

VIEW = 32  # pixels of a tile's side in the small picture in which blank ones are looked for
BAND = 8  # rows of that which are made at a time
LIGHT, DARK = 200, 30  # glass is lighter, or where tissue shines darker, in every channel
LEAST, MOST = 4, 24  # how far from the ground a pixel has to be, on the scale 0..255


@dataclass(frozen=True, eq=False)
class Tiles:
    """N tiles of P pictures: their images, and where they lie."""

    images: ImageFiles
    places: Places

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, at: slice | np.ndarray) -> "Tiles":
        """Some of them, of the same pictures."""
        places = Places(self.places.picture[at], self.places.boxes[at], self.places.sizes)
        return Tiles(self.images[at], places)

    @property
    def picture(self) -> np.ndarray:
        """int64 (N,), which picture each lies in: `patients[tiles.picture]` are groups."""
        return self.places.picture

    @property
    def sets(self) -> np.ndarray:
        """int64 (N,), as `Samples(sets=…)` wants it, where a picture has one target: it is the set of its tiles."""
        return self.places.picture


def tiles(
    pictures: ImageFiles | Sequence[Path],
    side: int,
    overlap: float = 0.0,
    at: float = 1.0,
    blank: float = 0.0,
    values: Values | None = None,
) -> Tiles:
    """Square tiles of `side` pixels, row by row, evenly over each picture; at its edges they overlap more.

    pictures: paths, or images as of `image_folder`, each picture a file. overlap: the share of a tile's side that
    neighbours have in common at least. at: the scale, 0.25 for a quarter of the picture's size. blank: a tile is left
    out where less than this share of it differs from glass (the light or dark ground of the picture, or black); 0:
    none is; of a picture of glass alone the tile that shows most stays. values: as of `ImageFiles`.

    UserError for a picture that can't be read or holds several images.
    """
    if not (0 < at <= 1 and 0 <= overlap < 1 and 0 <= blank < 1 and side > 0):
        raise UserError(
            f"tiles(side={side}, overlap={overlap}, at={at}, blank={blank}): expected pixels above 0, shares from 0 "
            "to below 1, and a scale above 0 up to 1"
        )
    given = pictures if isinstance(pictures, ImageFiles) else ImageFiles(list(pictures), values=values)
    if given.read is not read_image or given.rows is not None:
        raise UserError("tiles are cut from picture files, one a file: give paths, or what image_folder gives")
    if values is not None:
        given = replace(given, values=values)
    options = {"side": side, "overlap": overlap, "at": at, "ground": given.options.get("ground", 0)}
    beside = 0 if given.values is None else given.values[0]
    options["beside"] = beside if isinstance(beside, int | float) else list(beside)
    paths = [Path(path) for path in given.paths]

    def looked_at(path: Path) -> tuple[tuple[int, int], np.ndarray]:
        picture = opened(path)
        boxes = grid(picture.size, side, overlap, at)
        rows = np.arange(len(boxes))
        if blank:
            with nullcontext() if picture.levels else WHOLE:
                rows = rows[_shows(path, boxes, blank, given)]
        return picture.size, rows

    with ThreadPoolExecutor(CORES) as threads:
        found = list(threads.map(looked_at, paths))
    sizes = np.array([size for size, _ in found], np.int64).reshape(-1, 2)
    picture = np.repeat(np.arange(len(paths)), [len(rows) for _, rows in found])
    rows = np.concatenate([rows for _, rows in found]) if found else np.empty(0, np.int64)
    parts = [grid(size, side, overlap, at)[kept] for size, kept in found]
    boxes = np.concatenate(parts) if parts else np.empty((0, 4), np.int64)
    called = _called(given)
    names = np.array(
        [f"{called[of]} ({top}, {left})" for of, (top, left, *_) in zip(picture, boxes.tolist(), strict=True)], str
    )
    images = ImageFiles([paths[of] for of in picture], rows, read_tile, given.values, names, options)
    return Tiles(images, Places(picture, boxes, sizes))


def _called(pictures: ImageFiles) -> list[str]:
    """Names of the pictures: those of their files without suffix, or where these are no names paths."""
    names = pictures.stems if pictures.names is None else pictures.names
    return (
        names if len(set(names)) == len(names) else np.array([Path(path).as_posix() for path in pictures.paths])
    ).tolist()


@lru_cache(maxsize=32)
def grid(size: tuple[int, int], side: int, overlap: float, at: float) -> np.ndarray:
    """int64 (n, 4): top, left, height, width of all tiles in the pixels of a picture (height, width), row by row.

    Of a picture that is smaller than a tile they reach beyond it, at the bottom and on the right.
    """
    large = round(side / at)
    step = max(1, round(large * (1 - overlap)))
    tops, lefts = (_starts(length, large, step) for length in size)
    made = np.stack([*(each.ravel() for each in np.meshgrid(tops, lefts, indexing="ij"))], axis=1)
    return np.column_stack([made, np.full_like(made, large)])


def _starts(length: int, large: int, step: int) -> np.ndarray:
    number = 1 if length <= large else -(-(length - large) // step) + 1
    return np.rint(np.linspace(0, max(0, length - large), number)).astype(np.int64)


def read_tile(
    path: Path,
    row: int,
    least: int = 0,
    side: int = 0,
    overlap: float = 0.0,
    at: float = 1.0,
    ground: int | None = 0,
    beside: float | Sequence[float] = 0,
) -> np.ndarray:
    """Tile `row` of `grid`, (side, side) or (side, side, channels); `beside` where the picture doesn't reach."""
    height, width = opened(path).size
    top, left, large, _ = grid((height, width), side, overlap, at)[row].tolist()
    tall, wide = min(large, height - top), min(large, width - left)
    shape = max(1, round(side * tall / large)), max(1, round(side * wide / large))
    found = region(path, (top, left, tall, wide), shape, ground)
    if shape == (side, side):
        return found
    result = np.empty((side, side, *found.shape[2:]), found.dtype)
    result[:] = np.asarray(beside).astype(found.dtype)
    result[: shape[0], : shape[1]] = found
    return result


def _shows(path: Path, boxes: np.ndarray, blank: float, given: ImageFiles) -> np.ndarray:
    """bool (n,): does so much of a tile differ from the ground? Of none the one that shows most."""
    share = min(1.0, VIEW / int(boxes[0, 2]))
    try:
        view = _view(path, share, given)
    except Unreadable as error:
        raise UserError(f"{path} {error}") from None
    marked = np.pad(np.cumsum(np.cumsum(_something(view), 0, np.int64), 1), ((1, 0), (1, 0)))
    tops, lefts = (np.floor(boxes[:, axis] * share).astype(int) for axis in (0, 1))
    ends = np.ceil((boxes[:, :2] + boxes[:, 2:]) * share).astype(int)
    bottoms, rights = np.minimum(ends[:, 0], len(view)), np.minimum(ends[:, 1], view.shape[1])
    count = marked[bottoms, rights] - marked[tops, rights] - marked[bottoms, lefts] + marked[tops, lefts]
    shown = count / ((bottoms - tops) * (rights - lefts))
    kept = shown >= blank
    kept[shown.argmax()] = True
    return kept


def _view(path: Path, share: float, given: ImageFiles) -> np.ndarray:
    """(h, w, channels) on the scale 0..255, the picture by a share of its size, made in bands."""
    height, width = opened(path).size
    rows, across = max(1, int(height * share)), max(1, int(width * share))
    edges = np.rint(np.arange(0, rows + BAND, BAND).clip(max=rows) * (height / rows)).astype(int)
    parts = []
    for place, (top, bottom) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        if bottom > top:
            shape = (min(BAND, rows - place * BAND), across)
            band = region(path, (top, 0, bottom - top, width), shape, given.options.get("ground", 0))
            parts.append(scaled(band if band.ndim == 3 else band[..., None], given.values))
    return np.concatenate(parts)


def _something(view: np.ndarray) -> np.ndarray:
    """bool (h, w): what isn't the ground, which is the light or the dark of a picture, whichever it has more of."""
    light, dark = (view >= LIGHT).all(2), (view <= DARK).all(2)
    ground = max(light, dark, key=np.count_nonzero)
    padding = (view == 0).all(2)
    if not ground.any():
        return ~padding
    apart = np.abs(view - np.median(view[ground], axis=0).astype(np.float32)).max(2)
    enough = np.clip(np.percentile(apart, 99.9) / 4, LEAST, MOST)
    return (apart > enough) & ~padding
