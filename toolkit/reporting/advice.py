"""What to try next: a few steps, each true by a number of the data, with the command that does it.

Read from files alone and without torch, so that a list of runs can end with it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from toolkit.commands import with_submissions
from toolkit.data.cleaning import read_cleaning
from toolkit.data.labelled import Labelled
from toolkit.data.rehearsal import was_built
from toolkit.outcome import are, counted
from toolkit.recipe import Recipe
from toolkit.reporting.commands import compete, is_practice, train_command
from toolkit.reporting.forecast import NEEDED
from toolkit.reporting.weaknesses import Weakness, allowed, legal, still_rising, weakest_class, weakest_family
from toolkit.runs import Boosted, Run, current_runs, without_handicap
from toolkit.store import read_manifest
from toolkit.submission.ledger import Ledger, Line, identity

MOST = 5  # steps: of more none is done
SEEDS = 3  # of the best recipe, whose mean is worth more than one
NAMED = 3  # suggestions, recipes in one sentence


@dataclass(frozen=True)
class Step:
    """A sentence, and the command that does what it says; empty where there is none."""

    text: str
    command: str = ""


@dataclass(frozen=True)
class Known:
    """runs: on the present data and folds, the best first, at least one."""

    labelled: Labelled
    ledger: Ledger
    runs: Sequence[Run]

    @cached_property
    def best(self) -> Run | None:
        """The best that is a recipe's."""
        return next((run for run in without_handicap(self.runs) if not isinstance(run, Boosted)), None)

    @cached_property
    def lines(self) -> list[Line]:
        return self.ledger.lines

    @cached_property
    def blended(self) -> set[str] | None:
        """The runs that the chosen blend was made from; None where there is none."""
        manifest = read_manifest(self.labelled.workspace.chosen_blend)
        return None if manifest is None else set(manifest["runs"])


def advise_next(labelled: Labelled, ledger: Ledger) -> list[Step]:
    """At most MOST steps, the first one first."""
    runs = sorted(current_runs(labelled), key=lambda run: (run.handicapped, -run.merit))
    if not runs:
        return [Step("Nothing is trained on these data and folds yet.", compete(labelled, "run", "--budget", "30m"))]
    steps = islice(all_steps(Known(labelled, ledger, runs)), MOST)
    return [Step(step.text, with_submissions(step.command, ledger.folder)) for step in steps]


def all_steps(known: Known) -> Iterator[Step]:
    """In order: what makes the present scores whole and known, what they say is weak, then what was never tried."""
    for ask in (
        unfinished,
        unblended,
        unscored,
        of_practice,
        longer,
        weak_class,
        weak_family,
        unseen_suggestions,
        untried_recipes,
        unsearched,
        few_seeds,
    ):
        step = ask(known)
        if step is not None:
            yield step


def unfinished(known: Known) -> Step | None:
    """The best run that a budget cut short."""
    cut = [run for run in known.runs if not run.complete and not isinstance(run, Boosted)]
    if not cut:
        return None
    run = cut[0]
    wanted = run.recipe.schedule.epochs
    missing = sum(max(wanted - len(fold), 0) for fold in run.history if fold)
    others = f" So were {counted(len(cut) - 1, 'other run')}." if len(cut) > 1 else ""
    text = f"{run.name} was cut short by the budget: its folds have {epochs_of(run)} of {wanted}; finish it"
    return Step(f"{text}{_cost(run, missing)}.{others}", train_command(run))


def epochs_of(run: Run) -> str:
    """`1 to 3 epochs`, of its folds."""
    lengths = [len(fold) for fold in run.history]
    least, most = min(lengths, default=0), max(lengths, default=0)
    return counted(most, "epoch") if least == most else f"{least} to {counted(most, 'epoch')}"


def _cost(run: Run, epochs: float) -> str:
    """`, about 4 min`: of so many epochs of one fold each, at the speed of the run."""
    trained = sum(len(fold) for fold in run.history)
    return f", about {_rough(epochs * run.seconds / trained)}" if trained and run.seconds and epochs else ""


def _again(run: Run, factor: float = 1) -> str:
    return _cost(run, factor * sum(len(fold) for fold in run.history))


def _rough(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def unblended(known: Known) -> Step | None:
    """Several runs, or such as came after the blend."""
    names, blended = {run.name for run in without_handicap(known.runs)}, known.blended
    command = compete(known.labelled, "ensemble")
    if blended is None:
        text = f"{counted(len(names), 'run')} are not blended yet; it takes no training."
        return Step(text, command) if len(names) > 1 else None
    new = names - blended
    if not new or len(names) < 2:
        return None
    return Step(f"{are(len(new), 'run')} not in the blend, such as {min(new)}; it takes no training.", command)


def unscored(known: Known) -> Step | None:
    """A submission that is built, and whose score nobody recorded; or none, where there is a blend."""
    labelled, lines = known.labelled, known.lines
    if not lines:
        text = "The blend is not made a submission yet."
        return Step(text, compete(labelled, "submit")) if known.blended else None
    newest = lines[-1]
    if recorded(newest) is not None:
        return None
    name, have = identity(newest), sum(recorded(line) is not None for line in lines)
    if is_practice(labelled):
        return Step(f"{name} is built and not graded yet.", compete(labelled, "grade"))
    text = f"No leaderboard score of {name} is recorded"
    text += f"; a forecast needs {NEEDED}, there {'is' if have == 1 else 'are'} {have}" if have < NEEDED else ""
    return Step(f"{text}: upload it, then write the score down.", compete(labelled, "submit", "--score", "0.xx"))


def recorded(line: Line) -> float | None:
    """What the leaderboard said of a submission, or of practice data the grade."""
    said = line["public"] or line["practice"]
    return float(said) if said else None


def of_practice(known: Known) -> Step | None:
    """Scores of synthetic data say nothing of real ones."""
    labelled = known.labelled
    if not is_practice(labelled):
        return None
    competition = labelled.competition
    there = (competition.folder / "data").is_dir()
    files = competition.files or "the organisers' files"
    how = "" if there else f" (FOLDER: with {files})"
    text = f"These are synthetic practice data; scores on them say nothing of the real ones{how}."
    given = [] if there else ["--data", "FOLDER"]
    return Step(text, compete(labelled, "run", *given, "--budget", "30m", practice=False))


def _trained(run: Run, weakness: Weakness | None, factor: float = 1) -> Step | None:
    """The run's recipe with the fields that may help, and what it takes."""
    if weakness is None or not legal(run, weakness.fields):
        return None
    text = f"{weakness.text[0].upper()}{weakness.text[1:]}"
    cost = _again(run, factor).removeprefix(", ")
    return Step(f"{text.rstrip('.')} ({cost})." if cost else text, train_command(run, *weakness.fields))


def longer(known: Known) -> Step | None:
    return _trained(known.best, still_rising(known.best), 2) if known.best else None


def weak_class(known: Known) -> Step | None:
    return _trained(known.best, weakest_class(known.best)) if known.best else None


def weak_family(known: Known) -> Step | None:
    return _trained(known.best, weakest_family(known.best)) if known.best else None


def unseen_suggestions(known: Known) -> Step | None:
    """Lines of the cleaning list that wait for a person."""
    labelled = known.labelled
    found: Any = read_cleaning(labelled.workspace, labelled.ids, labelled.competition.task)
    waiting = found[found["action"].str.endswith("?")]
    if not len(waiting):
        return None
    order = waiting["confidence"].map(_number).argsort(kind="stable")[::-1]
    names = dict(zip(labelled.ids.tolist(), labelled.names.tolist(), strict=True))
    first = [str(names.get(index, index)) for index in dict.fromkeys(waiting["index"].iloc[order].tolist())][:NAMED]
    waits = "waits" if len(waiting) == 1 else "wait"
    text = f"{counted(len(waiting), 'suggestion')} of the audit {waits} for review, {', '.join(first)} first"
    return Step(f"{text}: accept what is right.", compete(labelled, "audit", "--accept", *first))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def untried_recipes(known: Known) -> Step | None:
    """Recipes of the competition of which no run is there, those whose networks are known to begin here first."""
    recipes = known.labelled.competition.recipes
    untried = [
        recipe
        for recipe in recipes.values()
        if not _tried(recipe, known.runs) and allowed(known.labelled.competition, recipe)
    ]
    if not untried:
        return None
    untried.sort(key=lambda recipe: not _has_weights(recipe, known))
    number = f"{len(untried)} of {counted(len(recipes), 'recipe')}"
    names = ", ".join(recipe.name for recipe in untried[:NAMED])
    names += f" and {len(untried) - NAMED} more" if len(untried) > NAMED else ""
    text = f"{number} {'was' if len(untried) == 1 else 'were'} never trained: {names}."
    if not _has_weights(untried[0], known):
        text += f" {untried[0].name} begins with pretrained weights that weren't used here yet: they are fetched from "
        text += "the hub, or with `--weights FOLDER` found there."
    return Step(text, compete(known.labelled, "train", "--recipe", untried[0].name))


def _has_weights(recipe: Recipe, known: Known) -> bool:
    """Is it known that the recipe's weights are at hand, or that it needs none?"""
    model = recipe.model
    trained = ((run.recipe.model.name, run.recipe.model.encoder) for run in known.runs if run.recipe.model.pretrained)
    return (
        not model.pretrained or (model.name, model.encoder) in trained or was_built(known.labelled.workspace, recipe)
    )


def _tried(recipe: Recipe, runs: Sequence[Run]) -> bool:
    names = [run.recipe.name for run in runs]
    return any(name == recipe.name or name.startswith((f"{recipe.name}-", f"{recipe.name}+")) for name in names)


def unsearched(known: Known) -> Step | None:
    labelled = known.labelled
    if labelled.competition.suggest is None or labelled.workspace.search_summary.exists():
        return None
    return Step("No search was made: all recipes are hand-made.", compete(labelled, "search", "--budget", "1h"))


def few_seeds(known: Known) -> Step | None:
    """Of the best recipe, which with several seeds is blended as one."""
    best = known.best
    if best is None:
        return None
    seeds = {run.recipe.seed for run in known.runs if run.alike == best.alike}
    if len(seeds) >= SEEDS:
        return None
    seed = next(number for number in range(1, SEEDS + 1) if number not in seeds)
    text = f"The best recipe was trained with {counted(len(seeds), 'seed')}; a blend evens out the luck of {SEEDS}"
    return Step(f"{text}{_again(best)} each.", train_command(best, f"seed={seed}"))
