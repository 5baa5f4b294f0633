"""Along which side of an image the pixels of run lengths are counted: masks and images show it, no table says it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from toolkit.errors import UserError
from toolkit.formats.run_lengths import By, from_runs, runs_in
from toolkit.images.files import ImageFiles
from toolkit.images.reading import read_image, with_channels
from toolkit.images.regions import size_of
from toolkit.recognition.columns import RUNS
from toolkit.recognition.found import Fact, Sure, Targets
from toolkit.recognition.heads import spread
from toolkit.recognition.listing import stem
from toolkit.recognition.seen import Seen
from toolkit.recognition.sheets import cells

LOOKED_AT = 60  # rows of a table
PIXELS = 1 << 25  # of the images that are read
FEW, MANY = 4, 9  # masks of which all are alike: where their own runs say it, and where the image does


@dataclass(frozen=True)
class Read:
    """Where runs start and end, int64 (n,), and their image: height and width, and its file."""

    starts: np.ndarray
    ends: np.ndarray
    shape: tuple[int, int]
    path: str


def ordered(seen: Seen, targets: Targets, files: Sequence[str]) -> Targets:
    """With the way in which runs are counted, which is told among the facts. files: of the images."""
    sheet, (name, *_, column) = targets.sheet, targets.columns
    assert sheet is not None
    text = cells(seen.folder, sheet, column).str.strip()
    filled = text.str.fullmatch(RUNS.pattern)
    first = 0 if text.str.startswith("0 ").any() else 1
    times = Counter(map(stem, files))
    known = {
        called: path for path in files if times[stem(path)] == 1 for called in (stem(path), path.rpartition("/")[2])
    }
    read = []
    for row in spread(text.index[filled].tolist(), LOOKED_AT):
        called = str(cells(seen.folder, sheet, name)[row]).rpartition("/")[2]
        path = known.get(f"{targets.before}{called}{targets.after}")
        if path is None:
            continue
        try:
            shape = size_of(ImageFiles([seen.folder / path]), 0)
            read.append(Read(*runs_in(text[row], shape, first), shape, path))
        except (UserError, ValueError):
            continue
    by, why, sure = _by(seen, read)
    said = "along rows" if by == "rows" else "down columns"
    counted = f"counted {said} from {first}{', as a run begins there' if first == 0 else ''}"
    seen.facts.append(Fact("run lengths", counted, why, sure))
    return replace(targets, by=by, first=first)


def _by(seen: Seen, read: Sequence[Read]) -> tuple[By | None, str, Sure]:
    """Which of both, why, how sure; None where nothing says it."""
    oblong = [one for one in read if one.shape[0] != one.shape[1]]
    by, won = _winner([(_beside(one, one.shape[0]), _beside(one, one.shape[1])) for one in oblong], FEW)
    if by:
        return by, f"so the runs of {won} lie side by side", "likely"
    square = [one for one in read if one.shape[0] == one.shape[1]]
    most = PIXELS // max([one.shape[0] * one.shape[1] for one in square], default=1)
    by, won = _winner([_edges(seen, one) for one in spread(square, most)], MANY)
    if by:
        return by, f"images are square, and so {won} end where their images have edges", "likely"
    return None, "as most organisers have it; neither masks nor images show it", "guess"


def _winner(pairs: Sequence[tuple[float, float]], least: int) -> tuple[By | None, str]:
    """Which of both is the larger one more often than by chance: as often as `least` of as many, or more."""
    down, along = (sum(one[at] > one[1 - at] for one in pairs) for at in (0, 1))
    total = down + along
    if not total or (down - along) ** 2 < least * total:
        return None, ""
    return ("columns" if down > along else "rows"), f"{max(down, along)} of {total} masks"


def _beside(one: Read, line: int) -> float:
    """Pixels that have another run's beside them in the next line, where lines have this length."""
    starts, ends = one.starts, one.ends
    places = np.column_stack([starts, ends]).ravel()
    total = np.concatenate([[0], np.cumsum(ends - starts)])
    before = np.column_stack([total[:-1], total[1:]]).ravel()  # pixels of runs in front of each place
    shared = np.interp(ends + line, places, before) - np.interp(starts + line, places, before)
    return float((shared - np.maximum(ends - starts - line, 0)).sum())


def _edges(seen: Seen, one: Read) -> tuple[float, float]:
    """How much an image changes where its mask ends, counted down columns and along rows."""
    try:
        grey = with_channels(read_image(seen.folder / one.path), 1)[..., 0].astype(np.float32)
    except (UserError, ValueError):
        return 0, 0
    if grey.shape != one.shape:
        return 0, 0
    mask = from_runs(one.starts, one.ends, one.shape)
    return _change(grey, mask), _change(grey, mask.T)


def _change(grey: np.ndarray, mask: np.ndarray) -> float:
    changes = [np.abs(np.diff(grey, axis=axis))[np.diff(mask, axis=axis)] for axis in (0, 1)]
    found = np.concatenate(changes)
    return float(found.mean()) if len(found) else 0.0
