"""How large a page is and how soon it answers: 60 runs, 120 lines, 5,000 dots with thumbnails, in Chromium.

    python -m benchmarks.page [--runs 60] [--points 5000] [--chromium /usr/bin/chromium]

On 2 cores shared by a dozen other processes (AMD EPYC): 1.92 MB, made in 1.9 s, answers after 0.32 s, first painted
after 0.18 s; a move over 5,000 dots takes 1.0 ms. The report of a real run of blood_cells, 158 pictures, has 1.28 MB.

Its pictures are noise, larger than photographs once coded. `answers`: from the address to the script's end.
`a move over the dots`: what one movement of the pointer costs, the name and thumbnail of the nearest dot drawn.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.pages.sample import sample_page
from toolkit.outcome import Table
from toolkit.pages.html import render
from toolkit.screen import Screen

MOVES = """(count) => {
  const svg = document.querySelector(".dots svg");
  svg.scrollIntoView();
  const { left, top, width, height } = svg.getBoundingClientRect();
  const begun = performance.now();
  for (let at = 0; at < count; at++) {
    const place = { clientX: left + (width * at) / count, clientY: top + height * 0.5 };
    svg.dispatchEvent(new PointerEvent("pointermove", { ...place, bubbles: true }));
    svg.getBoundingClientRect();
  }
  return (performance.now() - begun) / count;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--points", type=int, default=5_000)
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="the browser's program")
    options = parser.parse_args()
    begun = time.perf_counter()
    text = render(sample_page(options.runs, options.points))
    made = time.perf_counter() - begun
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "page.html")
        path.write_text(text, encoding="utf-8")
        answers, drawn, move = in_browser(path, options.chromium)
    rows = [
        ["size", f"{len(text.encode()) / 1e6:.2f} MB"],
        ["made in", f"{made:.2f} s"],
        ["answers", f"{answers:.2f} s"],
        ["painted first", f"{drawn:.2f} s"],
        ["a move over the dots", f"{move:.2f} ms"],
    ]
    Screen().table(Table(f"a page of {options.runs} runs and {options.points:,} dots", ["", ""], rows))


def in_browser(path: Path, program: str) -> tuple[float, float, float]:
    """Seconds until the script has run, and until the first paint; milliseconds of a move."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.goto(path.as_uri())
        timing = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
        painted = "performance.getEntriesByType('paint')[0].startTime"
        answers, drawn = page.evaluate(timing) / 1e3, page.evaluate(painted) / 1e3
        move: float = page.evaluate(MOVES, 200)
        browser.close()
    return answers, drawn, move


if __name__ == "__main__":
    main()
