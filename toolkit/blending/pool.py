"""Seed groups and all that blends of them are fitted on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from toolkit.blending.candidates import (
    NO_LIMITS,
    Candidate,
    Limits,
    SeedGroup,
    SeedGroups,
    make_seed_groups,
    with_values,
)
from toolkit.blending.climbs import OF_FEW, climb_of
from toolkit.blending.contested import Contested, Part, gather, thinned
from toolkit.blending.greedy import climb_from, greedy
from toolkit.blending.valued import Valued, ValuedTop, gather_top, gather_values
from toolkit.competition import by_matrix
from toolkit.data.labelled import Labelled, confusions
from toolkit.probabilities import chunks, read
from toolkit.top_k import TopK

PART = 2**26  # bytes of float32 probabilities read at a time
ITEMS = 200_000  # samples or pixels that gradient, biases and temperatures are fitted on, at most
CONTESTED = 100_000  # pixels of each class that weights are fitted on
STEPS = 50  # of greedy selection
FITTED = 50_000  # samples of many classes that weights are fitted on
VALUES = 2**29  # bytes of values that blends are fitted on where no confusion matrix says it all


@dataclass(frozen=True)
class Pool(SeedGroups):
    """Seed groups and all that is needed to fit a blend of them. Rows without a fold take no part."""

    contested: Contested | None  # exact, for scores; None where no confusion matrix says it all
    fitted: Contested | Valued  # of masks and large data a part, on which weights are fitted
    values: np.ndarray  # float32 (n, S, M): items that all but weights is fitted on; none of masks without matrix
    truth: np.ndarray  # int64 (n,), or targets as they are (n, ...)
    item_fold: np.ndarray  # int64 (n,)
    limits: np.ndarray  # in the currencies of the candidates' costs
    remembered: dict[tuple[object, ...], np.ndarray] = field(default_factory=dict)

    @property
    def folds(self) -> tuple[int, ...]:
        return tuple(range(self.labelled.folds))

    @cached_property
    def position(self) -> np.ndarray:
        """int64 (256 or more,): a class's place among the scored ones; -1 for one that isn't scored."""
        position = np.full(max(256, self.classes), -1)
        position[list(self.scored)] = np.arange(len(self.scored))
        return position

    def items(self, folds: Sequence[int], most: int = ITEMS) -> tuple[np.ndarray, np.ndarray]:
        """Values float32 (n, S, M) and truth (n,) of the fitted items of these folds."""
        rows = np.flatnonzero(np.isin(self.item_fold, folds))
        rows = rows[:: max(1, -(-len(rows) // most))]
        return self.values[rows], self.truth[rows]

    def allowed(self, folds: Sequence[int]) -> np.ndarray:
        """bool (M,): seed groups that fit the limits together; chosen greedily on these folds where not all do."""
        costs = np.stack([group.costs for group in self.seed_groups], axis=1)
        if (costs.sum(1) <= self.limits).all():
            return np.ones(len(self.seed_groups), np.bool_)
        key = ("allowed", *folds)
        if key not in self.remembered:
            self.remembered[key] = greedy(self.fitted, folds, STEPS, None, costs, self.limits) > 0
        return self.remembered[key]

    def best_first(self, folds: Sequence[int]) -> np.ndarray:
        """int64: the seed groups that are allowed, by their own score on these folds, the first of equals first."""
        key = ("best first", *folds)
        if key not in self.remembered:
            order = np.argsort(-climb_from(self.fitted, folds).scores(), kind="stable")
            self.remembered[key] = order[self.allowed(folds)[order]]
        return self.remembered[key]

    def best_run(self, folds: Sequence[int]) -> int:
        """The place in `runs` of the one that is the best on these folds: each alone keeps the limits."""
        competition = self.labelled.competition
        if isinstance(self.fitted, Valued):
            key = ("best run", *folds)
            if key not in self.remembered:
                self.remembered[key] = self._run_merits(folds)
            return int(self.remembered[key].argmax())
        merits = competition.metric.sign * competition.score(self._totals[:, list(folds)].sum(1))
        return int(merits.argmax())

    def _run_merits(self, folds: Sequence[int]) -> np.ndarray:
        """Merits (runs,) on the rows that weights are fitted on: seed groups of one run are known there."""
        assert isinstance(self.fitted, Valued)
        if len(self.runs) == len(self.seed_groups):
            return climb_from(self.fitted, folds).scores()
        found, among = [], self.fitted
        for run in self.runs:
            one = [SeedGroup("", (run,))]
            if isinstance(among, ValuedTop):
                alone: Valued = gather_top(self.labelled, one, among.rows)
            else:
                alone = gather_values(self.labelled, one, self.channels, among.rows, among.values.dtype)
            found.append(climb_from(alone, folds).scores()[0])
        return np.array(found)

    @cached_property
    def _totals(self) -> np.ndarray:
        """int64 (runs, folds, C, C): the confusion of each run. Runs are read one after the other."""
        found = [[self._read_confusions(run, k).sum(0) for k in self.folds] for run in range(len(self.runs))]
        return np.array(found)

    def run_confusions(self, run: int, fold: int) -> np.ndarray:
        """Confusion matrices int64 (n, C, C) of one fold's samples under one run, kept: few runs are the best."""
        key = ("run", run, fold)
        if key not in self.remembered:
            self.remembered[key] = self._read_confusions(run, fold)
        return self.remembered[key]

    def _read_confusions(self, run: int, fold: int) -> np.ndarray:
        labelled, rows = self.labelled, self.labelled.rows(fold)
        parts = [rows[at] for at in chunks(len(rows), labelled.truth.shape[1:])]
        stored = self.runs[run].oof
        return np.concatenate([confusions(labelled.competition, labelled.truth[at], read(stored, at)) for at in parts])


def with_test(pool: Pool, tests: Mapping[str, np.ndarray]) -> Pool:
    """With the test predictions (M, C, ...) of runs by name."""
    return replace(pool, seed_groups=with_values(pool.seed_groups, "test", tests))


def make_pool(
    labelled: Labelled, candidates: Sequence[Candidate], limits: Limits = NO_LIMITS, scratch: Path | None = None
) -> Pool:
    """One pass over the stored probabilities, in parts; what does not fit in memory goes into `scratch`."""
    competition, seed_groups = labelled.competition, make_seed_groups(candidates, limits)
    if not by_matrix(competition):
        return _valued_pool(labelled, seed_groups, limits)
    width, classes = len(competition.scored) * len(seed_groups), len(competition.task.classes)
    pixels = int(np.prod(labelled.truth.shape[1:]))
    kept = max(1, min(ITEMS, 2**28 // (4 * width)))  # 256 MiB at most
    every = -(-int(labelled.inside.sum()) * pixels // kept)
    values, truth, item_fold = [], [], []

    def parts() -> Iterator[Part]:
        for part in read_parts(labelled, seed_groups):
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

    contested = gather(parts(), labelled.fold, classes, competition.metric, competition.scored, scratch)
    fitted = thinned(contested, min(CONTESTED, 2**29 // (width * classes)))
    joined = (np.concatenate(values), np.concatenate(truth), np.concatenate(item_fold))
    return Pool(labelled, seed_groups, contested, fitted, *joined, limits.bounds)


def _valued_pool(labelled: Labelled, seed_groups: tuple[SeedGroup, ...], limits: Limits) -> Pool:
    """Of any task and metric: values of all samples, or of as many in each fold as memory allows."""
    channels, width = SeedGroups(labelled, seed_groups).channels, labelled.competition.task.channels
    pixels = labelled.truth.shape[1:] if labelled.masks else ()
    dtype = np.dtype((np.uint8 if _bytes_do(seed_groups) else np.uint16) if labelled.masks else np.float32)
    size = len(seed_groups) * width * int(np.prod(pixels)) * dtype.itemsize
    folds = [labelled.rows(k) for k in range(labelled.folds)]
    values = np.zeros((0, len(channels), len(seed_groups)), np.float32)
    if isinstance(seed_groups[0].members[0].oof, TopK) and issubclass(climb_of(labelled.competition), OF_FEW):
        every = max(1, -(-sum(map(len, folds)) // FITTED))
        few = gather_top(labelled, seed_groups, np.concatenate([own[::every] for own in folds]))
        return Pool(labelled, seed_groups, None, few, values, few.truth[:0], few.fold[:0], limits.bounds)
    every = max(1, -(-sum(map(len, folds)) * size // VALUES))
    fitted = gather_values(labelled, seed_groups, channels, np.concatenate([own[::every] for own in folds]), dtype)
    if not labelled.masks:
        values = np.moveaxis(fitted.values[:, :, list(channels)], 0, 2)
    items = len(values)
    return Pool(labelled, seed_groups, None, fitted, values, fitted.truth[:items], fitted.fold[:items], limits.bounds)


def _bytes_do(seed_groups: Sequence[SeedGroup]) -> bool:
    return all(len(group.members) == 1 and group.members[0].oof.dtype == np.uint8 for group in seed_groups)


def read_parts(labelled: Labelled, seed_groups: tuple[SeedGroup, ...]) -> Iterator[Part]:
    """Fold, rows, values (M, n, S, ...) and targets of all rows that have a fold, as whole numbers.

    uint8 where all is stored so, else uint16: the rounding is then finer than that of float16 near 1.
    """
    scored, pixels = list(labelled.competition.scored), labelled.truth.shape[1:]
    bytes_do = _bytes_do(seed_groups)
    dtype = np.uint8 if bytes_do else np.uint16
    step = max(1, PART // (len(seed_groups) * len(scored) * int(np.prod(pixels)) * 4))
    for k in range(labelled.folds):
        rows = labelled.rows(k)
        for start in range(0, len(rows), step):
            at = rows[start : start + step]
            values = np.empty((len(seed_groups), len(at), len(scored), *pixels), dtype)
            for number, group in enumerate(seed_groups):
                if bytes_do:
                    values[number] = read(group.members[0].oof, at)[:, scored]
                else:
                    values[number] = np.rint(group.mean("oof", at)[:, scored] * np.iinfo(dtype).max)
            yield k, at, values, np.asarray(labelled.truth[at])
