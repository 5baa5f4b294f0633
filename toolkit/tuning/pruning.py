"""When to prune a trial of a k-fold search.

A trial is compared with the best finished one on the folds that both have, group by group, in the official
metric. Two things make such a difference uncertain, and both are asked: which samples were validated, and how a
training happens to go, which no number of samples shows.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from toolkit.scoring.bootstrap import jackknife_variance, without_groups
from toolkit.scoring.selection import (
    Folds,
    FoldTally,
    in_order,
    merits_by_fold,
    part_merit,
    part_score,
    pooled,
    pooled_score,
    residual_variance,
)

THRESHOLD = 0.1  # how likely a trial as good as the best may be pruned, all its folds together
WARM_UP = 1 / 3  # of the epochs: before, learning curves say little of where they end
PEERS = 8  # curves from which on one can be judged by them
PAIRS = 2  # trials with both of two folds, from which on these can be compared
FINISHED = 5  # trials from which on their median says something
Curves = Mapping[int, Mapping[float, float]]  # fold → share of the epochs → watched score, the last one its end


@dataclass(frozen=True)
class Noise:
    """What finished trials say of chance. variance: of a fold's score, but for what the trial and the fold themselves
    explain; freedom: degrees of it; luck: by how much the best one's score is likely to be above its worth."""

    variance: float
    freedom: int
    luck: float = 0.0


def worse(trial: Folds, best: Folds, noise: Noise | None = None) -> float:
    """The p-value of "the trial is at least as good as the best", from the folds that both have; 1 without any.

    Of classes that have a sample there. The difference of the two scores is divided by its standard error from the
    jackknife: both scores anew without each group in turn. So it is paired, samples of one origin count once, and a
    metric that has no value for a single group, as mean IoU, needs no rule of its own. Student's t gives the p-value;
    it is never below that of n equal signs.

    That error is of the samples alone: the same recipe with another seed differs more. `noise` (`fold_noise`) has
    what folds disagree on beyond it; the larger of the two p-values counts. And the best of many has been lucky:
    by so much the difference is lowered.

    Raises ValueError where a fold's groups are not the same in both.
    """
    ours, theirs = _shared(trial, best)
    if not ours:
        return 1.0
    mine, other = pooled(ours).by_held(), pooled(theirs).by_held()
    sign, groups = mine.metric.sign, len(mine)
    difference = sign * (other.score() - mine.score())
    difference -= noise.luck if noise else 0.0
    if not difference > 0 or groups < 2:
        return 1.0
    variance = jackknife_variance(without_groups(other) - without_groups(mine))
    p = max(_tail(difference, variance, groups - 1), 0.5**groups)
    if noise is None:
        return p
    return max(p, _tail(difference, 2 * noise.variance / len(ours), noise.freedom))


def should_prune(trial: Folds, best: Folds, threshold: float = THRESHOLD, noise: Noise | None = None) -> bool:
    """Is the trial, after some of the folds of `best`, likely enough worse? Asked after each fold.

    The threshold is shared out among the questions (Bonferroni), so a trial that is as good as the best is pruned
    with about that probability at most, in all, where `noise` is given; without, more often. A trial that has all
    folds is never pruned: nothing is left to save.
    """
    done = len({fold.number for fold in trial} & {fold.number for fold in best})
    if done in (0, len(best)):
        return False
    return worse(trial, best, noise) < threshold / (len(best) - 1)


def below_median(trial: Folds, finished: Sequence[Folds]) -> bool:
    """Is the trial worse, on the folds that it has, than most finished trials are there?

    The median stopping rule (Golovin et al. 2017) with folds for steps. It gives up more than `should_prune` and is
    surer of nothing: a trial near the best is rarely below the median, one near the median is no loss. Before
    FINISHED trials, and after the last fold, never.
    """
    done = {fold.number for fold in trial}
    if len(finished) < FINISHED or len(done) in (0, len(finished[0])):
        return False
    there = [part_merit([fold for fold in folds if fold.number in done]) for folds in finished]
    return part_merit(trial) < float(np.median(there))


def fold_change(done: Collection[int], finished: Sequence[Folds]) -> float:
    """How the score on all folds differs from that on these, in the mean of the finished trials; 0 without any."""
    changes = [pooled_score(folds) - part_score([fold for fold in folds if fold.number in done]) for folds in finished]
    known = [change for change in changes if not np.isnan(change)]
    return float(np.mean(known)) if known else 0.0


def expected_score(trial: Folds, finished: Sequence[Folds]) -> float:
    """What a trial with these folds is likely to have on all."""
    return part_score(trial) + fold_change([fold.number for fold in trial], finished)


def fold_noise(finished: Sequence[Folds]) -> Noise | None:
    """How much folds disagree about trials: the mean square of a two-way analysis of variance's residuals.

    From the fold scores of all finished trials; None with fewer than two trials or folds. The better half alone would
    be too quiet: a trial with one bad fold isn't among them, though the next one may have it. It holds the samples'
    noise and the training's together, so it needs no repeated seeds; with few trials Student's t has few degrees of
    freedom. The best one's luck is its lead over their mean, times the share of chance in the variance between them:
    shrinkage (James & Stein 1961), which is what the winner's curse takes back.
    """
    if len(finished) < 2 or len(finished[0]) < 2:
        return None
    merits = merits_by_fold(finished)
    variance, freedom = residual_variance(merits)
    means = merits.mean(1)
    between = merits.shape[1] * float(means.var(ddof=1))
    chance = min(1.0, variance / between) if between > 0 else 0.0
    return Noise(variance, freedom, chance * float(means.max() - means.mean()))


def end_if_pruned(
    score: float, epoch_share: float, fold: int, trials: Sequence[Curves], sign: int = 1
) -> float | None:
    """Where a training on its first fold is likely to end, which is pruned inside it; None: it goes on.

    score: that it has at this share of its epochs; trials: the learning curves of those that came before, whether they
    went on or not; sign: -1 where the lower score is the better one. A curve on another fold is moved by what trials
    that have both differ by there, on average.
    Two things must hold. Even with the largest gain that any of them made from here on it would end below their
    median; and none that stood as low here ended above it. The first is the median stopping rule (Golovin et al.
    2017) for scores that are extrapolated by the peers' own gains, as freeze-thaw does with a model (Swersky et
    al. 2014); the second spares those that start late. Before WARM_UP, or with fewer curves than PEERS, never.
    """
    if epoch_share < WARM_UP or epoch_share >= 1:
        return None
    known = sign * np.array(_as_on(fold, epoch_share, trials))
    if len(known) < PEERS:
        return None
    here, ends = known.T
    middle, merit = float(np.median(ends)), sign * score
    if merit + float((ends - here).max()) >= middle or (ends[here <= merit] >= middle).any():
        return None
    return sign * (merit + float(np.median(ends - here)))


def _as_on(fold: int, share: float, trials: Sequence[Curves]) -> list[np.ndarray]:
    """Each curve's score at this share of the epochs and at its end, (2,), as if it had been on the fold."""
    points = [{k: np.array([_at(c, share), c[max(c)]]) for k, c in curves.items() if c} for curves in trials]
    found = []
    for other in sorted({k for curves in points for k in curves}):
        pairs = [curves[other] - curves[fold] for curves in points if other in curves and fold in curves]
        if len(pairs) >= PAIRS:
            differ = np.mean(pairs, axis=0)
            found += [curves[other] - differ for curves in points if other in curves]
    return found


def _shared(trial: Folds, best: Folds) -> tuple[list[FoldTally], list[FoldTally]]:
    of = {fold.number: fold for fold in best}
    mine = [fold for fold in in_order(trial) if fold.number in of]
    other = [of[fold.number] for fold in mine]
    for one, two in zip(mine, other, strict=True):
        if not np.array_equal(one.groups, two.groups):
            raise ValueError(f"fold {one.number} of the two trials has other groups")
    return mine, other


def _tail(difference: float, variance: float, freedom: int) -> float:
    return float(student.sf(difference / np.sqrt(variance), freedom)) if variance > 0 else 0.0


def _at(curve: Mapping[float, float], share: float) -> float:
    shares = sorted(curve)
    return float(np.interp(share, shares, [curve[one] for one in shares]))
