"""verb: make or show the split: which sample is validated when.

    python -m toolkit.folds competitions/mars --folds 5

Groups stay whole. Folds are as even as a greedy assignment makes them in the number of samples, and for
each class in its images and, for masks, its pixels. Leaves `folds.parquet` (index, fold, group).
"""

import argparse
from typing import TYPE_CHECKING, Any

from toolkit import console
from toolkit.store import Workspace, atomic, hash_file

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from toolkit.competition import Competition


def folds(competition: "Competition", workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """Make the table unless it was made from the same data, cleaning, number and seed; show it."""
    import pandas as pd

    from toolkit.dataset import data_hash, open_dataset
    from toolkit.split import make_folds, read_cleaning

    dataset = open_dataset(workspace.data)
    inputs = {
        "data": data_hash(workspace.data),
        "cleaning": hash_file(workspace.cleaning) if workspace.cleaning.exists() else None,
        "folds": options.folds,
        "seed": options.seed,
    }
    table = pd.read_parquet(workspace.folds) if workspace.folds.exists() else None
    if table is None or table.attrs != inputs:
        if table is not None and workspace.train.exists():
            console.warn("the folds are made anew; runs on the old ones stay on disk but join no blend with new ones")
        cleaning = read_cleaning(workspace, dataset.ids)
        table = make_folds(dataset.targets, dataset.ids, dataset.groups, competition.task, cleaning, inputs)
        with atomic(workspace.folds) as partial:
            table.to_parquet(partial, index=False)
    return _show(competition, dataset.targets, table)


def _show(competition: "Competition", targets: "np.ndarray", table: "pd.DataFrame") -> dict[str, Any]:
    from toolkit.dataset import class_counts
    from toolkit.split import LEFT_OUT, folds_hash

    number = int(table["fold"].max()) + 1
    parts = [targets[(table["fold"] == k).to_numpy()] for k in range(number)]
    counts = [class_counts(part, competition.task) for part in parts]
    for name, in_folds in zip(competition.task.classes, zip(*counts, strict=True), strict=True):
        if min(in_folds) == 0:
            console.warn(f"class {name!r} is missing from a fold: it occurs in too few groups")
    rows = [["samples", *(f"{len(part):,}" for part in parts)]]
    for i, name in enumerate(competition.task.classes):
        rows.append([name, *(f"{total[i] / max(total.sum(), 1):.2%}" for total in counts)])
    left_out = int((table["fold"] == LEFT_OUT).sum())
    groups = table.loc[table["fold"] >= 0, "group"].nunique()
    title = f"{competition.name}: {number} folds, {groups:,} groups, {left_out:,} samples left out"
    console.table(title, ["", *(f"fold {k}" for k in range(number))], rows)
    return {"folds": number, "samples": [len(part) for part in parts], "left_out": left_out, "hash": folds_hash(table)}


def add_options(made: argparse.ArgumentParser) -> None:
    made.add_argument("--folds", type=_at_least_two, default=5, metavar="K", help="default: 5")


def _at_least_two(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of folds; there must be at least 2")
    return int(text)


if __name__ == "__main__":
    made = console.parser("folds", "Make or show the split: which sample is validated when.")
    add_options(made)
    console.main(made, folds)
