"""A search leaves a winner; what is trained is never trained again, whoever is killed and however many share it."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from optuna.trial import TrialState

from tests.conftest import START
from tests.tiny import FIRST, Heard, build_model, competition, prepare, project, train
from tests.tuning.studies import EPOCH, run_of, runs, search
from toolkit import F1, needs
from toolkit.errors import UserError
from toolkit.progress import SILENT
from toolkit.recipe import Chosen, Recipe, read_recipe
from toolkit.runs import current_runs
from toolkit.search_space import Suggesting
from toolkit.tuning import search_loop
from toolkit.tuning.board import Board
from toolkit.tuning.clock import Clock, passed, start
from toolkit.tuning.search_loop import wait_for_others
from toolkit.tuning.settings import CLEAN, SearchSettings
from toolkit.tuning.study import begun_trials, give_back, place_of
from toolkit.tuning.trial_runs import TrialContext
from toolkit.tuning.trials import Rivals

pytestmark = pytest.mark.usefixtures("one_thread")
quick = pytest.mark.usefixtures("no_pictures")


def test_a_search_leaves_runs_a_winner_and_pictures(tmp_path: Path) -> None:
    project = prepare(tmp_path)
    found = search(tmp_path, "schedule.epochs=2", trials=5)
    assert found.trials["begun"] == 5 and found.trials["failed"] == 0
    assert {"history.png", "slice.png"} <= {path.name for path in project.workspace.search.iterdir()}
    trials = found.study.trials
    finished = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    for trial in trials:
        made = run_of(found, trial).recipe
        assert made.schedule.epochs == 2 and made.name == f"first-t{trial.number}"
    for trial in finished:
        assert trial.values == [pytest.approx(run_of(found, trial).score)]
        assert list(trial.intermediate_values) == [1, 2, 3]
        assert trial.intermediate_values[3] == pytest.approx(trial.values[0])
    assert [t.user_attrs.get("recipe") for t in trials] == ["first", None, None, None, None]
    finals = {run for final in found.best for run in final.runs}
    assert set(current_runs(found.labelled)) == finals | {run_of(found, trial) for trial in finished}
    assert len({run.recipe.seed for run in finals}) == 2, "two are repeated"
    values = found.as_json()
    assert values["naive"] == pytest.approx(max(trial.values[0] for trial in finished))
    assert values["score"] == values["crossfitted"] and values["low"] <= values["score"] <= values["high"]
    assert values["optimism"] == values["naive"] - values["score"]
    assert values["optimism_low"] <= values["optimism"] <= values["optimism_high"]
    assert values["seeds"] == 2 and values["fresh"] == list(found.best[0].values[1:])
    assert (
        f"expect {values['score']:.4f} (" in str(found.told()[-2])
        and 0 < values["overhead_seconds"] < values["seconds"]
    )
    assert train(tmp_path, recipe=values["recipe"]) == found.run, "the same recipe is the same run"
    assert found.recipe == project.recipe(values["recipe"])


@quick
def test_what_a_search_chose_says_so_wherever_it_is_trained(tmp_path: Path) -> None:
    prepare(tmp_path)
    by_hand = train(tmp_path, EPOCH, stress="none")
    assert by_hand.chosen is None
    found = search(tmp_path, EPOCH, trials=3, stress="none")
    study = found.study.study_name
    stored = [run_of(found, trial).recipe.chosen for trial in found.study.trials]
    assert stored == [Chosen(study, number + 1, "clean") for number in range(3)]
    assert run_of(found, found.study.trials[0]) == by_hand, "trained by hand, and then a trial"
    assert {run.beside for run in runs(found)} == {", chosen among 3 trials"}
    best = str(found.as_json()["recipe"])
    longer = train(tmp_path, "schedule.epochs=2", recipe=best, stress="none")
    assert longer.as_json()["chosen"] == {"study": study, "trials": 3, "objective": "clean"}
    assert longer.told()[0].title == f"{longer.name}, chosen among 3 trials"
    elsewhere = prepare(tmp_path / "elsewhere", seed=1)
    assert elsewhere.train(best, stress="none").chosen == Chosen(study, 3, "clean")
    assert train(tmp_path, EPOCH, stress="none").chosen == Chosen(study, 3, "clean"), "the same recipe by hand, again"


@quick
def test_all_finished_trials_are_put_together_and_the_finals_predict_test_images(tmp_path: Path) -> None:
    prepare(tmp_path)
    found = search(tmp_path, EPOCH, trials=9, repeats=0, stress="none")
    finals = {final.runs[0] for final in found.best}
    whole = {run_of(found, trial) for trial in found.study.trials if trial.state == TrialState.COMPLETE}
    assert found.left == 0 and all(run.complete for run in whole) and whole - finals
    assert {run for run in runs(found) if run.test is not None} == finals
    late = min(whole - finals, key=lambda run: run.name)
    told = Heard()
    train_again = project(tmp_path, progress=told).train(str(late.recipe_path), stress="none")
    assert train_again == late and late.test is not None and late.test.shape == (18, 3)
    assert f"{late.name}: predicting 18 test images, 3 networks each" in told.lines


@quick
def test_a_search_that_began_with_what_another_chose_counts_its_trials_too(tmp_path: Path) -> None:
    prepare(tmp_path)
    first = search(tmp_path, EPOCH, trials=2, repeats=0)
    best = tmp_path / "kept.recipe"
    best.write_text(first.labelled.workspace.best_recipe.read_text())
    found = search(tmp_path, EPOCH, trials=2, repeats=0, recipe=str(best))
    assert found.recipe is not None and found.study.study_name != first.study.study_name
    assert read_recipe(found.labelled.workspace.best_recipe).chosen == Chosen(found.study.study_name, 4, "clean")
    alone = search(tmp_path, EPOCH, trials=1, repeats=0, recipe=str(best), objective="clean,seconds")
    assert alone.score is None and alone.as_json()["before"] == 2, "it was chosen among the trials of another"
    told = " ".join(map(str, alone.told()))
    assert "chosen among 2 trials of an earlier search; no score" in told and "nothing was chosen" not in told


@quick
def test_a_single_trial_was_chosen_among_none(tmp_path: Path) -> None:
    prepare(tmp_path)
    found = search(tmp_path, EPOCH, trials=1, repeats=0)
    assert found.choice is None and found.score == found.best[0].values[0] and found.as_json()["optimism"] is None
    assert "nothing was chosen, so expect its score" in str(found.told()[-2])


@quick
def test_a_search_for_the_stress_score_says_what_its_choice_is_worth_on_that_scale(tmp_path: Path) -> None:
    prepare(tmp_path)
    found = search(tmp_path, EPOCH, trials=4, objective="stress", repeats=0)
    assert found.choice is not None
    ranked = [run_of(found, trial) for trial in found.ranked]
    scores = [run.metrics["stress"]["score"] for run in ranked if run.finished]
    assert found.choice.naive == pytest.approx(max(scores)) and found.choice.candidates == len(scores)
    assert found.choice.score == pytest.approx(found.choice.naive - found.choice.optimism)
    assert found.choice.low < found.choice.score < found.choice.high


@quick
def test_the_same_command_again_trains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path)
    first = search(tmp_path, EPOCH, trials=3, repeats=0)
    monkeypatch.setattr("toolkit.training.cross_validation.fit_fold", None)
    again = search(tmp_path, EPOCH, trials=3, repeats=0)
    timed = {"seconds": 0, "overhead_seconds": 0}
    assert {**first.as_json(), **timed} == {**again.as_json(), **timed}


@quick
def test_trials_of_other_data_folds_objectives_fields_or_seeds_never_meet(tmp_path: Path) -> None:
    def suggest_smaller_batches(trial: Suggesting) -> Recipe:
        assert competition.suggest is not None
        return replace(competition.suggest(trial), batch_size=4)

    def suggest_wider(trial: Suggesting) -> Recipe:
        rate = trial.suggest_float("optimizer.lr", 1e-5, 1, log=True)
        batch = trial.suggest_categorical("batch_size", [8, 16])
        return replace(FIRST, batch_size=batch, optimizer=replace(FIRST.optimizer, lr=rate))

    def name(*fields: str, **more: Any) -> str:
        return search(tmp_path, *(fields or (EPOCH,)), trials=1, repeats=0, **more).study.study_name

    prepare(tmp_path)
    names = [name(), name("schedule.epochs=2"), name(seed=1), name(objective="clean,seconds")]
    prepare(tmp_path, seed=1)
    others = (replace(competition, suggest=suggest) for suggest in (suggest_wider, suggest_smaller_batches))
    names += [name(), *(name(of=other) for other in others)]
    assert len(set(names)) == 7


@quick
def test_two_objectives_have_a_front(tmp_path: Path) -> None:
    prepare(tmp_path)
    found = search(tmp_path, EPOCH, trials=4, objective="clean,stress", repeats=0)
    finished = [trial for trial in found.study.trials if trial.state == TrialState.COMPLETE]
    assert finished and found.study.best_trials and found.study.metric_names == ["clean", "stress"]
    for trial in finished:
        metrics = run_of(found, trial).metrics
        assert trial.values == [metrics["clean"]["score"], metrics["stress"]["score"]]


def test_seconds_can_be_the_second_objective(tmp_path: Path) -> None:
    prepare(tmp_path)
    found = search(tmp_path, EPOCH, trials=2, objective="clean,seconds", repeats=0)
    assert all(trial.values[1] > 0 for trial in found.study.trials if trial.state == TrialState.COMPLETE)
    assert "pareto.png" in [path.name for path in found.pictures]


@quick
def test_the_search_ends_after_so_many_trials_without_gain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path)
    values = iter([0.5, 0.4, 0.6, 0.6, 0.5, 0.3, 0.9])
    monkeypatch.setattr("toolkit.tuning.search_loop.evaluate", lambda context, trial: [next(values)])
    monkeypatch.setattr("toolkit.tuning.search_loop.finals", lambda context: [])
    assert search(tmp_path, until_no_gain=3).trials["begun"] == 6


@quick
def test_a_budget_decides_on_the_epochs_once(tmp_path: Path, measured: Callable[[float], None]) -> None:
    prepare(tmp_path)
    steps = 3 * (48 // 8)
    measured(600 * 0.8 / 2 / 1.5 / steps / 3.5)
    first = search(tmp_path, budget=600.0, trials=2, repeats=0)
    measured(1e-6)
    again = search(tmp_path, budget=600.0, trials=3, repeats=0)
    assert again.study.study_name == first.study.study_name
    assert [run.recipe.schedule.epochs for run in runs(again)] == [3, 3, 3]
    other = search(tmp_path, budget=660.0, trials=1, repeats=0)
    assert other.study.study_name != first.study.study_name
    assert {run.recipe.schedule.epochs for run in runs(other)} == {3, 4}, "4 are the recipe's own, and the most"
    measured(60)
    with pytest.raises(UserError, match="the budget of 9 min 00 s is too short for 16 trials of one epoch on 3 folds"):
        search(tmp_path, budget=540.0)


def test_a_budget_is_that_of_the_whole_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried before the first trial counts."""

    def long(*given: Any) -> Any:
        time.sleep(0.4)
        return tried(*given)

    prepare(tmp_path)
    tried, begun = needs.tried, time.monotonic()
    monkeypatch.setattr(needs, "tried", long)
    monkeypatch.setattr(search_loop, "_search", lambda labelled, settings, progress, clock: clock)
    clock: Any = search(tmp_path, budget="10s")
    assert clock.started - begun < 0.2 and clock.budget == 10


def test_a_budget_that_is_over_before_the_first_trial_says_so(
    tmp_path: Path, measured: Callable[[float], None]
) -> None:
    labelled = prepare(tmp_path).labelled()
    measured(1e-6)
    late = Clock(time.monotonic() - 7200, 30.0)
    with pytest.raises(UserError, match="30 s was over before the first trial: what comes before it took 120 min"):
        search_loop.search(labelled, SearchSettings(budget=30.0), clock=late)
    assert late.for_measuring == 0 and Clock(time.monotonic(), 1e6).for_measuring == pytest.approx(8e4, rel=1e-3)


@quick
def test_trials_scored_by_two_metrics_never_meet(tmp_path: Path) -> None:
    prepare(tmp_path)
    one = search(tmp_path, EPOCH, trials=1, repeats=0, stress="none")
    other = search(tmp_path, EPOCH, trials=1, repeats=0, stress="none", of=replace(competition, metric=F1()))
    assert [len(found.study.trials) for found in (one, other)] == [1, 1]
    assert one.study.study_name != other.study.study_name
    assert other.study.trials[0].value == pytest.approx(run_of(other, other.study.trials[0]).score, abs=0.2)
    again = search(tmp_path, EPOCH, trials=1, repeats=0, stress="none")
    assert again.study.study_name == one.study.study_name


def test_the_best_so_far_says_among_how_many(tmp_path: Path) -> None:
    study, told = optuna.create_study(direction="maximize"), Heard()
    board = Board(study, 3, None, told)
    for value in (0.25, 0.5, 0.125):
        study.tell(study.ask(), value)
        board.ended(study.trials[-1])
    assert (
        told.lines[-1].startswith("trial 3 (t2) finished, 0.1250, ") and ", best of 3: 0.5000 (t1): " in told.lines[-1]
    )


def test_a_trial_that_another_process_left_is_begun_by_who_waits(tmp_path: Path) -> None:
    study, labelled = optuna.create_study(), prepare(tmp_path).labelled()
    study.ask().suggest_float("x", 0, 1)
    give_back(study, study.trials[0], {})
    board = Board(study, labelled.folds, None, SILENT)
    context = TrialContext(SearchSettings(trials=1), study, Rivals(labelled, (CLEAN,)), None, Clock(0), board)
    assert wait_for_others(context)
    study.tell(study.ask(), 0.5)
    assert not wait_for_others(context)


def search_until_killed(root: Path) -> None:
    torch.set_num_threads(1)
    search(root, EPOCH, trials=5, repeats=0)


@quick
def test_a_search_killed_again_and_again_loses_nothing(tmp_path: Path) -> None:
    prepare(tmp_path)
    rng = np.random.default_rng()
    for _ in range(3):
        process = START.Process(target=search_until_killed, args=(tmp_path,))
        process.start()
        process.join(rng.uniform(0.5, 2.5))
        if process.exitcode is None and process.pid is not None:
            os.kill(process.pid, 9)
        process.join()
    found = search(tmp_path, EPOCH, trials=5, repeats=0)
    trials = found.study.trials
    begun = begun_trials(trials)
    assert len(begun) == 5 == found.trials["begun"]
    assert not [trial for trial in trials if trial.state == TrialState.RUNNING]
    for trial in trials:
        if trial.state == TrialState.COMPLETE:
            assert trial.values == [pytest.approx(run_of(found, trial).score)]
    # one that is tried again may be killed before it names its run
    assert {run_of(found, trial) for trial in trials if "run" in trial.user_attrs} == set(runs(found))


def whole_search(root: Path) -> None:
    torch.set_num_threads(1)
    search(root, "schedule.epochs=3", trials=4, repeats=0, stress="none", sampler="random")


@quick
def test_a_search_killed_in_the_middle_of_a_trial_ends_with_the_same_trials_and_winner(tmp_path: Path) -> None:
    found: dict[str, Any] = {}
    for name in ("whole", "killed"):
        project = prepare(tmp_path / name)
        train, rest = project.workspace.train, 4
        while name == "killed" and rest > 2:  # killed in its first trial, and in its second
            process = START.Process(target=whole_search, args=(tmp_path / name,))
            process.start()
            while process.is_alive() and len(list(train.glob("*/fold_*/manifest.json"))) < 1 + 3 * (4 - rest):
                time.sleep(0.002)
            assert process.pid is not None
            os.kill(process.pid, 9)
            process.join()
            assert process.exitcode == -9
            rest -= 1
        made = search(tmp_path / name, "schedule.epochs=3", trials=4, repeats=0, stress="none", sampler="random")
        begun = sorted(begun_trials(made.study.trials), key=place_of)
        trials = [(t.params, t.values, t.user_attrs["run"], t.state.name) for t in begun]
        found[name] = trials, project.workspace.best_recipe.read_text()
        lost = len(made.study.trials) - len(begun)
    assert found["whole"] == found["killed"] and lost == 2


@quick
def test_a_clock_that_is_set_neither_stretches_nor_ends_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = start(SearchSettings(budget=100.0))
    now = time.time()
    for jump in (-7200.0, 7200.0, 1e9):
        monkeypatch.setattr(time, "time", lambda jump=jump: now + jump)
        assert clock.fits(50.0) and not clock.fits(101.0) and not passed(clock.begin_until)


@quick
@pytest.mark.parametrize("built", [True, False])
def test_a_network_that_does_not_work_ends_its_trial_and_not_the_search(
    built: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(recipe: Recipe) -> torch.nn.Module:
        made = build_model(recipe)
        if recipe.batch_size == 16:
            if not built:
                raise KeyError("no such network")
            made.register_forward_pre_hook(lambda network, given: given[0].no_such_attribute)
        return made

    monkeypatch.setitem(vars(competition), "build_model", build)
    prepare(tmp_path)
    found = search(tmp_path, EPOCH, trials=6, repeats=0, sampler="random", stress="none")
    failed = [t for t in found.study.trials if t.state == TrialState.FAIL]
    assert 0 < len(failed) < 6 and found.recipe is not None
    assert {t.params["batch_size"] for t in failed} == {16}
    said = "the network can't take images" if built else "can't build the network of recipe first"
    assert all(said in t.user_attrs["error"] for t in failed)


@quick
def test_two_searches_share_the_trials_and_no_run_is_trained_twice(tmp_path: Path) -> None:
    prepare(tmp_path)
    both = [START.Process(target=search_until_killed, args=(tmp_path,)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
        assert process.exitcode == 0
    found = search(tmp_path, EPOCH, trials=5, repeats=0)
    trials = found.study.trials
    assert found.trials["begun"] == 5 == len(trials)
    assert len({trial.user_attrs["owner"]["pid"] for trial in trials}) == 2
