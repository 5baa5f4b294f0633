"""A competition whose images lie in files is one whose images are arrays, to everything after `load`."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from toolkit import ImageFiles, Npz, Project, Samples
from toolkit.data import origin
from toolkit.data.data_folder import data_hash, decoded_at, open_dataset, open_decoded
from toolkit.data.dataset import pictures_of
from toolkit.data.loading import load
from toolkit.errors import UserError
from toolkit.images.file_list import open_files
from toolkit.images.rows import Undecoded

READ: list[int] = []


def train_row(path: Path, row: int, least: int, of: str = "") -> np.ndarray:
    READ.append(row)
    return Npz(path)[of][row]


def test_row(path: Path, row: int, least: int) -> np.ndarray:
    return np.load(path)[row]


test_row.__test__ = False  # type: ignore[attr-defined]


def load_files(folder: Path) -> Samples:
    """As `tiny.load`, but that the images aren't read."""
    targets, tests = Npz(folder / "data.npz")["targets"], len(np.load(folder / "test.npy"))
    rows = np.arange(len(targets))
    images = ImageFiles([folder / "data.npz"] * len(rows), rows, train_row, options={"of": "images"})
    test_images = ImageFiles([folder / "test.npy"] * tests, np.arange(tests), test_row)
    return Samples(images, targets, groups=rows // 3, test_images=test_images, test_ids=np.arange(tests))


IN_FILES = replace(tiny.competition, load=load_files)


def loaded(root: Path, **more: object) -> Project:
    made = tiny.project(root, IN_FILES, **more)
    load(made.competition, made.workspace, made.raw)
    return made


def test_arrays_images_in_files_and_images_that_are_not_kept_train_to_the_same_bits(tmp_path: Path) -> None:
    found = []
    for name, of, more in (
        ("arrays", tiny.competition, {}),
        ("files", IN_FILES, {}),
        ("live", IN_FILES, {"cache": False}),
    ):
        project = tiny.prepare(tmp_path / name, of=of, **more)
        run = project.train("first", schedule__epochs=1, stress="none")
        found.append((run.oof_path.read_bytes(), run.test_path.read_bytes(), project.labelled().group.tolist()))
        assert isinstance(run.labelled.images, Undecoded) == (name == "live")
    assert found[0] == found[1] == found[2]
    arrays, files = (open_dataset(tmp_path / name / "tiny-practice" / "data") for name in ("arrays", "files"))
    for ours, theirs in zip(pictures_of(arrays), pictures_of(files), strict=True):
        assert (ours == theirs).all()
    assert files.names is not None and files.names[3] == "data.npz:3"


def test_what_was_decoded_stays_when_the_competition_is_edited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = loaded(tmp_path)
    before, read = data_hash(project.workspace.data), len(READ)
    monkeypatch.setattr(origin, "hash_file", lambda _: "of the edited file")
    loaded(tmp_path)
    assert data_hash(project.workspace.data) == before and len(READ) == read
    other = replace(IN_FILES, load=lambda folder: replace(load_files(folder), groups=None))
    monkeypatch.setattr(origin, "hash_file", lambda _: "of another")
    with pytest.raises(UserError, match="reads the files otherwise than when"):
        load(other, project.workspace, project.raw)


def test_images_that_were_not_kept_are_once_that_is_wanted(tmp_path: Path) -> None:
    project = loaded(tmp_path, cache=False)
    live = open_dataset(project.workspace.data).images
    loaded(tmp_path)
    kept = open_dataset(project.workspace.data).images
    assert isinstance(live, Undecoded) and isinstance(kept, np.memmap) and (live[:] == kept).all()
    shutil.rmtree(project.workspace.decoded)
    with pytest.raises(UserError, match=r"is gone or was not finished; run `compete audit` again"):
        open_dataset(project.workspace.data)
    loaded(tmp_path)
    assert (open_dataset(project.workspace.data).images == kept).all()


def test_images_come_at_another_size_from_where_the_files_are_now(tmp_path: Path) -> None:
    project = loaded(tmp_path)
    moved = tmp_path / "moved"
    shutil.move(project.raw, moved)
    with pytest.raises(
        UserError, match=r"data\.npz is gone; put the organisers' files back, or run the audit with --data"
    ):
        decoded_at(project.workspace, (4, 4, 3), "stretch")
    load(IN_FILES, project.workspace, moved)
    assert {len(files) for files in open_files(project.workspace.data).values()} == {72, 18}
    folder = decoded_at(project.workspace, (4, 4, 3), "stretch")
    found, read = open_decoded(project.workspace.data, folder), len(READ)
    assert decoded_at(project.workspace, (4, 4, 3), "stretch") == folder
    assert len(READ) == read and found["images"].shape == (72, 4, 4, 3) and found["test_images"].shape == (18, 4, 4, 3)


def test_images_that_are_decoded_each_time_come_from_the_files_that_were_audited(tmp_path: Path) -> None:
    project = tiny.prepare(tmp_path, of=IN_FILES, cache=False)
    decoded_at(project.workspace, (4, 4, 3), "stretch")
    np.save(project.raw / "test.npy", 255 - np.load(project.raw / "test.npy"))
    with pytest.raises(UserError, match=r"made from other files than those in .* \(1 changed: test\.npy\)"):
        project.labelled()
    with pytest.raises(UserError, match=r"1 changed: test\.npy"):
        decoded_at(project.workspace, (4, 4, 3), "stretch")


def test_arrays_have_no_other_size(tmp_path: Path) -> None:
    project = tiny.prepare(tmp_path)
    with pytest.raises(UserError, match="given as arrays of one size"):
        decoded_at(project.workspace, (4, 4, 3), "stretch")


def test_a_reader_that_other_processes_cant_find_is_refused(tmp_path: Path) -> None:
    def inside(path: Path, row: int, least: int) -> np.ndarray:
        return train_row(path, row, least, "images")

    def of_a_local(folder: Path) -> Samples:
        samples = load_files(folder)
        return replace(samples, images=replace(samples.images, read=inside, options={}))

    project = tiny.project(tmp_path, replace(IN_FILES, load=of_a_local))
    with pytest.raises(UserError, match=r"inside.* is no function of a module, and other processes can't find it"):
        load(project.competition, project.workspace, project.raw)


def partly_broken(path: Path, row: int, least: int, of: str) -> np.ndarray:
    if row in (5, 40):
        raise OSError("unexpected end of data")
    return train_row(path, row, least, of)


def load_broken(folder: Path) -> Samples:
    samples = load_files(folder)
    return replace(samples, images=replace(samples.images, read=partly_broken), skip_unreadable=True)


def test_images_that_cant_be_read_are_in_no_fold(tmp_path: Path) -> None:
    project = tiny.project(tmp_path, replace(IN_FILES, load=load_broken))
    audit = project.audit()
    dropped = audit.proposal[audit.proposal["action"] == "drop"]
    assert dropped["index"].tolist() == [5, 40]
    assert dropped["reason"].iloc[0].endswith("can't be read: OSError: unexpected end of data")
    groups = (audit.table["group"], project.folds(3).table["group"])
    assert all(group[3] != group[41] for group in groups), "the rest of their groups has nothing in common"
    labelled = project.labelled()
    assert np.flatnonzero(~labelled.inside).tolist() == [5, 40] and not labelled.images[5].any()
