"""Submission files: what is written is what every reader finds, and the same values make the same bytes."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from toolkit.formats.readers import read_pixels
from toolkit.formats.run_lengths import from_run_lengths, run_lengths
from toolkit.formats.writers import (
    write_csv,
    write_parquet,
    write_pixels,
    write_run_lengths,
    zipped,
)

MASK = arrays.arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 6)))


def masks(count: int, top: int = 4, shape: tuple[int, int] = (3, 5)) -> np.ndarray:
    return np.random.default_rng(count).integers(0, top + 1, (count, *shape), dtype=np.uint8)


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 99, 101, 1001])  # ids of another length begin at 10, 100, 1000
@pytest.mark.parametrize("top", [4, 9, 10, 255])
def test_pandas_and_our_reader_find_what_was_written(count: int, top: int, tmp_path: Path) -> None:
    given_masks = masks(count, top)
    write_pixels(tmp_path / "s.csv", given_masks)
    table = pd.read_csv(tmp_path / "s.csv")
    assert table.columns.tolist() == ["id", *map(str, range(15))]
    assert table["id"].tolist() == list(range(count))
    assert (table.drop(columns="id").to_numpy().reshape(-1, 3, 5) == given_masks).all()
    assert (read_pixels(tmp_path / "s.csv", count, (3, 5), 256) == given_masks).all()


def test_it_is_byte_for_byte_what_pandas_writes(tmp_path: Path) -> None:
    given_masks = masks(120)
    write_pixels(tmp_path / "ours.csv", given_masks)
    table = pd.DataFrame(given_masks.reshape(120, -1))
    table.insert(0, "id", range(120))
    assert (tmp_path / "ours.csv").read_text() == table.to_csv(index=False)


def test_blocks_of_rows_meet_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pixels(tmp_path / "one.csv", masks(250))
    monkeypatch.setattr("toolkit.formats.writers.BLOCK", 100)
    write_pixels(tmp_path / "other.csv", masks(250))
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "other.csv").read_bytes()


def test_polars_finds_the_same(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    write_pixels(tmp_path / "s.csv", masks(30))
    table = polars.read_csv(tmp_path / "s.csv")
    assert (table.drop("id").to_numpy().reshape(-1, 3, 5) == masks(30)).all()


def test_a_zipped_csv_is_read_as_it_is_and_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        with zipped(tmp_path / name, "submission.csv") as file:
            write_pixels(file, masks(500))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["submission.csv"] and archive.testzip() is None
    table = pd.read_csv(tmp_path / "a.zip")
    assert (table.drop(columns="id").to_numpy() == masks(500).reshape(500, -1)).all()
    assert (tmp_path / "a.zip").stat().st_size < 500 * 15


def test_a_table_keeps_its_columns_and_every_digit(tmp_path: Path) -> None:
    values = np.array([0.1, 1 / 3, 1e-9])
    write_csv(tmp_path / "s.csv", {"image": ["a", "b,c", 'd"e'], "score": values})
    table = pd.read_csv(tmp_path / "s.csv")
    assert table["image"].tolist() == ["a", "b,c", 'd"e'] and (table["score"].to_numpy() == values).all()
    buffer = io.BytesIO()
    write_csv(buffer, {"image": ["a", "b,c", 'd"e'], "score": values})
    assert buffer.getvalue() == (tmp_path / "s.csv").read_bytes()


def test_run_lengths_are_counted_from_one_down_the_columns() -> None:
    mask = np.array([[0, 1, 1], [0, 1, 0]], bool)
    assert run_lengths(mask) == "3 3"
    assert run_lengths(mask.T) == "2 2 5 1"
    assert run_lengths(np.zeros((2, 2), bool)) == ""
    assert run_lengths(np.ones((2, 2), bool)) == "1 4"


@given(MASK)
def test_run_lengths_turn_back_into_the_mask(mask: np.ndarray) -> None:
    assert (from_run_lengths(run_lengths(mask), mask.shape) == mask).all()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 2 3", "3 numbers are no pairs"),
        ("1 0", "longer than 0"),
        ("3 2 1 1", "in order"),
        ("1 3 2 1", "not overlap"),
        ("4 2", "ends at pixel 5, the image has 4"),
        ("0 1", "in order"),
    ],
)
def test_broken_run_lengths_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        from_run_lengths(text, (2, 2))


def test_run_lengths_of_each_class_get_a_row(tmp_path: Path) -> None:
    given_masks = masks(3, top=2)
    write_run_lengths(tmp_path / "s.csv", ["x", "y", "z"], given_masks, {1: "soil", 2: "sand"})
    table = pd.read_csv(tmp_path / "s.csv", keep_default_na=False)
    assert table["id"].tolist() == ["x", "x", "y", "y", "z", "z"] and table["class"].tolist() == ["soil", "sand"] * 3
    assert (from_run_lengths(table["rle"][3], (3, 5)) == (given_masks[1] == 2)).all()
    write_run_lengths(tmp_path / "s.csv", [7], given_masks[:1] > 0)
    assert pd.read_csv(tmp_path / "s.csv").columns.tolist() == ["id", "rle"]


def test_parquet_keeps_types_and_bytes(tmp_path: Path) -> None:
    for name in ("a.parquet", "b.parquet"):
        write_parquet(tmp_path / name, {"id": ["a", "b"], "label": np.array([1, 2], np.uint8)})
    table = pd.read_parquet(tmp_path / "a.parquet")
    assert table["id"].tolist() == ["a", "b"] and table["label"].dtype == np.uint8
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
