"""Folds as even as a search makes them: groups stay whole, and every fold holds as many classes as can be."""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

HELD_OUT = -2  # the fold of a sample of the holdout: only what is handed in is scored on it
EXACT = 2**53  # whole numbers up to here are exact in float64
CANDIDATES = 256  # groups of a fold that are tried for one exchange
EXCHANGES = 50  # between two folds in a row
STARTS = 16  # assignments that are made and improved, the best of which is kept; fewer where groups are many
GROUPS = 16_000  # groups assigned in all starts together, about
SWEEPS = 20  # over all pairs of folds, at most: they end with the first that leaves more than this of the cost
WORTHWHILE = 0.999


def assign(
    contents: "np.ndarray | csr_array", groups: np.ndarray, folds: int, seed: int, holdout: float = 0.0
) -> np.ndarray:
    """Fold of every sample, int64 (N,), groups kept whole; HELD_OUT for about the share `holdout` of them.

    What is even: each column of contents, counts (N, K), and the number of samples. The objective: as few
    columns missing from a fold as can be (from the holdout: second to that); then the least sum, over columns
    and folds, of weight² (share of the column's total - share wanted)² / share wanted, with the weight 3 for
    samples, 2 for what a sample has or has not, 1 for amounts such as pixels. Several random greedy assignments
    (as in scikit-learn's StratifiedGroupKFold, rare things first) are improved by moving a group or exchanging
    two between two folds while that helps.

    Depends on the seed alone, on any machine: shares are whole numbers so small that sums and products are
    exact in float64, in whatever order a library adds them up, and the effort is bounded in steps, not seconds.
    Sparse contents, of thousands of classes, are assigned greedily, as `assign_sparse` does.
    """
    if not isinstance(contents, np.ndarray):
        from toolkit.data.balance_sparse import assign_sparse

        part = assign_sparse(contents, groups, folds, seed, holdout)
        return np.where(part == folds, HELD_OUT, part)
    names, inverse = np.unique(groups, return_inverse=True)
    columns = np.column_stack([np.ones(len(contents)), contents])
    totals = np.stack([np.bincount(inverse, column, len(names)) for column in columns.T], axis=1)
    importance = np.where(columns.max(0) > 1, 1.0, 2.0)
    importance[0] = 3.0
    totals, importance = totals[:, totals.any(0)], importance[totals.any(0)]
    wanted = np.array([(1 - holdout) / folds] * folds + [holdout] * (holdout > 0))
    weights = wanted[0] / wanted
    scale = math.floor(math.sqrt(EXACT / 8 / ((importance**2).sum() * weights.max())))
    shares = np.rint(totals * (scale * importance / totals.sum(0)))
    penalty = np.where(np.arange(len(wanted)) < folds, totals.shape[1] + 1.0, 1.0)
    kinds = np.unique(shares, axis=0, return_inverse=True)[1]
    problem = _Problem(shares, kinds, scale * importance * wanted[:, None], weights, penalty)
    rng = np.random.default_rng(seed)
    best, least = np.empty(0, np.int64), (math.inf, math.inf)
    holders = (shares > 0).sum(0)
    unavoidable = sum(np.sort(penalty)[: max(0, len(wanted) - n)].sum() for n in holders)
    starts = min(STARTS, 1 + GROUPS // len(names))
    for start in range(8 * starts):
        if start >= starts and least[0] <= unavoidable:
            break
        # where a class is missing that need not be, random assignments lead out of the greedy one's neighbourhood
        part = _greedy(problem, rng) if start < starts else rng.integers(len(wanted), size=len(names))
        cost = _improve(problem, part, rng)
        if cost < least:
            best, least = part, cost
    return np.where(best == folds, HELD_OUT, best)[inverse]


@dataclass(frozen=True)
class _Problem:
    """Groups to be put into parts: the folds and, last, the holdout if there is one."""

    shares: np.ndarray  # float64 (G, J): whole numbers, what each group holds of each column
    kinds: np.ndarray  # (G,): equal for groups of equal shares
    wanted: np.ndarray  # (P, J): what a part should hold of each column
    weights: np.ndarray  # (P,): share wanted by a fold / share wanted by this part
    penalty: np.ndarray  # (P,): for a column that is missing from the part


def _greedy(problem: _Problem, rng: np.random.Generator) -> np.ndarray:
    """Part of each group: those with much of something rare first, each where the objective grows least."""
    shares, weights = problem.shares, problem.weights
    part = np.empty(len(shares), np.int64)
    filled = np.zeros((len(weights), shares.shape[1]))
    squares = (shares**2).sum(1)
    for group in np.argsort(-shares.max(1) * rng.uniform(0.5, 1, len(shares)), kind="stable"):
        # adding t to a part that holds f changes its sum of squares by w (2 f·t + |t|²)
        part[group] = (weights * (2 * (filled @ shares[group]) + squares[group])).argmin()
        filled[part[group]] += shares[group]
    return part


def _improve(problem: _Problem, part: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Move and exchange groups, in place, while that helps; the penalties and the sum of squares then."""
    filled = np.stack([problem.shares[part == k].sum(0) for k in range(len(problem.weights))])
    pairs = list(combinations(range(len(problem.weights)), 2))
    cost = _cost(problem, filled)
    for _ in range(SWEEPS):
        for at in rng.permutation(len(pairs)):
            a, b = pairs[at]
            _exchange(problem, part, filled, a, b, rng)
        before, cost = cost, _cost(problem, filled)
        if cost[0] == before[0] and cost[1] > WORTHWHILE * before[1]:
            break
    return cost


def _cost(problem: _Problem, filled: np.ndarray) -> tuple[float, float]:
    squares = problem.weights[:, None] * (filled - problem.wanted) ** 2
    return float(((filled == 0).sum(1) * problem.penalty).sum()), math.fsum(squares.ravel())


def _exchange(
    problem: _Problem, part: np.ndarray, filled: np.ndarray, a: int, b: int, rng: np.random.Generator
) -> None:
    """Exchange groups between the parts a and b, in place, while that helps."""
    from scipy.spatial.distance import cdist

    one, other = (_candidates(problem, np.flatnonzero(part == k), filled, rng) for k in (a, b))
    nothing = np.zeros((1, filled.shape[1]))
    left, right = (np.concatenate([problem.shares[groups[:-1]], nothing]) for groups in (one, other))
    weight = problem.weights[a] + problem.weights[b]
    missing = EXACT / 2 * problem.penalty  # more than the sum of squares can ever be
    # not a matrix product: its threads made this ten times as slow where other processes had the cores
    apart = weight * cdist(left, right, "sqeuclidean")
    for _ in range(EXCHANGES):
        # t = left - right, taken from a to b, changes the sum of squares by 2 t·slope + weight |t|²
        slope = np.rint(problem.weights[b] * filled[b] - problem.weights[a] * filled[a])
        change = apart + 2 * (left * slope).sum(1)[:, None] - 2 * (right * slope).sum(1)
        for c in np.flatnonzero((filled[a] <= left.max(0)) | (filled[b] <= right.max(0))):
            taken = left[:, None, c] - right[:, c]
            change += missing[a] * ((filled[a, c] == taken) * 1.0 - (filled[a, c] == 0))
            change += missing[b] * ((filled[b, c] == -taken) * 1.0 - (filled[b, c] == 0))
        i, j = np.unravel_index(int(change.argmin()), change.shape)
        taken = left[i] - right[j]
        if change[i, j] >= -np.abs(taken).sum():  # no more than a rounded slope can pretend
            break
        filled[a] -= taken
        filled[b] += taken
        one[i], other[j] = other[j], one[i]
        left[i], right[j] = right[j].copy(), left[i].copy()
        apart[i] = weight * cdist(left[i : i + 1], right, "sqeuclidean")[0]
        apart[:, j] = weight * cdist(left, right[j : j + 1], "sqeuclidean")[:, 0]
        part[one[one >= 0]], part[other[other >= 0]] = a, b


def _candidates(problem: _Problem, members: np.ndarray, filled: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Groups of a part to try, one of each kind, and -1 for none; those with what a part lacks come first."""
    members = members[np.unique(problem.kinds[members], return_index=True)[1]]
    if len(members) > CANDIDATES:
        lacking = problem.shares[members][:, (filled == 0).any(0)].sum(1) > 0
        members = members[np.argsort(-(lacking + rng.random(len(members))), kind="stable")[:CANDIDATES]]
    return np.append(members, -1)
