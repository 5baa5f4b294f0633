"""From a blend to a registered file: checked against the blend, written down, shown, scored, built again."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from toolkit import console, submit
from toolkit.blending.view_choice import ViewChoice, write_choice
from toolkit.competition import Competition, Member, Prediction, Rules, Trial
from toolkit.data.dataset import Dataset, data_hash, open_dataset, save_dataset
from toolkit.errors import UserError
from toolkit.networks.network import load_network
from toolkit.networks.predict import predict
from toolkit.probabilities import write_probabilities
from toolkit.recipe import to_dict
from toolkit.store import Workspace, read_json, write_json, write_manifest
from toolkit.submission import ledger
from toolkit.submission.checks import blend_prediction, check_submission, oof_counts, predicted

SCORE = {"score": 0.61, "low": 0.58, "high": 0.64, "by_fold": [0.6, 0.62]}
TESTS, SAMPLES = 12, 8


@pytest.fixture
def workspace(mars: Competition, tmp_path: Path) -> Workspace:
    """A workspace of mars with data, two runs and their blend, made by hand in a moment."""
    place = Workspace(tmp_path, "mars")
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (SAMPLES, 64, 128, 1), dtype=np.uint8)
    masks = random.integers(0, 5, (SAMPLES, 64, 128), dtype=np.uint8)
    tests = random.integers(0, 256, (TESTS, 64, 128, 1), dtype=np.uint8)
    save_dataset(Dataset(images, masks, np.arange(SAMPLES), np.arange(SAMPLES), tests), place.data, "raw")
    make_blend(mars, place, ["one", "two"])
    return place


def make_blend(mars: Competition, place: Workspace, runs: Sequence[str], seed: int = 1, data: str = "") -> None:
    random = np.random.default_rng(seed)
    inputs = {"recipe": "r", "data": data or data_hash(place.data), "folds": "f", "seed": 0, "complete": True}
    for run in runs:
        write_json(place.train / run / "recipe.json", to_dict(mars.recipes["small_unet"]))
        (place.train / run / "fold_0").mkdir(parents=True, exist_ok=True)
        (place.train / run / "fold_0" / "weights.safetensors").touch()
    folder = place.ensemble / "mean"
    for name, count in (("oof", SAMPLES), ("test", TESTS)):
        values = random.random((count, 5, 64, 128), np.float32)
        values[:, 0] = 0
        write_probabilities(folder / f"{name}.npy", [values], values.shape, np.uint8)
    write_json(folder / "blend.json", {"runs": {run: 1 / len(runs) for run in runs}, "biases": None})
    write_json(folder / "metrics.json", {"metric": "mean IoU", "clean": SCORE, "stress": None})
    write_manifest(folder, {"runs": dict.fromkeys(runs, inputs)})


def call(
    capsys: pytest.CaptureFixture[str],
    competition: Competition,
    workspace: Workspace,
    *arguments: str,
    status: int = 0,
) -> Any:
    """The verb on the command line: its JSON, or its error."""
    made = console.parser("submit", "")
    submit.add_options(made)
    places = ["--workspace", str(workspace.root), "--submissions", str(workspace.root / "submissions")]
    verb = submit.submit_verb

    def with_competition(loaded: Competition, place: Workspace, options: Any) -> dict[str, Any]:
        return verb(competition, place, options)

    shown = [] if status else ["--json"]
    code = console.run_verb(made, with_competition, [str(competition.folder), *places, *shown, *arguments])
    printed = capsys.readouterr()
    assert code == status, printed.out + printed.err
    return printed.out if status else json.loads(printed.out) | {"screen": printed.err}


def test_a_submission_is_built_checked_and_written_down(
    mars: Competition, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    made = call(capsys, mars, workspace)
    path = Path(made["submission"])
    (line,) = ledger.read(workspace.root / "submissions" / "ledger.csv")
    assert line["submission"] == f"mars/{path.name}" and len(line["sha256"]) == 64
    assert (
        line["blend"] == "one=0.5 two=0.5 --views none"
        and line["folds"] == "f"
        and line["data"] == data_hash(workspace.data)
    )
    assert (line["clean"], line["low"], line["high"], line["stress"]) == ("0.61", "0.58", "0.64", "")
    assert int(line["bytes"]) == path.stat().st_size
    assert (line["checked"], line["agreement"], line["ties"]) == (str(TESTS * 64 * 128), "1.0", "0")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=mars.folder, capture_output=True, text=True, check=False)
    assert line["commit"] == head.stdout.strip() and line["tree"] in ("clean", "changed", "")
    assert "not published" in made["screen"]


def test_it_is_not_built_twice(mars: Competition, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    first = call(capsys, mars, workspace)
    written = Path(first["submission"]).stat().st_mtime_ns
    again = call(capsys, mars, workspace)
    assert again["submission"] == first["submission"] and Path(again["submission"]).stat().st_mtime_ns == written
    assert len(ledger.read(workspace.root / "submissions" / "ledger.csv")) == 1


def test_other_views_of_the_same_runs_are_another_submission(
    mars: Competition, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    blend = workspace.ensemble / "mean"
    first = Path(call(capsys, mars, workspace)["submission"]).stem
    names = {first}
    for weight in (0.5, 0.75):
        views = ("identity", "horizontal")
        write_choice(blend, ViewChoice(views, (weight, 1 - weight), "log", 0.6, 0.5))
        names.add(Path(call(capsys, mars, workspace)["submission"]).stem)
    assert len(names) == 3
    assert f"to reproduce {first}, blend its runs first" in call(
        capsys, mars, workspace, "--reproduce", first, status=1
    )
    prediction = blend_prediction(mars, workspace, blend, 0, "cpu")
    assert prediction.views == ("identity", "horizontal") and prediction.view_weights == (0.75, 0.25)


def test_masks_seen_through_views_are_put_back_before_they_are_averaged(
    mars: Competition, workspace: Workspace
) -> None:
    recipe = mars.recipes["small_unet"]
    torch.manual_seed(0)
    path = workspace.root / "weights.safetensors"
    save_file({k: v.contiguous() for k, v in mars.build_model(recipe).state_dict().items()}, path)
    images = open_dataset(workspace.data).images[:3]
    members = (Member(recipe, path, 1.0),)
    weights = (0.4, 0.3, 0.2, 0.1)
    views = ("identity", "horizontal", "vertical", "both")
    found = predicted(mars, images, members, "cpu", views, view_weights=weights)
    network, total = load_network(mars, recipe, path, torch.device("cpu")), np.zeros((3, 5, 64, 128))
    for weight, axes in zip(weights, ((), (2,), (1,), (1, 2)), strict=True):
        part = predict(network, np.flip(images, axes), mars.scored, torch.device("cpu"), "float32")
        total += weight * np.flip(part, tuple(axis + 1 for axis in axes))
    sure = np.diff(np.sort(total, axis=1)[:, -2:], axis=1)[:, 0] > 1e-5
    assert sure.mean() > 0.99 and (found.labels == mars.decode(total))[sure].all()
    assert (found.labels != predicted(mars, images, members, "cpu").labels).any()


def test_a_file_that_was_touched_or_never_registered_is_built_again(
    mars: Competition, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(call(capsys, mars, workspace)["submission"])
    whole, book = path.read_bytes(), workspace.root / "submissions" / "ledger.csv"
    path.write_bytes(whole[:-2])
    call(capsys, mars, workspace)
    assert path.read_bytes() == whole
    book.unlink()  # as a kill between file and line would leave it
    call(capsys, mars, workspace)
    assert len(ledger.read(book)) == 1


def test_a_writer_that_changes_labels_is_caught_and_leaves_nothing(
    mars: Competition, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    def write(prediction: Prediction, path: Path) -> None:
        labels = prediction.labels.copy()
        labels[3, 0, :2] = labels[3, 0, :2] % 4 + 1
        mars.write_submission(replace(prediction, labels=labels), path)

    said = call(capsys, replace(mars, write_submission=write), workspace, status=1)
    assert "differs from the blend in 2 of 98,304 labels" in said
    assert not list((workspace.root / "submissions").rglob("*.csv"))


def test_a_sample_submission_of_the_organisers_is_compared_with(
    mars: Competition, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = workspace.root / "raw"
    raw.mkdir()
    (raw / "sample_submission.csv").write_text("Id,Predicted\n0,0\n")
    said = call(capsys, mars, workspace, "--data", str(raw), status=1)
    assert "the first line differs from that of the sample submission" in said


def test_a_run_on_other_data_is_refused(
    mars: Competition, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    make_blend(mars, workspace, ["one"], data="elsewhere")
    said = call(capsys, mars, workspace, status=1)
    assert "run one was trained on other data (elsewhere)" in said and "(rule external_data: competitions/mars" in said


def test_a_file_that_is_too_large_is_refused(
    mars: Competition, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = Rules(submission_bytes=1000, sources={"submission_bytes": "README.md, Rules"})
    said = call(capsys, replace(mars, rules=rules), workspace, status=1)
    assert "bytes, more than 1,000; blend fewer runs (rule submission_bytes: README.md, Rules)" in said


def test_strange_predictions_are_warned_about(
    mars: Competition, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    one = np.zeros((TESTS, 5, 64, 128), np.float32)
    one[:, 2] = 1
    write_probabilities(workspace.ensemble / "mean" / "test.npy", [one], one.shape, np.uint8)
    assert "warning: every prediction is 'bedrock'" in call(capsys, mars, workspace)["screen"]


def test_the_ledger_is_shown(mars: Competition, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    made = call(capsys, mars, workspace)
    shown = call(capsys, mars, workspace, "--show")
    assert [line["submission"] for line in shown["ledger"]] == [f"mars/{Path(made['submission']).name}"]
    assert "0.580 to 0.640" in shown["screen"] and Path(made["submission"]).stem in shown["screen"]


def test_an_old_line_is_shown(mars: Competition, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    book = workspace.root / "submissions" / "ledger.csv"
    book.parent.mkdir()
    book.write_text(
        "time,competition,submission,sha256,metric,clean,low,high\n2024,mars,mars/x.csv,ab,m,0.5,0.4,0.6\n"
    )
    assert "0.400 to 0.600" in call(capsys, mars, workspace, "--show")["screen"]


def test_the_ledger_holds_the_matched_score_where_there_is_one(
    mars: Competition, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, mars, workspace)["ledger"]["matched"] is None
    make_blend(mars, workspace, ["one"], seed=2)
    path = workspace.ensemble / "mean" / "metrics.json"
    write_json(path, read_json(path) | {"matched": {"score": 0.5, "low": 0.4, "high": 0.6}})
    line = call(capsys, mars, workspace)["ledger"]
    assert (line["matched"], line["matched_low"], line["matched_high"]) == (0.5, 0.4, 0.6)
    shown = call(capsys, mars, workspace, "--show")["screen"]
    assert "matched" in shown and "0.400 to" in shown


def test_scores_go_to_the_newest_or_to_a_named_submission(
    mars: Competition, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Path(call(capsys, mars, workspace)["submission"]).stem
    make_blend(mars, workspace, ["one"], seed=2)
    second = Path(call(capsys, mars, workspace)["submission"]).stem
    call(capsys, mars, workspace, "--score", "0.71")
    call(capsys, mars, workspace, "--score", "0.64", "--private", "--id", first)
    lines = pd.read_csv(workspace.root / "submissions" / "ledger.csv")
    assert [Path(name).stem for name in lines["submission"]] == [first, second]
    assert np.isnan(lines["public"][0]) and lines["public"][1] == 0.71 and lines["private"][0] == 0.64
    call(capsys, mars, workspace, "--score", "0.7", "--private", "0.65")
    call(capsys, mars, workspace, "--private", "0.63", "--id", first)
    lines = pd.read_csv(workspace.root / "submissions" / "ledger.csv")
    assert lines["public"][1] == 0.7 and lines["private"].tolist() == [0.63, 0.65]
    assert "--private needs a score" in call(capsys, mars, workspace, "--private", status=1)
    said = call(capsys, mars, workspace, "--score", "1", "--id", "other", status=1)
    assert f"'other' is none of the submissions of mars; there are {first}, {second}" in said


def test_a_past_submission_is_built_again_and_proved_identical(
    mars: Competition, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    name = Path(call(capsys, mars, workspace)["submission"]).stem
    assert call(capsys, mars, workspace, "--reproduce", name)["identical"]
    values = np.random.default_rng(9).random((TESTS, 5, 64, 128), np.float32)
    write_probabilities(workspace.ensemble / "mean" / "test.npy", [values], values.shape, np.uint8)
    said = call(capsys, mars, workspace, "--reproduce", name, status=1)
    assert f"{name} can't be reproduced: its SHA-256 was" in said and "it was built at commit" in said
    make_blend(mars, workspace, ["one"])
    said = call(capsys, mars, workspace, "--reproduce", name, status=1)
    assert "blend its runs first: `python -m toolkit.ensemble … --runs one two --views none`" in said


def test_an_upload_by_hand_shows_file_and_page_and_counts(
    mars: Competition, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = Rules(daily_submissions=1, sources={"daily_submissions": "README.md, Rules"})
    competition = replace(mars, page="https://www.codabench.org/competitions/1/", rules=rules)
    made = call(capsys, competition, workspace)
    told = call(capsys, competition, workspace, "--upload")
    assert "open https://www.codabench.org/competitions/1/" in told["screen"]
    assert str(Path(made["submission"]).resolve()) in told["screen"]
    said = call(capsys, competition, workspace, "--upload", status=1)
    assert "1 of 1 submissions were made today; none is left" in said


def test_an_upload_needs_a_place_a_whole_file_and_real_data(
    mars: Competition, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    made = call(capsys, mars, workspace)
    assert "where mars takes submissions is not known" in call(capsys, mars, workspace, "--upload", status=1)
    Path(made["submission"]).write_text("other")
    assert "is not the file that was checked any more" in call(capsys, mars, workspace, "--upload", status=1)
    assert "a submission of practice data is for nobody" in call(
        capsys, mars, workspace, "--upload", "--practice", status=1
    )


def test_an_upload_to_kaggle_writes_its_scores_down(
    mars: Competition, workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []

    def send(path: Path, slug: str, message: str, *rest: Any) -> dict[str, str]:
        sent.append((path.name, slug, message))
        rest[3]()
        return {"public": "0.7", "private": ""}

    monkeypatch.setattr("toolkit.submission.kaggle.kaggle_client", lambda: None)
    monkeypatch.setattr("toolkit.submission.kaggle.upload_to_kaggle", send)
    made = call(capsys, mars, workspace)
    call(capsys, mars, workspace, "--upload", "--kaggle", "mars-25")
    (line,) = ledger.read(workspace.root / "submissions" / "ledger.csv")
    assert sent[0][:2] == (Path(made["submission"]).name, "mars-25") and "out of fold 0.61" in sent[0][2]
    assert line["public"] == "0.7" and line["uploaded"]


def test_a_file_has_no_parameters_to_halve(
    mars: Competition, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--half is for code submissions; mars takes files" in call(capsys, mars, workspace, "--half", status=1)


@pytest.mark.parametrize("score", [0.61, 0.6099999])
def test_parameters_are_halved_only_where_the_score_stays_to_the_last_digit(
    score: float,
    mars: Competition,
    workspace: Workspace,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def scored(*rest: Any) -> float:
        asked.append(rest)
        return score if rest[-1] else 0.61

    def soil(images: np.ndarray) -> np.ndarray:
        return np.ones(images.shape[:3], np.uint8)

    def tried(path: Path, images: np.ndarray) -> Trial:
        return Trial(soil(images), 1.0, 0.5, 10**8, "network namespace")

    def predicted(
        of: Competition, images: np.ndarray, members: Any, *rest: Any, half: bool, **named: Any
    ) -> Prediction:
        return Prediction(images, soil(images), members, half=half)

    def write(prediction: Prediction, path: Path) -> None:
        path.write_text(f"parameters halved: {prediction.half}")

    monkeypatch.setattr("toolkit.submission.checks.score_again", scored)
    monkeypatch.setattr("toolkit.submission.checks.predicted", predicted)
    competition = replace(mars, try_submission=tried, write_submission=write, submission_suffix=".zip")
    made = call(capsys, competition, workspace, "--half")
    assert Path(made["submission"]).stem.endswith("-fp16") == (score == 0.61)
    assert ("parameters stay float32" in made["screen"]) == (score != 0.61)
    assert call(capsys, competition, workspace, "--half")["submission"] == made["submission"]
    assert len(asked) == (2 if score == 0.61 else 4)  # what is there already is not scored again
    assert call(capsys, competition, workspace, "--reproduce", Path(made["submission"]).stem)["identical"]


def code_check(blood_cells: Competition, path: Path, labels: Sequence[int], margins: Sequence[float]) -> Any:
    path.write_bytes(b"zip")
    trial = Trial(np.array(labels, np.uint8), 3.2, 1.0, 10**8, "network namespace")
    competition = replace(blood_cells, try_submission=lambda path, images: trial)
    images = np.zeros((len(labels), 96, 96, 3), np.uint8)
    prediction = Prediction(images, np.arange(len(labels), dtype=np.uint8), (), margins=np.array(margins, np.float32))
    return check_submission(competition, prediction, path, path.parent / "none", np.ones(8, np.int64))


def test_a_code_submission_must_agree_in_every_label_but_ties(blood_cells: Competition, tmp_path: Path) -> None:
    path = tmp_path / "s.zip"
    figures, _ = code_check(blood_cells, path, [0, 1, 2, 3], [0.5] * 4)
    assert figures["agreement"] == 1 and figures["ties"] == 0 and figures["seconds"] == 3.2
    figures, _ = code_check(blood_cells, path, [0, 1, 2, 7], [0.5, 0.5, 0.5, 1e-6])
    assert figures["agreement"] == 0.75 and figures["ties"] == 1
    with pytest.raises(UserError, match=r"differs from the blend in 1 of 4 labels \(and in 1 ties\)"):
        code_check(blood_cells, path, [0, 1, 5, 7], [0.5, 0.5, 1e-3, 1e-6])


def test_samples_that_were_left_out_count_for_no_class(mars: Competition, tmp_path: Path) -> None:
    values = np.zeros((3, 5, 64, 128), np.float32)
    values[0, 1] = values[2, 4] = 1
    write_probabilities(tmp_path / "oof.npy", [values], values.shape, np.uint8)
    assert oof_counts(mars, tmp_path / "oof.npy").tolist() == [0, 8192, 0, 0, 8192]
