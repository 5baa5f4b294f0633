"""Images in files become arrays on disk: once, whatever comes between, and not without a word where that can't be."""

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import START
from tests.images.drawn_files import SHAPE, broken, drawn, drawn_slowly, stopped
from tests.tiny import Heard
from toolkit.errors import UserError
from toolkit.faults import sentence
from toolkit.images import cache
from toolkit.images.cache import PART, decode, decode_all, fill, unreadable
from toolkit.images.files import ImageFiles
from toolkit.images.pictures import READ, hash_picture
from toolkit.store import Workspace


def files(log: Path, number: int, read: Callable[[Path, int, int], np.ndarray] = drawn, begin: int = 0) -> ImageFiles:
    return ImageFiles([log] * number, np.arange(begin, begin + number), read)


def both(log: Path, number: int, read: Callable[[Path, int, int], np.ndarray] = drawn) -> dict[str, ImageFiles]:
    return {"images": files(log, number, read), "test_images": files(log, 3, begin=10_000)}


def in_files(folder: Path, number: int) -> ImageFiles:
    folder.mkdir()
    paths = [folder / f"{row:03}.png" for row in range(number)]
    for row, path in enumerate(paths):
        cv2.imwrite(str(path), np.full((4, 6, 3), row + 1, np.uint8))
    return ImageFiles(paths)


def read_of(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()] if log.exists() else []


@pytest.mark.parametrize("jobs", [1, 2])
def test_all_images_are_there_with_their_hashes(jobs: int, tmp_path: Path) -> None:
    images = files(tmp_path / "log", PART + 5)
    assert fill(images, SHAPE, tmp_path / "images.npy", "crop", jobs=jobs) == []
    found, pictures = np.load(tmp_path / "images.npy"), np.load(tmp_path / "pictures.npy")
    wanted = np.stack([decode(images, row, SHAPE, "crop") for row in range(len(images))])
    assert (found == wanted).all() and pictures.tolist() == list(map(hash_picture, wanted))


def decode_marking_at_once(log: Path, workspace: Workspace, number: int) -> None:
    """What a process does until it is killed."""
    cache.MARKED = 0.0
    decode_all(both(log, number, drawn_slowly), "key", workspace, SHAPE)


def test_what_was_decoded_before_a_kill_is_not_decoded_again(tmp_path: Path) -> None:
    log, workspace, number = tmp_path / "log", Workspace(tmp_path, "killed"), 12 * PART
    process = START.Process(target=decode_marking_at_once, args=(log, workspace, number))
    process.start()
    while len(read_of(log)) < 5 * PART:
        time.sleep(0.002)
    assert process.pid is not None
    os.kill(process.pid, 9)
    process.join()
    before = len(read_of(log))
    assert before < number
    folder = decode_all(both(log, number), "key", workspace, SHAPE)
    again = read_of(log)[before:]
    assert len(again) <= number + 3 - before + 2 * PART and 10_000 in again
    whole = decode_all(both(tmp_path / "other", number), "key", Workspace(tmp_path, "whole"), SHAPE)
    for name in ("images", "test_images", "pictures", "test_pictures"):
        assert (folder / f"{name}.npy").read_bytes() == (whole / f"{name}.npy").read_bytes(), name
    assert [path.name for path in workspace.decoded.iterdir() if path.is_dir()] == [folder.name]


def test_one_kind_of_images_is_done_though_the_other_was_stopped(tmp_path: Path) -> None:
    log, workspace = tmp_path / "log", Workspace(tmp_path, "stopped")
    with pytest.raises(KeyboardInterrupt):
        decode_all(both(log, 9) | {"test_images": files(log, 3, stopped)}, "key", workspace, SHAPE)
    decode_all(both(log, 9), "key", workspace, SHAPE)
    assert sorted(read_of(log)) == [*range(9), 10_000, 10_001, 10_002]


def test_what_is_there_is_taken_and_what_is_of_other_files_is_not(tmp_path: Path) -> None:
    log, workspace = tmp_path / "log", Workspace(tmp_path, "there")
    folders = {decode_all(both(log, 2), "key", workspace, SHAPE) for _ in range(2)}
    assert len(folders) == 1 and len(read_of(log)) == 5
    decode_all(both(log, 3), "other", workspace, SHAPE)
    decode_all(both(log, 3), "other", workspace, SHAPE, "stretch")
    assert len(read_of(log)) == 5 + 6 + 6 and len(list(workspace.decoded.glob("*/images.npy"))) == 2


def test_two_processes_that_want_one_size_decode_it_once(tmp_path: Path) -> None:
    log, workspace = tmp_path / "log", Workspace(tmp_path, "two")
    processes = [START.Process(target=decode_marking_at_once, args=(log, workspace, 64)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len(read_of(log)) == 64 + 3


def test_hashes_alone_are_kept_where_the_disk_has_no_room_for_images(tmp_path: Path) -> None:
    log, heard = tmp_path / "log", Heard()
    frugal = Workspace(tmp_path, "frugal", keeps_images=False)
    folder = decode_all(both(log, 9), "key", frugal, SHAPE, progress=heard)
    assert not (folder / "images.npy").exists() and not str(heard)
    hashes = (folder / "pictures.npy").read_bytes()
    again = decode_all(both(log, 9), "key", Workspace(tmp_path, "frugal"), SHAPE)
    assert again == folder and (folder / "images.npy").exists() and (folder / "pictures.npy").read_bytes() == hashes
    assert decode_all(both(log, 9), "key", frugal, SHAPE) == folder and (folder / "images.npy").exists()


def test_all_files_that_cant_be_read_are_named_at_once_and_can_be_left_out(tmp_path: Path) -> None:
    images, tests = in_files(tmp_path / "train", 100), in_files(tmp_path / "test", 2)
    for row in (3, *range(70, 81)):
        images.paths[row].write_bytes(b"no picture")
    tests.paths[1].unlink()
    workspace, given = Workspace(tmp_path, "broken"), {"images": images, "test_images": tests}
    with pytest.raises(UserError) as caught:
        decode_all(given, "key", workspace, SHAPE)
    first, *lines = str(caught.value).split("\n")
    assert first == f"13 of 102 images can't be read ({workspace.unreadable} has all):"
    assert lines[0].startswith(f"{images.paths[3]} ") and lines[9].startswith(f"{images.paths[78]} ")
    assert lines[10] == "… and 3 more"
    assert "skip_unreadable=True" in lines[11] and len(lines) == 12
    listed = unreadable(workspace)
    assert listed["row"].tolist() == [3, *range(70, 81), 1]
    assert listed["part"].tolist() == ["training"] * 12 + ["test"]
    assert listed["name"].iloc[-1] == str(tests.paths[1]) and listed["reason"].str.len().min() > 5

    heard = Heard()
    folder = decode_all(given, "key", workspace, SHAPE, progress=heard, skip=True)
    assert "has all): they are left out of training" in str(heard) and len(unreadable(workspace)) == 13
    found, pictures = np.load(folder / "images.npy"), np.load(folder / "pictures.npy")
    assert found[:, 0, 0, 0].tolist() == [0 if row == 3 or 70 <= row <= 80 else row + 1 for row in range(100)]
    assert np.flatnonzero(pictures < READ).tolist() == [3, *range(70, 81)] and len(set(pictures)) == 100
    with pytest.raises(UserError, match=r"13 images that can't be read were skipped when .*skip_unreadable=True"):
        decode_all(given, "key", workspace, SHAPE)
    assert decode_all(given, "key", workspace, SHAPE, skip=True) == folder

    for path in (*images.paths, *tests.paths):
        cv2.imwrite(str(path), np.full((4, 6, 3), 9, np.uint8))
    decode_all(given, "mended", workspace, SHAPE)
    assert not workspace.unreadable.exists() and not len(unreadable(workspace))


def test_where_no_file_can_be_read_that_is_said_at_once(tmp_path: Path) -> None:
    log, workspace = tmp_path / "log", Workspace(tmp_path, "none")
    images = {"images": files(log, 50 * PART, broken)}
    with pytest.raises(UserError, match=r"^not one of the first 64 images can be read: .*log can't be read: KeyError"):
        decode_all(images, "key", workspace, SHAPE)
    assert len(read_of(log)) < 10 * PART


def test_values_that_go_beyond_8_bits_are_said_of_more_than_one_file(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    paths = [tmp_path / f"{row:03}.png" for row in range(10 * PART)]
    for row, path in enumerate(paths):
        cv2.imwrite(str(path), np.array([[300 + row, 1000 + row % PART]], np.uint16))
    # of two processes either may be the first
    said = r"values=\((\d+), 1000\)\); all 64 together go from \1 to 1063$"
    with pytest.raises(UserError, match=said):
        decode_all({"images": ImageFiles(paths)}, "key", Workspace(tmp_path, "deep"), SHAPE, jobs=2)
    assert not [str(warning.message) for warning in recwarn if "cancelled" in str(warning.message)]
    few = ImageFiles(paths[:3])
    with pytest.raises(UserError, match=r"values=\(302, 1002\)\)\nall 3 together go from 300 to 1002$"):
        decode_all({"images": few}, "key", Workspace(tmp_path, "few"), SHAPE)


def test_room_is_asked_for_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, heard = tmp_path / "log", Heard()
    one = 4 * 6 * 3 / 1e6
    decode_all(both(log, 9), "key", Workspace(tmp_path, "room"), SHAPE, progress=heard)
    assert str(heard).startswith(f"decoding 12 images to 4x6x3 takes {12 * one:.1f} MB in {tmp_path / 'room'}, ")
    begun = len(read_of(log))
    limited = Workspace(tmp_path, "room", max_disk=1000)
    with pytest.raises(UserError, match=r"--max-disk is 0\.0 MB; give more, remove .* of other sizes, .*--no-cache"):
        decode_all(both(log, 9), "key", limited, SHAPE, "crop")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10**9))
    with pytest.raises(UserError, match=r"where 1\.0 GB are free and 1\.0 GB stay so; make room, or choose another"):
        decode_all(both(log, 9), "key", Workspace(tmp_path, "room"), SHAPE, "crop")
    assert len(read_of(log)) == begun
    decode_all(both(log, 9), "key", Workspace(tmp_path, "room"), SHAPE)  # what is there takes nothing


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.EACCES])
def test_what_is_no_fault_of_a_file_leaves_no_image_out(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, read = in_files(tmp_path / "train", 9), Path.read_bytes

    def failing(path: Path) -> bytes:
        if path == images.paths[4]:
            raise OSError(number, os.strerror(number), str(path))
        return read(path)

    workspace = Workspace(tmp_path, "failing")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", failing)
        with pytest.raises(OSError, match=os.strerror(number)) as caught:
            decode_all({"images": images}, "key", workspace, SHAPE, skip=True)
    said = sentence(caught.value)
    assert said.startswith(f"{images.paths[4]} can't be used: {os.strerror(number)}; ") and "remove" not in said
    folder = decode_all({"images": images}, "key", workspace, SHAPE, skip=True)
    assert (np.load(folder / "pictures.npy") >= READ).all() and not workspace.unreadable.exists()


def test_an_image_that_memory_has_no_room_for_is_named_and_not_left_out(tmp_path: Path) -> None:
    images = replace(in_files(tmp_path / "train", 2), read=too_large)
    with pytest.raises(MemoryError, match=r"00\d\.png needs more than there is: 11 GB"):
        decode_all({"images": images}, "key", Workspace(tmp_path, "large"), SHAPE, skip=True)


def too_large(path: Path, row: int, least: int) -> np.ndarray:
    raise MemoryError("11 GB")


def test_a_disk_that_is_full_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(UserError, match=r"images\.npy can't be written: No space left on device; make room"):
        fill(files(tmp_path / "log", 9), SHAPE, tmp_path / "images.npy")


def test_a_disk_that_another_program_fills_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int, begin: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(UserError, match=r"images\.npy can't be written: No space left on device; make room"):
        fill(files(tmp_path / "log", 3), SHAPE, tmp_path / "images.npy")
    monkeypatch.undo()
    assert fill(files(tmp_path / "log", 3), SHAPE, tmp_path / "images.npy") == []


def test_a_process_that_is_killed_for_want_of_memory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_off(
        tasks: Iterable[tuple[Callable[..., object], tuple[object, ...], dict[str, object]]],
    ) -> Iterator[object]:
        for number, (task, given, named) in enumerate(tasks):
            if number:
                raise BrokenExecutor("a worker was killed")
            yield task(*given, **named)

    images, path = files(tmp_path / "log", 2 * PART), tmp_path / "images.npy"
    monkeypatch.setattr(cache, "parallel", lambda *_, **__: broken_off)
    with pytest.raises(UserError, match=r"one of 2 processes was killed, .*; the same command with fewer --workers"):
        fill(images, SHAPE, path, jobs=2)
    pictures = np.load(tmp_path / "pictures.npy")
    assert (pictures[:PART] >= READ).all() and not pictures[PART:].any(), "what was done is kept"


def broken_in_row_seven(path: Path, row: int, least: int) -> np.ndarray:
    if row == 7:
        raise KeyError("seven")
    return drawn(path, row, least)


def test_of_a_file_of_many_images_the_row_is_named(tmp_path: Path) -> None:
    images, workspace = files(tmp_path / "log", 9, broken_in_row_seven, begin=5), Workspace(tmp_path, "rows")
    with pytest.raises(UserError, match=r"\n.*log:7 can't be read: KeyError"):
        decode_all({"images": images}, "key", workspace, SHAPE)
    assert unreadable(workspace)["name"].tolist() == [f"{tmp_path / 'log'}:7"]
