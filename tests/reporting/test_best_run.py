"""Of the best run the report shows classes with their intervals, and which are confused with each other."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.tiny import prepare, train
from toolkit.pages.html import Bars, Matrix, Row, Section, Table
from toolkit.recipe import Chosen
from toolkit.reporting.best_run import classes_section
from toolkit.runs import Run
from toolkit.store import write_json

pytestmark = pytest.mark.usefixtures("one_thread")


def blocks(section: Section) -> list[object]:
    (row,) = section.blocks
    assert isinstance(row, Row)
    return list(row.blocks)


def test_intervals_of_classes_are_drawn_where_they_are_known(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=1", stress="none")
    metrics = run.metrics
    metrics["clean"]["by_class_interval"] = {name: [0.1, 0.9] for name in metrics["clean"]["by_class"]}
    write_json(run.metrics_path, metrics)
    known, matrix = blocks(classes_section(run))
    assert "(0.100 to 0.900)" in classes_section(run).note
    metrics["clean"].pop("by_class_interval")
    write_json(run.metrics_path, metrics)
    unknown, _ = blocks(classes_section(run))
    assert isinstance(known, Bars) and isinstance(unknown, Bars) and known.most == 1
    assert known.bars[0].interval == (0.1, 0.9) and unknown.bars[0].interval is None
    assert isinstance(matrix, Matrix) and matrix.counts.sum() == 72 and matrix.gallery == "mistakes"


def test_a_class_that_no_fold_validates_is_not_the_weakest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=1", stress="none")
    name = next(iter(run.metrics["clean"]["by_class"]))
    counts = run.confusion()
    counts[run.labelled.competition.task.classes.index(name)] = 0
    monkeypatch.setattr(Run, "confusion", lambda _: counts)
    section = classes_section(run)
    assert section.note.endswith(f"Without a score, as no fold validates one of them: {name}.")
    assert f"Weakest: {name}" not in section.note
    bars, _ = blocks(section)
    assert isinstance(bars, Bars) and name not in [bar.name for bar in bars.bars]


def test_of_many_classes_the_most_confused_are_listed_whatever_the_metric_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=1", stress="none")
    metrics = run.metrics
    metrics["clean"]["classes"] = 3
    write_json(run.metrics_path, metrics)
    monkeypatch.setattr("toolkit.reporting.best_run.SHOWN", 2)
    _, table = blocks(classes_section(run))
    assert isinstance(table, Table) and table.columns == ("truth", "predicted", "images", "of the class")
    counts, names = run.confusion(), run.labelled.competition.task.classes
    expected = {
        (names[a], names[b], f"{counts[a, b]}", f"{counts[a, b] / counts[a].sum():.0%}")
        for a in range(3)
        for b in range(3)
        if a != b and counts[a, b]
    }
    assert {tuple(row) for row in table.rows} == expected and expected
    numbers = [int(str(row[2])) for row in table.rows]
    assert numbers == sorted(numbers, reverse=True)


def test_among_how_many_trials_the_run_was_chosen_stands_beside_its_scores(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=1", stress="none")
    run.store_recipe(replace(run.recipe, chosen=Chosen("study", 60, "clean")))
    assert f"{run.name}, chosen among 60 trials. Weakest: " in classes_section(run).note
