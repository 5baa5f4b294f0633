"""A page shows what it is given, and names as they are written."""

import numpy as np

from toolkit.pages.html import Block, Chart, Figure, Gallery, Page, Section, Table, Words, render

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
