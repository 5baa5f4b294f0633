"""From values to what is handed in."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolkit.decisions.decide import Decisions, above, decide, grades, likeliest, packed, unpacked
from toolkit.metrics.labels import LabelF1
from toolkit.metrics.lists import PAD
from toolkit.metrics.masks import MeanDice
from toolkit.metrics.organisers import from_function
from toolkit.task import UNKNOWN, Classification, Heads, Labels, OverlappingMasks
from toolkit.top_k import highest

SHAPE = (4, 4, 3)
VALUES = arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 9)),
    elements=st.one_of(st.sampled_from([0.0, -0.0, 0.5]), st.floats(-2, 2, width=32)),
)


@given(VALUES, st.integers(1, 9))
def test_the_highest_are_those_of_a_stable_sort(values: np.ndarray, length: int) -> None:
    length = min(length, values.shape[1])
    assert highest(values, length).tolist() == np.argsort(-values, axis=1, kind="stable")[:, :length].tolist()


def test_somebody_new_is_listed_before_whoever_is_not_likelier() -> None:
    values = np.array([[0.2, 0.5, 0.3]], np.float32)
    assert likeliest(values, 3, None).tolist() == [[1, 2, 0]]
    assert likeliest(values, 3, 0.4).tolist() == [[1, UNKNOWN, 2]]
    assert likeliest(values, 2, float(np.float32(0.3))).tolist() == [[1, UNKNOWN]]
    assert likeliest(values, 6, 0.0).tolist() == [[1, 2, 0, UNKNOWN, PAD, PAD]]


def test_a_cut_belongs_to_the_grade_above_it() -> None:
    assert grades(np.array([0.4, 0.5, 1.4, 1.5]), None, 3).tolist() == [0, 1, 1, 2]
    assert grades(np.array([0.4, 0.5, 1.4, 1.5]), (0.4, 0.4), 3).tolist() == [2, 2, 2, 2]


def test_a_threshold_belongs_to_what_is_given() -> None:
    task = Labels(("cat", "dog"), SHAPE)
    values = np.array([[0.3, 0.3]], np.float32)
    given_labels = decide(task, LabelF1(), values, (0, 1), Decisions(thresholds=(0.3, 0.31)))
    assert given_labels.tolist() == [[1, 0]] and given_labels.dtype == np.int8
    assert above(values, None).tolist() == [[False, False]]


def test_masks_smaller_than_the_smallest_are_left_empty() -> None:
    task = OverlappingMasks(("cat", "dog"), SHAPE)
    values = np.zeros((1, 2, 2, 2), np.float32)
    values[0, 0, 0] = 0.9
    values[0, 1] = 0.9
    masks = decide(task, MeanDice(), values, (0, 1))
    assert masks.tolist() == [[[3, 3], [2, 2]]] and masks.dtype == np.uint8
    assert decide(task, MeanDice(), values, (0, 1), Decisions(smallest=(3, 4))).tolist() == [[[2, 2], [2, 2]]]


@given(arrays(np.bool_, st.tuples(st.integers(1, 3), st.integers(1, 7), st.just(2), st.just(3))))
def test_packed_masks_are_unpacked_again(masks: np.ndarray) -> None:
    assert (unpacked(packed(masks), masks.shape[1]) == masks).all()


def test_an_organisers_function_gets_rows_whose_sum_is_one() -> None:
    """They check it, to 1e-8 and more closely, where values in 16 bits miss it."""
    task, values = Classification(("a", "b", "c"), SHAPE), np.array([[0.1, 0.2, 0.6997], [0, 0.5, 0.5001]], np.float32)
    metric = from_function(lambda truth, said: 0.0, needs="values", lower_is_better=True)
    said = decide(task, metric, values, (0, 1, 2))
    assert said.dtype == np.float64 and np.abs(said.sum(1) - 1).max() < 1e-12
    heads = Heads((("x", ("a", "b")), ("y", ("c", "d"))), SHAPE)
    values = np.array([[0.3, 0.6999, 0.2, 0.8002]], np.float32)
    said = decide(heads, metric, values, ())
    assert np.abs(said.reshape(2, 2).sum(1) - 1).max() < 1e-12
