"""Practice data of mars: the organisers' format, with its traps."""

from pathlib import Path

import numpy as np

from competitions.mars.practice import practice

SIZE = 24


def draw(folder: Path, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    practice(folder, seed, SIZE)
    raw = np.load(folder / "raw" / "mars_for_students.npz", allow_pickle=False)
    truth = np.load(folder / "truth" / "truth.npz", allow_pickle=False)
    return raw["training_set"], raw["test_set"], truth["targets"]


def test_the_files_have_the_organisers_format(tmp_path: Path) -> None:
    training, test, truth = draw(tmp_path)
    assert training.shape == (SIZE + 8, 2, 64, 128)
    assert test.shape == truth.shape == (12, 64, 128)
    assert training.dtype == test.dtype == np.float64
    assert training[:, 0].max() <= 255
    assert (training == np.rint(training)).all()
    assert set(np.unique(truth)) == set(np.unique(training[:, 1])) == {0, 1, 2, 3, 4}


def test_the_same_seed_draws_the_same_pictures(tmp_path: Path) -> None:
    first, again, other = (draw(tmp_path / name, seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert all((one == two).all() for one, two in zip(first, again, strict=True))
    assert (first[0] != other[0]).any()


def test_intruders_share_one_mask_under_different_pictures(tmp_path: Path) -> None:
    training, _, _ = draw(tmp_path)
    masks, counts = np.unique(training[:, 1].reshape(len(training), -1), axis=0, return_counts=True)
    patterned = counts[masks.min(1) != masks.max(1)]
    assert patterned.max() == 8
    shared = masks[(counts == 8) & (masks.min(1) != masks.max(1))][0].reshape(64, 128)
    pictures = training[(training[:, 1] == shared).all((1, 2)), 0]
    assert len(np.unique(pictures.reshape(8, -1), axis=0)) == 8


def test_big_rock_is_rare_but_there(tmp_path: Path) -> None:
    training, _, truth = draw(tmp_path)
    assert 3 <= (training[:, 1] == 4).any((1, 2)).sum() <= SIZE // 2
    assert (truth == 4).any()


def test_no_test_tile_occurs_in_training(tmp_path: Path) -> None:
    training, test, _ = draw(tmp_path)
    assert not {image.tobytes() for image in training[:, 0]} & {image.tobytes() for image in test}
