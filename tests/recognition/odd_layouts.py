"""Downloads that say things in other ways: JSON, sets by columns, channels, pixels in several tables; drawn."""

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from tests.recognition.layouts import TEST, TRAIN, mask, picture, table


def coco_labels(folder: Path) -> None:
    """As in herbarium: JSON of images, annotations and categories; ids in a list of the test images."""
    images = [
        {"image_id": f"{at % 5:03}_{at}", "file_name": f"{at % 5:03}/{at % 5:03}_{at}.jpg"} for at in range(TRAIN)
    ]
    said = [{"image_id": one["image_id"], "category_id": 7 * (at % 4)} for at, one in enumerate(images)]
    categories = [{"category_id": 7 * at, "scientificName": f"Species {at}"} for at in range(4)]
    folder.mkdir(parents=True)
    metadata = {"images": images, "annotations": said, "categories": categories, "license": []}
    (folder / "train_metadata.json").write_text(json.dumps(metadata))
    tests = [{"image_id": str(at), "file_name": f"000/test-{at:06}.jpg", "license": "1"} for at in range(TEST)]
    (folder / "test_metadata.json").write_text(json.dumps(tests))
    for one in images:
        picture(folder / "train_images" / one["file_name"], 1)
    for one in tests:
        picture(folder / "test_images" / one["file_name"], 1)
    table(folder / "sample_submission.csv", ("Id", "Predicted"), *((at, 42) for at in range(TEST)))


def labels_by_name(folder: Path) -> None:
    """Plain JSON of {name: label}."""
    for at in range(TRAIN):
        picture(folder / "images" / f"{at}.png", at % 3)
    (folder / "labels.json").write_text(json.dumps({f"{at}.png": "abc"[at % 3] for at in range(TRAIN)}))


def rows_of_labels(folder: Path) -> None:
    """A row an image and label."""
    rows = [(f"i{at}", one) for at in range(TRAIN) for one in ("red spot", "rust", "scab") if (at + len(one)) % 3]
    table(folder / "train.csv", ("ImageID", "LabelName"), *rows)
    for at in range(TRAIN):
        picture(folder / "train" / f"i{at}.jpg", 1)
    for at in range(TEST):
        picture(folder / "test" / f"t{at}.jpg", 1)
    table(folder / "sample_submission.csv", ("ImageID", "LabelName"), *((f"t{at}", "rust scab") for at in range(TEST)))


def sets_by_columns(folder: Path) -> None:
    """As in mammography: rows of one patient and side are a sample, called so in the sample submission."""
    head = ("patient_id", "image_id", "laterality", "view", "cancer")
    rows = [
        (9 + at // 4, 7000 + at, "LR"[at // 2 % 2], ("CC", "MLO")[at % 2], at // 2 % 3 // 2) for at in range(TRAIN)
    ]
    table(folder / "train.csv", head, *rows)
    tests = [(90 + at // 4, 8000 + at, "LR"[at // 2 % 2], ("CC", "MLO")[at % 2]) for at in range(2 * TEST)]
    named = [(*row, f"{row[0]}_{row[2]}") for row in tests]
    table(folder / "test.csv", (*head[:-1], "prediction_id"), *named)
    for part, images in (("train_images", rows), ("test_images", tests)):
        for row in images:
            picture(folder / part / str(row[0]) / f"{row[1]}.png", 1)
    ids = dict.fromkeys(row[-1] for row in named)
    table(folder / "sample_submission.csv", ("prediction_id", "cancer"), *((one, 0.02) for one in ids))


def wells(folder: Path) -> None:
    """As in cell painting: two sites a well, a grey file a stain; ids that are put together from paths."""
    rng = np.random.default_rng(0)
    for part, number, begin in (("train", TRAIN, 10), ("test", TEST, 20)):
        rows = [(f"HEPG2-{begin + at % 7}", 1 + at % 2, f"B{at:02}", 100 * (at % 3)) for at in range(number)]
        named = [(f"{row[0]}_{row[1]}_{row[2]}", *row) for row in rows]
        head = ("id_code", "experiment", "plate", "well", "sirna")
        table(
            folder / f"{part}.csv",
            head[: 5 if part == "train" else 4],
            *(row[: 5 if part == "train" else 4] for row in named),
        )
        for experiment, plate, well, _ in [*rows, ("HEPG2-10", 1, "X01", 0)]:  # the last: a control, in no table
            home = folder / part / experiment / f"Plate{plate}"
            home.mkdir(parents=True, exist_ok=True)
            for site in (1, 2):
                for stain in (1, 2, 3):
                    path = home / f"{well}_s{site}_w{stain}.png"
                    assert cv2.imwrite(str(path), rng.integers(0, 50 * stain, (16, 16)).astype(np.uint8))
        if part == "test":
            table(folder / "sample_submission.csv", ("id_code", "sirna"), *((row[0], 0) for row in named))


def graphemes(folder: Path) -> None:
    """Pixels in several Parquet files, called by numbers, that another table says three things of; a row a head."""
    folder.mkdir(parents=True)
    heads = ("grapheme_root", "vowel_diacritic")
    lines = [(f"Train_{at}", 3 * (at % 4), at % 3, "xyz"[at % 3]) for at in range(TRAIN)]
    table(folder / "train.csv", ("image_id", *heads, "grapheme"), *lines)
    ramp = np.add.outer(np.linspace(0, 100, 10), np.linspace(0, 90, 16)).ravel()
    for part, number in (("train", TRAIN), ("test", TEST)):
        names = [f"{part.capitalize()}_{at}" for at in range(number)]
        pixels = (ramp[None] + np.arange(number)[:, None]).astype(np.uint8)
        for at in range(2):
            held = pd.DataFrame(pixels[at::2], columns=[str(one) for one in range(160)])
            held.insert(0, "image_id", names[at::2])
            held.to_parquet(folder / f"{part}_image_data_{at}.parquet")
    rows = [(f"Test_{at}_{head}", f"Test_{at}", head) for at in range(TEST) for head in sorted(heads)]
    table(folder / "test.csv", ("row_id", "image_id", "component"), *rows)
    table(folder / "sample_submission.csv", ("row_id", "target"), *((row[0], 0) for row in rows))


def pairs(folder: Path) -> None:
    """Images and masks as pairs in one array."""
    rng = np.random.default_rng(0)
    images, masks = rng.integers(0, 200, (TRAIN, 16, 24)), rng.integers(0, 3, (TRAIN, 16, 24))
    folder.mkdir(parents=True)
    both = np.stack([images, masks], axis=1).astype(np.float64)
    np.savez(folder / "students.npz", training_set=both, test_set=images[:TEST].astype(np.float64))


def validation_folders(folder: Path) -> None:
    for part, number in (("train", TRAIN), ("val", 9), ("test", TEST)):
        for at in range(number):
            home = folder / part / ("" if part == "test" else ("cat", "dog", "bird")[at % 3])
            picture(home / f"{part}{at}.jpg", at % 3)


def validation_tables(folder: Path) -> None:
    for part, number in (("train", TRAIN), ("valid", 9)):
        rows = [(f"{part}{at}.png", "ab"[at % 2]) for at in range(number)]
        table(folder / f"{part}.csv", ("file", "label"), *rows)
        for name, _ in rows:
            picture(folder / part / name, 1)


def zipped(folder: Path) -> None:
    """train.zip and test.zip, one with a folder of its own, one without."""
    for at in range(TRAIN):
        picture(folder / "drawn" / "train" / f"{('cat', 'dog')[at % 2]}.{at}.jpg", at % 2)
    for at in range(TEST):
        picture(folder / "drawn" / "test" / f"{at}.jpg", at % 2)
    for part, inside in (("train", "train/"), ("test", "")):
        with zipfile.ZipFile(folder / f"{part}.zip", "w") as archive:
            for path in sorted((folder / "drawn" / part).iterdir()):
                archive.write(path, f"{inside}{path.name}")
                path.unlink()
            (folder / "drawn" / part).rmdir()
    (folder / "drawn").rmdir()


def slides(folder: Path) -> None:
    """Pictures that are larger than others, masks in run lengths, patients in another table."""
    for at in range(TRAIN):
        mask(folder / "train" / f"s{at}.tiff", 90, 96, 96)
    mask(folder / "test" / "t.tiff", 90, 96, 96)
    table(folder / "train.csv", ("id", "encoding"), *((f"s{at}", f"{at + 1} 3000 5000 90") for at in range(TRAIN)))
    about = ((f"s{at}.tiff", at // 3) for at in range(TRAIN))
    table(folder / "information.csv", ("image_file", "patient_number"), *about)
    table(folder / "sample_submission.csv", ("id", "predicted"), ("t", ""))
