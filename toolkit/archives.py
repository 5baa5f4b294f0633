"""Archives that others packed: what in them would be written elsewhere, and what says that they are damaged."""

import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from pathlib import PurePosixPath

# of zips also RuntimeError: locked, or packed in a way that isn't known here
DAMAGES = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError)


def leads_out(name: str) -> bool:
    """Would a member of that name lie outside of the folder that it is unpacked to, on whatever system?"""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or not path.parts or bool(re.match(r"[A-Za-z]:", path.parts[0]))


def kind_of(member: zipfile.ZipInfo) -> str:
    """`a symbolic link` or `a special file`; empty for a file or a folder."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind in (0, stat.S_IFREG, stat.S_IFDIR):
        return ""
    return "a symbolic link" if kind == stat.S_IFLNK else "a special file"


def is_damage(error: BaseException) -> bool:
    """Is it the archive's fault? Unpackers raise an OSError for it too, without the system's number of an error."""
    return isinstance(error, DAMAGES) or (isinstance(error, OSError) and error.errno is None)
