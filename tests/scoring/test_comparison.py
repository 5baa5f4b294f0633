"""Runs on the same samples are compared at once, and in words that claim no more than the data say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from competitions.blood_cells import competition as blood_cells
from toolkit.metrics.tally import Tally
from toolkit.scoring.comparison import Comparison, compare


def matrices(right: np.ndarray) -> Tally:
    """Of samples of class 0 that are predicted rightly or as class 1."""
    made = np.zeros((len(right), 8, 8), np.int64)
    made[np.arange(len(right)), 0, np.where(right, 0, 1)] = 1
    return blood_cells.tally_of({"counts": made})


def two(one: Tally, other: Tally, groups: np.ndarray) -> Comparison:
    (found,) = compare([one], other, groups)
    return found


def against_best(right: np.ndarray, groups: np.ndarray) -> dict[int, Comparison]:
    """Each run's, of what is right (N, runs), against the best one."""
    best = int(right.mean(0).argmax())
    others = [at for at in range(right.shape[1]) if at != best]
    found = compare([matrices(right[:, at]) for at in others], matrices(right[:, best]), groups, 300)
    return dict(zip(others, found, strict=True))


def test_a_run_is_not_distinguishable_from_itself() -> None:
    own = matrices(np.arange(200) % 3 > 0)
    found = two(own, own, np.arange(200))
    assert (found.difference, found.low, found.high, found.sure) == (0, 0, 0, 0)
    assert found.words == "not distinguishable"


def test_a_gain_on_the_same_samples_is_seen_where_two_intervals_would_overlap() -> None:
    rng = np.random.default_rng(0)
    worse = rng.random(400) < 0.8
    better = worse | (rng.random(400) < 0.15)  # never wrong where the other is right
    found = two(matrices(better), matrices(worse), np.arange(400))
    assert found.difference == pytest.approx(better.mean() - worse.mean())
    assert 0 < found.low < found.difference < found.high < 0.08
    assert found.words == "better" and "), better with probability 1.0" in str(found)
    assert two(matrices(worse), matrices(better), np.arange(400)).words == "worse"


def test_copies_of_one_sample_are_no_further_evidence() -> None:
    better, worse = np.repeat([True, True, True, False], 50), np.repeat([True, False, True, True], 50)
    alone = two(matrices(better[::50]), matrices(worse[::50]), np.arange(4))
    copied = two(matrices(better), matrices(worse), np.repeat(np.arange(4), 50))
    assert copied == alone
    assert copied.words == "not distinguishable"


def test_one_group_says_nothing() -> None:
    right = matrices(np.ones(30, bool))
    found = two(right, matrices(np.zeros(30, bool)), np.zeros(30, int))
    assert (found.difference, found.low, found.high) == (1, 0, 2) and found.words == "not distinguishable"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_of_the_two_changes_the_sign_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = matrices(rng.random(60) < 0.7), matrices(rng.random(60) < 0.6)
    groups = rng.integers(0, 20, 60)
    there, back = two(one, other, groups), two(other, one, groups)
    assert there.difference == pytest.approx(-back.difference)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.sure == pytest.approx(back.sure, abs=0.002)


@pytest.mark.parametrize(("runs", "samples", "groups"), [(2, 150, 150), (8, 150, 150), (8, 60, 10)])
def test_of_reports_on_equal_runs_few_call_any_worse(runs: int, samples: int, groups: int) -> None:
    rng, called = np.random.default_rng(1), 0
    for _ in range(40):
        hard = rng.beta(1.2, 0.3, (samples, 1))
        found = against_best(rng.random((samples, runs)) < hard, np.arange(samples) % groups)
        called += any(one.words != "not distinguishable" for one in found.values())
    assert called <= 6  # 2 of 40 are expected, 6 are exceeded with probability .003


def test_a_run_that_is_really_worse_is_called_so_among_many() -> None:
    rng, called = np.random.default_rng(2), []
    for _ in range(4):
        hard = rng.beta(1.2, 0.133, (1000, 1))  # accuracy .90, of one run .85
        right = rng.random((1000, 20)) < hard - 0.05 * (np.arange(20) == 7)
        found = against_best(right, np.arange(1000))
        called.append({at for at, one in found.items() if one.words == "worse"})
    assert sum(worse == {7} for worse in called) >= 3


def test_among_more_runs_a_difference_has_to_be_clearer() -> None:
    rng = np.random.default_rng(3)
    right = rng.random((300, 12)) < 0.8
    right[:, 0] |= rng.random(300) < 0.3
    alone, among = against_best(right[:, :2], np.arange(300))[1], against_best(right, np.arange(300))[1]
    assert among.sure <= alone.sure
    assert among.difference == alone.difference and among.low < alone.low < alone.high < among.high
