"""A competition from Python: every step is a call, and what a step needs is made first."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import toolkit
from tests.conftest import ROOT
from tests.tiny import Heard, competition, prepare, project
from toolkit import UserError
from toolkit.auditing import audit
from toolkit.project import Project, open

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")


def test_a_submission_is_one_call_and_each_step_is_told(tmp_path: Path) -> None:
    told = Heard()
    opened = project(tmp_path, progress=told)
    submission = opened.submit()
    assert submission.path.exists() and opened.grade().score > 0
    missing = [line for line in told.lines if line.startswith(("the data", "there "))]
    assert missing == [
        "the data are not audited yet, so the audit comes first",
        "there are no folds yet, so they are made with the defaults of `compete folds`",
        "there is no blend yet, so the finished runs are blended",
        "there is no finished run yet, so first is trained, 4 epochs on each fold (`compete train` can do less, or "
        "another)",
    ]


def test_results_are_numbers_and_arrays_and_show_themselves(tmp_path: Path) -> None:
    opened = project(tmp_path)
    split = opened.folds(3)
    run = opened.train("second", schedule__epochs=2, augment__mixup=0.1, stress="none")
    labelled = opened.labelled()
    assert (run.recipe.name, run.recipe.schedule.epochs, run.recipe.augment.mixup) == ("second", 2, 0.1)
    assert run.oof.shape == (len(labelled.images), 3) and [len(epochs) for epochs in run.history] == [2, 2, 2]
    assert set(run.mistakes(3)) == {"row", "index", "name", "certainty", "truth", "predicted"}
    dotted: dict[str, Any] = {"optimizer.lr": 3e-2}
    better = opened.train(schedule__epochs=3, stress="none", **dotted)
    runs = opened.runs()
    assert runs == sorted([run, better], key=lambda one: -one.score)
    blend = opened.ensemble(runs, views=["none"])
    assert 0 < blend.score <= 1 and np.isclose(sum(blend.shares.values()), 1)
    for shown, text in ((split, "3 folds"), (run, run.name), (runs, better.name), (blend, blend.name)):
        assert text in shown._repr_html_() and "<table>" in shown._repr_html_()
    assert repr(run) == f"Run({run.name}, {run.score:.4f})" and "tiny-practice" in repr(opened)


def test_so_few_groups_that_intervals_are_rough_are_warned_of_once(tmp_path: Path) -> None:
    told = Heard()
    opened = project(tmp_path, progress=told, practice_size=48)  # 16 groups of three
    run = opened.train(schedule__epochs=1, stress="none")
    opened.ensemble(views=["none"])
    assert [line for line in told.lines if "only 16 groups" in line] == [
        "the samples are of only 16 groups of one origin: below 20 even the intervals of scores are rough, so take "
        "differences for chance unless they are large"
    ]
    assert run.metrics["clean"]["groups"] == 16 and any("16 groups)" in line for line in told.lines)
    told.lines.clear()
    prepare(tmp_path / "more", progress=told, practice_size=72).labelled()  # 24 groups
    assert not any("groups of one origin" in line for line in told.lines)


def test_a_search_is_one_call(tmp_path: Path) -> None:
    found = project(tmp_path).search(trials=2, repeats=0, schedule__epochs=1, stress="none")
    assert found.as_json()["trials"]["finished"] == 2 and "<p>" in found._repr_html_()


def test_a_mistake_is_one_sentence(tmp_path: Path) -> None:
    opened = project(tmp_path)
    for wrong, sentence in (
        (lambda: opened.train("third"), "tiny has no recipe 'third', nor is it a file; there are first, second"),
        (lambda: opened.train(schedule__epoch=1), "epoch"),
        (lambda: toolkit.open("pluto"), "pluto is not a competition"),
        (lambda: project(tmp_path, practice_size=24).grade(tmp_path / "none.txt"), "truth.npz does not exist"),
    ):
        with pytest.raises(UserError) as told:
            wrong()
        assert sentence in str(told.value) and "\n" not in str(told.value)
    assert not opened.workspace.folder.exists()  # nothing was begun


def test_a_competition_is_found_by_name_here_before_beside_the_toolkit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open("mars").competition.folder == ROOT / "competitions" / "mars"
    assert open(competition.folder).competition is competition
    own = tmp_path / "competitions" / "mars"
    own.mkdir(parents=True)
    assert open("mars").competition.folder == ROOT / "competitions" / "mars", "a folder without a competition is none"


def test_nothing_is_trained_to_be_reported_on(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing to report yet: `compete run … --budget 3m` does all of it"):
        project(tmp_path).report()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["audit", "folds", "train", "search", "ensemble", "submit", "report", "run"])
def test_without_data_a_command_says_so_before_anything_heavy_is_imported(command: str, tmp_path: Path) -> None:
    script = (
        "import runpy, sys\n"
        f"sys.argv = ['toolkit.{command}', 'mars', '--data', 'none', '--workspace', {str(tmp_path)!r}]\n"
        f"try:\n    runpy.run_module('toolkit.{command}', run_name='__main__')\n"
        "finally:\n    print([name for name in ('torch', 'cv2', 'optuna', 'pandas') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    said = "error: there is no folder none yet: put"
    assert done.stdout.startswith(said) and done.stdout.endswith("[]\n"), done.stderr


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda project: project.folds(1), "at least 2 folds, got 1"),
        (lambda project: project.folds(3, repeats=0), "at least 1 split"),
        (lambda project: project.folds(3, holdout=2), "a share from 0 to 0.9"),
        (lambda project: project.train(stress="some"), "expected one of auto, full, none"),
        (lambda project: project.ensemble([]), "no run is named"),
        (lambda project: project.ensemble("nope"), "no finished run 'nope'"),
        (lambda project: project.run(budget="soon"), "'soon' is not a duration"),
        (lambda project: project.search(budget="2 hours"), "'2 hours' is not a duration"),
    ],
)
def test_what_a_command_line_refuses_python_refuses_too(
    tmp_path: Path, call: Callable[[Project], object], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        call(prepare(tmp_path))


def test_an_audit_that_was_killed_is_made_anew_before_the_folds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard()
    killed = project(tmp_path, progress=heard)
    with monkeypatch.context() as stopped:
        stopped.setattr(audit, "audit_page", lambda found: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            killed.audit()
    killed.folds(3)
    assert killed.workspace.cleaning.exists() and killed.workspace.page.exists()
    assert any("the audit comes first" in line for line in heard.lines)


def test_an_explanation_on_a_fresh_checkout_audits_first(tmp_path: Path) -> None:
    fresh = project(tmp_path)
    fresh.explain(3)
    assert fresh.workspace.cleaning.exists()


def test_practice_data_of_another_size_are_told_also_where_their_files_are_not_needed(tmp_path: Path) -> None:
    assert project(tmp_path).raw.exists()
    project(tmp_path, practice_size=72)
    with pytest.raises(UserError, match="practice was made with --practice-size 72; leave 99 out"):
        project(tmp_path, practice_size=99)
