"""Features of a frozen backbone: computed once, then read by every fold, epoch and trial that trains a head on it."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from toolkit.augmentation.batch import augment_batch
from toolkit.data.dataset import hash_sample
from toolkit.networks.devices import autocast
from toolkit.networks.network import Network
from toolkit.networks.predict import batches
from toolkit.networks.speed import Settings
from toolkit.probabilities import write_probabilities
from toolkit.recipe import Recipe
from toolkit.store import hash_json
from toolkit.task import Rgb

VERSIONS = 4  # of each image: as it is, and three draws of the recipe's augmentation
CHUNK = 256


@torch.no_grad()
def frozen_features(
    network: Network,
    images: np.ndarray,
    recipe: Recipe,
    settings: Settings,
    device: torch.device,
    folder: Path,
    rgb: Rgb = (),
) -> np.ndarray:
    """Features float16 (VERSIONS, N, F) of images uint8 or float16 (N, H, W, C), memory-mapped from
    `folder`.

    rgb: of the augmentation. The file's name is the hash of all that decides on it: weights, images, augmentation, how
    they are computed.
    """
    alone = replace(recipe.augment, mixup=0.0, cutmix=0.0, copy_paste=0.0)
    computed = [settings.precision, settings.channels_last, device.type]
    key = hash_json([_digest(network), asdict(alone), recipe.seed, computed, hash_sample(images), rgb, VERSIONS])
    path = folder / f"{key}.npy"
    if not path.exists():
        parts = _parts(network.eval(), images, recipe, settings.precision, device, rgb)
        first = next(parts)
        write_probabilities(path, chain([first], parts), (VERSIONS, len(images), first.shape[1]), np.float16)
    stored: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return stored


def _parts(
    network: Network, images: np.ndarray, recipe: Recipe, precision: str, device: torch.device, rgb: Rgb
) -> Iterator[np.ndarray]:
    for version in range(VERSIONS):
        for number, chunk in enumerate(batches(images, CHUNK, device)):
            if version:
                labels = torch.zeros(len(chunk), dtype=torch.int64, device=device)
                seed = recipe.seed + version * len(images) + number * CHUNK
                chunk, _ = augment_batch(recipe.augment, chunk, labels, seed, rgb)
            with autocast(device, precision):
                yield network.features(chunk).float().cpu().numpy()


def _digest(network: Network) -> str:
    digest = hashlib.sha256(str([network.input_scale, network.mean.tolist(), network.std.tolist()]).encode())
    for name, value in network.body.get_submodule(network.backbone).state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
