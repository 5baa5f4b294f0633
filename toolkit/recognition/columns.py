"""Which columns of the training table say what: targets and their form, groups, splits."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from toolkit.data.tables import UNKNOWN
from toolkit.formats.run_lengths import EMPTY
from toolkit.recognition.found import Fact, Form, Sample, Sheet, Sure
from toolkit.recognition.listing import FEW_GROUPS, words
from toolkit.recognition.sheets import cells

GROUPS = (  # the first that is there counts: what is nearer to an origin of images
    *("group", "patient", "subject", "person", "individual", "participant", "case", "eye", "lesion", "nodule"),
    *("tumor", "tumour", "biopsy", "specimen", "animal", "plant"),
    *("slide", "study", "series", "scene", "sequence", "video", "session", "location", "site", "camera", "hospital"),
    *("experiment", "batch", "plate", "plot", "field", "tree", "farm", "donor", "user"),
)
ABOUT = {"age", "sex", "gender", "type", "kind", "status", "weight", "height", "size", "diagnosis", "species"}
SPLITS = ("split", "subset", "partition", "set", "phase", "usage")
TARGETS = {
    *("label", "labels", "class", "target", "category", "diagnosis", "dx", "species", "breed", "y", "grade", "level"),
}
HOW = {"type", "source", "status", "confidence"}  # of a target: `dx_type` beside `dx`
GRADES = {"grade", "severity", "level", "stage", "diagnosis", "rating", "isup", "degree", "quality"}
IDENTITIES = {"id", "identity", "individual", "whale", "landmark", "hotel", "class", "label", "category"}
FOLDS = {"fold", "folds", "kfold"}
BLANK = {"", "?", "-", "unknown", *UNKNOWN}
COMMA = re.compile(r"-?\d+(,\d+)?")
RUNS = re.compile(r"\d+ \d+( \d+ \d+)*")
SEVERAL = 3  # rows of a class, where it is a number that may be measured
MEASURED = {"age", "count", "counts", "number", "score", "price", "weight", "size", "length", "width", "year", "area"}
MOST_GRADES = 12
SHOWN = 6
GAPS = ("|", ";", ", ", ",", " ")  # between labels in a cell
SELDOM = 0.02  # of the cells
ENOUGH = 0.8  # of labels between blanks, which come back alone or beside others


@dataclass(frozen=True)
class Read:
    """What targets' columns say."""

    form: Form
    names: tuple[str, ...]
    columns: tuple[str, ...]
    why: str
    sure: Sure
    heads: tuple[tuple[str, tuple[str, ...]], ...] = ()
    unknown: str = ""
    gap: str = " "  # between labels in a cell
    decimal: bool = False  # have numbers a comma?


def group_of(folder: Path, sheet: Sheet, columns: Sequence[str]) -> tuple[str, str, tuple[str, ...]]:
    """A column whose equal cells are of one origin, or "", what is to be said of the choice, and its words for an
    origin that isn't known.
    """
    for word in GROUPS:
        for column in columns:
            if word in words(column) and not ABOUT & set(words(column)):
                found = cells(folder, sheet, column)
                blank = tuple(one for one in pd.unique(found) if one.strip().lower() in BLANK)
                filled = found[~found.isin(blank)]
                if is_origin(filled):
                    why = f"{filled.nunique():,} {column} for {len(filled):,} rows, of which one occurs several times"
                    alone = len(found) - len(filled)
                    why += f"; {alone:,} rows have none, each of which is a group of its own" if alone else ""
                    return column, why, blank
    return "", "", ()


def is_origin(values: pd.Series) -> bool:
    """Are there enough for folds, and fewer than images?"""
    return FEW_GROUPS <= values.nunique() < 0.95 * len(values)


def asked_for(folder: Path, sheet: Sheet, columns: Sequence[str], sample: Sample | None) -> tuple[str, ...]:
    """Columns that the sample has as well or, where it has none of them, the one that its cells are taken from."""
    if sample is None:
        return ()
    both = tuple(column for column in sample.columns[1:] if column in columns)
    return both or tuple(column for column in columns if _has_said(cells(folder, sheet, column), sample))[:1]


def has_asked(
    folder: Path, sheet: Sheet, columns: Sequence[str], sample: Sample | None, wanted: Sequence[str]
) -> bool:
    """Does it say what people named or, without that, what the sample asks for?"""
    if wanted or sample is None:
        return bool(wanted) and set(wanted) <= set(columns)
    if asked_for(folder, sheet, columns, sample) or (len(sample.ends) > 1 and set(sample.ends) <= set(columns)):
        return True
    return _titled(folder, sheet, columns, sample.columns[1:], "") is not None


def _has_said(values: pd.Series, sample: Sample) -> bool:
    """Are the names in the sample's cells, or all but one that may stand for none of them, among these?"""
    lacks = sample.said - {part for one in pd.unique(values) for part in (one, *one.split())}
    return bool(sample.said) and len(lacks) <= (len(sample.said) > 1)


def split_of(
    folder: Path, sheet: Sheet, columns: Sequence[str]
) -> tuple[str, tuple[str, ...], tuple[str, ...]] | None:
    """A column that says which rows are for training and which for test, and its words for both."""
    for column in columns:
        if set(words(column)) & set(SPLITS):
            values = [str(one) for one in pd.unique(cells(folder, sheet, column))]
            train = tuple(one for one in values if one.lower().startswith(("train", "val", "dev")))
            test = tuple(one for one in values if one.lower().startswith("test"))
            if train and len(train) + len(test) == len(values):
                return column, train, test
    return None


def targets(
    folder: Path, sheet: Sheet, columns: Sequence[str], sample: Sample | None, wanted: Sequence[str] = ()
) -> Read | None:
    """What is predicted, among columns that may be targets; None: none can be. wanted: those that people named."""
    if wanted:
        return _form(folder, sheet, tuple(wanted), sample, f"{shown(wanted)}, as you say", "sure")
    if not columns:
        return None
    said = sample.columns[1:] if sample else ()
    both = tuple(column for column in said if column in columns)
    if sample and len(sample.ends) > 1 and set(sample.ends) <= set(columns):
        both = tuple(column for column in columns if column in sample.ends)
    runs = [column for column in columns if _is_runs(cells(folder, sheet, column))]
    if runs and (not both or runs[0] in both):
        return _runs(folder, sheet, columns, runs[0])
    if both:
        why = f"{shown(both)} {'stand' if len(both) > 1 else 'stands'} in the sample submission too"
        return _form(folder, sheet, both, sample, why, "sure")
    from_cells = asked_for(folder, sheet, columns, sample)
    if from_cells and sample:
        return _form(folder, sheet, from_cells, sample, f"its values are those in {sample.path}", "sure")
    titled = _titled(folder, sheet, columns, said, _name(sample))
    if titled is not None:
        return titled
    columns = [column for column in columns if not FOLDS & set(words(column))] or columns
    yes_no = tuple(column for column in columns if _is_yes_no(cells(folder, sheet, column)))
    by_word = tuple(column for column in columns if is_called(column, sheet))
    by_word = tuple(sorted(by_word, key=lambda column: bool(HOW & set(words(column)))))
    if len(yes_no) > 1 and len(by_word) != 1:
        return _form(folder, sheet, yes_no, sample, "columns of 0 and 1", "likely")
    if len(columns) == 1:
        why, odd = f"{columns[0]} is the only other column", bool(sample and sample.said)
        why += f", but has none of what {sample.path} says" if odd and sample else ""
        return _form(folder, sheet, tuple(columns), sample, why, "guess" if odd else "sure")
    if by_word:
        return _form(folder, sheet, by_word[:1], sample, f"{by_word[0]} is called like a target", "likely")
    if columns:
        return _form(folder, sheet, tuple(columns[-1:]), sample, "the last column", "guess")
    return None


def _titled(folder: Path, sheet: Sheet, columns: Sequence[str], said: Sequence[str], name: str) -> Read | None:
    """Classes that are a sample's columns, of a column that has all of them, rather of one called like a target."""
    found = []
    for column in columns:
        values = cells(folder, sheet, column)
        order = _as_columns(values, said)
        if order:
            lacks = len(order) - len({*pd.unique(values)} - {""})
            found.append(((not FOLDS & set(words(column)), -lacks, is_called(column, sheet)), column, order))
    if not found:
        return None
    best, column, order = max(found, key=lambda one: one[0])
    rivals = [other for rank, other, _ in found if rank == best and other != column]
    why = f"its values are the columns of {name}" + (f", as those of {shown(rivals)} are" if rivals else "")
    return Read("classes", order, (column,), why, "guess" if rivals else "sure")


def is_called(column: str, sheet: Sheet) -> bool:
    """Is it called like a target? `y` beside `x` is a place."""
    own = TARGETS & set(words(column))
    return bool(own) and not (own == {"y"} and any(words(one) == [*words(column)[:-1], "x"] for one in sheet.columns))


def _form(
    folder: Path, sheet: Sheet, columns: tuple[str, ...], sample: Sample | None, why: str, sure: Sure
) -> Read | None:
    found = [cells(folder, sheet, column) for column in columns]
    commas = [_with_points(part) for part in found]
    if any(part is not None for part in commas):
        plain = [part if with_points is None else with_points for part, with_points in zip(found, commas, strict=True)]
        made = _of_cells(columns, plain, sample, f"{why}; with decimal commas", sure)
        return replace(made, decimal=True) if made and made.form == "numbers" else made
    return _of_cells(columns, found, sample, why, sure)


def _with_points(part: pd.Series) -> pd.Series | None:
    """Numbers with a decimal comma as others are written; None where they aren't such."""
    filled = part[part.str.strip() != ""]
    if (
        not filled.str.contains(",", regex=False).any()
        or not filled.map(lambda cell: bool(COMMA.fullmatch(cell))).all()
    ):
        return None
    return part.str.replace(",", ".", regex=False)


def _of_cells(
    columns: tuple[str, ...], found: list[pd.Series], sample: Sample | None, why: str, sure: Sure
) -> Read | None:
    if len(columns) > 1:
        if all(map(_is_yes_no, found)):
            total = np.sum([part.map(_number).to_numpy() for part in found], axis=0)
            if (total == 1).all():
                return Read("one_hot", columns, columns, f"{why}; in each row one of them is 1", sure)
            return Read("labels", columns, columns, f"{why}; 0 and 1, several in a row", sure)
        classes = sample is not None and sample.cells == "labels" and all(map(_repeats, found))
        if all(map(_is_numbers, found)) and not classes and not all(_places(part) for part in found):
            return Read("numbers", columns, columns, f"{why}; numbers", sure)
        heads = tuple((name, _classes(part)) for name, part in zip(columns, found, strict=True))
        return Read("heads", tuple(name for name, _ in heads), columns, f"{why}; few values each", "guess", heads)
    return _single(columns[0], found[0], sample, why, sure)


def _single(column: str, part: pd.Series, sample: Sample | None, why: str, sure: Sure) -> Read | None:
    filled = part[part.str.strip() != ""]
    if not len(filled):
        return None
    if _is_yes_no(part) and (sample is None or sample.cells != "labels" or sample.alike):
        names = (column,)
        return Read("labels", names, names, f"{why}; 0 or 1", sure)
    if _is_numbers(filled):
        places = _places(filled)
        values = filled.map(_number)
        whole = bool((values == values.round()).all())
        likely: Sure = "likely" if sure == "sure" else sure
        if places and len(places) <= MOST_GRADES and GRADES & set(words(column)):
            return Read("grades", places, (column,), f"{why}; whole numbers from 0 to {len(places) - 1}", likely)
        decimal = sample is not None and sample.cells == "values" and len(sample.columns) == 2
        alike = (
            sample is not None and sample.cells == "labels" and _repeats(filled) and not MEASURED & set(words(column))
        )
        is_class = bool(places or alike or IDENTITIES & set(words(column)))
        if not whole or (decimal and filled.nunique() > 2) or not is_class:
            return Read("numbers", (column,), (column,), f"{why}; numbers", sure)
        only = alike and not places and not IDENTITIES & set(words(column))
        why += "; whole numbers as in the sample submission, each in several rows" if only else ""
        found = f"{why}; {filled.nunique()} whole numbers"
        return Read("classes", _classes(filled), (column,), found, "guess" if only else likely)
    unknown, lists = "", sample is not None and sample.cells == "lists"
    several = lists and sample is not None and not sample.alike
    for gap in GAPS:
        named, listed = _listed(filled, gap, lists, several)
        if named:
            said = f"{why}; cells list labels" + ("" if gap == " " else f" with {gap!r} between them")
            return Read("list", named, (column,), said, listed, gap=gap)
    classes = _classes(filled)
    if len(classes) < 2:
        return None
    new = [one for one in classes if one.lower().startswith(("new_", "unknown", "unidentified"))]
    if lists and len(new) == 1:
        unknown, classes = new[0], tuple(one for one in classes if one != new[0])
    if len(classes) > 0.9 * len(filled) and len(filled) > 20:
        return Read("classes", classes, (column,), f"{why}; but nearly each row has its own", "guess", unknown=unknown)
    return Read("classes", classes, (column,), f"{why}; {len(classes):,} names", sure, unknown=unknown)


def _listed(cells: pd.Series, gap: str, lists: bool, surely: bool) -> tuple[tuple[str, ...], Sure]:
    """The labels that cells list with `gap` between them, () where they don't seem to, and how surely. lists: does the
    sample list several; surely: are they others in each row?
    """
    if not lists and cells.str.contains(gap, regex=False).mean() <= SELDOM:
        return (), "guess"
    parted = {tuple(one for one in cell.split(gap) if one) for cell in pd.unique(cells)}
    several = [set(parts) for parts in parted if len(parts) > 1]
    alone = {parts[0] for parts in parted if len(parts) == 1}
    times = Counter(one for parts in {frozenset(parts) for parts in several} for one in parts)
    every = {one for parts in parted for one in parts}
    recurring = [one in alone or times[one] > 1 for parts in several for one in parts]
    # words of one name, `polar bear`, are told from labels by coming back
    needed = len(recurring) * (ENOUGH if gap == " " else 0.5)
    if not several or sum(recurring) < needed or (gap == " " and not surely and len(parted) < len(every)):
        return (), "guess"
    alike = len({len(parts) for parts in parted}) == 1  # may be names of several words after all
    return tuple(sorted({one.replace(" ", "_") for one in every})), "guess" if alike else "likely"


def _runs(folder: Path, sheet: Sheet, columns: Sequence[str], runs: str) -> Read:
    blank = int(cells(folder, sheet, runs).str.strip().isin(EMPTY).sum())
    why = f"{runs} holds pairs of start and length, {blank:,} blank"
    for column in columns:
        values = cells(folder, sheet, column)
        if (
            column != runs
            and 1 < values.nunique() <= 7
            and {"class", "label", "classid", "type"}
            & {
                *words(column),
                column.lower(),
            }
        ):
            return Read("runs", _classes(values), (column, runs), f"{why}; {column} says of which class", "likely")
    return Read("runs", ("object",), (runs,), why, "sure")


def _as_columns(values: pd.Series, said: Sequence[str]) -> tuple[str, ...]:
    """Classes in the order of a sample's columns, where these are the values, or end with them."""
    every = {one for one in pd.unique(values) if one != ""}
    if len(said) < 2 or not every or len(every) > len(said):
        return ()
    if every <= set(said):
        return tuple(said)
    start = said[0][: next((at for at, both in enumerate(zip(*said, strict=False)) if len(set(both)) > 1), 0)]
    ends = tuple(one.removeprefix(start) for one in said)
    return ends if start and every <= set(ends) else ()


def _is_runs(values: pd.Series) -> bool:
    values = values.str.strip()
    filled = values[~values.isin(EMPTY)].head(200)
    fits = filled.map(lambda cell: RUNS.fullmatch(cell) is not None)
    return bool(len(filled) and fits.mean() > 0.9 and filled.str.count(" ").max() > 1)


def _is_yes_no(values: pd.Series) -> bool:
    return set(pd.unique(values)) <= {"0", "1", "0.0", "1.0", ""} and values.nunique() > 1


def _is_numbers(values: pd.Series) -> bool:
    filled = values[values.str.strip() != ""]
    return bool(len(filled)) and bool(np.isfinite(pd.to_numeric(filled, errors="coerce")).all())


def _repeats(values: pd.Series) -> bool:
    """Are they whole numbers from 0, of which most occur in several rows?"""
    filled = pd.to_numeric(values[values.str.strip() != ""], errors="coerce")
    whole = bool(len(filled)) and bool(((filled >= 0) & (filled == filled.round())).all())
    return whole and len(filled) >= SEVERAL * filled.nunique()


def _number(cell: str) -> float:
    return float(cell) if cell.strip() else float("nan")


def _places(values: pd.Series) -> tuple[str, ...]:
    """`0`, `1`, … where the values are these, each of them."""
    every = set(pd.unique(values)) - {""}
    numbers = tuple(map(str, range(len(every))))
    return numbers if every == set(numbers) and len(every) > 1 else ()


def _classes(values: pd.Series) -> tuple[str, ...]:
    every = sorted({str(one) for one in pd.unique(values)} - {""})
    return tuple(sorted(every, key=float)) if _is_numbers(values) else tuple(every)


def fact_of(read: Read, sheet: Sheet) -> Fact:
    kinds = {
        "classes": "one of several classes",
        "one_hot": "one of several classes, a column each",
        "labels": "yes or no" if len(read.names) == 1 else "yes/no labels, a column each",
        "list": "labels, listed in a cell",
        "grades": "grades in their order",
        "numbers": "numbers",
        "heads": "several heads",
        "runs": "masks as run lengths",
    }
    return Fact("targets", f"{kinds[read.form]}: {shown(read.names)}", f"{sheet.path}: {read.why}", read.sure)


def shown(names: Sequence[str]) -> str:
    """The first of them, and how many there are."""
    more = f", … ({len(names):,})" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _name(sample: Sample | None) -> str:
    return sample.path if sample else ""
