"""Files and folders that appear whole or not at all: written beside their place, put on the disk, then renamed in.

The name of a partial one tells whose it is, so that what a killed process left is known from what another writes.
"""

import ctypes
import errno
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from toolkit.processes import Owner, alive, this_process

STALE_SECONDS = 3600  # a partial file of another machine that nothing was written to for so long was left by a kill
OWNED = re.compile(r"\.(?P<place>[0-9a-f]{8})-(?P<pid>\d+)-(?P<started>[^-]*)-[0-9a-f]{8}\.partial$")
LEFT = re.compile(r"^\..*\.partial$|^\.scratch-")  # the second as older versions have it
CURRENT, EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux
IN_THE_WAY = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
CANNOT = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` for a file or a directory; rename it in on success, once it is on the disk.

    What is there is replaced: a reader finds the old or the new one, where the system can exchange two directories.
    """
    _make(path.parent)
    partial = _partial(path)
    try:
        yield partial
        _put(partial, path, durable=not any(OWNED.search(part) for part in path.parts))  # else with all of the folder
    finally:
        remove(partial)


@contextmanager
def resumed(path: Path, key: str) -> Iterator[Path]:
    """As `atomic`, of a directory, but what a kill leaves in it is there the next time for the same `key`.

    What was begun for other keys is removed, and what was half written. The caller has it alone.
    """
    partial = path.with_name(f"{path.name}-{key}.partial")
    for other in path.parent.glob(f"{path.name}-*.partial"):
        if other != partial:
            remove(other)
    partial.mkdir(parents=True, exist_ok=True)
    sweep(folders_below(partial))
    yield partial
    _sync(partial)
    _put_aside(partial, path)  # not exchanged: what was there would be gone on with, were there a kill now
    _sync_folder(path.parent)


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A folder in `folder` for what is needed meanwhile, and removed in the end."""
    _make(folder)
    made = _partial(folder / "scratch")
    made.mkdir()
    try:
        yield made
    finally:
        remove(made)


def _partial(path: Path) -> Path:
    """A name that no other process has, on this machine, in another container of it, or elsewhere."""
    me = this_process()
    return path.parent / f".{path.name}.{me.place}-{me.pid}-{me.started}-{secrets.token_hex(4)}.partial"


def final(path: str) -> str:
    """Of a path that leads into partial files the one that these are to have."""
    return re.sub(r"\.([^/]+?)\.(?:[0-9a-f]{8}-\d+-[^-/]*-[0-9a-f]{8}|\d+)\.partial\b", r"\1", path)


def is_left(path: Path) -> bool:
    """Is it a partial file or folder, or a scratch folder, of a process that has ended?"""
    if not LEFT.match(path.name):
        return False
    found, me = OWNED.search(path.name), this_process()
    if found is not None and found["place"] == me.place:
        return not alive(Owner(me.host, int(found["pid"]), found["started"]), 0.0)
    try:
        newest = max(one.lstat().st_mtime for one in (path, *path.rglob("*")))
    except FileNotFoundError:  # it is being written, or was removed
        return False
    return time.time() - newest > STALE_SECONDS


def sweep(folders: Iterator[Path]) -> None:
    """Remove from these folders, not from those in them, what processes that have ended left half written."""
    for folder in folders:
        with suppress(OSError):  # no such folder, or it can only be read
            for path in [Path(entry.path) for entry in os.scandir(folder) if LEFT.match(entry.name)]:
                if is_left(path):
                    with suppress(OSError):
                        remove(path)


def folders_below(folder: Path, without: Collection[Path] = ()) -> Iterator[Path]:
    """A folder and all those in it, but for those `without` and what is half written."""
    yield folder
    with suppress(OSError):
        for entry in [one for one in os.scandir(folder) if one.is_dir(follow_symlinks=False)]:
            if Path(entry.path) not in without and not entry.name.endswith(".partial"):
                yield from folders_below(Path(entry.path), without)


def _put(partial: Path, path: Path, durable: bool = True) -> None:
    if durable:
        _sync(partial)
    elif not os.path.lexists(partial):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(partial))
    while True:
        try:
            os.replace(partial, path)
            break
        except OSError as error:
            if error.errno not in IN_THE_WAY:
                raise
        try:
            if not _exchange(partial, path):
                _put_in_turn(partial, path)
            break
        except FileNotFoundError:  # what was in the way is gone
            continue
    if durable:
        _sync_folder(path.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places at once; False where the system or the disk can't."""
    rename = _renameat2()
    if rename is None:
        return False
    sys.audit("os.rename", one, other, -1, -1)  # as Python's own do
    if rename(CURRENT, os.fsencode(one), CURRENT, os.fsencode(other), EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in CANNOT:
        return False
    raise OSError(number, os.strerror(number), str(other))


@cache
def _renameat2() -> Any:
    try:
        found = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return None
    found.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return found


def _put_in_turn(partial: Path, path: Path) -> None:
    """Without an exchange: one process at a time."""
    with FileLock(path.with_name(f".{path.name}.lock")):
        _put_aside(partial, path)


def _put_aside(partial: Path, path: Path) -> None:
    """Move what is there aside first, so that for a moment there is nothing."""
    aside = _partial(path)
    try:
        while True:
            with suppress(FileNotFoundError):
                os.replace(path, aside)
            try:
                os.replace(partial, path)
                return
            except OSError as error:  # another process was quicker
                if error.errno not in IN_THE_WAY:
                    raise
                remove(aside)
    finally:
        remove(aside)


def _make(folder: Path) -> None:
    """The folder, with those that hold it, each on the disk as an entry of the one that holds it."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync(path: Path) -> None:
    """Put a file, or a folder with all that is in it, on the disk."""
    if path.is_dir() and not path.is_symlink():
        for entry in path.iterdir():
            if not entry.is_symlink():
                _sync(entry)
        _sync_folder(path)
    else:
        with open(path, "rb") as file:
            os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    try:
        opened = os.open(folder, os.O_RDONLY)
    except OSError:  # it can't be opened as a file, on some systems or for want of permission
        return
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (*CANNOT, errno.EBADF):
            raise
    finally:
        os.close(opened)


def discard(path: Path) -> None:
    """Remove a file or folder at once for all who look for it; what a kill leaves of it is swept as half written."""
    aside = _partial(path)
    with suppress(FileNotFoundError):
        os.replace(path, aside)
    remove(aside)


def remove(path: Path) -> None:
    """A file, a link, or a folder with all that is in it; nothing where it isn't there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
