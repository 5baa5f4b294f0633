"""The loss of a task, whatever it puts out: the sum over its outputs, each in the loss that its kind has.

What is missing (labels, numbers, pixels) counts nowhere. All sum in float32; a batch with nothing to learn from has a
loss and a gradient of zero.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from toolkit.data.targets import class_counts
from toolkit.networks.outputs import Scale, is_softmax
from toolkit.recipe import Loss
from toolkit.task import IGNORED, MISSING, Grades, Heads, Labels, Numbers, Output, OverlappingMasks, Task
from toolkit.training.losses import (
    LossFunction,
    SoftLossFunction,
    build_loss,
    build_soft_loss,
    class_weights,
    ignored_of,
)

NEGATIVES, POSITIVES, MARGIN = 4.0, 1.0, 0.05  # of the asymmetric loss, as its authors have them
TINY = 1e-6
# from what is predicted and wanted, of equal shape, to the loss of each
Elementwise = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
NUMBER_LOSSES: dict[str, Elementwise] = {
    "mse": lambda one, other: F.mse_loss(one, other, reduction="none"),
    "l1": lambda one, other: F.l1_loss(one, other, reduction="none"),
    "smooth_l1": lambda one, other: F.smooth_l1_loss(one, other, reduction="none"),
}


def build_task_loss(
    task: Task, loss: Loss, targets: np.ndarray, scored: Sequence[int], scale: Scale | None = None
) -> LossFunction:
    """The sum of the named losses, from what the network says (N, channels, ...) and targets (N, ...) to a scalar.

    targets: (n, ...) that are trained on, for loss.balance. scored: places of the classes that count. scale: the
    network's, where it says numbers.
    """
    if isinstance(task, Heads):
        return _of_heads(task, loss, targets, scored)
    if isinstance(task, Numbers):
        assert scale is not None
        return _of_numbers(loss, list(scored), scale)
    if isinstance(task, Grades):
        return _of_grades(task, loss, class_counts(targets, task))
    if isinstance(task, Labels | OverlappingMasks):
        return _of_labels(task, loss, targets, list(scored))
    return build_loss(loss, class_counts(targets, task), scored, task.masks)


def _mean(each: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (each * weight).sum() / weight.expand_as(each).sum().clamp_min(TINY)


def _of_heads(task: Heads, loss: Loss, targets: np.ndarray, scored: Sequence[int]) -> LossFunction:
    parts, counts = [], class_counts(targets, task)
    for number, (output, span) in enumerate(zip(task.outputs, task.spans, strict=True)):
        own = [at - span.start for at in scored if span.start <= at < span.stop]
        if own:
            ignored = ignored_of(output.channels)
            parts.append((number, output.weight, span, ignored, build_loss(loss, counts[span], own, masks=False)))

    def total(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        each = []
        for number, weight, span, ignored, part in parts:
            wanted = torch.where(targets[:, number] == MISSING, ignored, targets[:, number])
            each.append(weight * part(logits[:, span], wanted))
        return torch.stack(each).sum()

    return total


def _of_numbers(loss: Loss, scored: list[int], scale: Scale) -> LossFunction:
    def total(numbers: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        numbers, targets = numbers[:, scored].float(), targets[:, scored].float()
        known = ~targets.isnan()
        wanted = torch.where(known, targets, numbers.detach())
        parts = [_mean(_of_number(name, numbers, wanted, scale, scored), known) for name in loss.names]
        return torch.stack(parts).sum()

    return total


def _of_number(
    name: str, numbers: torch.Tensor, wanted: torch.Tensor, scale: Scale, scored: list[int]
) -> torch.Tensor:
    """In units of their spread over the training rows; bce: as shares of the way from the lowest to the highest."""
    if name == "bce":
        assert scale.low is not None and scale.high is not None
        share, other = ((x - scale.low) / (scale.high - scale.low) for x in (numbers, wanted))
        return F.binary_cross_entropy_with_logits(torch.logit(share, TINY), other.clamp(0, 1), reduction="none")
    return NUMBER_LOSSES[_natural(name, "mse")]((numbers - wanted) / scale.std[scored], torch.zeros_like(numbers))


def _natural(name: str, other: str) -> str:
    return other if name == "cross_entropy" else name


def _of_grades(task: Grades, loss: Loss, counts: np.ndarray) -> LossFunction:
    """ordinal: BCE of each channel, whether the grade is above it (Frank & Hall 2001). Else of the expected grade."""
    weights = torch.from_numpy(class_weights(counts, loss.balance).astype(np.float32))

    def total(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits, targets = logits.float(), targets.long()
        weight = weights.to(logits.device)[targets]
        above = (targets[:, None] > torch.arange(logits.shape[1], device=logits.device)).float()
        parts = []
        for name in loss.names:
            if _natural(name, "ordinal") == "ordinal":
                wanted = _smoothed(above, loss.label_smoothing)
                each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(1)
            else:
                each = NUMBER_LOSSES[name](logits.sigmoid().sum(1), targets.float())
            parts.append(_mean(each, weight))
        return torch.stack(parts).sum()

    return total


def _smoothed(wanted: torch.Tensor, smoothing: float) -> torch.Tensor:
    return wanted * (1 - smoothing) + smoothing / 2 if smoothing else wanted


def _of_labels(task: Labels | OverlappingMasks, loss: Loss, targets: np.ndarray, scored: list[int]) -> LossFunction:
    """Each label alone, yes or no. Weights of yes and no (2, L) have a mean of 1 over what is known of a label."""
    yes = class_counts(targets, task)
    if isinstance(task, Labels):
        known = (targets != MISSING).sum(0)
    else:
        known = np.full(len(yes), np.count_nonzero(targets != IGNORED))
    balanced = [class_weights(np.array(pair), loss.balance) for pair in zip(known - yes, yes, strict=True)]
    weights = torch.from_numpy(np.array(balanced, np.float32).T[:, scored])
    bits = torch.tensor(scored)

    def total(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits = logits[:, scored].float()
        if task.masks:
            places = bits.to(targets.device).reshape(-1, 1, 1)
            given = (targets[:, None].int() >> places) & 1
            known = (targets != IGNORED)[:, None].float().expand_as(logits)
        else:
            given, known = targets[:, scored], (targets[:, scored] != MISSING).float()
        truth = (given == 1).float()
        no, yes = weights.to(logits.device).reshape(2, -1, *(1,) * (logits.ndim - 2))
        weight = known * torch.where(truth > 0, yes, no)
        parts = []
        for name in loss.names:
            if name == "dice":
                parts.append(_dice(logits, truth, known))
            elif name == "lovasz":
                parts.append(_lovasz_hinge(logits, truth, known))
            elif name == "asymmetric":
                parts.append(_mean(_asymmetric(logits, truth), weight))
            else:
                each = F.binary_cross_entropy_with_logits(
                    logits, _smoothed(truth, loss.label_smoothing), reduction="none"
                )
                if name == "focal":
                    right = torch.where(truth > 0, logits, -logits).sigmoid()
                    each = each * (1 - right).clamp_min(TINY) ** loss.gamma  # gamma < 1 has no slope at 0
                parts.append(_mean(each, weight))
        return torch.stack(parts).sum()

    return total


def _asymmetric(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Ridnik et al. 2021: easy negatives count little, and the surest, within a margin, nothing."""
    yes = logits.sigmoid()
    no = (1 - yes + MARGIN).clamp(max=1)
    positive = (1 - yes).clamp_min(TINY) ** POSITIVES * F.logsigmoid(logits)
    negative = (1 - no).clamp_min(TINY) ** NEGATIVES * no.log()
    return -torch.where(truth > 0, positive, negative)


def _dice(logits: torch.Tensor, truth: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """1 - Dice of each label over the whole batch, a mean over the labels that occur."""
    axes = (0, *range(2, logits.ndim))
    guess, truth = logits.sigmoid() * known, truth * known
    both, every, occurs = (guess * truth).sum(axes), (guess + truth).sum(axes), truth.sum(axes) > 0
    return ((1 - 2 * both / every.clamp_min(TINY)) * occurs).sum() / occurs.sum().clamp_min(1)


def _lovasz_hinge(logits: torch.Tensor, truth: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Lovász hinge (Berman et al. 2018) of each label over all pixels of the batch, a mean over labels."""
    losses = []
    for said, found, counted in zip(*(x.movedim(1, 0).flatten(1) for x in (logits, truth, known)), strict=True):
        errors = (1 - said * (2 * found - 1)) * counted  # what is not known comes last and has no slope
        order = errors.detach().relu().sort(descending=True).indices
        inside = (found * counted)[order].cumsum(0)
        total = inside[-1]
        count = torch.arange(1, len(order) + 1, device=order.device)
        distance = 1 - (total - inside) / (total + count - inside)
        slopes = distance.diff(prepend=distance.new_zeros(1))
        losses.append((errors[order].relu() * slopes).sum())
    return torch.stack(losses).mean()


def build_soft_task_loss(task: Task, scored: Sequence[int], scale: Scale | None = None) -> SoftLossFunction:
    """With a teacher's values in place of targets: each output's natural loss.

    From what the network says (N, channels, ...), the teacher's values and weights, both of that shape, to a scalar;
    of one of several classes alone weights are (N, ...), as `build_soft_loss` has them.
    """
    outputs, spans = task.outputs, task.spans
    if is_softmax(outputs):
        return build_soft_loss(scored)

    def soft_loss(said: torch.Tensor, values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        parts = []
        for output, span in zip(outputs, spans, strict=True):
            mine, wanted, counted = said[:, span].float(), values[:, span], weight[:, span]
            if output.kind == "classes":
                part = build_soft_loss(range(output.channels))(mine, wanted, counted[:, 0])
            elif output.kind == "numbers":
                assert scale is not None
                part = _mean(((mine - wanted) / scale.std) ** 2, counted)
            else:
                part = _mean(F.binary_cross_entropy_with_logits(mine, wanted, reduction="none"), counted)
            parts.append(output.weight * part)
        return torch.stack(parts).sum()

    return soft_loss


def sureness(values: torch.Tensor, outputs: Sequence[Output]) -> torch.Tensor:
    """How sure a teacher's values (N, channels, ...) are, as weights of a soft loss; of numbers 1."""
    if is_softmax(outputs):
        return values.amax(1)
    parts = []
    for output, part in zip(outputs, values.split([output.channels for output in outputs], 1), strict=True):
        if output.kind == "classes":
            parts.append(part.amax(1, keepdim=True).expand_as(part))
        else:
            parts.append(torch.ones_like(part) if output.kind == "numbers" else torch.maximum(part, 1 - part))
    return torch.cat(parts, 1)
