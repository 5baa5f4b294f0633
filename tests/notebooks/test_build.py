"""A notebook is built, tried and registered, or refused; handed in and built again by its ID."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import toolkit.notebooks.build as building
from tests import tiny
from tests.notebooks.test_inference import two_runs
from toolkit.blending.blend_folder import chosen_blend
from toolkit.command_line import parser, run_command
from toolkit.errors import UserError
from toolkit.notebooks import bundle, hand_in
from toolkit.notebooks.bundle import write_bundle
from toolkit.notebooks.trial import Trial, Tried
from toolkit.project import Project
from toolkit.runs import Boosted
from toolkit.store import read_json
from toolkit.submit import add_options, submit

TRIED = Tried(images=18, compared=18, ties=1, seconds=2.0, besides=3.0, peak_bytes=10**9)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a blend."""
    root = tmp_path_factory.mktemp("blended")
    two_runs(root)
    return root


@pytest.fixture
def project(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forked_exports: None) -> Project:
    """Trials pass unseen."""

    def passed(blend: Any, raw: Path, folder: Path, *, test_images: int | None, **how: Any) -> Trial:
        assert (folder / "kernel" / "script.py").is_file() and raw.is_dir()
        return Trial(blend.labelled.competition, TRIED, None, 0.0, 0.5, False, test_images or 18)

    monkeypatch.setattr(building, "try_notebook", passed)
    return tiny.project(workspace, submissions=tmp_path / "submissions")


def test_it_is_registered_once_handed_in_and_built_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    made = project.submit_notebook(kaggle="colours", test_images=180)
    assert {path.name for path in made.path.iterdir()} == {"dataset", "kernel"}
    assert made.line["submission"] == f"tiny-practice/{made.path.name}" and made.path.name.endswith("-notebook")
    assert (made.line["checked"], made.line["ties"], made.line["seconds"]) == (18, 1, 23.0)
    assert any(str(made.path) in str(line) for line in made.told()) and made.as_json()["trial"]["test_images"] == 180
    assert len(project.ledger.lines) == 1
    again = project.submit_notebook(kaggle="colours")
    assert again.trial is None and len(project.ledger.lines) == 1 and "already built" in str(again.told()[0])
    name = made.path.name
    assert project.reproduce(name).facts["identical"]

    asked: dict[str, Any] = {}

    def upload_notebook(
        folder: Path, competition: str, message: str, rules: Any, client: Any, taken: Any, **how: Any
    ) -> Any:
        asked.update(folder=folder, competition=competition, **how)
        taken()
        return {"public": "0.5", "private": ""}

    monkeypatch.setattr(hand_in, "upload_notebook", upload_notebook)
    monkeypatch.setattr(hand_in, "kaggle_client", lambda: None)
    real = replace(tiny.competition, kaggle="colours")
    done = hand_in.upload(real, project.ledger, name, team=2)
    assert done.sentences == [f"{name}: public score 0.5, private not shown"]
    assert asked["file_name"] == "submission.txt" and asked["competition"] == "colours" and asked["team"] == 2
    assert project.ledger.find(name)["public"] == "0.5" and project.ledger.find(name)["uploaded"]
    with pytest.raises(UserError, match="is a notebook for colours"):
        hand_in.upload(real, project.ledger, name, kaggle="shades")

    here = project.submit().path
    assert project.grade().as_json() and project.ledger.newest_file == here
    project.submit_notebook(kaggle="shades")  # of another name, so it is built anew
    assert read_json(made.path / "dataset" / "bundle.json")["kaggle"] == "shades"
    assert project.ledger.newest_file == here
    (made.path / "dataset" / "network_0.pt").write_bytes(b"")
    with pytest.raises(UserError, match="not the notebook that was tried any more"):
        hand_in.upload(real, project.ledger, name)


def test_with_other_code_it_is_built_anew(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, code_of = tmp_path / "shared.py", bundle._code
    monkeypatch.setattr(bundle, "_code", lambda of: {**code_of(of), "shared.py": module})
    for text in ("OLD = 1", "MENDED = 1"):
        module.write_text(text)
        made = project.submit_notebook(kaggle="colours")
        assert made.trial is not None and (made.path / "dataset" / "shared.py").read_text() == text
        assert project.ledger.is_whole(project.ledger.find(made.path.name))
        assert project.submit_notebook(kaggle="colours").trial is None
    (project.raw / "test_images").mkdir()
    assert project.submit_notebook(kaggle="colours").trial is not None  # its folder is known by what it holds
    (project.raw / "test_images").rmdir()


def test_it_is_tried_again_for_another_number_of_test_images(project: Project) -> None:
    first = project.submit_notebook(kaggle="colours", test_images=180)
    written = (first.path / "dataset" / "bundle.json").stat().st_mtime_ns
    again = project.submit_notebook(kaggle="colours", test_images=360)
    assert (again.line["test_images"], again.line["seconds"]) == (360, 43.0) and again.trial is not None
    assert (first.path / "dataset" / "bundle.json").stat().st_mtime_ns == written and len(project.ledger.lines) == 1
    for number in (360, None):
        assert project.submit_notebook(kaggle="colours", test_images=number).trial is None


def test_one_that_fails_its_trial_leaves_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(*given: Any, **how: Any) -> Trial:
        raise UserError("it says something else")

    monkeypatch.setattr(building, "try_notebook", failed)
    with pytest.raises(UserError, match="it says something else"):
        project.submit_notebook(kaggle="colours")
    assert not list((project.submissions / "tiny-practice").iterdir()) and not project.ledger.lines


def test_what_no_notebook_can_be_is_refused(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="needs the name of tiny on Kaggle"):
        project.submit_notebook()
    blend = chosen_blend(project.labelled())
    assert blend is not None
    with monkeypatch.context() as once:
        once.setattr(type(blend), "adapted", {"first": 0.5})
        with pytest.raises(UserError, match="adapts its networks to the test images, which a notebook doesn't"):
            write_bundle(blend, tmp_path, [], "colours")
    boosted = Boosted(blend.folder, blend.labelled)
    monkeypatch.setattr(type(blend), "run", lambda self, name: boosted)
    with pytest.raises(UserError, match="is of boosted trees, which a notebook can't take along"):
        write_bundle(blend, tmp_path, [], "colours")


def test_code_of_another_kind_is_refused_before_anything_is_made(blood_cells: Any, tmp_path: Path) -> None:
    project = Project(blood_cells, practice=True, workspace=tmp_path, practice_size=24)
    with pytest.raises(UserError, match="takes code of another kind than Kaggle's notebooks"):
        project.submit_notebook(kaggle="cells")
    assert not (tmp_path / "blood_cells-practice" / "data").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--notebook", "--half"], "--half is for submissions of other kinds"),
        (["--notebook", "--known-answers"], "--known-answers is for submissions of other kinds"),
        (["--notebook", "--upload"], "a notebook for practice data can't be uploaded"),
        (["--test-images", "9"], "--test-images is for the trial of a --notebook"),
        (["--visible-only"], "--visible-only is for the trial of a --notebook"),
    ],
)
def test_options_that_do_not_go_together(
    options: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = parser("submit", "")
    add_options(made)
    places = [str(tiny.competition.folder), "--workspace", str(tmp_path), "--submissions", str(tmp_path / "s")]
    assert run_command(made, submit, [*places, "--practice", *options]) == 1
    assert reason in capsys.readouterr().out
