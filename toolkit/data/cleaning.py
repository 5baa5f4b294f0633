"""The cleaning list: what a person decided about single samples. Nothing is deleted; folds leave out or join.

`cleaning.csv` has the columns index, action, value, reason, confidence and, where samples have names, name, which may
stand in place of the index. Actions: `drop` leaves a sample out of
training, and where it `leaves_the_score` also out of every fold; samples with `group` lines of equal value share a
fold (in plain folds unless the reason is one of the audit's own); `relabel` gives the class `value` (its name or its
index) to train on, where its reason is that predictions suggested it only if a fold's own judge does so too. With a
question mark (`drop?`) a line is a suggestion: checked like the others, but not obeyed until a person takes the
question mark away.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit.data.data_folder import open_dataset
from toolkit.data.naming import Naming, same_name
from toolkit.errors import UserError, listed
from toolkit.store import MANIFEST, Workspace, hash_json
from toolkit.task import UNKNOWN, Classification, Grades, Task

COLUMNS = ("index", "action", "value", "reason", "confidence")
NAME, FAULT = "name", "fault"
ACTIONS = ("drop", "group", "relabel")
UNSCORED = "unscored"  # the value of a `drop` line by which a person says that the test set can't hold the like
# reasons of the audit to drop a sample that no prediction has a part in; a sample dropped for its doubtful label would
# leave the score better for its having been predicted wrongly
REPEATED_PICTURE, REPEATED_MASK, UNLIKE = "repeated picture", "repeated mask", "unlike the rest"
CONTRADICTORY, UNREADABLE = "contradictory copies", "unreadable file"
WITHOUT_PREDICTIONS = (REPEATED_PICTURE, REPEATED_MASK, UNLIKE, CONTRADICTORY, UNREADABLE)
DOUBTFUL_LABEL, LOOKS_LIKE = "doubtful label", ", looks like "  # the reason of a label that predictions suggest
SHOWN = 10  # faults in one message
# How the reasons begin that an audit gives for its `group` lines
EXACT_COPY, COPY, TILE = FOUND = ("exact copy:", "copy:", "neighbouring tile:")


def read_cleaning(workspace: Workspace, ids: np.ndarray, task: Task) -> pd.DataFrame:
    """The whole list, suggestions too, checked; empty where there is none.

    Columns as in the file but for names: index int64, the others text, but the value of a relabel line is its class's
    index.
    UserError with one sentence for each faulty line.
    """
    known = {str(name) for name in ids}
    labels: dict[str, tuple[str, int]] = {}
    faults, rows = [], []
    for number, line in _lines(workspace):
        fault = line.pop(FAULT, "") or _fault(line, known, task)
        if not fault and line["action"] == "relabel":
            line["value"] = _class_index(line["value"], task)
            value, before = labels.setdefault(line["index"], (line["value"], number))
            if value != line["value"]:
                fault = f"row {line['index']} has another label in line {before}; keep one of the two lines"
        if fault:
            faults.append(f"{workspace.cleaning} line {number}: {fault}")
        rows.append(line)
    if len(faults) > SHOWN:
        faults[SHOWN:] = [f"… and {len(faults) - SHOWN} more lines"]
    if faults:
        raise UserError("\n".join(faults))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"index": "int64"})


def without_found_relatives(cleaning: pd.DataFrame) -> pd.DataFrame:
    """The list without the `group` lines that an audit proposed: those that a person wrote, or gave another reason."""
    return cleaning[(cleaning["action"] != "group") | ~cleaning["reason"].str.startswith(FOUND)]


def cleaning_hash(workspace: Workspace) -> str | None:
    """Names what is obeyed: index, action and value, in any order; None where nothing is.

    Confidences and suggestions don't count, nor reasons but for whether a `drop` leaves the score by them, or a
    `relabel` is what predictions suggested, so editing them leaves folds and runs valid.
    """

    def obeyed(line: dict[str, Any]) -> str:
        if line["action"] == "relabel" and was_suggested(line["reason"]):
            return f"{line['value']} suggested"
        if line["action"] != "drop":
            return str(line["value"])
        return "" if leaves_the_score(line["value"], line["reason"]) else "scored"

    lines = {(line["index"], line["action"], obeyed(line)) for _, line in _lines(workspace)}
    kept = sorted(line for line in lines if line[1] in ACTIONS)
    return hash_json(kept) if kept else None


def lines_by_action(workspace: Workspace) -> set[tuple[str, str]]:
    """Index, as text, and action of all lines, suggestions too; UserError where the file can't be read."""
    return {(line["index"], line["action"]) for _, line in _lines(workspace)}


def samples_and_actions(workspace: Workspace) -> list[list[str]]:
    """Index, as text, and action of all lines in their order, whether they are suggestions or obeyed."""
    return [[line["index"], line["action"].removesuffix("?")] for _, line in _lines(workspace)]


def leaves_the_score(value: str, reason: str) -> bool:
    """Of a `drop` line: is the sample neither validated nor scored, or is it only trained on no more?"""
    return value == UNSCORED or reason.partition(":")[0].strip() in WITHOUT_PREDICTIONS


def was_suggested(reason: str) -> bool:
    """Of a `relabel` line: did predictions suggest the label, and not a person or the copies?"""
    return reason.startswith(f"{DOUBTFUL_LABEL}:") and LOOKS_LIKE in reason


def _fault(line: dict[str, str], known: set[str], task: Task) -> str:
    """What is wrong with the line, or nothing."""
    action = line["action"].removesuffix("?")
    if not line["index"]:
        return "it has neither an index nor a name"
    if line["index"] not in known:
        return f"the training file has no row {line['index']!r}"
    if action not in ACTIONS:
        return f"action {line['action']!r} is not one of {', '.join(ACTIONS)} (with ? behind it: a suggestion)"
    if action == "drop" and line["value"] not in ("", UNSCORED):
        return f"action drop has no value but {UNSCORED!r}, not {line['value']!r}"
    if action == "group" and not line["value"]:
        return "action group needs a value, the same for all its members"
    if action == "relabel" and task.masks:
        return "action relabel is for labels; a mask can be dropped, not relabelled"
    if action == "relabel" and not isinstance(task, Classification | Grades):
        return "action relabel is for one class or grade an image; drop the sample, or mend the organisers' file"
    if action == "relabel" and not _class_index(line["value"], task):
        return f"action relabel needs a class as its value, not {line['value']!r}; there are {listed(task.classes)}"
    return ""


def _class_index(value: str, task: Task) -> str:
    """The index, as text, of a class given by name or index; empty where there is no such class."""
    if isinstance(task, Classification) and task.unknown is not None and value == task.unknown:
        return str(UNKNOWN)
    if value in task.classes:
        return str(task.classes.index(value))
    is_number = value.isascii() and value.isdecimal() and str(int(value)) == value
    return value if is_number and int(value) < len(task.classes) else ""


def _lines(workspace: Workspace) -> list[tuple[int, dict[str, Any]]]:
    """The file's lines by number, with the index of those that have a name alone; what is wrong with one: FAULT."""
    lines = _parsed(workspace.cleaning)
    named = [line for _, line in lines if line.get(NAME) and FAULT not in line]
    if not named or not (workspace.data / MANIFEST).exists():
        return lines
    dataset = open_dataset(workspace.data)
    ids, names = np.asarray(dataset.ids), dataset.called
    row_of = {str(name): row for row, name in enumerate(ids)}
    naming = Naming(ids, names)
    for line in named:
        name, row = line[NAME], row_of.get(line["index"])
        if row is not None and not same_name(str(names[row]), name):
            line[FAULT] = f"row {line['index']} is called {str(names[row])!r}, not {name!r}; keep index or name"
        elif not line["index"]:
            try:
                line["index"] = str(ids[naming.row(name)])
            except UserError as error:
                line[FAULT] = str(error)
    return lines


def _parsed(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """As `_lines`, with the names that are in the file."""
    if not path.exists():
        return []
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            head = [name.strip() for name in next(reader, [])]
            found = []
            start = reader.line_num + 1  # a quoted text may run over several lines
            for fields in reader:
                if fields:
                    line = dict.fromkeys(COLUMNS, "") | {
                        # blanks around a sample's name may be its own
                        name: text.strip() if name != NAME or not text.strip() else text
                        for name, text in zip(head, fields, strict=False)
                    }
                    if len(fields) != len(head):
                        line[FAULT] = (
                            f"it has {len(fields)} fields, the head of the file has another number; "
                            "quote a text that holds a comma"
                        )
                    found.append((start, line))
                start = reader.line_num + 1
    except (csv.Error, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read ({error}); fix it, or remove it and run the audit again") from None
    if not ({"action", "value"} <= set(head) and {"index", NAME} & set(head)):
        raise UserError(f"{path} must have the columns {', '.join(COLUMNS)}, it has {', '.join(head) or 'none'}")
    if twice := [name for name in head if name and head.count(name) > 1]:
        raise UserError(f"{path} has two columns {twice[0]}; take one of them out")
    return found
