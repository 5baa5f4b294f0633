"""What a run or a blend says of its predictions, and what it is most surely wrong about."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.tiny import competition as tiny
from tests.tiny import labelled
from tests.tiny_metrics import RootMeanSquare
from toolkit import Competition, Run
from toolkit.probabilities import value_type, write_probabilities
from toolkit.runs import best_run
from toolkit.store import write_json, write_manifest
from toolkit.task import Classification, Grades, Heads, Labels, Numbers, OverlappingMasks, Task


def predicted(
    competition: Competition, folder: Path, values: np.ndarray, targets: np.ndarray, fold: np.ndarray | None = None
) -> Run:
    """A run that predicts `values` (N, C, ...) of black images out of fold; row n of the raw file is 100 + n."""
    fold = np.zeros(len(targets), np.int64) if fold is None else fold
    made = labelled(targets, fold, of=competition, root=folder)
    ids = 100 + made.ids
    run = Run(folder / "run", replace(made, ids=ids, names=ids.astype(str)))
    write_probabilities(run.oof_path, [values], values.shape, value_type(competition.task))
    return run


def test_the_worst_mistakes_are_sure_and_wrong_and_in_a_fold(blood_cells: Competition, tmp_path: Path) -> None:
    values = np.full((5, 8), 0.01, np.float32)
    for row, (label, sure) in enumerate([(0, 0.9), (1, 0.6), (1, 0.8), (1, 0.99), (0, 0.95)]):
        values[row, label] = sure
    fold = np.array([0, 0, 1, -1, 1])  # row 3 was left out
    run = predicted(blood_cells, tmp_path, values, np.zeros(5, np.int64), fold)
    found = run.mistakes()
    assert found["row"].tolist() == [2, 1] and found["index"].tolist() == [102, 101]
    assert found["certainty"][0] == pytest.approx(0.8, abs=1e-3)
    assert found[["truth", "predicted"]].to_numpy().tolist() == [["basophil", "eosinophil"]] * 2
    assert repr(run) == "Run(run, not finished)" and run.test is None


def test_of_masks_the_share_of_surely_wrong_pixels_counts_and_unscored_ones_do_not(
    mars: Competition, tmp_path: Path
) -> None:
    values = np.zeros((3, 5, 2, 2), np.float32)
    values[:, 1] = 0.75
    targets = np.array([[[1, 1], [1, 2]], [[1, 0], [0, 255]], [[2, 3], [1, 1]]], np.uint8)
    found = predicted(mars, tmp_path, values, targets).mistakes()
    assert found["row"].tolist() == [2, 0] and found["certainty"].tolist() == pytest.approx([0.75 / 2, 0.75 / 4])
    assert "truth" not in found


def of_kind(task: Task, folder: Path, values: list[object], targets: np.ndarray) -> tuple[list[int], pd.DataFrame]:
    run = predicted(replace(tiny, task=task, metric=RootMeanSquare()), folder, np.array(values, np.float32), targets)
    found = run.mistakes()
    return found["row"].tolist(), found


def test_numbers_are_worst_where_they_are_farthest_in_standard_deviations(tmp_path: Path) -> None:
    task = Numbers(("angle", "size"), (8, 8, 3))
    targets = np.array([[10, 0.1], [20, 0.2], [30, np.nan]], np.float32)
    rows, found = of_kind(task, tmp_path, [[11, 0.1], [20, 0.1], [30, 5]], targets)
    assert rows == [1, 0]  # .1 of size is much, 1 degree is little; a missing number is no mistake
    assert found["truth"][0] == "angle 20, size 0.2" and found["predicted"][0] == "angle 20, size 0.1"
    assert found["loss"][0] == pytest.approx(0.1 / 0.05 / 2, rel=1e-5)


def test_labels_are_worst_where_the_truth_was_least_expected(tmp_path: Path) -> None:
    task = Labels(("cat", "dog"), (8, 8, 3))
    targets = np.array([[1, 0], [1, -1], [0, 0]], np.int8)
    rows, found = of_kind(task, tmp_path, [[0.9, 0.1], [0.1, 0.0], [0.2, 0.6]], targets)
    assert rows == [1, 2, 0]
    assert found["truth"].tolist() == ["cat, dog?", "none", "cat"]
    assert found["predicted"].tolist() == ["none", "dog", "cat"]
    assert found["loss"][0] == pytest.approx(-np.log(0.1), abs=1e-3)


def test_grades_and_heads_are_told_by_their_names(tmp_path: Path) -> None:
    grades = Grades(("none", "mild", "severe"), (8, 8, 3))
    rows, found = of_kind(grades, tmp_path / "grades", [[0.9, 0.8], [0.9, 0.1]], np.array([0, 1]))
    assert rows == [0, 1] and found["loss"][0] == pytest.approx(1.7, abs=1e-3)
    assert (found["truth"][0], found["predicted"][0]) == ("none", "severe")
    heads = Heads((("root", ("a", "b")), ("vowel", ("x", "y"))), (8, 8, 3))
    targets = np.array([[0, 1], [1, -1]])
    rows, found = of_kind(heads, tmp_path / "heads", [[0.9, 0.1, 0.9, 0.1], [0.2, 0.8, 0.5, 0.5]], targets)
    assert rows == [0, 1]
    assert found["truth"].tolist() == ["root a, vowel y", "root b, vowel ?"]
    assert found["predicted"].tolist() == ["root a, vowel x", "root b, vowel x"]


def test_overlapping_masks_are_worst_where_most_of_their_pixels_are_wrong(tmp_path: Path) -> None:
    values = np.zeros((2, 2, 2, 2), np.float32)
    values[0, 0], values[1, 1, 0, 0] = 1, 1
    targets = np.array([[[0b11, 0b01], [0b01, 0b01]], [[0b00, 0b00], [255, 255]]], np.uint8)
    rows, found = of_kind(OverlappingMasks(("lesion", "vessel"), (2, 2, 3)), tmp_path, list(values), targets)
    assert rows == [1, 0] and found["loss"].tolist() == pytest.approx([1 / 4, 1 / 8])


def test_an_unknown_identity_that_was_called_somebody_is_a_mistake(tmp_path: Path) -> None:
    task = Classification(("anna", "bert"), (8, 8, 3), unknown="new")
    rows, found = of_kind(task, tmp_path, [[0.9, 0.1], [0.6, 0.4]], np.array([-1, 1]))
    assert rows == [0, 1] and found["truth"].tolist() == ["new", "bert"]


def test_of_errors_the_lower_one_is_the_better_run(tmp_path: Path) -> None:
    of = replace(tiny, task=Numbers(("angle",), (8, 8, 3)), metric=RootMeanSquare())
    runs = []
    for name, score in (("far", 17.8312), ("near", 3.5)):
        made = Run(tmp_path / name, labelled(np.zeros((4, 1), np.float32), np.arange(4) % 2, of=of, root=tmp_path))
        write_json(made.metrics_path, {"clean": {"score": score}})
        write_manifest(made.folder, {})
        made.store_recipe(replace(next(iter(of.recipes.values())), name=name))
        runs.append(made)
    assert best_run(runs) == runs[1] and runs[1].merit == -3.5
    assert repr(runs[0]) == "Run(far, 17.8312)"


def test_a_run_is_better_by_the_mean_of_its_score_and_of_that_on_images_as_the_test_may_have_them(
    tmp_path: Path,
) -> None:
    run = predicted(tiny, tmp_path, np.full((2, 3), 1 / 3), np.zeros(2, np.int64))
    sign = run.labelled.competition.metric.sign
    known = {"clean": {"score": 0.8}, "stress": {"score": 0.4}, "matched": {"score": 0.6}}
    for further, expected in (({}, 0.7), ({"matched": None}, 0.6), ({"matched": None, "stress": None}, 0.8)):
        write_json(run.metrics_path, known | further)
        assert sign * run.merit_on_tests == pytest.approx(expected)
