"""Test images as training data, labelled by a teacher that never saw the fold they help to validate.

Fold k's student learns only from what fold k's teacher predicts: both have seen the same training folds, so the
student's score on fold k stays out of fold. A teacher of all folds, as is common, would carry the labels of
fold k into it (pseudo-labels: Lee 2013; soft ones: Xie et al. 2020).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from toolkit.augmentation.batch import augment_batch
from toolkit.augmentation.mixing import mix_batch
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset
from toolkit.data.image_sets import ImageSets, part_of
from toolkit.data.tables import columns_of
from toolkit.images.rows import Chosen, ImageRows
from toolkit.networks.network import load_network
from toolkit.networks.predict import BATCH, at_once, predict
from toolkit.probabilities import chunks, open_probabilities, probabilities, value_type, write_probabilities
from toolkit.recipe import Recipe
from toolkit.run_folds import RunFold
from toolkit.task import IGNORED, Output, Rgb
from toolkit.top_k import TopK
from toolkit.training.batches import PSEUDO, augmented_sets, gather, generator, seed_of, sized
from toolkit.training.task_losses import sureness

OUTSIDE = IGNORED  # places begin above it


@dataclass(frozen=True)
class Taught:
    """images (B, C, H, W); probabilities, or other values, float32 (B, channels, ...); weight float32 (B, ...), where
    it is not one of several classes (B, channels, ...), 0: not learnt from. table: float32 (B, K), what is known
    beside the images, None where nothing is, yet to be mixed as these were; share: by which.
    """

    images: torch.Tensor
    probabilities: torch.Tensor
    weight: torch.Tensor
    table: torch.Tensor | None = None
    share: float = 1.0


class Teacher:
    """Batches of test images with a teacher's probabilities, augmented like the training images."""

    def __init__(
        self,
        dataset: Dataset,
        taught: Path,
        recipe: Recipe,
        fold: int,
        device: torch.device,
        rgb: Rgb,
        outputs: Sequence[Output] = (),
        rows: np.ndarray | None = None,
    ) -> None:
        """rows: training images that a blend taught, in place of test images; all that it says of them counts."""
        self.rgb, self.outputs = rgb, outputs
        self.images: ImageRows = dataset.test_images
        self.stored, self.table, share = open_probabilities(taught), dataset.test_table, recipe.pseudo.share
        self.confidence: float | None = recipe.pseudo.confidence
        if rows is not None:
            self.images, self.confidence, share = Chosen(dataset.images, rows), None, recipe.distil.share
            self.table = None if dataset.table is None else dataset.table[rows]
        self.sets = self.images if isinstance(self.images, ImageSets) else None
        self.recipe, self.fold, self.device, self.share = recipe, fold, device, share
        self.augment = replace(recipe.augment, copy_paste=0.0)
        self.size = max(2, round(recipe.batch_size * share / (1 - share)))  # batch norm can't learn from one

    def batch(self, epoch: int, step: int) -> Taught:
        """As many test images as make up `pseudo.share` of a batch; masks as many places as pixels."""
        rng = generator(PSEUDO, self.recipe.seed, self.fold, epoch, step)
        rows = rng.integers(len(self.images), size=self.size)
        stored = self.stored[rows] if isinstance(self.stored, TopK) else gather(self.stored, rows).numpy()
        predicted = torch.from_numpy(probabilities(stored)).to(self.device, non_blocking=True)
        # what is moved with the images is where each pixel came from, so that soft labels are never interpolated
        shape = predicted.shape[:1] + predicted.shape[2:]
        size = shape[1:].numel()
        places = torch.arange(size, dtype=torch.int32, device=self.device).reshape(shape[1:]).expand(shape)
        seed = seed_of(PSEUDO, self.recipe.seed, self.fold, epoch, step, 1)
        if self.sets is None:
            images = gather(self.images, rows).to(self.device, non_blocking=True).permute(0, 3, 1, 2)
            images, places = sized(self.recipe, images, places, epoch)
            images, places = augment_batch(self.augment, images, places + OUTSIDE + 1, seed, self.rgb)
        else:
            drawn = self.sets.drawn(rows, self.recipe.sets.drawn, generator(PSEUDO, seed)).ravel()
            images = gather(self.sets.images, drawn).to(self.device, non_blocking=True).permute(0, 3, 1, 2)
            images = augmented_sets(self.recipe, images, len(rows), seed, self.rgb, epoch)
            places = places + OUTSIDE + 1
        # only now, as a warp takes numbers below 2 ** 24, which the places of a whole batch may exceed
        first_places = torch.arange(0, shape.numel(), size, dtype=torch.int32, device=self.device)
        places = places + first_places.reshape(-1, *(1,) * (places.ndim - 1)) * (places > OUTSIDE)
        images, places, others, share = mix_batch(self.augment, images, places, rng, None)
        first, weight = self._look_up(predicted, places)
        if share < 1:
            second, other_weight = self._look_up(predicted, others)
            first, weight = share * first + (1 - share) * second, share * weight + (1 - share) * other_weight
        known = None if self.table is None else gather(self.table, rows)
        return Taught(images, first, weight, known, share)

    def _look_up(self, predicted: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inside = places > OUTSIDE
        index = torch.where(inside, places - OUTSIDE - 1, 0).long()
        found = predicted.movedim(1, -1).reshape(-1, predicted.shape[1])[index].movedim(-1, 1)
        sure = sureness(found, self.outputs)
        if sure.ndim == found.ndim:
            inside = inside.unsqueeze(1)
        weight = torch.ones_like(sure) if self.confidence is None else sure * (sure >= self.confidence)
        return found, weight * inside


def teach(competition: Competition, dataset: Dataset, teacher: RunFold, device: torch.device, path: Path) -> None:
    """Write once what a fold's network predicts of all test images: (M, channels), for masks uint8 (M, K, H, W)."""
    if path.exists():
        return
    recipe = teacher.recipe
    network = load_network(competition, recipe, teacher.weights, device, columns_of(dataset.columns))

    task = competition.task
    shape = (len(dataset.test_images), task.channels, *(dataset.targets.shape[1:] if task.masks else ()))

    def parts() -> Iterator[np.ndarray]:
        for at in chunks(len(dataset.test_images), shape[2:], at_once(dataset.test_images, BATCH)):
            table = None if dataset.test_table is None else dataset.test_table[at]
            images = part_of(dataset.test_images, at)
            yield predict(network, images, competition.scored, device, recipe.precision, table=table)

    write_probabilities(path, parts(), shape, np.uint8 if task.masks else value_type(task))
