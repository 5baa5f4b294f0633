"""Slides larger than the network's images, cut into tiles, through every command to run lengths at their own size."""

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import slide_bags, slides
from toolkit import Competition, Project
from toolkit.data.data_folder import open_dataset
from toolkit.progress import SILENT

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")


def opened(competition: Competition, folder: Path) -> Project:
    places: dict[str, Any] = {"workspace": folder, "submissions": folder / "submissions"}
    return Project(competition, practice=True, progress=SILENT, workers=0, **places)


def test_the_example_of_the_guide_is_the_one_that_is_tried() -> None:
    guide = (Path(__file__).parent.parent / "docs" / "data.md").read_text()
    assert inspect.getsource(slides.load) in guide


def iou(found: np.ndarray, true: np.ndarray) -> float:
    return float((found & true).sum() / (found | true).sum())


def test_slides_go_through_every_command(tmp_path: Path) -> None:
    project = opened(slides.competition, tmp_path)
    audit = project.audit()
    assert all(audit.told())
    data = open_dataset(project.workspace.data)
    assert data.places is not None and data.test_places is not None and data.native is not None
    assert len(data.native) == sum(height * width for height, width in slides.SIZES[: slides.TRAIN])
    project.folds(2)
    labelled = project.labelled()
    assert all(len(np.unique(labelled.fold[data.places[:, 0] == slide])) == 1 for slide in range(slides.TRAIN))
    runs = [project.train("first", seed=seed, stress="none") for seed in (0, 1)]
    blend = project.ensemble()
    submission = project.submit()
    json.dumps(submission.as_json())
    sizes = np.array(slides.SIZES[slides.TRAIN :])
    names = np.array(slides.NAMES[slides.TRAIN :])
    masks = slides.competition.read_submission(submission.path, sizes, names)
    scores = []
    for at, size in enumerate(sizes.tolist()):
        image, sick = slides.draw(slides.TRAIN + at, 0)
        assert masks[at].shape == tuple(size) == sick.shape
        scores.append(iou(masks[at] == 1, sick))
        assert masks[at][(image > 230).all(2)].mean() < 0.05
    assert min(scores) > 0.8 and blend.score > 0.8 and runs[0].metrics["clean"]["score"] > 0.8
    assert project.report().path.stat().st_size > 10_000


def test_a_slide_is_a_bag_of_its_tiles(tmp_path: Path) -> None:
    project = opened(slide_bags.competition, tmp_path)
    project.audit()
    project.folds(2)
    labelled = project.labelled()
    assert labelled.names.tolist() == slides.NAMES[: slides.TRAIN] and len(labelled.images) == slides.TRAIN
    run = project.train("first", schedule__epochs=1, stress="none")
    assert run.oof.shape == (slides.TRAIN, 2)
    lines = project.submit().path.read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["id", *slides.NAMES[slides.TRAIN :]]
