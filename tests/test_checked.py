"""What is stored is what was written: a flipped byte, a file that is cut, gone or another fold's, is told."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import tiny
from tests.tiny import prepare, project, train
from toolkit import F1, partial_files, store
from toolkit.checked import arrays, checked, keep, noted, opened
from toolkit.data.folds import check_undivided, read_folds, store_folds
from toolkit.errors import UserError
from toolkit.project import Project
from toolkit.runs import SCORES, Run
from toolkit.scoring.out_of_fold import score
from toolkit.store import MANIFEST, SEAL, digest, read_json, write_json, write_manifest, write_others_json
from toolkit.training import run_scores
from toolkit.tuning.trials import judge

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


def exact(path: Path) -> str:
    """As a regular expression."""
    return re.escape(str(path))


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


def test_a_kill_while_a_finished_folder_gets_a_file_leaves_none_of_which_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, put = tmp_path / "a.npy", partial_files._put
    write_manifest(tmp_path, {})

    def killed(partial: Path, place: Path, **how: Any) -> None:
        if place == path:
            raise KeyboardInterrupt
        put(partial, place, **how)

    monkeypatch.setattr(partial_files, "_put", killed)
    with pytest.raises(KeyboardInterrupt), noted(path) as partial:
        partial.write_bytes(b"whole")
    path.write_bytes(b"whole")  # had the kill come a moment later
    assert read_json(tmp_path / MANIFEST)["files"] == {"a.npy": digest(path)}


def test_a_manifest_that_is_written_again_says_the_same(tmp_path: Path) -> None:
    for _ in range(2):
        np.save(tmp_path / "a.npy", np.arange(3))
        write_manifest(tmp_path, {})
        assert list(read_json(tmp_path / MANIFEST)["files"]) == ["a.npy"]


def test_a_search_judges_no_fold_whose_weights_are_damaged(copied: Project) -> None:
    run = run_of(copied)
    judge(run, 0, "clean", "cpu")
    flip(run.fold(0).weights)
    with pytest.raises(UserError, match=r"fold_0/weights\.safetensors is damaged"):
        judge(run, 0, "clean", "cpu")


def test_epochs_that_are_gone_are_told(copied: Project) -> None:
    fold = run_of(copied).fold(1)
    fold.history_path.unlink()
    with pytest.raises(UserError, match=r"fold_1/history\.json is gone; remove"):
        _ = fold.history


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
    with pytest.raises(UserError, match=rf"{name}\.npy is damaged: .*; remove .*data and run `compete audit`"):
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
    again = rf"remove .*fold_1 and run `compete train .* {exact(run.recipe_path)}`"
    sentence = rf"fold_1/weights\.safetensors is damaged: .*; {again}"
    with pytest.raises(UserError, match=sentence):
        run.networks(torch.device("cpu"))
    shutil.copy(run.fold(0).weights, run.fold(1).weights)
    with pytest.raises(UserError, match=sentence):
        run.networks(torch.device("cpu"))
    shutil.rmtree(run.fold(1).folder)
    with pytest.raises(UserError, match=r"fold_1/weights\.safetensors is gone"):
        run.networks(torch.device("cpu"))
    assert copied.train(str(run.recipe_path)) == run
    assert run.fold(1).weights.read_bytes() == weights and run.manifest == before


def test_damaged_predictions_of_a_run_are_told_and_made_again(copied: Project) -> None:
    run = run_of(copied)
    for path, name in ((run.oof_path, "oof"), (run.test_path, "test")):
        before = path.read_bytes()
        flip(path)
        with pytest.raises(
            UserError, match=rf"{exact(path)} is damaged: .*; remove {exact(path)} and run .*{exact(run.recipe_path)}"
        ):
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
    with pytest.raises(
        UserError, match=rf"{exact(path)} is damaged: .*; remove {exact(folder)} and run `compete train"
    ):
        copied.ensemble(views=["none"])
    shutil.rmtree(folder)
    copied.train(str(run.recipe_path))
    assert copied.ensemble(views=["none"]).metrics[kind] is not None


def test_scores_that_are_damaged_are_made_again_from_what_is_left(copied: Project) -> None:
    run = run_of(copied)
    before, weights, path = run.metrics, run.fold(0).weights.stat().st_mtime_ns, run.metrics_path
    flip(path)
    with pytest.raises(
        UserError, match=rf"{exact(path)} is damaged: .*; remove {exact(path)} and run .*{exact(run.recipe_path)}"
    ):
        copied.runs()
    path.unlink()
    again = copied.train(str(run.recipe_path))
    assert again.metrics["clean"] == before["clean"] and run.fold(0).weights.stat().st_mtime_ns == weights


def test_a_manifest_of_data_that_says_something_else_is_told(tmp_path: Path) -> None:
    ready = prepare(tmp_path)
    write_others_json(ready.workspace.data / MANIFEST, {"inputs": {"hash": 3}})
    for step in (ready.folds, ready.audit):
        with pytest.raises(
            UserError, match=r"data/manifest\.json is damaged: it has no .*source, hash; remove .*data"
        ):
            step()


JSONS = {
    "metrics.json": ("clean", "runs"),
    "recipe.json": ("schedule", "runs"),
    "history.json": (0, "runs"),
    "settings.json": ("precision", "train"),
    "manifest.json": ("inputs", "runs"),
}


@pytest.mark.parametrize("how", ["changed", "without its seal", "of another shape"])
@pytest.mark.parametrize("name", JSONS)
def test_a_value_in_a_stored_json_that_is_not_what_was_written_is_told(name: str, how: str, copied: Project) -> None:
    run, (inside, method) = run_of(copied), JSONS[name]
    path = run.fold(0).history_path if name == "history.json" else run.folder / name
    found = json.loads(path.read_text())
    if isinstance(found, dict) and how == "without its seal":
        found.pop(SEAL)
    found[inside] = (
        {"a": [1]} if how == "of another shape" else json.loads(json.dumps(found[inside]).replace("1", "2"))
    )
    if name == "settings.json":
        found["seconds"] = 17.0
    write_others_json(path, found)
    if how == "without its seal" and name == "manifest.json":
        return  # as older versions wrote it
    with pytest.raises(UserError, match=rf"{exact(path)} is damaged: .*; (remove|run)") as caught:
        copied.train(str(run.recipe_path)) if method == "train" else copied.runs()._repr_html_()
    assert "\n" not in str(caught.value)


def test_a_recipe_that_was_copied_and_changed_says_how_it_is_taken(copied: Project, tmp_path: Path) -> None:
    mine, run = tmp_path / "mine.json", run_of(copied)
    mine.write_text(run.recipe_path.read_text().replace('"batch_size": 8', '"batch_size": 16'))
    with pytest.raises(
        UserError, match=r'mine\.json is damaged: .*; if you changed it, take the line "seal" out of it'
    ):
        copied.recipe(str(mine))
    found = json.loads(mine.read_text())
    found.pop(SEAL)
    mine.write_text(json.dumps(found))
    assert copied.recipe(str(mine)).batch_size == 16


def flipped(whole: bytes, step: int) -> Iterator[bytes]:
    """Each step-th bit of all, one at a time."""
    for at in range(0, len(whole) * 8, step):
        data = bytearray(whole)
        data[at // 8] ^= 1 << at % 8
        yield bytes(data)


def test_every_flipped_bit_of_a_jsons_text_is_told_or_means_nothing(tmp_path: Path) -> None:
    path, value = tmp_path / "a.json", {"clean": {"score": 0.8125}, "name": "x"}
    write_json(path, value)
    write_manifest(tmp_path, {})
    for data in flipped(path.read_bytes(), 3):
        path.write_bytes(data)
        with suppress(UserError):
            assert read_json(path, "clean", "name") == value


def test_every_flipped_bit_of_what_was_judged_is_told_or_means_nothing(tmp_path: Path) -> None:
    path = tmp_path / "judged_clean.npz"
    values: dict[str, Any] = {
        "weights": np.array("0123456789ab"),
        "groups": np.arange(9),
        "counts": np.eye(3, dtype=np.int64),
    }
    np.savez_compressed(path, **values)
    for data in flipped(path.read_bytes(), 61):
        path.write_bytes(data)
        with suppress(UserError):
            found = arrays(path, "remove it", *values)
            assert all(np.array_equal(found[name], array) for name, array in values.items())


def test_two_that_note_what_they_wrote_lose_nothing(tmp_path: Path) -> None:
    write_manifest(tmp_path, {})
    paths = [tmp_path / f"{number}.npy" for number in range(24)]
    for number, path in enumerate(paths):
        np.save(path, np.arange(number))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda path: keep([path]), paths))
    assert set(read_json(tmp_path / MANIFEST)["files"]) == {path.name for path in paths}


def test_damaged_evidence_of_an_audit_is_told_and_made_again(tmp_path: Path) -> None:
    ready = prepare(tmp_path, of=tiny.looking)
    before, evidence = ready.audit().proposal, ready.workspace.evidence
    kept = [path for path in sorted(evidence.rglob("*")) if path.suffix in store.HASHED]
    assert {"links.parquet", "relatives.parquet", "properties.parquet", "rows.npy"} < {path.name for path in kept}
    for path in kept:
        flip(path)
        with pytest.raises(UserError, match="is damaged"):
            checked(path, "")
    with pytest.raises(UserError, match=rf"is damaged: .*; remove {evidence} and run `compete audit`"):
        ready.audit()
    shutil.rmtree(evidence)
    assert ready.audit().proposal.equals(before)


def test_damaged_views_and_blends_are_told_and_made_again(copied: Project) -> None:
    run, views = run_of(copied), ["identity", "horizontal"]
    blend = copied.ensemble(views=views)
    for path in (blend.test_path, blend.oof_path, blend.description_path):
        before = path.read_bytes()
        flip(path)
        with pytest.raises(
            UserError, match=rf"{exact(path)} is damaged: .*; remove {exact(blend.folder)} and run .*ensemble"
        ):
            copied.submit()
        shutil.rmtree(blend.folder)
        assert copied.ensemble(views=views) == blend and path.read_bytes() == before
    copied.submit()
    shutil.rmtree(blend.folder)
    view = run.view_folder("horizontal")
    flip(view / "oof.npy")
    with pytest.raises(UserError, match=rf"oof\.npy is damaged: .*; remove {exact(view)} and run .*ensemble"):
        copied.ensemble(views=views)


def test_a_damaged_match_is_told(copied: Project) -> None:
    folder = copied.workspace.match
    flip(folder / "rows.npy")
    shutil.rmtree(copied.workspace.ensemble)
    with pytest.raises(UserError, match=rf"rows\.npy is damaged: .*; remove {exact(folder)} and run"):
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


def test_runs_that_another_metric_scored_are_scored_again_and_an_old_blend_is_not_handed_in(copied: Project) -> None:
    run, heard = run_of(copied), tiny.Heard()
    by_accuracy, bits = run.metrics, run.manifest
    other = project(copied.workspace.root, replace(tiny.looking, metric=F1()), progress=heard)
    with pytest.raises(UserError, match=r"was scored by accuracy, and tiny now is by macro F1: .*ensemble"):
        other.submit()
    (again,) = other.runs()
    assert f"{run.name} was scored by accuracy, now by macro F1: out of fold " in str(heard)
    assert again.manifest == bits and again.metrics["clean"] == score(other.labelled(), again.oof)
    for kind in SCORES:
        assert set(again.metrics[kind]) == set(by_accuracy[kind])
        assert again.metrics[kind]["score"] != by_accuracy[kind]["score"]
    assert other.ensemble([run.name], views=["none"]).metrics["metric"] == "macro F1"
    (back,) = copied.runs()
    assert back.metrics == by_accuracy


def test_a_metric_of_the_same_name_with_other_settings_is_another_one(copied: Project) -> None:
    run, heard = run_of(copied), tiny.Heard()
    metrics = F1(), F1(beta=2, name="macro F1")
    scored = []
    for metric in metrics:
        other = project(copied.workspace.root, replace(tiny.looking, metric=metric), progress=heard)
        (again,) = other.runs()
        assert again.metrics["clean"] == score(other.labelled(), again.oof)
        scored.append(again.metrics["clean"]["score"])
        blend = other.ensemble([run.name], views=["none"])
        assert blend.metrics["clean"]["score"] == pytest.approx(scored[-1])
    assert scored[0] != scored[1]
    assert f"{run.name} was scored by another macro F1, now by macro F1: out of fold " in str(heard)


def test_a_run_whose_corrupted_masks_tell_another_metric_nothing_is_left_out_until_it_is_trained_on(
    copied: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, heard = run_of(copied), tiny.Heard()
    monkeypatch.setattr(run_scores, "_tells", lambda run, evidence: False)
    other = project(copied.workspace.root, replace(tiny.looking, metric=F1()), progress=heard)
    assert list(other.runs()) == [] and other.labelled().competition.metric.name == "macro F1"
    assert f"is left out: `compete train … --recipe {run.recipe_path}` scores it by macro F1" in str(heard)
    again = other.train(str(run.recipe_path))
    assert again == run and again.metrics["stress"]["score"] is not None and list(other.runs()) == [run]
