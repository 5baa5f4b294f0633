"""What a sample submission can't say of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from toolkit.formats.run_lengths import By


@dataclass(frozen=True)
class Dialect:
    """Words about the organisers' sample submission, each of which may be left out.

    file: its name, where there are several. id: the column with the images' ids. positive: the class whose probability
    a single column is (otherwise the one that the column is called by, else the second). columns: what the sample
    calls classes, labels, numbers or heads, by their names in the task: {"c0": "safe driving"}. by, first: how pixels
    of run lengths are counted. empty: what is said of an empty mask, or of no label at all.
    """

    file: str = ""
    id: str = ""
    positive: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    by: By = "columns"
    first: int = 1
    empty: str | None = None


PLAIN = Dialect()
