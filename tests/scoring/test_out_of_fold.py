"""Out-of-fold predictions are stored as small as the metric allows and scored as they would be by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from competitions.blood_cells import competition as blood_cells
from competitions.mars import competition as mars
from tests.tiny import labelled
from toolkit import Competition, Labelled
from toolkit.data.folds import LEFT_OUT
from toolkit.metrics.confusion import MeanIoU, confusion_matrix
from toolkit.probabilities import open_probabilities
from toolkit.scoring.out_of_fold import score, write_oof

SAMPLES = 60
FOLD = np.array([0, 1, 2, LEFT_OUT, 1] * 12)


def predicted(of: Competition) -> tuple[Labelled, np.ndarray]:
    """Samples and probabilities that are better than chance, masks of 4x4 pixels."""
    rng = np.random.default_rng(0)
    classes = len(of.task.classes)
    pixels = (4, 4) if of is mars else ()
    targets = rng.integers(classes, size=(SAMPLES, *pixels))
    values = rng.random((SAMPLES, classes, *pixels))
    values += 0.7 * (targets[:, None] == np.arange(classes).reshape(-1, *[1] * len(pixels)))
    values[:, [c for c in range(classes) if c not in of.scored]] = 0
    given = labelled(targets, FOLD, of=of, group=np.arange(SAMPLES) // 2)
    return given, (values / values.sum(1, keepdims=True)).astype(np.float32)


def by_hand(given: Labelled, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    competition = given.competition
    return confusion_matrix(given.targets[rows], competition.decode(values[rows]), len(competition.task.classes))


def test_the_score_and_its_parts_are_those_computed_by_hand(competition: Competition) -> None:
    given, values = predicted(competition)
    result = score(given, values)
    assert result["score"] == pytest.approx(competition.score(by_hand(given, values, given.inside)))
    assert result["low"] < result["score"] < result["high"]
    by_fold = [by_hand(given, values, given.rows(k)) for k in range(3)]
    assert result["by_fold"] == pytest.approx([competition.score(confusion) for confusion in by_fold])
    assert list(result["by_class"]) == [competition.task.classes[i] for i in competition.scored]


def test_the_recall_of_each_class_is_shown_for_accuracy() -> None:
    given, values = predicted(blood_cells)
    result = score(given, values)
    right = blood_cells.decode(values) == given.targets
    recall = [right[given.inside & (given.targets == i)].mean() for i in range(8)]
    assert list(result["by_class"].values()) == pytest.approx(recall)
    assert "readings" not in result


def test_the_score_of_masks_is_the_mean_over_the_classes_that_are_shown() -> None:
    given, values = predicted(mars)
    result = score(given, values)
    assert np.mean(list(result["by_class"].values())) == pytest.approx(result["score"])
    assert isinstance(mars.metric, MeanIoU)
    readings = mars.metric.readings(by_hand(given, values, given.inside), mars.scored)
    assert result["readings"] == pytest.approx(readings)
    assert readings["kept"] < readings["strict"] == readings["keras"]


def test_samples_that_were_left_out_never_count(competition: Competition) -> None:
    given, values = predicted(competition)
    targets, others = given.targets.copy(), values.copy()
    targets[~given.inside], others[~given.inside] = 1, 0
    assert score(given, values) == score(replace(given, truth=targets), others)


def test_the_size_of_a_chunk_changes_nothing(
    competition: Competition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, values = predicted(competition)
    whole = write_oof(tmp_path / "whole.npy", values, given)
    monkeypatch.setattr("toolkit.probabilities.CHUNK", 7)
    assert write_oof(tmp_path / "parts.npy", values, given) == whole
    assert (tmp_path / "parts.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_masks_take_a_byte_a_value_and_labels_two(tmp_path: Path) -> None:
    for competition, stored in ((mars, np.uint8), (blood_cells, np.float16)):
        given, values = predicted(competition)
        values = np.rint(4 * values) / 4  # not close to a tie
        returned = write_oof(tmp_path / "oof.npy", values, given)
        opened = open_probabilities(tmp_path / "oof.npy")
        assert opened.dtype == stored and isinstance(opened, np.memmap)
        assert returned == score(given, opened)
        assert returned["score"] == pytest.approx(score(given, values)["score"], abs=1e-4)


def test_masks_take_two_bytes_where_one_would_change_the_score(tmp_path: Path) -> None:
    given = labelled(np.full((SAMPLES, 4, 4), 2), FOLD, of=mars)
    values = np.zeros((SAMPLES, 5, 4, 4), np.float32)
    values[:, 1], values[:, 2] = 0.4985, 0.4995  # both are 127 of 255
    assert write_oof(tmp_path / "oof.npy", values, given)["score"] == 1
    assert open_probabilities(tmp_path / "oof.npy").dtype == np.float16
