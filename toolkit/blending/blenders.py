"""Blends of out-of-fold probabilities: each way of making one, and what comes out.

A blender is fitted on some folds and applied to others. Its result is a `Solution`, plain arrays (or a fitted
scikit-learn model) that `mix` applies to any probabilities of the same families.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit
from sklearn.exceptions import ConvergenceWarning

from toolkit.blending.candidates import PART, STEPS, Pool, family_mean
from toolkit.blending.gradient import climb
from toolkit.blending.greedy import Search, greedy, polish, read
from toolkit.blending.greedy import confusions as exact_confusions
from toolkit.blending.postprocessing import (
    REGIONS,
    biased,
    tempered,
    tune_biases,
    tune_temperature,
    with_labels,
    without_small_regions,
)
from toolkit.metrics import confusion_by_sample
from toolkit.task import Segmentation

CLIMBED = 10_000  # items, for gradients
BAGS = 8
BAG_STEPS = 20
TOTAL = 100  # the sum of whole-number weights before they are polished
POLISH = (1, -1, 2, -2, 5, -5, 10, -10)
SHRINK = 0.02  # price of per-class weights: a score must gain so much for weights e times apart
STACKED = 4  # families that a stack sees
QUANTILES = 512
FEW = 100  # groups; with fewer, blenders differ by chance alone


@dataclass(frozen=True)
class Solution:
    """A fitted blend of M families with S scored classes."""

    weights: np.ndarray  # (M,), or (M, S); only their proportions matter
    biases: np.ndarray | None = None  # (S,), added to the logarithms of the mixture
    temperatures: np.ndarray | None = None  # (M,), of each family before it is mixed
    quantiles: np.ndarray | None = None  # (M, S, Q), by which probabilities become ranks
    smallest: int = 0  # pixels; smaller regions of a mask take their surroundings' class
    stack: Any = None  # a scikit-learn classifier on log-probabilities of the families with weight

    @property
    def plain(self) -> bool:
        """Nothing but a weighting, so that the contested items alone say what it scores."""
        others = (self.biases, self.temperatures, self.quantiles, self.stack)
        return self.weights.ndim == 1 and not self.smallest and all(one is None for one in others)


def mixed(pool: Pool, solution: Solution, which: str, rows: np.ndarray) -> np.ndarray:
    """Blended probabilities float32 (n, C, ...) of rows of the OOF or test arrays; unscored classes get 0."""
    scored = list(pool.scored)
    used = np.flatnonzero(solution.weights.reshape(len(solution.weights), -1).any(1))
    if solution.temperatures is None and solution.quantiles is None and solution.stack is None:
        values = _weighted(pool, solution, used, which, rows)
    else:
        parts = [family_mean(pool.families[m], which, rows)[:, scored] for m in used]
        values = mix(_only(solution, used), np.stack(parts, axis=-1))
    if solution.smallest:
        labels = without_small_regions(values.argmax(1).astype(np.uint8), solution.smallest)
        values = with_labels(values, labels)
    result = np.zeros((len(rows), pool.classes, *values.shape[2:]), np.float32)
    result[:, scored] = values
    return result


def _weighted(pool: Pool, solution: Solution, used: np.ndarray, which: str, rows: np.ndarray) -> np.ndarray:
    """As `mix`, one stored array at a time in one pass each."""
    scored, total = np.array(pool.scored), np.zeros(0, np.float32)
    weights = solution.weights / solution.weights.sum(0)
    for m in used:
        family = pool.families[m]
        for member in family.members:
            part = read(getattr(member, which), rows)
            scale = 255 if part.dtype == np.uint8 else 1
            part = part if part.dtype == np.uint8 else part.astype(np.float32)
            flat = part.reshape(*part.shape[:2], -1)
            if not total.size:
                shape = (len(rows), len(scored), *part.shape[2:])
                total = np.zeros((len(rows), len(scored), flat.shape[2]), np.float32)
            share = np.broadcast_to(weights[m] / (scale * len(family.members)), scored.shape).astype(np.float32)
            _accumulate(total, flat, scored, share)
    total = total.reshape(shape)
    total /= np.maximum(total.sum(1, keepdims=True), 1e-30)
    return total if solution.biases is None else biased(total, solution.biases)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _accumulate(total: np.ndarray, part: np.ndarray, scored: np.ndarray, share: np.ndarray) -> None:
    for i in range(total.shape[0]):
        for s in range(total.shape[1]):
            for p in range(total.shape[2]):
                total[i, s, p] += share[s] * part[i, scored[s], p]


def _only(solution: Solution, used: np.ndarray) -> Solution:
    def those(one: np.ndarray | None) -> np.ndarray | None:
        return None if one is None else one[used]

    return replace(
        solution,
        weights=solution.weights[used],
        temperatures=those(solution.temperatures),
        quantiles=those(solution.quantiles),
    )


def mix(solution: Solution, values: np.ndarray) -> np.ndarray:
    """Blended probabilities float32 (n, S, ...) of values (n, S, ..., M)."""
    if solution.stack is not None:
        return _stacked(solution.stack, values)
    total: Any = 0.0
    weights = solution.weights / solution.weights.sum(0)
    for m in range(values.shape[-1]):
        part = values[..., m]
        if solution.temperatures is not None:
            part = tempered(part, float(solution.temperatures[m]))
        if solution.quantiles is not None:
            ranks = np.linspace(0, 1, solution.quantiles.shape[2])
            part = np.stack([np.interp(part[:, s], q, ranks) for s, q in enumerate(solution.quantiles[m])], axis=1)
        weight = weights[m].astype(np.float32)
        total = total + part * (weight if weight.ndim == 0 else weight.reshape(-1, *[1] * (part.ndim - 2)))
    # weights by class, and ranks, do not sum to 1
    total = total / np.maximum(total.sum(1, keepdims=True), 1e-30)
    total = total if solution.biases is None else biased(total, solution.biases)
    return total.astype(np.float32)


def confusions(pool: Pool, solution: Solution, fold: int) -> np.ndarray:
    """Confusion matrices (n, C, C) of one fold's samples, in order."""
    if solution.plain:
        return exact_confusions(pool.contested, solution.weights, fold)
    rows = np.flatnonzero(pool.fold == fold)
    found = []
    step = max(1, PART // (4 * pool.classes * int(np.prod(pool.targets.shape[1:]))))
    for start in range(0, len(rows), step):
        at = rows[start : start + step]
        labels = pool.competition.decode(mixed(pool, solution, "oof", at))
        found.append(confusion_by_sample(np.asarray(pool.targets[at]), labels, pool.classes))
    return np.concatenate(found)


# each of these fits on `folds` of the pool


def fit_mean(pool: Pool, folds: Sequence[int]) -> Solution:
    return Solution(pool.allowed(folds).astype(np.int64))


def fit_single(pool: Pool, folds: Sequence[int]) -> Solution:
    """The best family alone."""
    scores = np.where(pool.allowed(folds), Search(pool.fitted, folds).scores(1), -np.inf)
    return Solution((np.arange(len(scores)) == scores.argmax()).astype(np.int64))


def fit_ranks(pool: Pool, folds: Sequence[int]) -> Solution:
    """The mean of each class's ranks among the probabilities of the folds it is fitted on."""
    values, _ = pool.items(folds)
    quantiles = np.quantile(values, np.linspace(0, 1, QUANTILES), axis=0)
    return Solution(pool.allowed(folds).astype(np.int64), quantiles=np.moveaxis(quantiles, 0, 2).swapaxes(0, 1))


def fit_calibrated(pool: Pool, folds: Sequence[int]) -> Solution:
    """The mean after each family got the temperature at which its own cross-entropy is least."""
    values, truth = pool.items(folds, CLIMBED)
    position = np.full(256, -1)
    position[list(pool.scored)] = np.arange(len(pool.scored))
    position = position[truth]
    known = position >= 0
    found = [tune_temperature(values[known, :, m], position[known]) for m in range(values.shape[2])]
    return Solution(pool.allowed(folds).astype(np.int64), temperatures=np.array(found))


def fit_greedy(pool: Pool, folds: Sequence[int]) -> Solution:
    return Solution(greedy(pool.fitted, folds, STEPS, pool.allowed(folds)))


def fit_bagged(pool: Pool, folds: Sequence[int]) -> Solution:
    """The sum of greedy selections, each among a random half of the families."""
    allowed = np.flatnonzero(pool.allowed(folds))
    random = np.random.default_rng(0)
    total = np.zeros(len(pool.families), np.int64)
    for _ in range(BAGS):
        bag = np.zeros(len(pool.families), np.bool_)
        # at least two, or a bag is but the best of a few
        bag[random.permutation(allowed)[: max(2, -(-len(allowed) // 2))]] = True
        chosen = greedy(pool.fitted, folds, BAG_STEPS, bag)
        total += np.rint(chosen * (STEPS / chosen.sum())).astype(np.int64)
    return Solution(total)


def fit_weights(pool: Pool, folds: Sequence[int]) -> Solution:
    """Weights that climb a smooth surrogate, then are polished on the metric itself."""
    values, truth = pool.items(folds, CLIMBED)
    metric, scored = pool.competition.metric, pool.scored
    start = pool.allowed(folds) / pool.allowed(folds).sum()
    found = climb(values, truth, metric, scored, pool.classes, start)
    whole = np.rint(TOTAL * found / found.max()).astype(np.int64)
    return Solution(polish(pool.fitted, folds, whole, POLISH))


def fit_by_class(pool: Pool, folds: Sequence[int]) -> Solution:
    """A weight for each family and class, drawn towards the greedy ones."""
    values, truth = pool.items(folds, CLIMBED)
    single = fit_greedy(pool, folds).weights.astype(np.float64)
    start = np.repeat(single[:, None] / single.sum(), values.shape[1], 1)
    return Solution(climb(values, truth, pool.competition.metric, pool.scored, pool.classes, start, SHRINK))


def fit_logistic(pool: Pool, folds: Sequence[int]) -> Solution:
    from sklearn.linear_model import LogisticRegression

    return _stack(pool, folds, LogisticRegression(C=0.1, max_iter=300))


def fit_boosted(pool: Pool, folds: Sequence[int]) -> Solution:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=30, max_leaf_nodes=8, learning_rate=0.15, early_stopping=False, random_state=0
    )
    return _stack(pool, folds, model)


def _stack(pool: Pool, folds: Sequence[int], model: Any) -> Solution:
    weights = fit_greedy(pool, folds).weights
    weights = np.where(np.argsort(np.argsort(-weights, kind="stable")) < STACKED, weights, 0)
    values, truth = pool.items(folds, CLIMBED)
    position = np.full(256, -1)
    position[list(pool.scored)] = np.arange(len(pool.scored))
    known = position[truth] >= 0
    if len(np.unique(truth[known])) < 2:  # nothing to tell apart
        return Solution(weights)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):  # near enough: it is scored as it is
        model.fit(_features(values[known][..., weights > 0]), position[truth[known]])
    return Solution(weights, stack=model)


def _features(values: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(values, 1e-4)).reshape(len(values), -1)


def _stacked(model: Any, values: np.ndarray) -> np.ndarray:
    result = np.zeros(values.shape[:2], np.float32)
    result[:, model.classes_] = model.predict_proba(_features(values))
    return result


def fit_with_biases(pool: Pool, folds: Sequence[int], first: Solution) -> Solution:
    values, truth = pool.items(folds)
    mixture = mix(first, values)
    found = tune_biases(mixture, truth, pool.competition.metric, pool.scored, pool.classes)
    return replace(first, biases=found)


def fit_smallest(pool: Pool, folds: Sequence[int], first: Solution, images: int = 150) -> Solution:
    """The smallest region worth keeping, by the metric of some images of these folds."""
    rows = np.flatnonzero(np.isin(pool.fold, folds))
    rows = rows[:: max(1, len(rows) // images)]
    labels = pool.competition.decode(mixed(pool, first, "oof", rows))
    best = (-1.0, 0)
    for smallest in (0, *REGIONS):
        cleaned = without_small_regions(labels, smallest) if smallest else labels
        confusion = confusion_by_sample(np.asarray(pool.targets[rows]), cleaned, pool.classes).sum(0)
        best = max(best, (float(pool.competition.score(confusion)), -smallest))
    return replace(first, smallest=-best[1])


@dataclass(frozen=True)
class Blender:
    """A way to blend; `linear`: a server that adds up weighted probabilities and biases can do it."""

    name: str
    linear: bool
    fit: Any  # (pool, folds) -> Solution
    after: str = ""  # the blender whose solution it goes on from: fit(pool, folds, that solution)
    masks: bool = True
    labels: bool = True


# from the simplest to the most complex; the first within noise of the best is taken
BLENDERS = (
    Blender("mean", True, fit_mean),
    Blender("single", True, fit_single),
    Blender("calibrated", False, fit_calibrated, masks=False),
    Blender("ranks", False, fit_ranks, masks=False),
    Blender("greedy", True, fit_greedy),
    Blender("bagged", True, fit_bagged),
    Blender("weights", True, fit_weights),
    Blender("mean-biases", True, fit_with_biases, "mean"),
    Blender("mean-regions", False, fit_smallest, "mean", labels=False),
    Blender("greedy-biases", True, fit_with_biases, "greedy"),
    Blender("greedy-regions", False, fit_smallest, "greedy", labels=False),
    Blender("by-class", False, fit_by_class),
    Blender("logistic", False, fit_logistic, masks=False),
    Blender("boosted", False, fit_boosted, masks=False),
)


def blenders_for(pool: Pool) -> tuple[Blender, ...]:
    """Those that make sense here: with one family, only what changes its labels; with few groups, the mean."""
    if len(np.unique(pool.group[pool.fold >= 0])) < FEW:
        return BLENDERS[:1]
    masks = isinstance(pool.competition.task, Segmentation)
    alone = ("mean", "mean-biases", "mean-regions")
    return tuple(
        one
        for one in BLENDERS
        if (one.masks if masks else one.labels) and (len(pool.families) > 1 or one.name in alone)
    )
