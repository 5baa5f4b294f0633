"""The CSV is what the organisers ask for, and comes back as it was written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from competitions.mars import competition as mars
from competitions.mars.submission import read, write
from toolkit.errors import UserError
from toolkit.task import Segmentation

TASK = Segmentation(classes=tuple("abcde"), image_shape=(2, 3, 1))
MASKS = np.arange(3 * 6, dtype=np.uint8).reshape(3, 2, 3) % 5
LINES = ["id,0,1,2,3,4,5", "0,0,1,2,3,4,0", "1,1,2,3,4,0,1", "2,2,3,4,0,1,2"]


def text(lines: list[str], end: str = "\n") -> bytes:
    return "".join(line + end for line in lines).encode()


def test_the_file_is_what_the_organisers_ask_for(tmp_path: Path) -> None:
    write(MASKS, tmp_path / "file.csv")
    assert (tmp_path / "file.csv").read_bytes() == text(LINES)


@given(
    masks=arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.just(2), st.just(3)), elements=st.integers(0, 4))
)
@settings(max_examples=50, deadline=None)
def test_what_is_written_comes_back_and_pandas_reads_the_same(
    tmp_path_factory: pytest.TempPathFactory, masks: np.ndarray
) -> None:
    path = tmp_path_factory.mktemp("csv") / "file.csv"
    write(masks, path)
    back = read(path, len(masks), TASK)
    assert back.dtype == np.uint8 and np.array_equal(back, masks)
    table = pd.read_csv(path, index_col="id")
    assert table.index.tolist() == list(range(len(masks)))
    assert list(table.columns) == [str(i) for i in range(6)]
    assert np.array_equal(table.to_numpy().reshape(masks.shape), masks)


def test_a_table_that_pandas_wrote_is_read(tmp_path: Path) -> None:
    table = pd.DataFrame(MASKS.reshape(3, 6))
    table.to_csv(tmp_path / "file.csv", index_label="id")
    assert np.array_equal(read(tmp_path / "file.csv", 3, TASK), MASKS)


@pytest.mark.parametrize(
    "content",
    [text(LINES), text(LINES, "\r\n"), text(LINES)[:-1], text(LINES, "\r\n")[:-2]],
    ids=["LF", "CRLF", "LF, no end", "CRLF, no end"],
)
def test_line_ends_make_no_difference(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_bytes(content)
    assert np.array_equal(read(tmp_path / "file.csv", 3, TASK), MASKS)


def test_a_submission_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.csv does not exist"):
        read(tmp_path / "none.csv", 3, TASK)
    with pytest.raises(UserError, match="is a folder, expected a CSV"):
        read(tmp_path, 3, TASK)


def test_the_competition_reads_as_many_masks_as_there_are_test_images(tmp_path: Path) -> None:
    masks = np.random.default_rng(0).integers(5, size=(2, 64, 128)).astype(np.uint8)
    write(masks, tmp_path / "file.csv")
    images = np.zeros((2, 64, 128, 1), np.uint8)
    assert np.array_equal(mars.read_submission(tmp_path / "file.csv", images), masks)
    with pytest.raises(UserError, match="has 2 rows, the test set has 1 images"):
        mars.read_submission(tmp_path / "file.csv", images[:1])
