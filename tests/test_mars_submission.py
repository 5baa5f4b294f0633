"""The CSV is what the organisers ask for, and a file that they would refuse is refused by row and line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from competitions.mars import competition as mars
from competitions.mars.submission import header, read, write
from toolkit.competition import Segmentation
from toolkit.errors import UserError

TASK = Segmentation(classes=tuple("abcde"), image_shape=(2, 3, 1))
MASKS = np.arange(3 * 6, dtype=np.uint8).reshape(3, 2, 3) % 5
LINES = ["id,0,1,2,3,4,5", "0,0,1,2,3,4,0", "1,1,2,3,4,0,1", "2,2,3,4,0,1,2"]


def text(lines: list[str], end: str = "\n") -> bytes:
    return "".join(line + end for line in lines).encode()


def test_the_file_is_what_the_organisers_ask_for(tmp_path: Path) -> None:
    write(MASKS, tmp_path / "file.csv")
    assert (tmp_path / "file.csv").read_bytes() == text(LINES)
    assert header(8192).startswith(b"id,0,1,2,") and header(8192).endswith(b",8190,8191\n")


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


def with_line(number: int, line: str) -> Callable[[list[str]], list[str]]:
    return lambda lines: [*lines[:number], line, *lines[number + 1 :]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda lines: [], "the first line must be id,0,1,…,5, it begins with ''", id="empty"),
        pytest.param(lambda lines: lines[1:], "it begins with '0,0,1,2,3,4,' and has 7 columns", id="no header"),
        pytest.param(
            lambda lines: ["\ufeff" + lines[0], *lines[1:]], r"it begins with '\ufeffid,", id="byte-order mark"
        ),
        pytest.param(with_line(0, "ID,0,1,2,3,4,5"), "it begins with 'ID,0,", id="another name"),
        pytest.param(with_line(0, "id,1,2,3,4,5,6"), "it begins with 'id,1,2,", id="pixels counted from 1"),
        pytest.param(lambda lines: [line + ",0" for line in lines], "and has 8 columns", id="extra column"),
        pytest.param(lambda lines: [line.replace(",", ";") for line in lines], "and has 1 columns", id="semicolons"),
        pytest.param(lambda lines: lines[:3], "has 2 rows, the test set has 3 images", id="last row missing"),
        pytest.param(lambda lines: [*lines, "3,0,0,0,0,0,0"], "has 4 rows, the test set has 3", id="extra row"),
        pytest.param(lambda lines: [*lines, ""], "has 4 rows, the test set has 3 images", id="blank last line"),
        pytest.param(
            lambda lines: [lines[0], lines[2], lines[1], lines[3]],
            "row 0 (line 2): the id is '1', expected 0",
            id="shuffled",
        ),
        pytest.param(
            lambda lines: [*lines[:2], lines[3]], "row 1 (line 3): the id is '2', expected 1", id="row missing"
        ),
        pytest.param(with_line(2, LINES[1]), "row 1 (line 3): the id is '0', expected 1", id="row twice"),
        pytest.param(with_line(2, ""), "row 1 (line 3): the id is '', expected 1", id="blank line"),
        pytest.param(with_line(2, "1.0,1,2,3,4,0,1"), "row 1 (line 3): the id is '1.0', expected 1", id="float id"),
        pytest.param(with_line(2, "01,1,2,3,4,0,1"), "the id is '01', expected 1", id="padded id"),
        pytest.param(with_line(3, "2,2,3,4,0,1"), "row 2 (line 4) has 5 pixels, expected 6", id="cut at a pixel"),
        pytest.param(with_line(3, "2,2,3,4,0,1,"), "row 2 (line 4): pixel 5 is '', expected", id="cut at a comma"),
        pytest.param(with_line(3, "2"), "row 2 (line 4) has 1 pixels, expected 6", id="cut at the id"),
        pytest.param(with_line(2, "1,1,2,3,4,0,1,0"), "row 1 (line 3) has 7 pixels, expected 6", id="one more pixel"),
        pytest.param(
            with_line(2, "1,1,2,5,4,0,1"), "pixel 2 is '5', expected a whole number from 0 to 4", id="class 5"
        ),
        pytest.param(with_line(2, "1,1,2,-1,4,0,1"), "pixel 2 is '-1', expected a whole number", id="negative"),
        pytest.param(with_line(2, "1,1,2,3.0,4,0,1"), "pixel 2 is '3.0', expected a whole number", id="float pixel"),
        pytest.param(with_line(2, "1,1,2, 3,4,0,1"), "pixel 2 is ' 3', expected a whole number", id="space"),
        pytest.param(with_line(2, "1,1,2,³,4,0,1"), "pixel 2 is '³', expected a whole number", id="no ASCII"),
        pytest.param(with_line(2, "1,1,2,,34,0,1"), "pixel 2 is '', expected a whole number", id="right length"),
    ],
)
def test_a_file_that_the_organisers_would_refuse_is_refused_in_one_sentence(
    change: Callable[[list[str]], list[str]], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "file.csv"
    for end in ("\n", "\r\n"):
        path.write_bytes(text(change(LINES), end))
        with pytest.raises(UserError) as caught:
            read(path, 3, TASK)
        assert said in str(caught.value) and "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_bytes(text(LINES).replace(b"3", b"\xff"))
    with pytest.raises(UserError, match="the first line must be"):
        read(tmp_path / "file.csv", 3, TASK)


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
