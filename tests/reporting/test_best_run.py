"""Of the best run the report shows classes with their intervals, corruptions and learning curves."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.tiny import prepare, train
from toolkit.pages.html import Row, Section, Words
from toolkit.recipe import Chosen
from toolkit.reporting.best_run import classes_section, stress_section, training_section
from toolkit.store import write_json

pytestmark = pytest.mark.usefixtures("one_thread")


def drawings(section: Section) -> list[bytes]:
    (row,) = (block for block in section.blocks if isinstance(block, Row))
    return [block.light for block in row.blocks if not isinstance(block, str) and hasattr(block, "light")]


def test_intervals_of_classes_are_drawn_where_they_are_known(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=1", stress="none")
    metrics = run.metrics
    metrics["clean"]["by_class_interval"] = {name: [0.1, 0.9] for name in metrics["clean"]["by_class"]}
    write_json(run.metrics_path, metrics)
    known = drawings(classes_section(run))
    metrics["clean"].pop("by_class_interval")
    write_json(run.metrics_path, metrics)
    unknown = drawings(classes_section(run))
    assert known[0] != unknown[0] and known[1] == unknown[1]


def test_the_weakest_family_of_corruptions_is_named_with_what_trains_on_it(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=1", "augment.colour=0.25")
    metrics = run.metrics
    metrics["stress"]["by_family"] = {"noise": 0.5, "light": 0.2, "blur": None}
    write_json(run.metrics_path, metrics)
    words, row = stress_section(run).blocks
    assert isinstance(words, Words) and isinstance(row, Row)
    remedy = "augment.colour, which makes training images of that kind, is 0.25 in this recipe."
    assert words.sentences[-1] == f"The weakest family is light; {remedy}"


def test_training_is_shown_as_far_as_it_is_known(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=2", stress="none")
    assert len(training_section(run).blocks) == 2
    run.picture.unlink()
    for fold in run.folds:
        fold.history_path.unlink()
    assert training_section(run).blocks == []


def test_among_how_many_trials_the_run_was_chosen_stands_beside_its_scores(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=1")
    run.store_recipe(replace(run.recipe, chosen=Chosen("study", 60, "clean")))
    (words, _) = stress_section(run).blocks
    assert isinstance(words, Words) and words.sentences[0].startswith(f"Of {run.name}, chosen among 60 trials: ")
    assert f"{run.name}, chosen among 60 trials. Weakest: " in classes_section(run).note
    assert "A search may give a trial up by it; it decides nothing else." in training_section(run).note


def test_what_decides_when_to_stop_may_end_a_trial_too(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=2", "schedule.patience=1", stress="none")
    note = training_section(run).note
    assert note.endswith("which decides when to stop. A search may give a trial up by it.")
