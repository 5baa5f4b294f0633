"""Which sample is validated when: the cleaning list obeyed, groups kept whole, folds as even as can be."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from toolkit.checked import table as read_table
from toolkit.data.balance import HELD_OUT, assign
from toolkit.data.cleaning import FOUND, cleaning_hash, leaves_the_score, was_suggested, without_found_relatives
from toolkit.data.data_folder import data_hash
from toolkit.data.dataset import relabel
from toolkit.data.groups import alone, merge_groups
from toolkit.data.targets import describe, holds
from toolkit.errors import UserError
from toolkit.outcome import counted
from toolkit.store import Workspace, atomic, hash_json
from toolkit.task import Classification, Grades, Heads, Task

if TYPE_CHECKING:
    from scipy.sparse import csr_array

LEFT_OUT = -1  # the fold of a sample that the cleaning list drops from the score too
ALWAYS = -3  # of a sample of a class that one group alone holds: every fold is trained on it, none validates it
AUTO = "auto"  # a holdout by `share_to_hold_out`, a split by what the audit found
HOLDOUT = 0.1  # of the samples, where there are at least so many in so many groups
MANY, MANY_GROUPS = 5_000, 500
CONTENT = "content"  # in the attrs of the stored table: a hash of all its columns
GROUPS, PLAIN = "groups", "plain"  # which samples share a fold: those of one group, or of what `whole_in_plain` says


def make_folds(
    targets: np.ndarray,
    ids: np.ndarray,
    groups: np.ndarray,
    task: Task,
    cleaning: pd.DataFrame,
    inputs: dict[str, Any],
) -> pd.DataFrame:
    """The table for inputs["folds"] folds, with `inputs` kept in its attrs.

    Groups stay whole; with inputs["split"] `plain` only what `whole_in_plain` returns does.

    Columns index, fold, group, label (Int64: what the cleaning list says the label is; missing: as in the file),
    trained (bool: False for what it drops, be it in a fold or not), and for each further repeat r of
    inputs["repeats"] one `fold_<r>` from the seed plus r. The samples of inputs["holdout"], a share or AUTO, are held
    out of all repeats. A class that one group alone holds is in no fold, but ALWAYS trained on; where images may show
    none of the classes, and no training image does, it is in a fold all the same, and has a column `newcomer` (bool):
    where it is validated nothing has seen it, so it is one of these.
    """
    options: dict[str, Any] = {"repeats": 1, "holdout": 0.0, "split": GROUPS} | inputs
    merged = whole_in_groups(groups, ids, cleaning)
    whole = whole_in_plain(groups, ids, cleaning) if options["split"] == PLAIN else merged
    kept = ~left_out(ids, cleaning)
    trained = ~np.isin(ids, cleaning.loc[cleaning["action"] == "drop", "index"])
    number = len(np.unique(whole[trained]))
    if options["holdout"] == AUTO:
        options["holdout"] = share_to_hold_out(int(trained.sum()), number)
    parts = options["folds"] + (options["holdout"] > 0)
    if number < parts:
        what = counted(options["folds"], "fold") + (" and a holdout" if options["holdout"] else "")
        remedy = _remedy(whole, groups, ids, cleaning, parts)
        raise UserError(f"{counted(number, 'group')} can't fill {what}; {remedy}")
    lines = cleaning[cleaning["action"] == "relabel"]
    labels = pd.Series(lines["value"].astype("int64").to_numpy(), index=lines["index"], dtype="Int64")
    table = pd.DataFrame({"index": ids, "fold": LEFT_OUT, "group": merged})
    table["label"] = labels[~labels.index.duplicated()].reindex(ids).array
    table["trained"] = trained
    learnt = relabel(targets, relabels(table))
    contents, always = describe(learnt, task), np.zeros(len(ids), bool)
    if isinstance(task, Classification | Grades | Heads):
        classes = len(task.classes)
        held = holds(learnt, task) if isinstance(contents, np.ndarray) else contents[:, :classes]
        always = kept & kept_for_training(held, whole, trained & kept, parts)
    if always.any() and isinstance(task, Classification) and task.unknown is not None and (learnt[kept] >= 0).all():
        used = trained & kept
        table["newcomer"] = kept & np.isin(learnt, lonely(learnt[used], whole[used])[0])
        always[:] = False
    left = kept & ~always
    for repeat in range(options["repeats"]):
        holdout = options["holdout"] if repeat == 0 else 0.0
        fold = np.where(always, ALWAYS, np.where(kept, HELD_OUT, LEFT_OUT))
        fold[left] = assign(contents[left], whole[left], options["folds"], options["seed"] + repeat, holdout)
        left = fold >= 0
        table[f"fold_{repeat}" if repeat else "fold"] = fold
    table.attrs.update({name: options[name] for name in inputs})
    return table


def _remedy(whole: np.ndarray, groups: np.ndarray, ids: np.ndarray, cleaning: pd.DataFrame, parts: int) -> str:
    """What to do where `whole`, int64 (N,), are fewer than `parts`: what the audit found may have joined them."""
    trained = ~np.isin(ids, cleaning.loc[cleaning["action"] == "drop", "index"])
    apart = len(np.unique(whole_in_plain(groups, ids, cleaning)[trained]))
    if apart < parts or apart == len(np.unique(whole[trained])):
        few = "what is left to train on is of one origin or of equal pictures, so there is nothing else to validate on"
        return "ask for fewer" if apart > 1 else few
    return (
        f"there are {apart:,} before relatives that the audit found join them: look at audit.html, take `group` lines "
        "that are wrong out of cleaning.csv, or divide relatives by `--split plain`"
    )


def share_to_hold_out(samples: int, groups: int) -> float:
    """HOLDOUT where the samples are many, else 0.

    There is a shift of .01 to .06 to find: of the mean of all networks over one, and of choosing by the score that is
    shown. A tenth of MANY tells an accuracy of .9 to within .026, or .037 where they are MANY_GROUPS of ten alike; a
    tenth of 1,000 to within .057, as much as there is to find (simulated, 95 %). To train on a tenth less costs .000
    to .005 of accuracy (400 to 1,000 real cells, simple classifiers), and less with more.
    """
    return HOLDOUT if samples >= MANY and groups >= MANY_GROUPS else 0.0


def left_out(ids: np.ndarray, cleaning: pd.DataFrame) -> np.ndarray:
    """bool (N,): samples that the cleaning list drops from training and from the score."""
    dropped = cleaning[cleaning["action"] == "drop"]
    unscored = [leaves_the_score(*line) for line in zip(dropped["value"], dropped["reason"], strict=True)]
    return np.isin(ids, dropped.loc[unscored, "index"])


def whole_in_groups(groups: np.ndarray, ids: np.ndarray, cleaning: pd.DataFrame) -> np.ndarray:
    """What group folds keep whole, int64 (N,): these groups, joined by the list's `group` lines.

    Not by what an audit found of a sample that is left out: it is on no side of a split, and would only bring the rest
    of its group along. What a person wrote of it is meant for that group.
    """
    gone = ids[left_out(ids, cleaning) & ~alone(groups)]
    if not len(gone):
        return merge_groups(groups, ids, cleaning)
    found = (cleaning["action"] == "group") & cleaning["reason"].str.startswith(FOUND)
    return merge_groups(groups, ids, cleaning[~(found & cleaning["index"].isin(gone))])


def whole_in_plain(groups: np.ndarray, ids: np.ndarray, cleaning: pd.DataFrame) -> np.ndarray:
    """What plain folds keep whole, int64 (N,): these groups and a person's own `group` lines, but no relatives that an
    audit found.
    """
    return merge_groups(groups, ids, without_found_relatives(cleaning))


def kept_for_training(held: "np.ndarray | csr_array", whole: np.ndarray, used: np.ndarray, parts: int) -> np.ndarray:
    """bool (N,): samples of groups that alone hold a class. No fold could both learn it and be asked for it.

    held: (N, C), also sparse: which classes a sample holds; whole: int64 (N,), what is never divided; used: bool (N,),
    samples that are trained on. None, where the other groups would not fill `parts`.
    """
    rows, classes = held.nonzero()
    found = np.isin(whole, lonely(classes[used[rows]], whole[rows][used[rows]])[1])
    enough = len(np.unique(whole[used & ~found])) >= parts
    return found if enough else np.zeros(len(whole), bool)


def lonely(classes: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Classes that one group alone holds, and these groups, int64 (2, n); of a class and a group each, int64 (N,)."""
    pairs = np.unique(np.stack([classes, whole]), axis=1)
    return pairs[:, np.bincount(pairs[0])[pairs[0]] == 1]


def newcomers(table: pd.DataFrame) -> np.ndarray:
    """bool (N,): samples that are none of the known classes where they are validated."""
    return table["newcomer"].to_numpy(bool) if "newcomer" in table else np.zeros(len(table), bool)


def relabels(table: pd.DataFrame) -> np.ndarray:
    """Rows of the dataset and the labels they get in place of the file's, int64 (n, 2)."""
    rows = np.flatnonzero(table["label"].notna())
    return np.stack([rows, table["label"].iloc[rows].to_numpy(np.int64)], axis=1)


def suggested(table: pd.DataFrame, cleaning: pd.DataFrame) -> np.ndarray:
    """Rows, int64 (n,), that the cleaning list relabels because predictions suggested it, and for no other reason."""
    lines = cleaning[cleaning["action"] == "relabel"]
    decided = lines.loc[~lines["reason"].map(was_suggested).astype(bool), "index"]
    return np.flatnonzero(table["label"].notna() & ~table["index"].isin(decided))


def with_obeyed(table: pd.DataFrame, rows: np.ndarray, obeyed: np.ndarray) -> pd.DataFrame:
    """The table with `label_in`: the folds in whose training the labels of these rows (n,) are obeyed, as text such as
    "0 2"; missing where in all. obeyed: bool (n, folds).
    """
    texts = pd.Series(pd.NA, index=table.index, dtype="string")
    texts.iloc[rows] = [" ".join(map(str, np.flatnonzero(line))) for line in obeyed]
    return table.assign(label_in=texts)


def obeyed_in(table: pd.DataFrame) -> np.ndarray:
    """In the training of which folds each line of `relabels` is obeyed, bool (n, folds)."""
    rows, folds = relabels(table)[:, 0], int(table["fold"].max()) + 1
    obeyed = np.ones((len(rows), folds), bool)
    if "label_in" in table:
        for line, text in enumerate(table["label_in"].iloc[rows]):
            if not pd.isna(text):
                obeyed[line] = np.isin(np.arange(folds), [int(fold) for fold in text.split()])
    return obeyed


def trained_on(table: pd.DataFrame) -> np.ndarray:
    """bool (N,): not dropped. Those that are dropped and yet in a fold are validated and scored alone."""
    if "trained" not in table:  # as folds were stored before
        return np.ones(len(table), bool)
    return table["trained"].to_numpy(bool)


def folds_hash(table: pd.DataFrame) -> str:
    """Names the split itself: which row is in which fold and group, under which label in the training of which folds,
    and what is scored alone.
    """
    changed = relabels(table).tolist()
    parts = [*(table[name].tolist() for name in ("index", "fold", "group")), changed]
    untrained = np.flatnonzero(~trained_on(table) & (table["fold"] != LEFT_OUT)).tolist()
    if changed or untrained:  # scored on the file's labels; before, these were scored on others
        parts.append(untrained)
    if "label_in" in table:
        parts.append(obeyed_in(table).tolist())
    if newcomers(table).any():
        parts.append(np.flatnonzero(newcomers(table)).tolist())
    return hash_json(parts)


def stored_folds(workspace: Workspace) -> pd.DataFrame | None:
    """The table on disk, whatever it was made from; None where there is none."""
    if not workspace.folds.exists():
        return None
    remedy = "remove it and run `compete folds` again"
    table = read_table(workspace.folds, remedy, "index", "fold", "group")
    if table.attrs.pop(CONTENT, None) not in (None, _content(table)):
        raise UserError(f"{workspace.folds} isn't the table that `folds` wrote; {remedy}")
    return table


def store_folds(table: pd.DataFrame, workspace: Workspace) -> None:
    """Write the table, with a hash of what is in it."""
    stored = table.copy(deep=False)
    stored.attrs = table.attrs | {CONTENT: _content(table)}
    with atomic(workspace.folds) as partial:
        stored.to_parquet(partial, index=False)


def _content(table: pd.DataFrame) -> str:
    return hash_json(table.to_csv(index=False))


def check_undivided(table: pd.DataFrame, groups: np.ndarray, workspace: Workspace) -> None:
    """UserError where samples of one origin are validated in different folds, or trained on where others of them are
    validated. groups: int64 (N,), as the competition gives them; relatives that the audit found share a fold, too,
    unless they may be divided.
    """
    whole = groups if table.attrs.get("split") == PLAIN else table["group"].to_numpy()
    _, place = np.unique(whole, return_inverse=True)
    fold = table["fold"].to_numpy()
    kept = np.flatnonzero(fold != LEFT_OUT)
    first = np.full(place.max(initial=-1) + 1, LEFT_OUT)
    first[place[kept][::-1]] = fold[kept][::-1]
    divided = kept[fold[kept] != first[place[kept]]]
    if len(divided):
        row = divided[0]
        other = kept[place[kept] == place[row]][0]
        raise UserError(
            f"{workspace.folds} divides a group: samples {table['index'][other]} and {table['index'][row]} are of one "
            f"origin, and in folds {fold[other]} and {fold[row]}; remove it and run `compete folds` again"
        )


def read_folds(workspace: Workspace) -> pd.DataFrame:
    """The table; UserError where it was made from other data or another cleaning list than those at hand."""
    table = stored_folds(workspace)
    if table is None:
        raise UserError(f"there is no {workspace.folds} yet; run `compete folds` first")
    if table.attrs["data"] != data_hash(workspace.data):
        raise UserError(f"{workspace.folds} was made from other data; run `compete folds` again")
    if table.attrs["cleaning"] != cleaning_hash(workspace):
        raise UserError(f"{workspace.cleaning} has changed since the folds; run `compete folds` again")
    return table
