"""Organisers' own functions as metrics: taken as they are, in the three shapes that they are published in.

A function that knows no weights is scored under weightings by repeating rows.
"""

import inspect
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import UserError, said_by
from toolkit.metrics.frames import Frame, default_columns, frame_of
from toolkit.metrics.metric import Metric, Needs, WeighedMetric
from toolkit.metrics.tally import Samples, Tally
from toolkit.task import Task

if TYPE_CHECKING:
    import pandas as pd

INFINITE = float("inf")
WEIGHTS = ("weight", "weights", "sample_weight")  # what a function calls them that takes some


@dataclass(frozen=True, kw_only=True)
class Function(WeighedMetric):
    """function(truth, prediction), or with a weight as third, which is then a parameter of that name: -> float.

    It gets arrays: the targets, and what is predicted as it `needs` it. task: that it was made for, see `of`.
    """

    function: Callable[..., float]
    needs: Needs
    lower_is_better: bool
    name: str
    low: float = -INFINITE
    high: float = INFINITE
    task: Task | None = None
    ignore: tuple[str, ...] = ()
    tidy = True  # published functions check it

    def of(self, task: Task) -> Metric:
        super().of(task)
        return replace(self, task=task)

    @property
    def weight(self) -> str | None:
        """The name of its parameter for weights."""
        try:
            known = inspect.signature(self.function).parameters
        except (TypeError, ValueError):  # of some that are compiled
            return None
        return next((name for name in WEIGHTS if name in known), None)

    def call(self, truth: np.ndarray, predicted: np.ndarray, weight: np.ndarray | None) -> float:
        """The function's answer, weight (s,) or None; whatever it raises."""
        more = {} if weight is None or self.weight is None else {self.weight: weight}
        return float(self.function(truth, predicted, **more))

    def checked(self, truth: np.ndarray, predicted: np.ndarray) -> float:
        """Its answer on all rows; UserError, one sentence, for whatever goes wrong in it."""
        try:
            found = self.call(truth, predicted, None)
        except Exception as error:
            said = said_by(error, Path(getattr(sys.modules.get(self.function.__module__), "__file__", None) or "/"))
            raise UserError(f"the metric's function {_named(self.function)} fails: {said}") from error
        if np.isnan(found):
            raise UserError(f"the metric's function {_named(self.function)} gives no number (nan)")
        return found

    def weighted(self, truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """NaN where the function fails: a draw may lack what it needs."""
        found = np.full(len(weights), np.nan)
        for d, row in enumerate(weights):
            if not row.any():  # of no sample many functions answer with a warning
                continue
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of a draw's own gaps, a thousand times
                    if self.weight is not None:
                        found[d] = self.call(truth, predicted, row)
                    else:
                        places = repeated(row)
                        found[d] = self.call(truth[places], predicted[places], None)
            except Exception:
                continue
        return found

    def tally(self, task: Task, truth: np.ndarray, predicted: np.ndarray, scored: tuple[int, ...]) -> Tally:
        bound = self if self.task is not None else self.of(task)
        assert isinstance(bound, Function)
        said = np.asarray(predicted)
        said = said.astype(np.float64) if said.dtype.kind == "f" else said  # as it would be read from a file
        return Called(bound, np.asarray(truth), said, np.arange(len(truth)), len(truth))

    def tally_of(self, arrays: Mapping[str, np.ndarray], scored: tuple[int, ...]) -> Tally:
        return Called(self, arrays["truth"], arrays["predicted"], arrays["row"], int(arrays["rows"]))


@dataclass(frozen=True, eq=False)
class Called(Samples):
    """Samples scored by a function; part: of a part of them it may have no score."""

    part: bool = False

    def __getitem__(self, rows: Any) -> "Samples":
        made = super().__getitem__(rows)
        return replace(made, part=self.part or len(made) < len(self))  # type: ignore[call-arg]

    def as_part(self) -> "Called":
        return replace(self, part=True)

    def score(self) -> float:
        assert isinstance(self.metric, Function)
        if self.part and not len(self.truth):
            return float("nan")
        try:
            return self.metric.checked(self.truth, self.predicted)
        except UserError:
            if not self.part:
                raise
            return float("nan")


def repeated(weights: np.ndarray) -> np.ndarray:
    """Places of rows, each as often as it weighs; weights that are no whole numbers in as many rows as there are.

    Then each row comes as often as it weighs up to one: the cumulated weights are read off at even steps.
    """
    whole = np.round(weights)
    if np.array_equal(whole, weights):
        return np.repeat(np.arange(len(weights)), whole.astype(np.int64))
    ends = np.cumsum(weights)
    steps = (np.arange(len(weights)) + 0.5) / len(weights) * ends[-1]
    return np.minimum(np.searchsorted(ends, steps, side="right"), len(weights) - 1)


@dataclass(frozen=True, kw_only=True)
class FrameFunction(Function):
    """A function of two tables. columns: their names, of all but the rows'; frame: makes a table in another form."""

    row_id_column_name: str = "id"
    columns: tuple[str, ...] = ()
    frame: Frame | None = None
    more: tuple[tuple[str, Any], ...] = ()  # further arguments by name

    def of(self, task: Task) -> Metric:
        if self.frame is None and not self.columns:
            default_columns(task, self.needs)  # says where there are none
        return super().of(task)

    def tables(self, truth: np.ndarray, predicted: np.ndarray) -> "tuple[pd.DataFrame, pd.DataFrame]":
        """The answers and the submission, numbered from 0."""
        assert self.task is not None
        made = []
        for array, is_truth in ((truth, True), (predicted, False)):
            table = (
                frame_of(self.task, self.needs, array, is_truth, self.columns)
                if self.frame is None
                else self.frame(self.task, array, is_truth)
            )
            table.insert(0, self.row_id_column_name, np.arange(len(table)))
            made.append(table)
        return made[0], made[1]

    @property
    def weight(self) -> str | None:
        return None


@dataclass(frozen=True, kw_only=True)
class KaggleScore(FrameFunction):
    """score(solution: DataFrame, submission: DataFrame, row_id_column_name: str, **more) -> float."""

    def call(self, truth: np.ndarray, predicted: np.ndarray, weight: np.ndarray | None) -> float:
        solution, submission = self.tables(truth, predicted)
        return float(self.function(solution, submission, self.row_id_column_name, **dict(self.more)))


@dataclass(frozen=True, kw_only=True)
class KaggleGrade(FrameFunction):
    """grade(submission_df, answers_df, **more) -> float."""

    def call(self, truth: np.ndarray, predicted: np.ndarray, weight: np.ndarray | None) -> float:
        answers, submission = self.tables(truth, predicted)
        return float(self.function(submission, answers, **dict(self.more)))


def _named(function: Callable[..., float]) -> str:
    module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", repr(function))
    return f"{module}.{name}" if module else name


def _checked(function: object, needs: str) -> None:
    if not callable(function):
        raise ValueError(f"{function!r} is no function")
    if needs not in ("labels", "values", "lists"):
        raise ValueError(f"needs is {needs!r}, expected labels, values or lists")


def from_function(
    function: Callable[..., float],
    *,
    needs: Needs,
    lower_is_better: bool,
    name: str = "",
    low: float = -INFINITE,
    high: float = INFINITE,
) -> Function:
    """A function (truth, prediction) or (truth, prediction, weight) as a metric.

    needs: what it takes as prediction (`Metric.needs`); low, high: what no score is below or above.
    """
    _checked(function, needs)
    name = name or getattr(function, "__name__", "score")
    return Function(function=function, needs=needs, lower_is_better=lower_is_better, name=name, low=low, high=high)


def from_score(
    function: Callable[..., float],
    row_id_column_name: str = "id",
    *,
    needs: Needs,
    lower_is_better: bool,
    columns: Sequence[str] = (),
    frame: Frame | None = None,
    name: str = "",
    low: float = -INFINITE,
    high: float = INFINITE,
    **more: Any,
) -> KaggleScore:
    """Kaggle's score(solution, submission, row_id_column_name, **more) as a metric.

    Both tables have one row per sample, and the columns of `toolkit.metrics.frames.frame_of` under the names of the
    task's labels, targets or classes, or `columns`. Where they look otherwise, frame(task, array, is_truth) makes
    them, but for the rows' names.
    """
    _checked(function, needs)
    return KaggleScore(
        function=function,
        needs=needs,
        lower_is_better=lower_is_better,
        name=name or getattr(function, "__name__", "score"),
        low=low,
        high=high,
        row_id_column_name=row_id_column_name,
        columns=tuple(columns),
        frame=frame,
        more=tuple(more.items()),
    )


def from_grade(
    function: Callable[..., float],
    row_id_column_name: str = "id",
    *,
    needs: Needs,
    lower_is_better: bool,
    columns: Sequence[str] = (),
    frame: Frame | None = None,
    name: str = "",
    low: float = -INFINITE,
    high: float = INFINITE,
    **more: Any,
) -> KaggleGrade:
    """grade(submission_df, answers_df, **more) as a metric; otherwise as `from_score`."""
    _checked(function, needs)
    return KaggleGrade(
        function=function,
        needs=needs,
        lower_is_better=lower_is_better,
        name=name or getattr(function, "__name__", "grade"),
        low=low,
        high=high,
        row_id_column_name=row_id_column_name,
        columns=tuple(columns),
        frame=frame,
        more=tuple(more.items()),
    )
