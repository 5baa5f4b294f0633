"""The U-Nets: shapes, no part without effect, gates that close, a refiner that corrects, and all of them learn."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from competitions.mars.unets import AttentionUNet, Body, RefinedAttentionUNet, UNet, UNet3Plus

pytestmark = pytest.mark.usefixtures("one_thread")
WIDTHS = (8, 12, 16)
EVERY: dict[str, Callable[[], Body]] = {
    "unet": lambda: UNet(5, 1, WIDTHS),
    "attention": lambda: AttentionUNet(5, 1, WIDTHS),
    "refined": lambda: RefinedAttentionUNet(5, 1, WIDTHS, (8, 12)),
    "unet3plus": lambda: UNet3Plus(5, 1, WIDTHS, each=8),
}


@pytest.fixture(params=EVERY)
def network(request: pytest.FixtureRequest) -> Body:
    torch.manual_seed(0)
    return EVERY[request.param]()


def images(batch: int = 2, height: int = 16, width: int = 32) -> torch.Tensor:
    return torch.randn(batch, 1, height, width, generator=torch.Generator().manual_seed(1))


def has_gradient(tensor: torch.Tensor) -> bool:
    return tensor.grad is not None and bool(tensor.grad.any())


@torch.no_grad()
def test_sides_that_are_multiples_of_the_stride_give_logits_of_that_size(network: Body) -> None:
    shrunk = 2 if isinstance(network, UNet) else 1
    for times in ((1, 1), (3, 2)):
        height, width = (max(network.stride, 8) * number for number in times)
        logits = network(images(2, height, width))
        assert logits.shape == (2, 5, height // shrunk, width // shrunk) and logits.isfinite().all()


@torch.no_grad()
def test_default_widths_fit_images_of_mars_in_colour_or_grey() -> None:
    for made in (AttentionUNet, RefinedAttentionUNet, UNet3Plus):
        for channels in (1, 3):
            assert made(5, channels).eval()(torch.zeros(1, channels, 64, 128)).shape == (1, 5, 64, 128)


def test_every_parameter_has_a_part_in_the_logits(network: Body) -> None:
    network(images()).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert has_gradient(parameter), name


def test_every_network_learns_to_tell_dark_from_bright(network: Body) -> None:
    x = F.interpolate(images(8, 4, 8), scale_factor=4)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        logits = F.interpolate(network(x), size=x.shape[-2:])
        loss = F.cross_entropy(logits, (x[:, 0] > 0).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 < 1 < losses[0]


@torch.no_grad()
def test_a_traced_network_is_the_network(network: Body) -> None:
    network.eval()
    traced = torch.jit.trace(network, images(), check_trace=False)
    torch.testing.assert_close(traced(images(5)), network(images(5)))


@torch.no_grad()
def test_a_network_runs_in_bfloat16_too(network: Body) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        half = network.eval()(images())
    assert half.isfinite().all()
    torch.testing.assert_close(half.float(), network(images()), atol=0.1, rtol=0.1)


@torch.no_grad()
def test_a_gate_closes_and_opens_its_skip_by_the_features_below() -> None:
    torch.manual_seed(0)
    gate: Any = AttentionUNet(5, 1, WIDTHS).gates[-1]
    skip, below = torch.randn(2, 8, 8, 16), torch.randn(2, 12, 4, 8)
    gated = gate(skip, below)
    assert (gated.abs() <= skip.abs()).all() and not torch.allclose(gated, gate(skip, below + 1))
    for bias, expected in ((-100.0, torch.zeros_like(skip)), (100.0, skip)):
        nn.init.constant_(gate.weight.bias, bias)
        torch.testing.assert_close(gate(skip, below), expected)


def refined() -> RefinedAttentionUNet:
    torch.manual_seed(0)
    return RefinedAttentionUNet(5, 1, WIDTHS, (8, 12)).eval()


@torch.no_grad()
def test_a_refiner_that_corrects_nothing_leaves_the_logits_of_the_first_network() -> None:
    network = refined()
    assert not torch.allclose(network(images()), network.first(images()))
    for parameter in network.correction.parameters():
        nn.init.zeros_(parameter)
    torch.testing.assert_close(network(images()), network.first(images()))


def correction(network: RefinedAttentionUNet, x: torch.Tensor) -> torch.Tensor:
    given: list[torch.Tensor] = []
    network.correction.register_forward_hook(lambda module, inputs, output: given.append(output))
    network(x)
    return given[0]


def test_the_correction_follows_from_the_probabilities_of_the_first_network() -> None:
    network = refined()
    correction(network, images()).square().sum().backward()
    assert all(map(has_gradient, network.first.logits.parameters()))


def test_the_correction_follows_from_the_skips_of_the_first_network() -> None:
    network = refined()
    for parameter in network.first.logits.parameters():
        nn.init.zeros_(parameter)  # its probabilities say nothing now
    correction(network, images()).square().sum().backward()
    assert all(map(has_gradient, network.first.gates.parameters()))


def test_the_correction_follows_from_the_image() -> None:
    network, x = refined(), images().requires_grad_()
    for parameter in network.first.parameters():
        nn.init.zeros_(parameter)  # neither probabilities nor skips say anything
    correction(network, x).square().sum().backward()
    assert has_gradient(x)


def test_a_refiner_needs_a_skip_at_each_of_its_scales() -> None:
    with pytest.raises(ValueError, match="a skip of the first network at each of its scales"):
        RefinedAttentionUNet(5, 1, (8, 16), (8, 16))


def test_each_scale_of_the_decoder_of_unet3plus_sees_all_scales() -> None:
    shapes = {name: tuple(value.shape[:2]) for name, value in UNet3Plus(5, 1, WIDTHS, each=8).state_dict().items()}
    seen = [[shapes[f"up.{block}.give.{source}.0.weight"] for source in range(3)] for block in (0, 1)]
    # first the middle scale, from the encoder's fine and middle and the coarsest; then the fine one
    assert seen == [[(8, 8), (8, 12), (8, 16)], [(8, 8), (8, 24), (8, 16)]]
