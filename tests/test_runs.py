"""A run says of itself what is in its folder; runs are found on the present data and folds."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests import tiny
from toolkit.errors import UserError
from toolkit.recipe import override, to_dict
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
    with pytest.raises(UserError, match=r"fold_2/weights\.safetensors does not exist any more; train first again"):
        run.networks(torch.device("cpu"))
