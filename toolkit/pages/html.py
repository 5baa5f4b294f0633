"""A self-contained HTML page: the summary first, then sections of words, tables, pictures and charts.

No script and nothing from elsewhere; light or dark as the reader's system is, and as wide as the screen.
"""

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: list[list[str]]
    note: str = ""
    marked: int | None = None  # a row in bold
    text: tuple[int, ...] = (0,)  # columns of words; the others are numbers


class Figure(NamedTuple):
    """A picture uint8 (h, w, 3). files: names of what is shown, and their addresses; an empty one for no file."""

    caption: str
    picture: np.ndarray
    files: Sequence[tuple[str, str]] = ()

    @property
    def text(self) -> str:
        """All that stands below it."""
        return ": ".join(part for part in (", ".join(name for name, _ in self.files), self.caption) if part)


@dataclass(frozen=True)
class Gallery:
    """Pictures with captions, and one sentence on what to do about them."""

    title: str
    advice: str
    figures: Sequence[Figure]
    more: int = 0  # how many were found beyond those shown
    listed: str = "cleaning.csv"  # where those are
    legend: tuple[tuple[str, str], ...] = ()  # names and their colours, as CSS has them


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

    facts: Sequence[tuple[str, str]]
    title: str = ""


@dataclass(frozen=True)
class Row:
    """Charts and tables side by side where the screen is wide enough."""

    blocks: "Sequence[Chart | Table]"
    title: str = ""


Block = Table | Gallery | Chart | Words | Tiles | Row


@dataclass(frozen=True)
class Section:
    title: str
    blocks: Sequence[Block]
    note: str = ""


@dataclass(frozen=True)
class Page:
    title: str
    facts: list[tuple[str, str]]  # a number, and what it counts
    todo: list[str]
    sections: Sequence[Block | Section] = field(default_factory=list)
    subtitle: str = ""
    links: tuple[tuple[str, str], ...] = ()  # address and text


def render(page: Page) -> str:
    """The page's HTML."""
    loader = PackageLoader("toolkit.pages", "")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["jpeg"] = _jpeg
    environment.filters["code"] = _code
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    for kind in (Table, Gallery, Chart, Words, Tiles, Row, Section):
        environment.tests[kind.__name__.lower()] = lambda value, kind=kind: isinstance(value, kind)
    return environment.get_template("page.html.jinja").render(page=page)


def _code(text: str) -> Markup:
    """What stands between backticks as code."""
    parts = enumerate(text.split("`"))
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in parts)


def _jpeg(image: np.ndarray) -> str:
    coded = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return base64.b64encode(coded.tobytes()).decode()
