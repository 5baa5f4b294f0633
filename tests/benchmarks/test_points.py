"""The hidden part of the benchmark of points is not in what is trained on."""

from pathlib import Path

import numpy as np
import pytest

import toolkit
from benchmarks import points
from tests.conftest import ROOT


@pytest.mark.parametrize(("name", "key"), [("mars", "training_set"), ("blood_cells", "images")])
def test_the_hidden_quarter_is_not_trained_on(name: str, key: str, tmp_path: Path) -> None:
    data, folder = tmp_path, tmp_path / "made"
    folder.mkdir()
    practice = toolkit.load_competition(ROOT / "competitions" / name).practice
    assert practice is not None
    practice(tmp_path / "drawn", 0, 48)
    (tmp_path / "drawn" / "raw").rename(tmp_path / name)
    points.hide_quarter(name, data, folder)
    (file,) = (data / name).glob("*.npz")
    whole, kept = np.load(file)[key], np.load(folder / file.name)[key]
    truth = np.load(folder / "truth.npz")
    assert 0 < len(truth["targets"]) == len(whole) - len(kept) < 0.4 * len(whole)
    hidden = np.load(folder / file.name)["test_set"] if name == "mars" else truth["images"][1::2]
    trained = {image.tobytes() for image in (kept[:, 0] if name == "mars" else kept).astype(np.uint8)}
    assert not any(image.astype(np.uint8).tobytes() in trained for image in hidden)
