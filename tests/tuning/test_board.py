"""What a search shows while it runs: which trial, how long still, and recipes as the command line takes them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import optuna
import pytest
from rich.console import Console

from tests.tiny import Heard
from toolkit.tuning.board import Board, short, varying

STATE = optuna.trial.TrialState
SPACE: dict[str, Any] = {
    "model.name": optuna.distributions.CategoricalDistribution(["unet"]),
    "loss.names": optuna.distributions.CategoricalDistribution(["focal", "dice"]),
    "optimizer.lr@lion": optuna.distributions.FloatDistribution(1e-5, 1.0),
}


class Terminal(Heard):
    """One that can draw."""

    @contextmanager
    def live(self, view: Any, now: Any, ahead: Any) -> Iterator[bool]:
        self.view, self.now, self.ahead = view, now, ahead
        yield True


def ended(
    state: optuna.trial.TrialState, loss: str, rate: float, folds: int, score: float
) -> optuna.trial.FrozenTrial:
    params = {"model.name": "unet", "loss.names": loss, "optimizer.lr@lion": rate}
    values: dict[str, Any] = {"value": score} if state == STATE.COMPLETE else {}
    return optuna.trial.create_trial(
        state=state,
        params=params,
        distributions=SPACE,
        user_attrs={"folds": folds},
        intermediate_values={folds: score},
        **values,
    )


@pytest.fixture
def study() -> optuna.Study:
    study = optuna.create_study(direction="maximize")
    study.add_trial(ended(STATE.COMPLETE, "focal", 0.001, 3, 0.5))
    study.add_trial(ended(STATE.PRUNED, "dice", 0.01, 2, 0.41))
    return study


def test_a_recipe_has_its_rate_first_its_groups_and_no_constants(study: optuna.Study) -> None:
    first, second = study.trials
    told = varying([first, second])
    assert short(first, told) == "optimizer.lr=0.001 loss.names=focal"
    assert short(second, told) == "optimizer.lr=0.01 loss.names=dice"
    assert short(first, varying([first])) == "optimizer.lr=0.001 model.name=unet loss.names=focal"


def test_the_live_table_marks_a_pruned_trial_and_after_how_many_folds(study: optuna.Study) -> None:
    terminal = Terminal()
    board = Board(study, 3, None, terminal, 4)
    with board.live():
        board.read()
        console = Console(width=90, color_system=None)
        with console.capture() as captured:
            console.print(terminal.view())
    first, second = captured.get().splitlines()[1:3]
    assert first.split()[:3] == ["t0", "0.5000", "finished"] and "loss.names=focal" in first
    assert "0.4100 pruned after 2 of 3 folds" in " ".join(second.split())


def test_trials_and_finals_are_counted_and_their_time_is_told(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    board = Board(study, 2, None, Heard(), wanted=4, repeats=1)
    board.begin(0)
    assert board.now == "trial 1 of 4: preparing" and board.left() is None
    board.watch("", 4, 0)(0, 2, "loss 0.4")
    now[0] = 10.0
    assert board.now == "trial 1 of 4: fold 1/2 epoch 3/4 loss 0.4" and (board.left() or 0) > 20
    board.fold_ended()
    board.final(1, 3, 0, 2)
    assert board.now == "finals: 1 of 3 trained, then 2 repeats"
    before = board.left()
    board.final(3, 3, 1, 2)
    assert board.now == "finals: 1 of 2 repeats trained" and (board.left() or 0) < (before or 0)
    board.fold_ended()
    board.fold_ended()
    assert board.left() == 0
