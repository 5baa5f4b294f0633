"""Batch norm's statistics mixed with those of what is predicted, whatever the order and the number at a time."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests import tiny
from toolkit.networks import adapted as room
from toolkit.networks.adapted import STEADY, Adapting, adapt, adapted, adapts, joined, moments, norms, weight_of

CPU = torch.device("cpu")


class Small(nn.Module):
    """Two batch norms, the second behind the first."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        parts = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5), nn.ReLU()]
        self.layers = nn.Sequential(*parts)
        for norm in norms(self):
            assert norm.running_mean is not None and norm.running_var is not None
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.layers(images.float() / 64 - 2).mean((2, 3))
        return made


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 9, 9, 3), dtype=np.uint8)


def statistics(network: nn.Module) -> torch.Tensor:
    every: list[Any] = norms(network)
    return torch.cat([torch.cat([norm.running_mean, norm.running_var]) for norm in every])


def moved(images: np.ndarray, share: float) -> nn.Module:
    network = Small()
    adapt(network, images, share, CPU, "float32")
    return network


def test_a_whole_share_is_what_a_pass_in_training_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "STEADY", 0)
    images, trained = pictures(30), Small().train()
    for norm in norms(trained):
        norm.momentum = 1.0
    trained(torch.from_numpy(images).permute(0, 3, 1, 2))
    # training divides variances by one value less
    assert torch.allclose(statistics(moved(images, 1.0)), statistics(trained), rtol=1e-2, atol=1e-4)


def test_behind_a_moved_layer_the_next_one_sees_moved_values() -> None:
    images, share = pictures(30), 0.6
    network, x = moved(images, share), torch.from_numpy(images).permute(0, 3, 1, 2).float() / 64 - 2
    layers: Any = network.layers
    with torch.no_grad():
        before_second = layers[:4](x)
    weight, second = weight_of(share, 30), norms(network)[1]
    own = norms(Small())[1].running_mean
    assert own is not None and second.running_mean is not None
    expected = (1 - weight) * own + weight * before_second.mean((0, 2, 3))
    assert torch.allclose(second.running_mean, expected, atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(12)), st.sampled_from([np.uint8, np.float16]))
def test_neither_order_nor_kind_of_the_images_changes_a_bit(order: list[int], kind: type) -> None:
    images = pictures(12)
    assert torch.equal(statistics(moved(images[order].astype(kind), 0.5)), statistics(moved(images, 0.5)))


def test_parts_are_joined_as_if_they_were_one(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(20, 3))
    parts = [torch.tensor(np.stack([one.mean(0), one.var(0)])) for one in (values[:7], values[7:], values)]
    assert torch.allclose(joined(7, parts[0], 13, parts[1]), parts[2])
    whole = statistics(moved(pictures(40), 0.5))
    monkeypatch.setattr(room, "PART", 10)
    assert torch.allclose(statistics(moved(pictures(40), 0.5)), whole, atol=0.05)


def test_few_images_count_for_little_and_none_for_nothing() -> None:
    assert weight_of(1.0, 1) == 1 / (1 + STEADY) and weight_of(0.5, 10_000) == pytest.approx(0.5, rel=0.01)
    for images, share in ((pictures(0), 1.0), (pictures(5), 0.0)):
        assert torch.equal(statistics(moved(images, share)), statistics(Small()))
    single = (statistics(moved(pictures(1), 1.0)) - statistics(Small())).abs().max()
    many = (statistics(moved(pictures(200), 1.0)) - statistics(Small())).abs().max()
    assert single < many / 5


def test_afterwards_a_network_is_what_it_was() -> None:
    network = Small()
    before, x = statistics(network), torch.from_numpy(pictures(4)).permute(0, 3, 1, 2)
    said = network(x)
    with adapted(network, pictures(20), 0.5, CPU, "float32") as one:
        assert not torch.allclose(one(x), said)
    assert torch.equal(statistics(network), before) and torch.equal(network(x), said)
    assert not any(norm._forward_pre_hooks for norm in norms(network))


def test_what_has_no_batch_norm_stays() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.BatchNorm2d(4, track_running_stats=False))
    before = copy.deepcopy(network.state_dict())
    adapt(network, pictures(4), 1.0, CPU, "float32")
    assert not adapts(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.filterwarnings("ignore:`torch.jit", "ignore:Converting a tensor")
def test_a_trace_finds_the_same_moments_of_any_number_of_images() -> None:
    network = Adapting(tiny.build_model(tiny.FIRST).eval())
    x, weight = torch.rand(2, 3, 8, 8) * 255, torch.tensor(0.5)
    traced = torch.jit.trace_module(network, {"forward": x, "moments": (x, weight)}, check_trace=False)
    other, share = torch.rand(7, 3, 8, 8) * 255, torch.tensor(0.2)
    assert torch.allclose(traced.moments(other, share), moments(network.network, share, other))
    assert torch.allclose(traced(other), network(other))
