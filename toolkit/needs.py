"""What a step of a project needs: where it isn't there yet, it is made with defaults, and a line says so."""

from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import UserError
from toolkit.outcome import counted
from toolkit.store import read_manifest

if TYPE_CHECKING:
    from toolkit.blending.blend_folder import Blend
    from toolkit.data.labelled import Labelled
    from toolkit.project import Project
    from toolkit.recipe import Recipe
    from toolkit.training.distillation import BlendTeacher


def files(project: "Project") -> Path:
    """The folder of raw files; UserError where it is missing, before anything heavy is imported."""
    raw = project.raw
    if not raw.is_dir():
        raise UserError(project.competition.without_files(raw))
    return raw


def data(project: "Project") -> None:
    """Audited data, of the files and the competition as they are now; UserError where these are others."""
    workspace = project.workspace
    killed = workspace.evidence.exists() and not workspace.cleaning.exists()  # what an audit makes first and last
    if read_manifest(workspace.data) is None or killed:
        audit(project)
    else:
        unchanged(project)


def unchanged(project: "Project") -> None:
    """UserError where the competition or the organisers' files are others than those that were audited."""
    from toolkit.data.origin import check_origin

    given = project.data if project.data_is_given and not project.practice else None
    check_origin(project.competition, project.workspace, given, project.progress)


def audit(project: "Project") -> None:
    """An audit of the data, whatever is there."""
    files(project)
    project.progress.say("the data are not audited yet, so the audit comes first")
    project.progress.show(project.audit())


def folds(project: "Project") -> None:
    """A split of audited data."""
    data(project)
    if not project.workspace.folds.exists():
        project.progress.say("there are no folds yet, so they are made with the defaults of `compete folds`")
        project.progress.show(project.folds())


def labelled(project: "Project") -> "Labelled":
    """Audited data with their folds."""
    folds(project)
    from toolkit.data.labelled import open_labelled

    found = open_labelled(project.competition, project.workspace)
    _score_again(project, found)
    return found


def _score_again(project: "Project", labelled: "Labelled") -> None:
    """Runs that another metric scored, by the competition's of now."""
    from toolkit.runs import all_runs

    scored = (run for run in all_runs(labelled) if run.metrics_path.exists())
    if others := [run for run in scored if run.is_of_present and not run.is_current]:
        from toolkit.training.run_scores import score_again

        for run in others:
            score_again(run, project.progress)


def tried(project: "Project", *recipes: "Recipe") -> "Labelled":
    """Audited data with their folds, once the competition was tried with these recipes' networks; UserError where none
    of them can be trained, or what comes of it can't be scored or handed in.
    """
    if read_manifest(project.workspace.data) is None:
        files(project)
    from toolkit.preflight import try_answers, try_beside, try_networks

    able = try_networks(project.competition, recipes, project.workspace, project.progress)
    found = project.labelled()
    able = try_beside(found, able, project.progress)
    try_answers(project.competition, project.workspace, able[0], project.progress)
    return found


def runs(project: "Project", labelled: "Labelled") -> None:
    """At least one finished run."""
    from toolkit.runs import current_runs

    if not current_runs(labelled):
        recipe = project.recipe()
        how = f"{recipe.name} is trained, {counted(recipe.schedule.epochs, 'epoch')} on each fold"
        project.progress.say(f"there is no finished run yet, so {how} (`compete train` can do less, or another)")
        project.train(recipe)


def something_to_report(project: "Project") -> None:
    """A finished run, on whatever folds; UserError where there is none: who asks for a page waits for no training."""
    if read_manifest(project.workspace.data) is not None:
        unchanged(project)
    runs = project.workspace.train.glob("[!.]*/")
    if any(read_manifest(run) is not None for run in runs):
        return
    if not project.practice and read_manifest(project.workspace.data) is None:
        files(project)
    budget = "3m" if project.practice else "30m"
    raise UserError(
        f"there is nothing to report yet: `compete run … --budget {budget}` does all of it, `compete train` one run"
    )


def teacher(labelled: "Labelled", recipe: "Recipe") -> "BlendTeacher | None":
    """The blend that the recipe learns from; None where it learns from none. UserError where it isn't there."""
    name = recipe.distil.blend
    if not name:
        return None
    from toolkit.blending.blend_folder import Blend
    from toolkit.training.distillation import BlendTeacher

    folder = labelled.workspace.chosen_blend if name == "chosen" else labelled.workspace.ensemble / name
    found = Blend(folder, labelled)
    if not found.finished or not found.is_current:
        raise UserError(
            f"there is no blend {folder} on the present data and folds for {recipe.name} to learn from: run `compete "
            "ensemble` first"
        )
    found.check_runs()
    return BlendTeacher(found.name, tuple(part["runs"] for part in found.described["folds"]))


def blend(project: "Project", labelled: "Labelled") -> "Blend":
    """The blend that a submission follows."""
    from toolkit.blending.blend_folder import chosen_blend

    chosen = chosen_blend(labelled)
    if chosen is None:
        project.progress.say("there is no blend yet, so the finished runs are blended")
        chosen = project.ensemble()
        project.progress.show(chosen)
    return chosen
