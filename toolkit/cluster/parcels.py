"""What a fold needs of this machine's files: named by its content, and written once on each machine that lacks it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.claims import turn
from toolkit.competition import load_competition
from toolkit.errors import UserError
from toolkit.networks.pretrained import cached, wanted_by
from toolkit.recipe import RECIPE
from toolkit.store import atomic, digest, hash_json, read_manifest
from toolkit.training.jobs import FoldJob
from toolkit.weight_files import find

BLOCK = 1 << 26  # bytes that are sent at a time
CODE = 10**7  # bytes of a file beside a competition's code that is taken along at most


@dataclass(frozen=True)
class Parcel:
    """Files by the names that they are to have. key: names their content."""

    key: str
    files: tuple[tuple[str, Path], ...]

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for _, path in self.files)

    def blocks(self) -> Iterator[tuple[str, list[np.ndarray]]]:
        """uint8 (n,), BLOCK at most, by the file's name; they are read where they are looked at."""
        for name, path in self.files:
            content = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
            yield name, [content[at : at + BLOCK] for at in range(0, len(content), BLOCK)]


def parcel(files: Iterable[tuple[str, Path]]) -> Parcel:
    there = tuple(sorted(files))
    return Parcel(hash_json([[name, path.stat().st_size, digest(path)] for name, path in there]), there)


def unpack(cache: Path, key: str, files: Sequence[tuple[str, Sequence[Any]]], get: Callable[[Any], np.ndarray]) -> int:
    """Write the files of a parcel to `cache/key`, unless they are there; bytes that were written.

    files: names, and what `get` makes blocks of. One process of a machine writes, others wait for it.
    """
    with turn(cache / f"{key}.lock"):
        if (cache / key).exists():
            return 0
        size = 0
        with atomic(cache / key) as folder:
            for name, blocks in files:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                with open(folder / name, "wb") as file:
                    for block in map(get, blocks):
                        file.write(block.data)
                        size += block.nbytes
    return size


def code_of(job: FoldJob) -> Parcel:
    """The competition's package and the modules beside it, without the organisers' files."""
    folder = job.competition.resolve()
    below = (path for path in sorted(folder.rglob("*")) if path.is_file() and _is_code(path.relative_to(folder)))
    own = [path for path in below if path.stat().st_size <= CODE]
    return parcel(_named(folder.parent.parent, [*own, *folder.parent.glob("*.py")]))


def _is_code(path: Path) -> bool:
    return path.parts[0] != "data" and not any(part.startswith((".", "__pycache__")) for part in path.parts)


def data_of(job: FoldJob) -> Parcel:
    """Images and targets as they lie in the workspace; UserError where images are decoded each time."""
    workspace, manifest = job.data.parent, read_manifest(job.data) or {}
    folders = [job.data, *([job.images] if job.images else [])]
    if "decoded" in manifest:
        folders.append(workspace / "decoded" / manifest["decoded"])
    for folder in folders[1:]:
        if not (read_manifest(folder) or {}).get("kept"):
            raise UserError(
                "images that are decoded each time (--no-cache) can't be sent to other machines; leave it out, or "
                "lay workspace and files where all machines see them under the same path"
            )
    return parcel(_named(workspace, [path for folder in folders for path in folder.glob("*") if path.is_file()]))


def weights_of(job: FoldJob) -> Parcel:
    """The pretrained weights that the recipe's network begins with, as far as they are files of this machine."""
    wanted = wanted_by(load_competition(job.competition), job.recipe) if job.recipe.model.pretrained else []
    found = [(each.names[0], find(each) or cached(each)) for each in wanted]
    return parcel((f"{name}{path.suffix}", path) for name, path in found if path is not None)


def teacher_of(job: FoldJob, work: Callable[..., Any]) -> Parcel | None:
    """The network of the run that labels test images for this fold."""
    run = teacher_in(work)
    if run is None:
        return None
    fold = run / job.folder.name
    files = [run / RECIPE, *(path for path in fold.glob("*") if path.is_file() and path.suffix != ".npy")]
    return parcel(_named(run.parent, files))


def teacher_in(work: Callable[..., Any]) -> Path | None:
    found: Path | None = work.keywords.get("teacher") if isinstance(work, partial) else None
    return found


def _named(root: Path, paths: Iterable[Path]) -> list[tuple[str, Path]]:
    return [(path.relative_to(root).as_posix(), path) for path in paths]
