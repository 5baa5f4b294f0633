"""A finished run has all its scores once, on what it may look at, and stands beside the best other one."""

from pathlib import Path

import numpy as np
import pytest

from tests.tiny import Heard, looking, prepare, project, train
from toolkit.checked import keep
from toolkit.project import Project
from toolkit.scoring.comparison import compare_with_best
from toolkit.scoring.matched_to_test import read_match
from toolkit.store import read_manifest, write_manifest

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = "schedule.epochs=1"


@pytest.fixture
def dark(tmp_path: Path) -> Project:
    """Test images that are darker than the others, and may be looked at."""
    made = prepare(tmp_path, of=looking, practice_size=240)
    images = np.random.default_rng(0).integers(40, 90, (200, 8, 8, 3)).astype(np.uint8)
    path = made.workspace.data / "test_images.npy"
    np.save(path, images, allow_pickle=False)
    keep([path])
    return made


def test_a_run_is_scored_as_the_test_images_are_and_a_blend_follows(dark: Project, tmp_path: Path) -> None:
    heard = Heard()
    first = train(tmp_path, QUICK, of=looking, progress=heard)
    matched, match = first.metrics["matched"], read_match(dark.workspace.match)
    assert match is not None and not match.alike
    assert matched["match"] == match.hash and matched["auc_before"] > 0.9 and matched["samples"] == len(match.rows)
    assert matched["low"] <= matched["score"] <= matched["high"]
    assert all(part in str(heard) for part in ("AUC", "test-like score (accuracy)"))
    heard.lines.clear()
    second = train(tmp_path, QUICK, recipe="second", of=looking, progress=heard)
    assert "AUC" not in str(heard) and f"{second.name} against {first.name}: " in str(heard)
    assert second.metrics["matched"]["match"] == match.hash
    assert dark.ensemble(views=["none"]).metrics["matched"]["samples"] == len(match.rows)


def test_a_run_that_is_trained_on_keeps_nothing_of_its_old_weights(dark: Project, tmp_path: Path) -> None:
    run = train(tmp_path, QUICK, of=looking)
    inputs = run.manifest
    assert read_manifest(run.matched_folder) is not None and inputs is not None
    write_manifest(run.folder, inputs | {"complete": False})
    assert train(tmp_path, QUICK, stress="none", of=looking) == run
    assert read_manifest(run.matched_folder) is None


def test_test_images_are_not_looked_at_where_the_rules_or_the_user_forbid_it(tmp_path: Path) -> None:
    prepare(tmp_path)
    assert project(tmp_path, of=looking).labelled().may_look_at_test_images
    assert not project(tmp_path).labelled().may_look_at_test_images
    for of, stress in ((looking, "none"), (project(tmp_path).competition, "auto")):
        run = train(tmp_path, QUICK, of=of, stress=stress)
        assert run.metrics["matched"] is None and not run.matched_folder.exists()


def test_a_run_is_compared_with_the_best_of_the_others(tmp_path: Path) -> None:
    prepare(tmp_path)
    runs = [train(tmp_path, QUICK, stress="none")]
    assert not compare_with_best(runs[0]), "no word of the first"
    runs += [train(tmp_path, f"schedule.epochs={epochs}", stress="none") for epochs in (2, 3)]
    best = max(runs[1:], key=lambda run: run.score)
    told = compare_with_best(runs[0])
    assert told.startswith(f"{runs[0].name} against {best.name}: {runs[0].score - best.score:+.4f} (")
