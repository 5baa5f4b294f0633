"""Images at a recipe's own size are decoded once, from the files, and told apart from those that are audited."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import TASK, competition, in_files, prepare, project
from toolkit import Classification, Images, Segmentation, UserError
from toolkit.data.data_folder import open_dataset, open_decoded
from toolkit.data.loading import load
from toolkit.data.sizes import decoded, image_shape, is_own
from toolkit.images.reading import read_image
from toolkit.store import Workspace

pytestmark = pytest.mark.usefixtures("one_thread")
WIDE = Segmentation(("a", "b"), (75, 100, 6))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return prepare(tmp_path, of=in_files.competition).workspace


@pytest.mark.parametrize(
    ("images", "task", "shape", "own"),
    [
        (Images(), WIDE, (75, 100, 6), False),
        (Images(size=100), WIDE, (75, 100, 6), False),
        (Images(grow=0.5), WIDE, (75, 100, 6), False),
        (Images(size=64), WIDE, (48, 64, 6), True),
        (Images(size=200), WIDE, (150, 200, 6), True),
        (Images(size=1), WIDE, (1, 1, 6), True),
        (Images(fit="crop"), TASK, (8, 8, 3), True),
        (Images(size=8, fit="stretch"), TASK, (8, 8, 3), True),
    ],
)
def test_the_longer_side_has_the_size_and_the_tasks_aspect_is_kept(
    images: Images, task: Classification | Segmentation, shape: tuple[int, int, int], own: bool
) -> None:
    assert image_shape(images, task) == shape and is_own(images, task) == own


def test_a_size_is_decoded_from_the_files_once(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert decoded(workspace, Images(), TASK) is None
    folder = decoded(workspace, Images(size=16), TASK, jobs=1)
    assert folder is not None
    found, data = open_decoded(workspace.data, folder), open_dataset(workspace.data)
    assert found["images"].shape == (72, 16, 16, 3) and found["test_images"].shape == (18, 16, 16, 3)
    assert data.images.shape == (72, 8, 8, 3), "what is audited stays"
    whole = read_image(workspace.practice / "raw" / "train" / "000.png")
    assert np.array_equal(found["images"][0], whole)
    monkeypatch.setattr("toolkit.data.data_folder.decode_all", None)
    assert decoded(workspace, Images(size=16), TASK) == folder


def test_each_fit_has_images_of_its_own(workspace: Workspace) -> None:
    folders = [decoded(workspace, Images(size=16, fit=fit), TASK, jobs=1) for fit in ("letterbox", "crop", "stretch")]
    boxed, cut, stretched = (open_decoded(workspace.data, folder)["images"][1] for folder in folders if folder)
    assert not boxed[:2].any() and not boxed[-2:].any() and boxed[3:-3].all(), "24x16 pixels between black ones"
    whole = read_image(workspace.practice / "raw" / "train" / "001.png")
    assert np.array_equal(cut, whole[:, 4:20]) and stretched.all()


def test_where_the_files_are_gone_a_new_size_says_so_and_a_known_one_is_there(workspace: Workspace) -> None:
    known = decoded(workspace, Images(size=16), TASK, jobs=1)
    moved = workspace.practice.with_name("moved")
    shutil.move(workspace.practice / "raw", moved)
    assert decoded(workspace, Images(size=16), TASK) == known
    with pytest.raises(UserError, match=r"000\.png is gone; put the organisers' files back, or run the audit"):
        decoded(workspace, Images(size=24), TASK)
    load(in_files.competition, workspace, moved)  # as the audit does first
    assert decoded(workspace, Images(size=24), TASK, jobs=1) is not None


def test_arrays_have_one_size(tmp_path: Path) -> None:
    made = project(tmp_path)
    load(competition, made.workspace, made.raw)
    with pytest.raises(UserError, match=r"given as arrays of one size.*leave images\.size=0.*model\.input_scale"):
        decoded(made.workspace, Images(size=16), TASK)


def test_a_size_is_never_decoded_from_other_files_than_those_that_were_audited(workspace: Workspace) -> None:
    raw = workspace.practice / "raw" / "train"
    shutil.copyfile(raw / "001.png", raw / "000.png")
    with pytest.raises(UserError, match=r"other files than those in .* \(1 changed: train/000\.png\)"):
        decoded(workspace, Images(size=16), TASK)
