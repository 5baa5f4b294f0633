"""What obeying the audit's suggestions does to a printed score, where no label is wrong."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.honesty.measured import Measured
from competitions.blood_cells import competition as blood_cells
from toolkit.auditing.cleaning_proposal import CERTAINTY
from toolkit.auditing.label_errors import label_quality
from toolkit.data.dataset import relabel
from toolkit.data.labelled import Labelled
from toolkit.scoring.out_of_fold import score
from toolkit.store import Workspace
from toolkit.task import Classification

DIGITS = replace(blood_cells, task=Classification(tuple("0123456789"), (8, 8, 1)))
SAMPLES, FOLDS = 1200, 5
NOISE = 5.0  # standard deviation, on pictures from 0 to 16: four of five digits are still known


def measure(repeats: int | None = None) -> list[Measured]:
    """Handwritten digits (Alpaydin & Kaynak 1998) under noise, in points.

    A classifier is trained on folds, all `relabel?` lines that follow from its predictions are obeyed, and it is then
    trained anew. How much more the printed accuracy rises than that of the same classifiers on other digits: on the
    mended labels, as it was printed before, and on the file's. What is left is what the mended labels of the training
    folds know of the validated samples, on which their judge was trained.
    """
    made = np.array([_once(np.random.default_rng(seed)) for seed in range(repeats or 12)])
    (old, new), (old_error, new_error) = made.mean(0), made.std(0) / len(made) ** 0.5
    what = "rise of the accuracy by obeying suggestions, no label being wrong, less that on a hidden set"
    return [Measured("relabel", what, float(old), float(old_error), float(new), float(new_error), "near 0")]


def _once(rng: np.random.Generator) -> tuple[float, float]:
    from sklearn.datasets import load_digits

    pictures, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(labels))
    pictures, labels = pictures[order] + rng.normal(0, NOISE, pictures.shape), labels[order].astype(np.int64)
    known, truth, hidden, answers = pictures[:SAMPLES], labels[:SAMPLES], pictures[SAMPLES:], labels[SAMPLES:]
    fold = np.arange(SAMPLES) % FOLDS
    before, there_before = _trained(known, truth, fold, hidden, answers)
    quality, issue = label_quality(truth, before)
    rows = np.flatnonzero(issue & (1 - quality >= CERTAINTY) & (before.argmax(1) != truth))
    changed = np.stack([rows, before.argmax(1)[rows]], axis=1)
    mended = relabel(truth, changed)
    after, there = _trained(known, mended, fold, hidden, answers)
    printed = score(_labelled(truth, mended, fold, changed), after)
    old, new = printed.get("mended", printed)["score"], printed["score"]
    known_before = float((before.argmax(1) == truth).mean())
    rise = known_before + there - there_before
    return 100 * (old - rise), 100 * (new - rise)


def _trained(
    pictures: np.ndarray, labels: np.ndarray, fold: np.ndarray, hidden: np.ndarray, answers: np.ndarray
) -> tuple[np.ndarray, float]:
    """Probabilities float32 (N, 10) out of fold, and the mean accuracy of the folds' classifiers on hidden ones."""
    from sklearn.linear_model import LogisticRegression

    found, right = np.zeros((len(labels), 10), np.float32), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it isn't trained to the end
        for k in range(FOLDS):
            model = LogisticRegression(C=0.01, max_iter=60).fit(pictures[fold != k], labels[fold != k])
            found[fold == k] = model.predict_proba(pictures[fold == k])
            right.append(model.score(hidden, answers))
    return found, float(np.mean(right))


def _labelled(truth: np.ndarray, targets: np.ndarray, fold: np.ndarray, changed: np.ndarray) -> Labelled:
    rows = np.arange(len(truth))
    return Labelled(
        competition=DIGITS,
        workspace=Workspace(Path("nowhere"), "digits"),
        images=np.zeros((len(truth), 8, 8, 1), np.uint8),
        truth=truth,
        targets=targets,
        trained=np.ones(len(truth), bool),
        ids=rows,
        test_images=np.zeros((0, 8, 8, 1), np.uint8),
        test_ids=rows[:0],
        fold=fold,
        group=rows,
        relabels=changed,
        data_hash="",
        folds_hash="",
    )
