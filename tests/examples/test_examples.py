"""Every example draws the organisers' files, loads them, and hands in what is graded against its truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.examples import HOME, names
from toolkit import Competition, Masks, Prediction, Workspace, load_competition
from toolkit.answers import NONE, differences, values_of
from toolkit.data.data_folder import open_dataset
from toolkit.data.dataset import Dataset
from toolkit.data.image_sets import in_sets
from toolkit.data.loading import load
from toolkit.data.native import starts_of
from toolkit.data.sample_submission import followed
from toolkit.submission.grading import grade, truth_array

LINES = 60


@pytest.mark.parametrize("name", names())
def test_it_is_read_on_a_screen(name: str) -> None:
    text = (HOME / name / "__init__.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LINES
    assert f"compete run examples/{name} --data FOLDER" in text.split('"""')[1], "how it is run on the real files"


@pytest.mark.parametrize("name", names())
def test_what_is_right_is_written_read_back_and_scores_better_than_what_is_drawn(name: str, tmp_path: Path) -> None:
    competition, workspace = load_competition(HOME / name), Workspace(tmp_path, name)
    competition.practice(tmp_path, 0, competition.practice_size // 2)
    load(competition, workspace, tmp_path / "raw")
    competition, dataset = followed(competition, workspace), in_sets(open_dataset(workspace.data))
    right, wrong = _targets(competition, dataset, tmp_path / "truth" / "truth.npz")
    scores = []
    for said in (right, wrong):
        prediction = _prediction(competition, dataset, said)
        path = tmp_path / f"submission{competition.submission_suffix}"
        competition.write_submission(prediction, path)
        found = competition.read_submission(path, prediction.read_with, prediction.ids)
        assert not differences(found, prediction.answer, competition.tolerance).any()
        scores.append(_graded(competition, dataset, path, prediction, tmp_path))
    assert competition.better(scores[0], scores[1]), "the truth is in the order of the test images"


def _targets(competition: Competition, dataset: Dataset, truth: Path) -> tuple[Any, Any]:
    """What the truth says of each test image, and the same of others."""
    with np.load(truth) as known:
        targets = known["targets"]
    if dataset.test_sizes is None:
        targets = truth_array(competition.task, targets, str(truth))
        return targets, np.roll(targets, len(targets) // 3, axis=0)
    starts, sizes = starts_of(dataset.test_sizes), dataset.test_sizes
    masks = [targets[starts[at] : starts[at + 1]].reshape(sizes[at]) for at in range(len(sizes))]
    return masks, [mask[::-1, ::-1] for mask in masks]


def _prediction(competition: Competition, dataset: Dataset, said: Any) -> Prediction:
    number = len(dataset.test_images) if dataset.test_sizes is None else len(dataset.test_sizes)
    ids = np.arange(number) if dataset.test_ids is None else dataset.test_ids
    if dataset.test_sizes is None:
        return competition.prediction(dataset.test_images, ids, values_of(competition.task, said))
    masks: Any = Masks(number, said.__getitem__, dataset.test_sizes)
    labels, answered = (masks, None) if competition.task.exclusive else (NONE, masks)
    return Prediction(dataset.test_images, ids, labels, (), answered=answered, task=competition.task)


def _graded(competition: Competition, dataset: Dataset, path: Path, prediction: Prediction, folder: Path) -> float:
    return grade(competition, path, folder / "truth" / "truth.npz", prediction.ids, dataset.test_sizes).score
