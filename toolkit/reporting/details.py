"""What a report keeps folded: the data in numbers, versions, and how the best run was made."""

import platform
import time
from importlib.metadata import version

import numpy as np

import toolkit
from toolkit.competition import Competition
from toolkit.data.cleaning import read_cleaning
from toolkit.outcome import fact
from toolkit.pages.html import Advice, Block, Fact, Folded, Table, Tiles
from toolkit.reporting.commands import train_command
from toolkit.reporting.inputs import Material
from toolkit.runs import Boosted
from toolkit.store import read_json
from toolkit.task import Task


def details(material: Material) -> Folded:
    """Data, versions and the command of the best run."""
    best = material.best
    blocks: list[Block] = [Tiles(facts(material)), Table("Versions", ("", ""), _versions(material), text=(0, 1))]
    if not isinstance(best, Boosted):
        blocks.append(Advice([(f"{best.name} is trained by", train_command(best))], "The best run"))
    return Folded("Data and versions", blocks)


def facts(material: Material) -> list[Fact]:
    labelled = material.labelled
    competition, inside = labelled.competition, labelled.inside
    dropped = (read_cleaning(labelled.workspace, labelled.ids, competition.task)["action"] == "drop").sum()
    found = [
        fact(int(inside.sum()), "sample", "in the folds"),
        (f"{int(dropped):,}", "dropped by the cleaning list"),
        fact(len(np.unique(labelled.group[inside])), "group", "of one origin"),
        fact(labelled.folds, "fold"),
        (f"{len(competition.scored)}", _scored(competition)),
        fact(len(labelled.test_images), "test image", "at hand"),
        fact(len(material.runs), "run"),
    ]
    changed = [
        (len(labelled.relabels), "relabelled for training; scores are on the file's labels"),
        (int((inside & ~labelled.trained).sum()), "of those dropped are still scored"),
    ]
    return [*found, *((f"{number:,}", text) for number, text in changed if number)]


def _scored(competition: Competition) -> str:
    noun = _noun(competition.task)
    if len(competition.scored) > 1:
        return f"{noun} that are scored"
    return f"{noun.removesuffix('es' if noun == 'classes' else 's')} that is scored"


def _noun(task: Task) -> str:
    kinds = {output.kind for output in task.outputs}
    return kinds.pop() if len(kinds) == 1 else "outputs"


def _versions(material: Material) -> list[list[str]]:
    """Of this page, and of what trained the best run, with the command as it was typed."""
    made = read_json(material.best.manifest_path, "inputs")
    packages = ", ".join(f"{name} {number}" for name, number in made["versions"].items() if number)
    here = f"toolkit {toolkit.__version__}, Python {platform.python_version()}, matplotlib {version('matplotlib')}"
    rows = [
        ["this page", f"{time.strftime('%Y-%m-%d %H:%M')}, {here}"],
        ["best run", f"trained {made['finished'][:16].replace('T', ' ')}, Python {made['python']}, {packages}"],
        ["typed", made.get("command", "")],
    ]
    commit = made.get("commit") or made["inputs"].get("commit")
    return [*rows, *([["commit", str(commit)]] if commit else [])]
