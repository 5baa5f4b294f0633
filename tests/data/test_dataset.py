"""Bad input ends in one clear sentence, good input in the same arrays whatever its type, and both on disk."""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from competitions.blood_cells import competition as blood_cells
from competitions.mars import competition as mars
from toolkit.audit import load
from toolkit.competition import Competition
from toolkit.data.dataset import (
    ARRAYS,
    Dataset,
    check_dataset,
    class_counts,
    data_hash,
    hash_sample,
    open_dataset,
    save_dataset,
)
from toolkit.data.reading import Npz, image_array, image_files, label_table
from toolkit.errors import UserError
from toolkit.probabilities import CHUNK
from toolkit.store import Workspace

ROOT = Path(__file__).parents[2]
FILES = {"mars": "mars_for_students.npz", "blood_cells": "training_set.npz"}
COMPETITIONS = {"mars": mars, "blood_cells": blood_cells}
Arrays = dict[str, np.ndarray]
Change = Callable[[np.ndarray], object]


def good(name: str) -> Arrays:
    random = np.random.default_rng(0)
    if name == "blood_cells":
        images = random.integers(256, size=(8, 96, 96, 3), dtype=np.uint8)
        return {"images": images, "labels": np.arange(8, dtype=np.uint8)[:, None]}
    pairs = random.integers(256, size=(2, 2, 64, 128)).astype(np.float64)
    pairs[:, 1] %= 5
    return {"training_set": pairs, "test_set": random.integers(256, size=(3, 64, 128)).astype(np.float64)}


def write(folder: Path, name: str, contents: Arrays) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / FILES[name], allow_pickle=True, **contents)
    return folder


def with_value(place: tuple[int | slice, ...], value: float) -> Change:
    def change(array: np.ndarray) -> np.ndarray:
        changed = array.astype(np.float64)
        changed[place] = value
        return changed

    return change


def only_masks(change: Change) -> Change:
    def both(pairs: np.ndarray) -> np.ndarray:
        changed = pairs.copy()
        changed[:, 1] = change(pairs[:, 1])
        return changed

    return both


def objects(array: np.ndarray) -> np.ndarray:
    return np.array([*array.ravel()[:3], None], dtype=object)


def complaint(competition: Competition, folder: Path, *expected: str) -> None:
    """Loading `folder` must fail with one sentence that holds all of `expected`, leaving nothing behind."""
    workspace = Workspace(folder.parent / "workspace", competition.name)
    with pytest.raises(UserError) as caught:
        load(competition, workspace, folder)
    message = str(caught.value)
    assert [part for part in expected if part not in message] == [], message
    assert "\n" not in message and not workspace.data.exists()


def refused(name: str, key: str, change: Change, said: str) -> object:
    return pytest.param(name, key, change, said, id=f"{name}: {said}")


BAD_ARRAYS = [
    refused("blood_cells", "images", lambda a: a[..., 0], "has shape (8, 96, 96), expected (n, 96, 96, 3)"),
    refused("blood_cells", "images", lambda a: a[:, :64], "has shape (8, 64, 96, 3), expected"),
    refused("blood_cells", "images", lambda a: a[:0], "holds no image"),
    refused("blood_cells", "images", lambda a: a.astype("U3"), "has type <U3, expected numbers from 0 to 255"),
    refused("blood_cells", "images", lambda a: a > 9, "has type bool, expected numbers"),
    refused("blood_cells", "images", lambda a: a * 1j, "has type complex128, expected numbers"),
    refused("blood_cells", "images", objects, "holds pickled objects"),
    refused("blood_cells", "images", with_value((5, 0, 0, 0), np.nan), "image in row 5 has nan, expected numbers"),
    refused("blood_cells", "images", with_value((5, 0, 0, 0), -np.inf), "image in row 5 has -inf, expected numbers"),
    refused("blood_cells", "images", with_value((5, 0, 0, 0), 256), "row 5 has 256.0, expected values from 0 to 255"),
    refused("blood_cells", "images", lambda a: a.astype(int) - 9, "expected values from 0 to 255"),
    refused("blood_cells", "images", lambda a: a / 255, "no value is above 1, expected the scale 0..255"),
    refused("blood_cells", "images", lambda a: a / 127.5 - 1, "expected values from 0 to 255"),
    refused("blood_cells", "labels", lambda a: np.eye(8), "has shape (8, 8), expected (n,) or (n, 1)"),
    refused("blood_cells", "labels", lambda a: a.astype("U9"), "has type <U9, expected numbers from 0 to 7"),
    refused("blood_cells", "labels", objects, "holds pickled objects"),
    refused("blood_cells", "labels", lambda a: a + 1, "label in row 7 has 8, expected values from 0 to 7"),
    refused("blood_cells", "labels", lambda a: a.astype(int) - 1, "label in row 0 has -1, expected values"),
    refused("blood_cells", "labels", lambda a: a.astype(int) + 256, "label in row 0 has 256, expected values"),
    refused("blood_cells", "labels", lambda a: a + 0.5, "label in row 0 has 0.5, expected whole numbers"),
    refused("blood_cells", "labels", with_value((3,), np.nan), "label in row 3 has nan, expected numbers"),
    refused("mars", "training_set", lambda a: a[:, 0], "has shape (2, 64, 128), expected (n, 2, 64, 128)"),
    refused("mars", "training_set", lambda a: a.swapaxes(2, 3), "has shape (2, 2, 128, 64), expected"),
    refused("mars", "training_set", lambda a: a[:0], "holds no image"),
    refused("mars", "training_set", lambda a: a.astype("U8"), "has type <U8, expected numbers"),
    refused("mars", "training_set", objects, "holds pickled objects"),
    refused("mars", "training_set", with_value((1, 0, 2, 3), np.nan), "image in row 1 has nan, expected numbers"),
    refused("mars", "training_set", with_value((1, 0, 2, 3), 300), "image in row 1 has 300.0, expected values"),
    refused("mars", "training_set", lambda a: a / 255, "no value is above 1, expected the scale 0..255"),
    refused("mars", "training_set", only_masks(lambda m: m + 1), "has 5.0, expected values from 0 to 4"),
    refused("mars", "training_set", only_masks(lambda m: m - 1), "has -1.0, expected values from 0 to 4"),
    refused("mars", "training_set", with_value((1, 1, 2, 3), 255), "mask in row 1 has 255.0, expected values"),
    refused("mars", "training_set", with_value((1, 1, 2, 3), 2.5), "mask in row 1 has 2.5, expected whole numbers"),
    refused("mars", "training_set", with_value((1, 1, 2, 3), np.nan), "mask in row 1 has nan, expected numbers"),
    refused("mars", "test_set", lambda a: a[:, None], "has shape (3, 1, 64, 128), expected (n, 64, 128, 1)"),
    refused("mars", "test_set", lambda a: a[:0], "holds no image"),
    refused("mars", "test_set", lambda a: a.astype("U8"), "has type <U8, expected numbers"),
    refused("mars", "test_set", objects, "holds pickled objects"),
    refused("mars", "test_set", with_value((2, 0, 0), np.nan), "image in row 2 has nan, expected numbers"),
    refused("mars", "test_set", lambda a: a / 255, "no value is above 1, expected the scale 0..255"),
]


@pytest.fixture(params=COMPETITIONS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_missing_file_is_named_and_so_are_those_that_are_there(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    complaint(COMPETITIONS[name], folder, str(folder), "is not a folder", "--data", "--practice")
    folder.mkdir()
    complaint(COMPETITIONS[name], folder, str(folder / FILES[name]), "does not exist (the folder holds no .npz file)")
    write(folder, name, good(name)).joinpath(FILES[name]).rename(folder / "renamed.npz")
    complaint(COMPETITIONS[name], folder, FILES[name], "does not exist (the folder holds renamed.npz)")


def test_a_missing_array_is_named_and_so_are_those_that_are_there(name: str, tmp_path: Path) -> None:
    for key in good(name):
        contents = good(name)
        contents["misspelt"] = contents.pop(key)
        folder = write(tmp_path / "raw", name, contents)
        complaint(COMPETITIONS[name], folder, FILES[name], f"has no array {key!r}, it has ", "misspelt")


def test_a_file_that_is_cut_short_is_a_clear_error(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "raw", name, good(name)) / FILES[name]
    whole = path.read_bytes()
    for length in (0, 100, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:length])
        complaint(COMPETITIONS[name], path.parent, str(path), "is not a whole .npz file", "download it again")


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
    save: Callable[..., None], find_place: Callable[[bytes], int], tmp_path: Path
) -> None:
    path = tmp_path / "raw" / FILES["mars"]
    path.parent.mkdir()
    save(path, **good("mars"))
    whole = bytearray(path.read_bytes())
    place = find_place(bytes(whole))
    whole[place : place + 4] = bytes(byte ^ 255 for byte in whole[place : place + 4])
    path.write_bytes(whole)
    complaint(mars, path.parent, f"{path}: array 'training_set'", "download the file again")


def test_a_member_that_is_no_array_is_a_clear_error(name: str, tmp_path: Path) -> None:
    path = tmp_path / "raw" / FILES[name]
    path.parent.mkdir()
    for key in good(name):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{key}.npy", "not an array")
        complaint(COMPETITIONS[name], path.parent, str(path), next(iter(good(name))))


def test_a_folder_in_place_of_the_file_is_a_clear_error(name: str, tmp_path: Path) -> None:
    path = tmp_path / "raw" / FILES[name]
    path.mkdir(parents=True)
    complaint(COMPETITIONS[name], path.parent, str(path))


@pytest.mark.parametrize(("name", "key", "change", "said"), BAD_ARRAYS)
def test_a_bad_array_is_refused_by_file_and_key(
    name: str, key: str, change: Change, said: str, tmp_path: Path
) -> None:
    contents = good(name)
    contents[key] = np.asarray(change(contents[key]))
    folder = write(tmp_path / "raw", name, contents)
    complaint(COMPETITIONS[name], folder, FILES[name], key, said)


def test_pickled_objects_are_never_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
            return Path.touch, (tmp_path / "it ran",)

    np.savez(tmp_path / "trap.npz", allow_pickle=True, images=np.array([Trap()], dtype=object))
    with pytest.raises(UserError, match=r"trap\.npz: array 'images' holds pickled objects"):
        Npz(tmp_path / "trap.npz")["images"]
    assert not (tmp_path / "it ran").exists()


def test_a_fault_is_found_by_its_row_in_a_later_chunk() -> None:
    images = np.zeros((CHUNK + 10, 2, 2, 1))
    images[:, 0] = 200
    images[CHUNK + 3, 1, 1] = np.nan
    with pytest.raises(UserError, match=f"^there: image in row {CHUNK + 3} has nan"):
        image_array(images, (2, 2, 1), "there")
    images[CHUNK + 3, 1, 1] = 254.6
    assert image_array(images, (2, 2, 1), "there")[CHUNK + 3].ravel().tolist() == [200, 200, 0, 255]


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32, np.float64])
def test_floats_and_whole_numbers_of_the_same_pictures_load_alike(name: str, kind: type, tmp_path: Path) -> None:
    contents = good(name)
    competition = COMPETITIONS[name]
    expected = competition.load(write(tmp_path / "a", name, contents))
    loaded = competition.load(write(tmp_path / "b", name, {key: a.astype(kind) for key, a in contents.items()}))
    for field in ARRAYS:
        ours, theirs = getattr(loaded, field), getattr(expected, field)
        assert ours.dtype == theirs.dtype and (ours == theirs).all()
    assert loaded.images.dtype == loaded.test_images.dtype == np.uint8
    assert loaded.images.shape[1:] == loaded.test_images.shape[1:] == competition.task.image_shape


def test_the_arrays_are_the_organisers_own(tmp_path: Path) -> None:
    raw = good("mars")
    loaded = mars.load(write(tmp_path / "mars", "mars", raw))
    assert (loaded.images[..., 0] == raw["training_set"][:, 0]).all() and loaded.targets.dtype == np.uint8
    assert (loaded.targets == raw["training_set"][:, 1]).all()
    assert (loaded.test_images[..., 0] == raw["test_set"]).all()
    raw = good("blood_cells")
    loaded = blood_cells.load(write(tmp_path / "blood_cells", "blood_cells", raw))
    assert (loaded.images == raw["images"]).all() and len(loaded.test_images) == 0
    assert loaded.targets.tolist() == loaded.ids.tolist() == list(range(8)) and loaded.targets.dtype == np.int64
    flat = {**raw, "labels": raw["labels"][:, 0]}
    assert (blood_cells.load(write(tmp_path / "flat", "blood_cells", flat)).targets == loaded.targets).all()


def test_as_many_targets_as_images_are_needed(tmp_path: Path) -> None:
    contents = good("blood_cells")
    contents["images"] = contents["images"][:7]
    complaint(blood_cells, write(tmp_path / "raw", "blood_cells", contents), "7 images and 8 targets")


def test_a_class_without_a_sample_is_named(tmp_path: Path) -> None:
    contents = good("blood_cells")
    contents["labels"][3] = 4
    complaint(blood_cells, write(tmp_path / "raw", "blood_cells", contents), "'immature granulocyte' has no image")
    contents = good("mars")
    contents["training_set"][:, 1] %= 4
    complaint(mars, write(tmp_path / "raw", "mars", contents), "class 'big rock' has no pixel")


def test_good_data_pass_the_check(name: str, tmp_path: Path) -> None:
    dataset = COMPETITIONS[name].load(write(tmp_path, name, good(name)))
    check_dataset(dataset, COMPETITIONS[name].task, "there")


def test_classes_are_counted_in_images_or_in_pixels() -> None:
    assert class_counts(np.array([0, 7, 7]), blood_cells.task).tolist() == [1, 0, 0, 0, 0, 0, 0, 2]
    masks = np.zeros((CHUNK + 1, 2, 2), np.uint8)
    masks[CHUNK, 0] = 4
    assert class_counts(masks, mars.task).tolist() == [4 * CHUNK + 2, 0, 0, 0, 2]


def test_a_sample_is_named_by_its_pixels_alone() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert hash_sample(image) == hash_sample(image[::-1][::-1]) != hash_sample(image + 1)


def test_saved_arrays_come_back_memory_mapped_and_read_only(name: str, tmp_path: Path) -> None:
    dataset = COMPETITIONS[name].load(write(tmp_path / "raw", name, good(name)))
    save_dataset(dataset, tmp_path / "data", "abc")
    opened = open_dataset(tmp_path / "data")
    for field in ARRAYS:
        array, saved = getattr(opened, field), getattr(dataset, field)
        assert isinstance(array, np.memmap) and not array.flags.writeable
        assert array.dtype == saved.dtype and array.shape == saved.shape and (array == saved).all()


def test_the_same_files_are_loaded_once_and_other_files_refused(name: str, tmp_path: Path) -> None:
    competition, folder = COMPETITIONS[name], write(tmp_path / "raw", name, good(name))
    workspace = Workspace(tmp_path / "workspace", name)
    load(competition, workspace, folder)
    before = (workspace.data / "manifest.json").read_bytes()
    load(competition, workspace, folder)
    assert (workspace.data / "manifest.json").read_bytes() == before
    (folder / ".DS_Store").write_text("what a file manager leaves")
    load(competition, workspace, folder)
    (folder / "deeper").mkdir()
    (folder / "deeper" / "more.txt").write_text("another file")
    with pytest.raises(UserError, match="made from other files"):
        load(competition, workspace, folder)


@pytest.mark.parametrize("channels", [1, 3])
def test_image_files_are_read_in_their_order_and_resized(channels: int, tmp_path: Path) -> None:
    colours = [(10, 20, 30), (200, 100, 50)]
    paths = [tmp_path / "b.png", tmp_path / "a.png"]
    for path, (red, green, blue), size in zip(paths, colours, (8, 16), strict=True):
        cv2.imwrite(str(path), np.full((size, size, 3), (blue, green, red), np.uint8))
    images = image_files(paths, (8, 8, channels))
    assert images.shape == (2, 8, 8, channels) and images.dtype == np.uint8
    means = images.mean((1, 2))
    assert (means == colours).all() if channels == 3 else means[0] < 30 < 100 < means[1]
    assert image_files([], (8, 8, channels)).shape == (0, 8, 8, channels)
    (tmp_path / "a.png").write_text("not a picture")
    with pytest.raises(UserError, match=r"a.png is not an image that can be read"):
        image_files(paths, (8, 8, channels))
    with pytest.raises(UserError, match=r"c.png does not exist"):
        image_files([tmp_path / "c.png"], (8, 8, channels))


def test_a_table_of_labels_is_read_and_a_fault_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("image,who,label\n1.png,x,None\n2.png,y,1\n")
    names, labels = label_table(path, ("image", "label"), ("1", "None"))
    assert names == ["1.png", "2.png"] and labels.tolist() == [1, 0] and labels.dtype == np.int64
    with pytest.raises(UserError, match=r"train.csv line 2: label is 'None', expected 1, 2"):
        label_table(path, ("image", "label"), ("1", "2"))
    with pytest.raises(UserError, match=r"has no column 'id', it has image, who, label"):
        label_table(path, ("id", "label"), ("1", "2"))
    with pytest.raises(UserError, match=r"test.csv does not exist"):
        label_table(tmp_path / "test.csv", ("image", "label"), ("1", "2"))
    path.write_text("")
    with pytest.raises(UserError, match=r"train.csv can't be read: No columns"):
        label_table(path, ("image", "label"), ("1", "2"))


def test_data_that_are_missing_or_damaged_are_a_clear_error(tmp_path: Path) -> None:
    for reader in (open_dataset, data_hash):
        with pytest.raises(UserError, match="there is no data in"):
            reader(tmp_path / "data")
    save_dataset(mars.load(write(tmp_path / "raw", "mars", good("mars"))), tmp_path / "data", "abc")
    images = tmp_path / "data" / "images.npy"
    images.write_bytes(images.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"images\.npy is damaged; remove"):
        open_dataset(tmp_path / "data")
    images.unlink()
    with pytest.raises(UserError, match=r"images\.npy is damaged; remove"):
        open_dataset(tmp_path / "data")


@pytest.mark.parametrize("field", ARRAYS)
def test_one_changed_value_changes_the_hash_of_the_data(field: str, tmp_path: Path) -> None:
    dataset = mars.load(write(tmp_path / "raw", "mars", good("mars")))
    changed = getattr(dataset, field).copy()
    changed.flat[-1] ^= 1
    other: Dataset = replace(dataset, **{field: changed})
    for folder, which in (("a", dataset), ("b", dataset), ("c", other)):
        save_dataset(which, tmp_path / folder, "abc")
    a, b, c = (data_hash(tmp_path / folder) for folder in "abc")
    assert a == b != c


def command_line(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "toolkit.audit", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command_line_ends_a_bad_input_with_one_line_and_status_1(tmp_path: Path) -> None:
    contents = good("mars")
    contents["training_set"][1, 1, 2, 3] = 9
    folder = write(tmp_path / "raw", "mars", contents)
    done = command_line("competitions/mars", "--data", folder, "--workspace", tmp_path / "workspace")
    said = (done.stdout + done.stderr).strip()
    assert done.returncode == 1 and len(said.splitlines()) == 1 and "Traceback" not in said
    assert said.startswith("error:") and f"{FILES['mars']}: training_set: mask in row 1 has 9.0" in said


def test_the_command_line_ends_wrong_usage_with_status_2() -> None:
    done = command_line("competitions/mars", "--dta", "folder")
    assert done.returncode == 2 and "unrecognized arguments: --dta" in done.stderr and not done.stdout
