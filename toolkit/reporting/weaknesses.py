"""Where a run is surely weak, each with the fields of a recipe that may help: its classes, corruptions, its length."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np

from toolkit.competition import Competition
from toolkit.data.labelled import confusions
from toolkit.errors import UserError
from toolkit.outcome import number
from toolkit.recipe import Recipe, override
from toolkit.runs import Run
from toolkit.scoring.corruption_families import CorruptedScores, corrupted_scores

OF_CLASS = {"mean IoU": "IoU", "accuracy": "recall", "macro F1": "F1"}  # what a metric says of one class
TRAINED_BY = {  # fields that make training images like those of a family of corruptions, and a usual value
    "noise": ("augment.degrade", 0.5),
    "blur": ("augment.degrade", 0.5),
    "resolution": ("augment.degrade", 0.5),
    "light": ("augment.colour", 0.3),
    "colour": ("augment.colour", 0.3),
    "geometry": ("augment.rotate", 15),
    "occlusion": ("augment.erase", 0.3),
    "mixture": ("augment.augmix", 0.3),
}
OVERSAMPLED, PASTED = 0.5, 0.4  # usual values of `sampling` and `augment.copy_paste`
PIXELS = 40_000_000  # of masks that are looked at, to say which class is confused with which
EPOCHS, LAST = 4, 1 / 3  # of fewer a curve has no course; the part in which it may still rise
RISE = 0.005  # of the score, for less nobody trains longer


@dataclass(frozen=True)
class Weakness:
    """What is weak in numbers, and the fields `name=value` that may help."""

    text: str
    fields: tuple[str, ...]


def allowed(competition: Competition, recipe: Recipe) -> bool:
    """By the rules, and for its task."""
    try:
        competition.check(recipe)
    except UserError:
        return False
    return True


def legal(run: Run, fields: Sequence[str]) -> bool:
    """May the run's recipe have these fields?"""
    return allowed(run.labelled.competition, override(run.recipe, fields))


def weakest_class(run: Run) -> Weakness | None:
    """The class that is surely below the score of all; None where there is none, or all that helps is on already."""
    competition, clean = run.labelled.competition, run.metrics["clean"]
    label, ends = OF_CLASS.get(competition.metric.name), clean.get("by_class_interval") or {}
    known = {name: score for name, score in clean["by_class"].items() if score is not None and ends.get(name)}
    if label is None or not known or "classes" in clean or not competition.task.exclusive:
        return None
    name = min(known, key=lambda one: known[one])
    if ends[name][1] >= clean["score"]:
        return None
    total = confusion_of(run)
    at, scored = competition.task.classes.index(name), list(competition.scored)
    counts = total.sum(1)
    share = counts[at] / max(counts[scored].sum(), 1)
    fields = _for_class(run, rare=share < 1 / len(scored))
    if not fields:
        return None
    low, high = (number(end, digits=3) for end in ends[name])
    what = "is never found" if not total[at, at] else "is the weakest class"
    unit = "pixels" if run.labelled.masks else "images"
    text = f"{name} {what}: {label} {number(known[name], digits=3)} ({low} to {high})"
    others = np.where(np.arange(len(total)) == at, 0, total[at])
    if others.any():
        text += (
            f", {others.max() / counts[at]:.0%} of it predicted as {competition.task.classes[int(others.argmax())]}"
        )
    how = "draw it more often" if fields[0].startswith(("sampling", "augment.copy")) else "weigh what is hard"
    of_all = f"{share:.0%}" if share >= 0.01 else f"{share:.2%}"
    return Weakness(f"{text}, and it is {of_all} of the {unit}: {how}.", fields)


def confusion_of(run: Run) -> np.ndarray:
    """int64 (C, C) out of fold; of more than PIXELS pixels those of evenly chosen samples."""
    labelled = run.labelled
    rows = np.flatnonzero(labelled.inside)
    each = int(np.prod(labelled.truth.shape[1:], initial=1))
    if len(rows) * each <= PIXELS:
        return run.confusion()
    rows = rows[np.linspace(0, len(rows) - 1, max(1, PIXELS // each)).astype(int)]
    return np.asarray(confusions(labelled.competition, labelled.truth[rows], run.oof[rows]).sum(0))


def _for_class(run: Run, rare: bool) -> tuple[str, ...]:
    """Fields that aren't set yet, for a class that is rare, or hard although it isn't."""
    recipe, masks = run.recipe, run.labelled.masks
    found = []
    if rare and recipe.sampling < OVERSAMPLED:
        found.append(f"sampling={OVERSAMPLED}")
    if rare and masks and recipe.augment.copy_paste < PASTED:
        found.append(f"augment.copy_paste={PASTED}")
    names = recipe.loss.names
    if not found and masks and not {"dice", "lovasz"} & set(names):
        found.append(f"loss.names={','.join((*names, 'dice'))}")
    if not found and not masks and "focal" not in names:
        found.append("loss.names=focal")
    return tuple(found) if legal(run, found) else ()


def weakest_family(run: Run, scores: CorruptedScores | None = None) -> Weakness | None:
    """The families of corruptions that surely cost most, if the recipe doesn't train on the first of them."""
    scores = scores or corrupted_scores(run)
    weakest = scores.weakest if scores else ()
    clean = run.metrics["clean"].get("resized") or run.metrics["clean"]
    sign = run.labelled.competition.metric.sign
    weakest = tuple(one for one in weakest if (one.high < clean["low"] if sign > 0 else one.low > clean["high"]))
    for family in weakest:
        if family.name in run.recipe.augment.families(run.labelled.competition.rgb):
            continue
        name, value = TRAINED_BY[family.name]
        group, _, leaf = name.partition(".")
        if getattr(getattr(run.recipe, group), leaf) > 0 or not legal(run, fields := (f"{name}={value}",)):
            continue
        low, high = (number(end, digits=3) for end in (family.low, family.high))
        most = "costs most" if len(weakest) == 1 else "is among what costs most"
        return Weakness(
            f"{family.name.capitalize()} {most}: {number(family.score, digits=3)} ({low} to {high}) under it, "
            f"{number(clean['score'], digits=3)} without, and the recipe doesn't train on it; if the test images are "
            "degraded, train on it too.",
            fields,
        )
    return None


def still_rising(run: Run) -> Weakness | None:
    """Does the validation score, or where it isn't known the loss, still gain in the last part of the epochs?

    In all folds, and beyond their scatter.
    """
    epochs = max((len(fold) for fold in run.history), default=0)
    if not run.complete or run.recipe.schedule.patience or epochs < EPOCHS:
        return None
    for key, sign in (("score", run.labelled.competition.metric.sign), ("validation_loss", -1)):
        ends = [_ends(fold, key) for fold in run.history]
        known = [(first, last) for one in ends if one is not None for first, last in [one]]
        if len(known) < len(ends):
            continue
        gains = [sign * (last[1] - first[1]) for first, last in known]
        least = RISE * max(1.0, abs(fmean(last[1] for _, last in known)))
        noise = 2 * stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
        if min(gains) <= 0 or fmean(gains) < max(least, noise):
            return None
        (since, _), (until, _) = known[0]
        what = f"validation {'score' if key == 'score' else 'loss'} still {'rises' if sign > 0 else 'falls'}"
        return Weakness(
            f"The {what} at the end, by {number(fmean(gains), digits=3)} from epoch {since} to {until}, in all "
            f"{len(known)} folds: train longer.",
            (f"schedule.epochs={2 * run.recipe.schedule.epochs}",),
        )
    return None


def _ends(fold: Sequence[Mapping[str, Any]], key: str) -> tuple[tuple[int, float], tuple[int, float]] | None:
    """Epoch and value at the end, and before the last part; None where they aren't known (some epochs have none)."""
    known = [(at, float(epoch[key])) for at, epoch in enumerate(fold, 1) if epoch.get(key) is not None]
    before = [one for one in known if one[0] <= (1 - LAST) * len(fold)]
    return (before[-1], known[-1]) if before and known[-1][0] > before[-1][0] else None
