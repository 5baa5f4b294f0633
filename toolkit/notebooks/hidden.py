"""The test images of a run on Kaggle: where they lie, and how they come to the size that a network takes."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.competition import Competition
from toolkit.data.dataset import FIT, Dataset, Samples, check_images
from toolkit.data.image_sets import ImageSets, like
from toolkit.data.native import places_of_tests
from toolkit.data.origin import loaded
from toolkit.errors import UserError
from toolkit.images.fitting import Fit
from toolkit.images.places import Places
from toolkit.images.rows import Undecoded, picked

MANY = 1000  # folders in a folder: images of as many patients, and none of them what is looked for
Size = tuple[tuple[int, int, int], Fit]


def competition_folder(inputs: Path, name: str, holds: Sequence[str]) -> Path:
    """The organisers' folder below `inputs`: of those called so, or in such a one, that which holds most of these
    files and folders; else one that has all of them. UserError where there is none.
    """
    whole: Path | None = None
    level = [inputs]
    while level:
        below: list[Path] = []
        named: list[tuple[int, Path]] = []
        for folder in level:
            entries = {one.name: one.is_dir() for one in os.scandir(folder)}
            found = sum(one in entries for one in holds)
            if found and name in folder.relative_to(inputs).parts:
                named.append((found, folder))
            if holds and found == len(holds):
                whole = whole or folder
            folders = [folder / one for one in sorted(entries) if entries[one]]
            below += folders if len(folders) < MANY else []
        if named:
            return max(named, key=lambda one: one[0])[1]
        level = below
    if whole is None:
        raise UserError(f"{inputs} has no folder {name} with {', '.join(holds)}: attach the competition's data")
    return whole


@dataclass(frozen=True, eq=False)
class Hidden:
    """The test images that lie in a competition's folder, M samples, and what is known of them.

    ids: what a submission calls them by, or the pictures that they lie in; places: where; unread: images that can't be
    read, which are black.
    """

    dataset: Dataset
    data: Dataset | Samples
    ids: np.ndarray
    places: Places | None
    unread: dict[int, str] = field(default_factory=dict)

    @classmethod
    def opened(cls, competition: Competition, folder: Path, columns: Sequence[str]) -> "Hidden":
        """By the competition's own `load`. columns: of the table beside the images that networks were trained with.

        UserError where there is no test image, or another table.
        """
        data, places = loaded(competition, folder), None
        dataset = data.as_dataset(folder) if isinstance(data, Samples) else data
        if not len(dataset.test_images):
            raise UserError(f"{competition.name}'s load finds no test image in {folder}")
        if isinstance(data, Dataset):
            check_images(data.test_images, competition.task.image_shape, f"{folder}: test_images")
        elif data.is_native:
            places = places_of_tests(data, competition.task, skip=True)
        present = [] if dataset.columns is None else dataset.columns.tolist()
        if present != list(columns):
            raise UserError(f"the table in {folder} has other columns or categories than networks were trained with")
        number = len(dataset.test_images) if places is None else len(places.sizes)
        if dataset.test_sets is not None:
            unread: Any = ImageSets(dataset.test_images, dataset.test_sets.astype(np.int64))
            dataset, number = replace(dataset, test_images=unread), len(unread)
        ids = np.arange(number) if dataset.test_ids is None else dataset.test_ids
        return cls(dataset, data, ids, places)

    def __len__(self) -> int:
        return len(self.dataset.test_images)

    def at(self, size: Size) -> Any:
        """(M, H, W, C), or as many sets of images, which are decoded when rows are asked for."""
        if isinstance(self.data, Dataset):
            return self.dataset.test_images
        files = self.data.files["test_images"]
        shape = (len(files), *size[0])
        return like(_Readable(files, shape, size[1], np.zeros(0, np.int64), self.unread), self.dataset.test_images)

    def shown(self, task_shape: tuple[int, int, int]) -> Any:
        """As what writes a submission is given them."""
        return self.at((task_shape, FIT))

    def table(self, at: slice) -> np.ndarray | None:
        return None if self.dataset.test_table is None else self.dataset.test_table[at]


@dataclass(frozen=True, eq=False)
class _Readable(Undecoded):
    """Of which those that can't be read are black: a hidden test set has no second try."""

    unread: dict[int, str] = field(default_factory=dict)

    def _decoded(self, row: int) -> np.ndarray:
        try:
            return super()._decoded(row)
        except UserError as error:
            self.unread[row] = str(error)
            return np.zeros(self.shape[1:], self.dtype)


def at_hand(images: Any, at: slice) -> Any:
    """Rows of images in memory, once and for all that look at them."""
    if not isinstance(images, ImageSets):
        return picked(images, at)
    members = images.members(np.arange(len(images))[at])
    there = members >= 0
    sets = np.repeat(np.arange(len(members)), there.sum(1))
    return ImageSets(picked(images.images, members[there]), sets)


def read_parts(images: Mapping[Size, Any], at: slice) -> dict[Size, Any]:
    """The same rows at every size that is needed."""
    return {size: at_hand(each, at) for size, each in images.items()}
