"""Images that are rows of arrays and tables: which file, array or column says what of them, and what is refused.

All pixels of image `at` are `at`, so that what is read of it can be held against what was drawn.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pandas as pd
import pytest

from tests.recognition.layouts import TEST, TRAIN, table
from tests.recognition.test_new import samples_of
from toolkit import Dataset, Samples, UserError, array_files, load_competition, mask_array, new_competition
from toolkit.recognition.new import New

LABELS = np.arange(TRAIN) % 3
TESTS = 100 + np.arange(TEST)  # what test images show
ORDER = np.array([5, 0, 7, 2, 1, 6, 3, 4])  # of test images, by their ids
MASKS = np.zeros((TRAIN, 12, 12), np.uint8)
MASKS[:, :4] = 1
Draw = Callable[[Path], None]


def shown(values: Sequence[int] | np.ndarray, channels: int = 3, side: int = 12) -> np.ndarray:
    """Images uint8 (N, side, side, channels) of these greys, but for a corner, so that no image is blank."""
    made = np.empty((len(values), side, side, channels), np.uint8)
    made[:] = np.asarray(values)[:, None, None, None]
    made[:, 0, 0] = 200
    return made


IMAGES = shown(np.arange(TRAIN))


def encoded(values: Sequence[int] | np.ndarray) -> list[dict[str, Any]]:
    """As data sets of Hugging Face have it."""
    return [{"bytes": cv2.imencode(".png", one)[1].tobytes(), "path": None} for one in shown(values)]


def pixels(values: Sequence[int] | np.ndarray) -> pd.DataFrame:
    flat = shown(values, 1).reshape(len(values), -1)
    return pd.DataFrame(flat, columns=[f"pixel{at}" for at in range(flat.shape[1])])


def sample(folder: Path, ids: Sequence[object] | np.ndarray, title: str = "id") -> None:
    table(folder / "sample_submission.csv", (title, "label"), *((one, 0) for one in ids))


def grey(samples: Samples, at: int, tests: bool = False) -> int:
    """What an image shows."""
    images = samples.test_images if tests else samples.images
    assert images is not None
    return int(images.stored(at).ravel()[-1])


@pytest.fixture
def read(home: Path, tmp_path: Path) -> Callable[..., tuple[New, Samples]]:
    """Draws a download, recognises it, and reads it by what was written of it."""

    def of(draw: Draw, **given: Any) -> tuple[New, Samples]:
        (tmp_path / "data").mkdir()
        draw(tmp_path / "data")
        made = new_competition(home, tmp_path / "data", **given)
        assert not made.fault, made.fault
        lines = (home / "__init__.py").read_text().splitlines()
        assert len(lines) < 63 and max(map(len, lines)) < 120, max(lines, key=len)
        return made, samples_of(home, tmp_path / "data")[1]

    return of


@pytest.fixture
def refused(home: Path, tmp_path: Path) -> Callable[..., str]:
    """Draws a download that isn't recognised: why."""

    def of(draw: Draw, **given: Any) -> str:
        (tmp_path / "data").mkdir()
        draw(tmp_path / "data")
        with pytest.raises(UserError) as caught:
            new_competition(home, tmp_path / "data", **given)
        assert not home.exists() and "\n" not in str(caught.value)
        return str(caught.value)

    return of


def fact(made: New, what: str) -> dict[str, str]:
    return next(one for one in made.facts if one["what"] == what)


def as_drawn(samples: Samples, labels: Sequence[int] | np.ndarray = LABELS) -> None:
    """Each image has its label."""
    assert len(samples.targets) == len(samples.images) == len(labels)
    for at, label in enumerate(np.asarray(samples.targets).ravel().tolist()):
        assert label == labels[grey(samples, at)]


def shards(folder: Path) -> None:
    """Classes lie one behind another, so that each part has another; a part for validation, one of other columns."""
    order = np.argsort(LABELS, kind="stable")
    for at in range(3):
        rows = order[12 * at : 12 * at + (12 if at < 2 else 8)]
        made = pd.DataFrame({"image": encoded(rows), "label": LABELS[rows]})
        made.to_parquet(folder / f"train-{at:05}-of-00003.parquet")
    rows = order[-4:]
    pd.DataFrame({"image": encoded(rows), "label": LABELS[rows]}).to_parquet(
        folder / "validation-00000-of-00001.parquet"
    )
    for at in range(2):
        tests = pd.DataFrame({"image": encoded(TESTS[4 * at : 4 * at + 4])})
        tests.to_parquet(folder / f"test-{at:05}-of-00002.parquet")
    pd.DataFrame({"image": encoded(range(3))}).to_parquet(folder / "unlabelled.parquet")


def test_parts_of_a_table_are_joined(read: Callable[..., tuple[New, Samples]]) -> None:
    made, samples = read(shards)
    as_drawn(samples)
    assert [grey(samples, at, tests=True) for at in range(TEST)] == TESTS.tolist()
    assert fact(made, "training images")["found"] == "36 rows of train-00000-of-00003.parquet and 3 more"
    assert fact(made, "not used")["found"] == "3 rows of unlabelled.parquet"


def parts_that_count(folder: Path) -> None:
    """Eleven files of test images, of which 10 stands before 2; ids are places."""
    pixels(np.arange(TRAIN)).assign(label=LABELS).to_csv(folder / "train.csv", index=False)
    for at in range(11):
        pixels([100 + at]).to_csv(folder / f"test_{at}.csv", index=False)
    sample(folder, range(1, 12))


def test_parts_are_in_the_order_of_their_numbers(read: Callable[..., tuple[New, Samples]]) -> None:
    _, samples = read(parts_that_count)
    assert samples.test_ids is not None and samples.test_ids.tolist() == list(range(1, 12))
    assert [grey(samples, at, tests=True) for at in range(11)] == [100 + at for at in range(11)]


def in_table(suffix: str, title: str, ids: Callable[[int], object], parts: int = 1, train: str = "") -> Draw:
    """Test images in another order than the sample's ids, which a column of their table has."""

    def draw(folder: Path) -> None:
        rows = pixels if suffix == "csv" else lambda values: pd.DataFrame({"image": encoded(values)})
        known = rows(np.arange(TRAIN)).assign(label=LABELS)
        if train:
            known.insert(0, train, [f"a{at}" for at in range(TRAIN)])
        tests = rows(100 + ORDER)
        tests.insert(0, title, [ids(at) for at in ORDER.tolist()])
        for name, made, number in (("train", known, 1), ("test", tests, parts)):
            for at in range(number):
                path = folder / (f"{name}_{at}.{suffix}" if number > 1 else f"{name}.{suffix}")
                some = made.iloc[at::number]
                some.to_csv(path, index=False) if suffix == "csv" else some.to_parquet(path, index=False)
        sample(folder, [ids(at) for at in range(TEST)], title)

    return draw


def in_array(**given: Any) -> Draw:
    def draw(folder: Path) -> None:
        np.savez(folder / "data.npz", x_train=IMAGES, y_train=LABELS, x_test=shown(100 + ORDER), **given)
        sample(folder, range(TEST))

    return draw


def in_files(folder: Path) -> None:
    np.save(folder / "train_images.npy", IMAGES)
    np.save(folder / "train_labels.npy", LABELS)
    np.save(folder / "test_images.npy", shown(100 + ORDER))
    np.save(folder / "test_names.npy", np.array([f"t{at}" for at in ORDER]))
    sample(folder, [f"t{at}" for at in range(TEST)])


@pytest.mark.parametrize(
    "draw",
    [
        in_table("csv", "id", int),
        in_table("csv", "index", int),
        in_table("csv", "id", "t{}".format, parts=2, train="id"),
        in_table("parquet", "id", int),
        in_table("parquet", "id", "t{}".format, train="id"),
        in_table("parquet", "file", "t{}.png".format, parts=3),
        in_table("csv", "key", "t{}".format),
        in_array(test_ids=ORDER),
        in_array(order=ORDER.astype(str)),
        in_files,
    ],
)
def test_test_images_are_called_as_a_column_or_array_says(
    draw: Draw, read: Callable[..., tuple[New, Samples]]
) -> None:
    made, samples = read(draw)
    as_drawn(samples)
    assert fact(made, "sample submission")["why"].startswith("ids are those in ")
    assert fact(made, "test images")["sure"] == "sure" and samples.test_images is not None
    assert samples.test_images.names is not None
    digits = [int("".join(filter(str.isdecimal, one))) for one in samples.test_images.names.tolist()]
    assert sorted(digits) == list(range(TEST))
    assert [grey(samples, at, tests=True) - 100 for at in range(TEST)] == digits


def test_a_sample_that_names_some_of_the_rows(read: Callable[..., tuple[New, Samples]]) -> None:
    def draw(folder: Path) -> None:
        in_table("parquet", "id", "t{}".format)(folder)
        sample(folder, ["t3", "t1"])

    _, samples = read(draw)
    assert samples.test_ids is not None and samples.test_ids.tolist() == ["t3", "t1"]
    assert [grey(samples, at, tests=True) for at in range(2)] == [103, 101]


def test_names_that_are_no_ids_of_the_sample_are_a_doubt(read: Callable[..., tuple[New, Samples]]) -> None:
    def draw(folder: Path) -> None:
        in_table("csv", "id", "t{}".format)(folder)
        sample(folder, range(TEST))

    made, _ = read(draw)
    assert fact(made, "test images")["sure"] == "guess"
    assert "id has other names than the ids of sample_submission.csv" in fact(made, "test images")["why"]


def test_test_images_of_two_names_are_in_a_doubtful_order(read: Callable[..., tuple[New, Samples]]) -> None:
    def draw(folder: Path) -> None:
        pixels(np.arange(TRAIN)).assign(label=LABELS, speed=0.5).to_csv(folder / "train.csv", index=False)
        for name in ("public", "private"):
            pixels(TESTS[:4]).to_csv(folder / f"test_{name}.csv", index=False)
        sample(folder, range(8))

    made, _ = read(draw)
    assert fact(made, "test images")["sure"] == "guess"


def named_elsewhere(folder: Path) -> None:
    """Bytes in Parquet, of which a CSV says the labels by name, in another order."""
    names = [f"i{at}" for at in range(TRAIN)]
    pd.DataFrame({"id": names, "image": encoded(range(TRAIN))}).to_parquet(folder / "images.parquet")
    order = np.random.default_rng(0).permutation(TRAIN)
    table(
        folder / "labels.csv", ("id", "site", "kind"), *((names[at], f"s{at % 9}", "abc"[LABELS[at]]) for at in order)
    )


def test_another_table_says_the_labels_of_named_rows(read: Callable[..., tuple[New, Samples]]) -> None:
    made, samples = read(named_elsewhere)
    as_drawn(samples)
    assert samples.groups is not None and len(np.unique(samples.groups)) == 9
    assert fact(made, "table")["found"] == "labels.csv"


def own_table(folder: Path) -> None:
    """Patients, some of whom aren't known, beside images and labels."""
    patients = [None if at > 30 else f"p{at % 7}" for at in range(TRAIN)]
    made = pd.DataFrame({"image": encoded(range(TRAIN)), "patient_id": patients, "label": LABELS})
    made.to_parquet(folder / "train.parquet")


def test_patients_in_tables_of_images_are_groups(read: Callable[..., tuple[New, Samples]]) -> None:
    _, samples = read(own_table)
    as_drawn(samples)
    assert samples.groups is not None and len(np.unique(samples.groups)) == 7 + 5
    assert samples.groups[0] == samples.groups[7] != samples.groups[1]


def test_a_table_of_images_for_training_and_test_alike_is_refused(refused: Callable[..., str]) -> None:
    def draw(folder: Path) -> None:
        made = pixels(np.arange(TRAIN)).assign(label=LABELS, usage=["train", "test"] * (TRAIN // 2))
        made.to_csv(folder / "data.csv", index=False)

    assert "usage of data.csv says which rows are for test: save these as a table of their own" in refused(draw)


def test_people_name_the_target_of_a_table_of_images(read: Callable[..., tuple[New, Samples]]) -> None:
    def draw(folder: Path) -> None:
        pixels(np.arange(TRAIN)).assign(label=0, kind=LABELS).to_csv(folder / "train.csv", index=False)

    as_drawn(read(draw, targets=("kind",))[1])


def test_colours_of_pixels_in_planes(read: Callable[..., tuple[New, Samples]]) -> None:
    ramp = np.add.outer(np.linspace(0, 150, 12), np.linspace(0, 40, 12))
    images = np.stack([ramp, 2 * ramp % 200, ramp * 0 + 7], axis=2).astype(np.uint8)

    def draw(folder: Path) -> None:
        flat = pd.DataFrame([images.transpose(2, 0, 1).ravel()] * TRAIN, columns=[f"p{at}" for at in range(432)])
        flat.assign(patient=np.arange(TRAIN) // 3, label=LABELS).to_csv(folder / "train.csv", index=False)

    made, samples = read(draw)
    assert (samples.images.stored(3) == images).all() and samples.groups is not None
    assert fact(made, "training images")["sure"] == "guess"


def test_ids_stand_in_another_column_of_the_sample(read: Callable[..., tuple[New, Samples]]) -> None:
    def draw(folder: Path) -> None:
        in_table("csv", "id", int)(folder)
        table(folder / "sample_submission.csv", ("label", "id"), *((0, at) for at in range(TEST)))

    _, samples = read(draw)
    assert samples.test_images is not None and samples.test_images.names is not None
    assert samples.test_images.names.tolist() == [str(at) for at in ORDER]


def saved(**arrays: Any) -> Draw:
    return lambda folder: np.savez(folder / "data.npz", **arrays)


def hdf5(**arrays: Any) -> Draw:
    def draw(folder: Path) -> None:
        with h5py.File(folder / "data.h5", "w") as file:
            for name, array in arrays.items():
                file[name.replace("__", "/")] = array

    return draw


def separate(**arrays: Any) -> Draw:
    def draw(folder: Path) -> None:
        for name, array in arrays.items():
            path = folder / f"{name.replace('__', '/')}.npy"
            path.parent.mkdir(exist_ok=True)
            np.save(path, array)

    return draw


WORDS = np.array(["cat", "dog", "owl"])[LABELS]


@pytest.mark.parametrize(
    "draw",
    [
        saved(x_train=IMAGES, patient=np.arange(TRAIN) // 3, y_train=LABELS),
        saved(x_train=IMAGES, aux_label=LABELS[::-1], y_train=LABELS, y_aux=LABELS[::-1]),
        separate(X_train=IMAGES, age=np.arange(TRAIN) // 4, y_train=LABELS[:, None]),
        separate(X_train=IMAGES, y_train=WORDS),
        saved(images=IMAGES, names=np.arange(TRAIN), species=LABELS),
        saved(images=IMAGES, labels=np.eye(3)[LABELS]),
        saved(images=IMAGES, labels=np.eye(3, dtype=bool)[LABELS]),
        saved(images=IMAGES, labels=LABELS * 10 - 10),
        saved(images=IMAGES, labels=LABELS.astype(np.float32)),
        hdf5(train__images=IMAGES, train__labels=LABELS, test__images=shown(TESTS), test__labels=LABELS[:TEST]),
        hdf5(images=IMAGES, labels=WORDS.astype("S3")),
        hdf5(images=IMAGES, labels=WORDS.astype(object)),
        separate(train__images=IMAGES, train__labels=LABELS, test__images=shown(range(100, 140))),
        saved(x_train=IMAGES, y_train=LABELS, x_val=shown(range(50, 200)), y_val=np.arange(150) % 2),
        saved(depth=IMAGES[..., 0], rgb=IMAGES, label=LABELS),
        saved(x=IMAGES.transpose(0, 3, 1, 2), y=LABELS),
        saved(x=IMAGES[..., 0], y=LABELS),
        saved(x=shown(range(TRAIN), 10).transpose(0, 3, 1, 2), y=LABELS),
        saved(x=np.asfortranarray(IMAGES), y=LABELS),
    ],
)
def test_the_array_of_targets_is_the_one_that_is_called_so(
    draw: Draw, read: Callable[..., tuple[New, Samples]]
) -> None:
    made, samples = read(draw)
    assert made.proposal.task == "Classification" and len(made.proposal.names) == 3
    as_drawn(samples)
    assert samples.images.stored(1).shape[:2] == (12, 12)


def batches(folder: Path) -> None:
    """Arrays in eleven files for training, one of them shorter, and eleven for test, of which 10 stands before 2."""
    for at in range(11):
        rows = np.arange(TRAIN)[at::11]
        np.savez(folder / f"data_batch_{at}.npz", data=IMAGES[rows], labels=LABELS[rows], patient=rows // 3)
        np.savez(folder / f"test_batch_{at}.npz", data=shown([100 + at]), labels=[0])
    sample(folder, range(1, 12))


def test_arrays_in_numbered_files_are_joined(read: Callable[..., tuple[New, Samples]]) -> None:
    made, samples = read(batches)
    as_drawn(samples)
    assert fact(made, "training images")["found"] == "36 in data_batch_*.npz: data"
    assert [grey(samples, at, tests=True) for at in range(11)] == [100 + at for at in range(11)]
    assert samples.groups is not None and len(np.unique(samples.groups)) == 12
    patients = {grey(samples, at) // 3: group for at, group in enumerate(samples.groups.tolist())}
    assert all(patients[grey(samples, at) // 3] == samples.groups[at] for at in range(TRAIN))


def test_test_images_are_no_part_of_numbered_files(read: Callable[..., tuple[New, Samples]]) -> None:
    def draw(folder: Path) -> None:
        for name, rows in (("1", np.arange(TRAIN)), ("2", np.arange(9)), ("test", TESTS)):
            np.savez(folder / f"data_{name}.npz", image=shown(rows), label=rows % 3)

    made, samples = read(draw)
    as_drawn(samples)
    assert samples.test_images is not None and len(samples.test_images) == TEST
    assert fact(made, "training images")["sure"] == "guess" and "data_2" in fact(made, "training images")["why"]


def test_numbered_arrays_that_may_be_parts_are_a_doubt(read: Callable[..., tuple[New, Samples]]) -> None:
    made, _ = read(separate(x_0=IMAGES, y_0=LABELS, x_1=IMAGES[:9], y_1=LABELS[:9]))
    assert fact(made, "training images")["sure"] == "guess" and "x_1" in fact(made, "training images")["why"]


def test_pairs_are_called_as_an_array_says(home: Path, tmp_path: Path) -> None:
    both = np.stack([IMAGES[..., 0], MASKS * 255], axis=1)
    np.savez(tmp_path / "data.npz", training_set=both, test_set=shown(100 + ORDER, 1)[..., 0], test_ids=ORDER)
    table(tmp_path / "sample_submission.csv", ("id", "rle"), *((at, "1 1") for at in range(TEST)))
    new_competition(home, tmp_path)
    loaded = load_competition(home).load(tmp_path)
    assert isinstance(loaded, Dataset) and loaded.test_ids is not None
    assert loaded.test_ids.tolist() == [str(at) for at in ORDER] and (loaded.targets == MASKS).all()


def test_numbers_in_a_table_beside_images_are_no_pixels(read: Callable[..., tuple[New, Samples]]) -> None:
    def draw(folder: Path) -> None:
        saved(x_train=IMAGES, y_train=LABELS)(folder)
        pixels(np.arange(50)).assign(label=1).to_csv(folder / "features.csv", index=False)

    as_drawn(read(draw)[1])


def test_an_array_called_like_a_group_is_one(read: Callable[..., tuple[New, Samples]]) -> None:
    _, samples = read(saved(x_train=IMAGES, patient=np.arange(TRAIN) // 3, y_train=LABELS))
    assert samples.groups is not None and samples.groups.tolist() == (np.arange(TRAIN) // 3).tolist()


def test_labels_and_numbers_in_columns_of_an_array(read: Callable[..., tuple[New, Samples]]) -> None:
    said = np.stack([LABELS > 0, LABELS > 1], axis=1).astype(np.uint8)
    made, samples = read(saved(x=IMAGES, y=said))
    assert made.proposal.task == "Labels" and (np.asarray(samples.targets) == said).all()


@pytest.mark.parametrize(
    ("draw", "why"),
    [
        (saved(x=IMAGES, age=LABELS, speed=LABELS), "data.npz: age, data.npz: speed none is called like a target"),
        (saved(x=IMAGES, patient=LABELS), "of data.npz: patient none is called like a target: say by --target"),
        (saved(x=IMAGES, fine_label=LABELS, coarse_label=LABELS), "are all called like targets: say by --target"),
        (saved(x=IMAGES), "no array has a value for each of the 36 images"),
        (separate(x=IMAGES, y=WORDS.astype(object), age=LABELS), "y.npy holds pickled objects, which can run code"),
        (saved(x=IMAGES, y=WORDS.astype(object)), "data.npz: y holds pickled objects, which can run code"),
        (separate(x=IMAGES.astype(object), y=LABELS), "x.npy holds pickled objects, which can run code"),
        (
            separate(x=IMAGES.reshape(TRAIN, -1), y=LABELS),
            "none is (N, height, width), (N, height, width, channels) or",
        ),
        (saved(x=IMAGES.transpose(1, 2, 3, 0), y=LABELS), "images lie along the last axis, as MATLAB has them"),
        (saved(x=IMAGES[..., 0].transpose(1, 2, 0), y=LABELS[None]), "images lie along the last axis"),
        (saved(x=IMAGES, y=np.where(LABELS, WORDS, "")), "data.npz: y is called like a target, but has blank texts"),
        (saved(x=IMAGES, y=np.zeros(TRAIN)), "but is the same everywhere"),
    ],
)
def test_what_no_array_says_surely_is_refused(draw: Draw, why: str, refused: Callable[..., str]) -> None:
    assert why in refused(draw)


def test_people_name_the_array_of_targets(read: Callable[..., tuple[New, Samples]]) -> None:
    made, samples = read(saved(x=IMAGES, fine_label=LABELS, coarse_label=LABELS % 2), targets=("fine_label",))
    as_drawn(samples)
    assert fact(made, "targets")["sure"] == "sure"
    with pytest.raises(UserError, match="--target 'fine' is no array with a value an image; there is fine_label, "):
        new_competition(made.folder, made.proposal.found.folder, targets=("fine",), force=True)


def test_two_arrays_of_images_are_a_guess(read: Callable[..., tuple[New, Samples]]) -> None:
    made, _ = read(saved(left=IMAGES, right=IMAGES, label=LABELS))
    assert fact(made, "training images")["sure"] == "guess" and "right" in fact(made, "other arrays")["found"]


@pytest.mark.parametrize(
    ("images", "values"),
    [
        (IMAGES / np.float32(255), (0, 1)),
        (IMAGES / 127.5 - 1, (-1, 1)),
        (IMAGES > 20, (0, 1)),
        ((IMAGES > 20).astype(np.uint8), (0, 1)),
        (IMAGES.astype(np.uint16), (0, 255)),
        (IMAGES.astype(np.int64), None),
    ],
)
def test_what_becomes_black_and_white(
    images: np.ndarray, values: tuple[float, float] | None, read: Callable[..., tuple[New, Samples]]
) -> None:
    _, samples = read(saved(x=images, y=LABELS))
    assert samples.images.values == values


@pytest.mark.parametrize(
    "masks",
    [MASKS, MASKS * 255, MASKS[..., None] * 255.0, MASKS > 0, (MASKS * 255)[:, None], MASKS.astype(np.float32)],
)
def test_masks_in_arrays(masks: np.ndarray, read: Callable[..., tuple[New, Samples]]) -> None:
    made, samples = read(saved(images=IMAGES, masks=masks))
    assert made.proposal.task == "Segmentation" and len(made.proposal.names) == 2
    assert (np.asarray(samples.targets) == MASKS).all()


def beside_a_table(order: Sequence[int] | np.ndarray, names: str = "{}") -> Draw:
    def draw(folder: Path) -> None:
        np.save(folder / "images.npy", IMAGES)
        np.save(folder / "age.npy", np.arange(TRAIN) // 2)
        table(folder / "train.csv", ("id", "label"), *((names.format(at), LABELS[at]) for at in order))

    return draw


def test_a_table_has_a_row_for_each_image_of_an_array(read: Callable[..., tuple[New, Samples]]) -> None:
    made, samples = read(beside_a_table(range(TRAIN)))
    as_drawn(samples)
    assert fact(made, "table")["sure"] == "likely" and "age" in fact(made, "other arrays")["found"]


def test_names_in_a_table_beside_an_array_are_a_guess(read: Callable[..., tuple[New, Samples]]) -> None:
    assert fact(read(beside_a_table(range(TRAIN), "i{}"))[0], "table")["sure"] == "guess"


def test_a_table_that_counts_images_in_another_order_is_refused(refused: Callable[..., str]) -> None:
    why = "train.csv: id counts the images of an array in another order than rows"
    assert why in refused(beside_a_table(range(TRAIN)[::-1]))


def test_several_files_are_read_one_behind_another(tmp_path: Path) -> None:
    for at in range(2):
        np.save(tmp_path / f"{at}.npy", IMAGES[9 * at : 9 * at + 9].transpose(0, 3, 1, 2))
    images = array_files(sorted(tmp_path.glob("*.npy")), channels_first=True, names=np.arange(18).astype(str))
    assert len(images) == 18 and (images.chosen(["11"]).stored(0) == IMAGES[11]).all()
    with pytest.raises(UserError, match="array_files has no file to read images from"):
        array_files(sorted(tmp_path.glob("*.npz")))


def test_values_of_masks_that_stand_for_classes() -> None:
    assert (mask_array(MASKS * 255, (12, 12, 1), 2, "here", {255: 1}) == MASKS).all()
    with pytest.raises(UserError, match=r"here: mask in row 0 has 254, expected values from 0 to 1"):
        mask_array(MASKS * 254, (12, 12, 1), 2, "here", {255: 1})
