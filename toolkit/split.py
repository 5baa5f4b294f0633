"""Which sample is validated when: the cleaning list obeyed, groups kept whole, folds as even as can be."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from toolkit.competition import Classification, Task
from toolkit.dataset import data_hash
from toolkit.errors import UserError
from toolkit.store import Workspace, hash_json

LEFT_OUT = -1  # the fold of a sample that the cleaning list drops


def make_folds(
    targets: np.ndarray,
    ids: np.ndarray,
    groups: np.ndarray,
    task: Task,
    cleaning: pd.DataFrame,
    inputs: dict[str, Any],
) -> pd.DataFrame:
    """The table for inputs["folds"] folds, with `inputs` kept in its attrs."""
    merged = merge_groups(groups, ids, cleaning)
    kept = ~np.isin(ids, cleaning.loc[cleaning["action"] == "drop", "index"])
    if len(np.unique(merged[kept])) < inputs["folds"]:
        raise UserError(f"{len(np.unique(merged[kept]))} groups can't fill {inputs['folds']} folds; ask for fewer")
    fold = np.full(len(ids), LEFT_OUT)
    contents = describe(targets[kept], task)
    fold[kept] = assign(contents, merged[kept], inputs["folds"], inputs["seed"])
    table = pd.DataFrame({"index": ids, "fold": fold, "group": merged})
    table.attrs.update(inputs)
    return table


def describe(targets: np.ndarray, task: Task) -> np.ndarray:
    """What has to be even, float64 (N, K): for masks, which classes occur and how much of each."""
    if isinstance(task, Classification):
        return np.eye(len(task.classes))[targets]
    pixels = np.stack([(targets == i).mean((1, 2)) for i in range(len(task.classes))], axis=1)
    return np.concatenate([pixels > 0, pixels], axis=1).astype(np.float64)


def assign(contents: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Fold of every sample, int64 (N,), groups kept whole.

    Greedy: groups with the largest share of something rare come first, and each goes where the sum of
    squared deviations from an even split grows least. The rule is scikit-learn's StratifiedGroupKFold's,
    with several properties a sample in place of one label.
    """
    names, inverse = np.unique(groups, return_inverse=True)
    samples = np.ones((len(contents), 1))
    shares = np.concatenate([contents, samples], axis=1)
    shares = shares / np.maximum(shares.sum(0), 1e-12)
    totals = np.zeros((len(names), shares.shape[1]))
    np.add.at(totals, inverse, shares)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-totals[order].max(1), kind="stable")]
    filled = np.zeros((folds, shares.shape[1]))
    chosen = np.empty(len(names), np.int64)
    for group in order:
        # adding t to a fold that holds f changes the sum of squares by 2 f·t + |t|²; |t|² is the same for all
        costs = filled @ totals[group]
        chosen[group] = int(costs.argmin())
        filled[chosen[group]] += totals[group]
    return chosen[inverse]


def merge_groups(groups: np.ndarray, ids: np.ndarray, cleaning: pd.DataFrame) -> np.ndarray:
    """Groups after the cleaning list's `group` lines: lines of equal value become one, chains too."""
    _, merged = np.unique(groups, return_inverse=True)
    listed = cleaning[cleaning["action"] == "group"]
    row_of = {int(name): row for row, name in enumerate(ids)}
    left, right = [], []
    for _, lines in listed.groupby("value"):
        rows = [row_of[int(name)] for name in lines["index"]]
        left += [merged[rows[0]]] * len(rows)
        right += [merged[row] for row in rows]
    nodes = int(merged.max()) + 1
    links = coo_array((np.ones(len(left)), (np.array(left, int), np.array(right, int))), shape=(nodes, nodes))
    return connected_components(links, directed=False)[1][merged].astype(np.int64)


def read_cleaning(workspace: Workspace, ids: np.ndarray) -> pd.DataFrame:
    """The cleaning list, checked line by line; empty where there is none."""
    columns = ["index", "action", "value", "reason", "confidence"]
    path = workspace.cleaning
    if not path.exists():
        return pd.DataFrame(columns=columns)
    try:
        lines = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read ({error}); remove it and run the audit again") from None
    if not {"index", "action", "value"} <= set(lines.columns):
        raise UserError(f"{path} must have the columns {', '.join(columns)}, it has {', '.join(lines.columns)}")
    known = {str(name) for name in ids}
    for number, (name, action, value) in enumerate(lines[["index", "action", "value"]].to_numpy(), start=2):
        if name not in known:
            raise UserError(f"{path} line {number}: the training file has no row {name!r}")
        if action not in ("drop", "group"):
            raise UserError(f"{path} line {number}: action {action!r} is not one of drop, group")
        if action == "group" and not value:
            raise UserError(f"{path} line {number}: action group needs a value, the same for all its members")
    return lines.assign(index=lines["index"].astype("int64"))


def folds_hash(table: pd.DataFrame) -> str:
    """Names the split itself: which row is in which fold."""
    return hash_json([table["index"].tolist(), table["fold"].tolist()])


def read_folds(workspace: Workspace) -> pd.DataFrame:

    if not workspace.folds.exists():
        raise UserError(f"there is no {workspace.folds} yet; run `python -m toolkit.folds` first")
    table = pd.read_parquet(workspace.folds)
    if table.attrs["data"] != data_hash(workspace.data):
        raise UserError(f"{workspace.folds} was made from other data; run `python -m toolkit.folds` again")
    return table
