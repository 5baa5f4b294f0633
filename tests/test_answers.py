"""What is handed in follows from stored values: tidy probabilities, known answers, and what a file may differ by."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from competitions.blood_cells import competition as blood_cells
from tests.small import NAMES
from toolkit.answers import answer_of, differences, likeliest_labels, misfit, tidy_values, values_of
from toolkit.competition import Competition
from toolkit.decisions.decide import Decisions
from toolkit.errors import UserError
from toolkit.metrics.masks import MeanDice
from toolkit.submission.doubts import doubts, said
from toolkit.submission.grading import answers_tally, truth_array
from toolkit.task import IGNORED, Classification, Heads, Labels, Numbers, OverlappingMasks, Segmentation

SHAPE = (2, 2, 1)
CLASSES = Classification(("a", "b", "c"), SHAPE)


def small(name: str) -> Competition:
    made: Competition = importlib.import_module(f"tests.small.{name}").competition
    return made


@given(arrays.arrays(np.float16, (5, 3), elements=st.floats(0, 1, width=16)))
def test_probabilities_of_classes_sum_to_one_and_keep_their_order(stored: np.ndarray) -> None:
    made = tidy_values(CLASSES, stored)
    held = stored.any(1)
    assert made.dtype == np.float64 and np.allclose(made[held].sum(1), 1, rtol=0, atol=1e-15)
    assert (made >= 0).all() and (made <= 1).all() and (made.argmax(1) == stored.argmax(1)).all()


def test_each_head_sums_to_one_and_labels_and_numbers_stay_as_they_are() -> None:
    heads = Heads((("x", ("a", "b")), ("y", ("a", "b"))), SHAPE)
    assert tidy_values(heads, np.array([[0.2, 0.2, 1.5, 0.5]])).tolist() == [[0.5, 0.5, 2 / 3, 1 / 3]]
    assert tidy_values(Labels(("a", "b"), SHAPE), np.array([[0.25, 1.25]])).tolist() == [[0.25, 1]]
    assert tidy_values(Numbers(("a", "b"), SHAPE), np.array([[-3, 1e6]])).tolist() == [[-3, 1e6]]


@pytest.mark.parametrize("name", NAMES)
def test_a_network_that_knows_everything_scores_best_and_known_answers_take_its_place(
    name: str, tmp_path: Path
) -> None:
    competition = small(name)
    images, targets, _ = importlib.import_module(f"tests.small.{name}").draw(np.random.default_rng(1), 40)
    images, ids = images.astype(np.uint8), np.array([f"{row:04}" for row in range(40)])
    sure, rng = values_of(competition.task, targets), np.random.default_rng(0)
    mist = rng.permutation(sure) if name == "buds" else np.clip(rng.random(sure.shape), 0.05, 0.95).astype(np.float32)
    unknown = Decisions(unknown=0.5)  # where none of them is surer, nobody is
    rows = np.arange(0, 40, 2)
    merits = []
    for stored, known in ((mist, None), (mist, (rows, targets[rows])), (sure, None)):
        prediction = competition.prediction(images, ids, stored, unknown, known, folder=tmp_path)
        competition.write_submission(prediction, tmp_path / "s.csv")
        found = competition.read_submission(tmp_path / "s.csv", images, ids)
        assert not misfit(found, prediction.answer)
        assert not differences(found, prediction.answer, competition.tolerance).any()
        assert prediction.folder == tmp_path and prediction.values.shape == sure.shape
        assert (prediction.margins is not None) == (name in ("nodules", "whales", "berries"))
        merits.append(competition.metric.sign * answers_tally(competition, targets, found).score())
    assert merits[0] < merits[1] < merits[2]


def test_a_decided_answer_has_names_and_values_have_none() -> None:
    retina, buds = small("retina"), small("buds")
    images, ids = np.zeros((2, 16, 16, 3), np.uint8), np.arange(2)
    grades = retina.prediction(images, ids, np.array([[1, 1, 0.2, 0], [0, 0, 0, 0]]))
    assert grades.names == ["2", "0"] and grades.decided is not None and grades.decided.tolist() == [2, 0]
    assert grades.labels.size == 0 and grades.margins is None
    numbers = buds.prediction(images, ids, np.ones((2, 2)))
    assert numbers.decided is None
    with pytest.raises(ValueError, match="isn't one class per image"):
        _ = numbers.names


def test_values_may_differ_by_their_last_digits_and_labels_by_nothing() -> None:
    answer = np.array([[1e-3, 1000.0], [2e-3, 3000.0]])
    assert not differences(answer * (1 + 9e-5), answer, 1e-4).any()
    assert differences(answer * [1, 1 + 5e-4], answer, 1e-4).tolist() == [[False, True], [False, True]]
    assert differences(np.zeros((2, 2)), answer, 1e-4).all()  # small numbers are no less exact than large ones
    assert differences(np.full((2, 2), np.nan), answer, 1e-4).all()
    assert differences(np.array([1, 2]), np.array([1, 3]), 1.0).tolist() == [False, True]
    assert misfit(np.zeros((2, 1)), np.zeros(2)) == "reads back with shape (2, 1), expected (2,)"
    assert "expected values, of type float64" in misfit(np.zeros(2, int), np.zeros(2))


def test_what_is_odd_beside_the_out_of_fold_answers_is_told() -> None:
    scans, buds, nodules = small("scans"), small("buds"), small("nodules")
    rng = np.random.default_rng(0)
    usual = said(buds, [rng.normal(50, 2, (100, 2))])
    assert doubts(buds, said(buds, [rng.normal(50, 2, (30, 2))]), usual) == []
    far = doubts(buds, said(buds, [np.array([[50.0, 60], [50, 61]])]), usual)
    assert far[0] == "every value of 'weight' is 50" and far[1].startswith("the mean of 'length' is 60.5, far from 50")
    same = said(nodules, [np.tile([0.5, 0.5], (20, 1))])
    assert len(doubts(nodules, same, said(nodules, [rng.dirichlet((1, 1), 50)]))) == 2
    assert doubts(scans, said(scans, []), said(scans, [])) == []


@pytest.mark.parametrize(
    ("name", "targets", "reason"),
    [
        ("scans", [[0, 1, 2]], "'mass', row 0 is 2, expected 0, 1, or -1"),
        ("buds", [[1, np.inf]], "'length', row 0 is inf, expected a number"),
        ("glyphs", [[0, 3, 1]], "'vowel', row 0 is 3, expected a class from 0 to 2"),
        ("whales", [0, -2], "row 1 is -2, expected 0 to 7, or -1 for 'new_whale'"),
        ("retina", [0, 5], "label in row 1 has 5, expected values from 0 to 4"),
        ("spots", np.full((1, 16, 16), 4), "is 4, expected 0 to 3"),
        ("scans", [["0", "1", "1"]], "expected numbers"),
    ],
)
def test_a_truth_of_each_kind_is_checked(name: str, targets: object, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        truth_array(small(name).task, np.asarray(targets), "t.npz: targets")


def test_code_is_for_one_label_an_image() -> None:
    scans = small("scans")
    with pytest.raises(ValueError, match="a code submission says one label per image; other outputs"):
        type(scans)(**{**vars(scans), "try_submission": blood_cells.try_submission})


def test_pixels_of_a_known_mask_that_belong_to_nothing_stay_as_predicted() -> None:
    known = (np.array([0]), np.array([[[IGNORED, 2], [0, 1]]], np.uint8))
    stored = np.zeros((1, 2, 2, 2), np.float32)
    stored[0, 0] = 0.75
    masks = OverlappingMasks(("a", "b"), SHAPE)
    assert answer_of(masks, MeanDice().of(masks), (0, 1), stored, known=known).tolist() == [[[1, 2], [0, 1]]]
    assert tidy_values(masks, stored, known)[0, :, 0].tolist() == [[0.75, 0], [0, 1]]
    classes = Segmentation(("a", "b"), SHAPE)
    given = (known[0], np.array([[[IGNORED, 0], [0, 1]]], np.uint8))
    assert likeliest_labels(classes, (0, 1), stored, given)[0].tolist() == [[[0, 0], [0, 1]]]
