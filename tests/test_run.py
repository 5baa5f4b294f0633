"""The plan: how many epochs of which recipes fit the budget; it is kept, and made anew for other recipes."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import FIRST, call, competition
from toolkit import console
from toolkit.competition import Competition
from toolkit.errors import UserError
from toolkit.folds import add_options
from toolkit.recipe import override
from toolkit.run import CLOSING, run
from toolkit.scoring.stress import SHARE
from toolkit.store import Workspace, chosen_blend, read_json
from toolkit.training.loop import FoldJob

pytestmark = pytest.mark.usefixtures("one_thread")
STEPS = 3 * (48 // 8)  # of the first recipe in an epoch of all folds
Measured = Callable[[dict[str, float]], list[str]]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    """Let a training step of a recipe seem to take so many seconds; the recipes that were measured."""

    def install(seconds: dict[str, float]) -> list[str]:
        asked: list[str] = []

        def measure_speed(job: FoldJob) -> tuple[float, float]:
            asked.append(job.recipe.name)
            return seconds[job.recipe.name], 0.0

        monkeypatch.setattr("toolkit.training.fold.measure_speed", measure_speed)
        return asked

    return install


@pytest.fixture(autouse=True)
def reports(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Drawing the report takes longer than these trainings: it is drawn for the test of it alone."""
    if "report" not in request.node.name:
        monkeypatch.setattr("toolkit.run.report", lambda *_: {"report": ""})


def started(root: Path, *more: str, of: Competition = competition) -> dict[str, Any]:
    made = console.parser("run", "", overrides=True)
    add_options(made)
    made.add_argument("--budget", type=console.parse_duration, default="10m")
    return call(run, made, root, "--folds", "3", *more, of=of)


def plan(root: Path) -> dict[str, Any]:
    result: dict[str, Any] = read_json(Workspace(root, "tiny-practice").folder / "plan.json")
    return result


def epochs(root: Path) -> dict[str, int]:
    return {recipe["name"]: recipe["schedule"]["epochs"] for recipe in plan(root)["recipes"]}


def blended(root: Path) -> set[str]:
    folder = chosen_blend(Workspace(root, "tiny-practice"))
    return {name.rpartition("-")[0] for name in read_json(folder / "blend.json")["runs"]}


def test_recipes_that_fit_are_trained_whole_and_blended(tmp_path: Path, measured: Measured) -> None:
    asked = measured({"first": 0.01, "second": 0.01})
    result = started(tmp_path)
    assert asked == ["first", "second"] and epochs(tmp_path) == {"first": 4, "second": 4}
    assert blended(tmp_path) == {"first", "second"}
    assert set(result) == {"submission", "clean", "stress", "matched", "leaderboard", "seconds"}
    assert Path(result["submission"]).exists() and 0 < result["seconds"] < 60


def test_the_first_recipe_gets_the_epochs_that_fit_and_others_only_if_most_do(
    tmp_path: Path, measured: Measured
) -> None:
    left = (600 - CLOSING) / (1 + SHARE)  # the stress scores fit in too
    # three epochs and a bit of the first; one epoch of the second, which has half the steps
    measured({"first": left * 0.9 / STEPS / 3.5, "second": left * 0.9 / STEPS * 2 / 1.5})
    started(tmp_path)
    assert epochs(tmp_path) == {"first": 3} and plan(tmp_path)["skipped"] == ["second"]
    assert blended(tmp_path) == {"first"}


def test_the_plan_is_kept_for_the_same_command(tmp_path: Path, measured: Measured) -> None:
    measured({"first": 20, "second": 100})
    first = started(tmp_path)
    asked = measured({})
    again = started(tmp_path)
    assert asked == [] and {**again, "seconds": 0} == {**first, "seconds": 0}


def test_the_whole_suite_is_planned_for_where_it_is_asked_for(tmp_path: Path, measured: Measured) -> None:
    measured({"first": 0.01})
    started(tmp_path, "--recipe", "first", "--stress", "full", "schedule.epochs=1")
    run = next((tmp_path / "tiny-practice" / "train").iterdir())
    assert read_json(run / "metrics.json")["stress"]["share"] == 1 and plan(tmp_path)["reserved"]["first"] > 0


@pytest.mark.parametrize(
    "more",
    [
        ("--budget", "9m"),
        ("--seed", "1"),
        ("optimizer.lr=1e-4",),
        ("--recipe", "second"),
        ("--folds", "2"),
        ("--stress", "none"),
    ],
)
def test_the_plan_is_made_anew_for_another_command(more: tuple[str, ...], tmp_path: Path, measured: Measured) -> None:
    measured({"first": 20, "second": 1000})
    started(tmp_path)
    asked = measured({"first": 0.01, "second": 0.01})
    started(tmp_path, *more)
    assert asked[0] == ("second" if "--recipe" in more else "first")


def test_the_plan_is_made_anew_when_a_recipe_was_edited(tmp_path: Path, measured: Measured) -> None:
    measured({"first": 0.01, "second": 1000})
    started(tmp_path)
    edited = override(FIRST, ["optimizer.lr=1e-2"])
    asked = measured({"first": 0.01, "second": 1000})
    started(tmp_path, of=replace(competition, recipes={**competition.recipes, "first": edited}))
    assert asked == ["first", "second"]
    assert [recipe["optimizer"]["lr"] for recipe in plan(tmp_path)["recipes"]] == [1e-2]


def test_a_later_recipe_that_fails_costs_no_submission(
    tmp_path: Path, measured: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    recipes = {"first": FIRST, "wild": override(FIRST, ["name=wild", "optimizer.lr=1e30", "seed=3"])}
    measured({"first": 0.01, "wild": 0.01})
    result = started(tmp_path, of=replace(competition, recipes=recipes))
    assert "skipped wild: the loss is no longer a number" in capsys.readouterr().out
    assert blended(tmp_path) == {"first"} and plan(tmp_path)["skipped"] == ["wild"]
    again = started(tmp_path, of=replace(competition, recipes=recipes))
    assert again["submission"] == result["submission"]


def test_a_later_recipe_that_breaks_the_rules_is_skipped_and_the_first_is_an_error(
    tmp_path: Path, measured: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    breaking = override(FIRST, ["name=breaking", "model.pretrained=true"])
    strict = replace(competition, rules=replace(competition.rules, pretrained=False))
    measured({"first": 0.01})
    started(tmp_path, of=replace(strict, recipes={"first": FIRST, "breaking": breaking}))
    assert "skipped breaking: recipe breaking asks for pretrained weights" in capsys.readouterr().out
    with pytest.raises(UserError, match="which this competition forbids"):
        started(tmp_path, of=replace(strict, recipes={"breaking": breaking, "first": FIRST}))


def test_what_the_server_allows_is_gathered_before_anything_is_trained(tmp_path: Path, measured: Measured) -> None:
    asked = measured({"first": 0.01})
    rules = replace(competition.rules, submission_packages=("no_such_package",))
    with pytest.raises(UserError, match="no_such_package is allowed on the server but not installed here"):
        started(tmp_path, of=replace(competition, rules=rules))
    assert not asked and not Workspace(tmp_path, "tiny-practice").train.exists()


def test_the_report_is_written_in_the_end(
    tmp_path: Path, measured: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    measured({"first": 0.01})
    result = started(tmp_path, "--recipe", "first", "--stress", "none", "schedule.epochs=1")
    page = Workspace(tmp_path, "tiny-practice").report
    assert Path(result["submission"]).stem in page.read_text() and page.name in capsys.readouterr().out


def test_durations_are_read() -> None:
    assert [console.parse_duration(text) for text in ("90s", "20m", "1h30m")] == [90, 1200, 5400]
    for wrong in ("", "20", "m", "0s", "1.5h"):
        with pytest.raises(ArgumentTypeError, match="is not a duration"):
            console.parse_duration(wrong)
