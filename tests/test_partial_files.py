"""What is written is on the disk before it has its name, is there whole for whoever looks, and no kill leaves it."""

import json
import os
import secrets
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from joblib import delayed

from tests.conftest import START
from toolkit import partial_files
from toolkit.partial_files import STALE_SECONDS, atomic, final, resumed, scratch, sweep
from toolkit.processes import parallel, this_process
from toolkit.store import write_json, write_text

SECONDS = 1.0


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What is put on the disk, and what is renamed, in order."""
    told: list[str] = []

    def named(path: object) -> str:
        inner = os.path.relpath(str(path), tmp_path)
        return "/".join("partial" if part.endswith(".partial") else part for part in inner.split("/"))

    replace = os.replace

    def replaced(one: Path, other: Path) -> None:
        replace(one, other)
        told.append(f"rename {named(other)}")

    monkeypatch.setattr(os, "fsync", lambda fd: told.append(f"sync {named(os.readlink(f'/proc/self/fd/{fd}'))}"))
    monkeypatch.setattr(os, "replace", replaced)
    return told


def test_arrays_and_folders_are_on_the_disk_before_the_rename_and_the_name_after_it(
    tmp_path: Path, done: list[str]
) -> None:
    with atomic(tmp_path / "new" / "data") as partial:
        (partial / "inner").mkdir(parents=True)
        np.save(partial / "inner" / "a.npy", np.zeros(3))
        write_json(partial / "manifest.json", {})
    assert done[0] == "sync ."  # where new/ was made
    inside, at = done[1:], done.index("rename new/data")
    files = ["new/partial/inner/a.npy", "new/partial/inner", "new/partial/manifest.json", "new/partial"]
    for name in files:
        assert inside.count(f"sync {name}") == 1 and done.index(f"sync {name}") < at, "each once"
    assert done[at:] == ["rename new/data", "sync new"]


def test_a_file_and_what_was_gone_on_with_are_on_the_disk_too(tmp_path: Path, done: list[str]) -> None:
    write_text(tmp_path / "table.csv", "x")
    assert done == ["sync partial", "rename table.csv", "sync ."]
    done.clear()
    with resumed(tmp_path / "decoded", "key") as partial:
        (partial / "images.npy").write_text("x")
    assert done == ["sync partial/images.npy", "sync partial", "rename decoded", "sync ."]


def test_what_a_kill_left_half_written_in_what_is_gone_on_with_goes(tmp_path: Path) -> None:
    begun = tmp_path / "decoded-key.partial"
    begun.mkdir()
    (begun / "images.npy").write_text("x")
    half = begun / f".tests.npy.{this_process().place}-999999999-1-0123abcd.partial"
    half.write_text("half")
    with resumed(tmp_path / "decoded", "key"):
        assert not half.exists()
    assert [path.name for path in (tmp_path / "decoded").iterdir()] == ["images.npy"]


def write(kind: str, path: Path, until: float) -> tuple[int, list[str]]:
    """Write again and again; how often, and what went wrong."""
    errors, number = [], 0
    while time.monotonic() < until:
        try:
            with atomic(path) as partial:
                if kind == "folder":
                    partial.mkdir()
                    for name in "ab":
                        (partial / name).write_text(str(number))
                else:
                    partial.write_text("x" * 1000)
        except OSError as error:
            errors.append(f"{type(error).__name__}: {error}")
        number += 1
    return number, errors


def look(kind: str, path: Path, until: float) -> tuple[int, list[str]]:
    """Look again and again: the whole one is there."""
    errors, number = [], 0
    while time.monotonic() < until:
        number += 1
        if not (path.is_dir() if kind == "folder" else path.is_file()):
            errors.append("not there")
    return number, errors


def _act(act: str, kind: str, path: Path, told: "os.PathLike[str]") -> None:
    until = time.monotonic() + SECONDS  # from here on: a process may take long to start
    write_json(Path(told), (look if act == "look" else write)(kind, path, until))


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_of_four_that_write_one_path_none_fails_and_it_is_never_gone(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "here" / "artefact"
    write(kind, path, time.monotonic() + 0.01)
    acts = ["write"] * 4 + ["look"]
    told = [tmp_path / f"{number}.json" for number in range(len(acts))]
    started = [START.Process(target=_act, args=(act, kind, path, one)) for act, one in zip(acts, told, strict=True)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    found = [json.loads(one.read_text()) for one in told]
    assert Counter(error for _, errors in found for error in errors) == {}
    assert all(number for number, _ in found)
    assert os.listdir(path.parent) == ["artefact"]


def test_where_the_system_exchanges_nothing_a_folder_is_replaced_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial_files, "_renameat2", lambda: None)
    for text in ("old", "new"):
        with atomic(tmp_path / "data") as partial:
            partial.mkdir()
            (partial / "a").write_text(text)
    assert (tmp_path / "data" / "a").read_text() == "new"
    assert {path.name for path in tmp_path.iterdir()} <= {"data", ".data.lock"}


def test_a_file_takes_the_place_of_a_folder_and_the_other_way_round(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    path.mkdir()
    write_text(path, "x")
    assert path.read_text() == "x"
    with atomic(path) as partial:
        partial.mkdir()
    assert os.listdir(tmp_path) == ["state.pt"] and path.is_dir()


def killed_in(folder: Path) -> None:
    with atomic(folder / "table") as partial, scratch(folder):
        partial.write_text("half")
        os.kill(os.getpid(), 9)


def test_what_a_killed_process_of_this_machine_left_is_swept_at_once(tmp_path: Path) -> None:
    process = START.Process(target=killed_in, args=(tmp_path,))
    process.start()
    process.join()
    assert len(list(tmp_path.iterdir())) == 2
    with atomic(tmp_path / "table") as mine, scratch(tmp_path) as folder:
        mine.write_text("whole")
        os.utime(mine, (0, 0))  # old, and this process lives
        sweep(iter([tmp_path]))
        assert mine.exists() and folder.exists() and len(list(tmp_path.iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


def test_what_another_machine_left_is_swept_after_an_hour(tmp_path: Path) -> None:
    elsewhere = [tmp_path / f".{name}.{secrets.token_hex(4)}-7-9-{secrets.token_hex(4)}.partial" for name in "ab"]
    older = [tmp_path / ".data.999999.partial", tmp_path / ".oof.npy.999999.partial", tmp_path / ".scratch-x"]
    for path in (*elsewhere, *older):
        path.mkdir()
        (path / "a").write_text("half")
        for one in (path / "a", path):
            os.utime(one, (time.time() - STALE_SECONDS - 60,) * 2)
    (elsewhere[0] / "a").write_text("it is being written, which the folder's own time doesn't tell")
    sweep(iter([tmp_path, tmp_path / "nowhere"]))
    assert list(tmp_path.iterdir()) == [elsewhere[0]]


def test_partial_names_tell_containers_apart(tmp_path: Path) -> None:
    me = this_process()
    with atomic(tmp_path / "a") as one, atomic(tmp_path / "a") as other:
        assert one != other and all(me.place in path.name for path in (one, other))
        for path in (one, other):
            path.write_text("x")


def _audit_killed(told: Path) -> None:
    write_json(told, list(parallel(2)(delayed(os.getpid)() for _ in range(20))))
    os.kill(os.getpid(), 9)


def test_processes_that_wait_for_work_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    told = tmp_path / "pids.json"
    process = START.Process(target=_audit_killed, args=(told,))
    process.start()
    process.join()
    pids = set(json.loads(told.read_text()))
    until = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < until:
        time.sleep(0.1)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_partial_files_are_told_by_the_name_that_they_get(tmp_path: Path) -> None:
    with atomic(tmp_path / "data") as folder, atomic(folder / "ids.npy") as partial:
        partial.touch()
        assert final(f"{partial}: no room") == f"{tmp_path / 'data' / 'ids.npy'}: no room"
    assert final("w/.oof.npy.123.partial") == "w/oof.npy"  # of older versions
    assert final("w/.hidden/x.partial") == "w/.hidden/x.partial"
