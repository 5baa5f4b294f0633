"""A finished run has all its scores once, on what it may look at, and stands beside the best other one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import call, competition, prepare, train
from toolkit import console
from toolkit.data.dataset import open_dataset
from toolkit.data.folds import read_folds
from toolkit.ensemble import add_options, ensemble
from toolkit.scoring.matching import EVIDENCE, read_match
from toolkit.store import Workspace, read_json, read_manifest, write_manifest
from toolkit.training.run_scores import can_match, compare_with_best

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = "schedule.epochs=1"


def with_dark_test_images(root: Path) -> Workspace:
    workspace = prepare(root, "--practice-size", "240")
    path = workspace.data / "test_images.npy"
    images = np.random.default_rng(0).integers(40, 90, (200, 8, 8, 3)).astype(np.uint8)
    np.save(path, images, allow_pickle=False)
    return workspace


@pytest.mark.matched
def test_a_run_is_scored_as_the_test_images_are_and_a_blend_follows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = with_dark_test_images(tmp_path)
    first = train(tmp_path, QUICK)
    said = capsys.readouterr().out
    matched = read_json(first / "metrics.json")["matched"]
    match = read_match(workspace.match)
    assert match is not None and not match.alike
    assert matched["match"] == match.hash and matched["auc_before"] > 0.9 and matched["samples"] == len(match.rows)
    assert matched["low"] <= matched["score"] <= matched["high"]
    assert "AUC" in said and "test-matched accuracy" in said and "the first run" in said
    second = train(tmp_path, QUICK, "--recipe", "second")
    said = capsys.readouterr().out
    assert "AUC" not in said and f"{second.name} against {first.name}: " in said
    assert read_json(second / "metrics.json")["matched"]["match"] == match.hash
    made = console.parser("ensemble", "")
    add_options(made)
    call(ensemble, made, tmp_path, "--views", "none")
    (blend,) = workspace.ensemble.glob("*/metrics.json")
    assert read_json(blend)["matched"]["samples"] == len(match.rows)


@pytest.mark.matched
def test_a_run_that_is_trained_on_keeps_nothing_of_what_its_old_weights_said(tmp_path: Path) -> None:
    with_dark_test_images(tmp_path)
    run = train(tmp_path, QUICK)
    assert read_manifest(run / EVIDENCE) is not None
    inputs = read_manifest(run)
    assert inputs is not None
    write_manifest(run, inputs | {"complete": False})
    assert train(tmp_path, QUICK, "--stress", "none") == run
    assert read_manifest(run / EVIDENCE) is None


@pytest.mark.matched
def test_test_images_are_not_looked_at_where_the_rules_forbid_it(tmp_path: Path) -> None:
    workspace = prepare(tmp_path)
    assert can_match(competition, workspace)
    forbidding = replace(competition, rules=replace(competition.rules, unlabelled_test_images=False))
    assert not can_match(forbidding, workspace)
    run = train(tmp_path, QUICK, "--stress", "none")
    assert read_json(run / "metrics.json")["matched"] is None and not (run / EVIDENCE).exists()


def test_a_run_is_compared_with_the_best_of_the_others(tmp_path: Path) -> None:
    workspace = prepare(tmp_path)
    runs = [train(tmp_path, f"schedule.epochs={epochs}", "--stress", "none") for epochs in (1, 2, 3)]
    scores = [read_json(run / "metrics.json")["clean"]["score"] for run in runs]
    said = compare_with_best(competition, workspace, open_dataset(workspace.data), read_folds(workspace), runs[0])
    best = runs[1 + int(np.argmax(scores[1:]))]
    assert said.startswith(f"{runs[0].name} against {best.name}: {scores[0] - max(scores[1:]):+.4f} (")


def test_each_family_is_held_out_and_scored(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = train(tmp_path, QUICK, "augment.erase=0.5", "augment.rotate=20", "--families")
    scores = read_json(run / "families.json")
    assert scores["held_out"].keys() == scores["trained_on"].keys() == {"geometry", "occlusion"}
    without = {path.name.rpartition("-")[0]: path for path in run.parent.iterdir()}
    recipe = read_json(without["first-no-occlusion"] / "recipe.json")
    assert recipe["augment"]["leave_out"] == ["occlusion"]
    by_family = read_json(without["first-no-occlusion"] / "metrics.json")["stress"]["by_family"]
    assert scores["held_out"]["occlusion"] == by_family["occlusion"]
