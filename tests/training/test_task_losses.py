"""Losses of labels, numbers, grades and heads: equal to their formulas, blind to what is missing, never NaN."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from segmentation_models_pytorch.losses import DiceLoss
from torch.testing import assert_close

from tests.kinds import KINDS, drawn
from toolkit import Loss, LossName
from toolkit.networks.outputs import Scale
from toolkit.recipe import LOSSES, MASK_LOSSES
from toolkit.task import IGNORED, Numbers, OverlappingMasks
from toolkit.training.losses import LossFunction, class_weights
from toolkit.training.task_losses import build_soft_task_loss, build_task_loss

EVERY = [
    (kind, name)
    for kind in KINDS
    for name in (*LOSSES[KINDS[kind][0].outputs[0].kind], *(MASK_LOSSES if KINDS[kind][0].masks else ()))
    if kind == "shares" or name != "bce" or "numbers" not in KINDS[kind][0].outputs[0].kind
]


def scale_of(kind: str, names: tuple[LossName, ...] = ()) -> Scale | None:
    task = KINDS[kind][0]
    if not isinstance(task, Numbers):
        return None
    scale = Scale(len(task.targets), task.low, task.high, "bce" in names)
    scale.learn(drawn(kind).targets)
    return scale


def made(kind: str, loss: Loss) -> LossFunction:
    task = KINDS[kind][0]
    return build_task_loss(task, loss, drawn(kind).targets, range(len(task.classes)), scale_of(kind, loss.names))


def said(kind: str, rows: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    """What a network could say of the first samples, and their targets."""
    task, targets = KINDS[kind][0], drawn(kind).targets[:rows]
    shape = (rows, task.channels, *targets.shape[1:]) if task.masks else (rows, task.channels)
    random = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    scale = scale_of(kind)
    numbers = random if scale is None else scale.mean + 0.3 * scale.std * random
    return numbers.clamp(0, 100) if kind == "shares" else numbers, torch.from_numpy(targets.copy())


def right(kind: str, targets: torch.Tensor) -> torch.Tensor:
    """What a network says that is sure of the targets."""
    task = KINDS[kind][0]
    if kind in ("classes", "identities", "masks"):
        return 20 * F.one_hot(targets.long().clamp(0, 1), 2).movedim(-1, 1).float()
    if kind == "labels":
        return 20 * (2 * targets.float() - 1)
    if kind == "overlapping":
        assert isinstance(task, OverlappingMasks)
        return 40.0 * ((targets[:, None] >> torch.arange(2).reshape(-1, 1, 1)) & 1) - 20
    if kind == "grades":
        return 40 * (targets[:, None] > torch.arange(3)).float() - 20
    if kind == "heads":
        return torch.cat([20 * F.one_hot(targets[:, at].clamp(0), n).float() for at, n in ((0, 2), (1, 3))], 1)
    return targets.nan_to_num()


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_loss_is_lowest_for_the_right_answer_with_a_finite_slope(kind: str, name: LossName) -> None:
    logits, targets = said(kind)
    if kind == "identities":
        targets = targets.clamp(0)
    loss = made(kind, Loss(names=(name,)))
    best, some = float(loss(right(kind, targets), targets)), float(loss(logits, targets))
    assert np.isfinite([best, some]).all()
    # BCE of shares is the entropy of the truth at best
    assert best < some if name == "bce" and kind == "shares" else 0 <= best < 0.02 < some
    logits.requires_grad_()
    (slope,) = torch.autograd.grad(loss(logits, targets), logits)
    assert slope.isfinite().all() and slope.any()


def test_cross_entropy_is_the_natural_loss_of_each_kind() -> None:
    for kind, natural in (("labels", "bce"), ("overlapping", "bce"), ("numbers", "mse"), ("grades", "ordinal")):
        logits, targets = said(kind)
        assert_close(made(kind, Loss())(logits, targets), made(kind, Loss(names=(natural,)))(logits, targets))  # type: ignore[arg-type]


def test_labels_are_bce_of_what_is_known_with_weights_of_yes_and_no() -> None:
    logits, targets = said("labels")
    known = targets >= 0
    expected = F.binary_cross_entropy_with_logits(logits[known], targets[known].float())
    assert_close(made("labels", Loss())(logits, targets), expected)
    column = drawn("labels").targets[:, 0]
    no, yes = class_weights(np.array([(column == 0).sum(), (column == 1).sum()]), 1.0)
    only = targets.clone()
    only[:, 1:] = -1
    weight = torch.where(only[:, 0] == 1, yes, no)
    each = F.binary_cross_entropy_with_logits(logits[:, 0], only[:, 0].float(), reduction="none")
    assert_close(made("labels", Loss(balance=1.0))(logits, only), ((each * weight).sum() / weight.sum()).float())
    assert yes * (column == 1).sum() == pytest.approx(no * (column == 0).sum())


@pytest.mark.parametrize("kind", ["labels", "overlapping", "numbers", "heads"])
def test_a_batch_of_which_nothing_is_known_has_a_loss_of_zero(kind: str) -> None:
    logits, targets = said(kind)
    nothing = torch.full_like(targets, {"overlapping": IGNORED, "numbers": torch.nan}.get(kind, -1))
    logits.requires_grad_()
    value = made(kind, Loss())(logits, nothing)
    (slope,) = torch.autograd.grad(value, logits)
    assert value == 0 and not slope.any() and slope.isfinite().all()


def test_what_is_missing_moves_nothing() -> None:
    for kind in ("labels", "numbers", "heads"):
        logits, targets = said(kind)
        missing = targets.isnan() if kind == "numbers" else targets == -1
        assert missing.any()
        span = {"heads": slice(2, 5)}.get(kind)
        places = missing[:, 1:].expand(-1, 3) if span else missing
        changed = logits.clone()
        (changed[:, span] if span else changed)[places] += 5
        assert made(kind, Loss())(logits, targets) == made(kind, Loss())(changed, targets)


def test_numbers_are_compared_in_units_of_their_spread() -> None:
    numbers, targets = said("numbers")
    scale = scale_of("numbers")
    assert scale is not None
    known = ~targets.isnan()
    expected = (((numbers - targets) / scale.std)[known] ** 2).mean()
    assert_close(made("numbers", Loss())(numbers, targets), expected)


def test_grades_are_the_mean_of_yes_and_no_above_each() -> None:
    logits, targets = said("grades")
    above = (targets[:, None] > torch.arange(3)).float()
    assert_close(made("grades", Loss())(logits, targets), F.binary_cross_entropy_with_logits(logits, above))


def test_heads_are_a_weighted_sum() -> None:
    logits, targets = said("heads")
    first = F.cross_entropy(logits[:, :2], targets[:, 0])
    second = F.cross_entropy(logits[:, 2:], targets[:, 1], ignore_index=-1)
    assert_close(made("heads", Loss())(logits, targets), first + 0.5 * second)


def test_dice_of_overlapping_masks_is_that_of_smp() -> None:
    logits, targets = said("overlapping")
    targets[:, 0, 0] = 0
    truth = ((targets[:, None] >> torch.arange(2).reshape(-1, 1, 1)) & 1).float()
    assert_close(made("overlapping", Loss(names=("dice",)))(logits, targets), DiceLoss("multilabel")(logits, truth))


@pytest.mark.parametrize("kind", ["labels", "overlapping", "numbers", "grades", "heads"])
def test_a_teacher_that_is_right_teaches_as_the_targets_do(kind: str) -> None:
    task = KINDS[kind][0]
    logits, targets = said(kind)
    values, weight = right(kind, targets), torch.ones_like(logits)
    if kind == "numbers":
        weight[targets.isnan()] = 0
        values = values.nan_to_num(0)
    elif kind == "heads":
        values = (values > 0).float()
        weight[:, 2:] = (targets[:, 1:] >= 0).float()
    else:
        values = (values > 0).float()
        if kind == "labels":
            weight = (targets >= 0).float()
        if kind == "overlapping":
            weight = (targets != IGNORED)[:, None].expand_as(logits).float()
    soft = build_soft_task_loss(task, range(len(task.classes)), scale_of(kind))
    assert_close(soft(logits, values, weight), made(kind, Loss())(logits, targets))
