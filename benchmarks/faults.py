"""What happens where things go wrong: bad command lines, damaged files, a disk that is full or read-only.

    python -m benchmarks.faults [--only lines|damage|disk] [--count N] [--seed N] [--json] [--list]

Every command runs in a fork of this process on a copy of one small finished workspace, so that a case takes a fraction
of a second. A case is

- `clear`: a sentence, exit status 1 or 2
- `fine`: exit status 0, and of damaged files the same submission, byte for byte, as of whole ones
- `going on`: still at work when the time for a case was up
- `unforeseen`: a sentence, but the one for what nobody foresaw
- `traceback`
- `silent`: exit status 0 and another submission; or, after a disk was full, another one with room again

`--list` shows each case that is none of the first three. The exit status is 1 where there is one.
"""

import argparse
import errno
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.__main__ import COMMANDS
from toolkit.command_line import parser, run_command

ROOT = Path(__file__).parent.parent
TINY = ROOT / "tests" / "tiny"
COUNTS = {"lines": 250, "damage": 200, "disk": 60}
RIGHT = ("clear", "fine", "going on")
KINDS = (*RIGHT, "unforeseen", "traceback", "silent")
SECONDS = 60  # for a command of a case
QUICK = 6  # for a bad command line, of which some are good ones
OVERRIDES, SEVERAL = ("train", "search", "run"), ("ensemble",)
RAISED = 99  # exit status of a fork whose command raised
LONG, LONGER = "a" * 300, "a" * 5000
BAD_NUMBERS = ("", "x", "nan", "inf", "-1", "0", "1e999", "9" * 400, "1.5")
BAD_TEXTS = ("", "../../x", LONGER, "\udcff", "a/b", "{0}%s[x]", "\0x", "-")
BAD_TIMES = ("", "0s", "-1m", "9" * 400 + "h", "1h1h", "soon")
WHOLE = ("audit", "folds", "train", "search", "ensemble", "submit", "report")
MORE = {
    "train": ("schedule.epochs=2", "--stress", "none"),
    "search": ("--trials", "2", "schedule.epochs=2", "--stress", "none", "--repeats", "0"),
    "folds": ("--folds", "3", "--holdout", "0.2"),
    "run": ("--budget", "1s"),
    "ensemble": ("--views", "none"),
}


@dataclass(frozen=True)
class Case:
    """What was done wrong, what it came to, and what was said last."""

    what: str
    kind: str
    said: str = ""


# one command


def options_of(command: str) -> argparse.ArgumentParser:
    """The command's own parser."""
    module = importlib.import_module(f"toolkit.{command}")
    if command == "new":
        made: argparse.ArgumentParser = module.options_of()
        return made
    made = parser(command, "", overrides=command in OVERRIDES, several=command in SEVERAL)
    if hasattr(module, "add_options"):
        module.add_options(made)
    return made


def call(command: str, arguments: Sequence[str]) -> int:
    """Run a command in this process; its exit status."""
    module = importlib.import_module(f"toolkit.{command}")
    if command == "new":
        return int(module.new(arguments))
    concerns = module.has_runs if command in SEVERAL else None
    return run_command(options_of(command), getattr(module, command), arguments, concerns)


def shared(root: Path) -> list[str]:
    where = ["--workspace", str(root / "w"), "--submissions", str(root / "s")]
    return [str(TINY), "--practice", "--workers", "1", "--device", "cpu", *where]


def forked(work: Callable[[], int], place: Path, limit: int = SECONDS) -> tuple[str, str]:
    """Do it in a fork whose working folder is `place`: a kind of Case, and what was printed."""
    said = place / "said"
    pid = os.fork()
    if not pid:
        status = RAISED
        try:
            signal.alarm(limit)
            os.fsync = lambda fd: None  # nobody pulls the plug here, and it takes longer than all else
            os.chdir(place)
            out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1)
            os.dup2(out, 2)
            sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
            status = work()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else RAISED
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    text = said.read_text(encoding="utf-8", errors="replace") if said.exists() else ""
    if status == -signal.SIGALRM:
        return "going on", text
    if status not in (0, 1, 2) or "Traceback (most recent call last)" in text:
        return "traceback", text
    if "which nobody foresaw" in text:
        return "unforeseen", text
    return ("clear" if status else "fine"), text


def last(text: str) -> str:
    """The last line that says something."""
    lines = [line for line in text.splitlines() if line.strip()]
    told = [line for line in lines if "error: " in line] or lines
    return told[-1][:400] if told else ""


# bad command lines


def bad_lines(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Commands, each with one option that has a bad value, or one word that it doesn't know."""
    places = bad_places(root)
    for command in COMMANDS:
        start = [str(root / "new"), "--data", str(root / "w")] if command == "new" else shared(root)
        more = list(MORE.get(command, ()))
        for name in (*places, *BAD_TEXTS):
            yield command, [name, *start[1:], *more]
        yield command, [*start, *more, "--nonsense"]
        for word in ("optimizer.lr=x", "nothing=1", "optimizer=1", "schedule.epochs=-1", LONGER, "=", "a.b.c=\udcff"):
            yield command, [*start, *more, word]
        for action in options_of(command)._actions:
            if action.option_strings and action.dest not in ("help", "report_bug", "debug"):
                for value in bad_values(action, places):
                    yield command, [*start, *more, f"{action.option_strings[0]}{value}"]


def bad_places(root: Path) -> list[str]:
    """A file, a link to nothing, what can't be a folder, names that are too long."""
    file, link = root / "file", root / "dangling"
    file.touch()
    link.unlink(missing_ok=True)
    link.symlink_to(root / "nowhere")
    paths = (file, link, file / "below", root / LONG, root / LONGER, Path("/proc/x"), Path("/dev/null"))
    return [*map(str, paths), ""]


def bad_values(action: argparse.Action, places: list[str]) -> Iterator[str]:
    """As they follow an option: ` ` and `=` in front, or nothing at all."""
    if action.nargs == 0:
        yield "=1"
        return
    if action.metavar == "DIR":
        yield from (f"={place}" for place in places)
    elif action.metavar == "TIME":
        yield from (f"={value}" for value in BAD_TIMES)
    elif action.type is not None:
        yield from (f"={value}" for value in BAD_NUMBERS)
    else:
        yield from (f"={value}" for value in BAD_TEXTS)
    yield ""


def lines(base: Path, count: int, rng: random.Random) -> Iterator[Case]:
    """Bad command lines on the finished workspace."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "root"
        every = list(bad_lines(prepared(base, root)))
        for command, arguments in sorted(rng.sample(every, min(count, len(every))), key=lambda one: one[0]):
            prepared(base, root)
            bad_places(root)
            kind, text = forked(lambda c=command, a=arguments: call(c, a), root, QUICK)  # type: ignore[misc]
            shown = " ".join(word if len(word) < 60 else f"{word[:40]}…" for word in arguments).replace(scratch, "")
            yield Case(f"{command} {shown}".encode("unicode_escape").decode(), kind, last(text))


# damaged files


def flip(path: Path, rng: random.Random) -> None:
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


def folder(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (flip, halve, empty, remove, zero, replace, folder)
UNCOUNTED = (".lock", "-wal", "-shm")  # what only other programs hold


def artefacts(root: Path) -> list[Path]:
    """Files of a workspace and its submissions, within `root`."""
    found = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.name.endswith(UNCOUNTED)]
    return [path.relative_to(root) for path in found if path.relative_to(root).parts[0] in ("w", "s")]


def damage(base: Path, count: int, rng: random.Random) -> Iterator[Case]:
    """One file is damaged, then every command runs, and the submission is built anew."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "root"
        every = [(path, how) for path in artefacts(base) for how in DAMAGES]
        wanted = submission_bytes(base)
        for path, how in sorted(rng.sample(every, min(count, len(every))), key=lambda one: str(one[0])):
            prepared(base, root)
            how(root / path, rng)
            for file in submitted(root):  # built anew
                file.unlink()
            searched = "search" in path.parts  # takes as long as all others, and reads what they read
            over = WHOLE if searched else tuple(command for command in WHOLE if command != "search")
            yield _commands(f"{how.__name__} {path}", root, wanted, over)


def _commands(what: str, root: Path, wanted: bytes | None, over: Sequence[str] = ()) -> Case:
    """All commands, one after the other; the worst of what they come to."""
    clear = ""
    for command in over or WHOLE:
        arguments = [*shared(root), *MORE.get(command, ())]
        kind, text = forked(lambda c=command, a=arguments: call(c, a), root)  # type: ignore[misc]
        if kind not in RIGHT:
            return Case(what, kind, f"{command}: {last(text)}")
        if kind == "clear":
            clear = clear or f"{command}: {last(text)}"
    if clear:
        return Case(what, "clear", clear)
    same = submission_bytes(root) == wanted
    return Case(what, "fine" if same else "silent", "" if same else "another submission")


def submitted(root: Path) -> list[Path]:
    return sorted((root / "s").glob("*/*.txt"))


def submission_bytes(root: Path) -> bytes | None:
    """Of the newest; None where there is none."""
    files = sorted(submitted(root), key=lambda path: path.stat().st_mtime_ns)
    return files[-1].read_bytes() if files else None


# a disk that is full, or can't be written to


def failing(root: Path, number: int, fault: int) -> Callable[[], int]:
    """From the number-th change of a file below `root` on each fails with that error; the counter of changes.

    Opening to write, making folders and renaming are seen by the interpreter's own hook, in whatever library.
    """
    seen = 0

    def watch(event: str, given: tuple[Any, ...]) -> None:
        nonlocal seen
        if event not in ("open", "os.rename", "os.mkdir"):
            return
        if event == "open" and not (isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            return
        path = os.fsdecode(given[0]) if isinstance(given[0], str | bytes | os.PathLike) else ""
        if path.startswith(str(root)):
            seen += 1
            if number and seen >= number:
                raise OSError(fault, os.strerror(fault), path)

    sys.addaudithook(watch)
    return lambda: seen


def disk(base: Path, count: int, rng: random.Random) -> Iterator[Case]:
    """Each command in its turn, from an empty workspace on, on a disk that fills or turns read-only at some change."""
    wanted = submission_bytes(base)
    with tempfile.TemporaryDirectory() as scratch:
        root, before = Path(scratch) / "root", Path(scratch) / "before"
        before.mkdir()
        for position, command in enumerate(WHOLE):
            arguments = [*shared(root), *MORE.get(command, ())]
            note = Path(scratch) / "changes"

            def counted(c: str = command, a: list[str] = arguments, note: Path = note) -> int:
                changes = failing(root / "w", 0, 0)
                status = call(c, a)
                note.write_text(str(changes()))
                return status

            prepared(before, root)
            kind, text = forked(counted, root)
            assert kind == "fine", text
            changes = int(note.read_text())
            after = Path(scratch) / "after"
            shutil.rmtree(after, ignore_errors=True)
            shutil.copytree(root, after)
            points = sorted(rng.sample(range(1, changes + 1), min(changes, max(1, count // len(WHOLE)))))
            for at in points:
                fault = rng.choice((errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EMFILE))

                def full(c: str = command, a: list[str] = arguments, at: int = at, fault: int = fault) -> int:
                    failing(root / "w", at, fault)
                    return call(c, a)

                prepared(before, root)
                what = f"{errno.errorcode[fault]} at change {at} of {changes} in {command}"
                kind, text = forked(full, root)
                if kind not in RIGHT:
                    yield Case(what, kind, last(text))
                    continue
                again = _commands(what, root, wanted, WHOLE[position:])
                yield Case(what, kind, last(text)) if again.kind == "fine" else again
            shutil.rmtree(before)
            shutil.move(after, before)


# the campaign


def prepared(base: Path, root: Path) -> Path:
    """A copy of the finished workspace in the place of the last one."""
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(base, root, symlinks=True)
    return root


def finished(base: Path) -> Path:
    """A small workspace with all that commands leave."""
    import toolkit.blending.blend  # forks share what is imported
    import toolkit.reporting.page
    import toolkit.submission.build
    import toolkit.tuning.search_loop  # noqa: F401

    base.mkdir(parents=True)
    for command in WHOLE:
        kind, text = forked(lambda c=command: call(c, [*shared(base), *MORE.get(c, ())]), base)  # type: ignore[misc]
        if kind != "fine":
            raise SystemExit(f"{command} on whole files: {text}")
    (base / "said").unlink()
    return base


CAMPAIGNS: dict[str, Callable[[Path, int, random.Random], Iterator[Case]]] = {
    "lines": lines,
    "damage": damage,
    "disk": disk,
}


def campaign(
    names: Sequence[str], counts: dict[str, int], seed: int = 0, tell: Callable[[Case], None] = lambda case: None
) -> dict[str, list[Case]]:
    """Cases by campaign, on a workspace in a temporary folder at one path, as manifests know where they lie."""
    with tempfile.TemporaryDirectory() as place:
        base = finished(Path(place) / "root")
        found: dict[str, list[Case]] = {name: [] for name in names}
        for name, cases in found.items():
            for case in CAMPAIGNS[name](base, counts[name], random.Random(seed)):
                tell(case)
                cases.append(case)
        return found


def main(arguments: Sequence[str] | None = None) -> int:
    made = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__.partition("\n")[0])
    made.add_argument("--only", nargs="+", choices=tuple(CAMPAIGNS), default=tuple(CAMPAIGNS))
    made.add_argument("--count", type=int, metavar="N", help=f"cases of each (default: {COUNTS})")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="which cases are drawn")
    made.add_argument("--list", action="store_true", help="tell of each case that isn't right, on stderr")
    made.add_argument("--all", action="store_true", help="tell of each case")
    made.add_argument("--json", action="store_true")
    options = made.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    begun = time.monotonic()
    counts = COUNTS if options.count is None else dict.fromkeys(COUNTS, options.count)

    def tell(case: Case) -> None:
        if options.all or (options.list and case.kind not in RIGHT):
            print(f"{case.kind}: {case.what}\n    {case.said}", file=sys.stderr, flush=True)

    found = campaign(options.only, counts, options.seed, tell)
    totals = {name: {kind: Counter(c.kind for c in cases)[kind] for kind in KINDS} for name, cases in found.items()}
    wrong = [case for cases in found.values() for case in cases if case.kind not in RIGHT]
    if options.json:
        json.dump({"counts": totals, "wrong": [vars(case) for case in wrong]}, sys.stdout)
        return bool(wrong)
    print(f"{'':<10}{''.join(f'{kind:>12}' for kind in KINDS)}")
    for name, each in totals.items():
        print(f"{name:<10}{''.join(f'{each[kind]:>12}' for kind in KINDS)}")
    print(f"{sum(map(len, found.values()))} cases in {time.monotonic() - begun:.0f} s")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
