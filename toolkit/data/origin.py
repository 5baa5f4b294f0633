"""What a workspace was made from: the organisers' files, the code that reads them, the task. Is it still as it was?

What is read decides: files that nobody reads may come, go and change.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from inspect import getsourcefile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.competition import Competition
from toolkit.competition_code import code_of
from toolkit.data.data_folder import hash_dataset, hash_samples, open_dataset
from toolkit.data.dataset import Dataset, Samples, with_text
from toolkit.data.native import native_arrays
from toolkit.data.raw_files import listed
from toolkit.disk import NoRoom
from toolkit.errors import UserError, others_code
from toolkit.errors import listed as listing
from toolkit.images.file_list import describe_files, files_read
from toolkit.partial_files import scratch as scratch_folder
from toolkit.progress import SILENT, Progress
from toolkit.store import Workspace, hash_file, hash_json, read_json, read_manifest, write_json

if TYPE_CHECKING:
    import pandas as pd

TASK = "task.json"  # in the folder of the data: what they were read for, and by which code


def loaded(competition: Competition, folder: Path) -> Dataset | Samples:
    """What the competition's `load` makes of the files; UserError, one sentence, for whatever goes wrong in it."""
    code = getsourcefile(competition.load)
    home = Path(code).parent if code else competition.folder
    with others_code(f"{competition.name} can't load {folder}", home):
        found: Any = competition.load(folder)
    if not isinstance(found, Dataset | Samples):
        what = "nothing" if found is None else f"an object of type {type(found).__name__}"
        raise UserError(f"load of {competition.name} returned {what}, expected a toolkit.Dataset or toolkit.Samples")
    return with_text(found)


@contextmanager
def whole(
    data: Dataset | Samples, competition: Competition, workspace: Workspace, folder: Path, kept: bool = True
) -> Iterator[Dataset]:
    """What `load` returned as arrays, but for images in files; large masks lie in a folder for as long as that.

    kept: a copy of these is to stay, for which there has to be room as well.
    """
    dataset = data.as_dataset(folder) if isinstance(data, Samples) else data
    native = isinstance(data, Samples) and data.is_native
    with scratch_folder(workspace.folder) if native else nullcontext() as scratch:
        if isinstance(data, Samples) and scratch is not None:
            dataset = replace(dataset, **native_arrays(data, competition.task, scratch, workspace, 1 + kept))
        yield dataset


class Reading:
    """Is what the competition reads of a folder what it read when the workspace was made? The answer costs a reading,
    and is found once.
    """

    def __init__(self, competition: Competition, workspace: Workspace, folder: Path) -> None:
        self.competition, self.workspace, self.folder = competition, workspace, folder
        self.known: dict[str, Any] = read_manifest(workspace.data) or {}

    def same(self, before: "pd.DataFrame", now: "pd.DataFrame") -> bool:
        """Are arrays, and the content of the image files that are read, the same? before, now: of `listed`."""
        competition, shape = self.competition, self.competition.task.image_shape
        try:
            data = loaded(competition, self.folder)
            with whole(data, competition, self.workspace, self.folder, kept=False) as dataset:
                if not isinstance(data, Samples):
                    return bool(hash_dataset(dataset) == self.known["hash"])
                described = describe_files(data.files, self.folder, self.known["source"])
                value = hash_samples(dataset, described, shape)
            read = files_read(data.files, self.folder)
        except NoRoom:
            raise
        except UserError:
            return False
        return bool(value == self.known["hash"]) and not _changed(read, before, now)


def _changed(read: set[str], before: "pd.DataFrame", now: "pd.DataFrame") -> bool:
    """Did any of these files change, or one in a folder that goes by the name of one, as slides have it?"""
    was, now_is = (dict(zip(files["path"], files["hash"], strict=True)) for files in (before, now))
    other = [path for path, value in was.items() if now_is.get(path) != value]
    if any(path in now_is and path not in was for path in read):
        return True
    stems = read | {path.rpartition(".")[0] for path in read if "." in path}
    return any(path in read or stems & {str(parent) for parent in Path(path).parents} for path in other)


def facts(competition: Competition) -> dict[str, Any]:
    """What data were read for: kind of task, classes in their order, shape of images; and a hash of `load`'s code."""
    task = competition.task
    return {
        "task": type(task).__name__,
        "classes": list(task.classes),
        "image_shape": list(task.image_shape),
        "load": code_of(competition.load, competition.folder),
    }


def reader_of(competition: Competition) -> str:
    """12 hex digits of what a manifest of data keeps of the task and of the file whose code reads them."""
    code = getsourcefile(competition.load)
    made_by = [repr(competition.task), hash_file(Path(code)) if code else None]
    if competition.follows_sample:
        made_by += [repr(competition.metric), repr(competition.dialect)]
    return hash_json(made_by)


def check_task(competition: Competition, workspace: Workspace) -> None:
    """UserError where the workspace was made for another kind of task, other classes or images of another shape."""
    known, now = read_facts(workspace), facts(competition)
    for name, what in (("task", "task"), ("image_shape", "image_shape"), ("classes", "classes")):
        if known and known[name] != now[name]:
            was, is_now = known[name], now[name]
            if name == "classes" and len(was) == len(is_now):
                what, was, is_now = next(
                    (f"class {at}", old, new)
                    for at, (old, new) in enumerate(zip(was, is_now, strict=True))
                    if old != new
                )
            elif name == "classes":
                what, was, is_now = "number of classes", len(was), len(is_now)
            raise UserError(
                f"{competition.folder} is another competition than {workspace.folder} was made for: {what} is "
                f"{is_now!r} and was {was!r}; bring the old one back, or choose another --workspace"
            )


def _check_shape(competition: Competition, workspace: Workspace) -> None:
    """As `check_task`, by the stored images."""
    now, was = [*competition.task.image_shape], [*open_dataset(workspace.data).images.shape[1:]]
    if now != was:
        raise UserError(
            f"{competition.folder} is another competition than {workspace.folder} was made for: image_shape is {now} "
            f"and was {was}; bring the old one back, or choose another --workspace"
        )


def is_another_order(competition: Competition, workspace: Workspace) -> bool:
    """Are the classes those of the workspace in another order? Names that were mended are new ones."""
    classes, now = read_facts(workspace).get("classes", []), list(competition.task.classes)
    return classes != now and sorted(classes) == sorted(now)


def read_facts(workspace: Workspace) -> dict[str, Any]:
    """Those of the workspace's data; empty where older versions left none."""
    path = workspace.data / TASK
    found: dict[str, Any] = read_json(path, "task", "classes", "image_shape") if path.exists() else {}
    return found


def reads_alike(competition: Competition, workspace: Workspace) -> bool:
    """Is the code of `load`, and all of the competition that it uses, as it was? True where nobody knows."""
    now: str = facts(competition)["load"]
    return bool(read_facts(workspace).get("load", now) == now)


def check_origin(
    competition: Competition, workspace: Workspace, folder: Path | None = None, progress: Progress = SILENT
) -> None:
    """UserError where the competition reads other data, or other files than those that were audited.

    folder: of the files (None: where they were). Names, sizes and times are looked at, content only where these
    differ, and all is read only where content differs, too. Where the files are gone nothing is said: there may be no
    need of them.
    """
    manifest: Mapping[str, Any] | None = read_manifest(workspace.data, raw=str, source=str, hash=str)
    if manifest is None:
        return
    check_task(competition, workspace)
    raw = Path(manifest["raw"]) if folder is None else folder
    reading = Reading(competition, workspace, raw)
    files = listed(raw, workspace.files, progress, manifest["source"], reading.same)
    noted = bool(read_facts(workspace))  # older versions noted nothing
    alike = reads_alike(competition, workspace) if noted else manifest.get("reader") == reader_of(competition)
    if not noted:
        _check_shape(competition, workspace)
    if len(files) and alike and not noted:
        write_json(workspace.data / TASK, facts(competition))
    elif len(files) and not alike:
        if not reading.same(files, files):
            raise UserError(
                f"{competition.name} reads the files otherwise than when {workspace.folder} was made; choose another "
                f"--workspace, or remove {workspace.folder}"
            )
        if not noted:
            progress.warn(
                f"{workspace.folder} is of an older version, which noted no classes: those of {competition.name} are "
                f"taken for them, in this order: {listing(competition.task.classes)}"
            )
        write_json(workspace.data / TASK, facts(competition))
