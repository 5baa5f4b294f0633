"""Every command asks whether files, labels, classes and code are what the workspace was made from; what nobody reads
may come and go."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests import tiny
from tests.tiny import in_files, prepare, project
from toolkit import Npz, Project, Samples, UserError, channel_files, image_folder
from toolkit.competition import Competition
from toolkit.data import loading, origin
from toolkit.data.data_folder import data_hash
from toolkit.store import read_json
from toolkit.task import Classification

Change = Callable[[Path], object]
LITTER = ("Thumbs.db", "desktop.ini", "notes.txt", "sample_submission.csv", "test.zip", "train/Thumbs.db")


def again(ready: Project) -> Project:
    """As another command opens it."""
    return project(ready.workspace.root, ready.competition)


@pytest.fixture(params=[tiny.looking, in_files.competition], ids=["arrays", "files"])
def ready(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    return prepare(tmp_path, of=request.param)


def test_a_file_that_nobody_reads_may_come_change_and_go(ready: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = data_hash(ready.workspace.data)
    for name in LITTER:
        path = ready.raw / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("1")
    assert again(ready).labelled().data_hash == before
    monkeypatch.setattr(origin, "loaded", None)  # all was read once, and is known
    again(ready).labelled()
    monkeypatch.undo()
    (ready.raw / LITTER[0]).write_text("12")
    again(ready).labelled()
    for name in LITTER[1:]:
        (ready.raw / name).unlink()
    again(ready).folds(3)
    loading.load(ready.competition, ready.workspace, ready.raw)
    edited = replace(ready.competition, task=Classification(("red", "green", "azure"), (8, 8, 3)))
    loading.load(edited, ready.workspace, ready.raw)  # which is read, and is the same
    assert data_hash(ready.workspace.data) == before


def other_labels(raw: Path) -> None:
    file = Npz(raw / "data.npz")
    np.savez(raw / "data.npz", images=file["images"], targets=file["targets"][::-1])


def fewer_tests(raw: Path) -> None:
    np.save(raw / "test.npy", np.load(raw / "test.npy")[:-1])


def turned_tests(raw: Path) -> None:
    np.save(raw / "test.npy", np.load(raw / "test.npy")[::-1])


def another_picture(raw: Path) -> None:
    cv2.imwrite(str(raw / "test" / "003.png"), np.zeros((16, 16, 3), np.uint8))


def renamed(raw: Path) -> None:
    (raw / "test" / "003.png").rename(raw / "test" / "900.png")


def one_more(raw: Path) -> None:
    shutil.copy(raw / "test" / "003.png", raw / "test" / "0035.png")


def swapped(raw: Path) -> None:
    a, b, aside = (raw / "train" / name for name in ("000.png", "001.png", "x"))
    for source, target in ((a, aside), (b, a), (aside, b)):
        source.rename(target)


@pytest.mark.parametrize(
    ("of", "change", "said"),
    [
        (tiny.looking, other_labels, "1 changed: data.npz"),
        (tiny.looking, fewer_tests, "1 changed: test.npy"),
        (tiny.looking, turned_tests, "1 changed: test.npy"),
        (in_files.competition, other_labels, "1 changed: data.npz"),
        (in_files.competition, another_picture, "1 changed: test/003.png"),
        (in_files.competition, renamed, "1 new: test/900.png; 1 missing: test/003.png"),
        (in_files.competition, one_more, "1 new: test/0035.png"),
        (in_files.competition, swapped, "2 changed: train/000.png, train/001.png"),
    ],
)
def test_what_is_read_may_not_be_another(of: Competition, change: Change, said: str, tmp_path: Path) -> None:
    ready = prepare(tmp_path, of=of)
    change(ready.raw)
    commands: list[Callable[[Project], object]] = [
        Project.folds,
        Project.labelled,
        Project.train,
        Project.search,
        Project.ensemble,
        Project.submit,
        Project.report,
        Project.boost,
        Project.grade,
    ]
    for command in commands:
        with pytest.raises(UserError, match="was made from other files than those in") as caught:
            command(again(ready))
        assert f"({said})" in str(caught.value)


def test_files_that_are_gone_are_no_fault(ready: Project) -> None:
    before = again(ready).labelled().test_images[3].tolist()
    shutil.rmtree(ready.raw)
    assert again(ready).labelled().test_images[3].tolist() == before


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (Classification(("green", "red", "blue"), (8, 8, 3)), "class 0 is 'green' and was 'red'"),
        (Classification(("red", "green", "blue", "grey"), (8, 8, 3)), "number of classes is 4 and was 3"),
        (Classification(("red", "green", "blue"), (4, 8, 3)), r"image_shape is \[4, 8, 3\] and was \[8, 8, 3\]"),
    ],
)
def test_classes_and_shape_are_those_of_the_audit(task: Classification, said: str, ready: Project) -> None:
    other = again(ready)
    other.competition = replace(ready.competition, task=task)
    with pytest.raises(UserError, match=f"another competition than .* was made for: {said}; bring the old one back"):
        other.labelled()


def test_classes_in_another_order_are_refused_by_the_audit_as_well(ready: Project) -> None:
    turned = replace(ready.competition, task=Classification(("green", "red", "blue"), (8, 8, 3)))
    with pytest.raises(UserError, match="class 0 is 'green' and was 'red'"):
        loading.load(turned, ready.workspace, ready.raw)


def test_code_that_reads_the_same_is_as_good_and_other_is_refused(ready: Project) -> None:
    before = read_json(ready.workspace.data / origin.TASK)

    def alike(folder: Path) -> object:
        return ready.competition.load(folder)

    def otherwise(folder: Path) -> object:
        found: Any = ready.competition.load(folder)
        return replace(found, targets=np.roll(found.targets, 1))

    for load in (alike, otherwise):
        load.__module__ = tiny.__name__
        other = again(ready)
        other.competition = replace(ready.competition, load=load)  # type: ignore[arg-type]
        if load is otherwise:
            with pytest.raises(UserError, match="tiny reads the files otherwise than when"):
                other.labelled()
        else:
            other.labelled()
            after = read_json(ready.workspace.data / origin.TASK)
            assert after["load"] != before["load"] and after["classes"] == before["classes"]


def test_a_workspace_of_before_is_checked_by_what_it_knows(ready: Project) -> None:
    path, heard = ready.workspace.data / origin.TASK, tiny.Heard()
    path.unlink()
    again(ready).labelled()
    assert read_json(path)["classes"] == ["red", "green", "blue"]
    path.unlink()
    other = again(ready)
    renamed = Classification(("x", "y", "z"), (8, 8, 3))
    other.progress, other.competition = heard, replace(ready.competition, task=renamed)
    other.labelled()
    assert "which noted no classes: those of tiny are taken for them, in this order: x, y, z" in str(heard)
    with pytest.raises(UserError, match="class 0 is 'red' and was 'x'"):
        again(ready).labelled()
    path.unlink()
    again(ready).labelled()
    path.unlink()
    small = replace(ready.competition, task=Classification(("red", "green", "blue"), (4, 8, 3)))
    other.competition = small
    with pytest.raises(UserError, match=r"image_shape is \[4, 8, 3\] and was \[8, 8, 3\]"):
        other.labelled()
    again(ready).labelled()
    loading.load(ready.competition, ready.workspace, ready.raw)
    assert read_json(ready.workspace.data / origin.TASK)["classes"] == ["red", "green", "blue"]


def with_stains(folder: Path, seed: int, size: int) -> None:
    """The practice images, each channel in a file of its own."""
    tiny.practice(folder, seed, size)
    raw = folder / "raw"
    for part, images in (("train", Npz(raw / "data.npz")["images"]), ("test", np.load(raw / "test.npy"))):
        (raw / part).mkdir()
        for row, image in enumerate(images):
            for channel in range(3):
                cv2.imwrite(str(raw / part / f"{row:03}_w{channel + 1}.png"), image[..., channel])


def of_stains(folder: Path) -> Samples:
    targets = Npz(folder / "data.npz")["targets"]
    train, test = (
        channel_files(image_folder(folder / part, "*_w1.png"), ("_w1", "_w2", "_w3")) for part in ("train", "test")
    )
    return Samples(train, targets, groups=np.arange(len(targets)) // 3, test_images=test)


def test_a_file_of_any_channel_is_one_that_is_read(tmp_path: Path) -> None:
    ready = prepare(tmp_path, of=replace(tiny.looking, load=of_stains, practice=with_stains))
    (ready.raw / "train" / "notes.png").write_text("1")  # that nobody reads
    again(ready).labelled()
    cv2.imwrite(str(ready.raw / "train" / "001_w3.png"), np.zeros((8, 8), np.uint8))
    with pytest.raises(UserError, match=r"1 changed: train/001_w3\.png"):
        again(ready).labelled()
