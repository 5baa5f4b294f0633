"""The organisers' files: which there are, and whether they are still the ones that were read."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.disk import of_the_machine
from toolkit.errors import UserError
from toolkit.progress import SILENT, Progress
from toolkit.store import atomic, hash_file, hash_json

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("path", "size", "modified", "hash")  # within the folder; bytes; nanoseconds since 1970; of the content
TOGETHER = 10_000  # files whose hashes are kept together
SHOWN = 3  # files of each kind in one sentence


def found_files(folder: Path) -> "pd.DataFrame":
    """Path, size and modification time of each file below the folder, in the order of their paths; hidden ones are not
    the organisers'. None where there is no folder. UserError for what can't be looked at, and names that aren't text.
    """
    import pandas as pd

    try:
        rows = sorted(_files(str(folder), len(str(folder)) + 1)) if folder.is_dir() else []
    except OSError as error:  # links that go round in a circle
        if of_the_machine(error):
            raise
        raise UserError(f"{error.filename} can't be looked at: {error.strerror}; mend or remove it") from None
    odd = next((path for path, *_ in rows if not _is_text(path)), None)
    if odd is not None:
        raise UserError(f"{folder} holds a file whose name is not UTF-8, {odd!a}: rename it")
    return pd.DataFrame(rows, columns=list(COLUMNS[:3]))


def _is_text(path: str) -> bool:
    """Can it be written, in tables and on the screen? Bytes of a name that aren't UTF-8 come as halves of a letter."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _files(folder: str, cut: int) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _files(entry.path, cut)
            elif entry.is_file():
                stat = entry.stat()
                yield entry.path[cut:].replace(os.sep, "/"), stat.st_size, stat.st_mtime_ns


def _never(before: "pd.DataFrame", now: "pd.DataFrame") -> bool:
    return False


def listed(
    folder: Path,
    kept: Path,
    progress: Progress = SILENT,
    source: str | None = None,
    same: "Callable[[pd.DataFrame, pd.DataFrame], bool]" = _never,
) -> "pd.DataFrame":
    """The files below the folder with the hash of their content, which is kept in the table `kept`.

    A file is read again where its size or its modification time is another than in the table. source: what
    `source_of` has to say of them; UserError, naming files, where they are neither those, nor those of the table, and
    `same`, of the table and of the files, says that what is read of them isn't the same.
    """

    files = found_files(folder)
    known = _known(kept)
    files = files.merge(known, how="left", on=list(COLUMNS[:3]))
    if not len(files):
        return files
    new = files.index[files["hash"].isna()]
    with progress.counting("reading files", len(new)) as done, ThreadPoolExecutor() as readers:
        for begin in range(0, len(new), TOGETHER):
            rows, hashes = new[begin : begin + TOGETHER], []
            try:
                for value in readers.map(lambda name: hash_file(folder / name), files["path"][rows]):
                    hashes.append(value)
                    done(1)
            except OSError as error:
                if of_the_machine(error):
                    raise
                raise UserError(f"{error.filename} can't be read: {error.strerror}; mend or remove it") from None
            files.loc[rows, "hash"] = hashes
            if source is None:  # a kill costs no more than these
                _keep(files.dropna(), kept)
    changed = len(new) or len(files) != len(known)
    others = source is not None and changed and source_of(files) not in (source, source_of(known))
    if others and not same(known, files):
        raise UserError(
            f"{kept.parent} was made from other files than those in {folder}{differences(known, files)}; bring the "
            f"old ones back, choose another --workspace for these, or remove {kept.parent}"
        )
    if changed:
        _keep(files, kept)
    return files


def _known(kept: Path) -> "pd.DataFrame":
    """What the table says; nothing where there is none, or one that is damaged: files are read again then."""
    import pandas as pd

    try:
        known = pd.read_parquet(kept)
    except (OSError, ValueError, KeyError):
        return pd.DataFrame(columns=list(COLUMNS))
    return known if [*known.columns] == [*COLUMNS] else pd.DataFrame(columns=list(COLUMNS))


def _keep(files: "pd.DataFrame", kept: Path) -> None:
    with atomic(kept) as partial:
        files.to_parquet(partial, index=False)


def differences(before: "pd.DataFrame", now: "pd.DataFrame") -> str:
    """What became of files, such as ` (1 changed: a.jpg; 2 are new: b.jpg, c.jpg)`; nothing where none has stayed."""
    both = before.merge(now, how="outer", on="path", suffixes=("", "_now"))
    there, here = both["hash"].notna(), both["hash_now"].notna()
    same = both["hash"] == both["hash_now"]
    if not same.any():
        return ""
    kinds = {"changed": there & here & ~same, "new": ~there, "missing": ~here}
    parts = [f"{found.sum():,} {kind}: {_some(both['path'][found])}" for kind, found in kinds.items() if found.any()]
    return f" ({'; '.join(parts)})"


def _some(paths: "pd.Series") -> str:
    names = paths.head(SHOWN).tolist()
    return ", ".join([*names, "…"] if len(paths) > SHOWN else names)


def source_of(files: "pd.DataFrame") -> str:
    """12 hex digits that name the files and what is in them."""
    return hash_json(dict(zip(files["path"], files["hash"], strict=True)))
