"""verb: load the organisers' files, check them, find what is wrong with them, propose the cleaning.

    python -m toolkit.audit competitions/mars --data folder/with/the/organisers/files
    python -m toolkit.audit competitions/mars --explain 123

Leaves `data/`, `audit.parquet`, `cleaning.csv` and `audit.html`. Run it again after a training: labels are then
held against out-of-fold predictions. A `cleaning.csv` that was edited is never overwritten.
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import console
from toolkit.errors import UserError
from toolkit.store import Workspace, atomic, hash_file, hash_json, read_json, read_manifest, write_json, write_text

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.auditing.findings import Findings
    from toolkit.auditing.train_vs_test import Shift
    from toolkit.competition import Competition
    from toolkit.data.dataset import Dataset

LARGE = 0.2  # of the samples in one group: then the folds can't be even


def audit(competition: "Competition", workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """Load, check, find and describe; the numbers of the printed tables."""
    from toolkit.auditing.findings import gather
    from toolkit.auditing.page import audit_page
    from toolkit.auditing.proposal import propose
    from toolkit.data.dataset import open_dataset

    load(competition, workspace, raw_folder(competition, workspace, options))
    dataset = open_dataset(workspace.data)
    jobs = options.workers or os.cpu_count() or 1
    findings = gather(competition, dataset, workspace.evidence, _best_run(workspace), jobs)
    proposal = propose(dataset, competition.task, findings)
    if getattr(options, "explain", None) is not None:
        return _explain(competition, dataset, findings, proposal, workspace, options.explain)
    table = audit_table(dataset, proposal, findings)
    with atomic(workspace.audit) as partial:
        table.to_parquet(partial, index=False)
    note = _write_cleaning(workspace, proposal)
    shift = _shift(dataset, findings, table, workspace)
    write_text(workspace.page, audit_page(competition, dataset, findings, proposal, shift, workspace.evidence))
    actions = {str(name): int(n) for name, n in proposal["action"].value_counts().items()}
    _show(competition, dataset, table, proposal, shift)
    say = ", ".join(f"{n} to {name}" for name, n in actions.items()) or "nothing to do"
    console.say(f"{workspace.cleaning}: {say} ({note})")
    console.say(f"{workspace.page}: what was found, as pictures")
    return {
        "samples": len(dataset.images),
        "test_images": len(dataset.test_images),
        "actions": actions,
        "groups": int(table["group"].nunique()),
        "shift_auc": shift.auc if shift else None,
        "cleaning": str(workspace.cleaning),
        "page": str(workspace.page),
    }


def raw_folder(competition: "Competition", workspace: Workspace, options: argparse.Namespace) -> Path:
    """The folder of raw files; draws the practice files on first use."""
    if not options.practice:
        return options.data or competition.folder / "data"
    if not workspace.practice.exists():
        with atomic(workspace.practice) as partial:
            partial.mkdir()
            competition.practice(partial, options.seed, options.practice_size or competition.practice_size)
        console.say(f"drew practice data in {workspace.practice}")
    return workspace.practice / "raw"


def load(competition: "Competition", workspace: Workspace, folder: Path) -> None:
    """Raw files → `data/`; nothing is done where the same files were loaded before, by the same code."""
    from inspect import getsourcefile

    from toolkit.data.dataset import check_dataset, hash_dataset, save_dataset

    if not folder.is_dir():
        raise UserError(
            f"{folder} is not a folder; put the organisers' files there, point --data at them, or try --practice"
        )
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    source = hash_json({name: hash_file(path) for name, path in files.items() if not path.name.startswith(".")})
    code = getsourcefile(competition.load)
    reader = hash_json([repr(competition.task), hash_file(Path(code)) if code else None])
    known = read_manifest(workspace.data)
    if known is not None and known["source"] != source:
        raise UserError(
            f"{workspace.folder} was made from other files than those in {folder}; "
            f"choose another --workspace for these, or remove {workspace.folder}"
        )
    if known is None or known.get("reader") != reader:
        dataset = competition.load(folder)
        check_dataset(dataset, competition.task, str(folder))
        if known is not None and known["hash"] != hash_dataset(dataset):
            raise UserError(
                f"{competition.name} reads the files otherwise than when {workspace.folder} was made; "
                f"choose another --workspace, or remove {workspace.folder}"
            )
        save_dataset(dataset, workspace.data, source, reader)


def _best_run(workspace: Workspace) -> Path | None:
    """The finished run of the best score on the present data and the stored folds, if there is any."""
    from toolkit.data.dataset import data_hash
    from toolkit.data.folds import folds_hash, stored_folds
    from toolkit.scoring.out_of_fold import finished_runs

    table = stored_folds(workspace)  # a cleaning list that was edited since is no hindrance to looking at the data
    if table is None:
        return None
    runs = finished_runs(workspace.train, data_hash(workspace.data), folds_hash(table))
    return max(runs, key=lambda run: read_json(run / "metrics.json")["clean"]["score"], default=None)


def audit_table(dataset: "Dataset", proposal: "pd.DataFrame", findings: "Findings") -> "pd.DataFrame":
    """One line a sample: index, group, intruder, label_suspect (0 to 1, NaN: not known), reason."""
    import pandas as pd

    from toolkit.auditing.proposal import groups_found
    from toolkit.data.groups import merge_groups

    found = pd.DataFrame(
        {"index": dataset.ids, "action": "group", "value": groups_found(dataset, findings).astype(str)}
    )
    dropped = proposal[(proposal["action"] == "drop") & proposal["reason"].str.startswith("repeated ")]
    reasons = proposal.groupby("index")["reason"].agg("; ".join).reindex(dataset.ids).fillna("")
    return pd.DataFrame(
        {
            "index": dataset.ids,
            "group": merge_groups(dataset.groups, dataset.ids, found),
            "intruder": pd.Series(dataset.ids).isin(dropped["index"]),
            "label_suspect": findings.doubts.suspicion,
            "reason": reasons.to_numpy(),
        }
    )


def _write_cleaning(workspace: Workspace, proposal: "pd.DataFrame") -> str:
    """Write the list, unless a person changed the one that is there; what to tell the user."""
    made, text = workspace.evidence / "cleaning.json", proposal.to_csv(index=False)
    if workspace.cleaning.exists():
        ours = made.exists() and read_json(made)["hash"] == hash_file(workspace.cleaning)
        # a kill may have come between the list and the hash of it
        if not ours and workspace.cleaning.read_bytes() != text.encode():
            beside = workspace.cleaning.with_name("cleaning.new.csv")
            write_text(beside, text)
            return f"the one in place was edited and is kept; this one is in {beside.name}"
    write_text(workspace.cleaning, text)
    write_json(made, {"hash": hash_file(workspace.cleaning)})
    return "edit it as you like; lines with a question mark are suggestions and not obeyed"


def _shift(dataset: "Dataset", findings: "Findings", table: "pd.DataFrame", workspace: Workspace) -> "Shift | None":
    """How the test images differ from the training images that are no intruders, where there are any."""
    from toolkit.auditing.findings import kept_properties
    from toolkit.auditing.train_vs_test import measure_shift

    train = kept_properties(dataset.images, workspace.evidence / "properties.parquet")
    if not len(dataset.test_images):
        return None
    test = kept_properties(dataset.test_images, workspace.evidence / "test_properties.parquet")
    rows = findings.distinct
    return measure_shift(train.iloc[rows], test, table["group"].to_numpy()[rows])


def _explain(
    competition: "Competition",
    dataset: "Dataset",
    findings: "Findings",
    proposal: "pd.DataFrame",
    workspace: Workspace,
    index: int,
) -> dict[str, Any]:
    import numpy as np

    from toolkit.auditing.explain import explain
    from toolkit.pages.pictures import write_png

    rows = np.flatnonzero(dataset.ids == index)
    if not len(rows):
        raise UserError(f"--explain {index}: the training file has no row {index}, it has {len(dataset.ids):,}")
    path = workspace.evidence / f"explain_{index}.png"
    write_png(path, explain(competition, dataset, findings, int(rows[0])))
    lines = proposal[proposal["index"] == index]
    for line in lines.itertuples():
        console.say(f"{index}: {line.action} {line.value} ({line.reason})")
    if lines.empty:
        console.say(f"{index}: nothing was found about it; beside it the pictures most like it")
    console.say(f"{path}")
    return {"index": index, "actions": lines["action"].tolist(), "reasons": lines["reason"].tolist(), "png": str(path)}


def _show(
    competition: "Competition",
    dataset: "Dataset",
    table: "pd.DataFrame",
    proposal: "pd.DataFrame",
    shift: "Shift | None",
) -> None:
    from toolkit.auditing.page import class_table

    dropped = proposal.loc[proposal["action"] == "drop", "index"]
    keep = ~table["index"].isin(dropped).to_numpy()
    height, width, channels = competition.task.image_shape
    made = class_table(competition, dataset, keep)
    title = (
        f"{competition.name}: {keep.sum():,} of {len(keep):,} samples kept, {height}x{width}x{channels}, "
        f"{len(dataset.test_images):,} test images"
    )
    console.table(title, made.columns, made.rows)
    if len(proposal):
        kind = proposal["reason"].str.partition(":")[0]
        counted = proposal.assign(kind=kind).groupby(["action", "kind"], as_index=False).size()
        rows = [[reason, action, f"{n:,}"] for action, reason, n in counted.to_numpy()]
        console.table("found", ["reason", "action", "samples"], rows)
    sizes = table["group"][keep].value_counts()
    if sizes.max() > LARGE * keep.sum():
        console.warn(f"one group holds {sizes.max():,} of {keep.sum():,} samples; look at audit.html before you split")
    if shift is not None:
        console.say(f"train against test images: AUC {shift.auc:.2f} (0.5: alike); {shift_sentence(shift)}")


def shift_sentence(shift: "Shift") -> str:
    first = shift.by_property.iloc[0]
    more = "more" if first["auc"] > 0.5 else "less"
    return f"most telling: {first['property']}, {more} of it in the test images (AUC {first['auc']:.2f} alone)"


def add_options(made: argparse.ArgumentParser) -> None:
    made.add_argument("--explain", type=int, metavar="ID", help="write a PNG that shows why this row is in the list")


if __name__ == "__main__":
    made = console.parser("audit", "Load and check the data, find what is wrong with them, propose the cleaning.")
    add_options(made)
    console.main(made, audit)
