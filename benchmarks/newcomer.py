"""What `new` makes of each example's download, and how many lines of it have to be edited.

    python -m benchmarks.newcomer [--run 2m] [--json] [--only dogs_vs_cats …]

Practice data of each of `examples/` are drawn in the organisers' layout, and `compete new` looks at them in
a fresh folder, without the example's own `__init__.py`; what they score by is said by `--metric` where `new` guesses
another and knows its word. Then the lines that NEWCOMERS lists are replaced, and the competition has to load. With
`--run`, `compete run` makes a submission of it within a budget; the example's own reader reads it, and its
own metric scores.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit import Competition, Project, UserError, Workspace, load_competition, new_competition
from toolkit.data.loading import load
from toolkit.outcome import Table
from toolkit.progress import SILENT
from toolkit.recognition.metric_names import METRICS
from toolkit.screen import Screen

EXAMPLES = Path(__file__).parent.parent / "examples"


@dataclass(frozen=True)
class Newcomer:
    """metric: the word of what the organisers score by, empty where `new` knows none. edits: a line that `new` writes,
    by what it begins with, and the line in its place.
    """

    metric: str
    edits: dict[str, str] = field(default_factory=dict)


NEWCOMERS = {
    "aptos2019": Newcomer("kappa"),
    "bengali": Newcomer("macro_recall", {"METRIC = ": "METRIC = WeightedMacroRecall((2, 1, 1))"}),
    "dogs_vs_cats": Newcomer("log_loss"),
    "happy_whale": Newcomer(
        "map@5",
        {"TASK = ": 'TASK = Classification(classes=NAMES, image_shape=(96, 96, 3), unknown="new_individual")'},
    ),
    "herbarium": Newcomer("f1"),
    "hubmap_kidney": Newcomer("dice"),
    "pawpularity": Newcomer("rmse"),
    "ranzcr_clip": Newcomer("auc"),
    "recursion": Newcomer("accuracy"),
    "rsna_breast": Newcomer("probabilistic_f1"),
    "severstal": Newcomer("dice"),
}


@dataclass
class Found:
    """fault: why what `new` wrote, with the edits, doesn't load; empty: it does. guessed: is the metric the right one
    without a word? scored: by the example's own reader and metric; None: not run.
    """

    name: str
    guessed: bool
    edits: int
    fault: str
    task: str
    scored: float | None = None
    seconds: float = 0.0

    @property
    def works(self) -> bool:
        return not self.fault


def measure(name: str, folder: Path, budget: str = "", size: int | None = None) -> Found:
    """One example in a fresh folder. budget: of a run, empty for none; size: of the practice data, if not its own."""
    newcomer = NEWCOMERS[name]
    judge = Project(EXAMPLES / name, practice=True, practice_size=size, workspace=folder, progress=SILENT)
    raw, made = judge.raw, folder / "competitions" / name
    metric = newcomer.metric if newcomer.metric in METRICS or newcomer.metric.startswith("map@") else ""
    guessed = ""
    try:
        proposal = new_competition(made, raw).proposal
        guessed = proposal.word
        if metric and metric != guessed:
            proposal = new_competition(made, raw, metric=metric, force=True).proposal
        edit(made / "__init__.py", newcomer.edits)
        load(load_competition(made), Workspace(folder / "loaded", name), raw)
        found = Found(name, bool(metric) and guessed == metric, len(newcomer.edits), "", proposal.task)
    except UserError as error:
        return Found(name, bool(metric) and guessed == metric, len(newcomer.edits), str(error), "")
    if budget:
        _submit(found, judge, made, raw, folder, budget)
    return found


def edit(file: Path, edits: dict[str, str]) -> None:
    """Replace lines; UserError where not one line begins so: then the list of edits is out of date."""
    lines = file.read_text(encoding="utf-8").splitlines()
    for begins, line in edits.items():
        places = [at for at, one in enumerate(lines) if one.startswith(begins)]
        if len(places) != 1:
            raise UserError(f"{file}: {len(places)} lines begin with {begins!r}, the edit expects one")
        lines[places[0]] = line
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")
    sys.modules.pop(f"{file.parent.resolve().parent.name}.{file.parent.name}", None)


def _submit(found: Found, judge: Project, made: Path, raw: Path, folder: Path, budget: str) -> None:
    """A submission by the command, as a user gives it, and its score as the example has it."""
    command = [sys.executable, "-m", "toolkit.run", str(made), "--data", str(raw), "--budget", budget, "--json"]
    command += ["--workspace", str(folder / "own"), "--submissions", str(folder / "submissions")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        found.fault = ran.stderr.strip().splitlines()[-1]
        return
    said: dict[str, Any] = json.loads(ran.stdout)
    found.seconds = said["seconds"]
    example: Competition = load_competition(EXAMPLES / found.name)
    try:
        load(example, judge.workspace, raw)
        found.scored = judge.grade(said["submission"]).score
    except UserError as error:
        found.fault = str(error)


def table(figures: list[Found]) -> Table:
    rows = []
    for one in figures:
        word = NEWCOMERS[one.name].metric
        metric = "guessed" if one.guessed else f"--metric {word}" if word else "not known"
        score = "" if one.scored is None else f"{one.scored:.4f}"
        rows.append([one.name, one.task, metric, str(one.edits), score, one.fault or "works"])
    without = sum(one.works and not one.edits for one in figures)
    least = sum(one.works and one.edits <= 1 for one in figures)
    title = f"of {len(figures)} examples {without} work without an edit, {least} with one edited line at most"
    return Table(title, ["example", "task", "metric", "edited lines", "score", "what `new` wrote"], rows, text=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--run", metavar="TIME", default="", help="make a submission of each in that time, and score it"
    )
    parser.add_argument("--only", nargs="+", choices=sorted(NEWCOMERS), default=sorted(NEWCOMERS), metavar="NAME")
    options = parser.parse_args()
    figures = []
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            figures.append(measure(name, Path(folder), options.run))
    if options.json:
        print(json.dumps([vars(one) for one in figures]))
        return
    Screen().table(table(figures))


if __name__ == "__main__":
    main()
