"""Small downloads as organisers pack them, drawn: the brighter, the more of the class."""

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

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


def mask(path: Path, side: int, height: int = 64, width: int = 64) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = np.zeros((height, width), np.uint8)
    made[:side, :side] = 255
    assert cv2.imwrite(str(path), made)


def several_masks_an_image(folder: Path) -> None:
    """As in the data science bowl: a folder an image, with a folder of masks, one a nucleus; several sizes."""
    for at in range(TRAIN):
        home = folder / "stage1_train" / f"id{at}"
        picture(home / "images" / f"id{at}.png", 1, 64, 64 + at % 3)
        for nucleus in range(3):
            mask(home / "masks" / f"m{nucleus}.png", 5 + nucleus, 64, 64 + at % 3)
    for at in range(TEST):
        picture(folder / "stage1_test" / f"t{at}" / "images" / f"t{at}.png", 1, 64, 64)
    rows = ((f"t{at}", "1 1") for at in range(TEST))
    table(folder / "stage1_sample_submission.csv", ("ImageId", "EncodedPixels"), *rows)


def masks_in_the_same_folder(folder: Path) -> None:
    for at in range(TRAIN):
        picture(folder / "train" / f"{at}.tif", 1, 64, 64)
        mask(folder / "train" / f"{at}_mask.tif", 20)
    for at in range(TEST):
        picture(folder / "test" / f"t{at}.tif", 1, 64, 64)
    table(folder / "sample_submission.csv", ("img", "pixels"), *((f"t{at}", "") for at in range(TEST)))


def masks_of_other_prefixes(folder: Path) -> None:
    for at in range(TRAIN):
        picture(folder / "training" / "images" / f"img_{at:02}.png", 1, 64, 64)
        mask(folder / "training" / "labels" / f"label_{at:02}.png", 20)
    for at in range(TEST):
        picture(folder / "testing" / "images" / f"img_{90 + at}.png", 1, 64, 64)


def run_lengths_of_classes(folder: Path) -> None:
    """A row an image and class that has a defect; in the sample a row an image and class."""
    rows = [(f"{at}.jpg", one, f"{1 + at} 30 500 20") for at in range(TRAIN) for one in (1, 2, 3) if (at + one) % 3]
    table(folder / "train.csv", ("ImageId", "ClassId", "EncodedPixels"), *rows)
    for at in range(TRAIN):
        picture(folder / "train_images" / f"{at}.jpg", 1, 64, 128)
    for at in range(TEST):
        picture(folder / "test_images" / f"t{at}.jpg", 1, 64, 128)
    said = ((f"t{at}.jpg_{one}", "1 409600") for at in range(TEST) for one in (1, 2, 3))
    table(folder / "sample_submission.csv", ("ImageId_ClassId", "EncodedPixels"), *said)


def identities(folder: Path) -> None:
    """Whales, of which some are new; lists of five."""
    rows = [(f"{at:03}.jpg", "new_whale" if at % 4 == 0 else f"w_{at % 9}") for at in range(TRAIN)]
    table(folder / "train.csv", ("Image", "Id"), *rows)
    for name, _ in rows:
        picture(folder / "train" / name, 1)
    for at in range(TEST):
        picture(folder / "test" / f"t{at}.jpg", 1)
    said = ((f"t{at}.jpg", "new_whale w_1 w_2 w_3 w_5") for at in range(TEST))
    table(folder / "sample_submission.csv", ("Image", "Id"), *said)


def sixteen_bits(folder: Path) -> None:
    """Grey TIFFs of 16 bits, a number that is no whole one."""
    rng = np.random.default_rng(0)
    for name in (*(f"train/{at}.tif" for at in range(TRAIN)), *(f"test/t{at}.tif" for at in range(TEST))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / name), rng.integers(100, 4000, (40, 40)).astype(np.uint16))
    table(folder / "labels.csv", ("file", "yield"), *((f"{at}.tif", at * 0.37) for at in range(TRAIN)))
    table(folder / "sample_submission.csv", ("file", "yield"), *((f"t{at}.tif", 0.0) for at in range(TEST)))


def paths_from_elsewhere(folder: Path) -> None:
    """A byte order mark, and paths that begin where the organisers had them."""
    rows = [(f"/kaggle/input/comp/train/{'ab'[at % 2]}/{at}.jpg", "ab"[at % 2]) for at in range(TRAIN)]
    table(folder / "train.csv", ("\ufeffpath", "label"), *rows)
    for path, _ in rows:
        picture(folder / path.removeprefix("/kaggle/input/comp/"), 1)
    for at in range(TEST):
        picture(folder / "test" / f"{at}.jpg", 1)
    table(folder / "sample_submission.csv", ("id", "label"), *((at, "a") for at in range(TEST)))


def several_heads(folder: Path) -> None:
    rows = [(f"Train_{at}", at % 5, at % 3, at % 2) for at in range(TRAIN)]
    head = ("image_id", "root", "vowel", "consonant")
    table(folder / "train.csv", head, *rows)
    for name, *_ in rows:
        picture(folder / "train" / f"{name}.png", 1)
    for at in range(TEST):
        picture(folder / "test" / f"Test_{at}.png", 1)
    table(folder / "sample_submission.csv", head, *((f"Test_{at}", 0, 0, 0) for at in range(TEST)))


def bytes_in_parquet(folder: Path) -> None:
    """As data sets of Hugging Face have it, without a sample."""
    folder.mkdir(parents=True)
    encoded = [cv2.imencode(".png", np.full((20, 20, 3), at * 5, np.uint8))[1].tobytes() for at in range(TRAIN)]
    images = [{"bytes": one, "path": None} for one in encoded]
    pd.DataFrame({"image": images, "label": np.arange(TRAIN) % 4}).to_parquet(folder / "train-00000.parquet")
    pd.DataFrame({"image": images[:TEST]}).to_parquet(folder / "test-00000.parquet")


def sets_of_images(folder: Path) -> None:
    """A folder of images a patient; the table and the sample name patients."""
    table(folder / "train.csv", ("patient", "cancer"), *((f"p{at}", at % 2) for at in range(TRAIN)))
    for at in range(TRAIN):
        for each in range(2 + at % 2):
            picture(folder / "train" / f"p{at}" / f"{each}.png", at % 2)
    for at in range(TEST):
        for each in range(2):
            picture(folder / "test" / f"q{at}" / f"{each}.png", at % 2)
    table(folder / "sample_submission.csv", ("patient", "cancer"), *((f"q{at}", 0.5) for at in range(TEST)))


def labels_with_marks_between(folder: Path) -> None:
    """Labels of several words, images in several folders, patients; fewer rows in the sample than test images."""
    said = ("No Finding", "Cardiomegaly", "Cardiomegaly|Effusion")
    rows = [(f"{at:05}.png", said[at % 3], at // 2) for at in range(TRAIN)]
    table(folder / "Data_Entry.csv", ("Image Index", "Finding Labels", "Patient ID"), *rows)
    for at, (name, *_) in enumerate(rows):
        picture(folder / f"images_{at // 20}" / "images" / name, at % 3)
    for at in range(TEST + 2):
        picture(folder / "test" / f"t{at}.png", 1)
    table(folder / "sample_submission.csv", ("image", "labels"), *((f"t{at}", "") for at in range(TEST)))


def masks_of_cities(folder: Path) -> None:
    """As in Cityscapes: folders in folders, other ends of names, 255 for what isn't scored; no sample."""
    for part, number in (("train", TRAIN), ("val", 4), ("test", TEST)):
        for at in range(number):
            city = ("aachen", "bochum")[at % 2]
            called = f"{city}_{part if part != 'train' else ''}{at:06}"
            picture(folder / "leftImg8bit" / part / city / f"{called}_leftImg8bit.png", 1, 64, 96)
            if part != "test":
                made = np.zeros((64, 96), np.uint8)
                made[:20], made[40:], made[60:] = 7, 11, 255
                path = folder / "gtFine" / part / city / f"{called}_gtFine_labelIds.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(path), made)


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
    (several_masks_an_image, "OverlappingMasks", "dice"),
    (masks_in_the_same_folder, "OverlappingMasks", "dice"),
    (masks_of_other_prefixes, "OverlappingMasks", "dice"),
    (run_lengths_of_classes, "OverlappingMasks", "dice"),
    (identities, "Classification", "map@5"),
    (sixteen_bits, "Numbers", "rmse"),
    (paths_from_elsewhere, "Classification", "accuracy"),
    (several_heads, "Heads", "head_accuracy"),
    (bytes_in_parquet, "Classification", "accuracy"),
    (sets_of_images, "Labels", "auc"),
    (labels_with_marks_between, "Labels", "samples_f1"),
    (masks_of_cities, "Segmentation", "iou"),
)
