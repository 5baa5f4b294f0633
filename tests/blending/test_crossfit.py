"""Nothing is counted twice: neither weights, nor the choice of the blender, nor the best run it is held against."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from benchmarks.ensemble import bias
from tests.blending.conftest import FOLD, LABELS, SAMPLES, drawn, noisy, pool_of
from toolkit.blending.blenders import BLENDERS, blenders_for
from toolkit.blending.candidates import Candidate
from toolkit.blending.crossfit import UNREAL, CrossFit, _small, cross_fit, simplest_within
from toolkit.blending.pool import Pool
from toolkit.blending.solution import fold_confusions
from toolkit.blending.worn import Worn
from toolkit.metrics.metric import CountedMetric
from toolkit.metrics.organisers import from_function
from toolkit.metrics.ranks import RocAuc
from toolkit.metrics.tally import Counts
from toolkit.scoring.out_of_fold import score
from toolkit.task import Classification


def fitted(pool: Pool) -> CrossFit:
    return cross_fit(pool, blenders_for(pool))


@pytest.mark.parametrize("fold", [FOLD, FOLD % 2], ids=["four folds", "two folds"])
def test_a_folds_blend_is_fitted_and_chosen_without_its_labels(fold: np.ndarray) -> None:
    targets, candidates = drawn(LABELS)
    other = targets.copy()
    other[fold == 1] = np.random.default_rng(1).permutation(targets[fold == 1])
    found = [fitted(pool_of(LABELS, answers, candidates, fold)) for answers in (targets, other)]
    (blender, solution), (same, like) = (one.parts[1] for one in found)
    assert blender == same and str(solution) == str(like)
    assert found[0].score != found[1].score


def test_the_score_is_that_of_the_parts_and_the_naive_one_that_of_the_final_fit() -> None:
    targets, candidates = drawn(LABELS)
    pool = pool_of(LABELS, targets, candidates)
    found = fitted(pool)
    parts = [fold_confusions(pool, solution, k).sum(0) for k, (_, solution) in enumerate(found.parts)]
    assert found.score == pytest.approx(float(LABELS.score(np.sum(parts, axis=0))))
    final = [fold_confusions(pool, found.final[1], k).sum(0) for k in range(4)]
    assert found.naive == pytest.approx(float(LABELS.score(np.sum(final, axis=0))))
    assert 0 <= found.real <= 1 and found.score > found.single


def of_strengths(strengths: list[float], groups: int, folds: int) -> Pool:
    """Runs that are the more often right, the stronger they are."""
    targets, group = np.random.default_rng(0).integers(3, size=600), np.arange(600) % groups
    runs = [noisy(targets, 3, strength, seed=m) for m, strength in enumerate(strengths)]
    candidates = [Candidate(f"run{m}", f"recipe{m}", values) for m, values in enumerate(runs)]
    return pool_of(LABELS, targets, candidates, group % folds, group)


ONE_GOOD = [3.5, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(("groups", "folds"), [(99, 5), (30, 3), (300, 2), (20, 2)])
def test_one_good_run_among_poor_ones_is_handed_in_alone_with_few_groups_and_with_two_folds(
    groups: int, folds: int
) -> None:
    found = fitted(of_strengths(ONE_GOOD, groups, folds))
    assert found.final[0].name == "single" and found.final[1].shares.tolist() == [1, 0, 0, 0]
    assert [one.name for one, _ in found.parts] == ["single"] * folds
    assert found.score == found.single > 0.9 and found.real == 0.5
    table = {line.name: line for line in found.table}
    assert list(table) == ["mean", "single", "best-2"] and table["mean"].score < found.score - 0.05


def test_what_is_asked_for_is_taken_whatever_its_score_and_only_then_is_worse_than_one_run() -> None:
    pool = of_strengths(ONE_GOOD, 200, 4)
    found = cross_fit(pool, blenders_for(pool, "mean"), "mean")
    assert {one.name for one, _ in [*found.parts, found.final]} == {"mean"} and found.gave_way is None
    assert found.real < UNREAL and found.score == next(line.score for line in found.table if line.name == "mean")
    few = of_strengths(ONE_GOOD, 20, 4)
    found = cross_fit(few, blenders_for(few, "greedy-biases"), "greedy-biases")
    assert found.final[0].name == "greedy-biases" and found.final[1].biases is not None


def test_a_chosen_blend_that_does_not_gain_gives_way_to_the_best_run(monkeypatch: pytest.MonkeyPatch) -> None:
    # the choice takes the mean for as good as the best
    monkeypatch.setattr("toolkit.blending.crossfit.simplest_within", lambda seen: np.ones(len(seen[0][0]), bool))
    pool = of_strengths(ONE_GOOD, 200, 4)
    found = fitted(pool)
    assert found.gave_way == "mean" and found.final[0].name == "single"
    assert found.score == found.single == next(line.score for line in found.table if line.name == "single")
    assert found.naive == next(line.naive for line in found.table if line.name == "single") and found.real == 0.5


def test_the_best_run_is_chosen_without_the_fold_it_is_scored_on() -> None:
    targets, (plain, *_) = drawn(LABELS)
    here, oof = (FOLD == 1)[:, None], plain.oof.copy()
    oof[:27] = np.eye(3)[(targets[:27] + 1) % 3]  # a little worse
    lucky = replace(plain, seed_group="lucky", oof=np.where(here, np.eye(3)[targets], oof))
    pool = pool_of(LABELS, targets, [plain, lucky])
    expected = score(pool.labelled, np.where(here, plain.oof, lucky.oof))["score"]
    assert cross_fit(pool, BLENDERS[:1]).single == pytest.approx(expected)


def test_the_simplest_within_a_standard_error_of_the_difference() -> None:
    draws = np.array([[0.70, 0.72, 0.74], [0.71, 0.73, 0.75], [0.5, 0.8, 0.9]]).T
    scores = np.array([0.72, 0.73, 0.735])
    # the third is best by a hair and swings; the others are within its noise
    assert simplest_within([(scores, draws)]).tolist() == [True, True, True]
    assert simplest_within([(scores[:2], draws[:, :2])]).tolist() == [False, True]
    none = np.full(2, -np.inf), np.full((5, 2), -np.inf)
    assert simplest_within([none]).tolist() == [True, True], "none has a score"
    assert simplest_within([(scores[:2], draws[:, :2]), none]).tolist() == [False, True], "the other set says nothing"


def test_draws_without_a_score_say_nothing_of_the_error() -> None:
    merits, rng = np.array([0.70, 0.72]), np.random.default_rng(0)
    draws = merits + rng.standard_normal((200, 2)) * 0.005
    lacking = draws.copy()
    lacking[50:] = -np.inf
    for one in (draws, lacking):
        assert simplest_within([(merits, one)]).tolist() == [False, True]
    lacking[5:, 0] = -np.inf
    assert simplest_within([(merits, lacking)]).tolist() == [True, True], "too few to tell"
    lacking[:, 0] = -np.inf
    assert simplest_within([(np.array([-np.inf, 0.7]), lacking)]).tolist() == [False, True], "it has none at all"


def test_several_sets_of_images_weigh_the_same_in_the_choice() -> None:
    sure = np.zeros((5, 2))
    assert simplest_within([(np.array([0.5, 0.6]), sure), (np.array([0.8, 0.6]), sure)]).tolist() == [True, False]
    assert simplest_within([(np.array([0.5, 0.9]), sure), (np.array([0.8, 0.6]), sure)]).tolist() == [False, True]


def test_biases_that_gain_on_the_samples_and_lose_where_these_are_worn_are_not_chosen() -> None:
    targets = np.random.default_rng(0).integers(3, size=SAMPLES)
    pools = [
        pool_of(LABELS, targets, [Candidate("run", "recipe", noisy(targets, 3, 2, seed=0) * favoured)])
        for favoured in ([3, 1, 1], [0.3, 1, 1])
    ]
    pool, other = pools
    every = np.arange(SAMPLES)
    worn = Worn("corrupted", other, every, targets, every, np.ones(SAMPLES))
    blenders = blenders_for(pool)
    plain, found = cross_fit(pool, blenders), cross_fit(pool, blenders, worn=worn)
    assert [one.name for one in blenders] == ["mean", "mean-biases"]
    assert "mean-biases" in {one.name for one, _ in [*plain.parts, plain.final]}
    assert {one.name for one, _ in [*found.parts, found.final]} == {"mean"}
    mean, biases = found.table
    assert biases.score > mean.score + 0.02 and biases.worn is not None and mean.worn is not None
    assert biases.worn < mean.worn - 0.05 and found.score == mean.score


def needs_all_classes(truth: np.ndarray, predicted: np.ndarray) -> float:
    if len(np.unique(truth)) < 3:
        raise ValueError("a class is missing")
    return float((truth == predicted).mean())


def test_folds_without_what_an_organisers_function_needs_are_no_fault() -> None:
    targets, candidates = drawn(LABELS)
    targets[(FOLD > 1) & (targets == 2)] = 0
    metric = from_function(needs_all_classes, needs="labels", lower_is_better=False, low=0, high=1)
    found = fitted(pool_of(replace(LABELS, metric=metric), targets, candidates[:3]))
    assert found.score > 0.5


def test_a_class_that_one_fold_alone_has_is_no_fault() -> None:
    task = Classification(("a", "b"), (1, 1, 1))
    of = replace(LABELS, task=task, metric=RocAuc(), try_submission=None)
    targets = np.where(FOLD == 0, np.random.default_rng(0).integers(2, size=len(FOLD)), 0)
    candidates = [Candidate(f"run{m}", f"recipe{m}", noisy(targets, 2, 2, seed=m)) for m in range(3)]
    found = fitted(pool_of(of, targets, candidates))
    assert found.score > 0.5 and {one.name for one, _ in found.parts} == {"mean"}


def test_the_score_has_no_bias_where_the_truth_is_known() -> None:
    found = bias(4, samples=300, models=8)
    assert abs(found["crossfit_bias"]) < 4 * found["crossfit_bias_error"] + 0.5
    assert found["problems"] == 4


@dataclass(frozen=True)
class Bias(CountedMetric):
    """How far counts are from even, from counts of both signs."""

    name: str = "bias"

    def of_counts(self, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        return np.asarray(-np.abs(counts[..., 0]))


def test_counts_that_may_be_negative_are_kept_as_they_are() -> None:
    counted = Counts(Bias(), np.array([[-3], [4]]))
    assert _small(counted).score() == counted.score() == -1
