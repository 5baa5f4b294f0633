"""The report shows what the workspace holds, says what it doesn't hold, and needs nothing beside it."""

from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.tiny import prepare, train
from toolkit.data.labelled import Labelled
from toolkit.decisions.decide import Decisions
from toolkit.errors import UserError
from toolkit.pages.html import Chart
from toolkit.reporting.blend_section import blend_section
from toolkit.reporting.first_screen import doubts, leaderboard
from toolkit.reporting.inputs import gather
from toolkit.reporting.page import write_report
from toolkit.runs import Run
from toolkit.store import read_json, write_json, write_manifest

pytestmark = pytest.mark.usefixtures("one_thread", "unpainted")
QUICK = "schedule.epochs=1"


def test_a_single_run_is_reported_and_what_is_missing_is_said(tmp_path: Path) -> None:
    project = prepare(tmp_path)
    run = train(tmp_path, QUICK, stress="none")
    report = project.report()
    page = report.path.read_text(encoding="utf-8")
    assert report.path == project.workspace.report and (report.of, report.runs) == (run.name, 1)
    assert report.scores == {"clean": run.metrics["clean"], "stress": None, "matched": None, "holdout": None}
    for text in (
        f"{run.score:.4f}",
        "CV score (out of fold)",
        "synthetic practice data · 1 run · last trained ",
        "What to try next",
        "No stress score was measured",
        "No search yet",
        "No blend of the present runs yet",
        "No submissions yet",
        "1 of 2 recipes was never trained: second.",
    ):
        assert text in page, text
    assert "stress score: under" not in page and "test-like score" not in page and "leaderboard" not in page
    for allowed in ('src="data:', "http://www.w3.org/2000/svg"):
        page = page.replace(allowed, "")
    assert " src=" not in page and "://" not in page, "nothing from elsewhere"


def test_runs_on_other_folds_are_counted_and_not_shown(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = train(tmp_path, QUICK, stress="none")
    project = tiny.project(tmp_path, seed=1)
    project.folds(3, again=True)
    write_json(project.workspace.search_summary, {"run": str(run.folder), "score": 0.5})
    with pytest.raises(UserError, match=r"no finished run to report on \(1 are on other data or folds\)"):
        write_report(project.labelled(), project.ledger)
    project.train(project.choose_recipe(None, [QUICK]), stress="none")
    report = project.report()
    page = report.path.read_text(encoding="utf-8")
    assert report.runs == 1 and "1 run on other data or folds can't be compared and is left out" in unescape(page)
    assert "It was made on other data or folds than the present ones." in page, "the search"


def test_all_that_is_there_is_shown(tmp_path: Path) -> None:
    project = prepare(tmp_path, holdout=0.25)
    runs = [train(tmp_path, QUICK), train(tmp_path, "schedule.epochs=12", "optimizer.lr=3e-2")]
    blend = project.ensemble(views=["none"])
    project.submit()
    (line,) = project.ledger.lines
    for number, score in enumerate((0.4, 0.5, 0.6)):
        local = {"clean": 0.5 + number / 10, "stress": 0.45 + number / 10, "public": score}
        project.ledger.append(line | {"submission": f"tiny-practice/mean-{number}.txt"} | local)
    metrics = read_json(blend.folder / "metrics.json")
    write_json(blend.folder / "metrics.json", metrics | {"matched": {"score": 0.4321, "low": 0.4, "high": 0.5}})
    report = project.report()
    page = report.path.read_text(encoding="utf-8")
    held = report.scores["holdout"] or {}
    assert report.of == f"blend {blend.name}" and (report.scores["matched"] or {})["score"] == 0.4321
    for text in (
        *(run.name for run in runs),
        "optimizer.lr=",
        "0.4321",
        "Families, the worst first",
        "practice leaderboard, forecast",
        "The leaderboard will likely say",
        "for the private leaderboard",
        "mean-2",
        "Augmentation",
        f"95 %: {held['low']:.3f} to {held['high']:.3f} · seen by no choice",
        "Held-out score, as handed in",
        "held out",
        "Leaderboard against local scores",
        "Data and versions",
    ):
        assert text in page, text


def test_the_score_of_the_submission_is_shown_in_place_of_a_forecast(tmp_path: Path) -> None:
    project = prepare(tmp_path)
    train(tmp_path, QUICK, stress="none")
    project.ensemble(views=["none"])
    project.submit()
    material = gather(project.labelled(), project.ledger)
    assert leaderboard(material) is None
    graded = project.grade()
    found = leaderboard(gather(project.labelled(), project.ledger))
    assert found is not None and found[:2] == (f"{graded.score:.4f}", "practice leaderboard")
    blocks = [one for block in blend_section(material).blocks for one in getattr(block, "blocks", [block])]
    assert not any(isinstance(one, Chart) for one in blocks), "of a single run there is nothing to draw"


def test_that_a_budget_cut_the_run_short_stands_under_its_score(tmp_path: Path) -> None:
    project = prepare(tmp_path)
    run = train(tmp_path, "schedule.epochs=3", stress="none")
    assert not any("budget" in text for text in doubts(gather(project.labelled(), project.ledger)))
    write_manifest(run.folder, (run.manifest or {}) | {"complete": False})
    for fold in run.folds[1:]:
        write_json(fold.history_path, fold.history[:1])
        write_manifest(fold.folder, fold.manifest or {})
    (text,) = (text for text in doubts(gather(project.labelled(), project.ledger)) if "budget" in text)
    assert text.startswith(f"The budget cut {run.name} short: its folds have 1 to 3 epochs of 3, so ")
    assert "`compete train tests/tiny --practice --workspace " in text and "schedule.epochs=3`" in text


def test_that_the_held_out_samples_were_shown_another_blend_is_said(tmp_path: Path) -> None:
    project = prepare(tmp_path, holdout=0.25)
    runs = [train(tmp_path, QUICK, stress="none", seed=seed) for seed in (0, 1)]
    project.ensemble(runs[:1], views=["none"])
    project.submit()
    project.ensemble(views=["none"])
    page = project.report().path.read_text(encoding="utf-8")
    assert "the 2nd blend scored on it" in page and "the 2nd of 2 blends" in page and "seen by no choice" not in page
    (runs[1].weights[0]).unlink()
    project.ensemble(runs[1:], views=["none"])
    page = project.report().path.read_text(encoding="utf-8")
    assert "Not scored on the held-out samples:" in page and "weights.safetensors" in page


def test_without_a_blend_the_best_of_several_runs_is_worth_what_it_is_on_the_other_folds(tmp_path: Path) -> None:
    project = prepare(tmp_path)
    for fields in (["seed=1"], ["seed=2"], ["schedule.epochs=6", "optimizer.lr=3e-2"]):
        train(tmp_path, QUICK, *fields, stress="none")
    report = project.report()
    clean = report.scores["clean"] or {}
    best = max(run.score for run in project.runs())
    assert clean["naive"] == pytest.approx(best) and clean["candidates"] == 3
    assert clean["score"] == pytest.approx(clean["naive"] - clean["optimism"]) and clean["low"] < clean["score"]
    assert clean["optimism_low"] < clean["optimism"] < clean["optimism_high"]
    page = report.path.read_text(encoding="utf-8")
    assert "the best of 3 runs would be handed in" in page and f"{clean['score']:.4f}" in page


def test_without_a_blend_further_scores_are_of_what_each_folds_run_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, described = prepare(tmp_path), list[dict[str, Any]]()

    def further(_: Labelled, of: dict[str, Any]) -> dict[str, Any]:
        described.append(of)
        return {}

    for seed in (1, 2):
        train(tmp_path, QUICK, f"seed={seed}", stress="none")
    decided = property(lambda run: [Decisions(unknown=run.recipe.seed + k / 10) for k in range(3)])
    monkeypatch.setattr(Run, "fold_decisions", decided)
    monkeypatch.setattr("toolkit.reporting.inputs.further_scores", further)
    material = gather(project.labelled(), project.ledger)
    assert "clean" in material.metrics and material.choice is not None
    seeds = [material.candidates[best].recipe.seed for best in material.choice.parts]
    (of,) = described
    assert [one["decisions"]["unknown"] for one in of["folds"]] == [seed + k / 10 for k, seed in enumerate(seeds)]
