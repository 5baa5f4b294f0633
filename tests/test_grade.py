"""A submission is scored against the truth, and whatever is missing or doesn't fit is said in one sentence."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from competitions.mars import competition as mars
from competitions.mars.submission import write
from tests.tiny import call, competition
from toolkit import console
from toolkit.competition import Competition, Rules
from toolkit.errors import UserError
from toolkit.grade import add_options, grade
from toolkit.store import Workspace

TRUTH = np.array([0, 1, 2, 2])


def parser() -> argparse.ArgumentParser:
    made = console.parser("grade", "")
    add_options(made)
    return made


def graded(folder: Path, of: Competition = competition, *more: str) -> dict[str, Any]:
    return call(
        grade, parser(), folder, "--submission", f"{folder}/sub.txt", "--truth", f"{folder}/t.npz", *more, of=of
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A truth of four labels and a submission with three of them right."""
    np.savez(tmp_path / "t.npz", targets=TRUTH)
    (tmp_path / "sub.txt").write_text("0 1 2 1")
    return tmp_path


def complaint(folder: Path, said: str, of: Competition = competition) -> None:
    with pytest.raises(UserError) as caught:
        graded(folder, of)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_the_score_is_the_official_metric(folder: Path) -> None:
    assert graded(folder) == {"submission": f"{folder}/sub.txt", "leaderboard": 0.75}


def test_masks_are_scored_in_every_reading(tmp_path: Path) -> None:
    truth = np.random.default_rng(0).integers(5, size=(2, 64, 128))
    np.savez(tmp_path / "t.npz", targets=truth.astype(float))
    write(np.maximum(truth, 1).astype(np.uint8), tmp_path / "sub.txt")
    result = graded(tmp_path, mars)
    assert result["leaderboard"] == result["readings"]["strict"] == result["readings"]["keras"] == 1
    assert result["readings"]["kept"] < 0.9


@pytest.mark.parametrize("text", ["0 1 2", "0 1 2 2 2"])
def test_another_number_of_predictions_is_refused(text: str, folder: Path) -> None:
    (folder / "sub.txt").write_text(text)
    complaint(folder, f"sub.txt holds {len(text.split())} predictions, {folder}/t.npz has 4")


def test_a_missing_truth_is_named(folder: Path) -> None:
    (folder / "t.npz").unlink()
    complaint(folder, f"{folder}/t.npz does not exist; check --truth")
    with pytest.raises(UserError, match=r"truth\.npz does not exist; run `python -m toolkit\.audit` with --practice"):
        call(grade, parser(), folder)
    options = parser().parse_args([str(competition.folder)])
    with pytest.raises(UserError, match="the truth is not at hand: give --truth FILE, or --practice"):
        grade(competition, Workspace(folder, "tiny"), options)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"labels": TRUTH}, "has no array 'targets', it has labels"),
        ({"targets": TRUTH + 1}, "targets: label in row 2 has 3, expected values from 0 to 2"),
        ({"targets": np.zeros((4, 2))}, "targets has shape (4, 2), expected (n,)"),
        ({"targets": TRUTH, "images": np.zeros((4, 9, 9, 3))}, "images has shape (4, 9, 9, 3), expected (n, 8, 8, 3)"),
    ],
)
def test_a_truth_that_does_not_fit_is_refused(arrays: dict[str, np.ndarray], said: str, folder: Path) -> None:
    np.savez(folder / "t.npz", **arrays)  # type: ignore[arg-type]
    complaint(folder, said)


def test_code_is_never_scored_on_images_that_are_not_there(folder: Path) -> None:
    seen = []

    def run_code(path: Path, images: np.ndarray) -> np.ndarray:
        seen.append(images)
        return images[:, 0, 0, 0]

    code = replace(competition, rules=Rules(submission_packages=("numpy",)), read_submission=run_code)
    complaint(folder, "has no array 'images', it has targets", code)
    assert not seen
    images = np.full((4, 8, 8, 3), TRUTH[:, None, None, None], np.uint8)
    np.savez(folder / "t.npz", targets=TRUTH, images=images)
    assert graded(folder, code)["leaderboard"] == 1 and np.array_equal(seen[0], images)


def test_the_newest_line_of_the_ledger_is_graded(folder: Path) -> None:
    with pytest.raises(UserError, match=r"ledger\.csv has no submission of tiny-practice; run"):
        call(grade, parser(), folder, "--truth", f"{folder}/t.npz")
    (folder / "submissions").mkdir()
    lines = "tiny-practice,../old.txt\ntiny-practice,../sub.txt\nmars,../other.csv\n"
    (folder / "submissions" / "ledger.csv").write_text("competition,submission\n" + lines)
    assert call(grade, parser(), folder, "--truth", f"{folder}/t.npz")["leaderboard"] == 0.75
