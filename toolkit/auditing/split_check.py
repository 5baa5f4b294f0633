"""The split: made from data, groups and cleaning list, and held against what the audit knows of relatives."""

import numpy as np

from toolkit.auditing.leaks import closest_samples, count_divided
from toolkit.auditing.mimicry import stored_mimicry, why_unknown
from toolkit.auditing.nested_labels import obey_suggestions
from toolkit.auditing.orphans import orphans_of
from toolkit.auditing.split_options import split_options
from toolkit.auditing.split_outcome import FOLDS, Split
from toolkit.auditing.written_list import lost_end
from toolkit.competition import Competition
from toolkit.data.cleaning import cleaning_hash, read_cleaning
from toolkit.data.data_folder import data_hash, open_dataset
from toolkit.data.dataset import pictures_of, relabel
from toolkit.data.folds import (
    AUTO,
    GROUPS,
    PLAIN,
    folds_hash,
    left_out,
    make_folds,
    relabels,
    store_folds,
    stored_folds,
    suggested,
    trained_on,
    whole_in_groups,
    whole_in_plain,
)
from toolkit.data.groups import merge_groups, with_equal_pictures
from toolkit.data.targets import describe
from toolkit.pages.pictures import write_png
from toolkit.store import Workspace, hash_json


def split(
    competition: Competition,
    workspace: Workspace,
    folds: int | None = None,
    repeats: int | None = None,
    holdout: float | str | None = None,
    seed: int = 0,
    asked: str | None = None,
    again: bool = False,
) -> Split:
    """The table that is there, or one that is made: where there is none, or data, cleaning list or options are others.

    Without options it is as the folds that are there. folds: None: as many as there, else FOLDS, or as many as groups
    can fill. holdout: a share of the samples; None: as in the folds that are there; `auto`: so too, and where there
    are none as `share_to_hold_out` has it. asked: of SPLITS. UserError for another one, fewer than 2 folds, no repeat,
    or a holdout that isn't a share from 0 to 0.9; NotAgreedError where runs are on other folds, but for `again`.
    """
    table = known = stored_folds(workspace)
    options = split_options({} if known is None else known.attrs, folds, repeats, holdout, seed, asked)
    folds, holdout, asked = options.folds, options.holdout, options.asked
    dataset = open_dataset(workspace.data)
    cleaning = read_cleaning(workspace, dataset.ids, competition.task)
    out = left_out(dataset.ids, cleaning)
    groups = with_equal_pictures(dataset.groups, pictures_of(dataset)[0], dataset.images, out)
    kept = ~np.isin(dataset.ids, cleaning.loc[cleaning["action"] == "drop", "index"])
    whole, joined = (whole_in(groups, dataset.ids, cleaning) for whole_in in (whole_in_plain, whole_in_groups))
    fewer = False
    if folds is None:
        number = len(np.unique(joined[kept]))
        folds = max(2, min(FOLDS, number - (holdout not in (AUTO, 0))))
        fewer = folds < FOLDS
    mimicry = stored_mimicry(competition, dataset, workspace.evidence, whole, kept, folds)
    kind = (PLAIN if mimicry and mimicry.verdict == PLAIN else GROUPS) if asked == AUTO else asked
    by_reasons = kind == PLAIN or (joined != merge_groups(groups, dataset.ids, cleaning)).any()
    inputs = {
        "data": data_hash(workspace.data),
        "cleaning": cleaning_hash(workspace),
        "folds": folds,
        "seed": options.seed,
        "repeats": options.repeats,
        "holdout": holdout,
        "split": kind,
        # reasons tell a person's `group` lines from the audit's, and are no part of the list's hash
        "whole": hash_json((whole if kind == PLAIN else joined).tolist()) if by_reasons else None,
    }
    if table is None or table.attrs != inputs:
        table = make_folds(dataset.targets, dataset.ids, groups, competition.task, cleaning, inputs)
    if "label_in" not in table:  # of folds that are there already an audit may have left its evidence since
        table = obey_suggestions(competition, dataset, table, cleaning, workspace.evidence)
    orphans = None
    if known is not None and (known.attrs.get("data"), folds_hash(known)) != (inputs["data"], folds_hash(table)):
        orphans = orphans_of(competition, workspace, known.attrs, folds_hash(known))
        if known.attrs.get("data") == inputs["data"]:  # else what was trained is on other data anyway
            orphans.ask(again)
    contents = describe(relabel(dataset.targets, relabels(table)), competition.task)
    suggestions = int(cleaning["action"].str.endswith("?").sum())
    fold, trained, divided = table["fold"].to_numpy(), trained_on(table), None
    pairs, picture = closest_samples(dataset, fold, trained, workspace.evidence, competition.rgb)
    if pairs:
        write_png(workspace.leaks, picture)
        divided = count_divided(fold, trained, pairs, workspace.evidence)
    if table is not known:
        store_folds(table, workspace)  # last: where there are none, all of this is done again after a kill
    return Split(
        competition=competition,
        workspace=workspace,
        table=table,
        contents=contents,
        names=dataset.called,
        whole=whole if kind == PLAIN else table["group"].to_numpy(),
        orphans=orphans,
        suggestions=suggestions,
        pairs=tuple(pairs),
        divided=divided,
        asked=options.words,
        mimicry=mimicry,
        unknown=why_unknown(competition, dataset),
        suggested=suggested(table, cleaning),
        lost=lost_end(workspace),
        fewer=fewer,
    )
