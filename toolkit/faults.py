"""What ends a command, whatever it is, as one sentence; and all that is known of it in a file for a bug report."""

import os
import platform
import re
import sys
import sysconfig
import time
import traceback
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

from toolkit.disk import in_bytes, of_the_disk
from toolkit.errors import UserError, listed
from toolkit.partial_files import final
from toolkit.store import unsealed, without_passwords, write_text

DEBUG = "TOOLKIT_DEBUG"  # in the environment: tracebacks are shown, as with --debug
REPORT = "bug-report.txt"
LISTED = 2000  # files of a workspace in a report
TOOLKIT = Path(__file__).parent
LIBRARIES = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
# by the names of their types, as their libraries aren't imported for it
KILLED = {"TerminatedWorkerError", "BrokenProcessPool", "ProcessExitedException"}
NO_MEMORY = r"can't allocate memory|CUDA out of memory|Cannot allocate memory|std::bad_alloc"
LESS = "close other programs, give --workers 1, or a smaller batch_size, and run the same command again"


def sentence(error: BaseException) -> str:
    """What is wrong and what to do: the user's own words where it is a UserError, else what can be said of its kind,
    or, of what nobody foresaw, where it arose.
    """
    if isinstance(error, UserError):
        return str(error)
    chain = [*_chain(error)]
    names = {kind.__name__ for one in chain for kind in type(one).__mro__}
    if names & KILLED:
        return f"a process that helped was killed, most often for lack of memory; {LESS}: it goes on from here"
    if names & {"MemoryError", "OutOfMemoryError"} or any(re.search(NO_MEMORY, str(one)) for one in chain):
        return f"memory ran out ({_reason(error)}); {LESS}"
    said = next(filter(None, map(of_the_disk, chain)), None)
    if said is not None:
        return said
    return f"{_place(error)}: {_reason(error)}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it came from."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or at.__context__


def _reason(error: BaseException) -> str:
    text = final(without_passwords(" ".join(str(error).split())))
    text = text if len(text) <= 300 else f"{text[:300]} …"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _place(error: BaseException) -> str:
    """Whose fault it is and where it arose: a competition's own code, or the toolkit."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if not _of_a_library(one.filename)]
    ours = [at for at, one in enumerate(frames) if Path(one.filename).is_relative_to(TOOLKIT)]
    # what calls the toolkit, such as a notebook, isn't at fault for what is called
    others = [one for at, one in enumerate(frames) if at not in ours and ours and at > ours[0]]
    tell = f"--debug shows all of it, --report-bug writes {REPORT} to be sent to who maintains the toolkit"
    if others and frames[-1] is others[-1]:
        return f"the competition's own code fails in {_at(others[-1])}; fix it there ({tell})"
    called = f", called by {_at(others[-1])}" if others else ""
    where = f" in {_at(frames[-1])}{called}" if frames else ""
    # files of older versions, or that were put there by hand
    strange = [path for path in unsealed if path.exists()]
    doubted = (
        f"{listed(strange, most=3)}, of which it isn't known who wrote it," if strange else "a file in the workspace"
    )
    return f"the toolkit fails{where}, which nobody foresaw; {doubted} may be damaged ({tell})"


def _at(frame: traceback.FrameSummary) -> str:
    return f"{frame.filename}, line {frame.lineno}, {frame.name}"


def _of_a_library(name: str) -> bool:
    path = Path(name)
    if name.startswith("<") or path.is_relative_to(TOOLKIT):
        return name.startswith("<")
    return any(path.is_relative_to(folder) for folder in LIBRARIES)


def is_debugged(option: bool) -> bool:
    """Are tracebacks to be shown? option: --debug."""
    return option or os.environ.get(DEBUG, "") not in ("", "0")


def traced(error: BaseException) -> str:
    """The whole traceback, without passwords."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join(map(without_passwords, lines))


def write_report(error: BaseException, workspace: Path | None, path: Path = Path(REPORT)) -> Path:
    """Leave, as text: versions, the machine, the command, the traceback, names and sizes of a workspace's files.

    No content of any file, no environment, no passwords; the user's own folder is written as ~.
    """
    home = os.path.expanduser("~")
    installed = sorted({f"{one.metadata['Name']} {one.version}" for one in distributions()}, key=str.lower)
    parts = {
        "what": sentence(error),
        "command": " ".join(map(without_passwords, sys.argv)),
        "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores, {_memory()}",
        "traceback": traced(error),
        "installed": "\n".join(installed),
        "workspace": "none" if workspace is None else "\n".join([str(workspace), *_files(workspace)]),
    }
    text = "".join(f"== {name}\n{part}\n\n" for name, part in parts.items())
    write_text(path, text.replace(home, "~") if len(home) > 1 else text)
    return path.absolute()


def _memory() -> str:
    try:
        return f"{in_bytes(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'))} of memory"
    except (ValueError, OSError, AttributeError):  # not on every system
        return "memory unknown"


def _files(folder: Path) -> Iterator[str]:
    """Sizes and names of those below a folder, LISTED at most."""
    number = 0
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            number += 1
            if number > LISTED:
                yield "…"
                return
            path = Path(parent) / name
            yield f"{path.lstat().st_size:>15,}  {path.relative_to(folder)}"
