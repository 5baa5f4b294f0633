"""Samples of one origin, which stay on one side of every split."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from toolkit.data.image_sets import ImageSets
from toolkit.images.pictures import READ, rows_of

REPEATS = 5  # one picture, or one patterned mask, in more samples than this is no chance
FLAT = 2.0  # grey levels of spread below which a picture is empty, which any number may be


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


def equal_pictures(pictures: np.ndarray) -> tuple[np.ndarray, ...]:
    """Rows, int64, of images that are the same to the last bit, two or more each, by their hashes (N,); none of what
    couldn't be read.
    """
    read = np.flatnonzero(pictures >= READ)
    _, number, times = np.unique(pictures[read], return_inverse=True, return_counts=True)
    again = read[times[number] > 1]
    return tuple(again[rows] for rows in rows_of(pictures[again]).values())


def empty_pictures(same: Iterable[np.ndarray], images: Any) -> frozenset[int]:
    """The first rows of those equal pictures in which there is nothing to see; images: (N, H, W, C)."""
    return frozenset(int(rows[0]) for rows in same if is_empty(images, int(rows[0])))


def is_empty(images: Any, row: int) -> bool:
    """Is there nothing to see in that one of images (N, H, W, C), or in any image of that set?"""
    if isinstance(images, ImageSets):
        return all(_is_flat(images.images[at]) for at in images.members(np.array([row]))[0].tolist())
    return _is_flat(images[row])


def _is_flat(image: np.ndarray) -> bool:
    """In each channel, as glass and water have a colour."""
    return bool(np.std(np.asarray(image, np.float32), axis=(0, 1)).max() < FLAT)


def with_equal_pictures(groups: np.ndarray, pictures: np.ndarray, images: Any, left_out: np.ndarray) -> np.ndarray:
    """Groups, int64 (N,), of which those that equal pictures, by their hashes (N,), join are one: see `kept_together`.

    images: (N, H, W, C), of which those that would join groups are looked at: empty ones don't. left_out: bool (N,),
    samples that are neither trained on nor scored.
    """
    _, number = np.unique(groups, return_inverse=True)
    joining = [
        rows
        for rows in kept_together(equal_pictures(pictures), number, left_out)
        if (number[rows] != number[rows[0]]).any() and not is_empty(images, int(rows[0]))
    ]
    return connect(int(number.max()) + 1, chained(number[rows] for rows in joining))[number]


def kept_together(same: Iterable[np.ndarray], groups: np.ndarray, left_out: np.ndarray) -> Iterator[np.ndarray]:
    """Of rows of equal pictures those that share a group, int64 (n,), two or more each.

    A sample that is alone in its group, of groups (N,), shares one with the others, as that divides nothing else. What
    has a group with others brings it along unless it is left out, bool (N,), or the picture lies in more than REPEATS
    such groups: a logo would make one group of all of them.
    """
    single = alone(groups)
    for rows in same:
        bringing = rows[~single[rows] & ~left_out[rows]]
        if len(bringing) > REPEATS and len(np.unique(groups[bringing])) > REPEATS:
            bringing = bringing[:0]
        together = np.sort(np.concatenate([rows[single[rows]], bringing]))
        if len(together) > 1:
            yield together


def alone(groups: np.ndarray) -> np.ndarray:
    """bool (N,): samples that are a group of their own."""
    _, number, size = np.unique(groups, return_inverse=True, return_counts=True)
    return np.asarray(size[number] == 1)


def chained(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Pairs, int64 (M, 2), that connect what is in one part: its first with each other."""
    return np.array([(part[0], other) for part in parts for other in part[1:]], np.int64).reshape(-1, 2)


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
