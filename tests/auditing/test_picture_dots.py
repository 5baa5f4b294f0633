"""The map on the page: how dots are coloured and called, for every kind of target."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import kinds, tiny
from tests.kinds import KINDS
from toolkit import Classification
from toolkit.auditing.picture_dots import COLOURED, SIDE, classes_of, dots, small
from toolkit.auditing.picture_map import PictureMap


@pytest.mark.parametrize("kind", KINDS)
def test_every_picture_has_a_group(kind: str) -> None:
    targets = kinds.drawn(kind).targets
    names, of = classes_of(targets, kinds.competition(kind))
    lacking = np.isnan(targets[:, 0]) if kind == "numbers" else np.zeros(len(targets), bool)
    assert ((of == -1) == lacking).all() and of.max() < len(names) <= COLOURED + 1
    assert len(set(names)) == len(names)


def test_of_many_classes_the_largest_have_a_colour() -> None:
    task = Classification(tuple(map(str, range(40))), kinds.SHAPE)
    of_task = replace(kinds.competition("classes"), task=task)
    names, of = classes_of(np.repeat(np.arange(40), np.arange(40) + 1), of_task)
    assert names[-1] == "28 others" and names[:-1] == [str(at) for at in range(28, 40)]
    assert (of == COLOURED).sum() == sum(range(1, 29))


def test_findings_folds_and_test_images_are_told_apart(tmp_path: Path) -> None:
    project = tiny.prepare(tmp_path)
    data = project.audit().dataset
    proposal = pd.DataFrame({"index": [0, 1, 2, 2], "action": ["drop", "drop?", "group", "relabel?"]})
    plane = PictureMap(np.zeros((5, 2), np.float32), np.arange(3), np.arange(2), "edges")
    made = dots(project.competition, project.workspace, data, proposal, plane)
    by = {each.name: [each.names[at] for at in each.of] for each in made.by}
    assert by["finding"] == ["left out", "a suggestion waits", "a suggestion waits", "test images", "test images"]
    assert by["class"][:3] == ["red", "green", "blue"] and all(name.startswith("fold ") for name in by["fold"][:3])
    assert made.labels[3] == "test image 0" and "3 of" in made.note
    assert made.thumbnails is not None and made.thumbnails.shape == (5, SIDE, SIDE, 3)


def test_a_thumbnail_shows_the_whole_picture() -> None:
    wide = np.full((1, 10, 40, 1), 9, np.uint8)
    (thumbnail,) = small(wide, np.arange(1))
    assert thumbnail[SIDE // 2, 0, 0] == 9 and thumbnail[0, 0].tolist() == [128] * 3
