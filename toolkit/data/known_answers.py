"""Test images whose answer is known, since they are training images to the last bit."""

from dataclasses import dataclass

import numpy as np

from toolkit.data.data_folder import open_dataset
from toolkit.data.dataset import Dataset, hash_sample, pictures_of
from toolkit.data.folds import LEFT_OUT
from toolkit.data.labelled import Labelled
from toolkit.images.pictures import READ, rows_of
from toolkit.store import hash_json
from toolkit.task import MISSING


@dataclass(frozen=True)
class KnownAnswers:
    """rows: int64 (n,), of the test images; targets: (n, ...), their labels or masks."""

    rows: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def hash(self) -> str:
        return hash_json([self.rows.tolist(), hash_sample(self.targets)])


def known_answers(dataset: Dataset, trusted: np.ndarray) -> KnownAnswers:
    """Where all equal training images have one and the same target in the organisers' file, and nothing of it missing.

    trusted: bool (N,); a picture that has a target which isn't trusted has no known answer, nor what can't be read.
    """
    ours, theirs = pictures_of(dataset)
    shared, targets = np.isin(ours, theirs) & (ours >= READ), dataset.targets
    known = {picture: np.flatnonzero(shared)[rows] for picture, rows in rows_of(ours[shared]).items()}
    missing = MISSING if targets.ndim == 2 else None  # of labels and heads; a number that is NaN equals nothing
    found, taken = [], []
    for row, picture in enumerate(theirs.tolist()):
        rows = known.get(picture)
        if rows is None or not trusted[rows].all() or (missing is not None and (targets[rows[0]] == missing).any()):
            continue
        if (targets[rows] == targets[rows[0]]).all():
            found.append(row)
            taken.append(int(rows[0]))
    return KnownAnswers(np.array(found, np.int64), targets[np.array(taken, np.int64)])


def stored_answers(labelled: Labelled) -> KnownAnswers:
    """Of the workspace's data: what the cleaning list drops or relabels is not trusted."""
    dataset = open_dataset(labelled.workspace.data)
    trusted = labelled.trained & (labelled.fold != LEFT_OUT)
    if len(labelled.relabels):  # one class or grade an image: all others are dropped or kept
        trusted[labelled.relabels[:, 0]] &= labelled.relabels[:, 1] == dataset.targets[labelled.relabels[:, 0]]
    return known_answers(dataset, trusted)
