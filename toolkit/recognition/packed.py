"""Packed files of a download: unpacked beside themselves, whole or not at all."""

import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from toolkit.archives import is_damage, kind_of, leads_out
from toolkit.disk import need_room, of_the_disk
from toolkit.errors import UserError
from toolkit.outcome import counted
from toolkit.recognition.listing import Listing, listed, suffix_of
from toolkit.store import atomic

TARS = {".tar", ".tgz", ".bz2", ".xz"}
DEPTH = 3  # zips in zips


def packed_in(listing: Listing) -> list[str]:
    """Packed files, the least deep first; not tables that are read as they are, such as `train.csv.zip`."""
    packed = listing.of({*TARS, ".zip", ".7z", ".rar"})
    return [path for path in packed if not path.endswith(".zip") or suffix_of(path) == ".zip"]


def unpack(folder: Path) -> list[str]:
    """Unpacks each .zip and .tar of a download, and those in them; what was done, a sentence each.

    `train.zip` becomes `train/` beside it, also where it has no folder of its own. What lies there already is left.
    UserError for one that is damaged, names places outside its folder, or has no room.
    """
    done: list[str] = []
    seen: set[str] = set()
    for _ in range(DEPTH):
        new = [path for path in packed_in(listed(folder)) if path not in seen]
        seen |= set(new)
        for path in new:
            if suffix_of(path) in (".7z", ".rar") or (suffix_of(path) in (".bz2", ".xz") and ".tar." not in path):
                done.append(f"{path} is left: unpack it by hand")
                continue
            done.append(_unpacked(folder / path, path))
        if not new:
            break
    return done


def _unpacked(path: Path, called: str) -> str:
    stem = path.name[: path.name.index(".")] if path.name.count(".") == 1 else path.name.rpartition(".")[0]
    target = path.with_name(stem.removesuffix(".tar"))
    if target.exists():
        return f"{called} is left, as {target.name} is there already"
    try:
        with atomic(target) as partial:
            partial.mkdir()
            number = _extract(path, partial)
            inner = [one for one in partial.iterdir() if one.name != "__MACOSX"]
            if len(inner) == 1 and inner[0].is_dir() and inner[0].name == target.name:  # train.zip holds train/
                for one in list(inner[0].iterdir()):
                    if one.name != inner[0].name:
                        one.rename(partial / one.name)
                if not any(inner[0].iterdir()):
                    inner[0].rmdir()
    except Exception as error:
        if of_the_disk(error) or not (is_damage(error) or isinstance(error, OSError)):
            raise
        raise UserError(f"{path} can't be unpacked: {' '.join(str(error).split())}") from None
    return f"unpacked {called}: {counted(number, 'file')}"


def _extract(path: Path, target: Path) -> int:
    """How many files there were."""
    if suffix_of(path.name) == ".zip":
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            odd = [one.filename for one in members if kind_of(one)]
            _check(path, [one.filename for one in members], sum(one.file_size for one in members), odd)
            archive.extractall(target)
            return sum(not one.is_dir() for one in members)
    with tarfile.open(path) as opened:
        files = opened.getmembers()
        _check(path, [one.name for one in files if one.name != "."], sum(one.size for one in files))
        opened.extractall(target, filter="data")
        return sum(one.isfile() for one in files)


def _check(path: Path, names: list[str], size: int, odd: Sequence[str] = ()) -> None:
    """odd: links and special files of a zip; a tar's are looked at as it is unpacked."""
    outside = next((name for name in (*names, *odd) if leads_out(name) or name in odd), None)
    if outside is not None:
        raise UserError(f"{path} names a place outside its folder, {outside!r}; unpack it by hand")
    need_room(path.parent, size, f"unpacking {path.name}", "unpack it elsewhere")
