"""Tables beside the images: read in the order of the names, told apart as numbers and categories, checked."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import kinds, tiny
from toolkit import Dataset, Samples, UserError, image_folder, table_arrays, table_of
from toolkit.data.data_folder import hash_dataset, open_dataset, save_dataset
from toolkit.data.dataset import check_dataset
from toolkit.data.loading import load
from toolkit.data.tables import Column, columns_of

TRAIN = pd.DataFrame(
    {
        "age": [40.0, np.nan, 61.0, 55.0],
        "site": ["back", "arm", "back", None],
        "smoker": [True, False, True, False],
        "count": [1, 2, 3, 4],
    }
)
TEST = pd.DataFrame({"count": [7, 8], "site": ["arm", "neck"], "smoker": [False, True], "age": [50, 51]})


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_numbers_stay_and_categories_become_places_among_those_of_training() -> None:
    made = table_arrays(TRAIN, TEST)
    assert columns_of(made["columns"]) == (
        Column("age"),
        Column("site", ("arm", "back")),
        Column("smoker", ("False", "True")),
        Column("count"),
    )
    wanted = np.array([[40, 1, 1, 1], [np.nan, 0, 0, 2], [61, 1, 1, 3], [55, np.nan, 0, 4]])
    assert made["table"].dtype == np.float32 and np.array_equal(made["table"], wanted, equal_nan=True)
    # a category that training never had is not known, and the columns come in the order of training
    assert np.array_equal(made["test_table"], np.array([[50, 0, 0, 7], [51, np.nan, 1, 8]]), equal_nan=True)
    assert "test_table" not in table_arrays(TRAIN)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["x"] * 30, "'c' of the table is the same in all rows"),
        ([np.nan] * 30, "'c' of the table is the same in all rows"),
        ([f"P{row}" for row in range(30)], "30 different texts in 30 rows"),
        ([1.0, np.inf] * 15, "infinite number"),
        ([2.0**40 + row for row in range(30)], "subtract the smallest"),
        (pd.date_range("2020-01-01", periods=30), "Timestamp, expected numbers or text"),
        ([(1, 2), (3, 4)] * 15, "tuple, expected numbers or text"),
    ],
)
def test_a_column_that_teaches_nothing_is_refused_by_its_name(column: list[object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        table_arrays(pd.DataFrame({"c": column}))


def test_a_few_texts_may_all_be_different_and_blanks_beside_one_value_tell_something() -> None:
    columns = columns_of(table_arrays(pd.DataFrame({"a": ["x", None], "b": ["p", "q"]}))["columns"])
    assert [column.categories for column in columns] == [("x",), ("p", "q")]


def test_test_tables_have_the_columns_of_training() -> None:
    with pytest.raises(UserError, match="no column 'age'"):
        table_arrays(TRAIN, TEST.drop(columns="age"))
    with pytest.raises(UserError, match="'count' has numbers of the training images, but not"):
        table_arrays(TRAIN, TEST.assign(count="many"))
    assert np.isnan(table_arrays(TRAIN, TEST.assign(count=None))["test_table"][:, 3]).all()
    with pytest.raises(UserError, match="two columns 'age'"):
        table_arrays(pd.concat([TRAIN, TRAIN[["age"]]], axis=1))


def test_a_table_is_read_in_the_order_of_the_names(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "id,age,code,site\n007,5,01,arm\n008,,02,\n009,7.5,01,leg\n")
    found = table_of(path, ["009", "007", "008"])
    assert found["age"].tolist()[:2] == [7.5, 5] and np.isnan(found["age"][2])
    assert found["code"].tolist() == [1, 1, 2] and found["site"].fillna("-").tolist() == ["leg", "arm", "-"]
    some = table_of(path, ["007", "008"], ["id", "code"], categories=["code"])
    assert list(some) == ["code"] and some["code"].tolist() == ["01", "02"]


def test_a_table_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "id,age\na,1\nb,2\nb,3\n")
    with pytest.raises(UserError, match="'b' has two rows"):
        table_of(path, ["a"])
    path = written(path, "id,age\na,1\nb,2\n")
    with pytest.raises(UserError, match=r"column id has no 'c', nor others of the 3 names \(2 in all\)"):
        table_of(path, ["a", "c", "d"])
    with pytest.raises(UserError, match="'site' are none of the columns age"):
        table_of(path, ["a"], categories=["site"])
    with pytest.raises(UserError, match="no column 'weight'"):
        table_of(path, ["a"], ["id", "weight"])


def with_table(dataset: Dataset, **changes: object) -> Dataset:
    rows, tests = len(dataset.images), len(dataset.test_images)
    ages = pd.DataFrame({"age": np.arange(rows) % 50})
    return Dataset(**{**vars(dataset), **table_arrays(ages, ages[:tests]), **changes})


def test_a_saved_table_comes_back_and_is_part_of_the_hash(tmp_path: Path) -> None:
    plain = kinds.drawn("classes", 12)
    dataset = with_table(plain)
    save_dataset(dataset, tmp_path / "data", "")
    found = open_dataset(tmp_path / "data")
    assert found.table is not None and dataset.table is not None and np.array_equal(found.table, dataset.table)
    assert columns_of(found.columns) == (Column("age"),)
    other = with_table(plain, table=dataset.table + 1)
    assert len({hash_dataset(each) for each in (plain, dataset, other)}) == 3


def test_a_table_has_a_row_a_sample_and_none_for_masks() -> None:
    dataset, task = with_table(kinds.drawn("classes", 12)), kinds.KINDS["classes"][0]
    check_dataset(dataset, task, "here")
    for changes, message in (
        ({"table": dataset.table[1:]}, r"table is float32 \(11, 1\), expected one row per sample, \(12, 1\)"),  # type: ignore[index]
        ({"table": dataset.table.astype(np.float64)}, "table is float64"),  # type: ignore[union-attr]
        ({"test_table": None}, "none of the 8 test images; give test_table as well"),
        ({"table": None}, "of the test images alone"),
    ):
        with pytest.raises(UserError, match=message):
            check_dataset(with_table(dataset, **changes), task, "here")
    with pytest.raises(UserError, match="leave out table where masks are predicted"):
        check_dataset(with_table(kinds.drawn("masks", 12)), kinds.KINDS["masks"][0], "here")


def test_samples_in_files_have_tables_too(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("a", "b"):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / f"{name}.png")
    images = image_folder(tmp_path)
    table = pd.DataFrame({"age": [1, 2]})
    made = Samples(images, np.array([0, 1]), test_images=images, table=table, test_table=table).as_dataset(tmp_path)
    assert made.table is not None and made.table.tolist() == [[1], [2]]
    assert made.test_table is not None and made.test_table.tolist() == [[1], [2]]


def test_code_that_is_handed_in_is_given_no_table(tmp_path: Path) -> None:
    def read(folder: Path) -> Dataset:
        return with_table(tiny.arrays(tiny.competition, folder))

    coded = replace(tiny.competition, load=read, try_submission=lambda path, images: None)  # type: ignore[arg-type, return-value]
    project = tiny.project(tmp_path, coded)
    with pytest.raises(
        UserError, match="has a table, and code that is handed in is given images alone; leave out table"
    ):
        load(project.competition, project.workspace, project.raw)
    project = tiny.project(tmp_path, replace(tiny.competition, load=read))
    load(project.competition, project.workspace, project.raw)
    project.folds(2)
    labelled = project.labelled()
    assert labelled.table is not None and labelled.columns == (Column("age"),)
    assert labelled.test_table is not None and len(labelled.test_table) == len(labelled.test_images)


@pytest.mark.parametrize(
    ("train", "tests"),
    [
        (["3", "A1", "3"], [3.0, 7.0]),  # the test file has numbers alone, so that they were read as such
        (["07", "x", "07"], [7.0, 7.0]),
        ([True, False, True], [1.0, 0.0]),
        (["1", "2", "1"], ["1.0", None]),
    ],
)
def test_a_column_written_in_two_ways_is_no_column_of_which_nothing_is_known(
    train: list[object], tests: list[object]
) -> None:
    with pytest.raises(UserError, match="none of them the same: write them alike"):
        table_arrays(pd.DataFrame({"c": train}), pd.DataFrame({"c": tests}))


def test_words_for_a_blank_make_no_categories_of_numbers(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "id,age,site\nx,10,NA\ny,NA,EU\nz, 12 ,EU \n")
    table = table_of(path, ["x", "y", "z"])
    assert np.array_equal(table["age"], [10, np.nan, 12], equal_nan=True)
    assert table["site"].tolist() == ["NA", "EU", "EU"]  # a blank behind a word makes no other


@pytest.mark.parametrize("number", [np.inf, 1e39])
def test_a_number_that_has_no_place_in_float32_is_refused_in_both_tables(number: float) -> None:
    odd, plain = pd.DataFrame({"c": [1.0, number]}), pd.DataFrame({"c": [1.0, 2.0]})
    for tables in ((odd,), (plain, odd)):
        with pytest.raises(UserError, match="column 'c' of the table has an infinite number, or one above 3e38"):
            table_arrays(*tables)


def test_categories_of_pandas_are_categories() -> None:
    made = table_arrays(pd.DataFrame({"c": pd.Categorical([1, 2, 1])}), pd.DataFrame({"c": pd.Categorical([2, None])}))
    assert np.array_equal(made["table"], [[0], [1], [0]])
    assert np.array_equal(made["test_table"], np.array([[1], [np.nan]]), equal_nan=True)
