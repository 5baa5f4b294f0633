"""Samples of one origin become one group."""

import numpy as np
import pandas as pd

from toolkit.data.groups import REPEATS, connect, equal_pictures, is_empty, merge_groups, with_equal_pictures
from toolkit.data.image_sets import ImageSets
from toolkit.images.pictures import READ, hash_pictures

NOISE = np.random.default_rng(0).integers(0, 256, (100, 8, 8, 3)).astype(np.uint8)


def joined(groups: list[int], images: np.ndarray, left_out: list[int] | None = None) -> list[set[int]]:
    """Rows of each group that has several, by the groups of these samples, and their pictures."""
    out = np.isin(np.arange(len(groups)), left_out or [])
    found = with_equal_pictures(np.array(groups), hash_pictures(images), images, out)
    parts = [set(np.flatnonzero(found == group).tolist()) for group in np.unique(found)]
    return sorted((part for part in parts if len(part) > 1), key=min)


def test_chains_of_group_lines_become_one_group() -> None:
    cleaning = pd.DataFrame({"index": [1, 2, 2, 3], "action": "group", "value": ["x", "x", "y", "y"]})
    merged = merge_groups(np.arange(5), np.arange(5), cleaning)
    assert merged[1] == merged[2] == merged[3]
    assert len(set(merged)) == 3


def test_chains_of_pairs_become_one_group() -> None:
    group = connect(6, [(0, 2), (2, 5), (3, 4)])
    assert group[0] == group[2] == group[5] != group[3] == group[4]
    assert len(set(connect(3, []))) == 3


def test_equal_pictures_join_their_groups() -> None:
    assert joined([7, 7, 2, 3, 3], NOISE[[0, 1, 2, 3, 0]]) == [{0, 1, 3, 4}]


def test_what_cannot_be_read_is_no_picture_and_joins_nothing() -> None:
    pictures = np.array([0, 7, 0, 7, READ + 7, READ + 7], np.uint64)
    assert [rows.tolist() for rows in equal_pictures(pictures)] == [[4, 5]]
    groups = np.array([1, 1, 2, 3, 4, 5])
    found = with_equal_pictures(groups, pictures, NOISE, np.zeros(6, bool))
    assert found[0] == found[1] and found[4] == found[5] and len(set(found)) == 4


def test_an_empty_picture_joins_nothing_whatever_its_colour() -> None:
    images = NOISE[:6].copy()
    images[[1, 3]] = 240, 225, 235  # pink glass
    images[[2, 5]] = images[2]
    assert joined([1, 1, 2, 2, 3, 4], images) == [{0, 1}, {2, 3, 5}]
    assert is_empty(images, 1) and not is_empty(images, 0)


def test_a_set_is_empty_where_all_of_its_images_are() -> None:
    images = NOISE[:4].copy()
    images[0], images[1:3] = 0, 255
    sets = ImageSets(images, np.array([0, 0, 1, 1]))
    assert is_empty(sets, 0) and not is_empty(sets, 1)


def test_what_is_left_out_does_not_bring_its_group_along() -> None:
    images = NOISE[[0, 1, 0, 3, 0]]
    assert joined([1, 1, 2, 2, 3], images, [0]) == [{0, 1}, {2, 3, 4}]
    assert joined([1, 1, 2, 2, 3], images, [0, 2]) == [{0, 1}, {2, 3}]


def test_a_picture_in_very_many_groups_makes_no_single_one_of_them() -> None:
    number = REPEATS + 1
    images = NOISE[: 2 * number + 3].copy()
    images[0 : 2 * number : 2] = images[0]  # a logo in groups of two
    images[-2:] = images[0]
    groups = [*np.repeat(np.arange(number), 2).tolist(), number, number + 1, number + 2]
    pairs = [{2 * pair, 2 * pair + 1} for pair in range(number)]
    assert joined(groups, images) == [*pairs, {2 * number + 1, 2 * number + 2}], "those alone are kept together"
    assert joined(groups, images, [0]) == [{0, 1}, set(range(2, 2 * number)) | {2 * number + 1, 2 * number + 2}]
    assert joined(list(range(number)), NOISE[[3] * number]) == [set(range(number))], "nothing else is divided by it"
