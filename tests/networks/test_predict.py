"""A prediction is a softmax over the scored classes."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from toolkit.networks import predict as predict_module
from toolkit.networks.predict import fetched, predict


class Pixels(torch.nn.Module):
    """The five channels themselves are the logits."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.float() / 50


def test_predictions_are_a_softmax_over_the_scored_classes_in_the_order_of_the_images() -> None:
    images = np.random.default_rng(0).integers(256, size=(7, 2, 3, 5), dtype=np.uint8)
    network = Pixels().train()
    probabilities = predict(network, images, (1, 2, 4), torch.device("cpu"), "auto", batch=3)
    powers = np.exp(images.transpose(0, 3, 1, 2) / 50)
    powers[:, [0, 3]] = 0
    assert probabilities.shape == (7, 5, 2, 3) and probabilities.dtype == np.float32
    assert np.allclose(probabilities, powers / powers.sum(1, keepdims=True), atol=1e-6)
    assert not network.training


def test_a_gpu_is_given_the_next_batch_before_one_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []

    class OnGpu:
        is_cuda = True

        def __init__(self, name: str) -> None:
            self.name = name

    def on_its_way(value: Any) -> Callable[[], str]:
        def arrived() -> str:
            happened.append(f"{value.name} arrived")
            return str(value.name)

        happened.append(f"{value.name} sent")
        return arrived

    def values() -> Iterator[Any]:
        for name in "abc":
            happened.append(f"{name} begun")
            yield OnGpu(name)

    monkeypatch.setattr(predict_module, "on_its_way", on_its_way)
    found: list[Any] = list(fetched(values()))
    assert found == ["a", "b", "c"] and not list(fetched(iter(())))
    expected = "a begun, a sent, b begun, b sent, a arrived, c begun, c sent, b arrived, c arrived"
    assert ", ".join(happened) == expected
