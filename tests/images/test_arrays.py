"""The organisers' arrays: faults are one sentence that names their place, good input is the same whatever its type."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.images.arrays import Npz, image_array, label_array, mask_array
from toolkit.probabilities import CHUNK

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(256, size=(8, 4, 6, 3), dtype=np.uint8)
GREY = RNG.integers(256, size=(3, 4, 6)).astype(np.float64)
LABELS = np.arange(8, dtype=np.uint8)[:, None]
MASKS = RNG.integers(5, size=(3, 4, 6)).astype(np.float64)


def colour(array: np.ndarray) -> np.ndarray:
    return image_array(array, (4, 6, 3), "there")


def grey(array: np.ndarray) -> np.ndarray:
    return image_array(array, (4, 6, 1), "there")


def labels(array: np.ndarray) -> np.ndarray:
    return label_array(array, 8, "there")


def masks(array: np.ndarray) -> np.ndarray:
    return mask_array(array, (4, 6, 1), 5, "there")


def with_value(array: np.ndarray, place: tuple[int, ...], value: float) -> np.ndarray:
    changed = array.astype(np.float64)
    changed[place] = value
    return changed


@pytest.mark.parametrize(
    ("read", "array", "fault"),
    [
        (colour, COLOUR[..., 0], "has shape (8, 4, 6), expected (n, 4, 6, 3)"),
        (colour, COLOUR[:0], "holds no image"),
        (colour, COLOUR.astype("U3"), "has type <U3, expected numbers from 0 to 255"),
        (colour, COLOUR > 9, "has type bool, expected numbers from 0 to 255"),
        (colour, COLOUR * 1j, "has type complex128, expected numbers from 0 to 255"),
        (colour, with_value(COLOUR, (5, 0, 0, 0), np.nan), ": image in row 5 has nan, expected numbers, not NaN"),
        (colour, with_value(COLOUR, (5, 0, 0, 0), -np.inf), ": image in row 5 has -inf, expected numbers, not NaN"),
        (colour, with_value(COLOUR, (5, 0, 0, 0), 256), ": image in row 5 has 256.0, expected values from 0 to 255"),
        (colour, COLOUR / 255, ": no value is above 1, expected the scale 0..255; multiply by 255"),
        (colour, COLOUR / 127.5 - 1, "expected values from 0 to 255"),
        (grey, GREY.swapaxes(1, 2), "has shape (3, 6, 4, 1), expected (n, 4, 6, 1)"),
        (labels, np.eye(8), "has shape (8, 8), expected (n,) or (n, 1)"),
        (labels, LABELS.astype("U9"), "has type <U9, expected numbers from 0 to 7"),
        (labels, LABELS + 1, ": label in row 7 has 8, expected values from 0 to 7"),
        (labels, LABELS.astype(int) + 256, ": label in row 0 has 256, expected values from 0 to 7"),
        (labels, LABELS + 0.5, ": label in row 0 has 0.5, expected whole numbers"),
        (labels, with_value(LABELS, (3, 0), np.nan), ": label in row 3 has nan, expected numbers"),
        (masks, MASKS[:, :3], "has shape (3, 3, 6), expected (n, 4, 6)"),
        (masks, MASKS - 1, "has -1.0, expected values from 0 to 4"),
        (masks, with_value(MASKS, (1, 2, 3), 255), ": mask in row 1 has 255.0, expected values from 0 to 4"),
        (masks, with_value(MASKS, (1, 2, 3), 2.5), ": mask in row 1 has 2.5, expected whole numbers"),
    ],
)
def test_a_bad_array_is_refused(read: Callable[[np.ndarray], np.ndarray], array: np.ndarray, fault: str) -> None:
    with pytest.raises(UserError) as caught:
        read(array)
    assert fault in str(caught.value) and str(caught.value).startswith("there") and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32, np.float64])
def test_floats_and_whole_numbers_are_read_alike(kind: type) -> None:
    assert (colour(COLOUR.astype(kind)) == COLOUR).all() and colour(COLOUR.astype(kind)).dtype == np.uint8
    assert (grey(GREY.astype(kind))[..., 0] == GREY).all() and (grey(GREY[..., None]) == grey(GREY)).all()
    assert (masks(MASKS.astype(kind)) == MASKS).all() and masks(MASKS.astype(kind)).dtype == np.uint8
    for array in (LABELS, LABELS[:, 0]):
        assert labels(array.astype(kind)).tolist() == list(range(8)) and labels(array).dtype == np.int64


def test_a_fault_is_found_by_its_row_in_a_later_chunk() -> None:
    images = np.zeros((CHUNK + 10, 2, 2, 1))
    images[:, 0] = 200
    images[CHUNK + 3, 1, 1] = np.nan
    with pytest.raises(UserError, match=f"^there: image in row {CHUNK + 3} has nan"):
        image_array(images, (2, 2, 1), "there")
    images[CHUNK + 3, 1, 1] = 254.6
    assert image_array(images, (2, 2, 1), "there")[CHUNK + 3].ravel().tolist() == [200, 200, 0, 255]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    np.savez(tmp_path / "good.npz", pairs=np.arange(3000.0), rest=np.ones(9))
    return tmp_path / "good.npz"


def refused(path: Path, *parts: str, key: str = "pairs") -> None:
    """Reading `key` ends in one sentence that holds the path and all of `parts`."""
    with pytest.raises(UserError) as caught:
        Npz(path)[key]
    message = str(caught.value)
    assert [part for part in (str(path), *parts) if part not in message] == [], message
    assert "\n" not in message


def test_arrays_are_read_by_their_keys(path: Path) -> None:
    file = Npz(path)
    assert file.keys == ["pairs", "rest"] and (file["pairs"] == np.arange(3000)).all()
    refused(path, "has no array 'misspelt', it has pairs, rest", key="misspelt")


def test_a_missing_file_is_named_and_so_are_those_that_are_there(path: Path, tmp_path: Path) -> None:
    refused(tmp_path / "nowhere" / "x.npz", "does not exist (the folder holds no .npz file)", "--data")
    refused(tmp_path / "x.npz", "does not exist (the folder holds good.npz)")
    refused(tmp_path, "is a folder")


def test_a_file_that_is_cut_short_is_a_clear_error(path: Path) -> None:
    whole = path.read_bytes()
    for length in (0, 100, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:length])
        refused(path, "is not a whole .npz file", "download it again")


@pytest.mark.parametrize(
    ("save", "find_place"),
    [
        pytest.param(np.savez, lambda whole: whole.index(b"NUMPY") + 5, id="version of the array"),
        pytest.param(np.savez, lambda whole: whole.index(b"NUMPY") + 7, id="length of the header"),
        pytest.param(np.savez, lambda whole: whole.index(b"descr"), id="a key of the header"),
        pytest.param(np.savez, lambda whole: whole.index(b"), }"), id="a bracket of the header"),
        pytest.param(np.savez, lambda whole: len(whole) // 2, id="the numbers"),
        pytest.param(np.savez_compressed, lambda whole: whole.index(b".npy") + 24, id="the start of the packed data"),
        pytest.param(np.savez_compressed, lambda whole: len(whole) // 4, id="the middle of the packed data"),
    ],
)
def test_damage_inside_a_file_is_a_clear_error(
    save: Callable[..., None], find_place: Callable[[bytes], int], path: Path
) -> None:
    save(path, pairs=RNG.random(3000))
    whole = bytearray(path.read_bytes())
    place = find_place(bytes(whole))
    whole[place : place + 4] = bytes(byte ^ 255 for byte in whole[place : place + 4])
    path.write_bytes(whole)
    refused(path, "array 'pairs'", "download the file again")


def test_a_member_that_is_no_array_is_a_clear_error(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pairs.npy", "not an array")
    refused(path, "'pairs' is not a numpy array", "download the file again")


def test_pickled_objects_are_never_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
            return Path.touch, (tmp_path / "it ran",)

    np.savez(tmp_path / "trap.npz", allow_pickle=True, pairs=np.array([Trap()], dtype=object))
    refused(tmp_path / "trap.npz", "array 'pairs' holds pickled objects")
    assert not (tmp_path / "it ran").exists()
