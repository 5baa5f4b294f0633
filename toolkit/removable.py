"""What of a workspace can be made again, the least valuable first: listed with the reason why it can go, and removed.

Submissions, the blend that is chosen, its runs and the best ones stay whole; of further runs that a submission was
blended from what blending them again needs.
"""

import csv
import io
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.blending.blend_folder import Blend
from toolkit.checked import check_last_line, readable
from toolkit.claims import claimed, claimed_run, claims_in, in_turn, owner_of
from toolkit.data.labelled import Labelled
from toolkit.data.sizes import image_shape
from toolkit.disk import bytes_in, in_bytes
from toolkit.errors import UserError
from toolkit.images.cache import folder_of
from toolkit.outcome import Outcome, Table, counted
from toolkit.partial_files import discard
from toolkit.progress import SILENT, Progress
from toolkit.recipe import RECIPE, read_recipe
from toolkit.runs import SCORES, Boosted, Run, all_runs, run_at, without_handicap
from toolkit.store import Workspace, read_manifest, write_text
from toolkit.submission.ledger import Line, identity, runs_of

KEEP = 10  # runs that stay whole, the best ones
COLUMNS = ("time", "run", "recipe", *SCORES, "epochs", "seconds", "bytes", "why")  # of a line for each removed run
AGAIN = "made again where it is needed"


@dataclass(frozen=True)
class Removable:
    """A file or folder that can go. run: that it is, if it is a whole one."""

    path: Path
    why: str
    run: Run | None = None

    @property
    def size(self) -> int:
        return bytes_in(self.path) if self.path.is_dir() else self.path.stat().st_size


@dataclass(frozen=True, repr=False)
class Cleaned(Outcome):
    """What was removed, or with `dry_run` would be: path, bytes, reason; left: bytes that the workspace then takes;
    submitted: runs that stay because a submission was blended from them.
    """

    workspace: Workspace
    removed: Sequence[tuple[str, int, str]]
    left: int
    submitted: int
    dry_run: bool

    @property
    def size(self) -> int:
        """Bytes, all together."""
        return sum(size for _, size, _ in self.removed)

    def told(self) -> Sequence[str | Table]:
        if not self.removed:
            return [f"{self.workspace.folder}: nothing to remove of {in_bytes(self.left)}", *self._stay()]
        rows = [[name, in_bytes(size), why] for name, size, why in self.removed]
        what = "can go" if self.dry_run else "removed"
        total = ["all", in_bytes(self.size), f"{in_bytes(self.left)} {'would be' if self.dry_run else 'are'} left"]
        title = f"{self.workspace.folder}: {what}, the least valuable first"
        return [
            Table(title, ["", "size", "why"], [*rows, total], total=True, text=True),
            *self._stay(),
            *self._listed(),
        ]

    def _stay(self) -> Iterator[str]:
        if self.submitted:
            yield f"{counted(self.submitted, 'run')} stay for submissions that were blended from them (`--all`: not)"

    def _listed(self) -> Iterator[str]:
        if self.dry_run:
            yield "nothing was removed: leave out --dry-run to remove it"
        elif self.workspace.removed.exists():
            yield f"{self.workspace.removed}: recipes and scores of all runs that were removed"

    def as_json(self) -> dict[str, Any]:
        named = [{"path": name, "bytes": size, "why": why} for name, size, why in self.removed]
        return {"removed": named, "bytes": self.size, "left": self.left, "dry_run": self.dry_run}


def clean(
    labelled: Labelled,
    lines: Sequence[Line],
    keep: int = KEEP,
    *,
    dry_run: bool = False,
    submitted_too: bool = False,
    progress: Progress = SILENT,
) -> Cleaned:
    """Remove what can be made again. lines: of the ledger; keep: runs that stay whole at least, the best ones.

    UserError where a run is being trained. submitted_too: no regard to what past submissions were blended from.
    """
    if keep < 0:
        raise UserError(f"{keep} runs can't be kept; give 0 or more")
    workspace = labelled.workspace
    lines = [] if submitted_too else lines
    with in_turn(workspace.claims / "clean.lock", "another `compete clean`", progress):
        _check_nobody_trains(workspace)
        whole, slim = _kept(labelled, lines, keep)
        found = list(_removable(labelled, lines, whole, slim))
        removed = [(str(one.path.relative_to(workspace.folder)), one.size, one.why) for one in found]
        if not dry_run:
            _note(workspace, [one for one in found if one.run is not None])
            removed = [told for one, told in zip(found, removed, strict=True) if _remove(one, workspace)]
        left = bytes_in(workspace.folder) - dry_run * sum(size for _, size, _ in removed)
    return Cleaned(workspace, removed, left, len(slim), dry_run)


def _check_nobody_trains(workspace: Workspace) -> None:
    for claim in claims_in(workspace.claims):
        with claimed(claim) as mine:
            if not mine:
                name = next((run.name for run in workspace.train.glob(f"[!.]*-{claim.name[:8]}")), claim.name)
                who = owner_of(claim).pid
                raise UserError(f"{name} is being trained by process {who}; clean when that has ended")


def _remove(one: Removable, workspace: Workspace) -> bool:
    """False where who trains the run came first. A kill leaves it whole, or as what the next command sweeps."""
    place, *name = one.path.relative_to(workspace.folder).parts  # a run, something in it, or something else
    run = workspace.folder / place / (name[0] if name else "")
    with claimed_run(workspace.claims, run) as mine:
        if mine:
            discard(one.path)
    return mine


def _kept(labelled: Labelled, lines: Sequence[Line], keep: int) -> tuple[set[str], set[str]]:
    """Names of the runs that stay whole, and of those of which what blending needs stays."""
    runs = all_runs(labelled)
    known = {run.name for run in runs}
    best = sorted(without_handicap([run for run in runs if run.is_current]), key=lambda run: -run.merit)
    whole = {run.name for run in best[:keep]}
    for blend in _blends(labelled):
        if blend.folder == labelled.workspace.chosen_blend or blend.is_current:
            whole |= blend.used
    path = labelled.workspace.best_recipe
    if path.exists():
        hash_of_best = read_recipe(path).hash
        whole |= {run.name for run in runs if not isinstance(run, Boosted) and run.recipe.hash == hash_of_best}
    submitted = {name for line in lines for name in runs_of(line)}
    slim = _with_sources(submitted, runs) & known
    whole = _with_sources(whole, runs) & known
    return whole, slim - whole


def _with_sources(names: set[str], runs: Iterable[Run]) -> set[str]:
    """With the runs whose values boosted ones take."""
    boosted = [run for run in runs if isinstance(run, Boosted) and run.name in names]
    return names.union(*({source.name for source in run.sources} for run in boosted))


def _blends(labelled: Labelled) -> list[Blend]:
    """The finished ones, by name."""
    found = [Blend(path, labelled) for path in sorted(labelled.workspace.ensemble.glob("[!.]*/"))]
    return [blend for blend in found if blend.finished]


def _removable(labelled: Labelled, lines: Sequence[Line], whole: set[str], slim: set[str]) -> Iterator[Removable]:
    workspace = labelled.workspace
    runs = [run_at(path, labelled) for path in sorted(workspace.train.glob("[!.]*/"))]
    going = [one for run in runs if run.name not in whole | slim and (one := _whole_run(run))]
    if workspace.features.is_dir() and any(workspace.features.iterdir()):
        yield Removable(workspace.features, f"what frozen backbones say of the images; {AGAIN}")
    yield from _decoded(labelled, [run for run in runs if run.name not in {one.path.name for one in going}])
    submitted = [(identity(line), set(runs_of(line))) for line in lines]
    for blend in _blends(labelled):
        runs_in = set((blend.manifest or {})["runs"])
        needed = any(one.startswith(f"{blend.name}-") and runs_in == names for one, names in submitted)
        if blend.folder != workspace.chosen_blend and not blend.is_current and not needed:
            yield Removable(blend.folder, "a blend on other data or folds than the present ones")
    for run in runs:
        if run.name in slim:
            yield from _parts(run)
    yield from sorted(going, key=lambda one: _worth(one.run))


def _decoded(labelled: Labelled, runs: Sequence[Run]) -> Iterator[Removable]:
    """Images at a size that neither the audit nor a run of these looks at."""
    workspace, task = labelled.workspace, labelled.competition.task
    used = {(read_manifest(workspace.data) or {}).get("decoded")}
    for run in runs:
        if (run.folder / RECIPE).exists():
            images = read_recipe(run.folder / RECIPE).images
            used.add(folder_of(workspace, image_shape(images, task), images.fit).name)
    for path in sorted(workspace.decoded.glob("[!.]*/")):
        if path.name not in used and not path.name.endswith(".partial"):
            yield Removable(path, f"images at a size that no run that stays has; {AGAIN}")


def _parts(run: Run) -> Iterator[Removable]:
    """What blending a run again doesn't need, or has made again from its weights."""
    why = "of a run that stays for a submission alone"
    scores = (run.stress_folder, run.matched_folder)
    views = (run.folder / "views", *(() if isinstance(run, Boosted) else (run.test_path,)))
    yield from (Removable(path, f"behind scores {why}; the scores stay") for path in scores if path.exists())
    yield from (Removable(path, f"predictions {why}; {AGAIN}") for path in views if path.exists())


def _whole_run(run: Run) -> Removable | None:
    """A run that can go; None for one that was interrupted and goes on from there."""
    if not run.finished:
        return Removable(run.folder, "a trial that its search gave up", run) if run.searched else None
    if not run.is_of_present:
        return Removable(run.folder, "a run on other data or folds than the present ones", run)
    if not run.is_current:  # scored by another metric: its rank isn't known
        return None
    return Removable(run.folder, f"not among the best runs, and in no blend ({run.score:.4f})", run)


def _worth(run: Run | None) -> tuple[bool, bool, float]:
    """By which runs are put in order: given up, on other folds, then by their score."""
    assert run is not None
    return run.finished, run.is_current, run.merit if run.is_current else 0.0


def _note(workspace: Workspace, runs: Sequence[Removable]) -> None:
    """Leave a line of each before it goes."""
    if not runs:
        return
    names = {one.path.name for one in runs}
    lines = [line for line in _lines(workspace) if line["run"] not in names]
    lines += [_line(one) for one in runs]
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_text(workspace.removed, buffer.getvalue())


def _line(one: Removable) -> dict[str, str]:
    run = one.run
    assert run is not None
    known = json.loads(run.metrics_path.read_text()) if run.metrics_path.exists() else {}  # of whatever metric
    scores = {kind: f"{known[kind]['score']:.6f}" if known.get(kind) else "" for kind in SCORES}
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "run": run.name,
        "recipe": json.dumps(run.recipe_fields),
        **scores,
        "epochs": str(max(map(len, run.history), default=0)),
        "seconds": f"{run.seconds:.0f}",
        "bytes": str(one.size),
        "why": one.why,
    }


def _lines(workspace: Workspace) -> list[dict[str, str]]:
    if not workspace.removed.exists():
        return []
    remedy = "mend it in an editor, or remove it: it only tells of runs that are gone"
    check_last_line(workspace.removed, remedy)
    with readable(workspace.removed, remedy), open(workspace.removed, encoding="utf-8-sig", newline="") as file:
        return [{name: line.get(name) or "" for name in COLUMNS} for line in csv.DictReader(file)]


def removed_runs(workspace: Workspace) -> list[dict[str, str]]:
    """The runs that were removed and not trained again since, as text by COLUMNS, the oldest first."""
    return [line for line in _lines(workspace) if not (workspace.train / line["run"]).exists()]
