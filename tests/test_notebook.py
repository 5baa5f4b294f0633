"""The notebook of the docs runs, here in fewer epochs, and what is committed of it holds no outputs."""

import os
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.conftest import ROOT

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


def executed(notebook: Any, folder: Path, **more: Any) -> Any:
    """The notebook with its outputs, run in `folder`; a cell that fails raises."""
    client = NotebookClient(notebook, timeout=90, resources={"metadata": {"path": str(folder)}}, **more)
    return client.execute(env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})


def test_the_notebook_goes_from_raw_files_to_a_report(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("schedule__epochs=5", "schedule__epochs=1, precision='float32'")
    executed(notebook, tmp_path)
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
