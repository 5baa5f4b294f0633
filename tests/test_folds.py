"""The verb: what it makes, what it says, and that all later steps obey the cleaning list and the holdout."""

import argparse
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.tiny import call
from tests.tiny import prepare as prepare_tiny
from toolkit import console
from toolkit.audit import _best_run, load
from toolkit.auditing.findings import equal_pictures
from toolkit.competition import Competition
from toolkit.data.balance import HELD_OUT
from toolkit.data.dataset import open_dataset
from toolkit.data.folds import read_folds
from toolkit.data.groups import with_equal_pictures
from toolkit.ensemble import add_options as ensemble_options
from toolkit.ensemble import ensemble
from toolkit.errors import UserError
from toolkit.folds import add_options, folds
from toolkit.metrics import confusion_matrix
from toolkit.probabilities import open_probabilities, probabilities
from toolkit.scoring.out_of_fold import score
from toolkit.store import Workspace, read_json
from toolkit.train import add_options as add_train_options
from toolkit.train import prepare, train, train_fold, train_verb
from toolkit.training.fold import _open
from toolkit.training.loop import FoldJob

HEAD = "index,action,value,reason,confidence\n"


class Place:
    """A workspace on practice data, and the verbs that work in it."""

    def __init__(self, competition: Competition, drawn: dict[str, Path], folder: Path) -> None:
        self.competition, self.workspace = competition, Workspace(folder, competition.name)
        raw = str(drawn[competition.name] / "raw")
        load(competition, self.workspace, Path(raw))
        self.shared = [str(competition.folder), "--data", raw, "--workspace", str(folder), "--json"]

    def folds(self, *more: str) -> int:
        made = console.parser("folds", "")
        add_options(made)
        return console.run_verb(made, folds, [*self.shared, *more])

    def clean(self, lines: str) -> None:
        self.workspace.cleaning.write_text(HEAD + lines)

    def options(self) -> argparse.Namespace:
        return console.parser("train", "", overrides=True).parse_args(self.shared)


@pytest.fixture
def cells(blood_cells: Competition, drawn: dict[str, Path], tmp_path: Path) -> Place:
    return Place(blood_cells, drawn, tmp_path)


@pytest.fixture
def terrain(mars: Competition, drawn: dict[str, Path], tmp_path: Path) -> Place:
    return Place(mars, drawn, tmp_path)


def test_the_table_and_its_figures(cells: Place, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert cells.folds("--folds", "3", "--repeats", "2", "--holdout", "0.2") == 0
    printed = capsys.readouterr()
    shown = json.loads(printed.out)
    table = pd.read_parquet(cells.workspace.folds)
    assert list(table.columns) == ["index", "fold", "group", "label", "fold_1"]
    assert shown["samples"] == [(table["fold"] == k).sum() for k in range(3)]
    assert shown["held_out"] == (table["fold"] == HELD_OUT).sum() > 0
    assert "uneven by" in printed.err and "holdout" in printed.err
    labels = cells.competition.load(Path(cells.shared[2])).targets
    counts = np.stack([np.bincount(labels[table["fold"] == k], minlength=8) for k in range(3)])
    assert shown["uneven"] == pytest.approx(abs(counts / counts.mean(0) - 1).max())


def test_a_class_in_too_few_groups_is_named_with_their_number(
    cells: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = cells.competition.load(Path(cells.shared[2])).targets
    rows = np.flatnonzero(labels == 0)
    cells.clean("".join(f"{row},group,basophils,,\n" for row in rows[1:]) + f"{rows[0]},group,alone,,\n")
    assert cells.folds("--folds", "3") == 0
    said = capsys.readouterr().err
    assert "class 'basophil' is missing from fold" in said
    assert "only 2 groups hold it" in said


def test_editing_reasons_and_suggestions_leaves_the_folds(cells: Place, capsys: pytest.CaptureFixture[str]) -> None:
    cells.clean("0,drop,,odd,1\n")
    cells.folds()
    before = cells.workspace.folds.stat().st_mtime_ns
    cells.clean("0,drop,,very odd,.5\n1,drop?,,,\n2,relabel?,monocyte,,\n")
    assert cells.folds() == 0
    assert cells.workspace.folds.stat().st_mtime_ns == before
    assert "2 suggestions are not obeyed" in capsys.readouterr().err
    assert (read_folds(cells.workspace)["fold"] == -1).sum() == 1


def test_folds_that_come_out_the_same_are_no_cause_for_alarm(cells: Place, capsys: pytest.CaptureFixture[str]) -> None:
    cells.folds()
    cells.workspace.train.mkdir()
    assert cells.folds("--repeats", "2") == 0
    assert "made anew" not in capsys.readouterr().err
    assert cells.folds("--folds", "3") == 0
    assert "made anew" in capsys.readouterr().err


def test_a_cleaning_list_that_changed_since_the_folds_stops_training_and_blending(
    cells: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    cells.folds()
    cells.clean("5,drop,,,\n")
    made = console.parser("train", "", overrides=True)
    add_train_options(made)
    assert console.run_verb(made, train_verb, cells.shared) == 1
    assert "has changed since the folds; run `python -m toolkit.folds` again" in capsys.readouterr().err
    made = console.parser("ensemble", "")
    ensemble_options(made)
    assert console.run_verb(made, ensemble, cells.shared) == 1
    assert "has changed since the folds" in capsys.readouterr().err


def test_a_cleaning_list_that_changed_since_the_folds_does_not_stop_an_audit(cells: Place) -> None:
    cells.folds()
    cells.clean("5,drop,,,\n")
    assert _best_run(cells.workspace) is None


def test_faults_of_the_cleaning_list_are_found_even_where_the_folds_are_made(
    cells: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    cells.folds()
    cells.clean("5,drop?,,,\n6,remove?,,,\n")
    assert cells.folds() == 1
    assert "cleaning.csv line 3: action 'remove?' is not one of" in capsys.readouterr().err


def test_a_damaged_table_is_named_and_one_of_an_older_version_made_anew(
    cells: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    cells.folds()
    table = pd.read_parquet(cells.workspace.folds)
    cells.workspace.folds.write_bytes(cells.workspace.folds.read_bytes()[:-50])
    assert cells.folds() == 1
    assert "folds.parquet is damaged" in capsys.readouterr().err
    table.drop(columns="label").to_parquet(cells.workspace.folds)
    cells.workspace.train.mkdir()
    assert cells.folds() == 0
    assert read_folds(cells.workspace).equals(table)


def test_repeats_that_cannot_differ_are_said_to_be_the_same(cells: Place, capsys: pytest.CaptureFixture[str]) -> None:
    images = cells.competition.load(Path(cells.shared[2])).images
    groups = with_equal_pictures(np.arange(len(images)), images)  # these stay together whatever the list says
    cells.clean("".join(f"{row},group,{group % 3},,\n" for row, group in enumerate(groups)))
    assert cells.folds("--folds", "3", "--repeats", "4") == 0
    assert "the 4 splits are only 1 different ones" in capsys.readouterr().err


def test_jobs_leave_the_holdout_alone_and_are_small(terrain: Place) -> None:
    terrain.folds("--folds", "2", "--holdout", "0.25")
    table = read_folds(terrain.workspace)
    recipe = next(iter(terrain.competition.recipes.values()))
    _, jobs = prepare(terrain.competition, terrain.workspace, recipe, terrain.options())
    held = set(np.flatnonzero(table["fold"] == HELD_OUT))
    assert len(jobs) == 2 and held
    for job in jobs:
        assert not held & {*job.train_rows, *job.valid_rows}
        assert len(pickle.dumps(job)) < 10_000


def test_a_fold_that_is_not_there_leaves_nothing_behind(terrain: Place, capsys: pytest.CaptureFixture[str]) -> None:
    terrain.folds("--folds", "2")
    made = console.parser("train", "", overrides=True)
    add_train_options(made)
    assert console.run_verb(made, train_verb, [*terrain.shared, "--fold", "2"]) == 1
    assert "there is no fold 2; folds go from 0 to 1" in capsys.readouterr().err
    assert not terrain.workspace.train.exists()


def test_the_holdout_is_not_scored(terrain: Place) -> None:
    terrain.folds("--folds", "2", "--holdout", "0.25")
    table = read_folds(terrain.workspace)
    targets = terrain.competition.load(Path(terrain.shared[2])).targets
    values = np.random.default_rng(0).random((len(targets), 5, *targets.shape[1:]))
    first = score(terrain.competition, targets, table, values)
    values[table["fold"] == HELD_OUT] = 0
    assert score(terrain.competition, targets, table, values) == first
    assert len(first["by_fold"]) == 2


def test_training_and_scores_obey_a_relabelled_sample_and_no_edit_that_comes_later(
    cells: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = cells.competition.load(Path(cells.shared[2])).targets
    rows = [3, 9]
    cells.clean("".join(f"{row},relabel,{(labels[row] + 1) % 8},,\n" for row in rows))
    cells.folds("--folds", "2")
    expected = labels.copy()
    expected[rows] = (labels[rows] + 1) % 8
    recipe = next(iter(cells.competition.recipes.values()))
    small = replace(recipe.model, input_scale=0.25)
    recipe = replace(recipe, model=small, batch_size=16, schedule=replace(recipe.schedule, epochs=1))
    _, jobs = prepare(cells.competition, cells.workspace, recipe, cells.options())
    assert (_open(pickle.loads(pickle.dumps(jobs[0]))).targets == expected).all()

    def edited_meanwhile(job: FoldJob, watch: Any, teacher: None) -> str:
        cells.clean("5,drop,,,\n")  # by a person who looks at the list while this runs
        return train_fold(job, watch)

    monkeypatch.setattr("toolkit.train.train_fold", edited_meanwhile)
    run = train(cells.competition, cells.workspace, recipe, cells.options())
    predicted = cells.competition.decode(probabilities(open_probabilities(run / "oof.npy")))
    matrix = confusion_matrix(expected, predicted, 8)
    assert read_json(run / "metrics.json")["clean"]["score"] == pytest.approx(np.trace(matrix) / matrix.sum())


def parser() -> argparse.ArgumentParser:
    made = console.parser("folds", "")
    add_options(made)
    return made


def test_the_table_is_made_once_and_anew_for_another_number_seed_or_cleaning(tmp_path: Path) -> None:
    workspace = prepare_tiny(tmp_path)
    made = workspace.folds.stat().st_mtime_ns
    first = call(folds, parser(), tmp_path, "--folds", "3")
    assert first["folds"] == 3 and first["samples"] == [24, 24, 24] and first["left_out"] == 0
    assert workspace.folds.stat().st_mtime_ns == made
    hashes = {first["hash"]}
    hashes.add(call(folds, parser(), tmp_path, "--folds", "4")["hash"])
    hashes.add(call(folds, parser(), tmp_path, "--folds", "3", "--seed", "1")["hash"])
    lines = pd.DataFrame({"index": [5], "action": ["drop"], "value": "", "reason": "", "confidence": 1})
    lines.to_csv(workspace.cleaning, index=False)
    cleaned = call(folds, parser(), tmp_path, "--folds", "3")
    assert cleaned["left_out"] == 1 and len(hashes | {cleaned["hash"]}) == 4
    workspace.cleaning.unlink()
    assert call(folds, parser(), tmp_path, "--folds", "3") == first


def test_old_runs_are_mentioned_when_the_folds_are_made_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare_tiny(tmp_path).train.mkdir()
    capsys.readouterr()
    call(folds, parser(), tmp_path, "--folds", "3")
    assert "warning" not in "".join(capsys.readouterr())
    call(folds, parser(), tmp_path, "--folds", "2")
    assert "warning: the folds are made anew; runs on the old ones" in "".join(capsys.readouterr())


def test_the_data_come_first(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no data in"):
        call(folds, parser(), tmp_path)


@pytest.mark.parametrize("number", ["1", "0", "-3", "three", "2.5"])
def test_fewer_than_two_folds_are_wrong_usage(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parser().parse_args(["competitions/mars", f"--folds={number}"])
    assert end.value.code == 2
    assert f"{number!r} is not a number of folds; there must be at least 2" in capsys.readouterr().err


def test_equal_pictures_share_a_fold_though_the_list_was_emptied(cells: Place) -> None:
    dataset = open_dataset(cells.workspace.data)
    cells.clean("")
    assert cells.folds("--folds", "3") == 0
    fold = read_folds(cells.workspace)["fold"].to_numpy()
    same = equal_pictures(dataset.images)
    assert sum(len(rows) for rows in same) > 2
    assert all(len(set(fold[rows])) == 1 for rows in same)
