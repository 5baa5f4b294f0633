"""Drawn candidates and runs made by hand, from which blends are fitted at once."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from competitions.blood_cells import competition as cells
from competitions.mars import competition as mars
from tests import tiny
from toolkit.blending.candidates import NO_LIMITS, Candidate, Limits
from toolkit.blending.contested import Contested, gather
from toolkit.blending.pool import Pool, make_pool
from toolkit.blending.valued import Valued
from toolkit.competition import Competition
from toolkit.data.labelled import Labelled
from toolkit.decisions.decide import packed
from toolkit.metrics.confusion import ConfusionMetric, MacroF1
from toolkit.metrics.heads import WeightedMacroRecall
from toolkit.metrics.labels import LabelF1, SamplesF1
from toolkit.metrics.lists import MAP
from toolkit.metrics.masks import MeanDice
from toolkit.metrics.metric import Metric
from toolkit.metrics.numbers import R2, Mae, Pearson, Rmse
from toolkit.metrics.probabilistic import LogLoss
from toolkit.metrics.ranks import AveragePrecision, RocAuc
from toolkit.metrics.single_label import QuadraticKappa
from toolkit.probabilities import write_probabilities
from toolkit.project import Project
from toolkit.runs import Run, current_runs
from toolkit.scoring.matched_to_test import ARRAYS, CLEAN, Match, store_matched
from toolkit.store import write_json, write_manifest
from toolkit.task import (
    IGNORED,
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

SAMPLES, FOLDS = 240, 4
FOLD = np.arange(SAMPLES) % FOLDS
LABELS = replace(cells, task=Classification(("a", "b", "c"), (1, 1, 1)), metric=MacroF1())
LABELS_AND_MASKS = pytest.mark.parametrize("of", [LABELS, mars], ids=["labels", "masks"])
CLASSES = 4  # of whole-number probabilities


def drawn(of: Competition, models: int = 5) -> tuple[np.ndarray, list[Candidate]]:
    """Targets and candidates, of which the fourth and the fifth differ in seed alone."""
    rng = np.random.default_rng(0)
    classes, pixels = len(of.task.classes), (6, 8) if of is mars else ()
    targets = rng.integers(classes, size=(SAMPLES, *pixels))
    found = []
    for m in range(models):
        logits = rng.normal(size=(SAMPLES, classes, *pixels)) * (1 + m / 4)
        logits += 1.2 * (targets[:, None] == np.arange(classes).reshape(-1, *[1] * len(pixels)))
        logits[:, 0] += 0.5 if of is not mars else -np.inf
        values = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        stored = np.rint(values * 255).astype(np.uint8) if of is mars else values.astype(np.float16)
        found.append(Candidate(f"run{m}", f"recipe{min(m, 3)}", stored, stored[:7]))
    return targets, found


def pool_of(
    of: Competition,
    targets: np.ndarray,
    candidates: list[Candidate],
    fold: np.ndarray = FOLD,
    group: np.ndarray | None = None,
    limits: Limits = NO_LIMITS,
) -> Pool:
    labelled = tiny.labelled(targets, fold, of=of, group=group)
    return make_pool(labelled, candidates, limits)


@dataclass(frozen=True)
class Whole:
    """Whole-number probabilities (M, N, C, ...) and targets of samples in three folds."""

    values: np.ndarray
    targets: np.ndarray
    metric: ConfusionMetric

    @property
    def scored(self) -> list[int]:
        return [c for c in range(CLASSES) if c or not self.metric.ignore]

    def contested(self) -> Contested:
        fold, values = np.arange(len(self.targets)) % 3, self.values[:, :, self.scored]
        halves = [(k, at) for k in range(3) for at in np.array_split(np.flatnonzero(fold == k), 2)]
        parts = [(k, at, values[:, at], self.targets[at]) for k, at in halves]
        return gather(parts, fold, CLASSES, self.metric, self.scored)


def drawn_whole(
    seed: int, metric: ConfusionMetric, models: int = 4, pixels: tuple[int, ...] = (), levels: int = 255
) -> Whole:
    """24 samples; few levels make many ties."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(CLASSES, size=(24, *pixels))
    hint = (targets[:, None] == np.arange(CLASSES).reshape(-1, *[1] * len(pixels))) * levels // 6
    values = rng.integers(levels + 1, size=(models, 24, CLASSES, *pixels)) + hint
    targets[rng.random(targets.shape) < 0.1] = IGNORED if pixels else 1
    return Whole(values.astype(np.uint16), targets, metric)


def noisy(targets: np.ndarray, classes: int, strength: float, seed: int) -> np.ndarray:
    """Probabilities (N, C, ...) that are right by `strength` and wrong by noise of their own."""
    rng = np.random.default_rng(seed)
    truth = np.moveaxis(np.eye(classes)[targets], -1, 1)
    powers = np.exp(strength * truth + rng.normal(size=truth.shape))
    return (powers / powers.sum(1, keepdims=True)).astype(np.float16)


def made_runs(root: Path, quality: dict[str, float], biased: bool = False) -> Project:
    """360 samples in 120 groups, and runs by name: the larger its quality, the more a run is right.

    Two each differ in seed alone; the first has a stress score; the weights of the nth take 3,000 n bytes.
    """
    project = tiny.prepare(root, practice_size=360)
    labelled = project.labelled()
    for seed, (name, strength) in enumerate(quality.items()):
        rng, run = np.random.default_rng(seed), Run(project.workspace.train / name, labelled)
        logits = rng.normal(size=(len(labelled.targets), 3)) + strength * np.eye(3)[labelled.targets]
        logits[:, 0] += 2 * biased
        values = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        recipe = replace(tiny.FIRST, seed=seed, batch_size=8 + 2 * (seed // 2))
        tiny.leave_run(run, recipe, values, stress=None if seed else {"score": 0.5})
        test = values[: len(labelled.test_images)]
        write_probabilities(run.test_path, [test], test.shape, np.float16)
        for fold in run.folds:
            fold.folder.mkdir()
            fold.weights.write_bytes(bytes(1000 * (seed + 1)))
    return project


def leave_match(labelled: Labelled, weights: np.ndarray) -> Match:
    """The first samples as they are, with these weights, stand for the test images; all runs kept what they say."""
    rows = np.arange(len(weights))
    match = Match(rows, np.full(len(rows), CLEAN), labelled.targets[rows], weights, 0.5, 0.5)
    folder = labelled.workspace.match
    folder.mkdir()
    for name in ARRAYS:
        np.save(folder / f"{name}.npy", getattr(match, name))
    write_json(folder / "match.json", {"auc_before": 0.5, "auc_after": 0.5})
    write_manifest(folder, {})
    for run in current_runs(labelled):
        store_matched(run, match, np.asarray(run.oof[rows]))
    return match


def of_kind(task: Task, metric: Metric) -> Competition:
    return replace(cells, task=task, metric=metric, try_submission=None)


# of each kind of output, with the metrics that greedy selection knows a quick way for, and one that it doesn't
KINDS: dict[str, Competition] = {
    "macro F1": of_kind(Labels(("a", "b", "c"), (1, 1, 1)), LabelF1()),
    "micro F1": of_kind(Labels(("a", "b", "c"), (1, 1, 1)), LabelF1("micro")),
    "samples F1": of_kind(Labels(("a", "b", "c"), (1, 1, 1)), SamplesF1()),
    "mean Dice": of_kind(OverlappingMasks(("a", "b"), (6, 5, 1)), MeanDice()),
    "AUC of labels": of_kind(Labels(("a", "b", "c"), (1, 1, 1)), RocAuc(weights=(1, 2, 1))),
    "AUC of two classes": of_kind(Classification(("a", "b"), (1, 1, 1)), RocAuc()),
    "AUC up to a rate": of_kind(Classification(("a", "b"), (1, 1, 1)), RocAuc(most_false=0.3)),
    "average precision": of_kind(Classification(("a", "b", "c"), (1, 1, 1)), AveragePrecision()),
    "log loss of labels": of_kind(Labels(("a", "b", "c"), (1, 1, 1)), LogLoss(weights=(1, 2, 1))),
    "log loss of classes": of_kind(Classification(("a", "b", "c"), (1, 1, 1)), LogLoss(balanced=True)),
    "RMSE": of_kind(Numbers(("a", "b"), (1, 1, 1)), Rmse()),
    "R2": of_kind(Numbers(("a", "b"), (1, 1, 1)), R2()),
    "MAE": of_kind(Numbers(("a", "b"), (1, 1, 1)), Mae(pooled=True)),
    "Pearson": of_kind(Numbers(("a", "b"), (1, 1, 1)), Pearson()),
    "kappa": of_kind(Grades(("a", "b", "c", "d"), (1, 1, 1)), QuadraticKappa()),
    "RMSE of grades": of_kind(Grades(("a", "b", "c", "d"), (1, 1, 1)), Rmse()),
    "heads": of_kind(Heads((("x", ("a", "b")), ("y", ("c", "d", "e"))), (1, 1, 1)), WeightedMacroRecall()),
    "Dice of classes": of_kind(Segmentation(("a", "b", "c"), (6, 5, 1)), MeanDice()),
    "Dice but of one class": of_kind(Segmentation(("a", "b", "c"), (6, 5, 1)), MeanDice(ignore=("a",))),
    "AUC but of one class": of_kind(Classification(("a", "b", "c"), (1, 1, 1)), RocAuc(ignore=("a",))),
    "log loss but of one class": of_kind(Classification(("a", "b", "c"), (1, 1, 1)), LogLoss(ignore=("b",))),
    "macro F1 of many classes": of_kind(Classification(tuple("abcdefghijklmnopqrstuvw"), (1, 1, 1)), MacroF1()),
    "log loss of many classes": of_kind(Classification(tuple("abcdefghijklmnopqrstuvw"), (1, 1, 1)), LogLoss()),
    "MAP": of_kind(Classification(tuple("abcdefgh"), (1, 1, 1)), MAP(3)),
    "MAP with unknowns": of_kind(Classification(tuple("abcdefgh"), (1, 1, 1), unknown="new"), MAP(3)),
}


def drawn_values(of: Competition, seed: int, models: int = 4, samples: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Targets (N, ...) and what models of unlike strength say of them, (models, N, channels, ...)."""
    rng, task = np.random.default_rng(seed), of.task
    noise = rng.uniform(0.5, 2, models).reshape(-1, *[1] * (4 if task.masks else 2))

    def about(hint: np.ndarray) -> np.ndarray:
        return hint + noise * rng.normal(size=(models, *hint.shape))

    if isinstance(task, Numbers):
        numbers = rng.normal(3, 2, size=(samples, task.channels))
        values = about(numbers).astype(np.float32)
        numbers[rng.random(numbers.shape) < 0.05] = np.nan
        return numbers.astype(np.float32), values
    if isinstance(task, Grades):
        targets = rng.integers(len(task.grades), size=samples)
        above = targets[:, None] - np.arange(task.channels) - 0.5
        return targets, _sigmoid(about(2 * above)).astype(np.float32)
    if isinstance(task, Labels):
        targets = (rng.random((samples, task.channels)) < 0.3).astype(np.int8)
        values = _sigmoid(about(2.0 * targets - 1.5)).astype(np.float32)
        targets[rng.random(targets.shape) < 0.05] = -1
        return targets, values
    if isinstance(task, OverlappingMasks):
        given = rng.random((samples, task.channels, *task.image_shape[:2])) < 0.3
        given &= rng.random((samples, task.channels, 1, 1)) < 0.7
        targets = packed(given)
        values = np.rint(255 * _sigmoid(about(2.0 * given - 1.0))).astype(np.uint8)
        targets[rng.random(targets.shape) < 0.02] = IGNORED
        return targets, values
    if isinstance(task, Heads):
        parts = [
            drawn_values(replace(of, task=Classification(names, (1, 1, 1)), metric=MacroF1()), seed, models, samples)
            for _, names in task.heads
        ]
        targets = np.stack([part for part, _ in parts], axis=1)
        targets[rng.random(targets.shape) < 0.05] = -1
        return targets, np.concatenate([part for _, part in parts], axis=2)
    if isinstance(task, Segmentation):
        targets = rng.integers(task.channels, size=(samples, *task.image_shape[:2])).astype(np.uint8)
        hint = 1.5 * (targets[:, None] == np.arange(task.channels).reshape(-1, 1, 1))
        powers = np.exp(about(hint))
        return targets, np.rint(255 * powers / powers.sum(2, keepdims=True)).astype(np.uint8)
    targets = rng.integers(task.channels, size=samples)
    powers = np.exp(about(2.0 * (targets[:, None] == np.arange(task.channels))))
    if isinstance(task, Classification) and task.unknown is not None:
        targets[rng.random(samples) < 0.2] = UNKNOWN
    return targets, (powers / powers.sum(2, keepdims=True)).astype(np.float32)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    result: np.ndarray = 1 / (1 + np.exp(-logits))
    return result


def valued(of: Competition, seed: int) -> Valued:
    """In three folds."""
    targets, values = drawn_values(of, seed)
    rows = np.arange(len(targets))
    return Valued(of, values, targets, rows % 3, rows)
