"""Tables of classes: of very many some; and the properties in which classes differ."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests import tiny
from toolkit import Classification, Heads, WeightedMacroRecall
from toolkit.auditing.class_tables import COLUMNS, MANY, SHOWN, class_table, properties_by_class
from toolkit.data.dataset import Dataset


def test_of_very_many_classes_the_commonest_and_the_rarest_are_shown() -> None:
    classes = MANY + 50
    targets = np.repeat(np.arange(classes), np.arange(classes))
    rows = np.arange(len(targets))
    of = replace(tiny.competition, task=Classification(tuple(map(str, range(classes))), (8, 8, 3)))
    data = Dataset(np.zeros((len(rows), 1, 1, 1), np.uint8), targets, rows, rows, np.zeros((0, 1, 1, 1), np.uint8))
    table = class_table(of, data, np.ones(len(rows), bool))
    assert len(table.rows) == 2 * SHOWN and table.rows[0][0] == str(classes - 1) and table.rows[-1][:2] == ["0", "0"]
    assert table.note == (
        f"The commonest and the rarest of {classes} classes, which have 74 images in the median, 1 of them one image "
        "and 1 none."
    )


def test_of_heads_with_very_many_classes_too() -> None:
    root, vowel = (tuple(map(str, range(count))) for count in (MANY, 11))
    task = Heads((("root", root), ("vowel", vowel)), (8, 8, 3))
    of = replace(tiny.competition, task=task, metric=WeightedMacroRecall())
    targets, rows = np.stack([np.arange(40), np.full(40, 3)], axis=1), np.arange(40)
    data = Dataset(np.zeros((40, 1, 1, 1), np.uint8), targets, rows, rows, np.zeros((0, 1, 1, 1), np.uint8))
    table = class_table(of, data, np.ones(40, bool))
    assert table.rows[0] == ["vowel 3", "40", "100.00%", "0"] and len(table.rows) == 2 * SHOWN
    assert table.note.startswith("The commonest and the rarest of 111 classes") and table.note.endswith("70 none.")


def test_properties_are_shown_that_tell_classes_apart_and_only_these(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    targets, rows = np.arange(60) % 3, np.arange(60)
    images = np.clip(rng.normal(90, 20, (60, 16, 16, 1)) + 60 * (targets == 1)[:, None, None, None], 0, 255)
    data = Dataset(images.astype(np.uint8), targets, rows, rows, np.zeros((0, 16, 16, 1), np.uint8))
    project = tiny.project(tmp_path)
    project.workspace.evidence.mkdir(parents=True)
    (table,) = properties_by_class(tiny.competition, project.workspace, data, rows > 2)
    assert "brightness" in table.columns and len(table.columns) <= 1 + COLUMNS and "black border" not in table.columns
    cells = {row[0]: row[list(table.columns).index("brightness")] for row in table.rows}
    assert cells["green"].endswith("(+1.4)") and cells["red"].endswith("(-0.7)") and cells["red"].startswith("89.8 ")
    alike = Dataset(images[targets == 0].astype(np.uint8)[:4], targets[:4] * 0, rows[:4], rows[:4], images[:0])
    assert properties_by_class(tiny.competition, tiny.project(tmp_path / "b").workspace, alike, rows[:4] >= 0) == []
