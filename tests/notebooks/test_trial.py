"""A notebook is run as Kaggle would run it: one that is right passes, and each way to fail is a sentence."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests import tiny
from tests.notebooks import leaves
from toolkit.blending.blend import blend as blend_runs
from toolkit.blending.blend_folder import Blend
from toolkit.data.labelled import Labelled
from toolkit.errors import UserError
from toolkit.notebooks import stage, trial
from toolkit.notebooks.build import write_notebook
from toolkit.notebooks.bundle import names_in
from toolkit.notebooks.new_names import NotTried
from toolkit.notebooks.trial import try_notebook
from toolkit.runs import Run
from toolkit.store import write_json
from toolkit.submission.checks import blend_prediction
from toolkit.training.saving import store_test


def of_chance(labelled: Labelled) -> Run:
    """A run of untrained networks, whose predictions of test images are theirs."""
    recipe = leaves.competition.recipes["first"]
    run = Run(labelled.workspace.train / f"{recipe.name}-0", labelled)
    for fold in run.folds:
        torch.manual_seed(fold.number)
        fold.folder.mkdir(parents=True)
        network = labelled.competition.build_model(recipe)
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, fold.weights)
    values = np.random.default_rng(0).dirichlet(np.ones(3), len(labelled.images))
    tiny.leave_run(run, recipe, values)
    store_test(run, "cpu")
    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Blend:
    """A blend of one run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("toolkit.blending.blend.draw", lambda *_: None)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        root = tmp_path_factory.mktemp("leaves")
        project = tiny.prepare(root, 2, of=leaves.competition, holdout=0.25)
        labelled = project.labelled()
        of_chance(labelled)
        result = blend_runs(labelled, views=["none"], device="cpu")
        torch.set_num_threads(threads)
        return result


@pytest.fixture(scope="module")
def raw(made: Blend) -> Path:
    return made.labelled.workspace.practice / "raw"


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def notebook(folder: Path, script: str) -> Path:
    """A folder as a notebook has it, of that script."""
    for part in ("dataset", "kernel"):
        (folder / part).mkdir(parents=True)
    write_json(folder / "dataset" / "bundle.json", {"kaggle": "leaf-diseases", "file": "submission.csv"})
    write_json(folder / "dataset" / "dataset-metadata.json", {"id": "OWNER/leaf-diseases-0123"})
    (folder / "kernel" / "script.py").write_text(script, encoding="utf-8")
    return folder


@pytest.mark.usefixtures("forked_exports")
def test_a_notebook_of_ours_passes(made: Blend, raw: Path, tmp_path: Path) -> None:
    write_notebook(made, tmp_path / "nb", names_in(raw), "leaf-diseases")
    passed = try_notebook(made, raw, tmp_path / "nb", test_images=1000)
    assert passed.visible is not None and passed.hidden is not None and not passed.untried
    assert passed.visible.images == 6 and passed.hidden.images == int(made.labelled.held_out.sum()) != 6
    assert passed.held_out and 0 < passed.score < 10
    assert passed.seconds > 0 and passed.limit == 9 * 3600
    assert [row[0] for row in passed.rows][:3] == [
        "visible test images (6)",
        f"other names and number ({passed.hidden.images})",
        "log loss on these, held out",
    ]
    assert passed.as_json()["test_images"] == 1000


START = """
import os, sys
from pathlib import Path
inputs = Path(os.environ["KAGGLE_INPUT"])
data = inputs / "competitions" / "leaf-diseases"
import pandas as pd
sample = pd.read_csv(data / "sample_submission.csv")
"""
FAULTS = {
    "raises": (
        "raise ValueError('no such thing')",
        r"the notebook fails: ValueError: no such thing \(script.py, line 1\)",
    ),
    "exits": ("import sys; sys.exit('nothing to do')", "the notebook fails: SystemExit: nothing to do"),
    "exits with a number": (
        "import sys; print('no data here', file=sys.stderr); sys.exit(3)",
        r"the notebook fails: no data here \(script.py, line 1\)",
    ),
    "asks for the network": (
        "import urllib.request; urllib.request.urlopen('https://huggingface.co/timm')",
        r"the notebook asks for the network: getaddrinfo huggingface.co \(.*\); a submission has none on Kaggle",
    ),
    "imports what Kaggle lacks": ("import simplejpeg", r"No module named 'simplejpeg' \(script.py, line 1\)"),
    "writes into its input": (
        START + "(inputs / 'cache').write_text('1')",
        r"the notebook writes to .*/input/cache \(.*\); on Kaggle it may write into its working folder alone",
    ),
    "writes at home": ("open('/root/.cached', 'w')", r"the notebook writes to /root/.cached"),
    "writes nothing": ("open('other.txt', 'w').close()", r"the notebook wrote no submission.csv, but other.txt"),
    "too few rows": (
        START + "sample[1:].to_csv('submission.csv', index=False)",
        "the notebook writes what is refused: submission.csv .*",
    ),
    "other values": (
        START + "sample[sample.columns[1:]] = 1 / 3\nsample.to_csv('submission.csv', index=False)",
        "says something else than the blend in .* of 18 places, first of .*: it says 0.33.*, the blend",
    ),
    "reads what isn't there": (
        START + f"open({__file__!r})",
        "the notebook fails: FileNotFoundError: .*the server has no such file",
    ),
    "a visible name by heart": (
        START + "open(data / 'test_images' / 'cafe.png')",
        r"the notebook fails: FileNotFoundError: .*cafe.png",
    ),
    "too slow": ("while True: pass", "the notebook takes longer than 1 s"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_notebook_that_would_fail_there_fails_here(
    fault: str, made: Blend, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, sentence = FAULTS[fault]
    if fault == "too slow":
        monkeypatch.setattr(stage, "SECONDS", 1.0)
    with pytest.raises(UserError, match=f"tried on the visible test images, .*{sentence}") as caught:
        try_notebook(made, raw, notebook(tmp_path / "nb", script))
    assert "\n" not in str(caught.value)
    assert not Path("/root/.cached").exists()


BY_HEART = """
import os, shutil
shutil.copy(os.environ["KAGGLE_INPUT"] + "/leaf-diseases-0123/known.csv", "submission.csv")
"""


def by_heart(folder: Path, made: Blend, raw: Path) -> Path:
    """A notebook that knows the answers to the visible test images, and nothing else."""
    notebook(folder, BY_HEART)
    prediction = blend_prediction(made, 0, "cpu", folder=raw)
    made.labelled.competition.write_submission(prediction, folder / "dataset" / "known.csv")
    return folder


def test_what_is_right_on_visible_images_may_fail_on_hidden_ones(made: Blend, raw: Path, tmp_path: Path) -> None:
    """The usual way to fail on a hidden test."""
    refused = r"tried on \d+ training images under other names, the notebook writes what is refused"
    with pytest.raises(UserError, match=refused):
        try_notebook(made, raw, by_heart(tmp_path / "nb", made, raw))


def test_only_visible_images_are_tried_where_that_is_asked(made: Blend, raw: Path, tmp_path: Path) -> None:
    passed = try_notebook(made, raw, by_heart(tmp_path / "nb", made, raw), visible_only=True)
    assert passed.hidden is None and "on visible images alone" in passed.untried[0]


def test_without_a_way_to_rename_it_is_said_what_was_not_tried(
    made: Blend, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> object:
        raise NotTried("samples are sets of images")

    monkeypatch.setattr(trial, "renamed_folder", refuse)
    passed = try_notebook(made, raw, by_heart(tmp_path / "nb", made, raw))
    assert passed.hidden is None and passed.untried == [
        "samples are sets of images, so a hidden test of other names and number wasn't tried"
    ]
    assert next(row[0] for row in passed.rows) == "visible test images (6)"
