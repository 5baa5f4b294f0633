"""Rows of one file are images, whatever the file; what isn't there is named."""

import errno
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np
import pandas as pd
import pytest

import toolkit.images.array_files as array_files_module
from toolkit.data.dataset import Samples
from toolkit.errors import UserError
from toolkit.images.array_files import array_files, bytes_in_each, let_go, opened, read_row
from toolkit.images.files import ImageFiles

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (7, 4, 5, 3), np.uint8)
GREYS = RNG.integers(0, 256, (7, 4, 5), np.uint8)
FILES = [cv2.imencode(".png", image[..., ::-1])[1].tobytes() for image in IMAGES]


def hdf5(path: Path, **arrays: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name.replace("__", "/")] = array


def one_each(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for at, data in enumerate(FILES):
            file[f"ISIC_{at}"] = np.void(data)


def pixel_columns(path: Path) -> None:
    frame = pd.DataFrame(GREYS.reshape(7, -1), columns=[f"pixel{at}" for at in range(20)]).assign(label=1)
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path, row_group_size=3)


def numbered(path: Path) -> None:
    frame = pd.DataFrame(GREYS.reshape(7, -1), columns=[*map(str, range(20))]).iloc[:, ::-1]
    frame.insert(0, "image_id", [f"Train_{at}" for at in range(7)])
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path, row_group_size=3)


def as_text(path: Path) -> None:
    texts = [" ".join(map(str, image.ravel())) for image in GREYS]
    pd.DataFrame({"emotion": 0, "pixels": texts}).to_csv(path, index=False)


def as_bytes(path: Path) -> None:
    pd.DataFrame({"image": [{"bytes": data, "path": "x"} for data in FILES]}).to_parquet(path, row_group_size=4)


@pytest.mark.parametrize(
    ("name", "write", "given", "expected"),
    [
        ("a.npy", lambda path: np.save(path, IMAGES), {}, IMAGES),
        ("a.npz", lambda path: np.savez(path, x=IMAGES), {}, IMAGES),
        ("a.npz", lambda path: np.savez(path, x=IMAGES, y=GREYS), {"key": "y"}, GREYS),
        ("a.npz", lambda path: np.savez(path, x=np.asfortranarray(IMAGES)), {}, IMAGES),
        ("a.npz", lambda path: np.savez_compressed(path, x=IMAGES.astype(np.int64)), {}, IMAGES),
        ("a.h5", lambda path: hdf5(path, x=IMAGES), {}, IMAGES),
        (
            "a.hdf5",
            lambda path: hdf5(path, x=IMAGES, part__y=GREYS.reshape(7, 20)),
            {"key": "part/y", "shape": (4, 5)},
            GREYS,
        ),
        ("a.hdf5", one_each, {}, IMAGES),
        ("a.csv", pixel_columns, {"key": "pixel", "shape": (4, 5)}, GREYS),
        ("a.parquet", pixel_columns, {"key": "pixel", "shape": (4, 5)}, GREYS),
        ("a.csv", numbered, {"shape": (4, 5)}, GREYS),
        ("a.parquet", numbered, {"shape": (4, 5)}, GREYS),
        ("a.csv", as_text, {"key": "pixels", "shape": (4, 5)}, GREYS),
        ("a.parquet", as_bytes, {"key": "image"}, IMAGES),
    ],
)
def test_rows_of_a_file_are_its_images(
    name: str, write: Callable[[Path], object], given: dict[str, object], expected: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / name
    write(path)
    images = array_files(path, **given)  # type: ignore[arg-type]
    assert len(images) == 7 and images.read is read_row
    for at in (3, 0, 6, 5):
        found = images.stored(at)
        assert found.dtype == np.uint8 and (found == expected[at]).all()
    assert (images[2:4].stored(1) == expected[3]).all()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_column_has_the_names_of_images(tmp_path: Path, suffix: str) -> None:
    numbered(tmp_path / f"a{suffix}")
    found = array_files(tmp_path / f"a{suffix}", shape=(4, 5), names="image_id").chosen(["Train_5", "Train_0"])
    assert (found.stored(0) == GREYS[5]).all() and (found.stored(1) == GREYS[0]).all()
    with pytest.raises(UserError, match="has no column 'id' that could name its images"):
        array_files(tmp_path / f"a{suffix}", shape=(4, 5), names="id")


def test_one_part_of_one_parquet_file_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files_module, "TOGETHER", 6)  # columns, of 20
    for name in ("a", "b"):
        numbered(tmp_path / f"{name}.parquet")
    both = [array_files(tmp_path / f"{name}.parquet", shape=(4, 5)) for name in ("a", "b")]
    images = both[0] + both[1]
    for at in (0, 13, 6, 3):
        assert (images.stored(at) == GREYS[at % 7]).all()
        assert array_files_module._Parquet.held[2].shape == (1 if at % 7 == 6 else 3, 20)
    assert bytes_in_each(images) == 3 * 20
    let_go()
    assert array_files_module._Parquet.held[2] is None


def test_nothing_is_read_before_it_is_needed(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGES)
    np.savez(tmp_path / "b.npz", x=IMAGES)
    assert all(isinstance(opened(tmp_path / name, ""), np.memmap) for name in ("a.npy", "b.npz"))


def test_a_file_that_changes_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for images in (IMAGES, IMAGES[:3]):
        np.save(path, images)
        assert len(array_files(path)) == len(images) and (read_row(path, 2) == images[2]).all()


def test_images_of_a_group_are_chosen_by_their_names(tmp_path: Path) -> None:
    one_each(tmp_path / "a.h5")
    found: ImageFiles = array_files(tmp_path / "a.h5").chosen(["ISIC_5", "ISIC_2"])
    assert (found.stored(0) == IMAGES[5]).all() and (found.stored(1) == IMAGES[2]).all()


def test_test_images_are_called_by_their_names_files_or_rows(tmp_path: Path) -> None:
    one_each(tmp_path / "a.h5")
    np.save(tmp_path / "b.npy", IMAGES)
    files = ImageFiles([tmp_path / "007.png", tmp_path / "x.y.png"])
    for tests, ids in (
        (array_files(tmp_path / "a.h5"), [f"ISIC_{at}" for at in range(7)]),
        (files, ["007", "x.y"]),
        (array_files(tmp_path / "b.npy"), None),
    ):
        found = Samples(files, np.arange(2), test_images=tests).as_dataset(tmp_path).test_ids
        assert (None if found is None else found.tolist()) == ids


def test_deep_arrays_stay_deep(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", GREYS.astype(np.int64) + 200)
    assert array_files(tmp_path / "a.npy", values=(0, 500)).stored(0).dtype == np.int64
    np.save(tmp_path / "b.npy", GREYS.astype(np.float32))
    assert array_files(tmp_path / "b.npy").stored(0).dtype == np.float32


@pytest.mark.parametrize(
    ("name", "write", "given", "said"),
    [
        ("a.npz", lambda path: np.savez(path, x=IMAGES, y=GREYS), {}, "has x, y: say by `key`"),
        ("a.npz", lambda path: np.savez(path, x=IMAGES), {"key": "z"}, "has no array 'z', it has x"),
        ("a.h5", lambda path: hdf5(path, x=IMAGES, y=GREYS[:, 0, 0]), {}, "has x, y: say by `key`"),
        ("a.h5", lambda path: hdf5(path, x=IMAGES), {"key": "z"}, "has no 'z', it has x"),
        ("a.h5", lambda path: path.write_bytes(b"x" * 99), {}, "a.h5 can't be read: "),
        ("a.npy", lambda path: path.write_bytes(b""), {}, "a.npy can't be read: "),
        ("a.csv", pixel_columns, {}, "has the columns pixel0, .*: say by `key`"),
        ("a.dat", lambda path: path.write_bytes(b"x"), {}, "a.dat has no known suffix, expected .npy"),
        ("a.npy", lambda path: None, {}, "a.npy does not exist, expected a file of images"),
    ],
)
def test_a_file_that_lacks_what_is_asked_for_is_refused(
    name: str, write: Callable[[Path], object], given: dict[str, str], said: str, tmp_path: Path
) -> None:
    write(tmp_path / name)
    with pytest.raises(UserError, match=said):
        array_files(tmp_path / name, **given)  # type: ignore[arg-type]


def test_a_row_of_another_number_of_pixels_is_refused(tmp_path: Path) -> None:
    as_text(tmp_path / "a.csv")
    with pytest.raises(ValueError, match="row 2 has 20 pixels, expected 4 x 6"):
        read_row(tmp_path / "a.csv", 2, key="pixels", shape=(4, 6))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_of_pixels_are_in_the_order_of_their_numbers(tmp_path: Path, suffix: str) -> None:
    wanted = np.arange(12, dtype=np.uint8).reshape(3, 4)
    table = pd.DataFrame({f"pixel{at}": [value] for at, value in enumerate(wanted.ravel())})
    table, path = table[sorted(table.columns)], tmp_path / f"sorted{suffix}"
    table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path)
    assert (array_files(path, "pixel", shape=(3, 4)).stored(0) == wanted).all()


def test_what_is_held_of_many_files_is_known_without_holding_all(tmp_path: Path) -> None:
    made = np.zeros((10, 512, 512), np.uint8)
    for at in range(12):
        np.savez_compressed(tmp_path / f"{at:02}.npz", images=made)
    images = array_files(sorted(tmp_path.glob("*.npz")), "images")
    array_files_module._opened.cache_clear()
    tracemalloc.start()
    try:
        assert bytes_in_each(images) == 4 * made.nbytes
        assert tracemalloc.get_traced_memory()[1] < 6.5 * made.nbytes
    finally:
        tracemalloc.stop()
        array_files_module._opened.cache_clear()


def test_texts_of_pixels_count_by_their_letters(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("label,pixels\n" + f"1,{' '.join(['123'] * 400)}\n" * 50)
    assert bytes_in_each(array_files(path, "pixels", shape=(20, 20))) == path.stat().st_size


def test_too_many_open_files_is_no_fault_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    np.save(tmp_path / "a.npy", IMAGES)
    monkeypatch.setattr(np, "load", full)
    with pytest.raises(OSError, match="Too many open files"):
        array_files(tmp_path / "a.npy")
