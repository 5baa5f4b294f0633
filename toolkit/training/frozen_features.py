"""Features of a frozen backbone: computed once, then read by every fold, epoch and trial that trains a head."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from toolkit.augmentation.batch import augment_batch
from toolkit.checked import opened
from toolkit.competition import Competition
from toolkit.competition_code import parts_of_code, words
from toolkit.networks.devices import autocast
from toolkit.networks.network import Network, modes_kept
from toolkit.networks.predict import BATCH, at_once, batches
from toolkit.networks.speed import Settings
from toolkit.probabilities import write_probabilities
from toolkit.recipe import Recipe, Schedule
from toolkit.store import hash_json
from toolkit.task import Rgb
from toolkit.training.freezing import frozen_epochs

DRAWS = 3  # of the recipe's augmentation, of each image, at most
CHUNK = 256  # images that are augmented together


@dataclass(frozen=True)
class Features:
    """Of N images, memory-mapped. plain: of the images as they are, see `plain_features`; augmented: float16
    (D, N, F), D draws of the augmentation.
    """

    plain: np.ndarray
    augmented: np.ndarray

    def drawn(self, rows: np.ndarray, seed: int) -> np.ndarray:
        """float32 (B, F) of `rows`, each in one of its versions, all as coarse as those that are stored as float16."""
        versions = np.random.default_rng(seed).integers(1 + len(self.augmented), size=len(rows))
        drawn: np.ndarray = self.plain[rows].astype(np.float16)
        changed = versions > 0
        drawn[changed] = self.augmented[versions[changed] - 1, rows[changed]]
        return drawn.astype(np.float32)


def draws(schedule: Schedule) -> int:
    """How often each image is augmented: a head's single epoch sees each image once, and each draw of all costs about
    a third of an epoch of the whole network.
    """
    return min(DRAWS, max(1, frozen_epochs(schedule)))


def frozen_features(
    network: Network,
    images: np.ndarray,
    source: Sequence[Any],
    recipe: Recipe,
    settings: Settings,
    device: torch.device,
    folder: Path,
    rgb: Rgb,
) -> Features:
    """What a head is trained on, of images (N, H, W, C); source: see `plain_features`; rgb: of the augmentation."""
    alone = replace(recipe.augment, mixup=0.0, cutmix=0.0, copy_paste=0.0)
    number = draws(recipe.schedule)
    how = [settings.precision, settings.channels_last, device.type, asdict(alone), recipe.seed, rgb, number]
    versions = _augmented(images, recipe, device, rgb, number)
    return Features(
        plain_features(network, images, source, recipe.precision, device, folder),
        _kept(network, versions, (number, len(images)), [*source, *how], settings.precision, device, folder),
    )


def images_source(data: str, part: str, recipe: Recipe, images: np.ndarray) -> list[Any]:
    """What says which images these are without a look at them. data: hash of the data; part: their name in it."""
    return [data, part, list(images.shape), str(images.dtype), recipe.images.size, recipe.images.fit]


def network_source(competition: Competition, recipe: Recipe) -> list[Any]:
    """What says how the backbone computes, beside its tensors: the code and the words that build it, and versions."""
    model = replace(recipe.model, head="linear", dropout=0.0)  # which are none of the backbone's
    code = parts_of_code(competition.build_model, competition.folder)
    return [asdict(model), code, torch.__version__, metadata.version("timm")]


def plain_features(
    network: Network, images: np.ndarray, source: Sequence[Any], precision: str, device: torch.device, folder: Path
) -> np.ndarray:
    """float32 (N, F) of images (N, H, W, C) as they are, computed as `predict` does.

    They lie in `folder`, memory-mapped, in a file named by the hash of all that decides on them: the backbone, how
    they are computed, and `source`, which says what images these are (`images_source`) and what the backbone is made
    of (`network_source`).
    """
    how = [*source, precision, device.type]
    whole = batches(images, at_once(images, BATCH), device)
    return _kept(network, whole, (1, len(images)), how, precision, device, folder, np.float32)[0]


def _kept(
    network: Network,
    images: Iterable[torch.Tensor],
    shape: tuple[int, int],
    how: Sequence[Any],
    precision: str,
    device: torch.device,
    folder: Path,
    dtype: type = np.float16,
) -> np.ndarray:
    path = folder / f"{hash_json([_digest(network), *how])}.npy"
    if not path.exists():
        with modes_kept(network):
            parts = _computed(network.eval(), images, precision, device)
            first = next(parts)
            write_probabilities(path, chain([first], parts), (*shape, first.shape[1]), dtype)
    return opened(path, f"remove {path} and run the same command again")


@torch.no_grad()
def _computed(
    network: Network, images: Iterable[torch.Tensor], precision: str, device: torch.device
) -> Iterator[np.ndarray]:
    for chunk in images:
        with autocast(device, precision):
            yield network.features(chunk).float().cpu().numpy()


def _augmented(
    images: np.ndarray, recipe: Recipe, device: torch.device, rgb: Rgb, times: int
) -> Iterator[torch.Tensor]:
    for version in range(1, 1 + times):
        for number, chunk in enumerate(batches(images, CHUNK, device)):
            labels = torch.zeros(len(chunk), dtype=torch.int64, device=device)
            seed = recipe.seed + version * len(images) + number * CHUNK
            # draws follow from all that are augmented together, more than a network may have room for
            yield from augment_batch(recipe.augment, chunk, labels, seed, rgb)[0].split(at_once(images, CHUNK))


def _digest(network: Network) -> str:
    backbone = network.body.get_submodule(network.backbone)
    scaling = [network.input_scale, network.mean.tolist(), network.std.tolist()]
    digest = hashlib.sha256(str([*scaling, words(backbone)]).encode())  # other layers may have the same tensors
    for name, value in backbone.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
