"""The best of several promises too much; chosen where it isn't scored it does not."""

from dataclasses import replace

import numpy as np
import pytest

from competitions.blood_cells import competition as blood_cells
from toolkit.scoring.selection import (
    Folds,
    FoldTally,
    by_group,
    pooled_score,
    survivors_luck,
    worth_by_fold,
    worth_of_best,
)


def fold(number: int, right: np.ndarray) -> FoldTally:
    """Labels that are right or wrong, bool (n,), each a group."""
    confusions = np.zeros((len(right), 8, 8), np.int64)
    confusions[np.arange(len(right)), 0, np.where(right, 0, 1)] = 1
    return FoldTally(number, np.arange(len(right)) + 1000 * number, blood_cells.tally_of({"counts": confusions}))


def candidate(*right: int) -> Folds:
    """So many right of a hundred, on each fold."""
    return [fold(k, np.arange(100) < number) for k, number in enumerate(right)]


def test_a_winner_is_chosen_on_the_other_folds() -> None:
    trials = [candidate(*right) for right in ([90, 70, 70], [60, 90, 60], [75, 75, 78])]
    found = worth_of_best(trials)
    assert found.winner == 0 and found.candidates == 3  # 230 of 300 before 228
    assert found.naive == pytest.approx(230 / 300)
    assert found.parts == (2, 0, 0), "without fold 0 the third is best, without the others the first"
    assert found.by_fold == pytest.approx([0.75, 0.7, 0.7]) and found.score == pytest.approx(215 / 300)
    assert found.optimism == pytest.approx(15 / 300) and found.low < found.score < found.high
    with pytest.raises(ValueError, match="same folds"):
        worth_of_best([trials[0], trials[1][:2]])
    with pytest.raises(ValueError, match="two or more"):
        worth_of_best(trials[:1])


def test_the_order_of_folds_and_groups_says_nothing() -> None:
    rng = np.random.default_rng(0)
    trials = [[fold(k, rng.random(60) < 0.8) for k in range(3)] for _ in range(4)]
    order = rng.permutation(60)
    turned = [
        [replace(one, groups=one.groups[order], tally=one.tally[order]) for one in trial][::-1] for trial in trials
    ]
    assert worth_of_best(turned) == worth_of_best(trials)


def test_where_one_wins_everywhere_the_optimism_is_0_and_not_sure() -> None:
    found = worth_of_best([candidate(*right) for right in ([80, 82, 84], [78, 83, 79], [79, 78, 83])])
    assert found.parts == (0, 0, 0) and found.optimism == 0
    assert found.optimism_low < -0.01 and found.optimism_high > 0.01


def test_scores_that_are_known_by_fold_lose_what_the_choice_loses_there() -> None:
    by_fold = np.array([[0.9, 0.7, 0.7], [0.6, 0.9, 0.6], [0.75, 0.75, 0.78]])
    found = worth_by_fold([0.76, 0.69, 0.755], [(0.7, 0.8), (0.6, 0.7), (0.7, 0.8)], by_fold)
    assert found.winner == 0 and found.parts == (2, 0, 0) and found.naive == 0.76
    assert found.optimism == pytest.approx(0.05) and found.score == pytest.approx(0.71)
    assert (found.low, found.high) == pytest.approx((0.65, 0.75))


def drawn(rng: np.random.Generator, trials: int, folds: int) -> tuple[list[Folds], np.ndarray]:
    """Trials of one worth, .9: 200 samples a fold that are as hard for all, and luck of their own; and each one's luck
    beyond what all share."""
    hard = rng.standard_normal((folds, 200)) * 0.9
    right = 1.2816 + hard + rng.standard_normal((trials, folds, 200)) * np.sqrt(0.19) > 0
    scores = right.mean((1, 2))
    return [[fold(k, one) for k, one in enumerate(trial)] for trial in right], scores - scores.mean()


@pytest.mark.parametrize("folds", [3, 5])
def test_cross_fitting_promises_what_is_there_and_the_optimism_covers_the_winners_luck(
    folds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.scoring.selection.score_interval", lambda *_: (0.0, 1.0))  # nearly all of the time
    rng, naive, crossfitted, covered = np.random.default_rng(folds), [], [], []
    for _ in range(60):
        trials, luck = drawn(rng, 12, folds)
        found = worth_of_best(trials)
        each = np.mean([pooled_score(one) for one in trials])
        naive.append(found.naive - each)
        crossfitted.append(found.score - each)
        covered.append(found.optimism_low <= luck[found.winner] <= found.optimism_high)
    error = np.std(crossfitted) / np.sqrt(60)
    assert abs(np.mean(crossfitted)) < 3 * error < 0.005
    assert np.mean(naive) > 0.007 and np.mean(covered) > 0.85


@pytest.mark.parametrize("folds", [3, 5])
def test_who_goes_on_has_been_lucky_and_by_how_much_is_known(folds: int) -> None:
    """Of equals, those are given up that are below 0 on the folds so far; the last fold decides nothing."""
    rng = np.random.default_rng(0)
    orders = rng.permuted(np.tile(np.arange(folds), (20_000, 1)), axis=1)
    scores = rng.standard_normal((20_000, folds)) * 0.01
    came = np.take_along_axis(scores, orders, axis=1)
    left = (came.cumsum(1)[:, :-1] > 0).all(1)
    hard = np.arange(folds) / 10  # a fold that is harder is so for all
    asked = orders[left].tolist()
    luck = survivors_luck(scores[left] - hard, asked)
    places = np.take_along_axis(luck, orders[left], axis=1)[0]
    assert places[:2] == pytest.approx(came[left].mean(0)[:2], rel=0.12) and places[0] > places[1] > 0
    assert not places[2:].any(), "who wins would have survived these"
    assert not survivors_luck(scores[left][:4], asked[:4]).any(), "too few to say"
    alone = survivors_luck(scores[left], [*asked[:-1], None])
    assert not alone[-1].any() and alone[0].any(), "it wasn't asked whether this one goes on"


def test_a_search_that_gives_up_promises_less() -> None:
    trials = [candidate(*right) for right in ([90, 70, 70], [60, 90, 60], [75, 75, 78], [80, 70, 70], [70, 80, 70])]
    orders = [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1], [1, 0, 2]]
    plain, less = worth_of_best(trials), worth_of_best(trials, orders)
    luck = survivors_luck(
        blood_cells.score(np.array([[one.tally.arrays()["counts"].sum(0) for one in t] for t in trials])), orders
    )
    lost = luck[plain.parts, range(3)].mean()
    assert lost > 0 and (less.naive, less.parts) == (plain.naive, plain.parts)
    for name in ("score", "low", "high"):
        assert getattr(less, name) == pytest.approx(getattr(plain, name) - lost)
    assert less.optimism == pytest.approx(plain.optimism + lost) and np.mean(less.by_fold) == pytest.approx(less.score)


def test_samples_are_summed_by_group() -> None:
    confusions = np.arange(3)[:, None, None] * np.ones((3, 2, 2), np.int64)
    made = by_group(4, np.array([7, 2, 7]), blood_cells.tally_of({"counts": confusions}))
    assert made.number == 4 and made.groups.tolist() == [2, 7]
    assert made.tally.arrays()["counts"][:, 0, 0].tolist() == [1, 2]
