"""What a sample submission can't say, or says of something else, ends in one sentence before anything is trained."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.formats.cases import CASES, DAMAGE, FINDINGS, LEAF, ROCKS, SHAPE, THREE, Case
from toolkit import MAP, Accuracy, Classification, Dialect, LabelF1, Labels, LogLoss, MeanDice, MeanIoU, RocAuc
from toolkit.errors import UserError
from toolkit.formats.recognition import sample_format
from toolkit.formats.sample_format import SampleFormat
from toolkit.metrics.heads import WeightedMacroRecall
from toolkit.metrics.metric import Metric
from toolkit.task import Heads, Segmentation, Task

NAMES = Classification(("great ant", "great bee"), SHAPE)
TWO = "id,label\n1,ant\n2,bee\n"


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (
            Case("id,label\n1,ant\n2,wasp\n", THREE, Accuracy()),
            "column 'label' has 'wasp', expected one of 'ant', 'bee', 'cat'",
        ),
        (Case("id,label\n1,4\n2,0\n", THREE, Accuracy()), "column 'label' has '4', expected one of"),
        (
            Case("id,label\n1,0.5\n2,0.5\n", THREE, Accuracy()),
            "a metric of probabilities would need numbers, accuracy needs",
        ),
        (Case(TWO, THREE, LogLoss()), "log loss needs the probabilities of 3 classes, which are one column each"),
        (Case(TWO, LEAF, LogLoss()), "column 'label' has 'ant', expected a number, as log loss needs values"),
        (
            Case("id,p\n1,0\n2,0\n", LEAF, LogLoss(), dialect=Dialect(positive="ill")),
            "positive='ill') is none of healthy",
        ),
        (Case("id,ant,bee\n1,0,0\n2,0,0\n", THREE, LogLoss()), "has columns ant, bee and none for 'cat' of the task"),
        (Case("id,x,y,z\n1,0,0,0\n2,0,0,0\n", THREE, LogLoss()), 'say which by Dialect(columns={"x": "ant", …})'),
        (Case("id,c3,c4,c5\n1,0,0,0\n2,0,0,0\n", THREE, LogLoss()), "column 'c3' is none of 'ant'"),
        (
            Case(TWO, THREE, Accuracy(), dialect=Dialect(columns={"x": "wasp"})),
            "has 'wasp', which is none of ant, bee",
        ),
        (
            Case("id,a,b\n1,0,0\n2,0,0\n", THREE, MAP(3)),
            "2 columns an image, a, b; expected one, the list of the likeliest",
        ),
        (
            Case("id,l\n1,none\n2,none\n", FINDINGS, LabelF1()),
            "if it stands for no label at all, say Dialect(empty='none')",
        ),
        (
            Case("id,l\n1,\n2,\n", Labels(("a b", "c"), SHAPE), LabelF1()),
            "with ' ' between them, which 'a b' has in it",
        ),
        (Case("id,rust,scab\n1,a,0\n2,b,0\n", FINDINGS, RocAuc()), "column 'rust' has 'a', expected a number, as"),
        (Case("id,rle\n1,\n2,\n", DAMAGE, MeanDice()), "of rust, scab no column says which a row's mask is"),
        (
            Case("id,rle\n1,-\n2,-1\n", ROCKS, MeanIoU()),
            "where there are no run lengths; say what stands for an empty mask",
        ),
        (
            Case("id,c,rle\n1,rust,\n2,rust,\n", DAMAGE, MeanDice()),
            "has masks of rust and none of 'scab': mend the task's",
        ),
        (Case("id,l\n1,ant bee cat\n2,ant\n", THREE, MAP(2)), "column 'l' lists 3 names, MAP@2 looks at fewer"),
        (Case("id,label\n1,ant\n2,bee\n3,bee\n", THREE, Accuracy()), "id '3': there is no such test image"),
        (Case(TWO, THREE, Accuracy(), ("1", "2", "3")), "of the test images '3' it has no row: leave them out by"),
        (
            Case("id,label\n1,ant\n4,bee\n", THREE, Accuracy()),
            "id '4': there is no such test image; of the test images '2'",
        ),
        (
            Case("id,label\n1,ant\n2,bee\n2,ant\n", THREE, Accuracy()),
            "has 2 rows of id '2', and no other column has another",
        ),
        (Case("id,label\n007,ant\n008,bee\n", THREE, Accuracy(), (7, 8)), "zeros before a number count"),
        (Case(TWO, THREE, Accuracy(), (0, 1)), "they are counted from 1 there: test_ids=np.arange(1, 3)"),
        (Case(TWO, THREE, Accuracy(), ("x", "y")), "let `load` say test_ids=…, or Dialect(id=…) the column"),
        (Case(TWO, THREE, Accuracy(), dialect=Dialect(id="image")), "has no column 'image', it has id, label"),
        (Case("id,p\n1_rust,0\n1_scab,0\n2_rust,0\n", FINDINGS, RocAuc()), "each class: '2_scab' is missing"),
        (Case("id,p\n1_rust,0\n1_scab,0\n9_rust,0\n", FINDINGS, RocAuc()), "but not one of each of the 2 test images"),
        (
            Case("id,c,p\n1,rust,0\n1,scab,0\n2,rust,0\n", FINDINGS, RocAuc()),
            "has 2 rows of id '1', and no other column",
        ),
        (
            Case("id,c,p,q\n1,rust,0,0\n1,scab,0,0\n2,rust,0,0\n2,scab,0,0\n", FINDINGS, RocAuc()),
            "2 columns to be filled in",
        ),
        (
            Case("id,p\n1_rust,0\n1_mould,0\n2_rust,0\n2_mould,0\n", FINDINGS, RocAuc()),
            "'mould' is none of 'rust', 'scab'",
        ),
        (Case("id\n1\n2\n", THREE, Accuracy()), "has the one column 'id', expected"),
        (Case("id,label\n", THREE, Accuracy()), "has no rows, expected"),
        (Case("id,a,a\n1,0,0\n2,0,0\n", THREE, Accuracy()), "has two columns 'a'"),
        (Case("", THREE, Accuracy()), "can't be read: "),
        (Case("id,label\n1,ant,x\n2,ant,x\n", THREE, Accuracy()), "its rows have 3 columns, its first line 2"),
    ],
)
def test_it_is_said_which_column_what_was_expected_and_what_to_do(case: Case, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(said)) as raised:
        case.form(tmp_path)
    assert "\n" not in str(raised.value)
    assert "sample_submission.csv" in str(raised.value) or "Dialect(" in str(raised.value)


@pytest.mark.parametrize(
    ("title", "places"),
    [("target", (1,)), ("healthy", (0,)), ("is_sick", (1,)), ("Sick probability", (1,)), ("healthy_or_sick", (1,))],
)
def test_one_probability_is_of_the_class_that_the_column_is_called_by_or_of_the_second(
    title: str, places: tuple[int, ...], tmp_path: Path
) -> None:
    form = Case(f"id,{title}\n1,0.5\n2,0.5\n", LEAF, RocAuc()).form(tmp_path)
    assert form.places == places
    assert form.told().endswith(f"a probability in {title} ({LEAF.classes[places[0]]})")


@pytest.mark.parametrize(
    ("text", "task", "metric", "ids", "said"),
    [
        (
            "ImageId,Runs,ClassId\na.jpg,1 9,1\na.jpg,1 9,2\nb.jpg,1 9,1\nb.jpg,1 9,2\n",
            DAMAGE,
            MeanDice(),
            "ab",
            "(rust, scab)",
        ),
        ("Image_Label,Runs\na.jpg_scab,1 1\na.jpg_rust,1 1\n", DAMAGE, MeanDice(), ["a.jpg"], "in Runs (scab, rust)"),
        ("ID,Label\nID_0f_scab,0.5\nID_0f_rust,0.5\n", FINDINGS, LogLoss(), ["ID_0f"], "in Label (scab, rust)"),
        ("ImageId,Label\n1,0\n2,0\n", Classification(tuple("0123"), SHAPE), Accuracy(), "12", "one class in Label"),
        ("image_id,label\nx.jpg,2\ny.jpg,2\n", THREE, Accuracy(), "xy", "one class in label ('0' is ant)"),
        ("UID,Scab - Abnormal,Rust - Abnormal\n1.2.3,0,0\n", FINDINGS, RocAuc(), ["1.2.3"], "(scab, rust)"),
        ("name,invasive\n1,0.5\n2,0.5\n", Classification(("0", "1"), SHAPE), RocAuc(), "12", "in invasive (1)"),
        ("img,rle_mask\na_01.jpg,1 1\n", ROCKS, MeanDice(), ["a_01"], "run lengths in rle_mask (rock)"),
        ("id,predicted\na,\nb,\n", ROCKS, MeanDice(), "ab", "run lengths in predicted (rock)"),
    ],
)
def test_layouts_that_many_competitions_have(
    text: str, task: Task, metric: Metric, ids: Sequence[str], said: str, tmp_path: Path
) -> None:
    assert Case(text, task, metric, tuple(ids)).form(tmp_path).told().endswith(said)


def test_run_lengths_count_in_one_of_two_ways() -> None:
    with pytest.raises(ValueError, match="by='row' and first=1, expected columns or rows, and 0 or 1"):
        Dialect(by="row")  # type: ignore[arg-type]


def test_what_the_sample_calls_classes_can_be_said(tmp_path: Path) -> None:
    columns = {"A": "great ant", "B": "great bee"}
    form = Case("id,label\n1,A\n2,B\n", NAMES, Accuracy(), dialect=Dialect(columns=columns)).form(tmp_path)
    assert form.words == (("A", "B"),) and form.cell == "class"
    rows = "id,p\n1_A,0\n1_B,0\n2_A,0\n2_B,0\n"
    assert Case(rows, NAMES, LogLoss(), dialect=Dialect(columns=columns)).form(tmp_path).places == (0, 1)


def test_names_of_images_are_matched_without_folder_and_suffix_where_that_tells_them_apart(tmp_path: Path) -> None:
    text = "id,label\ntest/b.jpg,ant\ntest/a.png,ant\n"
    assert [*Case(text, THREE, Accuracy(), ("a", "b")).form(tmp_path).ids.items()] == [
        ("b", "test/b.jpg"),
        ("a", "test/a.png"),
    ]
    text = "id,label\na,ant\na.b,ant\n"
    assert [*Case(text, THREE, Accuracy(), ("a.b", "a")).form(tmp_path).ids] == ["a", "a.b"]
    with pytest.raises(UserError, match=r"they are called 'a\.png', 'a\.jpg', the sample's id has"):
        Case("id,label\na,ant\nb,ant\n", THREE, Accuracy(), ("a.png", "a.jpg")).form(tmp_path)


def test_many_images_of_many_labels_are_recognised(tmp_path: Path) -> None:
    labels, ids = tuple(f"l_{at}" for at in range(20)), tuple(f"{at:05}" for at in range(3000))
    text = "\n".join(["id,p", *(f"{one}_{label},0.5" for one in ids for label in labels)])
    form = Case(text, Labels(labels, SHAPE), RocAuc(), ids).form(tmp_path)
    assert form.things == labels and form.between == "_" and len(form.ids) == 3000


def test_another_order_of_the_test_images_is_no_other_form(tmp_path: Path) -> None:
    for name, case in CASES.items():
        if name != "a column a pixel":
            one, other = case.form(tmp_path), replace(case, ids=case.ids[::-1]).form(tmp_path)
            assert one.stored() == other.stored()


@pytest.mark.parametrize("filler", ["0", "3", "9"])
def test_classes_that_are_numbers_are_written_as_they_are_called_whatever_fills_the_sample(
    filler: str, tmp_path: Path
) -> None:
    path = tmp_path / "sample_submission.csv"
    path.write_text(f"id,label\na,{filler}\nb,{filler}\n")
    for names in (("1", "2", "3", "4"), ("17", "203", "4")):
        made = sample_format(path, Classification(names, SHAPE), Accuracy(), ["a", "b"])
        assert made.words == (names,)


def test_the_sample_of_a_hidden_test_is_filled_in_as_the_visible_one(tmp_path: Path) -> None:
    task, path = Classification(("a", "b", "c"), SHAPE), tmp_path / "sample_submission.csv"

    def form(text: str, task: Task, metric: Metric) -> SampleFormat:
        path.write_text(text)
        return sample_format(path, task, metric, re.findall("^[w-z]", text, re.MULTILINE))

    for cells, words in (("123", ("1", "2", "3")), ("aab", ("a", "b", "c"))):
        known = form("id,label\nx,{}\ny,{}\nz,{}\n".format(*cells), task, Accuracy())
        for filler in "01":  # is 0 or 1 the first, are they names?
            made = form(f"id,label\nw,{filler}\n", task, Accuracy()).as_written_in(known)
            assert made.words == (words,) and made.ids == {"w": "w"}
    two = Heads((("one", ("p", "q")), ("two", ("r", "s"))), SHAPE)
    known = form("id,one,two\nx,2,r\ny,1,s\n", two, WeightedMacroRecall())
    made = form("id,two,one\nz,0,0\n", two, WeightedMacroRecall()).as_written_in(known)
    assert made.things == ("two", "one") and made.words == (("r", "s"), ("1", "2"))
    mask = Segmentation(("sky", "sea"), (4, 4, 3))
    known = form("id,runs\nx,1 2\ny,-1\n", mask, MeanDice())
    assert form("id,runs\nz,1 2\n", mask, MeanDice()).as_written_in(known).empty == "-1"
