"""A download's archive unpacked: nothing outside its folder, nothing that the disk has no room for."""

import shutil
import zipfile
from collections.abc import Set
from pathlib import Path, PurePosixPath

from toolkit.archives import kind_of, leads_out
from toolkit.disk import need_room
from toolkit.errors import UserError
from toolkit.progress import SILENT, Progress

DEEP = 4  # archives within archives


def unpack(archive: Path, folder: Path, suffixes: Set[str], progress: Progress = SILENT) -> list[str]:
    """Unpack a zip into `folder`, and the zips in it that hold files with these suffixes, which they replace.

    A zip in it goes beside itself where it holds one file or one folder and nothing is overwritten, else into a folder
    of its name. Returns those that are left packed, as nothing with these suffixes is in them or there is no place.
    UserError for an archive that would write outside `folder` or takes more than the disk has; what `is_damage` knows,
    or another OSError, for one that is damaged or holds impossible names.
    """
    _extract(archive, folder, f"unpacking {archive.name}", progress)
    left: set[Path] = set()
    for _ in range(DEEP):
        inner = [path for path in sorted(folder.rglob("*.zip")) if path.is_file() and path not in left]
        for path in inner:
            target = _place(path, suffixes)
            if target is None:
                left.add(path)
                continue
            _extract(path, target, f"unpacking {path.relative_to(folder)}", progress)
            path.unlink()
        if not inner:
            break
    return [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.zip"))]


def _place(archive: Path, suffixes: Set[str]) -> Path | None:
    """Where a zip within the download is unpacked; None: it stays."""
    if not zipfile.is_zipfile(archive):
        return None
    with zipfile.ZipFile(archive) as opened:
        names = [_safe(member, archive) for member in opened.infolist() if not member.is_dir()]
    if not any(name.suffix.lower() in suffixes for name in names):
        return None
    beside = len({name.parts[0] for name in names}) == 1
    for target in ([archive.parent] if beside else []) + [archive.with_suffix("")]:
        taken = (target / above for name in names for above in (name, *name.parents) if above.parts)
        if not any(path.is_file() for path in taken) and not target.is_file():
            return target
    return None


def _extract(archive: Path, folder: Path, what: str, progress: Progress) -> None:
    with zipfile.ZipFile(archive) as opened:
        members = [(member, _safe(member, archive)) for member in opened.infolist() if not member.is_dir()]
        need_room(folder, sum(member.file_size for member, _ in members), what, "choose another --data")
        with progress.counting(what, len(members)) as done:
            for member, name in members:
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as packed, open(path, "wb") as file:
                    shutil.copyfileobj(packed, file, 2**20)
                done(1)


def _safe(member: zipfile.ZipInfo, archive: Path) -> PurePosixPath:
    """A member's path within the folder that it is unpacked to; UserError where it would lie outside, or is a link."""
    if leads_out(member.filename) or kind_of(member):
        raise UserError(
            f"{archive} holds {member.filename!r}, which would write outside of its folder; it is not unpacked"
        )
    return PurePosixPath(member.filename.replace("\\", "/"))
