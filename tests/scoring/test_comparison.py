"""Two runs on the same samples are compared as one pair, and in words that claim no more than the data say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from competitions.blood_cells import competition as blood_cells
from toolkit.scoring.comparison import compare, compare_draws


def matrices(right: np.ndarray) -> np.ndarray:
    """Per-sample matrices (N, 8, 8) of samples of class 0 that are predicted rightly or as class 1."""
    made = np.zeros((len(right), 8, 8), np.int64)
    made[np.arange(len(right)), 0, np.where(right, 0, 1)] = 1
    return made


def test_a_run_is_not_distinguishable_from_itself() -> None:
    own = matrices(np.arange(200) % 3 > 0)
    found = compare(blood_cells, own, own, np.arange(200))
    assert (found.difference, found.low, found.high, found.probability) == (0, 0, 0, 0.5)
    assert found.words == "not distinguishable"


def test_a_gain_on_the_same_samples_is_seen_where_two_intervals_would_overlap() -> None:
    rng = np.random.default_rng(0)
    worse = rng.random(400) < 0.8
    better = worse | (rng.random(400) < 0.15)  # never wrong where the other is right
    found = compare(blood_cells, matrices(better), matrices(worse), np.arange(400))
    assert found.difference == pytest.approx(better.mean() - worse.mean())
    assert 0 < found.low < found.difference < found.high < 0.08
    assert found.words.startswith("better with probability 1.0")
    assert compare(blood_cells, matrices(worse), matrices(better), np.arange(400)).words.startswith("worse")


def test_copies_of_one_sample_are_no_further_evidence() -> None:
    better, worse = np.repeat([True, True, True, False], 50), np.repeat([True, False, True, True], 50)
    alone = compare(blood_cells, matrices(better[::50]), matrices(worse[::50]), np.arange(4))
    copied = compare(blood_cells, matrices(better), matrices(worse), np.repeat(np.arange(4), 50))
    assert copied == alone
    assert copied.words == "not distinguishable"


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_the_order_of_the_two_changes_the_sign_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = matrices(rng.random(60) < 0.7), matrices(rng.random(60) < 0.6)
    groups = rng.integers(0, 20, 60)
    there, back = compare(blood_cells, one, other, groups), compare(blood_cells, other, one, groups)
    assert there.difference == pytest.approx(-back.difference)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.probability == pytest.approx(1 - back.probability)


def test_equal_runs_are_called_different_no_more_often_than_promised() -> None:
    rng = np.random.default_rng(1)
    called = 0
    for _ in range(100):
        one, other = (matrices(rng.random(150) < 0.8) for _ in range(2))
        called += compare(blood_cells, one, other, np.arange(150)).words != "not distinguishable"
    assert called <= 18  # 10 of 100 are expected, 18 are exceeded with probability .005


def test_draws_without_a_difference_count_for_neither() -> None:
    assert compare_draws(0.1, np.array([0.0, 0.0, 0.2, 0.2])).probability == 0.75
