"""A self-contained HTML page: the summary first, then sections of words, tables, pictures and charts.

Nothing comes from elsewhere; light or dark as the reader's system is, and as wide as the screen. All can be read
without the page's script, which adds what a click does.
"""

import base64
import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, Template
from markupsafe import Markup, escape

from toolkit.pages.svg import draw_dots, draw_lines

FEW = 10  # of a class: shares of fewer are greyed
NARROW, WIDE = 160, 560  # pixels of a column of figures
LARGE = 100_000  # bytes of a PNG file that is stored smaller
Fact = tuple[str, str] | tuple[str, str, str]  # a large number, what it is, and small print


class Interval(str):
    """A cell of a table, drawn as a bar from low to high with a mark at the value, on a scale from least to most."""

    low: float
    value: float
    high: float
    least: float
    most: float

    def __new__(cls, low: float, value: float, high: float, least: float, most: float) -> "Interval":
        made = super().__new__(cls, f"{low:.3f} to {high:.3f}")
        made.low, made.value, made.high, made.least, made.most = low, value, high, least, most
        return made

    def share(self, number: float) -> float:
        """Where a number lies on the scale, 0 to 100."""
        width = self.most - self.least
        return round(100 * min(max((number - self.least) / width, 0), 1), 2) if width > 0 else 50.0


class Brief(str):
    """A cell of a table whose words are too many for a row: as many as fit are seen, a click shows all."""

    short: str

    def __new__(cls, short: str, whole: str) -> "Brief":
        made = super().__new__(cls, whole)
        made.short = short
        return made


@dataclass(frozen=True)
class Table:
    """A click on its heads sorts it where it has more than two rows; "-" stands last."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]  # words, Intervals, or Briefs
    note: str = ""
    marked: int | None = None  # a row in bold
    text: tuple[int, ...] = (0,)  # columns of words; the others are numbers
    tags: Sequence[Sequence[str]] = ()  # of each row: chips above the table show the rows that have one
    folded: int | None = None  # rows shown before "show all"


class Figure(NamedTuple):
    """A picture uint8 (h, w, 3), at its own size or enlarged. files: names of what is shown, and their addresses; an
    empty one for no file. layers: further pictures of the same, of its size, with their names, as is `name` the
    picture's own.
    """

    caption: str
    picture: np.ndarray
    files: Sequence[tuple[str, str]] = ()
    layers: Sequence[tuple[str, np.ndarray]] = ()
    tags: Sequence[str] = ()  # chips above the gallery show those that have one
    title: str = ""  # stands above the caption, in bold
    name: str = "image"
    choice: str = ""  # what the gallery's command takes for it; "": it can't be ticked

    @property
    def text(self) -> str:
        """All that stands below it."""
        shown = (self.title, ", ".join(name for name, _ in self.files), self.caption)
        return ": ".join(part for part in shown if part)

    @property
    def pictures(self) -> list[tuple[str, np.ndarray]]:
        """The picture and its layers, with their names."""
        return [(self.name, self.picture), *self.layers]


@dataclass(frozen=True)
class Gallery:
    """Pictures with captions, and one sentence on what to do about them."""

    title: str
    advice: str
    figures: Sequence[Figure]
    more: int = 0  # how many were found beyond those shown
    listed: str = "cleaning.csv"  # where those are
    legend: Sequence[tuple[str, str]] = ()  # names and their colours, as CSS has them
    tabs: bool = False  # the first tag of a figure is its tab: "worst", "random"; one tab is seen at a time
    alike: int = 0  # so many with the same first tag (of one tab the second) are seen before "more" is pressed; 0: all
    key: str = ""  # by which a Matrix finds it; "": its title
    command: str = ""  # "compete audit mars --accept": what is ticked is written behind it, to copy; one a line


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: counts (C, C), truth in rows. Figures of the gallery (its key or title) that are tagged
    "truth → prediction" (`mistaken`) are shown by a click on a cell. Rows of fewer than FEW are greyed.
    """

    title: str
    names: Sequence[str]
    counts: np.ndarray
    gallery: str = ""
    note: str = ""
    counted: str = "images"  # or pixels


@dataclass(frozen=True)
class Heat:
    """Scores in a grid, darker where they are nearer to `top`. rows: name, its group, and of each column the score,
    None where it isn't shown, with the number of images that it is of. Groups are divided by lines.
    """

    title: str
    head: str  # what rows and columns are
    columns: Sequence[str]
    rows: Sequence[tuple[str, str, Sequence[tuple[float | None, int]]]]
    top: float
    note: str = ""


@dataclass(frozen=True)
class Advice:
    """Sentences, each with a command to copy or ""."""

    items: Sequence[tuple[str, str]]
    title: str = "What to try next"


class Bar(NamedTuple):
    """A number from 0 on, with its interval and some words behind it. colour: as CSS has it."""

    name: str
    value: float
    text: str
    interval: tuple[float, float] | None = None
    colour: str = ""


@dataclass(frozen=True)
class Bars:
    """Bars below each other. most: where the scale ends; None: at the largest."""

    title: str
    bars: Sequence[Bar]
    note: str = ""
    most: float | None = None

    @property
    def scale(self) -> float:
        """Percent of the width that a unit takes."""
        ends = [max(one.value, *(one.interval or ())) if one.interval else one.value for one in self.bars]
        return 100 / (self.most or max(ends, default=0) or 1.0)


class Series(NamedTuple):
    """A line. Those of one group (or name) share a colour and an entry of the legend. colour: as CSS has it."""

    name: str
    xs: Sequence[float] | np.ndarray
    ys: Sequence[float] | np.ndarray
    group: str = ""
    dashed: bool = False
    colour: str = ""


@dataclass(frozen=True)
class Lines:
    """Lines over axes, x and y being what these are called, units included."""

    title: str
    x: str
    y: str
    series: Sequence[Series]
    note: str = ""


class Grouping(NamedTuple):
    """A way of colouring dots, such as "class" or "fold". of: the group of each dot, a place in names; -1 for none.

    colours: of the groups, as CSS has them; without any, those of classes.
    """

    name: str
    names: Sequence[str]
    of: Sequence[int] | np.ndarray
    colours: Sequence[str] = ()


@dataclass(frozen=True)
class Dots:
    """A map: points (N, 2) of any scale, their labels, and ways of colouring them, the first being shown first.

    thumbnails: uint8 (N, h, w, 3), seen beside a dot that is pointed at; they are made small by the page.
    """

    title: str
    points: np.ndarray
    labels: Sequence[str]
    by: Sequence[Grouping]
    thumbnails: np.ndarray | None = None
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """PNG files: a drawing for light and for dark screens, on a transparent ground; or one picture for both."""

    title: str
    light: bytes
    dark: bytes | None = None
    note: str = ""
    alt: str = ""

    @property
    def width(self) -> int:
        """Pixels of the page: a file with both grounds is drawn at twice its size."""
        pixels: int = struct.unpack(">I", self.light[16:20])[0]
        return pixels // 2 if self.dark else pixels


@dataclass(frozen=True)
class Words:
    sentences: Sequence[str]
    title: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Tiles:
    """Large numbers, and what each of them is."""

    facts: Sequence[Fact]
    title: str = ""
    marked: int | None = None  # one in a frame


@dataclass(frozen=True)
class Row:
    """Blocks side by side where the screen is wide enough."""

    blocks: "Sequence[Block]"
    title: str = ""


@dataclass(frozen=True)
class Folded:
    """Blocks that are seen once their title is pressed."""

    title: str
    blocks: "Sequence[Block]"


Block = Table | Gallery | Matrix | Heat | Advice | Bars | Lines | Dots | Chart | Words | Tiles | Row | Folded
KINDS = (Table, Gallery, Matrix, Heat, Advice, Bars, Lines, Dots, Chart, Words, Tiles, Row, Folded)


@dataclass(frozen=True)
class Section:
    title: str
    blocks: Sequence[Block]
    note: str = ""


@dataclass(frozen=True)
class Page:
    title: str
    facts: Sequence[Fact]
    todo: list[str]
    sections: Sequence[Block | Section] = field(default_factory=list)
    subtitle: str = ""
    links: tuple[tuple[str, str], ...] = ()  # address and text
    marked: int | None = None  # a fact in a frame


def mistaken(truth: str, prediction: str) -> str:
    """The tag of a figure that a cell of a Matrix shows."""
    return f"{truth} → {prediction}"


def render(page: Page) -> str:
    """The page's HTML."""
    return _template().render(page=page)


@cache
def _template() -> Template:
    """What pages are made by; its style and its script, the only one that a browser runs on them, are in it."""
    loader = PackageLoader("toolkit.pages", "")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    filters: dict[str, Callable[..., Any]] = {
        "code": _code,
        "columns": _columns,
        "draw": lambda block: draw_lines(block) if isinstance(block, Lines) else draw_dots(block),
        "webp": _webp,
        "png": _png,
        "percent": _percent,
        "shares": lambda counts: counts / np.maximum(counts.sum(1, keepdims=True), 1),
    }
    environment.filters |= filters
    for kind in (*KINDS, Section, Interval, Brief):
        environment.tests[kind.__name__.lower()] = lambda value, kind=kind: isinstance(value, kind)
    files = resources.files("toolkit.pages")
    style, script = (files.joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    given = {"style": Markup(style), "script": Markup(script), "allowed": allowed, "FEW": FEW, "mistaken": mistaken}
    return environment.get_template("page.html.jinja", globals=given)


def _code(text: str) -> Markup:
    """What stands between backticks as code; a command of ours can be copied."""
    parts = enumerate(text.split("`"))
    return Markup("").join(_command(part) if at % 2 else escape(part) for at, part in parts)


def _command(text: str) -> Markup:
    kind = Markup(' class="command"') if text.startswith("compete ") and len(text.split()) > 2 else ""
    return Markup("<code{}>{}</code>").format(kind, text)


def _columns(gallery: Gallery) -> tuple[int, str]:
    """Pixels of a column, and how figures stand: in even columns where all are about as wide, two of which fit a
    telephone where they are narrow.
    """
    widths = [_width(figure) for figure in gallery.figures] or [NARROW]
    if max(widths) > 1.4 * min(widths):
        return max(widths), "uneven"
    small = max(widths) <= 2.5 * NARROW and not any(figure.layers for figure in gallery.figures)
    return min(max(widths), WIDE), "even narrow" if small else "even"


def _width(figure: Figure) -> int:
    """Pixels of a figure on the page: one with layers shows all of them, small."""
    width = figure.picture.shape[1]
    return len(figure.pictures) * min(max(width, 96), 176) if figure.layers else max(width, NARROW)


def _percent(share: float) -> str:
    """0 where there is nothing, else what can be told from it."""
    return f"{share:.0%}" if share == 0 or share >= 0.005 else "<1%"


def _webp(image: np.ndarray, quality: int = 82) -> str:
    """A picture's address; WebP takes 60 % of a JPEG's bytes at the same quality."""
    coded = cv2.imencode(".webp", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_WEBP_QUALITY, quality])[1]
    return f"data:image/webp;base64,{base64.b64encode(coded.tobytes()).decode()}"


def _png(content: bytes) -> str:
    """A PNG file's address; a large opaque one, such as of photographs, as WebP."""
    if len(content) > LARGE:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if picture is not None and picture.ndim == 3 and picture.shape[2] == 3:
            return _webp(picture[..., ::-1])
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
