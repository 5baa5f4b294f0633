"""A folder in the organisers' layout whose test images are training images under other names."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests import sized, tiny
from toolkit import Dataset, ImageFiles, Npz, Samples, UserError, array_files, channel_files, image_folder, table_of
from toolkit.notebooks.new_names import NotTried
from toolkit.notebooks.renamed import Renamed, renamed_folder

TRAIN, NEW = 24, 13
Load = Callable[[Path], Dataset | Samples]


def picture(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(path)


def csv(path: Path, **columns: object) -> None:
    pd.DataFrame(columns).to_csv(path, index=False)


def value_of(data: Dataset | Samples, kind: str, row: int) -> int:
    """The grey level, which tells pictures apart."""
    if isinstance(data, Samples):
        return int(data.files[kind].stored(row).flat[0])
    return int(getattr(data, kind)[row].flat[0])


def plain(raw: Path, tests: list[str], suffix: str = ".png", folder: str = "test/{}") -> list[str]:
    """Pictures in `train` and `test`, and a table of the former; returns the names of these."""
    train = [f"{at + 3:04x}{at * 7919 % 65536:04x}" for at in range(TRAIN)]
    for at, name in enumerate(train):
        picture(raw / "train" / f"{name}{suffix}", 10 + 5 * at)
    for at, name in enumerate(tests):
        picture(raw / f"{folder.format(name)}{suffix}", 200 + at)
    csv(raw / "train.csv", id=train, age=np.arange(TRAIN) / 2, label=np.arange(TRAIN) % 3)
    return train


def from_folders(raw: Path) -> Samples:
    table = pd.read_csv(raw / "train.csv", dtype=str)
    images = image_folder(raw / "train").chosen(table["id"].tolist())
    return Samples(images, np.arange(TRAIN) % 3, test_images=image_folder(raw / "test"))


def by_table(raw: Path) -> Samples:
    """All pictures in one folder; a table says which are test images."""
    rows = pd.read_csv(raw / "train.csv", dtype=str)
    tests = pd.read_csv(raw / "test.csv", dtype=str)
    images = image_folder(raw / "images")
    return Samples(
        images.chosen(rows["id"].tolist()),
        np.arange(TRAIN) % 3,
        test_images=images.chosen(tests["file"].tolist()),
        test_ids=tests["id"].to_numpy(str),
    )


HEX = [f"{at * 40503 % 65536:04x}{at * 31:04x}" for at in range(1, 8)]


def made(raw: Path, load: Load, rows: np.ndarray | None = None) -> tuple[Path, Renamed, Dataset | Samples]:
    folder = raw.parent / "made"
    competition = replace(tiny.looking, load=load)
    chosen = np.arange(NEW) * 17 % TRAIN if rows is None else rows
    renamed = renamed_folder(competition, raw, load(raw), chosen, folder)
    found = load(folder)
    return folder, renamed, found


def check(raw: Path, load: Load, renamed: Renamed, found: Dataset | Samples, new: int = NEW) -> set[str]:
    """Each test image is the training image that is said, none is called as before; returns what they are called."""
    before = load(raw)
    assert len(renamed.rows) == len(renamed.ids) == new
    assert [value_of(found, "test_images", at) for at in range(new)] == [
        value_of(before, "images", int(row)) for row in renamed.rows
    ]
    assert len(before.images) == len(found.images)
    called = {str(one) for one in renamed.ids}
    assert len(called) == new
    return called


@pytest.mark.parametrize("visible", [7, 1])
def test_names_of_the_same_pattern_and_tables_in_another_order(visible: int, tmp_path: Path) -> None:
    raw, tests = tmp_path / "raw", HEX[:visible]
    plain(raw, tests)
    csv(raw / "sample_submission.csv", id=tests, label=0)
    folder, renamed, found = made(raw, from_folders)
    called = check(raw, from_folders, renamed, found)
    assert not called & set(tests) and all(len(name) == 8 and int(name, 16) >= 0 for name in called)
    sample = pd.read_csv(folder / "sample_submission.csv", dtype=str)
    assert set(sample["id"]) == called and list(sample["id"]) != sorted(sample["id"]) and set(sample["label"]) == {"0"}
    assert sample["id"].tolist() != [str(one) for one in renamed.ids]
    assert (folder / "train").is_symlink() and (folder / "train.csv").is_symlink()
    assert len(list((folder / "test").iterdir())) == NEW


def test_ids_may_be_names_of_files_in_folders(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    names = [f"img_{at:02}" for at in range(5)]
    plain(raw, names, ".jpg")
    csv(raw / "sampleSubmission.csv", image=[f"test/{name}.jpg" for name in names], cat=0.5)

    def load(folder: Path) -> Samples:
        data = from_folders(folder)
        tests = data.test_images
        assert tests is not None
        return replace(data, test_ids=np.array([f"test/{name}" for name in tests.file_names]))

    folder, renamed, found = made(raw, load)
    check(raw, load, renamed, found)
    sample = pd.read_csv(folder / "sampleSubmission.csv")
    assert set(sample["image"]) == {str(one) for one in renamed.ids}
    assert all(name.startswith("test/img_") and name.endswith(".jpg") for name in sample["image"])


def test_a_folder_of_its_own_for_each_image_is_named_anew(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    plain(raw, HEX, folder="test/{0}/images/{0}")
    csv(raw / "sample_submission.csv", ImageId=HEX, EncodedPixels="1 1")
    folder, renamed, found = made(raw, from_folders)
    called = check(raw, from_folders, renamed, found)
    assert {path.name for path in (folder / "test").iterdir()} == called
    assert {path.stem for path in (folder / "test").rglob("*.png")} == called


def test_rows_of_an_image_and_class_stay_together(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    names = [f"{at:04}" for at in range(6)]
    plain(raw, names)
    rows = [f"{name}_{kind}" for name in names for kind in ("rust", "mildew")]
    csv(raw / "sample_submission.csv", id=rows, rle="")
    folder, renamed, found = made(raw, from_folders)
    called = check(raw, from_folders, renamed, found)
    sample = pd.read_csv(folder / "sample_submission.csv", dtype=str)["id"].str.split("_", expand=True)
    assert len(sample) == 2 * NEW and set(sample[0]) == called
    assert (sample[1].to_numpy().reshape(-1, 2) == ["rust", "mildew"]).all()


def test_numbers_are_told_from_labels_and_from_training_rows(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for at in range(TRAIN):
        picture(raw / "train" / f"{at + 1}.png", 10 + 5 * at)
    for at in range(4):
        picture(raw / "test" / f"{at + 1}.png", 200 + at)
    csv(raw / "train.csv", id=np.arange(TRAIN) + 1, label=np.arange(TRAIN) % 3)
    csv(raw / "sample_submission.csv", id=np.arange(4) + 1, label=1)

    def load(folder: Path) -> Samples:
        train, tests = (image_folder(folder / part) for part in ("train", "test"))
        rows = pd.read_csv(folder / "train.csv", dtype=str)
        return Samples(
            train.chosen(rows["id"].tolist()),
            rows["label"].to_numpy(np.int64),
            test_images=tests,
            test_ids=tests.stems.astype(np.int64),
        )

    folder, renamed, found = made(raw, load)
    called = check(raw, load, renamed, found)
    sample = pd.read_csv(folder / "sample_submission.csv", dtype=str)
    assert set(sample["id"]) == called and set(sample["label"]) == {"1"} and renamed.ids.dtype == np.int64
    assert (folder / "train.csv").is_symlink()


def test_pictures_of_one_folder_are_told_apart_by_tables(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for at in range(TRAIN):
        picture(raw / "images" / f"tr{at:03}.png", 10 + 5 * at)
    for at, name in enumerate(HEX):
        picture(raw / "images" / f"{name}.png", 200 + at)
    csv(raw / "train.csv", id=[f"tr{at:03}" for at in range(TRAIN)])
    ids = [f"case-{at:02}" for at in range(len(HEX))]
    csv(raw / "test.csv", id=ids, file=[f"{name}.png" for name in HEX])
    csv(raw / "sample_submission.csv", id=ids, label=0)
    folder, renamed, found = made(raw, by_table)
    called = check(raw, by_table, renamed, found)
    assert set(pd.read_csv(folder / "sample_submission.csv")["id"]) == called
    assert len(list((folder / "images").iterdir())) == TRAIN + NEW
    assert not {path.stem for path in (folder / "images").iterdir()} & set(HEX)


def test_what_is_known_beside_images_is_that_of_the_training_images(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    train = plain(raw, HEX)
    csv(raw / "test.csv", id=HEX, age=99.0)
    csv(raw / "sample_submission.csv", id=HEX, label=0)

    def load(folder: Path) -> Samples:
        data = from_folders(folder)
        assert data.test_images is not None
        tests = table_of(folder / "test.csv", data.test_images.stems.tolist(), ("id", "age"))
        return replace(data, table=table_of(folder / "train.csv", train, ("id", "age")), test_table=tests)

    _, renamed, found = made(raw, load)
    check(raw, load, renamed, found)
    assert isinstance(found, Samples) and found.test_table is not None
    assert found.test_table["age"].tolist() == (renamed.rows / 2).tolist()


@pytest.mark.parametrize("packed", [True, False])
def test_arrays_get_another_length(packed: bool, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    images, tests = (np.arange(at, at + n, dtype=np.uint8)[:, None, None, None] for at, n in ((10, TRAIN), (200, 5)))
    arrays: dict[str, Any] = {"images": np.tile(images, (1, 8, 8, 3)), "targets": np.arange(TRAIN) % 3}
    if packed:
        arrays["test_images"] = np.tile(tests, (1, 8, 8, 3))
    else:
        np.save(raw / "test.npy", np.tile(tests, (1, 8, 8, 3)))
    np.savez(raw / "data.npz", **arrays)
    csv(raw / "sample_submission.csv", id=np.arange(5), label=0)

    def load(folder: Path) -> Dataset:
        file, rows = Npz(folder / "data.npz"), np.arange(TRAIN)
        test = file["test_images"] if packed else np.load(folder / "test.npy")
        return Dataset(file["images"], file["targets"], rows, rows, test)

    folder, renamed, found = made(raw, load)
    check(raw, load, renamed, found)
    assert pd.read_csv(folder / "sample_submission.csv")["id"].tolist() == list(range(NEW))


def test_rows_of_parquet_files_are_spread_over_as_many(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for part, number, first in (("train", TRAIN, 10), ("test", 6, 200)):
        for half in range(2):
            at = np.arange(half * number // 2, (half + 1) * number // 2)
            pixels = pd.DataFrame({f"p{one}": (first + at).astype(np.uint8) for one in range(64)})
            pixels.insert(0, "image_id", [f"{part.title()}_{one}" for one in at])
            pixels.to_parquet(raw / f"{part}_image_data_{half}.parquet")
    csv(raw / "test.csv", row_id=[f"Test_{at}_{k}" for at in range(6) for k in "ab"])

    def of(folder: Path, part: str) -> ImageFiles:
        found = []
        for half in range(2):
            path = folder / f"{part}_image_data_{half}.parquet"
            pixels = pd.read_parquet(path)
            found.append(array_files(path, "p", (8, 8), names=pixels["image_id"].to_numpy(str)))
        return found[0] + found[1]

    def load(folder: Path) -> Samples:
        return Samples(of(folder, "train"), np.arange(TRAIN) % 3, test_images=of(folder, "test"))

    folder, renamed, found = made(raw, load)
    called = check(raw, load, renamed, found)
    rows = pd.read_csv(folder / "test.csv")["row_id"].str.rsplit("_", n=1, expand=True)
    assert len(rows) == 2 * NEW and set(rows[0]) == called


@pytest.mark.parametrize("load", [sized.load, sized.load_tiles])
def test_pictures_with_masks_of_their_size_are_renamed_whole(load: Load, tmp_path: Path) -> None:
    sized.practice(tmp_path, 0, 12)
    raw, folder = tmp_path / "raw", tmp_path / "made"
    renamed = renamed_folder(replace(sized.competition, load=load), raw, load(raw), np.array([3, 1, 7]), folder)
    for at, picture_of in zip(renamed.ids, renamed.rows, strict=True):
        made_of = (folder / "test" / "images" / f"{at}.png").read_bytes()
        assert made_of == (raw / "train" / "images" / f"{picture_of:03}.png").read_bytes()


def test_a_load_that_counts_on_the_visible_test_is_found_out(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    plain(raw, HEX)
    csv(raw / "sample_submission.csv", id=HEX, label=0)

    def by_heart(folder: Path) -> Samples:
        data = from_folders(folder)
        assert data.test_images is not None
        return replace(data, test_images=data.test_images.chosen(HEX))

    with pytest.raises(
        UserError, match=r"tiny's load fails on a test of 13 other names, as the hidden one is: .*not there"
    ):
        made(raw, by_heart)

    def seven(folder: Path) -> Samples:
        data = from_folders(folder)
        assert data.test_images is not None
        return replace(data, test_images=data.test_images[:7])

    (raw.parent / "made").rename(raw.parent / "old")
    with pytest.raises(UserError, match="load finds 7 test images of 13 in a test of 13 other names"):
        made(raw, seven)


def test_what_is_not_tried_is_said(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    plain(raw, HEX)

    def in_sets(folder: Path) -> Samples:
        data = from_folders(folder)
        return replace(
            data,
            targets=np.arange(12) % 3,
            sets=np.arange(TRAIN) // 2,
            test_sets=np.arange(7),
            test_ids=np.array(HEX),
        )

    with pytest.raises(NotTried, match="samples are sets of images"):
        made(raw, in_sets)

    def elsewhere(folder: Path) -> Samples:
        return replace(from_folders(folder), test_images=image_folder(raw / "test"))

    with pytest.raises(NotTried, match="lies outside of"):
        renamed_folder(
            replace(tiny.looking, load=elsewhere), raw / "train", elsewhere(raw), np.arange(3), tmp_path / "m"
        )


def test_lists_in_json_name_test_images_too(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    plain(raw, [f"{at:06}" for at in range(5)], ".jpg")
    listed = [{"image_id": at, "file_name": f"test/{at:06}.jpg", "license": 1} for at in range(5)]
    (raw / "test_metadata.json").write_text(json.dumps({"info": {"year": 2022}, "images": listed}))
    csv(raw / "sample_submission.csv", Id=np.arange(5), Predicted=1)

    def load(folder: Path) -> Samples:
        said = json.loads((folder / "test_metadata.json").read_text())["images"]
        tests = ImageFiles([folder / one["file_name"] for one in said])
        ids = np.array([one["image_id"] for one in said])
        return replace(from_folders(folder), test_images=tests, test_ids=ids)

    folder, renamed, found = made(raw, load)
    called = check(raw, load, renamed, found)
    assert {str(one) for one in pd.read_csv(folder / "sample_submission.csv")["Id"]} == called
    assert {one["license"] for one in json.loads((folder / "test_metadata.json").read_text())["images"]} == {1}


@pytest.mark.parametrize("visible", [7, 1])
def test_folders_that_are_called_after_first_letters_are_called_so_again(visible: int, tmp_path: Path) -> None:
    raw, tests = tmp_path / "raw", HEX[:visible]
    plain(raw, tests)
    for name in tests:
        (raw / "test" / name[0] / name[1]).mkdir(parents=True, exist_ok=True)
        (raw / "test" / f"{name}.png").rename(raw / "test" / name[0] / name[1] / f"{name}.png")
    csv(raw / "sample_submission.csv", id=tests, label=0)

    def load(folder: Path) -> Samples:
        ids = pd.read_csv(folder / "sample_submission.csv", dtype=str)["id"].tolist()
        paths = [folder / "test" / one[0] / one[1] / f"{one}.png" for one in ids]
        return replace(from_folders(folder), test_images=ImageFiles(paths), test_ids=np.array(ids))

    _, renamed, found = made(raw, load)
    check(raw, load, renamed, found)


def test_a_file_whose_id_stands_nowhere_is_not_tried(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    plain(raw, HEX)
    csv(raw / "sample_submission.csv", id=[f"case-{at}" for at in range(7)], label=0)

    def load(folder: Path) -> Samples:
        return replace(from_folders(folder), test_ids=np.array([f"case-{at}" for at in range(7)]))

    with pytest.raises(NotTried, match=r"no table says that the file .* is test image case-0"):
        made(raw, load)


def test_all_files_of_an_image_of_several_are_renamed(tmp_path: Path) -> None:
    raw, train = tmp_path / "raw", [f"{at * 7919 % 65536:08x}" for at in range(TRAIN)]
    for part, names, first in (("train", train, 10), ("test", HEX, 200)):
        for at, name in enumerate(names):
            for band in (1, 2):
                picture(raw / part / f"{name}_w{band}.png", first + at)
    csv(raw / "sample_submission.csv", id=HEX, label=0)

    def load(folder: Path) -> Samples:
        images, tests = (
            channel_files(image_folder(folder / part, "*_w1.png"), ("_w1", "_w2")) for part in ("train", "test")
        )
        return Samples(
            images, np.arange(TRAIN) % 3, test_images=tests, test_ids=np.array([s[:-3] for s in tests.stems])
        )

    folder, renamed, found = made(raw, load)
    called = check(raw, load, renamed, found)
    assert {path.name for path in (folder / "test").iterdir()} == {f"{one}_w{k}.png" for one in called for k in (1, 2)}
