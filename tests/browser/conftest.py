"""Debian's Chromium, started once for the tests of this folder; without one they are skipped."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, sync_playwright

from tests.pages.sample import sample_page
from toolkit.pages.html import render

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = ("background-networking", "component-update", "sync", "gpu", "dev-shm-usage")
FLAGS = ["--headless", "--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET)]

Opener = Callable[..., Page]


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Not for the session: while it is open no other test can run an event loop."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("there is no Chromium on this machine (apt-get install chromium)")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "report.html"
    path.write_text(render(sample_page()), encoding="utf-8")
    return path


@pytest.fixture
def opened(chromium: Browser, sample: Path) -> Iterator[Opener]:
    """Opens a page in a window of its own; the test fails where one said or raised an error."""
    wrong: list[ConsoleMessage | Error] = []
    contexts = []

    def open_page(path: Path = sample, width: int = 1200, permissions: tuple[str, ...] = (), **given: Any) -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, permissions=list(permissions), reduced_motion="reduce", **given
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(4_000)
        page.on("console", lambda message: wrong.append(message) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(error))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [str(one) for one in wrong] == []
