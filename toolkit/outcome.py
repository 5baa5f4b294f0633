"""What a step gives back: its numbers, and what is said of them on a screen and in a notebook."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from toolkit.errors import UserError

FEW_GROUPS = 100  # below, an interval says how many groups it rests on
MENDED = "on the mended labels"  # a score beside the one on the file's labels
RESIZED = "at the task's size, as stress and matched are"  # a clean score beside the one at each picture's own size
TINY = 1e-3  # below, a score of another metric than a share may be all there is: 0.0002345
ROUGH_GROUPS = 20  # below, it is warned of: the interval itself is rough


@dataclass(frozen=True)
class Table:
    """The first column is text, the others numbers, or all are text. `total`: the last row sums up the others."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    total: bool = False
    text: bool = False


@dataclass(frozen=True)
class Warned:
    """A sentence that asks for a look."""

    text: str


class Outcome:
    """Base of what steps return: `told` is shown by a terminal and by a notebook, `as_json` printed by --json."""

    def told(self) -> Sequence[str | Warned | Table]:
        """What there is to say, in order."""
        raise NotImplementedError

    def as_json(self) -> dict[str, Any]:
        raise NotImplementedError

    @property
    def next(self) -> Sequence[tuple[str, str]]:
        """What can be done now: commands such as `compete submit`, without competition and options, or anything else,
        each with what comes of it. A command ends with them, a notebook doesn't show them.
        """
        return ()

    def __repr__(self) -> str:
        first = [*self.told(), ""][0]
        text = first.title if isinstance(first, Table) else first.text if isinstance(first, Warned) else first
        return f"<{type(self).__name__}: {text}>"

    def _repr_html_(self) -> str:
        return html(self.told())


def html(parts: Sequence[str | Warned | Table]) -> str:
    """As a notebook shows them."""
    return "\n".join(_html(part) for part in parts)


@dataclass(frozen=True, repr=False)
class Done(Outcome):
    """A small step that was done: `facts` as --json prints them, and the sentences about them."""

    facts: Mapping[str, Any]
    sentences: Sequence[str]
    next: Sequence[tuple[str, str]] = ()

    def told(self) -> Sequence[str]:
        return self.sentences

    def as_json(self) -> dict[str, Any]:
        return dict(self.facts)


def _html(part: str | Warned | Table) -> str:
    if isinstance(part, str):
        return f"<p>{escape(part)}</p>"
    if isinstance(part, Warned):
        return f"<p><b>{escape(part.text)}</b></p>"
    head = [_row(part.columns, "th", part.text)] if any(part.columns) else []
    rows = [_row(row, "th" if part.total and row is part.rows[-1] else "td", part.text) for row in part.rows]
    return f"<table><caption>{escape(part.title)}</caption>{''.join([*head, *rows])}</table>"


def _row(cells: Sequence[str], tag: str, text: bool) -> str:
    parts = []
    for position, cell in enumerate(cells):
        side = "right" if position and not text else "left"
        inner = escape(cell).replace("\n", "<br>")
        parts.append(f'<{tag} style="text-align: {side}">{inner}</{tag}>')
    return f"<tr>{''.join(parts)}</tr>"


def number(score: float, sign: str = "", digits: int = 4) -> str:
    """A score as text: so many digits behind the point, of large ones fewer, of tiny ones as many that count.

    sign: `+` for a difference.
    """
    size = abs(score)
    if not size >= 100:
        tiny = 0 < size < TINY and not sign
        return f"{score:.{digits}g}" if tiny else f"{score:{sign}z.{digits}f}"  # z: no -0.0000
    left = max(0, digits + 1 - math.floor(math.log10(size))) if math.isfinite(size) else 0
    return f"{score:{sign},.{left}f}"


def interval(score: Mapping[str, Any]) -> str:
    """A score with its 95 % interval, as text, the number of groups where they are few, what of a blend it is
    `without`.
    """
    groups = score.get("groups", FEW_GROUPS)
    few = f", {counted(groups, 'group')}" if groups < FEW_GROUPS else ""
    without = f", without its {' and '.join(score['without'])}" if "without" in score else ""
    return f"{number(score['score'])} ({number(score['low'])} to {number(score['high'])}{few}){without}"


def mended(clean: Mapping[str, Any]) -> list[str]:
    """The clean score on the labels as the cleaning list mends them, as text; none where it relabels nothing."""
    return [interval(clean["mended"])] if clean.get("mended") else []


def resized(clean: Mapping[str, Any]) -> list[str]:
    """The clean score at the task's size, as text, where masks are scored at that of each picture; else none."""
    return [interval(clean["resized"])] if clean.get("resized") else []


def counted(number: int, noun: str) -> str:
    """`1 sample`, `1,000 samples`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "es" if noun.endswith("s") else "s")


def are(number: int, noun: str) -> str:
    """`1 sample is`, `1,000 samples are`."""
    return f"{counted(number, noun)} {'is' if number == 1 else 'are'}"


def fact(number: int, noun: str, more: str = "") -> tuple[str, str]:
    """A number and what it counts, as a page has them in a tile."""
    figure, _, word = counted(number, noun).partition(" ")
    return figure, f"{word} {more}" if more else word


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def seconds(text: str | float) -> float:
    """Of `90s`, `20m`, `1h30m`; a number stays as it is. UserError for another text."""
    if not isinstance(text, str):
        return float(text)
    match = re.fullmatch(r"(?:(\d{1,5})h)?(?:(\d{1,7})m)?(?:(\d{1,9})s)?", text)
    found = sum(int(n or 0) * unit for n, unit in zip(match.groups(), (3600, 60, 1), strict=True)) if match else 0
    if not found:
        shown = text if len(text) < 40 else f"{text[:40]}…"
        raise UserError(f"{shown!r} is not a duration; write 90s, 20m or 1h30m")
    return float(found)
