"""How runs were trained: their curves over each other, the best one's by fold, folds, and augmented images."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

import cv2
import numpy as np

from toolkit.data.image_sets import ImageSets, shown
from toolkit.data.preview import find_preview
from toolkit.errors import UserError
from toolkit.pages.html import Block, Figure, Folded, Gallery, Lines, Row, Section, Series, Table
from toolkit.pages.pictures import with_mask
from toolkit.reporting.mask_pictures import legend
from toolkit.runs import Run
from toolkit.task import IGNORED, OverlappingMasks

RUNS = 6  # laid over each other
EPOCHS = 2  # of fewer there is no curve
PICTURES, DRAWS = 8, 3  # images, and how often each is augmented
GAP, TALL = 4, 96  # pixels between them, and the height that they are enlarged to
Epoch = Mapping[str, Any]


def training_section(runs: Sequence[Run]) -> Section:
    """Of the best runs, the first one first: learning curves, and what augmentation makes of images."""
    best, shown_runs = runs[0], [run for run in runs if run.history and any(run.history)][:RUNS]
    curves = _curves(shown_runs, best)
    blocks: list[Block] = [Row(curves)] if curves else []
    blocks += _augmented(best)
    if best.picture.exists():
        blocks.append(Folded("The first batch", [_first_batch(best)]))
    return Section("Training", blocks, _note(best, bool(curves)))


def _note(run: Run, curves: bool) -> str:
    if not curves:
        return f"{run.name} was trained for less than {EPOCHS} epochs: there are no curves."
    watched, decides = "a part of the training folds, which decides when to stop", ""
    if not run.recipe.schedule.patience:
        watched, decides = "a part of the validation images, sampled at random", "; nothing else is chosen by it"
    return (
        f"The validation score during training is that on {watched}. A search may prune a trial by it{decides}. Lines "
        "of several runs are means over folds; press a name to hide a run."
    )


def _curves(runs: Sequence[Run], best: Run) -> list[Block]:
    """The best run by fold, where it has several; then all runs over each other."""
    metric = best.labelled.competition.metric.name
    found = [_by_fold(best, metric)] if len(best.history) > 1 else []
    found.append(_of_runs(f"Validation {metric}", metric, {"score": False}, runs))
    measured = any(epoch.get("validation_loss") is not None for run in runs for fold in run.history for epoch in fold)
    keys = {"loss": False} | ({"validation_loss": True} if measured else {})
    found.append(_of_runs("Loss, dashed: validation" if measured else "Training loss", "loss", keys, runs))
    found.append(_of_runs("Learning rate", "learning rate", {"lr": False}, runs))
    return [one for one in found if one.series]


def _by_fold(run: Run, metric: str) -> Lines:
    series = [
        _series(f"fold {fold}", points)
        for fold, epochs in enumerate(run.history)
        if len(points := _points(epochs, "score")) >= EPOCHS
    ]
    return Lines(f"Validation {metric} by fold, {run.name}", "epoch", metric, series)


def _of_runs(title: str, y: str, keys: Mapping[str, bool], runs: Sequence[Run]) -> Lines:
    """keys: of an epoch, and whether that line is dashed."""
    series = []
    for run in runs:
        for key, dashed in keys.items():
            points = _mean([_points(epochs, key) for epochs in run.history])
            if len(points) >= EPOCHS:
                name = f"{run.name}, {key.replace('_', ' ')}" if len(keys) > 1 else run.name
                series.append(_series(name, points, run.name, dashed))
    return Lines(title, "epoch", y, series)


def _series(name: str, points: Sequence[tuple[float, float]], group: str = "", dashed: bool = False) -> Series:
    return Series(name, [x for x, _ in points], [y for _, y in points], group, dashed)


def _points(epochs: Sequence[Epoch], key: str) -> list[tuple[float, float]]:
    found = ((number, epoch.get(key)) for number, epoch in enumerate(epochs, 1))
    return [(float(number), float(value)) for number, value in found if value is not None and np.isfinite(value)]


def _mean(folds: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """Over the folds, in the epochs that all have that were trained."""
    trained = [dict(points) for points in folds if points]
    shared = sorted(set.intersection(*map(set, trained))) if trained else []
    return [(epoch, fmean(points[epoch] for points in trained)) for epoch in shared]


def folds_section(runs: Sequence[Run]) -> Section:
    """Whether folds are alike: the scores of runs in each, and each fold's share of the classes."""
    labelled = runs[0].labelled
    metric = labelled.competition.metric.name
    series = [
        _series(run.name, points)
        for run in runs[:RUNS]
        if len(points := [(k, v) for k, v in enumerate(run.metrics["clean"]["by_fold"]) if v is not None]) > 1
    ]
    blocks: list[Block] = [Lines(f"{metric} by fold", "fold", metric, series)] if series else []
    shares = _class_shares(runs[0])
    note = (
        "A fold in which all runs are low is a hard one; one in which runs change places says how far to trust them."
    )
    return Section("Folds", [Row([*blocks, *([shares] if shares else [])])], note)


def _class_shares(run: Run) -> Table | None:
    """Samples of each fold, and the share of each class in it; of masks of their pixels."""
    labelled, task = run.labelled, run.labelled.competition.task
    if not task.exclusive or len(task.classes) > RUNS * 2:
        return None
    columns = [[f"{len(labelled.rows(fold)):,}" for fold in range(labelled.folds)]]
    shares = []
    for fold in range(labelled.folds):
        truth = np.asarray(labelled.truth[labelled.rows(fold)]).reshape(-1)
        counts = np.bincount(truth[(truth >= 0) & (truth < len(task.classes))], minlength=len(task.classes))
        shares.append([f"{share:.1%}" for share in counts / max(counts.sum(), 1)])
    columns += [list(row) for row in zip(*shares, strict=True)]
    rows = [[name, *row] for name, row in zip(("samples", *task.classes), columns, strict=True)]
    unit = "pixels" if labelled.masks else "samples"
    heads = ("", *(f"fold {fold}" for fold in range(labelled.folds)))
    return Table(f"Classes by fold, share of its {unit}", heads, rows)


def _first_batch(run: Run) -> Gallery:
    """As it was left when the training began: a JPEG is a third of its size."""
    picture = cv2.imread(str(run.picture))
    advice = "As the network sees it, MixUp and CutMix included."
    return Gallery("", advice, [] if picture is None else [Figure("", picture[..., ::-1])])


def _augmented(run: Run) -> list[Block]:
    """Images beside what the recipe's augmentation makes of them; none where it can't be done."""
    from toolkit.augmentation.batch import augment_batch

    labelled, recipe = run.labelled, run.recipe
    if isinstance(labelled.images, ImageSets) or not run.recipe_fields.get("augment"):
        return []
    try:
        originals, draws = _drawn(run, augment_batch)
    except (UserError, OSError):  # images that are decoded at another size may be gone
        return []
    figures = [
        Figure("", np.concatenate(_apart([first, *(draw[at] for draw in draws)]), axis=1))
        for at, first in enumerate(originals)
    ]
    advice = (
        f"{len(figures)} training images, each first as it is, then {DRAWS} draws of the augmentation of "
        f"{recipe.name}, before MixUp and CutMix."
    )
    return [Gallery("Augmentation", advice, figures, legend=legend(labelled.competition, hatched=False))]


def _drawn(run: Run, augment_batch: Callable[..., Any]) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """Pictures of images, and of each as often as it is augmented."""
    import torch

    labelled = run.labelled
    rows = np.flatnonzero(labelled.inside)
    rows = rows[np.linspace(0, len(rows) - 1, min(PICTURES, len(rows))).astype(int)]
    preview = find_preview(shown(labelled.images), labelled.competition.rgb)
    images, masks = (
        np.asarray(run.images[rows]),
        labelled.masks and not isinstance(labelled.competition.task, OverlappingMasks),
    )
    targets = np.asarray(labelled.truth[rows]) if masks else np.zeros(len(rows), np.int64)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    masked = torch.from_numpy(targets)
    if masks and pixels.shape[2:] != masked.shape[1:]:
        masked = torch.zeros(len(rows), dtype=torch.int64)

    def pictures(some: np.ndarray, beside: np.ndarray) -> list[np.ndarray]:
        painted = [preview(image) for image in some]
        if beside.ndim > 2:
            painted = [with_mask(*pair) for pair in zip(painted, np.where(beside == IGNORED, 0, beside), strict=True)]
        return [_tile(picture) for picture in painted]

    draws = []
    for seed in range(DRAWS):
        changed, moved = augment_batch(
            run.recipe.augment, pixels.clone(), masked.clone(), seed, labelled.competition.rgb
        )
        as_images = changed.float().permute(0, 2, 3, 1).numpy()
        draws.append(pictures(as_images, moved.numpy()))
    return pictures(images, masked.numpy()), draws


def _tile(picture: np.ndarray) -> np.ndarray:
    """As colours, TALL or a little taller."""
    colour = np.repeat(picture, 3, 2) if picture.shape[2] == 1 else picture
    times = max(1, round(TALL / colour.shape[0]))
    return colour.repeat(times, 0).repeat(times, 1)


def _apart(pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    """With a grey gap between them."""
    gap = np.full((pictures[0].shape[0], GAP, 3), 128, np.uint8)
    return [part for at, picture in enumerate(pictures) for part in ([gap] if at else []) + [picture]]
