"""What finished trials, as they lie on the disk, say of one under way."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from tests.tiny import prepare
from toolkit.run_folds import RunFold
from toolkit.runs import Run
from toolkit.store import write_json, write_manifest
from toolkit.tuning.settings import CLEAN
from toolkit.tuning.study import RUN
from toolkit.tuning.trials import Rivals, fold_order

STATE = optuna.trial.TrialState


def stored(run: Run, scores: dict[int, float]) -> None:
    """These accuracies on some folds, each reached on a straight line."""
    for number, score in scores.items():
        right, fold = round(100 * score), run.fold(number)
        fold.folder.mkdir(parents=True)
        confusions = np.array([[right, 100 - right, 0], [0, 0, 0], [0, 0, 0]])
        np.savez_compressed(fold.judged("clean"), weights="", groups=np.arange(1), confusions=confusions[None])
        write_json(fold.history_path, [{"score": score * share, "seconds": 1.0} for share in (0.25, 0.5, 0.75, 1)])
        write_manifest(fold.folder, {"complete": True})


@pytest.fixture
def rivals(tmp_path: Path) -> Rivals:
    return Rivals(prepare(tmp_path, folds=2).labelled(), (CLEAN,))


@pytest.fixture
def study(rivals: Rivals) -> optuna.Study:
    """Four finished trials, whose fold 1 is harder by 0.2, and one that was pruned after it."""
    made, labelled = optuna.create_study(direction="maximize"), rivals.labelled
    for number in range(4):
        more = number / 100
        stored(Run(labelled.workspace.train / f"run{number}", labelled), {0: 0.6 + more, 1: 0.4 + more})
        made.add_trial(optuna.create_trial(value=0.5 + more, user_attrs={RUN: f"run{number}"}))
    stored(Run(labelled.workspace.train / "pruned", labelled), {1: 0.3})
    made.add_trial(optuna.create_trial(state=STATE.PRUNED, user_attrs={RUN: "pruned"}))
    return made


def test_an_order_of_folds_is_its_trials_own() -> None:
    orders = [fold_order(0, number, 4) for number in range(20)]
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert orders == [fold_order(0, number, 4) for number in range(20)]
    assert {order[0] for order in orders} == {0, 1, 2, 3}


def test_a_trial_is_expected_to_have_on_all_folds_what_others_gain_there(study: optuna.Study, rivals: Rivals) -> None:
    mine = rivals.of(study.trials[-1], "clean")
    assert rivals.expected(study, "clean", mine) == pytest.approx(0.4)
    ranked = rivals.ranking(study)
    assert [trial.number for trial, _ in ranked] == [3, 2, 1, 0, 4]
    assert [score for _, score in ranked] == pytest.approx([0.53, 0.52, 0.51, 0.5, 0.4])


def test_a_first_fold_is_pruned_inside_by_the_learning_curves_on_all_folds(
    study: optuna.Study, rivals: Rivals
) -> None:
    low, high = ([{"score": score}] * 2 for score in (0.1, 0.3))
    end = rivals.end_if_pruned(study, 1, low, 4)
    assert end == pytest.approx(0.1 + 0.205 + 0.1), "with the others' gain, on all folds, which are easier than fold 1"
    assert rivals.end_if_pruned(study, 1, high, 4) is None
    assert rivals.end_if_pruned(study, 1, [{"score": None}] * 2, 4) is None
    assert Rivals(rivals.labelled, ()).end_if_pruned(study, 1, low, 4) is None, "only the clean score is watched"


def test_what_was_read_of_runs_is_read_again_only_where_it_changed(
    study: optuna.Study, rivals: Rivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    low = [{"score": 0.1}] * 2
    first = rivals.end_if_pruned(study, 1, low, 4)
    opened: list[str] = []
    load, history = np.load, RunFold.history
    assert isinstance(history, property)

    def seen_load(path: Path, **more: Any) -> Any:
        opened.append(str(path))
        return load(path, **more)

    def seen_history(fold: RunFold) -> Any:
        opened.append(str(fold.folder))
        return history.__get__(fold)

    monkeypatch.setattr(np, "load", seen_load)
    monkeypatch.setattr(RunFold, "history", property(seen_history))
    assert rivals.end_if_pruned(study, 1, low, 4) == first and opened == []
    fold = rivals.run(study.trials[0]).fold(0)
    os.utime(fold.judged("clean"), (0, 0))
    assert rivals.end_if_pruned(study, 1, low, 4) == first
    assert set(opened) == {str(fold.judged("clean")), str(fold.judged("clean")).replace("fold_0", "fold_1")}
