"""Tables become targets of the task's form; what doesn't fit is named by its line."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from toolkit.data.target_tables import labels_in_names, target_table
from toolkit.errors import UserError
from toolkit.images.files import ImageFiles
from toolkit.task import Classification, Grades, Heads, Labels, Numbers, OverlappingMasks, Task

SHAPE = (8, 8, 3)
PETS = Classification(("cat", "dog"), SHAPE)
WHALES = Classification(("w1", "w2"), SHAPE, unknown="new")
FOUND = Labels(("rust", "scab"), SHAPE)
SIZES = Numbers(("age", "weight"), SHAPE)
PARTS = Heads((("root", ("a", "b")), ("vowel", ("i", "u", "none"))), SHAPE)


def table(folder: Path, text: str) -> Path:
    path = folder / "train.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("task", "text", "columns", "expected"),
    [
        (PETS, "id,label\n007,dog\n008,cat\n", None, np.array([1, 0])),
        (PETS, "x,label,id\n1,dog,007\n1,cat,008\n", ("id", "label"), np.array([1, 0])),
        (PETS, "id,label\n007,1\n008,0.0\n", None, np.array([1, 0])),
        (Classification(("1", "0"), SHAPE), "id,label\n007,1\n008,0\n", None, np.array([0, 1])),
        (WHALES, "id,label\n007,new\n008,w2\n", None, np.array([-1, 1])),
        (Grades(("0", "1", "2"), SHAPE), "id,level\n007,2\n008,1\n", None, np.array([2, 1])),
        (FOUND, "id,plant,scab,rust\n007,p,1,0\n008,p,0.0,\n", None, np.array([[0, 1], [-1, 0]], np.int8)),
        (FOUND, "id,labels\n007,scab rust\n008,\n", None, np.array([[1, 1], [0, 0]], np.int8)),
        (SIZES, "id,age,weight\n007,1.5,2\n008,,-3\n", None, np.array([[1.5, 2], [np.nan, -3]], np.float32)),
        (PARTS, "id,vowel,root\n007,none,b\n008,i,a\n", None, np.array([[1, 2], [0, 0]])),
        (PARTS, "id,vowel,root\n007,2,1\n008,0,0\n", None, np.array([[1, 2], [0, 0]])),
    ],
)
def test_a_table_gives_names_and_targets_as_the_task_has_them(
    task: Task, text: str, columns: tuple[str, ...] | None, expected: np.ndarray, tmp_path: Path
) -> None:
    path = table(tmp_path, text)
    pd.read_csv(path, dtype=str).to_parquet(tmp_path / "train.parquet")
    for file in (path, tmp_path / "train.parquet"):
        names, targets = target_table(file, task, columns)
        assert names == ["007", "008"] and targets.dtype == expected.dtype
        assert np.array_equal(targets, expected, equal_nan=targets.dtype.kind == "f")


def test_a_table_without_names_counts_its_rows(tmp_path: Path) -> None:
    path = table(tmp_path, "label,pixel0\n1,0\n1,9\n0,3\n")
    names, targets = target_table(path, Classification(("0", "1"), SHAPE), ("", "label"))
    assert names == ["0", "1", "2"] and targets.tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("task", "text", "columns", "said"),
    [
        (PETS, "id,label\n1,dog\n2,cow\n", None, "train.csv line 3: label is 'cow', expected cat, dog$"),
        (PETS, "id,label\n1,dog\n2,1\n", None, "line 3: label is '1', expected cat, dog$"),
        (PETS, "id,label\n1,0\n2,2\n", None, "line 2: label is '0', expected cat, dog$"),
        (PETS, "id,label\n1,dog\n2,\n", None, "line 3: label is '', expected cat, dog$"),
        (PETS, "id,label\n1,dog\n2,cat\n1,cat\n", None, "line 4: '1' stands in line 2 already$"),
        (PETS, "id,label\n1,dog\n", ("image", "label"), "has no column 'image', it has id, label$"),
        (WHALES, "id,label\n1,w3\n", None, "line 2: label is 'w3', expected w1, w2, new$"),
        (FOUND, "id,rust,scab\n1,0,2\n", None, "line 2: scab is '2', expected 0, 1 or a blank$"),
        (FOUND, "id,rust,scap\n1,0,1\n", None, "has no column 'scab', it has id, rust, scap$"),
        (FOUND, "id,labels\n1,rust mould\n", None, "line 2: labels has 'mould', expected rust, scab$"),
        (SIZES, "id,age,weight\n1,old,3\n", None, "line 2: age is 'old', expected a number or a blank$"),
        (SIZES, "id,age\n1,3\n", None, "has no column 'weight'"),
        (SIZES, "id,age\n1,3\n", ("id", "age"), "expected 2 columns of targets to be named, found 1$"),
        (PARTS, "id,root,vowel\n1,a,e\n", None, "line 2: vowel is 'e', expected i, u, none$"),
        (OverlappingMasks(("a",), SHAPE), "id,rle\n1,\n", None, "run_length_masks reads those"),
        (PETS, "", None, "train.csv can't be read: No columns"),
    ],
)
def test_a_fault_is_one_sentence_that_names_its_line(
    task: Task, text: str, columns: Any, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said) as caught:
        target_table(table(tmp_path, text), task, columns)
    assert "\n" not in str(caught.value)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"test.csv does not exist"):
        target_table(tmp_path / "test.csv", PETS)


def test_labels_are_read_off_the_names_of_files() -> None:
    images = ImageFiles([Path("train/dog.1.jpg"), Path("train/cat.12.jpg")])
    assert labels_in_names(images, r"^(\w+)\.\d+", ("cat", "dog")).tolist() == [1, 0]
    with pytest.raises(UserError, match=r"train/cat.12.jpg says 'cat', expected dog: "):
        labels_in_names(images, r"^(\w+)\.", ("dog",))
    with pytest.raises(UserError, match=r"train/dog.1.jpg doesn't match '\^\(\\\\d\+\)'"):
        labels_in_names(images, r"^(\d+)", ("dog",))


AB = Classification(("a", "b"), (8, 8, 3))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,label\n5,1,0\n7,0,1\n", "line 2 has more cells than the head has columns"),
        ("id,label\n5,a\n7,b,c\n", "line 3 has more cells than the head has columns"),
        ("id,label\n5,a\n\n7,c\n", "line 4: label is 'c', expected a, b"),
        ('id,label\n"5\n6",a\n7,c\n', "line 4: label is 'c', expected a, b"),
        ("id,label\r\n5,a\r\n\r\n7,c\r\n", "line 4: label is 'c', expected a, b"),
        ("id,label\n5,a\n\n5,b\n", "line 4: '5' stands in line 2 already"),
        ("id,label\n5,a\n,b\n", "line 3: the name is empty"),
        ("id,label\n", "has a head and no rows"),
        ("id,label,label\n5,a,b\n", "has two columns called 'label'"),
    ],
)
def test_odd_tables_are_refused_with_the_line_of_the_file(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_bytes(text.encode())
    with pytest.raises(UserError, match=said):
        target_table(path, AB, ("id", "label"))


def test_a_comma_at_the_end_of_every_row_is_no_cell(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("id,label\n5,a,\n7,b,\n")
    names, targets = target_table(path, AB, ("id", "label"))
    assert names == ["5", "7"] and targets.tolist() == [0, 1]
