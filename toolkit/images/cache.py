"""Decoded images as arrays on disk, a folder for each size, memory-mapped by everything that looks at them.

An array is filled by several processes. A hash of each image is kept beside it, which says which images are equal and
which are on the disk already: what was killed goes on where it was.
"""

import errno
import os
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from joblib import delayed

from toolkit.checked import check_last_line, readable
from toolkit.claims import in_turn
from toolkit.disk import bytes_in, in_bytes, need, of_the_machine
from toolkit.errors import UserError
from toolkit.images.array_files import bytes_in_each, let_go
from toolkit.images.files import ImageFiles
from toolkit.images.fitting import Fit, fitted
from toolkit.images.pictures import READ, hash_picture
from toolkit.images.reading import scaled, with_channels
from toolkit.outcome import counted
from toolkit.processes import parallel
from toolkit.progress import SILENT, Progress
from toolkit.store import Workspace, atomic, read_manifest, resumed, write_manifest

if TYPE_CHECKING:
    import pandas as pd

PART = 64  # images that a process decodes at a time
MARKED = 5.0  # seconds between two times that what is done is marked, once it is on the disk
HELD = 1 << 31  # bytes that all processes together may hold of files that are read in large parts
SHOWN = 10  # files that can't be read, in one message
PICTURES = {"images": "pictures", "test_images": "test_pictures"}  # names of the hashes of images
WORDS = {"images": "training", "test_images": "test"}
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Fault:
    """An image that can't be read, and why."""

    row: int
    file: str
    reason: str


def decode(images: ImageFiles, row: int, shape: Shape, fit: Fit) -> np.ndarray:
    """One image (H, W, C) of `images.dtype`; UserError, naming its file, whatever is wrong with it.

    Where it is no fault of the file (too many open files, memory, permission, a failing disk) it is an OSError or a
    MemoryError, so that no image is left out for it.
    """
    height, width, channels = shape
    try:
        found = scaled(with_channels(images.stored(row, max(height, width)), channels), images.values)
        return fitted(found, height, width, fit).astype(images.dtype)
    except UserError:
        raise
    except MemoryError as error:
        raise MemoryError(f"{images.paths[row]} needs more than there is: {error}") from error
    except Exception as error:  # of a library or a function that isn't ours: it is a fault of that file
        if of_the_machine(error):
            raise
        reason = " ".join(str(error).split())
        kind = "" if isinstance(error, ValueError) and reason else f"can't be read: {type(error).__name__}: "
        raise UserError(f"{images.paths[row]} {kind}{reason}") from error


def folder_of(workspace: Workspace, shape: Shape, fit: Fit) -> Path:
    """Where images of one size lie, once they are decoded."""
    return workspace.decoded / f"{'x'.join(map(str, shape))}-{fit}"


def decode_all(
    files: Mapping[str, ImageFiles],
    key: str,
    workspace: Workspace,
    shape: Shape,
    fit: Fit = "letterbox",
    progress: Progress = SILENT,
    jobs: int = 1,
    skip: bool = False,
) -> Path:
    """The folder of all images at one size, in `workspace.decoded`: decoded on first use, by so many processes.

    files: by the names of their arrays, as in `Samples.files`; key: names the files and what is in them. The folder
    holds an .npy file (N, H, W, C) for each (but where the workspace keeps no decoded images) and its hashes, uint64
    (N,). UserError that names images that can't be read, once all others are done, unless they are to be skipped,
    black; where they were skipped and are to be no more; and where the disk has no room.
    """
    folder = folder_of(workspace, shape, fit)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with in_turn(Path(f"{folder}.lock"), f"images of {folder.name}", progress):
        made, kept = read_manifest(folder), workspace.keeps_images
        if made is not None and made["key"] == key and (made["kept"] or not kept):
            if made.get("skipped") and not skip:
                raise UserError(
                    f"{made['skipped']:,} images that can't be read were skipped when {folder} was made "
                    f"({workspace.unreadable}): say Samples(…, skip_unreadable=True) as before, or put whole files in "
                    "their place and choose another --workspace"
                )
            return folder
        with resumed(folder, key if kept else f"{key}-hashes") as partial_folder:
            _ask_for_room(files, workspace, partial_folder, shape, progress)
            faults: dict[str, list[Fault]] = {}
            for name, images in files.items():
                path = partial_folder / f"{name}.npy"
                what = f"decoding {WORDS[name]} images"
                faults[name] = fill(images, shape, path, fit, what, progress, jobs, skip, kept)
            _tell(files, faults, workspace, progress, skip)
            skipped = sum(map(len, faults.values()))
            write_manifest(partial_folder, {"key": key, "shape": shape, "fit": fit, "kept": kept, "skipped": skipped})
    return folder


def _ask_for_room(
    files: Mapping[str, ImageFiles], workspace: Workspace, folder: Path, shape: Shape, progress: Progress
) -> None:
    if not workspace.keeps_images:
        return
    total = sum(bytes_of(len(images), shape, images.dtype) for images in files.values())
    number, size = sum(map(len, files.values())), "x".join(map(str, shape))
    others = [place for place in workspace.decoded.iterdir() if place.is_dir() and place != folder]
    held = f", remove {workspace.decoded} ({in_bytes(bytes_in(workspace.decoded))}) of other sizes" if others else ""
    instead = f"{held}, a smaller size, or --no-cache, which decodes images each time they are looked at"
    left = max(0, total - bytes_in(folder))
    text = need(workspace, left, f"decoding {counted(number, 'image')} to {size}", instead)
    if left:
        progress.say(text)


def _tell(
    files: Mapping[str, ImageFiles],
    faults: Mapping[str, list[Fault]],
    workspace: Workspace,
    progress: Progress,
    skip: bool,
) -> None:
    """Faults as a file, and as a sentence: a warning where they are skipped, else a UserError."""
    import pandas as pd

    rows = [(WORDS[name], f.row, _place(files[name], f), f.reason) for name, found in faults.items() for f in found]
    if not rows:
        workspace.unreadable.unlink(missing_ok=True)
        return
    with atomic(workspace.unreadable) as partial_file:
        pd.DataFrame(rows, columns=["part", "row", "name", "reason"]).to_csv(partial_file, index=False)
    lines = [f"{file} {reason}" for _, _, file, reason in rows[:SHOWN]]
    more = [f"… and {len(rows) - SHOWN:,} more"] if len(rows) > SHOWN else []
    text = f"{len(rows):,} of {sum(map(len, files.values())):,} images can't be read ({workspace.unreadable} has all):"
    if skip:
        progress.warn("\n".join([f"{text} they are left out of training and scores, test images are black", *lines]))
        return
    mend = "put whole files in their place, or leave them out: Samples(…, skip_unreadable=True) in the competition"
    every = [_range_of(files[name], found) for name, found in faults.items() if 1 < len(found) == len(files[name])]
    raise UserError("\n".join([text, *lines, *more, *filter(None, every)] + [mend] * (not any(every))))


def _place(images: ImageFiles, fault: Fault) -> str:
    """The file and, where it holds several images, which of them."""
    row = -1 if images.rows is None else int(images.rows[fault.row])
    return fault.file if row < 0 else f"{fault.file}:{row}"


def unreadable(workspace: Workspace) -> "pd.DataFrame":
    """Images that can't be read: part (`training` or `test`), row, name, reason."""
    import pandas as pd

    if not workspace.unreadable.exists():
        return pd.DataFrame({"part": [], "row": np.array([], np.int64), "name": [], "reason": []})
    remedy = f"remove it and {workspace.decoded}, and run `compete audit` again"
    check_last_line(workspace.unreadable, remedy)
    with readable(workspace.unreadable, remedy):
        found = pd.read_csv(workspace.unreadable, keep_default_na=False)
        return found.astype({"row": np.int64})


def fill(
    images: ImageFiles,
    shape: Shape,
    path: Path,
    fit: Fit = "letterbox",
    what: str = "decoding images",
    progress: Progress = SILENT,
    jobs: int = 1,
    skip: bool = False,
    kept: bool = True,
) -> list[Fault]:
    """Decode all images into the .npy file `path`, (N, H, W, C) of `images.dtype`; those that can't be read are black.

    Beside it the hash of each, uint64 (N,): 0 where there is none yet, below READ where there will be none; not
    `kept`: hashes alone. Both files belong to these images: what is there already stays. UserError at once where not
    one of the first can be read.
    """
    hashes = path.with_name(f"{PICTURES.get(path.stem, f'{path.stem}_pictures')}.npy")
    if not (hashes.exists() and (path.exists() or not kept)):
        if kept:
            try:
                allocate(path, (len(images), *shape), images.dtype)
            except OSError as error:  # another program took the room
                raise UserError(f"{path} can't be written: {error.strerror}; make room on the disk") from error
        with atomic(hashes) as partial_file, open(partial_file, "wb") as file:
            np.save(file, np.zeros(len(images), np.uint64))
    pictures = np.load(hashes, mmap_mode="r+", allow_pickle=False)
    offset = np.load(path, mmap_mode="r", allow_pickle=False).offset if kept else -1
    todo = [at for at in range(0, len(images), PART) if (pictures[at : at + PART] < READ).any()]
    faults: list[Fault] = []
    if not todo:
        return faults
    jobs = min(jobs, len(todo), max(1, HELD // max(1, bytes_in_each(images))))
    work = partial(_fill_part, shape=shape, fit=fit, path=path, offset=offset)
    waiting: list[tuple[int, np.ndarray]] = []

    def mark() -> None:
        if kept:
            with open(path, "r+b") as file:
                os.fsync(file.fileno())
        for at, found in waiting:
            pictures[at : at + PART] = found
        pictures.flush()
        waiting.clear()

    marked = time.monotonic()
    with progress.counting(what, len(images)) as done:
        done(len(images) - sum(min(PART, len(images) - at) for at in todo))
        made = parallel(jobs, "generator_unordered")(delayed(work)(images[at : at + PART], at) for at in todo)
        try:
            for at, found, wrong in made:
                faults += wrong
                waiting.append((at, found))
                done(len(found))
                if len(faults) >= PART and not pictures.any() and not any(found.any() for _, found in waiting):
                    first = min(faults, key=lambda fault: fault.row)
                    raise UserError(
                        f"not one of the first {len(faults):,} images can be read: {first.file} {first.reason}"
                        f"{'; ' * bool(beyond := _range_of(images, faults))}{beyond}"
                    )
                if time.monotonic() - marked > MARKED:
                    mark()
                    marked = time.monotonic()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise UserError(f"{path} can't be written: {error.strerror}; make room on the disk") from error
        except BrokenExecutor as error:
            raise UserError(
                f"{what}: one of {jobs} processes was killed, perhaps for lack of memory; the same command with fewer "
                "--workers goes on from here"
            ) from error
        finally:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*have been cancelled", UserWarning)  # that is what is wanted
                made.close()
            mark()
            let_go()
    faults.sort(key=lambda fault: fault.row)
    if skip:
        for fault in faults:
            pictures[fault.row] = fault.row + 1  # no two are equal pictures
        pictures.flush()
    return faults


def _range_of(images: ImageFiles, faults: list[Fault]) -> str:
    """Between which values all these are, where one of them says too little; else nothing."""
    if images.values is not None:
        return ""
    ends: list[float] = []
    for fault in faults:
        try:
            stored = images.stored(fault.row, 0)
            if stored.dtype == np.uint8 or not np.isfinite(stored).all():
                return ""
            ends += [float(stored.min()), float(stored.max())]
        except Exception:  # it has been said what is wrong with it
            return ""
    return f"all {len(faults):,} together go from {min(ends):g} to {max(ends):g}"


def allocate(path: Path, shape: tuple[int, ...], dtype: type) -> np.memmap:
    """An array of zeros that has its place on the disk, so that this isn't full in the middle of the work: a write
    into its memory would kill the process. OSError where there is no room.
    """
    made = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate") and made.nbytes:
        with open(path, "r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, made.offset + made.nbytes)
            except OSError as error:  # which names no file
                raise OSError(error.errno, error.strerror, str(path)) from None
    return made


def _fill_part(
    images: ImageFiles, begin: int, shape: Shape, fit: Fit, path: Path, offset: int
) -> tuple[int, np.ndarray, list[Fault]]:
    """Decode a part that begins in row `begin`; its hashes, and what can't be read. offset -1: pixels aren't kept."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # as many processes as cores decode already
    pictures, faults = np.zeros(len(images), np.uint64), []
    file = os.open(path, os.O_WRONLY) if offset >= 0 else -1
    try:
        for place in range(len(images)):
            try:
                image = np.ascontiguousarray(decode(images, place, shape, fit))
            except UserError as error:
                name = str(images.paths[place])
                faults.append(Fault(begin + place, name, str(error).removeprefix(f"{name} ")))
                continue
            if file >= 0:
                os.pwrite(file, image.data, offset + (begin + place) * image.nbytes)
            pictures[place] = hash_picture(image)
    finally:
        if file >= 0:
            os.close(file)
        cv2.setNumThreads(threads)
    return begin, pictures, faults


def bytes_of(number: int, shape: Shape, dtype: type) -> int:
    """Of the file that so many images fill, but for its header."""
    return int(number * np.prod(shape) * np.dtype(dtype).itemsize)
