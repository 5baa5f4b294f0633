"""A prediction is a softmax over the scored classes."""

import numpy as np
import torch

from toolkit.networks.predict import predict


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
