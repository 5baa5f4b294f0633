"""What can be blended: runs within limits, and seed groups of them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from toolkit.blending.top_mix import mixed_top
from toolkit.data.image_sets import part_of
from toolkit.data.labelled import Labelled
from toolkit.errors import UserError
from toolkit.networks.devices import resolve_device
from toolkit.networks.predict import predict
from toolkit.probabilities import probabilities, read
from toolkit.runs import Boosted, Run
from toolkit.store import read_json, write_json
from toolkit.top_k import TopK

MEASURED = 64  # images whose prediction is timed


@dataclass(frozen=True)
class Limits:
    """Of the organisers' machine: runs, seconds for all test images, bytes of weights. None: no limit.

    test_images: how many there are; None: those at hand.
    """

    max_models: int | None = None
    max_seconds: float | None = None
    max_bytes: int | None = None
    test_images: int | None = None

    def __post_init__(self) -> None:
        for name, value in self.given.items():
            if not 0 < value < np.inf:
                option = name.replace("_", "-")
                raise UserError(f"--{option} is {value:g}; give a number above 0, or leave it out for no limit")

    def on(self, labelled: Labelled) -> "Limits":
        """With the number of test images where time is limited, without it where not."""
        if self.max_seconds is None:
            return replace(self, test_images=None)
        return replace(self, test_images=self.test_images or len(labelled.test_images) or len(labelled.images))

    @property
    def given(self) -> dict[str, float]:
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def bounds(self) -> np.ndarray:
        """float64 (3,), in the currencies of a candidate's costs."""
        bounds = (self.max_models, self.max_seconds, self.max_bytes)
        return np.array([np.inf if bound is None else bound for bound in bounds])


NO_LIMITS = Limits()


@dataclass(frozen=True)
class Candidate:
    """What may take part: a run, or a run under certain views.

    seed_group: the same for those that differ in seed alone. costs: runs, seconds for all test images and bytes of
    weights, 0 where there is no limit.
    """

    name: str
    seed_group: str
    oof: np.ndarray  # uint8, float16 or float32 (N, channels, ...), memory-mapped
    test: np.ndarray | None = None  # (M, C, ...), of those that have a share, once that is known
    costs: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def times(self, views: int) -> "Candidate":
        """As costly as it is with so many views of each image."""
        models, seconds, size = self.costs
        return replace(self, costs=(models, seconds * views, size))


def candidate(run: Run, limits: Limits, device: str) -> Candidate:
    seconds = seconds_per_image(run, device) * (limits.test_images or 0) if limits.max_seconds is not None else 0.0
    size = sum(path.stat().st_size for path in run.weights) if limits.max_bytes is not None else 0
    return Candidate(run.name, run.alike, run.oof, costs=(1.0, seconds, float(size)))


def seconds_per_image(run: Run, device: str) -> float:
    """Seconds in which all folds' networks of a run predict one image; measured once and kept with the run.

    A code submission predicts in float32, whatever the run was trained in.
    """
    if isinstance(run, Boosted):  # trees cost nothing beside the networks whose values they take
        return sum(seconds_per_image(source, device) for source in run.sources)
    place, competition = resolve_device(device), run.labelled.competition
    precision = run.recipe.precision if competition.try_submission is None else "float32"
    name = f"{place} {precision}"
    path = run.cost_path
    known: dict[str, float] = read_json(path, holds=dict[str, float]) if path.exists() else {}
    if name not in known:
        network, some, took = run.network(0, place), part_of(run.images, np.s_[:MEASURED]), []
        table = run.labelled.table_of(np.s_[:MEASURED])
        for _ in range(3):  # the first is a warm-up
            begun = time.perf_counter()
            predict(network, some, competition.scored, place, precision, table=table)
            took.append(time.perf_counter() - begun)
        known[name] = min(took[1:]) * len(run.weights) / len(some)
        write_json(path, known)
    return known[name]


@dataclass(frozen=True)
class SeedGroup:
    """Candidates that differ in seed alone and count as one: their mean."""

    name: str
    members: tuple[Candidate, ...]

    @property
    def costs(self) -> np.ndarray:
        return np.sum([member.costs for member in self.members], axis=0)

    def mean(self, which: str, rows: np.ndarray) -> np.ndarray:
        """float32 (n, channels, ...): the mean of the members' `oof` or `test` values; of many classes a TopK."""
        total: Any = 0.0
        if isinstance(self.members[0].oof, TopK):
            parts: Any = [read(getattr(member, which), rows) for member in self.members]
            total = mixed_top(parts, [1 / len(parts)] * len(parts))
            return total
        for member in self.members:
            total = total + probabilities(read(getattr(member, which), rows))
        return total / len(self.members)


@dataclass(frozen=True)
class SeedGroups:
    """All that is needed to predict by a blend that is fitted."""

    labelled: Labelled
    seed_groups: tuple[SeedGroup, ...]

    @property
    def scored(self) -> tuple[int, ...]:
        return self.labelled.competition.scored

    @property
    def classes(self) -> int:
        return len(self.labelled.competition.task.classes)

    @property
    def channels(self) -> tuple[int, ...]:
        """Those that are mixed: of one of several classes, the scored ones."""
        task = self.labelled.competition.task
        return self.scored if task.exclusive else tuple(range(task.channels))

    @cached_property
    def runs(self) -> tuple[Candidate, ...]:
        """Of all seed groups, one after the other."""
        return tuple(member for group in self.seed_groups for member in group.members)


def with_values(groups: Sequence[SeedGroup], which: str, values: Mapping[str, np.ndarray]) -> tuple[SeedGroup, ...]:
    """The same, whose members have these for `oof` or `test`, by name."""

    def member(one: Candidate) -> Candidate:
        given: dict[str, Any] = {which: values.get(one.name)}
        return replace(one, **given)

    return tuple(replace(group, members=tuple(map(member, group.members))) for group in groups)


def make_seed_groups(candidates: Sequence[Candidate], limits: Limits = NO_LIMITS) -> tuple[SeedGroup, ...]:
    """Seed groups by their first member's place, UserError for none; members that alone break limits are left out."""
    found: dict[str, list[Candidate]] = {}
    for one in candidates:
        members = found.setdefault(one.seed_group, [])
        if (SeedGroup("", (*members, one)).costs <= limits.bounds).all():
            members.append(one)
    groups = tuple(SeedGroup(name, tuple(members)) for name, members in found.items() if members)
    if not groups:
        raise UserError(f"no run fits {', '.join(f'--{name}' for name in limits.given).replace('_', '-')} even alone")
    return groups
