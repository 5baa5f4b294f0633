"""Each kind of output is shown as it asks for, whatever is missing, and the numbers beside it are right."""

import importlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, mean_absolute_error, r2_score, roc_auc_score

from tests import tiny
from tests.small import NAMES, drawing
from toolkit.decisions.decide import PLAIN, Decisions
from toolkit.metrics.labels import LabelF1
from toolkit.pages.html import Chart, Gallery, Lines, Matrix, Page, Row, Section, Table, render
from toolkit.reporting.mask_pictures import legend
from toolkit.reporting.mistakes import mistakes_section
from toolkit.reporting.outputs import outputs_section, seen
from toolkit.runs import Run

NUMBER = 60


def drawn(name: str) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
    """A small competition, images uint8, targets, and what a network might say that sees them through a mist."""
    module = importlib.import_module(f"tests.small.{name}")
    rng = np.random.default_rng(3)
    images, targets, values = module.draw(rng, NUMBER)
    if name == "buds":
        values = values + rng.normal(0, 0.5, values.shape)
    else:
        values = np.clip(values + rng.normal(0, 0.35, values.shape), 0.01, 0.99)
    return module.competition, np.clip(images, 0, 255).astype(np.uint8), targets, values.astype(np.float32)


def left(name: str, folder: Path, targets: np.ndarray | None = None, **changes: Any) -> Run:
    """A run with such predictions in three folds; row n of the raw file is n."""
    competition, images, own, values = drawn(name)
    targets = own if targets is None else targets
    made = tiny.labelled(
        targets, np.arange(NUMBER) % 3, of=replace(competition, **changes), root=folder, images=images
    )
    run = Run(folder / "first-1", made)
    tiny.leave_run(run, drawing.FIRST, values, np.float32)
    return run


def charts(section: Section) -> list[str]:
    inside = [one for row in section.blocks if isinstance(row, Row) for one in row.blocks]
    return [one.title for one in inside if isinstance(one, Chart | Lines | Matrix)]


def tables(section: Section) -> list[Table]:
    inside = [one for row in section.blocks if isinstance(row, Row) for one in row.blocks]
    return [one for one in [*section.blocks, *inside] if isinstance(one, Table)]


def shown(section: Section) -> str:
    return render(Page("page", [], [], [section]))


@pytest.mark.parametrize(
    ("name", "title", "expected"),
    [
        ("nodules", "Classes", ["ROC", "Precision and recall", "Confusion matrix", "Calibration"]),
        ("retina", "Grades", ["Confusion matrix", "Expected grades"]),
        ("scans", "Labels", ["ROC", "Precision and recall", "Calibration"]),
        ("buds", "Numbers", ["weight", "weight: residuals", "length", "length: residuals"]),
        ("spots", "Labels", ["ROC", "Precision and recall", "Calibration"]),
        ("glyphs", "Heads", ["root", "vowel", "consonant"]),
        ("whales", "Classes", ["ROC", "Precision and recall", "Confusion matrix", "Calibration", "The right one"]),
    ],
)
def test_each_kind_has_its_drawings(name: str, title: str, expected: list[str], tmp_path: Path) -> None:
    section = outputs_section(left(name, tmp_path))
    assert section is not None and section.title == title and charts(section) == expected
    text = shown(section)
    assert "first-1" in section.note and ">nan" not in text and "None" not in text


def test_classes_that_a_confusion_matrix_scores_have_their_own_section(tmp_path: Path) -> None:
    made = tiny.labelled(np.arange(6) % 3, np.arange(6) % 2, root=tmp_path)
    assert outputs_section(Run(tmp_path / "run", made)) is None


def test_labels_are_scored_where_they_are_known(tmp_path: Path) -> None:
    _, _, targets, values = drawn("scans")
    targets = targets.copy()
    targets[:20, 0] = -1
    section = outputs_section(left("scans", tmp_path, targets))
    assert section is not None
    row = tables(section)[0].rows[0]
    area, precision = (
        roc_auc_score(targets[20:, 0], values[20:, 0]),
        average_precision_score(targets[20:, 0], values[20:, 0]),
    )
    assert row[:3] == ["oedema", "40", f"{targets[20:, 0].mean():.1%}"]
    assert row[-2:] == [f"{area:.3f}", f"{precision:.3f}"] and row[3].startswith(f"{area:.4f}\n")


def test_a_label_with_one_value_has_no_area_and_no_curve(tmp_path: Path) -> None:
    _, _, targets, _ = drawn("scans")
    targets = targets.copy()
    targets[:, 0], targets[:, 1] = 0, -1
    metric = LabelF1()
    section = outputs_section(left("scans", tmp_path, targets, metric=metric))
    assert section is not None
    rows = tables(section)[0].rows
    assert rows[0][-2:] == ["-", "-"] and rows[1][:3] == ["nodule", "0", "-"] and rows[2][-2] != "-"
    targets[:, 2] = 1
    bare = outputs_section(left("scans", tmp_path / "bare", targets, metric=metric))
    assert bare is not None and charts(bare) == ["Calibration"]


def test_numbers_have_their_errors_beside_them(tmp_path: Path) -> None:
    _, _, targets, values = drawn("buds")
    targets = targets.copy()
    targets[::4, 1] = np.nan
    section = outputs_section(left("buds", tmp_path, targets))
    assert section is not None
    (table,) = tables(section)
    kept = ~np.isnan(targets[:, 1])
    wanted, said = targets[kept, 1].astype(float), values[kept, 1].astype(float)
    assert table.columns[-4:] == ("RMSE", "MAE", "bias", "R2") and table.rows[1][:2] == ["length", "45"]
    assert table.columns.count("RMSE") == 1, "it is the metric"
    assert table.rows[1][-4].startswith(f"{np.sqrt(((said - wanted) ** 2).mean()):.4f}\n")
    assert table.rows[1][-3:] == [
        f"{mean_absolute_error(wanted, said):.4f}",
        f"{(said - wanted).mean():+.4g}",
        f"{r2_score(wanted, said):.3f}",
    ]


def test_grades_are_counted_by_the_cuts_of_their_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = left("retina", tmp_path)
    found = [Decisions(cuts=(0.1, 0.2, 0.3, 0.4)), PLAIN, Decisions(cuts=(9, 9, 9, 9))]
    monkeypatch.setattr(type(run), "fold_decisions", found)
    section = outputs_section(run)
    assert section is not None
    grades, decided = tables(section)
    expected = drawn("retina")[3].sum(1)
    # where a fold has no cuts of its own, the mean of the others' is drawn and counted by
    edges = [(0.1, 0.2, 0.3, 0.4), (4.55, 4.6, 4.65, 4.7), (9, 9, 9, 9)]
    given = np.array([int((np.array(edges[row % 3]) <= value).sum()) for row, value in enumerate(expected)])
    assert [row[3] for row in grades.rows] == [f"{(given == grade).mean():.1%}" for grade in range(5)]
    assert decided.rows[0] == ["cut between 0 and 1", "0.1", "-", "9"] and decided.columns == (
        "",
        "fold 0",
        "fold 1",
        "fold 2",
    )


def test_pixels_that_are_ignored_are_not_looked_at(tmp_path: Path) -> None:
    _, _, targets, _ = drawn("spots")
    targets = targets.copy()
    targets[0], targets[1, :8] = 255, 255
    run = left("spots", tmp_path, targets)
    truth, values = seen(run)
    assert truth.shape == values.shape == ((NUMBER - 1) * 256 - 128, 2) and set(np.unique(truth)) == {0, 1}


def test_thresholds_and_smallest_regions_are_shown_by_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = left("spots", tmp_path)
    found = [Decisions(thresholds=(0.25, 0.5), smallest=(0, 1200))] * 3
    monkeypatch.setattr(type(run), "fold_decisions", found)
    section = outputs_section(run)
    assert section is not None
    assert tables(section)[-1].rows == [
        ["threshold of rust", *["0.25"] * 3],
        ["threshold of mildew", *["0.5"] * 3],
        ["smallest rust, pixels", *["0"] * 3],
        ["smallest mildew, pixels", *["1,200"] * 3],
    ]


def test_places_in_lists_count_the_unknown_ones_apart(tmp_path: Path) -> None:
    run = left("whales", tmp_path)
    section = outputs_section(run)
    assert section is not None
    known = next(table for table in tables(section) if table.title == "Known and unknown")
    truth = drawn("whales")[2]
    assert [row[:2] for row in known.rows] == [["known", str((truth >= 0).sum())], ["unknown", str((truth < 0).sum())]]


@pytest.mark.parametrize("name", NAMES)
def test_the_worst_predictions_are_shown_with_truth_and_what_was_said(name: str, tmp_path: Path) -> None:
    run = left(name, tmp_path)
    section = mistakes_section(run)
    (gallery,) = section.blocks
    assert isinstance(gallery, Gallery)
    assert 0 < len(gallery.figures) <= (126 if gallery.alike else 36)
    for figure in gallery.figures:
        assert figure.picture.dtype == np.uint8 and figure.picture.ndim == 3 and figure.caption
        assert len(figure.layers) == (3 if name == "spots" else 0)
    assert [label for label, _ in legend(run.labelled.competition)] == (
        ["rust", "mildew", "several"] if name == "spots" else []
    )
    assert not re.search(r"\bnan\b", " ".join(figure.text for figure in gallery.figures))
