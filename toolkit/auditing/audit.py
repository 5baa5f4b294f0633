"""The audit: what is found in the data, told and kept on disk, and the pictures behind what was found about a row."""

import base64
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit.auditing.class_tables import class_table
from toolkit.auditing.cleaning_proposal import groups_found, propose, too_many_to_drop
from toolkit.auditing.explain import picture_of_row
from toolkit.auditing.findings import Findings, gather, kept_properties
from toolkit.auditing.image_sets import gather_of_sets
from toolkit.auditing.mimicry import Mimicry, mimicry
from toolkit.auditing.page import ASK_SYMMETRIES, Found, audit_page
from toolkit.auditing.phases import COSTS, LOADING, PAGE, RELATIVES, SHIFT, TABLES
from toolkit.auditing.picture_map import PictureMap, picture_map
from toolkit.auditing.relatives import find_relatives, tests_looked_at
from toolkit.auditing.table_columns import HEAD, ColumnFindings, find_columns
from toolkit.auditing.train_vs_test import Shift, measure_shift
from toolkit.auditing.written_list import lost_end, write_list
from toolkit.competition import Competition
from toolkit.data.cleaning import NAME, REPEATED_MASK, REPEATED_PICTURE
from toolkit.data.data_folder import data_hash, open_dataset
from toolkit.data.dataset import Dataset, pictures_of
from toolkit.data.folds import left_out, stored_folds
from toolkit.data.groups import alone, merge_groups, with_equal_pictures
from toolkit.data.image_sets import first_images, single_images
from toolkit.data.known_answers import known_answers
from toolkit.data.labelled import enough_to_compare, open_labelled
from toolkit.data.loading import load
from toolkit.data.naming import Naming
from toolkit.data.preview import previewed
from toolkit.errors import UserError
from toolkit.outcome import Outcome, Table, Warned, counted
from toolkit.pages.pictures import write_png
from toolkit.progress import SILENT, Progress
from toolkit.runs import Run, best_run, current_runs
from toolkit.store import Workspace, atomic, write_text

DONE = {"drop": "dropped", "group": "grouped", "drop?": "suggested to drop", "relabel?": "suggested to relabel"}
LARGE = 0.2  # of the samples in one group: then the folds can't be even


@dataclass(frozen=True, eq=False, repr=False)
class Audit(Outcome):
    """What was found. table: one line a sample, as `sample_table` returns it; proposal: the lines of a cleaning list;
    shift, and mimicry of the test by folds: None where there are no test images or they may not be looked at; known:
    of how many a submission of a file can give a known answer; note: what became of the list on disk; limits: what was
    not looked at or isn't shown, in sentences; lost: what to say where the list's end is gone; columns: what lies
    beside the images, None where nothing does.
    """

    competition: Competition
    workspace: Workspace
    dataset: Dataset
    table: pd.DataFrame
    proposal: pd.DataFrame
    shift: Shift | None
    mimicry: Mimicry | None
    known: int
    note: str
    limits: Sequence[str]
    lost: str
    columns: ColumnFindings | None = None

    @property
    def actions(self) -> dict[str, int]:
        """Lines of each action."""
        return {str(name): int(n) for name, n in self.proposal["action"].value_counts().items()}

    @property
    def next(self) -> Sequence[tuple[str, str]]:
        steps = [
            ("compete run … --budget 30m", "does all the rest"),
            ("compete train", "makes the folds and trains the first recipe"),
        ]
        waiting = self.proposal[self.proposal["action"].str.endswith("?")]
        if not len(waiting):
            return steps
        row = int(np.flatnonzero(self.dataset.ids == waiting["index"].iloc[0])[0])
        accept = f"compete audit … --accept {shlex.quote(str(self.dataset.called[row]))}"
        return [*steps, (accept, "lets a suggestion take effect, by sample or by reason; --refuse takes it out")]

    def as_json(self) -> dict[str, Any]:
        return {
            "samples": len(self.dataset.images),
            "test_images": len(self.dataset.test_images),
            "actions": self.actions,
            "groups": int(self.table["group"].nunique()),
            "shift_auc": self.shift.auc if self.shift else None,
            "table_shift_auc": self.columns.auc if self.columns else None,
            "related_test_images": self.mimicry.related if self.mimicry else None,
            "mimicked_by": self.mimicry.verdict if self.mimicry else None,
            "known_answers": self.known,
            "cleaning": str(self.workspace.cleaning),
            "page": str(self.workspace.page),
        }

    def told(self) -> Sequence[str | Warned | Table]:
        return list(self._told())

    def _told(self) -> Iterator[str | Warned | Table]:
        dropped = self.proposal.loc[self.proposal["action"] == "drop", "index"]
        keep = ~self.table["index"].isin(dropped).to_numpy()
        yield self._classes(keep)
        if not len(self.dataset.test_images) and self.competition.try_submission is None:
            yield Warned("load found no test image: runs can be trained and compared, but no file can be handed in")
        if self.columns is not None:
            yield Table("beside the images", HEAD, self.columns.rows)
        if len(self.proposal):
            yield self._found()
        asked = too_many_to_drop(self.proposal)
        if asked:
            yield Warned(asked)
        yield from self.limits
        largest = self.table["group"][keep].value_counts().max()
        if largest > LARGE * keep.sum():
            yield Warned(f"one group holds {largest:,} of {keep.sum():,} samples; look at audit.html before you split")
        if self.shift is not None:
            first = self.shift.by_property.iloc[0]
            more = "more" if first["auc"] > 0.5 else "less"
            telling = (  # where they are alike it would be read as a difference
                f"; most telling: {first['property']}, {more} of it in the test images (AUC {first['auc']:.2f} alone)"
                if self.shift.auc > 0.5
                else ""
            )
            yield f"train against test images: AUC {self.shift.auc:.2f} (up to 0.5: alike){telling}"
        yield from self.columns.words if self.columns else ()
        if self.mimicry is not None:
            yield self.mimicry.counted
            yield self.mimicry.words
        if self.competition.symmetries is None:
            yield ASK_SYMMETRIES
        if self.known:
            images = counted(self.known, "test image")
            yield f"the answers of {images} are known: `submit --known-answers` hands them in"
        actions = ", ".join(f"{DONE[name]} {n:,}" for name, n in self.actions.items()) or "nothing to do"
        yield f"{self.workspace.cleaning}: {actions} ({self.note})"
        if self.lost:
            yield Warned(self.lost)
        yield f"{self.workspace.page}: what was found, as pictures"

    def _classes(self, keep: np.ndarray) -> Table:
        height, width, channels = self.competition.task.image_shape
        made = class_table(self.competition, self.dataset, keep)
        title = (
            f"{self.competition.name}: {keep.sum():,} of {counted(len(keep), 'sample')} kept, "
            f"{height}x{width}x{channels}, {counted(len(self.dataset.test_images), 'test image')}"
        )
        return Table(f"{title}\n{made.note}" if made.note else title, made.columns, made.rows)

    def _found(self) -> Table:
        kind = self.proposal["reason"].str.partition(":")[0]
        counted = self.proposal.assign(kind=kind).groupby(["action", "kind"], as_index=False).size()
        rows = [[reason, action, f"{n:,}"] for action, reason, n in counted.to_numpy()]
        return Table("Findings", ["reason", "action", "samples"], rows)


@dataclass(frozen=True, eq=False, repr=False)
class Explanation(Outcome):
    """Why a sample is in the cleaning list, if it is. index: its row in the raw file; name: what it is called; lines:
    those that propose it; png: the pictures.
    """

    index: int
    name: str
    lines: pd.DataFrame
    png: Path

    def as_json(self) -> dict[str, Any]:
        actions, reasons = (self.lines[name].tolist() for name in ("action", "reason"))
        return {
            "index": self.index,
            "name": self.name,
            "actions": actions,
            "reasons": reasons,
            "png": str(self.png),
        }

    def told(self) -> Sequence[str]:
        lines = [f"{self.name}: {line.action} {line.value} ({line.reason})" for line in self.lines.itertuples()]
        nothing = f"{self.name}: nothing was found about it; beside it the pictures most like it"
        return [*(lines or [nothing]), f"{self.png}"]

    def _repr_html_(self) -> str:
        picture = base64.b64encode(self.png.read_bytes()).decode()
        return f'{super()._repr_html_()}<img src="data:image/png;base64,{picture}">'


def audit(
    competition: Competition,
    workspace: Workspace,
    raw: Path,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> Audit:
    """Load the files in `raw`, find what is wrong with them, propose the cleaning; all on `workers` processes
    (None: as many as there are cores).

    Leaves `audit.parquet`, `cleaning.csv` unless a person changed the one there, and `audit.html`.
    """
    with progress.phase("audit", costs=COSTS):
        return _audit(competition, workspace, raw, _jobs(workers), progress)


def _audit(competition: Competition, workspace: Workspace, raw: Path, jobs: int, progress: Progress) -> Audit:
    workspace.evidence.mkdir(parents=True, exist_ok=True)  # first: with it and no list, an audit was killed
    samples, findings, proposal, runs = _inspect(competition, workspace, raw, jobs, progress)
    dataset = first_images(samples)
    table = sample_table(dataset, proposal, findings)
    with atomic(workspace.audit) as partial:
        table.to_parquet(partial, index=False)
    shift, relatives, mimics, known = None, None, None, 0
    shown = previewed(dataset, competition.rgb)
    if competition.may_look_at(dataset.test_images):
        if enough_to_compare(len(findings.distinct), len(dataset.test_images)):
            with progress.phase(SHIFT):
                shift = _shift(shown, findings, table, workspace.evidence, jobs, progress)
        kept = ~np.isin(dataset.ids, proposal.loc[proposal["action"] == "drop", "index"])
        with progress.phase(RELATIVES):
            relatives = find_relatives(samples, findings.distinct, workspace.evidence, jobs, competition.rgb, progress)
        out = left_out(dataset.ids, proposal)
        whole = with_equal_pictures(dataset.groups, pictures_of(dataset)[0], samples.images, out)
        mimics = mimicry(relatives, findings.links, whole, kept, tests_looked_at(dataset))
        if competition.try_submission is None:
            known = len(known_answers(dataset, kept))
    whole = table["group"].to_numpy()
    singles = previewed(single_images(samples), competition.rgb)
    with progress.phase(TABLES):
        columns = find_columns(dataset, whole, competition.may_look_at(dataset.test_images))
    with progress.phase(PAGE):
        page = Found(
            competition,
            workspace,
            shown,
            singles,
            whole,
            findings,
            proposal,
            shift,
            relatives,
            mimics,
            columns,
            _plane(competition, workspace, samples, shown, findings, proposal, jobs, progress),
            len(runs),
        )
        write_text(workspace.page, audit_page(page))
    note = write_list(workspace, proposal)  # last: where there is none, an audit was killed
    return Audit(
        competition,
        workspace,
        dataset,
        table,
        proposal,
        shift,
        mimics,
        known,
        note,
        findings.limits,
        lost_end(workspace),
        columns,
    )


def explain(
    competition: Competition,
    workspace: Workspace,
    raw: Path,
    sample: str,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> Explanation:
    """Write the pictures behind what an audit finds about the sample of that name, or that row of the raw file."""
    samples, findings, proposal, _ = _inspect(competition, workspace, raw, _jobs(workers), progress)
    dataset = first_images(samples)
    try:
        row = Naming(np.asarray(dataset.ids), dataset.called).row_or_id(sample)
    except UserError as error:
        raise UserError(f"--explain {sample}: {error}") from None
    index = int(dataset.ids[row])
    path = workspace.evidence / f"explain_{index}.png"
    shown = previewed(dataset, competition.rgb)
    singles = previewed(single_images(samples), competition.rgb)
    write_png(path, picture_of_row(competition, shown, findings, row, singles))
    return Explanation(index, str(dataset.called[row]), proposal[proposal["index"] == index], path)


def _jobs(workers: int | None) -> int:
    return workers or os.cpu_count() or 1


def _inspect(
    competition: Competition, workspace: Workspace, raw: Path, jobs: int, progress: Progress
) -> tuple[Dataset, Findings, pd.DataFrame, list[Run]]:
    """The data, what is found in them, the cleaning list to propose, and the runs that there are on these data."""
    with progress.phase(LOADING):
        load(competition, workspace, raw, progress, jobs)
    dataset = open_dataset(workspace.data)
    runs = _runs(competition, workspace)
    find = gather if dataset.sets is None else gather_of_sets
    findings = find(competition, dataset, workspace, best_run(runs), jobs, progress)
    return dataset, findings, propose(first_images(dataset), competition.task, findings), runs


def _runs(competition: Competition, workspace: Workspace) -> list[Run]:
    """Those on the present data and the stored folds: labels are held against the best."""
    table = stored_folds(workspace)
    if table is None or table.attrs["data"] != data_hash(workspace.data):
        return []
    # a cleaning list that was edited since is no hindrance to looking at the data
    return current_runs(open_labelled(competition, workspace, table))


def _plane(
    competition: Competition,
    workspace: Workspace,
    samples: Dataset,
    shown: Dataset,
    findings: Findings,
    proposal: pd.DataFrame,
    jobs: int,
    progress: Progress,
) -> PictureMap | None:
    """Where pictures lie on the map: those of findings, and others that are drawn; one that repeats is on it once.

    shown: samples as pictures.
    """
    tests = shown.test_images if competition.may_look_at(shown.test_images) else shown.test_images[:0]
    suggested = proposal["action"].str.endswith("?")
    lines = pd.concat([proposal[suggested], proposal[proposal["action"] == "drop"]])
    again = np.concatenate([findings.distinct[:0], *(rows[1:] for rows in findings.same)])
    among = np.setdiff1d(np.arange(len(shown.images)), again)
    marked = pd.Index(shown.ids).get_indexer(lines["index"].drop_duplicates())
    marked = marked[np.isin(marked, among)]
    seen = findings.distinct if samples.sets is None else findings.distinct[:0]  # of sets it is single images
    return picture_map(
        shown.images, tests, seen, among, marked, workspace.evidence, competition.rules.pretrained, jobs, progress
    )


def sample_table(dataset: Dataset, proposal: pd.DataFrame, findings: Findings) -> pd.DataFrame:
    """One line a sample: index, where samples have names name, group, intruder, label_suspect (0 to 1, NaN: not
    known), reason.
    """
    out = left_out(dataset.ids, proposal)
    group = groups_found(dataset, findings, out).astype(str)
    found = pd.DataFrame({"index": dataset.ids, "action": "group", "value": group})[~out | alone(dataset.groups)]
    repeated = proposal["reason"].str.startswith((REPEATED_PICTURE, REPEATED_MASK))
    dropped = proposal[(proposal["action"] == "drop") & repeated]
    reasons = proposal.groupby("index")["reason"].agg("; ".join).reindex(dataset.ids).fillna("")
    table = pd.DataFrame(
        {
            "index": dataset.ids,
            "group": merge_groups(dataset.groups, dataset.ids, found),
            "intruder": pd.Series(dataset.ids).isin(dropped["index"]),
            "label_suspect": 1 - findings.label_errors.quality,
            "reason": reasons.to_numpy(),
        }
    )
    if dataset.names is not None:
        table.insert(1, NAME, dataset.names)
    return table


def _shift(
    dataset: Dataset, findings: Findings, table: pd.DataFrame, evidence: Path, jobs: int, progress: Progress
) -> Shift:
    """How the test images differ from the training images that are no intruders; dataset: as pictures."""
    described, train = kept_properties(dataset.images, evidence / "properties.parquet", jobs, progress)
    rows_of_tests, test = kept_properties(dataset.test_images, evidence / "test_properties.parquet", jobs, progress)
    rows, at, _ = np.intersect1d(described, findings.distinct, assume_unique=True, return_indices=True)
    return measure_shift(train.iloc[at], test, table["group"].to_numpy()[rows], rows_of_tests)
