"""A student learns from test images what its own fold's teacher says, pixel by pixel, and nothing else."""

import argparse
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tiny import FIRST, call, competition, prepare, train
from toolkit import console
from toolkit import train as verb
from toolkit.competition import Competition, Rules
from toolkit.data.dataset import Dataset, open_dataset
from toolkit.data.folds import read_folds
from toolkit.errors import UserError
from toolkit.networks.network import load_network
from toolkit.networks.predict import predict
from toolkit.probabilities import open_probabilities, write_probabilities
from toolkit.recipe import Pseudo, Recipe, override
from toolkit.store import read_json, write_json
from toolkit.training.fold import STATE, fit_fold
from toolkit.training.pseudo_labels import Taught, Teacher, teach

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
PSEUDO = ("pseudo.rounds=1", "pseudo.confidence=0", "schedule.epochs=2")
MakeTeacher = Callable[..., Teacher]


@pytest.fixture
def make_teacher(tmp_path: Path) -> MakeTeacher:
    """A teacher that says of an image or pixel of value v: v / 255 for the first class, the rest for the second."""

    def make(images: np.ndarray, masks: bool, *overrides: str, fold: int = 0) -> Teacher:
        first = (images[..., 0] if masks else images[:, 0, 0, 0]) / np.float32(255)
        said = np.stack([first, 1 - first], 1)
        write_probabilities(tmp_path / "said.npy", [said], said.shape, np.uint8 if masks else np.float16)
        rows = np.arange(len(images))
        targets = np.zeros(images.shape[:3] if masks else len(images), np.uint8 if masks else np.int64)
        dataset = Dataset(images, targets, rows, rows, images)
        recipe = override(FIRST, ["pseudo.confidence=0", "augment.mixup=0", "augment.cutmix=0", *overrides])
        return Teacher(dataset, tmp_path / "said.npy", recipe, fold, CPU)

    return make


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (count, 16, 24, 1)).astype(np.uint8)


def slopes(count: int) -> np.ndarray:
    """Values from 60 to 240 that rise by less than 5 a pixel, another way in each image."""
    down, across = np.mgrid[:16, :24]
    ways = np.random.default_rng(0).uniform(-4, 4, (count, 2, 1, 1))
    return (
        np.rint(150 + ways[:, 0] * (down - 7.5) + ways[:, 1] * (across - 11.5))
        .clip(60, 240)
        .astype(np.uint8)[..., None]
    )


def taught(teacher: Teacher, batches: int = 12) -> Iterator[Taught]:
    return (teacher.batch(number // 4, number % 4) for number in range(batches))


@pytest.mark.parametrize("overrides", [(), ("augment.cutmix=1", "augment.cutmix_images=4")])
def test_probabilities_follow_the_pixels_through_flips_and_cutmix(
    overrides: tuple[str, ...], make_teacher: MakeTeacher
) -> None:
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


def test_probabilities_follow_the_pixels_through_turns_and_warps_and_what_comes_from_outside_has_no_weight(
    make_teacher: MakeTeacher,
) -> None:
    words = (
        "augment.rotate=40",
        "augment.scale=0.2",
        "augment.shift=0.2",
        "augment.elastic=0.5",
        "augment.cutmix=0.5",
    )
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


@pytest.mark.parametrize(("share", "count"), [(0.5, 8), (0.75, 24), (0.2, 2), (0.05, 2)])
def test_test_images_are_their_share_of_a_batch_and_never_one_alone(
    share: float, count: int, make_teacher: MakeTeacher
) -> None:
    assert len(make_teacher(noise(5), True, f"pseudo.share={share}").batch(0, 0).images) == count


def test_a_teacher_says_what_its_network_predicts(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=1")
    dataset, weights = open_dataset(tmp_path / "tiny-practice" / "data"), run / "fold_1" / "weights.safetensors"
    teach(competition, dataset, FIRST, weights, CPU, tmp_path / "said.npy")
    network = load_network(competition, FIRST, weights, CPU)
    wanted = predict(network, dataset.test_images, competition.scored, CPU, "float32")
    assert np.allclose(open_probabilities(tmp_path / "said.npy"), wanted, atol=1e-3)


def student_of(root: Path) -> Path:
    """The run of the first round."""
    (found,) = (
        path.parent
        for path in (root / "tiny-practice" / "train").glob("*/recipe.json")
        if read_json(path)["pseudo"]["rounds"] == 1
    )
    return found


def same_fold(one: Path, other: Path, fold: int) -> bool:
    names = ("weights.safetensors", "oof.npy")
    return all(
        (one / f"fold_{fold}" / name).read_bytes() == (other / f"fold_{fold}" / name).read_bytes() for name in names
    )


def test_a_student_depends_on_its_own_folds_teacher_alone(tmp_path: Path) -> None:
    prepare(tmp_path / "one")
    run = train(tmp_path / "one", "schedule.epochs=2")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    other = tmp_path / "two" / run.relative_to(tmp_path / "one") / "fold_1" / "weights.safetensors"
    weights = load_file(other)
    weights["body.head.1.bias"] += torch.tensor([5.0, 0.0, -5.0])
    save_file(weights, other)
    students = []
    for name in ("one", "two"):
        train(tmp_path / name, *PSEUDO)
        students.append(student_of(tmp_path / name))
    assert [same_fold(students[0], students[1], fold) for fold in range(3)] == [True, False, True]
    assert not same_fold(run, students[0], 0), "and it does learn from it"


def test_labels_of_a_fold_change_nothing_in_its_teacher_nor_its_student(tmp_path: Path) -> None:
    workspace = prepare(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    path = tmp_path / "two" / "tiny-practice" / "data" / "targets.npy"
    targets = np.load(path)
    targets[(read_folds(workspace)["fold"] == 0).to_numpy()] += 1
    np.save(path, targets % 3)
    runs = []
    for name in ("one", "two"):
        train(tmp_path / name, *PSEUDO, "loss.balance=0.5", "sampling=0.5")
        student = student_of(tmp_path / name)
        (teacher,) = {path.parent for path in student.parent.glob("*/recipe.json")} - {student}
        runs.append((teacher, student))
    for one, two in zip(*runs, strict=True):
        assert [same_fold(one, two, fold) for fold in range(3)] == [True, False, False]


def test_rules_that_forbid_test_images_stop_it(tmp_path: Path) -> None:
    workspace = prepare(tmp_path)
    made = console.parser("train", "", overrides=True)
    verb.add_options(made)
    strict = replace(competition, rules=Rules(unlabelled_test_images=False, sources={}))
    with pytest.raises(UserError, match=r"learns from test images, which .* forbids; set pseudo\.rounds=0 \(rule"):
        call(verb.train_verb, made, tmp_path, "pseudo.rounds=1", of=strict)
    assert not workspace.train.exists()


def test_without_test_images_it_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    workspace = prepare(tmp_path)
    images = np.load(workspace.data / "test_images.npy")
    np.save(workspace.data / "test_images.npy", images[:0])
    with pytest.raises(UserError, match=r"tiny has no test images at hand to learn from; set pseudo\.rounds=0"):
        train(tmp_path, "pseudo.rounds=1")
    assert not workspace.train.exists()


def test_a_fold_alone_is_not_trained_as_if_it_had_a_teacher(tmp_path: Path) -> None:
    workspace = prepare(tmp_path)
    with pytest.raises(UserError, match=r"a fold alone has no teacher to learn from; leave out --fold, or set pseudo"):
        train(tmp_path, "pseudo.rounds=1", "--fold", "0")
    assert not workspace.train.exists()
    quick = ("schedule.epochs=1", "pseudo.share=0.3")  # which does nothing without rounds
    assert train(tmp_path, *quick, "--fold", "0") == train(tmp_path, *quick)


@pytest.mark.parametrize(
    ("scores", "kept", "trained"),
    [
        pytest.param([0.5, 0.4], 0, 2, id="the first round loses"),
        pytest.param([0.5, 0.5], 0, 2, id="it gains nothing"),
        pytest.param([0.5, 0.6, 0.6], 1, 3, id="the second gains nothing more"),
        pytest.param([0.5, 0.6, 0.7, 0.8], 3, 4, id="each gains"),
    ],
)
def test_a_round_that_does_not_gain_is_dropped_and_the_run_before_stays(
    scores: list[float], kept: int, trained: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = prepare(tmp_path)
    calls: list[tuple[Pseudo, Path | None]] = []

    def train_once(
        of: Competition, workspace: object, recipe: Recipe, options: object, until: object, teacher: Path | None
    ) -> Path:
        folder = tmp_path / f"round_{len(calls)}"
        write_json(folder / "metrics.json", {"clean": {"score": scores[len(calls)]}})
        calls.append((recipe.pseudo, teacher))
        return folder

    monkeypatch.setattr(verb, "_train_once", train_once)
    recipe = override(FIRST, ["pseudo.rounds=3", "pseudo.share=0.3"])
    options = argparse.Namespace(device="cpu", workers=0, stress="none")
    assert verb.train(competition, workspace, recipe, options) == tmp_path / f"round_{kept}"
    wanted = [Pseudo(), *(Pseudo(rounds=number, share=0.3) for number in range(1, trained))]
    assert calls == [(pseudo, tmp_path / f"round_{k - 1}" if k else None) for k, pseudo in enumerate(wanted)]


def test_a_student_of_a_teacher_that_was_cut_short_begins_anew_when_the_teacher_has_gone_on(tmp_path: Path) -> None:
    workspace = prepare(tmp_path / "cut")
    options = argparse.Namespace(device="cpu", workers=0, stress="none")
    recipe = override(FIRST, PSEUDO)
    verb.train(competition, workspace, recipe, options, time.time())
    verb.train(competition, workspace, recipe, options)
    whole = prepare(tmp_path / "whole")
    verb.train(competition, whole, recipe, options)
    students = student_of(tmp_path / "cut"), student_of(tmp_path / "whole")
    assert all(same_fold(*students, fold) for fold in range(3))
    assert not list(students[0].rglob(STATE)) and not list(students[0].rglob("taught.npy"))


def test_a_student_interrupted_in_its_last_epoch_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.training.fold.SAVE_SECONDS", 0.0)
    workspace = prepare(tmp_path)
    said = np.random.default_rng(0).dirichlet([1, 1, 1], len(open_dataset(workspace.data).test_images))
    write_probabilities(tmp_path / "said.npy", [said], said.shape, np.float16)
    options = argparse.Namespace(device="cpu", workers=0, stress="none")
    _, jobs = verb.prepare(competition, workspace, override(FIRST, PSEUDO), options)
    job = replace(jobs[0], teacher=tmp_path / "said.npy")

    def interrupt(fold: int, epoch: float, news: str) -> None:
        if epoch > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_fold(job, interrupt)
    assert (job.folder / STATE).exists()
    resumed, whole = fit_fold(job), fit_fold(replace(job, folder=tmp_path / "whole"))
    assert all(torch.equal(value, whole.main.weights[name]) for name, value in resumed.main.weights.items())
    assert [line["loss"] for line in resumed.history] == [line["loss"] for line in whole.history]
