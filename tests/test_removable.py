"""What can be made again goes, the least valuable first; what a submission, a blend or a person needs stays."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.blending.conftest import made_runs
from toolkit.claims import claimed
from toolkit.disk import bytes_in
from toolkit.errors import UserError
from toolkit.images.cache import folder_of
from toolkit.project import Project
from toolkit.recipe import to_dict
from toolkit.removable import Cleaned, removed_runs
from toolkit.runs import Run
from toolkit.store import MANIFEST, write_json, write_manifest

pytestmark = pytest.mark.usefixtures("one_thread")
QUALITY = {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}  # the best first


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return made_runs(tmp_path, QUALITY)


def names(project: Project) -> list[str]:
    return sorted(path.name for path in project.workspace.train.iterdir())


def why(cleaned: Cleaned) -> dict[str, str]:
    return {name: reason for name, _, reason in cleaned.removed}


def hand_in(project: Project, *runs: str) -> None:
    shares = " ".join(f"{run}=0.5" for run in runs)
    line = {"competition": project.workspace.name, "submission": "tiny-practice/mean-12.txt", "sha256": "1"}
    project.ledger.append(line | {"blend": f"{shares} --views none"})


def test_the_best_runs_stay_and_of_the_others_a_line(project: Project) -> None:
    before = bytes_in(project.workspace.folder)
    kept_score = {run.name: run.score for run in project.runs()}
    made = project.clean(keep=2)
    assert names(project) == ["a", "b"] and list(why(made)) == ["train/d", "train/c"]
    assert made.left == bytes_in(project.workspace.folder) and before - made.size <= made.left + 10_000
    found = {line["run"]: line for line in removed_runs(project.workspace)}
    assert set(found) == {"c", "d"} and float(found["c"]["clean"]) == pytest.approx(kept_score["c"], abs=1e-6)
    assert json.loads(found["c"]["recipe"])["seed"] == 2
    assert [run.name for run in project.runs()] == ["a", "b"]
    assert project.clean(keep=2).removed == []


def test_a_dry_run_removes_nothing_and_says_so(project: Project) -> None:
    before = bytes_in(project.workspace.folder)
    made = project.clean(keep=1, dry_run=True)
    assert len(made.removed) == 3 and made.size == sum(
        Run(project.workspace.train / one, project.labelled()).size for one in "bcd"
    )
    assert bytes_in(project.workspace.folder) == before and not project.workspace.removed.exists()
    assert "nothing was removed" in str(made.told()[-1]) and made.as_json()["dry_run"] is True


def test_runs_of_the_chosen_blend_stay(project: Project) -> None:
    blend = project.ensemble(["c", "d"], views=["none"], blender="mean")
    project.clean(keep=1)
    assert names(project) == ["a", "c", "d"]
    assert blend.used == {"c", "d"} and blend.finished


def test_of_a_submissions_runs_only_what_can_be_predicted_again_goes(project: Project) -> None:
    hand_in(project, "c", "d")
    write_manifest(_made(Run(project.workspace.train / "c", project.labelled()).stress_folder), {"version": 1})
    made = project.clean(keep=1)
    assert names(project) == ["a", "c", "d"] and made.submitted == 2
    run = Run(project.workspace.train / "c", project.labelled())
    assert not run.stress_folder.exists() and run.test is None and run.oof_path.exists() and all(run.weights)
    assert "2 runs stay for submissions" in str(made.told()[1])
    everything = project.clean(keep=1, submitted_too=True)
    assert names(project) == ["a"] and everything.submitted == 0 and len(project.ledger.lines) == 1


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_what_is_on_other_folds_goes_before_the_worst_of_these(project: Project) -> None:
    old = Run(project.workspace.train / "a", project.labelled())
    write_json(old.manifest_path, {"inputs": old.manifest | {"folds": "others"}} if old.manifest else {})
    blend = project.ensemble(["b"], views=["none"], blender="mean")
    manifest = dict(blend.manifest or {})
    write_manifest(blend.folder, manifest | {"runs": {"a": {"data": "x", "folds": "others"}}})
    (project.workspace.ensemble / "chosen.json").unlink()
    blend.folder.rename(blend.folder.with_name("greedy"))
    made = project.clean(keep=2)
    assert list(why(made)) == ["ensemble/greedy", "train/a", "train/d"]


def test_the_best_of_a_search_and_interrupted_trainings_stay_but_pruned_trials_go(project: Project) -> None:
    labelled = project.labelled()
    write_json(project.workspace.best_recipe, to_dict(Run(project.workspace.train / "d", labelled).recipe))
    for name, judged in (("halted-1", False), ("first-t3-2", True)):
        run = Run(project.workspace.train / name, labelled)
        run.fold(0).folder.mkdir(parents=True)
        run.store_recipe(tiny.FIRST)
        run.fold(0).state.write_text("x")
        if judged:
            run.fold(0).judged("clean").write_text("x")
    made = project.clean(keep=1)
    assert names(project) == ["a", "d", "halted-1"]
    assert why(made)["train/first-t3-2"] == "a trial that its search gave up"
    assert next(line for line in removed_runs(project.workspace) if line["run"] == "first-t3-2")["clean"] == ""


def test_caches_go_but_for_images_that_are_looked_at(project: Project) -> None:
    for path in (project.workspace.features / "1.npy", project.workspace.decoded / "9x9-letterbox" / "images.npy"):
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(10))
    looked_at = folder_of(project.workspace, (8, 8, 3), "letterbox")
    looked_at.mkdir()
    assert list(why(project.clean())) == ["features", "decoded/9x9-letterbox"]
    assert looked_at.exists()


def test_it_stops_where_a_run_is_trained_and_nothing_is_gone(project: Project) -> None:
    with claimed(project.workspace.claims / "d") as mine:
        assert mine
        with pytest.raises(UserError, match=r"d is being trained by process \d+; clean when that has ended"):
            project.clean(keep=1)
    assert names(project) == [*"abcd"] and not project.workspace.removed.exists()


@pytest.mark.parametrize("at", ["replace", "rmtree"])
def test_a_kill_leaves_whole_runs_and_what_the_next_command_sweeps(
    project: Project, at: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: Any, **__: Any) -> None:
        raise Killed

    place: Any = {"replace": os, "rmtree": shutil}[at]
    real: Callable[..., Any] = getattr(place, at)
    seen: list[Path] = []

    def first_of_a_run(path: Path, *more: Any, **how: Any) -> Any:
        ours = Path(path).is_relative_to(project.workspace.train)
        if ours:
            seen.append(Path(path))
        return kill() if ours and len(seen) == 1 else real(path, *more, **how)

    with monkeypatch.context() as patched:
        patched.setattr(place, at, first_of_a_run)
        with pytest.raises(Killed):
            project.clean(keep=2)
    assert {run.name for run in project.runs()} >= {"a", "b"}
    project.clean(keep=2)
    assert [name for name in names(project) if not name.startswith(".")] == ["a", "b"]
    assert {line["run"] for line in removed_runs(project.workspace)} >= {"c"}


def test_a_run_that_is_trained_again_is_no_removed_one(project: Project) -> None:
    project.clean(keep=3)
    assert [line["run"] for line in removed_runs(project.workspace)] == ["d"]
    tiny.leave_run(
        Run(project.workspace.train / "d", project.labelled()), replace(tiny.FIRST, seed=3), project.runs()[0].oof
    )
    assert removed_runs(project.workspace) == []


def test_what_makes_no_sense_is_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="-1 runs can't be kept; give 0 or more"):
        project.clean(keep=-1)
    with pytest.raises(UserError, match=r"there is nothing to remove: .* has no folds, and so no runs"):
        tiny.project(tmp_path / "empty").clean()
    assert (project.workspace.train / "d" / MANIFEST).exists()
