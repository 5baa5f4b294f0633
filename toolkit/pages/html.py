"""A self-contained HTML page: the summary first, then sections of words, tables, pictures and charts.

No script and nothing from elsewhere; light or dark as the reader's system is, and as wide as the screen.
"""

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from jinja2 import Environment
from markupsafe import Markup, escape


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: list[list[str]]
    note: str = ""
    marked: int | None = None  # a row in bold
    text: tuple[int, ...] = (0,)  # columns of words; the others are numbers


@dataclass(frozen=True)
class Gallery:
    """Pictures uint8 (h, w, 3) with captions, and one sentence on what to do about them."""

    title: str
    advice: str
    figures: list[tuple[str, np.ndarray]]
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
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["jpeg"] = _jpeg
    environment.filters["code"] = _code
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    for kind in (Table, Gallery, Chart, Words, Tiles, Row, Section):
        environment.tests[kind.__name__.lower()] = lambda value, kind=kind: isinstance(value, kind)
    return environment.from_string(TEMPLATE).render(page=page)


def _code(text: str) -> Markup:
    """What stands between backticks as code."""
    parts = enumerate(text.split("`"))
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in parts)


def _jpeg(image: np.ndarray) -> str:
    coded = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return base64.b64encode(coded.tobytes()).decode()


TEMPLATE = """
{%- macro tiles(facts) %}
<div class="facts">
{% for number, text in facts %}
<div><b>{{ number }}</b>{{ text }}</div>
{% endfor %}
</div>
{% endmacro %}
{% macro chart(one) %}
<figure class="{{ 'chart' if one.dark else 'paper' }}">
{% if one.title %}<h4>{{ one.title }}</h4>{% endif %}
{% if one.dark %}
<picture><source media="(prefers-color-scheme: dark)" srcset="data:image/png;base64,{{ one.dark | base64 }}">
<img alt="{{ one.alt or one.title }}" width="{{ one.width }}" src="data:image/png;base64,{{ one.light | base64 }}">
</picture>
{% else %}
<div class="scroll">
<img alt="{{ one.alt or one.title }}" width="{{ one.width }}" src="data:image/png;base64,{{ one.light | base64 }}">
</div>
{% endif %}
{% if one.note %}<figcaption>{{ one.note }}</figcaption>{% endif %}
</figure>
{% endmacro %}
{% macro show(block, level) %}
{% if block.title and block is not chart %}<h{{ level }}>{{ block.title }}</h{{ level }}>{% endif %}
{% if block is table %}
{% if block.note %}<p class="advice">{{ block.note }}</p>{% endif %}
<div class="scroll"><table>
<tr>{% for name in block.columns %}<th{% if loop.index0 in block.text %} class="text"{% endif %}>{{ name }}</th>
{% endfor %}</tr>
{% for row in block.rows %}
<tr{% if loop.index0 == block.marked %} class="marked"{% endif %}>
{% for cell in row %}<td{% if loop.index0 in block.text %} class="text"{% endif %}>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
{% elif block is gallery %}
<p class="advice">{{ block.advice }}</p>
{% if block.legend %}<p class="legend">
{% for name, colour in block.legend %}<span><i style="background:{{ colour }}"></i>{{ name }}</span> {% endfor %}</p>
{% endif %}
<div class="gallery">
{% for caption, image in block.figures %}
<figure style="width: {{ [image.shape[1], 160] | max }}px">
<img alt="{{ caption }}" src="data:image/jpeg;base64,{{ image | jpeg }}">
<figcaption>{{ caption }}</figcaption></figure>
{% endfor %}
</div>
{% if block.more %}<p>and {{ block.more }} more, listed in {{ block.listed }}</p>{% endif %}
{% elif block is chart %}
{{ chart(block) }}
{% elif block is row %}
<div class="row">
{% for one in block.blocks %}{% if one is chart %}{{ chart(one) }}{% else %}<div>{{ show(one, 4) }}</div>{% endif %}
{% endfor %}</div>
{% elif block is tiles %}
{{ tiles(block.facts) }}
{% else %}
{% for sentence in block.sentences %}
<p class="{{ 'strong' if block.strong else 'advice' }}">{{ sentence | code }}</p>
{% endfor %}
{% endif %}
{% endmacro -%}
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ page.title }}</title>
<style>
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --accent: #56b4e9; } body { background: #16181c; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 70rem; padding: 1rem; }
h1 { font-size: 1.5rem; margin: .5rem 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .25rem; border-top: 1px solid var(--line); padding-top: 1rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .25rem; }
h4 { font-size: .9rem; margin: .4rem 0; }
a { color: var(--accent); }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; font-size: .92rem; margin: .75rem 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .5rem; margin: 1rem 0; }
.facts div { background: var(--soft); border-radius: .5rem; padding: .6rem .8rem; }
.facts b { display: block; font-size: 1.4rem; font-variant-numeric: tabular-nums; }
.advice { margin: .25rem 0 .75rem; max-width: 46rem; }
.strong { margin: .5rem 0; max-width: 46rem; border-left: .25rem solid var(--accent); padding-left: .8rem; }
.subtitle { margin: 0; opacity: .75; font-size: .92rem; }
.scroll { overflow-x: auto; margin-bottom: .75rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .86rem; }
th, td { padding: .3rem .45rem; text-align: right; border-bottom: 1px solid var(--line); white-space: pre; }
th:first-child, td:first-child, .text { text-align: left; }
td.text:not(:first-child) { white-space: normal; min-width: 11rem; }
.marked { font-weight: 600; background: var(--soft); }
.legend span { margin-right: 1rem; font-size: .85rem; white-space: nowrap; }
.legend i { display: inline-block; width: .8em; height: .8em; margin-right: .35em; border-radius: .15em; }
.gallery { display: flex; flex-wrap: wrap; gap: .75rem; }
.row { display: flex; flex-wrap: wrap; gap: .5rem 2rem; align-items: flex-start; }
figure { margin: 0; max-width: 100%; }
figure img { display: block; max-width: 100%; height: auto; border-radius: .25rem; border: 1px solid var(--line); }
.chart img { border: 0; }
.paper { margin: .5rem 0 1rem; }
.paper img { min-width: min(34rem, 200%); background: white; }
.row .paper img { width: 32.5rem; min-width: min(28rem, 200%); }
code { font-size: .92em; background: var(--soft); padding: .05em .3em; border-radius: .2em; }
figcaption { font-size: .82rem; max-width: 30rem; }
.paper figcaption, .chart figcaption { max-width: 46rem; }
</style>
<h1>{{ page.title }}</h1>
{% if page.subtitle %}<p class="subtitle">{{ page.subtitle }}</p>{% endif %}
{{ tiles(page.facts) }}
<ul>
{% for sentence in page.todo %}
<li>{{ sentence }}</li>
{% endfor %}
</ul>
{% if page.links or page.sections | select("section") | list %}
<nav>
{% for one in page.sections %}{% if one is section %}<a href="#part{{ loop.index }}">{{ one.title }}</a>{% endif %}
{% endfor %}
{% for address, text in page.links %}<a href="{{ address }}">{{ text }} &#8599;</a>
{% endfor %}
</nav>
{% endif %}
{% for one in page.sections %}
{% if one is section %}
<section id="part{{ loop.index }}">
<h2>{{ one.title }}</h2>
{% if one.note %}<p class="advice">{{ one.note | code }}</p>{% endif %}
{% for block in one.blocks %}{{ show(block, 3) }}{% endfor %}
</section>
{% else %}
{{ show(one, 2) }}
{% endif %}
{% endfor %}
"""
