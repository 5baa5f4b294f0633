"""What can be blended: candidates, families of them, and all that blends are fitted on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.blending.greedy import Contested, Part, gather, greedy, read, thinned
from toolkit.competition import Competition

PART = 2**26  # bytes of float32 probabilities read at a time
ITEMS = 200_000  # samples or pixels that gradient, biases and temperatures are fitted on, at most
CONTESTED = 100_000  # pixels of each class that weights are fitted on
STEPS = 50  # of greedy selection


@dataclass(frozen=True)
class Candidate:
    """What may take part: a run, or a run under certain views. `family` is the same for those that differ in seed."""

    name: str
    family: str
    oof: np.ndarray  # uint8 or float16 (N, C, ...), memory-mapped
    test: np.ndarray | None = None  # (M, C, ...)
    costs: tuple[float, ...] = ()  # in the currencies of the limits


@dataclass(frozen=True)
class Family:
    """Candidates that count as one: their mean."""

    name: str
    members: tuple[Candidate, ...]

    @property
    def costs(self) -> np.ndarray:
        return np.sum([member.costs for member in self.members], axis=0)


@dataclass(frozen=True)
class Pool:
    """Families and all that is needed to fit a blend of them. Rows without a fold take no part."""

    competition: Competition
    families: tuple[Family, ...]
    targets: np.ndarray
    fold: np.ndarray  # int64 (N,), negative: in none
    group: np.ndarray  # int64 (N,)
    contested: Contested  # exact, for scores
    fitted: Contested  # of masks a part of it, on which weights are fitted
    values: np.ndarray  # float32 (n, S, M): the items that all but weights is fitted on
    truth: np.ndarray  # int64 (n,)
    item_fold: np.ndarray  # int64 (n,)
    limits: np.ndarray | None = None  # in the currencies of the candidates' costs
    remembered: dict[tuple[int, ...], np.ndarray] = field(default_factory=dict)

    @property
    def scored(self) -> tuple[int, ...]:
        return self.competition.scored

    @property
    def classes(self) -> int:
        return len(self.competition.task.classes)

    @cached_property
    def folds(self) -> tuple[int, ...]:
        return tuple(int(k) for k in np.unique(self.fold[self.fold >= 0]))

    def items(self, folds: Sequence[int], most: int = ITEMS) -> tuple[np.ndarray, np.ndarray]:
        """Values float32 (n, S, M) and truth (n,) of the fitted items of these folds."""
        rows = np.flatnonzero(np.isin(self.item_fold, folds))
        rows = rows[:: max(1, -(-len(rows) // most))]
        return self.values[rows], self.truth[rows]

    def allowed(self, folds: Sequence[int]) -> np.ndarray:
        """bool (M,): families that fit the limits together; chosen greedily on these folds where not all do."""
        everything = np.ones(len(self.families), np.bool_)
        if self.limits is None:
            return everything
        costs = np.stack([family.costs for family in self.families], axis=1)
        if (costs.sum(1) <= self.limits).all():
            return everything
        key = tuple(folds)
        if key not in self.remembered:
            self.remembered[key] = greedy(self.fitted, folds, STEPS, None, costs, self.limits) > 0
        return self.remembered[key]


def make_families(candidates: Sequence[Candidate], limits: np.ndarray | None = None) -> tuple[Family, ...]:
    """Families by their first member's place; members that alone would break the limits are left out."""
    found: dict[str, list[Candidate]] = {}
    for one in candidates:
        members = found.setdefault(one.family, [])
        if limits is None or (np.sum([m.costs for m in [*members, one]], axis=0) <= limits).all():
            members.append(one)
    return tuple(Family(name, tuple(members)) for name, members in found.items() if members)


def make_pool(
    competition: Competition,
    families: tuple[Family, ...],
    targets: np.ndarray,
    fold: np.ndarray,
    group: np.ndarray,
    limits: np.ndarray | None = None,
    scratch: Path | None = None,
) -> Pool:
    """One pass over the stored probabilities, in parts; what does not fit in memory goes into `scratch`."""
    width = len(competition.scored) * len(families)
    pixels = int(np.prod(targets.shape[1:]))
    kept = max(1, min(ITEMS, 2**28 // (4 * width)))  # 256 MiB at most
    total = int((fold >= 0).sum()) * pixels
    every = -(-total // kept)
    values, truth, item_fold = [], [], []

    def parts() -> Iterator[Part]:
        for part in read_parts(competition, families, targets, fold):
            number, rows, stored, answers = part
            if pixels == 1:
                some, answer = stored, answers
            else:
                # another pixel of each image, so that no place is always looked at
                at = np.arange(int(rows[0]) % every, len(rows) * pixels, every)
                flat = stored.reshape(*stored.shape[:3], -1).swapaxes(2, 3).reshape(len(stored), -1, stored.shape[2])
                some, answer = flat[:, at], answers.reshape(-1)[at]
            scale = np.float32(np.iinfo(stored.dtype).max)
            values.append(np.moveaxis(some, 0, 2).astype(np.float32) / scale)
            truth.append(answer.astype(np.int64))
            item_fold.append(np.full(len(answer), number))
            yield part

    classes = len(competition.task.classes)
    contested = gather(parts(), fold, classes, competition.metric, competition.scored, scratch)
    fitted = thinned(contested, min(CONTESTED, 2**29 // (width * classes)))
    joined = (np.concatenate(values), np.concatenate(truth), np.concatenate(item_fold))
    return Pool(competition, families, targets, fold, group, contested, fitted, *joined, limits)


def read_parts(
    competition: Competition, families: tuple[Family, ...], targets: np.ndarray, fold: np.ndarray
) -> Iterator[Part]:
    """Fold, rows, values (M, n, S, ...) and targets of all rows that have a fold, as whole numbers.

    uint8 where all is stored so, else uint16: the rounding is then finer than that of float16 near 1.
    """
    single = all(len(family.members) == 1 for family in families)
    bytes_do = single and all(member.oof.dtype == np.uint8 for family in families for member in family.members)
    dtype = np.uint8 if bytes_do else np.uint16
    size = len(families) * len(competition.scored) * int(np.prod(targets.shape[1:])) * 4
    for k in np.unique(fold[fold >= 0]):
        rows = np.flatnonzero(fold == k)
        step = max(1, PART // size)
        for start in range(0, len(rows), step):
            at = rows[start : start + step]
            values = np.empty((len(families), len(at), len(competition.scored), *targets.shape[1:]), dtype)
            for number, family in enumerate(families):
                if bytes_do:
                    values[number] = read(family.members[0].oof, at)[:, list(competition.scored)]
                else:
                    mean = family_mean(family, "oof", at)[:, list(competition.scored)]
                    values[number] = np.rint(mean * np.iinfo(dtype).max)
            yield int(k), at, values, np.asarray(targets[at])


def family_mean(family: Family, which: str, rows: np.ndarray) -> np.ndarray:
    """float32 (n, C, ...): the mean of the members' OOF or test probabilities."""
    total: Any = 0.0
    for member in family.members:
        part = read(getattr(member, which), rows)
        total = total + (part.astype(np.float32) / 255 if part.dtype == np.uint8 else part.astype(np.float32))
    return total / len(family.members)
