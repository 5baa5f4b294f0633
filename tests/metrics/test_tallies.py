"""Whatever the metric, its tally is the same however its rows are chosen, joined, grouped, weighted or stored."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.cases import CASES, FUNCTIONS, Case
from toolkit.metrics.metric import metric_of, scored_of
from toolkit.metrics.tally import Tally, joined

SAME: dict[str, Any] = {"nan_ok": True, "abs": 1e-9, "rel": 1e-9}
METRICS = {repr(case): case for case in [*CASES, *FUNCTIONS]}


def drawn(case: Case, seed: int) -> tuple[Tally, np.ndarray, np.ndarray]:
    """A tally with its truth and prediction."""
    rng = np.random.default_rng(seed)
    truth, predicted = case.draw(rng, int(rng.integers(2, 12)))
    return tally(case, truth, predicted), truth, predicted


def tally(case: Case, truth: np.ndarray, predicted: np.ndarray) -> Tally:
    metric = metric_of(case.metric, case.task)
    return metric.tally(case.task, truth, predicted, scored_of(metric, case.task))


def score(made: Tally) -> float:
    """NaN where an organiser's function finds nothing to score."""
    try:
        return made.score()
    except Exception:
        return float("nan")


def same(one: Tally, other: Tally) -> None:
    assert score(one) == pytest.approx(score(other), **SAME)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", METRICS)
@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 10_000))
def test_rows_can_be_chosen_joined_grouped_and_stored(name: str, seed: int) -> None:
    case = METRICS[name]
    whole, truth, predicted = drawn(case, seed)
    rng, n = np.random.default_rng(seed + 1), len(truth)
    assert len(whole) == n

    rows = rng.integers(0, n, n + 2)
    same(whole[rows], tally(case, truth[rows], predicted[rows]))
    assert len(whole[rows]) == n + 2
    mask = rng.random(n) < 0.5
    mask[0] = True
    same(whole[mask], tally(case, truth[mask], predicted[mask]))
    same(joined([whole[:1], whole[1:]]), whole)

    groups = rng.integers(0, 4, n) * 10
    grouped = whole.by_group(groups)
    assert len(grouped) == len(np.unique(groups))
    same(grouped[:], tally(case, truth, predicted))
    same(grouped[[0]], tally(case, truth[groups == groups.min()], predicted[groups == groups.min()]))

    metric = metric_of(case.metric, case.task)
    for one in (whole, grouped):
        same(metric.tally_of(one.arrays(), scored_of(metric, case.task)), one)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", METRICS)
@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 10_000))
def test_weightings_agree_with_each_other(name: str, seed: int) -> None:
    case = METRICS[name]
    whole, truth, _ = drawn(case, seed)
    rng, n = np.random.default_rng(seed + 1), len(truth)
    groups = rng.integers(0, 4, n)
    _, place = np.unique(groups, return_inverse=True)
    grouped = whole.by_group(groups)
    if np.isnan(score(whole)):
        return

    weights = rng.integers(0, 3, (3, len(grouped))).astype(float)
    weights[:, 0] = 1
    of_groups, of_rows = grouped.scores(weights), whole.scores(weights[:, place])
    assert of_groups.shape == (3,) and of_groups == pytest.approx(of_rows, **SAME)
    without = np.ones((n, n))
    np.fill_diagonal(without, 0)
    assert whole.without_each() == pytest.approx(whole.scores(without), **SAME)

    assert whole.scores(np.ones((1, n)))[0] == pytest.approx(whole.score(), **SAME)
    assert whole.scores(np.full((1, n), 0.25))[0] == pytest.approx(whole.score(), **SAME)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", METRICS)
@settings(deadline=None, max_examples=4)
@given(seed=st.integers(0, 10_000))
def test_classes_scores_and_what_rows_hold_go_together(name: str, seed: int) -> None:
    case = METRICS[name]
    whole, truth, _ = drawn(case, seed)
    metric = metric_of(case.metric, case.task)
    names = metric.classes(case.task, scored_of(metric, case.task))
    each = whole.by_class()
    if each is None:
        return
    assert each.shape == (len(names),)
    weighted = whole.by_class(np.ones((2, len(truth))))
    assert weighted is not None and weighted.shape == (2, len(names))
    assert weighted[0] == pytest.approx(each, **SAME)
    held = whole.holds()
    assert held is not None and held.shape == (len(truth), len(names)) and held.dtype == bool
    grouped = whole.by_group(np.zeros(len(truth), int)).holds()
    assert grouped is not None and (grouped[0] == held.any(0)).all()
