"""A competition at a glance: what was run, what is best, what was handed in, what takes the disk, what comes next."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from toolkit.commands import completed
from toolkit.disk import bytes_in, in_bytes
from toolkit.errors import UserError
from toolkit.events import NAMES
from toolkit.outcome import Outcome, Table, Warned, counted, number
from toolkit.store import Workspace, read_manifest

if TYPE_CHECKING:
    from toolkit.data.labelled import Labelled
    from toolkit.opened import Opened
    from toolkit.runs import Run
    from toolkit.submission.ledger import Line

RUNS, SUBMISSIONS, STEPS = 4, 2, 2  # that are shown, so that all of it fits on a screen of 24 lines
LETTERS = 130  # of a reason, two lines
# folders of a workspace, by what a person calls what is in them
KINDS = {
    "practice": "practice data",
    "data": "data",
    "decoded": "decoded images",
    "evidence": "audit",
    "train": "runs",
    "features": "features",
    "search": "search",
    "ensemble": "blends",
}


@dataclass(frozen=True, repr=False)
class Status(Outcome):
    """runs: those on the present data and folds, the best first; others: how many are on other ones, unfinished: how
    many were begun, removed: how many `clean` took away; blend: name and scores of the chosen one; lines: of the
    ledger, oldest first; disk: bytes by kind; note: why runs can't be told; steps: commands, each with a reason.
    """

    name: str
    metric: str
    workspace: Workspace
    audited: bool
    runs: Sequence[Mapping[str, Any]] = ()
    others: int = 0
    unfinished: int = 0
    removed: int = 0
    blend: Mapping[str, Any] | None = None
    lines: "Sequence[Line]" = ()
    disk: Mapping[str, int] = field(default_factory=dict)
    note: str = ""
    steps: Sequence[tuple[str, str]] = ()

    @property
    def next(self) -> Sequence[tuple[str, str]]:
        return [(command, shorten(why, LETTERS, placeholder=" …")) for command, why in self.steps[:STEPS]]

    def told(self) -> Sequence[str | Warned | Table]:
        return [*self._told()]

    def _told(self) -> Iterator[str | Warned | Table]:
        blends = "1 blend" if self.blend else "no blend"
        handed_in = counted(len(self.lines), "submission") if self.lines else "no submission"
        parts = [counted(len(self.runs), "run"), blends, handed_in, in_bytes(sum(self.disk.values()))]
        yield f"{self.name}: {' · '.join(parts) if self.audited else 'nothing yet'}"
        if self.note:
            yield Warned(self.note)
        if self.runs:
            yield self._scores()
        gone = f"removed (scores and recipes: {self.workspace.removed})"
        kinds = [(self.others, "on other data or folds"), (self.unfinished, "unfinished"), (self.removed, gone)]
        if any(many for many, _ in kinds):
            yield "; ".join(f"{counted(many, 'run')} {what}" for many, what in kinds if many)
        if self.lines:
            yield self._submissions()
        largest = sorted(self.disk.items(), key=lambda one: -one[1])
        if self.disk:
            shown = ", ".join(f"{kind} {in_bytes(size)}" for kind, size in largest if size >= 1e5)
            yield f"disk: {shown or 'nothing'} in {self.workspace.folder}"

    def _scores(self) -> Table:
        """Of so many columns that names of runs stay whole on 80 letters."""
        shown = [*self.runs[:RUNS], *([self.blend] if self.blend else [])]
        kinds = [kind for kind in ("matched", "stress") if any(one[kind] for one in shown)]
        rows = []
        for one in shown:
            name = f"blend {one['name']}" if one is self.blend else one["name"]
            rows.append([name, *(_score(one[kind]) for kind in ("clean", *kinds)), one.get("epochs", "")])
        of = f"best {RUNS} of {len(self.runs)} runs" if len(self.runs) > RUNS else "best first"
        low, high = (number(self.runs[0]["clean"][end], digits=3) for end in ("low", "high"))
        title = f"{self.metric}, {of}; 95 % interval of the first: {low} to {high}"
        return Table(
            title, ["run", *(NAMES[kind] for kind in ("clean", *kinds)), "epochs"], rows, total=bool(self.blend)
        )

    def _submissions(self) -> Table:
        from toolkit.submission.ledger import identity

        boards = [board for board in ("public", "private", "practice") if any(line[board] for line in self.lines)]
        rows = [
            [identity(line), line["time"][:10], *(_text(line[score]) for score in ("clean", *boards))]
            for line in reversed(self.lines[-SUBMISSIONS:])
        ]
        return Table("", ["submission", "built", NAMES["clean"], *boards], rows)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "metric": self.metric,
            "audited": self.audited,
            "runs": [dict(run) for run in self.runs],
            "runs_on_other_data_or_folds": self.others,
            "unfinished_runs": self.unfinished,
            "removed_runs": self.removed,
            "blend": self.blend and dict(self.blend),
            "submissions": [dict(line) for line in self.lines],
            "disk": dict(self.disk),
            "note": self.note,
            "next": [{"command": command, "why": why} for command, why in self.steps],
        }


def _score(score: Mapping[str, Any] | None) -> str:
    return number(score["score"]) if score else "-"


def _text(score: str) -> str:
    return number(float(score)) if score else "-"


def status(project: "Opened") -> Status:
    """Reads a few small files, and none of the large ones."""
    from toolkit.next_steps import next_steps

    workspace, metric = project.workspace, project.competition.metric.name
    title = f"{project.competition.name} (practice)" if project.practice else project.competition.name
    audited, labelled = read_manifest(workspace.data) is not None, None
    made: dict[str, Any] = {"lines": project.ledger.lines, "disk": disk_by_kind(workspace)}
    if audited and workspace.folds.exists():
        from toolkit.data.labelled import open_labelled

        try:
            labelled = open_labelled(project.competition, workspace)
            made |= _of_runs(labelled)
            made["removed"] = _removed(workspace)
        except UserError as error:
            made["note"] = completed(str(error), project)
    return Status(title, metric, workspace, audited, steps=next_steps(project, labelled), **made)


def _of_runs(labelled: "Labelled") -> dict[str, Any]:
    from toolkit.runs import all_runs

    finished = all_runs(labelled)
    current = sorted((run for run in finished if run.is_current), key=lambda run: (run.handicapped, -run.merit))
    begun = sum(1 for _ in labelled.workspace.train.glob("*/"))
    return {
        "runs": [facts_of(run) for run in current],
        "others": len(finished) - len(current),
        "unfinished": begun - len(finished),
        "blend": _blend(labelled),
    }


def _removed(workspace: Workspace) -> int:
    if not workspace.removed.exists():
        return 0
    from toolkit.removable import removed_runs

    return len(removed_runs(workspace))


def facts_of(run: "Run") -> dict[str, Any]:
    """What a line says of a run."""
    metrics, history = run.metrics, run.history
    scores = {kind: metrics.get(kind) for kind in ("clean", "stress", "matched")}
    return {"name": run.name, **scores, "epochs": epochs(run, history), "minutes": f"{run.seconds / 60:.1f}"}


def epochs(run: "Run", history: Sequence[Sequence[Any]]) -> str:
    """Epochs of its folds: `5 x 30`, or `5 x 1 to 3, cut short`."""
    counts = [len(fold) for fold in history]
    if not any(counts):
        return "-"
    span = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    return f"{len(counts)} x {span}" + ("" if run.complete else ", cut short")


def _blend(labelled: "Labelled") -> dict[str, Any] | None:
    """The one that a submission would follow."""
    from toolkit.predictions import Predictions

    if not labelled.workspace.chosen.exists():
        return None
    found = Predictions(labelled.workspace.chosen_blend, labelled)
    if not found.finished:
        return None
    return {"name": found.name, **{kind: found.metrics.get(kind) for kind in ("clean", "stress", "matched")}}


def disk_by_kind(workspace: Workspace) -> dict[str, int]:
    """Bytes of a workspace, by what they are; without those of nothing."""
    sizes: dict[str, int] = {}
    for one in sorted(workspace.folder.glob("*")):
        kind = KINDS.get(one.name, "other")
        with suppress(FileNotFoundError):  # another command may work here
            sizes[kind] = sizes.get(kind, 0) + (bytes_in(one) if one.is_dir() else one.stat().st_size)
    return {kind: size for kind, size in sizes.items() if size}
