"""Tables of each form come back as they were written, in whatever order, and each fault is named with its line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from toolkit.errors import UserError
from toolkit.formats.writers import (
    write_columns,
    write_csv,
    write_given,
    write_lists,
    write_rows,
    write_run_lengths,
)
from toolkit.metrics.lists import PAD
from toolkit.submission.tables import (
    read_columns,
    read_given,
    read_labels,
    read_lists,
    read_rows,
    read_run_lengths,
)
from toolkit.task import UNKNOWN

IDS = np.array(["007", "8", "b c"])
NAMES = ("cat", "dog", "new cow")
ONE_WORD = ("cat", "dog", "cow")
Reader = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables") / "s.csv"


def shuffle(path: Path) -> None:
    """The lines in another order, the header first."""
    head, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text(head + "".join(lines[::-1]), encoding="utf-8")


@given(values=arrays.arrays(np.float64, (3, 3), elements=FINITE))
def test_columns_and_rows_come_back_to_the_last_bit(values: np.ndarray, path: Path) -> None:
    write_columns(path, IDS, values, NAMES)
    shuffle(path)
    assert (read_columns(path, IDS, NAMES) == values).all()
    write_rows(path, IDS, values, NAMES, ("row_id", "target"))
    shuffle(path)
    assert (read_rows(path, IDS, NAMES, ("row_id", "target")) == values).all()


@given(places=arrays.arrays(np.int64, 3, elements=st.integers(0, 2)))
def test_labels_come_back(places: np.ndarray, path: Path) -> None:
    write_csv(path, {"id": IDS, "label": [NAMES[at] for at in places]})
    shuffle(path)
    assert (read_labels(path, IDS, NAMES) == places).all()


@given(lists=st.lists(st.permutations([UNKNOWN, 0, 1, 2]), min_size=3, max_size=3), length=st.integers(0, 4))
def test_lists_come_back_and_end_where_they_ended(lists: list[list[int]], length: int, path: Path) -> None:
    made = np.full((3, 4), PAD)
    made[:, :length] = np.array(lists)[:, :length]
    write_lists(path, IDS, made, ONE_WORD, unknown="nobody")
    shuffle(path)
    assert (read_lists(path, IDS, ONE_WORD, 4, unknown="nobody") == made).all()


@pytest.mark.parametrize("empty", ["", "-"])
@given(given_labels=arrays.arrays(np.int8, (3, 3), elements=st.integers(0, 1)))
def test_labels_that_are_given_come_back(given_labels: np.ndarray, empty: str, path: Path) -> None:
    write_given(path, IDS, given_labels, ONE_WORD, empty=empty)
    shuffle(path)
    assert (read_given(path, IDS, ONE_WORD, empty=empty) == given_labels).all()


@pytest.mark.parametrize("empty", ["", "-"])
@given(masks=arrays.arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 7)))
def test_overlapping_masks_come_back(masks: np.ndarray, empty: str, path: Path) -> None:
    write_run_lengths(path, IDS, masks, labels=NAMES, empty=empty)
    shuffle(path)
    assert (read_run_lengths(path, IDS, (4, 5), NAMES, empty=empty) == masks).all()
    write_run_lengths(path, IDS, masks & 1, titles=("image", "pixels"), empty=empty)
    shuffle(path)
    assert (read_run_lengths(path, IDS, (4, 5), titles=("image", "pixels"), empty=empty) == masks & 1).all()
    found = read_run_lengths(path, IDS, (4, 5, 3), titles=("image", "pixels"), empty=empty)  # a task's image_shape
    assert (found == masks & 1).all()


def test_a_row_of_overlapping_masks_is_an_image_and_a_label_down_the_columns(path: Path) -> None:
    masks = np.array([[[1, 3], [0, 2]]], np.uint8)
    write_run_lengths(path, ["x"], masks, labels=("a", "b", "c"), empty="-")
    table = pd.read_csv(path)
    assert table.to_numpy().tolist() == [["x", "a", "1 1 3 1"], ["x", "b", "3 2"], ["x", "c", "-"]]


def test_a_missing_value_is_left_blank(path: Path) -> None:
    write_columns(path, IDS, np.array([1.5, np.nan, 2]), ("weight",))
    assert path.read_text().splitlines() == ["id,weight", "007,1.5", "8,", "b c,2.0"]
    with pytest.raises(UserError, match=r"line 3: weight is '', expected a number"):
        read_columns(path, IDS, ("weight",))


COLUMNS = (read_columns, (("p",),), {"low": 0, "high": 1})
ROWS = (read_rows, (("p",),), {"whole": True})
LABELS: Reader = (read_labels, (ONE_WORD,), {})
LISTS: Reader = (read_lists, (ONE_WORD, 2), {})
GIVEN = (read_given, (ONE_WORD,), {"empty": "none"})
MASKS = (read_run_lengths, ((2, 2),), {"empty": "-"})


@pytest.mark.parametrize(
    ("reader", "text", "reason"),
    [
        (COLUMNS, "", "can't be read: No columns"),
        (COLUMNS, "id,q\n007,0", r"the first line is id,q, expected id,p"),
        (COLUMNS, "id,p\n007,0.5\n8,0.5,3\nb c,0", "can't be read: .* line 3"),
        (COLUMNS, "id,p\n007,0.5\n8,0.5\nb c,", "line 4: p is '', expected a number"),
        (COLUMNS, "id,p\n007,nan\n8,0.5\nb c,1", "line 2: p is 'nan', expected a number"),
        (COLUMNS, "id,p\n007,0\n8,1e999\nb c,1", "line 3: p is '1e999', expected a number"),
        (COLUMNS, "id,p\n8,1.01\n007,0\nb c,1", "line 2: p is '1.01', expected at most 1"),
        (COLUMNS, "id,p\n007,0\n8,-1\nb c,1", "line 3: p is '-1', expected at least 0"),
        (COLUMNS, "id,p\n7,0\n8,1\nb c,1", "line 2: 7 is not in the test set"),
        (COLUMNS, "id,p\n007,0\n8,1\n007,1\nb c,1", "line 4: 007 stands in line 2 already"),
        (COLUMNS, "id,p\n8,1", "has no line for 007; 2 of 3 are missing"),
        (ROWS, "id,value\n007_p,1\n8_p,1.5\nb c_p,2", "line 3: value is '1.5', expected a whole number"),
        (LABELS, "id,label\n007,cat\n8,Cat\nb c,cow", "line 3: label has 'Cat', expected cat,dog,cow"),
        (LISTS, "id,label\n007,cat\n8,cat dog cow\nb c,cow", "line 3: label has 3 names, at most 2 count"),
        (LISTS, "id,label\n007,cat\n8,cat cat\nb c,cow", "line 3: label has a name twice"),
        (GIVEN, "id,labels\n007,none\n8,\nb c,cow", "line 3: labels is blank, expected 'none' where no label"),
        (MASKS, "id,rle\n007,-\n8,\nb c,1 1", "line 3: rle is blank, expected '-' for an empty mask"),
        (MASKS, "id,rle\n007,-\n8,4 2\nb c,1 1", "line 3: rle: a run ends at pixel 5"),
        (MASKS, "id,rle\n007,-\n8,1 x\nb c,1 1", "line 3: rle: "),
    ],
)
def test_what_is_wrong_is_named_with_its_line(reader: Reader, text: str, reason: str, path: Path) -> None:
    read, places, options = reader
    path.write_text(text)
    with pytest.raises(UserError, match=reason) as caught:
        read(path, IDS, *places, **options)
    assert "\n" not in str(caught.value)


def test_ids_may_be_numbers(path: Path) -> None:
    write_columns(path, np.arange(3), np.arange(3) / 2, ("p",))
    assert read_columns(path, np.arange(3), ("p",))[:, 0].tolist() == [0, 0.5, 1]


def test_columns_that_do_not_fit_are_refused(path: Path) -> None:
    with pytest.raises(UserError, match="can't fill 3 columns with 2 values an image"):
        write_columns(path, IDS, np.zeros((3, 2)), NAMES)
    with pytest.raises(UserError, match="equally long, they have ids 2, values 3 rows"):
        write_rows(path, IDS[:2], np.zeros((3, 3)), NAMES)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.csv does not exist"):
        read_labels(tmp_path / "none.csv", IDS, NAMES)
    with pytest.raises(UserError, match="is a folder, expected a CSV"):
        read_labels(tmp_path, IDS, NAMES)
