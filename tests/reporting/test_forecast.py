"""The forecast finds what ties local scores to the leaderboard, and says how sure it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from tests.conftest import ROOT
from toolkit.competition import Rules, load_competition
from toolkit.errors import UserError
from toolkit.reporting.forecast import (
    NOISE,
    SHIFT,
    SLOPE,
    PastSubmission,
    fit,
    fit_to,
    forecast,
    forecasters,
    from_ledger,
    left_out,
    permutation_p_value,
)


def submissions(board: ArrayLike, **local: ArrayLike) -> list[PastSubmission]:
    rows = np.array(list(local.values()), float).T
    return [
        PastSubmission(
            f"s{at}", dict(zip(local, map(float, row), strict=True)), float(public), None, {f"run{at}": 1.0}
        )
        for at, (row, public) in enumerate(zip(rows, np.array(board, float), strict=True))
    ]


@given(st.floats(0.4, 1.6), st.floats(-0.4, 0.2), st.integers(5, 12))
@settings(max_examples=25, deadline=None)
def test_an_exactly_linear_leaderboard_is_recovered(slope: float, shift: float, number: int) -> None:
    local = np.linspace(0.5, 0.9, number)
    made = fit(local, shift + slope * local)
    assert made.slope == pytest.approx(slope, abs=0.01)
    ranged = made.at(0.95)
    assert ranged.low <= shift + slope * 0.95 <= ranged.high
    assert ranged.mean == pytest.approx(shift + slope * 0.95, abs=0.005)


def test_few_noisy_submissions_leave_the_slope_near_one() -> None:
    made = fit(np.array([0.70, 0.71, 0.72]), np.array([0.62, 0.60, 0.58]))  # a slope of -2, by chance
    assert made.slope > 0.7
    assert made.at(0.72).mean == pytest.approx(0.61, abs=0.02)


@pytest.mark.parametrize("number", [3, 5, 10])
def test_the_interval_holds_as_often_as_it_says(number: int) -> None:
    rng = np.random.default_rng(number)
    held = []
    for _ in range(400):
        noise = min(NOISE * abs(np.tan(np.pi * (rng.random() - 0.5))), 0.5)
        local = rng.normal(0.8, 0.05, number + 1)
        rest = rng.normal(0, SHIFT) + rng.normal(0, SLOPE) * (local - local[:-1].mean())
        board = local + rest + rng.normal(0, noise, number + 1)
        ranged = fit(local[:-1], board[:-1]).at(float(local[-1]))
        held.append(ranged.low <= board[-1] <= ranged.high)
    assert 0.92 <= np.mean(held) <= 0.98  # 0.95, and two and a half standard errors of 400


def test_a_submission_is_forecast_from_the_others_alone() -> None:
    local, board = np.array([0.6, 0.7, 0.8, 0.9]), np.array([0.5, 0.6, 0.7, 0.8])
    changed = board.copy()
    changed[2] = 0.1
    assert left_out(local, board)[2] == left_out(local, changed)[2]


def test_fewer_than_three_scores_are_said_in_words() -> None:
    for board, words in (([], "none is"), ([0.6], "only one is"), ([0.6, 0.7], "2 are")):
        known = submissions(board, clean=[0.8] * len(board))
        made = forecast(known, {"clean": 0.8})
        assert made.range is None and words in made.words and "needs 3 submissions" in made.words
        assert fit_to(known, "clean") is None


def test_the_local_score_that_follows_the_leaderboard_is_found() -> None:
    rng = np.random.default_rng(0)
    stress = rng.normal(0.6, 0.08, 10)
    board = stress - 0.05 + rng.normal(0, 0.004, 10)
    chosen = forecasters(submissions(board, clean=rng.normal(0.9, 0.02, 10), stress=stress))
    assert chosen is not None and chosen.best == "stress" and "a difference beyond chance" in chosen.words
    made = forecast(submissions(board, clean=[0.9] * 10, stress=stress), {"clean": 0.9, "stress": 0.7})
    assert made.by == "stress" and made.range is not None and made.range.low < 0.65 < made.range.high


def test_of_three_submissions_no_local_score_is_said_to_be_better() -> None:
    known = submissions([0.5, 0.6, 0.7], clean=[0.9, 0.89, 0.91], stress=[0.55, 0.65, 0.75])
    chosen = forecasters(known)
    assert chosen is not None and chosen.best == "stress" and "not distinguishable from clean" in chosen.words


def test_scores_are_compared_on_the_submissions_that_have_them_all() -> None:
    known = submissions([0.5, 0.6, 0.7, 0.8], clean=[0.6, 0.7, 0.8, 0.9])
    some = [PastSubmission(one.name, {**one.local, "matched": 0.5}, one.public) for one in known[:2]] + known[2:]
    chosen = forecasters(some)  # two matched scores are too few to take part
    assert chosen is not None and list(chosen.errors) == ["clean"] and len(chosen.errors["clean"]) == 4


def test_the_permutation_p_value_counts_the_ways_to_exchange_signs() -> None:
    assert permutation_p_value(np.array([1.0, 2.0, 3.0])) == 2 / 8
    assert permutation_p_value(np.zeros(4)) == 1
    assert permutation_p_value(np.full(20, 0.1)) < 0.01


def test_the_ledger_is_read_into_numbers() -> None:
    line = {"competition": "mars", "submission": "mars/mean-1.csv", "clean": "0.6", "public": "0.5", "blend": "a=0.5"}
    (found,) = from_ledger([line | {"public": "0.4"}, line])
    assert found == PastSubmission("mean-1", {"clean": 0.6}, 0.5, None, {"a": 0.5})
    with pytest.raises(UserError, match=r"line of mean-1 has 'good' in its column public, expected a number"):
        from_ledger([line | {"public": "good"}])


def test_the_public_share_is_a_rule_with_bounds() -> None:
    assert load_competition(ROOT / "competitions" / "mars").rules.public_share == 0.25
    with pytest.raises(ValueError, match="expected a share between 0 and 1"):
        Rules(public_share=25)
