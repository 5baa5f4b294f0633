"""Small downloads as organisers pack them, drawn: the brighter, the more of the class."""

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

TRAIN, TEST = 36, 8


def picture(path: Path, bright: float, height: int = 40, width: int = 40) -> None:
    rng = np.random.default_rng([len(path.name), int(bright * 10), *path.name.encode()])
    image = np.clip(rng.normal(60 + 40 * bright, 20, (height, width, 3)), 0, 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image.astype(np.uint8))


def table(path: Path, *rows: Iterable[object], separator: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=separator, lineterminator="\n").writerows(rows)


def class_folders(folder: Path) -> None:
    """A folder a class, test images, a sample of classes' names with the files' suffix."""
    for at in range(TRAIN):
        picture(folder / "train" / ("cat", "dog", "bird")[at % 3] / f"{at:03}.jpg", at % 3)
    for at in range(TEST):
        picture(folder / "test" / f"t{at}.jpg", at % 3)
    table(folder / "sample_submission.csv", ("file", "species"), *((f"t{at}.jpg", "cat") for at in range(TEST)))


def labels_in_names(folder: Path) -> None:
    """As in dogs against cats: train/cat.0.jpg, and the probability of a dog."""
    for at in range(TRAIN):
        picture(folder / "train" / f"{('cat', 'dog')[at % 2]}.{at}.jpg", at % 2)
    for at in range(1, TEST + 1):
        picture(folder / "test" / f"{at}.jpg", at % 2)
    table(folder / "sample_submission.csv", ("id", "label"), *((at, 0.5) for at in range(1, TEST + 1)))


def ids_without_suffix(folder: Path) -> None:
    """A table of ids with zeros in front, no suffix, patients; 0 or 1."""
    rows = [(f"{at:04}", f"p{at // 3}", at % 2) for at in range(TRAIN)]
    table(folder / "train_labels.csv", ("id", "patient_id", "cancer"), *rows)
    for name, _, label in rows:
        picture(folder / "train" / f"{name}.png", float(label), 32, 48)
    for at in range(TEST):
        picture(folder / "test" / f"9{at:03}.png", at % 2, 32, 48)
    table(folder / "sample_submission.csv", ("id", "cancer"), *((f"9{at:03}", 0) for at in range(TEST)))


def one_hot(folder: Path) -> None:
    """A column a class, training and test images in one folder."""
    names = ("healthy", "multiple_diseases", "rust")
    table(
        folder / "train.csv",
        ("image_id", *names),
        *((f"Train_{at}", *(int(at % 3 == place) for place in range(3))) for at in range(TRAIN)),
    )
    table(folder / "test.csv", ("image_id",), *((f"Test_{at}",) for at in range(TEST)))
    table(
        folder / "sample_submission.csv", ("image_id", *names), *((f"Test_{at}", *[1 / 3] * 3) for at in range(TEST))
    )
    for at in range(TRAIN):
        picture(folder / "images" / f"Train_{at}.jpg", at % 3)
    for at in range(TEST):
        picture(folder / "images" / f"Test_{at}.jpg", at % 3)


def grades(folder: Path) -> None:
    """Grades from 0 to 4, as of diabetic retinopathy."""
    table(folder / "train.csv", ("id_code", "diagnosis"), *((f"{at:06x}", at % 5) for at in range(TRAIN)))
    table(folder / "test.csv", ("id_code",), *((f"f{at:05x}",) for at in range(TEST)))
    table(folder / "sample_submission.csv", ("id_code", "diagnosis"), *((f"f{at:05x}", 0) for at in range(TEST)))
    for at in range(TRAIN):
        picture(folder / "train_images" / f"{at:06x}.png", at % 5 / 2)
    for at in range(TEST):
        picture(folder / "test_images" / f"f{at:05x}.png", at % 5 / 2)


def numbers(folder: Path) -> None:
    """A score of 1 to 100, and columns that the test table has too."""
    head = ("Id", "Eyes", "Blur")
    rows = [(f"a{at}", at % 2, at % 3 // 2, 1 + at * 7 % 100) for at in range(TRAIN)]
    table(folder / "train.csv", (*head, "Pawpularity"), *rows)
    table(folder / "test.csv", head, *((f"b{at}", 0, 1) for at in range(TEST)))
    table(folder / "sample_submission.csv", ("Id", "Pawpularity"), *((f"b{at}", 38.5 + at) for at in range(TEST)))
    for name, _, _, score in rows:
        picture(folder / "train" / f"{name}.jpg", score / 50, 48, 32)
    for at in range(TEST):
        picture(folder / "test" / f"b{at}.jpg", 1, 48, 32)


def listed_labels(folder: Path) -> None:
    """Labels in one cell, separated by blanks."""
    said = ("healthy", "scab", "scab rust", "rust", "rust complex", "complex")
    table(folder / "train.csv", ("image", "labels"), *((f"{at:03}.jpg", said[at % 6]) for at in range(TRAIN)))
    table(folder / "sample_submission.csv", ("image", "labels"), *((f"t{at}.jpg", "healthy") for at in range(TEST)))
    for at in range(TRAIN):
        picture(folder / "train_images" / f"{at:03}.jpg", at % 6 / 2)
    for at in range(TEST):
        picture(folder / "test_images" / f"t{at}.jpg", at % 6 / 2)


def masks_by_stem(folder: Path) -> None:
    """Nested folders, a mask of 0 and 255 for each image."""
    for at in range(TRAIN):
        picture(folder / "train" / "images" / f"{at}.png", at % 2, 64, 96)
        mask = np.zeros((64, 96), np.uint8)
        mask[: 20 + at, 10:50] = 255
        (folder / "train" / "masks").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "train" / "masks" / f"{at}_mask.png"), mask)
    for at in range(TEST):
        picture(folder / "test" / "images" / f"t{at}.png", at % 2, 64, 96)
    table(folder / "sample_submission.csv", ("id", "rle"), *((f"t{at}", "1 5") for at in range(TEST)))


def run_lengths(folder: Path) -> None:
    """Run lengths, blank where there is nothing."""
    rows = [(f"{at}.png", "" if at % 3 == 0 else f"{1 + at} 300 900 40") for at in range(TRAIN)]
    table(folder / "train.csv", ("img", "rle_mask"), *rows)
    for name, _ in rows:
        picture(folder / "train_images" / name, 1, 64, 64)
    for at in range(TEST):
        picture(folder / "test_images" / f"t{at}.png", 1, 64, 64)
    table(folder / "sample_submission.csv", ("img", "rle_mask"), *((f"t{at}.png", "") for at in range(TEST)))


def arrays(folder: Path) -> None:
    """One .npz, ids counted from 1."""
    rng = np.random.default_rng(0)
    labels = np.arange(TRAIN) % 4
    images = rng.integers(0, 60, (TRAIN, 32, 32, 3)) + 45 * labels[:, None, None, None]
    folder.mkdir(parents=True)
    np.savez(
        folder / "data.npz",
        x_train=images.astype(np.uint8),
        y_train=labels[:, None].astype(np.uint8),
        x_test=images[:TEST].astype(np.uint8),
    )
    table(folder / "sampleSubmission.csv", ("Id", "Class"), *((at + 1, 0) for at in range(TEST)))


def pixel_columns(folder: Path) -> None:
    """Digits as columns of pixels."""
    rng = np.random.default_rng(0)
    head = [f"pixel{at}" for at in range(100)]
    for name, number in (("train", TRAIN), ("test", TEST)):
        pixels = rng.integers(0, 200, (number, 100)).tolist()
        rows = [[at % 4, *row] for at, row in enumerate(pixels)] if name == "train" else pixels
        table(folder / f"{name}.csv", ["label", *head] if name == "train" else head, *rows)
    table(folder / "sample_submission.csv", ("ImageId", "Label"), *((at + 1, 0) for at in range(TEST)))


def one_table_with_a_split(folder: Path) -> None:
    """Semicolons, paths with folders, a column that says which rows are for what, labels by name, no sample."""
    rows = [
        (f"img/{at}.png", ("train", "val", "test")[0 if at < 30 else at % 3], "ab"[at % 2] * 3) for at in range(48)
    ]
    table(folder / "all.csv", ("file", "split", "label"), *rows, separator=";")
    for name, _, label in rows:
        picture(folder / name, float(label == "bbb"))


LAYOUTS: Sequence[tuple[Callable[[Path], None], str, str]] = (  # and the task and metric that they are taken for
    (class_folders, "Classification", "accuracy"),
    (labels_in_names, "Classification", "log_loss"),
    (ids_without_suffix, "Labels", "auc"),
    (one_hot, "Classification", "log_loss"),
    (grades, "Grades", "kappa"),
    (numbers, "Numbers", "rmse"),
    (listed_labels, "Labels", "samples_f1"),
    (masks_by_stem, "OverlappingMasks", "dice"),
    (run_lengths, "OverlappingMasks", "dice"),
    (arrays, "Classification", "accuracy"),
    (pixel_columns, "Classification", "accuracy"),
    (one_table_with_a_split, "Classification", "accuracy"),
)
