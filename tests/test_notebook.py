"""The notebook of the docs runs, here in fewer epochs, and what is committed of it holds no outputs."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import nbformat
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from nbclient import NotebookClient

from tests.conftest import ROOT, START

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
QUICKER = {
    "folds(3)": "folds(2)",
    "schedule__epochs=5": "schedule__epochs=1, precision='float32'",
    "input_scale=0.25": "input_scale=0.375",
    "input_scale=0.5": "input_scale=0.25",
}


def executed(notebook: Any, folder: Path, **more: Any) -> Any:
    """The notebook with its outputs, run in `folder`; a cell that fails raises."""
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}, **more)
    return client.execute(env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})


def run_cells(folder: Path, sources: Sequence[str]) -> None:
    """As a notebook does, but for the kernel, whose imports take seconds; the first that fails raises."""
    os.chdir(folder)
    matplotlib.use("agg")
    torch.set_num_threads(1)
    for source in sources:
        InteractiveShell.instance().run_cell(source).raise_error()


def test_the_notebook_goes_from_raw_files_to_a_report(tmp_path: Path) -> None:
    sources = [cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    for given, quicker in QUICKER.items():
        assert given in "".join(sources)
        sources = [source.replace(given, quicker) for source in sources]
    process = START.Process(target=run_cells, args=(tmp_path, sources))
    process.start()
    process.join()
    assert process.exitcode == 0
    workspace = tmp_path / "workspace"
    assert list(workspace.glob("submissions/mars-practice/*.csv")) and list(workspace.glob("*/report.html"))


def test_a_mistake_is_one_sentence_in_a_notebook(tmp_path: Path) -> None:
    cell = nbformat.v4.new_code_cell('import toolkit; toolkit.open("pluto")')
    notebook = executed(nbformat.v4.new_notebook(cells=[cell]), tmp_path, allow_errors=True)
    (output,) = notebook.cells[0].outputs
    assert len(output.traceback) == 1 and output.traceback[0].startswith("error: pluto is not a competition")


def test_the_notebook_is_committed_clean() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert len(notebook.cells) < 20
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)


SLOW = """
import time
from toolkit.screen import here
progress = here()
with progress.phase("train mars", costs={"folds": 3, "test images": 1}):
    with progress.training(2, 4) as watch:
        watch(0, 2.5, "loss 0.4")
        time.sleep(1.2)
        progress.say("a line between")
    time.sleep(1.2)
"""


def test_a_bar_moves_in_a_notebook_while_nothing_is_said_and_lines_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    client = NotebookClient(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SLOW)]), timeout=300)
    heard = client.process_message

    def listening(message: Any, *rest: Any) -> Any:
        if message["msg_type"] == "update_display_data":
            shown.append(message["content"]["data"].get("text/html", ""))
        return heard(message, *rest)

    monkeypatch.setattr(client, "process_message", listening)
    notebook = client.execute(env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert any("23 %, fold 1/2 epoch 3/4 loss 0.4" in text for text in shown), shown
    assert len(shown) >= 4 and shown[-1] == "" and '<progress value="0.234">' in "".join(shown)
    bar, line = notebook.cells[0].outputs
    assert bar["data"]["text/html"] == "" and line["text"] == "a line between\n"
