"""What is left out is told in one line, by reason."""

from tests.tiny import Heard
from toolkit.planning.skips import Skips


def test_all_that_were_skipped_since_are_one_line_by_reason() -> None:
    heard = Heard()
    skips = Skips(heard)
    for name, why in (("a", "too little time"), ("b", "no weights"), ("c", "too little time")):
        skips.add(name, why)
    skips.tell()
    skips.tell()
    assert heard.lines == ["skipped a, c: too little time; b: no weights"]
