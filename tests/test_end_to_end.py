"""Every command in order on practice data, a kill in the middle, and what a wrong wish is answered with."""

import importlib
import json
import shutil
import subprocess
import sys
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.conftest import ROOT, START
from toolkit.command_line import parser, run_command
from toolkit.competition import Competition
from toolkit.store import read_json
from toolkit.training import fold

QUICK = ("schedule.epochs=1", "batch_size=8", "precision=float32", "model.input_scale=0.5")
COMMANDS = ("audit", "folds", "train", "boost", "search", "ensemble", "submit", "report", "grade", "run")
READING = ("status", "recipes", "diff")


def shared(place: Path) -> list[str]:
    return ["--practice", "--practice-size", "48", "--workspace", str(place), "--submissions", str(place / "sub")]


def status(command: str, *arguments: str) -> int:
    """Run a command in this process."""
    module = importlib.import_module(f"toolkit.{command}")
    made = parser(command, "", overrides=command in ("train", "run"))
    if hasattr(module, "add_options"):
        module.add_options(made)
    return run_command(made, getattr(module, command), arguments)


@pytest.mark.usefixtures("forked_exports")
def test_every_command_in_order(competition: Competition, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = tmp_path / f"{competition.name}-practice"

    def call(command: str, *more: str) -> dict[str, Any]:
        assert status(command, str(competition.folder), *shared(tmp_path), *more, "--json") == 0
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    audited = call("audit")
    assert audited["actions"]["drop"] >= 8
    split = call("folds", "--folds", "2", "--holdout", "0.2")
    table = pd.read_parquet(workspace / "folds.parquet")
    assert {"index", "fold", "group"} <= set(table.columns)
    assert split["left_out"] == audited["actions"]["drop"] == (table["fold"] == -1).sum()
    trained = call("train", *QUICK, "--stress", "none")  # `run` has the scores under corruptions
    metrics = read_json(Path(trained["run"]) / "metrics.json")
    assert set(metrics["clean"]) >= {"score", "low", "high", "by_fold"}
    assert metrics["clean"]["low"] <= metrics["clean"]["score"] <= metrics["clean"]["high"]
    oof = np.load(Path(trained["run"]) / "oof.npy", allow_pickle=False)
    assert oof.shape[:2] == (audited["samples"], len(competition.task.classes))
    assert call("train", *QUICK, "--stress", "none") == trained
    alone = call("ensemble", "--views", "none", "--blender", "single")
    assert alone["clean"]["score"] == pytest.approx(trained["clean"]["score"], abs=1e-3)
    submitted = call("submit")
    assert Path(submitted["submission"]).suffix == competition.submission_suffix
    assert submitted["holdout"]["samples"] == split["held_out"] > 0 and submitted["holdout"]["looks"] == 1
    ledger = pd.read_csv(tmp_path / "sub" / "ledger.csv")
    assert ledger["competition"].tolist() == [workspace.name]
    assert 0 <= call("grade")["leaderboard"] <= 1
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.usefixtures("unpainted")
def test_run_does_it_all_and_the_same_command_again_ends_alike(
    mars: Competition, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> dict[str, Any]:
        told = ("--folds", "2", "--budget", "5m", "--json")
        assert status("run", str(mars.folder), *shared(tmp_path), *told, *QUICK) == 0
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    first, again = run(), run()
    assert set(first) >= {"submission", "clean", "stress", "seconds", "leaderboard"}
    assert Path(first["submission"]).exists()
    for key in ("submission", "clean", "leaderboard"):
        assert first[key] == again[key]


def train_to_the_end(*arguments: str) -> None:
    """What a process does until it is killed: its state is on the disk after each epoch."""
    fold.SAVE_SECONDS = 0.0
    torch.set_num_threads(1)
    with redirect_stdout(StringIO()):
        status("train", *arguments)


@pytest.mark.usefixtures("one_thread")
def test_a_killed_training_goes_on_to_the_same_bits(mars: Competition, tmp_path: Path) -> None:
    # what is fastest is measured anew in each workspace, and may differ on a busy machine
    recipe = (*QUICK, "schedule.epochs=3", "--stress", "none")
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    assert status("folds", str(mars.folder), *shared(killed), "--folds", "2") == 0
    shutil.copytree(killed, whole)
    process = START.Process(target=train_to_the_end, args=(str(mars.folder), *shared(killed), *recipe))
    process.start()
    waited = time.monotonic() + 120
    while not list(killed.rglob("fold_0/state.pt")) and time.monotonic() < waited:
        time.sleep(0.01)
    process.kill()
    process.join()
    assert not list(killed.rglob("fold_0/manifest.json")), "the kill came too late to prove anything"
    for place in (killed, whole):
        assert status("train", str(mars.folder), *shared(place), *recipe) == 0
    for name in ("oof.npy", "test.npy", "fold_0/weights.safetensors", "fold_1/weights.safetensors"):
        one, other = (next(place.rglob(f"train/*/{name}")).read_bytes() for place in (killed, whole))
        assert one == other, name


@pytest.mark.parametrize("command", [*COMMANDS, *READING])
def test_help_imports_nothing_heavy(command: str) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['toolkit.{command}', '--help']\n"
        "try:\n"
        f"    runpy.run_module('toolkit.{command}', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        "heavy = {'torch', 'numpy', 'pandas', 'pydantic', 'rich', 'cv2', 'timm', 'optuna'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "competition" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["model.layers=3"], "recipe has no field 'model.layers'; there are name, encoder"),
        (["optimizer.lr=fast"], "recipe field optimizer.lr"),
        (["--recipe", "best"], "mars has no recipe 'best', nor is it a file; there are small_unet"),
        (["--recipe", "unet_resnet18", "model.pretrained=true"], "pretrained weights, which this competition forbids"),
        ([], "there is no folder competitions/mars/data yet: put `mars_for_students.npz`"),
    ],
)
def test_a_wrong_training_is_refused_in_one_sentence(
    arguments: list[str], reason: str, mars: Competition, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status("train", str(mars.folder), "--workspace", str(tmp_path), *arguments) == 1
    printed = capsys.readouterr().out
    assert reason in printed
    assert printed.count("\n") == 1
