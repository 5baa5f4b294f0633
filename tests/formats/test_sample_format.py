"""What is laid out as a sample has it is read back as it was predicted; what organisers would refuse is refused."""

import gzip
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.formats.cases import CASES, ROCKS, Case
from toolkit.answers import differences, misfit
from toolkit.errors import UserError
from toolkit.formats.sample_format import SampleFormat
from toolkit.metrics.probabilistic import LogLoss


@pytest.mark.parametrize("name", CASES)
def test_each_form_is_written_as_the_sample_and_read_back_after_it_was_stored(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    form = case.form(tmp_path)
    prediction, path = case.prediction(case.stored()), tmp_path / "s.csv"
    form.write(prediction, path)
    kept = SampleFormat.of(json.loads(json.dumps(form.stored())), form.task, form.metric)
    assert kept.stored() == form.stored()
    found = kept.read(path, prediction.ids)
    assert not misfit(found, prediction.answer) and not differences(found, prediction.answer, 1e-9).any()
    ours, theirs = (
        pd.read_csv(one, sep=form.separator, dtype=str) for one in (path, tmp_path / "sample_submission.csv")
    )
    keys = [form.image, *([form.thing] if form.thing else [])]
    assert list(ours.columns) == list(theirs.columns) and ours[keys].equals(theirs[keys])
    assert form.told().startswith("the submission follows from sample_submission.csv: one row per image")


@pytest.mark.parametrize("name", ["columns of other names", "a column a class", "a row a label", "numbers"])
@given(data=st.data())
@settings(max_examples=20)
def test_values_are_read_by_pandas_as_they_were_predicted(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    case, folder = CASES[name], tmp_path_factory.mktemp("s")
    shape = (2, case.task.channels)
    stored = data.draw(arrays.arrays(np.float16, shape, elements=st.floats(0, 1, width=16)))
    stored[~stored.any(1)] = 0.5
    form, prediction = case.form(folder), case.prediction(stored)
    form.write(prediction, folder / "s.csv")
    table = pd.read_csv(folder / "s.csv")
    values = table[form.value].to_numpy().reshape(2, -1) if form.long else table[list(form.things)].to_numpy()
    assert np.allclose(values, prediction.values[:, form.places], rtol=1e-9, atol=1.1e-15)
    if isinstance(form.metric, LogLoss):
        assert (values > 0).all() and (values < 1).all() and np.allclose(values.sum(1), 1, rtol=0, atol=1e-15)


def test_a_packed_file_has_the_same_bytes_each_time_and_is_read_back(tmp_path: Path) -> None:
    case = CASES["a column a class"]
    form, prediction = case.form(tmp_path), case.prediction(case.stored())
    form.write(prediction, tmp_path / "s.csv")
    plain = (tmp_path / "s.csv").read_bytes()
    for suffix in (".csv.gz", ".csv.zip", ".zip"):
        for name in ("a", "b"):
            form.write(prediction, tmp_path / f"{name}{suffix}")
            assert not differences(form.read(tmp_path / f"{name}{suffix}", case.ids), prediction.answer, 1e-9).any()
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()) == plain
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["a.csv"] and archive.read("a.csv") == plain
    (tmp_path / "cut.csv.gz").write_bytes((tmp_path / "a.csv.gz").read_bytes()[:-9])
    with pytest.raises(UserError, match=r"cut\.csv\.gz can't be read: "):
        form.read(tmp_path / "cut.csv.gz", case.ids)


def test_masks_of_their_own_sizes_are_written_and_read_one_at_a_time(tmp_path: Path) -> None:
    case = CASES["a row a mask"]
    form, rng = case.form(tmp_path), np.random.default_rng(0)
    masks = [rng.integers(0, 4, shape, dtype=np.uint8) for shape in ((3, 7), (9, 2))]
    prediction = case.prediction(case.stored())
    object.__setattr__(prediction, "answered", masks)
    form.write(prediction, tmp_path / "s.csv")
    mask = form.mask_reader(tmp_path / "s.csv", case.ids, np.array([(3, 7), (9, 2)]))
    assert all((mask(row) == one).all() for row, one in enumerate(masks))


BROKEN: list[tuple[str, str, str, str]] = [  # form, what is replaced, by what, what is said
    ("a name", "image,label", "image,Label", "the first line is image,Label, expected image,label"),
    ("a name", ",", ";", "the first line is image;label, expected image,label"),
    ("a name", "1.png,", "1,", "line 2: 1 is not in the test set"),
    ("a name", "2.png,", "1.png,", "line 3: 1.png stands in line 2 already"),
    ("a name", r"2\.png,.*\n", "", "has no line for 2.png; 1 of 2 are missing"),
    ("a name", r"2\.png,\w+\n", "2.png,sick\n3.png,sick\n", "line 4: 3.png is not in the test set"),
    ("a name", r"2\.png,\w+", "2.png,ill", "line 3: label has 'ill', expected healthy,sick"),
    ("a name", r"2\.png,\w+", "2.png,", "line 3: label has '', expected healthy,sick"),
    ("a name", r"2\.png,\w+", "2.png,sick,sick", "can't be read: Error tokenizing data"),
    ("a name", r"2\.png,\w+\n", "2.png,sick\n\n", "line 4:  is not in the test set"),
    ("a place, ids last, in another order", r"\d,2\n", "2,2\n", "line 2: label has '2', expected 0,1"),
    ("a place, ids last, in another order", r"\d,2\n", "1.0,2\n", "line 2: label has '1.0', expected 0,1"),
    ("a flag a class", r"1,\d,\d,\d", "1,1,1,0", "line 2: 2 classes are 1, expected one"),
    ("a flag a class", r"1,\d,\d,\d", "1,1,0.5,0", "line 2: ant is 0.5, expected 0 or 1"),
    ("a probability", r"1,[\d.]+", "1,1.5", "line 2: target is '1.5', expected at most 1"),
    ("a probability", r"1,[\d.]+", "1,-0.1", "line 2: target is '-0.1', expected at least 0"),
    ("a probability", r"1,[\d.]+", "1,", "line 2: target is '', expected a number"),
    ("a probability", r"1,[\d.]+", "1,nan", "line 2: target is 'nan', expected a number"),
    (
        "a column a class",
        r"1,.*\n",
        "1,0.5,0.2,0.2\n",
        "line 2: the probabilities of one image sum to 0.9, expected 1",
    ),
    ("a row a label", "1.jpg_scab", "1.jpg_rust", "line 3: 1.jpg_rust stands in line 2 already"),
    ("two columns of keys", "scab,1", "mould,1", "line 2: 1,mould is not in the test set"),
    ("labels that are given", r"2,.*\n", "2,rust rust\n", "line 3: labels has 'rust' twice"),
    ("labels that are given", r"2,.*\n", "2,rust  scab\n", "line 3: labels has '', expected rust,scab"),
    ("labels by place, with a mark", r"2,.*\n", "2,\n", "labels is blank, expected '-' where no label is given"),
    ("the likeliest", r"2,.*\n", "2,w_1 w_1\n", "line 3: Id has a name twice"),
    ("the likeliest", r"2,.*\n", "2,w_1 w_2 w_3 new_whale\n", "line 3: Id has 4 names, at most 3 count"),
    ("the likeliest", r"2,.*\n", "2,\n", "line 3: Id is blank, expected names of classes"),
    ("an expected grade from 1", r"2,.*\n", "2,0.5\n", "line 3: grade is '0.5', expected at least 1"),
    ("a mask", r"2,.*\n", "2,20 2\n", "line 3: rle_mask: a run ends at pixel 21, the image has 20"),
    ("a mask", r"2,.*\n", "2,1 2 3\n", "line 3: rle_mask: 3 numbers are no pairs"),
    ("a mask along rows, with a mark", r"2,.*\n", "2,\n", "line 3: rle is blank, expected '-1' for an empty mask"),
    ("a column a pixel", r"\n1,", "\n2,", "line 3): the id is '2', expected 1"),
]


@pytest.mark.parametrize(("name", "old", "new", "said"), BROKEN)
def test_what_the_organisers_would_refuse_is_refused_with_its_line(
    name: str, old: str, new: str, said: str, tmp_path: Path
) -> None:
    case = CASES[name]
    form, path = case.form(tmp_path), tmp_path / "s.csv"
    form.write(case.prediction(case.stored()), path)
    text = path.read_text()
    broken = re.sub(old, new, text, count=old != ",")
    assert broken != text
    path.write_text(broken)
    with pytest.raises(UserError, match=re.escape(said)) as raised:
        form.read(path, case.ids)
    assert str(raised.value).startswith(str(path)) and "\n" not in str(raised.value)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    case = CASES["a name"]
    form = case.form(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        form.read(tmp_path / "none.csv", case.ids)
    (tmp_path / "s.csv").write_bytes(b"")
    with pytest.raises(UserError, match="can't be read: No columns"):
        form.read(tmp_path / "s.csv", case.ids)
    (tmp_path / "s.csv").write_bytes("image,label\n1.png,sick\n2.png,sick\n".encode("utf-16"))
    with pytest.raises(UserError, match="can't be read"):
        form.read(tmp_path / "s.csv", case.ids)
    (tmp_path / "s.csv").write_bytes(b"\xef\xbb\xbf" + b"image,label\n2.png,sick\n1.png,healthy\n")
    assert form.read(tmp_path / "s.csv", case.ids).tolist() == [0, 1]  # in another order, with a mark: read by all


def test_a_prediction_of_other_images_than_the_samples_is_not_written(tmp_path: Path) -> None:
    case = CASES["a name"]
    form = case.form(tmp_path)
    other = Case(case.text, case.task, case.metric, ("1", "3"))
    with pytest.raises(UserError, match=r"the test images are others than those in sample_submission\.csv: '3' is in"):
        form.write(other.prediction(other.stored()), tmp_path / "s.csv")


def test_two_rows_that_claim_one_pixel_are_refused(tmp_path: Path) -> None:
    text = "id,c,rle\n1,0,1 1\n1,1,1 1\n2,0,1 1\n2,1,1 1\n"
    form = Case(text, ROCKS, CASES["a mask"].metric).form(tmp_path)
    with pytest.raises(UserError, match="line 3: rle claims pixels that another row claims"):
        form.read(tmp_path / "sample_submission.csv", ("1", "2"))
