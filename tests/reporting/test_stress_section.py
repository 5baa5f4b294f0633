"""Corruptions are shown with intervals, and nothing is called the weakest that may be chance."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.tiny import prepare, train
from toolkit.pages.html import Gallery, Heat, Interval, Section, Table, Words
from toolkit.recipe import Chosen
from toolkit.reporting import stress_section as module
from toolkit.reporting.stress_section import stress_section
from toolkit.runs import Run
from toolkit.scoring.corruption_families import FAMILIES, CorruptedScores, FamilyScore

pytestmark = pytest.mark.usefixtures("one_thread", "unpainted")


def sentences(section: Section) -> list[str]:
    words = section.blocks[0]
    assert isinstance(words, Words)
    return list(words.sentences)


def test_few_corrupted_images_are_shown_by_family_alone(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=1", "augment.colour=0.25")
    run.store_recipe(replace(run.recipe, chosen=Chosen("study", 60, "clean")))
    section = stress_section(run)
    _, table, chance, gallery = section.blocks
    assert isinstance(table, Table) and isinstance(chance, Words) and isinstance(gallery, Gallery)
    assert sentences(section)[0].startswith(f"{run.name}, chosen among 60 trials: ")
    assert all(isinstance(row[2], Interval) for row in table.rows)
    assert {row[0]: row[5] for row in table.rows}["light"] == "yes"
    assert "too few to be shown" in chance.sentences[0]
    families = [figure.tags[0] for figure in gallery.figures]
    assert set(families) == {row[0] for row in table.rows} and families.count("noise") == 3
    assert all(figure.caption.startswith("predicted ") for figure in gallery.figures)


def test_cells_of_enough_images_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=1")
    monkeypatch.setattr(module, "ENOUGH", 1)
    (heat,) = (block for block in stress_section(run).blocks if isinstance(block, Heat))
    assert sum(images for _, _, cells in heat.rows for _, images in cells) > 0
    assert heat.note.endswith(" images each; those of fewer than 1 are left out.")


def test_the_weakest_family_is_named_with_what_trains_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=1", "augment.colour=0.25")

    def scores(low: float) -> CorruptedScores:
        worst, best = FamilyScore("light", 0.2, 0.1, 0.3, 90), FamilyScore("noise", 0.5, low, 0.6, 90)
        return CorruptedScores((worst, best), dict.fromkeys(FAMILIES, (40,) * 5))

    def found(run: Run) -> CorruptedScores:
        return scores(0.4)

    monkeypatch.setattr(module, "corrupted_scores", found)
    assert sentences(stress_section(run))[1:] == [
        "Weakest under light 0.200, below all other families by their intervals.",
        "`augment.colour`, which makes training images of that kind, is 0.25 in this recipe.",
    ]
    monkeypatch.setattr(module, "corrupted_scores", lambda run: scores(0.25))
    assert sentences(stress_section(run))[1:] == ["No family is surely the weakest: their intervals overlap."]


def test_without_a_stress_score_the_command_is_named_that_measures_it(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=1", stress="none")
    assert "`compete train tests/tiny --practice " in stress_section(run).note
