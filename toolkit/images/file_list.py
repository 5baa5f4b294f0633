"""In which files a competition's images lie: kept with its data, to decode them again, at another size."""

import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.checked import table as read_table
from toolkit.errors import UserError
from toolkit.images.channel_files import files_of
from toolkit.images.files import ImageFiles, Paths, Reader
from toolkit.store import hash_json, read_manifest

if TYPE_CHECKING:
    import pandas as pd

TABLE = "files.parquet"  # part, path, row


@dataclass(frozen=True)
class NamedReader:
    """A function of a module by its name, imported when it is first called. name: such as `competitions.eyes:read`."""

    name: str

    @cached_property
    def function(self) -> Reader:
        module, _, inside = self.name.partition(":")
        found: Any = import_module(module)
        for part in inside.split("."):
            found = getattr(found, part)
        return found

    def __call__(self, path: Path, row: int, least: int, **options: Any) -> np.ndarray:
        return self.function(path, row, least, **options)


def describe_files(files: Mapping[str, ImageFiles], raw: Path, source: str) -> dict[str, Any]:
    """What a manifest says of images in files: how each part is read, and a key that names their pixels.

    source: the hash of the files below `raw`. The code of a `read` is known by its function alone, not by what this
    calls. UserError where `read` is no function of a module, by whose name others could find it.
    """
    parts, digest = {}, hashlib.sha256()
    for name, images in files.items():
        reader = NamedReader(_name(images.read))
        try:
            found = reader.function
        except (ImportError, AttributeError, ValueError):
            found = None
        if found is not images.read:
            raise UserError(
                f"ImageFiles(read={reader.name.partition(':')[2]}) is no function of a module, and other processes "
                "can't find it: define it outside of other functions"
            )
        values = images.values and [np.asarray(end, float).tolist() for end in images.values]
        parts[name] = {"read": reader.name, "values": values, "options": dict(images.options)}
        digest.update("\n".join([_code(images.read), *_texts(images, raw)]).encode())
        digest.update(b"" if images.rows is None else np.ascontiguousarray(images.rows).tobytes())
    return {"parts": parts, "key": hash_json([source, parts, digest.hexdigest()])}


def file_table(files: Mapping[str, ImageFiles], raw: Path) -> "pd.DataFrame":
    """A line for each image: part, path (within `raw`, or absolute), row in the file (-1: it holds one)."""
    import pandas as pd

    parts = [
        pd.DataFrame({"part": name, "path": _texts(images, raw), "row": -1 if images.rows is None else images.rows})
        for name, images in files.items()
    ]
    return pd.concat(parts, ignore_index=True).astype({"path": str, "row": np.int64})


def files_read(files: Mapping[str, ImageFiles], raw: Path) -> set[str]:
    """All files that are read for the images, within `raw` or absolute; of an image whose channels lie in a file each
    these are several.
    """
    start = (f"{raw}/", f"{raw.resolve()}/")
    return {
        file.removeprefix(start[0]).removeprefix(start[1])
        for images in files.values()
        for path in {*map(str, images.paths)}
        for file in files_of(path, images)
    }


def open_files(folder: Path, raw: Path | None = None) -> dict[str, ImageFiles]:
    """The images in files of data that were saved in `folder`, as `Samples.files` has them.

    raw: where the organisers' files lie now (None: where they were). UserError where they are gone, or images were
    given as arrays.
    """
    manifest = read_manifest(folder)
    if manifest is None or "parts" not in manifest:
        raise UserError(
            f"the images in {folder} were given as arrays of one size, and there is no other: leave images.size=0 and "
            "images.fit=letterbox; model.input_scale resizes inside the network"
        )
    raw = Path(manifest["raw"]) if raw is None else raw
    table = read_table(folder / TABLE, f"remove {folder} and run `compete audit` again")
    made = {}
    for name, part in manifest["parts"].items():
        lines = table[table["part"] == name]
        rows = lines["row"].to_numpy()
        paths = Paths(raw, lines["path"].tolist())
        if len(paths) and not paths[0].exists():
            raise UserError(
                f"{paths[0]} is gone; put the organisers' files back, or run the audit with --data where they are now"
            )
        values = part["values"] and tuple(tuple(end) if isinstance(end, list) else end for end in part["values"])
        read, options = NamedReader(part["read"]), part["options"]
        made[name] = ImageFiles(paths, None if (rows < 0).all() else rows, read, values, options=options)
    return made


def _texts(images: ImageFiles, raw: Path) -> list[str]:
    """Paths within `raw` where they are below it."""
    within, absolute = f"{raw}/", f"{raw.resolve()}/"
    return [str(path).removeprefix(within).removeprefix(absolute) for path in images.paths]


def _name(read: Reader) -> str:
    if isinstance(read, NamedReader):
        return read.name
    return f"{getattr(read, '__module__', '')}:{getattr(read, '__qualname__', read)}"


def _code(read: Reader) -> str:
    """The text of a function that is not the toolkit's own, which is known by its name."""
    if isinstance(read, NamedReader) or read.__module__.startswith("toolkit."):
        return ""
    return inspect.getsource(read)
