"""The sample submission of a download, and a metric that a text beside it names."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from toolkit.formats.sample_file import NAME, USUAL
from toolkit.recognition.columns import RUNS
from toolkit.recognition.found import Cells, Fact, Ids, Sample, Sheet
from toolkit.recognition.listing import Listing, stem, words
from toolkit.recognition.sheets import cells, is_number, rows_of

METRICS = {  # in texts of organisers, the first that occurs; names as of `--metric`
    "kappa": r"quadratic.{0,20}kappa",
    "log_loss": r"log(arithmic)?[ -]?loss|cross[ -]entropy",
    "auc": r"\bAUC\b|area under the (ROC|receiver)",
    "average_precision": r"average precision|\bAP\b",
    "map@5": r"\bMAP ?@ ?5\b|mean average precision",
    "iou": r"\bm?IoU\b|intersection over union|Jaccard",
    "dice": r"\bdice\b",
    "f1": r"\bF1\b|F1-score",
    "rmse": r"\bRMSE\b|root mean squared error",
    "mae": r"\bMAE\b|mean absolute error",
    "balanced_accuracy": r"balanced accuracy",
    "accuracy": r"\baccuracy\b",
}
LIKE_SAMPLES = {
    "sample",
    "example",
    "submission",
    "template",
    "predict",
    "predictions",
    "abgabe",
    "beispiel",
    "exemple",
}
NAMES = {"id", "ids", "image", "name", "names", "file", "files", "filename", "filenames", "index", "indices"}
MOST = 1000  # columns of a sample that isn't called so
ROWS = 3000  # of a sample that are looked at
TEXTS = {".md", ".txt", ".rst", ".html"}


def is_sample(sheet: Sheet) -> bool:
    """Is it called like a sample submission, or like a submission?"""
    name = sheet.path.rpartition("/")[2]
    return NAME.search(name) is not None or name.lower().startswith(("submission", "sub_format"))


def sample_among(
    folder: Path, tables: Sequence[Sheet], tests: Sequence[str], homes: Sequence[str] = ()
) -> Sample | None:
    """The organisers' sample; tests: files of test images, where they are known; homes: folders of these."""
    called = [sheet for sheet in tables if is_sample(sheet) and len(sheet.columns) > 1]
    called = called or [sheet for sheet in tables if _looks_like_sample(folder, sheet, tables)][:1]
    if not called:
        return None
    called.sort(key=lambda sheet: (NAME.search(sheet.path) is None, not sheet.path.lower().endswith(USUAL)))
    found, name = called[0], called[0].path.rpartition("/")[2]
    others = [sheet for sheet in called[1:] if NAME.search(sheet.path)]
    several = NAME.search(name) is None or (bool(others) and name.lower() != USUAL)
    return replace(_sample_of(folder, found, tests, homes), named=several)


def naming(folder: Path, tables: Sequence[Sheet], said: Mapping[str, Sequence[str]]) -> tuple[Sample | None, str, str]:
    """The organisers' sample, which of several columns or arrays has its ids ("": none), and why that is in doubt.

    said: what each calls test images that are rows of a file, no two the same.
    """
    made = sample_among(folder, tables, ())
    keys = [one for one in said if NAMES & set(words(one))]
    if made is None:
        return None, (keys or [""])[0], ""
    sheet = next(one for one in tables if one.path == made.path)
    title = next((one for one in made.columns if cells(folder, sheet, one).is_unique), made.columns[0])
    ids = set(cells(folder, sheet, title))
    fitting = [one for one, names in said.items() if ids <= _bare(names)]
    fitting = [one for one in fitting if one == title] or sorted(fitting, key=lambda one: one not in keys)
    if fitting:
        name, *others = fitting
        made = sample_among(folder, tables, said[name]) or made
        rivals = [one for one in others if list(said[one]) != list(said[name])]
        doubt = f"{', '.join([name, *rivals])} have the ids of {made.path}, the first is taken" if rivals else ""
        return replace(made, ids="paths" if made.ids == "paths" else "stems"), name, doubt
    for one in keys:
        parted = sample_among(folder, tables, said[one])
        if parted and parted.ids == "rows":
            return parted, one, ""
    counted = bool(keys) and made.ids == "count"
    doubt = f"{keys[0]} has other names than the ids of {made.path}, which are taken for places" if counted else ""
    return made, "", doubt


def _bare(names: Sequence[str]) -> set[str]:
    """They, and without the suffix of a file, which a number has none of."""
    return {*names, *(stem(one) for one in names if not is_number(one))}


def _looks_like_sample(folder: Path, sheet: Sheet, tables: Sequence[Sheet]) -> bool:
    """Does it say the same, or nothing, of each image, under titles that another table has with more to say?"""
    first, *others = sheet.columns
    if (
        not others
        or len(others) > MOST
        or any(len({*sheet.head[one]}) > 1 for one in others)
        or sheet.path.endswith((".json", ".parquet"))
    ):
        return False
    name = Path(sheet.path).name
    ids = cells(folder, sheet, first)
    if len(ids) < 2 or ids.nunique() < len(ids) or any(cells(folder, sheet, one).nunique() > 1 for one in others):
        return False
    if set(words(name)) & LIKE_SAMPLES:
        return True
    known = [one for one in tables if one is not sheet and set(others) <= set(one.columns)]
    return any(cells(folder, one, others[0]).nunique() > 1 for one in known)


def _sample_of(folder: Path, sheet: Sheet, tests: Sequence[str], homes: Sequence[str]) -> Sample:
    ids = cells(folder, sheet, sheet.columns[0])
    kind, first = _ids(ids.tolist(), [*tests, *homes])
    ends = _ends(ids.tolist(), tests, homes) if kind == "other" else ()
    kind = "rows" if ends else kind
    behind = cells(folder, sheet, sheet.columns[-1])
    filled = [cell for cell in behind.head(2000).tolist() if cell.strip()]
    looks: Cells = "blank"
    if filled and all(map(is_number, filled)) and len(sheet.columns) > 2:
        looks = "values"
    elif filled and all(map(is_number, filled)):
        looks = "values" if any("." in cell or "e" in cell for cell in filled) else "labels"
    elif filled and np.mean([RUNS.fullmatch(cell) is not None for cell in filled]) > 0.9:
        looks = "runs"
    elif filled:
        looks = "lists" if max(len(cell.split()) for cell in filled) > 1 else "labels"
    longest = max((len(cell.split()) for cell in filled), default=1)
    alike = len(set(filled)) == 1
    names = {part for cell in set(filled) for part in ([cell] if looks == "labels" else cell.split())}
    said = frozenset(names if looks in ("labels", "lists") and not all(map(is_number, names)) else ())
    return Sample(
        sheet.path, sheet.columns, rows_of(folder, sheet), looks, kind, first, longest, alike, said=said, ends=ends
    )


def _ids(ids: list[str], tests: Sequence[str]) -> tuple[Ids, int]:
    """How a sample's ids come from the test images' files."""
    names, stems = {path.rpartition("/")[2] for path in tests}, {stem(path) for path in tests}
    some = ids[:1000]
    ways: tuple[tuple[Ids, set[str]], ...] = (("names", names), ("stems", stems))
    for kind, known in ways:
        if known and sum(one in known for one in some) > 0.5 * len(some):
            return kind, 0
    paths = {one for path in tests for one in _tails(path)}
    if any("/" in one for one in some) and sum(one in paths for one in some) > 0.5 * len(some):
        return "paths", 0
    if tests:
        return ("inside" if ids and set(ids) == _numbers(stems) else "other"), 0
    if ids[0] in ("0", "1") and ids == [str(at + int(ids[0])) for at in range(len(ids))]:
        return "count", int(ids[0])
    return "other", 0


def _ends(ids: Sequence[str], tests: Sequence[str], homes: Sequence[str]) -> tuple[str, ...]:
    """What follows the images' names in ids of a row an image and class, the same for each image; else none."""
    names = {name for path in tests for name in (path.rpartition("/")[2], stem(path))} - {*homes}
    of_image: dict[str, list[str]] = {}
    for one in ids[:ROWS]:
        parts = [at for at, sign in enumerate(one) if sign == "_" and one[:at] in names]
        if not parts:
            return ()
        of_image.setdefault(one[: parts[-1]], []).append(one[parts[-1] + 1 :])
    found = list(of_image.values())
    return tuple(found[0]) if found and len(found[0]) > 1 and all({*one} == {*found[0]} for one in found[:-1]) else ()


def _tails(path: str) -> list[str]:
    """`c.png`, `b/c.png` and `a/b/c.png` of the last, and the same without suffix."""
    parts = path.split("/")
    found = ["/".join(parts[at:]) for at in range(len(parts))]
    return [*found, *(one.rpartition(".")[0] for one in found)]


def _numbers(stems: Collection[str]) -> set[str]:
    """The last number in each of these names, without zeros in front; none where two have the same."""
    found = {str(int(parts[-1])) for one in stems if (parts := re.findall("[0-9]+", one))}
    return found if len(found) == len(stems) else set()


def fact_of(sample: Sample | None, named: str = "") -> Fact:
    """named: where else its ids stand, where test images are rows of a file."""
    if sample is None:
        return Fact("sample submission", "none", "no table is called so", "sure")
    called = {
        "names": "ids are the names of the test images' files",
        "stems": "ids are the names of the test images' files without suffix",
        "paths": "ids are paths of test images",
        "count": f"ids are counted from {sample.first}",
        "inside": "ids are the last numbers in the names of the test images' files",
        "rows": "a row an image and class",
        "other": "its ids are no names of test images that were found",
    }
    shown = ", ".join(sample.columns[:5]) + (", …" if len(sample.columns) > 5 else "")
    why = f"ids are those in {named}" if named and sample.ids != "rows" else called[sample.ids]
    why += f"; its cells are {sample.cells}"
    return Fact("sample submission", f"{sample.path}: {sample.rows:,} rows of {shown}", why, "sure")


def metric_said(listing: Listing) -> tuple[str, str]:
    """A metric that a text names, and the text; both empty where none does."""
    for path in listing.of(TEXTS)[:20]:
        if path.count("/") > 1 or not {"readme", "description", "overview", "evaluation", "rules", "competition"} & {
            *words(path)
        }:
            continue
        text = (listing.folder / path).read_bytes()[: 1 << 18].decode("utf-8", "replace")
        for name, pattern in METRICS.items():
            if re.search(pattern, text, re.IGNORECASE if name not in ("average_precision",) else 0):
                return name, path
    return "", ""
