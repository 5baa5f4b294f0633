"""The metrics agree with scikit-learn and torchmetrics where the definitions do, and with figures found by hand.

Where they part, it is over classes that occur neither in truth nor in prediction, and over truth that is not
scored. We leave out both, as the organisers' code does.
"""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import accuracy_score, f1_score, jaccard_score
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassJaccardIndex

from toolkit.metrics.confusion import (
    Accuracy,
    ConfusionMetric,
    MacroF1,
    MeanIoU,
    confusion_by_sample,
    confusion_matrix,
    decode,
)
from toolkit.task import IGNORED, UNKNOWN

CLASSES = 5
ALL = tuple(range(CLASSES))
TERRAIN = (1, 2, 3, 4)  # class 0, the background, is not scored
METRICS: list[ConfusionMetric] = [Accuracy(), MacroF1(), MeanIoU()]
LABELS = arrays.arrays(np.int64, st.tuples(st.just(2), st.integers(1, 24)), elements=st.integers(0, CLASSES - 1))
PROBABILITIES = st.integers(1, 24).flatmap(
    lambda n: st.tuples(
        arrays.arrays(np.int64, n, elements=st.integers(0, CLASSES - 1)),
        arrays.arrays(np.float32, (n, CLASSES), elements=st.floats(0, 1, width=32)),
    )
)


def confusion(labels: np.ndarray) -> np.ndarray:
    return confusion_matrix(labels[0], labels[1], CLASSES)


def occurring(labels: np.ndarray, among: tuple[int, ...] = ALL) -> list[int]:
    return sorted(set(labels.ravel().tolist()) & set(among))


def theirs(metric: Any, labels: np.ndarray) -> float:
    truth, predicted = torch.from_numpy(labels)
    return float(metric(predicted, truth))


def matrix(**moved: int) -> np.ndarray:
    """Masks that are perfect, 100 pixels of each class, but for so many that went from a class to another."""
    made = np.diag([100] * CLASSES)
    for way, pixels in moved.items():
        truth, predicted = int(way[1]), int(way[3])
        made[truth, truth] -= pixels
        made[truth, predicted] += pixels
    return made


def test_rows_are_the_truth_and_columns_the_prediction() -> None:
    counts = confusion_matrix(np.array([[1, 1], [1, 4]]), np.array([[2, 2], [1, 0]]), CLASSES)
    assert counts.dtype == np.int64 and counts.sum() == 4
    assert counts[1, 2] == 2 and counts[1, 1] == 1 and counts[4, 0] == 1


@given(LABELS)
def test_a_sample_s_matrices_add_up_to_the_whole_set_s(labels: np.ndarray) -> None:
    each = confusion_by_sample(labels[0], labels[1], CLASSES)
    assert each.shape == (labels.shape[1], CLASSES, CLASSES) and (each.sum((1, 2)) == 1).all()
    assert (each.sum(0) == confusion(labels)).all()
    as_masks = confusion_by_sample(labels[0].reshape(1, -1, 1), labels[1].reshape(1, -1, 1), CLASSES)
    assert (as_masks[0] == confusion(labels)).all()


def test_pixels_of_no_class_are_left_out_of_the_sample_they_are_in() -> None:
    truth = np.array([[[0, IGNORED]], [[IGNORED, IGNORED]], [[4, 4]]], np.uint8)
    predicted = np.array([[[0, 4]], [[1, 2]], [[4, 3]]], np.uint8)
    counts = confusion_by_sample(truth, predicted, CLASSES)
    assert counts.sum((1, 2)).tolist() == [1, 0, 2]
    assert counts[0, 0, 0] == counts[2, 4, 4] == counts[2, 4, 3] == 1


def test_an_unknown_truth_is_left_out_and_no_other_sample_s() -> None:
    found = confusion_by_sample(np.array([UNKNOWN, 1, UNKNOWN]), np.array([0, 1, 2]), 3)
    assert found.sum((1, 2)).tolist() == [0, 1, 0] and found[1, 1, 1] == 1


def test_truth_and_prediction_must_have_one_shape() -> None:
    with pytest.raises(ValueError, match=r"truth has shape .*\(2, 3\).*\(2, 4\)"):
        confusion_by_sample(np.zeros((2, 3), int), np.zeros((2, 4), int), CLASSES)


@given(LABELS)
def test_accuracy_is_scikit_learn_s_and_torchmetrics_micro(labels: np.ndarray) -> None:
    score = Accuracy().of_counts(confusion(labels), ALL)
    assert score == pytest.approx(accuracy_score(*labels))
    # its default average is macro, the mean recall of the classes; the competition counts samples
    assert score == pytest.approx(theirs(MulticlassAccuracy(CLASSES, average="micro"), labels), abs=1e-6)


@given(LABELS)
def test_accuracy_leaves_out_truth_that_is_not_scored(labels: np.ndarray) -> None:
    kept = labels[:, labels[0] != 0]
    assume(kept.size)
    score = Accuracy().of_counts(confusion(labels), TERRAIN)
    assert score == pytest.approx(accuracy_score(*kept))
    micro = MulticlassAccuracy(CLASSES, average="micro", ignore_index=0)
    assert score == pytest.approx(theirs(micro, labels), abs=1e-6)


@given(LABELS)
def test_accuracy_by_class_is_the_recall(labels: np.ndarray) -> None:
    found = Accuracy().by_class(confusion(labels), ALL)
    assert found is not None
    for name, value in enumerate(found):
        mine = labels[1][labels[0] == name]
        assert np.isnan(value) if not mine.size else value == (mine == name).mean()


@given(LABELS)
def test_macro_f1_is_scikit_learn_s_and_torchmetrics_(labels: np.ndarray) -> None:
    score = MacroF1().of_counts(confusion(labels), ALL)
    # by default scikit-learn gives a class that occurs nowhere, but is in `labels`, a 0
    assert score == pytest.approx(f1_score(*labels, labels=occurring(labels), average="macro"))
    assert score == pytest.approx(f1_score(*labels, labels=ALL, average="macro", zero_division=np.nan))
    assert score == pytest.approx(theirs(MulticlassF1Score(CLASSES, average="macro"), labels), abs=1e-6)


@given(LABELS)
def test_macro_f1_of_some_classes_is_scikit_learn_s_with_labels(labels: np.ndarray) -> None:
    # the truth of a class that is not scored stays here, as a false positive of the others; torchmetrics'
    # ignore_index drops it instead, so the two differ
    among = occurring(labels, TERRAIN)
    expected = f1_score(*labels, labels=among, average="macro") if among else 0
    assert MacroF1().of_counts(confusion(labels), TERRAIN) == pytest.approx(expected)


@given(LABELS)
def test_mean_iou_is_scikit_learn_s_and_torchmetrics_(labels: np.ndarray) -> None:
    score = MeanIoU().of_counts(confusion(labels), ALL)
    # scikit-learn has only 0 or 1 for a class that occurs nowhere, so it gets the others by name
    assert score == pytest.approx(jaccard_score(*labels, labels=occurring(labels), average="macro"))
    assert score == pytest.approx(theirs(MulticlassJaccardIndex(CLASSES), labels), abs=1e-6)


@given(LABELS)
def test_the_strict_reading_is_torchmetrics_ignore_index(labels: np.ndarray) -> None:
    kept = labels[:, labels[0] != 0]
    assume(kept.size)
    score = MeanIoU().of_counts(confusion(labels), TERRAIN)
    assert score == pytest.approx(jaccard_score(*kept, labels=occurring(kept, TERRAIN), average="macro"))
    assert score == pytest.approx(theirs(MulticlassJaccardIndex(CLASSES, ignore_index=0), labels), abs=1e-6)


@given(LABELS)
def test_the_kept_reading_is_scikit_learn_s_with_labels(labels: np.ndarray) -> None:
    among = occurring(labels, TERRAIN)
    expected = jaccard_score(*labels, labels=among, average="macro") if among else 0
    assert MeanIoU().readings(confusion(labels), TERRAIN)["kept"] == pytest.approx(expected)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
@given(labels=LABELS)
def test_many_matrices_are_scored_at_once(metric: ConfusionMetric, labels: np.ndarray) -> None:
    each = confusion_by_sample(labels[0], labels[1], CLASSES)
    together = metric.of_counts(each.reshape(1, -1, CLASSES, CLASSES), TERRAIN)
    assert together.shape == (1, len(each))
    assert together[0].tolist() == [float(metric.of_counts(one, TERRAIN)) for one in each]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_where_nothing_is_scored_the_score_is_zero_and_not_nan(metric: ConfusionMetric) -> None:
    assert metric.of_counts(np.zeros((CLASSES, CLASSES), int), ALL) == 0


def test_a_perfect_mask_is_perfect_in_every_reading() -> None:
    assert MeanIoU().readings(matrix(), TERRAIN) == {"strict": 1, "keras": 1, "kept": 1}


def test_one_background_pixel_on_terrain_costs_a_fifth_in_the_keras_reading() -> None:
    readings = MeanIoU().readings(matrix(t1p0=1), TERRAIN)
    assert readings["strict"] == readings["kept"] == pytest.approx((0.99 + 3) / 4)
    assert readings["keras"] == pytest.approx((0 + 0.99 + 3) / 5)


def test_terrain_predicted_on_background_costs_only_in_the_kept_reading() -> None:
    readings = MeanIoU().readings(matrix(t0p2=100), TERRAIN)
    assert readings["strict"] == readings["keras"] == 1
    assert readings["kept"] == pytest.approx((0.5 + 3) / 4)


def test_the_strict_and_the_keras_reading_agree_where_background_is_never_predicted() -> None:
    wrong = matrix(t1p2=40, t3p4=10, t0p1=30, t0p3=70)
    readings = MeanIoU().readings(wrong, TERRAIN)
    expected = (60 / 100 + 100 / 140 + 90 / 100 + 100 / 110) / 4
    assert readings["strict"] == readings["keras"] == pytest.approx(expected)
    assert readings["kept"] == pytest.approx((60 / 130 + 100 / 140 + 90 / 170 + 100 / 110) / 4)


def test_a_class_that_occurs_nowhere_is_left_out_of_the_mean() -> None:
    no_rock = matrix(t1p2=50)
    no_rock[4, 4] = 0
    readings = MeanIoU().readings(no_rock, TERRAIN)
    assert readings["strict"] == readings["keras"] == readings["kept"] == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    no_rock[1, 4] = 1  # once it is predicted it counts, with nothing right
    assert MeanIoU().of_counts(no_rock, TERRAIN) == pytest.approx((50 / 101 + 2 / 3 + 1 + 0) / 4)


def test_the_score_is_over_the_whole_set_and_not_a_mean_over_images() -> None:
    truth = np.array([[[1, 1, 1, 2]], [[2, 2, 2, 2]]])
    predicted = np.array([[[1, 1, 1, 1]], [[2, 2, 2, 2]]])
    each = confusion_by_sample(truth, predicted, CLASSES)
    assert MeanIoU().of_counts(each.sum(0), TERRAIN) == pytest.approx((3 / 4 + 4 / 5) / 2)
    assert MeanIoU().of_counts(each, TERRAIN).mean() == pytest.approx(((3 / 4 + 0) / 2 + 1) / 2)


@given(PROBABILITIES)
def test_never_predicting_the_background_loses_no_right_pixel(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    truth, probabilities = drawn
    plain = confusion(np.stack([truth, probabilities.argmax(1)]))
    decoded = confusion(np.stack([truth, decode(probabilities, TERRAIN)]))
    assert decoded[:, 0].sum() == 0
    assert (np.diagonal(decoded)[1:] >= np.diagonal(plain)[1:]).all()
    assert Accuracy().of_counts(decoded, TERRAIN) >= Accuracy().of_counts(plain, TERRAIN)


@given(PROBABILITIES)
def test_never_predicting_the_background_makes_two_readings_one(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    truth, probabilities = drawn
    readings = MeanIoU().readings(confusion(np.stack([truth, decode(probabilities, TERRAIN)])), TERRAIN)
    assert readings["strict"] == pytest.approx(readings["keras"])


def test_never_predicting_the_background_gains_where_the_second_guess_is_right() -> None:
    truth = np.array([1, 1, 2, 2])
    probabilities = np.array([[6, 4, 0, 0, 0], [0, 9, 1, 0, 0], [6, 0, 4, 0, 0], [0, 1, 9, 0, 0]])
    plain, decoded = (
        confusion(np.stack([truth, p])) for p in (probabilities.argmax(1), decode(probabilities, TERRAIN))
    )
    assert MeanIoU().readings(plain, TERRAIN)["strict"] == 0.5
    assert MeanIoU().readings(plain, TERRAIN)["keras"] == pytest.approx(1 / 3)
    assert MeanIoU().readings(decoded, TERRAIN)["strict"] == MeanIoU().readings(decoded, TERRAIN)["keras"] == 1


def test_never_predicting_the_background_can_lose_where_the_second_guess_is_wrong() -> None:
    # a pixel given up counts against its own class alone; a wrong guess also against the class it names
    truth = np.array([1, 2])
    probabilities = np.array([[6, 1, 3, 0, 0], [0, 0, 9, 0, 0]])
    plain, decoded = (
        confusion(np.stack([truth, p])) for p in (probabilities.argmax(1), decode(probabilities, TERRAIN))
    )
    assert MeanIoU().of_counts(plain, TERRAIN) == 0.5
    assert MeanIoU().of_counts(decoded, TERRAIN) == 0.25
