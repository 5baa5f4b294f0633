"""What a blend makes of images as the test may have them is counted as it is of the samples."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.blending.conftest import KINDS, drawn_values, leave_match, made_runs, pool_of
from toolkit.blending.blenders import BLENDERS
from toolkit.blending.candidates import NO_LIMITS, Candidate, candidate
from toolkit.blending.pool import make_pool
from toolkit.blending.solution import fold_tally
from toolkit.blending.worn import Worn, find_worn, kept_of
from toolkit.runs import current_runs

FOLDS = 3
GREEDY = next(one for one in BLENDERS if one.name == "greedy")


@pytest.mark.parametrize("name", KINDS)
def test_images_that_are_the_samples_score_as_these_do_and_weights_count(name: str) -> None:
    of = KINDS[name]
    truth, values = drawn_values(of, seed=0)
    rows = np.arange(len(truth))
    candidates = [Candidate(f"run{m}", f"recipe{m}", each) for m, each in enumerate(values)]
    pool = pool_of(of, truth, candidates, rows % FOLDS)
    solution = GREEDY.fit(pool, [0, 1])
    same = Worn("corrupted", pool, rows, pool.labelled.truth, rows, np.ones(len(rows)))
    expected = fold_tally(pool, solution, 2).score()
    assert same.tally(solution, 2).score() == pytest.approx(expected)
    assert np.array_equal(same.groups([2]), pool.labelled.group[pool.labelled.rows(2)])
    once = replace(same, weights=np.where(rows < 45, 1.0, 0.0))
    some = replace(same, places=rows[:45], truth=pool.labelled.truth[:45], rows=rows[:45], weights=np.ones(45))
    assert once.tally(solution, 2).score() == pytest.approx(some.tally(solution, 2).score())


@pytest.mark.parametrize("alike", [True, False])
def test_images_like_the_test_are_taken_where_test_images_differ(tmp_path: Path, alike: bool) -> None:
    labelled = made_runs(tmp_path, {"a": 2, "b": 2}).labelled()
    match, runs = leave_match(labelled, np.ones(50) if alike else np.linspace(0.5, 1.5, 50)), current_runs(labelled)
    kept = kept_of(labelled, runs)
    assert (kept is None) == alike
    found = find_worn(kept, make_pool(labelled, [candidate(run, NO_LIMITS, "cpu") for run in runs]))
    assert (found is None) == alike
    if kept is not None and found is not None:
        assert kept.key == {"match": match.hash}
        assert found.name == "test-like" and np.array_equal(found.rows, np.arange(50))
        assert np.array_equal(found.weights, np.linspace(0.5, 1.5, 50))
