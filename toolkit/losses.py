"""Training losses. What the metric does not score is left out of them: its pixels and its logits."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from segmentation_models_pytorch import losses as smp_losses

from toolkit.errors import UserError
from toolkit.metrics import IGNORED
from toolkit.recipe import Loss

LossFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def build_loss(loss: Loss, counts: np.ndarray, scored: Sequence[int], masks: bool) -> LossFunction:
    """The sum of the named losses, from logits (N, C, ...) and uint8 or int64 targets (N, ...) to a scalar.

    counts: images or pixels of each class (C,) in the training folds, for loss.balance.
    """
    weights = torch.tensor(class_weights(counts[list(scored)], loss.balance), dtype=torch.float32)
    positions = torch.full((256,), IGNORED, dtype=torch.int64)
    positions[list(scored)] = torch.arange(len(scored))
    parts = [_part(name, loss, weights, masks) for name in loss.names]

    def total(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits = logits[:, list(scored)].float()
        targets = positions.to(targets.device)[targets.long()]
        return torch.stack([part(logits, targets) for part in parts]).sum()

    return total


def class_weights(counts: np.ndarray, balance: float) -> np.ndarray:
    """frequency ** -balance, scaled so that the mean over samples is 1; a class never seen weighs nothing."""
    seen = counts > 0
    weights = np.zeros(len(counts))
    weights[seen] = counts[seen].astype(float) ** -balance
    return weights * counts.sum() / max((weights * counts).sum(), 1e-12)


def _part(name: str, loss: Loss, weights: torch.Tensor, masks: bool) -> LossFunction:
    if name in ("cross_entropy", "focal"):
        gamma = loss.gamma if name == "focal" else 0.0
        return lambda logits, targets: _focal(logits, targets, weights, gamma, loss.label_smoothing)
    if not masks:
        raise UserError(f"loss {name} is for masks; for labels use cross_entropy or focal")
    if name == "lovasz":
        made = smp_losses.LovaszLoss("multiclass", ignore_index=IGNORED)
    else:
        kind = {"dice": smp_losses.DiceLoss, "jaccard": smp_losses.JaccardLoss}[name]
        made = kind("multiclass", ignore_index=IGNORED)
    result: LossFunction = made
    return result


def _focal(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, gamma: float, smoothing: float
) -> torch.Tensor:
    """Focal loss over the softmax (Lin et al. 2017); gamma 0 is cross-entropy. A weighted mean."""
    loss = F.cross_entropy(logits, targets, reduction="none", ignore_index=IGNORED, label_smoothing=smoothing)
    if gamma:
        likelihood = torch.exp(-F.cross_entropy(logits, targets, reduction="none", ignore_index=IGNORED))
        loss = loss * (1 - likelihood).clamp_min(1e-6) ** gamma  # gamma < 1 has no slope at 0
    kept = targets != IGNORED
    each = weights.to(logits.device)[torch.where(kept, targets, 0)] * kept
    return (loss * each).sum() / each.sum().clamp_min(1e-6)
