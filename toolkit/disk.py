"""Room on the disk: asked for before it is filled."""

import errno
import os
import re
import shutil
from pathlib import Path

from toolkit.errors import UserError
from toolkit.store import Workspace

# by the numbers of errors: what a person has to mend, and not the program
MENDED = {
    errno.ENOSPC: "make room, and the same command goes on from here",
    errno.EDQUOT: "make room, and the same command goes on from here",
    errno.EROFS: "choose another folder",
    errno.EACCES: "change its permissions, or choose another",
    errno.ENOTDIR: "choose another folder",
}
RESERVE = 10**9  # bytes that are left free: a full disk stops other programs too
UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12}


def need(workspace: Workspace, size: int, what: str, instead: str = "") -> str:
    """What is to be written and how much room there is, as a sentence.

    size: bytes that come on top of what the workspace holds; what: what takes them, such as "decoding 9 images";
    instead: what else can be done where there is no room. UserError where the disk would be left with less than
    RESERVE, or the workspace would take more than its `max_disk`.
    """
    said = need_room(workspace.folder, size, what, f"choose another --workspace{instead}")
    if workspace.max_disk is not None and size:
        taken = bytes_in(workspace.folder)
        if taken + size > workspace.max_disk:
            raise UserError(
                f"{what} takes {in_bytes(size)} in {workspace.folder}, which holds {in_bytes(taken)} already, and "
                f"--max-disk is {in_bytes(workspace.max_disk)}; give more{instead}"
            )
    return said


def need_room(folder: Path, size: int, what: str, instead: str) -> str:
    """As `need`, of any folder, which may not be there yet. UserError where the disk would be left with less than
    RESERVE; instead: what to do then other than to make room.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free, said = shutil.disk_usage(there).free, f"{what} takes {in_bytes(size)} in {folder}"
    if size > free - RESERVE:
        raise UserError(
            f"{said}, where {in_bytes(free)} are free and {in_bytes(RESERVE)} stay so; make room, or {instead}"
        )
    return f"{said}, {in_bytes(free)} are free"


def bytes_in(folder: Path) -> int:
    """What the files below a folder take on the disk."""
    files = (path.lstat() for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(min(file.st_size, file.st_blocks * 512) for file in files)


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


def of_the_disk(error: OSError) -> str | None:
    """What is wrong as a sentence, where the disk is full or a folder can't be written to; else None."""
    number = error.errno
    if number is None and re.search(r"requested and \d+ written", str(error)):  # numpy's, of a full disk
        number = errno.ENOSPC
    if number not in MENDED:
        return None
    place = f"{error.filename} can't be used" if error.filename else "a file can't be written"
    return f"{place}: {os.strerror(number)}; {MENDED[number]}"
