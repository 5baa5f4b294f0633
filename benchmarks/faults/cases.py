"""What was tried, what it came to, and the file that keeps both, so that nothing is tried twice."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
RIGHT = {
    "same": "ended well, and all files are as if nothing had happened",
    "sentence": "one sentence, exit status 1 or 2",
    "unread": "the damaged file is still damaged, nobody asked for it, and all others are as they were",
    "unreached": "the command ended before the point that was to be tried: it is counted, and nothing is said by it",
    "going on": "still at work when the time for a try was up",
}
WRONG = {
    "silent": "exit status 0 and another submission, or another value in another file",
    "traceback": "a traceback",
    "unforeseen": "a sentence, but the one for what nobody foresaw",
    "lost": "the same command again doesn't end well, or a file is missing after it",
    "other bits": "the same command again ends well, with other bits in a file",
    "left over": "the same command again ends well, and a file is too many",
}


@dataclass(frozen=True)
class Case:
    """kind: a key of RIGHT or WRONG; said: what was said last, or which files differ."""

    kind: str
    said: str = ""

    @property
    def is_right(self) -> bool:
        return self.kind in RIGHT


@dataclass(frozen=True)
class Try:
    """what: its name, the same whenever it is tried; attempt: does it."""

    what: str
    attempt: Callable[[], Case]


Tries = Iterator[Try]


@dataclass(frozen=True)
class Counted:
    """A case of a campaign; code: a hash of the toolkit's text that it was tried with."""

    campaign: str
    what: str
    kind: str
    said: str
    code: str


@cache
def code() -> str:
    """A hash of all of the toolkit's text."""
    known = hashlib.sha256()
    for path in sorted((ROOT / "toolkit").rglob("*.py")):
        known.update(path.read_bytes())
    return known.hexdigest()[:8]


class Kept:
    """Cases in a file, a line of JSON each, written as they come; of one that is there twice the last counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        whole = [line for line in lines if line.endswith("}")]  # the last one may have been cut by a kill
        found = [Counted(**json.loads(line)) for line in whole]
        self.cases = {(case.campaign, case.what): case for case in found}

    def is_right(self, campaign: str, what: str) -> bool:
        """Was it tried, and came to what is right?"""
        known = self.cases.get((campaign, what))
        return known is not None and known.kind in RIGHT

    def add(self, campaign: str, what: str, case: Case) -> Counted:
        made = Counted(campaign, what, case.kind, case.said, code())
        self.cases[campaign, what] = made
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(asdict(made))}\n")
        return made

    def of(self, campaign: str) -> list[Counted]:
        return [case for case in self.cases.values() if case.campaign == campaign]
