"""What a training costs here, and how many epochs of it fit into the time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny import FIRST, competition, looking, make_job, prepare
from toolkit import Labelled, override
from toolkit.networks.devices import CLUSTER
from toolkit.scoring.stress import SHARE
from toolkit.training.budget import (
    Cost,
    Speed,
    measure_speed,
    run_cost,
    speed_of,
    training_cost,
    trial_epochs,
)
from toolkit.training.cross_validation import prepare as prepare_jobs
from toolkit.training.fold import epochs_between_looks
from toolkit.training.jobs import FoldJob
from toolkit.training.loop import Training

pytestmark = pytest.mark.usefixtures("one_thread")
RECIPES = tuple(competition.recipes.values())
HEAD = 1 / 64  # seconds that a step of a head alone seems to take
STEPS = 3 * (48 // 8)  # of the first recipe in an epoch of all folds
Measured = Callable[[dict[str, float]], list[str]]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    """Let a training step of a recipe seem to take so many seconds; the recipes that were measured."""

    def install(seconds: dict[str, float]) -> list[str]:
        asked: list[str] = []

        def measure_speed(job: FoldJob, within: float) -> Speed:
            asked.append(job.recipe.name)
            return Speed(seconds[job.recipe.name], 0.0, HEAD if job.recipe.schedule.freeze else None)

        monkeypatch.setattr("toolkit.training.budget.measure_speed", measure_speed)
        monkeypatch.setattr(
            "toolkit.training.budget.quietest", lambda measure, within=0: measure()
        )  # whatever else runs here
        return asked

    return install


@pytest.fixture
def labelled(tmp_path: Path) -> Labelled:
    return prepare(tmp_path).labelled()


def test_speed_is_measured_without_leaving_a_trace(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    speed = measure_speed(job)
    assert speed.step > 0 and speed.image > 0 and speed.head is None and not job.folder.exists()


def test_beside_a_cluster_what_this_machine_predicts_is_planned_at_its_own_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(tmp_path)
    monkeypatch.setattr("toolkit.training.budget.perform", lambda *given: Speed(1.0, 1e-9))
    found = speed_of(replace(job, device=f"{CLUSTER}-cpu"))
    assert found.step == 1 and found.own_image > found.image == 1e-9
    cost = training_cost([job, job], Speed(1.0, 0.0, here=0.5), test_images=10)
    assert cost.once == 2 * 10 * 0.5, "each network predicts the test images here"


def test_where_there_is_no_time_for_it_one_step_tells_the_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    step = Training.step

    def counted(training: Training, *batch: Any) -> Any:
        made.append(1)
        return step(training, *batch)

    monkeypatch.setattr(Training, "step", counted)
    speed = measure_speed(make_job(tmp_path), within=0)
    assert len(made) == 1 and speed.step > 0 and speed.image > 0


def test_of_a_head_alone_no_step_of_the_network_is_measured(tmp_path: Path) -> None:
    folder = tmp_path / "features"
    speed = measure_speed(make_job(tmp_path, "schedule.freeze=1", features=folder))
    assert speed.step == 0 and speed.image > 0 and speed.head is not None and speed.head > 0
    half = measure_speed(make_job(tmp_path, "schedule.freeze=0.5", features=folder))
    assert half.step > 0 and half.head is not None and half.head > 0
    assert measure_speed(make_job(tmp_path, "schedule.freeze=1")).head is None, "features aren't kept"
    assert not folder.exists()


def test_a_training_costs_its_steps_and_the_samples_that_are_looked_at_and_predicted(labelled: Labelled) -> None:
    _, jobs = prepare_jobs(labelled, FIRST)
    assert training_cost(jobs, Speed(10, 0), 0) == Cost(epoch=STEPS * 10, once=0)
    looked_at = 72 + 3 * 48  # and the images that statistics are gathered from
    found = training_cost(jobs, Speed(0, 1), 18)
    often = epochs_between_looks(1, FIRST.batch_size, STEPS // 3)
    assert found.once == 72 + 3 * 18 + looked_at and found.epoch == pytest.approx(looked_at / often) and often > 1
    assert Cost(epoch=10, once=5, scores=6).epochs_within(40) == 2
    _, jobs = prepare_jobs(labelled, override(FIRST, ["schedule.freeze=1"]))
    alone = training_cost(jobs, Speed(0, 1, head=2), 18)
    assert alone == Cost(epoch=STEPS * 2, once=18, freeze=1, head=STEPS * 2), "test images are asked for once"


@given(st.floats(0, 1), st.floats(0, 300), st.sampled_from([0.0, 7.0]), st.sampled_from([0.01, 1.0, 6.0]))
def test_as_many_epochs_as_fit_and_no_more(freeze: float, seconds: float, once: float, head: float) -> None:
    cost = Cost(epoch=5.0, once=once, freeze=freeze, head=head)
    epochs = cost.epochs_within(seconds)
    assert epochs == 0 or cost.of(epochs) <= seconds
    assert cost.of(epochs + 1) > seconds


def test_what_comes_with_a_training_costs_its_time_too(labelled: Labelled, measured: Measured) -> None:
    measured({"first": 1.0})

    def cost(*assignments: str, stress: str = "none") -> Cost:
        return run_cost(labelled, override(FIRST, assignments), stress, "cpu")

    assert cost().epoch == STEPS and cost(stress="auto").epoch == STEPS * (1 + SHARE)
    half = cost("schedule.freeze=0.5")
    steps = [half.of(epochs) / STEPS for epochs in (1, 2, 3, 4)]
    assert steps == [1, 1 + HEAD, 1 + 2 * HEAD, 2 + 2 * HEAD], "on features made once"
    assert cost("schedule.freeze=1").of(100) == STEPS * 100 * HEAD
    assert cost().scores == 0 < cost(stress="full").scores
    taught = run_cost(replace(labelled, competition=looking), override(FIRST, ["pseudo.rounds=2"]), "none", "cpu")
    assert taught.epoch == STEPS * (1 + 2 / 0.5), "taught networks see more images"


def test_a_trial_gets_the_epochs_that_fit(labelled: Labelled, measured: Measured) -> None:
    measured({"first": 1.0})
    assert [trial_epochs(labelled, FIRST, seconds)[0] for seconds in (0, STEPS - 1, 3.5 * STEPS)] == [0, 0, 3]
