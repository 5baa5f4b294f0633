"""What was recognised in a download: facts in words for people, and the same as values for `propose`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from toolkit.formats.run_lengths import By

Sure = Literal["sure", "likely", "guess"]
# classes: one of several, in a column. one_hot: a column a class, one of which is 1. labels: a column a label. list:
# labels in one cell. grades, numbers, heads: as the tasks. masks: pictures. runs: run lengths
Form = Literal["classes", "one_hot", "labels", "list", "grades", "numbers", "heads", "masks", "runs"]

HUGE = 40_000_000  # pixels; photographs have fewer
Cells = Literal["labels", "values", "lists", "runs", "blank"]
Ids = Literal["names", "stems", "paths", "count", "inside", "rows", "other"]


@dataclass(frozen=True)
class Fact:
    """Something that was recognised. why: the evidence for it."""

    what: str
    found: str
    why: str
    sure: Sure


@dataclass(frozen=True)
class Source:
    """Where images lie. files: a folder (`path`, "" for the download itself), or what a `glob` in the download finds.

    array: one of .npy, .npz, HDF5 (`key`). pixels: columns of a table that begin with `key`, of images `shape`.
    bytes: a column `key` of Parquet. pairs: an array of images and their masks.
    names: of pixels and bytes the column that names them.
    """

    kind: Literal["files", "array", "pixels", "bytes", "pairs"]
    path: str
    number: int
    glob: str = ""
    key: str = ""
    shape: tuple[int, ...] = ()
    suffixes: tuple[str, ...] = ()  # in small letters, where the glob finds those of others too
    parts: tuple[str, ...] = ()  # the folders themselves, where the glob finds those of others too; globs of tables
    channels: tuple[str, ...] = ()  # marks in the names of files that are channels of one image
    names: str = ""
    ids: tuple[str, str] = ("", "")  # an array that names those of another array: its file and key
    channels_first: bool = False


@dataclass(frozen=True)
class Pictures:
    """Of images: median height and width, whether they differ in size, channels, and what becomes 0 and 255 where they
    have more than 8 bits.
    """

    height: int
    width: int
    differ: bool
    channels: int
    values: tuple[float, float] | None = None
    window: bool = False  # are they DICOM, which say how they are shown?

    @property
    def huge(self) -> bool:
        """Are they cut into tiles?"""
        return self.height * self.width >= HUGE


@dataclass(frozen=True)
class Sheet:
    """A table. path: within the download; head: its first rows, text by column."""

    path: str
    columns: tuple[str, ...]
    head: Mapping[str, tuple[str, ...]]
    separator: str = ","
    header: bool = True
    encoding: str = "utf-8"
    more: tuple["Sheet", ...] = ()  # further files of it, with the same columns

    @property
    def plain(self) -> bool:
        """Is it read as it is by whatever reads CSV and Parquet files?"""
        return self.separator == "," and self.header and self.encoding == "utf-8" and not self.json

    @property
    def json(self) -> bool:
        return self.path.lower().endswith((".json", ".jsonl", ".ndjson"))


@dataclass(frozen=True)
class Sample:
    """The organisers' sample submission: its columns, what its cells look like, and where its ids come from.

    cells: of the columns behind the first: `labels`, `values`, `lists`, `runs`, `blank`. ids: with the suffix of the
    files (`names`), without (`stems`), with folders (`paths`), the last number in these (`inside`), counted from 0 or
    1 where there are no files (`count`), a row an image and class (`rows`), or `other`.
    """

    path: str
    columns: tuple[str, ...]
    rows: int
    cells: Cells
    ids: Ids
    first: int = 0  # of ids that are counted
    longest: int = 1  # of lists
    alike: bool = False  # is each cell the same?
    named: bool = False  # has its name to be said, as it is called otherwise, or there are several?
    said: frozenset[str] = frozenset()  # names in its cells; none where these are numbers
    ends: tuple[str, ...] = ()  # of ids that are `rows`, what follows images' names


@dataclass(frozen=True)
class Targets:
    """What is predicted and where that is written. names: of classes, labels, numbers.

    path: of a table, a folder of masks or a file of arrays; columns: of the images' names ("": rows are images), then
    of the targets. before, after: what files' names have around the name in the table, or masks around the image's.
    """

    form: Form
    names: tuple[str, ...]
    where: Literal["table", "folders", "levels", "homes", "names", "masks", "array", "pairs"]
    path: str = ""
    columns: tuple[str, ...] = ()
    sheet: Sheet | None = None
    before: str = ""
    after: str = ""
    missing: int = 0  # rows of images that aren't there
    group: str = ""  # a column
    split: tuple[str, tuple[str, ...], tuple[str, ...]] | None = None  # a column, its words for training and for test
    pattern: str = ""  # of labels in names
    heads: tuple[tuple[str, tuple[str, ...]], ...] = ()
    values: Mapping[Any, int] = field(default_factory=dict)  # of pixels of masks; `above` of a label's
    suffix: str = ""  # of masks' files
    unknown: str = ""
    beside: "Beside | None" = None
    gap: str = " "  # between labels in a cell
    sets: bool = False  # does the table name folders, of which each holds the images of a sample?
    drop: int = 0  # folders in front of the names in the table that the download lacks
    origin: str = ""  # in names of images, what several of one origin have in common
    strip: tuple[str, str] = ("", "")  # what images' names begin and end with, and their masks' don't
    within: tuple[str, ...] = ()  # folders that hold masks alone, with names that are all different
    home: str = ""  # Python of the folder of the mask of an image `path`, where they lie in several
    kinds: tuple[str, ...] = ()  # further masks that fit as well
    origins: str = ""  # Python of what the folders of images of one origin are called, of an image `path`
    by: By | None = "columns"  # where pixels of run lengths are counted along; None: nothing says so
    first: int = 1  # of these pixels
    rows: bool = False  # has an image a row for each of its labels?
    title: str = ""  # of what `joined` columns are with `joint` between them, where rows of one such are a sample
    joined: tuple[str, ...] = ()
    joint: str = ""
    in_paths: tuple[str, str] = ("", "")  # a pattern of images' paths whose groups with this between them are names
    repeated: bool = False  # has a name that is taken from paths several images?
    decimal: bool = False  # have numbers a comma?
    group_in: tuple[Sheet, str] | None = None  # another table that has the group's column, and its column of names
    blank: tuple[str, ...] = ()  # cells of the group's column of which each is a group of its own
    levels: tuple[int, ...] = ()  # of the folders, in paths or in a table's names, that are one group
    level: int = 0  # of the folders that are classes
    again: bool = False  # do rows say what others have said?
    unlike: bool = False  # do rows contradict others?
    others: tuple[Sheet, ...] = ()  # tables of further training images, such as those for validation
    one_hot: bool = False  # has an array a column a class?
    groups_at: tuple[str, str] = ("", "")  # an array of groups: its file and key


@dataclass(frozen=True)
class Beside:
    """Columns that say something of training and test images alike. path, names: the table of the test images and the
    column of their names; suffixed: have these the suffix of the files?
    """

    columns: tuple[str, ...]
    path: str
    names: str
    suffixed: bool


@dataclass(frozen=True)
class Listed:
    """A table that lists test images. names: its column of these, around which files' names have before and after;
    ids: of what a submission calls them, "" where it is by these names, several rows of one such being a `sets`.
    """

    sheet: Sheet
    names: str
    ids: str = ""
    sets: bool = False
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class Found:
    """All of it. test_names: which images are test images, where they lie among others or are called otherwise."""

    folder: Path
    facts: tuple[Fact, ...]
    images: Source | None = None
    test: Source | None = None
    test_names: Listed | None = None
    pictures: Pictures | None = None
    targets: Targets | None = None
    sample: Sample | None = None
    metric: str = ""  # that a text of the organisers names
    packed: tuple[str, ...] = ()
