"""Runs that differ in seed alone count as one, and what alone breaks a limit takes no part."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from tests.blending.conftest import LABELS, drawn, made_runs
from toolkit.blending.candidates import Limits, candidate, make_seed_groups
from toolkit.errors import UserError
from toolkit.runs import current_runs


def test_seeds_of_one_recipe_are_one_seed_group_and_its_mean() -> None:
    _, candidates = drawn(LABELS)
    groups = make_seed_groups(candidates)
    assert [len(group.members) for group in groups] == [1, 1, 1, 2]
    both = (candidates[3].oof.astype(np.float32) + candidates[4].oof.astype(np.float32)) / 2
    assert np.allclose(groups[3].mean("oof", np.arange(9)), both[:9])


def test_what_alone_breaks_a_limit_is_left_out() -> None:
    _, candidates = drawn(LABELS)
    candidates = [replace(one, costs=(1.0, 9.0 * (one.name == "run4"), 0.0)) for one in candidates]
    groups = make_seed_groups(candidates, Limits(max_seconds=4.0))
    assert [group.members[-1].name for group in groups] == ["run0", "run1", "run2", "run3"]
    with pytest.raises(UserError, match="no run fits --max-seconds even alone"):
        make_seed_groups([replace(one, costs=(1.0, 9.0, 0.0)) for one in candidates], Limits(max_seconds=4.0))


def test_test_images_are_those_at_hand_and_counted_only_where_time_is_limited() -> None:
    labelled = tiny.labelled(np.zeros(6, int), np.arange(6) % 2, test_images=np.zeros((4, 8, 8, 3), np.uint8))
    assert Limits(max_models=1, test_images=9).on(labelled).given == {"max_models": 1}
    assert Limits(max_seconds=1.0, test_images=9).on(labelled).given == {"max_seconds": 1.0, "test_images": 9}
    assert Limits(max_seconds=1.0).on(labelled).test_images == 4
    assert Limits(max_seconds=1.0).on(replace(labelled, test_images=labelled.images[:0])).test_images == 6


def test_a_run_costs_what_is_limited(tmp_path: Path) -> None:
    runs = current_runs(made_runs(tmp_path, {"a": 1, "b": 1, "c": 1}).labelled())
    a, b, c = (candidate(run, Limits(max_bytes=1), "cpu") for run in runs)
    assert (a.costs, c.costs) == ((1, 0, 3000), (1, 0, 9000))
    assert a.seed_group == b.seed_group != c.seed_group


@pytest.mark.parametrize("value", [-5, 0, float("nan"), float("inf")])
def test_a_limit_is_a_number_above_0(value: float) -> None:
    for name in ("max_seconds", "test_images"):
        with pytest.raises(UserError, match=f"--{name.replace('_', '-')} is .*; give a number above 0"):
            Limits(**{name: value})  # type: ignore[arg-type]
