"""U-Nets of our own, for small images, few cores and random weights.

All fold the image 2x2 into channels and work at half its resolution: a quarter of the time. Each has a `stride`
that the image's sides must be multiples of. Convolutions come in residual pairs (He et al. 2015).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn


class UNet(nn.Module):
    """A U-Net (Ronneberger et al. 2015), from images (N, C, H, W) to logits (N, classes, H/2, W/2)."""

    stride = 2

    def __init__(self, classes: int, channels: int, widths: Sequence[int] = (24, 48, 96, 128)) -> None:
        super().__init__()
        self.fold = nn.PixelUnshuffle(2)
        self.down = _encoder(channels * 4, widths)
        pairs = zip(widths[:0:-1], widths[-2::-1], strict=True)
        self.up = nn.ModuleList(_Residual(below + skip, skip) for below, skip in pairs)
        self.logits = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        *skips, x = _encode(self.down, self.fold(x))
        for block, skip in zip(self.up, reversed(skips), strict=True):
            x = block(torch.cat([_enlarge(x, skip), skip], 1))
        result: torch.Tensor = self.logits(x)
        return result


class AttentionUNet(nn.Module):
    """A residual U-Net whose skips pass attention gates (Oktay et al. 2018).

    From images (N, C, H, W) to logits (N, classes, H, W), H and W multiples of `stride`.
    """

    def __init__(self, classes: int, channels: int, widths: Sequence[int] = (32, 64, 128, 192, 256)) -> None:
        super().__init__()
        self.stride = 2 ** len(widths)
        self.fold = nn.PixelUnshuffle(2)
        self.down = _encoder(channels * 4, widths)
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.gates = nn.ModuleList(_Gate(skip, below) for below, skip in pairs)
        self.up = nn.ModuleList(_Residual(below + skip, skip) for below, skip in pairs)
        self.logits = _full_resolution(widths[0], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.logits(self.decode(self.fold(x))[0])
        return result

    def decode(self, folded: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The last features, and the skips as the gates left them, finest first."""
        *skips, x = _encode(self.down, folded)
        gated: list[torch.Tensor] = []
        for gate, block, skip in zip(self.gates, self.up, reversed(skips), strict=True):
            gated.insert(0, gate(skip, x))
            x = block(torch.cat([_enlarge(x, skip), gated[0]], 1))
        return x, gated


class RefinedAttentionUNet(nn.Module):
    """An attention U-Net and a smaller one that corrects its logits, trained together.

    The second sees the image, the first's class probabilities, and at each of its scales the first's gated
    skips; what it gives is added to the first's logits. Shapes as in `AttentionUNet`.
    """

    def __init__(
        self,
        classes: int,
        channels: int,
        widths: Sequence[int] = (32, 64, 128, 192, 256),
        refiner_widths: Sequence[int] = (24, 48, 96),
    ) -> None:
        super().__init__()
        if len(refiner_widths) >= len(widths):
            raise ValueError("the refiner needs a skip of the first network at each of its scales")
        self.first = AttentionUNet(classes, channels, widths)
        self.stride = self.first.stride
        self.fold = nn.PixelUnshuffle(2)
        above = ((channels + classes) * 4, *refiner_widths[:-1])
        sizes = zip(above, widths, refiner_widths, strict=False)
        self.down = nn.ModuleList(_Residual(inputs + skip, outputs) for inputs, skip, outputs in sizes)
        pairs = zip(refiner_widths[:0:-1], refiner_widths[-2::-1], strict=True)
        self.up = nn.ModuleList(_Residual(below + skip, skip) for below, skip in pairs)
        self.correction = _full_resolution(refiner_widths[0], classes)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        folded = self.fold(image)
        x, given = self.first.decode(folded)
        logits: torch.Tensor = self.first.logits(x)
        x = torch.cat([folded, self.fold(logits.softmax(1).to(folded.dtype))], 1)
        skips: list[torch.Tensor] = []
        for level, block in enumerate(self.down):
            x = block(torch.cat([F.max_pool2d(x, 2) if level else x, given[level]], 1))
            skips.append(x)
        for block, skip in zip(self.up, skips[-2::-1], strict=True):
            x = block(torch.cat([_enlarge(x, skip), skip], 1))
        correction: torch.Tensor = self.correction(x)
        return logits + correction


class UNet3Plus(nn.Module):
    """U-Net 3+ (Huang et al. 2020): each scale of the decoder sees all scales of the network.

    Without the paper's deep supervision and its classification-guided module. From images (N, C, H, W) to logits
    (N, classes, H, W), H and W multiples of `stride`; `each` is the width of what one scale gives to another.
    """

    def __init__(
        self, classes: int, channels: int, widths: Sequence[int] = (32, 64, 128, 192, 256), each: int = 16
    ) -> None:
        super().__init__()
        self.stride = 2 ** len(widths)
        self.fold = nn.PixelUnshuffle(2)
        self.down = _encoder(channels * 4, widths)
        joined = each * len(widths)
        self.up = nn.ModuleList()  # from the second coarsest scale to the finest
        for scale in range(len(widths) - 2, -1, -1):
            decoded = [joined] * (len(widths) - scale - 2)
            self.up.append(_FullScale(scale, [*widths[: scale + 1], *decoded, widths[-1]], each))
        self.logits = _full_resolution(joined, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = _encode(self.down, self.fold(x))
        for scale, block in zip(range(len(features) - 2, -1, -1), self.up, strict=True):
            features[scale] = block(features)  # in the place of the encoder's, which no finer scale needs
        result: torch.Tensor = self.logits(features[0])
        return result


Body = UNet | AttentionUNet | RefinedAttentionUNet | UNet3Plus


class _Gate(nn.Module):
    """A skip (N, C, H, W) times how much each place matters, by the coarser features below it."""

    def __init__(self, skip: int, below: int) -> None:
        super().__init__()
        self.of_skip = nn.Conv2d(skip, skip // 2, 2, stride=2, bias=False)
        self.of_below = nn.Conv2d(below, skip // 2, 1)
        self.weight = nn.Conv2d(skip // 2, 1, 1)

    def forward(self, skip: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
        weight = torch.sigmoid(self.weight(F.relu(self.of_skip(skip) + self.of_below(below))))
        return skip * _enlarge(weight, skip, "bilinear")


class _FullScale(nn.Module):
    """Features of one scale of the decoder from those of all scales, `sources` wide, finest first."""

    def __init__(self, scale: int, sources: Sequence[int], each: int) -> None:
        super().__init__()
        self.scale = scale
        self.give = nn.ModuleList(_convolution(source, each) for source in sources)
        self.join = _convolution(each * len(sources), each * len(sources))

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        given = []
        for source, (x, convolution) in enumerate(zip(features, self.give, strict=True)):
            if source < self.scale:
                x = F.max_pool2d(x, 2 ** (self.scale - source))
            elif source > self.scale:
                x = _enlarge(x, features[self.scale], "bilinear")
            given.append(convolution(x))
        result: torch.Tensor = self.join(torch.cat(given, 1))
        return result


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = _convolution(inputs, outputs)
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return F.relu(x + self.second(x))


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def _full_resolution(features: int, classes: int) -> nn.Sequential:
    """Logits of all four pixels of a fold."""
    return nn.Sequential(nn.Conv2d(features, classes * 4, 1), nn.PixelShuffle(2))


def _encoder(inputs: int, widths: Sequence[int]) -> nn.ModuleList:
    return nn.ModuleList(_Residual(i, o) for i, o in zip((inputs, *widths[:-1]), widths, strict=True))


def _encode(blocks: nn.ModuleList, x: torch.Tensor) -> list[torch.Tensor]:
    """Features of each scale, finest first."""
    features: list[torch.Tensor] = []
    for block in blocks:
        x = block(F.max_pool2d(x, 2) if features else x)
        features.append(x)
    return features


def _enlarge(x: torch.Tensor, like: torch.Tensor, mode: str = "nearest") -> torch.Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode=mode)
