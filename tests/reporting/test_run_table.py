"""Runs are held against the best one: is the difference real, and what differs in their recipes?"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.test_predictions import predicted
from tests.tiny import prepare, train
from toolkit.competition import Competition
from toolkit.pages.html import Brief, Interval, Table
from toolkit.recipe import Sets, to_dict
from toolkit.reporting.inputs import gather
from toolkit.reporting.run_table import better_elsewhere, changed_settings, differences, runs_section
from toolkit.runs import Run
from toolkit.store import write_json, write_manifest


@pytest.mark.usefixtures("one_thread")
def test_runs_are_held_against_the_best_one(tmp_path: Path) -> None:
    project = prepare(tmp_path)
    runs = [train(tmp_path, "schedule.epochs=1", recipe=name, stress="none") for name in ("first", "second")]
    material = gather(project.labelled(), project.ledger)
    assert material.best.score == max(run.score for run in runs)
    (table,) = runs_section(material).blocks
    assert isinstance(table, Table)
    best, other = table.rows
    assert list(table.columns[:3]) == ["run", "CV", "95 % interval"]
    assert best[0] == material.best.name and isinstance(best[2], Interval) and best[5:7] == ["best", "-"]
    difference = min(run.score for run in runs) - material.best.score
    assert other[5].startswith(f"{difference:+.4f}\n") and other[6].startswith(("no (", "yes, worse ("))
    assert "batch_size=" in other[7] and table.tags == []


@pytest.mark.usefixtures("one_thread")
def test_a_run_that_a_budget_cut_short_says_so_and_chips_find_it(tmp_path: Path) -> None:
    project = prepare(tmp_path)
    runs = [train(tmp_path, "schedule.epochs=2", f"seed={seed}", stress="none") for seed in range(3)]
    cut = runs[0]
    write_manifest(cut.folder, (cut.manifest or {}) | {"complete": False})
    fold = cut.fold(1)
    write_json(fold.history_path, fold.history[:1])
    write_manifest(fold.folder, fold.manifest or {})
    (table,) = runs_section(gather(project.labelled(), project.ledger)).blocks
    assert isinstance(table, Table)
    (row,) = (row for row in table.rows if row[0] == cut.name)
    assert row[3] == "1 to 2\ncut short"
    assert [list(tags) for tags in table.tags].count(["hand-made", "cut short"]) == 1


def test_a_recipe_is_told_by_what_differs_the_learning_rate_first() -> None:
    best = {"name": "a", "seed": 0, "loss": {"names": ["focal"], "gamma": 0.5}, "optimizer": {"lr": 0.01}}
    other = {"name": "b", "seed": 0, "loss": {"names": ["focal", "dice"], "gamma": 2.0}, "optimizer": {"lr": 0.02}}
    assert differences(other, best) == "optimizer.lr=0.02; loss: names=focal,dice, gamma=2"
    assert differences(best, best) == ""
    many = {"name": "c", **{f"field{number}": number for number in range(15)}}
    assert differences(many, {"name": "a"}).endswith("field5=5; and 9 more")


def test_a_row_names_few_settings_and_opens_to_all() -> None:
    many = {"name": "c", **{f"field{number}": number / 3 for number in range(15)}, "range": [1 / 3, 2.0]}
    cell = changed_settings(many, {"name": "a"})
    assert isinstance(cell, Brief)
    assert cell.short == "field0=0, field1=0.3333; and 14 more"
    assert cell.count("field") == 15 and cell.endswith("range=0.3333,2")
    shown = changed_settings({"lr": 1}, {"lr": 2})
    assert shown == "lr=1" and not isinstance(shown, Brief)
    assert changed_settings({"lr": 1}, {"lr": 1}) == "-"


def test_a_run_that_is_better_under_corruptions_is_named_beside_the_best_clean_one(
    blood_cells: Competition, tmp_path: Path
) -> None:
    labelled = predicted(blood_cells, tmp_path, np.eye(8, dtype=np.float32), np.arange(8)).labelled

    def of(name: str, clean: float, stress: float) -> Run:
        scores = {
            kind: {"score": score, "low": score - 0.02, "high": score + 0.02}
            for kind, score in (("clean", clean), ("stress", stress))
        }
        run = Run(tmp_path / name, labelled)
        run.folder.mkdir()
        write_json(run.metrics_path, scores | {"matched": None})
        return run

    runs = [of("plain", 0.95, 0.66), of("hardened", 0.90, 0.79)]
    (sentence,) = better_elsewhere(runs, runs[0].metrics)
    assert sentence.startswith(
        "By the stress score hardened is better, the best of 2: 0.7900 against 0.6600, with a CV score of 0.9000"
    )
    assert better_elsewhere(runs, runs[1].metrics) == []
    assert better_elsewhere([runs[0], of("near", 0.90, 0.69)], runs[0].metrics) == []


def test_what_a_recipe_leaves_out_as_it_is_as_usual_is_told_where_the_best_one_says_otherwise(
    blood_cells: Competition,
) -> None:
    usual = next(iter(blood_cells.recipes.values()))
    early = replace(usual, sets=Sets(pool="features", together=2))
    assert differences(to_dict(usual), to_dict(early)) == "sets: pool=auto, together=0"
    assert differences(to_dict(early), to_dict(usual)) == "sets: pool=features, together=2"
    boosted = {"name": "boosted", "features": ["a-1"], "seed": usual.seed}
    assert differences(boosted, to_dict(usual)) == "features=a-1"
    assert "None" not in differences(to_dict(usual), boosted)
