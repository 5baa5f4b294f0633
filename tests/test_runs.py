"""A run says of itself what is in its folder, and what it is most surely wrong about."""

from pathlib import Path

import numpy as np
import pytest

from toolkit.competition import Competition
from toolkit.data.labelled import Labelled
from toolkit.probabilities import write_probabilities
from toolkit.runs import Run
from toolkit.store import Workspace


def predicted(
    competition: Competition,
    folder: Path,
    values: np.ndarray,
    targets: np.ndarray,
    fold: np.ndarray | None = None,
) -> Run:
    """A run that predicts `values` (N, C, ...) of black images out of fold; row n of the raw file is 100 + n."""
    number = np.arange(len(targets))
    images = np.zeros((len(targets), *competition.task.image_shape), np.uint8)
    fold = np.zeros(len(targets), np.int64) if fold is None else fold
    none = np.zeros((0, 2), np.int64)
    workspace = Workspace(folder, competition.name)
    labelled = Labelled(
        competition, workspace, images, targets, 100 + number, images[:0], fold, number, none, "data", "folds"
    )
    run = Run(workspace.train / "run", labelled)
    run.folder.mkdir(parents=True)
    write_probabilities(run.oof_path, [values], values.shape, np.float16)
    return run


def test_the_worst_mistakes_are_sure_and_wrong_and_in_a_fold(blood_cells: Competition, tmp_path: Path) -> None:
    values = np.full((5, 8), 0.01, np.float32)
    for row, (label, sure) in enumerate([(0, 0.9), (1, 0.6), (1, 0.8), (1, 0.99), (0, 0.95)]):
        values[row, label] = sure
    fold = np.array([0, 0, 1, -1, 1])  # row 3 was left out
    found = predicted(blood_cells, tmp_path, values, np.zeros(5, np.int64), fold).mistakes()
    assert found["row"].tolist() == [2, 1] and found["index"].tolist() == [102, 101]
    assert found["certainty"][0] == pytest.approx(0.8, abs=1e-3)
    assert found[["truth", "predicted"]].to_numpy().tolist() == [["basophil", "eosinophil"]] * 2
