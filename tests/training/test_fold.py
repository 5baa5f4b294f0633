"""One recipe on one fold: the same bits however it was interrupted, and nothing chosen on what is validated."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.tiny import FIRST, competition, load, practice
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset, open_dataset, save_dataset
from toolkit.errors import UserError
from toolkit.metrics import confusion_matrix
from toolkit.networks.speed import Settings
from toolkit.recipe import override
from toolkit.training.fold import STATE, FoldResult, fit_fold, measure_speed
from toolkit.training.loop import RESCUE, SNAPSHOTS, FoldJob, Trained, Training
from toolkit.training.weight_averages import Snapshots, uniform

MakeJob = Callable[..., FoldJob]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    practice(tmp_path, 0, 72)
    return load(tmp_path / "raw")


@pytest.fixture
def make_job(tmp_path: Path, dataset: Dataset) -> MakeJob:
    """A job with its own folder, the last third of the rows validated."""
    made: list[Path] = []

    def make(*overrides: str, data: Dataset = dataset, fold: int = 0) -> FoldJob:
        made.append(tmp_path / str(len(made)))
        save_dataset(data, made[-1] / "data", "")
        return FoldJob(
            competition=competition.folder,
            data=made[-1] / "data",
            recipe=override(FIRST, overrides),
            fold=fold,
            train_rows=np.arange(48),
            train_groups=data.groups[:48],
            valid_rows=np.arange(48, 72),
            folder=made[-1],
        )

    return make


@pytest.fixture
def saving_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.training.fold.SAVE_SECONDS", 0.0)


def same(one: FoldResult, other: FoldResult) -> bool:
    def course(result: FoldResult) -> list[tuple[float, ...]]:
        return [(line["loss"], line["score"], line["lr"]) for line in result.history]

    def equal(ours: Trained, theirs: Trained) -> bool:
        weights = all(torch.equal(value, theirs.weights[name]) for name, value in ours.weights.items())
        return weights and np.array_equal(ours.probabilities, theirs.probabilities)

    averages = [result.averaged for result in (one, other) if result.averaged is not None]
    return (
        equal(one.main, other.main)
        and course(one) == course(other)
        and len(averages) != 1
        and (not averages or equal(*averages))
    )


def test_seed_and_fold_decide_every_bit(make_job: MakeJob) -> None:
    result = fit_fold(make_job())
    torch.manual_seed(7)  # what was drawn before does not matter
    assert same(result, fit_fold(make_job()))
    assert not same(result, fit_fold(make_job("seed=1")))
    assert not same(result, fit_fold(make_job(fold=1)))
    assert (
        result.complete
        and result.main.probabilities.shape == (24, 3)
        and result.main.probabilities.dtype == np.float32
    )


def test_the_number_of_workers_changes_no_bit(make_job: MakeJob) -> None:
    recipe = ("schedule.epochs=2", "augment.rotate=20", "augment.degrade=0.5")
    alone, helped = (fit_fold(replace(make_job(*recipe), workers=workers)) for workers in (0, 2))
    assert same(alone, helped)


@pytest.mark.usefixtures("saving_each_epoch")
@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param((), id="plain"),
        pytest.param(("schedule.ema=0",), id="no moving average"),
        pytest.param(("schedule.epochs=8", "schedule.patience=2", "optimizer.lr=1e-6"), id="early stopping"),
        pytest.param(("schedule.freeze=0.5", "optimizer.backbone_factor=0.5"), id="frozen at the start"),
        pytest.param(
            ("schedule.freeze=0.5", "schedule.patience=2", "schedule.epochs=8", "optimizer.lr=1e-6"), id="both"
        ),
        pytest.param(("schedule.average=swa", "schedule.epochs=8"), id="mean of the last epochs"),
        pytest.param(("schedule.average=soup", "schedule.epochs=8"), id="soup of the last epochs"),
    ],
)
def test_training_interrupted_in_every_epoch_ends_with_the_same_bits(
    overrides: tuple[str, ...], make_job: MakeJob
) -> None:
    def interrupt(fold: int, epoch: float, news: str) -> None:
        if epoch % 1 and (job.folder / STATE).exists():
            done = len(torch.load(job.folder / STATE, weights_only=True)["history"])
            if done > len(stops):
                stops.append(done)
                raise KeyboardInterrupt

    whole = fit_fold(make_job(*overrides))
    assert (len(whole.history) < override(FIRST, overrides).schedule.epochs) == any(
        "patience" in field for field in overrides
    )
    job, stops = make_job(*overrides), list[int]()
    for _ in whole.history:
        try:
            result = fit_fold(job, interrupt)
        except KeyboardInterrupt:
            continue
    assert len(stops) == len(whole.history) - 1
    assert same(whole, result)
    assert same(whole, fit_fold(job)), "finished, but killed before the result was stored"


def test_a_deadline_cuts_after_an_epoch_and_training_goes_on_from_there(make_job: MakeJob) -> None:
    job = make_job()
    cut = fit_fold(replace(job, deadline=time.time()))
    assert not cut.complete and len(cut.history) == 1
    again = fit_fold(replace(job, deadline=time.time()))
    assert same(cut, again) and not again.complete
    assert fit_fold(replace(make_job(), deadline=time.time() + 600)).complete
    assert same(fit_fold(job), fit_fold(make_job()))


@pytest.mark.parametrize(
    "overrides",
    [
        ("loss.balance=1", "sampling=1"),
        ("schedule.patience=1", "loss.balance=1"),
        ("schedule.average=soup", "schedule.epochs=8"),
    ],
)
def test_nothing_trained_or_chosen_depends_on_the_validation_rows(
    overrides: tuple[str, ...], make_job: MakeJob, dataset: Dataset
) -> None:
    images, targets = dataset.images.copy(), dataset.targets.copy()
    images[48:], targets[48:] = 255 - images[48:], 0
    ours = fit_fold(make_job(*overrides))
    theirs = fit_fold(make_job(*overrides, data=replace(dataset, images=images, targets=targets)))
    assert len(ours.history) == len(theirs.history)
    assert all(torch.equal(value, theirs.main.weights[name]) for name, value in ours.main.weights.items())
    if ours.averaged is not None and theirs.averaged is not None:
        assert all(torch.equal(value, theirs.averaged.weights[name]) for name, value in ours.averaged.weights.items())
    assert (ours.averaged is not None) == (theirs.averaged is not None) == ("schedule.average=soup" in overrides)


def test_the_mean_of_the_last_epochs_has_statistics_of_its_own(make_job: MakeJob) -> None:
    job = make_job("schedule.average=swa", "schedule.epochs=8")
    result = fit_fold(job)
    assert result.averaged is not None
    snapshots = list(Snapshots(job.folder / SNAPSHOTS, 8))
    assert len(snapshots) == 2
    for name, value in uniform(snapshots).items():
        statistic = name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        assert torch.equal(value, result.averaged.weights[name]) != statistic, name
    assert np.array_equal(result.main.weights["body.head.1.weight"], snapshots[-1]["body.head.1.weight"])


def test_the_rows_that_decide_when_to_stop_are_whole_groups_and_not_trained_on(make_job: MakeJob) -> None:
    job = make_job("schedule.patience=1", "schedule.stop_share=0.25")
    training = Training(competition, open_dataset(job.data), job)
    trained, watched = training.batches.rows, training.stop_rows
    assert sorted([*trained, *watched]) == job.train_rows.tolist()
    assert len(watched) == 12
    groups = dict(zip(job.train_rows, job.train_groups, strict=True))
    assert not {groups[row] for row in trained} & {groups[row] for row in watched}


@pytest.mark.parametrize(
    ("freeze", "scores", "best"),
    [
        pytest.param(0, [0.1, 0.5, 0.3, 0.5], 1, id="nothing frozen"),
        pytest.param(0.4, [0.5, 0.3, 0.3, 0.3, 0.3, 0.3], 0, id="frozen epochs don't count"),
        pytest.param(1, [0.1, 0.5, 0.3, 0.5], 1, id="the head alone is trained"),
    ],
)
def test_early_stopping_waits_for_its_patience_and_keeps_the_best_epoch(
    freeze: float, scores: list[float], best: int, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, torch.Tensor]] = []

    def score(training: Training, rows: np.ndarray, weights: object = None) -> float:
        assert np.array_equal(rows, training.stop_rows)
        seen.append(training.current())
        return [*scores, 0.9][len(seen) - 1]

    monkeypatch.setattr(Training, "score", score)
    result = fit_fold(make_job("schedule.patience=2", "schedule.epochs=10", f"schedule.freeze={freeze}"))
    assert [line["score"] for line in result.history] == scores and result.complete
    assert all(torch.equal(value, seen[best][name]) for name, value in result.main.weights.items())


def test_stopping_by_the_stress_score_watches_the_same_rows_corrupted(make_job: MakeJob) -> None:
    recipe = ("schedule.patience=4", "schedule.stop_share=0.4", "optimizer.lr=0.05")
    clean, stress = (fit_fold(make_job(*recipe, f"schedule.watch={watch}")) for watch in ("clean", "stress"))
    assert [line["loss"] for line in clean.history] == [line["loss"] for line in stress.history]
    assert [line["score"] for line in clean.history] != [line["score"] for line in stress.history]


def test_looking_at_the_score_changes_no_bit(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = fit_fold(make_job())
    monkeypatch.setattr(Training, "score", lambda training, rows, weights=None: 0.0)
    blind = fit_fold(make_job())
    assert all(torch.equal(value, blind.main.weights[name]) for name, value in looked.main.weights.items())


def test_the_watched_score_is_that_of_the_averaged_weights(make_job: MakeJob) -> None:
    job = make_job("schedule.epochs=2")
    dataset, result = open_dataset(job.data), fit_fold(job)
    predicted = competition.decode(result.main.probabilities)
    confusion = confusion_matrix(dataset.targets[job.valid_rows], predicted, 3)
    assert result.history[-1]["score"] == competition.score(confusion)


@pytest.mark.parametrize("overrides", [("schedule.epochs=3",), ("schedule.epochs=1", "batch_size=48")])
def test_a_loss_that_is_no_number_ends_in_one_sentence(overrides: tuple[str, ...], make_job: MakeJob) -> None:
    with pytest.raises(UserError, match=r"no longer a number in fold 0.*lower optimizer\.lr \(now 1e\+30\)") as caught:
        fit_fold(make_job("optimizer.lr=1e30", "schedule.warmup=0", *overrides))
    assert "\n" not in str(caught.value)


@pytest.fixture
def no_number(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int, float], None]:
    """From then on, the loss of one batch is no number, its gradients neither, while the rate is `above`."""
    step = Training.step

    def arrange(epoch: int, batch: int, above: float) -> None:
        def broken(training: Training, images: torch.Tensor, targets: torch.Tensor, number: int, *more: bool) -> Any:
            failing = number == epoch * training.batches.steps + batch and training.rate > above
            images = images.float() * torch.nan if failing else images
            return step(training, images, targets, number, *more)

        monkeypatch.setattr(Training, "step", broken)

    return arrange


@pytest.mark.usefixtures("saving_each_epoch")
@pytest.mark.parametrize(("accumulate", "batch"), [(1, 5), (4, 0)])
def test_after_a_loss_that_is_no_number_the_epoch_is_done_again_at_a_lower_rate(
    accumulate: int, batch: int, make_job: MakeJob, no_number: Callable[[int, int, float], None]
) -> None:
    recipe = (f"optimizer.accumulate={accumulate}", "schedule.warmup=0")
    healthy = fit_fold(make_job(*recipe))
    no_number(2, batch, RESCUE)
    job = make_job(*recipe)
    rescued = fit_fold(job)
    assert rescued.history[:2] == [line | same_times(rescued, k) for k, line in enumerate(healthy.history[:2])]
    ratio = [ours["lr"] / theirs["lr"] for ours, theirs in zip(rescued.history, healthy.history, strict=True)]
    assert ratio == pytest.approx([1, 1, RESCUE, RESCUE])
    assert all(value.isfinite().all() for value in rescued.main.weights.values())
    for stop_in in (2, 3):  # before and after the lower rate is saved

        def interrupt(fold: int, epoch: float, news: str, stop_in: int = stop_in) -> None:
            if epoch >= stop_in + 0.5:
                raise KeyboardInterrupt

        again = make_job(*recipe)
        with pytest.raises(KeyboardInterrupt):
            fit_fold(again, interrupt)
        assert same(rescued, fit_fold(again)), stop_in


def same_times(result: FoldResult, epoch: int) -> dict[str, float]:
    return {name: result.history[epoch][name] for name in ("seconds", "train_seconds")}


def test_a_loss_that_is_no_number_at_the_lower_rate_either_ends_in_one_sentence(
    make_job: MakeJob, no_number: Callable[[int, int, float], None]
) -> None:
    no_number(2, 3, 0)
    with pytest.raises(UserError, match=r"in fold 0, epoch 3, at 0\.3 of the learning rate either; lower optimizer"):
        fit_fold(make_job())


def test_the_rate_is_lowered_once_in_a_training(
    make_job: MakeJob, no_number: Callable[[int, int, float], None]
) -> None:
    no_number(1, 0, RESCUE)
    no_number(3, 0, 0)
    with pytest.raises(UserError, match="epoch 4"):
        fit_fold(make_job())


@pytest.mark.parametrize(("batch", "micro"), [(48, 16), (48, 20), (33, 16)])
def test_a_batch_trained_in_parts_has_the_gradients_of_the_whole(batch: int, micro: int, make_job: MakeJob) -> None:
    sizes: list[list[int]] = []
    gradients: list[dict[str, torch.Tensor]] = []
    for settings in (Settings(), Settings(micro_batch=micro)):
        job = make_job(f"batch_size={batch}", "model.dropout=0", "augment.mixup=1", "loss.label_smoothing=0.1")
        training = Training(competition, open_dataset(job.data), replace(job, settings=settings))
        sizes.append([])
        training.model.register_forward_pre_hook(lambda net, inputs: sizes[-1].append(len(inputs[0])))
        training.model.eval()  # batch norm's statistics would be those of a part
        loss = training.step(*training.batches[(0, 0)], 0, update=False)
        given = {name: p.grad for name, p in training.model.named_parameters() if p.grad is not None}
        assert len(given) == 6
        gradients.append(given | {"loss": loss})
    for name, value in gradients[0].items():
        assert value.abs().sum() > 0
        assert torch.allclose(value, gradients[1][name], rtol=0, atol=1e-6), name
    assert sizes[0] == [batch] and sum(sizes[1]) == batch
    assert max(sizes[1]) <= micro and min(sizes[1]) > 1, "batch norm can't learn from one sample"


@pytest.mark.usefixtures("saving_each_epoch")
@pytest.mark.parametrize("engine", ["tensor", "albumentations"])
def test_both_engines_train_to_bits_that_an_interruption_does_not_change(engine: str, make_job: MakeJob) -> None:
    def interrupt(fold: int, epoch: float, news: str) -> None:
        if epoch > 1.5:
            raise KeyboardInterrupt

    recipe = (
        f"augment.engine={engine}",
        "augment.rotate=20",
        "augment.colour=0.3",
        "sampling=0.5",
        "schedule.epochs=3",
    )
    whole, job = fit_fold(make_job(*recipe)), make_job(*recipe)
    with pytest.raises(KeyboardInterrupt):
        fit_fold(job, interrupt)
    assert same(whole, fit_fold(job))
    assert whole.complete and len(whole.history) == 3


@pytest.mark.usefixtures("saving_each_epoch")
def test_convolutions_as_products_train_alike_and_to_bits_that_an_interruption_does_not_change(
    make_job: MakeJob,
) -> None:
    def interrupt(fold: int, epoch: float, news: str) -> None:
        if epoch > 1.5:
            raise KeyboardInterrupt

    settings = Settings(products={"body.backbone.0": "all"})
    recipe = ("schedule.epochs=3", "optimizer.lr=1e-4")
    plain, whole = fit_fold(make_job(*recipe)), fit_fold(replace(make_job(*recipe), settings=settings))
    assert whole.history[-1]["loss"] == pytest.approx(plain.history[-1]["loss"], rel=1e-3)
    assert not same(whole, plain), "another order of sums"
    job = replace(make_job(*recipe), settings=settings)
    with pytest.raises(KeyboardInterrupt):
        fit_fold(job, interrupt)
    assert same(whole, fit_fold(job))


def test_a_test_image_batch_larger_than_the_training_batch_goes_through_in_parts_that_fit(make_job: MakeJob) -> None:
    job = make_job()
    training = Training(competition, open_dataset(job.data), job)
    sizes: list[int] = []
    network = nn.Linear(4, 3)
    network.register_forward_pre_hook(lambda net, inputs: sizes.append(len(inputs[0])))
    training.backward(network, torch.ones(40, 4), lambda logits, at: logits.sum(), final=True)
    assert sizes == [job.recipe.batch_size] * 5


def test_a_frozen_backbone_is_left_untouched_statistics_included(make_job: MakeJob) -> None:
    short, long, thawed = (
        fit_fold(make_job(*more)).main.weights
        for more in (
            ("schedule.freeze=1", "schedule.epochs=1"),
            ("schedule.freeze=1",),
            ("schedule.freeze=0.5",),
        )
    )
    for name in short:
        backbone = name.startswith("body.backbone.")
        assert torch.equal(short[name], long[name]) == backbone, name
        assert not backbone or not torch.equal(short[name], thawed[name]), name


def test_freezing_needs_a_backbone(mars: Competition, make_job: MakeJob) -> None:
    job = make_job()
    for field in ("schedule.freeze=0.5", "optimizer.backbone_factor=0.1"):
        recipe = override(mars.recipes["small_unet"], [field])
        with pytest.raises(UserError, match="small_unet has no backbone"):
            Training(mars, open_dataset(job.data), replace(job, recipe=recipe))


def test_speed_is_measured_without_leaving_a_trace(make_job: MakeJob) -> None:
    job = make_job()
    step, image = measure_speed(job)
    assert step > 0 and image > 0
    assert [path.name for path in job.folder.iterdir()] == ["data"]
