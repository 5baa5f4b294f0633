"""Curves of runs lie over each other, as far as they are known, and augmented images beside their originals."""

from pathlib import Path

import pytest

from tests.tiny import prepare, train
from toolkit.pages.html import Block, Folded, Gallery, Lines, Row, Section, Table
from toolkit.reporting.training_section import folds_section, training_section
from toolkit.run_folds import RunFold
from toolkit.store import read_json, write_json, write_manifest

pytestmark = pytest.mark.usefixtures("one_thread")


def curves(section: Section) -> list[Lines]:
    rows = [block for block in section.blocks if isinstance(block, Row)]
    drawn: list[Block] = [one for row in rows for one in row.blocks]
    return [one for one in drawn if isinstance(one, Lines)]


def test_runs_are_laid_over_each_other(tmp_path: Path) -> None:
    prepare(tmp_path)
    first = train(tmp_path, "schedule.epochs=3", stress="none")
    second = train(tmp_path, "schedule.epochs=2", "seed=1", stress="none")
    for run in (first, second):
        for fold in run.folds:
            more = {"score": 0.5} | ({"validation_loss": 0.5} if run == first else {})
            write_json(fold.history_path, [epoch | more for epoch in read_json(fold.history_path, kind=list)])
            write_manifest(fold.folder, fold.manifest or {})
    section = training_section([first, second])
    by_fold, score, loss, rate = curves(section)
    assert [one.name for one in by_fold.series] == ["fold 0", "fold 1", "fold 2"]
    assert [one.group for one in score.series] == [first.name, second.name]
    assert [list(one.xs) for one in rate.series] == [[1, 2, 3], [1, 2]]
    assert [(one.group, one.dashed) for one in loss.series if one.group == first.name] == [
        (first.name, False),
        (first.name, True),
    ]
    assert isinstance(section.blocks[-1], Folded), "the first batch"


def test_below_two_epochs_there_are_no_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=1", stress="none")
    section = training_section([run])
    assert not curves(section) and "less than 2 epochs" in section.note
    (gallery,) = (block for block in section.blocks if isinstance(block, Gallery))
    assert len(gallery.figures) == 8
    height, width, _ = gallery.figures[0].picture.shape
    assert width == 4 * height + 3 * 4, "the original, three draws, and gaps"
    run.picture.unlink()
    monkeypatch.setattr(RunFold, "history", [])
    assert len(training_section([run]).blocks) == 1


def test_what_decides_when_to_stop_may_end_a_trial_too(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=2", "schedule.patience=1", stress="none")
    note = training_section([run]).note
    assert "which decides when to stop. A search may prune a trial by it." in note


def test_folds_are_shown_by_score_and_by_class(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=1", stress="none")
    (row,) = folds_section([run]).blocks
    assert isinstance(row, Row)
    lines, table = row.blocks
    assert isinstance(lines, Lines) and list(lines.series[0].ys) == run.metrics["clean"]["by_fold"]
    assert isinstance(table, Table) and table.rows[1] == ["red", "33.3%", "33.3%", "33.3%"]
