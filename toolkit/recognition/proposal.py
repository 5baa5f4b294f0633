"""What a competition would be of what was recognised: task, metric, image size, groups."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from shutil import which

from toolkit.errors import UserError
from toolkit.outcome import counted
from toolkit.recognition.found import Fact, Found, Pictures, Sure, Targets
from toolkit.recognition.metric_names import Named, likely_metric, metric_named

STEP = 32  # sides of images are multiples of it, as networks halve them five times
LONG = 60  # characters of class names that stand in the file; more lie in `classes.txt`
DIGITS = "0123456789"
BY_HAND = "(docs/competition.md has a competition by hand)"


@dataclass(frozen=True)
class Proposal:
    """found: with what was chosen among its facts. task: its name among the toolkit's; names: of classes, labels or
    numbers. why, sure: of the metric. flips: may an image be mirrored?
    """

    name: str
    found: Found
    targets: Targets
    task: str
    names: tuple[str, ...]
    shape: tuple[int, int, int]
    metric: Named
    word: str
    why: str
    sure: Sure
    flips: bool

    @property
    def long(self) -> bool:
        """Are there too many names for a line?"""
        return len(", ".join(self.names)) > LONG and not self.counted

    @property
    def counted(self) -> bool:
        """Are they 0, 1, 2, …?"""
        return len(self.names) > 3 and self.names == tuple(map(str, range(len(self.names))))


def propose(found: Found, name: str, metric: str = "") -> Proposal:
    """The likeliest competition. metric: by its word, where it is known.

    UserError where no images or targets were recognised, or the metric can't score these.
    """
    targets, pictures = found.targets, found.pictures
    if found.images is None or pictures is None:
        packed = (
            f"; {found.packed[0]} is packed: unpack it there, or let `new` do it by --unpack" if found.packed else ""
        )
        arrays = next((f" in {fact.found}: {fact.why}" for fact in found.facts if fact.what == "arrays"), "")
        what = "no training images were" if found.images is None else "images were found, but none could be"
        raise UserError(
            f"{found.folder}: {what} recognised{arrays}{packed} (docs/competition.md has a competition by hand)"
        )
    if targets is None:
        why = next((fact.why for fact in found.facts if fact.what == "targets"), "no table says anything of them")
        raise UserError(
            f"{found.folder}: what is to be predicted of {found.images.path or 'the images'} wasn't recognised: {why} "
            f"{BY_HAND}"
        )
    given = metric_named(metric) if metric else None
    task = _task(targets)
    word, why, sure = likely_metric(task, found.sample, len(targets.names))
    if found.metric and task in metric_named(found.metric)[1].tasks:
        word, why, sure = found.metric, "a text beside the data names it", "likely"
    if given:
        word, why, sure = given[0], "as you say", "sure"
    named = metric_named(word)[1]
    task, names = _fitting(task, targets, named, word)
    shape = _shape(pictures, found.images.number, task)
    if found.images.kind == "pairs":
        shape = pictures.height, pictures.width, pictures.channels
    flips = not all(len(one) == 1 and (one in DIGITS or one.isalpha()) for one in names) or task not in (
        "Classification",
    )
    kind = Fact("task", task, counted(len(names), "number" if task == "Numbers" else "name"), _surest(found))
    size = Fact("image size", f"{shape[0]} x {shape[1]}", f"for this machine: {_machine()}", "likely")
    chosen = (kind, Fact("metric", word, why, sure), size)
    facts = tuple(fact for fact in found.facts if fact.what != "metric")
    return Proposal(
        name, replace(found, facts=(*facts, *chosen)), targets, task, names, shape, named, word, why, sure, flips
    )


def _task(targets: Targets) -> str:
    if targets.form == "masks":
        return "OverlappingMasks" if targets.names == ("object",) else "Segmentation"
    return {
        "classes": "Classification",
        "one_hot": "Classification",
        "labels": "Labels",
        "list": "Labels",
        "grades": "Grades",
        "numbers": "Numbers",
        "heads": "Heads",
        "runs": "OverlappingMasks",
    }[targets.form]


def _fitting(task: str, targets: Targets, metric: Named, word: str) -> tuple[str, tuple[str, ...]]:
    """The task that the metric scores, where targets may be read as several; UserError where none is."""
    names = targets.names
    if task in metric.tasks:
        return task, names
    if task == "Labels" and len(names) == 1 and "Classification" in metric.tasks:
        return "Classification", ("0", "1")
    swaps = {
        "Classification": ("Grades",) if names == tuple(map(str, range(len(names)))) else (),
        "Grades": ("Classification",),
        "OverlappingMasks": ("Segmentation",) if names == ("object",) else (),
        "Numbers": (),
    }
    for other in swaps.get(task, ()):
        if other in metric.tasks:
            return other, ("background", "object") if other == "Segmentation" else names
    from toolkit.recognition.metric_names import METRICS

    fitting = [one for one, each in METRICS.items() if task in each.tasks]
    raise UserError(
        f"the metric {word} is not for {task}, as which the targets were recognised; there are {', '.join(fitting)}"
    )


def _shape(pictures: Pictures, number: int, task: str) -> tuple[int, int, int]:
    """Sides of about the median's, at most what this machine is quick with; square where pictures lie and stand."""
    masks = task in ("Segmentation", "OverlappingMasks")
    most = 384 if which("nvidia-smi") else 224 if (os.cpu_count() or 1) >= 8 else 128
    if number > 50_000 and most < 384:
        most = most * 3 // 4
    most = most + 64 if masks and most > 128 else most
    height, width = pictures.height, pictures.width
    if pictures.huge:
        return most // 64 * 64, most // 64 * 64, pictures.channels
    longer = max(height, width)
    if longer <= most and not pictures.differ:
        return height, width, pictures.channels
    side = min(most, longer)
    if longer > STEP or masks:
        side = max(STEP, round(side / STEP) * STEP)
    if longer < 1.15 * min(height, width):
        return side, side, pictures.channels
    step = STEP if masks else STEP // 2
    shorter = max(step, round(side * min(height, width) / longer / step) * step)
    if side * min(height, width) < 0.75 * shorter * longer:  # narrower than a step: rather longer than filled up
        side = round(shorter * longer / min(height, width) / step) * step
    return (side, shorter, pictures.channels) if height > width else (shorter, side, pictures.channels)


def _machine() -> str:
    return "a GPU" if which("nvidia-smi") else f"{os.cpu_count()} cores"


def _surest(found: Found) -> Sure:
    return next((fact.sure for fact in found.facts if fact.what == "targets"), "guess")


def facts_of(found: Found) -> Sequence[Fact]:
    """In the order of a table: images first."""
    order = ("training images", "images", "table", "masks", "targets", "groups", "test images", "sample submission")
    place = {what: at for at, what in enumerate(order)}
    return sorted(found.facts, key=lambda fact: place.get(fact.what, len(order)))
