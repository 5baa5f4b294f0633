"""What is in a folder after a command, and how that differs from what an undisturbed one leaves."""

import json
import re
import sqlite3
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

OWN = (".lock", ".db-wal", ".db-shm", ".db-journal")  # of locks and of databases
DATABASE = ".db"
WHEN = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?([+-]\d{4})?|\b\d+(\.\d+)? ?(s|m|min|h)\b")  # or how long
TIMED = re.compile(r"seconds$|^seal$")  # a seal is a hash of all else, times among it
TIMED_FILES = ("history.json", "summary.json")
TRIALS = """
    select state, param_name, param_value, value from trials
    left join trial_params using (trial_id) left join trial_values using (trial_id)
    where state in ('COMPLETE', 'PRUNED')
"""


def contents(root: Path) -> dict[str, str]:
    """The hash of each file below a folder, but for locks; of a study that of its finished trials, and of texts
    without when they were written and how long something took.
    """
    return {
        path.relative_to(root).as_posix(): sha256(_content(path)).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.endswith(OWN)
    }


def _content(path: Path) -> bytes:
    if path.suffix == DATABASE:
        return _trials(path)
    content = path.read_bytes()
    if path.name == "log.csv":  # seconds are last
        return b"\n".join(line.rpartition(b",")[0] for line in content.splitlines())
    if path.suffix == ".json":
        with suppress(ValueError):  # else it is damaged
            return json.dumps(_timeless(json.loads(content))).encode()
    return WHEN.sub(b"", content) if path.suffix in (".csv", ".html") else content


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        known = {name: _timeless(one) for name, one in value.items() if not TIMED.search(name)}
        if known.pop("finished", None):  # a manifest, and what it says of files that hold times
            known.pop("commit", None)  # which may change while the campaign goes on
            known["files"] = {name: one for name, one in (known.get("files") or {}).items() if name not in TIMED_FILES}
        return known
    return [_timeless(one) for one in value] if isinstance(value, list) else value


def _trials(path: Path) -> bytes:
    """What a study knows: parameters and scores, in whatever order they were tried."""
    try:
        with closing(sqlite3.connect(path)) as study:
            return repr(sorted(map(repr, study.execute(TRIALS)))).encode()
    except sqlite3.Error:
        return path.read_bytes()


def stable(first: dict[str, str], second: dict[str, str]) -> dict[str, str]:
    """Hashes of what a command leaves alike whenever it is called; of files that name times "" alone."""
    return {name: value if second.get(name) == value else "" for name, value in first.items()}


def differences(found: dict[str, str], expected: dict[str, str]) -> list[tuple[str, str]]:
    """The kind of a Case, and a sentence, of each file that isn't as expected."""
    wrong = [("lost", f"{name} is missing") for name in expected.keys() - found.keys()]
    same = {name for name, value in expected.items() if value == found.get(name, value) or not value}
    wrong += [("other bits", f"{name} has other bits") for name in expected.keys() - same]
    wrong += [("left over", f"{name} is left over") for name in found.keys() - expected.keys()]
    return sorted(wrong, key=lambda one: (["lost", "other bits", "left over"].index(one[0]), one[1]))
