"""One file of a finished workspace is damaged, then every command runs, and the submission is built anew."""

import random
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.faults.cases import RIGHT, Case, Tries, Try
from benchmarks.faults.contents import OWN, contents, differences
from benchmarks.faults.forks import forked, put
from benchmarks.faults.steps import AUDITED, Stages, working

OVER = ("audit", "folds", "train", "search", "ensemble", "submit", "grade", "report")
Damage = Callable[[Path, random.Random], None]


def flip(path: Path, rng: random.Random) -> None:
    """One bit."""
    data = bytearray(path.read_bytes())
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def halve(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def empty(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


def remove(path: Path, rng: random.Random) -> None:
    path.unlink()


def zero(path: Path, rng: random.Random) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def replace(path: Path, rng: random.Random) -> None:
    """By valid JSON of another shape, or by another file of its kind."""
    if path.suffix == ".json":
        path.write_text(rng.choice(("[]", "{}", "3", '"x"', "null", '{"a": [1]}')), encoding="utf-8")
        return
    top = next(parent for parent in path.parents if parent.name == "root")
    others = [one for one in sorted(top.rglob(f"*{path.suffix}")) if one.is_file() and one != path]
    if others:
        shutil.copyfile(rng.choice(others), path)
    else:
        path.write_bytes(b"something else")


def digit(path: Path, rng: random.Random) -> None:
    """One digit of a text is another, so that it is read as well as before; else one bit."""
    data = bytearray(path.read_bytes())
    places = [at for at, byte in enumerate(data) if chr(byte).isdigit()]
    if path.suffix not in (".json", ".csv", ".txt") or not places:
        return flip(path, rng)
    at = rng.choice(places)
    data[at] = ord(rng.choice([one for one in "123456789" if ord(one) != data[at]]))
    path.write_bytes(data)


def folder(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()


TRIAL = re.compile(r"-t\d+-")  # in the name of a run that comes from a search, which makes it anew
DAMAGES: Sequence[Damage] = (flip, halve, empty, remove, zero, replace, digit, folder)


def tries(stages: Stages, count: int, rng: random.Random) -> Tries:
    base = stages.after("report")
    every = [(path, how) for path in artefacts(base) for how in DAMAGES]
    after = _After(stages, base)
    for path, how in sorted(rng.sample(every, min(count, len(every))), key=lambda one: str(one[0])):
        what = f"{how.__name__} {path}"
        yield Try(what, lambda p=path, h=how, w=what: after.damaged(p, h, random.Random(w)))  # type: ignore[misc]


def artefacts(base: Path) -> list[Path]:
    """Files of a workspace and its submissions."""
    found = [path for path in sorted(base.rglob("*")) if path.is_file() and not path.name.endswith(OWN)]
    return [path.relative_to(base) for path in found if path.relative_to(base).parts[0] in ("w", "s")]


class _After:
    """All commands on the workspace: damaged, held against whole."""

    def __init__(self, stages: Stages, base: Path) -> None:
        self.stages, self.base, self.root = stages, base, stages.root
        self.wanted = submission(base)
        self.known: dict[tuple[str, ...], dict[str, str]] = {}

    def expected(self, over: tuple[str, ...]) -> dict[str, str]:
        """The files after these commands, where nothing is damaged."""
        if over not in self.known:
            put(self.base, self.root)
            case = self._commands(over)
            assert case.kind == "same" and submission(self.root) == self.wanted, case
            self.known[over] = contents(self.root)
        return self.known[over]

    def _commands(self, over: Sequence[str]) -> Case:
        """One after the other: the first that isn't right, else the first sentence."""
        for file in submitted(self.root):  # built anew
            file.unlink()
        worst = Case("same")
        for step in (self.stages.steps[name] for name in over):
            ended = forked(lambda step=step: working(step, self.root), self.root)  # type: ignore[misc]
            if ended.kind not in RIGHT:
                return Case(ended.kind, f"{step.name}: {ended.said}")
            if worst.kind == "same" and ended.kind != "same":
                worst = Case(ended.kind, f"{step.name}: {ended.said}")
        return worst

    def damaged(self, path: Path, how: Damage, rng: random.Random) -> Case:
        # it takes as long as all others, and reads what they read
        searched = "search" in path.parts or any(TRIAL.search(part) for part in path.parts)
        names = [name for name in OVER if name in self.stages.steps]
        over = tuple(name for name in names if name != "search" or searched)
        expected = self.expected(over)
        put(self.base, self.root)
        how(self.root / path, rng)
        case = self._commands(over)
        if case.kind not in RIGHT:
            return case
        if submission(self.root) not in (self.wanted, None):
            return Case("silent", f"another submission; {case.said}")
        if case.kind != "same":
            return case
        wrong = differences(contents(self.root), expected)
        meant = {str(path), *(str(path.parents[-3] / name) for name in _beside(path))}
        others = [said for _, said in wrong if said.partition(" ")[0] not in meant]
        if others:
            return Case("silent", "; ".join(others)[:1000])
        return Case("unread") if wrong else Case("same")


def _beside(path: Path) -> Sequence[str]:
    """Other files of the workspace that are another then, as they should be."""
    if path.name == "cleaning.csv":  # a person may have changed it: the audit warns, and writes its own
        return ("cleaning.new.csv",)
    return AUDITED if path.name == "folds.parquet" or "train" in path.parts else ()  # it says what runs predict


def submitted(root: Path) -> list[Path]:
    return sorted((root / "s").glob("*/*.txt"))


def submission(root: Path) -> bytes | None:
    """The newest; None where there is none."""
    files = sorted(submitted(root), key=lambda path: path.stat().st_mtime_ns)
    return files[-1].read_bytes() if files else None
