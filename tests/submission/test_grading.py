"""A submission is scored against the truth, and whatever is missing or doesn't fit is said in one sentence."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from competitions.mars import competition as mars
from tests.tiny import competition
from toolkit.competition import Competition
from toolkit.data.masks import Masks
from toolkit.errors import UserError
from toolkit.formats.writers import write_pixels
from toolkit.metrics.lists import MAP, PAD
from toolkit.metrics.numbers import Rmse
from toolkit.metrics.organisers import from_function
from toolkit.metrics.probabilistic import LogLoss
from toolkit.rules import Rules
from toolkit.store import Workspace
from toolkit.submission.grading import Grade, _targets_said, grade, practice_truth
from toolkit.task import Classification, Grades, Heads, Labels, Numbers, Task

TRUTH = np.array([0, 1, 2, 2])
SIZE = (3, 3, 3)


def graded(folder: Path, of: Competition = competition) -> Grade:
    return grade(of, folder / "sub.txt", folder / "t.npz")


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
    made = graded(folder)
    ends = {"low": made.low, "high": made.high}
    assert made.as_json() == {"submission": f"{folder}/sub.txt", "leaderboard": 0.75, **ends}
    assert 0 <= made.low < 0.75 < made.high <= 1
    said = f"accuracy 0.7500 ({made.low:.4f} to {made.high:.4f}) on 4 test samples"
    assert made.told() == [f"{folder}/sub.txt: {said}"]


def test_samples_of_one_origin_make_the_interval_wider(folder: Path) -> None:
    truth = np.tile(TRUTH, 50)
    (folder / "sub.txt").write_text(" ".join(["0 1 2 1"] * 50))
    np.savez(folder / "t.npz", targets=truth)
    alone = graded(folder)
    np.savez(folder / "t.npz", targets=truth, groups=np.arange(200) // 20 % 2 + np.arange(200) // 4 % 2 * 2)
    together = graded(folder)
    assert together.score == alone.score == 0.75 and together.high - together.low != alone.high - alone.low
    np.savez(folder / "t.npz", targets=truth, groups=np.arange(3))
    complaint(folder, "groups have shape (3,), expected (200,)")


def test_a_truth_may_have_the_form_of_a_submission(folder: Path) -> None:
    (folder / "answers.txt").write_text("0 1 2 2")
    ids = np.arange(4)
    found = grade(competition, folder / "sub.txt", folder / "answers.txt", ids)
    assert found.score == graded(folder).score == 0.75
    with pytest.raises(UserError, match=r"answers.txt: which test images it is about is known after `compete audit`"):
        grade(competition, folder / "sub.txt", folder / "answers.txt")
    (folder / "answers.txt").write_text("0 1 3 2")
    with pytest.raises(UserError, match=r"answers.txt: label in row 2 has 3, expected values from 0 to 2"):
        grade(competition, folder / "sub.txt", folder / "answers.txt", ids)
    code = replace(competition, rules=Rules(submission_packages=("numpy",)))
    with pytest.raises(UserError, match=r"the truth is an \.npz with `targets`"):
        grade(code, folder / "sub.txt", folder / "answers.txt", ids)


def test_a_truth_of_probabilities_has_no_guesses(tmp_path: Path) -> None:
    files: dict[str, list[list[float]]] = {
        "sub": [[0.7, 0.2, 0.1], [0.2, 0.6, 0.2]],
        "answers": [[1, 0, 0], [0, 0, 1]],
        "guesses": [[1, 0, 0], [0, 0.5, 0.5]],
    }
    for name, values in files.items():
        np.savetxt(tmp_path / name, values)
    of = replace(competition, metric=LogLoss(), read_submission=lambda path, images, ids: np.loadtxt(path))
    found = grade(of, tmp_path / "sub", tmp_path / "answers", np.arange(2))
    assert found.score == pytest.approx(-np.log([0.7, 0.2]).mean())
    with pytest.raises(UserError, match="guesses guesses: what is right is 0 or 1"):
        grade(of, tmp_path / "sub", tmp_path / "guesses", np.arange(2))


@pytest.mark.parametrize(
    ("task", "metric", "said", "targets"),
    [
        (Grades(("0", "1", "2"), SIZE), Rmse(), [0.0, 2.0, 1.0], [0, 2, 1]),
        (Labels(("a", "b"), SIZE), LogLoss(), [[0, 1], [1, 1], [0, 0]], [[0, 1], [1, 1], [0, 0]]),
        (Numbers(("a",), SIZE), Rmse(), [[0.5], [2.0], [3.0]], [[0.5], [2.0], [3.0]]),
        (Classification(("a", "b"), SIZE, unknown="new"), LogLoss(), [[0, 1], [1, 0], [0, 0]], [1, 0, -1]),
        (Classification(("a", "b"), SIZE), MAP(3), [[1, PAD], [0, PAD], [1, PAD]], [1, 0, 1]),
        (
            Heads((("a", ("0", "1")), ("b", ("0", "1", "2"))), SIZE),
            from_function(lambda truth, values: 0.0, needs="values", lower_is_better=False),
            [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1], [0, 0, 0, 1, 0]],
            [[1, 0], [0, 2], [-1, 1]],
        ),
    ],
)
def test_what_a_file_says_is_right(
    task: Task, metric: Any, said: list[Any], targets: list[Any], tmp_path: Path
) -> None:
    of = replace(competition, task=task, metric=metric, read_submission=lambda path, images, ids: np.array(said))
    found = _targets_said(of, tmp_path / "answers.csv", np.empty((3, *SIZE)), np.arange(3))
    assert found.tolist() == targets


def test_images_that_nobody_reads_take_no_memory(tmp_path: Path) -> None:
    """Of 100,000 of 512x512 they would take 73 GiB."""
    ids, right = np.arange(100_000), np.arange(100_000) % 3
    (tmp_path / "sub.txt").write_text(" ".join(map(str, right)))
    of = replace(competition, task=Classification(competition.task.classes, (512, 512, 3)))
    np.savez(tmp_path / "t.npz", targets=right)
    assert graded(tmp_path, of).score == 1
    assert grade(of, tmp_path / "sub.txt", tmp_path / "sub.txt", ids).score == 1


def test_a_list_of_several_is_no_truth(tmp_path: Path) -> None:
    of = replace(competition, metric=MAP(3), read_submission=lambda *_: np.array([[0, 1], [1, PAD]]))
    with pytest.raises(UserError, match="guesses: what is right is one class per image"):
        _targets_said(of, tmp_path / "answers.csv", np.empty((2, 8, 8, 3)), np.arange(2))


def test_two_classes_of_one_head_are_no_truth(tmp_path: Path) -> None:
    task = Heads((("a", ("0", "1")), ("b", ("0", "1"))), SIZE)
    metric: Any = from_function(lambda truth, values: 0.0, needs="values", lower_is_better=False)
    said = np.array([[1, 1, 0, 1], [0, 1, 1, 0]])
    of = replace(competition, task=task, metric=metric, read_submission=lambda *_: said)
    with pytest.raises(UserError, match="guesses: what is right is 0 or 1"):
        _targets_said(of, tmp_path / "answers.csv", np.empty((2, *SIZE)), np.arange(2))


def test_masks_of_several_sizes_may_be_told_as_a_submission_tells_them(tmp_path: Path) -> None:
    sizes, ids = np.array([[4, 3], [2, 5]]), np.array(["b", "c"])
    draws = np.random.default_rng(0)
    right = [draws.integers(0, 5, size).astype(np.uint8) for size in sizes.tolist()]
    wrong = [right[0], np.where(right[1] == 1, 2, 1).astype(np.uint8)]
    for name in ("right", "wrong"):
        (tmp_path / f"{name}.csv").touch()
    told: Any = {"right": Masks(2, right.__getitem__, sizes), "wrong": Masks(2, wrong.__getitem__, sizes)}
    of = replace(mars, read_submission=lambda path, images, ids: told[path.stem])
    np.savez(tmp_path / "t.npz", targets=np.concatenate([mask.ravel() for mask in right]))
    for name in told:
        by_file = grade(of, tmp_path / f"{name}.csv", tmp_path / "right.csv", ids, sizes)
        assert by_file.score == grade(of, tmp_path / f"{name}.csv", tmp_path / "t.npz", ids, sizes).score
    assert grade(of, tmp_path / "right.csv", tmp_path / "right.csv", ids, sizes).score == 1


def test_masks_are_scored_in_every_reading(tmp_path: Path) -> None:
    truth = np.random.default_rng(0).integers(5, size=(2, 64, 128))
    np.savez(tmp_path / "t.npz", targets=truth.astype(float))
    write_pixels(tmp_path / "sub.txt", np.maximum(truth, 1).astype(np.uint8))
    result = graded(tmp_path, mars)
    assert result.score == result.readings["strict"] == result.readings["keras"] == 1
    assert result.readings["kept"] < 0.9
    assert result.told()[1].startswith("mean IoU if unscored pixels are: ignored 1.0000, ")


@pytest.mark.parametrize("text", ["0 1 2", "0 1 2 2 2"])
def test_another_number_of_predictions_is_refused(text: str, folder: Path) -> None:
    (folder / "sub.txt").write_text(text)
    complaint(folder, f"sub.txt holds {len(text.split())} predictions, {folder}/t.npz has 4")


def test_a_missing_truth_is_named(folder: Path) -> None:
    (folder / "t.npz").unlink()
    complaint(folder, f"{folder}/t.npz does not exist; check where the truth lies")
    with pytest.raises(UserError, match=r"truth\.npz does not exist; run `compete audit` with --practice"):
        practice_truth(Workspace(folder, "tiny-practice"))


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

    def run_code(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
        seen.append(images)
        return images[:, 0, 0, 0]

    code = replace(competition, rules=Rules(submission_packages=("numpy",)), read_submission=run_code)
    complaint(folder, "has no array 'images', it has targets", code)
    assert not seen
    images = np.full((4, 8, 8, 3), TRUTH[:, None, None, None], np.uint8)
    np.savez(folder / "t.npz", targets=TRUTH, images=images)
    assert graded(folder, code).score == 1 and np.array_equal(seen[0], images)


@pytest.mark.parametrize("size", [(2, 3), (6, 3), (3, 4)])
def test_a_mask_of_another_size_than_its_picture_is_refused(size: tuple[int, int], tmp_path: Path) -> None:
    """One that is too tall would be held against the next picture's truth."""
    np.savez(tmp_path / "t.npz", targets=np.zeros(24, np.uint8))
    sizes = np.array([[4, 3], [4, 3]])
    masks = [np.zeros(size, np.uint8), np.zeros((4, 3), np.uint8)]
    said: Any = Masks(2, masks.__getitem__, sizes)
    of = replace(mars, read_submission=lambda *_: said)
    with pytest.raises(UserError, match=r"the mask of b reads back as \(\d, \d\), its picture is \(4, 3\); mend"):
        grade(of, tmp_path / "any.csv", tmp_path / "t.npz", np.array(["b", "c"]), sizes)
