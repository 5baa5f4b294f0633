"""What all metrics have in common: a name, a direction, what they need, and how samples become a score."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, Literal, get_args, get_origin

import numpy as np

from toolkit.errors import listed
from toolkit.metrics.many_classes import ManyClasses
from toolkit.metrics.tally import Counts, Samples, Tally
from toolkit.task import Classification, Task
from toolkit.top_k import ALL

# labels: decided ones, in the form of the targets. values: what the network says, (N, channels, ...): probabilities,
# numbers; of grades the expected one (N,), from 0. lists: places of classes (N, k), the likeliest first, UNKNOWN
# where none of them is likelier
Needs = Literal["labels", "values", "lists"]


class Metric:
    """Base of all metrics, which are frozen dataclasses."""

    name: str
    ignore: tuple[str, ...] = ()  # classes that are not scored
    needs: Needs = "labels"
    tidy: ClassVar[bool] = False  # are values refused of which a row's sum isn't 1 to the last digit?
    lower_is_better: bool = False
    low: float = 0.0  # what no score is below
    high: float = 1.0  # and above; inf: there is no end
    tasks: ClassVar[tuple[type[Task], ...]] = (Task,)  # that it can score

    @property
    def sign(self) -> int:
        """By which a score is multiplied so that more is better."""
        return -1 if self.lower_is_better else 1

    def of(self, task: Task) -> "Metric":
        """As it is for a task. ValueError, one sentence, where it can't score that."""
        if not isinstance(task, self.tasks):
            kinds = " or ".join(one.__name__ for one in self.tasks)
            raise ValueError(f"{type(self).__name__} scores {kinds}, the task is {type(task).__name__}")
        for name, words in _words(self):
            value = getattr(self, name)
            if value not in words:  # it would be taken for another of them
                known = ", ".join(map(repr, words))
                raise ValueError(f"{type(self).__name__} has {name}={value!r}, expected one of {known}")
        classes = len(task.classes)
        if (
            isinstance(task, Classification)
            and classes > ALL
            and self.needs == "values"
            and not hasattr(self, "of_many")
        ):
            raise ValueError(
                f"{self.name} needs all probabilities of all images, which {classes:,} classes have no room for: "
                f"at most {ALL:,} are supported"
            )
        for ignored in self.ignore:
            if ignored not in task.classes:
                raise ValueError(f"the metric ignores {ignored!r}, which is not among {listed(task.classes, repr)}")
        return self

    def tally(self, task: Task, truth: np.ndarray, predicted: np.ndarray, scored: tuple[int, ...]) -> Tally:
        """Of targets (N, ...) and of what is predicted in the form that it `needs`, one row per sample.

        scored: places of the classes that count.
        """
        raise NotImplementedError

    def tally_of(self, arrays: Mapping[str, np.ndarray], scored: tuple[int, ...]) -> Tally:
        """A stored one."""
        metric: Any = self
        if "counts" in arrays:
            return Counts(metric, arrays["counts"], scored)
        samples = arrays["truth"], arrays["predicted"], arrays["row"], int(arrays["rows"])
        if "classes" in arrays:
            return ManyClasses(metric, *samples, int(arrays["classes"]), scored)
        return Samples(metric, *samples)

    def classes(self, task: Task, scored: tuple[int, ...]) -> tuple[str, ...]:
        """Names of what `by_class` of a tally scores."""
        return task.classes


def _words(metric: Any) -> list[tuple[str, tuple[Any, ...]]]:
    """Fields that take one of a few words, and these."""
    if not is_dataclass(metric):
        return []
    kinds: list[tuple[str, Any]] = [(one.name, one.type) for one in fields(metric)]
    return [(name, get_args(kind)) for name, kind in kinds if get_origin(kind) is Literal]


class CountedMetric(Metric):
    """A metric of counts that can be summed over samples."""

    def counts(self, task: Task, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Of each sample, (N, ...)."""
        raise NotImplementedError

    def counts_in_parts(self, task: Task, parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Of one mask, (1, ...), of which truth and prediction (1, rows, W) come a few rows at a time."""
        every = list(parts)
        truth, predicted = (np.concatenate([part[which] for part in every], axis=1) for which in (0, 1))
        return self.counts(task, truth, predicted)

    def of_counts(self, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        """Scores (...) of summed counts (..., the shape of a sample's)."""
        raise NotImplementedError

    def as_in(self, whole: np.ndarray, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        """Scores of parts of a whole, where what a part lacks is taken as in the whole."""
        return self.of_counts(counts, scored)

    def of_held(self, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        """Scores of parts by themselves, where a class without a sample in a part doesn't count (`Tally.by_held`)."""
        return self.of_counts(counts, scored)

    def by_class(self, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray | None:
        """Scores (..., C) of each class or target."""
        return None

    def holds(self, counts: np.ndarray) -> np.ndarray | None:
        """bool (..., C): is there a sample of each class that `by_class` scores?"""
        return None

    def tally(self, task: Task, truth: np.ndarray, predicted: np.ndarray, scored: tuple[int, ...]) -> Tally:
        return Counts(self, self.counts(task, truth, predicted), scored)


class WeighedMetric(Metric):
    """A metric that needs the samples themselves."""

    def weighted(self, truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Scores (D,) with samples counted so often, weights (D, N); NaN where it isn't defined."""
        raise NotImplementedError

    def said_of_held(self, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """What is predicted, less what would count as 0 only because no sample is of it (`Tally.by_held`)."""
        return predicted

    def by_class(self, truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray | None:
        """Scores (D, C) of each class or target."""
        return None

    def holds(self, truth: np.ndarray) -> np.ndarray | None:
        """bool (N, C): which samples are of each class that `by_class` scores."""
        return None

    def tally(self, task: Task, truth: np.ndarray, predicted: np.ndarray, scored: tuple[int, ...]) -> Tally:
        return Samples(self, np.asarray(truth), np.asarray(predicted), np.arange(len(truth)), len(truth))


def metric_of(metric: object, task: Task) -> Metric:
    """A metric as it is for a task. ValueError for what is none, saying how it becomes one."""
    if isinstance(metric, Metric):
        return metric.of(task)
    if callable(metric) and not isinstance(metric, type):
        how = f"pass from_function({getattr(metric, '__name__', 'it')}, needs=…, lower_is_better=…)"
    else:
        how = "make it a CountedMetric or ConfusionMetric (docs/metrics.md), or pass from_function(score, …)"
    raise ValueError(f"{metric!r} is not a metric: {how}")


def scored_of(metric: Metric, task: Task) -> tuple[int, ...]:
    """Places of the classes that the metric doesn't ignore."""
    return tuple(i for i, name in enumerate(task.classes) if name not in metric.ignore)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator; NaN where that is 0: where a class occurs neither in truth nor in prediction."""
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator)
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    return np.divide(numerator, denominator, out=np.full(shape, np.nan), where=denominator > 0)


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is not NaN; 0 where nothing is left."""
    kept = ~np.isnan(values)
    return np.where(kept, values, 0.0).sum(-1) / np.maximum(kept.sum(-1), 1)


def score(
    metric: Metric, task: Task, truth: np.ndarray, predicted: np.ndarray, weight: np.ndarray | None = None
) -> float:
    """The metric of targets (N, ...) and of what is predicted in the form that it needs, samples weighted by (N,).

    On its own, for notebooks and tests; a competition decodes what networks say by itself.
    """
    metric = metric_of(metric, task)
    made = metric.tally(task, truth, predicted, scored_of(metric, task))
    if weight is None:
        return made.score()
    every = np.asarray(weight, np.float64)[None]
    if isinstance(made, Counts):
        return float(made.metric.of_counts(made.weighted(every)[0], made.scored))
    return float(made.scores(every)[0])
