"""The audit as one self-contained HTML page: the summary first, then what was found, as pictures with advice."""

import base64
from dataclasses import dataclass, field

import cv2
import numpy as np
from jinja2 import Environment


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: list[list[str]]
    note: str = ""


@dataclass(frozen=True)
class Gallery:
    """Pictures uint8 (h, w, 3) with captions, and one sentence on what to do about them."""

    title: str
    advice: str
    figures: list[tuple[str, np.ndarray]]
    more: int = 0  # how many were found beyond those shown


@dataclass(frozen=True)
class Page:
    title: str
    facts: list[tuple[str, str]]  # a number, and what it counts
    todo: list[str]
    sections: list[Table | Gallery] = field(default_factory=list)


def render(page: Page) -> str:
    """The page's HTML."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["jpeg"] = _jpeg
    environment.tests["table"] = lambda section: isinstance(section, Table)
    return environment.from_string(TEMPLATE).render(page=page)


def _jpeg(image: np.ndarray) -> str:
    coded = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return base64.b64encode(coded.tobytes()).decode()


TEMPLATE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ page.title }}</title>
<style>
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: #0072b2; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 70rem; padding: 1rem; }
h1 { font-size: 1.5rem; margin: .5rem 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .25rem; border-top: 1px solid var(--line); padding-top: 1rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .5rem; margin: 1rem 0; }
.facts div { background: var(--soft); border-radius: .5rem; padding: .6rem .8rem; }
.facts b { display: block; font-size: 1.4rem; font-variant-numeric: tabular-nums; }
.advice { margin: .25rem 0 .75rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.gallery { display: flex; flex-wrap: wrap; gap: .75rem; }
figure { margin: 0; max-width: 100%; }
figure img { display: block; max-width: 100%; height: auto; border-radius: .25rem; border: 1px solid var(--line); }
figcaption { font-size: .82rem; max-width: 30rem; }
</style>
<h1>{{ page.title }}</h1>
<div class="facts">
{% for number, text in page.facts %}
<div><b>{{ number }}</b>{{ text }}</div>
{% endfor %}
</div>
<ul>
{% for sentence in page.todo %}
<li>{{ sentence }}</li>
{% endfor %}
</ul>
{% for section in page.sections %}
<h2>{{ section.title }}</h2>
{% if section is table %}
{% if section.note %}<p class="advice">{{ section.note }}</p>{% endif %}
<div class="scroll"><table>
<tr>{% for name in section.columns %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in section.rows %}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
{% else %}
<p class="advice">{{ section.advice }}</p>
<div class="gallery">
{% for caption, image in section.figures %}
<figure><img alt="{{ caption }}" src="data:image/jpeg;base64,{{ image | jpeg }}">
<figcaption>{{ caption }}</figcaption></figure>
{% endfor %}
</div>
{% if section.more %}<p>and {{ section.more }} more, listed in cleaning.csv</p>{% endif %}
{% endif %}
{% endfor %}
"""
