"""README is one page whose commands exist, and links between pages of the documentation lead somewhere."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from toolkit.__main__ import COMMANDS

README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted(ROOT.glob("competitions/*/README.md")) + sorted(ROOT.glob("examples/README.md"))
MOST = 450  # words beside code and the table of contents


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub makes them, and those that have a name of their own."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    named = re.findall(r'<a name="([^"]+)">', text)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads} | set(named)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http", "mailto")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


def test_the_readme_is_one_page() -> None:
    text = re.sub(r"```.*?```", "", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    paragraphs = [part for part in text.split("\n\n") if part.count("](#") < 3]
    words = re.sub(r"\]\([^)]*\)", "]", "\n".join(paragraphs)).split()
    assert len(words) <= MOST
    assert (ROOT / "docs" / "report.png").stat().st_size <= 250_000


def test_commands_of_the_readme_exist() -> None:
    named = re.findall(r"^compete (\w+)", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= set(COMMANDS) and "run" in named
