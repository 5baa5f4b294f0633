"""What a click, a key and a narrow or dark screen do to a page."""

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Opener
from tests.pages.sample import CLASSES
from toolkit.pages.html import (
    Advice,
    Block,
    Dots,
    Figure,
    Gallery,
    Grouping,
    Lines,
    Matrix,
    Series,
    Table,
    mistaken,
    render,
)
from toolkit.pages.html import Page as Made

RUNS = 14
FORBIDDEN = "() => { document.execCommand = () => false; navigator.clipboard.writeText = async () => { throw 1; }; }"
CONTRAST = """() => {
  const parts = (text) => {
    const numbers = text.match(/[\\d.]+/g).map(Number);
    return numbers.length < 4 ? [...numbers, 1] : numbers;
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a)];
  const light = (colour) => {
    const [r, g, b] = colour.map((x) => (x / 255 <= 0.04045 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    if (!element) return [255, 255, 255];
    return over(parts(getComputedStyle(element).backgroundColor), ground(element.parentElement));
  };
  const faint = (element) => (element ? getComputedStyle(element).opacity * faint(element.parentElement) : 1);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const low = [];
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest("script, style")) continue;
    const style = getComputedStyle(element);
    const back = ground(element);
    const [r, g, b, a] = parts(element.closest("svg") ? style.fill : style.color);
    const ink = light(over([r, g, b, a * faint(element)], back));
    const [least, most] = [ink, light(back)].sort((x, y) => x - y);
    const ratio = (most + 0.05) / (least + 0.05);
    if (ratio < 4.5) low.push(`${walker.currentNode.data.trim()}: ${ratio.toFixed(2)}`);
  }
  return low;
}"""


def names(page: Page) -> list[str]:
    """First cells of the table of runs, as they are seen."""
    return page.locator("#part3 tbody tr:visible td:first-child").all_inner_texts()


def head(page: Page, name: str) -> None:
    page.locator("#part3 th").get_by_role("button", name=name, exact=True).click()


def test_a_head_sorts_by_numbers_and_what_is_missing_stands_last(opened: Opener) -> None:
    page = opened()
    page.get_by_role("button", name=f"show all {RUNS}").click()
    head(page, "time")
    assert names(page) == [f"small_unet-{at}" for at in reversed(range(RUNS))], "10 min is more than 9 min"
    head(page, "time")
    assert names(page)[:2] == ["small_unet-0", "small_unet-1"]
    head(page, "95 % interval")
    assert names(page)[0] == "small_unet-0" and page.locator("#part3 th[aria-sort=descending]").count() == 1
    for _ in range(2):
        head(page, "stress")
        assert names(page)[-1] == "small_unet-1", "that of none"
    head(page, "run")
    assert names(page) == [f"small_unet-{at}" for at in range(RUNS)]


def test_chips_and_words_filter_rows_and_the_rest_is_folded(opened: Opener) -> None:
    page = opened()
    assert len(names(page)) == 10
    page.get_by_role("button", name="in the blend 2").click()
    assert names(page) == ["small_unet-0", "small_unet-1"]
    page.get_by_role("button", name="in the blend 2").click()
    page.get_by_role("searchbox").fill("UNET-13")
    assert names(page) == ["small_unet-13"] and page.get_by_text("1 of 14").is_visible()
    page.get_by_role("searchbox").fill("")
    page.get_by_role("button", name=f"show all {RUNS}").click()
    assert len(names(page)) == RUNS


def test_a_mask_is_shown_by_each_cell_that_it_is_tagged_with(opened: Opener, tmp_path: Path) -> None:
    tags = [["worst", "a → b", "b → a", "fold 0"], ["worst", "a → b", "fold 1"]]
    figures = [Figure(f"{number}", np.zeros((8, 8, 3), np.uint8), (), (), these) for number, these in enumerate(tags)]
    matrix = Matrix("", ("a", "b"), np.array([[1, 2], [2, 1]]), "mistakes", counted="pixels")
    path = tmp_path / "masks.html"
    path.write_text(render(Made("", [], [], [matrix, Gallery("", "", figures, tabs=True, key="mistakes")])))
    page = opened(path)
    chips = page.locator(".chips button").all_inner_texts()
    assert chips == ["all 2", "a → b 2", "b → a 1", "fold 0 1", "fold 1 1"]
    page.get_by_role("button", name="b → a: 2 of 3 pixels; show pictures").click()
    assert page.locator("figure img:visible").count() == 1


def test_a_cell_of_the_matrix_shows_its_mistakes(opened: Opener) -> None:
    page = opened()
    tag = mistaken(CLASSES[0], CLASSES[1])
    figures = page.locator("#part4 figure:visible")
    assert figures.filter(has_text=tag).count() == 3, "no more alike"
    page.get_by_role("button", name=f"{tag}: 59 of 472 images").click()
    chip = page.get_by_role("button", name=f"{tag} 14", exact=True)
    assert chip.get_attribute("aria-pressed") == "true" and figures.count() == 14
    assert page.evaluate("document.activeElement.textContent") == f"{tag} 14"
    chip.click()
    page.get_by_role("button", name="11 more").click()
    assert figures.count() == 18
    page.get_by_role("button", name="fold 1 6").click()
    assert figures.count() == 6
    page.get_by_role("button", name="random").click()
    assert figures.count() == 6 and page.get_by_role("button", name="all 6").is_visible()


def test_a_picture_is_enlarged_and_keys_turn_figures_and_layers(opened: Opener) -> None:
    page = opened()
    page.get_by_role("button", name="fold 1 2").click()
    truth = page.locator("#part5 figure:visible").first.locator(".picture").nth(1)
    truth.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    pressed = dialog.locator("[aria-pressed=true]")
    source = "dialog img"
    assert dialog.is_visible() and pressed.inner_text() == "2 truth" and "1 of 2" in dialog.inner_text()
    assert page.locator(source).get_attribute("src") == truth.locator("img").get_attribute("src")
    page.keyboard.press("ArrowRight")
    assert "2 of 2" in dialog.inner_text() and "23 % of its pixels wrong" in dialog.inner_text()
    page.keyboard.press("ArrowDown")
    assert pressed.inner_text() == "3 prediction"
    page.keyboard.press("4")
    assert pressed.inner_text() == "4 difference"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    assert pressed.inner_text() == "3 prediction" and "1 of 2" in dialog.inner_text()
    dialog.get_by_role("button", name="1 image").click()
    assert pressed.inner_text() == "1 image"
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert page.evaluate("document.activeElement.dataset.layer") == "truth", "where the reader was"


def test_the_legend_hides_lines_and_the_pointer_tells_values(opened: Opener) -> None:
    page = opened()
    chart = page.locator(".lines")
    key = chart.get_by_role("button", name="run 0")
    key.click()
    assert key.get_attribute("aria-pressed") == "false" and chart.locator("svg g g:visible").count() == 6
    box = chart.locator("svg").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.97, box["y"] + box["height"] * 0.15)
    tip = page.locator(".tip")
    assert tip.inner_text().startswith("run 1, fold") and tip.inner_text().endswith("epoch 8")
    key.click()
    page.mouse.move(box["x"] + box["width"] * 0.97, box["y"] + box["height"] * 0.14)
    assert tip.inner_text().startswith("run 0, fold")
    page.mouse.move(5, 5)
    assert not tip.is_visible()
    chart.locator("svg").focus()
    page.keyboard.press("ArrowRight")
    assert tip.inner_text().startswith("run 1, fold 0") and tip.inner_text().endswith("epoch 1"), "the next"


def test_a_map_tells_names_and_is_coloured_by_another_grouping(opened: Opener) -> None:
    page = opened()
    chart = page.locator(".dots")
    chart.locator("svg").focus()
    page.keyboard.press("ArrowRight")
    tip = page.locator(".tip")
    assert tip.inner_text().startswith("image_0.png: ") and tip.locator("canvas").is_visible()
    assert chart.locator("svg g g:visible").count() == 4
    chart.get_by_role("button", name="fold", exact=True).click()
    assert chart.locator("svg g g:visible").count() == 2 and chart.locator(".keys:visible button").count() == 2
    chart.locator(".keys:visible button").first.click()
    chart.locator("svg").focus()
    page.keyboard.press("ArrowRight")
    assert tip.inner_text().endswith(": 1"), "dots that are hidden tell nothing"


def test_commands_are_copied_and_selected_where_they_can_not_be(opened: Opener) -> None:
    page = opened(permissions=("clipboard-read", "clipboard-write"))
    step = page.locator(".next li").first
    step.get_by_role("button").click()
    step.get_by_role("button", name="copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "compete train mars sampling.power=0.5"
    page.evaluate(
        "() => { document.execCommand = () => false; navigator.clipboard.writeText = async () => { throw 1 } }"
    )
    step = page.locator(".next li").nth(1)
    step.get_by_role("button").click()
    step.get_by_role("button", name="press Ctrl+C").wait_for()
    assert page.evaluate("String(getSelection())") == "compete train mars schedule.epochs=30"


def test_ticked_pictures_are_written_into_a_command(opened: Opener) -> None:
    page = opened()
    for at in (2, 0):
        page.locator("#part4 .choice input").nth(at).check()
    assert page.locator(".chosen code").inner_text() == "compete audit mars --accept 0 2"
    page.locator("#part4 .choice input").first.uncheck()
    assert page.locator(".chosen code").inner_text() == "compete audit mars --accept 2"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_are_legible_and_a_telephone_does_not_scroll_sideways(opened: Opener, scheme: str) -> None:
    page = opened(width=390, color_scheme=scheme)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    assert page.evaluate(CONTRAST) == []
    table = page.locator("#part3 .scroll").first
    table.evaluate("(box) => { box.scrollLeft = 200 }")
    corner, box = page.locator("#part3 tbody td").first.bounding_box(), table.bounding_box()
    assert corner and box and corner["x"] == box["x"], "the first column stays"


def test_all_is_there_without_the_script_and_on_paper(opened: Opener) -> None:
    page = opened(java_script_enabled=False)
    assert len(names(page)) == RUNS and page.locator("#part4 figure:visible").count() == 24
    assert page.locator("button").count() == 0
    page = opened()
    page.emulate_media(media="print")
    assert len(names(page)) == RUNS, "what is folded is printed"
    assert not page.locator("nav").is_visible() and not page.locator(".chips").first.is_visible()


HOSTILE = (
    "</script><script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "a\nb",
    "{{ 7 * 7 }} `x`",
    "&lt; \\u2028",
)


def test_names_of_any_kind_do_no_harm(opened: Opener, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    picture = np.zeros((8, 8, 3), np.uint8)
    layers = [(name, picture) for name in HOSTILE]
    figures = [
        Figure(name, picture, [(name, "")], layers, [mistaken(HOSTILE[0], HOSTILE[1]), name], name, choice=name)
        for name in HOSTILE
    ]
    blocks: list[Block] = [
        Table("", HOSTILE, [HOSTILE] * 14, tags=[[name] for name in HOSTILE * 3][:14]),
        Matrix(HOSTILE[0], HOSTILE, np.full((5, 5), 20), HOSTILE[0]),
        Gallery(HOSTILE[0], HOSTILE[1], figures, key=HOSTILE[0], command=HOSTILE[0]),
        Advice([(name, name) for name in HOSTILE]),
        Lines(HOSTILE[0], *HOSTILE[:2], [Series(name, [1, 2], [3, 4]) for name in HOSTILE]),
        Dots(HOSTILE[0], np.eye(5)[:, :2], HOSTILE, [Grouping(HOSTILE[0], HOSTILE, range(5))]),
    ]
    path.write_text(render(Made(HOSTILE[0], [], [], blocks)), encoding="utf-8")
    page = opened(path)
    page.on("dialog", lambda dialog: pytest.fail("a name was run"))
    assert page.title() == HOSTILE[0] and page.locator("img[src=x]").count() == 0
    page.get_by_role("button", name=f"{mistaken(*HOSTILE[:2])}: 20 of 100").click()
    assert page.locator(".gallery > figure:visible").count() == 5
    page.locator(".gallery .picture").first.click()
    page.keyboard.press("ArrowRight")
    assert HOSTILE[1] in page.get_by_role("dialog").inner_text()
    page.keyboard.press("Escape")
    page.locator(".dots svg").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".tip").inner_text() == f"{HOSTILE[0]}: {HOSTILE[0]}"
