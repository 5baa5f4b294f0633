"""Augmented training batches by (epoch, step), from arrays that lie where the network is.

Every draw follows from (seed, fold, epoch, step), so a batch is the same whenever and wherever it is made.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from toolkit.augmentation.batch import augment_batch
from toolkit.augmentation.geometry import to_device
from toolkit.data.dataset import Dataset
from toolkit.data.image_sets import ImageSets
from toolkit.data.targets import holds
from toolkit.images.rows import ImageRows, picked
from toolkit.networks.growth import sides
from toolkit.probabilities import chunks
from toolkit.recipe import Recipe
from toolkit.task import Numbers, Rgb, Task
from toolkit.training.resizing import nearest, shrunk

ORDER, AUGMENT, MIX, NETWORK, PSEUDO, WATCH, DRAWN = range(7)  # what random numbers are drawn for
RESIDENT = 0.5  # of a GPU's free memory may hold images
Batch = tuple[torch.Tensor, torch.Tensor]


def generator(purpose: int, *numbers: int) -> np.random.Generator:
    return np.random.default_rng([purpose, *numbers])


def seed_of(purpose: int, *numbers: int) -> int:
    return int(generator(purpose, *numbers).integers(2**31))


class Batches:
    """Batches of `rows`: images (B, C, H, W), uint8 or floats on the scale 0..255, and targets, on `device`.

    Masks come at the size of their images, which grow from epoch to epoch where the recipe says so. Of sets of images
    some are drawn, as many as the recipe has together in a step, and come side by side, (B, k * C, H, W).
    """

    def __init__(
        self,
        dataset: Dataset,
        rows: np.ndarray,
        recipe: Recipe,
        fold: int,
        device: torch.device,
        scored: Sequence[int],
        memory_format: torch.memory_format = torch.channels_last,
        task: Task | None = None,
        *,
        rgb: Rgb,
    ) -> None:
        self.rows, self.recipe, self.fold, self.device, self.memory_format = rows, recipe, fold, device, memory_format
        self.rgb = rgb
        # an incomplete last batch is left to the next epochs: batch norm can't learn from one sample
        self.steps = max(1, len(rows) // recipe.batch_size)
        self.chances: np.ndarray | None = None
        if recipe.sampling:
            self.chances = sampling_chances(dataset.targets[rows], recipe.sampling, scored, task)
        self.sets = dataset.images if isinstance(dataset.images, ImageSets) else None
        self.images, self.targets = dataset.images if self.sets is None else self.sets.images, dataset.targets
        size = dataset.images.nbytes + dataset.targets.nbytes
        self.resident = device.type == "cuda" and size < RESIDENT * free_memory(device)
        if self.resident:
            self.resident_images, self.resident_targets = (
                _on_device(part, device) for part in (self.images, dataset.targets)
            )
        self.reader = ThreadPoolExecutor(1)
        self.ahead: dict[tuple[int, int], Future[Batch]] = {}  # what is read while the batch before is trained on
        self.order: tuple[int, np.ndarray] = (-1, rows)  # of an epoch

    def chosen(self, epoch: int, step: int) -> np.ndarray:
        """The rows of a batch, in no order: neighbours are mixed, and a part of a batch has statistics of its own."""
        of, order = self.order
        if of != epoch:
            rng = generator(ORDER, self.recipe.seed, self.fold, epoch)
            if self.chances is None:
                order = rng.permutation(self.rows)
            else:
                order = rng.choice(self.rows, len(self.rows), p=self.chances)
            self.order = epoch, order
        result: np.ndarray = order[step * self.recipe.batch_size : (step + 1) * self.recipe.batch_size]
        return result

    def augment_seed(self, epoch: int, step: int) -> int:
        return seed_of(AUGMENT, self.recipe.seed, self.fold, epoch, step)

    def __getitem__(self, at: tuple[int, int]) -> Batch:
        return self.batch(*at)

    def batch(self, epoch: int, step: int, whole: bool = False) -> Batch:
        """`whole`: the images don't have to grow first."""
        images, targets = (part.to(self.device, non_blocking=True) for part in self._read((epoch, step)))
        images = images.permute(0, 3, 1, 2)
        seed = self.augment_seed(epoch, step)
        if self.sets is None:
            images, targets = sized(self.recipe, images, targets, epoch, whole)
            images, targets = augment_batch(self.recipe.augment, images, targets, seed, self.rgb)
        else:
            images = augmented_sets(self.recipe, images, len(targets), seed, self.rgb, epoch, whole)
        return images.contiguous(memory_format=self.memory_format), targets

    def _read(self, at: tuple[int, int]) -> Batch:
        """Images and targets of a batch as they are; those of the next one are read meanwhile."""
        if self.resident:
            index = to_device(self.chosen(*at), self.resident_targets)
            images = index if self.sets is None else to_device(self._drawn(at), index)
            return self.resident_images[images], self.resident_targets[index]
        waited = self.ahead.pop(at, None)
        found = self._gather(at) if waited is None else waited.result()
        epoch, step = at
        following = (epoch, step + 1) if step + 1 < self.steps else (epoch + 1, 0)
        if following[0] < self.recipe.schedule.epochs:
            self.ahead = {following: self.reader.submit(self._gather, following)}
        return found

    def _drawn(self, at: tuple[int, int]) -> np.ndarray:
        """Images of a batch of sets, int64 (B * k,), set by set."""
        assert self.sets is not None
        rng = generator(DRAWN, self.recipe.seed, self.fold, *at)
        return self.sets.drawn(self.chosen(*at), self.recipe.sets.drawn, rng).ravel()

    def _gather(self, at: tuple[int, int]) -> Batch:
        rows = self.chosen(*at)
        images = gather(self.images, rows if self.sets is None else self._drawn(at))
        targets = gather(self.targets, rows)
        return (images.pin_memory(), targets.pin_memory()) if self.device.type == "cuda" else (images, targets)


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU that nothing holds: what PyTorch keeps for the next tensors is free as well."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + kept


def sized(recipe: Recipe, images: torch.Tensor, targets: torch.Tensor, epoch: int, whole: bool = False) -> Batch:
    """Images (B, C, H, W) as large as they are in an epoch, and masks (B, h, w) of any type with them."""
    if not whole:
        height, width = images.shape[2:]
        images = shrunk(images, *sides(recipe.images.grow, (height, width), recipe.schedule.epochs, epoch))
    return images, nearest(targets, *images.shape[2:]) if targets.ndim > 2 else targets


def augmented_sets(
    recipe: Recipe, images: torch.Tensor, sets: int, seed: int, rgb: Rgb, epoch: int, whole: bool = False
) -> torch.Tensor:
    """Images (B * k, C, H, W), set by set, augmented each by itself or all of a set alike, as (B, k * C, h, w)."""
    labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    images, _ = sized(recipe, images, labels, epoch, whole)
    if recipe.sets.same_augment:  # the draws follow from the seed and how many images there are
        each = images.unflatten(0, (sets, -1)).unbind(1)
        each = [augment_batch(recipe.augment, part, labels[:sets], seed, rgb)[0] for part in each]
        return torch.cat(each, 1)
    images, _ = augment_batch(recipe.augment, images, labels, seed, rgb)
    return images.contiguous().unflatten(0, (sets, -1)).flatten(1, 2)


def gather(array: ImageRows, rows: np.ndarray) -> torch.Tensor:
    """array[rows], of what may lie on the disk."""
    return torch.from_numpy(picked(array, rows))


def _on_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """All of it, though it may be larger than the memory that isn't the device's."""
    first = torch.from_numpy(picked(array, np.s_[:0]))
    made = torch.empty(array.shape, dtype=first.dtype, device=device)
    for at in chunks(len(array)):
        made[at] = torch.from_numpy(picked(array, at))
    return made


def sampling_chances(targets: np.ndarray, power: float, scored: Sequence[int], task: Task | None = None) -> np.ndarray:
    """How often each row is drawn, float64 (N,), summing to 1: frequency ** -power of its (rarest) scored class.

    A row with none of them is drawn like one of a class that is everywhere.
    """
    rarest, frequency = rarest_class(targets, scored, task)
    weight = np.where(rarest < 0, 1, frequency[rarest] ** -power)
    return weight / weight.sum()


def rarest_class(
    targets: np.ndarray, scored: Sequence[int], task: Task | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Which of the scored classes in each row the fewest rows have, and the share of rows that have each.

    int64 (N,), places in `scored`, -1 where a row has none of them; float64 (len(scored),), never 0. Of numbers the
    bins are classes. task: None where it is one class, an image or a pixel.
    """
    if targets.ndim == 1 and (task is None or task.exclusive):
        position = np.full(max(int(targets.max(initial=0)), *scored) + 1, -1)
        position[list(scored)] = np.arange(len(scored))
        place = np.where(targets < 0, -1, position[targets])
        counts = np.bincount(place[place >= 0], minlength=len(scored))
        return place, np.maximum(counts, 1) / len(targets)
    if task is not None and not task.exclusive:
        present = holds(targets, task)
        present = present if isinstance(task, Numbers) else present[:, list(scored)]
    else:
        present = np.zeros((len(targets), 256), bool)
        for row, mask in enumerate(targets):
            present[row, np.unique(mask)] = True
        present = present[:, list(scored)]
    frequency = np.maximum(present.sum(0), 1) / len(targets)
    rarity = np.where(present, 1 / frequency, 0)
    return np.where(present.any(1), rarity.argmax(1), -1), frequency
