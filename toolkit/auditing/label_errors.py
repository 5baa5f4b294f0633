"""Labels and masks that contradict what was learnt from the others, as cleanlab finds them."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from toolkit.competition import Competition
from toolkit.data.dataset import Dataset
from toolkit.data.groups import connect
from toolkit.outcome import counted
from toolkit.probabilities import chunks, probabilities
from toolkit.runs import Run
from toolkit.task import MISSING, UNKNOWN, Grades, Heads, Labels, Numbers, OverlappingMasks, Segmentation, Task
from toolkit.top_k import ALL

PARTS = 3  # in which labels are guessed, each from the others
# Of the labels that a first guess must have right for its doubts to be worth a look. Of 1,797 digits under more and
# more noise, 1 % of them labelled wrongly, .71 of the doubts were right where it had .89 of the labels right, .56 of
# them at .82, .27 at .71, .17 at .56
WORTH = 0.8
GUESSED = 1_000  # classes, more of which aren't guessed: what a logistic regression takes grows with them
CERTAINTY = 0.98  # less sure label issues are not worth a look
FAR = 8.0  # robust standard deviations from which a number is doubtful
MASK_SHARE = 0.5  # of a mask's pixels that contradict the predictions: then the mask does


@dataclass(frozen=True)
class LabelErrors:
    """quality: cleanlab's score of each label, float (N,) from 0 to 1, NaN where unknown. issue: bool (N,), labels
    that are probably wrong. predicted: int64 (N,), the label to have instead (classes only). judge: what the labels
    were held against. doubts: in words, of rows where more than one class is asked. unshown: a sentence about doubts
    that are not among the issues, as the judge is wrong too often itself.
    """

    quality: np.ndarray
    issue: np.ndarray
    predicted: np.ndarray
    judge: str = "nothing yet"
    doubts: Mapping[int, str] = field(default_factory=dict)
    unshown: str = ""


def nothing_said(samples: int, judge: str = "nothing yet") -> LabelErrors:
    """Of so many samples."""
    return LabelErrors(np.full(samples, np.nan), np.zeros(samples, bool), np.zeros(samples, np.int64), judge)


def find_label_errors(
    competition: Competition,
    dataset: Dataset,
    distinct: np.ndarray,
    features: Callable[[], np.ndarray],
    links: pd.DataFrame,
    run: Run | None,
) -> LabelErrors:
    """Labels held against a run's out-of-fold probabilities; without one, classes and grades against a first guess.

    Overlapping masks are not judged.

    features: makes those (n, d) of the distinct rows, where they are needed.
    """
    number, targets = len(dataset.images), dataset.targets
    errors = nothing_said(number)
    if run is not None:
        rows, judge = np.flatnonzero(run.labelled.inside), f"out-of-fold predictions of {run.name}"
    else:
        rows, judge = distinct, "a quick first model"
    task = competition.task
    if isinstance(task, OverlappingMasks):
        return replace(errors, judge="nothing: overlapping masks are not compared with predictions")
    if isinstance(task, Labels | Heads | Numbers):
        if run is None:
            return replace(errors, judge="nothing yet; run the audit again after a training")
        doubts = find_doubts(np.asarray(targets[rows]), probabilities(run.oof[rows]), task)
        for at, (_, quality) in doubts.items():
            errors.quality[rows[at]], errors.issue[rows[at]] = quality, True
        return replace(errors, judge=judge, doubts={int(rows[at]): text for at, (text, _) in doubts.items()})
    if isinstance(task, Segmentation):
        if run is None:
            return errors
        for part in (rows[at] for at in chunks(len(rows), targets.shape[1:])):
            found = mask_quality(targets[part], probabilities(run.oof[part]), competition.scored)
            errors.quality[part], errors.issue[part] = found
        return replace(errors, judge=judge)
    if len(task.classes) > ALL:
        return replace(errors, judge=f"nothing: labels of more than {ALL:,} classes are not compared with predictions")
    rows = rows[np.asarray(targets[rows]) != UNKNOWN]
    if run is not None:
        predicted = probabilities(run.oof[rows])
        if isinstance(task, Grades):
            predicted = of_grades(predicted)
    else:
        groups = connect(number, links[["left", "right"]].to_numpy())[rows]
        if not enough(targets[rows], groups) or len(task.classes) > GUESSED:
            return errors
        made = features()
        predicted = guessed_probabilities(made[np.isin(distinct, rows)], targets[rows], groups, len(task.classes))
    errors.quality[rows], errors.issue[rows] = label_quality(np.asarray(targets[rows]), predicted)
    errors.predicted[rows] = predicted.argmax(1)
    right = float((errors.predicted[rows] == targets[rows]).mean())
    judge += f", which has {right:.0%} of the labels right"
    if run is not None:
        return replace(errors, judge=judge)
    later = "run the audit again after a training for a better check"
    if right >= WORTH:
        return replace(errors, judge=f"{judge}; {later}")
    doubted = int((errors.issue & (1 - errors.quality >= CERTAINTY)).sum())
    unshown = f"{counted(doubted, 'label')} doubted by {judge}: too few for its doubts to be shown; {later}"
    return replace(errors, judge=judge, issue=np.zeros(number, bool), unshown=unshown)


def enough(labels: np.ndarray, groups: np.ndarray) -> bool:
    """Are labels (n,) of so many groups (n,) that each can be guessed from others?"""
    return len(np.unique(groups)) >= PARTS and bool(np.bincount(labels).max() >= PARTS)


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
            if (labels[train] == labels[train[0]]).all():  # the other class is of one group, and nothing else is known
                result[valid, labels[train[0]]] = 1
                continue
            parts = min(64, len(train) - 1, features.shape[1])
            steps = StandardScaler(), PCA(parts, random_state=0), LogisticRegression(C=0.1, max_iter=300)
            model = make_pipeline(*steps)
            model.fit(features[train], labels[train])
            result[np.ix_(valid, model.classes_)] = model.predict_proba(features[valid])
    return result


def label_quality(labels: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quality float (N,), and which labels (N,) cleanlab (Northcutt et al. 2021) holds for wrong, bool (N,).

    predicted: out-of-fold probabilities (N, C).
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    predicted = predicted.astype(np.float64)
    predicted /= predicted.sum(1, keepdims=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few of a class: then none of it is suggested
        issue = np.asarray(find_label_issues(labels, predicted, filter_by="both", n_jobs=1))
    return get_label_quality_scores(labels, predicted), issue


def suggested_labels(labels: np.ndarray, predicted: np.ndarray, certainty: float) -> np.ndarray:
    """The label to have instead, int64 (N,), where a label's quality leaves at least this certainty; else -1."""
    quality, issue = label_quality(labels, predicted)
    other = predicted.argmax(1)
    return np.where(issue & (1 - quality >= certainty) & (other != labels), other, -1)


def of_grades(above: np.ndarray) -> np.ndarray:
    """Probabilities (N, K) of each grade, of those to be above each but the last (N, K - 1)."""
    falling = np.minimum.accumulate(above.astype(np.float64), axis=1)
    edges = np.column_stack([np.ones(len(above)), falling, np.zeros(len(above))])
    found: np.ndarray = np.maximum(-np.diff(edges, axis=1), 1e-6)
    return found


def find_doubts(targets: np.ndarray, values: np.ndarray, task: Task) -> dict[int, tuple[str, float]]:
    """Of each row with a doubtful target: what is doubtful in words, and its quality from 0 to 1.

    targets (n, ...) and out-of-fold values (n, channels) of labels, heads or numbers. Each label and head is judged
    alone, as `label_quality` does; a number by how many robust standard deviations it is off.
    """
    found: dict[int, tuple[str, float]] = {}

    def add(rows: np.ndarray, texts: Sequence[str], qualities: np.ndarray) -> None:
        for row, text, quality in zip(rows.tolist(), texts, qualities.tolist(), strict=True):
            before, least = found.get(row, ("", 1.0))
            found[row] = (f"{before}; {text}" if before else text, min(least, quality))

    for number, column in enumerate(targets.T):
        known = np.flatnonzero(~np.isnan(column) if isinstance(task, Numbers) else column != MISSING)
        name, given = task.classes[number], column[known]
        if isinstance(task, Numbers):
            off = np.abs(values[known, number] - given)
            spread = max(1.4826 * float(np.median(off)), 1e-12) if len(off) else 1.0
            far = np.flatnonzero(off > FAR * spread)
            texts = [f"{name} is {given[at]:.4g}, looks like {values[known[at], number]:.4g}" for at in far]
            add(known[far], texts, spread / off[far])
            continue
        if isinstance(task, Heads):
            (name, words), predicted = task.heads[number], values[known][:, task.spans[number]]
        else:
            words, yes = ("no", "yes"), values[known, number]
            predicted = np.stack([1 - yes, yes], axis=1)
        if len(np.unique(given)) < 2:
            continue
        quality, issue = label_quality(given.astype(np.int64), np.maximum(predicted, 1e-6))
        wrong = np.flatnonzero(issue & (quality <= 1 - CERTAINTY) & (predicted.argmax(1) != given))
        texts = [f"{name} is {words[given[at]]}, looks like {words[predicted[at].argmax()]}" for at in wrong]
        add(known[wrong], texts, quality[wrong])
    return found


def mask_quality(masks: np.ndarray, predicted: np.ndarray, scored: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The same for masks (N, H, W) and probabilities (N, C, H, W): the pixels with a scored label count."""
    from cleanlab.segmentation.rank import get_label_quality_scores

    predicted = predicted[:, list(scored)].astype(np.float64)
    predicted /= np.maximum(predicted.sum(1, keepdims=True), 1e-6)
    place = np.full(256, -1)
    place[list(scored)] = range(len(scored))
    labels = place[masks]
    counted = labels >= 0
    labels = np.where(counted, labels, predicted.argmax(1))
    quality, by_pixel = get_label_quality_scores(labels, predicted, verbose=False)
    against = (by_pixel < 1 / len(scored)) & counted
    return quality, against.sum((1, 2)) > MASK_SHARE * np.maximum(counted.sum((1, 2)), 1)
