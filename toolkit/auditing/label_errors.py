"""Samples that may be wrong: pictures unlike the rest, labels that contradict what was learnt from the others."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from toolkit.auditing.neighbours import nearest
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset
from toolkit.data.groups import connect
from toolkit.probabilities import chunks, open_probabilities, probabilities
from toolkit.task import Segmentation

NEAREST = 5
PARTS = 3  # in which labels are guessed, each from the others
MASK_SHARE = 0.5  # of a mask's pixels doubted by cleanlab


@dataclass(frozen=True)
class Doubts:
    """suspicion: float (N,) from 0 to 1, NaN where unknown. wrong: bool (N,), labels that are probably wrong.
    likelier: int64 (N,), the label to have instead (classes only). judge: what the labels were held against.
    """

    suspicion: np.ndarray
    wrong: np.ndarray
    likelier: np.ndarray
    judge: str


def peculiarity(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each picture is from its nearest others: float (N,) in robust standard deviations above the median,
    and rows (N, k) of those others, nearest first.

    vectors: float32 (N, d) of unit length.
    """
    products, near = nearest(vectors, vectors, min(NEAREST, len(vectors) - 1))
    distance = 1 - products.mean(1)
    middle = float(np.median(distance))
    spread = 1.4826 * float(np.median(np.abs(distance - middle)))
    return (distance - middle) / max(spread, 1e-9), near


def doubts(
    competition: Competition,
    dataset: Dataset,
    distinct: np.ndarray,
    features: Callable[[], np.ndarray],
    links: pd.DataFrame,
    run: Path | None,
) -> Doubts:
    """Labels held against a run's out-of-fold probabilities; without one, class labels against a first guess.

    features: makes those (n, d) of the distinct rows, where they are needed.
    """
    number, classes = len(dataset.images), len(competition.task.classes)
    result = Doubts(np.full(number, np.nan), np.zeros(number, bool), np.zeros(number, np.int64), "nothing yet")
    if run is not None and isinstance(competition.task, Segmentation):
        stored = open_probabilities(run / "oof.npy")
        for at in chunks(number):
            part = probabilities(stored[at])
            rows = at.start + np.flatnonzero(part.any((1, 2, 3)))
            if len(rows):
                found = suspicious_masks(dataset.targets[rows], part[rows - at.start], competition.scored)
                result.suspicion[rows], result.wrong[rows] = found
        return Doubts(result.suspicion, result.wrong, result.likelier, f"out-of-fold predictions of {run.name}")
    if isinstance(competition.task, Segmentation):
        return result
    if run is not None:
        guess = probabilities(open_probabilities(run / "oof.npy"))
        rows, judge = np.flatnonzero(guess.any(1)), f"out-of-fold predictions of {run.name}"
        guess = guess[rows]
    else:
        groups = connect(number, links[["left", "right"]].to_numpy())[distinct]
        rows, judge = distinct, "a first guess; run the audit again after a training, it is sharper then"
        if len(np.unique(groups)) < PARTS or np.bincount(dataset.targets[rows]).max() < PARTS:
            return result
        guess = guessed_probabilities(features(), dataset.targets[rows], groups, classes)
    result.suspicion[rows], result.wrong[rows] = suspicious_labels(np.asarray(dataset.targets[rows]), guess)
    result.likelier[rows] = guess.argmax(1)
    return Doubts(result.suspicion, result.wrong, result.likelier, judge)


def guessed_probabilities(features: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: int) -> np.ndarray:
    """Out-of-fold probabilities (N, C) of a logistic regression on features (N, d), groups whole: a first guess at
    what a trained network would say.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    result = np.zeros((len(labels), classes), np.float32)
    folds = StratifiedGroupKFold(PARTS, shuffle=True, random_state=0)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # few of a class, no convergence: a guess is all that is wanted
        for train, valid in folds.split(features, labels, groups):
            parts = min(64, len(train) - 1, features.shape[1])
            steps = StandardScaler(), PCA(parts, random_state=0), LogisticRegression(C=0.1, max_iter=300)
            model = make_pipeline(*steps)
            model.fit(features[train], labels[train])
            result[np.ix_(valid, model.classes_)] = model.predict_proba(features[valid])
    return result


def suspicious_labels(labels: np.ndarray, guess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Suspicion float (N,), and which labels (N,) cleanlab (Northcutt et al. 2021) holds for wrong, bool (N,).

    guess: out-of-fold probabilities (N, C).
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    guess = guess.astype(np.float64)
    guess = guess / guess.sum(1, keepdims=True)
    wrong = np.asarray(find_label_issues(labels, guess, filter_by="both", n_jobs=1))
    return 1 - get_label_quality_scores(labels, guess), wrong


def suspicious_masks(masks: np.ndarray, guess: np.ndarray, scored: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The same for masks (N, H, W) and probabilities (N, C, H, W): the pixels with a scored label count."""
    from cleanlab.segmentation.rank import get_label_quality_scores

    guess = guess[:, list(scored)].astype(np.float64)
    guess /= np.maximum(guess.sum(1, keepdims=True), 1e-6)
    place = np.full(256, -1)
    place[list(scored)] = range(len(scored))
    labels = place[masks]
    counted = labels >= 0
    labels = np.where(counted, labels, guess.argmax(1))
    quality, by_pixel = get_label_quality_scores(labels, guess, verbose=False)
    against = (by_pixel < 1 / len(scored)) & counted
    return 1 - quality, against.sum((1, 2)) > MASK_SHARE * np.maximum(counted.sum((1, 2)), 1)
