"""What a competition is: task, metric, rules, and the few functions that are special to it."""

import importlib.util
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from toolkit.answers import NONE, Prediction, SandboxRun, answer_of, likeliest_labels
from toolkit.competition_code import metric_key
from toolkit.competition_folders import folder_of
from toolkit.decisions.decide import PLAIN, Decisions, decide
from toolkit.errors import UserError, others_code
from toolkit.formats.dialect import PLAIN as PLAIN_DIALECT
from toolkit.formats.dialect import Dialect
from toolkit.metrics.confusion import ConfusionMetric, decode
from toolkit.metrics.metric import CountedMetric, Metric, metric_of
from toolkit.metrics.tally import Tally
from toolkit.rules import Rules
from toolkit.task import IGNORED, Classification, Rgb, Task, check_task

if TYPE_CHECKING:
    from torch import nn

    from toolkit.data.dataset import Dataset, Samples
    from toolkit.formats.sample_format import SampleFormat
    from toolkit.recipe import Recipe
    from toolkit.search_space import Suggesting


FLIPS = ("none", "horizontal", "both")  # each more than the one before
SAY_SYMMETRIES = 'say which flips are right by Competition(…, symmetries="none", "horizontal" or "both")'


def no_practice(folder: Path, seed: int, size: int) -> None:
    raise UserError("this competition draws no practice data; leave out --practice")


def by_sample(*_: Any) -> Any:
    """Stands for `write_submission` and `read_submission` until the organisers' sample submission was read."""
    raise UserError(
        "the form of a submission follows from the sample submission, which `audit` reads: run "
        "`compete audit` first, and take the competition from `Project.labelled()`"
    )


@dataclass(frozen=True)
class Competition:
    """One competition. Each behaviour is a plain function that can be called and tested alone.

    load(folder) reads the organisers' own files, or says in which the images lie. build_model(recipe) returns a
    toolkit.models.Network from images (N, C, H, W), uint8 or float on the scale 0..255, to logits (N, channels) or
    (N, channels, H, W), as the task counts them. write_submission(prediction, path) writes what the organisers ask;
    read_submission(path, images, ids) reads it back into what the metric needs (labels, masks, values or lists:
    toolkit/answers.py), for code by running it on `images`, and raises UserError where the organisers would refuse
    it. What is read back may differ from what was written by `tolerance`, relative to a value and the mean size of
    its column. Both know the raw files by `prediction` and `ids` alone: these may be gone, or others lie where they
    were. Where neither is given, both follow from the sample submission beside the data (formats/recognition.py).
    practice(folder, seed, size) draws `folder/raw/` in the organisers' format and `folder/truth/truth.npz` with
    `targets` and, where the test set is hidden, `images`. docs/competition.md has a whole one.
    """

    name: str
    task: Task
    metric: Metric
    load: "Callable[[Path], Dataset | Samples]"
    build_model: "Callable[[Recipe], nn.Module]"
    recipes: "Mapping[str, Recipe]"  # the first is the default
    folder: Path
    # both, or neither: then they follow from the sample submission beside the data, and from `dialect`
    write_submission: Callable[[Prediction, Path], None] = by_sample
    read_submission: Callable[[Path, np.ndarray, np.ndarray], np.ndarray] = by_sample
    submission_suffix: str = ""  # `.csv.gz` or `.zip`: packed; empty: as the sample's
    dialect: Dialect = PLAIN_DIALECT
    form: "SampleFormat | None" = None  # what the two follow from, once the sample was read
    rules: Rules = field(default_factory=Rules)
    practice: Callable[[Path, int, int], None] = no_practice
    practice_size: int = 0
    try_submission: "Callable[[Path, np.ndarray], SandboxRun] | None" = None  # for code: what read_submission runs
    suggest: "Callable[[Suggesting], Recipe] | None" = None  # the space of a search
    first_trials: "tuple[Recipe, ...]" = ()  # what a search tries first, the cheapest first; none: all recipes
    files: str = ""  # the organisers' files and where they come from, as a user is told who lacks them
    page: str = ""  # where a submission is handed in by hand
    kaggle: str = ""  # the competition's name on Kaggle, as in its address
    # flips after which an image keeps its target: `none` (text, digits, angles), `horizontal` (left and right are
    # alike to it), `both`; None: nobody has said, a recipe's are taken, and training asks
    symmetries: Literal["none", "horizontal", "both"] | None = None
    tolerance: float = 1e-4  # of values that are read back from a submission; labels and lists must be the same
    # which channels are red, green and blue; () for none; None: all where there are three, else none
    colour: Rgb | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[^/\\\s][^/\\]{0,99}", self.name) or self.name in (".", "..") or "\0" in self.name:
            raise ValueError(
                f"name is {self.name[:40]!r}: the workspace's folder is called by it, so it can be no path, and has "
                "100 letters at most"
            )
        check_task(self.task)
        object.__setattr__(self, "metric", metric_of(self.metric, self.task))
        if self.try_submission is not None and not self._may_be_code:
            raise ValueError(
                "a code submission says one label per image; other outputs, and metrics of probabilities, need a "
                "file: leave out try_submission"
            )
        if self.task.masks and len(self.task.classes) > IGNORED:
            raise ValueError(f"{len(self.task.classes)} classes of masks; at most {IGNORED} are supported")
        if self.symmetries not in (None, *FLIPS):
            raise ValueError(f"symmetries is {self.symmetries!r}, expected one of {', '.join(FLIPS)}")
        if (self.write_submission is by_sample) != (self.read_submission is by_sample):
            given, missing = "write_submission", "read_submission"
            if self.write_submission is by_sample:
                given, missing = missing, given
            raise ValueError(
                f"{given} is given and {missing} isn't: give both, or neither where a sample submission lies "
                "beside the data"
            )
        if not self.follows_sample and not self.submission_suffix:
            raise ValueError(
                'submission_suffix says what the file that write_submission writes ends in, such as ".csv"'
            )
        if self.follows_sample and self.try_submission is not None:
            raise ValueError("a code submission follows from no sample: give write_submission and read_submission")
        channels = range(self.task.image_shape[2])
        if self.colour and (len(set(self.colour)) != 3 or len(self.colour) != 3 or not {*self.colour} <= {*channels}):
            raise ValueError(
                f"colour is {self.colour!r}, expected three different channels of 0 to {channels[-1]}: those that are "
                "red, green and blue"
            )

    def check(self, recipe: "Recipe") -> None:
        """UserError for a recipe against the rules, with words that the task has no use for, or with flips after
        which a target is another; called before any time is spent.
        """
        from toolkit.recipe import check_fits, check_sizes

        self.rules.check(recipe)
        check_fits(recipe, self.task)
        check_sizes(recipe.images, self.task, self.try_submission is not None)
        flip = recipe.augment.flip
        if self.symmetries is not None and FLIPS.index(flip) > FLIPS.index(self.symmetries):
            raise UserError(
                f"recipe {recipe.name} flips images ({flip}), after which a target of {self.name} is another; "
                f"set augment.flip={self.symmetries}"
            )

    def doubt(self, recipe: "Recipe") -> str:
        """What to ask of a recipe's flips where nobody has said which a target survives; empty where that is known."""
        flip = recipe.augment.flip
        if self.symmetries is not None or flip == "none":
            return ""
        return (
            f"{recipe.name} flips images (augment.flip={flip}): wrong where a mirrored image has another target, as "
            f"text, digits, angles, left and right have; {SAY_SYMMETRIES}"
        )

    @property
    def follows_sample(self) -> bool:
        """Is a submission laid out as the organisers' sample has it, which isn't read yet?"""
        return self.write_submission is by_sample

    @property
    def rgb(self) -> Rgb:
        """The channels that are red, green and blue."""
        if self.colour is None:
            return (0, 1, 2) if self.task.image_shape[2] == 3 else ()
        return self.colour

    @property
    def _may_be_code(self) -> bool:
        plain = isinstance(self.task, Classification) and self.task.unknown is None
        return plain and self.metric.needs == "labels"

    def without_files(self, folder: Path) -> str:
        """What to tell a user whose folder of the organisers' files isn't there, or is empty."""
        files, here = self.files or "the organisers' files", Path.cwd()
        place = folder.relative_to(here) if folder.is_relative_to(here) else folder
        what = f"{place} is empty" if folder.is_dir() else f"there is no folder {place} yet"
        return f"{what}: put {files} there, say where it is with --data FOLDER, or try synthetic data with --practice"

    @property
    def scored(self) -> tuple[int, ...]:
        """Indices of the classes that the metric scores."""
        if not self.metric.ignore:
            return tuple(range(len(self.task.classes)))
        return tuple(i for i, name in enumerate(self.task.classes) if name not in self.metric.ignore)

    def may_look_at(self, test_images: np.ndarray) -> bool:
        """Are there test images at hand, and do the rules let one look at them?"""
        return self.rules.unlabelled_test_images and len(test_images) > 0

    def score(self, counts: np.ndarray) -> np.ndarray:
        """Official metric (...) of summed counts, such as confusion matrices (..., C, C)."""
        assert isinstance(self.metric, CountedMetric)
        return self.metric.of_counts(counts, self.scored)

    @cached_property
    def scored_by(self) -> dict[str, str]:
        """Beside scores that are stored: the metric's name, and what tells it from others that are called so."""
        return {"metric": self.metric.name, "metric_key": metric_key(self.metric, self.folder)}

    def is_scored_by(self, stored: Mapping[str, Any]) -> bool:
        """Are scores that were stored with these words the metric's? Where one is missing it is taken for that."""
        return all(stored.get(name) in (None, value) for name, value in self.scored_by.items())

    def scored_before(self, stored: Mapping[str, Any]) -> str:
        """In words, the other metric that such scores are by."""
        name = str(stored["metric"])
        return f"another {name}" if name == self.metric.name else name

    def decode(self, probabilities: np.ndarray) -> np.ndarray:
        """Labels uint8 (N, ...), of more than 256 classes int32, from probabilities (N, C, ...); an unscored class is
        never predicted.
        """
        return decode(probabilities, self.scored)

    def decide(self, values: np.ndarray, decisions: Decisions = PLAIN) -> np.ndarray:
        """What the metric needs of a network's values (N, channels, ...)."""
        return decide(self.task, self.metric, values, self.scored, decisions)

    def prediction(
        self,
        images: np.ndarray,
        ids: np.ndarray,
        stored: np.ndarray,
        decisions: Decisions = PLAIN,
        known: tuple[np.ndarray, np.ndarray] | None = None,
        **more: Any,
    ) -> Prediction:
        """What a submission of a file is made from, of values (M, channels, ...) as they are stored.

        known: rows and targets of images whose answer is known; more: other fields of `Prediction`.
        """
        labels, margins = NONE, None
        if self.task.exclusive:
            labels, margins = likeliest_labels(self.task, self.scored, stored, known)
        made = Prediction(images, ids, labels, (), margins=margins, stored=stored, known=known, task=self.task)
        if self.task.exclusive and self.metric.needs == "labels":
            return replace(made, **more)
        answer = answer_of(self.task, self.metric, self.scored, stored, decisions, known)
        return replace(made, answered=answer, **more)

    def tally(self, truth: np.ndarray, values: np.ndarray, decisions: Decisions = PLAIN) -> Tally:
        """What the metric counts of targets (N, ...) and a network's values (N, channels, ...), one row per sample."""
        return self.metric.tally(self.task, truth, self.decide(values, decisions), self.scored)

    def tally_of(self, arrays: Mapping[str, np.ndarray]) -> Tally:
        """A stored one."""
        return self.metric.tally_of(arrays, self.scored)

    def better(self, one: float, other: float) -> bool:
        """Is one score better than another?"""
        return self.metric.sign * one > self.metric.sign * other


def by_argmax(competition: Competition) -> bool:
    """Does the score follow from which one of several classes is the likeliest?"""
    return competition.task.exclusive and isinstance(competition.metric, ConfusionMetric)


def by_matrix(competition: Competition) -> bool:
    """Does it, and are classes so few that samples are counted in confusion matrices?"""
    metric = competition.metric
    return by_argmax(competition) and not metric.without_matrices(competition.task)  # type: ignore[attr-defined]


def load_competition(folder: str | Path) -> Competition:
    """Import the package at `folder`, or the one that a name such as `mars` finds, and return its `competition`.

    Raises UserError if there is none, or if its code fails.
    """
    path = folder_of(folder).resolve()
    with others_code(f"the competition {folder} can't be read", path):
        module: Any = _module_at(path)
    if not isinstance(getattr(module, "competition", None), Competition):
        raise UserError(f"{path / '__init__.py'} defines no `competition = Competition(…)`")
    competition: Competition = module.competition
    return competition


def _module_at(path: Path) -> ModuleType:
    """The package in a folder, as `import competitions.mars` has it, whatever other folders have one of that name."""
    name, file, root = f"{path.parent.name}.{path.name}", path / "__init__.py", str(path.parent.parent)
    known = sys.modules.get(name)
    if known is not None and known.__file__ and Path(known.__file__).resolve() == file:
        return known
    for other in [other for other in sys.modules if other == name or other.startswith(f"{name}.")]:
        del sys.modules[other]
    if root not in sys.path:
        sys.path.insert(0, root)
    importlib.invalidate_caches()
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=[str(path)])
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def choose_recipe(
    competition: Competition, recipe: "Recipe | str | None", assignments: Sequence[str], seed: int = 0
) -> "Recipe":
    """A recipe, one of the competition's by name (None: its first), or one in a file such as a search's `best.recipe`.

    assignments: fields as on the command line, `optimizer.lr=1e-3`. A seed of 0 leaves the recipe its own. UserError
    for a name that is neither, a field that doesn't fit, or a recipe against the rules.
    """
    from toolkit.recipe import Pseudo, Recipe, override

    named = recipe if isinstance(recipe, Recipe) else named_recipe(competition, recipe)
    chosen = override(replace(named, seed=seed or named.seed), assignments)
    competition.check(chosen)
    return chosen if chosen.pseudo.rounds else replace(chosen, pseudo=Pseudo())


def named_recipe(competition: Competition, name: str | None) -> "Recipe":
    """One of the competition's recipes, one that was saved, or that in a file; UserError for neither."""
    from toolkit.recipe import read_recipe
    from toolkit.saved_recipes import saved_in

    if name is None or name in competition.recipes:
        return competition.recipes[name or next(iter(competition.recipes))]
    saved = saved_in(competition.folder)
    path = saved.get(name) or Path(name)
    if not path.is_file():
        known = ", ".join([*competition.recipes, *saved])
        near = get_close_matches(name, [*competition.recipes, *saved], 1)
        hint = f"did you mean {near[0]}? There are" if near else "there are"
        raise UserError(f"{competition.name} has no recipe {name!r}, nor is it a file; {hint} {known}")
    return read_recipe(path)
