"""Very many classes through every command, by each metric that they can have."""

import sys
from pathlib import Path

import numpy as np
import pytest

from toolkit import Project
from toolkit.data.loading import draw_practice, load
from toolkit.progress import SILENT
from toolkit.top_k import KEPT, TopK

FOLDER = Path(__file__).parents[2] / "benchmarks" / "many_classes"
CLASSES, SAMPLES = 1010, 1500


@pytest.mark.parametrize("metric", ["macro F1", "MAP", "log loss"])
@pytest.mark.usefixtures("one_thread", "undrawn")
def test_from_folds_to_the_report(metric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MANY_CLASSES": CLASSES, "MANY_METRIC": metric, "MANY_TEST": 30}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delitem(sys.modules, "benchmarks.many_classes", raising=False)  # it has been read with others
    project = Project(
        FOLDER,
        practice=True,
        workspace=tmp_path,
        submissions=tmp_path,
        practice_size=SAMPLES,
        device="cpu",
        progress=SILENT,
    )
    load(
        project.competition,
        project.workspace,
        draw_practice(project.competition, project.workspace, 0, SAMPLES, SILENT),
    )
    split = project.folds(2)
    assert any("in one group alone" in str(line) for line in split.told())
    runs = [
        project.train(stress="none" if seed else "auto", seed=seed, schedule__epochs=3, batch_size=64)
        for seed in range(2)
    ]
    labelled = project.labelled()
    assert isinstance(runs[0].oof, TopK) and runs[0].oof.shape == (SAMPLES, CLASSES)
    assert runs[0].oof_path.stat().st_size < SAMPLES * (KEPT * 6 + 1)
    truth = np.where(labelled.inside, labelled.truth, 0)
    right = np.mean(runs[0].oof.best(np.arange(CLASSES))[labelled.inside] == truth[labelled.inside])
    assert right > 20 / CLASSES
    clean = runs[0].metrics["clean"]
    if metric != "MAP":
        assert clean["classes"] == CLASSES and len(clean["by_class"]) == 30
    assert len(runs[0].mistakes(5)) == 5 and all(runs[0].told())
    blend = project.ensemble(views=("none",))
    assert blend.labelled.competition.better(blend.score, 0 if metric != "log loss" else np.log(CLASSES))
    submission = project.submit()
    assert submission.path.is_file()
    graded = project.grade(submission.path)
    assert graded.score > 0
    page = project.report().path.read_text(encoding="utf-8")
    assert len(page) < 3_000_000 and page.count("c00") < 1_000  # not all classes
