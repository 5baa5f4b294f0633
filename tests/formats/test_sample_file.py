"""Where the organisers' sample submission lies, packed or not."""

import gzip
import zipfile
from pathlib import Path

import pytest

from toolkit.errors import UserError
from toolkit.formats.sample_file import find_sample, read_sample

TEXT = "id;label\r\n007;ant\r\n008;\r\n"


@pytest.mark.parametrize(
    "name",
    [
        "sample_submission.csv",
        "sampleSubmission.csv",
        "SampleSubmission.csv.gz",
        "stage1_sample_submission.csv",
        "sample_submission.csv.zip",
        "submission_sample.csv",
        "sample_sub.tsv",
        "data/sample_submission.csv",
    ],
)
def test_it_is_found_and_its_cells_are_text(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    for other in ("train.csv", "submission.csv", ".sample_submission.csv", "resample.csv"):
        (tmp_path / other).write_text("id,label\n1,2\n")
    data = b"\xef\xbb\xbf" + TEXT.encode()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("sample_submission.csv", data)
            archive.writestr("__MACOSX/._sample_submission.csv", b"\0")
    else:
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    found = find_sample(tmp_path)
    assert found == path
    sample = read_sample(found)
    assert sample.titles == ("id", "label") and sample.separator == ";" and sample.rows == 2
    assert sample.cells["id"].tolist() == ["007", "008"] and sample.cells["label"].tolist() == ["ant", ""]


def test_of_several_one_has_to_be_named(tmp_path: Path) -> None:
    assert find_sample(tmp_path) is None and find_sample(tmp_path / "none") is None
    for stage in "12":
        (tmp_path / f"sample_submission_stage{stage}.csv").write_text(TEXT)
    with pytest.raises(UserError, match=r"has 2 sample submissions, .*stage1.*stage2.*dialect=Dialect\(file="):
        find_sample(tmp_path)
    assert find_sample(tmp_path, "sample_submission_stage2.csv") == tmp_path / "sample_submission_stage2.csv"
    with pytest.raises(UserError, match=r"no sample submission x\.csv, as Dialect"):
        find_sample(tmp_path, "x.csv")
    with gzip.open(tmp_path / "sample_submission.csv.gz", "wb") as file:
        file.write(TEXT.encode())
    (tmp_path / "sample_submission.csv").write_text(TEXT)
    assert find_sample(tmp_path) == tmp_path / "sample_submission.csv"


def test_lines_that_a_spreadsheet_left_empty_are_none_and_its_own_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sample_submission.csv"
    path.write_text("id,label\nt1,a\nt2,\n,\n,\n")
    assert read_sample(path).cells["id"].tolist() == ["t1", "t2"]
    path.write_text("id,label\nt1,a\n", encoding="utf-16")
    with pytest.raises(UserError, match=r"can't be read: it isn't UTF-8; save it as such$"):
        read_sample(path)


def test_a_packed_sample_that_is_cut_short_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(TEXT.encode())
    (tmp_path / "sample_submission.csv.gz").write_bytes(whole[:-9])
    with pytest.raises(UserError, match=r"sample_submission\.csv\.gz can't be read: "):
        read_sample(tmp_path / "sample_submission.csv.gz")
    with zipfile.ZipFile(tmp_path / "sample_submission.zip", "w") as archive:
        archive.writestr("a.csv", TEXT)
        archive.writestr("b.csv", TEXT)
    with pytest.raises(UserError, match="it holds 2 files, expected one"):
        read_sample(tmp_path / "sample_submission.zip")
