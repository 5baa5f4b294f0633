"""The map of all pictures as a page shows it: coloured by class, by what was found, by fold."""

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import pandas as pd

from toolkit.auditing.picture_map import PictureMap
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset
from toolkit.data.folds import stored_folds
from toolkit.data.targets import holds, in_words
from toolkit.images.rows import ImageRows
from toolkit.outcome import counted
from toolkit.pages.html import Dots, Grouping
from toolkit.pages.pictures import COLOURS, ORANGE, PURPLE, SKY, VERMILION
from toolkit.probabilities import chunks
from toolkit.store import Workspace
from toolkit.task import Classification, Grades, Heads, Labels, Numbers

SIDE = 48  # pixels of a thumbnail
COLOURED = 12  # classes that have a colour of their own; of more, the largest
FIFTHS = 5  # of numbers
FOUND = ("nothing found", "of one origin with others", "a suggestion waits", "left out")
GREY = "#a6a6a6"
FOUND_IN = (GREY, SKY, ORANGE, VERMILION, PURPLE)  # their colours, and that of test images
TEST = "test images"


def dots(
    competition: Competition, workspace: Workspace, dataset: Dataset, proposal: pd.DataFrame, plane: PictureMap
) -> Dots:
    """dataset: as pictures."""
    rows, tests = plane.rows, plane.tests
    names, of = classes_of(dataset.targets[rows], competition)
    found = _found(dataset.ids[rows], proposal)
    by = [_with_tests("class", names, of, len(tests), _colours_of(names, competition))]
    by += [_with_tests("finding", FOUND, found, len(tests), FOUND_IN)]
    by += _by_fold(workspace, dataset.ids[rows], len(tests))
    words = [in_words(dataset.targets[row], competition.task) for row in rows]
    labels = [f"{dataset.called[row]} {text}".rstrip() for row, text in zip(rows, words, strict=True)]
    labels += [f"test image {row}" for row in tests.tolist()]
    thumbnails = [small(dataset.images, rows), small(dataset.test_images, tests)]
    note = f"Pictures that look alike lie close to each other (t-SNE of {plane.seen}); distances have no unit."
    if len(rows) < len(dataset.images) or len(tests) < len(dataset.test_images):
        note += f" Shown: {_shown(len(rows), len(dataset.images), 'training image')}"
        note += f", {_shown(len(tests), len(dataset.test_images), 'test image')}." if len(tests) else "."
    return Dots("", plane.points, labels, by, np.concatenate([part for part in thumbnails if len(part)]), note)


def _shown(number: int, of: int, noun: str) -> str:
    return counted(number, noun) if number == of else f"{number:,} of {counted(of, noun)}"


def _with_tests(name: str, names: Sequence[str], of: np.ndarray, tests: int, colours: Sequence[str] = ()) -> Grouping:
    """Test images as one more group. colours: of all, theirs is the last; without any, those of classes."""
    if not tests:
        return Grouping(name, names, of.tolist(), colours[: len(names)])
    return Grouping(name, [*names, TEST], [*of.tolist(), *[len(names)] * tests], colours)


def _colours_of(names: Sequence[str], competition: Competition) -> Sequence[str]:
    """Those in which masks are painted, so that a class has one colour on the page; white for the first class."""
    task = competition.task
    if not (task.masks and task.exclusive) or not set(names) <= set(task.classes):
        return ()
    places = [task.classes.index(name) for name in names]
    return [*("rgb({}, {}, {})".format(*COLOURS[at]) if at else "white" for at in places), GREY]


def _found(ids: np.ndarray, proposal: pd.DataFrame) -> np.ndarray:
    """Of each id a place in FOUND."""
    found = np.zeros(len(ids), np.int64)
    of = proposal["action"]
    for place, lines in enumerate((of == "group", of.str.endswith("?"), of == "drop"), 1):
        found[np.isin(ids, proposal.loc[lines, "index"])] = place
    return found


def _by_fold(workspace: Workspace, ids: np.ndarray, tests: int) -> list[Grouping]:
    """Nothing where there are no folds of these samples."""
    table = stored_folds(workspace)
    if table is None or not np.isin(ids, table["index"]).all():
        return []
    fold = table.set_index("index")["fold"].reindex(ids).to_numpy(np.int64)
    names = [f"fold {number}" for number in range(int(fold.max()) + 1)]
    return [_with_tests("fold", names, np.where(fold < 0, -1, fold), tests)]


def classes_of(targets: np.ndarray, competition: Competition) -> tuple[Sequence[str], np.ndarray]:
    """Names of groups of targets (n, ...), COLOURED at most and what is left, and the group of each, int64 (n,)."""
    task = competition.task
    if isinstance(task, Numbers):
        return _fifths(task.targets[0], targets[:, 0])
    if isinstance(task, Classification | Grades):
        unknown = task.unknown if isinstance(task, Classification) else None
        return _largest([*task.classes, unknown or "none"], np.where(targets < 0, len(task.classes), targets))
    if isinstance(task, Heads):
        name, classes = task.heads[0]
        names = [f"{name} {each}" for each in (*classes, "not known")]
        return _largest(names, np.where(targets[:, 0] < 0, len(classes), targets[:, 0]))
    if task.masks and task.exclusive:
        return _largest(task.classes, _largest_part(targets, competition.scored))
    held = targets == 1 if isinstance(task, Labels) else holds(targets, task)
    number = held.sum(1)
    one = np.where(number == 1, held.argmax(1), len(task.classes) + (number > 1))
    return _largest([*task.classes, "none of them", "several"], one)


def _largest_part(masks: np.ndarray, scored: Sequence[int]) -> np.ndarray:
    """Of each mask (n, H, W) the scored class that takes most of it, int64 (n,)."""
    found = np.zeros(len(masks), np.int64)
    for at in chunks(len(masks), masks.shape[1:]):
        pixels = np.stack([(masks[at] == label).sum((1, 2)) for label in scored], axis=1)
        found[at] = np.asarray(scored)[pixels.argmax(1)]
    return found


def _largest(names: Sequence[str], of: np.ndarray) -> tuple[Sequence[str], np.ndarray]:
    """Groups that have members; of many the largest, and what is left as one."""
    counts = np.bincount(of, minlength=len(names))
    there = np.flatnonzero(counts)
    if len(there) > COLOURED + 1:
        there = np.sort(np.argsort(-counts, kind="stable")[:COLOURED])
    place = np.full(len(names), len(there))
    place[there] = np.arange(len(there))
    others = [f"{int((counts > 0).sum()) - len(there):,} others"] if (place[of] == len(there)).any() else []
    return [*(names[at] for at in there.tolist()), *others], place[of]


def _fifths(name: str, column: np.ndarray) -> tuple[Sequence[str], np.ndarray]:
    """Numbers (n,) in FIFTHS of equal size; -1 where there is none."""
    known = column[~np.isnan(column)]
    edges = np.unique(np.quantile(known, np.arange(FIFTHS + 1) / FIFTHS)) if len(known) else np.zeros(2)
    edges = edges if len(edges) > 1 else np.array([edges[0], edges[0]])
    names = [f"{name} {low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
    place = np.clip(np.searchsorted(edges, column, side="right") - 1, 0, len(names) - 1)
    return names, np.where(np.isnan(column), -1, place)


def small(images: ImageRows, rows: np.ndarray) -> np.ndarray:
    """Thumbnails uint8 (n, SIDE, SIDE, 3) of pictures, the whole of each on grey."""
    made = np.full((len(rows), SIDE, SIDE, 3), 128, np.uint8)
    for place, row in enumerate(rows.tolist()):
        picture = images[row]
        factor = SIDE / max(picture.shape[:2])
        size = [max(1, round(side * factor)) for side in picture.shape[1::-1]]
        tiny = cv2.resize(np.ascontiguousarray(picture), size, interpolation=cv2.INTER_AREA)
        top, left = ((SIDE - side) // 2 for side in tiny.shape[:2])
        made[place, top : top + tiny.shape[0], left : left + tiny.shape[1]] = tiny.reshape(*tiny.shape[:2], -1)
    return made
