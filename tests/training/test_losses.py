"""Losses: equal to their formulas, blind to what is not scored, never NaN."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from segmentation_models_pytorch.losses import LovaszLoss
from torch.testing import assert_close

from toolkit import Loss, LossName, UserError
from toolkit.task import IGNORED
from toolkit.training.losses import LossFunction, build_loss, build_soft_loss, class_weights

EVERY: tuple[LossName, ...] = ("cross_entropy", "focal", "dice", "lovasz")
SUMS: tuple[tuple[LossName, ...], ...] = (*((name,) for name in EVERY), ("focal", "dice"), EVERY)
each_sum = pytest.mark.parametrize("names", SUMS, ids="+".join)
COUNTS = np.array([50, 10, 30, 5, 5])
ALL, TERRAIN = range(5), (1, 2, 3, 4)
SEEDS = st.integers(0, 2**31 - 1)


def made(loss: Loss, scored: range | tuple[int, ...] = ALL, masks: bool = True) -> LossFunction:
    return build_loss(loss, COUNTS, scored, masks)


def sample(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (2, 5, 6, 8) and masks with every class."""
    rng = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, 5, (2, 6, 8), generator=rng)
    targets[0, 0, :5] = torch.arange(5)
    return torch.randn(2, 5, 6, 8, generator=rng), targets.to(torch.uint8)


def with_gradient(loss: Callable[..., torch.Tensor], logits: torch.Tensor, *more: torch.Tensor) -> tuple[Any, Any]:
    """The loss, and its gradient on the logits."""
    logits = logits.detach().requires_grad_()
    value = loss(logits, *more)
    return value.detach(), torch.autograd.grad(value, logits)[0]


def sure_of(targets: torch.Tensor) -> torch.Tensor:
    return 20 * F.one_hot(targets.long(), 5).permute(0, 3, 1, 2).float()


@given(SEEDS, st.sampled_from([0.0, 0.1]))
def test_cross_entropy_is_that_of_torch(seed: int, smoothing: float) -> None:
    logits, masks = sample(seed)
    loss = Loss(label_smoothing=smoothing)
    expected = F.cross_entropy(logits, masks.long(), label_smoothing=smoothing)
    assert_close(made(loss)(logits, masks), expected)
    flat, labels = logits[:, :, 0, 0], masks[:, 0, 0].long()
    expected = F.cross_entropy(flat, labels, label_smoothing=smoothing)
    assert_close(made(loss, masks=False)(flat, labels), expected)


@given(SEEDS, st.floats(0, 1))
def test_balanced_cross_entropy_is_that_of_torch(seed: int, balance: float) -> None:
    logits, masks = sample(seed)
    weights = torch.tensor(class_weights(COUNTS, balance), dtype=torch.float32)
    expected = F.cross_entropy(logits, masks.long(), weights)
    assert_close(made(Loss(balance=balance))(logits, masks), expected)


@given(SEEDS)
def test_focal_with_gamma_zero_is_cross_entropy(seed: int) -> None:
    logits, masks = sample(seed)
    focal, plain = (made(Loss(names=(name,), gamma=0, balance=0.5)) for name in EVERY[1::-1])
    assert_close(focal(logits, masks), plain(logits, masks))


@given(SEEDS, st.sampled_from([0.5, 1.0, 2.0, 5.0]))
def test_focal_is_its_formula(seed: int, gamma: float) -> None:
    logits, masks = sample(seed)
    right = logits.softmax(1).gather(1, masks.long()[:, None])[:, 0]
    expected = (-((1 - right) ** gamma) * right.log()).mean()
    assert_close(made(Loss(names=("focal",), gamma=gamma))(logits, masks), expected)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_gradient_of_focal_is_finite_where_the_network_is_sure(gamma: float) -> None:
    _, masks = sample()
    _, gradient = with_gradient(made(Loss(names=("focal",), gamma=gamma)), 5 * sure_of(masks), masks)
    assert gradient.isfinite().all()


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=8), st.floats(0, 1))
def test_weights_have_a_mean_of_one_over_samples(counts: list[int], balance: float) -> None:
    array = np.array(counts)
    weights = class_weights(array, balance)
    assert np.isfinite(weights).all() and (weights[array == 0] == 0).all()
    if array.sum():
        assert (weights * array).sum() / array.sum() == pytest.approx(1)


def test_weights_fall_with_the_frequency_to_the_power_of_balance() -> None:
    weights = class_weights(np.array([400, 100]), 0.5)
    assert weights[1] / weights[0] == pytest.approx(2)
    assert class_weights(np.array([400, 100]), 0.0).tolist() == pytest.approx([1, 1])


def test_the_loss_of_several_names_is_their_sum() -> None:
    logits, masks = sample()
    parts = [made(Loss(names=(name,)))(logits, masks) for name in EVERY]
    assert_close(made(Loss(names=EVERY))(logits, masks), torch.stack(parts).sum())


@each_sum
def test_pixels_and_logits_of_an_unscored_class_change_nothing(names: tuple[LossName, ...]) -> None:
    logits, masks = sample()
    loss = made(Loss(names=names, label_smoothing=0.1, balance=0.5), TERRAIN)
    value, gradient = with_gradient(loss, logits, masks)
    unscored = masks[:, None].expand_as(logits) == 0
    assert (gradient[unscored] == 0).all() and (gradient[:, 0] == 0).all() and (gradient != 0).any()
    changed = logits.clone()
    changed[unscored] += 7
    changed[:, 0] -= 7
    assert loss(changed, masks) == value
    assert loss(logits, torch.where(masks == 0, torch.tensor(IGNORED, dtype=torch.uint8), masks)) == value


@each_sum
def test_the_loss_is_that_of_the_scored_pixels_alone(names: tuple[LossName, ...]) -> None:
    logits, masks = sample()
    masks[1] = IGNORED
    loss = made(Loss(names=names))
    assert_close(loss(logits, masks), loss(logits[:1], masks[:1]))


@each_sum
@pytest.mark.parametrize("value", [0, IGNORED])
def test_a_batch_without_a_scored_pixel_has_a_loss_of_zero(names: tuple[LossName, ...], value: int) -> None:
    logits, masks = sample()
    loss = made(Loss(names=names, label_smoothing=0.1), TERRAIN)
    found, gradient = with_gradient(loss, logits, torch.full_like(masks, value))
    assert found == 0 and (gradient == 0).all()


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("scored", [ALL, TERRAIN], ids=["all", "terrain"])
def test_every_loss_is_finite_and_lowest_for_the_right_answer(name: LossName, scored: tuple[int, ...]) -> None:
    logits, masks = sample()
    loss = made(Loss(names=(name,)), scored)
    wrong = torch.where(masks == 4, torch.tensor(1, dtype=torch.uint8), masks + 1)
    right, random, worst = (float(loss(x, masks)) for x in (sure_of(masks), logits, sure_of(wrong)))
    assert 0 <= right < 0.01 < random < worst < 100


@each_sum
@pytest.mark.parametrize("scored", [ALL, TERRAIN, (0, 2, 3)], ids=["all", "terrain", "apart"])
def test_a_class_that_is_not_in_the_batch_does_no_harm(names: tuple[LossName, ...], scored: tuple[int, ...]) -> None:
    logits, masks = sample()
    masks[masks == 3] = 2
    loss = made(Loss(names=names), scored)
    assert 0 <= float(loss(sure_of(masks), masks)) < 0.01
    value, gradient = with_gradient(loss, logits, masks)
    assert value.isfinite() and gradient.isfinite().all() and (gradient != 0).any()


@each_sum
def test_half_precision_logits_are_summed_in_single_precision(names: tuple[LossName, ...]) -> None:
    logits, masks = sample()
    half, loss = logits.bfloat16(), made(Loss(names=names), TERRAIN)
    expected = loss(half.float(), masks)
    for autocast in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            value, gradient = with_gradient(loss, half, masks)
        assert value.dtype == torch.float32
        assert_close(value, expected)
        assert gradient.isfinite().all() and (gradient[:, 0] == 0).all()
    assert (with_gradient(loss, half, torch.full_like(masks, IGNORED))[1] == 0).all()


@given(SEEDS)
def test_dice_is_its_formula(seed: int) -> None:
    logits, masks = sample(seed)
    truth, guess = F.one_hot(masks.long(), 5).permute(0, 3, 1, 2), logits.softmax(1)
    both, all_of_it = (x.sum((0, 2, 3)) for x in (truth * guess, truth + guess))
    assert_close(made(Loss(names=("dice",)))(logits, masks), 1 - (2 * both / all_of_it).mean())


@given(SEEDS, st.sampled_from([ALL, TERRAIN]))
def test_lovasz_and_its_gradient_are_those_of_smp(seed: int, scored: range | tuple[int, ...]) -> None:
    logits, masks = sample(seed)
    first, smp = scored[0], LovaszLoss("multiclass", ignore_index=-1)
    ours = with_gradient(made(Loss(names=("lovasz",)), scored), logits, masks)
    assert_close(ours, with_gradient(lambda logits: smp(logits[:, first:], masks.long() - first), logits))


@given(SEEDS, st.sampled_from([ALL, TERRAIN, (0, 2, 3)]))
def test_a_teacher_that_is_sure_teaches_as_the_targets_do(seed: int, scored: range | tuple[int, ...]) -> None:
    logits, masks = sample(seed)
    probabilities = F.one_hot(masks.long(), 5).permute(0, 3, 1, 2).float()
    everywhere = torch.ones(masks.shape)
    ours = build_soft_loss(scored)(logits, probabilities, everywhere)
    assert_close(ours, made(Loss(), scored)(logits, masks))
    known = [list(scored).index(int(x)) if x in scored else IGNORED for x in masks.flatten()]
    targets = torch.tensor(known).reshape(masks.shape)
    assert_close(ours, F.cross_entropy(logits[:, list(scored)], targets, ignore_index=IGNORED))


@given(SEEDS)
def test_soft_targets_are_those_of_torch_for_masks_and_labels(seed: int) -> None:
    logits, _ = sample(seed)
    probabilities = torch.randn(logits.shape, generator=torch.Generator().manual_seed(seed)).softmax(1)
    loss = build_soft_loss(ALL)
    expected = F.cross_entropy(logits, probabilities)
    assert_close(loss(logits, probabilities, torch.ones(2, 6, 8)), expected)
    flat, wanted = logits[:, :, 0, 0], probabilities[:, :, 0, 0]
    assert_close(loss(flat, wanted, torch.ones(2)), F.cross_entropy(flat, wanted))


def test_weights_say_how_much_is_learnt_from_the_teacher() -> None:
    logits, _ = sample()
    probabilities = logits.flip(0).softmax(1)
    weight = torch.rand(2, 6, 8, generator=torch.Generator().manual_seed(0))
    weight[0] = 0
    loss = build_soft_loss(ALL)
    value, gradient = with_gradient(loss, logits, probabilities, weight)
    each = F.cross_entropy(logits, probabilities, reduction="none")
    assert_close(value, (each * weight).sum() / weight.sum())
    assert (gradient[0] == 0).all() and (gradient[1] != 0).all()
    value, gradient = with_gradient(loss, logits, probabilities, torch.zeros_like(weight))
    assert value == 0 and not gradient.any()


def test_what_is_not_scored_is_not_learnt_from_a_teacher() -> None:
    logits, _ = sample()
    half = logits.bfloat16()
    probabilities = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1)).softmax(1)
    probabilities[0, :, 0] = F.one_hot(torch.tensor(0), 5)[:, None]  # here the teacher sees background alone
    loss = build_soft_loss(TERRAIN)
    value, gradient = with_gradient(loss, half, probabilities, torch.ones(2, 6, 8))
    assert value.dtype == torch.float32
    assert (gradient[:, 0] == 0).all() and (gradient[0, :, 0] == 0).all() and (gradient[1, 1:] != 0).any()
    changed = half.clone()
    changed[:, 0] += 5
    assert loss(changed, probabilities, torch.ones(2, 6, 8)) == value


@pytest.mark.parametrize("name", ["dice", "lovasz"])
def test_a_loss_for_masks_refuses_labels(name: LossName) -> None:
    with pytest.raises(UserError, match=f"loss {name} is for masks; for labels use cross_entropy or focal"):
        made(Loss(names=("focal", name)), masks=False)


def test_of_hundreds_of_classes_the_two_hundred_and_fifty_sixth_is_learnt_as_any_other() -> None:
    targets = torch.tensor([255, 299, 0, 255])
    logits = torch.randn(4, 300, generator=torch.Generator().manual_seed(0))
    loss = build_loss(Loss(), np.ones(300), range(300), masks=False)
    assert_close(loss(logits, targets), F.cross_entropy(logits, targets))
    others = build_loss(Loss(), np.ones(300), range(1, 300), masks=False)
    assert_close(others(logits, targets), F.cross_entropy(logits[[0, 1, 3], 1:], targets[[0, 1, 3]] - 1))
