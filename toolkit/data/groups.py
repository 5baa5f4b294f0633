"""Samples of one origin, which stay on one side of every split."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


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


def with_equal_pictures(groups: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """Groups, int64 (N,), of which those with equal pictures, by their hashes (N,), are one."""
    _, number = np.unique(groups, return_inverse=True)
    _, first, picture = np.unique(pictures, return_index=True, return_inverse=True)
    return connect(int(number.max()) + 1, np.stack([number[first[picture]], number], axis=1))[number]


def shared(group: np.ndarray) -> list[np.ndarray]:
    """Rows, int64, of each group (N,) that has several, in the order of the groups' numbers."""
    order = np.argsort(group, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    return [rows for rows in parts if len(rows) > 1]


def connect(number: int, pairs: ArrayLike) -> np.ndarray:
    """Group of each of `number` rows, int64: rows joined by a chain of pairs (M, 2) share theirs."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    left, right = np.array(pairs, np.int64).reshape(-1, 2).T
    links = coo_array((np.ones(len(left)), (left, right)), shape=(number, number))
    return connected_components(links, directed=False)[1].astype(np.int64)
