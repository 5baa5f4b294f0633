"""The CSV of mars is what the organisers ask for, and comes back as it was written."""

from pathlib import Path

import numpy as np
import pytest

from competitions.mars import competition
from toolkit import Prediction, UserError

ROWS = np.arange(2)


def test_a_row_an_image_and_a_column_a_pixel(tmp_path: Path) -> None:
    masks = np.random.default_rng(0).integers(5, size=(2, 64, 128)).astype(np.uint8)
    images, path = np.zeros((2, 64, 128, 1), np.uint8), tmp_path / "file.csv"
    competition.write_submission(Prediction(images, ROWS, masks, ()), path)
    rows = [",".join(map(str, [number, *mask.ravel()])) for number, mask in enumerate(masks)]
    assert path.read_text() == "\n".join([",".join(["id", *map(str, range(64 * 128))]), *rows, ""])
    assert (competition.read_submission(path, images, ROWS) == masks).all()
    with pytest.raises(UserError, match="has 2 rows, the test set has 1 image"):
        competition.read_submission(path, images[:1], ROWS[:1])
