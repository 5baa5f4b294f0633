"""Images of six bands in 16 bits, and of colour with height: through every command, and as precise as they came."""

import json
from pathlib import Path

import pytest
import torch

from tests.channels import FOLDER
from toolkit import Network, Run
from toolkit.competition import load_competition
from toolkit.data.data_folder import open_dataset
from toolkit.progress import SILENT
from toolkit.project import Project
from toolkit.scoring.stress import read_evidence

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> set[torch.dtype]:
    """Of images that any network is shown."""
    seen: set[torch.dtype] = set()
    scaled = Network._scaled

    def noted(network: Network, images: torch.Tensor) -> torch.Tensor:
        seen.add(images.dtype)
        return scaled(network, images)

    monkeypatch.setattr(Network, "_scaled", noted)
    return seen


def project_of(name: str, root: Path) -> Project:
    competition = load_competition(FOLDER / name)
    return Project(
        competition, practice=True, progress=SILENT, workers=1, workspace=root, submissions=root / "handed_in"
    )


def check_all(project: Project, views: list[str]) -> Run:
    """Every command in order; nearly all is right, by each network's own fold, under corruptions, and handed in."""
    task = project.competition.task
    audit = project.audit()
    data = open_dataset(project.workspace.data)
    assert data.images.shape[1:] == data.test_images.shape[1:] == task.image_shape
    assert not audit.actions and project.explain(3).png.is_file()
    project.folds(2)
    run = project.train("first")
    assert run.metrics["clean"]["score"] > 0.9 < run.metrics["matched"]["score"]
    assert read_evidence(run) is not None
    blend = project.ensemble(views=views)
    submission = project.submit()
    graded = project.grade(submission.path)
    assert graded.score > 0.9
    assert project.report().path.read_text(encoding="utf-8").count("base64") > 5
    json.dumps([outcome.as_json() for outcome in (audit, run, blend, submission, graded)])
    return run


def test_six_bands_of_16_bits_are_never_rounded_to_8(tmp_path: Path, types: set[torch.dtype]) -> None:
    """Rounded, all images are the same."""
    project = project_of("fields", tmp_path)
    run = check_all(project, ["identity", "both", "rotate10"])
    assert "hue" not in run.metrics["stress"]["cells"]
    mixed = project.train("first", stress="none", augment__mixup=0.3)
    frozen = project.train("first", stress="none", schedule__freeze=1, schedule__epochs=12)
    taught = project.train("first", stress="none", pseudo__rounds=1)
    project.search(trials=1, repeats=0, objective="stress")
    assert all(one.metrics["clean"]["score"] > 0.9 for one in (mixed, taught))
    assert frozen.metrics["clean"]["score"] > 0.5, "of random filters"
    assert types == {torch.float16, torch.float32}


def test_colour_with_height(tmp_path: Path, types: set[torch.dtype]) -> None:
    """Only the height shows what is asked."""
    run = check_all(project_of("slopes", tmp_path), ["identity", "horizontal"])
    assert "hue" in run.metrics["stress"]["cells"]
    assert types == {torch.uint8, torch.float32}
