"""A student learns from test images what its own fold's teacher predicts, pixel by pixel, and nothing else."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import RGB
from tests.tiny import FIRST, competition, looking, make_job, prepare, train
from tests.training import same
from toolkit import Project, Pseudo, UserError, override, predict
from toolkit.checked import keep
from toolkit.data.data_folder import open_dataset
from toolkit.data.dataset import Dataset
from toolkit.probabilities import open_probabilities, write_probabilities
from toolkit.runs import Run, all_runs
from toolkit.store import hash_file, read_json
from toolkit.training import cross_validation
from toolkit.training.fold import fit_fold
from toolkit.training.pseudo_labels import Taught, Teacher, teach
from toolkit.training.saving import store_oof

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
PSEUDO = ("pseudo.rounds=1", "pseudo.confidence=0", "schedule.epochs=2")
MakeTeacher = Callable[..., Teacher]


@pytest.fixture
def make_teacher(tmp_path: Path) -> MakeTeacher:
    """A teacher that gives an image or pixel of value v: v / 255 for the first class, the rest for the second."""

    def make(images: np.ndarray, masks: bool, *overrides: str, fold: int = 0) -> Teacher:
        first = (images[..., 0] if masks else images[:, 0, 0, 0]) / np.float32(255)
        predicted = np.stack([first, 1 - first], 1)
        write_probabilities(tmp_path / "taught.npy", [predicted], predicted.shape, np.uint8 if masks else np.float16)
        rows = np.arange(len(images))
        targets = np.zeros(images.shape[:3] if masks else len(images), np.uint8 if masks else np.int64)
        dataset = Dataset(images, targets, rows, rows, images)
        recipe = override(FIRST, ["pseudo.confidence=0", "augment.mixup=0", "augment.cutmix=0", *overrides])
        return Teacher(dataset, tmp_path / "taught.npy", recipe, fold, CPU, RGB)

    return make


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (count, 16, 24, 1)).astype(np.uint8)


def slopes(count: int) -> np.ndarray:
    """Values from 60 to 240 that rise by less than 5 a pixel, another way in each image."""
    down, across = np.mgrid[:16, :24]
    ways = np.random.default_rng(0).uniform(-4, 4, (count, 2, 1, 1))
    values = np.rint(150 + ways[:, 0] * (down - 7.5) + ways[:, 1] * (across - 11.5))
    return values.clip(60, 240).astype(np.uint8)[..., None]


def taught(teacher: Teacher, batches: int = 12) -> Iterator[Taught]:
    return (teacher.batch(number // 4, number % 4) for number in range(batches))


@pytest.mark.parametrize("overrides", [(), ("augment.cutmix=1",)])
def test_probabilities_follow_flips_and_cutmix(overrides: tuple[str, ...], make_teacher: MakeTeacher) -> None:
    moved = mixed = 0
    images = noise(20)
    for batch in taught(make_teacher(images, True, "augment.flip=both", *overrides)):
        assert torch.allclose(batch.probabilities[:, 0], batch.images[:, 0].float() / 255, rtol=0, atol=1e-6)
        assert torch.allclose(batch.probabilities.sum(1), torch.ones(8, 16, 24), rtol=0, atol=1e-6)
        assert torch.allclose(batch.weight, batch.probabilities.amax(1))
        for image in batch.images[:, 0].numpy():
            flips = [image, image[::-1], image[:, ::-1], image[::-1, ::-1]]
            whole = [any((images[..., 0] == flip).all((1, 2))) for flip in flips]
            moved += any(whole[1:])
            mixed += not any(whole)
    assert moved + mixed > 50 and bool(mixed) == bool(overrides)


def test_probabilities_follow_turns_and_shifts_and_what_is_from_outside_has_no_weight(
    make_teacher: MakeTeacher,
) -> None:
    words = [f"augment.{word}" for word in ("rotate=40", "scale=0.2", "shift=0.2", "cutmix=0.5")]
    outside = 0
    for batch in taught(make_teacher(slopes(20), True, *words)):
        values, weight = batch.images[:, 0].float(), batch.weight
        assert (weight[values == 0] == 0).all()
        outside += int((weight == 0).sum())
        # a pixel between the picture and the black around it is darker than the place that it comes from
        within = torch.nn.functional.max_pool2d((weight == 0).float()[:, None], 3, 1, 1)[:, 0] == 0
        error = (255 * batch.probabilities[:, 0] - values).abs()[within]
        assert error.quantile(0.98) < 5, "half a pixel of slope, but where pieces meet"
        assert torch.allclose(weight, batch.probabilities.amax(1) * (weight > 0))
    assert outside > 1000


def test_what_the_teacher_is_unsure_of_has_no_weight(make_teacher: MakeTeacher) -> None:
    for masks in (True, False):
        batches = list(taught(make_teacher(noise(20), masks, "pseudo.confidence=0.7")))
        best = torch.cat([batch.probabilities for batch in batches]).amax(1)
        weight = torch.cat([batch.weight for batch in batches])
        assert torch.equal(weight, best * (best >= 0.7)) and 0 < (weight > 0).float().mean() < 1


@pytest.mark.parametrize("way", ["mixup", "cutmix"])
def test_labels_are_mixed_as_their_images_are(way: str, make_teacher: MakeTeacher) -> None:
    images = np.broadcast_to(np.arange(1, 241, 12, dtype=np.uint8)[:, None, None, None], (20, 16, 24, 1)).copy()
    between = 0
    for batch in taught(make_teacher(images, False, f"augment.{way}=1")):
        values = batch.images.float().mean((1, 2, 3))
        assert torch.allclose(255 * batch.probabilities[:, 0], values, rtol=0, atol=1.1)  # of 255, as images are whole
        between += len(set(values.round().tolist()) - set(images[:, 0, 0, 0].tolist()))
    assert between > 20


def test_a_batch_follows_from_seed_fold_epoch_and_step(make_teacher: MakeTeacher) -> None:
    images = noise(20)
    teacher = make_teacher(images, True)
    teacher.batch(0, 0)
    wanted = teacher.batch(1, 2)
    assert torch.equal(wanted.images, make_teacher(images, True).batch(1, 2).images)
    others = [teacher.batch(1, 1), teacher.batch(2, 2), make_teacher(images, True, fold=1).batch(1, 2)]
    others += [make_teacher(images, True, "seed=1").batch(1, 2)]
    assert not any(torch.equal(wanted.images, other.images) for other in others)


def test_neighbours_in_a_batch_are_no_neighbours_in_the_file(make_teacher: MakeTeacher) -> None:
    values = np.repeat(np.arange(1, 241, 30, dtype=np.uint8), 30)  # eight kinds of images, one after the other
    images = np.broadcast_to(values[:, None, None, None], (240, 16, 24, 1)).copy()
    drawn = [batch.images[:, 0, 0, 0] for batch in taught(make_teacher(images, False), 40)]
    alike = torch.stack([kind == kind.roll(1) for kind in drawn]).float().mean()
    assert alike == pytest.approx(1 / 8, abs=0.06)


@pytest.mark.parametrize(("share", "count"), [(0.5, 8), (0.75, 24), (0.2, 2), (0.05, 2)])
def test_test_images_are_their_share_of_a_batch_and_never_one(
    share: float, count: int, make_teacher: MakeTeacher
) -> None:
    assert len(make_teacher(noise(5), True, f"pseudo.share={share}").batch(0, 0).images) == count


def test_a_teacher_writes_what_its_network_predicts(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=1")
    dataset = open_dataset(run.labelled.workspace.data)
    teach(competition, dataset, run.fold(1), CPU, tmp_path / "taught.npy")
    wanted = predict(run.network(1, CPU), dataset.test_images, competition.scored, CPU, "float32")
    assert np.allclose(open_probabilities(tmp_path / "taught.npy"), wanted, atol=1e-3)


def taught_runs(root: Path, *more: str) -> tuple[Run, Run]:
    """The teacher's and the student's run after a round."""
    kept = train(root, *PSEUDO, *more, of=looking)
    teacher, student = sorted(all_runs(kept.labelled), key=lambda run: run.recipe.pseudo.rounds)
    assert [run.recipe.pseudo.rounds for run in (teacher, student)] == [0, 1]
    return teacher, student


def same_folds(one: Run, other: Run) -> list[bool]:
    return [
        ours.weights.read_bytes() == theirs.weights.read_bytes()
        and ours.oof_path.read_bytes() == theirs.oof_path.read_bytes()
        for ours, theirs in zip(one.folds, other.folds, strict=True)
    ]


def test_a_student_depends_on_its_own_folds_teacher_alone(tmp_path: Path) -> None:
    prepare(tmp_path / "one")
    run = train(tmp_path / "one", "schedule.epochs=2")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    other = tmp_path / "two" / run.fold(1).weights.relative_to(tmp_path / "one")
    weights = load_file(other)
    weights["body.head.1.bias"] += torch.tensor([5.0, 0.0, -5.0])
    save_file(weights, other)
    keep([other])
    (teacher, one), (_, two) = (taught_runs(tmp_path / name) for name in ("one", "two"))
    assert same_folds(one, two) == [True, False, True]
    assert not same_folds(teacher, one)[0], "and it does learn from it"


def test_labels_of_a_fold_change_nothing_in_its_teacher_nor_its_student(tmp_path: Path) -> None:
    labelled = prepare(tmp_path / "one").labelled()
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    path = tmp_path / "two" / "tiny-practice" / "data" / "targets.npy"
    targets = np.load(path)
    targets[labelled.rows(0)] += 1
    np.save(path, targets % 3)
    keep([path])
    runs = [taught_runs(tmp_path / name, "loss.balance=0.5", "sampling=0.5") for name in ("one", "two")]
    for one, two in zip(*runs, strict=True):
        assert same_folds(one, two) == [True, False, False]


@pytest.fixture
def ready(tmp_path: Path) -> Project:
    return prepare(tmp_path, of=looking)


def test_rules_that_forbid_test_images_stop_it(tmp_path: Path) -> None:
    strict = prepare(tmp_path)
    with pytest.raises(UserError, match=r"learns from test images, which .* forbids; set pseudo\.rounds=0 \(rule"):
        strict.train(pseudo__rounds=1)
    assert not strict.workspace.train.exists()


def test_without_test_images_it_is_refused_before_anything_is_trained(ready: Project) -> None:
    images = np.load(ready.workspace.data / "test_images.npy")
    np.save(ready.workspace.data / "test_images.npy", images[:0])
    keep([ready.workspace.data / "test_images.npy"])
    with pytest.raises(UserError, match=r"tiny has no test images at hand to learn from; set pseudo\.rounds=0"):
        ready.train(pseudo__rounds=1)
    assert not ready.workspace.train.exists()


def test_a_fold_alone_is_not_trained_as_if_it_had_a_teacher(ready: Project) -> None:
    with pytest.raises(UserError, match=r"a fold alone has no teacher to learn from; train all folds, or set pseudo"):
        ready.train_fold(ready.recipe(pseudo__rounds=1), 0)
    assert not ready.workspace.train.exists()
    quick = ready.recipe(schedule__epochs=1, pseudo__share=0.3)  # which does nothing without rounds
    assert ready.train_fold(quick, 0) == ready.train(quick)


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        pytest.param([0.5, 0.4], 0, id="the first round loses"),
        pytest.param([0.5, 0.5], 0, id="it gains nothing"),
        pytest.param([0.5, 0.6, 0.6], 1, id="the second gains nothing more"),
        pytest.param([0.5, 0.6, 0.7, 0.8], 3, id="each gains"),
    ],
)
def test_a_round_that_does_not_gain_is_dropped_and_the_run_before_stays(
    scores: list[float], kept: int, ready: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[Run] = []

    def scored(run: Run, device: str) -> dict[str, Any]:
        rounds.append(run)
        return store_oof(run, device) | {"score": scores[len(rounds) - 1]}

    monkeypatch.setattr(cross_validation, "store_oof", scored)
    run = ready.train(pseudo__rounds=3, pseudo__share=0.3, schedule__epochs=1, stress="none")
    assert run == rounds[kept] and len(rounds) == len(scores)
    wanted = [Pseudo(), *(Pseudo(rounds=number, share=0.3) for number in range(1, len(scores)))]
    assert [one.recipe.pseudo for one in rounds] == wanted
    for teacher, student in pairwise(rounds):
        assert list(read_json(student.teacher_path).values()) == [hash_file(path) for path in teacher.weights]


def test_a_student_of_a_teacher_that_was_cut_short_begins_anew_when_the_teacher_has_gone_on(tmp_path: Path) -> None:
    students = []
    for name, deadlines in (("cut", (time.monotonic(), None)), ("whole", (None,))):
        labelled = prepare(tmp_path / name, of=looking).labelled()
        for deadline in deadlines:
            recipe = override(FIRST, PSEUDO)
            cross_validation.train(labelled, recipe, device="cpu", stress="none", deadline=deadline)
        students += [run for run in all_runs(labelled) if run.recipe.pseudo.rounds]
    assert all(same_folds(*students))
    assert not any(fold.state.exists() or fold.taught.exists() for fold in students[0].folds)


@pytest.mark.usefixtures("saving_each_epoch")
def test_a_student_interrupted_in_its_last_epoch_ends_with_the_same_bits(tmp_path: Path) -> None:
    job = make_job(tmp_path, *PSEUDO, teacher=tmp_path / "taught.npy")
    predicted = np.random.default_rng(0).dirichlet([1, 1, 1], len(open_dataset(job.data).test_images))
    write_probabilities(tmp_path / "taught.npy", [predicted], predicted.shape, np.float16)

    def interrupt(fold: int, epoch: float, news: str) -> None:
        if epoch > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_fold(job, interrupt)
    assert job.place.state.exists()
    resumed, whole = fit_fold(job), fit_fold(replace(job, folder=tmp_path / "whole"))
    assert same(resumed, whole)


def test_a_head_on_features_alone_is_not_taught(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pseudo\.rounds teach no head trained on features alone"):
        train(tmp_path, *PSEUDO, "schedule.freeze=1", of=looking)
