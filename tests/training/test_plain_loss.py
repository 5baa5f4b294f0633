"""The loss that all runs are measured by is the one they would be trained with, were nothing weighed or smoothed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests import kinds
from toolkit.networks.outputs import Scale, values_of
from toolkit.recipe import Loss
from toolkit.task import MISSING, Labels
from toolkit.training.plain_loss import plain_loss
from toolkit.training.task_losses import build_task_loss

PLAIN = Loss(names=("cross_entropy",), balance=0, label_smoothing=0)


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_it_is_the_plain_training_loss_of_any_kind_of_output(kind: str) -> None:
    competition, truth = kinds.competition(kind), kinds.drawn(kind).targets
    task, scale = competition.task, None
    said = torch.randn(len(truth), task.channels, *truth.shape[1:][: 2 * task.masks], generator=torch.manual_seed(0))
    if kind in ("numbers", "shares"):
        scale = Scale(task.channels, None, None, False)
        scale.learn(truth)
        said = scale(said)
    if kind == "identities":
        said, truth = said[truth >= 0], truth[truth >= 0]
    expected = build_task_loss(task, PLAIN, truth, competition.scored, scale)(said, torch.from_numpy(truth))
    values = values_of(said, task.outputs, competition.scored).numpy()
    assert plain_loss(competition, truth, values, scale) == pytest.approx(float(expected), rel=1e-5)


def test_what_is_not_known_or_not_scored_counts_nowhere() -> None:
    identities = kinds.competition("identities")
    truth, values = np.array([0, -1, 1]), np.array([[0.5, 0.5], [0.9, 0.1], [0.75, 0.25]], np.float32)
    assert plain_loss(identities, truth, values) == pytest.approx((np.log(2) + np.log(4)) / 2)
    task = Labels(("a", "b"), kinds.SHAPE)
    labels = replace(kinds.competition("labels"), task=task)
    assert plain_loss(labels, np.full((3, 2), MISSING, np.int8), np.full((3, 2), 0.3, np.float32)) is None


def test_a_probability_of_zero_is_no_infinite_loss() -> None:
    values = np.array([[1.0, 0.0]], np.float32)
    assert plain_loss(kinds.competition("classes"), np.array([1]), values) == pytest.approx(-np.log(1e-7), rel=1e-3)
