"""verb: blend the finished runs.

    python -m toolkit.ensemble competitions/mars

For now the plain mean of the runs' probabilities: nothing is fitted, so its out-of-fold score is honest as
it stands. Only runs on the present data and folds take part. Leaves `ensemble/mean/`.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import console
from toolkit.errors import UserError
from toolkit.store import Workspace, atomic, read_json, read_manifest, write_json, write_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from toolkit.competition import Competition

NAME = "mean"


def ensemble(competition: "Competition", workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """Blend, store and score; nothing is done where the same runs were blended before."""
    from toolkit.dataset import data_hash, open_dataset, relabel
    from toolkit.oof import finished_runs, open_probabilities, write_oof, write_probabilities
    from toolkit.split import folds_hash, read_folds, relabels

    table = read_folds(workspace)
    runs = _chosen(finished_runs(workspace.train, data_hash(workspace.data), folds_hash(table)), workspace, options)
    inputs = {"runs": {run.name: read_manifest(run) for run in runs}}
    folder = workspace.ensemble / NAME
    if read_manifest(folder) != inputs:
        stored = [open_probabilities(run / "oof.npy") for run in runs]
        with atomic(folder) as partial:
            partial.mkdir()
            blended = _mean_in_memory(stored)
            targets = relabel(open_dataset(workspace.data).targets, relabels(table))
            clean = write_oof(partial / "oof.npy", blended, competition, targets, table)
            if (runs[0] / "test.npy").exists():
                test = [open_probabilities(run / "test.npy") for run in runs]
                write_probabilities(partial / "test.npy", _means(test), test[0].shape, test[0].dtype.type)
            write_json(partial / "blend.json", {run.name: 1 / len(runs) for run in runs})
            write_json(partial / "metrics.json", {"metric": competition.metric.name, "clean": clean, "stress": None})
            write_manifest(partial, inputs)
    clean = read_json(folder / "metrics.json")["clean"]
    scores = [read_json(run / "metrics.json")["clean"] for run in runs]
    rows = [[run.name, console.interval(score)] for run, score in zip(runs, scores, strict=True)]
    rows.append([f"{NAME} of {len(runs)}", console.interval(clean)])
    console.table(f"{competition.name}: blend", ["run", f"out-of-fold {competition.metric.name}"], rows, total=True)
    return {"blend": str(folder), "runs": [run.name for run in runs], "clean": clean, "stress": None}


def _chosen(runs: list[Path], workspace: Workspace, options: argparse.Namespace) -> list[Path]:
    if options.runs:
        known = {run.name: run for run in runs}
        names = list(dict.fromkeys(options.runs))  # a run named twice has one share, in the score and the submission
        for name in names:
            if name not in known:
                raise UserError(
                    f"{workspace.train} has no finished run {name!r} on the present data and folds; "
                    f"it has {', '.join(known) or 'none'}"
                )
        return [known[name] for name in names]
    if not runs:
        raise UserError(f"{workspace.train} has no finished run on the present data and folds; train one first")
    return runs


def _means(stored: list["np.ndarray"]) -> "Iterator[np.ndarray]":
    import numpy as np

    from toolkit.oof import chunks, probabilities

    for at in chunks(len(stored[0])):
        yield np.mean([probabilities(run[at]) for run in stored], axis=0)


def _mean_in_memory(stored: list["np.ndarray"]) -> "np.ndarray":
    import numpy as np

    return np.concatenate([part.astype(np.float16) for part in _means(stored)])


def add_options(made: argparse.ArgumentParser) -> None:
    made.add_argument("--runs", nargs="+", metavar="NAME", help="blend these runs only (default: all)")


if __name__ == "__main__":
    made = console.parser("ensemble", "Blend the finished runs.")
    add_options(made)
    console.main(made, ensemble)
