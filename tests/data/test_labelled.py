"""The data as they are trained on: relabelled, with their folds, by one function."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny
from toolkit.competition import Competition
from toolkit.data.data_folder import data_hash, open_dataset
from toolkit.data.dataset import relabel
from toolkit.data.folds import folds_hash, read_folds, stored_folds
from toolkit.data.labelled import confusions, open_labelled
from toolkit.errors import UserError
from toolkit.metrics.lists import MAP
from toolkit.rules import Rules
from toolkit.task import UNKNOWN


def test_it_holds_the_data_as_the_cleaning_list_has_them(tmp_path: Path) -> None:
    project = tiny.project(tmp_path)
    workspace = project.workspace
    workspace.folder.mkdir(parents=True)
    workspace.cleaning.write_text("index,action,value\n0,relabel,blue\n4,relabel,red\n7,drop,unscored\n8,drop,\n")
    project.folds(3, holdout=0.2)
    labelled, dataset, table = project.labelled(), open_dataset(workspace.data), read_folds(workspace)
    expected = dataset.targets.copy()
    assert (labelled.truth == expected).all() and np.flatnonzero(~labelled.trained).tolist() == [7, 8]
    expected[[0, 4]] = 2, 0
    assert (labelled.targets == expected).all() and labelled.relabels.tolist() == [[0, 2], [4, 0]]
    assert labelled.folds == 3 and (labelled.fold == table["fold"]).all() and (labelled.group == table["group"]).all()
    assert sorted(np.concatenate([labelled.rows(k) for k in range(3)])) == np.flatnonzero(labelled.inside).tolist()
    for k in range(3):
        rows = labelled.training_rows(k)
        assert (labelled.fold[rows] >= 0).all() and not {7, 8, *labelled.rows(k)} & set(rows)
    assert labelled.fold[7] == -1 and labelled.fold[8] != -1
    assert {-1, -2} == set(labelled.fold[~labelled.inside])
    assert (labelled.data_hash, labelled.folds_hash) == (data_hash(workspace.data), folds_hash(table))
    assert not labelled.masks and labelled.probability_shape(5) == (5, 3)
    assert repr(labelled) == f"Labelled(tiny-practice: 72 samples in 3 folds, {len(labelled.test_images)} test images)"


def test_a_cleaning_list_that_changed_since_the_folds_is_refused_unless_the_table_is_given(tmp_path: Path) -> None:
    project = tiny.prepare(tmp_path)
    project.workspace.cleaning.write_text("index,action,value\n5,drop,\n")
    with pytest.raises(UserError, match=r"has changed since the folds; run `compete folds` again"):
        project.labelled()
    table = stored_folds(project.workspace)
    assert table is not None
    assert open_labelled(project.competition, project.workspace, table).folds_hash == folds_hash(table)


def test_newcomers_are_unknown_where_they_are_validated_and_learnt_elsewhere(tmp_path: Path) -> None:
    project = tiny.prepare(tmp_path)
    data, table = open_dataset(project.workspace.data), read_folds(project.workspace)
    row = int(np.flatnonzero(table["fold"] == 0)[0])
    table["newcomer"] = np.arange(len(table)) == row
    task: Any = replace(tiny.competition.task, unknown="new")  # type: ignore[type-var]
    labelled = open_labelled(replace(tiny.competition, task=task, metric=MAP(1)), project.workspace, table)
    assert labelled.truth[row] == UNKNOWN and labelled.targets[row] == data.targets[row]
    assert row not in labelled.training_rows(0) and row in labelled.training_rows(1)
    learnt = relabel(labelled.truth, labelled.training_relabels(1))
    assert learnt[row] == data.targets[row] and not len(labelled.relabels)


def test_rules_say_whether_test_images_may_be_looked_at(tmp_path: Path) -> None:
    labelled = tiny.prepare(tmp_path).labelled()
    assert labelled.has_test_images
    for allowed in (True, False):
        competition = replace(labelled.competition, rules=Rules(unlabelled_test_images=allowed))
        assert replace(labelled, competition=competition).may_look_at_test_images is allowed
        without = replace(labelled, competition=competition, test_images=labelled.test_images[:0])
        assert not without.may_look_at_test_images


def test_confusions_count_each_sample_by_its_decoded_label(mars: Competition) -> None:
    targets = np.array([[[0, 1], [2, 2]], [[4, 4], [4, 3]]], np.uint8)
    stored = (np.eye(5)[[[[1, 1], [2, 3]], [[4, 4], [1, 3]]]].transpose(0, 3, 1, 2) * 255).astype(np.uint8)
    counted = confusions(mars, targets, stored)
    pairs = [[(0, 1), (1, 1), (2, 2), (2, 3)], [(4, 4), (4, 4), (4, 1), (3, 3)]]  # truth, predicted
    assert counted.sum() == 8 and all(counted[row][pair] for row in (0, 1) for pair in pairs[row])
    assert counted[1, 4, 4] == 2
