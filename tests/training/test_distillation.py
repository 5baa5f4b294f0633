"""One network learns what a blend says, and its fold's labels reach it on no way."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tiny import FIRST, Heard, looking, make_job, prepare, train
from toolkit import Project, UserError, override, predict
from toolkit.checked import keep
from toolkit.data.data_folder import open_dataset
from toolkit.probabilities import open_probabilities, write_probabilities
from toolkit.runs import Run
from toolkit.store import write_json
from toolkit.training import distillation
from toolkit.training.distillation import BlendTeacher
from toolkit.training.fold import fit_fold
from toolkit.training.pseudo_labels import Teacher

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
STUDENT = ("distil.blend=mean", "schedule.epochs=2", "seed=3")


def blended(root: Path) -> Project:
    """Two runs of an epoch and their mean."""
    project = prepare(root)
    runs = [project.train(name, schedule__epochs=1, stress="none") for name in ("first", "second")]
    project.ensemble(runs, views=["none"], blender="mean")
    return project


@pytest.fixture
def made(tmp_path: Path) -> Project:
    return blended(tmp_path / "one")


def student(project: Project, *more: str) -> Run:
    return project.train(project.choose_recipe(None, (*STUDENT, *more)), stress="none")


def same_folds(one: Run, other: Run) -> list[bool]:
    return [a.weights.read_bytes() == b.weights.read_bytes() for a, b in zip(one.folds, other.folds, strict=True)]


def test_it_is_taught_by_the_mixture_of_its_own_folds_networks(made: Project, tmp_path: Path) -> None:
    labelled, runs, path = made.labelled(), made.runs(), tmp_path / "taught.npy"
    rows = labelled.training_rows(1)
    shares = {runs[0].name: 0.75, runs[1].name: 0.25}
    distillation.teach(labelled, BlendTeacher("two", [shares] * 3), 1, rows, CPU, path)
    said = [predict(run.network(1, CPU), labelled.images[rows], (0, 1, 2), CPU, "float32") for run in runs]
    assert np.allclose(open_probabilities(path), 0.75 * said[0] + 0.25 * said[1], atol=1e-3)


def test_labels_of_a_fold_do_not_reach_its_student(made: Project, tmp_path: Path) -> None:
    labelled = made.labelled()
    shutil.copytree(tmp_path / "one" / "tiny-practice" / "data", tmp_path / "data")
    targets = np.load(tmp_path / "data" / "targets.npy")
    targets[labelled.rows(0)] += 1
    other = prepare(tmp_path / "two")
    np.save(other.workspace.data / "targets.npy", targets % 3)
    keep([other.workspace.data / "targets.npy"])
    other.ensemble(
        [other.train(name, schedule__epochs=1, stress="none") for name in ("first", "second")],
        views=["none"],
        blender="mean",
    )
    assert same_folds(student(made), student(other)) == [True, False, False]


def test_each_fold_learns_from_the_blends_networks_of_that_fold_alone(made: Project, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    other = prepare(tmp_path / "two")
    weights = other.runs()[0].fold(1).weights
    changed = load_file(weights)
    changed["body.head.1.bias"] += torch.tensor([5.0, 0.0, -5.0])
    save_file(changed, weights)
    keep([weights])
    assert same_folds(student(made), student(other)) == [True, False, True]


def test_all_that_a_blend_says_of_training_images_counts(tmp_path: Path, made: Project) -> None:
    dataset, rows = made.labelled(), np.arange(5, 30)
    first = dataset.images[rows, 0, 0, 0] / np.float32(255)
    predicted = np.stack([first, 1 - first, 0 * first], 1)
    write_probabilities(tmp_path / "taught.npy", [predicted], predicted.shape, np.float16)
    recipe = override(FIRST, ["distil.blend=mean", "distil.share=0.75", "augment.mixup=0", "augment.cutmix=0"])
    data = open_dataset(made.workspace.data)
    teacher = Teacher(data, tmp_path / "taught.npy", recipe, 0, CPU, (0, 1, 2), rows=rows)
    batch = teacher.batch(0, 0)
    assert len(batch.images) == 24 and teacher.share == 0.75 and (batch.weight == 1).all()
    values = batch.images[:, 0, 0, 0].float() / 255
    assert not torch.allclose(batch.probabilities[:, 0], values, atol=1e-3)  # flipped: another corner
    left, right = batch.images[:, 0, 0, 0].float() / 255, batch.images[:, 0, 0, -1].float() / 255
    near = torch.minimum((batch.probabilities[:, 0] - left).abs(), (batch.probabilities[:, 0] - right).abs())
    assert near.max() < 1e-3


def test_a_finished_student_keeps_its_teacher_and_another_begins_anew(made: Project) -> None:
    run = student(made)
    known = [fold.weights.read_bytes() for fold in run.folds]
    made.ensemble([*made.runs()], views=["none"], blender="mean")  # now with the student in it
    assert [fold.weights.read_bytes() for fold in student(made).folds] == known
    heard = Heard()
    distillation.forget_other_teacher(run, {"fold_0": "another"}, heard)
    assert not run.folds[0].weights.exists() and "begun anew" in str(heard)
    with pytest.raises(UserError, match=r"there is no blend .*greedy on the present data and folds"):
        student(made, "distil.blend=greedy")
    with pytest.raises(UserError, match="a fold alone has no teacher"):
        made.train_fold(made.choose_recipe(None, STUDENT), 0)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("pseudo.rounds=1", "the only one: leave out sets.… and pseudo.rounds"),
        ("schedule.patience=2", "choose by training samples"),
        ("schedule.average=soup", "choose by training samples"),
        ("schedule.freeze=1", "teaches no head trained on features alone"),
    ],
)
def test_what_cannot_be_together_is_refused(field: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        train(tmp_path, *STUDENT, field, of=looking)


def test_a_recipe_without_a_teacher_is_the_same_as_before() -> None:
    assert override(FIRST, ["distil.blend="]).hash == FIRST.hash


def test_a_fold_that_is_trained_again_has_its_teacher_too(made: Project) -> None:
    run = student(made)
    known = [fold.weights.read_bytes() for fold in run.folds]
    shutil.rmtree(run.folds[1].folder)
    again = student(made)
    assert again.complete and [fold.weights.read_bytes() for fold in again.folds] == known
    with pytest.raises(UserError, match="first learns from a teacher, and fold 0 has none"):
        fit_fold(make_job(made.workspace.root / "alone", "distil.blend=mean"))


def test_boosted_trees_teach_nothing(made: Project) -> None:
    folder = made.workspace.train / "boosted-12345678"
    folder.mkdir()
    sources = [run.name for run in made.runs()]
    write_json(folder / "boosted.json", {"name": "boosted", "features": sources, "seed": 0})
    with pytest.raises(UserError, match="boosted-12345678 has no networks that could teach another"):
        BlendTeacher("two", [{folder.name: 0.5, sources[0]: 0.5}] * 3).identity(made.labelled())
