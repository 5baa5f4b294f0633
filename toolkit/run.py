"""verb: everything, from raw files to a checked submission, within a time budget.

    python -m toolkit.run competitions/mars --data folder/with/the/organisers/files --budget 20m

The first recipe gets as many epochs as this machine can do in the time; what is left goes to the next ones.
The choice is kept in `plan.json`, so that the same command, after a kill, ends with the same result. All of it stands
in `report.html` in the end.
"""

import argparse
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from toolkit import console
from toolkit.audit import audit
from toolkit.ensemble import ensemble
from toolkit.errors import UserError
from toolkit.folds import add_options as add_folds_options
from toolkit.folds import folds
from toolkit.grade import grade
from toolkit.report import report
from toolkit.store import Workspace, read_json, write_json
from toolkit.submit import submit
from toolkit.train import chosen_recipe, prepare, stress_factor, train

if TYPE_CHECKING:
    from toolkit.competition import Competition
    from toolkit.recipe import Recipe

MARGIN = 0.9  # of the time left is planned for; the rest covers a machine that slows down
CLOSING = 14.0  # seconds for scoring, blending, writing and the report, plus the predictions counted apart
WORTHWHILE = 0.5  # a further recipe is begun if the time allows this share of its epochs


def run(competition: "Competition", workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """All verbs in order; on practice data the submission is graded too."""
    from toolkit.data.dataset import open_dataset
    from toolkit.data.folds import read_folds
    from toolkit.submission.clean_python import clean_python
    from toolkit.training.run_scores import can_match, matching
    from toolkit.training.workers import places

    started = time.time()
    places(options.device)
    audit(competition, workspace, options)
    split = folds(competition, workspace, options)
    # what takes its time once comes before the time that is left is planned
    if competition.rules.submission_packages:
        clean_python(competition.rules.submission_packages)
    if options.stress != "none" and can_match(competition, workspace):
        found = matching(workspace, open_dataset(workspace.data), read_folds(workspace))
        console.say(found.words(competition.task.image_shape[2]))
    runs = _train_within(competition, workspace, options, started + options.budget, split["hash"])
    options = argparse.Namespace(**vars(options), runs=runs, submission=None, truth=None, views=["none"])
    ensemble(competition, workspace, options)
    submitted = submit(competition, workspace, options)
    result = {name: submitted[name] for name in ("submission", "clean", "stress", "matched")}
    rows = [["submission", result["submission"]], ["local score", console.interval(result["clean"])]]
    for name, kind in (("under corruptions", "stress"), ("as the test images are", "matched")):
        if result[kind]:
            rows.append([name, console.interval(result[kind])])
    if options.practice:
        options.submission = options.submissions / workspace.name / result["submission"].rpartition("/")[2]
        result["leaderboard"] = grade(competition, workspace, options)["leaderboard"]
        rows.append(["practice leaderboard", f"{result['leaderboard']:.4f}"])
    rows.append(["report", report(competition, workspace, options)["report"]])
    result["seconds"] = time.time() - started
    rows.append(["time", f"{console.duration(result['seconds'])} of {console.duration(options.budget)}"])
    console.table(f"{workspace.name}: {competition.metric.name}", ["", ""], rows)
    return result


def _train_within(
    competition: "Competition", workspace: Workspace, options: argparse.Namespace, deadline: float, split: str
) -> list[str]:
    """Names of the runs that were planned and trained."""
    from toolkit.recipe import from_dict, to_dict

    path = workspace.folder / "plan.json"
    candidates = _candidates(competition, options)
    asked = {
        "budget": options.budget,
        "folds": split,
        "recipes": [[recipe.name, recipe.hash] for recipe in candidates],
        "device": options.device,
        "stress": options.stress,
    }
    plan = read_json(path) if path.exists() else None
    if plan is None or plan["asked"] != asked:
        plan = {"asked": asked, "recipes": [], "skipped": [], "reserved": {}}
    runs: list[str] = []
    took = 0.0  # seconds of the first recipe's training
    for recipe in candidates:
        known = [from_dict(values) for values in plan["recipes"] if values["name"] == recipe.name]
        if recipe.name in plan["skipped"]:
            continue
        if (
            not known and runs and deadline - time.time() < WORTHWHILE * took
        ):  # the speed of each takes seconds to measure
            console.say(f"skipped {recipe.name}: too little time is left")
            plan["skipped"].append(recipe.name)
            write_json(path, plan)
        elif not known:
            fitted = _fit_epochs(competition, workspace, options, recipe, deadline, first=not runs)
            plan["recipes" if fitted else "skipped"].append(to_dict(fitted[0]) if fitted else recipe.name)
            if fitted:
                plan["reserved"][recipe.name] = fitted[1]
            write_json(path, plan)
            known = [fitted[0]] if fitted else []
        if known:
            # the predictions and the submission come after the folds
            closing = CLOSING + 0.03 * options.budget + plan["reserved"][recipe.name]
            begun = time.time()
            try:
                runs.append(train(competition, workspace, known[0], options, deadline - closing).name)
                took = took or time.time() - begun
            except UserError as error:
                if not runs:
                    raise
                console.say(f"skipped {recipe.name}: {error}")  # what is trained is still worth a submission
                plan["skipped"].append(recipe.name)
                write_json(path, plan)
    return runs


def _candidates(competition: "Competition", options: argparse.Namespace) -> list["Recipe"]:
    """The recipe asked for, or all that the rules allow, in the competition's order."""
    if options.recipe or options.overrides:
        return [chosen_recipe(competition, options)]
    return [replace(recipe, seed=options.seed) for recipe in competition.recipes.values()]


def _fit_epochs(
    competition: "Competition",
    workspace: Workspace,
    options: argparse.Namespace,
    recipe: "Recipe",
    deadline: float,
    first: bool,
) -> "tuple[Recipe, float] | None":
    """The recipe with as many epochs as fit before the deadline, at most its own number; seconds kept back for the
    test-matched score and, if that is asked for, the whole suite of corruptions.

    None for a further recipe that isn't worth beginning; UserError if the first one can't do a single epoch.
    """
    from toolkit.recipe import with_epochs
    from toolkit.scoring.matching import MOST
    from toolkit.training.fold import measure_speed, training_cost
    from toolkit.training.frozen_features import VERSIONS
    from toolkit.training.run_scores import can_match

    try:
        _, jobs = prepare(competition, workspace, recipe, options)
        step, image = measure_speed(jobs[0])
    except UserError as error:
        if first:
            raise
        console.say(f"skipped {recipe.name}: {error}")
        return None
    from toolkit.data.dataset import open_dataset

    dataset = open_dataset(workspace.data)
    epoch, fixed = training_cost(jobs, step, image, len(dataset.test_images))
    rounds = recipe.pseudo.rounds
    epoch *= 1 + rounds / (1 - recipe.pseudo.share)  # taught networks see more images
    fixed *= 1 + rounds
    if dataset.targets.ndim == 1 and recipe.schedule.freeze:  # epochs on features that are computed once
        epoch *= max(1 - recipe.schedule.freeze, 0.01)
        fixed += VERSIONS * len(dataset.images) * image
    epoch *= stress_factor(options)
    samples = sum(len(job.valid_rows) for job in jobs)
    matched = options.stress != "none" and can_match(competition, workspace)
    reserved = min(samples, MOST) * image if matched else 0.0
    if options.stress == "full":
        from toolkit.scoring.stress import suite_seconds

        reserved += suite_seconds(dataset.images, samples, image)
    fixed += reserved
    left = deadline - time.time() - CLOSING
    possible = int((MARGIN * left - fixed) / epoch)
    if first and possible < 1:
        budget, rest, needed = (console.duration(s) for s in (options.budget, max(0.0, left), epoch + fixed))
        raise UserError(
            f"the budget of {budget} is too short: {rest} are left of it, and one epoch of {recipe.name} on "
            f"{len(jobs)} folds takes about {needed} here; give more (what was done is not done again)"
        )
    if not first and possible < WORTHWHILE * recipe.schedule.epochs:
        return None
    epochs = min(possible, recipe.schedule.epochs)
    console.say(
        f"{recipe.name}: {len(jobs)} folds of {epochs} epochs, {console.duration(epoch)} for an epoch of all folds"
    )
    return with_epochs(recipe, epochs), reserved


if __name__ == "__main__":
    made = console.parser("run", "Everything, from raw files to a checked submission.", overrides=True)
    add_folds_options(made)
    made.add_argument("--budget", type=console.parse_duration, default="30m", metavar="TIME", help="default: 30m")
    console.main(made, run)
