"""Commands from raw files to a report on the tiny competition, each with what lay there before it."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import inf
from pathlib import Path

import torch
from matplotlib.figure import Figure

from benchmarks.faults.contents import contents, stable
from benchmarks.faults.forks import ROOT, TINY, Act, Begun, Ended, begin, call, nothing, put, shared
from tests import unpainted
from toolkit import disk
from toolkit.scoring import stress
from toolkit.training import fold
from toolkit.tuning.trials import Rivals

BERRIES = ROOT / "tests" / "small" / "berries"  # has a table
IMPORTED = (  # by all forks together
    *("auditing.audit", "blending.blend", "notebooks.build", "recognition.new", "reporting.page", "submission.build"),
    *("submission.grading", "training.boosting", "training.cross_validation", "tuning.search_loop", "pipeline"),
)


@dataclass(frozen=True)
class Step:
    """A command and what it is given beside `shared`, on what is there after the step `after` (none: nothing is).

    of: the competition's folder.
    """

    name: str
    command: str
    more: Sequence[str] = ()
    after: str = ""
    of: Path = TINY

    def arguments(self, root: Path) -> list[str]:
        if self.command == "new":
            return [str(root / "made"), "--data", str(root / "w" / "tiny-practice" / "practice" / "raw")]
        return [*shared(root, self.of), *self.more]


ALL = (
    Step("audit", "audit"),
    Step("folds", "folds", ("--folds", "3", "--holdout", "0.2"), "audit"),
    Step("new", "new", (), "folds"),
    Step("train", "train", ("schedule.epochs=2", "schedule.average=swa", "--stress", "none"), "folds"),
    Step("soup", "train", ("--recipe", "second", "schedule.epochs=3", "schedule.average=soup"), "folds"),
    Step("frozen", "train", ("schedule.epochs=2", "schedule.freeze=0.5", "--stress", "none"), "folds"),
    Step("search", "search", ("--trials", "2", "--repeats", "0", "schedule.epochs=2", "--stress", "none"), "train"),
    Step("ensemble", "ensemble", ("--views", "none"), "search"),
    Step("views", "ensemble", (), "soup"),
    Step("submit", "submit", (), "ensemble"),
    Step("score", "submit", ("--score", "0.5"), "submit"),
    Step("notebook", "submit", ("--notebook", "--kaggle", "tiny"), "score"),
    Step("grade", "grade", (), "score"),
    Step("report", "report", (), "score"),
    Step("clean", "clean", ("--keep", "1"), "report"),
    Step("run", "run", ("--budget", "2m", "--recipe", "second", "schedule.epochs=1", "--stress", "none")),
    Step("berries", "train", ("--stress", "none", "schedule.epochs=1", "--practice-size", "48"), of=BERRIES),
    Step("boost", "boost", (), "berries", BERRIES),
)
AUDITED = ("audit.html", "audit.parquet")
SELDOM = {"search": 200, "notebook": 10, "run": 16, "berries": 60}  # at most so many tries of what takes seconds each


def imported() -> None:
    """Import what forks need, once for all of them."""
    for name in IMPORTED:
        importlib.import_module(f"toolkit.{name}")


def working(step: Step, root: Path) -> int:
    """The command, quicker, as charts aren't painted, with more points, as a state is saved after every epoch, on a
    disk that may be small, with all of its stress score, however slow the machine, and without giving up trials, as
    which ones depends on who of two comes first.
    """
    Rivals.verdict = lambda *_: None  # type: ignore[method-assign]
    disk.RESERVE, fold.SAVE_SECONDS, stress.SHARE = 0, 0.0, inf
    Figure.savefig = unpainted.save  # type: ignore[assignment]
    torch.set_num_threads(1)
    return call(step.command, step.arguments(root))


@dataclass
class Stage:
    """A step that works undisturbed. before: a copy of what is there before it; root: where it works; changes: of
    files, that it made; left: what it left.
    """

    step: Step
    before: Path
    root: Path
    changes: int = 0
    left: dict[str, str] = field(default_factory=dict)

    def begin(self, act: Act = nothing, name: str = "one") -> Begun:
        return begin(lambda: working(self.step, self.root), self.root, act, name=name)

    def do(self, act: Act = nothing) -> Ended:
        return self.begin(act).end()

    def well(self, times: int = 1) -> dict[str, str]:
        """What it leaves undisturbed, done so many times in a row. RuntimeError where even that fails."""
        put(self.before, self.root)
        for _ in range(times):
            ended = self.do()
            if ended.kind != "same":
                raise RuntimeError(f"{self.step.name} doesn't even work undisturbed: {ended.kind}, {ended.text}")
            self.changes = self.changes or ended.changes
        return contents(self.root)

    @cached_property
    def expected(self) -> dict[str, str]:
        """The files that it leaves, and what is alike in them whenever it is done."""
        return self._but_audits(stable(self.left, self.well()))

    @cached_property
    def expected_of_two(self) -> dict[str, str]:
        """The same of two, one after the other."""
        return self._but_audits(stable(self.well(2), self.well(2)))

    def _but_audits(self, expected: dict[str, str]) -> dict[str, str]:
        """An audit says what runs predict, of which there are more where it is made later, as after a kill."""
        if self.step.after or self.step.command == "audit":
            return expected
        return expected | {name: "" for name in expected if Path(name).name in AUDITED}


class Stages:
    """The stages that are asked for, each made once, all in one working folder below `place`, as manifests know paths.

    place: an empty folder.
    """

    def __init__(self, place: Path, steps: Sequence[Step] = ALL) -> None:
        self.root, self.place = place / "root", place
        self.steps = {step.name: step for step in steps}
        self.made: dict[str, Stage] = {}
        (place / "before-").mkdir(parents=True)

    def stage(self, name: str) -> Stage:
        if name not in self.made:
            step = self.steps[name]
            made = Stage(step, self.after(step.after), self.root)
            made.left = made.well()
            put(self.root, self.place / f"before-{name}")
            self.made[name] = made
        return self.made[name]

    def after(self, name: str) -> Path:
        """A folder with what is there after that step (none: nothing), not to be changed."""
        if name:
            self.stage(name)
        return self.place / f"before-{name}"

    def shared_out(self, most: int) -> list[tuple[Stage, int]]:
        """Each stage with how many of its changes to try, so many of all together."""
        every = [self.stage(name) for name in self.steps]
        sizes = [min(stage.changes, SELDOM.get(stage.step.name, stage.changes)) for stage in every]
        return list(zip(every, shares(sizes, most), strict=True))


def without(*names: str) -> tuple[Step, ...]:
    """All steps but these: each that followed one of them follows what that one did."""
    after = {step.name: step.after for step in ALL}

    def before(name: str) -> str:
        return before(after[name]) if name in names else name

    return tuple(replace(step, after=before(step.after)) for step in ALL if step.name not in names)


def points(changes: int, most: int) -> list[int]:
    """At most so many of the changes, spread evenly over all, the first and the last among them; the middle of all."""
    number = min(most, changes)
    if number <= 1:
        return [(1 + changes) // 2] * number
    return sorted({1 + round(k * (changes - 1) / (number - 1)) for k in range(number)})


def shares(sizes: Sequence[int], most: int) -> list[int]:
    """How many to take of each, `most` of all together: as many as of any other, or all that there are."""
    left, found = most, [0] * len(sizes)
    for number, (place, size) in enumerate(sorted(enumerate(sizes), key=lambda one: one[1])):
        found[place] = min(size, left // (len(sizes) - number))
        left -= found[place]
    return found
