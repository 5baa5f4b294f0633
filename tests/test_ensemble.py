"""A blend is the mean of the runs that were trained on the present data and folds, each of them once."""

import argparse
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import call, competition, prepare, train
from toolkit import console
from toolkit.dataset import open_dataset
from toolkit.ensemble import add_options, ensemble
from toolkit.errors import UserError
from toolkit.oof import open_probabilities, probabilities, score
from toolkit.split import read_folds
from toolkit.store import Workspace, read_json, read_manifest

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = "schedule.epochs=1"


def parser() -> argparse.ArgumentParser:
    made = console.parser("ensemble", "")
    add_options(made)
    return made


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return prepare(tmp_path)


def stored(folder: Path, name: str) -> np.ndarray:
    return probabilities(open_probabilities(folder / f"{name}.npy"))


def test_the_blend_is_the_mean_and_its_score_that_of_the_mean(workspace: Workspace, tmp_path: Path) -> None:
    runs = [train(tmp_path), train(tmp_path, "--recipe", "second")]
    result = call(ensemble, parser(), tmp_path)
    folder = Path(result["blend"])
    for name in ("oof", "test"):
        mean = np.mean([stored(run, name) for run in runs], axis=0)
        assert np.allclose(stored(folder, name), mean, atol=1e-3)
    oof = open_probabilities(folder / "oof.npy")
    expected = score(competition, open_dataset(workspace.data).targets, read_folds(workspace), oof)
    assert result["clean"] == expected == read_json(folder / "metrics.json")["clean"]
    assert result["stress"] is None
    assert read_json(folder / "blend.json")["runs"] == {run.name: 0.5 for run in runs}


def test_a_blend_is_made_once_and_anew_when_there_is_another_run(workspace: Workspace, tmp_path: Path) -> None:
    first = train(tmp_path, QUICK)
    one = call(ensemble, parser(), tmp_path)
    made = (workspace.ensemble / "mean" / "oof.npy").stat().st_mtime_ns
    assert call(ensemble, parser(), tmp_path) == one
    assert (workspace.ensemble / "mean" / "oof.npy").stat().st_mtime_ns == made
    second = train(tmp_path, QUICK, "--seed", "1")
    assert set(call(ensemble, parser(), tmp_path)["runs"]) == {first.name, second.name}
    assert set(read_json(workspace.ensemble / "mean" / "blend.json")["runs"]) == {first.name, second.name}
    assert call(ensemble, parser(), tmp_path, "--runs", first.name) == one


def test_a_run_named_twice_counts_once(workspace: Workspace, tmp_path: Path) -> None:
    a, b = train(tmp_path, QUICK), train(tmp_path, QUICK, "--seed", "1")
    call(ensemble, parser(), tmp_path, "--runs", a.name, a.name, b.name)
    folder = workspace.ensemble / "mean"
    assert read_json(folder / "blend.json")["runs"] == {a.name: 0.5, b.name: 0.5}
    assert np.allclose(stored(folder, "oof"), (stored(a, "oof") + stored(b, "oof")) / 2, atol=1e-3)


def test_runs_on_other_folds_and_unfinished_ones_are_not_blended(workspace: Workspace, tmp_path: Path) -> None:
    old = train(tmp_path, QUICK)
    prepare(tmp_path, "--seed", "1")
    with pytest.raises(UserError, match="no finished run on the present data and folds; train one first"):
        call(ensemble, parser(), tmp_path)
    train(tmp_path, QUICK, "--seed", "2", "--fold", "0")
    new = train(tmp_path, QUICK)
    assert call(ensemble, parser(), tmp_path)["runs"] == [new.name]
    with pytest.raises(UserError, match=f"no finished run '{old.name}' on the present .* it has {new.name}"):
        call(ensemble, parser(), tmp_path, "--runs", old.name)
    manifest = read_manifest(workspace.ensemble / "mean")
    assert manifest is not None and set(manifest["runs"]) == {new.name}


def test_an_unknown_run_is_refused_with_those_that_are_there(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run 'best' on the present data and folds; it has none"):
        call(ensemble, parser(), tmp_path, "--runs", "best")
