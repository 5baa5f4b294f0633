"""The report shows what the workspace holds, says what it doesn't hold, and needs nothing beside it."""

from pathlib import Path

import pytest

from tests.tiny import prepare, train
from tests.unpainted import DOT
from toolkit.errors import UserError
from toolkit.reporting.page import write_report
from toolkit.store import read_json, write_json

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
        "There is no forecast yet: it needs 3 submissions",
        "No stress score was measured",
        "No search was made",
        "There is no blend of the present runs yet",
        "Nothing was built yet",
        "Not measured: stress and matched",
    ):
        assert text in page, text
    assert page.count("<script>") == 1 and "://" not in page


def test_runs_on_other_folds_are_counted_and_not_shown(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = train(tmp_path, QUICK, stress="none")
    project = prepare(tmp_path, seed=1)
    write_json(project.workspace.search_summary, {"run": str(run.folder), "score": 0.5})
    with pytest.raises(UserError, match=r"no finished run to report on \(1 are on other data or folds\)"):
        write_report(project.labelled(), project.ledger)
    report = project.report()
    page = report.path.read_text(encoding="utf-8")
    assert report.runs == 1 and "1 more runs are on other data or folds" in page
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
    search = project.workspace.search
    search.mkdir()
    (search / "history.png").write_bytes(DOT)
    summary = {
        "trials": {"begun": 12, "finished": 9, "pruned": 3, "failed": 0},
        "naive": 17.6266,
        "seconds": 81.67,
        "importances": {"optimizer.lr": 0.7, "model.dropout": 0.3},
    }
    write_json(search / "summary.json", summary)
    report = project.report()
    page = report.path.read_text(encoding="utf-8")
    held = report.scores["holdout"] or {}
    assert report.of == f"blend {blend.name}" and (report.scores["matched"] or {})["score"] == 0.4321
    for text in (
        *(run.name for run in runs),
        "optimizer.lr=",
        "0.4321",
        "Corruption and severity",
        "The leaderboard will likely say",
        "for the private leaderboard",
        "The weakest family is",
        "What decides the score",
        "<td>12 begun, 9 finished, 3 pruned, 0 failed</td>",
        "score of the best, as chosen",
        "<td>17.6266</td>",
        "<td>1 min 22 s</td>",
        "mean-2",
        "Augmented images",
        f"held out, {held['low']:.3f} to {held['high']:.3f}: no choice on these folds has seen it",
        "Held out, as handed in",
        ">holdout</th>",
    ):
        assert text in page, text
    assert page.count('prefers-color-scheme: dark)" srcset') >= 8


def test_that_the_held_out_samples_were_shown_another_blend_is_said(tmp_path: Path) -> None:
    project = prepare(tmp_path, holdout=0.25)
    runs = [train(tmp_path, QUICK, stress="none", seed=seed) for seed in (0, 1)]
    project.ensemble(runs[:1], views=["none"])
    project.submit()
    project.ensemble(views=["none"])
    page = project.report().path.read_text(encoding="utf-8")
    assert "the 2nd blend scored on it" in page and "the 2nd of 2 blends" in page and "folds has seen it" not in page
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
    assert "the best of 3 runs, chosen on the other folds" in page and f"{clean['score']:.4f}" in page
