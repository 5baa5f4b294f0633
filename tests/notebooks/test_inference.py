"""The script of a notebook, run as Kaggle runs it, says what the submission that is built here says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny
from toolkit.blending.blend_folder import Blend
from toolkit.notebooks.build import write_notebook
from toolkit.notebooks.bundle import names_in
from toolkit.project import Project
from toolkit.store import read_json
from toolkit.submission.ledger import content_hash

pytestmark = pytest.mark.usefixtures("forked_exports")
LACKING = ("segmentation_models_pytorch", "simplejpeg", "cleanlab", "faiss", "optuna", "rich", "kaggle", "imagecodecs")


def two_runs(root: Path) -> tuple[Project, Blend]:
    """Two recipes, the second at another weight, through two views."""
    project = tiny.prepare(root)
    for recipe in ("first", "second"):
        tiny.train(root, "schedule.epochs=1", recipe=recipe, stress="none")
    return project, project.ensemble(views=["identity", "horizontal"], blender="mean")


def run_script(folder: Path, inputs: Path, out: Path) -> subprocess.CompletedProcess[str]:
    out.mkdir()
    environment = {"PATH": os.environ["PATH"], "KAGGLE_INPUT": str(inputs), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", str(folder / "kernel" / "script.py")]
    return subprocess.run(command, cwd=out, env=environment, capture_output=True, text=True, check=False)


def test_the_script_says_what_the_submission_says(tmp_path: Path) -> None:
    project, blend = two_runs(tmp_path)
    here = project.submit().path
    inputs, made = tmp_path / "input", tmp_path / "made"
    write_notebook(blend, made, names_in(project.raw), "tiny-colours")
    (inputs / "competitions").mkdir(parents=True)
    (inputs / "competitions" / "tiny-colours").symlink_to(project.raw)
    (inputs / "datasets" / "me").mkdir(parents=True)
    (inputs / "datasets" / "me" / "attached").symlink_to(made / "dataset")
    other = inputs / "datasets" / "me" / "another"  # that is attached to the notebook as well
    other.mkdir()
    (other / "bundle.json").write_text("{}")
    ended = run_script(made, inputs, tmp_path / "working")
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "working" / "submission.txt").read_bytes() == here.read_bytes()
    assert "18 of 18" in ended.stdout and "submission.txt is written" in ended.stdout
    figures = read_json(tmp_path / "working" / "inference.json")
    assert figures["images"] == 18 and figures["seconds"] > 0 and figures["seconds_besides"] > 0

    write_notebook(blend, tmp_path / "again", names_in(project.raw), "tiny-colours")
    assert content_hash(tmp_path / "again") == content_hash(made)  # the script left nothing there
    (made / "dataset" / "bundle.json").write_text("{}")
    assert "attach it to the notebook" in run_script(made, inputs, tmp_path / "nothing").stderr


def test_nothing_is_imported_that_kaggle_lacks() -> None:
    code = (
        f"import sys\nfor name in {LACKING}: sys.modules[name] = None\n"
        "import toolkit.notebooks.inference\nfrom toolkit import classifier, segmenter, RocAuc, Samples, tiles"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
