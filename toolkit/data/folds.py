"""Which sample is validated when: the cleaning list obeyed, groups kept whole, folds as even as can be."""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from toolkit.data.cleaning import cleaning_hash
from toolkit.data.dataset import CHUNK, data_hash, hash_sample, relabel
from toolkit.errors import UserError
from toolkit.store import Workspace, hash_json
from toolkit.task import Classification, Task

LEFT_OUT = -1  # the fold of a sample that the cleaning list drops
HELD_OUT = -2  # the fold of a sample of the holdout: neither trained on nor scored as out of fold
EXACT = 2**53  # whole numbers up to here are exact in float64
CANDIDATES = 256  # groups of a fold that are tried for one exchange
EXCHANGES = 50  # between two folds in a row
STARTS = 16  # assignments that are made and improved, the best of which is kept; fewer where groups are many
GROUPS = 16_000  # groups assigned in all starts together, about
SWEEPS = 20  # over all pairs of folds, at most: they end with the first that leaves more than this of the cost
WORTHWHILE = 0.999


def make_folds(
    targets: np.ndarray,
    ids: np.ndarray,
    groups: np.ndarray,
    task: Task,
    cleaning: pd.DataFrame,
    inputs: dict[str, Any],
) -> pd.DataFrame:
    """The table for inputs["folds"] folds, with `inputs` kept in its attrs.

    Columns index, fold, group, label (Int64: what the cleaning list says the label is; missing: as in the
    file), and for each further repeat r of inputs["repeats"] one `fold_<r>` from the seed plus r. The samples
    of inputs["holdout"], a share, are held out of all repeats.
    """
    options = {"repeats": 1, "holdout": 0.0} | inputs
    merged = merge_groups(groups, ids, cleaning)
    kept = ~np.isin(ids, cleaning.loc[cleaning["action"] == "drop", "index"])
    number, parts = len(np.unique(merged[kept])), options["folds"] + (options["holdout"] > 0)
    if number < parts:
        what = f"{options['folds']} folds" + (" and a holdout" if options["holdout"] else "")
        raise UserError(f"{number} groups can't fill {what}; ask for fewer")
    lines = cleaning[cleaning["action"] == "relabel"]
    labels = pd.Series(lines["value"].astype("int64").to_numpy(), index=lines["index"], dtype="Int64")
    table = pd.DataFrame({"index": ids, "fold": LEFT_OUT, "group": merged})
    table["label"] = labels[~labels.index.duplicated()].reindex(ids).array
    contents = describe(relabel(targets, relabels(table)), task)
    left = kept.copy()
    for repeat in range(options["repeats"]):
        holdout = options["holdout"] if repeat == 0 else 0.0
        fold = np.where(kept, HELD_OUT, LEFT_OUT)
        fold[left] = assign(contents[left], merged[left], options["folds"], options["seed"] + repeat, holdout)
        left = fold >= 0
        table[f"fold_{repeat}" if repeat else "fold"] = fold
    table.attrs.update(inputs)
    return table


def describe(targets: np.ndarray, task: Task) -> np.ndarray:
    """What has to be even, int64 (N, K): one-hot labels; for masks, which classes occur, then pixels of each."""
    classes = len(task.classes)
    if isinstance(task, Classification):
        return (targets[:, None] == np.arange(classes)).astype(np.int64)
    pixels = np.empty((len(targets), classes), np.int64)
    for start in range(0, len(targets), CHUNK):
        chunk = targets[start : start + CHUNK]
        for label in range(classes):
            pixels[start : start + CHUNK, label] = np.count_nonzero(chunk == label, axis=(1, 2))
    return np.concatenate([(pixels > 0).astype(np.int64), pixels], axis=1)


def assign(contents: np.ndarray, groups: np.ndarray, folds: int, seed: int, holdout: float = 0.0) -> np.ndarray:
    """Fold of every sample, int64 (N,), groups kept whole; HELD_OUT for about the share `holdout` of them.

    What is even: each column of contents, counts (N, K), and the number of samples. The objective: as few
    columns missing from a fold as can be (from the holdout: second to that); then the least sum, over columns
    and folds, of weight² (share of the column's total - share wanted)² / share wanted, with the weight 3 for
    samples, 2 for what a sample has or has not, 1 for amounts such as pixels. Several random greedy assignments
    (as in scikit-learn's StratifiedGroupKFold, rare things first) are improved by moving a group or exchanging
    two between two folds while that helps.

    Depends on the seed alone, on any machine: shares are whole numbers so small that sums and products are
    exact in float64, in whatever order a library adds them up, and the effort is bounded in steps, not seconds.
    """
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
    random = np.random.default_rng(seed)
    best, least = np.empty(0, np.int64), (math.inf, math.inf)
    holders = (shares > 0).sum(0)
    unavoidable = sum(np.sort(penalty)[: max(0, len(wanted) - n)].sum() for n in holders)
    starts = min(STARTS, 1 + GROUPS // len(names))
    for start in range(8 * starts):
        if start >= starts and least[0] <= unavoidable:
            break
        # where a class is missing that need not be, random assignments lead out of the greedy one's neighbourhood
        part = _greedy(problem, random) if start < starts else random.integers(len(wanted), size=len(names))
        cost = _improve(problem, part, random)
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


def _greedy(problem: _Problem, random: np.random.Generator) -> np.ndarray:
    """Part of each group: those with much of something rare first, each where the objective grows least."""
    shares, weights = problem.shares, problem.weights
    part = np.empty(len(shares), np.int64)
    filled = np.zeros((len(weights), shares.shape[1]))
    squares = (shares**2).sum(1)
    for group in np.argsort(-shares.max(1) * random.uniform(0.5, 1, len(shares)), kind="stable"):
        # adding t to a part that holds f changes its sum of squares by w (2 f·t + |t|²)
        part[group] = (weights * (2 * (filled @ shares[group]) + squares[group])).argmin()
        filled[part[group]] += shares[group]
    return part


def _improve(problem: _Problem, part: np.ndarray, random: np.random.Generator) -> tuple[float, float]:
    """Move and exchange groups, in place, while that helps; the penalties and the sum of squares then."""
    filled = np.stack([problem.shares[part == k].sum(0) for k in range(len(problem.weights))])
    pairs = list(combinations(range(len(problem.weights)), 2))
    cost = _cost(problem, filled)
    for _ in range(SWEEPS):
        for at in random.permutation(len(pairs)):
            a, b = pairs[at]
            _exchange(problem, part, filled, a, b, random)
        before, cost = cost, _cost(problem, filled)
        if cost[0] == before[0] and cost[1] > WORTHWHILE * before[1]:
            break
    return cost


def _cost(problem: _Problem, filled: np.ndarray) -> tuple[float, float]:
    squares = problem.weights[:, None] * (filled - problem.wanted) ** 2
    return float(((filled == 0).sum(1) * problem.penalty).sum()), math.fsum(squares.ravel())


def _exchange(
    problem: _Problem, part: np.ndarray, filled: np.ndarray, a: int, b: int, random: np.random.Generator
) -> None:
    """Exchange groups between the parts a and b, in place, while that helps."""
    one, other = (_candidates(problem, np.flatnonzero(part == k), filled, random) for k in (a, b))
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


def _candidates(problem: _Problem, members: np.ndarray, filled: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Groups of a part to try, one of each kind, and -1 for none; those with what a part lacks come first."""
    members = members[np.unique(problem.kinds[members], return_index=True)[1]]
    if len(members) > CANDIDATES:
        lacking = problem.shares[members][:, (filled == 0).any(0)].sum(1) > 0
        members = members[np.argsort(-(lacking + random.random(len(members))), kind="stable")[:CANDIDATES]]
    return np.append(members, -1)


def merge_groups(groups: np.ndarray, ids: np.ndarray, cleaning: pd.DataFrame) -> np.ndarray:
    """Groups after the cleaning list's `group` lines: lines of equal value become one, chains too.

    Numbered by first appearance, so that the same partition has the same numbers however it was written.
    """
    _, merged = np.unique(groups, return_inverse=True)
    listed = cleaning[cleaning["action"] == "group"]
    row_of = {int(name): row for row, name in enumerate(ids)}
    left, right = [], []
    for _, lines in listed.groupby("value"):
        rows = [row_of[int(name)] for name in lines["index"]]
        left += [merged[rows[0]]] * len(rows)
        right += [merged[row] for row in rows]
    joined = connect(int(merged.max()) + 1, np.stack([left, right], axis=1))[merged]
    return pd.factorize(joined)[0].astype(np.int64)


def with_equal_pictures(groups: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Groups, int64 (N,), of which those with pictures that are the same to the last bit are one."""
    _, number = np.unique(groups, return_inverse=True)
    first: dict[str, int] = {}
    pairs = [(number[first.setdefault(hash_sample(image), row)], number[row]) for row, image in enumerate(images)]
    return connect(int(number.max()) + 1, pairs)[number]


def connect(number: int, pairs: ArrayLike) -> np.ndarray:
    """Group of each of `number` rows, int64: rows joined by a chain of pairs (M, 2) share theirs."""
    left, right = np.array(pairs, np.int64).reshape(-1, 2).T
    links = coo_array((np.ones(len(left)), (left, right)), shape=(number, number))
    return connected_components(links, directed=False)[1].astype(np.int64)


def relabels(table: pd.DataFrame) -> np.ndarray:
    """Rows of the dataset and the labels they get in place of the file's, int64 (n, 2)."""
    rows = np.flatnonzero(table["label"].notna())
    return np.stack([rows, table["label"].iloc[rows].to_numpy(np.int64)], axis=1)


def folds_hash(table: pd.DataFrame) -> str:
    """Names the split itself: which row is in which fold and group, under which label."""
    return hash_json([*(table[name].tolist() for name in ("index", "fold", "group")), relabels(table).tolist()])


def stored_folds(workspace: Workspace) -> pd.DataFrame | None:
    """The table on disk, whatever it was made from; None where there is none, or one of an older version."""
    if not workspace.folds.exists():
        return None
    try:
        table = pd.read_parquet(workspace.folds)
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{workspace.folds} is damaged ({reason}); remove it and run the folds again") from None
    return table if "label" in table else None


def read_folds(workspace: Workspace) -> pd.DataFrame:
    """The table; UserError where it was made from other data or another cleaning list than those at hand."""
    table = stored_folds(workspace)
    if table is None:
        raise UserError(f"there is no {workspace.folds} yet; run `python -m toolkit.folds` first")
    if table.attrs["data"] != data_hash(workspace.data):
        raise UserError(f"{workspace.folds} was made from other data; run `python -m toolkit.folds` again")
    if table.attrs["cleaning"] != cleaning_hash(workspace):
        raise UserError(f"{workspace.cleaning} has changed since the folds; run `python -m toolkit.folds` again")
    return table
