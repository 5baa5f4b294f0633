"""Makes docs/report.png of README: the top of a report, in a browser that is there.

    compete run mars --practice --budget 10m
    python -m benchmarks.report_picture workspace/mars-practice/report.html

Needs Chromium, and playwright of `pip install -e '.[dev]'`. The picture has under 250 kB.
"""

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 1200, 1720
COLOURS = 256
PLAIN = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")


def shot(page: Path, width: int, height: int) -> bytes:
    """PNG of the top of a page, light."""
    with sync_playwright() as player:
        found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = player.chromium.launch(executable_path=found, args=list(PLAIN))
        opened = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
        opened.goto(page.resolve().as_uri())
        picture = opened.screenshot()
        browser.close()
    return picture


def main() -> None:
    made = argparse.ArgumentParser(prog="python -m benchmarks.report_picture")
    made.add_argument("report", type=Path, help="report.html")
    made.add_argument("--out", type=Path, default=Path("docs/report.png"), metavar="FILE")
    made.add_argument("--height", type=int, default=HEIGHT, metavar="PIXELS")
    options = made.parse_args()
    picture = Image.open(io.BytesIO(shot(options.report, WIDTH, options.height))).convert("RGB")
    # of the usual way rare colours, such as those of a legend, would be lost
    picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(options.out, optimize=True)
    print(f"{options.out}: {options.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
