"""Ways to blend out-of-fold values: each is fitted on some folds, and its `Solution` is applied to others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from toolkit.blending.climbs import OF_LOGARITHMS, OF_ORDER, OF_SQUARES, climb_of
from toolkit.blending.convex import least_loss, least_squares
from toolkit.blending.greedy import greedy
from toolkit.blending.pool import STEPS, Pool
from toolkit.blending.postprocessing import REGIONS, tune_biases, tune_slopes, tune_temperature, without_small_regions
from toolkit.blending.solution import Solution, mix, mixed
from toolkit.blending.valued import Valued, few
from toolkit.competition import Competition, by_argmax, by_matrix
from toolkit.data.labelled import Labelled
from toolkit.decisions.decide import PLAIN
from toolkit.decisions.fit import fit_decisions, is_decided
from toolkit.errors import UserError
from toolkit.metrics.confusion import ConfusionMetric, confusion_by_sample
from toolkit.probabilities import value_type
from toolkit.task import MISSING, Labels

BIASED = 255  # classes that biases are tuned for
CALIBRATED = 10_000  # items that temperatures are tuned on
BAGS = 8
BAG_STEPS = 20
QUANTILES = 512
REGION_IMAGES = 150  # by which the smallest region is chosen
FEW = 100  # groups; with fewer, blenders differ by chance alone


def fit_mean(pool: Pool, folds: Sequence[int]) -> Solution:
    return Solution(pool.allowed(folds))


def fit_single(pool: Pool, folds: Sequence[int]) -> Solution:
    """The best run alone."""
    places = [(number, at) for number, group in enumerate(pool.seed_groups) for at in range(len(group.members))]
    number, member = places[pool.best_run(folds)]
    return Solution((np.arange(len(pool.seed_groups)) == number).astype(np.int64), member=member)


def fit_best(pool: Pool, folds: Sequence[int], number: int) -> Solution:
    """The mean of so many seed groups, the best on these folds: no pool of them need be picked beforehand."""
    return Solution(np.isin(np.arange(len(pool.seed_groups)), pool.best_first(folds)[:number]).astype(np.int64))


def fit_ranks(pool: Pool, folds: Sequence[int]) -> Solution:
    """The mean of each class's ranks among the probabilities of the folds it is fitted on."""
    values, _ = pool.items(folds)
    quantiles = np.quantile(values, np.linspace(0, 1, QUANTILES), axis=0)
    return Solution(pool.allowed(folds), quantiles=np.moveaxis(quantiles, 0, 2).swapaxes(0, 1))


def fit_calibrated(pool: Pool, folds: Sequence[int]) -> Solution:
    """The mean after each seed group got the temperature (labels: a slope and a shift) of least cross-entropy."""
    values, truth = pool.items(folds, CALIBRATED)
    if isinstance(pool.labelled.competition.task, Labels):
        return Solution(pool.allowed(folds), slopes=_slopes(values, truth))
    position = pool.position[truth]
    known = position >= 0
    found = [tune_temperature(values[known, :, m], position[known]) for m in range(values.shape[2])]
    return Solution(pool.allowed(folds), temperatures=np.array(found))


def _slopes(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(M, L, 2) of values (n, L, M) and labels (n, L)."""
    found = np.empty((values.shape[2], values.shape[1], 2))
    for label in range(values.shape[1]):
        known = truth[:, label] != MISSING
        for m in range(values.shape[2]):
            found[m, label] = tune_slopes(values[known, label, m], truth[known, label])
    return found


def fit_convex(pool: Pool, folds: Sequence[int]) -> Solution:
    """Shares of the least log loss, or of the least squared error."""
    assert isinstance(pool.fitted, Valued)
    allowed, climb = pool.allowed(folds), pool.fitted.climb(folds)
    least = least_loss if isinstance(climb, OF_LOGARITHMS) else least_squares
    return Solution(least(climb, allowed))  # type: ignore[arg-type]


def fit_greedy(pool: Pool, folds: Sequence[int]) -> Solution:
    return Solution(greedy(pool.fitted, folds, STEPS, pool.allowed(folds)))


def fit_bagged(pool: Pool, folds: Sequence[int]) -> Solution:
    """The sum of greedy selections, each among a random half of the seed groups."""
    allowed = np.flatnonzero(pool.allowed(folds))
    rng = np.random.default_rng(0)
    total = np.zeros(len(pool.seed_groups), np.int64)
    for _ in range(BAGS):
        bag = np.zeros(len(pool.seed_groups), np.bool_)
        # at least two, or a bag is but the best of a few
        bag[rng.permutation(allowed)[: max(2, -(-len(allowed) // 2))]] = True
        chosen = greedy(pool.fitted, folds, BAG_STEPS, bag)
        total += np.rint(chosen * (STEPS / chosen.sum())).astype(np.int64)
    return Solution(total)


def fit_with_biases(pool: Pool, folds: Sequence[int], first: Solution) -> Solution:
    values, truth = pool.items(folds)
    metric = pool.labelled.competition.metric
    assert isinstance(metric, ConfusionMetric)
    return replace(first, biases=tune_biases(mix(first, values), truth, metric, pool.scored, pool.classes))


def fit_smallest(pool: Pool, folds: Sequence[int], first: Solution) -> Solution:
    """The smallest region worth keeping, by the metric of some images of these folds."""
    labelled = pool.labelled
    rows = np.flatnonzero(np.isin(labelled.fold, folds))
    rows = rows[:: max(1, len(rows) // REGION_IMAGES)]
    truth, labels = np.asarray(labelled.truth[rows]), labelled.competition.decode(mixed(pool, first, "oof", rows))
    best = (-np.inf, 0)
    for smallest in (0, *REGIONS):
        cleaned = without_small_regions(labels, smallest) if smallest else labels
        confusion = confusion_by_sample(truth, cleaned, pool.classes).sum(0)
        best = max(best, (labelled.competition.metric.sign * float(labelled.competition.score(confusion)), -smallest))
    return replace(first, smallest=-best[1])


def with_decisions(pool: Pool, solution: Solution, folds: Sequence[int]) -> Solution:
    """With the thresholds, cuts, smallest regions, … that are best for it on these folds: the last step of a fit."""
    competition, among = pool.labelled.competition, pool.fitted
    if not isinstance(among, Valued) or not is_decided(competition.task, competition.metric):
        return replace(solution, decisions=PLAIN)
    at = np.flatnonzero(np.isin(among.fold, folds))
    if solution.only_weights:
        return replace(solution, decisions=among.decisions(solution.weights, at))
    at = few(at, 4 * int(np.prod(among.values.shape[2:])))
    values = mixed(pool, solution, "oof", among.rows[at])
    task, metric = competition.task, competition.metric
    return replace(solution, decisions=fit_decisions(task, metric, among.truth[at], values, pool.scored))


def always(competition: Competition) -> bool:
    return True


def calibratable(competition: Competition) -> bool:
    return _whole(competition) and (by_argmax(competition) or _is(competition, OF_LOGARITHMS))


def rankable(competition: Competition) -> bool:
    return _whole(competition) and (by_argmax(competition) or _is(competition, OF_ORDER))


def biasable(competition: Competition) -> bool:
    return by_argmax(competition) and (competition.task.masks or len(competition.task.classes) <= BIASED)


def _whole(competition: Competition) -> bool:
    """Is it of images, and are all of its values stored?"""
    return not competition.task.masks and value_type(competition.task).names is None


def smooth(competition: Competition) -> bool:
    return not competition.task.masks and _is(competition, OF_LOGARITHMS) | _is(competition, OF_SQUARES)


def with_regions(competition: Competition) -> bool:
    return competition.task.masks and by_matrix(competition)


def _is(competition: Competition, climbs: Any) -> bool:
    """Is the metric one of these kinds?"""
    return not by_argmax(competition) and issubclass(climb_of(competition), climbs)


@dataclass(frozen=True)
class Blender:
    """A way to blend; `linear`: a server that adds up weighted probabilities and biases can do it."""

    name: str
    linear: bool
    fit: Any  # (pool, folds) -> Solution
    after: str = ""  # the blender whose solution it goes on from: fit(pool, folds, that solution)
    suits: Callable[[Competition], bool] = always
    least: int = 2  # seed groups, for it to be another blender than those before
    seeds: bool = False  # offered where seed groups have several runs only
    few: bool = False  # offered where groups are few, or folds two, too


SINGLE = Blender("single", True, fit_single, least=1, few=True)
# from the simplest to the most complex; the first within noise of the best is taken
BLENDERS = (
    Blender("mean", True, fit_mean, least=1, few=True),
    SINGLE,
    Blender("best-1", True, partial(fit_best, number=1), seeds=True, few=True),
    Blender("best-2", True, partial(fit_best, number=2), least=3, few=True),
    Blender("best-4", True, partial(fit_best, number=4), least=5, few=True),
    Blender("best-8", True, partial(fit_best, number=8), least=9, few=True),
    Blender("calibrated", False, fit_calibrated, suits=calibratable),
    Blender("ranks", False, fit_ranks, suits=rankable),
    Blender("convex", True, fit_convex, suits=smooth),
    Blender("greedy", True, fit_greedy),
    Blender("bagged", True, fit_bagged),
    Blender("mean-biases", True, fit_with_biases, "mean", suits=biasable, least=1),
    Blender("mean-regions", False, fit_smallest, "mean", suits=with_regions, least=1),
    Blender("greedy-biases", True, fit_with_biases, "greedy", suits=biasable),
    Blender("greedy-regions", False, fit_smallest, "greedy", suits=with_regions),
)


def blenders_for(pool: Pool, asked: str | None = None) -> tuple[Blender, ...]:
    """Those that make sense here, and the one that is `asked` for, with the one it goes on from.

    With few groups blenders differ by chance, and with two folds nothing is left to compare what was fitted on: only
    the mean, and the best seed groups, are offered then.
    """
    labelled = pool.labelled
    rough = labelled.folds == 2 or len(np.unique(labelled.group[labelled.inside])) < FEW
    runs, groups = len(pool.runs), len(pool.seed_groups)

    def offered(one: Blender) -> bool:
        enough = groups >= one.least and (one is not SINGLE or runs > 1) and (not one.seeds or runs > groups)
        return enough and one.suits(labelled.competition) and (one.few or not rough)

    also = {asked, *(one.after for one in BLENDERS if one.name == asked)}
    return tuple(one for one in BLENDERS if one.name in also or offered(one))


def check_asked(labelled: Labelled, name: str) -> None:
    """UserError where a blender that is asked for doesn't exist, or not for such a competition."""
    fitting = [one for one in BLENDERS if one.suits(labelled.competition)]
    code = labelled.competition.try_submission is not None
    able = [one.name for one in fitting if one.linear or not code]
    if name not in able:
        kind = f"{'a code submission of ' if code else ''}{'masks' if labelled.masks else 'labels'}"
        kind = kind if by_argmax(labelled.competition) else f"{labelled.competition.metric.name} of {kind}"
        raise UserError(f"there is no blender {name!r} for {kind}; there are {', '.join(able)}")
