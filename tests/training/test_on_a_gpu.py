"""A step of training with a GPU that is imagined: PyTorch's fake tensors know where they are and hold nothing, and
refuse to be joined with what lies elsewhere. What has no meaning without a driver is left out: half precision, and
what is asked of the GPU.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tests import tiny
from toolkit.augmentation import geometry
from toolkit.augmentation.batch import augment_batch
from toolkit.augmentation.mixing import mix_batch
from toolkit.networks.speed import Settings
from toolkit.recipe import Augment, Loss
from toolkit.training.loop import Training
from toolkit.training.losses import build_loss

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a real one")
GPU = torch.device("cuda:0")
EVERYTHING = Augment(
    flip="both", rotate=90, colour=0.5, degrade=0.9, erase=0.5, randaugment=2, augmix=0.5, cutmix=0.5, copy_paste=1
)


def moved(module: nn.Module, device: torch.device | None = None, **_: Any) -> nn.Module:
    """In place of `Module.to`, which exchanges what lies in tensors, and fake ones hold nothing."""
    for part in module.modules():
        for name, value in part.named_parameters(recurse=False):
            part._parameters[name] = nn.Parameter(value.detach().to(device or value.device))
        for name, buffer in part.named_buffers(recurse=False):
            part._buffers[name] = buffer.to(device or buffer.device)
    return module


def sampled(images: torch.Tensor, grid: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    assert images.device == grid.device
    return images.new_empty((*images.shape[:2], *grid.shape[1:3]))


@pytest.fixture
def imagined(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(nn.Module, "to", moved)
    monkeypatch.setattr(geometry, "grid_sample", sampled)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 2**30))
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


@pytest.mark.usefixtures("imagined")
@pytest.mark.parametrize(
    "fields", [(), ("schedule.ema=0.9", "optimizer.clip=1", "optimizer.accumulate=2"), ("optimizer.name=lion",)]
)
def test_all_of_a_step_is_where_the_network_is(
    fields: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = tiny.make_job(tmp_path, *fields, device=str(GPU), settings=Settings(micro_batch=4))
    training = Training(job)

    def backward(loss: torch.Tensor) -> None:
        assert loss.device == GPU and loss.ndim == 0
        for parameter in training.model.parameters():
            parameter.grad = torch.empty_like(parameter)

    monkeypatch.setattr(torch.Tensor, "backward", backward)
    assert training.batches.resident
    for step in range(2):
        images, targets = training.batches[0, step]
        assert images.device == targets.device == GPU
        assert training.step(images, targets, step).device == GPU
    assert {value.device for value in training.averaged().values()} == {GPU}


@pytest.mark.usefixtures("imagined")
@pytest.mark.parametrize("masks", [False, True])
def test_all_of_an_augmentation_is_where_the_images_are(masks: bool) -> None:
    images = torch.empty((8, 3, 32, 32), dtype=torch.uint8, device=GPU)
    targets = torch.empty((8, 32, 32) if masks else 8, dtype=torch.uint8, device=GPU)
    for seed in range(3):
        seen, known = augment_batch(EVERYTHING, images, targets, seed, (0, 1, 2))
        mixed, *others, _ = mix_batch(EVERYTHING, seen, known, np.random.default_rng(seed), np.array([9, 9, 9, 1]))
        assert {each.device for each in (seen, known, mixed, *others)} == {GPU}


@pytest.mark.usefixtures("imagined")
@pytest.mark.parametrize("name", ["cross_entropy", "focal", "dice", "lovasz"])
def test_a_loss_is_where_the_logits_are(name: Any) -> None:
    loss_of = build_loss(Loss(names=(name,), balance=0.5), np.array([9, 9, 1]), (0, 2), masks=True)
    logits, targets = torch.empty((2, 3, 8, 8), device=GPU), torch.empty((2, 8, 8), dtype=torch.uint8, device=GPU)
    assert loss_of(logits, targets).device == GPU
