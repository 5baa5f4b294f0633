"""A blend is made of the runs on the present data and folds, each of them once, and the submission follows it."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import FIRST, _load, call, competition, prepare, train
from toolkit import console
from toolkit.blending.blenders import BLENDERS
from toolkit.blending.view_choice import ViewChoice, read_choice
from toolkit.data.dataset import data_hash, open_dataset
from toolkit.data.folds import folds_hash, read_folds
from toolkit.ensemble import add_options, ensemble, has_runs
from toolkit.errors import UserError
from toolkit.folds import add_options as folds_options
from toolkit.folds import folds
from toolkit.networks.network import load_network
from toolkit.networks.views import predict_views
from toolkit.probabilities import open_probabilities, probabilities, write_probabilities
from toolkit.recipe import to_dict
from toolkit.scoring.out_of_fold import score
from toolkit.store import Workspace, chosen_blend, read_json, read_manifest, write_json, write_manifest
from toolkit.submit import submit

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = "schedule.epochs=1"
PLAIN = ("--views", "none")


def parser() -> argparse.ArgumentParser:
    made = console.parser("ensemble", "")
    add_options(made)
    return made


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return prepare(tmp_path)


@pytest.fixture
def linear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the blenders that take no time."""
    quick = [one for one in BLENDERS if one.name in ("mean", "single", "greedy", "mean-biases")]
    monkeypatch.setattr("toolkit.blending.blenders.BLENDERS", tuple(quick))


def stored(folder: Path, name: str) -> np.ndarray:
    return probabilities(open_probabilities(folder / f"{name}.npy"))


def test_the_blend_is_the_mean_and_its_score_that_of_the_mean(workspace: Workspace, tmp_path: Path) -> None:
    runs = [train(tmp_path), train(tmp_path, "--recipe", "second")]
    result = call(ensemble, parser(), tmp_path, *PLAIN)
    folder = Path(result["blend"])
    for name in ("oof", "test"):
        mean = np.mean([stored(run, name) for run in runs], axis=0)
        assert np.allclose(stored(folder, name), mean, atol=1e-3)
    oof = open_probabilities(folder / "oof.npy")
    expected = score(competition, open_dataset(workspace.data).targets, read_folds(workspace), oof)
    assert result["clean"] == expected == read_json(folder / "metrics.json")["clean"]
    assert read_json(folder / "blend.json")["runs"] == {run.name: 0.5 for run in runs}
    assert result["stress"]["low"] <= result["stress"]["score"] <= result["stress"]["high"]
    of_runs = [read_json(run / "metrics.json")["stress"]["triples"] for run in runs]
    assert result["stress"]["triples"] == min(of_runs)


def test_runs_are_averaged_over_views_each_fold_over_those_that_the_others_chose(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, cpu = train(tmp_path), torch.device("cpu")
    by_fold = ({"identity": 1.0}, {"identity": 0.5, "horizontal": 0.5}, {"horizontal": 1.0})
    choice = ViewChoice(("identity", "horizontal"), (0.75, 0.25), "probability", 0.6, 0.5, by_fold)
    monkeypatch.setattr("toolkit.blending.view_choice.choose_views", lambda *_: choice)
    folder = Path(call(ensemble, parser(), tmp_path)["blend"])
    dataset, fold = open_dataset(workspace.data), read_folds(workspace)["fold"]
    networks = [load_network(competition, FIRST, run / f"fold_{k}" / "weights.safetensors", cpu) for k in range(3)]
    for k, views in enumerate(by_fold):
        rows = np.flatnonzero(fold == k)
        expected = predict_views(
            networks[k], dataset.images[rows], range(3), cpu, "float32", list(views), list(views.values())
        )
        assert np.allclose(stored(folder, "oof")[rows], expected, atol=2e-3)
    seen = [predict_views(n, dataset.test_images, range(3), cpu, "float32", choice.views, [3, 1]) for n in networks]
    assert np.allclose(stored(folder, "test"), np.mean(seen, axis=0), atol=2e-3)
    assert read_choice(folder) == choice
    # where views don't gain, the images are taken as they are
    monkeypatch.setattr("toolkit.blending.view_choice.choose_views", lambda *_: replace(choice, crossfitted=0.5))
    (folder / "manifest.json").unlink()
    folder = Path(call(ensemble, parser(), tmp_path)["blend"])
    assert read_choice(folder) is None and np.allclose(stored(folder, "oof"), stored(run, "oof"), atol=1e-3)


def test_a_blend_is_made_once_and_anew_when_there_is_another_run(workspace: Workspace, tmp_path: Path) -> None:
    first = train(tmp_path, QUICK)
    one = call(ensemble, parser(), tmp_path, *PLAIN)
    made = (workspace.ensemble / "mean" / "oof.npy").stat().st_mtime_ns
    assert call(ensemble, parser(), tmp_path, *PLAIN) == one
    assert (workspace.ensemble / "mean" / "oof.npy").stat().st_mtime_ns == made
    second = train(tmp_path, QUICK, "--seed", "1")
    assert set(call(ensemble, parser(), tmp_path, *PLAIN)["runs"]) == {first.name, second.name}
    assert set(read_json(workspace.ensemble / "mean" / "blend.json")["runs"]) == {first.name, second.name}
    assert call(ensemble, parser(), tmp_path, *PLAIN, "--runs", first.name) == one


def test_a_run_named_twice_counts_once(workspace: Workspace, tmp_path: Path) -> None:
    a, b = train(tmp_path, QUICK), train(tmp_path, QUICK, "--seed", "1")
    call(ensemble, parser(), tmp_path, *PLAIN, "--runs", a.name, a.name, b.name)
    folder = workspace.ensemble / "mean"
    assert read_json(folder / "blend.json")["runs"] == {a.name: 0.5, b.name: 0.5}
    assert np.allclose(stored(folder, "oof"), (stored(a, "oof") + stored(b, "oof")) / 2, atol=1e-3)


def test_runs_on_other_folds_and_unfinished_ones_are_not_blended(workspace: Workspace, tmp_path: Path) -> None:
    old = train(tmp_path, QUICK)
    prepare(tmp_path, "--seed", "1")
    with pytest.raises(UserError, match="no finished run on the present data and folds; train one first"):
        call(ensemble, parser(), tmp_path, *PLAIN)
    train(tmp_path, QUICK, "--seed", "2", "--fold", "0")
    new = train(tmp_path, QUICK)
    assert call(ensemble, parser(), tmp_path, *PLAIN)["runs"] == [new.name]
    with pytest.raises(UserError, match=f"no finished run '{old.name}' on the present .* it has {new.name}"):
        call(ensemble, parser(), tmp_path, *PLAIN, "--runs", old.name)
    manifest = read_manifest(workspace.ensemble / "mean")
    assert manifest is not None and set(manifest["runs"]) == {new.name}


def test_an_unknown_run_is_refused_with_those_that_are_there(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run 'best' on the present data and folds; it has none"):
        call(ensemble, parser(), tmp_path, *PLAIN, "--runs", "best")


def made_runs(tmp_path: Path, quality: dict[str, float], biased: bool = False) -> Workspace:
    """360 samples in 120 groups, and runs made by hand: the larger its quality, the more a run is right."""
    call(_load, console.parser("audit", ""), tmp_path, "--practice-size", "360")
    made = console.parser("folds", "")
    folds_options(made)
    call(folds, made, tmp_path, "--practice-size", "360", "--folds", "3")
    workspace = Workspace(tmp_path, "tiny-practice")
    dataset, table = open_dataset(workspace.data), read_folds(workspace)
    for seed, (name, strength) in enumerate(quality.items()):
        random = np.random.default_rng(seed)
        run = workspace.train / name
        logits = random.normal(size=(len(dataset.targets), 3)) + strength * np.eye(3)[dataset.targets]
        logits[:, 0] += 2 * biased
        powers = np.exp(logits)
        values = powers / powers.sum(1, keepdims=True)
        write_probabilities(run / "oof.npy", [values], values.shape, np.float16)
        test = values[: len(dataset.test_images)]
        write_probabilities(run / "test.npy", [test], test.shape, np.float16)
        write_json(run / "recipe.json", to_dict(replace(FIRST, seed=seed, batch_size=8 + 2 * (seed // 2))))
        clean = score(competition, dataset.targets, table, open_probabilities(run / "oof.npy"))
        stress = {"score": 0.5} if seed == 0 else None
        write_json(run / "metrics.json", {"metric": "accuracy", "clean": clean, "stress": stress})
        (run / "fold_0").mkdir()
        (run / "fold_0" / "weights.safetensors").write_bytes(bytes(1000 * (seed + 1)))
        inputs = {"recipe": name, "data": data_hash(workspace.data), "folds": folds_hash(table), "seed": seed}
        write_manifest(run, inputs | {"complete": True})
    return workspace


@pytest.mark.usefixtures("linear")
def test_a_blend_that_gains_is_chosen_and_the_submission_follows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = made_runs(tmp_path, {"a": 2, "b": 2, "c": 2, "d": 2}, biased=True)
    result = call(ensemble, parser(), tmp_path, *PLAIN)
    folder = Path(result["blend"])
    assert result["method"].endswith("biases") and chosen_blend(workspace) == folder
    metrics, blend = read_json(folder / "metrics.json"), read_json(folder / "blend.json")
    said = capsys.readouterr().out
    assert metrics["clean"]["score"] > max(one["score"] for one in metrics["blenders"] if one["name"] == "mean") + 0.02
    assert metrics["optimism"] == pytest.approx(metrics["naive"] - metrics["clean"]["score"], abs=2e-3)
    assert metrics["gain"] > 0 and metrics["gain_is_real"] > 0.95
    for text in ("0.5000", "cross-fitted", "optimism", "the best single run, chosen in the same way", "real with"):
        assert text in said
    assert sum(blend["runs"].values()) == pytest.approx(1) and blend["biases"][0] < min(blend["biases"][1:])
    # what is stored is each fold as its own blend, fitted without it, predicts it
    oof, table = stored(folder, "oof"), read_folds(workspace)
    for k, part in enumerate(blend["folds"]):
        rows = (table["fold"] == k).to_numpy()
        mean = sum(share * stored(workspace.train / run, "oof")[rows] for run, share in part["runs"].items())
        mean = mean * np.exp(part["biases"] or np.zeros(3))
        assert np.allclose(oof[rows], mean / mean.sum(1, keepdims=True), atol=2e-3)
    submitted = call(submit, console.parser("submit", ""), tmp_path)
    assert Path(submitted["submission"]).name.startswith(f"{folder.name}-")
    assert submitted["clean"] == result["clean"] == metrics["clean"]
    labels = np.array(Path(submitted["submission"]).read_text().split(), int)
    assert labels.tolist() == stored(folder, "test").argmax(1).tolist()
    assert {path.name for path in folder.glob("*.png")} == {
        "weights.png",
        "correlation.png",
        "gain.png",
        "repairs.png",
    }


def test_where_code_is_handed_in_only_what_the_server_can_do_is_chosen(tmp_path: Path) -> None:
    made_runs(tmp_path, {"a": 1, "b": 1, "c": 0.2, "d": 0.2})
    code = replace(competition, try_submission=lambda path, images: None)  # type: ignore[arg-type,return-value]
    result = call(ensemble, parser(), tmp_path, *PLAIN, of=code)
    table = read_json(Path(result["blend"]) / "metrics.json")["blenders"]
    assert {one["name"] for one in table if not one["eligible"]} == {
        "calibrated",
        "ranks",
        "by-class",
        "logistic",
        "boosted",
    }
    assert read_json(Path(result["blend"]) / "blend.json")["linear"]


@pytest.mark.usefixtures("linear")
def test_limits_are_kept_and_another_limit_is_another_blend(tmp_path: Path) -> None:
    workspace = made_runs(tmp_path, {"a": 1, "b": 1, "c": 1, "d": 1})
    all_of_them = call(ensemble, parser(), tmp_path, *PLAIN)
    assert len(all_of_them["runs"]) > 2
    assert len(call(ensemble, parser(), tmp_path, *PLAIN, "--max-models", "2")["runs"]) <= 2
    few = call(ensemble, parser(), tmp_path, *PLAIN, "--max-bytes", "4000")["runs"]
    size = {"a": 1000, "b": 2000, "c": 3000, "d": 4000}
    assert sum(size[name] for name in few) <= 4000
    with pytest.raises(UserError, match="no run fits --max-bytes even alone"):
        call(ensemble, parser(), tmp_path, *PLAIN, "--max-bytes", "10")
    for run in "abcd":
        write_json(workspace.train / run / "cost.json", {"cpu float32": 0.001 if run in "bc" else 1.0})
    result = call(
        ensemble, parser(), tmp_path, *PLAIN, "--max-seconds", "3", "--test-images", "1000", "--device", "cpu"
    )
    assert set(result["runs"]) <= {"b", "c"}
    submitted = call(submit, console.parser("submit", ""), tmp_path)
    assert "--max-seconds=3.0 --test-images=1000" in submitted["ledger"]["blend"]


def test_the_time_of_a_run_is_measured_once_and_kept(workspace: Workspace, tmp_path: Path) -> None:
    run = train(tmp_path, QUICK)
    assert call(ensemble, parser(), tmp_path, *PLAIN, "--max-seconds", "60", "--device", "cpu")["runs"] == [run.name]
    cost = read_json(run / "cost.json")
    assert 0 < cost["cpu float32"] < 0.1
    call(ensemble, parser(), tmp_path, *PLAIN, "--max-seconds", "61", "--device", "cpu")
    assert read_json(run / "cost.json") == cost


def test_views_count_in_the_time_and_are_left_out_where_no_run_has_it(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_fold = ({"identity": 0.5, "horizontal": 0.5},) * 3
    choice = ViewChoice(("identity", "horizontal"), (0.5, 0.5), "probability", 0.6, 0.5, by_fold)
    monkeypatch.setattr("toolkit.blending.view_choice.choose_views", lambda *_: choice)
    for seed, seconds in ((0, 0.001), (1, 0.003)):
        write_json(train(tmp_path, QUICK, "--seed", str(seed)) / "cost.json", {"cpu float32": seconds})
    for limit, runs, views in (("20", 2, True), ("5", 1, True), ("1.5", 1, False)):
        more = ("--max-seconds", limit, "--test-images", "1000", "--device", "cpu")
        result = call(ensemble, parser(), tmp_path, *more)
        assert (len(result["runs"]), read_choice(Path(result["blend"])) is not None) == (runs, views)


def test_a_view_by_another_name_is_that_view(workspace: Workspace, tmp_path: Path) -> None:
    run = train(tmp_path, QUICK)
    call(ensemble, parser(), tmp_path, "--views", "horizontal+vertical")
    assert [path.name for path in (run / "views").iterdir()] == ["both"]


def test_a_blend_gets_the_score_that_its_runs_got_later(workspace: Workspace, tmp_path: Path) -> None:
    train(tmp_path, QUICK, "--stress", "none")
    before = call(ensemble, parser(), tmp_path, *PLAIN)
    train(tmp_path, QUICK)
    after = call(ensemble, parser(), tmp_path, *PLAIN)
    assert before["stress"] is None and after["stress"]["score"] > 0 and after["clean"] == before["clean"]


@pytest.mark.usefixtures("linear")
def test_without_a_competition_all_that_have_runs_are_blended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_runs(tmp_path, {"a": 1, "b": 1})
    for name in ("tiny", "other"):
        (tmp_path / "competitions" / name).mkdir(parents=True)
        (tmp_path / "competitions" / name / "__init__.py").touch()
    known = {"tiny": competition, "other": replace(competition, name="other")}
    monkeypatch.setattr("toolkit.competition.load_competition", lambda folder: known[Path(folder).name])
    monkeypatch.chdir(tmp_path)
    made = console.parser("ensemble", "", several=True)
    add_options(made)
    arguments = ["--practice", "--workspace", str(tmp_path), "--json", *PLAIN]
    capsys.readouterr()
    assert console.run_verb(made, ensemble, arguments, has_runs) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert list(result["competitions"]) == ["tiny-practice"] and result["without_runs"] == ["other-practice"]
    assert set(result["competitions"]["tiny-practice"]["runs"]) == {"a", "b"}
    assert "nothing to do for other-practice" in printed.err
    arguments[2] = str(tmp_path / "empty")
    assert console.run_verb(made, ensemble, arguments, has_runs) == 1


@pytest.mark.usefixtures("linear")
def test_runs_on_other_folds_are_counted_aloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = made_runs(tmp_path, {"a": 1, "b": 1})
    manifest = read_manifest(workspace.train / "a")
    assert manifest is not None
    write_manifest(workspace.train / "a", manifest | {"folds": "elsewhere"})
    assert call(ensemble, parser(), tmp_path, *PLAIN)["runs"] == ["b"]
    assert "1 runs are on other data or folds" in capsys.readouterr().out
