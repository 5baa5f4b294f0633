"""The forecast finds what ties local scores to the leaderboard, and says how sure it is."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from benchmarks.honesty.forecast import hold
from tests.conftest import ROOT
from toolkit.competition import load_competition
from toolkit.errors import UserError
from toolkit.reporting.forecast import (
    NOISE,
    SHIFT,
    SLOPE,
    PastSubmission,
    Span,
    fit,
    fit_to,
    forecast,
    forecasters,
    from_ledger,
    left_out,
    permutation_p_value,
    weights,
)
from toolkit.rules import Rules


def submissions(board: ArrayLike, **local: ArrayLike) -> list[PastSubmission]:
    rows = np.array(list(local.values()), float).T
    return [
        PastSubmission(
            f"s{at}", dict(zip(local, map(float, row), strict=True)), float(public), None, {f"run{at}": 1.0}
        )
        for at, (row, public) in enumerate(zip(rows, np.array(board, float), strict=True))
    ]


def spanning(past: list[PastSubmission], factor: float, span: Span) -> list[PastSubmission]:
    """The same with all scores times a factor."""
    return [
        replace(one, local={k: factor * v for k, v in one.local.items()}, public=factor * (one.public or 0), span=span)
        for one in past
    ]


@pytest.mark.parametrize(
    ("factor", "span"),
    [(25.0, Span(0, np.inf, -1)), (-25.0, Span(-np.inf, 0)), (1e-4, Span(0, np.inf, -1))],
    ids=["large errors", "with their sign turned", "tiny errors"],
)
def test_errors_of_any_size_are_forecast_alike(factor: float, span: Span) -> None:
    made = submissions([0.62, 0.7, 0.74, 0.8], clean=[0.6, 0.7, 0.72, 0.83], stress=[0.5, 0.56, 0.6, 0.66])
    past = spanning(made, 1.0, Span(0, np.inf, -1))
    plain = forecast(past, {"clean": 0.75, "stress": 0.6}).range
    scaled = forecast(spanning(made, factor, span), {"clean": 0.75 * factor, "stress": 0.6 * factor}).range
    assert plain is not None and scaled is not None and plain.low < 0.72 < plain.high
    assert scaled.mean == pytest.approx(factor * plain.mean)
    assert sorted([scaled.low, scaled.high]) == pytest.approx(sorted([factor * plain.low, factor * plain.high]))
    assert min(factor * 0.75, 0) < scaled.high and scaled.low >= span.low and scaled.high <= span.high


def test_an_error_above_1_is_not_cut_off() -> None:
    past = spanning(submissions([17.8, 18.1, 16.9], clean=[17.0, 17.5, 16.2]), 1.0, Span(0, np.inf, -1))
    made = forecast(past, {"clean": 15.0})
    assert made.range is not None and 14 < made.range.low < made.range.mean < made.range.high < 19
    assert f"{made.range.mean:.3f}" in made.words


@given(st.floats(0.4, 1.3), st.floats(-0.4, -0.3), st.integers(5, 12))
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
        made = fit(local[:-1], board[:-1])
        ranged = made.at(float(local[-1]))
        held.append(ranged.low <= np.clip(board[-1], *made.bounds) <= ranged.high)
    assert 0.92 <= np.mean(held) <= 0.98  # 0.95, and two and a half standard errors of 400


def test_a_submission_is_forecast_from_the_others_alone() -> None:
    local, board = np.array([0.6, 0.7, 0.8, 0.9]), np.array([0.5, 0.6, 0.7, 0.8])
    changed = board.copy()
    changed[2] = 0.1
    one, other = (left_out(local, said)[2] for said in (board, changed))
    assert (one.mean == other.mean).all() and (one.weight == other.weight).all()


def test_fewer_than_three_scores_are_said_in_words() -> None:
    for board, words in (([], "(0 so far)"), ([0.6], "(1 so far)"), ([0.6, 0.7], "(2 so far)")):
        known = submissions(board, clean=[0.8] * len(board))
        made = forecast(known, {"clean": 0.8})
        assert made.range is None and words in made.words and "record 3 leaderboard scores" in made.words
        assert fit_to(known, "clean") is None


def test_the_local_score_that_follows_the_leaderboard_is_found() -> None:
    rng = np.random.default_rng(0)
    stress = rng.normal(0.6, 0.08, 10)
    board = stress - 0.05 + rng.normal(0, 0.004, 10)
    clean = rng.normal(0.9, 0.02, 10)
    chosen = forecasters(submissions(board, clean=clean, stress=stress))
    assert chosen is not None and chosen.weights["stress"] > 0.9 and "a difference beyond chance" in chosen.words
    made = forecast(submissions(board, clean=clean, stress=stress), {"clean": 0.9, "stress": 0.7})
    assert made.by == ("stress", "clean") and made.range is not None and made.range.low < 0.65 < made.range.high
    assert "judged by the stress (" in made.words and "CV (" in made.words and "10 submissions" in made.words
    alone = forecast(submissions(board, stress=stress), {"clean": 0.9, "stress": 0.7})
    assert alone.by == ("stress",) and "judged by the stress scores of 10 submissions." in alone.words


def test_of_three_submissions_no_local_score_is_said_to_be_better() -> None:
    known = submissions([0.52, 0.56, 0.61], clean=[0.63, 0.64, 0.70], stress=[0.57, 0.62, 0.65])
    chosen = forecasters(known)
    assert chosen is not None and "the stress score was the best forecaster" in chosen.words
    assert "not distinguishable from CV" in chosen.words and 0.5 < chosen.weights["stress"] < 0.9


def test_few_submissions_leave_the_weights_near_equal_and_many_decide() -> None:
    better = np.array([[0.3, 0.0]])  # a little more probable every time
    few, many = weights(np.repeat(better, 3, axis=0)), weights(np.repeat(better, 30, axis=0))
    assert 0.5 < few[0] < 0.75 and many[0] > 0.99 and few.sum() == pytest.approx(1)
    once = weights(np.array([[9.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]]))  # by one submission of three
    assert once[0] < 0.95


def test_a_mixture_is_as_wide_as_its_disagreement() -> None:
    clean, stress = [0.90, 0.91, 0.92], [0.70, 0.71, 0.72]  # as good until now
    made = forecasters(submissions([0.60, 0.61, 0.62], clean=clean, stress=stress))
    assert made is not None
    low, high = made.at({"clean": 0.95, "stress": 0.60}), made.at({"clean": 0.95, "stress": 0.75})
    one = made.at({"clean": 0.95})
    assert low.high - low.low > 1.3 * (one.high - one.low) and low.low < 0.53 and low.high > 0.63
    assert high.high - high.low < 1.2 * (one.high - one.low)


def test_no_score_is_forecast_that_the_metric_cannot_have() -> None:
    made = forecast(submissions([0.02, 0.5, 0.9], clean=[0.6, 0.5, 0.55]), {"clean": 0.56})
    assert made.range is not None and made.range.low == 0 and made.range.high == 1
    percent = forecast(submissions([70.0, 71.0, 72.0], clean=[0.70, 0.71, 0.72]), {"clean": 0.71})
    assert percent.range is not None and percent.range.high > 1  # another scale is not cut off


def test_the_interval_holds_though_nobody_says_which_score_the_leaderboard_follows() -> None:
    held, widths = hold(3, (1.0,), 0.02, 60)
    assert held[1].mean() >= 0.92 and widths[1].mean() < 0.3


def test_scores_are_compared_on_the_submissions_that_have_them_all() -> None:
    known = submissions([0.5, 0.6, 0.7, 0.8], clean=[0.6, 0.7, 0.8, 0.9])
    some = [PastSubmission(one.name, {**one.local, "matched": 0.5}, one.public) for one in known[:2]] + known[2:]
    chosen = forecasters(some)  # two matched scores are too few to take part
    assert chosen is not None and list(chosen.weights) == ["clean"] and "Over 4 submissions" in chosen.words


def test_the_permutation_p_value_counts_the_ways_to_exchange_signs() -> None:
    assert permutation_p_value(np.array([1.0, 2.0, 3.0])) == 2 / 8
    assert permutation_p_value(np.zeros(4)) == 1
    assert permutation_p_value(np.full(20, 0.1)) < 0.01


def test_the_ledger_is_read_into_numbers() -> None:
    line = {"competition": "mars", "submission": "mars/mean-1.csv", "clean": "0.6", "public": "0.5", "blend": "a=0.5"}
    line |= {"folds": "f1", "data": "d1"}
    (found,) = from_ledger([line | {"public": "0.4"}, line], "f1", "d1", "mean IoU")
    assert found == PastSubmission("mean-1", {"clean": 0.6}, 0.5, None, {"a": 0.5})
    with pytest.raises(UserError, match=r"line of mean-1 has 'good' in its column public, expected a number"):
        from_ledger([line | {"public": "good"}], "f1", "d1", "mean IoU")


def test_submissions_made_on_other_samples_are_left_out_and_counted() -> None:
    same = {"folds": "f1", "data": "d1", "blend": "a=1"}
    others = [same, same, same, same | {"folds": "f2"}, same | {"data": "d2"}, same | {"folds": "", "data": ""}]
    others += [same | {"known": "12"}, same | {"metric": "accuracy"}]
    lines = [
        line | {"submission": f"mars/s{at}.csv", "clean": f"0.{70 + at}", "public": f"0.{60 + at}"}
        for at, line in enumerate(others)
    ]
    past = from_ledger(lines, "f1", "d1", "mean IoU")
    first = from_ledger(lines[:3], "f1", "d1", "mean IoU")
    made, alone = forecast(past, {"clean": 0.7}), forecast(first, {"clean": 0.7})
    assert made.range == alone.range and "of 3 submissions" in made.words
    assert made.words.removeprefix(alone.words) == (
        " Left out, as their local scores can't be held against the present ones: 1 made on other folds or with "
        "another cleaning list, 1 made on other data, 1 made on folds or data that the ledger doesn't name, 1 made "
        "with known answers, which no local score knows of, 1 made with scores by another metric."
    )
    few = forecast(past[1:], {"clean": 0.7})
    assert few.range is None and "(2 so far)" in few.words and "Left out" in few.words


def test_the_public_share_is_a_rule_with_bounds() -> None:
    assert load_competition(ROOT / "competitions" / "mars").rules.public_share == 0.25
    with pytest.raises(ValueError, match="expected a share between 0 and 1"):
        Rules(public_share=25)
