"""Two submissions to keep: good, unlike each other, and not merely lucky on the public leaderboard."""

from dataclasses import replace

import numpy as np
import pytest

from tests.reporting.test_forecast import spanning, submissions
from toolkit.reporting.final_picks import advise, public_noise
from toolkit.reporting.forecast import PastSubmission, Span


def test_of_too_few_scores_none_is_picked() -> None:
    assert advise(submissions([0.6, 0.7], clean=[0.8, 0.8]), 0.01).picks == ()


def test_the_second_pick_is_good_and_errs_elsewhere() -> None:
    board, clean = [0.70, 0.699, 0.697, 0.60, 0.61], [0.80, 0.80, 0.80, 0.70, 0.71]
    blends: list[dict[str, float]] = [{"a": 1.0}, {"a": 0.95, "b": 0.05}, {"c": 1.0}, {"d": 1.0}, {"e": 1.0}]
    known = [
        PastSubmission(f"s{at}", {"clean": x, "stress": 0.9 if at == 2 else 0.5}, y, None, blend)
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


def test_a_submission_on_other_folds_is_not_picked_but_named_where_it_is_higher() -> None:
    known = submissions([0.60, 0.61, 0.62], clean=[0.70, 0.71, 0.72])
    other = PastSubmission("other", {}, 0.9, elsewhere="on other data")
    plain, beside = advise(known, 0.01), advise([*known, other], 0.01)
    assert beside.picks == plain.picks and beside.words.startswith(plain.words)
    assert beside.words.endswith("be held against these: other (0.9000).") and "Higher" not in plain.words


def test_of_errors_the_lowest_are_kept() -> None:
    board, clean = [15.0, 17.8, 15.2, 19.0], [14.0, 17.0, 14.1, 18.0]
    lower, higher = Span(0, np.inf, -1), Span(-np.inf, 0)
    known = spanning(submissions(board, clean=clean), 1.0, lower)
    advice, turned = advise(known, 0.4), advise(spanning(submissions(board, clean=clean), -1.0, higher), 0.4)
    assert [pick.name for pick in advice.picks] == [pick.name for pick in turned.picks] == ["s0", "s2"]
    assert [pick.expected for pick in advice.picks] == pytest.approx([-pick.expected for pick in turned.picks])
    other = replace(known[0], name="other", local={}, public=12.0, elsewhere="on other data")
    assert advise([*known, other], 0.4).words.endswith("other (12.0000).")
    private = [replace(one, private=value) for one, value in zip(known, (15.0, 14.0, 16.0, 20.0), strict=True)]
    assert advise(private, 0.4).words == "The private leaderboard is known: s1 is the best there, 14.0000."


def test_when_the_private_leaderboard_is_known_it_decides() -> None:
    known = submissions([0.6, 0.7, 0.8], clean=[0.6, 0.7, 0.8])
    known[1] = PastSubmission("s1", known[1].local, 0.7, 0.75)
    assert advise(known, 0.01).words == "The private leaderboard is known: s1 is the best there, 0.7500."


def test_a_small_public_part_is_noisier() -> None:
    assert public_noise(0.04, 2000, 10000, 0.25) > public_noise(0.04, 2000, 10000, 0.5)
    # of as many public images as local samples, and many private ones: the local score's own error
    assert public_noise(0.0392, 1000, 10**9, 1000 / 10**9) == pytest.approx(0.01, rel=1e-3)
    assert public_noise(0.0392, 1000, 0, None) == pytest.approx(0.01)
