"""The forecast finds what ties local scores to the leaderboard, says how sure it is, and picks two to keep."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from tests.conftest import ROOT
from toolkit.competition import Rules, load_competition
from toolkit.errors import UserError
from toolkit.reporting.leaderboard import (
    NOISE,
    SHIFT,
    SLOPE,
    Scored,
    advise,
    fit,
    fit_to,
    forecast,
    forecasters,
    from_ledger,
    left_out,
    public_noise,
    sign_test,
)


def submissions(board: ArrayLike, **local: ArrayLike) -> list[Scored]:
    rows = np.array(list(local.values()), float).T
    return [
        Scored(f"s{at}", dict(zip(local, map(float, row), strict=True)), float(public), None, {f"run{at}": 1.0})
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
    random = np.random.default_rng(number)
    held = []
    for _ in range(400):
        noise = min(NOISE * abs(np.tan(np.pi * (random.random() - 0.5))), 0.5)
        local = random.normal(0.8, 0.05, number + 1)
        rest = random.normal(0, SHIFT) + random.normal(0, SLOPE) * (local - local[:-1].mean())
        board = local + rest + random.normal(0, noise, number + 1)
        ranged = fit(local[:-1], board[:-1]).at(float(local[-1]))
        held.append(ranged.low <= board[-1] <= ranged.high)
    assert 0.92 <= np.mean(held) <= 0.98  # 0.95, and two and a half standard errors of 400


def test_a_submission_is_forecast_from_the_others_alone() -> None:
    local, board = np.array([0.6, 0.7, 0.8, 0.9]), np.array([0.5, 0.6, 0.7, 0.8])
    changed = board.copy()
    changed[2] = 0.1
    assert left_out(local, board)[2] == left_out(local, changed)[2]


def test_fewer_than_three_scores_are_said_in_words() -> None:
    for board, said in (([], "none is"), ([0.6], "only one is"), ([0.6, 0.7], "2 are")):
        known = submissions(board, clean=[0.8] * len(board))
        made = forecast(known, {"clean": 0.8})
        assert made.range is None and said in made.words and "needs 3 submissions" in made.words
        assert advise(known, 0.01).picks == () and fit_to(known, "clean") is None


def test_the_local_score_that_follows_the_leaderboard_is_found() -> None:
    random = np.random.default_rng(0)
    stress = random.normal(0.6, 0.08, 10)
    board = stress - 0.05 + random.normal(0, 0.004, 10)
    chosen = forecasters(submissions(board, clean=random.normal(0.9, 0.02, 10), stress=stress))
    assert chosen is not None and chosen.best == "stress" and "a difference beyond chance" in chosen.words
    made = forecast(submissions(board, clean=[0.9] * 10, stress=stress), {"clean": 0.9, "stress": 0.7})
    assert made.by == "stress" and made.range is not None and made.range.low < 0.65 < made.range.high


def test_of_three_submissions_no_local_score_is_said_to_be_better() -> None:
    known = submissions([0.5, 0.6, 0.7], clean=[0.9, 0.89, 0.91], stress=[0.55, 0.65, 0.75])
    chosen = forecasters(known)
    assert chosen is not None and chosen.best == "stress" and "not distinguishable from clean" in chosen.words


def test_scores_are_compared_on_the_submissions_that_have_them_all() -> None:
    known = submissions([0.5, 0.6, 0.7, 0.8], clean=[0.6, 0.7, 0.8, 0.9])
    some = [Scored(one.name, {**one.local, "matched": 0.5}, one.public) for one in known[:2]] + known[2:]
    chosen = forecasters(some)  # two matched scores are too few to take part
    assert chosen is not None and list(chosen.errors) == ["clean"] and len(chosen.errors["clean"]) == 4


def test_the_sign_test_counts_the_ways_to_exchange_signs() -> None:
    assert sign_test(np.array([1.0, 2.0, 3.0])) == 2 / 8
    assert sign_test(np.zeros(4)) == 1
    assert sign_test(np.full(20, 0.1)) < 0.01


def test_the_second_pick_is_good_and_errs_elsewhere() -> None:
    board, clean = [0.70, 0.699, 0.697, 0.60, 0.61], [0.80, 0.80, 0.80, 0.70, 0.71]
    blends: list[dict[str, float]] = [{"a": 1.0}, {"a": 0.95, "b": 0.05}, {"c": 1.0}, {"d": 1.0}, {"e": 1.0}]
    known = [
        Scored(f"s{at}", {"clean": x, "stress": 0.9 if at == 2 else 0.5}, y, None, blend)
        for at, (x, y, blend) in enumerate(zip(clean, board, blends, strict=True))
    ]
    advice = advise(known, 0.02)
    assert [pick.name for pick in advice.picks] == ["s0", "s2"]
    assert "shares 0% of the first one's runs" in advice.picks[1].reason
    assert "s0 and s2" in advice.words and advice.picks[0].expected > advice.picks[1].expected


def test_a_lucky_public_score_is_shrunk_by_its_noise() -> None:
    known = submissions([0.60, 0.61, 0.62, 0.66], clean=[0.70, 0.71, 0.72, 0.70])
    sure, unsure = advise(known, 0.0001), advise(known, 0.05)
    assert sure.picks[0].expected == pytest.approx(0.66, abs=1e-3)
    assert unsure.picks[0].expected < 0.65


def test_when_the_private_leaderboard_is_known_it_decides() -> None:
    known = submissions([0.6, 0.7, 0.8], clean=[0.6, 0.7, 0.8])
    known[1] = Scored("s1", known[1].local, 0.7, 0.75)
    assert advise(known, 0.01).words == "The private leaderboard is known: s1 is the best there, 0.7500."


def test_a_small_public_part_is_noisier() -> None:
    assert public_noise(0.04, 2000, 10000, 0.25) > public_noise(0.04, 2000, 10000, 0.5)
    # of as many public images as local samples, and many private ones: the local score's own error
    assert public_noise(0.0392, 1000, 10**9, 1000 / 10**9) == pytest.approx(0.01, rel=1e-3)
    assert public_noise(0.0392, 1000, 0, None) == pytest.approx(0.01)


def test_the_ledger_is_read_into_numbers() -> None:
    line = {"competition": "mars", "submission": "mars/mean-1.csv", "clean": "0.6", "public": "0.5", "blend": "a=0.5"}
    other = line | {"competition": "blood_cells"}
    (found,) = from_ledger([line, other], "mars")
    assert found == Scored("mean-1", {"clean": 0.6}, 0.5, None, {"a": 0.5})
    with pytest.raises(UserError, match=r"line of mean-1 has 'good' in its column public, expected a number"):
        from_ledger([line | {"public": "good"}], "mars")


def test_the_public_share_is_a_rule_with_bounds() -> None:
    assert load_competition(ROOT / "competitions" / "mars").rules.public_share == 0.25
    with pytest.raises(ValueError, match="expected a share between 0 and 1"):
        Rules(public_share=25)
