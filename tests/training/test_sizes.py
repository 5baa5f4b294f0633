"""A recipe's networks see images at its own size wherever they are shown any; masks are stored at the task's."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import tiny
from tests.conftest import RGB
from tests.small import spots
from tests.tiny import FIRST, TASK, in_files, prepare
from tests.training import same
from toolkit import (
    Dataset,
    ImageFiles,
    Images,
    Project,
    Recipe,
    Samples,
    Suggesting,
    UserError,
    override,
    read_run_lengths,
)
from toolkit.data.loading import load
from toolkit.networks import network as networks
from toolkit.networks.predict import predict
from toolkit.networks.tta import predict_views
from toolkit.recipe import check_sizes
from toolkit.runs import Run
from toolkit.submission.holdout import holdout_score
from toolkit.training import cross_validation
from toolkit.training.batches import Batches
from toolkit.training.fold import fit_fold
from toolkit.training.jobs import FoldJob

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")
CPU = torch.device("cpu")
QUICK = ["schedule.epochs=1"]
Shapes = dict[tuple[int, ...], int]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Shapes:
    """Sides of the images that networks were shown, and how many."""
    found: Shapes = defaultdict(int)
    forward = networks.Network.forward

    def spied(self: networks.Network, images: torch.Tensor) -> torch.Tensor:
        if images.any():  # a look at a network's layers shows it black
            found[tuple(images.shape[2:])] += len(images)
        return forward(self, images)

    monkeypatch.setattr(networks.Network, "forward", spied)
    return found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return prepare(tmp_path, holdout=0.2, of=in_files.competition)


def test_every_command_shows_a_runs_networks_images_of_its_own_size(project: Project, seen: Shapes) -> None:
    run = project.train(override(FIRST, ["images.size=12", "images.fit=crop", *QUICK]))
    assert run.images.shape == (72, 12, 12, 3) and run.labelled.images.shape == (72, 8, 8, 3)
    assert all(run.metrics[kind] for kind in ("clean", "stress", "matched"))
    plain = project.train(override(FIRST, QUICK))
    assert plain.images is plain.labelled.images
    seen.clear()
    blend = project.ensemble([run], views=["horizontal", "shiftx2"])
    submission = project.submit()
    assert submission.path.exists() and holdout_score(blend) is not None
    assert set(seen) == {(12, 12)}, "views, test images and held-out samples alike"
    blend = project.ensemble([run, plain], views=["horizontal"])
    assert blend.metrics["stress"] and blend.metrics["matched"]
    assert set(blend.shares) <= {run.name, plain.name}
    project.submit()
    assert set(seen) == {(12, 12), (8, 8)}


def test_a_search_takes_sizes_from_its_space(tmp_path: Path) -> None:
    def suggest(trial: Suggesting) -> Recipe:
        return replace(FIRST, images=Images(size=trial.suggest_categorical("images.size", [8, 12])))

    made = prepare(tmp_path, of=replace(in_files.competition, suggest=suggest, first_trials=(FIRST,)))
    made.search(trials=3, sampler="random", repeats=0, stress="none", schedule__epochs=1)
    runs = [Run(folder, made.labelled()) for folder in made.workspace.train.iterdir()]
    assert {run.recipe.images.size for run in runs} >= {8, 12}


def test_pseudo_labels_and_frozen_heads_are_of_the_same_size(project: Project, seen: Shapes) -> None:
    words = ["images.size=12", "pseudo.rounds=1", "pseudo.confidence=0", "schedule.epochs=2", "schedule.freeze=0.5"]
    project.train(override(FIRST, words), stress="none")
    assert set(seen) == {(12, 12)}


# masks


def load_spots(folder: Path) -> Samples:
    train, test = (ImageFiles(sorted((folder / part).glob("*.png"))) for part in ("train", "test"))
    names = [path.stem for path in train.paths]
    return Samples(train, read_run_lengths(folder / "train.csv", names, (16, 16), spots.TASK.labels), test_images=test)


@pytest.fixture
def masks(tmp_path: Path) -> Project:
    made = tiny.project(tmp_path, replace(spots.competition, load=load_spots), practice_size=48)
    load(made.competition, made.workspace, made.raw)
    made.folds(2)
    return made


@pytest.mark.parametrize("size", [8, 24])
def test_masks_are_learnt_at_the_images_size_and_stored_at_the_tasks(masks: Project, size: int, seen: Shapes) -> None:
    run = masks.train(override(spots.competition.recipes["first"], [f"images.size={size}", "schedule.epochs=20"]))
    assert run.images.shape[1:3] == (size, size) and set(seen) == {(size, size)}
    assert run.oof.shape == (48, 2, 16, 16) and run.test is not None and run.test.shape[1:] == (2, 16, 16)
    nothing = run.labelled.tally(np.zeros_like(run.oof)).score()
    assert run.score > nothing + 0.04, "they lie where the task's masks do"
    assert run.metrics["stress"]
    blend = masks.ensemble([run], views=["horizontal", "shiftx3"])
    assert blend.score >= run.score - 0.05


def test_a_view_is_undone_at_the_tasks_size() -> None:
    """A network that says what it sees: the mean over views of a picture is the picture."""

    class Copy(torch.nn.Module):
        mask_size = (16, 16)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            shown = images[:, :1].float() / 255
            return torch.logit(torch.cat([shown, 1 - shown], 1).clamp(1e-6, 1 - 1e-6)) / 2

    rows, columns = np.mgrid[:48, :48] / 48
    wave = 127 + 100 * np.sin(5 * rows + 4 * columns)
    large = np.repeat(wave[None, :, :, None], 3, 3).astype(np.uint8)
    small = large.reshape(1, 16, 3, 16, 3, 3).mean((2, 4))[..., 0] / 255
    plain = predict(Copy(), large, (0, 1), CPU, "float32")
    assert plain.shape == (1, 2, 16, 16) and np.abs(plain[:, 0] - small).max() < 0.02
    for view in ("horizontal", "rotate10", "shiftx2", "shifty-1.5", "scale0.8"):
        found = predict_views(Copy(), large, (0, 1), CPU, "float32", [view], gaps=True)
        voted = found.sum(1) > 0.5
        assert voted.mean() > 0.6 and np.abs(found.sum(1)[voted] - 1).max() < 1e-5
        error = np.abs(found[:, 0] - small)[voted]  # of pixels that are seen in part, more
        assert np.median(error) < 0.01 and error.max() < 0.12, view
    shifted = predict_views(Copy(), large, (0, 1), CPU, "float32", ["shiftx2"], gaps=True)
    assert (shifted.sum(1) > 0.5)[0].sum(1).tolist() == [14] * 16, "two of the task's pixels aren't seen"


# images that grow


def test_images_grow_and_are_whole_where_they_are_judged(project: Project, seen: Shapes) -> None:
    words = ["images.size=16", "images.grow=0.5", "schedule.epochs=4", "schedule.average=swa"]
    run = project.train(override(FIRST, words), stress="none")
    assert set(seen) == {(8, 8), (12, 12), (16, 16)}
    batches = 3 * 4 * 8  # of three folds, less what is held out
    assert seen[8, 8] >= batches * 0.7 and seen[12, 12] >= batches * 0.7
    assert run.metrics["clean"]


@pytest.mark.usefixtures("saving_each_epoch")
def test_interrupted_while_images_grow_it_ends_with_the_same_bits(make_job: Callable[..., FoldJob]) -> None:
    words = ("images.grow=0.75", "augment.rotate=20")
    whole, job = fit_fold(make_job(*words)), make_job(*words)
    stops: list[float] = []

    def interrupt(fold: int, epoch: float, news: str) -> None:
        if epoch % 1 and int(epoch) > len(stops):
            stops.append(epoch)
            raise KeyboardInterrupt

    for _ in range(4):
        try:
            result = fit_fold(job, interrupt)
        except KeyboardInterrupt:
            continue
    assert len(stops) == 3 and same(whole, result)
    assert not same(whole, fit_fold(make_job("augment.rotate=20")))


def test_masks_grow_with_their_images() -> None:
    rows = np.arange(4)
    masks = np.random.default_rng(0).integers(0, 3, (4, 8, 8)).astype(np.uint8)
    images = np.repeat(masks[..., None] * 80, 3, 3).repeat(3, 1).repeat(3, 2)  # three times as large
    recipe = override(FIRST, ["batch_size=4", "images.grow=0.5", "schedule.epochs=2", "augment.flip=both"])
    batches = Batches(Dataset(images, masks, rows, rows, images[:0]), rows, recipe, 0, CPU, range(3), rgb=RGB)
    shapes = []
    for epoch in range(2):
        seen, targets = batches[epoch, 0]
        assert seen.shape[2:] == targets.shape[1:]
        shapes.append(tuple(targets.shape[1:]))
        assert epoch == 0 or torch.equal(seen[:, 0], targets * 80)
    assert shapes == [(12, 12), (24, 24)]
    whole, _ = batches.batch(0, 0, whole=True)
    assert whole.shape[2:] == (24, 24)


# what can't be


def test_masks_are_letterboxed_and_code_gets_the_tasks_images() -> None:
    with pytest.raises(UserError, match=r"images\.fit is letterbox for masks"):
        check_sizes(Images(fit="crop"), spots.TASK, code=False)
    check_sizes(Images(size=24), spots.TASK, code=False)
    for images in (Images(size=24), Images(fit="stretch")):
        with pytest.raises(UserError, match=r"code submission gets images of the task's size.*model\.input_scale"):
            check_sizes(images, TASK, code=True)
    check_sizes(Images(grow=0.5), TASK, code=True)


def test_a_network_for_one_size_refuses_another_before_it_is_trained(tmp_path: Path) -> None:
    def build(recipe: Recipe) -> torch.nn.Module:
        body = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 3))
        return networks.from_scratch(body, recipe.model, 3, 1)

    made = prepare(tmp_path, of=replace(in_files.competition, build_model=build))
    recipe = replace(FIRST, precision="auto", model=replace(FIRST.model, dropout=0.2))
    for words in (["images.size=12"], ["images.grow=0.5"]):
        with pytest.raises(UserError, match=r"can't take images of \d+x\d+ with 3 channels.*images\.size=0"):
            cross_validation.prepare(made.labelled(), override(recipe, words), "cpu")
