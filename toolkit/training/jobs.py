"""What a fold's training is asked for and what it gives: small enough to be sent to another process."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from toolkit.competition import Competition, load_competition
from toolkit.data.data_folder import at_other_size, open_dataset, open_decoded
from toolkit.data.dataset import Dataset, relabel
from toolkit.networks.speed import UNMEASURED, Settings
from toolkit.recipe import Recipe
from toolkit.run_folds import RunFold


@dataclass(frozen=True)
class FoldJob:
    """One fold of one run: small, picklable, and all that `fit_fold` needs."""

    competition: Path
    data: Path
    recipe: Recipe
    fold: int
    train_rows: np.ndarray  # int64, rows of the dataset
    train_groups: np.ndarray  # int64, their groups
    valid_rows: np.ndarray
    folder: Path  # where the state lies between epochs
    images: Path | None = None  # folder of images at the recipe's own size; None: the data's
    features: Path | None = None  # folder for the features of frozen backbones; None: they are not kept
    settings: Settings = UNMEASURED  # how to train here
    teacher: Path | None = None  # what this fold's teacher predicts of test images; a blend, of the training rows
    device: str = "auto"
    weights: tuple[Path, ...] = ()  # folders in which pretrained weights may lie
    deadline: float | None = (
        None  # of time.monotonic(), one clock for all processes; no epoch begins that would end after it
    )
    # int64 (n, 2): rows of the dataset and the labels they get in place of the file's
    relabels: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))

    @property
    def place(self) -> RunFold:
        return RunFold(self.folder)

    @property
    def distilled_rows(self) -> np.ndarray | None:
        """Rows of which a blend says what is learnt; None where it isn't a blend that teaches."""
        return self.train_rows if self.recipe.distil.blend else None

    def open(self) -> tuple[Competition, Dataset]:
        """The competition, and its data with the job's labels and images of the recipe's size."""
        dataset = open_dataset(self.data)
        if self.images is not None:
            dataset = at_other_size(dataset, open_decoded(self.data, self.images))
        return load_competition(self.competition), replace(dataset, targets=relabel(dataset.targets, self.relabels))


@dataclass(frozen=True)
class Trained:
    """weights: the network's tensors; probabilities: or other values, float32 (n, channels, ...) of the validation
    rows, of many classes as they are stored.
    """

    weights: dict[str, torch.Tensor]
    probabilities: np.ndarray
