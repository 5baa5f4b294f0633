"""The command tells where the page lies and what stands at its top, and links to it in a notebook."""

from argparse import Namespace
from pathlib import Path

import pytest

from tests.tiny import prepare, project, train
from toolkit.report import report


@pytest.mark.usefixtures("one_thread")
def test_the_page_is_told_of_and_linked(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=1", stress="none")
    found = report(project(tmp_path), Namespace())
    page = str(tmp_path / "tiny-practice" / "report.html")
    assert found.told() == [f"report written: {page} (1 run)"]
    scores = {"clean": run.metrics["clean"], "stress": None, "matched": None, "holdout": None}
    assert found.as_json() == {"report": page, "of": run.name, "runs": 1, **scores, "unseen_choices": []}
    assert f'<a href="{page}"' in found._repr_html_()
