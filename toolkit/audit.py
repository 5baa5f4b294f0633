"""verb: load the organisers' files, check them, say what they hold, propose the cleaning.

    python -m toolkit.audit competitions/mars --data folder/with/the/organisers/files

Leaves `data/`, `audit.parquet` and `cleaning.csv`. Found so far: exact copies (grouped, so that they never
straddle a fold), copies under several labels, pictures that repeat too often, and one mask under many
pictures (dropped). An edited `cleaning.csv` is never overwritten.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import console
from toolkit.errors import UserError
from toolkit.store import Workspace, atomic, hash_file, hash_json, read_manifest

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.competition import Competition, Task
    from toolkit.dataset import Dataset

REPEATS = 5  # one picture, or one patterned mask, in more samples than this is no chance


def audit(competition: "Competition", workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """Load, check and describe the data; the numbers of the printed tables."""
    from toolkit.dataset import open_dataset

    load(competition, workspace, raw_folder(competition, workspace, options))
    dataset = open_dataset(workspace.data)
    proposal = propose(dataset, competition.task)
    with atomic(workspace.audit) as partial:
        audit_table(dataset, proposal).to_parquet(partial, index=False)
    kept = workspace.cleaning.exists()
    if not kept:
        with atomic(workspace.cleaning) as partial:
            proposal.to_csv(partial, index=False)
    _show(competition, dataset, proposal)
    actions = {str(name): int(n) for name, n in proposal["action"].value_counts().items()}
    say = ", ".join(f"{n} to {name}" for name, n in actions.items()) or "nothing to do"
    note = "an existing one is kept; remove it to have this one" if kept else "edit it as you like"
    console.say(f"{workspace.cleaning}: {say} ({note})")
    return {
        "samples": len(dataset.images),
        "test_images": len(dataset.test_images),
        "actions": actions,
        "cleaning": str(workspace.cleaning),
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
    """Raw files → `data/`; nothing is done where the same files were loaded before."""
    from toolkit.dataset import check_dataset, save_dataset

    if not folder.is_dir():
        raise UserError(
            f"{folder} is not a folder; put the organisers' files there, point --data at them, or try --practice"
        )
    source = hash_json({p.name: hash_file(p) for p in sorted(folder.iterdir()) if p.is_file()})
    known = read_manifest(workspace.data)
    if known is not None and known["source"] != source:
        raise UserError(
            f"{workspace.folder} was made from other files than those in {folder}; "
            f"choose another --workspace for these, or remove {workspace.folder}"
        )
    if known is None:
        dataset = competition.load(folder)
        check_dataset(dataset, competition.task, str(folder))
        save_dataset(dataset, workspace.data, source)


def propose(dataset: "Dataset", task: "Task") -> "pd.DataFrame":
    """The cleaning list: columns index, action (drop or group), value (group number), reason, confidence."""
    import pandas as pd

    from toolkit.dataset import hash_sample

    by_image: dict[str, list[int]] = defaultdict(list)
    for row, image in enumerate(dataset.images):
        by_image[hash_sample(image)].append(row)
    rows: dict[int, tuple[str, str, str]] = {}
    for copies in by_image.values():
        if len(copies) > REPEATS:
            reason = f"one picture {len(copies)} times"
            rows |= dict.fromkeys(copies, ("drop", "", reason))
        elif len(copies) > 1:
            same = len({hash_sample(dataset.targets[row]) for row in copies}) == 1
            first = str(dataset.ids[copies[0]])
            listed = " ".join(str(dataset.ids[row]) for row in copies)
            action = ("group", first, f"exact copies: {listed}") if same else ("drop", "", f"copies differ: {listed}")
            rows |= dict.fromkeys(copies, action)
    for many in _repeated_masks(dataset, task):
        rows |= {row: ("drop", "", f"one mask under {len(many)} pictures") for row in many}
    return pd.DataFrame(
        [(int(dataset.ids[row]), *rows[row], 1.0) for row in sorted(rows)],
        columns=["index", "action", "value", "reason", "confidence"],
    )


def _repeated_masks(dataset: "Dataset", task: "Task") -> list[list[int]]:
    """Rows that share one mask with structure; masks of one class alone repeat by nature."""
    from toolkit.competition import Segmentation
    from toolkit.dataset import hash_sample

    if not isinstance(task, Segmentation):
        return []
    by_mask: dict[str, list[int]] = defaultdict(list)
    for row, mask in enumerate(dataset.targets):
        if mask.min() != mask.max():
            by_mask[hash_sample(mask)].append(row)
    return [rows for rows in by_mask.values() if len(rows) > REPEATS]


def audit_table(dataset: "Dataset", proposal: "pd.DataFrame") -> "pd.DataFrame":
    """One line a sample: index, group, intruder, label_suspect (NaN: not known yet), reason."""
    import pandas as pd

    from toolkit.split import merge_groups

    listed = proposal.set_index("index")
    reason = listed["reason"].reindex(dataset.ids).fillna("")
    return pd.DataFrame(
        {
            "index": dataset.ids,
            "group": merge_groups(dataset.groups, dataset.ids, proposal),
            "intruder": reason.str.startswith("one ").to_numpy(),
            "label_suspect": float("nan"),
            "reason": reason.to_numpy(),
        }
    )


def _show(competition: "Competition", dataset: "Dataset", proposal: "pd.DataFrame") -> None:
    from toolkit.competition import Segmentation
    from toolkit.dataset import class_counts

    dropped = set(proposal.loc[proposal["action"] == "drop", "index"])
    keep = [row for row, name in enumerate(dataset.ids) if int(name) not in dropped]
    kept = dataset.targets[keep]
    counts = class_counts(kept, competition.task)
    if isinstance(competition.task, Segmentation):
        within = [int((kept == i).any((1, 2)).sum()) for i in range(len(counts))]
        columns = ["class", "pixels", "share", "images with it"]
        rows = [
            [name, f"{n:,}", f"{n / counts.sum():.2%}", f"{w:,}"]
            for name, n, w in zip(competition.task.classes, counts, within, strict=True)
        ]
    else:
        columns = ["class", "images", "share"]
        rows = [
            [name, f"{n:,}", f"{n / counts.sum():.2%}"]
            for name, n in zip(competition.task.classes, counts, strict=True)
        ]
    height, width, channels = competition.task.image_shape
    console.table(
        f"{competition.name}: {len(keep):,} of {len(dataset.images):,} samples kept, {height}x{width}x{channels}, "
        f"{len(dataset.test_images):,} test images",
        columns,
        rows,
    )
    if len(proposal):
        found = proposal.assign(reason=proposal["reason"].str.replace(r":.*", "", regex=True))
        counted = found.groupby(["action", "reason"], as_index=False).size()
        rows = [[reason, action, str(n)] for action, reason, n in counted.to_numpy()]
        console.table("found", ["reason", "action", "samples"], rows)


if __name__ == "__main__":
    console.main(console.parser("audit", "Load and check the data, say what is in it, propose the cleaning."), audit)
