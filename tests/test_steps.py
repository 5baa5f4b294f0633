"""How far a command is follows from its parts; it is told while they say nothing themselves."""

import time
from collections.abc import Callable

import pytest

from toolkit.steps import Step, Steps, Stepwise, clock, percent


@pytest.fixture
def after(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that is moved on by hand."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


def test_a_share_is_that_of_the_parts_by_what_they_cost(after: Callable[[float], None]) -> None:
    steps, whole = Steps(), Step("run", costs={"folds": 60, "test images": 20, "stress score": 20})
    with steps.within(Step("train mars")), steps.within(whole):
        assert steps.measured is whole and steps.share(whole) == 0 and steps.left(whole) is None
        with steps.within(Step("folds", total=4)) as folds:
            folds.done = 2
            after(30)
            assert steps.share(whole) == pytest.approx(0.3) and steps.left(whole) == pytest.approx(70)
        assert steps.share(whole) == pytest.approx(0.6)
        with steps.within(Step("something else", total=2)) as other:
            other.done = 1
            assert steps.share(whole) == pytest.approx(0.6)  # no part of it
        with steps.within(Step("stress score")):  # the test images were there already
            assert steps.share(whole) == pytest.approx(0.8)
            after(10)
            guessed = steps.share(whole)
            after(1000)
            assert guessed and 0.8 < guessed < (steps.share(whole) or 0) < 1  # it moves, and never arrives


def test_a_share_never_falls() -> None:
    steps = Steps()
    with steps.within(Step("count", total=10)) as step:
        step.done = 5
        assert steps.share(step) == 0.5
        step.total = 100
        assert steps.share(step) == 0.5


def test_a_budget_is_used_up_whatever_is_done(after: Callable[[float], None]) -> None:
    steps = Steps()
    with steps.within(Step("run mars", budget=100.0)) as step:
        after(25)
        assert steps.share(step) == 0.25 and steps.left(step) == 75
        after(200)
        assert steps.left(step) == 0 and percent(steps.share(step) or 0) == "99 %"


def test_what_is_done_is_told_in_words(after: Callable[[float], None]) -> None:
    progress = Stepwise()
    with progress.phase("train mars"):
        assert progress.steps.line == "train mars: " and progress.steps.times == "0 s"
        with progress.phase("unet-1a2b", costs={"folds": 9, "test images": 1}):
            with progress.training(3, 4) as watch:
                watch(1, 2.5, "loss 0.4")
                after(50)
                assert progress.steps.line == "train mars: 18 %, unet-1a2b: fold 2/3 epoch 3/4 loss 0.4"
                assert progress.steps.times == "50 s, about 3 min 37 s left"
                watch(1, 4, "")
                assert progress.steps.line == "train mars: 30 %, unet-1a2b: folds 4 of 12 epochs"
            with progress.counting("test images", 1000) as done:
                done(250)
                assert progress.steps.detail == "unet-1a2b: test images 250 of 1,000"
        with progress.phase("run mars-practice", budget=60), progress.counting("trying networks", 2):
            assert progress.steps.line.endswith(" %, trying networks 0 of 2"), "the whole command is named once"
    assert progress.steps.line == progress.steps.times == ""


def test_times_are_short() -> None:
    assert [clock(seconds) for seconds in (7.9, 725, 3725)] == ["0:07", "12:05", "1:02:05"]
