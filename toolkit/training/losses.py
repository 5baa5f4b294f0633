"""Training losses. What the metric does not score is left out of them: its pixels and its logits.

All of them sum in float32, whatever the logits' type; a batch with nothing to learn from has a loss and a
gradient of zero.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F

from toolkit.errors import UserError
from toolkit.recipe import Loss
from toolkit.task import IGNORED

# on a GPU PyTorch can't promise the sum's order, but here each pixel's loss stands alone
warnings.filterwarnings("ignore", "nll_loss2d_forward_out_cuda_template does not have a deterministic", UserWarning)
LossFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
SoftLossFunction = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def build_loss(loss: Loss, counts: np.ndarray, scored: Sequence[int], masks: bool) -> LossFunction:
    """The sum of the named losses, from logits (N, C, ...) and uint8 or int64 targets (N, ...) to a scalar.

    counts: images or pixels of each class (C,) in the training folds, for loss.balance. Targets that are `ignored_of`
    so many classes are not learnt.
    """
    weights = class_weights(counts[list(scored)], loss.balance)
    ignored = ignored_of(len(counts))
    parts = [_part(name, loss, weights, masks, ignored) for name in loss.names]
    positions = _table(np.arange(len(scored)), scored, ignored, ignored)
    everything = list(scored) == list(range(len(counts)))

    def total(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        targets = targets.long()
        if not everything:
            targets = _look_up(positions(targets.device), targets)
        logits = _scored_channels(logits, scored)
        return torch.stack([part(logits, targets) for part in parts]).sum()

    return total


def ignored_of(classes: int) -> int:
    """The target that belongs to no class: IGNORED, and the number after the last of more classes than that."""
    return max(IGNORED, classes)


def build_soft_loss(scored: Sequence[int]) -> SoftLossFunction:
    """Cross-entropy with a teacher's probabilities (Hinton et al. 2015): a weighted mean over samples or pixels.

    From logits (N, C, ...), probabilities (N, C, ...) and weights (N, ...) to a scalar; weight 0 is not learnt
    from. Where the teacher leaves probability to classes that are not scored, the weight shrinks by so much.
    """

    def soft_loss(logits: torch.Tensor, probabilities: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        logits, wanted = _scored_channels(logits, scored), _scored_channels(probabilities, scored)
        wanted = wanted * weight.unsqueeze(1)
        return -(wanted * F.log_softmax(logits, 1)).sum() / wanted.sum().clamp_min(1e-6)

    return soft_loss


def class_weights(counts: np.ndarray, balance: float) -> np.ndarray:
    """frequency ** -balance, scaled so that the mean over samples is 1; a class never seen weighs nothing."""
    seen = counts > 0
    weights = np.zeros(len(counts))
    weights[seen] = counts[seen].astype(float) ** -balance
    return weights * counts.sum() / max((weights * counts).sum(), 1e-12)


def _scored_channels(values: torch.Tensor, scored: Sequence[int]) -> torch.Tensor:
    """Channels of the scored classes in float32; a view where they lie side by side."""
    first, last = scored[0], scored[-1]
    side_by_side = last - first + 1 == len(scored)  # they rise
    return (values[:, first : last + 1] if side_by_side else values[:, list(scored)]).float()


def _table(
    values: np.ndarray, at: Sequence[int], rest: float, last: int = IGNORED
) -> Callable[[torch.device], torch.Tensor]:
    """A value for each target 0..last: `values` of those in `at`, else `rest`. Copied to a device only once."""
    table = np.full(last + 1, rest, np.int64 if values.dtype.kind == "i" else np.float32)
    table[list(at)] = values
    return cache(torch.from_numpy(table).to)


def _look_up(table: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """table[targets], several times as fast on a CPU."""
    return table.index_select(0, targets.flatten()).reshape(targets.shape)


def _part(name: str, loss: Loss, weights: np.ndarray, masks: bool, ignored: int) -> LossFunction:
    if name in ("cross_entropy", "focal"):
        by_target = _table(weights, range(len(weights)), 0.0, ignored)
        gamma = loss.gamma if name == "focal" else 0.0
        return lambda logits, targets: _focal(logits, targets, by_target, gamma, loss.label_smoothing, ignored)
    if not masks:
        raise UserError(f"loss {name} is for masks; for labels use cross_entropy or focal")
    if name == "lovasz":
        return _lovasz
    from segmentation_models_pytorch.losses import DiceLoss  # a second of imports

    dice: LossFunction = DiceLoss("multiclass", ignore_index=IGNORED)
    return dice


def _focal(
    logits: torch.Tensor,
    targets: torch.Tensor,
    weights: Callable[[torch.device], torch.Tensor],
    gamma: float,
    smoothing: float,
    ignored: int,
) -> torch.Tensor:
    """Focal loss over the softmax (Lin et al. 2017); gamma 0 is cross-entropy. A weighted mean."""
    logs = F.log_softmax(logits, 1)
    loss = wrong = F.nll_loss(logs, targets, reduction="none", ignore_index=ignored)
    if smoothing:
        loss = (1 - smoothing) * wrong - smoothing * logs.mean(1)
    if gamma:
        loss = loss * (1 - torch.exp(-wrong)).clamp_min(1e-6) ** gamma  # gamma < 1 has no slope at 0
    each = _look_up(weights(logits.device), targets)
    return (loss * each).sum() / each.sum().clamp_min(1e-6)


def _lovasz(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Lovász-softmax (Berman et al. 2018) over all pixels of the batch, a mean over the classes that occur.

    Sorting is nearly all of its cost. Errors are not negative, so their bits have their order, and integers
    are sorted ten times as fast on a CPU; the slopes go back to the pixels' places outside the graph.
    """
    kept = (targets != IGNORED).flatten()
    probabilities = logits.softmax(1).movedim(1, 0).flatten(1)
    count = torch.arange(1, len(kept) + 1, device=logits.device)
    losses, present = [], []
    for number, probability in enumerate(probabilities):
        truth = (targets == number).flatten()
        errors = (truth.float() - probability).abs() * kept  # what is ignored comes last and has no slope
        order = (2**31 - 1 - errors.detach().view(torch.int32)).sort().indices
        found = truth.int().index_select(0, order).cumsum(0)
        total = found[-1]
        distance = 1 - (total - found) / (total + count - found)
        slopes = torch.empty_like(distance).scatter_(0, order, distance.diff(prepend=distance.new_zeros(1)))
        losses.append((errors * slopes).sum())
        present.append(total > 0)
    occurs = torch.stack(present)
    return (torch.stack(losses) * occurs).sum() / occurs.sum().clamp_min(1)
