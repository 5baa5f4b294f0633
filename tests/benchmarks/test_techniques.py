"""The benchmark of techniques: each is one, and what is hidden is half corrupted."""

from pathlib import Path

import numpy as np
import pytest

import toolkit
from benchmarks import blend_choice
from benchmarks.techniques import TECHNIQUES, Hidden, measure
from tests.conftest import ROOT
from tests.tiny import FIRST, project
from toolkit import override
from toolkit.screen import Screen


@pytest.mark.parametrize("name", TECHNIQUES)
def test_each_technique_changes_the_first_recipe_within_the_rules(name: str) -> None:
    competition = toolkit.load_competition(ROOT / "competitions" / name)
    first = next(iter(competition.recipes.values()))
    for words in TECHNIQUES[name].values():
        changed = override(first, words.split())
        competition.check(changed)
        assert changed != first


@pytest.mark.usefixtures("one_thread")
def test_gains_are_of_the_same_images_and_nothing_is_trained_twice(tmp_path: Path) -> None:
    opened = project(tmp_path)
    techniques = {"the same": "seed=0", "more dropout": "model.dropout=0.25"}
    found = [measure(opened, override(FIRST, ["schedule.epochs=1"]), techniques, 0.1) for _ in range(2)]
    assert found[0] == found[1] and list(found[0]) == ["", *techniques]
    assert found[0]["the same"]["cv_gain"] == found[0]["the same"]["hidden_gain"] == [0.0, 0.0, 0.0]
    assert len(opened.runs()) == 2
    hidden, labelled = Hidden(opened.labelled()), opened.labelled()
    whole = labelled.images[np.flatnonzero(labelled.held_out)]
    assert np.array_equal(hidden.images[1::2], whole[1::2]) and not np.array_equal(hidden.images, whole)
    replayed = blend_choice.measure(opened, Screen(stderr=True))
    assert replayed["pools"] == 3 and 0 <= replayed["changed"] <= 3 and -1 <= replayed["hidden"] <= 1


@pytest.mark.usefixtures("one_thread")
def test_what_one_network_keeps_of_a_blend(tmp_path: Path) -> None:
    opened, first = project(tmp_path), override(FIRST, ["schedule.epochs=1"])
    found = measure(opened, first, {"more dropout": "model.dropout=0.25"}, 0.1, distil=True)
    assert list(found) == ["", "more dropout", "the mean of these", "a network that learns from it"]
    (student,) = (run for run in opened.runs() if run.recipe.distil.blend)
    assert found["a network that learns from it"]["hidden"] == Hidden(opened.labelled()).tally(student).score()
    assert 0 <= found["the mean of these"]["hidden"] <= 1
    assert measure(opened, first, {"more dropout": "model.dropout=0.25"}, 0.1, distil=True) == found
