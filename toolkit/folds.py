"""verb: make or show the split: which sample is validated when.

    python -m toolkit.folds competitions/mars --folds 5 --repeats 3 --holdout 0.1

Groups stay whole, the cleaning list is obeyed. Folds are as even as a search makes them in the number of
samples and, for each class, in its images and, for masks, its pixels. Leaves `folds.parquet` (index, fold,
group, label, and `fold_1`, `fold_2`, … for repeats): what everything later trains on is the column `fold`; and
`leaks.png`, the most alike pictures on two sides of a fold's boundary.
"""

import argparse
from typing import TYPE_CHECKING, Any

from toolkit import console
from toolkit.store import Workspace, atomic

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from toolkit.competition import Competition
    from toolkit.data.dataset import Dataset


def folds(competition: "Competition", workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """Make the table unless it was made from the same data, cleaning and options; show it."""
    from toolkit.data.cleaning import cleaning_hash, read_cleaning
    from toolkit.data.dataset import data_hash, open_dataset, relabel
    from toolkit.data.folds import describe, folds_hash, make_folds, relabels, stored_folds, with_equal_pictures

    dataset = open_dataset(workspace.data)
    cleaning = read_cleaning(workspace, dataset.ids, competition.task)
    inputs = {
        "data": data_hash(workspace.data),
        "cleaning": cleaning_hash(workspace),
        "folds": options.folds,
        "seed": options.seed,
        "repeats": options.repeats,
        "holdout": options.holdout,
    }
    known = stored_folds(workspace)
    if known is not None and known.attrs == inputs:
        table = known
    else:
        groups = with_equal_pictures(dataset.groups, dataset.images)
        table = make_folds(dataset.targets, dataset.ids, groups, competition.task, cleaning, inputs)
        if known is not None and workspace.train.exists() and folds_hash(known) != folds_hash(table):
            console.warn("the folds are made anew; runs on the old ones stay on disk but join no blend with new ones")
        with atomic(workspace.folds) as partial:
            table.to_parquet(partial, index=False)
    _warn_of_repetition(table, options.repeats)
    suggested = int(cleaning["action"].str.endswith("?").sum())
    if suggested:
        console.say(f"{workspace.cleaning}: {suggested:,} suggestions are not obeyed; take away a ? to obey that line")
    shown = _show(competition, describe(relabel(dataset.targets, relabels(table)), competition.task), table)
    return shown | {"leaks": _report_leaks(dataset, table, workspace)}


def _report_leaks(dataset: "Dataset", table: "pd.DataFrame", workspace: Workspace) -> int | None:
    """Show the closest pair across each fold's boundary; how many pairs of one origin are divided, None: not known."""
    from toolkit.auditing.leaks import closest_pairs, divided_links, picture_of_pairs
    from toolkit.pages.pictures import write_png

    fold = table["fold"].to_numpy()
    pairs = closest_pairs(dataset, fold, workspace.evidence)
    if not pairs:
        console.say("no leak report: the audit has left no evidence here; run `python -m toolkit.audit` first")
        return None
    rows = [
        [
            f"fold {pair.fold}",
            f"{dataset.ids[pair.validated]}",
            f"{dataset.ids[pair.trained_on]}",
            f"{pair.cosine:.2f}",
            "one origin" if pair.leak else "different",
        ]
        for pair in pairs
    ]
    console.table("most alike across the boundary", ["validated", "row", "trained on", "cosine", "verified as"], rows)
    path = workspace.folder / "leaks.png"
    write_png(path, picture_of_pairs(dataset, pairs))
    console.say(f"{path}: these pairs")
    divided = divided_links(fold, workspace.evidence)[["left", "right"]].to_numpy().tolist()
    divided += [[pair.validated, pair.trained_on] for pair in pairs if pair.leak]
    leaks = len({(min(pair), max(pair)) for pair in divided})
    if leaks:
        console.warn(
            f"{leaks:,} pairs of one origin lie on two sides of a fold: the local score will be too good; "
            f"put their `group` lines back into {workspace.cleaning}"
        )
    return leaks


def _show(competition: "Competition", contents: "np.ndarray", table: "pd.DataFrame") -> dict[str, Any]:
    """Print what each fold holds; contents as `describe` returns them."""
    import numpy as np

    from toolkit.data.folds import HELD_OUT, LEFT_OUT, folds_hash
    from toolkit.task import Segmentation

    fold = table["fold"].to_numpy()
    number = int(fold.max()) + 1
    held, left = int((fold == HELD_OUT).sum()), int((fold == LEFT_OUT).sum())
    parts = [*range(number), *([HELD_OUT] if held else [])]
    samples = np.array([(fold == k).sum() for k in parts])
    counts = np.array([contents[fold == k].sum(0) for k in parts])  # (parts, columns)
    classes = competition.task.classes
    rows = [_row("samples", samples, [f"{n:,}" for n in samples], number)]
    for i, name in enumerate(classes):
        sizes = counts[:, i - len(classes)]  # of the last columns: labels, or pixels
        shares = [f"{share:.2%}" for share in sizes / np.maximum(counts[:, -len(classes) :].sum(1), 1)]
        rows.append(_row(name, sizes, shares, number))
        if isinstance(competition.task, Segmentation):
            rows.append(_row("  images", counts[:, i], [f"{n:,}" for n in counts[:, i]], number))
        _warn_of_missing(name, counts[:number, i], contents[:, i] > 0, table)
    groups = table.loc[fold >= 0, "group"].nunique()
    title = f"{competition.name}: {number} folds, {groups:,} groups, {left:,} samples left out"
    columns = ["", *(f"fold {k}" for k in range(number)), *(["holdout"] if held else []), "uneven by"]
    console.table(title + (f", {held:,} held out" if held else ""), columns, [row for row, _ in rows])
    relabelled = int(table["label"].notna().sum())
    if relabelled:
        console.say(f"{relabelled:,} samples have another label than in the file")
    return {
        "folds": number,
        "samples": samples[:number].tolist(),
        "left_out": left,
        "held_out": held,
        "relabelled": relabelled,
        "uneven": max(uneven for _, uneven in rows),
        "hash": folds_hash(table),
    }


def _row(name: str, counts: "np.ndarray", texts: list[str], number: int) -> tuple[list[str], float]:
    """The line of the table, and the largest deviation of a fold's count from the mean of the folds, relative."""
    mean = counts[:number].mean()
    uneven = float(abs(counts[:number] / mean - 1).max()) if mean else 0.0
    return [name, *texts, f"{uneven:.1%}"], uneven


def _warn_of_missing(name: str, counts: "np.ndarray", held: "np.ndarray", table: "pd.DataFrame") -> None:
    """Say why a class is missing from a fold, if it is; held: samples that hold it."""
    from toolkit.data.folds import LEFT_OUT

    missing = [str(k) for k, count in enumerate(counts) if count == 0]
    if missing:
        groups = table.loc[held & (table["fold"] != LEFT_OUT).to_numpy(), "group"].nunique()
        where = f"class {name!r} is missing from fold {', '.join(missing)}"
        if groups < len(counts):
            console.warn(f"{where}: only {groups} groups hold it, and a group is never divided")
        else:
            console.warn(f"{where}, though {groups} groups hold it: they also hold what other folds need")


def _warn_of_repetition(table: "pd.DataFrame", repeats: int) -> None:
    import pandas as pd

    names = ["fold", *(f"fold_{repeat}" for repeat in range(1, repeats))]
    splits = {tuple(pd.factorize(table[name])[0]) for name in names}  # whatever the numbers of their folds
    if len(splits) < repeats:
        console.warn(f"the {repeats} splits are only {len(splits)} different ones: the groups are too few for more")


def add_options(made: argparse.ArgumentParser) -> None:
    made.add_argument("--folds", type=_at_least_two, default=5, metavar="K", help="default: 5")
    made.add_argument("--repeats", type=_at_least_one, default=1, metavar="R", help="splits, from seeds N, N+1, …")
    made.add_argument("--holdout", type=_share, default=0.0, metavar="H", help="of samples, in no fold (default: 0)")


def _at_least_two(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of folds; there must be at least 2")
    return int(text)


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("there must be at least 1 split")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 0.9:
        raise argparse.ArgumentTypeError("the holdout must be a share from 0 to 0.9, such as 0.1")
    return value


if __name__ == "__main__":
    made = console.parser("folds", "Make or show the split: which sample is validated when.")
    add_options(made)
    console.main(made, folds)
