"""Relatives of test images among the training images: exact copies, copies, neighbouring tiles.

What they are worth: whether folds should keep relatives together follows from how many test images have any
(`mimicry`), and a test image that is a training image has a known answer (`toolkit.data.known_answers`).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from toolkit.auditing.duplicates import Pictures, find_copies_across
from toolkit.auditing.evidence import stored_array
from toolkit.auditing.findings import (
    LOOKED_AT,
    SEAMS_AMONG,
    kept_pictures,
    kept_table,
    kept_vectors,
    vocabulary,
)
from toolkit.auditing.image_sets import IMAGES, relatives_of_sets
from toolkit.auditing.parts import drawn
from toolkit.auditing.phases import VECTORS
from toolkit.auditing.tiles import find_seams
from toolkit.data.dataset import Dataset, pictures_of
from toolkit.data.groups import REPEATS
from toolkit.data.image_sets import ImageSets, single_images
from toolkit.data.preview import previewed
from toolkit.images.pictures import READ, rows_of
from toolkit.images.rows import Chosen
from toolkit.progress import SILENT, Progress
from toolkit.task import Rgb

EXACT, COPY = "exact", "copy"
OPPOSITE = {"right": "left", "bottom": "top"}  # of the side on which a seam's right picture continues its left one
COLUMNS = ("test", "train", "kind", "similarity")
RELATIVES = "relatives.parquet"  # in the evidence


def tests_looked_at(dataset: Dataset) -> int:
    """How many test images relatives are looked for of: all, or LOOKED_AT that are drawn."""
    return min(len(dataset.test_images), LOOKED_AT)


def find_relatives(
    dataset: Dataset, distinct: np.ndarray, evidence: Path, jobs: int, rgb: Rgb, progress: Progress = SILENT
) -> pd.DataFrame:
    """A line for each pair found, with the columns COLUMNS: row of the test image, row of the training image.

    distinct: rows of training images to look for, as in `Findings`. kind: `exact`, `copy`, or the side of the training
    image on which the test image continues it. Not every relative of a test image is in it, but one of each kind that
    it has. Of test images that are equal to the last bit one is looked at, and what is found goes for all; what can't
    be read has no relatives. Of sets of images: of each pair of sets the surest relation of two of their images,
    `exact` only where all are equal.
    """

    def search() -> pd.DataFrame:
        images, tests = dataset.images, dataset.test_images
        if not isinstance(images, ImageSets) or not isinstance(tests, ImageSets):
            return _search(dataset, distinct, evidence, jobs, rgb, progress)
        rows = stored_array(evidence / IMAGES / "rows.npy")
        found = _search(single_images(dataset), rows, evidence / IMAGES, jobs, rgb, progress)
        return relatives_of_sets(found, tests.sets, images.sets, pictures_of(dataset))

    return kept_table(evidence / RELATIVES, search)


def _search(
    dataset: Dataset, distinct: np.ndarray, evidence: Path, jobs: int, rgb: Rgb, progress: Progress
) -> pd.DataFrame:
    known, same = map(rows_of, pictures_of(dataset))
    among = np.zeros(len(dataset.test_images), bool)
    among[drawn(len(among), LOOKED_AT)] = True
    same = {picture: rows[among[rows]] for picture, rows in same.items() if picture >= READ and among[rows].any()}
    first = {int(rows[0]): rows for rows in same.values()}
    exact = {int(rows[0]): known[picture] for picture, rows in same.items() if picture in known}
    # a picture in more rows than that is an intruder, of which one row says enough
    found = [
        (test, row, EXACT, 1.0)
        for test, rows in exact.items()
        for row in (rows if len(rows) <= REPEATS else rows[:1]).tolist()
    ]
    looked_at = np.array([row for row in first if row not in exact], np.int64)
    if len(looked_at) and len(distinct):
        shown = previewed(dataset, rgb)
        pictures = kept_pictures(Chosen(shown.images, distinct), evidence / "keypoints", jobs, progress)
        tests = kept_pictures(Chosen(shown.test_images, looked_at), evidence / "test_keypoints", jobs, progress)
        found += [
            (int(looked_at[test]), int(distinct[train]), kind, similarity)
            for test, train, kind, similarity in _copies_and_neighbours(pictures, tests, evidence, jobs, progress)
        ]
    pairs = [(row, *rest) for test, *rest in found for row in first[test].tolist()]
    types = {"test": np.int64, "train": np.int64, "kind": str, "similarity": float}
    return pd.DataFrame(pairs, columns=list(COLUMNS)).astype(types).sort_values(["test", "train"], ignore_index=True)


def _copies_and_neighbours(
    pictures: Pictures, tests: Pictures, evidence: Path, jobs: int, progress: Progress
) -> Iterator[tuple[int, int, str, float]]:
    """As COLUMNS, rows being those of tests and pictures."""
    with progress.phase(VECTORS):
        words = vocabulary(pictures, evidence)
        ours = kept_vectors(pictures, words, evidence / "vectors.npy")
        theirs = kept_vectors(tests, words, evidence / "test_vectors.npy")
    for link in find_copies_across(pictures, ours, tests, theirs, jobs, progress):
        yield link.right, link.left, COPY, link.similarity
    trains, others = (drawn(len(part.images), SEAMS_AMONG) for part in (pictures, tests))
    for seam in find_seams(Chosen(pictures.images, trains), Chosen(tests.images, others), progress):
        left, right, side = seam.left, seam.right, seam.side
        if right < len(trains):
            left, right, side = right, left, OPPOSITE[side]
        yield int(others[right - len(trains)]), int(trains[left]), side, 1 - seam.ratio
