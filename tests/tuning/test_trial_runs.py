"""Trials are runs; what is clearly worse is not trained to its end, and goes on from there if it is wanted."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.study import Study
from optuna.trial import TrialState

from tests.tiny import FIRST, Heard, competition, looking, prepare, train
from tests.tuning.studies import EPOCH, run_of, runs, search
from toolkit.errors import UserError
from toolkit.outcome import Warned
from toolkit.recipe import Recipe, override
from toolkit.runs import Run
from toolkit.scoring.selection import Folds
from toolkit.search_space import Suggesting
from toolkit.store import hash_file, write_json
from toolkit.tuning.trial_runs import TrialContext, evaluate
from toolkit.tuning.trials import Rivals, fold_order, learning_curve

pytestmark = pytest.mark.usefixtures("one_thread", "no_pictures")


def test_a_finished_run_of_the_same_recipe_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path)
    run = train(tmp_path, EPOCH)
    before = [path.stat().st_mtime_ns for path in run.weights]
    monkeypatch.setattr("toolkit.training.cross_validation.fit_fold", None)
    heard = Heard()
    found = search(tmp_path, EPOCH, trials=1, repeats=0, progress=heard)
    assert "(t0) already trained" in str(heard)
    assert [path.stat().st_mtime_ns for path in run.weights] == before
    assert found.best[0].mean == run.score and runs(found) == [run]


def test_a_run_that_is_put_together_is_judged_on_the_scale_of_the_other_trials(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = train(tmp_path, EPOCH)
    metrics, score = run.metrics, run.score
    metrics["clean"]["score"] = score / 2  # as at the size of each picture
    write_json(run.metrics_path, metrics)
    assert search(tmp_path, EPOCH, trials=1, repeats=0).best[0].mean == pytest.approx(score)


def test_a_finished_run_without_a_stress_score_gets_it_where_that_is_climbed(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = train(tmp_path, EPOCH, stress="none")
    found = search(tmp_path, EPOCH, trials=1, objective="stress", repeats=0)
    assert found.best[0].mean == run.metrics["stress"]["score"] and runs(found) == [run]


def test_what_the_test_images_look_like_can_be_climbed(tmp_path: Path) -> None:
    prepare(tmp_path, of=looking)
    found = search(tmp_path, EPOCH, trials=2, objective="test-matched", repeats=0, of=looking)
    assert found.trials["failed"] == 0 and found.recipe is not None
    for trial in found.study.trials:
        assert trial.values == [run_of(found, trial).metrics["matched"]["score"]]


def test_averaged_weights_are_what_a_trial_is_judged_by(tmp_path: Path) -> None:
    prepare(tmp_path)
    found = search(tmp_path, "schedule.epochs=4", "schedule.average=swa", trials=1, repeats=0)
    (run,) = runs(found)
    for fold in run.folds:
        with np.load(fold.judged("clean"), allow_pickle=False) as stored:
            assert str(stored["weights"]) == hash_file(fold.weights)


def test_a_trial_that_fails_is_told_with_its_sentence_and_the_search_goes_on(tmp_path: Path) -> None:
    def suggest(trial: Suggesting) -> Recipe:
        wild = trial.suggest_categorical("optimizer.lr", [1e-3, 1e30])
        return replace(FIRST, optimizer=replace(FIRST.optimizer, lr=wild), seed=0)

    prepare(tmp_path)
    now_and_then, heard = replace(competition, suggest=suggest), Heard()
    found = search(tmp_path, EPOCH, trials=6, sampler="random", repeats=0, of=now_and_then, progress=heard)
    assert found.trials["failed"] and found.trials["finished"]
    assert "failed (the loss is no longer a number" in str(heard)
    always = replace(competition, recipes={"wild": override(FIRST, ["optimizer.lr=1e30"])})
    with pytest.raises(UserError, match="the first 3 trials failed, the last one so: the loss is no longer a number"):
        search(tmp_path, "optimizer.lr=1e30", EPOCH, of=always)


def test_a_trial_is_pruned_after_a_fold_and_finished_if_it_is_among_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def verdict(self: Rivals, study: Study, run: Run, mine: dict[str, Folds]) -> str | None:
        return "told to" if not run.name.startswith("first-t0") else None

    prepare(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Rivals, "verdict", verdict)
        patch.setattr("toolkit.tuning.finals.FINALISTS", 0)
        found = search(tmp_path, EPOCH, trials=3, repeats=0)
    assert found.trials["pruned"] == 2 and found.recipe is None
    pruned = found.study.trials[1]
    run = run_of(found, pruned)
    (trained,) = (fold for fold in run.folds if fold.weights.exists())
    assert trained.number == fold_order(0, pruned.number, 3)[0]
    before = trained.weights.stat().st_mtime_ns
    again = search(tmp_path, EPOCH, trials=3, repeats=0)
    assert run.finished and trained.weights.stat().st_mtime_ns == before, "its fold is not trained again"
    assert again.recipe is not None and again.choice is not None


def test_a_first_fold_is_pruned_at_an_epoch_and_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def end(self: Rivals, study: Study, fold: int, history: Sequence[Any], epochs: int) -> float | None:
        asked.append(len(history))
        return 0.25 if study.trials[-1].number == 1 and len(history) == 2 else None

    prepare(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Rivals, "end_if_pruned", end)
        patch.setattr("toolkit.tuning.finals.FINALISTS", 0)
        patch.setattr("toolkit.training.fold.LOOKING", math.inf)
        found = search(tmp_path, "schedule.epochs=4", trials=2, repeats=0)
    first, pruned = found.study.trials
    assert asked == [1, 2, 3, 1, 2] and pruned.state == TrialState.PRUNED
    assert pruned.user_attrs["note"].startswith("after 2 of 4 epochs") and pruned.intermediate_values == {0: 0.25}
    assert learning_curve(run_of(found, first).fold(0)).keys() == {0.25, 0.5, 0.75, 1.0}
    run = run_of(found, pruned)
    assert any(fold.state.exists() for fold in run.folds) and not any(fold.weights.exists() for fold in run.folds)
    path = tmp_path / "again.recipe"
    path.write_text(run.recipe_path.read_text())
    assert train(tmp_path, recipe=str(path)) == run
    prepare(tmp_path / "whole")
    whole = train(tmp_path / "whole", recipe=str(path))
    assert whole.oof_path.read_bytes() == run.oof_path.read_bytes()


def test_a_trial_too_slow_for_the_budget_is_pruned(
    tmp_path: Path, measured: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path)
    measured(1e-6)
    patient = search(tmp_path, budget=600.0, trials=1, repeats=0)
    assert patient.trials["finished"] == 1
    monkeypatch.setattr("toolkit.tuning.trial_runs.SLOW", 0.0)
    given = search(tmp_path, EPOCH, budget=600.0, trials=1, repeats=0)
    assert given.trials["finished"] == 1, "as long as it takes to train the epochs that were asked for"
    found = search(tmp_path, budget=660.0, trials=2, repeats=0)
    assert found.trials["pruned"] >= 1
    assert any(trial.user_attrs.get("note", "").startswith("too slow for the budget") for trial in found.study.trials)


def test_a_trial_whose_time_is_up_goes_on_with_the_next_search(
    tmp_path: Path, measured: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(context: TrialContext, trial: optuna.Trial) -> list[float]:
        context.clock.started = time.monotonic() - 570
        return evaluate(context, trial)

    prepare(tmp_path)
    measured(1e-6)
    with monkeypatch.context() as patch:
        patch.setattr("toolkit.tuning.search_loop.evaluate", late)
        cut = search(tmp_path, budget=600.0, trials=2, repeats=0)
    assert cut.trials["begun"] == 0 and cut.recipe is None
    assert any(isinstance(line, Warned) and "there is no winner" in line.text for line in cut.told())
    found = search(tmp_path, budget=600.0, trials=2, repeats=0)
    lost, again, _ = found.study.trials
    assert lost.params == again.params and again.user_attrs["retry_of"] == 0 and found.trials["begun"] == 2
