"""Where artefacts lie, and how they get there: written beside their place, then renamed in.

A directory counts as finished when its `manifest.json` is there, so a program that is killed at any
moment leaves either the whole artefact or none.
"""

import hashlib
import json
import platform
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_args, get_origin

from toolkit.commits import commit_words
from toolkit.errors import UserError
from toolkit.partial_files import atomic as atomic
from toolkit.partial_files import resumed as resumed

MANIFEST = "manifest.json"
HASHED = {".npy", ".npz", ".parquet", ".safetensors"}  # files whose content a manifest keeps the hash of
LISTS = {"history.json"}  # and those that hold a JSON array, in which a seal has no place
SEAL = "seal"  # in a JSON object that was written here: the hash of all else in it
SEALED = "sealed"  # in place of its hash in a manifest: it may be written again, with its own seal
WHOLE = 1 << 30  # bytes up to which all of a file is hashed; of larger ones BLOCKS blocks of BLOCK bytes
JSON: dict[Any, str] = {dict: "object", list: "array"}  # what JSON calls them
NAMED: dict[Any, str] = {dict: "an object", list: "a list", str: "a text", float: "a number", int: "a whole number"}
BLOCK, BLOCKS = 1 << 20, 256
unsealed: dict[Path, None] = {}  # JSON files that this process read and that nothing speaks for


@dataclass(frozen=True)
class Workspace:
    """The folder of one competition's artefacts: `<root>/<name>/`.

    max_disk: bytes that it may take, None: no limit; keeps_images: those that lie in files are decoded once and kept.
    """

    root: Path
    name: str
    max_disk: int | None = None
    keeps_images: bool = True

    @property
    def folder(self) -> Path:
        return self.root / self.name

    @property
    def practice(self) -> Path:
        return self.folder / "practice"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def decoded(self) -> Path:
        """Images that lay in files, a folder for each size."""
        return self.folder / "decoded"

    @property
    def unreadable(self) -> Path:
        """The files of images that can't be read, and why."""
        return self.folder / "unreadable.csv"

    @property
    def files(self) -> Path:
        """The organisers' files: sizes, times and hashes."""
        return self.folder / "files.parquet"

    @property
    def sample(self) -> Path:
        """The form of a submission, as the organisers' sample has it."""
        return self.folder / "sample.json"

    @property
    def audit(self) -> Path:
        return self.folder / "audit.parquet"

    @property
    def page(self) -> Path:
        return self.folder / "audit.html"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def evidence(self) -> Path:
        """What an audit computed and can show again."""
        return self.folder / "evidence"

    @property
    def cleaning(self) -> Path:
        return self.folder / "cleaning.csv"

    @property
    def folds(self) -> Path:
        return self.folder / "folds.parquet"

    @property
    def undecided(self) -> Path:
        """There while how many folds `run` makes isn't settled."""
        return self.folder / "folds.undecided"

    @property
    def match(self) -> Path:
        """Which corruptions make validation images look like the test images."""
        return self.folder / "match"

    @property
    def train(self) -> Path:
        return self.folder / "train"

    @property
    def features(self) -> Path:
        """What frozen backbones say of the images."""
        return self.folder / "features"

    @property
    def removed(self) -> Path:
        """The runs that were there and were removed for want of room: a line each."""
        return self.folder / "removed.csv"

    @property
    def search(self) -> Path:
        return self.folder / "search"

    @property
    def claims(self) -> Path:
        """Who trains what."""
        return self.folder / "claims"

    @property
    def best_recipe(self) -> Path:
        """The winner of a search, as `train --recipe` takes it."""
        return self.search / "best.recipe"

    @property
    def search_summary(self) -> Path:
        """What a search says in the end, in numbers."""
        return self.search / "summary.json"

    @property
    def holdout(self) -> Path:
        """Which blends were scored on the held-out samples."""
        return self.folder / "holdout.json"

    @property
    def ensemble(self) -> Path:
        return self.folder / "ensemble"

    @property
    def chosen(self) -> Path:
        """Which of the blends the submission follows."""
        return self.ensemble / "chosen.json"

    @property
    def chosen_blend(self) -> Path:
        """The folder of that blend, or of the plain mean where none was chosen."""
        name = read_json(self.chosen, "blend", holds=dict[str, str])["blend"] if self.chosen.exists() else "mean"
        if name in ("", "..") or name != Path(name).name:  # no path that leads elsewhere
            mend = "remove it and run `compete ensemble` again"
            raise UserError(f"{self.chosen} is damaged: {name!r} is no blend; {mend}")
        return self.ensemble / name

    @property
    def tried(self) -> Path:
        """Hashes of what was tried before anything is trained."""
        return self.folder / "tried.json"

    @property
    def plan(self) -> Path:
        """What `run` chose to train."""
        return self.folder / "plan.json"

    @property
    def leaks(self) -> Path:
        """The most alike pictures on two sides of a fold's boundary."""
        return self.folder / "leaks.png"


def write_text(path: Path, text: str) -> None:
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """An object with a seal, by which `read_json` knows that it is what was written; anything else as it is."""
    if isinstance(value, dict):
        value = value | {SEAL: _seal_of(json.loads(json.dumps(value)))}
    write_others_json(path, value)


def write_others_json(path: Path, value: Any) -> None:
    """For other programs, which know no seal."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def _seal_of(value: dict[str, Any]) -> str:
    """Of an object as it is read, whatever its seal."""
    return hash_json({name: each for name, each in value.items() if name != SEAL})


def read_json(path: Path, *names: str, kind: Any = dict, holds: Any = None, remedy: str = "") -> Any:
    """The parsed file, without its seal; UserError if it is gone or damaged: no JSON, not of this kind, another object
    than was sealed, one without these names, or one that doesn't hold what is said, such as `dict[str, list[str]]`.

    remedy: what to do then, other than to remove it, or to bring it back where it is gone. One without a seal, as
    older versions and people write them, is taken as it is, unless the manifest beside it says that it had one.
    """
    mend = remedy or "remove it and run the command again"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: it is not readable JSON ({error}); {mend}") from None
    except FileNotFoundError:
        back = "bring it back, or remove the run or blend that it was of and make that again"
        raise UserError(f"{path} is gone; {remedy or back}") from None
    if not isinstance(found, kind):
        raise UserError(f"{path} is damaged: it should hold a JSON {JSON[kind]}; {mend}")
    missing = [name for name in names if name not in found]
    if missing:
        raise UserError(f"{path} is damaged: it has no {', '.join(missing)}; {mend}")
    if isinstance(found, dict):
        _check_seal(path, found, mend)
        if SEAL not in found:
            unsealed[path] = None
        found.pop(SEAL, None)
    wrong = None if holds is None else _misfit(found, holds)
    if wrong is not None:
        raise UserError(f"{path} is damaged: {wrong}; {mend}")
    return found


def _misfit(value: Any, kind: Any, place: str = "it") -> str | None:
    """How a JSON value isn't of such a type; None where it is."""
    of, inside = get_origin(kind) or kind, get_args(kind)
    parts: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not isinstance(value, (int, float) if of is float else of) or (isinstance(value, bool) and of is not bool):
        return f"{place} should be {NAMED.get(of, of.__name__)}, is {json.dumps(value)[:40]}"
    misfits = (_misfit(one, inside[-1], f"{name!r} in it") for name, one in parts if inside)
    return next(filter(None, misfits), None)


def _check_seal(path: Path, found: dict[str, Any], mend: str) -> None:
    if SEAL in found and found[SEAL] == _seal_of(found):
        return
    noted = path.name != MANIFEST and _notes_seal(path)
    if SEAL in found or noted:
        changed = "" if noted or path.name == MANIFEST else f'; if you changed it, take the line "{SEAL}" out of it'
        raise UserError(f"{path} is damaged: its content isn't what was written there; {mend}{changed}")


def _notes_seal(path: Path) -> bool:
    """Does the manifest beside it say that it has a seal?"""
    files = (whole_manifest(path.parent) or {}).get("files") or {}
    return files.get(path.name) == SEALED


def write_manifest(folder: Path, inputs: dict[str, Any], code: Path | None = None) -> None:
    """Mark `folder` as finished: what it was made from, with which versions, by which command; and what is in its
    arrays, tables and weights (see `toolkit.checked`).

    code: the folder of the code that made it, whose commit is noted; None, or where that is in no repository: here.
    """
    commit = commit_words(*filter(None, [code]), Path())
    write_json(
        folder / MANIFEST,
        {
            "inputs": inputs,
            "files": dict(_contents(folder)),
            "versions": {name: _version(name) for name in ("torch", "timm", "numpy")},
            "python": platform.python_version(),
            "machine": platform.machine(),
            "command": " ".join(map(without_passwords, sys.argv)),
            **({"commit": commit} if commit else {}),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        },
    )


def _contents(folder: Path) -> Iterator[tuple[str, str]]:
    """Names of the folder's files by which something is known of their content, and what: its hash, or SEALED; but for
    a manifest, as a kill may have left one.
    """
    for path in sorted(set(folder.glob("*")) - {folder / MANIFEST}):
        if path.suffix in HASHED or path.name in LISTS:
            yield path.name, digest(path)
        elif path.suffix == ".json" and f'"{SEAL}": "' in path.read_text(encoding="utf-8", errors="replace"):
            yield path.name, SEALED


def without_passwords(text: str) -> str:
    """An address without the password in `user:password@`, which may hold any sign, or behind `password=`."""
    text = re.sub(r"((?:^[^/:@\s]+://|^(?![^/:@\s]+://)|/)[^/:@\s]*):.*@", r"\1:***@", text, flags=re.DOTALL)
    return re.sub(r"((?:password|passwd|pwd)=)[^&\s]+", r"\1***", text, flags=re.IGNORECASE)


def read_manifest(folder: Path, **kinds: type) -> dict[str, Any] | None:
    """The `inputs` of a finished directory, or None where it isn't finished; UserError where those that are named
    aren't there, or of another kind.
    """
    found = whole_manifest(folder)
    inputs: dict[str, Any] | None = None if found is None else found["inputs"]
    wrong = [name for name, kind in kinds.items() if inputs is not None and not isinstance(inputs.get(name), kind)]
    if wrong:
        raise UserError(f"{folder / MANIFEST} is damaged: it has no {', '.join(wrong)}; remove {folder}")
    return inputs


def whole_manifest(folder: Path) -> dict[str, Any] | None:
    """All that `write_manifest` left; UserError where it is damaged."""
    path = folder / MANIFEST
    if not path.exists():
        return None
    found = read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("inputs"), dict):
        raise UserError(f"{path} is damaged: it says nothing of what {folder} was made from; remove {folder}")
    return found


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def hash_json(value: Any) -> str:
    """12 hex digits that name a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def hash_file(path: Path) -> str:
    """12 hex digits of a file's SHA-256."""
    return sha256(path)[:12]


def sha256(path: Path) -> str:
    """The whole SHA-256 of a file, 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(path: Path) -> str:
    """64 hex digits that name a file's content: its SHA-256, or, of a file above WHOLE bytes, that of its size and of
    blocks that are spread evenly over it, the first and the last among them. Computed once a process.
    """
    stat = path.stat()
    return _digest(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1 << 16)
def _digest(path: Path, inode: int, size: int, modified: int) -> str:
    if size <= WHOLE:
        return sha256(path)
    found = hashlib.sha256(str(size).encode())
    with open(path, "rb", buffering=0) as file:
        for block in range(BLOCKS):
            file.seek(block * (size - BLOCK) // (BLOCKS - 1))
            found.update(file.read(BLOCK))
    return found.hexdigest()
