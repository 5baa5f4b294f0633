"""Convolutions over few pixels as products of matrices.

Deep in a network there are hundreds of channels and hardly any pixels. There oneDNN is far from what a processor can
do, above all for the gradient of the weights (512 by 512 channels on 3x3 pixels, 64 images in bfloat16, two cores of
an Intel Xeon with AMX: 16 ms, the product 2 ms). The product of all patches with the weights (im2col: Chellapilla et
al. 2006) wins there and loses where there are many pixels, so each layer is measured.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input

MOST_PIXELS = 64  # of the result, up to which it is tried
GAIN = 0.9  # at most this share of oneDNN's time is to be taken
REPEATS = 3
WHOLE, WEIGHTS = "all", "weights"  # what is a product: everything, or the gradient of the weights alone
Pair = tuple[int, int]


class ProductConv2d(nn.Conv2d):
    """What `use_products` makes of a layer; without gradients it is the Conv2d that it was."""

    way: str

    def _get_name(self) -> str:
        return "Conv2d"  # in what describes a network, as its features are those of the plain layer

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if not torch.is_grad_enabled():
            return super().forward(images)
        weight, bias, device = self.weight, self.bias, images.device.type
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            images, weight, bias = images.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
        made: torch.Tensor = _Product.apply(images, weight, bias, self.stride, self.padding, self.way == WHOLE)
        return made


def use_products(network: nn.Module, ways: Mapping[str, str]) -> None:
    """Have the layers of these names work as products, WHOLE or for their WEIGHTS; weights and names stay.

    A name that is no such layer is left out: it was measured before the code that builds the network was edited.
    """
    layers = dict(network.named_modules())
    for name, way in ways.items():
        layer: Any = layers.get(name)
        if layer is None or not _fits(layer):
            continue
        layer.__class__ = ProductConv2d
        layer.way = way


def faster_products(network: nn.Module, images: torch.Tensor, dtype: torch.dtype) -> dict[str, str]:
    """The layers, by name, that a product makes faster on this machine, and which way: what `use_products` takes.

    images: a batch as in training; dtype: what convolutions compute in. Two layers of one shape are measured once.
    """
    shapes: dict[str, tuple[Any, ...]] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(layer: nn.Conv2d, inputs: tuple[torch.Tensor, ...], made: torch.Tensor) -> None:
            if made.shape[-2:].numel() <= MOST_PIXELS:
                shapes[name] = (tuple(inputs[0].shape), tuple(layer.weight.shape), layer.stride, layer.padding)

        return hook

    layers = {name: layer for name, layer in network.named_modules() if _fits(layer)}
    hooks = [layer.register_forward_hook(note(name)) for name, layer in layers.items()]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    found = {shape: fastest_way(dtype, *shape) for shape in set(shapes.values())}
    return {name: way for name, shape in shapes.items() if (way := found[shape])}


def _fits(layer: nn.Module) -> bool:
    return (
        type(layer) is nn.Conv2d
        and layer.groups == 1
        and layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


def fastest_way(
    dtype: torch.dtype, image_shape: tuple[int, ...], weight_shape: tuple[int, ...], stride: Pair, padding: Pair
) -> str | None:
    """WHOLE or WEIGHTS, or None where neither takes at most GAIN of a convolution's time, both ways together."""
    images, weight = (
        torch.randn(shape).to(dtype, memory_format=torch.channels_last).requires_grad_()
        for shape in (image_shape, weight_shape)
    )
    ways: dict[str | None, Callable[[], torch.Tensor]] = {
        None: lambda: F.conv2d(images, weight, stride=stride, padding=padding),
        WHOLE: lambda: _Product.apply(images, weight, None, stride, padding, True),
        WEIGHTS: lambda: _Product.apply(images, weight, None, stride, padding, False),
    }
    given = torch.randn_like(ways[None]())
    times = dict.fromkeys(ways, float("inf"))
    for repeat in range(1 + REPEATS):  # in turns: the machine may be busy for a while; the first one warms up
        for way, forward in ways.items():
            images.grad = weight.grad = None
            begun = time.perf_counter()
            forward().backward(given)
            if repeat:
                times[way] = min(times[way], time.perf_counter() - begun)
    way = min(times, key=lambda one: times[one])
    return way if times[way] < GAIN * times[None] else None


class _Product(torch.autograd.Function):
    """images (B, C, H, W) and weight (O, C, h, w), both channels last in memory, to (B, O, H', W')."""

    @staticmethod
    def forward(
        ctx: Any,
        images: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stride: Pair,
        padding: Pair,
        whole: bool,
    ) -> torch.Tensor:
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding, ctx.whole = stride, padding, whole
        if not whole:
            return F.conv2d(images, weight, bias, stride, padding)
        patches = _patches(images, weight.shape[2:], stride, padding)
        made = F.linear(patches.flatten(0, 2).flatten(1), _matrix(weight), bias)
        return made.view(*patches.shape[:3], len(weight)).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        rows = gradient.permute(0, 2, 3, 1).flatten(0, 2)
        of_images = of_weight = None
        if ctx.needs_input_grad[0] and ctx.whole:
            places = (len(images), *gradient.shape[2:], *weight.shape[2:], weight.shape[1])
            of_images = _put_back((rows @ _matrix(weight)).view(places), images.shape[2:], ctx.stride, ctx.padding)
        elif ctx.needs_input_grad[0]:
            of_images = conv2d_input(images.shape, weight, gradient, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            patches = _patches(images, weight.shape[2:], ctx.stride, ctx.padding).flatten(0, 2).flatten(1)
            of_weight = (rows.T @ patches).view(len(weight), *weight.shape[2:], -1).permute(0, 3, 1, 2)
        return of_images, of_weight, rows.sum(0) if ctx.needs_input_grad[2] else None, None, None, None


def _matrix(weight: torch.Tensor) -> torch.Tensor:
    """(O, h * w * C)"""
    return weight.permute(0, 2, 3, 1).flatten(1)


def _patches(images: torch.Tensor, kernel: torch.Size, stride: Pair, padding: Pair) -> torch.Tensor:
    """(B, H', W', h, w, C), a view: the pixels under the kernel at each of its places."""
    padded = F.pad(images, (padding[1], padding[1], padding[0], padding[0]))
    patches = padded.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
    return patches.permute(0, 2, 3, 4, 5, 1)


def _put_back(patches: torch.Tensor, size: torch.Size, stride: Pair, padding: Pair) -> torch.Tensor:
    """The sum of patches (B, H', W', h, w, C) at their places in images (B, C, *size)."""
    count, rows, columns, height, width, channels = patches.shape
    sides = (side + 2 * more for side, more in zip(size, padding, strict=True))
    images = patches.new_zeros(count, *sides, channels, dtype=torch.float32)
    for down in range(height):
        for across in range(width):
            places = images[
                :, down : down + stride[0] * rows : stride[0], across : across + stride[1] * columns : stride[1]
            ]
            places += patches[:, :, :, down, across]
    inside = images[:, padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]]
    return inside.to(patches.dtype).permute(0, 3, 1, 2)
