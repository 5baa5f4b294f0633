"""Trials are runs; what is trained is never trained again, what is clearly worse is not trained to its end."""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from optuna.study import Study
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from tests.conftest import START
from tests.tiny import FIRST, call, competition, prepare, train
from toolkit import console
from toolkit.competition import Competition
from toolkit.errors import UserError
from toolkit.recipe import Recipe, from_dict, override, to_dict
from toolkit.scoring.out_of_fold import finished_runs
from toolkit.search import _more_for_finals, _wait_for_others, add_options, search
from toolkit.search_space import Fixed, OutsideError, Suggesting, parameters
from toolkit.store import Workspace, hash_file, read_json, read_manifest
from toolkit.train import chosen_recipe, train_fold
from toolkit.training.loop import FoldJob
from toolkit.tuning import trial_runs as search_runs
from toolkit.tuning.pruning import Fold
from toolkit.tuning.study import RUN, counted, give_back, open_study
from toolkit.tuning.study import make_sampler as sampler
from toolkit.tuning.trials import Rivals, course, fold_order, read_objectives

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = ("schedule.epochs=1", "--repeats", "0")


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """They take seconds, and most tests don't look at them."""
    if "pictures" not in request.keywords:
        monkeypatch.setattr("toolkit.tuning.summary.draw", lambda *_: [])


def searched(root: Path, *more: str, of: Competition = competition) -> dict[str, Any]:
    made = console.parser("search", "", overrides=True)
    add_options(made)
    return call(search, made, root, *more, of=of)


def trials_of(root: Path, study: str) -> list[FrozenTrial]:
    folder = Workspace(root, "tiny-practice").folder / "search"
    return open_study("sqlite", folder, study, ["maximize"], sampler("random", 1, 0)[0]).get_trials()


def runs(root: Path) -> list[Path]:
    return sorted((root / "tiny-practice" / "train").iterdir())


def recipe(run: Path) -> Recipe:
    return from_dict(read_json(run / "recipe.json"))


# The space


def test_recipes_made_by_hand_are_read_backwards_into_the_parameters_that_make_them(competition: Competition) -> None:
    assert competition.suggest is not None
    outside = []
    for made in competition.first_trials:
        try:
            params = parameters(competition.suggest, made)
        except OutsideError:
            outside.append(made)
            continue
        suggested = competition.suggest(FixedTrial(params))
        assert replace(suggested, name=made.name) == made
        competition.rules.check(suggested)
    assert all(made.model.pretrained for made in outside), "only those whose weights are not at hand"
    robust = {made for made in competition.recipes.values() if made.name.endswith("robust")}  # outside the space
    assert set(competition.recipes.values()) - robust <= set(competition.first_trials)


def test_whatever_is_suggested_is_read_backwards_obeys_the_rules_and_can_be_built(competition: Competition) -> None:
    assert competition.suggest is not None
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    built = set()
    for _ in range(40):
        trial = study.ask()
        made = competition.suggest(trial)
        competition.rules.check(made)
        read = parameters(competition.suggest, made)
        assert read.keys() == trial.params.keys()
        assert all(read[name] == pytest.approx(value) for name, value in trial.params.items())
        if made.model.name not in built:
            competition.build_model(made)
            built.add(made.model.name)


@pytest.mark.parametrize("name", ["model.name", "optimizer.lr", "loss.names", "schedule.freeze"])
def test_a_given_field_is_not_searched_and_the_rest_goes_with_it(name: str, competition: Competition) -> None:
    assert competition.suggest is not None
    value = {
        "model.name": "small_unet" if competition.name == "mars" else "resnet18",
        "optimizer.lr": "5e-4",
        "loss.names": "focal",
        "schedule.freeze": "0",
    }[name]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(10):
        trial = study.ask()
        made = override(competition.suggest(Fixed(trial, [f"{name}={value}"])), [f"{name}={value}"])
        part: Any = made
        for field in name.split("."):
            part = getattr(part, field)
        assert part == (("focal",) if name == "loss.names" else type(part)(value))
        assert not any(known.partition("@")[0] == name for known in trial.params)
        competition.build_model(made)


def test_a_given_value_outside_the_space_is_an_error_that_says_what_there_is(mars: Competition) -> None:
    assert mars.suggest is not None
    trial = optuna.create_study().ask()
    with pytest.raises(UserError, match=r"model.name=vit is outside the search space, which has small_unet, unet"):
        mars.suggest(Fixed(trial, ["model.name=vit"]))
    with pytest.raises(
        UserError, match=r"loss.names=dice is outside the search space, which has focal, cross_entropy"
    ):
        mars.suggest(Fixed(trial, ["loss.names=dice"]))
    with pytest.raises(UserError, match=r"recipe field optimizer.lr is a number, got 'fast'"):
        mars.suggest(Fixed(trial, ["optimizer.lr=fast"]))


def test_a_recipe_that_the_space_can_not_make_says_why(mars: Competition) -> None:
    assert mars.suggest is not None
    for change, said in (
        ("optimizer.lr=1", r"optimizer.lr@adamw=1 is outside the space"),
        ("augment.cutmix=0.3", "augment.cutmix=0.3 is outside the space: 0 to 1, step 0.25"),
        ("loss.names=dice", "loss.names"),
        ("batch_size=7", "sets fields that are not searched"),
    ):
        with pytest.raises(OutsideError, match=said):
            parameters(mars.suggest, override(mars.recipes["small_unet"], [change]))


# The search


@pytest.mark.pictures
def test_a_search_leaves_runs_a_winner_and_pictures(tmp_path: Path) -> None:
    workspace = prepare(tmp_path)
    result = searched(tmp_path, "--trials", "5", "schedule.epochs=2")
    assert result["trials"]["begun"] == 5 and result["trials"]["failed"] == 0
    folder = workspace.folder / "search"
    assert {"history.png", "slice.png"} <= {path.name for path in folder.iterdir()}
    trials = trials_of(tmp_path, result["study"])
    for trial in trials:
        run = workspace.train / trial.user_attrs[RUN]
        made = recipe(run)
        assert made.schedule.epochs == 2 and made.name == f"first-t{trial.number}"
        if trial.state == TrialState.COMPLETE:
            assert trial.values == [pytest.approx(read_json(run / "metrics.json")["clean"]["score"])]
            assert list(trial.intermediate_values) == [1, 2, 3]
            assert trial.intermediate_values[3] == pytest.approx(trial.values[0])
    assert [t.user_attrs.get("recipe") for t in trials] == ["first", None, None, None, None]
    manifest = read_manifest(runs(tmp_path)[0])
    assert manifest is not None
    blended = finished_runs(workspace.train, manifest["data"], manifest["folds"])
    assert len(blended) == sum(t.state == TrialState.COMPLETE for t in trials) + 2, "and two repeats"
    best = max(t.values[0] for t in trials if t.state == TrialState.COMPLETE)
    assert result["naive"] == pytest.approx(best) and result["optimism"] == result["naive"] - result["crossfitted"]
    assert result["seeds"] == 2 and 0 < result["overhead_seconds"] < result["seconds"]
    winner = recipe(Path(result["run"]))
    assert from_dict(read_json(Path(result["recipe"]))) == winner
    again = train(tmp_path, "--recipe", result["recipe"])
    assert again == Path(result["run"]), "the same recipe is the same run"


def test_the_same_command_again_trains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path)
    first = searched(tmp_path, "--trials", "3", *QUICK)
    monkeypatch.setattr("toolkit.training.fold.fit_fold", None)
    again = searched(tmp_path, "--trials", "3", *QUICK)
    timed = {"seconds": 0, "overhead_seconds": 0}
    assert {**first, **timed} == {**again, **timed}


def test_a_finished_run_of_the_same_recipe_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=1")
    before = {path: path.stat().st_mtime_ns for path in run.rglob("weights.safetensors")}
    with monkeypatch.context() as patch:
        patch.setattr("toolkit.training.fold.fit_fold", None)
        result = searched(tmp_path, "--trials", "1", *QUICK)
    assert "trial 0 already trained" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert result["score"] == read_json(run / "metrics.json")["clean"]["score"] and runs(tmp_path) == [run]


def test_a_finished_run_without_a_stress_score_gets_it_where_that_is_climbed(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=1", "--stress", "none")
    result = searched(tmp_path, "--trials", "1", "--objective", "stress", *QUICK)
    assert result["score"] == read_json(run / "metrics.json")["stress"]["score"] and runs(tmp_path) == [run]


def test_trials_of_other_data_folds_objectives_fields_or_seeds_never_meet(tmp_path: Path) -> None:
    prepare(tmp_path)
    commands: list[tuple[str, ...]] = [
        ("schedule.epochs=1",),
        ("schedule.epochs=2",),
        ("schedule.epochs=1", "--seed", "1"),
        ("schedule.epochs=1", "--objective", "clean,seconds"),
    ]
    names = [searched(tmp_path, "--trials", "1", "--repeats", "0", *more)["study"] for more in commands]
    prepare(tmp_path, "--seed", "1")
    names.append(searched(tmp_path, "--trials", "1", "--repeats", "0", *commands[0])["study"])
    for suggest in (suggest_wider, suggest_smaller_batches):
        other = replace(competition, suggest=suggest)
        names.append(searched(tmp_path, "--trials", "1", "--repeats", "0", *commands[0], of=other)["study"])
    assert len(set(names)) == 7


def suggest_smaller_batches(trial: Suggesting) -> Recipe:
    assert competition.suggest is not None
    return replace(competition.suggest(trial), batch_size=4)


def suggest_wider(trial: Suggesting) -> Recipe:
    rate = trial.suggest_float("optimizer.lr", 1e-5, 1, log=True)
    batch = trial.suggest_categorical("batch_size", [8, 16])
    return replace(FIRST, batch_size=batch, optimizer=replace(FIRST.optimizer, lr=rate))


def test_two_objectives_have_a_front(tmp_path: Path) -> None:
    prepare(tmp_path)
    result = searched(tmp_path, "--trials", "4", "--objective", "clean,stress", *QUICK)
    folder = tmp_path / "tiny-practice" / "search"
    study = open_study("sqlite", folder, result["study"], ["maximize"] * 2, sampler("random", 1, 0)[0])
    finished = [t for t in study.get_trials() if t.state == TrialState.COMPLETE]
    assert finished and study.best_trials and study.metric_names == ["clean", "stress"]
    for trial in finished:
        metrics = read_json(tmp_path / "tiny-practice" / "train" / trial.user_attrs[RUN] / "metrics.json")
        assert trial.values == [metrics["clean"]["score"], metrics["stress"]["score"]]


@pytest.mark.pictures
def test_seconds_can_be_the_second_objective(tmp_path: Path) -> None:
    prepare(tmp_path)
    result = searched(tmp_path, "--trials", "3", "--objective", "clean,seconds", *QUICK)
    folder = tmp_path / "tiny-practice" / "search"
    directions: list[Any] = ["maximize", "minimize"]
    study = open_study("sqlite", folder, result["study"], directions, sampler("random", 1, 0)[0])
    assert all(t.values[1] > 0 for t in study.get_trials() if t.state == TrialState.COMPLETE)
    assert (folder / "pareto.png").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--objective", "speed"), "there is no objective 'speed'; there are clean, stress, test-matched, seconds"),
        (("--objective", "seconds"), "--objective names a score first"),
        (("--objective", "clean,clean"), "takes one or two different ones"),
        (("--objective", "stress", "--stress", "none"), "leave out --stress none"),
        (("--objective", "clean,test-matched", "--stress", "none"), "leave out --stress none"),
        (("--objective", "test-matched"), "needs test images that may be looked at, and tiny has none"),
        (("--sampler", "grid"), "there is no sampler 'grid'; there are auto"),
        (("--sampler", "cmaes", "--objective", "clean,stress"), "cmaes takes one objective"),
        (("--storage", "mysql://x"), "--storage mysql://x is not known"),
        (("--trials", "0"), "--trials must be at least 1, got 0"),
        (("--repeats", "-1"), "--repeats must not be negative"),
        (("--device", "cpu,cpu"), "start one search for each of cpu,cpu"),
        (("pseudo.rounds=1",), "leave out pseudo.rounds"),
        (("seed=3",), "use --seed"),
        (("optimizer.rate=1",), "recipe has no field 'optimizer.rate'"),
        (("--recipe", "third"), "tiny has no recipe 'third', nor is it a file; there are first, second"),
    ],
)
def test_wrong_usage_is_one_sentence_before_time_is_spent(more: tuple[str, ...], said: str, tmp_path: Path) -> None:
    workspace = prepare(tmp_path)
    with pytest.raises(UserError, match=said):
        searched(tmp_path, *more)
    assert not workspace.train.exists()


def test_a_competition_without_a_space_says_so(tmp_path: Path) -> None:
    prepare(tmp_path)
    with pytest.raises(UserError, match="tiny has no search space; give its Competition a suggest"):
        searched(tmp_path, of=replace(competition, suggest=None))


@pytest.mark.matched
def test_what_the_test_images_look_like_can_be_climbed(tmp_path: Path) -> None:
    prepare(tmp_path)
    result = searched(tmp_path, "--trials", "2", "--objective", "test-matched", *QUICK)
    assert result["trials"]["failed"] == 0 and result["recipe"] is not None
    for trial in trials_of(tmp_path, result["study"]):
        metrics = read_json(tmp_path / "tiny-practice" / "train" / trial.user_attrs[RUN] / "metrics.json")
        assert trial.values == [metrics["matched"]["score"]]


def test_averaged_weights_are_what_a_trial_is_judged_by(tmp_path: Path) -> None:
    prepare(tmp_path)
    searched(tmp_path, "--trials", "1", "schedule.epochs=4", "schedule.average=swa", "--repeats", "0")
    (run,) = runs(tmp_path)
    for judged in run.glob("fold_*/judged_clean.npz"):
        with np.load(judged, allow_pickle=False) as stored:
            assert str(stored["weights"]) == hash_file(judged.with_name("weights.safetensors"))


def test_a_trial_that_fails_is_told_with_its_sentence_and_the_search_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def suggest(trial: Suggesting) -> Recipe:
        wild = trial.suggest_categorical("optimizer.lr", [1e-3, 1e30])
        return replace(FIRST, optimizer=replace(FIRST.optimizer, lr=wild), seed=0)

    prepare(tmp_path)
    result = searched(
        tmp_path, "--trials", "6", "--sampler", "random", *QUICK, of=replace(competition, suggest=suggest)
    )
    assert result["trials"]["failed"] and result["trials"]["finished"]
    assert "failed (the loss is no longer a number" in capsys.readouterr().out
    hopeless = replace(competition, recipes={"wild": override(FIRST, ["optimizer.lr=1e30"])})
    with pytest.raises(UserError, match="the first 3 trials failed, the last one so: the loss is no longer a number"):
        searched(tmp_path, "optimizer.lr=1e30", *QUICK, of=hopeless)


def test_a_trial_is_given_up_after_a_fold_and_finished_if_it_is_among_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path)

    def verdict(self: Rivals, study: Study, run: Path, mine: dict[str, Sequence[Fold]]) -> str | None:
        return "told to" if not run.name.startswith("first-t0") else None

    with monkeypatch.context() as patch:
        patch.setattr(Rivals, "verdict", verdict)
        patch.setattr("toolkit.tuning.trial_runs.FINALISTS", 0)
        result = searched(tmp_path, "--trials", "3", *QUICK)
    assert result["trials"]["pruned"] == 2 and result["recipe"] is None
    pruned = trials_of(tmp_path, result["study"])[1]
    run = tmp_path / "tiny-practice" / "train" / pruned.user_attrs[RUN]
    (trained,) = run.glob("fold_*/weights.safetensors")
    assert trained.parent.name == f"fold_{fold_order(0, pruned.number, 3)[0]}"
    before = trained.stat().st_mtime_ns
    finished = searched(tmp_path, "--trials", "3", *QUICK)
    assert read_manifest(run) is not None and trained.stat().st_mtime_ns == before, "its fold is not trained again"
    assert finished["recipe"] is not None and finished["crossfitted"] is not None


def test_a_first_fold_is_given_up_at_an_epoch_and_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path)
    asked: list[int] = []

    def hopeless(self: Rivals, study: Study, fold: int, history: Sequence[Any], epochs: int) -> float | None:
        asked.append(len(history))
        return 0.25 if study.get_trials()[-1].number == 1 and len(history) == 2 else None

    with monkeypatch.context() as patch:
        patch.setattr(Rivals, "hopeless", hopeless)
        patch.setattr("toolkit.tuning.trial_runs.FINALISTS", 0)
        result = searched(tmp_path, "--trials", "2", "schedule.epochs=4", "--repeats", "0")
    first, pruned = trials_of(tmp_path, result["study"])
    assert asked == [1, 2, 3, 1, 2] and pruned.state == TrialState.PRUNED
    assert pruned.user_attrs["note"].startswith("after 2 of 4 epochs") and pruned.intermediate_values == {0: 0.25}
    train_folder = tmp_path / "tiny-practice" / "train"
    run = train_folder / pruned.user_attrs[RUN]
    assert list(run.glob("fold_*/state.pt")) and not list(run.glob("fold_*/weights.safetensors"))
    assert course(train_folder / first.user_attrs[RUN], 0).keys() == {0.25, 0.5, 0.75, 1.0}
    path = tmp_path / "again.recipe"
    path.write_text((run / "recipe.json").read_text())
    assert train(tmp_path, "--recipe", str(path)) == run
    prepare(tmp_path / "whole")
    whole = train(tmp_path / "whole", "--recipe", str(path))
    assert (whole / "oof.npy").read_bytes() == (run / "oof.npy").read_bytes()


def test_a_repeat_that_fails_costs_no_winner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = train_fold

    def diverging(job: FoldJob, *more: Any, **named: Any) -> str:
        if job.recipe.seed:
            raise UserError("the loss is no longer a number")
        return trained(job, *more, **named)

    prepare(tmp_path)
    monkeypatch.setattr(search_runs, "train_fold", diverging)
    result = searched(tmp_path, "--trials", "2", "schedule.epochs=1")
    assert result["seeds"] == 1 and result["recipe"] is not None
    assert "warning: first-t" in capsys.readouterr().out


def test_the_best_are_repeated_before_time_goes_into_putting_runs_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = prepare(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(search_runs, "merge", None)
        patch.setattr(search_runs, "merge_all", lambda context, best: len(best))
        result = searched(tmp_path, "--trials", "2", "schedule.epochs=1")
    assert result["seeds"] == 2 and (workspace.folder / "search" / "best.recipe").exists()
    assert not any(read_manifest(run) for run in runs(tmp_path))
    again = searched(tmp_path, "--trials", "2", "schedule.epochs=1")
    assert again["score"] == pytest.approx(result["score"]) and all(read_manifest(run) for run in runs(tmp_path))
    scored = [read_json(run / "metrics.json")["stress"] is not None for run in runs(tmp_path)]
    assert sum(scored) == 2, "repeats are for the clean score alone"


def test_a_repeat_that_fails_makes_no_other_trial_the_winner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path)
    before = searched(tmp_path, "--trials", "3", *QUICK)
    best = Path(before["run"]).name.rpartition("-")[0]
    trained = train_fold

    def diverging(job: FoldJob, *more: Any, **named: Any) -> str:
        if job.folder.parent.name.startswith(f"{best}-s1"):
            raise UserError("the loss is no longer a number")
        return trained(job, *more, **named)

    monkeypatch.setattr(search_runs, "train_fold", diverging)
    result = searched(tmp_path, "--trials", "3", "schedule.epochs=1")
    assert len(runs(tmp_path)) == 5, "the other one was repeated"
    assert (result["run"], result["score"], result["seeds"]) == (before["run"], before["score"], 1)


def test_the_search_ends_after_so_many_trials_without_gain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path)
    values = iter([0.5, 0.4, 0.6, 0.6, 0.5, 0.3, 0.9])
    monkeypatch.setattr(search_runs, "evaluate", lambda context, trial: [next(values)])
    monkeypatch.setattr(search_runs, "finals", lambda context: [])
    result = searched(tmp_path, "--until-no-gain", "3")
    assert result["trials"]["begun"] == 6


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let a training step seem to take so many seconds."""

    def install(seconds: float) -> None:
        def measure_speed(job: FoldJob) -> tuple[float, float]:
            return seconds, 0.0

        monkeypatch.setattr("toolkit.training.fold.measure_speed", measure_speed)

    return install


def test_a_budget_decides_on_the_epochs_once(tmp_path: Path, measured: Callable[[float], None]) -> None:
    prepare(tmp_path)
    steps = 3 * (48 // 8)
    measured(600 * 0.8 / 2 / 1.5 / steps / 3.5)
    first = searched(tmp_path, "--budget", "10m", "--trials", "2", "--repeats", "0")
    measured(1e-6)
    again = searched(tmp_path, "--budget", "10m", "--trials", "3", "--repeats", "0")
    assert again["study"] == first["study"]
    assert [recipe(run).schedule.epochs for run in runs(tmp_path)] == [3, 3, 3]
    other = searched(tmp_path, "--budget", "11m", "--trials", "1", "--repeats", "0")
    assert other["study"] != first["study"]
    assert {recipe(run).schedule.epochs for run in runs(tmp_path)} == {3, 4}, "4 are the recipe's own, and the most"
    measured(60)
    with pytest.raises(UserError, match="the budget of 9 min 00 s is too short for 16 trials of one epoch on 3 folds"):
        searched(tmp_path, "--budget", "9m")


def test_a_trial_too_slow_for_the_budget_is_given_up(
    tmp_path: Path, measured: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path)
    measured(1e-6)
    patient = searched(tmp_path, "--budget", "10m", "--trials", "1", "--repeats", "0")
    assert patient["trials"]["finished"] == 1
    monkeypatch.setattr("toolkit.tuning.trial_runs.SLOW", 0.0)
    given = searched(tmp_path, "--budget", "10m", "--trials", "1", *QUICK)
    assert given["trials"]["finished"] == 1, "as long as it takes to train the epochs that were asked for"
    result = searched(tmp_path, "--budget", "11m", "--trials", "2", "--repeats", "0")
    assert result["trials"]["pruned"] >= 1
    noted = [t.user_attrs.get("note", "") for t in trials_of(tmp_path, result["study"])]
    assert any(note.startswith("too slow for the budget") for note in noted)


def test_a_trial_whose_time_is_up_goes_on_with_the_next_search(
    tmp_path: Path,
    measured: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepare(tmp_path)
    measured(1e-6)
    begin = search_runs.evaluate

    def late(context: search_runs.Search, trial: optuna.Trial) -> list[float]:
        context.clock.begin_until = context.clock.cut_at = time.time()
        return begin(context, trial)

    with monkeypatch.context() as patch:
        patch.setattr(search_runs, "evaluate", late)
        cut = searched(tmp_path, "--budget", "10m", "--trials", "2", "--repeats", "0")
    assert cut["trials"]["begun"] == 0 and cut["recipe"] is None
    assert "there is no winner" in capsys.readouterr().out
    result = searched(tmp_path, "--budget", "10m", "--trials", "2", "--repeats", "0")
    lost, again, _ = trials_of(tmp_path, result["study"])
    assert lost.params == again.params and again.user_attrs["retry_of"] == 0 and result["trials"]["begun"] == 2


def test_more_time_is_kept_for_the_finals_where_the_best_trials_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 40 minutes 8 are kept; repeating two trials of 3 minutes, after one more like them, takes 9."""
    took = {"a": 180.0, "b": 120.0, "c": 999.0}
    monkeypatch.setattr("toolkit.tuning.trials.seconds", lambda run, folds: took[run.name])

    def more(*names: str, repeats: int = 1, merging: float = 0.0) -> float:
        state = optuna.trial.TrialState
        best = [(SimpleNamespace(state=state.COMPLETE, user_attrs={RUN: name}), 0.5) for name in names]
        pruned = SimpleNamespace(state=state.PRUNED, user_attrs={RUN: "c"})
        context: Any = SimpleNamespace(
            options=SimpleNamespace(budget=2400.0, repeats=repeats),
            clock=search_runs.Clock(0, begin_until=1920.0, deadline=2400.0, merging=merging),
            rivals=SimpleNamespace(ranking=lambda study: [(pruned, 0.6), *best], train=Path()),
            study=None,
            folds=3,
        )
        return _more_for_finals(context)

    assert more() == 0
    assert more("b", "b") == 0, "3 * 120, and a quarter of a training for the scores of three"
    assert more("a", "b") == pytest.approx(3 * 180 + 3 * 45 - 480)
    assert more("b", "b", "a", "c") == more("b", "b"), "the two best of them are repeated"
    assert more("a", "b", repeats=0) == 0
    assert more("a", "b", merging=60) == pytest.approx(3 * 180 + 3 * 60 - 480)
    assert more("a", "b", repeats=9) == pytest.approx(0.4 * 2400 - 480)


def test_a_trial_that_another_process_left_is_begun_by_who_waits(tmp_path: Path) -> None:
    study = optuna.create_study()
    study.ask().suggest_float("x", 0, 1)
    give_back(study, study.get_trials()[0], 0)
    context: Any = SimpleNamespace(
        study=study,
        folder=tmp_path,
        options=SimpleNamespace(trials=1, until_no_gain=None),
        clock=search_runs.Clock(0),
    )
    assert _wait_for_others(context)
    study.tell(study.ask(), 0.5)
    assert not _wait_for_others(context)


def test_an_order_of_folds_is_its_trials_own(tmp_path: Path) -> None:
    orders = [fold_order(0, number, 4) for number in range(20)]
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert orders == [fold_order(0, number, 4) for number in range(20)]
    assert {order[0] for order in orders} == {0, 1, 2, 3}


def test_objectives_know_their_direction() -> None:
    assert [one.direction for one in read_objectives("clean,seconds")] == ["maximize", "minimize"]


def search_until_killed(root: Path, trials: int) -> None:
    torch.set_num_threads(1)
    searched(root, "--trials", str(trials), "schedule.epochs=3", "--repeats", "0")


def test_a_search_killed_again_and_again_loses_nothing(tmp_path: Path) -> None:
    prepare(tmp_path)
    random = np.random.default_rng()
    for _ in range(4):
        process = START.Process(target=search_until_killed, args=(tmp_path, 6))
        process.start()
        process.join(random.uniform(1.0, 4.0))
        if process.exitcode is None and process.pid is not None:
            os.kill(process.pid, 9)
        process.join()
    result = searched(tmp_path, "--trials", "6", "schedule.epochs=3", "--repeats", "0")
    trials = trials_of(tmp_path, result["study"])
    assert len(counted(trials)) == 6 and result["trials"]["begun"] == 6
    assert not [t for t in trials if t.state == TrialState.RUNNING]
    for trial in trials:
        if trial.state == TrialState.COMPLETE:
            run = tmp_path / "tiny-practice" / "train" / trial.user_attrs[RUN]
            assert trial.values == [pytest.approx(read_json(run / "metrics.json")["clean"]["score"])]
    assert len({t.user_attrs[RUN] for t in counted(trials) if RUN in t.user_attrs}) == len(runs(tmp_path))


def test_two_searches_share_the_trials_and_no_run_is_trained_twice(tmp_path: Path) -> None:
    prepare(tmp_path)
    both = [START.Process(target=search_until_killed, args=(tmp_path, 6)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
        assert process.exitcode == 0
    result = searched(tmp_path, "--trials", "6", "schedule.epochs=3", "--repeats", "0")
    trials = trials_of(tmp_path, result["study"])
    assert result["trials"]["begun"] == 6 == len(trials)
    assert len({t.user_attrs["owner"]["pid"] for t in trials}) == 2


# A recipe from a file


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not readable JSON"),
        ("[1]", "holds no recipe: expected a JSON object"),
        ('{"name": "x"}', "recipe field model: Field required"),
        ('{"name": "x", "model": {"name": "tiny", "depth": 3}}', "recipe field model.depth"),
    ],
)
def test_a_file_that_holds_no_recipe_is_an_error(text: str, said: str, tmp_path: Path) -> None:
    prepare(tmp_path)
    path = tmp_path / "some.recipe"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as error:
        train(tmp_path, "--recipe", str(path))
    assert str(path) in str(error.value)


def test_a_recipe_from_a_file_keeps_its_seed(tmp_path: Path) -> None:
    path = tmp_path / "some.recipe"
    path.write_text(json.dumps(to_dict(override(FIRST, ["seed=7"]))))
    made = {
        seed: chosen_recipe(competition, argparse.Namespace(recipe=str(path), overrides=[], seed=seed))
        for seed in (0, 3)
    }
    assert (made[0].seed, made[3].seed) == (7, 3)


def test_too_little_memory_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError

    prepare(tmp_path)
    monkeypatch.setattr("toolkit.training.fold.fit_fold", full)
    with pytest.raises(UserError, match="did not fit into memory; lower batch_size"):
        train(tmp_path, "schedule.epochs=1")


def test_a_recipe_from_a_file_takes_overrides_and_obeys_the_rules(tmp_path: Path) -> None:
    path = tmp_path / "some.recipe"
    path.write_text(json.dumps(to_dict(override(FIRST, ["name=found", "model.pretrained=true"]))))
    options = argparse.Namespace(recipe=str(path), overrides=["batch_size=4"], seed=3)
    made = chosen_recipe(competition, options)
    assert (made.name, made.batch_size, made.seed) == ("found", 4, 3)
    strict = replace(competition, rules=replace(competition.rules, pretrained=False))
    with pytest.raises(UserError, match="recipe found asks for pretrained weights"):
        chosen_recipe(strict, options)
