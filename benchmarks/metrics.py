"""How fast our metrics are, beside scikit-learn's: one score, and 1,000 draws of a bootstrap.

    OMP_NUM_THREADS=1 python -m benchmarks.metrics [--samples 100000] [--draws 1000] [--only AUC] [--json]

Each case is drawn; both get the same arrays and the same weights, one after the other in one process. A score of ours
is counted from the arrays, nothing kept (the fastest of three, of both); a draw weighs samples by how often they were
drawn. Their draws are measured on a few and multiplied: the cost of one does not depend on another. `off` is the
largest difference between the scores. Where scikit-learn has no such metric the plainest numpy stands in for it,
marked with a star.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import metrics as theirs

from toolkit.metrics.confusion import Accuracy, MacroF1
from toolkit.metrics.heads import WeightedMacroRecall
from toolkit.metrics.labels import LabelF1, SamplesF1
from toolkit.metrics.lists import MAP
from toolkit.metrics.metric import Metric, metric_of, score, scored_of
from toolkit.metrics.numbers import R2, Mae, Pearson, Rmse, Rmsle
from toolkit.metrics.probabilistic import LogLoss, ProbabilisticF1
from toolkit.metrics.ranks import AveragePrecision, RocAuc
from toolkit.metrics.single_label import F1, BalancedAccuracy, QuadraticKappa
from toolkit.outcome import Table
from toolkit.screen import Screen
from toolkit.task import Classification, Grades, Heads, Labels, Numbers, Task

SHAPE = (8, 8, 3)
CHUNK = 100  # draws whose weights are in memory at a time
Array = np.ndarray
Theirs = Callable[[Array, Array, Array | None], float]


@dataclass(frozen=True)
class Case:
    """theirs(truth, predicted, weights or None); star: not scikit-learn's."""

    name: str
    metric: Metric
    task: Task
    truth: Array
    predicted: Array
    theirs: Theirs
    star: bool = False


def columns(one: Callable[..., float]) -> Theirs:
    """The mean over columns."""

    def mean(truth: Array, said: Array, weights: Array | None) -> float:
        every = [one(t, s, sample_weight=weights) for t, s in zip(truth.T, said.T, strict=True)]
        return float(np.mean(every))

    return mean


def plain(one: Callable[..., float], **more: Any) -> Theirs:
    return lambda truth, said, weights: float(one(truth, said, sample_weight=weights, **more))


def probabilistic_f1(truth: Array, said: Array, weights: Array | None) -> float:
    yes, weights = said[:, 1].astype(float), np.ones(len(truth)) if weights is None else weights
    right = (yes * truth * weights).sum()
    precision, recall = right / (yes * weights).sum(), right / (truth * weights).sum()
    return float(2 * precision * recall / (precision + recall))


def pearson(truth: Array, said: Array, weights: Array | None) -> float:
    pairs = zip(truth.T.astype(float), said.T.astype(float), strict=True)
    found = [np.cov(t, s, aweights=weights) for t, s in pairs]
    return float(np.mean([one[0, 1] / np.sqrt(one[0, 0] * one[1, 1]) for one in found]))


def map_at_5(truth: Array, said: Array, weights: Array | None) -> float:
    found = said == truth[:, None]
    return float(np.average(np.where(found.any(1), 1 / (found.argmax(1) + 1), 0), weights=weights))


def macro_recall(truth: Array, said: Array, weights: Array | None) -> float:
    each = [
        theirs.recall_score(truth[:, i], said[:, i], average="macro", sample_weight=weights, zero_division=0)
        for i in range(truth.shape[1])
    ]
    return float(np.average(each, weights=(2, 1, 1)))


def cases(samples: int) -> list[Case]:
    rng, n = np.random.default_rng(0), samples
    eight = Classification(tuple("abcdefgh"), SHAPE)
    two, grades = Classification(("no", "yes"), SHAPE), Grades(tuple("01234"), SHAPE)
    twenty, five = Labels(tuple(f"label {i}" for i in range(20)), SHAPE), Labels(tuple("vwxyz"), SHAPE)
    four = Numbers(tuple("abcd"), SHAPE)
    people = Classification(tuple(str(i) for i in range(500)), SHAPE, unknown="new")
    sizes = (168, 11, 7)
    heads = Heads(tuple((f"head {i}", tuple(str(j) for j in range(size))) for i, size in enumerate(sizes)), SHAPE)

    truth = rng.integers(0, 8, n)
    said = np.where(rng.random(n) < 0.7, truth, rng.integers(0, 8, n))
    logits = rng.normal(size=(n, 8)) + 2 * (truth[:, None] == np.arange(8))
    soft = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
    yes = (rng.random(n) < 0.1).astype(np.int64)
    one = np.clip(np.round(0.15 * yes + rng.random(n) * 0.8, 4), 1e-4, 1 - 1e-4).astype(np.float32)  # ties
    pair = np.stack([1 - one, one], axis=1)
    many = (rng.random((n, 20)) < 0.15).astype(np.int8)
    many_said = np.where(rng.random((n, 20)) < 0.8, many, rng.integers(0, 2, (n, 20))).astype(np.int8)
    few = many[:, :5]
    few_soft = np.clip(np.round(0.2 * few + rng.random((n, 5)) * 0.8, 4), 1e-4, 1 - 1e-4).astype(np.float32)
    graded = rng.integers(0, 5, n)
    grade_said = np.clip(graded + rng.integers(-1, 2, n), 0, 4)
    numbers = rng.gamma(2, 3, (n, 4)).astype(np.float32)
    number_said = np.abs(numbers + rng.normal(size=(n, 4))).astype(np.float32)
    who = rng.integers(0, 500, n)
    listed = rng.integers(0, 500, (n, 5))
    listed[:, 1] = np.where(rng.random(n) < 0.5, who, listed[:, 1])
    parts = np.stack([rng.integers(0, size, n) for size in sizes], axis=1)
    parts_said = np.where(rng.random((n, 3)) < 0.8, parts, np.stack([rng.integers(0, s, n) for s in sizes], axis=1))

    f1, f2 = theirs.f1_score, plain(theirs.fbeta_score, beta=2, average="weighted")
    auc = theirs.roc_auc_score
    kappa: Theirs = plain(theirs.cohen_kappa_score, weights="quadratic")
    return [
        Case("accuracy", Accuracy(), eight, truth, said, plain(theirs.accuracy_score)),
        Case("balanced accuracy", BalancedAccuracy(), eight, truth, said, plain(theirs.recall_score, average="macro")),
        Case("macro F1", MacroF1(), eight, truth, said, plain(f1, average="macro")),
        Case("weighted F2", F1("weighted", 2), eight, truth, said, f2),
        Case("quadratic kappa", QuadraticKappa(), grades, graded, grade_said, kappa),
        Case("macro F1, 20 labels", LabelF1(), twenty, many, many_said, plain(f1, average="macro")),
        Case("micro F1, 20 labels", LabelF1("micro"), twenty, many, many_said, plain(f1, average="micro")),
        Case(
            "samples F1, 20 labels",
            SamplesF1(empty=0),
            twenty,
            many,
            many_said,
            plain(f1, average="samples", zero_division=0),
        ),
        Case(
            "ROC AUC",
            RocAuc(),
            two,
            yes,
            pair,
            lambda t, s, w: float(auc(t, s[:, 1], sample_weight=w)),
        ),
        Case("ROC AUC, 5 labels", RocAuc(), five, few, few_soft, columns(theirs.roc_auc_score)),
        Case(
            "average precision, 5 labels",
            AveragePrecision(),
            five,
            few,
            few_soft,
            columns(theirs.average_precision_score),
        ),
        Case(
            "log loss, 8 classes",
            LogLoss(),
            eight,
            truth,
            soft,
            lambda t, s, w: float(theirs.log_loss(t, s / s.astype(float).sum(1, keepdims=True), sample_weight=w)),
        ),
        Case("probabilistic F1", ProbabilisticF1(), two, yes, pair, probabilistic_f1, star=True),
        Case("RMSE, 4 targets", Rmse(), four, numbers, number_said, _double(theirs.root_mean_squared_error)),
        Case("MAE, 4 targets", Mae(), four, numbers, number_said, _double(theirs.mean_absolute_error)),
        Case("RMSLE, 4 targets", Rmsle(), four, numbers, number_said, _double(theirs.root_mean_squared_log_error)),
        Case("R2, 4 targets", R2(), four, numbers, number_said, _double(theirs.r2_score)),
        Case("Pearson, 4 targets", Pearson(), four, numbers, number_said, pearson, star=True),
        Case("MAP@5", MAP(), people, who, listed, map_at_5, star=True),
        Case("recall of 3 heads", WeightedMacroRecall((2, 1, 1)), heads, parts, parts_said, macro_recall),
    ]


def _double(one: Callable[..., float]) -> Theirs:
    """In float64, as ours is."""
    return lambda t, s, w: float(one(t.astype(np.float64), s.astype(np.float64), sample_weight=w))


def fastest(call: Callable[[], float]) -> tuple[float, float]:
    """What it returns, and the seconds of the fastest of three calls."""
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        found = call()
        seconds.append(time.perf_counter() - begun)
    return found, min(seconds)


def measure(case: Case, draws: int, theirs_of: int) -> dict[str, float]:
    """Seconds of a score and of so many draws, theirs from `theirs_of` of them; `off`: the largest difference."""
    metric = metric_of(case.metric, case.task)
    scored = scored_of(metric, case.task)
    few = slice(0, min(len(case.truth), 1000))
    first = metric.tally(case.task, case.truth[few], case.predicted[few], scored)
    first.scores(np.ones((1, len(first))))  # compiles what is compiled
    case.theirs(case.truth[few], case.predicted[few], None)

    ours, seconds = fastest(lambda: score(case.metric, case.task, case.truth, case.predicted))
    peer, peer_seconds = fastest(lambda: case.theirs(case.truth, case.predicted, None))

    rng, n = np.random.default_rng(1), len(case.truth)
    spent = 0.0
    found: list[Array] = []
    kept: list[Array] = []
    tally = metric.tally(case.task, case.truth, case.predicted, scored)
    for start in range(0, draws, CHUNK):
        rows = rng.integers(0, n, (min(CHUNK, draws - start), n))
        weights = np.stack([np.bincount(row, minlength=n) for row in rows]).astype(np.float64)
        kept += list(weights[: max(theirs_of - len(kept), 0)])
        begun = time.perf_counter()
        found.append(tally.scores(weights))
        spent += time.perf_counter() - begun
    begun = time.perf_counter()
    peers = [case.theirs(case.truth, case.predicted, one) for one in kept]
    peer_spent = (time.perf_counter() - begun) / len(kept) * draws
    off = np.abs(np.concatenate(found)[: len(peers)] - peers).max()
    return {
        "ours": seconds,
        "theirs": peer_seconds,
        "ours_draws": spent,
        "theirs_draws": peer_spent,
        "off": float(max(abs(ours - peer), off)),
    }


def main() -> None:
    made = argparse.ArgumentParser(prog="python -m benchmarks.metrics", description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--samples", type=int, default=100_000, metavar="N", help="default: 100,000")
    made.add_argument("--draws", type=int, default=1000, metavar="D", help="default: 1,000")
    made.add_argument(
        "--theirs", type=int, default=3, metavar="D", help="draws that theirs are measured on (default: 3)"
    )
    made.add_argument("--only", default="", metavar="TEXT", help="cases whose name holds this")
    made.add_argument("--json", action="store_true", help="one JSON object on stdout, all else on stderr")
    options = made.parse_args()
    screen, figures = Screen(stderr=options.json), {}
    for case in cases(options.samples):
        if options.only in case.name:
            figures[case.name + " *" * case.star] = measure(case, options.draws, options.theirs)
    rows = [
        [
            name,
            f"{1000 * one['ours']:.1f}",
            f"{1000 * one['theirs']:.1f}",
            f"{one['theirs'] / one['ours']:.1f}",
            f"{one['ours_draws']:.2f}",
            f"{one['theirs_draws']:.1f}",
            f"{one['theirs_draws'] / one['ours_draws']:.0f}",
            f"{one['off']:.0e}",
        ]
        for name, one in figures.items()
    ]
    title = f"{options.samples:,} samples; {options.draws:,} draws"
    heads = ["", "ms", "theirs", "times", "draws: s", "theirs", "times", "off"]
    screen.table(Table(title, heads, rows))
    if options.json:
        print(json.dumps({"samples": options.samples, "draws": options.draws, "metrics": figures}))


if __name__ == "__main__":
    main()
