"""The longest silence of a command: seconds in which nothing is written, on a terminal and in a pipe.

    python -m benchmarks.silence
    python -m benchmarks.silence train mars --practice schedule.epochs=2

Without a command the whole way of both shipped competitions on practice data, from `audit` to `report`, each in a
fresh folder. On a terminal (here one of 80 columns) no second may pass without a sign of life; in a pipe 31 s.
What came before the longest silences is printed, so that the phase that lacks its line can be found. Beside the
longest silence stands the most that the process computed in one: on a busy machine it waits for a core, too.
"""

import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import time
from argparse import REMAINDER, ArgumentParser
from collections.abc import Mapping
from dataclasses import dataclass, field
from fcntl import ioctl
from itertools import pairwise
from pathlib import Path
from struct import pack
from termios import TIOCSWINSZ

ROOT = Path(__file__).parents[1]
WAY = (
    "audit {} --practice",
    "folds {} --practice --folds 3",
    "train {} --practice schedule.epochs=2",
    "ensemble {} --practice",
    "search {} --practice --trials 2 schedule.epochs=2",
    "ensemble {} --practice",
    "submit {} --practice",
    "report {} --practice",
    "run {} --practice --budget 2m --folds 3",
)
LIMITS = {"terminal": 1.0, "pipe": 31.0}
SHOWN = 5  # of the longest silences
SEQUENCES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Heard:
    """When something was written (seconds since the start), and what."""

    where: str
    status: int = -1
    times: list[float] = field(default_factory=list)
    computed: list[float] = field(default_factory=list)  # CPU seconds of the process until then
    texts: list[str] = field(default_factory=list)

    def silences(self) -> list[tuple[float, float, float, str]]:
        """(how long, of which it computed, when it began, the last words before it), the longest first."""
        moments = list(zip([0.0, *self.times], [0.0, *self.computed], ["the start", *self.texts], strict=True))
        found = [(b[0] - a[0], b[1] - a[1], a[0], a[2]) for a, b in pairwise(moments)]
        return sorted(found, reverse=True)

    def hear(self, started: float, process: int, text: str) -> None:
        self.times.append(time.monotonic() - started)
        self.computed.append(cpu_seconds(process) or max(self.computed, default=0.0))
        self.texts.append(text)


def cpu_seconds(process: int) -> float:
    """Of a process without those that it started; 0 where it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def listen(
    command: list[str], folder: Path, terminal: bool, columns: int = 80, more: Mapping[str, str] | None = None
) -> Heard:
    """Run it, writing to a terminal or to a pipe; more: of the environment."""
    heard, started = Heard("terminal" if terminal else "pipe"), time.monotonic()
    ours, theirs = pty.openpty() if terminal else os.pipe()
    if terminal:
        ioctl(theirs, TIOCSWINSZ, pack("HHHH", 30, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    environment |= {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **(more or {})}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    while select.select([ours], [], [])[0]:
        try:
            read = os.read(ours, 65536)
        except OSError:  # a terminal whose other end is closed
            break
        if not read:
            break
        heard.hear(started, process.pid, read.decode(errors="replace"))
    _, status, usage = os.wait4(process.pid, 0)
    heard.status = process.returncode = os.waitstatus_to_exitcode(status)
    heard.hear(started, process.pid, "")
    if len(heard.computed) > 1:  # the end, with what it started and waited for, but for what was known before
        heard.computed[-1] = min(
            usage.ru_utime + usage.ru_stime, heard.computed[-2] + heard.times[-1] - heard.times[-2]
        )
    return heard


def words(text: str) -> str:
    """The last line of what was written that says something."""
    lines = [SEQUENCES.sub("", line).strip() for line in re.split(r"[\r\n]+", text)]
    return " | ".join([line for line in lines if line][-2:])[:150]


def tell(arguments: str, heard: Heard, shown: int) -> bool:
    """One line of the table, and the longest silences; is the limit kept?"""
    longest, limit = heard.silences(), LIMITS[heard.where]
    busiest = max(computed for _, computed, _, _ in longest)
    ok = longest[0][0] < limit and heard.status == 0
    mark = "" if ok else "  <- too long" if heard.status == 0 else f"  <- exit status {heard.status}"
    print(
        f"{arguments:<58} {heard.where:<9} {heard.times[-1]:7.1f} s {longest[0][0]:6.2f} s {busiest:6.2f} s{mark}",
        flush=True,
    )
    for seconds, computed, at, said in longest[:shown]:
        if seconds > limit / 2:
            print(f"    {seconds:6.2f} s ({computed:.2f} s computed) at {at:6.1f} s after: {words(said)}", flush=True)
    return ok


def main() -> None:
    made = ArgumentParser(description=__doc__.partition("\n")[0])
    made.add_argument("--where", choices=(*LIMITS, "both"), default="both")
    made.add_argument("--columns", type=int, default=80)
    made.add_argument("--keep", type=Path, help="work in this folder, which stays")
    made.add_argument("arguments", nargs=REMAINDER, help="of compete; none: the whole way of mars and blood_cells")
    options = made.parse_args()
    given = [" ".join(options.arguments)] if options.arguments else None
    print(f"{'command':<58} {'where':<9} {'took':>9} {'silent':>8} {'computed':>8}")
    ok = True
    for where in LIMITS if options.where == "both" else [options.where]:
        for name in ("mars", "blood_cells") if given is None else ("",):
            with tempfile.TemporaryDirectory() as scratch:
                folder = options.keep or Path(scratch)
                folder.mkdir(exist_ok=True)
                if not (folder / "competitions").exists():
                    (folder / "competitions").symlink_to(ROOT / "competitions")
                for line in given or [one.format(name) for one in WAY]:
                    command = [sys.executable, "-m", "toolkit", *line.split()]
                    heard = listen(command, folder, where == "terminal", options.columns)
                    ok &= tell(line, heard, SHOWN)
    sys.exit(not ok)


if __name__ == "__main__":
    main()
