"""A run is its folds put together; it is trained once, however it was cut short, and any fold alone."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from tests.tiny import FIRST, competition, prepare, train
from toolkit import train as verb
from toolkit.competition import Competition
from toolkit.data.dataset import open_dataset
from toolkit.data.folds import read_folds
from toolkit.errors import UserError
from toolkit.networks.network import load_network
from toolkit.networks.predict import predict
from toolkit.probabilities import open_probabilities
from toolkit.scoring.out_of_fold import score
from toolkit.scoring.stress import read_evidence
from toolkit.store import read_json, read_manifest
from toolkit.training import results
from toolkit.training.fold import STATE
from toolkit.training.loop import FoldJob, Trained

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
TrainUntil = Callable[[float | None], Path]


@pytest.fixture
def train_until(tmp_path: Path) -> TrainUntil:
    """Train the first recipe in `tmp_path` with a deadline."""
    workspace = prepare(tmp_path)
    options = argparse.Namespace(device="cpu", workers=0, stress="auto")
    return lambda deadline: verb.train(competition, workspace, FIRST, options, deadline)


def same_bits(one: Path, other: Path) -> bool:
    weights = (f"fold_{k}/weights.safetensors" for k in range(3))
    return all((one / n).read_bytes() == (other / n).read_bytes() for n in ("oof.npy", "test.npy", *weights))


def test_a_sample_is_validated_in_its_fold_trained_on_in_all_others_and_nowhere_if_left_out(tmp_path: Path) -> None:
    workspace = prepare(tmp_path)
    lines = pd.DataFrame({"index": [5], "action": ["drop"], "value": "", "reason": "", "confidence": 1})
    lines.to_csv(workspace.cleaning, index=False)
    prepare(tmp_path)
    _, jobs = verb.prepare(competition, workspace, FIRST, argparse.Namespace(device="cpu", workers=0))
    groups = open_dataset(workspace.data).groups
    kept = [row for row in range(72) if row != 5]
    assert sorted(np.concatenate([job.valid_rows for job in jobs]).tolist()) == kept
    for job in jobs:
        assert sorted([*job.train_rows, *job.valid_rows]) == kept
        assert not set(groups[job.train_rows]) & set(groups[job.valid_rows])
        assert np.array_equal(job.train_groups, read_folds(workspace)["group"].to_numpy()[job.train_rows])


def test_predictions_are_out_of_fold_and_the_test_images_get_the_mean(tmp_path: Path) -> None:
    workspace = prepare(tmp_path)
    lines = pd.DataFrame({"index": [5], "action": ["drop"], "value": "", "reason": "", "confidence": 1})
    lines.to_csv(workspace.cleaning, index=False)
    prepare(tmp_path)
    run = train(tmp_path)
    dataset, table = open_dataset(workspace.data), read_folds(workspace)
    networks = [load_network(competition, FIRST, run / f"fold_{k}" / "weights.safetensors", CPU) for k in range(3)]
    oof, test = open_probabilities(run / "oof.npy"), open_probabilities(run / "test.npy")
    for k, network in enumerate(networks):
        rows = (table["fold"] == k).to_numpy()
        expected = predict(network, dataset.images[rows], competition.scored, CPU, "auto")
        assert np.allclose(oof[rows], expected, atol=1e-3)
    assert not oof[5].any()
    expected = np.mean([predict(n, dataset.test_images, competition.scored, CPU, "auto") for n in networks], axis=0)
    assert np.allclose(test, expected, atol=1e-3)
    metrics = read_json(run / "metrics.json")
    assert metrics["clean"] == score(competition, dataset.targets, table, oof)
    assert not list(run.rglob(STATE)) and not list(run.rglob("*.partial"))


def test_a_run_cut_short_says_so_and_ends_with_the_same_bits(
    train_until: TrainUntil, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "toolkit.scoring.stress.SHARE", 0.0
    )  # else the time decides how many corrupted images are scored
    cut = train_until(time.time())
    said = capsys.readouterr().out
    assert "cut short by the budget after 1 epochs" in said and "stress accuracy" in said
    manifest = read_manifest(cut)
    assert manifest is not None and manifest["complete"] is False
    assert len(read_json(cut / "fold_2" / "history.json")) == 1
    assert train_until(time.time()) == cut
    assert capsys.readouterr().out == f"{cut.name}: already trained\n"
    assert train_until(None) == cut
    prepare(tmp_path / "whole")
    whole = train(tmp_path / "whole")
    assert same_bits(cut, whole)
    assert read_manifest(cut) == read_manifest(whole)
    assert not list(cut.rglob(STATE))
    stress = [read_json(run / "metrics.json")["stress"] for run in (cut, whole)]
    assert stress[0]["by_fold"] and {**stress[0], "seconds": 0} == {**stress[1], "seconds": 0}


def test_a_stress_score_goes_with_the_weights_it_was_made_from(
    train_until: TrainUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = train_until(time.time())
    assert read_evidence(cut) is not None

    def killed(*_: object) -> None:
        raise UserError("killed")

    monkeypatch.setattr("toolkit.scoring.stress.score_run", killed)
    with pytest.raises(UserError, match="killed"):
        train_until(None)
    assert read_evidence(cut) is None and read_json(cut / "metrics.json")["stress"] is None
    monkeypatch.undo()
    train_until(None)
    assert read_evidence(cut) is not None and read_json(cut / "metrics.json")["stress"]


def test_folds_trained_one_by_one_make_the_same_run(tmp_path: Path) -> None:
    prepare(tmp_path / "parts")
    for fold in ("2", "0", "1"):
        run = train(tmp_path / "parts", "--fold", fold)
    assert read_manifest(run) is None
    before = (run / "fold_1" / "manifest.json").stat().st_mtime_ns
    assert train(tmp_path / "parts") == run
    assert (run / "fold_1" / "manifest.json").stat().st_mtime_ns == before
    prepare(tmp_path / "whole")
    assert same_bits(run, train(tmp_path / "whole"))


def test_another_recipe_seed_or_split_is_another_run_but_another_name_is_not(tmp_path: Path) -> None:
    prepare(tmp_path)
    quick = "schedule.epochs=1"
    first = train(tmp_path, quick)
    assert train(tmp_path, quick, "name=renamed") == first
    others = {train(tmp_path, quick, "--seed", "1"), train(tmp_path, quick, "optimizer.lr=1e-4")}
    prepare(tmp_path, "--seed", "1")
    others.add(train(tmp_path, quick))
    assert len(others | {first}) == 4


@pytest.mark.parametrize("fold", ["3", "-1"])
def test_a_fold_that_does_not_exist_is_refused_and_leaves_nothing(fold: str, tmp_path: Path) -> None:
    workspace = prepare(tmp_path)
    with pytest.raises(UserError, match=f"there is no fold {fold}; folds go from 0 to 2"):
        train(tmp_path, f"--fold={fold}")
    assert not workspace.train.exists()


def test_a_split_of_other_data_is_refused(tmp_path: Path) -> None:
    workspace = prepare(tmp_path)
    table = pd.read_parquet(workspace.folds)
    table.attrs["data"] = "other"
    table.to_parquet(workspace.folds)
    with pytest.raises(UserError, match=r"made from other data; run `python -m toolkit\.folds` again"):
        train(tmp_path)


@pytest.fixture
def two_endings(tmp_path: Path) -> Callable[[list[int], list[int]], list[FoldJob]]:
    """Three trained folds of 24 rows, of which so many are right with the last weights and with the average."""
    workspace = prepare(tmp_path)
    targets = open_dataset(workspace.data).targets

    def arrange(last: list[int], averaged: list[int]) -> list[FoldJob]:
        _, jobs = verb.prepare(competition, workspace, FIRST, argparse.Namespace(device="cpu", workers=0))
        for kind, right in ((results.LAST, last), (results.AVERAGED, averaged)):
            for job, count in zip(jobs, right, strict=True):
                wrong = np.arange(24) >= count
                said = np.eye(3, dtype=np.float32)[(targets[job.valid_rows] + wrong) % 3]
                weights = {"kind": torch.tensor([len(kind)])}
                results._store_trained(job.folder, kind, Trained(weights, said))
        return jobs

    return arrange


def ending(job: FoldJob) -> str:
    kind = int(load_file(job.folder / "weights.safetensors")["kind"])
    assert (job.folder / "oof.npy").read_bytes() == (
        job.folder / f"{results.LAST if kind == len(results.LAST) else results.AVERAGED}oof.npy"
    ).read_bytes()
    return results.LAST if kind == len(results.LAST) else results.AVERAGED


def test_a_fold_keeps_the_average_where_it_gains_on_the_other_folds(
    two_endings: Callable[[list[int], list[int]], list[FoldJob]], tmp_path: Path
) -> None:
    targets = open_dataset(tmp_path / "tiny-practice" / "data").targets
    jobs = two_endings([12, 12, 12], [6, 20, 14])  # on the others: 34, 20, 26 in place of 24
    for _ in range(2):  # killed and done again
        assert results.choose_averages(competition, targets, jobs) == [0, 2]
        assert [ending(job) for job in jobs] == [results.AVERAGED, results.LAST, results.AVERAGED]
    assert results.choose_averages(competition, targets, two_endings([12, 12, 12], [12, 12, 12])) == [], "no gain"


@pytest.mark.parametrize("fold", range(3))
def test_a_folds_own_labels_do_not_decide_which_weights_it_keeps(
    fold: int, two_endings: Callable[[list[int], list[int]], list[FoldJob]], tmp_path: Path
) -> None:
    targets = np.array(open_dataset(tmp_path / "tiny-practice" / "data").targets)
    jobs = two_endings([12, 12, 12], [6, 18, 18])
    said = [
        open_probabilities(jobs[fold].folder / f"{kind}oof.npy").argmax(1) for kind in (results.LAST, results.AVERAGED)
    ]
    others = set()
    for labels in (*said, np.random.default_rng(fold).integers(3, size=24)):
        targets[jobs[fold].valid_rows] = labels
        chosen = results.choose_averages(competition, targets, jobs)
        assert (fold in chosen) == (fold == 0)
        others.add(tuple(chosen))
    assert len(others) > 1, "they do decide for the others"


@pytest.mark.parametrize("average", ["swa", "soup"])
def test_an_average_is_kept_by_the_folds_that_the_metrics_name_and_what_was_tried_is_removed(
    average: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[bytes]] = {}
    choose = results.choose_averages

    def watched(of: Competition, targets: np.ndarray, jobs: list[FoldJob]) -> list[int]:
        for kind in (results.LAST, results.AVERAGED):
            seen[kind] = [(job.folder / f"{kind}weights.safetensors").read_bytes() for job in jobs]
        return choose(of, targets, jobs)

    monkeypatch.setattr(results, "choose_averages", watched)
    prepare(tmp_path)
    run = train(tmp_path, f"schedule.average={average}", "schedule.epochs=8")
    kept = read_json(run / "metrics.json")["averaged"]
    for k in range(3):
        wanted = seen[results.AVERAGED if k in kept else results.LAST][k]
        assert (run / f"fold_{k}" / "weights.safetensors").read_bytes() == wanted
        left = {path.name for path in (run / f"fold_{k}").iterdir()}
        assert left == {"weights.safetensors", "oof.npy", "history.json", "manifest.json"}
