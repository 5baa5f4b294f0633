"""What is stored is what was written: a flipped byte, a file that is cut, gone or another fold's, is told."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import tiny
from tests.tiny import prepare, project, train
from toolkit import F1, store
from toolkit.checked import checked, keep, opened
from toolkit.data.folds import check_undivided, read_folds, store_folds
from toolkit.errors import UserError
from toolkit.project import Project
from toolkit.runs import Run
from toolkit.store import MANIFEST, digest, read_json, write_json, write_manifest

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")
QUICK = "schedule.epochs=1"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all its scores, blended."""
    root, threads = tmp_path_factory.mktemp("made"), torch.get_num_threads()
    torch.set_num_threads(1)  # as `one_thread`, which belongs to a single test
    prepare(root, of=tiny.looking)
    train(root, QUICK, of=tiny.looking)
    project(root, tiny.looking).ensemble(views=["identity", "horizontal"])
    torch.set_num_threads(threads)
    return root


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Project:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return project(tmp_path, tiny.looking)


def run_of(copied: Project) -> Run:
    (run,) = copied.runs()
    return run


def flip(path: Path) -> None:
    """A bit of its last byte, as a failing disk does it: the time of its change stays."""
    data, stat = bytearray(path.read_bytes()), path.stat()
    data[-1] ^= 1
    path.unlink()
    path.write_bytes(data)
    assert path.stat().st_size == stat.st_size


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
def test_a_file_that_is_not_what_was_written_is_told(damage: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.arange(100))
    write_manifest(tmp_path, {})
    assert opened(path, "").tolist() == list(range(100))
    damage(path)
    with pytest.raises(UserError, match=r"a\.npy is (damaged|gone).*; remove it"):
        opened(path, "remove it")


def test_a_file_of_which_no_hash_is_known_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    write_manifest(tmp_path, {"of": "before"})
    np.save(path, np.arange(3))
    flip(path)
    assert checked(path, "") == path
    keep([path])
    flip(path)
    with pytest.raises(UserError, match="damaged"):
        checked(path, "")
    manifest = read_json(tmp_path / MANIFEST)
    write_json(tmp_path / MANIFEST, {name: value for name, value in manifest.items() if name != "files"})
    assert checked(path, "") == path and manifest["inputs"] == {"of": "before"}
    cut(path)
    with pytest.raises(UserError, match="damaged"):  # numpy knows
        opened(path, "")


def test_of_a_large_file_blocks_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "WHOLE", 1000)
    monkeypatch.setattr(store, "BLOCK", 10)
    path, data = tmp_path / "a.npy", bytearray(np.random.default_rng(0).bytes(256 * 40))
    path.write_bytes(data)
    before = digest(path)
    for at in (0, 5, len(data) - 1):
        path.unlink()
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert digest(path) != before
    path.write_bytes(data[:-1])
    assert digest(path) != before


def test_a_manifest_of_another_shape_is_told(tmp_path: Path) -> None:
    for text in ("[]", "{}", '{"inputs": 3}'):
        (tmp_path / MANIFEST).write_text(text)
        with pytest.raises(UserError, match=r"manifest\.json is damaged: .*; remove"):
            store.read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["images", "targets", "ids", "groups", "test_images"])
def test_damaged_data_are_told(name: str, tmp_path: Path) -> None:
    ready = prepare(tmp_path)
    flip(ready.workspace.data / f"{name}.npy")
    with pytest.raises(UserError, match=rf"{name}\.npy is damaged: .*; remove .*data and run `python -m .*audit`"):
        ready.labelled()


def test_a_table_of_folds_is_the_one_that_was_written(tmp_path: Path) -> None:
    ready = prepare(tmp_path)
    table = read_folds(ready.workspace)
    before = dict(table.attrs)
    table["fold"] = np.where(np.arange(len(table)) == 0, (table["fold"].to_numpy() + 1) % 3, table["fold"])
    table.to_parquet(ready.workspace.folds)
    with pytest.raises(UserError, match=r"samples 0 and 1 are of one origin, and in folds \d and \d; remove it"):
        ready.labelled()  # as folds were stored before, no hash is known
    store_folds(table, ready.workspace)
    with pytest.raises(UserError, match="divides a group"):
        ready.labelled()
    stored = read_folds(ready.workspace)
    assert stored.attrs == before
    stored.attrs["content"] = "another"
    stored.to_parquet(ready.workspace.folds)
    with pytest.raises(UserError, match=r"isn't the table that `folds` wrote; remove it and run"):
        read_folds(ready.workspace)


def test_plain_folds_divide_relatives_and_no_groups_of_the_competition(tmp_path: Path) -> None:
    ready = prepare(tmp_path)
    table = read_folds(ready.workspace)
    table["group"], table.attrs["split"] = 0, "plain"
    groups = np.arange(len(table)) // 3
    check_undivided(table, groups, ready.workspace)
    table.loc[:2, "fold"] = [-1, 0, -2]
    with pytest.raises(UserError, match="samples 1 and 2 are of one origin, and in folds 0 and -2"):
        check_undivided(table, groups, ready.workspace)


@pytest.mark.parametrize("damage", [flip, cut])
def test_weights_that_are_damaged_or_another_folds_build_nothing_and_are_trained_again(
    damage: Callable[[Path], None], copied: Project
) -> None:
    run = run_of(copied)
    before, weights = run.manifest, run.fold(1).weights.read_bytes()
    damage(run.fold(1).weights)
    sentence = rf"fold_1/weights\.safetensors is damaged: .*; remove .*fold_1 and run `python -m .* {run.recipe_path}`"
    with pytest.raises(UserError, match=sentence):
        run.networks(torch.device("cpu"))
    shutil.copy(run.fold(0).weights, run.fold(1).weights)
    with pytest.raises(UserError, match=sentence):
        run.networks(torch.device("cpu"))
    shutil.rmtree(run.fold(1).folder)
    with pytest.raises(UserError, match=r"fold_1/weights\.safetensors is gone"):
        run.networks(torch.device("cpu"))
    again = copied.train(str(run.recipe_path))
    assert again == run and run.fold(1).weights.read_bytes() == weights and run.manifest == before


def test_damaged_predictions_of_a_run_are_told_and_made_again(copied: Project) -> None:
    run = run_of(copied)
    for path, name in ((run.oof_path, "oof"), (run.test_path, "test")):
        before = path.read_bytes()
        flip(path)
        with pytest.raises(UserError, match=rf"{path} is damaged: .*; remove {path} and run .*{run.recipe_path}"):
            getattr(run, name)
        path.unlink()
        copied.train(str(run.recipe_path))
        assert path.read_bytes() == before and getattr(run, name) is not None


@pytest.mark.parametrize("kind", ["stress", "matched"])
def test_damaged_evidence_of_a_score_is_told_and_made_again(kind: str, copied: Project) -> None:
    run = run_of(copied)
    folder = run.folder / kind
    path = max(folder.glob("*.npy"))
    flip(path)
    shutil.rmtree(copied.workspace.ensemble)
    with pytest.raises(UserError, match=rf"{path} is damaged: .*; remove {folder} and run `python -m toolkit\.train"):
        copied.ensemble(views=["none"])
    shutil.rmtree(folder)
    copied.train(str(run.recipe_path))
    assert copied.ensemble(views=["none"]).metrics[kind] is not None


def test_damaged_views_and_blends_are_told_and_made_again(copied: Project) -> None:
    run, views = run_of(copied), ["identity", "horizontal"]
    blend = copied.ensemble(views=views)
    for path in (blend.test_path, blend.oof_path, blend.description_path):
        before = path.read_bytes()
        flip(path)
        with pytest.raises(UserError, match=rf"{path} is damaged: .*; remove {blend.folder} and run .*ensemble"):
            copied.submit()
        shutil.rmtree(blend.folder)
        assert copied.ensemble(views=views) == blend and path.read_bytes() == before
    copied.submit()
    shutil.rmtree(blend.folder)
    view = run.view_folder("horizontal")
    flip(view / "oof.npy")
    with pytest.raises(UserError, match=rf"oof\.npy is damaged: .*; remove {view} and run .*ensemble"):
        copied.ensemble(views=views)


def test_a_damaged_match_is_told(copied: Project) -> None:
    folder = copied.workspace.match
    flip(folder / "rows.npy")
    shutil.rmtree(copied.workspace.ensemble)
    with pytest.raises(UserError, match=rf"rows\.npy is damaged: .*; remove {folder} and run"):
        copied.ensemble(views=["none"])


def test_runs_of_before_are_taken_as_they_are(copied: Project) -> None:
    run = run_of(copied)
    for path in copied.workspace.folder.rglob(MANIFEST):
        manifest = read_json(path)
        inputs = {name: value for name, value in manifest["inputs"].items() if name not in ("bits", "code")}
        write_json(path, {name: value for name, value in manifest.items() if name != "files"} | {"inputs": inputs})
    shutil.rmtree(copied.workspace.ensemble)
    copied.train(str(run.recipe_path))
    blend = copied.ensemble(views=["none"])
    before = blend.description_path.stat().st_mtime_ns
    assert copied.ensemble(views=["none"]).description_path.stat().st_mtime_ns == before
    copied.submit()


def test_a_run_that_was_trained_anew_is_blended_anew_and_an_old_blend_is_not_handed_in(copied: Project) -> None:
    run = run_of(copied)
    blend = copied.ensemble(views=["none"])
    made = copied.submit()
    settings, before = read_json(run.settings_path), run.manifest
    assert (blend.manifest or {})["runs"] == {run.name: before}
    shutil.rmtree(run.folder)
    run.folder.mkdir()
    write_json(run.settings_path, settings | {"precision": "bfloat16"})  # as another machine measures it
    recipe = copied.choose_recipe("first", [QUICK])
    again = copied.train(recipe)
    assert again.name == run.name and again.manifest != before
    for refused in (copied.submit, copied.report):
        with pytest.raises(UserError, match=r"was trained anew after it was blended in .*; run .*ensemble"):
            refused()
    anew = copied.ensemble(views=["none"])
    assert anew.folder == blend.folder and (anew.manifest or {})["runs"] == {run.name: again.manifest}
    assert copied.submit().path != made.path


def test_scores_of_another_metric_are_not_shown_nor_blended(copied: Project) -> None:
    run = run_of(copied)
    other = project(copied.workspace.root, replace(tiny.looking, metric=F1()))
    assert list(other.runs()) == [] and Run(run.folder, other.labelled()).is_current is False
    with pytest.raises(
        UserError, match=r"was scored by accuracy, and tiny now is by macro F1: .*; take the old metric"
    ):
        other.train("first", schedule__epochs=1)
    with pytest.raises(UserError, match=f"no finished run '{run.name}'"):
        other.ensemble([run.name])
    with pytest.raises(UserError, match=r"was scored by accuracy, and tiny now is by macro F1: .*ensemble"):
        other.submit()
