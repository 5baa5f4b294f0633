"""The notebook of the docs runs as it is, quickly, and what is committed of it holds no outputs."""

import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.conftest import ROOT

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


def test_the_notebook_goes_from_raw_files_to_a_report(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=90, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})  # a cell that fails raises
    workspace = tmp_path / "workspace"
    assert list(workspace.glob("submissions/mars-practice/*.csv")) and list(workspace.glob("*/report.html"))


def test_the_notebook_is_committed_clean() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert len(notebook.cells) < 20
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
