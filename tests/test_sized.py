"""Masks of many sizes through every command: what is scored, written, read back and graded has each picture's size."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import sized
from toolkit import Competition, UserError
from toolkit.data.loading import load
from toolkit.formats.run_lengths import from_run_lengths
from toolkit.progress import SILENT
from toolkit.project import Project
from toolkit.submission.build import _answers

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")
TILES = replace(sized.competition, name="tiles", load=sized.load_tiles)


def made(of: Competition, root: Path) -> Project:
    """Of few sheets."""
    small = replace(of, practice_size=12 if of is TILES else 30)
    return Project(small, practice=True, progress=SILENT, workers=0, workspace=root, submissions=root / "submissions")


@pytest.mark.parametrize("of", [sized.competition, TILES], ids=["whole", "tiles"])
def test_every_command_at_the_pictures_own_sizes(of: Competition, tmp_path: Path) -> None:
    project = made(of, tmp_path)
    load(of, project.workspace, project.raw)
    project.folds(2, holdout=0.2)
    project.train("first", stress="none", schedule__epochs=6)
    run = project.train("first", seed=1, stress="none" if of is TILES else "auto", schedule__epochs=6)
    clean = run.metrics["clean"]
    assert clean["score"] > 0.75 and clean["resized"]["score"] > 0.75 and clean["score"] != clean["resized"]["score"]
    assert run.tally().score() == clean["score"] and len(run.tally()) == run.labelled.inside.sum()
    told = str(run.told())
    assert "at the task's size, as stress and matched are" in told
    blend = project.ensemble()
    assert "at the task's size, at which runs are blended" in " ".join(map(str, blend.told()))
    submission = project.submit()
    assert submission.scores["holdout"]["score"] > 0.75
    with pytest.raises(UserError, match="known answers have the size of the task"):
        _answers(blend, True)
    lines = submission.path.read_text().splitlines()
    assert lines[0] == "id,rle" and [line[:3] for line in lines[1:]] == [f"{at:03}" for at in range(10)]
    tests = [Image.open(path) for path in sorted((project.raw / "test" / "images").glob("*.png"))]
    truth = np.load(project.workspace.practice / "truth" / "truth.npz")["targets"]
    both, start = np.zeros(2, np.int64), 0
    for line, picture in zip(lines[1:], tests, strict=True):
        mask = from_run_lengths(line.partition(",")[2], picture.size[::-1])
        known = truth[start : start + mask.size].reshape(mask.shape)
        both += np.array([(mask & (known == 1)).sum(), (mask | (known == 1)).sum()])
        start += mask.size
    graded = project.grade()
    assert graded.samples == 10 and graded.score > 0.75
    assert both[0] / both[1] > 0.7
    words = re.sub(r"<style.*?</style>|base64,[^\"]*|<[^>]*>", " ", project.report().path.read_text(), flags=re.S)
    assert "at the task's size, as stress and matched are" in unescape(words)


def test_a_truth_of_another_size_is_refused(tmp_path: Path) -> None:
    project = Project(
        sized.competition, practice=True, progress=SILENT, workspace=tmp_path, submissions=tmp_path / "s"
    )
    project.audit()
    np.savez(tmp_path / "truth.npz", targets=np.zeros((10, 16, 16), np.uint8))
    with pytest.raises(UserError, match=r"expected uint8 \(\d+,\): the pixels of all masks, one mask after the other"):
        project.grade(tmp_path / "any.csv", tmp_path / "truth.npz")
