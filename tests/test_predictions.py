"""What a run or a blend says of its predictions, and what it is most surely wrong about."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import labelled
from toolkit import Competition, Run
from toolkit.probabilities import write_probabilities


def predicted(
    competition: Competition, folder: Path, values: np.ndarray, targets: np.ndarray, fold: np.ndarray | None = None
) -> Run:
    """A run that predicts `values` (N, C, ...) of black images out of fold; row n of the raw file is 100 + n."""
    fold = np.zeros(len(targets), np.int64) if fold is None else fold
    made = labelled(targets, fold, of=competition, root=folder)
    run = Run(folder / "run", replace(made, ids=100 + made.ids))
    write_probabilities(run.oof_path, [values], values.shape, np.float16)
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
