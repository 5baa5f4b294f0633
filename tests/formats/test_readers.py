"""A file that the organisers would refuse is refused here, with its row; one that looks wrong is warned about."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.formats.readers import compare_with_sample, read_pixels, suspicions
from toolkit.formats.writers import write_pixels

ROWS, SHAPE, CLASSES = 12, (2, 3), 5
MASKS = np.random.default_rng(0).integers(0, CLASSES, (ROWS, *SHAPE), dtype=np.uint8)


def lines(change: Callable[[list[list[str]]], object]) -> Callable[[bytes], bytes]:
    """A fault made by editing the table of the file's fields in place."""

    def apply(content: bytes) -> bytes:
        table = [line.split(",") for line in content.decode().splitlines()]
        change(table)
        return "".join(",".join(row) + "\n" for row in table).encode()

    return apply


def put(row: int, column: int, text: str) -> Callable[[bytes], bytes]:
    return lines(lambda table: table[row].__setitem__(column, text))


def each(change: Callable[[int, list[str]], list[str]]) -> Callable[[bytes], bytes]:
    return lines(lambda table: table.__setitem__(slice(None), [change(i, row) for i, row in enumerate(table)]))


FAULTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "class 5": (put(4, 2, "5"), r"row 3 \(line 5\): pixel 1 is '5', expected a whole number from 0 to 4"),
    "a number too large for a byte": (put(1, 1, "300"), r"row 0 \(line 2\): pixel 0 is '300'"),
    "a negative label": (put(1, 1, "-1"), r"row 0 \(line 2\): pixel 0 is '-1'"),
    "float labels": (put(2, 6, "1.0"), r"row 1 \(line 3\): pixel 5 is '1.0', expected a whole number"),
    "a missing value": (put(3, 1, ""), r"row 2 \(line 4\): pixel 0 is ''"),
    "NaN": (put(3, 1, "nan"), r"row 2 \(line 4\): pixel 0 is 'nan'"),
    "a class by name": (put(3, 1, "soil"), r"row 2 \(line 4\): pixel 0 is 'soil'"),
    "float ids": (each(lambda i, row: [f"{row[0]}.0", *row[1:]] if i else row), "the id is '0.0', expected 0"),
    "ids that are names": (each(lambda i, row: [f"img{row[0]}", *row[1:]] if i else row), "the id is 'img0'"),
    "ids from one": (
        each(lambda i, row: [str(int(row[0]) + 1), *row[1:]] if i else row),
        r"row 0 \(line 2\): the id is '1', expected 0$",
    ),
    "shuffled ids": (
        lines(lambda table: table.__setitem__(slice(1, None), table[:0:-1])),
        r"row 0 \(line 2\): the id is '11', expected 0; all ids are there, in another order",
    ),
    "an id twice": (put(5, 0, "3"), r"row 4 \(line 6\): the id is '3', expected 4; id 3 occurs 2 times"),
    "a missing row in the middle": (lines(lambda table: table.pop(5)), "the id is '5', expected 4"),
    "a missing row at the end": (lines(lambda table: table.pop()), "has 11 rows, the test set has 12 images"),
    "a row too many": (
        lines(lambda table: table.append(["12", *table[1][1:]])),
        "has 13 rows, the test set has 12 images",
    ),
    "an extra column": (
        each(lambda i, row: [str(i - 1) if i else "", *row]),
        "first line must be id,0,1,…,5; it has 8 columns, expected 7",
    ),
    "a missing column": (each(lambda i, row: row[:-1]), "it has 6 columns, expected 7"),
    "another name": (put(0, 0, "Id"), "column 0 is 'Id', expected 'id'"),
    "no header": (lines(lambda table: table.pop(0)), "the first line must be id,0,1,…,5; column 0 is '0'"),
    "semicolons": (lambda content: content.replace(b",", b";"), "it has 1 column, expected 7"),
    "a byte-order mark": (lambda content: b"\xef\xbb\xbf" + content, r"begins with a byte-order mark \(UTF-8\)"),
    "UTF-16": (lambda content: content.decode().encode("utf-16"), r"byte-order mark \(UTF-16\)"),
    "truncated": (lambda content: content[:-6], r"row 11 \(line 13\) has 4 pixels, expected 6; the file is cut short"),
    "a longer row": (lambda content: content[:-1] + b",1\n", r"row 11 \(line 13\) has 7 pixels, expected 6"),
    "an empty line": (lambda content: content.replace(b"\n5,", b"\n\n5,"), r"row 5 \(line 7\) is empty"),
    "an empty file": (lambda content: b"", "the first line must be id,0,1,…,5; it has 1 column"),
    "the header alone": (lambda content: content.split(b"\n")[0] + b"\n", "has 0 rows, the test set has 12"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_file_is_refused_in_one_sentence(fault: str, tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    write_pixels(path, MASKS)
    change, sentence = FAULTS[fault]
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UserError, match=sentence) as caught:
        read_pixels(path, ROWS, SHAPE, CLASSES)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [lambda c: c, lambda c: c.replace(b"\n", b"\r\n"), lambda c: c[:-1], lambda c: c.replace(b"\n", b"\r\n")[:-2]],
)
def test_a_good_file_is_read(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    write_pixels(path, MASKS)
    path.write_bytes(change(path.read_bytes()))
    found = read_pixels(path, ROWS, SHAPE, CLASSES)
    assert (found == MASKS).all() and found.dtype == np.uint8


def test_a_file_of_many_blocks_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    masks = np.random.default_rng(0).integers(0, CLASSES, (500, *SHAPE), dtype=np.uint8)
    write_pixels(tmp_path / "s.csv", masks)
    monkeypatch.setattr("toolkit.formats.readers.BLOCK", 256)
    assert (read_pixels(tmp_path / "s.csv", 500, SHAPE, CLASSES) == masks).all()
    with pytest.raises(UserError, match="has 500 rows, the test set has 499 images"):
        read_pixels(tmp_path / "s.csv", 499, SHAPE, CLASSES)


def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"s.csv does not exist"):
        read_pixels(tmp_path / "s.csv", ROWS, SHAPE, CLASSES)
    with pytest.raises(UserError, match="is a folder, expected a CSV"):
        read_pixels(tmp_path, ROWS, SHAPE, CLASSES)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda content: content, None),
        (lines(lambda table: table.append(table.pop(2))), None),  # in another order, as many samples are
        (lambda content: b"\xef\xbb\xbf" + content + b"\r\n\n", None),
        (lambda content: content.replace(b"\n", b"\r"), None),  # as old Macs end lines
        (lambda content: content + b",,,\n \n", None),  # as spreadsheets leave them
        (each(lambda i, row: [f'"{row[0]}"', *row[1:]]), None),
        (put(0, 0, "Id"), "the first line is 'id,0,1,2,3,4,5', that of the sample submission .* is 'Id,0,1,2,3,4,5'"),
        (put(3, 0, "9"), r"line 4: the id is '2', the sample submission .* has '9'"),
        (lines(lambda table: table.pop()), r"s.csv has 12 rows, the sample submission .* has 11"),
        (lines(lambda table: table.append(["12"])), r"s.csv has 12 rows, the sample submission .* has 13"),
    ],
)
def test_a_file_is_compared_with_the_sample(
    change: Callable[[bytes], bytes], sentence: str | None, tmp_path: Path
) -> None:
    path, sample = tmp_path / "s.csv", tmp_path / "sample_submission.csv"
    write_pixels(path, MASKS)
    write_pixels(sample, np.zeros_like(MASKS))
    sample.write_bytes(change(sample.read_bytes()))
    if sentence is None:
        compare_with_sample(path, sample)
    else:
        with pytest.raises(UserError, match=sentence):
            compare_with_sample(path, sample)


def test_ids_that_do_not_stand_first_are_found(tmp_path: Path) -> None:
    path, sample = tmp_path / "s.csv", tmp_path / "sample_submission.csv"
    sample.write_text("label,id\n0,a\n0,b\n")
    path.write_text("label,id\n1,b\n0,a\n")
    compare_with_sample(path, sample)
    path.write_text("label,id\n1,b\n0,c\n")
    with pytest.raises(UserError, match=r"s\.csv line 2: the id is '1'"):
        compare_with_sample(path, sample)


def test_strange_predictions_are_warned_about() -> None:
    names = ("soil", "sand", "rock")
    oof = np.array([500, 480, 20])
    assert suspicions(np.array([510, 470, 20]), oof, names) == []
    assert suspicions(np.array([0, 1000, 0]), oof, names) == ["every prediction is 'sand'"]
    assert suspicions(np.array([520, 480, 0]), oof, names) == [
        "class 'rock' is never predicted; out of fold it has 2.00%"
    ]
    assert suspicions(np.array([5, 5, 0]), oof, names) == []  # of ten, a rare one may be missing
    assert suspicions(np.array([800, 180, 20]), oof, names) == [
        "the classes' shares are far from those out of fold: 'soil' 80.0%, there 50.0%"
    ]
    assert suspicions(np.array([1, 0, 0]), oof, names) == []  # nor can one image have the shares of many
    assert suspicions(np.array([20, 4, 0]), oof, names) == []
    assert len(suspicions(np.array([90, 9, 1]), oof, names)) == 1
