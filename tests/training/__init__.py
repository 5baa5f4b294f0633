"""What tests of training share."""

from typing import Any

import numpy as np
import torch

from toolkit.runs import Run
from toolkit.training.fold import FoldResult
from toolkit.training.jobs import Trained


def same(one: FoldResult, other: FoldResult) -> bool:
    """To the bit, but for the times."""
    averages = [result.averaged for result in (one, other) if result.averaged is not None]
    return (
        same_trained(one.main, other.main)
        and untimed(one) == untimed(other)
        and len(averages) != 1
        and (not averages or same_trained(*averages))
    )


def same_trained(one: Trained, other: Trained) -> bool:
    return same_weights(one.weights, other.weights) and np.array_equal(one.probabilities, other.probabilities)


def same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def untimed(result: FoldResult) -> list[dict[str, Any]]:
    """The history without its times."""
    return [{name: line[name] for name in ("loss", "score", "lr", "validation_loss")} for line in result.history]


def same_run(one: Run, other: Run) -> bool:
    """The predictions and the networks of all folds, to the bit."""
    files = [[run.oof_path, run.test_path, *run.weights] for run in (one, other)]
    return all(ours.read_bytes() == theirs.read_bytes() for ours, theirs in zip(*files, strict=True))
