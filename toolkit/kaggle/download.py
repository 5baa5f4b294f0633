"""A competition's files from Kaggle: whole in their folder or not there at all, begun downloads gone on with."""

import re
import shutil
import threading
from collections.abc import Callable, Iterator, Set
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from toolkit.archives import is_damage
from toolkit.claims import in_turn
from toolkit.disk import in_bytes, need_room, of_the_disk
from toolkit.errors import UserError
from toolkit.kaggle.client import asked
from toolkit.kaggle.unpack import unpack
from toolkit.processes import meanwhile
from toolkit.progress import SILENT, Progress

LOOK = 0.5  # seconds between two looks at how much is there
MB = 10**6


def competition_name(text: str) -> str:
    """Of a name or its page's address; UserError where it is neither."""
    found = re.fullmatch(r"(?:https?://)?(?:www\.)?kaggle\.com/(?:competitions|c)/([^/?#]+).*", text.strip())
    name = found[1] if found else text.strip()
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", name):
        raise UserError(f"{text!r} is no competition's name on Kaggle; it is the last part of its page's address")
    return name


def download(
    competition: str,
    folder: Path,
    suffixes: Set[str],
    *,
    client: Callable[[], Any],
    progress: Progress = SILENT,
) -> None:
    """Download the competition of that name on Kaggle and unpack it into `folder`.

    A folder that holds files is left as it is. What an interrupted download leaves lies beside it
    (`<folder>-<competition>.partial`), and the next call goes on from there. suffixes: of files for whose sake an
    archive within the archive is unpacked. UserError, one sentence: no client, no login, rules not accepted, no
    network, an unknown name, a disk that is too small.
    """
    place = folder.resolve()
    if place.exists() and not place.is_dir():
        raise UserError(f"{folder} is a file, expected the folder for the organisers' files")
    if _is_there(place, folder, progress):
        return
    if place.is_mount():
        raise UserError(
            f"{folder} is a disk of its own, and a download is renamed into its place: name a folder on it"
        )
    begun = place.with_name(f"{place.name}-{competition}.partial")
    lock = place.with_name(f".{begun.name}.lock")
    with in_turn(lock, f"{competition}, which is being downloaded to {folder}", progress):
        if _is_there(place, folder, progress):  # by now
            lock.unlink(missing_ok=True)
            return
        begun.mkdir(parents=True, exist_ok=True)
        try:
            _fetch(competition, place, begun, suffixes, client(), progress)
        finally:
            if not (begun / "packed").exists() or (place.is_dir() and not (begun / "files").exists()):
                shutil.rmtree(begun, ignore_errors=True)  # nothing was begun, or all of it is in its place
                lock.unlink(missing_ok=True)


def _is_there(place: Path, folder: Path, progress: Progress) -> bool:
    if not (place.is_dir() and any(place.iterdir())):
        return False
    progress.say(f"{folder} holds files and is not downloaded again; remove it, or choose another --data, to do so")
    return True


def _fetch(competition: str, place: Path, begun: Path, suffixes: Set[str], client: Any, progress: Progress) -> None:
    packed, files = begun / "packed", begun / "files"
    shutil.rmtree(files, ignore_errors=True)  # of a call that was killed as it unpacked
    with _shown(client, progress):
        asked(lambda: client.competition_download_files(competition, path=str(packed), quiet=True), competition)
    # beside it the client may leave its own notes
    archives = [path for path in packed.glob("*") if path.stem == competition]
    if len(archives) != 1:
        raise UserError(f"Kaggle's client left no archive of {competition} in {packed}; remove {begun} and try again")
    files.mkdir()
    try:
        left = unpack(archives[0], files, suffixes, progress)
    except Exception as error:
        if of_the_disk(error) or not (is_damage(error) or isinstance(error, OSError)):
            raise
        raise UserError(
            f"what Kaggle sent of {competition} is damaged or no common zip ({error}); remove {begun} to download it "
            f"again, or unpack {archives[0]} to {place} by hand"
        ) from None
    if left:
        progress.say(f"left packed, as no image or table is in them or others have their place: {', '.join(left[:9])}")
    files.replace(place)


@contextmanager
def _shown(client: Any, progress: Progress) -> Iterator[None]:
    """While the client downloads: room on the disk is asked for before the first byte, then a bar follows the file."""
    own = client.download_needed
    with ExitStack() as bar:

        def download_needed(response: Any, outfile: str, quiet: bool = True) -> bool:
            """The client asks this as soon as it knows what is to come."""
            size, path = int(response.headers.get("Content-Length") or 0), Path(outfile)
            here = path.stat().st_size if path.exists() else 0
            what = f"downloading {in_bytes(size)} and unpacking it"  # images hardly shrink: as much again at least
            progress.say(need_room(path.parent, max(0, size - here) + size, what, "choose another --data"))
            needed: bool = own(response, outfile, quiet)
            if needed and size:
                bar.enter_context(_followed(path, size, progress))
            return needed

        client.download_needed = download_needed
        try:
            yield
        finally:
            client.download_needed = own


@contextmanager
def _followed(path: Path, size: int, progress: Progress) -> Iterator[None]:
    """A bar of megabytes as the file grows to `size` bytes."""

    def follow(ended: threading.Event) -> None:
        shown, last = 0, False
        with progress.counting("downloading, MB", -(-size // MB)) as done:
            while not last:
                last = ended.wait(LOOK)
                now = path.stat().st_size // MB if path.exists() else 0
                if now > shown:
                    done(now - shown)
                    shown = now

    with meanwhile(follow):
        yield
