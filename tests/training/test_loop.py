"""A network in training: steps in parts, epochs that are done again, rows that are kept apart for stopping."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from tests.training import same, untimed
from toolkit import Competition, UserError, override
from toolkit.networks.speed import Settings
from toolkit.training.fold import fit_fold
from toolkit.training.loop import RESCUE, STOP_SHARE, FoldJob, Training

MakeJob = Callable[..., FoldJob]
NoNumber = Callable[[int, int, float], None]

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_rows_that_decide_when_to_stop_are_whole_groups_and_not_trained_on(make_job: MakeJob) -> None:
    job = make_job("schedule.patience=1")
    training = Training(job)
    trained, watched = training.batches.rows, training.stop_rows
    assert sorted([*trained, *watched]) == job.train_rows.tolist()
    assert len(watched) == pytest.approx(STOP_SHARE * 48, abs=2)
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


@pytest.mark.parametrize(("batch", "micro"), [(48, 16), (48, 20), (33, 16)])
def test_a_batch_trained_in_parts_has_the_gradients_of_the_whole(batch: int, micro: int, make_job: MakeJob) -> None:
    sizes: list[list[int]] = []
    gradients: list[dict[str, torch.Tensor]] = []
    for settings in (Settings(), Settings(micro_batch=micro)):
        recipe = (f"batch_size={batch}", "model.dropout=0", "augment.mixup=1", "loss.label_smoothing=0.1")
        training = Training(make_job(*recipe, settings=settings))
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


def test_a_test_image_batch_larger_than_the_training_batch_goes_through_in_parts_that_fit(make_job: MakeJob) -> None:
    job = make_job()
    sizes: list[int] = []
    network = nn.Linear(4, 3)
    network.register_forward_pre_hook(lambda net, inputs: sizes.append(len(inputs[0])))
    Training(job).backward(network, torch.ones(40, 4), lambda logits, at: logits.sum(), final=True)
    assert sizes == [job.recipe.batch_size] * 5


def test_freezing_needs_a_backbone(mars: Competition, make_job: MakeJob) -> None:
    job = make_job()
    for field in ("schedule.freeze=0.5", "optimizer.backbone_factor=0.1"):
        recipe = override(mars.recipes["small_unet"], [field])
        with pytest.raises(UserError, match="small_unet has no backbone"):
            Training(replace(job, competition=mars.folder, recipe=recipe))
