"""Every verb in order on tiny practice data, a kill in the middle, and a run on the real files."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import ROOT
from toolkit import console
from toolkit.audit import audit
from toolkit.competition import Competition
from toolkit.ensemble import add_options as ensemble_options
from toolkit.ensemble import ensemble
from toolkit.folds import add_options as folds_options
from toolkit.folds import folds
from toolkit.grade import add_options as grade_options
from toolkit.grade import grade
from toolkit.store import read_json
from toolkit.submit import submit
from toolkit.train import add_options as add_train_options
from toolkit.train import train_verb

QUICK = ("schedule.epochs=1", "batch_size=8")


def command(verb: str, competition: str, place: Path, *more: str) -> list[str]:
    shared = ["--practice", "--practice-size", "48", "--workspace", str(place), "--submissions", str(place / "sub")]
    return [sys.executable, "-m", f"toolkit.{verb}", f"competitions/{competition}", *shared, *more]


def call(capsys: pytest.CaptureFixture[str], verb: Any, made: Any, arguments: list[str]) -> dict[str, Any]:
    """Run a verb in this process; its JSON."""
    assert console.run_verb(made, verb, [*arguments, "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_every_verb_in_order(competition: Competition, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = command("", competition.name, tmp_path)[3:]
    base[0] = str(competition.folder)
    workspace = tmp_path / f"{competition.name}-practice"

    audited = call(capsys, audit, console.parser("audit", ""), base)
    assert audited["actions"]["drop"] >= 8

    made = console.parser("folds", "")
    folds_options(made)
    split = call(capsys, folds, made, [*base, "--folds", "2"])
    table = pd.read_parquet(workspace / "folds.parquet")
    assert {"index", "fold", "group"} <= set(table.columns)
    assert split["left_out"] == audited["actions"]["drop"] == (table["fold"] == -1).sum()

    made = console.parser("train", "", overrides=True)
    add_train_options(made)
    trained = call(capsys, train_verb, made, [*base, *QUICK])
    metrics = read_json(Path(trained["run"]) / "metrics.json")
    assert set(metrics["clean"]) >= {"score", "low", "high", "by_fold"}
    assert metrics["clean"]["low"] <= metrics["clean"]["score"] <= metrics["clean"]["high"]
    oof = np.load(Path(trained["run"]) / "oof.npy", allow_pickle=False)
    assert oof.shape[:2] == (audited["samples"], len(competition.task.classes))
    assert call(capsys, train_verb, made, [*base, *QUICK]) == trained

    made = console.parser("ensemble", "")
    ensemble_options(made)
    blended = call(capsys, ensemble, made, base)
    assert blended["clean"]["score"] == pytest.approx(trained["clean"]["score"], abs=1e-3)

    submitted = call(capsys, submit, console.parser("submit", ""), base)
    assert Path(submitted["submission"]).suffix == competition.submission_suffix
    ledger = pd.read_csv(tmp_path / "sub" / "ledger.csv")
    assert ledger["competition"].tolist() == [workspace.name]

    made = console.parser("grade", "")
    grade_options(made)
    graded = call(capsys, grade, made, base)
    assert 0 <= graded["leaderboard"] <= 1
    assert not list(tmp_path.rglob("*.partial"))


def test_run_does_it_all_and_the_same_command_again_ends_alike(tmp_path: Path) -> None:
    arguments = command("run", "mars", tmp_path, "--folds", "2", "--budget", "5m", "--json", *QUICK)
    first, again = (
        json.loads(subprocess.run(arguments, cwd=ROOT, capture_output=True, check=True, text=True).stdout)
        for _ in range(2)
    )
    assert set(first) >= {"submission", "clean", "stress", "seconds", "leaderboard"}
    assert Path(first["submission"]).exists()
    for key in ("submission", "clean", "leaderboard"):
        assert first[key] == again[key]


def test_a_killed_training_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    def train(place: Path) -> list[str]:
        # what is fastest is measured anew in each workspace, and may differ on a busy machine
        return command("train", "mars", place, "schedule.epochs=3", "batch_size=8", "precision=float32")

    def prepare(place: Path) -> None:
        for verb, more in (("audit", ()), ("folds", ("--folds", "2"))):
            subprocess.run(command(verb, "mars", place, *more), cwd=ROOT, check=True, capture_output=True)

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    prepare(killed)
    prepare(whole)
    process = subprocess.Popen(train(killed), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    waited = time.monotonic() + 120
    while not list(killed.rglob("fold_0/state.pt")) and time.monotonic() < waited:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not list(killed.rglob("fold_0/manifest.json")), "the kill came too late to prove anything"
    for place in (killed, whole):
        subprocess.run(train(place), cwd=ROOT, check=True, capture_output=True)
    for name in ("oof.npy", "test.npy", "fold_0/weights.safetensors", "fold_1/weights.safetensors"):
        one, other = (next(place.rglob(f"train/*/{name}")).read_bytes() for place in (killed, whole))
        assert one == other, name


@pytest.mark.parametrize("verb", ["audit", "folds", "train", "search", "ensemble", "submit", "report", "grade", "run"])
def test_help_imports_nothing_heavy(verb: str) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['toolkit.{verb}', '--help']\n"
        "try:\n"
        f"    runpy.run_module('toolkit.{verb}', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        "heavy = {'torch', 'numpy', 'pandas', 'pydantic', 'rich', 'cv2', 'timm', 'optuna'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "competition" in done.stdout


def test_the_verbs_are_listed() -> None:
    done = subprocess.run([sys.executable, "-m", "toolkit"], cwd=ROOT, capture_output=True, text=True, check=True)
    for verb in ("audit", "folds", "train", "search", "ensemble", "submit", "report", "grade", "run"):
        assert f"  {verb} " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["model.layers=3"], "recipe has no field 'model.layers'; there are name, encoder"),
        (["optimizer.lr=fast"], "recipe field optimizer.lr"),
        (["--recipe", "best"], "mars has no recipe 'best', nor is it a file; there are small_unet"),
        (["--recipe", "unet_resnet18", "model.pretrained=true"], "pretrained weights, which this competition forbids"),
        ([], "there is no"),
    ],
)
def test_a_wrong_training_is_refused_in_one_sentence(
    arguments: list[str], reason: str, mars: Competition, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = console.parser("train", "", overrides=True)
    add_train_options(made)
    assert console.run_verb(made, train_verb, [str(mars.folder), "--workspace", str(tmp_path), *arguments]) == 1
    printed = capsys.readouterr().out
    assert reason in printed
    assert printed.count("\n") == 1


def test_a_budget_too_small_for_one_epoch_says_what_it_takes(tmp_path: Path) -> None:
    done = subprocess.run(
        command("run", "mars", tmp_path, "--folds", "2", "--budget", "12s"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "left of it, and one epoch of small_unet on 2 folds takes about" in done.stdout
