"""Blends of every kind of output and metric: fitted, and decided, without the fold they are scored on, and told."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from tests.blending.conftest import KINDS, drawn_values
from toolkit.blending.blenders import BLENDERS, Blender, with_decisions
from toolkit.blending.candidates import NO_LIMITS, Candidate, Limits, SeedGroups, make_seed_groups
from toolkit.blending.crossfit import cross_fit, merits
from toolkit.blending.described import (
    describe,
    final_solution,
    fold_decisions,
    out_of_fold_mix,
    quantiles_of,
    runs_used,
)
from toolkit.blending.plots import draw
from toolkit.blending.pool import Pool, make_pool
from toolkit.blending.solution import Solution, fold_tally, mixed
from toolkit.blending.valued import Valued
from toolkit.competition import Competition
from toolkit.decisions.decide import PLAIN
from toolkit.decisions.fit import is_decided
from toolkit.metrics.tally import joined
from toolkit.task import Numbers

EACH = pytest.mark.parametrize("of", KINDS.values(), ids=KINDS.keys())
FOLDS = 3
MEAN, GREEDY = (next(one for one in BLENDERS if one.name == name) for name in ("mean", "greedy"))


def ways(of: Competition) -> list[Blender]:
    """All that suit it, `bagged`, which is but greedy several times, left out."""
    return [one for one in BLENDERS if one.suits(of) and one.name not in ("bagged", "best-4", "best-8")]


def pool_of(of: Competition, truth: np.ndarray | None = None, seed: int = 0, limits: Limits = NO_LIMITS) -> Pool:
    """Three seed groups, the last of them two runs."""
    targets, values = drawn_values(of, seed, samples=48)
    stored = values if values.dtype == np.uint8 or isinstance(of.task, Numbers) else values.astype(np.float16)
    candidates = [Candidate(f"run{m}", f"recipe{min(m, 2)}", one, one[:7]) for m, one in enumerate(stored)]
    fold = np.arange(len(targets)) % FOLDS
    return make_pool(tiny.labelled(targets if truth is None else truth, fold, of=of), candidates, limits)


def fitted(blender: Blender, pool: Pool, folds: list[int]) -> Solution:
    first = [one.fit(pool, folds) for one in BLENDERS if one.name == blender.after]
    solution: Solution = blender.fit(pool, folds, *first)
    return with_decisions(pool, solution, folds)


@EACH
def test_each_way_is_fitted_and_decided_without_the_fold_that_is_left_out(of: Competition) -> None:
    pool = pool_of(of)
    other = pool.labelled.truth.copy()
    other[2::FOLDS] = other[2::FOLDS][::-1]
    turned = pool_of(of, other)
    for blender in ways(of):
        one, same = fitted(blender, pool, [0, 1]), fitted(blender, turned, [0, 1])
        assert str(one) == str(same), blender.name
        decided = is_decided(of.task, of.metric)
        assert decided or one.decisions == PLAIN


@EACH
def test_what_is_scored_is_what_is_written_down(of: Competition) -> None:
    pool = pool_of(of)
    found = cross_fit(pool, ways(of))
    parts = [fold_tally(pool, solution, k) for k, (_, solution) in enumerate(found.parts)]
    assert found.score == pytest.approx(joined(parts).score()) and np.isfinite(found.score)
    described = describe(pool, found)
    mix, by_name = out_of_fold_mix(described, quantiles_of(found), of), {run.name: run for run in pool.runs}
    fold = pool.labelled.fold
    values = mix([by_name[name].oof for name in runs_used(described)], fold)
    again = [
        of.tally(pool.labelled.truth[fold == k], values[fold == k], decided)
        for k, decided in enumerate(fold_decisions(described))
    ]
    assert joined(again).score() == pytest.approx(found.score, abs=1e-3)
    final = final_solution(described, quantiles_of(found), of)
    assert final.decisions == found.final[1].decisions
    used = SeedGroups(pool.labelled, make_seed_groups([run for run in pool.runs if described["runs"][run.name]]))
    rows = np.arange(9)
    assert np.allclose(mixed(used, final, "oof", rows), mixed(pool, found.final[1], "oof", rows), atol=1e-5)


@EACH
def test_a_fold_is_blended_and_decided_without_its_truth(of: Competition, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.blending.crossfit.UNREAL", 0.0)  # giving way is a choice on all folds
    pool = pool_of(of)
    other = pool.labelled.truth.copy()
    other[1::FOLDS] = np.roll(other[1::FOLDS], 1, axis=0)
    found = [cross_fit(each, [MEAN, GREEDY]) for each in (pool, pool_of(of, other))]
    (blender, solution), (same, like) = (one.parts[1] for one in found)
    assert blender == same and str(solution) == str(like)
    assert found[0].score != found[1].score


@EACH
def test_the_best_run_is_the_one_with_the_best_merit_and_limits_are_kept(of: Competition) -> None:
    pool = pool_of(of)
    alone = []
    for at in range(len(pool.runs)):
        groups = [number for number, group in enumerate(pool.seed_groups) for _ in group.members]
        member = at - groups.index(groups[at])
        one = Solution((np.arange(len(pool.seed_groups)) == groups[at]).astype(int), member=member)
        alone.append(joined([fold_tally(pool, with_decisions(pool, one, [0, 1]), k) for k in (0, 1)]))
    best = pool.best_run([0, 1])
    assert merits(alone)[best] >= merits(alone).max() - 0.02 * abs(merits(alone).max())
    limited = pool_of(of, limits=Limits(max_models=2))
    costly = [
        replace(group, members=tuple(replace(one, costs=(1.0, 0, 0)) for one in group.members))
        for group in limited.seed_groups
    ]
    limited = replace(limited, seed_groups=tuple(costly))
    for blender in ways(of):
        weights = fitted(blender, limited, [0, 1]).weights
        assert sum(len(group.members) for group, w in zip(costly, weights, strict=True) if w) <= 2, blender.name


@pytest.mark.parametrize("name", ["log loss of labels", "log loss of classes", "RMSE", "RMSE of grades"])
def test_weights_by_the_loss_itself_are_the_best_of_all_in_sample(name: str) -> None:
    pool, every = pool_of(KINDS[name], seed=4), [0, 1, 2]
    assert isinstance(pool.fitted, Valued)
    merit = {}
    for one in BLENDERS:
        if one.name in ("mean", "greedy", "best-1", "convex"):
            weights = fitted(one, pool, every).weights
            merit[one.name] = pool.fitted.merit(weights, every)
    assert merit["convex"] >= max(merit.values()) - 1e-4
    assert weights.min() >= 0


def test_slopes_mend_labels_that_are_said_too_surely() -> None:
    of = KINDS["log loss of labels"]
    pool, sure = pool_of(of), []
    for run in pool.runs:
        odds = (run.oof.astype(np.float64) / (1 - run.oof.astype(np.float64))) ** 3
        sure.append(replace(run, oof=(odds / (1 + odds)).astype(np.float16)))
    table = {line.name: line.score for line in cross_fit(make_pool(pool.labelled, sure), ways(of)).table}
    assert table["calibrated"] < table["mean"]


def test_scores_that_are_all_equal_or_below_minus_one_are_no_trouble() -> None:
    of = KINDS["R2"]
    pool = pool_of(of)
    far = [replace(run, oof=np.full_like(run.oof, 90)) for run in pool.runs]
    pool = make_pool(pool.labelled, far)
    found = cross_fit(pool, ways(of))
    assert found.score < -100 and found.final[0].name == "mean" and found.real == 0.5
    for blender in ways(of):
        assert fitted(blender, pool, [0, 1]).weights.sum() > 0


@pytest.mark.parametrize("name", ["macro F1", "mean Dice", "RMSE", "AUC of two classes"])
def test_pictures_are_drawn_of_any_kind(name: str, tmp_path: Path) -> None:
    draw(pool_of(KINDS[name]), Solution(np.array([2, 1, 1])), "greedy", tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == {"weights.png", "correlation.png", "gain.png"}
