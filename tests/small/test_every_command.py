"""Each small competition through every command: what is printed is true, and nothing silly is better."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.small import FOLDER, NAMES
from toolkit.answers import values_of
from toolkit.competition import Competition, load_competition
from toolkit.data.data_folder import open_dataset
from toolkit.outcome import Outcome
from toolkit.progress import SILENT
from toolkit.project import Project

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")


def silly(competition: Competition, targets: np.ndarray, right: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """What can be said of M images without a look at them, (M, channels, ...).

    targets: of the training images; right: what is best said of the test images.
    """
    prior = np.nanmean(values_of(competition.task, targets), axis=0)
    yield "prior", np.broadcast_to(prior, right.shape)
    yield "all alike", np.full(right.shape, float(prior.mean()))
    yield "of another image", np.random.default_rng(0).permutation(right)


def half(score: dict[str, float]) -> float:
    return (score["high"] - score["low"]) / 2


@pytest.mark.parametrize("name", NAMES)
def test_every_command_in_order(name: str, tmp_path: Path) -> None:
    competition = load_competition(FOLDER / name)
    metric, handed_in = competition.metric, tmp_path / "submissions"
    project = Project(
        competition, practice=True, progress=SILENT, workers=0, workspace=tmp_path, submissions=handed_in
    )

    def shown(outcome: Outcome) -> dict[str, object]:
        assert all(outcome.told())
        made: dict[str, object] = json.loads(json.dumps(outcome.as_json()))
        return made

    shown(project.audit())
    shown(project.folds(3))
    runs = [project.train("first"), project.train("first", seed=1, stress="none")]
    assert all(shown(run)["clean"] for run in runs)
    found = project.search(trials=2, repeats=0, stress="none")
    assert found.told()
    blend = project.ensemble()
    shown(blend)
    submission = project.submit()
    assert Path(str(shown(submission)["submission"])).is_file()
    report = project.report()
    words = re.sub(
        r"<style.*?</style>|base64,[^\"]*|<[^>]*>", " ", report.path.read_text(encoding="utf-8"), flags=re.S
    )
    assert metric.name in words and not re.search(r"\b(nan|inf|None)\b", words)
    graded = project.grade(submission.path)
    shown(graded)

    truth = np.load(project.workspace.practice / "truth" / "truth.npz")
    targets, right = truth["targets"], truth["values"].astype(np.float32)

    def merit(values: np.ndarray) -> float:
        return metric.sign * competition.tally(targets, np.asarray(values, np.float32)).score()

    for what, values in silly(competition, open_dataset(project.workspace.data).targets, right):
        assert metric.sign * graded.score > merit(values) < merit(right), what
        assert metric.sign * blend.score > merit(values), what
    clean, board = blend.metrics["clean"], {"low": graded.low, "high": graded.high}
    assert clean["low"] <= clean["score"] <= clean["high"] and graded.low <= graded.score <= graded.high
    promised = metric.sign * (clean["score"] - graded.score)
    # out of fold each sample is judged by one network, a test image by the mean of all: it may be better than promised
    reach = math.hypot(half(clean), half(board))
    assert -2 * reach <= promised <= reach
