"""The cleaning list that follows from what an audit found: one line a proposed action, for a person to edit."""

from collections import Counter

import numpy as np
import pandas as pd

from toolkit.competition import Classification, Task
from toolkit.dataset import Dataset, hash_sample
from toolkit.duplicates import connect
from toolkit.findings import REPEATS, Findings
from toolkit.tiles import FALSE_SHARE

COLUMNS = ("index", "action", "value", "reason", "confidence")
PECULIAR = 6.0  # robust standard deviations from which a picture is called unlike the rest
SUSPICION = 0.9  # below, a doubted label is not worth a look
Line = tuple[int, str, str, str, float]


def propose(dataset: Dataset, task: Task, findings: Findings) -> pd.DataFrame:
    """The list, with the columns COLUMNS, by index.

    `drop` and `group` are obeyed by `folds`; with a question mark an action is only suggested.
    """
    lines = _repeats(dataset, findings)
    dropped = {line[0] for line in lines}
    lines += [line for line in _groups(dataset, findings) if line[0] not in dropped]
    lines += _peculiar(dataset, findings)
    lines += _labels(dataset, task, findings, dropped)
    return pd.DataFrame(sorted(lines, key=lambda line: line[:2]), columns=list(COLUMNS))


def _repeats(dataset: Dataset, findings: Findings) -> list[Line]:
    """Intruders, and equal pictures whose targets contradict each other: which is right can't be known."""
    lines: list[Line] = []
    for rows in findings.same:
        if len(rows) > REPEATS:
            lines += [(int(dataset.ids[row]), "drop", "", f"one picture {len(rows)} times", 1.0) for row in rows]
        elif len({hash_sample(dataset.targets[row]) for row in rows}) > 1:
            listed = " ".join(str(dataset.ids[row]) for row in rows)
            lines += [(int(dataset.ids[row]), "drop", "", f"copies differ: {listed}", 1.0) for row in rows]
    for rows in findings.masks:
        lines += [(int(dataset.ids[row]), "drop", "", f"one mask under {len(rows)} pictures", 1.0) for row in rows]
    return lines


def groups_found(dataset: Dataset, findings: Findings) -> np.ndarray:
    """Group of each row, int64 (N,): equal pictures, copies and neighbouring tiles together."""
    pairs = [(int(rows[0]), int(row)) for rows in findings.same for row in rows[1:]]
    pairs += findings.links[["left", "right"]].to_numpy().tolist()
    return connect(len(dataset.images), pairs)


def _groups(dataset: Dataset, findings: Findings) -> list[Line]:
    group = groups_found(dataset, findings)
    size = np.bincount(group)
    first = {int(name): int(dataset.ids[row]) for row, name in reversed(list(enumerate(group)))}
    equal = {int(row): rows for rows in findings.same for row in rows}
    best: dict[int, Line] = {}
    for left, right, kind, _, count, similarity, _ in findings.links.sort_values("similarity").itertuples(index=False):
        for row, other in ((left, right), (right, left)):
            text = f"copy of {dataset.ids[other]}: {count} keypoints agree, similarity {similarity:.2f}"
            sure = float(similarity)
            if kind != "copy":
                text, sure = f"continues in {dataset.ids[other]}", 1 - FALSE_SHARE
            value = f"{first[int(group[row])]}"
            best[row] = (int(dataset.ids[row]), "group", value, text, round(sure, 3))
    for row in np.flatnonzero(size[group] > 1):
        if row in equal:
            listed = " ".join(str(dataset.ids[other]) for other in equal[row])
            best[row] = (int(dataset.ids[row]), "group", str(first[int(group[row])]), f"exact copies: {listed}", 1.0)
    return list(best.values())


def _peculiar(dataset: Dataset, findings: Findings) -> list[Line]:
    return [
        (
            int(dataset.ids[row]),
            "drop?",
            "",
            f"unlike the rest: {findings.peculiar[row]:.1f} standard deviations from the usual",
            0.5,
        )
        for row in np.flatnonzero(np.nan_to_num(findings.peculiar) > PECULIAR)
    ]


def _labels(dataset: Dataset, task: Task, findings: Findings, dropped: set[int]) -> list[Line]:
    """Labels that contradict their group, or what was learnt from the others."""
    doubts = findings.doubts
    lines: list[Line] = []
    contradicted: set[int] = set()
    if isinstance(task, Classification):
        group = groups_found(dataset, findings)
        for name in np.flatnonzero(np.bincount(group) > 1):
            rows = [row for row in np.flatnonzero(group == name) if int(dataset.ids[row]) not in dropped]
            said = Counter(int(dataset.targets[row]) for row in rows)
            if len(said) > 1:
                common, times = said.most_common(1)[0]
                for row in rows:
                    if dataset.targets[row] != common:
                        reason = f"{times} of its {len(rows)} copies are {task.classes[common]}"
                        contradicted.add(row)
                        lines.append(
                            (int(dataset.ids[row]), "relabel?", task.classes[common], reason, round(times / len(rows), 3))
                        )
    for row in np.flatnonzero(doubts.wrong & (np.nan_to_num(doubts.suspicion) >= SUSPICION)):
        index, sure = int(dataset.ids[row]), round(float(doubts.suspicion[row]), 3)
        if index in dropped or row in contradicted:
            continue
        if isinstance(task, Classification):
            given, other = task.classes[int(dataset.targets[row])], task.classes[int(doubts.likelier[row])]
            if given != other:
                lines.append((index, "relabel?", other, f"labelled {given}, looks like {other}", sure))
        else:
            lines.append((index, "drop?", "", "most of its mask contradicts the prediction", sure))
    return lines
