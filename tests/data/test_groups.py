"""Samples of one origin become one group."""

import numpy as np
import pandas as pd

from toolkit.data.groups import connect, merge_groups, with_equal_pictures


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
    group = with_equal_pictures(np.array([7, 7, 2, 3, 3]), np.array([9, 1, 2, 3, 9], np.uint64))
    assert group[0] == group[1] == group[3] == group[4] != group[2]
