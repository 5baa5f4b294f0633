"""Every metric with what it is drawn from, and what a second implementation says."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn import metrics as theirs

from toolkit.metrics.confusion import Accuracy, MacroF1, MeanIoU
from toolkit.metrics.heads import HeadAccuracy, WeightedMacroRecall
from toolkit.metrics.labels import LabelAccuracy, LabelF1, SamplesF1
from toolkit.metrics.lists import MAP, PAD
from toolkit.metrics.masks import IOU_THRESHOLDS, MeanDice, MeanIoUPrecision
from toolkit.metrics.metric import Metric
from toolkit.metrics.numbers import R2, Mae, Pearson, Rmse, Rmsle
from toolkit.metrics.organisers import from_function, from_score
from toolkit.metrics.probabilistic import LogLoss, ProbabilisticF1
from toolkit.metrics.ranks import AveragePrecision, RocAuc
from toolkit.metrics.single_label import F1, BalancedAccuracy, QuadraticKappa
from toolkit.task import (
    IGNORED,
    MISSING,
    Classification,
    Grades,
    Heads,
    Labels,
    Numbers,
    OverlappingMasks,
    Segmentation,
    Task,
)

SHAPE = (4, 4, 3)
CLASSES = Classification(("a", "b", "c", "d"), SHAPE)
TWO = Classification(("no", "yes"), SHAPE)
PEOPLE = Classification(("a", "b", "c", "d", "e", "f"), SHAPE, unknown="new")
PIXELS = Segmentation(("a", "b", "c"), SHAPE)
LABELS = Labels(("x", "y", "z"), SHAPE)
MASKS = OverlappingMasks(("x", "y", "z"), SHAPE)
NUMBERS = Numbers(("width", "height", "weight"), SHAPE)
NUMBER = Numbers(("age",), SHAPE)
GRADES = Grades(("0", "1", "2", "3"), SHAPE)
HEADS = Heads((("root", ("a", "b", "c", "d")), ("vowel", ("e", "i"))), SHAPE)

Array = np.ndarray
Reference = Callable[[Array, Array, Array], float]
Draw = Callable[[np.random.Generator, int], tuple[Array, Array]]


@dataclass(frozen=True)
class Case:
    """reference(truth, predicted, weights (n,)): NaN where the score isn't defined."""

    metric: Metric
    task: Task
    draw: Draw
    reference: Reference

    def __repr__(self) -> str:
        """Its name as a test, the same in every process."""
        return re.sub(" at 0x[0-9a-f]+", "", f"{type(self.task).__name__}-{self.metric}")


def classes_of(number: int) -> Draw:
    def draw(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
        allowed = rng.choice(number, rng.integers(1, number + 1), replace=False)  # some classes may be missing
        return rng.choice(allowed, n), np.where(
            rng.random(n) < 0.5, rng.integers(0, number, n), rng.choice(allowed, n)
        )

    return draw


def probabilities_of(number: int) -> Draw:
    def draw(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
        truth, _ = classes_of(number)(rng, n)
        values = rng.integers(1, 5, (n, number)).astype(np.float32)  # ties
        return truth, values / values.sum(1, keepdims=True)

    return draw


def labels(missing: float, values: bool = False) -> Draw:
    def draw(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
        truth = (rng.random((n, 3)) < rng.choice([0, 0.2, 0.5, 1], 3)).astype(np.int8)
        truth[rng.random((n, 3)) < missing] = MISSING
        said = rng.integers(1, 10, (n, 3)).astype(np.float32) / 10
        return truth, said if values else (said > 0.5).astype(np.int8)

    return draw


def numbers(targets: int, missing: float = 0.0, low: float = -5.0) -> Draw:
    def draw(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
        n = max(n, 3)
        truth = (low + rng.integers(0, 20, (n, targets)) + rng.random((n, targets)) * 0.1).astype(np.float32)
        truth[rng.random((n, targets)) < missing] = np.nan
        truth[:3] = low + np.arange(3)[:, None]  # so that none is constant
        return truth, (np.nan_to_num(truth) + rng.normal(0, 3, (n, targets))).astype(np.float32)

    return draw


def grades(values: bool = False) -> Draw:
    def draw(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
        truth, said = classes_of(4)(rng, n)
        return truth, (said + rng.random(n)).astype(np.float32) if values else said

    return draw


def pixels(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    n = min(n, 6)
    truth, said = rng.integers(0, 3, (n, 4, 4)), rng.integers(0, 3, (n, 4, 4))
    truth[rng.random((n, 4, 4)) < 0.1] = IGNORED
    return truth.astype(np.uint8), said.astype(np.uint8)


def masks(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    n = min(n, 6)
    made = [rng.integers(0, 8, (n, 4, 4)) & rng.integers(0, 8, (n, 1, 1)) for _ in range(2)]  # some are empty
    same = rng.random((n, 1, 1)) < 0.3
    truth, said = made[0], np.where(same, made[0], made[1])
    truth[rng.random((n, 4, 4)) < 0.1] = IGNORED
    return truth.astype(np.uint8), (said & 7).astype(np.uint8)


def lists(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    said = np.stack([rng.permutation(np.arange(-1, 6))[:5] for _ in range(n)])
    said[rng.random(n) < 0.2, 3:] = PAD
    return rng.integers(-1, 6, n), said


def heads(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    made = [np.stack([rng.integers(0, 4, n), rng.integers(0, 2, n)], axis=1) for _ in range(2)]
    made[0][1:][rng.random((n - 1, 2)) < 0.2] = MISSING
    return made[0], made[1]


def occurring(truth: Array, said: Array) -> list[int]:
    return sorted({*truth.ravel().tolist(), *said.ravel().tolist()})


def f_score(average: str, beta: float = 1.0) -> Reference:
    def score(truth: Array, said: Array, weights: Array) -> float:
        among = occurring(truth, said)
        more = {"beta": beta, "average": average, "labels": among, "sample_weight": weights, "zero_division": 0}
        return theirs.fbeta_score(truth, said, **more)

    return score


def by_column(of_column: Reference, undefined: float = np.nan) -> Reference:
    """The mean over columns of what is known of them."""

    def score(truth: Array, said: Array, weights: Array) -> float:
        found = []
        for t, s in zip(truth.T, said.T, strict=True):
            known = ~np.isnan(t) if t.dtype.kind == "f" else t != MISSING
            if known.any():
                found.append(of_column(t[known], s[known], weights[known]))
        kept = [one for one in found if not np.isnan(one)]
        return float(np.mean(kept)) if kept else undefined

    return score


def mean(found: list[tuple[float, float]]) -> float:
    """Of scores with their weights."""
    return float(np.average([one for one, _ in found], weights=[w for _, w in found])) if found else 0.0


def f_of_label(beta: float) -> Reference:
    def score(truth: Array, said: Array, weights: Array) -> float:
        right, given, true = (truth * said * weights).sum(), (said * weights).sum(), (truth * weights).sum()
        return float((1 + beta**2) * right / (given + beta**2 * true)) if given + true else np.nan

    return score


def f_of_labels(truth: Array, said: Array, weights: Array) -> float:
    among = np.flatnonzero(truth.any(0) | said.any(0))
    if not len(among):
        return 0.0
    return theirs.fbeta_score(
        truth, said, beta=2, labels=among, average="macro", sample_weight=weights, zero_division=0
    )


def flat(of_all: Reference) -> Reference:
    """Of all known entries of labels together."""

    def score(truth: Array, said: Array, weights: Array) -> float:
        known = truth != MISSING
        if not known.any():
            return 0.0
        every = np.repeat(weights[:, None], truth.shape[1], 1)
        return float(np.nan_to_num(of_all(truth[known], said[known], every[known])))

    return score


def weighted_f(truth: Array, said: Array, weights: Array) -> float:
    return theirs.f1_score(truth, said, average="weighted", sample_weight=weights, zero_division=0)


def samples_f(beta: float, empty: float) -> Reference:
    def score(truth: Array, said: Array, weights: Array) -> float:
        found = []
        for t, s, w in zip(truth, said, weights, strict=True):
            known = t != MISSING
            if known.any():
                t, s = (one[known] for one in (t, s))
                right, given, true = (t * s).sum(), s.sum(), t.sum()
                of = (1 + beta**2) * right / (given + beta**2 * true) if given + true else empty
                found.append((of, w))
        return mean(found)

    return score


def kappa(truth: Array, said: Array, weights: Array) -> float:
    if len(occurring(truth, said)) == 1:
        return 0.0
    return theirs.cohen_kappa_score(truth, said, weights="quadratic", labels=range(4), sample_weight=weights)


def auc(truth: Array, said: Array, weights: Array) -> float:
    return theirs.roc_auc_score(truth, said, sample_weight=weights) if 0 < truth.sum() < len(truth) else np.nan


def precision(truth: Array, said: Array, weights: Array) -> float:
    return theirs.average_precision_score(truth, said, sample_weight=weights) if truth.any() else np.nan


def one_by_one(of_column: Reference) -> Reference:
    """Each class against the rest."""

    def score(truth: Array, said: Array, weights: Array) -> float:
        return by_column(of_column)((truth[:, None] == np.arange(said.shape[1])).astype(np.int8), said, weights)

    return score


def second(of_column: Reference) -> Reference:
    return lambda truth, said, weights: of_column(truth, said[:, 1], weights)


def partial_auc(truth: Array, said: Array, weights: Array) -> float:
    """scikit-learn's, McClish's correction undone."""
    if not 0 < truth.sum() < len(truth):
        return np.nan
    least, most = 0.5 * 0.3**2, 0.3
    corrected = theirs.roc_auc_score(truth, said, max_fpr=0.3, sample_weight=weights)
    return ((corrected * 2 - 1) * (most - least) + least) / most


def alaska_auc(truth: Array, said: Array, weights: Array) -> float:
    """As the organisers of ALASKA2 (2020) published it, with weights of samples added."""
    if not 0 < truth.sum() < len(truth):
        return np.nan
    thresholds, worth = [0.0, 0.4, 1.0], [2, 1]
    fpr, tpr, _ = theirs.roc_curve(truth, said, pos_label=1, sample_weight=weights, drop_intermediate=False)
    total = 0.0
    for low, high, weight in zip(thresholds[:-1], thresholds[1:], worth, strict=True):
        area = 0.0
        for x0, x1, y0, y1 in zip(fpr[:-1], fpr[1:], tpr[:-1], tpr[1:], strict=True):
            steps = np.linspace(x0, x1, 2 if y0 == y1 else 20001)
            if x1 > x0:
                area += np.trapezoid(np.clip(np.interp(steps, [x0, x1], [y0, y1]), low, high) - low, steps)
        total += area * weight
    return total / np.dot(np.diff(thresholds), worth)


def log_loss(truth: Array, said: Array, weights: Array) -> float:
    said = said.astype(float) / said.astype(float).sum(1, keepdims=True)
    return theirs.log_loss(truth, said, labels=range(said.shape[1]), sample_weight=weights)


def log_loss_by_class(of: tuple[float, ...]) -> Reference:
    """As PLAsTiCC's organisers: the mean of each class, then the classes' weighted mean."""

    def score(truth: Array, said: Array, weights: Array) -> float:
        said = said.astype(float) / said.astype(float).sum(1, keepdims=True)
        losses = -np.log(said[np.arange(len(truth)), truth])
        there = np.unique(truth)
        each = [np.average(losses[truth == one], weights=weights[truth == one]) for one in there]
        return float(np.average(each, weights=np.asarray(of)[there]))

    return score


def log_loss_of_labels(of: tuple[float, ...]) -> Reference:
    def score(truth: Array, said: Array, weights: Array) -> float:
        known, said = truth != MISSING, said.astype(float)
        losses = -np.log(np.where(truth == 1, said, 1 - said))
        shares = known * weights[:, None] * np.asarray(of)
        return float((losses * shares).sum() / shares.sum()) if shares.sum() else np.nan

    return score


def probabilistic_f1(truth: Array, said: Array, weights: Array) -> float:
    """As the organisers of RSNA's mammography competition (2023), with weights of samples added."""
    true = float((truth * weights).sum())
    right = wrong = 0.0
    for y, p, w in zip(truth, said.astype(float), weights, strict=True):
        if y:
            right += p * w
        else:
            wrong += p * w
    if true == 0 or right == 0:
        return 0.0
    c_precision, c_recall = right / (right + wrong), right / true
    return 2 * c_precision * c_recall / (c_precision + c_recall)


def together(of_all: Callable[..., float]) -> Reference:
    def score(truth: Array, said: Array, weights: Array) -> float:
        every = np.repeat(weights, truth.shape[1])
        return of_all(truth.ravel().astype(float), said.ravel().astype(float), sample_weight=every)

    return score


def column(of_column: Callable[..., float]) -> Reference:
    return by_column(
        lambda truth, said, weights: of_column(truth.astype(float), said.astype(float), sample_weight=weights)
    )


def not_below_zero(truth: Array, said: Array, weights: Array) -> float:
    return theirs.root_mean_squared_log_error(
        truth.astype(float), np.maximum(said.astype(float), 0), sample_weight=weights
    )


def pooled_r2(of: tuple[float, ...]) -> Reference:
    def score(truth: Array, said: Array, weights: Array) -> float:
        shares = weights[:, None] * np.asarray(of)
        truth, said = truth.astype(float), said.astype(float)
        mean = (shares * truth).sum() / shares.sum()
        return float(1 - (shares * (truth - said) ** 2).sum() / (shares * (truth - mean) ** 2).sum())

    return score


def pearson(truth: Array, said: Array, weights: Array) -> float:
    covariance = np.cov(truth.astype(float), said.astype(float), aweights=weights)
    return float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))


def per_mask(score_of: Callable[[Array, Array], float], both_empty: float, exclusive: bool = False) -> Reference:
    """Mean over images and labels, pixel for pixel; both_empty: NaN to leave such a mask out."""

    def score(truth: Array, said: Array, weights: Array) -> float:
        found = []
        for t, s, w in zip(truth, said, weights, strict=True):
            for label in range(3):
                known = t != IGNORED
                yes, given = (
                    (t[known] == label, s[known] == label)
                    if exclusive
                    else (t[known] >> label & 1 == 1, s[known] >> label & 1 == 1)
                )
                one = score_of(yes, given) if yes.any() or given.any() else both_empty
                if not np.isnan(one) and known.any():
                    found.append((one, w))
        return mean(found)

    return score


def dice(yes: Array, given: Array) -> float:
    return float(2 * (yes & given).sum() / (yes.sum() + given.sum()))


def above_thresholds(yes: Array, given: Array) -> float:
    found = (yes & given).sum() / (yes | given).sum()
    return float(np.mean([found > one for one in IOU_THRESHOLDS]))


def masks_flat(average: str) -> Reference:
    def score(truth: Array, said: Array, weights: Array) -> float:
        known = truth.ravel() != IGNORED
        every = np.repeat(weights, truth[0].size)[known]
        yes = np.stack([truth.ravel()[known] >> one & 1 for one in range(3)], axis=1)
        given = np.stack([said.ravel()[known] >> one & 1 for one in range(3)], axis=1)
        if average == "micro":
            return theirs.f1_score(yes, given, average="micro", sample_weight=every, zero_division=0)
        return by_column(f_of_label(1), 0.0)(yes.astype(np.int8), given.astype(np.int8), every)

    return score


def mapk(truth: Array, said: Array, weights: Array) -> float:
    """Ben Hamner's apk, of one right class."""

    def apk(actual: int, predicted: list[int]) -> float:
        hits = score = 0.0
        for i, one in enumerate(predicted[:5]):
            if one == actual and one not in predicted[:i]:
                hits += 1
                score += hits / (i + 1)
        return score

    return float(np.average([apk(t, s.tolist()) for t, s in zip(truth, said, strict=True)], weights=weights))


def bengali(truth: Array, said: Array, weights: Array) -> float:
    found = []
    for t, s in zip(truth.T, said.T, strict=True):
        known = t != MISSING
        found.append(
            theirs.recall_score(t[known], s[known], average="macro", sample_weight=weights[known], zero_division=0)
        )
    return float(np.average(found, weights=[2, 1]))


def ours_as_function(truth: Array, said: Array) -> float:
    return float(np.mean(truth == said))


def as_published(solution: object, submission: object, row_id_column_name: str, power: float) -> float:
    import pandas as pd

    assert isinstance(solution, pd.DataFrame) and isinstance(submission, pd.DataFrame)
    assert solution[row_id_column_name].is_unique
    del solution[row_id_column_name], submission[row_id_column_name]
    return float((np.abs(solution.to_numpy() - submission.to_numpy()) ** power).mean())


CASES = [
    Case(Accuracy(), CLASSES, classes_of(4), lambda t, s, w: theirs.accuracy_score(t, s, sample_weight=w)),
    Case(
        BalancedAccuracy(),
        CLASSES,
        classes_of(4),
        lambda t, s, w: theirs.recall_score(t, s, labels=np.unique(t), average="macro", sample_weight=w),
    ),
    Case(MacroF1(), CLASSES, classes_of(4), f_score("macro")),
    Case(F1(), CLASSES, classes_of(4), f_score("macro")),
    Case(F1("weighted", 2), CLASSES, classes_of(4), f_score("weighted", 2)),
    Case(F1("micro"), CLASSES, classes_of(4), f_score("micro")),
    Case(
        F1("binary", 0.5),
        TWO,
        classes_of(2),
        lambda t, s, w: theirs.fbeta_score(t, s, beta=0.5, sample_weight=w, zero_division=0),
    ),
    Case(QuadraticKappa(), GRADES, grades(), kappa),
    Case(QuadraticKappa(), CLASSES, classes_of(4), kappa),
    Case(Accuracy(), GRADES, grades(), lambda t, s, w: theirs.accuracy_score(t, s, sample_weight=w)),
    Case(
        MeanIoU(),
        PIXELS,
        pixels,
        lambda t, s, w: theirs.jaccard_score(
            t[t != IGNORED], s[t != IGNORED], average="macro", sample_weight=np.repeat(w, 16)[t.ravel() != IGNORED]
        ),
    ),
    Case(MeanDice("skip"), PIXELS, pixels, per_mask(dice, np.nan, exclusive=True)),
    Case(MeanDice(), MASKS, masks, per_mask(dice, 1.0)),
    Case(MeanDice(0), MASKS, masks, per_mask(dice, 0.0)),
    Case(MeanDice("skip"), MASKS, masks, per_mask(dice, np.nan)),
    Case(MeanIoUPrecision(), MASKS, masks, per_mask(above_thresholds, 1.0)),
    Case(LabelF1(), MASKS, masks, masks_flat("macro")),
    Case(LabelF1("micro"), MASKS, masks, masks_flat("micro")),
    Case(LabelF1(), LABELS, labels(0.2), by_column(f_of_label(1), 0.0)),
    Case(LabelF1("macro", 2), LABELS, labels(0.0), f_of_labels),
    Case(LabelF1("micro"), LABELS, labels(0.2), flat(f_of_label(1))),
    Case(LabelF1("weighted"), LABELS, labels(0.0), weighted_f),
    Case(LabelAccuracy(), LABELS, labels(0.2), flat(lambda t, s, w: theirs.accuracy_score(t, s, sample_weight=w))),
    Case(SamplesF1(), LABELS, labels(0.2), samples_f(1, 1)),
    Case(
        SamplesF1(2, empty=0),
        LABELS,
        labels(0.0),
        lambda t, s, w: theirs.fbeta_score(t, s, beta=2, average="samples", sample_weight=w, zero_division=0),
    ),
    Case(RocAuc(), TWO, probabilities_of(2), second(auc)),
    Case(RocAuc(), CLASSES, probabilities_of(4), one_by_one(auc)),
    Case(RocAuc(), LABELS, labels(0.2, values=True), by_column(auc)),
    Case(RocAuc(most_false=0.3), TWO, probabilities_of(2), second(partial_auc)),
    Case(RocAuc(regions=((0, 0.4, 2), (0.4, 1, 1))), TWO, probabilities_of(2), second(alaska_auc)),
    Case(AveragePrecision(), TWO, probabilities_of(2), second(precision)),
    Case(AveragePrecision(), LABELS, labels(0.2, values=True), by_column(precision)),
    Case(LogLoss(), CLASSES, probabilities_of(4), log_loss),
    Case(LogLoss(), TWO, probabilities_of(2), log_loss),
    Case(LogLoss((1, 2, 3, 4), balanced=True), CLASSES, probabilities_of(4), log_loss_by_class((1, 2, 3, 4))),
    Case(LogLoss((2, 1, 1)), LABELS, labels(0.2, values=True), log_loss_of_labels((2, 1, 1))),
    Case(ProbabilisticF1(), TWO, probabilities_of(2), second(probabilistic_f1)),
    Case(ProbabilisticF1(), LABELS, labels(0.2, values=True), by_column(probabilistic_f1)),
    Case(Rmse(), NUMBERS, numbers(3, 0.2), column(theirs.root_mean_squared_error)),
    Case(Rmse(pooled=True), NUMBERS, numbers(3), together(theirs.root_mean_squared_error)),
    Case(Rmse(), NUMBER, numbers(1), column(theirs.root_mean_squared_error)),
    Case(
        Rmse(),
        GRADES,
        grades(values=True),
        lambda t, s, w: theirs.root_mean_squared_error(t, s.astype(float), sample_weight=w),
    ),
    Case(Mae(), NUMBERS, numbers(3, 0.2), column(theirs.mean_absolute_error)),
    Case(Rmsle(), NUMBERS, numbers(3, low=0), by_column(not_below_zero)),
    Case(R2(), NUMBERS, numbers(3, 0.2), column(theirs.r2_score)),
    Case(
        R2("variance"),
        NUMBERS,
        numbers(3),
        lambda t, s, w: theirs.r2_score(
            t.astype(float), s.astype(float), sample_weight=w, multioutput="variance_weighted"
        ),
    ),
    Case(R2("pooled", (1, 2, 5)), NUMBERS, numbers(3), pooled_r2((1, 2, 5))),
    Case(Pearson(), NUMBERS, numbers(3, 0.2), by_column(pearson)),
    Case(MAP(), PEOPLE, lists, mapk),
    Case(WeightedMacroRecall((2, 1)), HEADS, heads, bengali),
    Case(HeadAccuracy(), HEADS, heads, by_column(lambda t, s, w: theirs.accuracy_score(t, s, sample_weight=w))),
]

FUNCTIONS = [
    Case(
        from_function(ours_as_function, needs="labels", lower_is_better=False),
        CLASSES,
        classes_of(4),
        lambda t, s, w: theirs.accuracy_score(t, s, sample_weight=w),
    ),
    Case(
        from_function(theirs.log_loss, needs="values", lower_is_better=True),
        TWO,
        probabilities_of(2),
        lambda t, s, w: np.nan if len(set(t)) < 2 else log_loss(t, s, w),
    ),
    Case(
        from_score(as_published, "image", needs="values", lower_is_better=True, power=2.0),
        NUMBERS,
        numbers(3),
        together(theirs.mean_squared_error),
    ),
]
