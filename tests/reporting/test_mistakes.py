"""The worst predictions are shown with their truth, the best and some at random beside them."""

from pathlib import Path

import numpy as np

from tests.test_predictions import predicted
from toolkit.competition import Competition
from toolkit.pages.html import Gallery, Section, mistaken
from toolkit.pages.pictures import COLOURS
from toolkit.reporting.mask_pictures import GREY, RED, legend
from toolkit.reporting.mistakes import PAIR, mistakes_section


def gallery(section: Section) -> Gallery:
    (block,) = section.blocks
    assert isinstance(block, Gallery)
    return block


def test_a_label_is_shown_with_what_it_was_taken_for(blood_cells: Competition, tmp_path: Path) -> None:
    values = np.full((3, 8), 0.01, np.float32)
    values[[0, 1, 2], [0, 1, 0]] = 0.8
    run = predicted(blood_cells, tmp_path, values, np.zeros(3, np.int64))
    shown = gallery(mistakes_section(run))
    first = shown.figures[0]
    assert first.title == "basophil → eosinophil" and first.caption.startswith("eosinophil 0.80, basophil 0.01")
    assert first.tags == ["most confident mistakes", mistaken("basophil", "eosinophil"), "fold 0"]
    tabs = [figure.tags[0] for figure in shown.figures]
    assert tabs.count("at random") == 3 and tabs.count("best") == 2, "of those that are right"
    assert shown.tabs and shown.alike == 3


def test_of_one_confusion_there_are_a_few(blood_cells: Competition, tmp_path: Path) -> None:
    values = np.full((40, 8), 0.01, np.float32)
    values[:, 1] = 0.9
    values[39] = np.eye(8)[2] * 0.5
    run = predicted(blood_cells, tmp_path, values, np.zeros(40, np.int64))
    titles = [figure.title for figure in gallery(mistakes_section(run)).figures if "mistakes" in figure.tags[0]]
    assert titles == ["basophil → eosinophil"] * PAIR + ["basophil → erythroblast"]


def test_wrong_pixels_are_red_where_they_are_scored(mars: Competition, tmp_path: Path) -> None:
    values = np.zeros((2, 5, 64, 128), np.float32)
    values[:, 1] = 1
    targets = np.ones((2, 64, 128), np.uint8)
    targets[0, :32] = 2  # wrong
    targets[0, 32:40] = 0  # not scored
    run = predicted(mars, tmp_path, values, targets)
    shown = gallery(mistakes_section(run))
    first = shown.figures[0]
    assert [name for name, _ in first.pictures] == ["image", "truth", "prediction", "difference"]
    assert first.text == "100: 57% of the scored pixels wrong"
    assert first.tags[:2] == ["most confident mistakes", "bedrock → soil"]
    pictures = dict(first.pictures)
    assert (pictures["difference"][:64] == RED).all() and (pictures["difference"][84:] == 0).all()
    striped = (pictures["prediction"][64:80] == GREY).all(-1).mean()
    assert 0.25 < striped < 0.42, "what isn't scored is hatched"
    assert (pictures["image"] == 0).all()
    colours = dict(legend(mars))
    assert "background" not in colours and colours["soil"] == "rgb({}, {}, {})".format(*COLOURS[1])
    assert "background: not scored" in colours
    assert [figure.tags[0] for figure in shown.figures][-2:] == ["best", "best"]


def test_a_run_that_is_never_wrong_has_a_sentence(blood_cells: Competition, tmp_path: Path) -> None:
    values = np.eye(8, dtype=np.float32)
    run = predicted(blood_cells, tmp_path, values, np.arange(8))
    assert mistakes_section(run).note == "The best run is right about everything out of fold."
