"""An audit of every kind of target: told, on a page, split; what contradicts is found, and nothing is made up."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests import kinds, tiny
from tests.kinds import KINDS
from toolkit import Dataset, Project
from toolkit.auditing.cleaning_proposal import propose
from toolkit.auditing.explain import panel
from toolkit.auditing.findings import LINKS, Findings
from toolkit.auditing.label_errors import LabelErrors, find_label_errors, of_grades
from toolkit.data.targets import contradict, in_words
from toolkit.progress import SILENT


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "data").write_text("drawn")
    return tmp_path / "raw"


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_audited_and_split(
    kind: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.data.rehearsal.rehearse", lambda *_: None)
    data = kinds.drawn(kind, 48)
    images = data.images.copy()
    images[1] = images[0]
    data = replace(data, images=images)
    competition = replace(kinds.competition(kind), load=lambda folder: data, symmetries=None)
    project = Project(competition, data=files, workspace=tmp_path, progress=SILENT, workers=1)
    audit = project.audit()
    told = audit.told()
    assert any("has a mirrored image the same target" in str(line) for line in told)
    assert len(audit.table) == 48 and project.workspace.page.stat().st_size > 1000
    page = project.workspace.page.read_text()
    assert " look like</h2>" in page and "Map of all pictures</h2>" in page
    split = project.folds(3)
    assert split.told() and min(split.as_json()["samples"]) > 0
    assert project.explain(0).png.exists()


def nothing_found(number: int, errors: LabelErrors) -> Findings:
    rows = np.arange(number)
    links = pd.DataFrame(columns=list(LINKS))
    return Findings((), (), rows, links, np.full(number, np.nan), np.zeros((number, 1), np.int64), errors)


def judged(kind: str, values: np.ndarray, dataset: Dataset) -> LabelErrors:
    data = tiny.labelled(
        dataset.targets, np.arange(len(values)) % 3, of=kinds.competition(kind), images=dataset.images
    )
    run: Any = SimpleNamespace(labelled=data, oof=values.astype(np.float32), name="run")
    links = pd.DataFrame({"left": [], "right": []})
    return find_label_errors(data.competition, dataset, np.arange(len(values)), lambda: values, links, run)


def test_a_wrong_label_head_and_number_are_found_and_said() -> None:
    rng = np.random.default_rng(0)
    for kind, row, column, wrong, said in (
        ("labels", 5, 0, None, "doubtful label: a is"),
        ("heads", 5, 1, None, "doubtful label: y is"),
        ("numbers", 5, 1, 2000.0, "doubtful label: y is 2000, looks like 10"),
    ):
        dataset, task = kinds.drawn(kind), KINDS[kind][0]
        truth = dataset.targets
        if kind == "labels":
            values = np.where(truth == 1, 0.995, 0.005) + rng.uniform(-0.004, 0.004, truth.shape)
        elif kind == "heads":
            values = np.concatenate(
                [0.01 + 0.97 * (truth[:, at, None] == np.arange(n)) for at, n in ((0, 2), (1, 3))], axis=1
            )
        else:
            values = np.nan_to_num(truth, nan=1000) + rng.normal(0, 1, truth.shape)
        changed = truth.copy()
        changed[row, column] = wrong if wrong is not None else (truth[row, column] + 1) % 2
        found = judged(kind, values, replace(dataset, targets=changed))
        assert found.issue.tolist() == (np.arange(len(truth)) == row).tolist()
        assert found.judge == "out-of-fold predictions of run"
        lines = propose(replace(dataset, targets=changed), task, nothing_found(len(truth), found))
        assert lines["action"].tolist() == ["drop?"] and lines["reason"][0].startswith(said)


def test_a_wrong_grade_is_to_be_relabelled() -> None:
    dataset = kinds.drawn("grades")
    truth = dataset.targets
    values = np.where(truth[:, None] > np.arange(3), 0.997, 0.003)
    changed = truth.copy()
    changed[3] = (truth[3] + 2) % 4
    found = judged("grades", values, replace(dataset, targets=changed))
    lines = propose(replace(dataset, targets=changed), KINDS["grades"][0], nothing_found(len(truth), found))
    assert lines[["index", "action", "value"]].to_numpy().tolist() == [[3, "relabel?", str(truth[3])]]
    assert of_grades(np.array([[0.9, 0.95, 0.1]]))[0] == pytest.approx([0.1, 0, 0.8, 0.1], abs=1e-5)


def test_overlapping_masks_are_honestly_not_judged() -> None:
    dataset = kinds.drawn("overlapping")
    found = judged("overlapping", np.zeros((len(dataset.images), 2, 16, 16)), dataset)
    assert found.judge == "nothing: overlapping masks are not compared with predictions" and not found.issue.any()
    caption, picture = panel(kinds.competition("overlapping"), dataset, 2)
    assert caption == "2" and picture.shape == (16, 16, 3)


def test_what_is_missing_contradicts_nothing() -> None:
    labels, numbers, heads = (KINDS[kind][0] for kind in ("labels", "numbers", "heads"))
    assert not contradict(np.array([[1, -1, 0], [1, 0, -1]]), labels)
    assert contradict(np.array([[1, -1, 0], [0, 0, -1]]), labels)
    assert not contradict(np.array([[np.nan, 2.0], [1, 2]]), numbers)
    assert contradict(np.array([[1, 2.0], [1, 3]]), numbers)
    assert contradict(np.array([[0, 1], [0, 2]]), heads) and contradict(np.array([0, -1]), KINDS["identities"][0])


@pytest.mark.parametrize(
    ("kind", "target", "said"),
    [
        ("classes", 1, "b"),
        ("identities", -1, "new"),
        ("labels", [1, 0, -1], "a, c?"),
        ("labels", [0, 0, 0], "none"),
        ("numbers", [1.5, 1234.56], "x 1.5, y 1234.56"),
        ("numbers", [np.nan, 2], "x ?, y 2"),
        ("heads", [1, -1], "x b, y ?"),
    ],
)
def test_targets_in_words(kind: str, target: Any, said: str) -> None:
    assert in_words(np.array(target), KINDS[kind][0]) == said
