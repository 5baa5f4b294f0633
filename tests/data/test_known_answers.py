"""Known answers: those of equal training images that agree, and are to be trusted."""

from pathlib import Path

import numpy as np

from tests import tiny
from toolkit.competition import Competition
from toolkit.data.data_folder import save_dataset
from toolkit.data.dataset import Dataset
from toolkit.data.known_answers import known_answers, stored_answers

PICTURES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)


def test_an_answer_is_known_where_all_equal_pictures_agree_and_are_trusted() -> None:
    images = PICTURES[[0, 0, 1, 1, 2, 3]]
    targets, trusted = np.array([2, 2, 0, 1, 1, 0]), np.array([1, 1, 1, 1, 1, 0], bool)
    data = Dataset(images, targets, np.arange(6), np.arange(6), PICTURES[[5, 0, 1, 2, 3, 0]])
    found = known_answers(data, trusted)
    assert found.rows.tolist() == [1, 3, 5] and found.targets.tolist() == [2, 1, 2] and len(found) == 3
    assert found.hash != known_answers(data, np.ones(6, bool)).hash


def test_what_cannot_be_read_has_no_known_answer() -> None:
    black = np.zeros((1, 8, 8, 3), np.uint8)
    rows, unread = np.arange(1), np.zeros(1, np.uint64)
    data = Dataset(black, rows, rows, rows, black, pictures=unread, test_pictures=unread)
    assert not len(known_answers(data, np.ones(1, bool)))


def test_masks_must_agree_in_every_pixel() -> None:
    masks = np.zeros((3, 8, 8), np.uint8)
    masks[1, 0, 0] = 1
    data = Dataset(PICTURES[[0, 0, 1]], masks, np.arange(3), np.arange(3), PICTURES[:2])
    found = known_answers(data, np.ones(3, bool))
    assert found.rows.tolist() == [1] and found.targets.shape == (1, 8, 8)


def test_what_the_list_drops_or_relabels_gives_no_answer(tmp_path: Path) -> None:
    tiny.copy_to_test(tmp_path, 5)
    project = tiny.prepare(tmp_path, of=tiny.looking)
    assert stored_answers(project.labelled()).rows.tolist() == [0, 1, 2, 3, 4]
    # rows 0, 1, 2 are red, green, blue
    project.workspace.cleaning.write_text("index,action,value\n0,drop,\n1,relabel,green\n2,relabel,red\n")
    project.folds(3)
    assert stored_answers(project.labelled()).rows.tolist() == [1, 3, 4]


def test_masks_have_known_answers_though_none_is_relabelled(mars: Competition, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, *mars.task.image_shape), dtype=np.uint8)
    masks = np.zeros((3, *images.shape[1:3]), np.uint8)
    made = tiny.labelled(
        masks, np.array([0, 1, -1]), of=mars, root=tmp_path, images=images[:3], test_images=images[1:]
    )
    save_dataset(Dataset(images[:3], masks, made.ids, made.ids, images[1:]), made.workspace.data, "")
    assert stored_answers(made).rows.tolist() == [0], "what is left out has none"
