"""What is known of samples, whatever the kind of task: checked, counted, and said in columns that folds keep even."""

from typing import Any

import numpy as np

from toolkit.errors import UserError
from toolkit.probabilities import chunks
from toolkit.task import (
    IGNORED,
    MATRICES,
    MISSING,
    UNKNOWN,
    Classification,
    Grades,
    Heads,
    Labels,
    Numbers,
    OverlappingMasks,
    Segmentation,
    Task,
)

COLUMNS = 500  # from which on what is nearly always 0 is not held in memory
BINS = 5  # of even size, into which folds and draws sort numbers
Wrong = tuple[int, str, str, str]  # a value's row and column, itself, and what was expected


def check_targets(targets: np.ndarray, task: Task, where: str, ids: np.ndarray) -> None:
    """UserError, one sentence with row and column, for what can't be learnt from; ids: (N,), what rows are called.

    That is a wrong type or shape, a value outside what the task knows, a class without a sample, a label or number
    that is always the same. Of more than MATRICES classes, also of a head, some may lack samples: lists of names have
    gaps.
    """
    check_values(targets, task, where, ids)
    if isinstance(task, Numbers):
        for name, column in zip(task.targets, targets.T, strict=True):
            known = column[~np.isnan(column)]
            if not len(known) or known.min() == known.max():
                what = f"is always {known[0]:g}" if len(known) else "has no value"
                raise UserError(f"{where}: number {name!r} {what}; there is nothing to be learnt, leave it out")
        return
    counts = class_counts(targets, task)
    noun = {Labels: "label", OverlappingMasks: "label", Grades: "grade"}.get(type(task), "class")
    sizes = [len(classes) for _, classes in task.heads] if isinstance(task, Heads) else [len(counts)]
    may_lack: list[bool] = []
    for part in np.split(counts, np.cumsum(sizes)[:-1]):
        lists = isinstance(task, Classification | Heads) and len(part) > MATRICES and (part > 0).sum() > 1
        may_lack += [bool(lists)] * len(part)
    for name, count, lacks in zip(task.classes, counts, may_lack, strict=True):
        if count == 0 and not lacks:
            unit = "pixel" if task.masks else "image"
            raise UserError(f"{where}: {noun} {name!r} has no {unit}; every {noun} needs some to be learnt")
    if isinstance(task, Labels):
        for name, column in zip(task.labels, targets.T, strict=True):
            if not (column == 0).any():
                raise UserError(f"{where}: label {name!r} is never 0; there is nothing to be learnt, leave it out")


def check_values(targets: np.ndarray, task: Task, where: str, ids: np.ndarray) -> None:
    """The part of it that holds for a hidden truth too, in which not every class need occur."""
    _check_form(targets, task, where)
    for row, column, value, expected in _wrong(targets, task):
        raise UserError(f"{where}: the target of {column}row {ids[row]} is {value}, expected {expected}")


def _check_form(targets: np.ndarray, task: Task, where: str) -> None:
    kinds = "iu"  # as np.dtype.kind has them
    shape: tuple[int, ...] = (len(task.heads),) if isinstance(task, Heads) else ()
    if task.masks:
        shape, kinds = task.image_shape[:2], "u"
    elif isinstance(task, Numbers):
        shape, kinds = (len(task.targets),), "f"
    elif isinstance(task, Labels):
        shape, kinds = (len(task.labels),), "i"
    if targets.dtype.kind not in kinds or (task.masks and targets.dtype != np.uint8):
        known = {"u": "masks of type uint8", "f": "numbers of type float32", "i": "whole numbers of type int8"}
        expected = known.get(kinds, "whole numbers of type int64")
        raise UserError(f"{where}: targets are of type {targets.dtype}{_first_missing(targets)}, expected {expected}")
    if targets.shape[1:] != shape:
        wanted = ", ".join(map(str, ("n", *shape))) + ("," if not shape else "")
        raise UserError(f"{where}: targets have shape {targets.shape}, expected ({wanted})")


def _first_missing(targets: np.ndarray) -> str:
    """Where whole numbers became others because one of them is missing: which."""
    if targets.dtype.kind != "f" or not np.isnan(targets).any():
        return ""
    place = np.argwhere(np.isnan(targets))[0].tolist()
    return f", as row {place[0]}" + (f", column {place[1]}" if len(place) > 1 else "") + " is NaN"


def _wrong(targets: np.ndarray, task: Task) -> list[Wrong]:
    """The first value that doesn't fit, if there is one."""
    if isinstance(task, Numbers):
        low, high = (-np.inf if task.low is None else task.low), (np.inf if task.high is None else task.high)
        bad = np.isinf(targets) | (targets < low) | (targets > high)
        expected = f"a number from {low:g} to {high:g}, or NaN where there is none"
        return _first(bad, targets, task.targets, expected)
    if isinstance(task, Labels):
        return _first((targets < MISSING) | (targets > 1), targets, task.labels, "0, 1, or -1 where there is none")
    if isinstance(task, Heads):
        sizes = np.array([len(classes) for _, classes in task.heads])
        names = tuple(name for name, _ in task.heads)
        bad = (targets < MISSING) | (targets >= sizes)
        most = sizes[bad.any(0).argmax()] - 1 if bad.any() else 0
        first = np.where(np.arange(len(sizes)) == bad.any(0).argmax(), bad, False)  # of the first head that has one
        return _first(first, targets, names, f"a class from 0 to {most}, or -1 where there is none")
    most = 2 ** len(task.classes) if isinstance(task, OverlappingMasks) else len(task.classes)
    least, other = 0, ""
    if isinstance(task, Classification) and task.unknown is not None:
        least, other = UNKNOWN, f", or {UNKNOWN} for {task.unknown!r}"
    if task.masks:
        other = f", or {IGNORED} where there is none"
    for at in chunks(len(targets), targets.shape[1:] if task.masks else ()):
        part = targets[at]
        bad = (part < least) | (part >= most)
        if task.masks:
            bad &= part != IGNORED
        if bad.any():
            place = np.argwhere(bad)[0].tolist()
            column = f"pixel {place[1]}, {place[2]}, " if task.masks else ""
            return [(at.start + place[0], column, str(part[tuple(place)]), f"{0} to {most - 1}{other}")]
    return []


def _first(bad: np.ndarray, targets: np.ndarray, names: tuple[str, ...], expected: str) -> list[Wrong]:
    if not bad.any():
        return []
    row, column = np.argwhere(bad)[0].tolist()
    return [(row, f"{names[column]!r}, ", f"{targets[row, column]:g}", expected)]


def class_counts(targets: np.ndarray, task: Task) -> np.ndarray:
    """Images (or pixels, for masks) of each of the task's classes, int64 (C,); of numbers those that have a value."""
    if isinstance(task, Numbers):
        found: np.ndarray = (~np.isnan(targets)).sum(0)
        return found
    if isinstance(task, Labels | Heads):
        return holds(targets, task).sum(0)
    if not task.masks:
        return np.bincount(targets[targets >= 0], minlength=len(task.classes))
    counts = np.zeros(256, np.int64)
    for at in chunks(len(targets), targets.shape[1:]):
        counts += np.bincount(targets[at].ravel(), minlength=256)
    if isinstance(task, OverlappingMasks):
        bits = np.arange(IGNORED)[:, None] >> np.arange(len(task.labels)) & 1
        return counts[:IGNORED] @ bits
    return counts[: len(task.classes)]


def holds(targets: np.ndarray, task: Task) -> np.ndarray:
    """bool (N, C): which of the task's classes each sample holds; of numbers (N, targets * BINS): which bins."""
    classes = len(task.classes)
    if isinstance(task, Labels):
        return np.asarray(targets == 1)
    if isinstance(task, Heads):
        columns = zip(targets.T, task.heads, strict=True)
        return np.concatenate([column[:, None] == np.arange(len(names)) for column, (_, names) in columns], axis=1)
    if isinstance(task, Numbers):
        return np.concatenate([_in_bins(column) for column in targets.T], axis=1)
    if task.masks:
        found = np.zeros((len(targets), classes), bool)
        for row, mask in enumerate(targets):
            values = np.unique(mask)
            if isinstance(task, Segmentation):
                found[row, values[values < classes]] = True
            else:
                found[row] = (values[values != IGNORED][:, None] >> np.arange(classes) & 1).any(0)
        return found
    return np.asarray(targets[:, None] == np.arange(classes))


def _in_bins(column: np.ndarray) -> np.ndarray:
    """bool (N, BINS): numbers (N,) by their quantiles; NaN in none."""
    edges = np.nanquantile(column, np.arange(1, BINS) / BINS)
    place = np.where(np.isnan(column), -1, np.searchsorted(edges, column, side="right"))
    found: np.ndarray = place[:, None] == np.arange(BINS)
    return found


def names_of(task: Task) -> tuple[str, ...]:
    """What the columns of `holds` are called."""
    if isinstance(task, Numbers):
        return tuple(f"{name}, fifth {at + 1}" for name in task.targets for at in range(BINS))
    return task.classes


def describe(targets: np.ndarray, task: Task) -> Any:
    """What has to be even, int64 (N, K): the columns of `holds`, and what the task knows beside them.

    Masks: pixels of each class. Labels, heads and numbers: a column for each that some samples lack. Identities:
    which samples show none that is known. Of more than COLUMNS classes an image it is a csr_array.
    """
    if isinstance(task, Classification) and len(task.classes) > COLUMNS:
        from scipy.sparse import csr_array

        unknown = task.unknown is not None
        columns = np.where(targets == UNKNOWN, len(task.classes), targets)
        shape = len(targets), len(task.classes) + unknown
        return csr_array((np.ones(len(targets), np.int64), columns, np.arange(len(targets) + 1)), shape=shape)
    if task.masks:
        classes = len(task.classes)
        pixels = np.empty((len(targets), classes), np.int64)
        for at in chunks(len(targets), targets.shape[1:]):
            for label in range(classes):
                shown = targets[at] == label
                if isinstance(task, OverlappingMasks):
                    shown = (targets[at] >> label & 1 == 1) & (targets[at] != IGNORED)
                pixels[at, label] = np.count_nonzero(shown, axis=(1, 2))
        return np.concatenate([(pixels > 0).astype(np.int64), pixels], axis=1)
    found = holds(targets, task).astype(np.int64)
    if isinstance(task, Classification | Grades):
        unknown = isinstance(task, Classification) and task.unknown is not None
        return np.column_stack([found, targets == UNKNOWN]).astype(np.int64) if unknown else found
    lacking = np.isnan(targets) if isinstance(task, Numbers) else targets == MISSING
    return np.concatenate([found, lacking[:, lacking.any(0)]], axis=1).astype(np.int64)


def in_words(target: np.ndarray, task: Task) -> str:
    """What one sample's target (...) says, or what is predicted in its form; but for masks, which are shown."""
    if isinstance(task, Labels):
        given = [name for name, value in zip(task.labels, target, strict=True) if value == 1]
        unsure = [f"{name}?" for name, value in zip(task.labels, target, strict=True) if value == MISSING]
        return ", ".join([*given, *unsure]) or "none"
    if isinstance(task, Numbers):
        texts = ["?" if np.isnan(value) else f"{value:.6g}" for value in np.asarray(target, float)]
        return ", ".join(f"{name} {text}" for name, text in zip(task.targets, texts, strict=True))
    if isinstance(task, Heads):
        pairs = zip(task.heads, target.tolist(), strict=True)
        return ", ".join(f"{name} {'?' if at == MISSING else classes[at]}" for (name, classes), at in pairs)
    if isinstance(task, Classification) and task.unknown is not None and target == UNKNOWN:
        return task.unknown
    return "" if task.masks else task.classes[int(target)]


def contradict(targets: np.ndarray, task: Task) -> bool:
    """Do targets (n, ...) of one picture contradict each other? What is missing contradicts nothing."""
    if not isinstance(task, Labels | Heads | Numbers):
        return bool((targets != targets[:1]).any())
    known = ~np.isnan(targets) if isinstance(task, Numbers) else targets != MISSING
    return any(len(np.unique(column[here])) > 1 for column, here in zip(targets.T, known.T, strict=True))
