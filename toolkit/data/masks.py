"""Masks that lie in files or tables: read one at a time, each as large as its image, in the form of the task."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Condition
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from toolkit.disk import of_the_machine
from toolkit.errors import UserError, listed
from toolkit.formats.run_lengths import EMPTY, By, parts_of_runs, runs_in
from toolkit.images.files import ImageFiles
from toolkit.images.fitting import Fit, fitted
from toolkit.images.reading import check_whole, decoded
from toolkit.images.regions import size_of
from toolkit.task import IGNORED, OverlappingMasks, Segmentation, Task

MaskTask = Segmentation | OverlappingMasks
SHOWN = 10  # masks that can't be read, in one message
HUGE = 1 << 26  # pixels of masks that are read side by side
BAND = 1 << 21  # pixels of a mask that are looked at at a time: copies of all would be several times as large as it


@dataclass(frozen=True, eq=False)
class Masks:
    """N masks, each of a size of its own.

    read: of a row, the mask uint8 (h, w) of image `row`, in the form that the task's targets have; `masks[row]` is the
    same. sizes: int64 (N, 2), heights and widths, where they are known without reading.
    """

    number: int
    read: Callable[[int], np.ndarray]
    sizes: np.ndarray | None = None

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, row: int) -> np.ndarray:
        return self.read(range(self.number)[row])

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self.read, range(self.number))

    def fitted(self, shape: Sequence[int], fit: Fit = "letterbox") -> np.ndarray:
        """uint8 (N, H, W), brought to a shape (H, W, …) as the images are, by nearest pixels; IGNORED beside them.

        UserError that names what is wrong with each mask that can't be read.
        """
        made = np.empty((self.number, *shape[:2]), np.uint8)

        def fill(row: int) -> None:
            made[row] = fitted(self.read(row)[..., None], shape[0], shape[1], fit, nearest, IGNORED)[..., 0]

        each_of(self.number, fill, self._pixels())
        return made

    def _pixels(self) -> np.ndarray:
        """int64 (N,), how many each has; where that isn't known, as many as the first."""
        if self.sizes is not None:
            return self.sizes.prod(1)
        try:
            first = self.read(0).size if self.number else 0
        except UserError:  # it is said of all that can't be read, once they are asked for
            first = 0
        return np.full(self.number, first)


class Room:
    """For masks that several threads hold: all together have no more than `most` pixels, or there is a single one."""

    def __init__(self, most: int = HUGE) -> None:
        self.most, self.held, self.changed = most, 0, Condition()

    @contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        """Waits until there is room for so many."""
        with self.changed:
            self.changed.wait_for(lambda: not self.held or self.held + pixels <= self.most)
            self.held += pixels
        try:
            yield
        finally:
            with self.changed:
                self.held -= pixels
                self.changed.notify_all()


def side_by_side(work: Callable[[int], Any], pixels: Sequence[int] | np.ndarray) -> list[Any]:
    """work(0), … by threads, of masks of so many pixels each."""
    room = Room()

    def one(row: int) -> Any:
        with room.of(int(pixels[row])):
            return work(row)

    with ThreadPoolExecutor() as threads:
        return list(threads.map(one, range(len(pixels))))


def each_of(number: int, fill: Callable[[int], None], pixels: np.ndarray | None = None) -> None:
    """fill(0), … by threads; one UserError with the sentences of all that raise one. pixels: int64 (number,), of each
    mask that is held meanwhile; None: none of them is huge.
    """
    faults = {}

    def one(row: int) -> None:
        try:
            fill(row)
        except UserError as error:
            faults[row] = str(error)

    side_by_side(one, np.zeros(number, np.int64) if pixels is None else pixels)
    if faults:
        said = [faults[row] for row in sorted(faults)]
        more = [f"… and {len(said) - SHOWN:,} more masks that can't be read"] if len(said) > SHOWN else []
        raise UserError("\n".join([*said[:SHOWN], *more]))


def nearest(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width, 1) of a mask (h, w, 1)."""
    import cv2

    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT).reshape(height, width, 1)


def mask_files(paths: Sequence[Path], task: MaskTask, values: Mapping[Any, int] | None = None) -> Masks:
    """A picture of each mask, whose pixels, or places in the palette, are those of the task's targets.

    values: which greys or colours (red, green, blue) mean which class (of overlapping masks: which bits), such as
    {255: 1}, 255 as class: not scored. A colour that isn't there is an error, as is a grey, but for 0, that another
    one becomes; any other grey is itself.
    """

    def read(row: int) -> np.ndarray:
        by_colour = bool(values) and isinstance(next(iter(values or {})), tuple)
        pixels = _pixels(paths[row], by_colour)
        if by_colour and pixels.ndim == 2:
            pixels = np.dstack([pixels] * 3)
        if pixels.ndim == 3 and not by_colour:
            if (pixels != pixels[..., :1]).any():
                raise UserError(f"{paths[row]} has colours: say which is which class, values={{(255, 0, 0): 1, …}}")
            pixels = pixels[..., 0]
        return _mapped(pixels, values or {}, most_of(task), paths[row])

    return Masks(len(paths), read)


def label_mask_files(
    paths: Sequence[Mapping[str, Path | Sequence[Path]]], task: MaskTask, above: float | None = None
) -> Masks:
    """A picture for each label of an image, or several, in which all but black is that label.

    paths: of each image, by the names of the task's labels or classes; what none of them shows is 0, of classes that
    overlap the later counts. above: the label is where a pixel's brightest channel has more than that; None: each
    picture has one value beside 0, so that no edge that JPEG or a resizing smeared becomes a part of a label.
    UserError where they have more of them, or differ in size.
    """

    def read(row: int) -> np.ndarray:
        named = [
            (name, path)
            for name, given in paths[row].items()
            for path in ([given] if isinstance(given, str | Path) else given)
        ]
        if not named:
            raise UserError(f"image {row} has no mask, so that its size isn't known; leave it out")
        return together(((name, _shown(path, above), str(path)) for name, path in named), task)

    return Masks(len(paths), read)


def run_length_masks(
    path: Path,
    names: Sequence[str] | np.ndarray,
    task: MaskTask,
    size: tuple[int, int] | ImageFiles,
    columns: Sequence[str] = ("id", "rle"),
    *,
    by: By = "columns",
    first: int = 1,
    empty: str = "",
) -> Masks:
    """Masks of the images `names`, from a table with rows of runs `start length …`, none, one or several an image.

    columns: of the image, (of the class or label, if there are several,) and of the runs. size: height and width of
    the images, or the images themselves. by, first: as of `from_run_lengths`. empty: what stands for an empty mask.
    UserError names the line; a row of no image of these is an error.
    """
    from toolkit.data.target_tables import line_of, read_table

    table = read_table(path, columns)
    rows: dict[str, list[tuple[int, str, str]]] = {name: [] for name in names}
    alone = task.classes[-1]  # where no column says which
    if len(columns) == 2 and len(task.classes) > (1 if isinstance(task, OverlappingMasks) else 2):
        raise UserError(f"{path}: of {listed(task.classes)} no column says which a row is; name it, (…, class, runs)")
    for line, (name, *said, text) in enumerate(table[list(columns)].itertuples(index=False)):
        if name not in rows:
            raise UserError(f"{path} line {line_of(str(path), line)}: there is no image {name!r}")
        if text.strip() in (empty, *EMPTY):
            continue
        if said and said[0] not in task.classes:
            where = f"{path} line {line_of(str(path), line)}"
            raise UserError(f"{where}: the class is {said[0]!r}, expected {', '.join(task.classes)}")
        rows[name].append((line, said[0] if said else alone, text))

    def read(row: int) -> np.ndarray:
        shape = size if isinstance(size, tuple) else size_of(size, row)
        made = np.zeros(shape, np.uint8)
        for line, label, text in rows[names[row]]:
            try:
                runs = runs_in(text, shape, first)
            except ValueError as error:
                raise UserError(f"{path} line {line_of(str(path), line)}: {error}") from None
            for place, part in parts_of_runs(*runs, shape, by):
                _paint(made[place], part, label, f"{path} line {line + 2}", task)
        return made

    return Masks(len(names), read)


def together(
    parts: Iterable[tuple[str, np.ndarray, str]], task: MaskTask, size: tuple[int, int] | None = None
) -> np.ndarray:
    """uint8 (h, w) of masks (h, w) or (h, w, channels), each with its class and where it was found: it is what isn't
    0 (in any channel). 0 where none of them is.

    size: of all; None: that of the first. Of classes that claim one pixel, the later counts. Each is let go before the
    next is asked for. UserError where one isn't known, or sizes differ.
    """
    made = None if size is None else np.zeros(size, np.uint8)
    for name, mask, where in parts:
        if made is None:
            made = np.zeros(mask.shape[:2], np.uint8)
        if mask.shape[:2] != made.shape:
            found = mask.shape[:2]
            raise UserError(f"{where} has the size {found}, expected {made.shape} as of the image's other masks")
        for rows in bands(made.shape):
            shown = mask[rows] > 0
            _paint(made[rows], shown if shown.ndim == 2 else np.asarray(shown.any(2)), name, where, task)
        del mask
    assert made is not None
    return made


def bands(shape: Sequence[int]) -> Iterator[slice]:
    """Rows of a mask (h, w), few enough that nothing which is made of them is large."""
    step = max(1, BAND // max(1, shape[1]))
    for first in range(0, shape[0], step):
        yield slice(first, min(first + step, shape[0]))


def _paint(made: np.ndarray, shown: np.ndarray, name: str, where: str, task: MaskTask) -> None:
    """Where a mask bool (h, w) of that class is, in masks uint8 (h, w) of the task."""
    if not shown.any():
        return
    if name not in task.classes:
        raise UserError(f"{where}: the class is {name!r}, expected {', '.join(task.classes)}")
    at = task.classes.index(name)
    made[shown] = made[shown] | (1 << at) if isinstance(task, OverlappingMasks) else at


def _shown(path: Path, above: float | None) -> np.ndarray:
    """bool (h, w), where a picture of one label has it; `above` as of `label_mask_files`."""
    pixels = _pixels(path, by_colour=True)
    shown = np.empty(pixels.shape[:2], bool)
    values: set[float] = set()
    for rows in bands(shown.shape):
        part = pixels[rows] if pixels.ndim == 2 else pixels[rows].max(2)
        shown[rows] = part > (above or 0)
        if above is None:
            values |= set(_distinct(part)) - {0}
        if len(values) > 1:
            some = ", ".join(f"{value:g}" for value in sorted(values)[:SHOWN]) + ", …" * (len(values) > SHOWN)
            raise UserError(
                f"{path} has several values beside 0 ({some}), as edges have that JPEG or a resizing smeared: "
                "label_mask_files(…, above=127) takes what is brighter than that, above=0 all but black"
            )
    return shown


def _distinct(part: np.ndarray) -> list[float]:
    """The values of some pixels."""
    found = np.flatnonzero(np.bincount(part.ravel(), minlength=256)) if part.dtype == np.uint8 else np.unique(part)
    return [float(value) for value in found]


def _pixels(path: Path, by_colour: bool = False) -> np.ndarray:
    """Of a mask, (h, w) or (h, w, channels): of palettes the places in it or, `by_colour`, the colours."""
    try:
        data = Path(path).read_bytes()
        with Image.open(io.BytesIO(data)) as opened:
            if opened.mode == "P":
                check_whole(data)
                upright = ImageOps.exif_transpose(opened)  # as images are
                return np.array(upright.convert("RGB") if by_colour else upright)
        return decoded(data)
    except OSError as error:
        if of_the_machine(error):
            raise
        what = "does not exist" if not Path(path).exists() else f"is no mask that can be read: {error}"
        raise UserError(f"{path} {what}") from None
    except ValueError as error:
        raise UserError(f"{path} {error}") from None


def most_of(task: Task) -> int:
    """The largest value that a mask of the task has, but for IGNORED."""
    return 2 ** len(task.classes) - 1 if isinstance(task, OverlappingMasks) else len(task.classes) - 1


def _mapped(pixels: np.ndarray, values: Mapping[Any, int], most: int, path: Path) -> np.ndarray:
    """uint8 (h, w)"""
    made = np.empty(pixels.shape[:2], np.uint8)
    for rows in bands(made.shape):
        made[rows] = _mapped_part(pixels[rows], values, most, path)
    return made


def _mapped_part(pixels: np.ndarray, values: Mapping[Any, int], most: int, path: Path) -> np.ndarray:
    if pixels.ndim == 3:
        made = np.full(pixels.shape[:2], -1, np.int64)
        for colour, value in values.items():
            made[(pixels == np.array(colour)).all(2)] = value
        if (made < 0).any():
            row, column = np.argwhere(made < 0)[0].tolist()
            raise UserError(
                f"{path} has the colour {tuple(pixels[row, column].tolist())}, which `values` doesn't know"
            )
    else:
        if pixels.dtype.kind == "f" and (odd := pixels != np.rint(pixels)).any():
            raise UserError(f"{path} has the value {pixels[odd][0]:g}, expected whole numbers: which class a pixel is")
        made = pixels.astype(np.int64)
        for grey, value in values.items():
            if value not in (0, IGNORED, *values) and (pixels == value).any():
                raise UserError(
                    f"{path} has the value {value}, which `values` doesn't name, though {grey} becomes {value}; say "
                    f"what it is as well, values={{{grey}: {value}, {value}: …}}"
                )
            made[pixels == grey] = value
    known = (made >= 0) & (made <= most)
    known |= (made == IGNORED) & (IGNORED in values.values())
    if not known.all():
        odd = int(made[~known][0])
        hint = f"values={{{odd}: 1}} makes it class 1, values={{{odd}: {IGNORED}}} what isn't scored"
        raise UserError(f"{path} has the value {odd}, expected 0 to {most}; {hint}")
    return made.astype(np.uint8)
