"""Room on the disk: asked for before it is filled."""

import errno
import os
import re
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from toolkit.errors import UserError
from toolkit.partial_files import final
from toolkit.store import Workspace

# by the numbers of errors: what a person has to mend, and not the program
MENDED = {
    errno.ENOSPC: "make room, and the same command goes on from here",
    errno.EDQUOT: "make room, and the same command goes on from here",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f), or choose a folder on another disk",
    errno.EROFS: "choose another folder",
    errno.EACCES: "change its permissions, or choose another",
    errno.EPERM: "change its permissions, or choose another",
    errno.ENOTDIR: "choose another folder",
    errno.EISDIR: "a file is expected there: remove it, or give a file",
    errno.EEXIST: "remove it, or choose another folder",
    errno.ENOENT: "check that it is there, and where links on the way to it lead",
    errno.ELOOP: "mend the links on the way to it",
    errno.ENAMETOOLONG: "choose a shorter name or folder",
    errno.EMFILE: "nothing is damaged; allow more open files (ulimit -n 4096) and run the same command again",
    errno.ENFILE: "nothing is damaged; close other programs and run the same command again",
    errno.ENOMEM: "close other programs, or choose a smaller batch_size, and run the same command again",
    errno.EIO: "look at the disk: it can't read or write there",
    errno.ESTALE: "the shared folder went away; run the same command again once it is back",
}
# no fault of the file that is read: another one would not be read either
OF_THE_MACHINE = {
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE, errno.EACCES, errno.EPERM),
    *(errno.ENOSPC, errno.EDQUOT, errno.ENOTCONN, errno.ETIMEDOUT, errno.EINTR, errno.ENODEV, errno.ENXIO),
}
RESERVE = 10**9  # bytes that are left free: a full disk stops other programs too
UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12}


class NoRoom(UserError):
    """What is to be written has no room: no fault of what is read."""


def need(workspace: Workspace, size: int, what: str, instead: str = "") -> str:
    """What is to be written and how much room there is, as a sentence.

    size: bytes that come on top of what the workspace holds; what: what takes them, such as "decoding 9 images";
    instead: what else can be done where there is no room. NoRoom where the disk would be left with less than
    RESERVE, or the workspace would take more than its `max_disk`.
    """
    said = need_room(workspace.folder, size, what, f"choose another --workspace{instead}")
    if workspace.max_disk is not None and size:
        taken = bytes_in(workspace.folder)
        if taken + size > workspace.max_disk:
            raise NoRoom(
                f"{what} takes {in_bytes(size)} in {workspace.folder}, which holds {in_bytes(taken)} already, and "
                f"--max-disk is {in_bytes(workspace.max_disk)}; give more{instead}"
            )
    return said


def need_room(folder: Path, size: int, what: str, instead: str) -> str:
    """As `need`, of any folder, which may not be there yet. NoRoom where the disk would be left with less than
    RESERVE; instead: what to do then other than to make room.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free, said = shutil.disk_usage(there).free, f"{what} takes {in_bytes(size)} in {folder}"
    if size > free - RESERVE:
        raise NoRoom(
            f"{said}, where {in_bytes(free)} are free and {in_bytes(RESERVE)} stay so; make room, or {instead}"
        )
    return f"{said}, {in_bytes(free)} are free"


def bytes_in(folder: Path) -> int:
    """What the files below a folder take on the disk, while others may write and remove some of them."""
    total = 0
    for home, _, names in os.walk(folder, onerror=_unless_gone):
        for name in names:
            with suppress(FileNotFoundError):
                file = os.lstat(os.path.join(home, name))
                total += min(file.st_size, file.st_blocks * 512) if stat.S_ISREG(file.st_mode) else 0
    return total


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | PermissionError):
        raise error


def in_bytes(size: float) -> str:
    """As text: 18.1 GB."""
    unit = next((unit for unit in ("TB", "GB") if size >= UNITS[unit]), "MB")
    return f"{size / UNITS[unit]:,.1f} {unit}"


def bytes_of(text: str | int) -> int:
    """Of `500MB`, `20GB` or `1.5TB`; a number stays as it is. UserError for another text."""
    if not isinstance(text, str):
        return text
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([MGT]B)", text.strip(), re.IGNORECASE)
    if not match or not float(match[1]):
        raise UserError(f"{text!r} is not a size; write 500MB, 20GB or 1.5TB")
    return round(float(match[1]) * UNITS[match[2].upper()])


def of_the_disk(error: BaseException) -> str | None:
    """What is wrong as a sentence, where a file or folder can't be used and a person has to mend it; else None."""
    number = _number(error)
    if number not in MENDED:
        return None
    name = getattr(error, "filename", None)
    if name and os.path.islink(name) and not os.path.exists(name):
        return f"{name} is a link to {os.readlink(name)}, where nothing is; mend or remove the link"
    place = f"{final(str(name))} can't be used" if name else "a file can't be written"
    return f"{place}: {os.strerror(number)}; {MENDED[number]}"


def of_the_machine(error: BaseException) -> bool:
    """Is it no fault of the file that is read, but one of memory, of permission, of a disk, of open files?"""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in OF_THE_MACHINE)


def _number(error: BaseException) -> int:
    """The system's number of an error, also of libraries that tell of it in words alone; 0: none."""
    text = str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if found := re.search(r"\(os error (\d+)\)", text):  # of what is written in Rust, such as safetensors
        return int(found[1])
    # numpy's, torch's (three) and SQLite's words for a full disk
    full = r"requested and \d+ written|unexpected pos \d+ vs \d+|file write failed|iostream error|disk is full"
    return errno.ENOSPC if re.search(full, text) else 0
