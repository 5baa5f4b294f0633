"""Folds of samples of thousands of classes: one pass over the groups, rare classes first."""

from typing import TYPE_CHECKING

import numpy as np

from toolkit.compiled import compiled

if TYPE_CHECKING:
    from scipy.sparse import csr_array

SAMPLES, CLASSES = 3.0, 2.0  # weights of the number of samples, beside all classes, and of each class
STARTS = 4  # of which the best is kept


def assign_sparse(
    contents: "csr_array", groups: np.ndarray, folds: int, seed: int, holdout: float = 0.0
) -> np.ndarray:
    """Fold of every sample, int64 (N,), groups kept whole; `folds` for the share that is held out, about `holdout`.

    contents: which classes a sample holds, (N, K). Each group goes where it makes least uneven what it holds, as in
    scikit-learn's StratifiedGroupKFold: first to a fold that lacks a class of it, then by the sum of squared relative
    deviations, in which the number of samples weighs more than all classes. Sums are made in one order, so that folds
    follow from the seed on any machine.
    """
    from scipy.sparse import csr_array

    names, inverse = np.unique(groups, return_inverse=True)
    member = csr_array((np.ones(len(inverse)), (inverse, np.arange(len(inverse)))), (len(names), len(inverse)))
    held = csr_array(member @ contents.astype(np.float64))
    held.sort_indices()
    totals, sizes = held.sum(0), np.bincount(inverse).astype(np.float64)
    wanted = np.array([(1 - holdout) / folds] * folds + [holdout] * (holdout > 0))
    shares = held.data / totals[held.indices] * CLASSES
    rarity = np.maximum.reduceat(shares, held.indptr[:-1])
    sizes = sizes * (SAMPLES * held.shape[1] ** 0.5 / sizes.sum())
    rng = np.random.default_rng(seed)
    best, least = np.empty(0, np.int64), (np.inf, np.inf)
    for _ in range(STARTS):
        order = np.argsort(-rarity * rng.uniform(0.5, 1, len(names)), kind="stable")
        part, filled = _dealt(order, held.indptr, held.indices, shares, sizes, held.shape[1], wanted, folds)
        counts = filled[:, :-1][:, totals > 0]
        missing = float((counts[:folds] == 0).sum())
        off = filled - filled.sum(0) * wanted[:, None]
        cost = missing, float(((off**2).sum(1) / wanted).sum())
        if cost < least:
            best, least = part, cost
    return best[inverse]


@compiled
def _dealt(
    order: np.ndarray,
    starts: np.ndarray,
    columns: np.ndarray,
    shares: np.ndarray,
    sizes: np.ndarray,
    number: int,
    wanted: np.ndarray,
    folds: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Part of each group, int64 (G,), and what the parts hold, (P, K + 1): shares of classes and, last, samples."""
    part = np.empty(len(order), np.int64)
    filled = np.zeros((len(wanted), number + 1))
    for group in order:
        chosen, fewest, least = 0, -1, np.inf
        for p in range(len(wanted)):
            lacking, cost = 0, (2 * filled[p, number] + sizes[group]) * sizes[group]
            for i in range(starts[group], starts[group + 1]):
                had = filled[p, columns[i]]
                lacking += had == 0 and p < folds
                cost += (2 * had + shares[i]) * shares[i]
            cost /= wanted[p]
            if lacking > fewest or (lacking == fewest and cost < least):
                chosen, fewest, least = p, lacking, cost
        part[group] = chosen
        filled[chosen, number] += sizes[group]
        for i in range(starts[group], starts[group + 1]):
            filled[chosen, columns[i]] += shares[i]
    return part, filled
