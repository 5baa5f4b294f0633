"""A run says of itself what is in its folder; runs are found on the present data and folds."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import tiny
from toolkit.data.labelled import Labelled
from toolkit.errors import UserError
from toolkit.recipe import Chosen, override, to_dict
from toolkit.runs import Run, all_runs, best_run, current_runs
from toolkit.store import write_json, write_manifest

pytestmark = pytest.mark.usefixtures("one_thread")


def test_runs_are_found_by_name_the_current_ones_on_the_present_data_and_folds(tmp_path: Path) -> None:
    labelled = tiny.labelled(np.zeros(4, int), np.arange(4) % 2, root=tmp_path)
    assert all_runs(labelled) == current_runs(labelled) == [] and best_run([]) is None
    made = {
        "b": ("data", "folds", 0.5),
        "a": ("data", "folds", 0.7),
        "c": ("other", "folds", 1),
        "d": ("data", "o", 1),
    }
    for name, (data, folds, score) in made.items():
        run = Run(labelled.workspace.train / name, labelled)
        write_manifest(run.folder, {"data": data, "folds": folds, "complete": name == "a"})
        write_json(run.metrics_path, {"clean": {"score": score}})
        write_json(run.recipe_path, to_dict(tiny.FIRST))
    (labelled.workspace.train / "unfinished").mkdir()
    assert [run.name for run in all_runs(labelled)] == ["a", "b", "c", "d"]
    runs = current_runs(labelled)
    assert [(run.name, run.complete) for run in runs] == [("a", True), ("b", False)] and best_run(runs) == runs[0]
    without_blur = override(tiny.FIRST, ["augment.leave_out=blur"])
    write_json(runs[0].recipe_path, to_dict(without_blur))
    runs = current_runs(labelled)
    assert [run.handicapped for run in runs] == [True, False]
    assert best_run(runs) == runs[1] and best_run(runs[:1]) == runs[0]


def test_a_trained_run_has_its_history_networks_and_predictions(tmp_path: Path) -> None:
    tiny.prepare(tmp_path)
    run = tiny.train(tmp_path, "schedule.epochs=2", stress="none")
    assert [len(epochs) for epochs in run.history] == [2, 2, 2] and run.seconds > 0 and run.complete
    assert run.recipe == run.fold(1).recipe and len(run.networks(torch.device("cpu"))) == 3
    assert run.confusions().sum() == 72 and run.test is not None and run.test.shape == (18, 3)
    run.fold(2).weights.unlink()
    with pytest.raises(UserError, match=r"fold_2/weights\.safetensors is gone; remove .*fold_2 and run `compete"):
        run.networks(torch.device("cpu"))


def tried(labelled: Labelled, number: int, trials: int, *, seed: int = 0, judged: bool = True, ended: int = 2) -> Run:
    """A run as a search of the study leaves it, with so many folds to their end; judged: by the search."""
    run = Run(labelled.workspace.train / f"{number}-{seed}-{judged}", labelled)
    recipe = replace(tiny.FIRST, batch_size=8 + number, seed=seed, chosen=Chosen("study", trials, "clean"))
    run.store_recipe(recipe)
    for fold in run.folds[:ended]:
        write_manifest(fold.folder, {"complete": True})
        if judged:
            fold.judged("clean").touch()
    return run


def test_a_run_knows_by_now_among_how_many_trials_it_was_chosen(tmp_path: Path) -> None:
    labelled = tiny.labelled(np.zeros(4, int), np.arange(4) % 2, root=tmp_path)
    first, _ = (tried(labelled, number, number + 1) for number in range(2))
    assert first.chosen == Chosen("study", 2, "clean") and first.beside == ", chosen among 2 trials"
    assert repr(first).endswith(", chosen among 2 trials)")
    other = Run(labelled.workspace.train / "other", labelled)
    other.store_recipe(replace(tiny.FIRST, chosen=Chosen("another", 50, "clean")))
    tried(labelled, 7, 8, ended=0)
    assert first.chosen.trials == 8, "trials of another study are not counted, those without a fold are"
    plain = Run(labelled.workspace.train / "plain", labelled)
    plain.store_recipe(tiny.FIRST)
    assert plain.chosen is None and plain.beside == "" and "chosen" not in plain.recipe_path.read_text()
    first.store_recipe(replace(first.recipe, name="by-hand", chosen=None))
    assert first.chosen is not None, "what a search has said stays where the same recipe is trained by hand"
    assert "chosen" not in first.recipe_fields


def test_what_chose_each_of_many_runs_is_read_once_and_not_by_each_of_all(tmp_path: Path) -> None:
    """Files that are opened for twice as many runs are twice as many, not four times."""
    labelled, opened = tiny.labelled(np.zeros(4, int), np.arange(4) % 2, root=tmp_path), [0]

    def hook(event: str, given: tuple[object, ...]) -> None:
        opened[0] += event == "open" and str(given[0]).startswith(str(tmp_path))

    sys.addaudithook(hook)
    counts = []
    for number in (20, 40):
        for at in range(number):
            run = Run(labelled.workspace.train / f"t{at:03}", labelled)
            run.store_recipe(replace(tiny.FIRST, chosen=Chosen("study", at + 1, "clean")))
        before = opened[0]
        runs = [Run(folder, labelled) for folder in sorted(labelled.workspace.train.iterdir())]
        assert {run.chosen for run in runs} == {Chosen("study", number, "clean")}
        counts.append(opened[0] - before)
    assert counts[1] <= 2 * counts[0] and counts[0] <= 2 * 20
