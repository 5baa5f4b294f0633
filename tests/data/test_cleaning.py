"""The cleaning list: every faulty line named, suggestions left alone, its hash that of what is obeyed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from toolkit.data.cleaning import cleaning_hash, read_cleaning
from toolkit.data.data_folder import save_dataset
from toolkit.data.dataset import Dataset
from toolkit.errors import UserError
from toolkit.store import Workspace, hash_json
from toolkit.task import Classification, Segmentation

LABELS = Classification(("a", "b", "big c"), (8, 8, 1))
MASKS = Segmentation(("a", "b", "big c"), (8, 8, 1))
HEAD = "index,action,value,reason,confidence\n"


def written(folder: Path, text: str, encoding: str = "utf-8") -> Workspace:
    workspace = Workspace(folder, "x")
    workspace.folder.mkdir(exist_ok=True)
    workspace.cleaning.write_text(text, encoding=encoding)
    return workspace


def read(folder: Path, lines: str) -> pd.DataFrame:
    return read_cleaning(written(folder, HEAD + lines), np.arange(5), LABELS)


def named(folder: Path) -> Workspace:
    """A workspace whose five samples have names."""
    workspace, rows = Workspace(folder, "x"), np.arange(5)
    images, names = np.zeros((5, 8, 8, 1), np.uint8), np.array(["a/1.png", "b/1.png", "b/2.png", "b/3.png", "b/4.png"])
    save_dataset(Dataset(images, rows % 3, rows, rows, images[:0], names=names), workspace.data, "")
    return workspace


def test_a_line_may_have_a_name_in_place_of_its_index(tmp_path: Path) -> None:
    named(tmp_path)
    by_index = written(tmp_path, HEAD + "1,drop,,x,1\n2,group,g,x,1\n3,group,g,x,1\n")
    table, value = read_cleaning(by_index, np.arange(5), LABELS), cleaning_hash(by_index)
    for text in (
        "index,name,action,value,reason,confidence\n1,b/1.png,drop,,x,1\n,b/2.png,group,g,x,1\n3,,group,g,x,1\n",
        "name,action,value,reason,confidence\nb/1.png,drop,,x,1\n2,group,g,x,1\nb/3.png,group,g,x,1\n",
    ):
        workspace = written(tmp_path, text)
        assert read_cleaning(workspace, np.arange(5), LABELS).equals(table)
        assert cleaning_hash(workspace) == value


def test_a_list_with_blanks_around_names_is_read_as_it_was_written(tmp_path: Path) -> None:
    workspace, rows = Workspace(tmp_path, "x"), np.arange(3)
    images, names = np.zeros((3, 8, 8, 1), np.uint8), np.array([" a.png", "b.png ", "c.png"])
    save_dataset(Dataset(images, rows, rows, rows, images[:0], names=names), workspace.data, "")
    written(tmp_path, "index,name,action,value\n0, a.png,drop,\n,b.png ,drop,\n, c.png ,drop,\n")
    assert read_cleaning(workspace, rows, LABELS)["index"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",1.png,drop,", "line 2: 2 samples are called '1.png'"),
        (",c.png,drop,", "line 2: no sample is called 'c.png'; names are such as 'a/1.png'"),
        ("2,b/3.png,drop,", "line 2: row 2 is called 'b/2.png', not 'b/3.png'; keep index or name"),
        (",,drop,", "line 2: it has neither an index nor a name"),
        ("9,b/3.png,drop,", "line 2: the training file has no row '9'"),
    ],
)
def test_a_wrong_name_is_told(tmp_path: Path, line: str, reason: str) -> None:
    named(tmp_path)
    workspace = written(tmp_path, f"index,name,action,value\n{line}\n")
    with pytest.raises(UserError, match=reason):
        read_cleaning(workspace, np.arange(5), LABELS)


def test_there_may_be_no_list(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "x")
    assert read_cleaning(workspace, np.arange(5), LABELS).empty
    assert cleaning_hash(workspace) is None


def test_a_class_is_given_by_name_or_index(tmp_path: Path) -> None:
    table = read(tmp_path, "1,relabel,big c,x,1\n2,relabel,0,,\n3,relabel?,b,looks like b,.8\n")
    assert table[["index", "action", "value"]].to_numpy().tolist() == [
        [1, "relabel", "2"],
        [2, "relabel", "0"],
        [3, "relabel?", "b"],
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("99,drop,,x,1", "line 3: the training file has no row '99'"),
        ("1.0,drop,,x,1", "line 3: the training file has no row '1.0'"),
        ("1,erase,,x,1", r"line 3: action 'erase' is not one of drop, group, relabel \(with \? behind it"),
        ("1,drop,unscord,x,1", "line 3: action drop has no value but 'unscored', not 'unscord'"),
        ("1,drop??,,x,1", "line 3: action 'drop\\?\\?' is not one of"),
        ("1,group,,x,1", "line 3: action group needs a value"),
        ("1,group?,,x,1", "line 3: action group needs a value"),
        ("1,relabel,d,x,1", "line 3: action relabel needs a class as its value, not 'd'; there are a, b, big c"),
        ("1,relabel?,3,x,1", "line 3: action relabel needs a class as its value, not '3'"),
        ("1,relabel,a,x,1\n1,relabel,1,x,1", "line 4: row 1 has another label in line 3"),
        ("1,drop,,looks odd, and twice,1", "line 3: it has 6 fields"),
        ("1,drop", "line 3: it has 2 fields"),
        ('"1","drop","","x\ny",1\n9,drop,,x,1', "line 5: the training file has no row '9'"),
        ("\n\n9,drop,,x,1", "line 5: the training file has no row '9'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        read(tmp_path, f"0,drop,,x,1\n{line}\n")


def test_every_wrong_line_has_its_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, "7,drop,,,\n1,drop,,,\n2,no,,,\n")
    sentences = str(caught.value).splitlines()
    assert ["line 2: " in sentences[0], "line 4: " in sentences[1], len(sentences)] == [True, True, 2]
    with pytest.raises(UserError, match="and 30 more lines"):
        read(tmp_path, "7,drop,,,\n" * 40)


def test_masks_are_not_relabelled(tmp_path: Path) -> None:
    workspace = written(tmp_path, HEAD + "1,relabel,a,,\n")
    with pytest.raises(UserError, match="line 2: action relabel is for labels"):
        read_cleaning(workspace, np.arange(5), MASKS)


@pytest.mark.parametrize("text", ["row,what\n1,drop\n", "", "index;action;value\n1;drop;\n"])
def test_a_list_without_its_columns_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="must have the columns index, action, value"):
        read_cleaning(written(tmp_path, text), np.arange(5), LABELS)


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cleaning.csv has two columns index; take one of them out$"):
        read_cleaning(written(tmp_path, "index,index,action,value\n1,2,drop,\n"), np.arange(5), LABELS)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    workspace = written(tmp_path, "")
    workspace.cleaning.write_bytes(b"\xff\xfe\x00index")
    with pytest.raises(UserError, match="can't be read"):
        read_cleaning(workspace, np.arange(5), LABELS)


def test_a_list_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    workspace = written(tmp_path, (HEAD + "1,drop,,x,1\n").replace("\n", "\r\n"), "utf-8-sig")
    assert read_cleaning(workspace, np.arange(5), LABELS)["index"].tolist() == [1]


def test_the_hash_covers_what_is_obeyed_alone(tmp_path: Path) -> None:
    def name(lines: str) -> str | None:
        return cleaning_hash(written(tmp_path, HEAD + lines))

    first = name("1,drop,,x,1\n2,group,g,x,1\n3,group,g,x,1\n")
    assert first == name('3,group,g,other,\n2,group,g,"a, b",.5\n1,drop,,,\n4,drop?,,,\n0,relabel?,a,,.9\n')
    assert name("4,drop?,,,\n") is None
    others = [
        name("1,drop,,x,1\n2,group,g,x,1\n3,group,h,x,1\n"),
        name("2,group,g,x,1\n3,group,g,x,1\n"),
        name("1,drop,,x,1\n2,group,g,x,1\n3,group,g,x,1\n4,relabel,a,,\n"),
    ]
    assert len({first, *others}) == 4


def test_the_hash_covers_a_reason_by_which_a_sample_leaves_the_score(tmp_path: Path) -> None:
    def name(lines: str) -> str | None:
        return cleaning_hash(written(tmp_path, HEAD + lines))

    unscored = name("1,drop,,repeated picture: 9 times,1\n")
    assert unscored == hash_json([("1", "drop", "")])  # as it was stored before there was a difference
    assert unscored == name("1,drop,unscored,mine,1\n") == name("1,drop,,contradictory copies: 1 2,1\n")
    assert name("1,drop,,doubtful label: a,1\n") == name("1,drop,,,\n") != unscored


def test_the_hash_covers_a_reason_by_which_a_label_is_obeyed_in_some_folds_alone(tmp_path: Path) -> None:
    def name(lines: str) -> str | None:
        return cleaning_hash(written(tmp_path, HEAD + lines))

    decided = name("1,relabel,a,mine,1\n")
    assert decided == hash_json([("1", "relabel", "a")])  # as it was stored before there was a difference
    assert decided == name("1,relabel,a,doubtful label: 2 of 3 copies are a,1\n")
    assert name('1,relabel,a,"doubtful label: b, looks like a",1\n') != decided
