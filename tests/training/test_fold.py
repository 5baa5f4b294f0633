"""One recipe on one fold: the same bits however it was interrupted, and nothing chosen on what is validated."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests import tiny, tiny_flipped
from tests.tiny import FIRST, competition
from tests.training import same, same_weights
from toolkit import Competition, UserError, override
from toolkit.data.data_folder import open_dataset
from toolkit.metrics.confusion import confusion_matrix
from toolkit.networks.speed import Settings
from toolkit.training.cross_validation import train_fold
from toolkit.training.fold import WATCHED, _next_seconds, epochs_between_looks, fit_fold, watched_rows
from toolkit.training.jobs import FoldJob
from toolkit.training.loop import Training
from toolkit.training.weight_averages import Snapshots, uniform

MakeJob = Callable[..., FoldJob]
PRODUCTS = {"settings": Settings(products={"body.backbone.0": "all"})}

pytestmark = pytest.mark.usefixtures("one_thread")


def test_seed_and_fold_decide_every_bit(make_job: MakeJob) -> None:
    result = fit_fold(make_job())
    torch.manual_seed(7)  # what was drawn before does not matter
    assert same(result, fit_fold(make_job()))
    assert not same(result, fit_fold(make_job("seed=1")))
    assert not same(result, fit_fold(make_job(fold=1)))
    probabilities = result.main.probabilities
    assert result.complete and probabilities.shape == (24, 3) and probabilities.dtype == np.float32


@pytest.mark.usefixtures("saving_each_epoch")
@pytest.mark.parametrize(
    ("overrides", "more"),
    [
        pytest.param("", {}, id="plain"),
        pytest.param("schedule.ema=0", {}, id="no moving average"),
        pytest.param("schedule.epochs=8 schedule.patience=2 optimizer.lr=1e-6", {}, id="early stopping"),
        pytest.param("schedule.freeze=0.5 optimizer.backbone_factor=0.5", {}, id="frozen at the start"),
        pytest.param("schedule.freeze=0.5 schedule.patience=2 schedule.epochs=8 optimizer.lr=1e-6", {}, id="both"),
        pytest.param("schedule.average=swa schedule.epochs=8", {}, id="mean of the last epochs"),
        pytest.param("schedule.average=soup schedule.epochs=8", {}, id="soup of the last epochs"),
        pytest.param("augment.rotate=20 augment.colour=0.3 sampling=0.5", {}, id="augmented"),
        pytest.param("optimizer.lr=1e-4", PRODUCTS, id="convolutions as products"),
    ],
)
def test_interrupted_in_every_epoch_it_ends_with_the_same_bits(
    overrides: str, more: dict[str, Any], make_job: MakeJob
) -> None:
    def interrupt(fold: int, epoch: float, news: str) -> None:
        if epoch % 1 and job.place.state.exists():
            done = len(torch.load(job.place.state, weights_only=True)["history"])
            if done > len(stops):
                stops.append(done)
                raise KeyboardInterrupt

    whole = fit_fold(make_job(*overrides.split(), **more))
    assert (len(whole.history) < override(FIRST, overrides.split()).schedule.epochs) == ("patience" in overrides)
    job, stops = make_job(*overrides.split(), **more), list[int]()
    for _ in whole.history:
        try:
            result = fit_fold(job, interrupt)
        except KeyboardInterrupt:
            continue
    assert len(stops) == len(whole.history) - 1
    assert same(whole, result)
    assert same(whole, fit_fold(job)), "finished, but killed before the result was stored"


def _without(*names: str) -> Callable[[dict[str, Any]], None]:
    def forget(saved: dict[str, Any]) -> None:
        for name in names:
            del saved[name]

    return forget


def _regroup(saved: dict[str, Any]) -> None:
    """As an optimiser that had fewer groups, and knew nothing of when they begin."""
    saved["optimizer"]["param_groups"].pop()
    for group in saved["optimizer"]["param_groups"]:
        del group["begins"]
    del saved["layout"]


def _decay(saved: dict[str, Any]) -> None:
    saved["layout"]["groups"][0]["weight_decay"] = 7.0


@pytest.mark.parametrize("change", [_without("layout", "ema"), _regroup, _decay])
def test_what_an_older_version_saved_is_begun_anew(
    change: Callable[[dict[str, Any]], None], make_job: MakeJob
) -> None:
    whole, job = fit_fold(make_job("schedule.average=swa")), make_job("schedule.average=swa")
    fit_fold(replace(job, deadline=time.monotonic()))
    saved = torch.load(job.place.state, weights_only=True)
    change(saved)
    torch.save(saved, job.place.state)
    told = train_fold(job, lambda fold, epoch, news: None)
    assert "4 epochs" in told and told.endswith(", begun anew, as its saved epochs were damaged or of another version")
    assert np.array_equal(job.place.oof, whole.main.probabilities.astype(np.float16))


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: bytes(len(data)),
        lambda data: b"no zip, nor a pickle",
        lambda data: _flip(data, data.index(b"/data.pkl") + 150),  # what is in it
        lambda data: _flip(data, data.index(b"/data/0") + 500),
    ],
)
def test_what_can_not_be_read_is_begun_anew(damage: Callable[[bytes], bytes], make_job: MakeJob) -> None:
    whole, job = fit_fold(make_job()), make_job()
    fit_fold(replace(job, deadline=time.time()))
    job.place.state.write_bytes(damage(job.place.state.read_bytes()))
    again = fit_fold(job)
    assert again.anew and not whole.anew and same(whole, again)


def test_a_deadline_cuts_after_an_epoch_and_training_goes_on_from_there(make_job: MakeJob) -> None:
    job = make_job()
    cut = fit_fold(replace(job, deadline=time.monotonic()))
    assert not cut.complete and len(cut.history) == 1
    again = fit_fold(replace(job, deadline=time.monotonic()))
    assert same(cut, again) and not again.complete
    assert fit_fold(make_job(deadline=time.monotonic() + 600)).complete
    assert same(fit_fold(job), fit_fold(make_job()))


@pytest.mark.parametrize(
    "overrides",
    [
        ("loss.balance=1", "sampling=1"),
        ("schedule.patience=1", "loss.balance=1"),
        ("schedule.average=soup", "schedule.epochs=8"),
    ],
)
def test_nothing_chosen_depends_on_the_validation_rows(overrides: tuple[str, ...], make_job: MakeJob) -> None:
    job = make_job(*overrides)
    dataset, ours = open_dataset(job.data), fit_fold(job)
    images, targets = np.array(dataset.images), np.array(dataset.targets)
    images[48:], targets[48:] = 255 - images[48:], 0
    theirs = fit_fold(make_job(*overrides, data=replace(dataset, images=images, targets=targets)))
    assert len(ours.history) == len(theirs.history)
    assert same_weights(ours.main.weights, theirs.main.weights)
    if ours.averaged is not None and theirs.averaged is not None:
        assert same_weights(ours.averaged.weights, theirs.averaged.weights)
    assert (ours.averaged is not None) == (theirs.averaged is not None) == ("schedule.average=soup" in overrides)


@pytest.mark.parametrize("average", ["schedule.ema=0.9", "schedule.ema=0", "schedule.patience=3"])
def test_weights_are_predicted_with_statistics_that_fit_them(average: str, make_job: MakeJob) -> None:
    """In a training of four steps the running ones are still half of what they began with."""
    job = make_job("schedule.epochs=2", "batch_size=24", "optimizer.lr=0.03", average)
    result, training = fit_fold(job), Training(job)
    training.model.load_state_dict(result.main.weights)
    convolution: nn.Module = training.model.body.get_submodule("backbone.0")
    images = [training.batches[0, step][0] for step in range(training.batches.steps)]
    with torch.no_grad():
        inputs = [convolution(training.model._scaled(x)).transpose(0, 1).flatten(1) for x in images]
    mean = torch.stack([x.mean(1) for x in inputs]).mean(0)
    assert torch.allclose(result.main.weights["body.backbone.1.running_mean"], mean, atol=1e-4)
    assert result.history[-1]["score"] is not None


def test_the_mean_of_the_last_epochs_has_statistics_of_its_own(make_job: MakeJob) -> None:
    job = make_job("schedule.average=swa", "schedule.epochs=8")
    result = fit_fold(job)
    assert result.averaged is not None
    snapshots = list(Snapshots(job.place.snapshots, 8))
    assert len(snapshots) == 2
    for name, value in uniform(snapshots).items():
        statistic = name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        assert torch.equal(value, result.averaged.weights[name]) != statistic, name
    assert np.array_equal(result.main.weights["body.head.1.weight"], snapshots[-1]["body.head.1.weight"])


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

    def look(training: Training, rows: np.ndarray, weights: object) -> tuple[float, float]:
        assert np.array_equal(rows, training.stop_rows)
        seen.append(training.current())
        return [*scores, 0.9][len(seen) - 1], 0.0

    monkeypatch.setattr(Training, "look", look)
    result = fit_fold(make_job("schedule.patience=2", "schedule.epochs=10", f"schedule.freeze={freeze}"))
    assert [line["score"] for line in result.history] == scores and result.complete
    assert same_weights(result.main.weights, seen[best])


@pytest.mark.parametrize(
    ("of", "scores", "best"),
    [
        pytest.param(tiny.competition, [-74.0, -61.0, -62.5, -61.0], 1, id="below -1"),
        pytest.param(tiny_flipped.competition, [17.8, 15.2, 16.0, 15.2], 1, id="the lower the better"),
        pytest.param(tiny.competition, [np.nan, 0.3, np.nan, np.nan], 1, id="not always defined"),
    ],
)
def test_early_stopping_keeps_the_best_epoch_in_either_direction(
    of: Competition, scores: list[float], best: int, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, torch.Tensor]] = []

    def look(training: Training, rows: np.ndarray, weights: object) -> tuple[float, float]:
        seen.append(training.current())
        return [*scores, 0.0][len(seen) - 1], 0.0

    monkeypatch.setattr(Training, "look", look)
    job = replace(make_job("schedule.patience=2", "schedule.epochs=10"), competition=of.folder)
    result = fit_fold(job)
    assert [line["score"] for line in result.history] == [None if np.isnan(one) else one for one in scores]
    assert same_weights(result.main.weights, seen[best])


def test_looking_at_the_score_changes_no_bit(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = fit_fold(make_job())
    monkeypatch.setattr(Training, "look", lambda training, rows, weights: (0.0, None))
    assert same_weights(looked.main.weights, fit_fold(make_job()).main.weights)


def shares(targets: np.ndarray) -> np.ndarray:
    return np.bincount(targets, minlength=4) / len(targets)


def test_the_watched_rows_are_like_the_fold_in_whatever_order_it_lies() -> None:
    targets = np.repeat([0, 1, 2, 3], [2000, 1000, 500, 60])
    rows = np.flatnonzero(np.arange(len(targets)) % 3 == 1)
    found = watched_rows(targets, rows, (0, 1, 2, 3), 0)
    assert len(set(found)) == WATCHED and set(found) <= set(rows)
    assert np.abs(shares(targets[found]) - shares(targets[rows])).max() <= 1 / WATCHED
    assert np.array_equal(found, watched_rows(targets, rows, (0, 1, 2, 3), 0))
    assert len(set(found) & set(watched_rows(targets, rows, (0, 1, 2, 3), 1))) < WATCHED / 2
    assert np.array_equal(watched_rows(targets, rows[:200], (0, 1, 2, 3), 0), rows[:200])


def test_watched_masks_hold_rare_classes_as_often_as_the_fold_does() -> None:
    masks = np.ones((1500, 4, 4), np.uint8)
    masks[:400, 0] = 2
    masks[:24, 1, 1] = 3
    masks[700:, 2] = 0  # not scored, and no part of it
    found = watched_rows(masks, np.arange(1500), (1, 2, 3), 2)
    for label in (2, 3):
        there = (masks == label).any((1, 2))
        assert there[found].mean() == pytest.approx(there.mean(), abs=2 / WATCHED)


def test_the_watched_score_is_that_of_the_averaged_weights_on_the_watched_rows(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.training.fold.WATCHED", 9)
    job = make_job("schedule.epochs=2")
    dataset, result = open_dataset(job.data), fit_fold(job)
    rows = watched_rows(dataset.targets, job.valid_rows, (0, 1, 2), job.fold)
    predicted = competition.decode(result.main.probabilities[np.searchsorted(job.valid_rows, rows)])
    assert len(rows) == 9 and rows.tolist() != job.valid_rows[:9].tolist()
    assert result.history[-1]["score"] == competition.score(confusion_matrix(dataset.targets[rows], predicted, 3))


def test_convolutions_as_products_train_alike(make_job: MakeJob) -> None:
    recipe = ("schedule.epochs=3", "optimizer.lr=1e-4")
    plain, products = fit_fold(make_job(*recipe)), fit_fold(make_job(*recipe, **PRODUCTS))
    assert products.history[-1]["loss"] == pytest.approx(plain.history[-1]["loss"], rel=1e-3)
    assert not same(products, plain), "another order of sums"


def test_a_frozen_backbone_is_left_untouched_statistics_included(make_job: MakeJob) -> None:
    short, long, thawed = (
        fit_fold(make_job(*more)).main.weights
        for more in (("schedule.freeze=1", "schedule.epochs=1"), ("schedule.freeze=1",), ("schedule.freeze=0.5",))
    )
    for name in short:
        backbone = name.startswith("body.backbone.")
        assert torch.equal(short[name], long[name]) == backbone, name
        assert not backbone or not torch.equal(short[name], thawed[name]), name


@pytest.mark.parametrize("overrides", [("schedule.epochs=3",), ("schedule.epochs=1", "batch_size=48")])
def test_a_loss_that_is_no_number_ends_in_one_sentence(overrides: tuple[str, ...], make_job: MakeJob) -> None:
    with pytest.raises(UserError, match=r"no longer a number in fold 0.*lower optimizer\.lr \(now 1e\+30\)") as caught:
        fit_fold(make_job("optimizer.lr=1e30", "schedule.warmup=0", *overrides))
    assert "\n" not in str(caught.value)


def test_a_look_takes_at_most_a_tenth_of_the_training_since_the_one_before() -> None:
    assert epochs_between_looks(6, batch=32, steps=29) == 3  # 256 images predicted, 16 batches for batch norm
    assert epochs_between_looks(30, batch=32, steps=300) == 3  # ten looks in all
    assert epochs_between_looks(5, batch=32, steps=300) == 1
    assert epochs_between_looks(4, batch=4, steps=1) > 4  # at the end alone


def test_compiling_is_no_part_of_the_next_epoch(make_job: MakeJob) -> None:
    first = {"seconds": 61.0, "train_seconds": 60.0}
    for compiled, step, seconds in ((True, 0.5, 4.0), (True, None, 61.0), (False, 0.5, 61.0)):
        training = Training(make_job(settings=Settings(seconds=step)))
        training.settings = replace(training.settings, compiled=compiled)
        assert _next_seconds([first], training) == seconds  # six steps
        assert _next_seconds([first, {"seconds": 3.0, "train_seconds": 2.0}], training) == 3.0
