"""What all candidates agree on is counted once; the rest is kept whole, or a part of it that says nearly the same."""

from pathlib import Path

import numpy as np
import pytest

from tests.blending.conftest import CLASSES, Whole, drawn_whole
from toolkit.blending.contested import gather, thinned
from toolkit.blending.greedy import HillClimb, greedy
from toolkit.metrics.confusion import Accuracy, MeanIoU
from toolkit.probabilities import read


def test_what_all_agree_on_is_settled_and_the_rest_contested() -> None:
    values = np.zeros((2, 3, CLASSES), np.uint16)
    values[:, 0, 2] = 9  # both say 2
    values[0, 1, 1] = values[1, 1, 3] = 9  # 1 and 3
    values[:, 2, 0] = 9
    contested = Whole(values, np.array([2, 1, 3]), Accuracy()).contested()
    assert contested.settled[0, 2, 2] == contested.settled[2, 3, 0] == 1 and contested.settled.sum() == 2
    assert [block.row.tolist() for block in contested.blocks if len(block.row)] == [[1]]


def test_what_does_not_fit_in_memory_lies_on_disk_and_changes_nothing(tmp_path: Path) -> None:
    whole, rows = drawn_whole(0, MeanIoU(), pixels=(4, 4)), np.arange(24)
    held, filed = (
        gather([(0, rows, whole.values, whole.targets)], 0 * rows, CLASSES, MeanIoU(), whole.scored, tmp_path, limit)
        for limit in (2**30, 100)
    )
    assert isinstance(filed.blocks[0].values, np.memmap) and not isinstance(held.blocks[0].values, np.memmap)
    assert not isinstance(read(filed.blocks[0].values), np.memmap)
    assert greedy(filed, [0], 50).tolist() == greedy(held, [0], 50).tolist()


def test_thinning_keeps_rare_classes_whole_and_totals_nearly() -> None:
    rng = np.random.default_rng(0)
    targets = np.where(rng.random((24, 20, 20)) < 0.01, 3, rng.integers(3, size=(24, 20, 20)))
    values = rng.integers(255, size=(4, 24, CLASSES, 20, 20)).astype(np.uint16)
    contested = Whole(values, targets, MeanIoU()).contested()
    few = thinned(contested, 300)
    truth = [np.concatenate([block.truth for block in one.blocks]) for one in (contested, few)]
    assert (truth[1] == 3).sum() == (truth[0] == 3).sum() and (truth[1] == 0).sum() <= 300
    assert few.every is not None and few.every[3] == 1 and few.every[0] > 1
    exact, near = (HillClimb(one, [0, 1, 2]).scores() for one in (contested, few))
    assert np.abs(exact - near).max() < 0.03
    with pytest.raises(ValueError, match="can't tell the confusion of a sample"):
        few.confusions(np.ones(4), 0)
