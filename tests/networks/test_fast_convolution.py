"""Convolutions as products of matrices: the same numbers, layers and names, and chosen by what they take."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.tiny import FIRST, competition
from toolkit.networks import fast_convolution
from toolkit.networks.fast_convolution import WEIGHTS, WHOLE, ProductConv2d, faster_products, fastest_way, use_products

pytestmark = pytest.mark.usefixtures("one_thread")
SIDES = st.tuples(st.integers(3, 7), st.integers(3, 7))
KERNELS = st.tuples(st.integers(1, 3), st.integers(1, 3))
STEPS = st.tuples(st.integers(1, 3), st.integers(1, 3))


def gradients(layer: nn.Module, images: torch.Tensor, half: bool = False) -> list[torch.Tensor]:
    """What a layer makes, and the gradients of its images and parameters."""
    images = images.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        made = layer(images)
    for parameter in layer.parameters():
        parameter.grad = None
    made.float().square().sum().backward()
    return [made, *(value.grad for value in (images, *layer.parameters()) if value.grad is not None)]


def product(layer: nn.Conv2d, way: str) -> nn.Module:
    network = nn.Sequential(copy.deepcopy(layer))
    use_products(network, {"0": way})
    return network


@settings(deadline=None, max_examples=40)
@given(SIDES, KERNELS, STEPS, st.tuples(st.integers(0, 2), st.integers(0, 2)), st.booleans(), st.booleans())
@pytest.mark.parametrize("way", [WHOLE, WEIGHTS])
def test_a_product_has_the_values_and_gradients_of_the_convolution(
    way: str,
    sides: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    bias: bool,
    channels_last: bool,
) -> None:
    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    layer = nn.Conv2d(4, 5, kernel, stride, padding, bias=bias).double().to(memory_format=layout)
    images = torch.randn(2, 4, *sides, dtype=torch.float64).to(memory_format=layout)
    for mine, plain in zip(gradients(product(layer, way), images), gradients(layer, images), strict=True):
        # the sum of overlapping patches is made in float32
        torch.testing.assert_close(mine, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("way", [WHOLE, WEIGHTS])
def test_in_bfloat16_it_errs_no_more_than_the_convolution(way: str) -> None:
    torch.manual_seed(0)
    layer, images = nn.Conv2d(64, 64, 3, padding=1).to(memory_format=torch.channels_last), torch.randn(8, 64, 4, 4)
    exact = gradients(layer, images)
    for mine, plain, true in zip(
        gradients(product(layer, way), images, half=True), gradients(layer, images, half=True), exact, strict=True
    ):
        assert mine.dtype == plain.dtype
        assert (mine - true).norm() < 1.2 * (plain - true).norm()


def test_a_frozen_layer_passes_gradients_on_and_gets_none() -> None:
    torch.manual_seed(0)
    layer, images = nn.Conv2d(3, 4, 3), torch.randn(2, 3, 5, 5)
    layer.requires_grad_(False)
    (_, mine), (_, plain) = (gradients(one, images) for one in (product(layer, WHOLE), layer))
    torch.testing.assert_close(mine, plain)


def test_weights_names_and_predictions_stay() -> None:
    torch.manual_seed(0)
    plain = competition.build_model(FIRST).eval()
    network = copy.deepcopy(plain)
    names = [name for name, layer in network.named_modules() if type(layer) is nn.Conv2d and layer.groups == 1]
    use_products(network, dict.fromkeys(names, WHOLE))
    assert all(isinstance(network.get_submodule(name), ProductConv2d) for name in names) and names
    assert list(network.state_dict()) == list(plain.state_dict())
    height, width, channels = competition.task.image_shape
    images = torch.rand(2, channels, height, width) * 255
    with torch.no_grad():
        assert torch.equal(network(images), plain(images))
    torch.testing.assert_close(copy.deepcopy(network)(images), plain(images), rtol=1e-4, atol=1e-4)


class Layers(nn.Module):
    """Layers that fit, and for each reason one that does not."""

    def __init__(self) -> None:
        super().__init__()
        self.fits, self.twin, self.other = (
            nn.Conv2d(8, 8, 3, padding=1),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.Conv2d(8, 8, 1),
        )
        self.grouped, self.dilated = nn.Conv2d(8, 8, 1, groups=2), nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.reflected = nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")
        self.same, self.large = nn.Conv2d(8, 8, 3, padding="same"), nn.Conv2d(8, 8, 3, padding=5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        for layer in self.children():
            images = layer(images)
        return images


def test_layers_that_fit_are_measured_and_each_shape_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[tuple[int, ...]] = []

    def fastest(dtype: torch.dtype, images: Any, weight: tuple[int, ...], stride: Any, padding: Any) -> str | None:
        measured.append(weight)
        return WHOLE if weight[-1] == 3 else None

    monkeypatch.setattr(fast_convolution, "fastest_way", fastest)
    found = faster_products(Layers(), torch.zeros(2, 8, 4, 4), torch.float32)
    assert found == {"fits": WHOLE, "twin": WHOLE}
    assert sorted(measured) == [(8, 8, 1, 1), (8, 8, 3, 3)]


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [((1, 0.89, 2), WHOLE), ((1, 0.91, 0.95), None), ((1, 0.8, 0.7), WEIGHTS), ((1, 2, 3), None)],
)
def test_the_faster_way_is_chosen_where_it_gains(
    seconds: tuple[float, float, float], chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, turn = 0.0, -3  # the first round only warms up: one look at the clock for each way

    def clock() -> float:
        nonlocal now, turn
        turn += 1
        now += seconds[(turn // 2 - 1) % 3] if turn > 0 and turn % 2 == 0 else 0  # before and after each way
        return now

    class Time:
        perf_counter = staticmethod(clock)

    monkeypatch.setattr(fast_convolution, "time", Time)
    assert fastest_way(torch.float32, (2, 4, 3, 3), (4, 4, 3, 3), (1, 1), (1, 1)) == chosen


def test_names_that_are_no_such_layers_now_are_left_out() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(2, 2), nn.Conv2d(4, 4, 3, groups=2))
    use_products(network, dict.fromkeys(("0", "1", "2", "stem"), WHOLE))
    assert [type(layer) for layer in network] == [ProductConv2d, nn.Linear, nn.Conv2d]
