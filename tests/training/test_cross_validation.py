"""What folds are trained on and scored by: the split and the labels as they were when the run began."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from toolkit.data.dataset import open_dataset
from toolkit.metrics import confusion_matrix
from toolkit.probabilities import probabilities
from toolkit.training.cross_validation import prepare, train

HEAD = "index,action,value\n"


def test_jobs_leave_the_holdout_alone_and_are_small(tmp_path: Path) -> None:
    project = tiny.prepare(tmp_path)
    project.folds(2, holdout=0.25)
    labelled = project.labelled()
    _, jobs = prepare(labelled, project.recipe())
    held = set(np.flatnonzero(~labelled.inside))
    assert len(jobs) == 2 and held
    for job in jobs:
        assert not held & {*job.train_rows, *job.valid_rows}
        assert len(pickle.dumps(job)) < 10_000


def test_training_and_scores_obey_a_relabelled_sample_and_no_edit_that_comes_later(tmp_path: Path) -> None:
    project = tiny.prepare(tmp_path)
    workspace, labels = project.workspace, np.array(open_dataset(project.workspace.data).targets)
    rows = [3, 9]
    workspace.cleaning.write_text(HEAD + "".join(f"{row},relabel,{(labels[row] + 1) % 3}\n" for row in rows))
    project.folds(2)
    labelled = project.labelled()
    workspace.cleaning.write_text(HEAD + "5,drop,\n")  # by a person who looks at the list while this runs
    labels[rows] = (labels[rows] + 1) % 3
    recipe = project.choose_recipe(None, ("schedule.epochs=1",))
    _, jobs = prepare(labelled, recipe)
    for job in jobs:
        assert {tuple(line) for line in job.relabels} == {(row, labels[row]) for row in rows}
    run = train(labelled, recipe, stress="none")
    matrix = confusion_matrix(labels, project.competition.decode(probabilities(run.oof)), 3)
    assert run.score == pytest.approx(np.trace(matrix) / matrix.sum())
