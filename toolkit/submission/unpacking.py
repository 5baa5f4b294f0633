"""A zip that is handed in, looked at and unpacked as a server does it."""

import lzma
import os
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

from toolkit.archives import DAMAGES, is_damage, kind_of, leads_out
from toolkit.errors import UserError

ENTRY = "model.py"
LARGEST = 8 << 30  # bytes of a zip after unpacking
RATIO = 100  # of unpacked to packed bytes; weights hardly shrink, and text shrinks to a tenth
SMALL = 1 << 20  # bytes up to which a ratio says nothing
MANY = 8  # of these together
LONG_NAME, LONG_PATH = 255, 4000  # bytes, the most that file systems take
READ_ONLY, READ_ONLY_FOLDER = 0o444, 0o555
LEFTOVER = "__MACOSX"  # a folder that macOS adds to its zips, full of files `._name`


def unpack(path: Path, folder: Path, largest: int = LARGEST) -> None:
    """Unpack the zip at `path` into the new `folder`, read-only, with model.py at its top level.

    Nothing is written before all was looked at. Raises UserError for what a server refuses or what would harm it: a
    damaged or encrypted file, a parent folder, names that lead out of the folder or occur twice, links, more than
    `largest` bytes, a zip bomb.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive.infolist(), path, largest)
            folder.mkdir(parents=True)
            archive.extractall(folder)
    except UnicodeDecodeError:
        raise UserError(f"{path} holds a name that is no text; call files by letters of ASCII or UTF-8") from None
    except (NotImplementedError, lzma.LZMAError) as error:
        raise UserError(f"{path} is packed in a way that not every server reads ({error}); use deflate") from None
    except (*DAMAGES, ValueError, OSError) as error:
        if isinstance(error, OSError) and not is_damage(error):
            raise UserError(f"{path} can't be unpacked: {error.strerror}") from None
        raise UserError(f"{path} is not a whole zip file (damaged or cut short)") from None
    for made in folder.rglob("*"):
        made.chmod(READ_ONLY_FOLDER if made.is_dir() else READ_ONLY)
    folder.chmod(READ_ONLY_FOLDER)


def _check_members(members: list[zipfile.ZipInfo], path: Path, largest: int) -> None:
    folders = {str(above) for member in members for above in PurePosixPath(member.filename).parents}
    for member in members:
        # orig_filename: Python turns the separators of other systems into "/" and hides them
        name, parts = member.orig_filename, PurePosixPath(member.filename).parts
        if leads_out(name) or "\\" in name or ":" in name:
            raise UserError(f"{path} holds {name!r}, which leads out of the folder it is unpacked into")
        if parts[0] == LEFTOVER or parts[-1].startswith("._"):
            remedy = f"`zip -d {path.name} '{LEFTOVER}/*' '*._*'` removes it"
            raise UserError(f"{path} holds {name!r}, which macOS adds and no server needs; {remedy}")
        if len(os.fsencode(name)) > LONG_PATH or max(len(os.fsencode(part)) for part in parts) > LONG_NAME:
            raise UserError(
                f"{path} holds a name of {len(name):,} letters, {name[:20]!r}…, longer than a file's may be"
            )
        if not member.is_dir() and str(PurePosixPath(member.filename)) in folders:
            raise UserError(f"{path} holds {name!r} both as a file and as a folder; call one of them otherwise")
        if what := kind_of(member):
            raise UserError(f"{path} holds {what}, {name!r}; put the file itself there")
        if member.flag_bits & 1:
            raise UserError(f"{path} is encrypted ({name!r}), and the server knows no password")
        if member.file_size > max(SMALL, RATIO * member.compress_size):
            raise UserError(
                f"{path} is a zip bomb to the server: {name!r} grows from {member.compress_size:,} to "
                f"{member.file_size:,} bytes"
            )
    total, packed = sum(member.file_size for member in members), sum(member.compress_size for member in members)
    if total > largest:
        raise UserError(f"{path} unpacks to {total:,} bytes, more than {largest:,}")
    if total > max(MANY * SMALL, RATIO * packed):
        raise UserError(f"{path} is a zip bomb to the server: its files grow from {packed:,} to {total:,} bytes")
    names = Counter(member.filename for member in members)
    name, times = names.most_common(1)[0] if names else ("", 0)
    if times > 1:
        raise UserError(f"{path} holds {name!r} {times} times; which one counts depends on the server")
    if ENTRY not in names:
        inside = [name for name in names if PurePosixPath(name).name == ENTRY]
        found = f"it is at {inside[0]}: zip the files, not their folder" if inside else "there is none"
        raise UserError(f"{path} must have {ENTRY} at its top level; {found}")
