"""From a drawn download to a competition that loads, is split, and whose submission can be written and read back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import toolkit
from tests.recognition import layouts
from tests.recognition.layouts import LAYOUTS, TEST, TRAIN, picture, table
from toolkit import Competition, Masks, Samples, UserError, load_competition, new_competition
from toolkit.data.data_folder import open_dataset
from toolkit.data.loading import load
from toolkit.new import new
from toolkit.progress import Progress

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")
Draw = Callable[[Path], None]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "competitions" / "leaves"


def project_of(home: Path, data: Path) -> toolkit.Project:
    folder = home.parents[1]
    places: dict[str, Any] = {"workspace": folder / "workspace", "submissions": folder / "submissions"}
    return toolkit.open(home, data=data, progress=Progress(), workers=1, **places)


@pytest.mark.parametrize(("draw", "task", "metric"), LAYOUTS, ids=[each[0].__name__ for each in LAYOUTS])
def test_a_download_is_recognised_and_read(draw: Draw, task: str, metric: str, home: Path, tmp_path: Path) -> None:
    data = tmp_path / "download"
    draw(data)
    made = new_competition(home, data)
    assert (made.proposal.task, made.proposal.word) == (task, metric)
    lines = (home / "__init__.py").read_text().splitlines()
    assert len(lines) < 60 and max(map(len, lines)) < 120
    assert sum("# CHOOSE" in line for line in lines) == 1
    project = project_of(home, data)
    load(project.competition, project.workspace, data)  # which rehearses the submission
    loaded = open_dataset(project.workspace.data)
    assert len(loaded.targets) >= TRAIN and (loaded.test_ids is None or len(loaded.test_ids) in (6, TEST))
    assert not made.fault and "training images and " in made.read


def samples_of(home: Path, data: Path) -> tuple[Competition, Samples]:
    made = load_competition(home)
    samples = made.load(data)
    assert isinstance(samples, Samples)
    return made, samples


def test_targets_are_those_of_the_files(home: Path, tmp_path: Path) -> None:
    layouts.class_folders(tmp_path / "a")
    new_competition(home, tmp_path / "a")
    made, samples = samples_of(home, tmp_path / "a")
    said = [made.task.classes[label] for label in np.asarray(samples.targets)]
    assert said == [Path(path).parent.name for path in samples.images.paths] and len(set(said)) == 3
    layouts.one_hot(tmp_path / "b")
    new_competition(home.with_name("b"), tmp_path / "b")
    made, samples = samples_of(home.with_name("b"), tmp_path / "b")
    assert np.asarray(samples.targets).tolist() == [at % 3 for at in range(TRAIN)]
    assert samples.test_images is not None and samples.test_images.stems.tolist() == [
        f"Test_{at}" for at in range(TEST)
    ]
    layouts.masks_by_stem(tmp_path / "c")
    new_competition(home.with_name("c"), tmp_path / "c")
    _, samples = samples_of(home.with_name("c"), tmp_path / "c")
    heights = [int(stem) + 20 for stem in samples.images.stems]
    assert isinstance(samples.targets, Masks)
    assert [int(samples.targets[at].sum()) for at in range(TRAIN)] == [40 * height for height in heights]


def test_labels_with_marks_between_them_and_masks_in_other_folders(home: Path, tmp_path: Path) -> None:
    layouts.labels_with_marks_between(tmp_path / "a")
    new_competition(home, tmp_path / "a")
    made, samples = samples_of(home, tmp_path / "a")
    assert made.task.classes == ("Cardiomegaly", "Effusion", "No_Finding")
    assert np.asarray(samples.targets)[:4].tolist() == [[0, 0, 1], [1, 0, 0], [1, 1, 0], [0, 0, 1]]
    layouts.masks_of_cities(tmp_path / "b")
    new_competition(home.with_name("b"), tmp_path / "b")
    made, samples = samples_of(home.with_name("b"), tmp_path / "b")
    assert np.unique(np.asarray(samples.targets)).tolist() == [0, 1, 2, 255]


def test_patients_share_a_group_and_are_said(home: Path, tmp_path: Path) -> None:
    layouts.ids_without_suffix(tmp_path / "data")
    made = new_competition(home, tmp_path / "data")
    _, samples = samples_of(home, tmp_path / "data")
    assert samples.groups is not None and len(np.unique(samples.groups)) == TRAIN // 3
    (fact,) = (fact for fact in made.facts if fact["what"] == "groups")
    assert fact["found"] == "patient_id" and fact["sure"] == "likely"


def test_a_metric_that_is_given_is_no_guess_and_may_make_another_task(home: Path, tmp_path: Path) -> None:
    layouts.grades(tmp_path / "data")
    made = new_competition(home, tmp_path / "data", metric="accuracy")
    assert made.proposal.task == "Grades" and "# CHOOSE" not in (home / "__init__.py").read_text()
    layouts.ids_without_suffix(tmp_path / "labels")
    made = new_competition(home, tmp_path / "labels", metric="balanced_accuracy", force=True)
    assert (made.proposal.task, made.proposal.names) == ("Classification", ("0", "1"))
    load_competition(home)
    with pytest.raises(UserError, match="the metric rmse is not for Labels, as which the targets were recognised"):
        new_competition(home, tmp_path / "labels", metric="rmse", force=True)
    with pytest.raises(UserError, match="'area' is no metric that `new` knows; there are accuracy"):
        new_competition(home, tmp_path / "labels", metric="area", force=True)


def test_a_text_beside_the_data_names_the_metric(home: Path, tmp_path: Path) -> None:
    layouts.ids_without_suffix(tmp_path / "data")
    (tmp_path / "data" / "README.md").write_text("Submissions are evaluated by the log loss.")
    assert new_competition(home, tmp_path / "data").proposal.word == "log_loss"


def test_nothing_is_overwritten(home: Path, tmp_path: Path) -> None:
    layouts.arrays(tmp_path / "data")
    new_competition(home, tmp_path / "data")
    (home / "__init__.py").write_text("mine")
    with pytest.raises(UserError, match=r"__init__\.py is there already; --force replaces it"):
        new_competition(home, tmp_path / "data")
    assert (home / "__init__.py").read_text() == "mine"
    new_competition(home, tmp_path / "data", force=True)
    assert load_competition(home).name == "leaves"
    with pytest.raises(UserError, match="'plant-pathology' can't be the name of a competition's folder"):
        new_competition(home.with_name("plant-pathology"), tmp_path / "data")


def test_what_cannot_be_recognised_is_a_sentence(home: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with pytest.raises(UserError, match="data does not exist; point --data at the folder of the organisers' files"):
        new_competition(home, data)
    data.mkdir()
    with pytest.raises(UserError, match="data is empty; put the organisers' files there"):
        new_competition(home, data)
    (data / "train.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"no training images were recognised; train\.zip is packed: unpack it"):
        new_competition(home, data)
    for at in range(8):
        picture(data / "train" / f"{'abcdefgh'[at]}.png", 1)
    with pytest.raises(UserError, match="what is to be predicted of train wasn't recognised: no table names the"):
        new_competition(home, data)
    assert not home.exists()


def test_the_command_says_what_it_saw(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layouts.listed_labels(tmp_path / "data")
    assert new([str(home), "--data", str(tmp_path / "data"), "--json"]) == 0
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    assert said["task"] == "Labels" and said["classes"] == ["complex", "healthy", "rust", "scab"]
    assert {fact["sure"] for fact in said["recognised"]} == {"sure", "likely", "guess"}
    assert f"wrote {home / '__init__.py'}" in printed.err and "next: python -m toolkit.run" in printed.err
    assert new([str(home), "--data", str(tmp_path / "data")]) == 1
    assert capsys.readouterr().out.startswith("error: ")


def test_many_classes_lie_in_a_file_of_their_own(home: Path, tmp_path: Path) -> None:
    rows = [(f"{at}.png", f"species of plant {at % 12}") for at in range(TRAIN)]
    table(tmp_path / "data" / "train.csv", ("image", "species"), *rows)
    for name, _ in rows:
        picture(tmp_path / "data" / "train" / name, 1)
        picture(tmp_path / "data" / "test" / name, 1)
    new_competition(home, tmp_path / "data")
    made, samples = samples_of(home, tmp_path / "data")
    assert len(made.task.classes) == 12 == len((home / "classes.txt").read_text().splitlines())
    assert len(np.unique(np.asarray(samples.targets))) == 12


def test_what_was_written_leads_to_a_submission(home: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    layouts.class_folders(data)
    new_competition(home, data)
    project = project_of(home, data)
    project.folds(2)
    cheap = ("model.name=test_resnet", "schedule.epochs=1", "precision=float32")
    project.train(project.choose_recipe("resnet18", cheap), stress="none")
    done = project.submit()
    first, *lines = done.path.read_text().splitlines()
    assert first == (data / "sample_submission.csv").read_text().splitlines()[0] and len(lines) == TEST
