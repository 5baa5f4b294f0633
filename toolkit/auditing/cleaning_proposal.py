"""The cleaning list that follows from what an audit found: one line a proposed action, for a person to edit."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from toolkit.auditing.findings import Findings
from toolkit.auditing.label_errors import CERTAINTY
from toolkit.auditing.tiles import FALSE_SHARE
from toolkit.data.cleaning import (
    COLUMNS,
    CONTRADICTORY,
    COPY,
    DOUBTFUL_LABEL,
    EXACT_COPY,
    LOOKS_LIKE,
    NAME,
    REPEATED_MASK,
    REPEATED_PICTURE,
    TILE,
    UNLIKE,
    UNREADABLE,
)
from toolkit.data.dataset import Dataset
from toolkit.data.groups import REPEATS, chained, connect, kept_together, shared
from toolkit.data.targets import contradict, in_words
from toolkit.outcome import are
from toolkit.task import Classification, Grades, Numbers, Task

OUTLYING = 8.0  # robust standard deviations from which a picture is called unlike the rest
TOO_MANY, HANDFUL = 0.1, 20  # of the pictures: to leave out more, and more than a handful, is for a person to say
MASKS = 2  # that repeat: an intruder has one; of more there is a reason, such as a template
LISTED = 10  # names in one reason
DOUBTFUL_MASK = "doubtful mask"


@dataclass(frozen=True)
class Line:
    """One proposed action on the sample at `row`. confidence: 0 to 1."""

    row: int
    action: str
    value: str
    reason: str
    confidence: float


def propose(dataset: Dataset, task: Task, findings: Findings) -> pd.DataFrame:
    """The list, with the columns of a cleaning list, by index.

    What is certain or does no harm is to be obeyed (`drop`, `group`), the rest only suggested (`drop?`, `relabel?`);
    so is each `drop` where they are TOO_MANY, or would leave nothing of a class. A reason is a kind of finding, a
    colon, and the details. Where samples have names, the list has a column of them.
    """
    lines = _repeats(dataset, task, findings)
    if _too_many(lines, findings, len(dataset.ids)):
        lines = [replace(line, action="drop?") for line in lines]
    lines = _leave_of_each_class(lines, dataset, task)
    lines += [Line(row, "drop", "", f"{UNREADABLE}: {why}", 1.0) for row, why in findings.unreadable.items()]
    settled, dropped = {line.row for line in lines}, np.zeros(len(dataset.ids), bool)
    dropped[[line.row for line in lines if line.action == "drop"]] = True
    lines += [line for line in _groups(dataset, findings, dropped) if not dropped[line.row]]
    lines += _outliers(findings)
    if isinstance(task, Classification | Grades):
        lines += _labels(dataset, task, findings, settled)
    elif task.masks:
        lines += _masks(findings, settled)
    else:
        lines += _doubts(findings, settled)
    table = pd.DataFrame([asdict(line) for line in lines], columns=["row", *COLUMNS[1:]])
    rows = table.pop("row").to_numpy(np.int64)
    table.insert(0, "index", dataset.ids[rows])
    if dataset.names is not None:
        table.insert(1, NAME, dataset.names[rows])
    return table.sort_values(["index", "action"], ignore_index=True).round({"confidence": 3})


def groups_found(dataset: Dataset, findings: Findings, left_out: np.ndarray) -> np.ndarray:
    """Group of each row, int64 (N,): equal pictures that are `kept_together`, copies and neighbouring tiles together.

    left_out: bool (N,), samples that are neither trained on nor scored.
    """
    return _joined(dataset, _together(dataset, findings, left_out), findings.links)


def _together(dataset: Dataset, findings: Findings, left_out: np.ndarray) -> list[np.ndarray]:
    """Rows of equal pictures that share a fold, two or more each."""
    seen = (rows for rows in findings.same if int(rows[0]) not in findings.empty)
    return list(kept_together(seen, dataset.groups, left_out))


def _joined(dataset: Dataset, same: Iterable[np.ndarray], links: pd.DataFrame) -> np.ndarray:
    """Group of each row, int64 (N,): what is in one part, or linked."""
    pairs = links[["left", "right"]].to_numpy(np.int64)
    return connect(len(dataset.images), np.concatenate([chained(same), pairs]))


def _too_many(lines: Sequence[Line], findings: Findings, samples: int) -> bool:
    """Would more than TOO_MANY of the pictures be dropped? One that repeats counts once, as it is one that is lost."""
    lost = {line.row for line in lines if line.action == "drop"}
    again = sum(len(rows) - 1 for rows in findings.same)
    once = sum(max(0, sum(row in lost for row in rows.tolist()) - 1) for rows in findings.same)
    return len(lost) - once > max(HANDFUL, TOO_MANY * (samples - again))


def _leave_of_each_class(lines: list[Line], dataset: Dataset, task: Task) -> list[Line]:
    """With a question in place of each `drop` of a class, or grade, that would lose all its samples."""
    if not isinstance(task, Classification | Grades):
        return lines
    targets = np.asarray(dataset.targets)
    kept = ~np.isin(np.arange(len(targets)), [line.row for line in lines if line.action == "drop"])
    gone = np.setdiff1d(targets, targets[kept])
    return [
        replace(line, action="drop?") if line.action == "drop" and targets[line.row] in gone else line
        for line in lines
    ]


def too_many_to_drop(proposal: pd.DataFrame) -> str:
    """A sentence where what would be left out for being repeated or contradictory is a question; else nothing."""
    kinds = proposal.loc[proposal["action"] == "drop?", "reason"].str.split(":").str[0]
    asked = kinds[kinds.isin((REPEATED_PICTURE, REPEATED_MASK, CONTRADICTORY))]
    if asked.empty:
        return ""
    return (
        f"{are(len(asked), 'sample')} not left out ({', '.join(sorted(set(asked)))}), as there may be a good "
        "reason: look at audit.html, and where there is none accept them"
    )


def _repeats(dataset: Dataset, task: Task, findings: Findings) -> list[Line]:
    """Intruders, and equal pictures whose targets contradict each other: which is right can't be known.

    Of numbers that is only suggested: what was measured twice differs. So is it of what may repeat for a good reason:
    an empty picture, one of several masks.
    """
    lines, action = [], "drop?" if isinstance(task, Numbers) else "drop"
    for rows in findings.same:
        if len(rows) > REPEATS:
            how = "drop?" if int(rows[0]) in findings.empty else "drop"
            lines += [Line(int(row), how, "", f"{REPEATED_PICTURE}: {len(rows)} times", 1.0) for row in rows]
        elif contradict(dataset.targets[rows], task):
            lines += [Line(int(row), action, "", f"{CONTRADICTORY}: {_listed(dataset, rows)}", 1.0) for row in rows]
    how = "drop" if len(findings.masks) <= MASKS else "drop?"
    for rows in findings.masks:
        lines += [Line(int(row), how, "", f"{REPEATED_MASK}: under {len(rows)} pictures", 1.0) for row in rows]
    return lines


def _groups(dataset: Dataset, findings: Findings, left_out: np.ndarray) -> list[Line]:
    """A line for each member of a group, with its surest relation as the reason; a group is named by its first id."""
    same = _together(dataset, findings, left_out)
    group = _joined(dataset, same, findings.links)
    first = {int(name): str(dataset.ids[row]) for row, name in reversed(list(enumerate(group)))}
    called, lines = dataset.called, dict[int, Line]()
    links = findings.links[["left", "right", "kind", "keypoints", "similarity"]].sort_values("similarity")
    for left, right, kind, count, similarity in links.itertuples(index=False):
        for row, other in ((left, right), (right, left)):
            text = f"{COPY} of {called[other]}, {count} keypoints agree, similarity {similarity:.2f}"
            if not count:  # of sets
                text = f"{COPY} of {called[other]}, an image is the same to the last bit"
            sure = float(similarity)
            if kind != "copy":
                text, sure = f"{TILE} of {called[other]}", 1 - FALSE_SHARE
            lines[row] = Line(row, "group", first[int(group[row])], text, sure)
    for rows in same:
        reason = f"{EXACT_COPY} {_listed(dataset, rows)}"
        lines |= {int(row): Line(int(row), "group", first[int(group[row])], reason, 1.0) for row in rows}
    return list(lines.values())


def _listed(dataset: Dataset, rows: np.ndarray) -> str:
    """What those rows are called; names may hold blanks."""
    some, more = rows[:LISTED], f" and {len(rows) - LISTED:,} more" if len(rows) > LISTED else ""
    if dataset.names is None:
        return " ".join(str(name) for name in dataset.ids[some]) + more
    return ", ".join(dataset.names[some].tolist()) + more


def _outliers(findings: Findings) -> list[Line]:
    far = np.flatnonzero(np.nan_to_num(findings.outlyingness) > OUTLYING)
    text = UNLIKE + ": {:.1f} robust standard deviations beyond the usual distance"
    return [Line(int(row), "drop?", "", text.format(findings.outlyingness[row]), 0.5) for row in far]


def _labels(dataset: Dataset, task: Classification | Grades, findings: Findings, settled: set[int]) -> list[Line]:
    """Labels that contradict those of most of their copies, or what was learnt from all others.

    Where no label has most of the copies, which is right can't be known from them.
    """
    lines: dict[int, Line] = {}
    errors, certainty = findings.label_errors, 1 - findings.label_errors.quality
    for row in np.flatnonzero(errors.issue & (np.nan_to_num(certainty) >= CERTAINTY)).tolist():
        given, other = in_words(dataset.targets[row], task), task.classes[int(errors.predicted[row])]
        if given != other:
            reason = f"{DOUBTFUL_LABEL}: {given}{LOOKS_LIKE}{other}"
            lines[row] = Line(row, "relabel?", other, reason, float(certainty[row]))
    for members in shared(_copies(dataset, findings)):
        rows = [row for row in members.tolist() if row not in settled]
        labels = Counter(int(dataset.targets[row]) for row in rows)
        if len(labels) < 2:
            continue
        common, times = labels.most_common(1)[0]
        name_of_common = in_words(np.array(common), task)
        for row in rows:
            label = int(dataset.targets[row])
            if 2 * times <= len(rows):
                named = ", ".join(f"{n} {in_words(np.array(each), task)}" for each, n in labels.most_common(LISTED))
                reason = f"{DOUBTFUL_LABEL}: {len(rows)} copies disagree ({named})"
                lines.setdefault(row, Line(row, "drop?", "", reason, 1 - labels[label] / len(rows)))
            elif label != common:
                reason = f"{DOUBTFUL_LABEL}: {times} of {len(rows)} copies are {name_of_common}"
                lines[row] = Line(row, "relabel?", name_of_common, reason, times / len(rows))
    return [line for row, line in lines.items() if row not in settled]


def _copies(dataset: Dataset, findings: Findings) -> np.ndarray:
    """Which rows show one and the same, int64 (N,), equal where they do.

    Neighbouring tiles of one origin may be of different classes, and so may sets that have an image in common.
    """
    links = findings.links
    copied = links[(links["kind"] == "copy") & ("left_image" not in links)]
    return _joined(dataset, findings.same, copied)


def _doubts(findings: Findings, settled: set[int]) -> list[Line]:
    """What contradicts the predictions, and can't be put right by one class."""
    errors = findings.label_errors
    return [
        Line(row, "drop?", "", f"{DOUBTFUL_LABEL}: {text}", 1 - float(errors.quality[row]))
        for row, text in errors.doubts.items()
        if row not in settled
    ]


def _masks(findings: Findings, settled: set[int]) -> list[Line]:
    errors = findings.label_errors
    reason = f"{DOUBTFUL_MASK}: most of it contradicts the predictions"
    wrong = [row for row in np.flatnonzero(errors.issue).tolist() if row not in settled]
    return [Line(row, "drop?", "", reason, 1 - float(errors.quality[row])) for row in wrong]
