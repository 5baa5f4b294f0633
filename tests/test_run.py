"""Everything in one call: audit to report, and what takes its time once comes before training."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.tiny import competition, project
from toolkit import Competition, Project, UserError
from toolkit.command_line import parser
from toolkit.pipeline import Result
from toolkit.planning.planned import Planned
from toolkit.planning.spending import Spending
from toolkit.run import add_options, run

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")
QUICK = ("--folds", "3", "--stress", "none", "schedule.epochs=1")


def started(root: Path, *more: str, of: Competition = competition) -> tuple[Project, Result]:
    """A project and what the command made of it, as typed."""
    made, opened = parser("run", "", overrides=True), project(root, of=of)
    add_options(made)
    result = run(opened, made.parse_intermixed_args([str(of.folder), *more]))
    assert isinstance(result, Result)
    return opened, result


def test_everything_is_made_and_told(tmp_path: Path) -> None:
    opened, result = started(tmp_path, *QUICK, "--recipe", "second")
    (trained,) = opened.runs()
    assert trained.recipe.name == "second" and trained.recipe.schedule.epochs == 1
    assert result.submission.path.exists() and len(opened.ledger.lines) == 1
    assert result.submission.path.stem in result.report.path.read_text(encoding="utf-8")
    assert set(result.as_json()) == {"submission", "clean", "stress", "matched", "holdout", "leaderboard", "seconds"}
    (table,) = result.told()
    assert [row[0] for row in table.rows] == ["submission", "CV score", "practice leaderboard", "report", "time"]


@pytest.mark.parametrize(("more", "folds"), [((), 3), (("--folds", "5"), 5)])
def test_where_few_epochs_fit_there_are_fewer_folds_but_for_who_says_how_many(
    more: tuple[str, ...], folds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Spending, "few_epochs", lambda self: "first gets 2 of its 45 epochs in this time")
    monkeypatch.setattr(Spending, "spend", lambda self: pytest.fail("in time"))
    with pytest.raises(pytest.fail.Exception, match="in time"):
        started(tmp_path, "--stress", "none", *more)
    assert project(tmp_path).labelled().folds == folds


def test_how_many_folds_is_still_open_after_a_call_that_ended_before_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Spending, "few_epochs", lambda self: "first gets 2 of its 45 epochs in this time")
    monkeypatch.setattr(Spending, "spend", lambda self: pytest.fail("in time"))
    with monkeypatch.context() as killed:
        killed.setattr("toolkit.pipeline.try_answers", lambda *given: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception, match="killed"):
            started(tmp_path, "--stress", "none")
    assert project(tmp_path).labelled().folds == 5
    with pytest.raises(pytest.fail.Exception, match="in time"):
        started(tmp_path, "--stress", "none")
    assert project(tmp_path).labelled().folds == 3 and not project(tmp_path).workspace.undecided.exists()


def test_where_samples_are_many_a_part_is_held_out_and_the_submission_scored_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.data.folds.MANY", 72)
    monkeypatch.setattr("toolkit.data.folds.MANY_GROUPS", 24)
    opened, result = started(tmp_path, *QUICK, "--recipe", "second")
    held = opened.labelled().held_out
    assert held.sum() == 9 and result.submission.scores["holdout"]["samples"] == 9
    (table,) = result.told()
    (told,) = (row[1] for row in table.rows if row[0] == "held-out score")
    assert told.startswith(f"{result.submission.scores['holdout']['score']:.4f} (")
    (table,) = replace(result, submission=replace(result.submission, beside=", chosen among 9 trials")).told()
    beside = [row[0] for row in table.rows if row[1].endswith(", chosen among 9 trials")]
    assert beside == ["CV score"], "the held-out samples had no part in a search"
    assert result.as_json()["holdout"] == result.report.scores["holdout"] == result.submission.scores["holdout"]


@pytest.mark.parametrize(("option", "share"), [("0", 0), ("0.25", 18)])
def test_a_number_overrules_and_none_turns_it_off(
    option: str, share: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.data.folds.MANY", 72)
    monkeypatch.setattr("toolkit.data.folds.MANY_GROUPS", 24)
    monkeypatch.setattr("toolkit.pipeline.Spending", lambda *given, **more: pytest.fail("in time"))
    with pytest.raises(pytest.fail.Exception, match="in time"):
        started(tmp_path, *QUICK, "--holdout", option)
    assert project(tmp_path).labelled().held_out.sum() == share


def test_all_recipes_are_trained_where_none_is_named_and_then_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {"recipe": 9, "seed": 1, "longer": 0, "larger": 0, "taught": 0}
    monkeypatch.setattr("toolkit.planning.choice.MOST", few)
    opened, _ = started(tmp_path, *QUICK[:-1])
    names = [each.recipe.name for each in opened.runs()]
    assert len(names) == 3 and {"first", "second"} < set(names)


def test_a_plan_is_shown_and_nothing_is_trained(tmp_path: Path) -> None:
    made, opened = parser("run", "", overrides=True), project(tmp_path)
    add_options(made)
    shown = run(
        opened, made.parse_intermixed_args([str(competition.folder), "--plan", "--folds", "2", "--budget", "1h"])
    )
    assert isinstance(shown, Planned) and not opened.runs() and opened.labelled().folds == 2
    assert [part.name for part in shown.parts][:1] == ["first"] and len(shown.parts) > 2


def test_what_the_server_allows_is_gathered_before_anything_is_trained(tmp_path: Path) -> None:
    packages = replace(competition.rules, submission_packages=("no_such_package",))
    with pytest.raises(UserError, match="no_such_package is allowed on the server but not installed here"):
        started(tmp_path, of=replace(competition, rules=packages))
    assert not (tmp_path / "tiny-practice" / "train").exists()


def test_a_device_that_is_not_there_is_an_error_before_anything_is_loaded(tmp_path: Path) -> None:
    opened = project(tmp_path, device="gpu7")
    with pytest.raises(UserError, match="gpu7"):
        opened.run()
    assert not opened.workspace.data.exists()


def test_a_budget_that_the_end_alone_takes_is_an_error_before_anything_is_loaded(tmp_path: Path) -> None:
    opened = project(tmp_path)
    with pytest.raises(UserError, match=r"budget of 5 s is too short: 9 s are kept .* give 1m or more"):
        opened.run(budget=5)
    assert not opened.workspace.data.exists()
