"""A network in training: steps in parts, epochs that are done again, rows that are kept apart for stopping."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.training import same, untimed
from toolkit import Competition, UserError, override
from toolkit.networks.speed import Settings
from toolkit.training import distributed
from toolkit.training.fold import fit_fold
from toolkit.training.jobs import FoldJob
from toolkit.training.loop import RESCUE, Training
from toolkit.training.watched import SHARE

MakeJob = Callable[..., FoldJob]
NoNumber = Callable[[int, int, float], None]

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_rows_that_decide_when_to_stop_are_whole_groups_and_not_trained_on(make_job: MakeJob) -> None:
    job = make_job("schedule.patience=1")
    training = Training(job)
    trained, watched = training.batches.rows, training.stop_rows
    assert sorted([*trained, *watched]) == job.train_rows.tolist()
    assert len(watched) == pytest.approx(SHARE * 48, abs=2)
    groups = dict(zip(job.train_rows, job.train_groups, strict=True))
    assert not {groups[row] for row in trained} & {groups[row] for row in watched}


@pytest.fixture
def no_number(monkeypatch: pytest.MonkeyPatch) -> NoNumber:
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
def test_after_no_number_the_epoch_is_done_again_at_a_lower_rate(
    accumulate: int, batch: int, make_job: MakeJob, no_number: NoNumber
) -> None:
    recipe = (f"optimizer.accumulate={accumulate}", "schedule.warmup=0")
    healthy = fit_fold(make_job(*recipe))
    no_number(2, batch, RESCUE)
    rescued = fit_fold(make_job(*recipe))
    assert untimed(rescued)[:2] == untimed(healthy)[:2]
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


@pytest.mark.parametrize(
    ("failures", "epoch"), [([(2, 3, 0)], 3), ([(1, 0, RESCUE), (3, 0, 0)], 4)], ids=["at once", "later"]
)
def test_a_loss_that_is_no_number_again_ends_in_one_sentence(
    failures: list[tuple[int, int, float]], epoch: int, make_job: MakeJob, no_number: NoNumber
) -> None:
    for failure in failures:
        no_number(*failure)
    end = rf"in fold 0, epoch {epoch}, at 0\.3 of the learning rate either; lower optimizer"
    with pytest.raises(UserError, match=end):
        fit_fold(make_job())


@pytest.mark.parametrize("features", [True, False])
def test_the_first_epoch_of_a_thawed_backbone_is_done_again_too(
    features: bool, make_job: MakeJob, no_number: NoNumber, tmp_path: Path
) -> None:
    no_number(2, 0, RESCUE)
    folder = tmp_path / "features" if features else None
    found = fit_fold(make_job("schedule.freeze=0.5", "schedule.warmup=0", features=folder))
    assert len(found.history) == 4
    assert all(value.isfinite().all() for value in found.main.weights.values())


@pytest.mark.parametrize(
    ("samples", "most", "sizes"),
    [(5, 2, [2, 3]), (7, 2, [2, 2, 3]), (7, 3, [2, 2, 3]), (3, 1, [1, 1, 1]), (1, 2, [1])],
)
def test_no_sample_is_a_part_alone_where_another_way_is(samples: int, most: int, sizes: list[int]) -> None:
    assert [part.stop - part.start for part in distributed.parts(samples, most)] == sizes


@pytest.mark.parametrize(("batch", "micro"), [(48, 16), (48, 20), (33, 16)])
def test_a_batch_trained_in_parts_has_the_gradients_of_the_whole(
    batch: int, micro: int, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[list[int]] = []
    gradients: list[dict[str, torch.Tensor]] = []
    for settings in (Settings(), Settings(micro_batch=micro)):
        recipe = ("model.dropout=0", "augment.mixup=1", "loss.label_smoothing=0.1", "optimizer.clip=0")
        training = Training(make_job(f"batch_size={batch}", *recipe, settings=settings))
        monkeypatch.setattr(training.optimizer, "zero_grad", lambda set_to_none: None)
        sizes.append([])
        training.model.register_forward_pre_hook(lambda net, inputs: sizes[-1].append(len(inputs[0])))
        training.model.eval()  # batch norm's statistics would be those of a part
        loss = training.step(*training.batches[(0, 0)], 0)
        given = {name: p.grad for name, p in training.model.named_parameters() if p.grad is not None}
        assert len(given) == 6
        gradients.append(given | {"loss": loss})
    for name, value in gradients[0].items():
        assert value.abs().sum() > 0
        assert torch.allclose(value, gradients[1][name], rtol=0, atol=1e-6), name
    assert sizes[0] == [batch] and sum(sizes[1]) == batch
    assert max(sizes[1]) <= micro and min(sizes[1]) > 1, "batch norm can't learn from one sample"


@pytest.mark.parametrize("batch", [12, 16])  # of 48 rows: 4 and 3 batches
def test_accumulated_batches_are_one_large_batch_the_last_of_an_epoch_too(
    batch: int, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three batches an update: those that are left at an epoch's end are a smaller batch, not a third of one."""
    recipe = ("optimizer.accumulate=3", "optimizer.clip=0", "augment.mixup=0", "augment.cutmix=0")
    training = Training(make_job(f"batch_size={batch}", *recipe))
    training.model.eval()
    given: list[dict[str, torch.Tensor]] = []

    def update(optimizer: torch.optim.Optimizer) -> None:
        given.append({name: p.grad.clone() for name, p in training.model.named_parameters() if p.grad is not None})

    monkeypatch.setattr(training.scaler, "step", update)  # the weights stay
    batches = [training.batches[0, step] for step in range(training.batches.steps)]
    for number, (images, targets) in enumerate(batches):
        training.step(images, targets, training.batches.steps + number)
    groups = [batches[:3], batches[3:]][: len(given)]
    assert len(given) == -(-len(batches) // 3) and sum(map(len, groups)) == len(batches)
    for gradients, group in zip(given, groups, strict=True):
        training.model.zero_grad()
        logits = training.model(torch.cat([images for images, _ in group]))
        training.loss(logits, torch.cat([targets for _, targets in group])).backward()
        for name, parameter in training.model.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0
            assert torch.allclose(gradients[name], parameter.grad, rtol=1e-4, atol=1e-6), name


def test_what_thaws_begins_at_a_low_rate(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(make_job("schedule.freeze=0.5", "schedule.epochs=8", "schedule.warmup=0.25"))
    rates: list[dict[int, float]] = []

    def update(optimizer: torch.optim.Optimizer) -> None:
        rates.append({group["begins"]: group["lr"] for group in optimizer.param_groups})

    monkeypatch.setattr(training.scaler, "step", update)
    images, targets = training.batches[0, 0]
    steps = training.batches.steps
    for number in range(8 * steps):
        training.step(images, targets, number)
    shares = [rate[4] / rate[0] for rate in rates]
    assert set(shares[: 4 * steps]) == {0}
    assert shares[4 * steps] == pytest.approx(1 / (2 * steps + 1)) and shares[6 * steps :] == [1] * 2 * steps


@pytest.mark.parametrize("average", ["ema", "soup", "swa"])
def test_the_rate_stays_from_the_first_of_the_weights_that_are_averaged(average: str, make_job: MakeJob) -> None:
    history = fit_fold(make_job(f"schedule.average={average}", "schedule.epochs=8")).history
    rates = [line["lr"] for line in history]  # of each epoch's last step
    assert rates[1:7] == sorted(rates[1:7], reverse=True)
    assert rates[7] / rates[6] > 0.7 if average == "swa" else rates[7] / rates[6] < 0.1


def test_a_test_image_batch_larger_than_the_training_batch_goes_through_in_parts_that_fit(make_job: MakeJob) -> None:
    job = make_job()
    sizes: list[int] = []
    network = nn.Linear(4, 3)
    network.register_forward_pre_hook(lambda net, inputs: sizes.append(len(inputs[0])))
    Training(job).backward(network, (torch.ones(40, 4),), lambda logits, at: logits.sum(), final=True)
    assert sizes == [job.recipe.batch_size] * 5


def test_freezing_needs_a_backbone(mars: Competition, make_job: MakeJob) -> None:
    job = make_job()
    for field in ("schedule.freeze=0.5", "optimizer.backbone_factor=0.1"):
        recipe = override(mars.recipes["small_unet"], [field])
        with pytest.raises(UserError, match="small_unet has no backbone"):
            Training(replace(job, competition=mars.folder, recipe=recipe))
