"""The report shows what the workspace holds, says what it doesn't hold, and needs nothing beside it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.tiny import call, competition, prepare, train
from toolkit import console
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset
from toolkit.ensemble import add_options, ensemble
from toolkit.errors import UserError
from toolkit.pages.charts import by_class
from toolkit.pages.pictures import COLOURS
from toolkit.probabilities import write_probabilities
from toolkit.report import report
from toolkit.reporting.runs import Run, better_elsewhere, differences, legend, worst, worst_pictures
from toolkit.store import chosen_blend, read_json, write_json
from toolkit.submission import ledger
from toolkit.submit import submit

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = "schedule.epochs=1"
PIXEL = bytes.fromhex(  # a PNG file of one pixel
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da6364f8ff"
    "1f0003030200efa6479b0000000049454e44ae426082"
)


def reported(root: Path, of: Competition = competition) -> tuple[dict[str, Any], str]:
    """The verb's result and the page."""
    result = call(report, console.parser("report", ""), root, of=of)
    return result, Path(result["report"]).read_text(encoding="utf-8")


def test_without_runs_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no data"):
        reported(tmp_path)
    prepare(tmp_path)
    with pytest.raises(UserError, match=r"no finished run to report on; run `python -m toolkit.train` first"):
        reported(tmp_path)


def test_a_single_run_is_reported_and_what_is_missing_is_said(tmp_path: Path) -> None:
    workspace = prepare(tmp_path)
    run = train(tmp_path, QUICK, "--stress", "none")
    result, page = reported(tmp_path)
    clean = read_json(run / "metrics.json")["clean"]
    assert result["clean"] == clean and result["of"] == run.name and result["runs"] == 1
    assert Path(result["report"]) == workspace.report and f"{clean['score']:.4f}" in page
    for said in (
        "There is no forecast yet: it needs 3 submissions",
        "No stress score was measured",
        "No search was made",
        "There is no blend of the present runs yet",
        "Nothing was built yet",
        "Not measured: stress and matched",
    ):
        assert said in page, said
    assert "<script" not in page and "http" not in page
    # runs on other folds are counted, and not shown
    prepare(tmp_path, "--seed", "1")
    with pytest.raises(UserError, match="1 are on other data or folds"):
        reported(tmp_path)


def test_all_that_is_there_is_shown(tmp_path: Path) -> None:
    workspace = prepare(tmp_path)
    runs = [train(tmp_path, QUICK), train(tmp_path, "schedule.epochs=12", "optimizer.lr=3e-2")]
    made = console.parser("ensemble", "")
    add_options(made)
    call(ensemble, made, tmp_path, "--views", "none")
    call(submit, console.parser("submit", ""), tmp_path)
    book = tmp_path / "submissions" / "ledger.csv"
    (line,) = ledger.read(book)
    for number, score in enumerate((0.4, 0.5, 0.6)):
        local = {"clean": 0.5 + number / 10, "stress": 0.45 + number / 10, "public": score}
        ledger.append(book, line | {"submission": f"tiny-practice/mean-{number}.txt"} | local)
    folder = chosen_blend(workspace)
    metrics = read_json(folder / "metrics.json")
    write_json(folder / "metrics.json", metrics | {"matched": {"score": 0.4321, "low": 0.4, "high": 0.5}})
    (workspace.folder / "search").mkdir()
    (workspace.folder / "search" / "history.png").write_bytes(PIXEL)
    summary = {"trials": 12, "importances": {"optimizer.lr": 0.7, "model.dropout": 0.3}}
    write_json(workspace.folder / "search" / "summary.json", summary)
    result, page = reported(tmp_path)
    assert result["of"] == f"blend {folder.name}" and result["matched"]["score"] == 0.4321
    for said in (
        *(run.name for run in runs),
        "optimizer.lr=",
        "0.4321",
        "Corruption and severity",
        "The leaderboard will likely say",
        "for the private leaderboard",
        "The weakest family is",
        "What decides the score",
        "<td>12</td>",
        "mean-2",
        "Augmented images",
    ):
        assert said in page, said
    assert page.count('prefers-color-scheme: dark)" srcset') >= 8


def test_runs_are_held_against_the_best_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path)
    runs = [train(tmp_path, QUICK), train(tmp_path, "--recipe", "second", QUICK)]
    scores = {run.name: read_json(run / "metrics.json")["clean"]["score"] for run in runs}
    _, page = reported(tmp_path)
    difference = min(scores.values()) - max(scores.values())
    assert f"{difference:+.4f}\n" in page
    assert "not distinguishable\n" in page or "worse\n" in page


def test_intervals_of_classes_are_drawn_where_they_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path)
    run = train(tmp_path, QUICK, "--stress", "none")
    seen: list[Any] = []

    def drawn(*given: Any) -> Figure:
        seen.append(given[1])
        return by_class(*given)

    monkeypatch.setattr("toolkit.reporting.page.by_class", drawn)
    metrics = read_json(run / "metrics.json")
    metrics["clean"].pop("by_class_interval", None)
    write_json(run / "metrics.json", metrics)
    reported(tmp_path)
    intervals = {name: [0.1, 0.9] for name in metrics["clean"]["by_class"]}
    metrics["clean"]["by_class_interval"] = intervals
    write_json(run / "metrics.json", metrics)
    reported(tmp_path)
    assert seen[0] is None and seen[-1] == intervals


def test_a_recipe_is_told_by_what_differs() -> None:
    best = {"name": "a", "seed": 0, "loss": {"names": ["focal"], "gamma": 0.5}}
    other = {"name": "b", "seed": 0, "loss": {"names": ["focal", "dice"], "gamma": 2.0}}
    assert differences(other, best) == "loss.names=focal,dice, loss.gamma=2"
    assert differences(best, best) == ""
    many = {"name": "c", **{f"field{number}": number for number in range(9)}}
    assert differences(many, {"name": "a"}).endswith("field5=5, and 3 more")


def stored(folder: Path, values: np.ndarray) -> Run:
    folder.mkdir()
    write_probabilities(folder / "oof.npy", [values], values.shape, np.float16)
    return Run(folder, {}, {}, [])


def test_the_worst_are_sure_and_wrong_and_in_a_fold(blood_cells: Competition, tmp_path: Path) -> None:
    values = np.full((5, 8), 0.01, np.float32)
    for row, (label, sure) in enumerate([(0, 0.9), (1, 0.6), (1, 0.8), (1, 0.99), (0, 0.95)]):
        values[row, label] = sure
    targets, fold = np.zeros(5, np.int64), np.array([0, 0, 1, -1, 1])  # row 3 was left out
    run = stored(tmp_path / "run", values)
    found = worst(blood_cells, targets, fold, run, 9)
    assert [wrong.row for wrong in found] == [2, 1] and found[0].certainty == pytest.approx(0.8, abs=1e-3)
    images = np.zeros((5, 96, 96, 3), np.uint8)
    dataset = Dataset(images, targets, np.arange(100, 105), targets, images[:0])
    assert worst_pictures(blood_cells, dataset, targets, run, found)[0][0] == "102: basophil, said eosinophil 0.80"


def test_wrong_pixels_are_red_where_they_are_scored(mars: Competition, tmp_path: Path) -> None:
    values = np.zeros((2, 5, 64, 128), np.float32)
    values[:, 1] = 1
    targets = np.ones((2, 64, 128), np.uint8)
    targets[0, :32] = 2  # wrong
    targets[0, 32:40] = 0  # not scored
    run = stored(tmp_path / "run", values)
    (found,) = worst(mars, targets, np.zeros(2, int), run, 9)
    assert found.row == 0 and found.certainty == pytest.approx(0.5)
    images = np.full((2, 64, 128, 1), 100, np.uint8)
    dataset = Dataset(images, targets, np.arange(2), np.arange(2), images[:0])
    ((caption, picture),) = worst_pictures(mars, dataset, targets, run, [found])
    assert caption == "0: 50% of its pixels wrong"
    error = picture[-128:, -256:]
    assert (error[:64] == [213, 30, 30]).all() and (error[64:] == 50).all()
    colours = dict(legend(mars))
    assert "background" not in colours and colours["soil"] == "rgb({}, {}, {})".format(*COLOURS[1])


def test_a_run_that_is_better_under_corruptions_is_named_beside_the_best_clean_one() -> None:
    def of(name: str, clean: float, stress: float) -> Run:
        scores = {
            kind: {"score": score, "low": score - 0.02, "high": score + 0.02}
            for kind, score in (("clean", clean), ("stress", stress))
        }
        return Run(Path(name), {}, scores | {"matched": None}, [])

    runs = [of("plain", 0.95, 0.66), of("hardened", 0.90, 0.79)]
    (said,) = better_elsewhere(runs, runs[0].metrics)
    assert said.startswith(
        "By the stress score hardened is better: 0.7900 against 0.6600, with a clean score of 0.9000"
    )
    assert better_elsewhere(runs, runs[1].metrics) == []
    assert better_elsewhere([runs[0], of("near", 0.90, 0.69)], runs[0].metrics) == []
