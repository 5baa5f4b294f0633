"""The worst predictions are shown with their truth, and of masks with the pixels that are wrong."""

from pathlib import Path

import numpy as np
import pytest

from tests.test_predictions import predicted
from toolkit.competition import Competition
from toolkit.pages.pictures import COLOURS
from toolkit.reporting.mistakes import RED, legend, mistake_pictures, mistakes_section


def test_a_label_is_shown_with_what_it_was_taken_for(blood_cells: Competition, tmp_path: Path) -> None:
    values = np.full((3, 8), 0.01, np.float32)
    values[[0, 1, 2], [0, 1, 0]] = 0.8
    run = predicted(blood_cells, tmp_path, values, np.zeros(3, np.int64))
    assert mistake_pictures(run, run.mistakes())[0].text == "101: basophil, said eosinophil 0.80"


def test_wrong_pixels_are_red_where_they_are_scored(mars: Competition, tmp_path: Path) -> None:
    values = np.zeros((2, 5, 64, 128), np.float32)
    values[:, 1] = 1
    targets = np.ones((2, 64, 128), np.uint8)
    targets[0, :32] = 2  # wrong
    targets[0, 32:40] = 0  # not scored
    run = predicted(mars, tmp_path, values, targets)
    mistakes = run.mistakes()
    assert mistakes["row"].tolist() == [0] and mistakes["certainty"][0] == pytest.approx(0.5)
    (shown,) = mistake_pictures(run, mistakes)
    assert shown.text == "100: 50% of its pixels wrong"
    error = shown.picture[-128:, -256:]
    assert (error[:64] == RED).all() and (error[64:] == 0).all()
    colours = dict(legend(mars))
    assert "background" not in colours and colours["soil"] == "rgb({}, {}, {})".format(*COLOURS[1])


def test_a_run_that_is_never_wrong_has_a_sentence(blood_cells: Competition, tmp_path: Path) -> None:
    values = np.eye(8, dtype=np.float32)
    run = predicted(blood_cells, tmp_path, values, np.arange(8))
    assert mistakes_section(run).note == "The best run is right about everything out of fold."
