"""A zip from an unknown hand, looked at before a byte of it is written, then unpacked into an empty folder."""

import stat
import zipfile
import zlib
from collections import Counter
from pathlib import Path, PurePosixPath

from toolkit.errors import UserError

LARGEST = 8 << 30  # bytes after unpacking
RATIO = 100  # of unpacked to packed bytes; weights hardly shrink, and text shrinks to a tenth
SMALL = 1 << 20  # bytes up to which a ratio says nothing
READ_ONLY, READ_ONLY_FOLDER = 0o444, 0o555


def unpack(path: Path, folder: Path, entry: str, largest: int = LARGEST) -> None:
    """Unpack the zip at `path` into the new `folder`, read-only; `entry` is the file at its top level.

    Raises UserError for what a server refuses or what would harm it: a damaged or encrypted file, a parent
    folder, names that lead out of the folder or occur twice, links, more than `largest` bytes, a zip bomb.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    try:
        with zipfile.ZipFile(path) as archive:
            _check(archive.infolist(), path, entry, largest)
            folder.mkdir(parents=True)
            archive.extractall(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError):
        raise UserError(f"{path} is not a whole zip file (damaged or cut short)") from None
    except NotImplementedError as error:
        raise UserError(f"{path} is packed in a way that not every server reads ({error}); use deflate") from None
    for made in folder.rglob("*"):
        made.chmod(READ_ONLY_FOLDER if made.is_dir() else READ_ONLY)
    folder.chmod(READ_ONLY_FOLDER)


def _check(members: list[zipfile.ZipInfo], path: Path, entry: str, largest: int) -> None:
    for member in members:
        # orig_filename: Python turns the separators of other systems into "/" and hides them
        name, parts = member.orig_filename, PurePosixPath(member.filename).parts
        if name.startswith(("/", "\\")) or ".." in parts or "\\" in name or ":" in name or not parts:
            raise UserError(f"{path} holds {name!r}, which leads out of the folder it is unpacked into")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            what = "a symbolic link" if kind == stat.S_IFLNK else "a special file"
            raise UserError(f"{path} holds {what}, {name!r}; put the file itself there")
        if member.flag_bits & 1:
            raise UserError(f"{path} is encrypted ({name!r}), and the server knows no password")
        if member.file_size > max(SMALL, RATIO * member.compress_size):
            raise UserError(
                f"{path} is a zip bomb to the server: {name!r} grows from {member.compress_size:,} to "
                f"{member.file_size:,} bytes"
            )
    total = sum(member.file_size for member in members)
    if total > largest:
        raise UserError(f"{path} unpacks to {total:,} bytes, more than {largest:,}")
    names = Counter(member.filename for member in members)
    name, times = names.most_common(1)[0] if names else ("", 0)
    if times > 1:
        raise UserError(f"{path} holds {name!r} {times} times; which one counts depends on the server")
    if entry not in names:
        inside = [name for name in names if PurePosixPath(name).name == entry]
        found = f"it is at {inside[0]}: zip the files, not their folder" if inside else "there is none"
        raise UserError(f"{path} must have {entry} at its top level; {found}")
