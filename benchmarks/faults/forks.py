"""A command in a fork of this process, which has imported all that commands need, and does nothing else itself.

So a try takes a fraction of a second. A fork counts its changes of files below the folder that it works in: each
opening for writing, renaming, removing and making of a folder is one, heard of by the interpreter's own hook, in
whatever library, before it is done. What processes change that the fork itself starts isn't counted.
"""

import argparse
import importlib
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.command_line import parser, run_command

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "tiny"
SECONDS = 120  # for a command
OWN = ("tests", "root", "toolkit", "__main__", "__mp_main__")  # modules that belong to a try
RAISED = 99  # exit status of a fork whose command raised
OVERRIDES, SEVERAL = ("train", "search", "run"), ("ensemble",)
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
Act = Callable[[int, str, str], None]  # is called before each change, with its number, what it is, and the path


def nothing(number: int, event: str, path: str) -> None:
    """The act of who only counts."""


@dataclass(frozen=True)
class Ended:
    """How a fork ended. kind: `same` (exit status 0), `sentence`, `traceback`, `unforeseen`, `going on` after its
    time, `killed`.
    """

    kind: str
    text: str
    changes: int

    @property
    def said(self) -> str:
        """The last line that says something, or the last that tells of an error."""
        lines = [line for line in self.text.splitlines() if line.strip()]
        told = [line for line in lines if "error: " in line] or lines
        return told[-1][:400] if told else ""


@dataclass(frozen=True)
class Begun:
    """A fork at work. said, told: files of what it prints, and, when it has ended, of how many changes it made and
    which modules it imported.
    """

    pid: int
    said: Path
    told: Path

    def state(self) -> str:
        """The system's letter for what it does: T is stopped, Z has ended."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def end(self) -> Ended:
        """Wait for it."""
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        text = self.said.read_text(encoding="utf-8", errors="replace") if self.said.exists() else ""
        changes, *names = self.told.read_text().split() if self.told.exists() else ["0"]
        share(names)
        return self._ended(status, text, int(changes))

    def _ended(self, status: int, text: str, changes: int) -> Ended:
        signals = {-signal.SIGALRM: "going on", -signal.SIGKILL: "killed"}
        if status in signals:
            return Ended(signals[status], text, changes)
        if status not in (0, 1, 2) or "Traceback (most recent call last)" in text:
            return Ended("traceback", text, changes)
        if "which nobody foresaw" in text:
            return Ended("unforeseen", text, changes)
        return Ended("sentence" if status else "same", text, changes)


def begin(work: Callable[[], int], root: Path, act: Act = nothing, limit: int = SECONDS, name: str = "one") -> Begun:
    """Do it in a fork that works in `root`; name: of its notes, which lie beside root."""
    begun = Begun(0, root.parent / f"{name}.said", root.parent / f"{name}.told")
    for note in (begun.said, begun.told):
        note.unlink(missing_ok=True)
    pid = os.fork()
    if pid:
        return Begun(pid, begun.said, begun.told)
    status = RAISED
    try:
        signal.alarm(limit)
        os.fsync = lambda fd: None  # nobody pulls the plug here, and it takes longer than all else
        os.chdir(root)
        out = os.open(begun.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
        changes, known = watched(root, act), set(sys.modules)
        status = work()
        news = [name for name in sys.modules.keys() - known if name.partition(".")[0] not in OWN]
        begun.told.write_text(" ".join([str(changes()), *sorted(news)]))
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else RAISED
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def share(names: Sequence[str]) -> None:
    """Import what a fork has imported, so that the next ones needn't."""
    for name in names:
        with suppress(Exception):
            importlib.import_module(name)


def forked(work: Callable[[], int], root: Path, act: Act = nothing, limit: int = SECONDS) -> Ended:
    return begin(work, root, act, limit).end()


def watched(root: Path, act: Act) -> Callable[[], int]:
    """Call `act` before each change of a file below root, for good; the counter of changes."""
    changes = 0

    def watch(event: str, given: tuple[Any, ...]) -> None:
        nonlocal changes
        if event not in CHANGES and not (event == "open" and isinstance(given[2], int) and given[2] & WRITING):
            return
        path = os.path.abspath(os.fsdecode(given[0])) if isinstance(given[0], str | bytes | os.PathLike) else ""
        if path.startswith(f"{root}{os.sep}"):
            changes += 1
            act(changes, event, path)

    sys.addaudithook(watch)
    return lambda: changes


def signal_at(at: int, what: int) -> Act:
    """Send this process a signal before its change of that number."""

    def act(number: int, event: str, path: str) -> None:
        if number == at:
            os.kill(os.getpid(), what)
            time.sleep(0.001)  # a signal to the process may be handled by another thread

    return act


# commands


def options_of(command: str) -> argparse.ArgumentParser:
    """The command's own parser."""
    module = importlib.import_module(f"toolkit.{command}")
    if command == "new":
        made: argparse.ArgumentParser = module.options_of()
        return made
    made = parser(command, "", overrides=command in OVERRIDES, several="that have runs" if command in SEVERAL else "")
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


def shared(root: Path, of: Path = TINY) -> list[str]:
    """Words of every command: a competition's practice data, in a workspace below root."""
    where = ["--workspace", str(root / "w"), "--submissions", str(root / "s")]
    return [str(of), "--practice", "--workers", "1", "--device", "cpu", *where]


def put(source: Path, root: Path) -> None:
    """Let `root` be as `source` is, with the times of its files."""
    shutil.rmtree(root, ignore_errors=True)  # all but the folder itself, where a file system is mounted on it
    shutil.copytree(source, root, symlinks=True, dirs_exist_ok=True)
