"""A page shows what it is given, and names as they are written."""

import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.pages.html import (
    Advice,
    Bar,
    Bars,
    Block,
    Brief,
    Chart,
    Dots,
    Figure,
    Folded,
    Gallery,
    Grouping,
    Heat,
    Interval,
    Lines,
    Matrix,
    Page,
    Row,
    Section,
    Series,
    Table,
    Tiles,
    Words,
    mistaken,
    render,
)

PIXEL = bytes.fromhex(  # a PNG file of one pixel
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da6364f8ff"
    "1f0003030200efa6479b0000000049454e44ae426082"
)


def test_a_page_writes_names_as_they_are() -> None:
    picture = np.zeros((8, 200, 3), np.uint8)
    blocks: list[Block] = [
        Words(["run `a < b` first"]),
        Table("", ("x",), [["<i>"]], marked=0),
        Gallery("", "look", [Figure("one", picture)], more=2, listed="there.csv", legend=(("soil", "red"),)),
        Chart("white", PIXEL),
        Chart("both", PIXEL, PIXEL),
    ]
    files = [
        Figure("two of them", picture, (("a", ""), ("b & c", "raw/b%20c"))),
        Figure("", picture, (("d", "raw/d"),)),
    ]
    blocks.append(Gallery("", "", files))
    page = render(Page("<b>", [("1", "fact")], [], [Section("Part", blocks)], "sub", (("audit.html", "audit"),)))
    assert "<code>a &lt; b</code>" in page and "&lt;i&gt;" in page and "<title>&lt;b&gt;" in page
    assert '<a href="#part1">Part</a>' in page and '<a href="audit.html">' in page
    assert "--column:200px" in page and "and 2 more, listed in there.csv" in page
    assert '<figcaption>a, <a href="raw/b%20c">b &amp; c</a>: two of them</figcaption>' in page
    assert 'alt="a, b &amp; c: two of them"' in page
    assert '<a class="picture" href="raw/d">' in page and '<figcaption><a href="raw/d">d</a></figcaption>' in page
    assert page.count("<picture>") == 1 and page.count('class="paper"') == 1


def test_an_interval_is_a_bar_on_its_scale_and_words_for_the_ear() -> None:
    cell = Interval(0.2, 0.25, 0.4, 0.0, 0.5)
    page = render(Page("", [], [], [Row([Table("", ("run", "interval"), [["a", cell]])])]))
    assert cell == "0.200 to 0.400" and 'style="left:40.0%;right:20.0%"' in page and 'style="left:50.0%"' in page
    assert '<span class="heard">0.200 to 0.400</span>' in page
    assert Interval(1, 1, 1, 1, 1).share(1) == 50, "a scale of one number"


def test_a_cell_of_many_words_shows_few_and_opens_to_all() -> None:
    page = render(Page("", [], [], [Row([Table("", ("run", "settings"), [["a", Brief("lr=1", "lr=1; seed=2")]])])]))
    assert '<summary title="lr=1; seed=2">lr=1</summary>lr=1; seed=2</details></td>' in page


def test_bars_end_where_their_scale_does() -> None:
    named = [Bar("a", 0.25, "0.25 (n 8)", (0.2, 0.5)), Bar("b", 0.0, "none")]
    page = render(Page("", [], [], [Bars("", named), Bars("", named, most=1.0)]))
    assert '<i style="width:50.0%"></i><b style="left:40.0%;width:60.0%"></b>' in page, (
        "the interval's end is the largest"
    )
    assert '<i style="width:25.0%"></i><b style="left:20.0%;width:30.0%"></b>' in page and "0.25 (n 8)" in page
    assert render(Page("", [], [], [Bars("", [])]))


def test_large_files_of_photographs_are_stored_smaller() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    large, drawn = (cv2.imencode(".png", picture)[1].tobytes() for picture in (noise, noise[..., [0, 1, 2, 0]]))
    page = render(Page("", [], [], [Chart("", large), Chart("", drawn), Chart("", PIXEL)]))
    assert page.count("data:image/webp") == 1 and page.count("data:image/png") == 2, "what is transparent stays"


def test_shares_of_few_are_greyed_and_those_of_none_are_no_numbers() -> None:
    counts = np.array([[197, 3, 0], [4, 4, 1], [0, 0, 0]])
    page = render(Page("", [], [], [Matrix("", ("a", "b", "c"), counts, "mistakes")]))
    assert page.count('class="few"') == 2 and "a → b: 3 of 200 images" in page and page.count(">-</td>") == 3
    assert page.count("data-tag=") == 3, "cells that are wrong and not empty"


def test_of_a_score_it_is_told_of_how_many_images() -> None:
    rows: Sequence[tuple[str, str, Sequence[tuple[float | None, int]]]] = [
        ("gamma", "light", [(0.4, 25), (None, 3)]),
        ("hue", "colour", [(0.9, 31), (-0.1, 12)]),
    ]
    page = render(Page("", [], [], [Heat("Corruptions", "", ("1", "2"), rows, 0.8)]))
    assert 'style="--share:0.500" title="of 25 images">0.40<' in page and 'title="3 images, too few"></td>' in page
    assert page.count("--share:1.000") == page.count("--share:0.000") == 1 and page.count('class="apart"') == 1


def test_the_script_is_the_only_one_that_may_run_and_nothing_is_loaded() -> None:
    page = render(Page("", [], []))
    assert page.count("<script>") == 1 and "://" not in page and "script-src 'sha256-" in page
    assert not re.search(r"<[a-z][^>]* on[a-z]+=", page)


LETTERS = st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs", "Cc"])
MEANT = ("</script>", "<!--", "'\"", "a\nb", "{{ x }}", "]]>", "&amp;", "\u2028", "</style>", "`<b>`", "{% raw %}")
NAMES = st.text(LETTERS, min_size=1, max_size=12) | st.sampled_from(MEANT)


@settings(max_examples=40)
@given(NAMES)
def test_no_name_becomes_markup(name: str) -> None:
    plain, page = (Tree.of(render(page_of(each))) for each in ("name", name))
    assert page.tags == plain.tags
    assert [json.loads(text) for text in page.data] and page.scripts == plain.scripts


def test_the_tags_of_rows_and_figures_are_read_back() -> None:
    name = "'</script>\"&"
    tags = [json.loads(value) for key, value in Tree.of(render(page_of(name))).attributes if key == "data-tags"]
    assert tags == [[name], [name, mistaken(name, name)]]


def page_of(name: str) -> Page:
    """All blocks, called by a name of letters that mean something or not."""
    picture = np.zeros((2, 2, 3), np.uint8)
    figure = Figure(
        "c" + name, picture, [(name, "")], [(name, picture)], [name, mistaken(name, name)], name, choice=name
    )
    blocks: list[Block] = [
        Table("t" + name, ["h" + name], [["c" + name]], tags=[[name]]),
        Gallery("t" + name, "a", [figure], legend=[("n" + name, "red")], key=name, command=name),
        Matrix("t" + name, ["n" + name], np.array([[12]]), name),
        Advice([("s", "c" + name)]),
        Bars("t" + name, [Bar(name, 1.0, name)]),
        Lines("t" + name, "x" + name, "y" + name, [Series(each + name, [1.0], [2.0]) for each in "ab"]),
        Dots("t" + name, np.ones((1, 2)), [name], [Grouping(name, [name], [0])]),
        Folded("t" + name, [Tiles([("1", name, "s" + name)])]),
    ]
    return Page("p" + name, [], [], blocks)


class Tree(HTMLParser):
    """What a browser makes of a page: tags in their order, attributes, scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.scripts: list[str] = []
        self.data: list[str] = []
        self.kind = ""

    @classmethod
    def of(cls, page: str) -> "Tree":
        made = cls()
        made.feed(page)
        return made

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        self.tags.append(tag)
        self.attributes += given.items()
        self.kind = given.get("type", "script") if tag == "script" else ""

    def handle_data(self, data: str) -> None:
        if self.kind:
            (self.data if self.kind.endswith("json") else self.scripts).append(data)

    def handle_endtag(self, tag: str) -> None:
        self.kind = ""
