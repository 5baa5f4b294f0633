"""What runs on the organisers' server, as model.py: `Model().predict(X)`. Needs torch and numpy alone."""

import json
import os
import zlib

import numpy as np
import torch

BATCH = 64  # small, because the server's memory is not published
LOOKED_AT = 2048  # images whose statistics are taken, at most
STEADY = 16  # images as many as which what training left counts
VIEWS = {  # are rows and columns exchanged, and which axes of (N, C, H, W) are flipped then
    "identity": (False, ()),
    "horizontal": (False, (3,)),
    "vertical": (False, (2,)),
    "both": (False, (2, 3)),
    "transpose": (True, ()),
    "antitranspose": (True, (2, 3)),
    "rot90": (True, (2,)),
    "rot270": (True, (3,)),
}


class Model:
    """The blend of the networks beside this file, on a GPU where there is one."""

    def __init__(self) -> None:
        here = os.path.dirname(os.path.abspath(__file__))
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        with open(os.path.join(here, "blend.json"), encoding="utf-8") as file:
            blend = json.load(file)
        self.shares, self.views = blend["shares"], blend["views"]  # views with their weights
        self.biases = torch.tensor(blend["biases"] or 0.0, device=self.device)
        self.networks = [
            # what lies there as float16 is computed with as float32
            torch.jit.load(os.path.join(here, f"network_{i}.pt"), map_location=self.device).float().eval()
            for i in range(len(self.shares))
        ]
        for network in self.networks:
            network.to(memory_format=torch.channels_last)  # as in training: the same bits, in half the time
        self.adapt = blend.get("adapt") or [0.0] * len(self.networks)  # shares of the images' own statistics
        self.trained = [
            _statistics(network).clone() if share else None
            for share, network in zip(self.adapt, self.networks, strict=True)
        ]

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Labels int64 (n,) of images (n, 96, 96, 3), uint8 or float, on the scale 0..255."""
        images = np.asarray(X)
        self._adapt(images)
        labels = [self._labels(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        return np.concatenate(labels) if labels else np.zeros(0, np.int64)

    def _adapt(self, images: np.ndarray) -> None:
        """Move each network's batch norms towards the images' own statistics, from where training left them."""
        if not any(self.adapt) or not len(images):
            return
        hashes = [zlib.crc32(np.asarray(image, np.float32).tobytes()) for image in images]
        rows = np.argsort(hashes, kind="stable")[:LOOKED_AT]  # an order that follows from what they show
        for share, network, trained in zip(self.adapt, self.networks, self.trained, strict=True):
            if trained is None:
                continue
            weight = share * len(images) / (len(images) + STEADY)
            _statistics(network, trained)
            count, total = 0, torch.zeros(0)  # means and variances float64 (2, features) of so many images
            for some in np.array_split(rows, -(-len(rows) // BATCH)):
                with torch.no_grad():
                    found = network.moments(self._batch(images[some]), torch.tensor(weight, device=self.device))
                part, of = found.double().cpu(), len(some) / (count + len(some))
                if count:
                    apart = part[0] - total[0]
                    variance = (1 - of) * total[1] + of * part[1] + of * (1 - of) * apart**2
                    part = torch.stack([total[0] + of * apart, variance])
                count, total = count + len(some), part
            _statistics(network, torch.lerp(trained, total.to(trained), weight))

    def _batch(self, images: np.ndarray) -> torch.Tensor:
        # channels last in memory, as the images come
        return torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)).to(self.device).permute(0, 3, 1, 2)

    def _labels(self, images: np.ndarray) -> np.ndarray:
        batch = self._batch(images)
        total = torch.zeros((), device=self.device)
        with torch.no_grad():
            for view, weight in self.views.items():
                exchanged, flipped = VIEWS[view]
                seen = batch.transpose(2, 3) if exchanged else batch
                seen = (seen.flip(flipped) if flipped else seen).contiguous(memory_format=torch.channels_last)
                for share, network in zip(self.shares, self.networks, strict=True):
                    total = total + share * weight * network(seen).softmax(1)
        return (total.log() + self.biases).argmax(1).cpu().numpy()


def _statistics(network: torch.jit.ScriptModule, values: torch.Tensor | None = None) -> torch.Tensor:
    """Means and variances (2, features) of a network's batch norms, in order; first set to `values`, if given."""
    buffers = list(network.named_buffers())
    both = [[one for name, one in buffers if name.endswith(end)] for end in ("running_mean", "running_var")]
    for own, row in zip(both, () if values is None else values, strict=values is not None):
        for one, value in zip(own, row.split([len(each) for each in own]), strict=True):
            one.copy_(value)
    return torch.stack([torch.cat(own) for own in both])
