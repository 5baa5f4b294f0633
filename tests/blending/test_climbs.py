"""Every step scores what the official metric says of the mixture that it would make, whatever is predicted."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.blending.conftest import KINDS, drawn_values, valued
from toolkit.blending.climb import Climb
from toolkit.blending.climbs_of_decided import GRADE_BINS, ByGrade, ByMask, ByPlace, ByThreshold
from toolkit.blending.greedy import greedy
from toolkit.blending.valued import Valued
from toolkit.competition import Competition
from toolkit.decisions.decide import Decisions

EACH = pytest.mark.parametrize("of", KINDS.values(), ids=KINDS.keys())


def decisions(climb: Climb, m: int) -> Decisions:
    """That a step takes for granted: those fitted for the candidates' mean, or the best for the step itself."""
    if isinstance(climb, ByThreshold):
        return Decisions(thresholds=tuple(climb.thresholds[m]))
    if isinstance(climb, ByGrade):
        return Decisions(cuts=tuple(climb.cuts[m] * (climb.grades - 1) / GRADE_BINS))
    return climb.decisions if type(climb) is Climb or isinstance(climb, ByMask | ByPlace) else Decisions()


def plain_merit(of: Valued, folds: list[int], weights: np.ndarray, given: Decisions) -> float:
    at = np.flatnonzero(np.isin(of.fold, folds))
    mixed = np.tensordot(weights, of.values[:, at].astype(np.float64) * of.scale, 1) / weights.sum()
    return of.competition.metric.sign * of.competition.tally(of.truth[at], mixed.astype(np.float32), given).score()


@EACH
@given(seed=st.integers(0, 99), taken=st.lists(st.integers(0, 3), max_size=4))
@settings(max_examples=5, deadline=None)
def test_every_step_scores_as_the_official_metric_does_from_scratch(
    of: Competition, seed: int, taken: list[int]
) -> None:
    among = valued(of, seed)
    climb, one = among.climb([0, 2]), np.eye(4, dtype=np.int64)
    weights = 0 * one[0]
    for candidate in [-1, *taken]:
        weights = weights + one[candidate] * (candidate >= 0)
        found = climb.scores(candidate)
        expected = [plain_merit(among, [0, 2], weights + one[m], decisions(climb, m)) for m in range(4)]
        assert found == pytest.approx(expected, abs=2e-6)


@EACH
def test_a_metric_negated_with_its_direction_turned_chooses_the_same(of: Competition) -> None:
    own, kind = of.metric, type(of.metric)

    def negated(name: str) -> Any:
        def method(self: Any, *arguments: Any) -> Any:
            found = getattr(kind, name)(self, *arguments)
            return None if found is None else -np.asarray(found)

        return method

    names = [name for name in ("of_counts", "by_class") if hasattr(kind, name)]
    turned_kind = type(f"Negated{kind.__name__}", (kind,), {name: negated(name) for name in names})
    turned: Any = object.__new__(turned_kind)
    for name, value in vars(own).items():
        object.__setattr__(turned, name, value)
    object.__setattr__(turned, "lower_is_better", not own.lower_is_better)
    among = valued(of, 1)
    other = replace(among, competition=replace(of, metric=turned))
    assert other.climb([0]).scores() == pytest.approx(among.climb([0]).scores())
    assert greedy(other, [0, 1, 2], 10).tolist() == greedy(among, [0, 1, 2], 10).tolist()


@EACH
def test_what_is_better_on_its_own_gets_weight_and_only_the_given_folds_are_looked_at(of: Competition) -> None:
    among = valued(of, 3)
    weights = greedy(among, [0, 1], 6)
    alone = among.climb([0, 1]).scores()
    assert weights.sum() > 0 and alone[weights > 0].max() == alone.max()
    truth = among.truth.copy()
    truth[among.fold == 2] = truth[among.fold == 2][::-1]
    assert greedy(replace(among, truth=truth), [0, 1], 6).tolist() == weights.tolist()


@EACH
def test_values_of_candidates_that_are_equal_leave_one_of_them(of: Competition) -> None:
    truth, values = drawn_values(of, 0)
    among = replace(valued(of, 0), values=np.repeat(values[:1], 4, axis=0))
    assert np.count_nonzero(greedy(among, [0, 1, 2], 5)) == 1 and len(truth)
