"""Competitions of the smallest sizes: each command goes through, or ends in one sentence."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset
from toolkit.errors import UserError
from toolkit.progress import SILENT
from toolkit.project import Project
from toolkit.task import Classification

TWO = Classification(("one", "other"), (8, 8, 3))
Edit = Callable[[Dataset], Dataset]


def project(root: Path, of: Competition = tiny.looking, edit: Edit = lambda data: data, number: int = 24) -> Project:
    """The tiny competition with edited data, not loaded yet."""
    tiny.practice(root, 0, number)
    made = replace(of, load=lambda folder: edit(tiny.arrays(tiny.competition, folder)), folder=of.folder)
    return Project(made, data=root / "raw", workspace=root / "w", submissions=root / "s", workers=1, progress=SILENT)


def of_groups(number: int) -> Edit:
    return lambda data: replace(data, groups=np.arange(len(data.targets)) // 3 % number)


@pytest.mark.parametrize("tests", [1, 2, 3])
def test_few_test_images_say_nothing_of_a_shift(tests: int, tmp_path: Path) -> None:
    made = project(tmp_path, edit=lambda data: replace(data, test_images=data.test_images[:tests]))
    audit = made.audit()
    assert audit.shift is None
    made.folds(2)
    assert not made.labelled().shows_how_tests_look


def test_no_test_image_is_said_at_the_audit(tmp_path: Path) -> None:
    made = project(tmp_path, edit=lambda data: replace(data, test_images=data.test_images[:0]))
    assert "load found no test image" in str(made.audit().told())


@pytest.mark.parametrize("kind", ["alone", "copies", "black"])
def test_a_class_of_one_distinct_picture_beside_one_other(kind: str, tmp_path: Path) -> None:
    def edit(data: Dataset) -> Dataset:
        images, targets = data.images.copy(), data.targets % 2
        if kind == "alone":
            targets = (np.arange(len(targets)) == 1).astype(np.int64)
        else:
            images[targets == 1] = images[1] if kind == "copies" else 0
        return replace(data, images=images, targets=targets)

    project(tmp_path, replace(tiny.looking, task=TWO), edit).audit()


def test_black_pictures_alone_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="every one of the 24 images is black"):
        project(tmp_path, edit=lambda data: replace(data, images=data.images * 0)).audit()


@pytest.mark.parametrize(("groups", "folds"), [(2, 2), (4, 4), (8, 5)])
def test_without_a_number_there_are_as_many_folds_as_groups_fill(groups: int, folds: int, tmp_path: Path) -> None:
    made = tiny.prepare(tmp_path, 2, of=replace(tiny.competition, load=edited(of_groups(groups))))
    made.workspace.folds.unlink()
    split = made.folds()
    assert split.folds == folds
    assert (f"{folds} folds, not 5: each takes a whole group" in str(split.told())) == (folds < 5)
    with pytest.raises(UserError, match=f"{groups} groups can't fill 9 folds"):
        made.folds(9)


def edited(edit: Edit) -> Callable[[Path], Dataset]:
    return lambda folder: edit(tiny.arrays(tiny.competition, folder))


@pytest.mark.parametrize("field", ["schedule.patience=2", "schedule.average=soup"])
@pytest.mark.parametrize("groups", [2, 4])
def test_few_groups_and_what_is_watched(field: str, groups: int, tmp_path: Path) -> None:
    of = replace(tiny.competition, load=edited(of_groups(groups)))
    made = tiny.prepare(tmp_path, 2, of=of)
    recipe = made.choose_recipe(None, [field, "schedule.epochs=3"])
    if groups == 4:
        assert made.train(recipe, stress="none").complete
        return
    with pytest.raises(UserError, match=r"fold 0 is trained on one group alone.*schedule\.patience=0"):
        made.train(recipe, stress="none")


def test_a_fold_of_one_training_sample_is_refused(tmp_path: Path) -> None:
    def edit(data: Dataset) -> Dataset:
        return replace(data, groups=(np.arange(len(data.targets)) > 0).astype(np.int64))

    made = tiny.prepare(tmp_path, 2, of=replace(tiny.competition, load=edited(edit)))
    with pytest.raises(UserError, match="would be trained on 1 sample, and it takes 2 at least"):
        made.train(stress="none")
