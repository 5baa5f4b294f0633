"""Two runs side by side: what differs in settings, scores, classes, time and versions, and whether it is chance."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from toolkit.data.labelled import Labelled
from toolkit.errors import UserError
from toolkit.events import NAMES
from toolkit.outcome import Outcome, Table, Warned, duration, interval, number
from toolkit.overview import epochs
from toolkit.recipe_fields import as_text, recipe_fields, value_of
from toolkit.runs import Boosted, Run, all_runs
from toolkit.scoring.comparison import Comparison, compare_runs
from toolkit.store import whole_manifest

MOST = 20  # classes that are shown, those that differ most


@dataclass(frozen=True, repr=False)
class Difference(Outcome):
    """One run against another; compared: the CV score as pairs of samples, None where data or folds differ."""

    one: Run
    other: Run
    compared: Comparison | None

    @property
    def metric(self) -> str:
        return self.one.labelled.competition.metric.name

    @cached_property
    def settings(self) -> dict[str, tuple[Any, Any]]:
        """Fields of the recipe that differ, by their names; None where one has no such field."""
        mine, theirs = (_flat(run) for run in (self.one, self.other))
        names = [name for name in {**mine, **theirs} if name != "name"]
        return {name: (mine.get(name), theirs.get(name)) for name in names if mine.get(name) != theirs.get(name)}

    def told(self) -> Sequence[str | Warned | Table]:
        return [*self._told()]

    def _told(self) -> Iterator[str | Warned | Table]:
        rows = [*self._scores(), *self._costs(), *self._versions()]
        yield Table(f"A: {self.one.name}\nB: {self.other.name}", ["", "A", "B"], rows, text=True)
        if self.compared is None:
            yield Warned("they are on different data or folds, so their scores can't be compared")
        else:
            yield f"CV {self.metric}, A less B on the same samples: {self.compared}"
        rows = [[name, *map(_shown, pair)] for name, pair in self.settings.items()]
        yield Table("settings that differ", ["", "A", "B"], rows, text=True) if rows else "all settings are the same"
        if rows := self._classes():
            more = f", the {MOST} that differ most" if len(rows) == MOST else ""
            yield Table(f"CV by class{more}", ["", "A", "B", "A less B"], rows)

    def _scores(self) -> Iterator[list[str]]:
        for kind, name in NAMES.items():
            pair = [run.metrics.get(kind) for run in (self.one, self.other)]
            if any(pair):
                yield [name, *(interval(score) if score else "-" for score in pair)]

    def _costs(self) -> Iterator[list[str]]:
        both = (self.one, self.other)
        yield ["folds x epochs", *(epochs(run, run.history) for run in both)]
        yield ["trained for", *(duration(run.seconds) for run in both)]

    def _versions(self) -> Iterator[list[str]]:
        """When each was finished, and the versions that differ."""
        pair = [whole_manifest(run.folder) or {} for run in (self.one, self.other)]
        yield ["finished", *(str(each.get("finished", "-"))[:16].replace("T", " ") for each in pair)]
        told = [{**each.get("versions", {}), **_code(each)} for each in pair]
        for name in {**told[0], **told[1]}:
            values = [str(each.get(name) or "-") for each in told]
            if len(set(values)) > 1:
                yield [name, *values]

    def _classes(self) -> list[list[str]]:
        """Those that both know, the largest difference first where they are many."""
        mine, theirs = (run.metrics["clean"].get("by_class") or {} for run in (self.one, self.other))
        known = [name for name in mine if mine[name] is not None and theirs.get(name) is not None]
        if len(known) > MOST:
            known = sorted(known, key=lambda name: -abs(mine[name] - theirs[name]))[:MOST]
        return [[n, number(mine[n]), number(theirs[n]), number(mine[n] - theirs[n], "+")] for n in known]

    def as_json(self) -> dict[str, Any]:
        runs = [
            {**run.as_json(), "seconds": run.seconds, "epochs": [*map(len, run.history)]}
            for run in (self.one, self.other)
        ]
        found = self.compared
        compared = found and {name: getattr(found, name) for name in ("difference", "low", "high", "sure", "words")}
        settings = {name: [*pair] for name, pair in self.settings.items()}
        return {"runs": runs, "difference": compared, "settings": settings}


def difference(labelled: Labelled, one: str, other: str) -> Difference:
    """UserError where a name is no finished run, or could be several."""
    first, second = (find_run(labelled, name) for name in (one, other))
    if first == second:
        raise UserError(f"both are {first.name}; name two runs")
    alike = first.is_current and second.is_current
    return Difference(first, second, compare_runs([first], second)[0] if alike else None)


def find_run(labelled: Labelled, name: str) -> Run:
    """The finished run of that name, or the only one whose name begins so, ends so, or has it in it."""
    runs = {run.name: run for run in all_runs(labelled)}
    if name in runs:
        return runs[name]
    for fits in (str.startswith, str.endswith, str.__contains__):
        found = [each for each in runs if fits(each, name)]
        if len(found) == 1:
            return runs[found[0]]
        if found:
            raise UserError(f"{name!r} could be {' or '.join(found)}; write more of it")
    known = f"there are {', '.join(runs)}" if runs else "there is none: `compete train` makes one"
    raise UserError(f"{name!r} is not a finished run of {labelled.workspace.name}; {known}")


def _code(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What else made it: Python, machine and commit, as far as they are noted."""
    return {name: str(manifest[name]) for name in ("python", "machine", "commit") if manifest.get(name)}


def _shown(value: Any) -> str:
    return "-" if value is None else as_text(value)


def _flat(run: Run) -> dict[str, Any]:
    """Fields by their dotted names, also those that are as usual and not stored; trees have others."""
    if isinstance(run, Boosted):
        return dict(run.recipe_fields)
    return {one.name: value_of(run.recipe, one.name) for one in recipe_fields()}
