"""Examples and bars of classes, for every kind of target."""

import numpy as np
import pytest

from tests import kinds
from tests.kinds import KINDS
from toolkit import Classification
from toolkit.auditing.class_pictures import CLASSES, EXAMPLES, balance_charts, examples, shown_classes
from toolkit.data.targets import holds


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_examples_that_are_what_they_are_called(kind: str) -> None:
    task, targets = KINDS[kind][0], kinds.drawn(kind).targets
    rows = np.arange(10, len(targets))
    found = {name: (count, some) for name, count, some in examples(targets, task, rows)}
    assert all(0 < len(some) <= EXAMPLES and some.min() >= 10 for _, some in found.values())
    if kind in ("numbers", "shares"):
        for at, name in enumerate(task.classes):
            values = targets[found[name][1], at]
            known = targets[rows, at][~np.isnan(targets[rows, at])]
            assert (np.diff(values) >= 0).all() and (values[0], values[-1]) == (known.min(), known.max())
        return
    assert set(found) == {*task.classes, *(["new"] if kind == "identities" else [])}
    held = holds(targets, task)
    for at, name in enumerate(task.classes):
        count, some = found[name]
        assert held[some, at].all() and count == held[rows, at].sum()


def test_of_many_classes_the_largest_the_smallest_and_others_are_shown() -> None:
    counts = np.arange(100)
    shown = shown_classes(counts)
    assert shown[:4] == [99, 98, 97, 96] and shown[-4:] == [4, 3, 2, 1] and len(shown) == len(set(shown)) == CLASSES
    assert shown_classes(np.array([3, 0, 1])) == [0, 2]


@pytest.mark.usefixtures("unpainted")
def test_bars_say_what_is_dropped_and_many_classes_are_a_curve() -> None:
    for kind in KINDS:
        targets = kinds.drawn(kind).targets
        charts = balance_charts(targets, KINDS[kind][0], np.arange(len(targets)) > 1)
        assert len(charts) == (2 if kind == "numbers" else 1)
    assert charts[0].note == "Pale: in the 2 dropped samples."
    many = Classification(tuple(map(str, range(300))), kinds.SHAPE)
    (chart,) = balance_charts(np.arange(300), many, np.ones(300, bool))
    assert chart.note == "300 of 300 classes have images."
