"""Blends are what they say: weighted means, whatever they are stored as, and confusions of these."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.blending.conftest import FOLD, LABELS_AND_MASKS, drawn, pool_of
from toolkit.blending.solution import Solution, fold_confusions, mixed
from toolkit.competition import Competition
from toolkit.metrics.confusion import confusion_by_sample


@LABELS_AND_MASKS
def test_confusions_are_those_of_the_mixture(of: Competition) -> None:
    targets, candidates = drawn(of)
    pool = pool_of(of, targets, candidates)
    rows = np.flatnonzero(FOLD == 1)
    solution = Solution(np.array([3, 0, 1, 2]))
    by_hand = of.decode(mixed(pool, solution, "oof", rows))
    apart = np.abs(fold_confusions(pool, solution, 1) - confusion_by_sample(targets[rows], by_hand, pool.classes))
    assert apart[:, list(of.scored)].sum() <= 4  # ties; rows that no score reads are not followed


@LABELS_AND_MASKS
def test_a_mixture_is_the_weighted_mean_whether_stored_as_bytes_or_halves(of: Competition, tmp_path: Path) -> None:
    targets, candidates = drawn(of)
    np.save(tmp_path / "a.npy", candidates[0].oof)
    candidates[0] = replace(candidates[0], oof=np.load(tmp_path / "a.npy", mmap_mode="r"))
    pool, solution = pool_of(of, targets, candidates), Solution(np.array([1, 0, 3, 0]))
    means = [group.mean("oof", np.arange(20)) for group in pool.seed_groups]
    expected = (1 * means[0] + 3 * means[2]) / 4
    found = mixed(pool, solution, "oof", np.arange(20))
    assert np.allclose(found, expected / expected.sum(1, keepdims=True), atol=1e-3)
    assert np.array_equal(mixed(pool, solution, "test", np.arange(7)), found[:7])
