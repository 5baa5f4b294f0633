"""The likeliest of many classes: what is stored of an image's probabilities where all of them would be too many."""

from dataclasses import dataclass
from typing import Any

import numpy as np

ALL = 1000  # classes up to which all probabilities are stored
KEPT = 100  # of more classes, so many of each image; what is left of the sum is spread evenly over the others
IN_CACHE = 1 << 16  # values that are looked at together


def record_type(classes: int) -> np.dtype:
    """Of the .npy file: `value` float16 (KEPT,), the highest first, and their classes int32 (KEPT,), in a field whose
    name tells among how many.
    """
    return np.dtype([("value", "<f2", (KEPT,)), (f"class of {classes}", "<i4", (KEPT,))])


@dataclass(frozen=True, eq=False)
class TopK:
    """Probabilities (N, classes), of which `records` (N,), of a `record_type`, hold the highest of each row.

    What is left of the sum of 1 is spread evenly over the other classes; a row that says nothing has 0 everywhere.
    Rows are chosen and set as those of an array; NumPy takes it for the whole float32 array, so mind its size.
    """

    records: np.ndarray

    @property
    def classes(self) -> int:
        return int(self._name.rpartition(" ")[2])

    @property
    def _name(self) -> str:
        names: Any = self.records.dtype.names
        return str(names[1])

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.records), self.classes

    @property
    def ndim(self) -> int:
        return 2

    @property
    def dtype(self) -> np.dtype:
        return self.records.dtype

    @property
    def values(self) -> np.ndarray:
        """float32 (N, KEPT), falling."""
        found: np.ndarray = self.records["value"].astype(np.float32)
        return found

    @property
    def places(self) -> np.ndarray:
        """int32 (N, KEPT): the classes of `values`."""
        found: np.ndarray = self.records[self._name]
        return found

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, rows: Any) -> "TopK":
        return TopK(self.records[rows])

    def __setitem__(self, rows: Any, values: "np.ndarray | TopK") -> None:
        self.records[rows] = top(values, self.dtype).records

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        made = self.dense()
        return made if dtype is None else made.astype(dtype)

    def spread(self) -> np.ndarray:
        """float32 (N,): what each class has that isn't among the highest."""
        values = self.values
        left = np.maximum(1 - values.sum(1, dtype=np.float64), 0) / (self.classes - values.shape[1])
        return np.where(values[:, 0] > 0, left, 0).astype(np.float32)

    def dense(self) -> np.ndarray:
        """float32 (N, classes)."""
        made = np.repeat(self.spread()[:, None], self.classes, axis=1)
        # the first of a class comes last, and stays: unused places name class 0
        np.put_along_axis(made, self.places[:, ::-1].astype(np.int64), self.values[:, ::-1], axis=1)
        return made

    def at(self, classes: np.ndarray) -> np.ndarray:
        """float32 (N, j): the probabilities of some classes (N, j)."""
        found = np.repeat(self.spread()[:, None], classes.shape[1], axis=1)
        places, values = self.places, self.values
        for column in range(classes.shape[1]):
            hit = places == classes[:, column, None]
            here = hit.any(1)
            found[here, column] = values[here, hit[here].argmax(1)]
        return found

    def best(self, scored: np.ndarray) -> np.ndarray:
        """int32 (N,): the likeliest of the scored classes."""
        places = np.asarray(self.places)
        if len(scored) == self.classes:
            return places[:, 0].copy()
        counts = np.zeros(self.classes, bool)
        counts[scored] = True
        known = counts[places]
        first = np.take_along_axis(places, known.argmax(1)[:, None], 1)[:, 0]
        return np.where(known.any(1), first, scored[0]).astype(np.int32)


def top(values: np.ndarray | TopK, kind: np.dtype) -> TopK:
    """The highest of probabilities float (n, classes), as a file of that `record_type` holds them."""
    if isinstance(values, TopK):
        return values
    made = TopK(np.zeros(len(values), kind))
    places = highest(np.asarray(values, np.float32), KEPT)
    made.records["value"] = np.take_along_axis(values, places, axis=1)
    made.records[made._name] = places
    return made


def highest(values: np.ndarray, length: int) -> np.ndarray:
    """Places int64 (N, length) of the highest of float32 values (N, C), the first of equal ones first.

    Values and places are joined to whole numbers that differ, so that a partition finds them without sorting all: of
    thousands of classes five are wanted.
    """
    found = np.empty((len(values), length), np.int64)
    rows, places = max(IN_CACHE // max(values.shape[1], 1), 1), np.arange(values.shape[1])
    for start in range(0, len(values), rows):
        part = np.ascontiguousarray(values[start : start + rows] + np.float32(0))  # + 0: there is a negative zero
        bits = part.view(np.int32)
        rising = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))  # floats' order, as whole numbers
        keys = (-rising.astype(np.int64) << 32) + places
        if length < keys.shape[1]:
            keys = np.partition(keys, length - 1, axis=1)[:, :length]
        found[start : start + rows] = np.sort(keys, axis=1) & 0xFFFFFFFF
    return found
