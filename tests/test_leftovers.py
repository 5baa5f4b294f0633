"""What a kill left anywhere in a workspace goes with the next command; what is gone on from, or held, stays."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import prepare, project, train
from toolkit.claims import claimed, turn
from toolkit.partial_files import STALE_SECONDS
from toolkit.runs import Run
from toolkit.store import MANIFEST, atomic, read_json, write_json, write_manifest


def test_half_written_files_are_swept_anywhere_in_the_workspace(tmp_path: Path) -> None:
    made = prepare(tmp_path)
    folder = made.workspace.folder
    places = [folder, folder / "train" / "a" / "fold_0", folder / "evidence", tmp_path / "submissions" / folder.name]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        (place / ".data.999999.partial").write_text("half")
        os.utime(place / ".data.999999.partial", (STALE_SECONDS, STALE_SECONDS))
    drawn = made.workspace.practice / "raw" / ".mine.partial"  # the organisers' files are theirs
    drawn.write_text("x")
    os.utime(drawn, (0, 0))
    project(tmp_path)
    assert list(tmp_path.rglob("*.partial")) == [drawn]


def test_a_claim_that_another_command_is_about_to_make_stays(tmp_path: Path) -> None:
    claims = prepare(tmp_path).workspace.claims
    with atomic(claims / "0a1b2c3d") as partial:
        partial.write_text("{}")
        project(tmp_path)
    assert [path.name for path in claims.glob("*")] == ["0a1b2c3d"]


def test_the_lock_of_a_manifest_goes_where_nobody_holds_it(tmp_path: Path) -> None:
    made = prepare(tmp_path)
    free, held = (folder / f".{MANIFEST}.lock" for folder in (made.workspace.evidence, made.workspace.data))
    with turn(free), turn(held):
        pass
    with turn(held):
        project(tmp_path)
        assert not free.exists() and held.exists()
    with turn(free):  # it can be taken again
        assert free.exists()


@pytest.fixture
def run_with_leftovers(tmp_path: Path) -> list[Path]:
    """Files as a kill leaves them between the manifest and their removal."""
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=1", stress="none")
    fold = run.fold(0)
    left = [fold.state, fold.taught, *fold.variant("last"), *fold.variant("averaged"), *fold.variant("last_max")]
    for path in left:
        path.write_text("x")
    fold.snapshots.mkdir()
    return [run.folder, *left, fold.snapshots]


def test_what_a_finished_run_was_trained_with_is_removed(tmp_path: Path, run_with_leftovers: list[Path]) -> None:
    folder, *left = run_with_leftovers
    with claimed(tmp_path / "tiny-practice" / "claims" / folder.name.rpartition("-")[2]) as mine:
        assert mine
        project(tmp_path)
        assert all(path.exists() for path in left), "somebody has it"
    project(tmp_path)
    assert not [path for path in left if path.exists()]


def test_of_masks_what_folds_predict_is_kept_once_as_soon_as_the_run_is_put_together(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = Run(tmp_path / "tiny-practice" / "train" / "masks-1", project(tmp_path).labelled())
    masks, labels = np.zeros((3, 2, 4, 4), np.float16), np.zeros((3, 2), np.float16)
    for path, values in ((run.oof_path, masks), (run.fold(0).oof_path, masks), (run.fold(1).oof_path, labels)):
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, values)
    project(tmp_path)
    assert run.fold(0).oof_path.exists(), "the run isn't finished: it is put together from these"
    write_manifest(run.folder, {"complete": False})
    project(tmp_path)
    assert not run.fold(0).oof_path.exists() and run.fold(1).oof_path.exists()


def test_what_a_training_goes_on_from_stays(tmp_path: Path, run_with_leftovers: list[Path]) -> None:
    folder, *left = run_with_leftovers
    for place in (folder, folder / "fold_0"):
        manifest = read_json(place / MANIFEST)
        write_json(place / MANIFEST, manifest | {"inputs": manifest["inputs"] | {"complete": False}})
    project(tmp_path)
    assert all(path.exists() for path in left)
    (folder / MANIFEST).unlink()
    (folder / "fold_0" / MANIFEST).write_text("{")
    project(tmp_path)
    assert all(path.exists() for path in left)


def test_a_workspace_that_can_only_be_read_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path)
    left = tmp_path / "tiny-practice" / ".x.1.partial"
    left.write_text("x")
    os.utime(left, (0, 0))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    project(tmp_path)
    assert left.exists()
