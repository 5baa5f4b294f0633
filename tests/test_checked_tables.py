"""A CSV that was cut in the middle of a line is told: its readers would take what is missing for blank cells."""

from collections.abc import Callable
from pathlib import Path

import pytest

from toolkit.checked import check_last_line
from toolkit.data.target_tables import target_table
from toolkit.errors import UserError
from toolkit.formats.cells import cells
from toolkit.formats.sample_file import read_sample
from toolkit.images import array_files
from toolkit.images.cache import unreadable
from toolkit.removable import removed_runs
from toolkit.store import Workspace
from toolkit.submission import ledger
from toolkit.task import Labels

WHOLE = "competition,submission,pixel0,row\nmars,1,1,2\nmars/b,0,0,3\n"
CUT = WHOLE.removesuffix(",0,3\n")
READERS: dict[str, Callable[[Path], object]] = {
    "ledger.csv": ledger.read,
    "removed.csv": lambda path: removed_runs(Workspace(path.parent, "")),
    "unreadable.csv": lambda path: unreadable(Workspace(path.parent, "")),
    "train.csv": lambda path: target_table(path, Labels(("submission", "pixel0"), (8, 8, 3))),
    "pixels.csv": lambda path: array_files.opened(path, "pixel"),
    "sample_submission.csv": read_sample,
    "mean.csv": lambda path: cells(path, [["mars"], ["mars/b"]], ("competition",), ("submission", "pixel0", "row")),
}


@pytest.mark.parametrize("name", READERS)
def test_a_table_that_was_cut_in_a_line_is_told_by_each_of_its_readers(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(CUT)
    with pytest.raises(UserError, match=rf"{name} ends in the middle of a line, .* cut short; [a-z]+"):
        READERS[name](path)
    path.write_text(WHOLE if name != "removed.csv" else "run,why\n")
    READERS[name](path)


@pytest.mark.parametrize(
    "content",
    [
        WHOLE.encode().rstrip(),  # an editor that ends no last line
        CUT.encode() + b"\n",  # a person who left cells out
        b"\xef\xbb\xbf" + WHOLE.replace("\n", "\r\n").encode(),
        WHOLE.replace("\n", "\r").encode(),
        b'a,b,c\n1,2,"a text\nthat goes on"',
        b'a,b,c\n1,"2,3",4',
        b"a,b,c",
        b"a,b\n1,2\n\n",
        b"",
        b"PK\x03\x04\x00\n,,,\nx",
    ],
)
def test_other_tables_are_left_to_their_readers(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_bytes(content)
    check_last_line(path, "mend it")
