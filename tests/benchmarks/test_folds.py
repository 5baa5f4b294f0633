"""The benchmark of the folds: its measure, worked out by hand, and that every method keeps groups whole."""

import numpy as np
import pytest

from benchmarks.folds import OURS, Case, evenness, generated, lost, measure


def test_evenness_of_a_small_example() -> None:
    held = np.array([[1, 0], [1, 1], [1, 0], [1, 1], [1, 0], [1, 0]])
    case = Case("", 2, held, held * [[10, 4]], np.arange(6))
    found = evenness(case, np.array([0, 0, 0, 0, 1, 1]))
    # 4 and 2 of the 6 samples and of class 0: a third away from 3; both samples of class 1 in fold 0
    assert found["size max"] == pytest.approx(1 / 3)
    assert (found["images max"], found["images mean"]) == pytest.approx((1, (1 / 3 + 1) / 2))
    assert (found["pixels max"], found["pixels mean"]) == pytest.approx((1, (1 / 3 + 1) / 2))
    assert found["missing"] == 1


def test_what_a_peer_does_better_is_said() -> None:
    figures = {OURS: {"size max": 0.2, "seconds": 1.0}, "peer": {"size max": 0.1, "seconds": 0.1}}
    assert lost(figures) == ["size max: ours 0.2000, peer 0.1000"]
    assert not lost({OURS: figures["peer"], "peer": figures[OURS]})


def test_ours_is_at_least_as_even_on_small_generated_data() -> None:
    for case in generated(150):
        if case.name in ("as blood_cells, pairs", "masks, copies") and case.folds == 5:
            measured = measure(case, 3)
            assert len(measured) >= 2
            assert not lost(measured)
