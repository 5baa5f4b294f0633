"""Out-of-fold predictions are stored as small as the metric allows and scored as they would be by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from competitions.blood_cells import competition as blood_cells
from competitions.mars import competition as mars
from toolkit.competition import Competition
from toolkit.data.folds import LEFT_OUT
from toolkit.metrics import confusion_matrix
from toolkit.probabilities import open_probabilities, probabilities, write_probabilities
from toolkit.scoring import out_of_fold as oof
from toolkit.scoring.out_of_fold import finished_runs, score, write_oof
from toolkit.store import write_manifest

SAMPLES = 60
FOLD = np.array([0, 1, 2, LEFT_OUT, 1] * 12)
FOLDS = pd.DataFrame({"index": np.arange(SAMPLES), "fold": FOLD, "group": np.arange(SAMPLES) // 2})


def predicted(competition: Competition) -> tuple[np.ndarray, np.ndarray]:
    """Targets and probabilities that are better than chance, for masks of 4x4 pixels."""
    random = np.random.default_rng(0)
    classes = len(competition.task.classes)
    pixels = (4, 4) if competition is mars else ()
    targets = random.integers(classes, size=(SAMPLES, *pixels))
    values = random.random((SAMPLES, classes, *pixels))
    values += 0.7 * (targets[:, None] == np.arange(classes).reshape(-1, *[1] * len(pixels)))
    values[:, [c for c in range(classes) if c not in competition.scored]] = 0
    return targets, (values / values.sum(1, keepdims=True)).astype(np.float32)


def by_hand(competition: Competition, targets: np.ndarray, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return confusion_matrix(targets[rows], competition.decode(values[rows]), len(competition.task.classes))


def test_the_score_and_its_parts_are_those_computed_by_hand(competition: Competition) -> None:
    targets, values = predicted(competition)
    result = score(competition, targets, FOLDS, values)
    confusion = by_hand(competition, targets, values, FOLD != LEFT_OUT)
    assert result["score"] == pytest.approx(competition.score(confusion))
    assert result["low"] < result["score"] < result["high"]
    folds = [competition.score(by_hand(competition, targets, values, FOLDS["fold"].to_numpy() == k)) for k in range(3)]
    assert result["by_fold"] == pytest.approx(folds)
    assert list(result["by_class"]) == [competition.task.classes[i] for i in competition.scored]


def test_the_recall_of_each_class_is_shown_for_accuracy() -> None:
    targets, values = predicted(blood_cells)
    result = score(blood_cells, targets, FOLDS, values)
    kept = FOLD != LEFT_OUT
    right = blood_cells.decode(values) == targets
    recall = [right[kept & (targets == i)].mean() for i in range(8)]
    assert list(result["by_class"].values()) == pytest.approx(recall)
    assert "readings" not in result


def test_the_score_of_masks_is_the_mean_over_the_classes_that_are_shown() -> None:
    targets, values = predicted(mars)
    result = score(mars, targets, FOLDS, values)
    assert np.mean(list(result["by_class"].values())) == pytest.approx(result["score"])
    readings = mars.metric.readings(by_hand(mars, targets, values, FOLD != LEFT_OUT), mars.scored)  # type: ignore[union-attr]
    assert result["readings"] == pytest.approx(readings)
    assert readings["kept"] < readings["strict"] == readings["keras"]


def test_samples_that_were_left_out_never_count(competition: Competition) -> None:
    targets, values = predicted(competition)
    other_targets, other_values = targets.copy(), values.copy()
    other_targets[FOLD == LEFT_OUT], other_values[FOLD == LEFT_OUT] = 1, 0
    assert score(competition, targets, FOLDS, values) == score(competition, other_targets, FOLDS, other_values)


def test_the_size_of_a_chunk_changes_nothing(
    competition: Competition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets, values = predicted(competition)
    whole = write_oof(tmp_path / "whole.npy", values, competition, targets, FOLDS)
    monkeypatch.setattr(oof, "CHUNK", 7)
    assert write_oof(tmp_path / "parts.npy", values, competition, targets, FOLDS) == whole
    assert (tmp_path / "parts.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_masks_take_a_byte_a_value_and_labels_two(tmp_path: Path) -> None:
    for competition, stored in ((mars, np.uint8), (blood_cells, np.float16)):
        targets, values = predicted(competition)
        values = np.rint(4 * values) / 4  # not close to a tie
        returned = write_oof(tmp_path / "oof.npy", values, competition, targets, FOLDS)
        opened = open_probabilities(tmp_path / "oof.npy")
        assert opened.dtype == stored and isinstance(opened, np.memmap)
        assert returned == score(competition, targets, FOLDS, opened)
        assert returned["score"] == pytest.approx(score(competition, targets, FOLDS, values)["score"], abs=1e-4)


def test_masks_take_two_bytes_where_one_would_change_the_score(tmp_path: Path) -> None:
    targets = np.full((SAMPLES, 4, 4), 2)
    values = np.zeros((SAMPLES, 5, 4, 4), np.float32)
    values[:, 1], values[:, 2] = 0.4985, 0.4995  # both are 127 of 255
    assert write_oof(tmp_path / "oof.npy", values, mars, targets, FOLDS)["score"] == 1
    assert open_probabilities(tmp_path / "oof.npy").dtype == np.float16


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.sampled_from([np.uint8, np.float16]))
@settings(max_examples=30, deadline=None)
def test_what_is_written_in_parts_comes_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], dtype: type
) -> None:
    values = np.random.default_rng(0).random((sum(sizes), 3, 2)).astype(np.float32)
    values[0, :, 0] = 0, 0.5, 1
    path = tmp_path_factory.mktemp("parts") / "oof.npy"
    write_probabilities(path, np.split(values, np.cumsum(sizes)[:-1]), values.shape, dtype)
    stored = open_probabilities(path)
    assert stored.dtype == dtype and stored.shape == values.shape
    back = probabilities(stored)
    assert back.dtype == np.float32 and np.abs(back - values).max() <= 0.501 / 255
    assert back[0, 0, 0] == 0 and back[0, 2, 0] == 1


def test_only_finished_runs_on_the_same_data_and_folds_are_found(tmp_path: Path) -> None:
    for name, data, folds in (("b", "d", "f"), ("a", "d", "f"), ("other data", "e", "f"), ("other folds", "d", "g")):
        write_manifest(tmp_path / name, {"data": data, "folds": folds})
    (tmp_path / "unfinished").mkdir()
    assert [run.name for run in finished_runs(tmp_path, "d", "f")] == ["a", "b"]
    assert finished_runs(tmp_path / "nowhere", "d", "f") == []
