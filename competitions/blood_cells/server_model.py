"""What runs on the organisers' server, as model.py: `Model().predict(X)`. Needs torch and numpy alone."""

import json
import os

import numpy as np
import torch

BATCH = 64  # small, because the server's memory is not published
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

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Labels int64 (n,) of images (n, 96, 96, 3), uint8 or float, on the scale 0..255."""
        images = np.asarray(X)
        labels = [self._labels(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        return np.concatenate(labels) if labels else np.zeros(0, np.int64)

    def _labels(self, images: np.ndarray) -> np.ndarray:
        # channels last in memory, as the images come
        batch = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)).to(self.device).permute(0, 3, 1, 2)
        total = torch.zeros((), device=self.device)
        with torch.no_grad():
            for view, weight in self.views.items():
                exchanged, flipped = VIEWS[view]
                seen = batch.transpose(2, 3) if exchanged else batch
                seen = (seen.flip(flipped) if flipped else seen).contiguous(memory_format=torch.channels_last)
                for share, network in zip(self.shares, self.networks, strict=True):
                    total = total + share * weight * network(seen).softmax(1)
        return (total.log() + self.biases).argmax(1).cpu().numpy()
