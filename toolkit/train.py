"""verb: one recipe on all folds.

    python -m toolkit.train competitions/mars model.encoder=resnet34 optimizer.lr=1e-3

Leaves `train/<recipe>-<hash>/`: recipe, out-of-fold and test probabilities, scores, the folds' weights.
Killed and started again it goes on from the last epoch; a finished run is not trained twice.
"""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import console
from toolkit.errors import UserError
from toolkit.store import (
    MANIFEST,
    Workspace,
    hash_file,
    hash_json,
    read_json,
    read_manifest,
    write_json,
    write_manifest,
)

SETTINGS, PICTURE = "settings.json", "augmented.png"
TEACHER = "teacher.json"  # hashes of the weights that labelled test images

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from toolkit.competition import Competition
    from toolkit.data.dataset import Dataset
    from toolkit.recipe import Recipe
    from toolkit.training.fold import Stop
    from toolkit.training.loop import FoldJob, Watch


def train_verb(competition: "Competition", workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    recipe = chosen_recipe(competition, options)
    if options.fold is None:
        folder = train(competition, workspace, recipe, options)
        metrics = read_json(folder / "metrics.json")
        scores = {name: metrics.get(name) for name in ("clean", "stress", "matched")}
        families = _hold_out_families(competition, workspace, recipe, options, folder) if options.families else {}
        return {"run": str(folder), "recipe": recipe.name, **scores, **families}
    if recipe.pseudo.rounds:
        raise UserError("a fold alone has no teacher to learn from; leave out --fold, or set pseudo.rounds=0")
    folder, jobs = prepare(competition, workspace, recipe, options)
    if not 0 <= options.fold < len(jobs):
        raise UserError(f"there is no fold {options.fold}; folds go from 0 to {len(jobs) - 1}")
    begin(folder, jobs[0])
    job = jobs[options.fold]
    with console.training_progress(len(jobs), recipe.schedule.epochs) as watch:
        _train_folds([job], options.device, watch)
    return {"run": str(folder), "recipe": recipe.name, "fold": job.fold}


def chosen_recipe(competition: "Competition", options: argparse.Namespace) -> "Recipe":
    """The named recipe with its overrides, checked against the rules; without --seed it keeps its own."""
    from dataclasses import replace

    from toolkit.recipe import Pseudo, override

    named = named_recipe(competition, options.recipe)
    recipe = override(replace(named, seed=options.seed or named.seed), options.overrides)
    competition.rules.check(recipe)
    return recipe if recipe.pseudo.rounds else replace(recipe, pseudo=Pseudo())


def named_recipe(competition: "Competition", name: str | None) -> "Recipe":
    """One of the competition's recipes, or that in a file, such as a search's `best.recipe`; UserError for neither."""
    from toolkit.recipe import from_dict

    if name is None or name in competition.recipes:
        return competition.recipes[name or next(iter(competition.recipes))]
    path = Path(name)
    if not path.is_file():
        known = ", ".join(competition.recipes)
        raise UserError(f"{competition.name} has no recipe {name!r}, nor is it a file; there are {known}")
    values = read_json(path)
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no recipe: expected a JSON object of its fields, as in a run's recipe.json")
    try:
        return from_dict(values)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def prepare(
    competition: "Competition", workspace: Workspace, recipe: "Recipe", options: argparse.Namespace
) -> tuple[Path, list["FoldJob"]]:
    """The run's folder and the jobs of its folds."""
    import numpy as np

    from toolkit.data.dataset import data_hash
    from toolkit.data.folds import folds_hash, read_folds, relabels
    from toolkit.networks.devices import resolve_device
    from toolkit.networks.speed import Settings, fastest
    from toolkit.training.loop import FoldJob
    from toolkit.training.workers import places

    competition.rules.check(recipe)
    places(options.device)
    table = read_folds(workspace)
    name = hash_json([recipe.hash, folds_hash(table), data_hash(workspace.data)])[:8]
    existing = list(workspace.train.glob(f"*-{name}"))
    folder = existing[0] if existing else workspace.train / f"{recipe.name}-{name}"
    fold, group = table["fold"].to_numpy(), table["group"].to_numpy()
    folds = range(int(fold.max()) + 1)
    if (folder / SETTINGS).exists():  # a run that was begun goes on as it began, to the same bits
        settings = Settings(**read_json(folder / SETTINGS))
    else:
        steps = (len(folds) - 1) * int((fold >= 0).sum()) // recipe.batch_size * recipe.schedule.epochs
        settings = fastest(competition, recipe, resolve_device(options.device), workspace.root / "speed.json", steps)
    jobs = []
    for k in folds:
        inside = (fold >= 0) & (fold != k)
        job = FoldJob(
            competition=competition.folder,
            data=workspace.data,
            recipe=recipe,
            fold=k,
            train_rows=np.flatnonzero(inside),
            train_groups=group[inside],
            valid_rows=np.flatnonzero(fold == k),
            relabels=relabels(table),
            folder=folder / f"fold_{k}",
            features=workspace.folder / "features",
            settings=settings,
            device=options.device,
            workers=options.workers,
        )
        jobs.append(job)
    return folder, jobs


def train(
    competition: "Competition",
    workspace: Workspace,
    recipe: "Recipe",
    options: argparse.Namespace,
    deadline: float | None = None,
) -> Path:
    """Train all folds, then store OOF and test probabilities and scores; the run's folder.

    With a deadline (Unix time) each fold gets its share of the time left and is cut short where it needs
    more; the cut is recorded, and training without the deadline goes on from there. A finished run that lacks
    the stress score gets it.

    A recipe with pseudo-labels is first trained without, then in rounds, each taught by the one before, until
    one no longer gains out of fold; the last that gained is the run.
    """
    from dataclasses import replace

    from toolkit.data.dataset import open_dataset
    from toolkit.recipe import Pseudo

    rounds = recipe.pseudo.rounds
    if rounds and not len(open_dataset(workspace.data).test_images):
        raise UserError(f"{competition.name} has no test images at hand to learn from; set pseudo.rounds=0")
    best: Path | None = None
    for number in range(rounds + 1):
        pseudo = replace(recipe.pseudo, rounds=number) if number else Pseudo()
        until = None if deadline is None else time.time() + (deadline - time.time()) / (rounds + 1 - number)
        folder = _train_once(competition, workspace, replace(recipe, pseudo=pseudo), options, until, best)
        if best is not None and _clean(folder) <= _clean(best):
            console.say(f"{folder.name}: pseudo-labels gained nothing more, {best.name} stays")
            return best
        best = folder
    assert best is not None
    return best


def _teach(job: "FoldJob", teacher: Path) -> None:
    """Write what the same fold's network of another run says of the test images."""
    from toolkit.competition import load_competition
    from toolkit.data.dataset import open_dataset
    from toolkit.networks.devices import resolve_device
    from toolkit.recipe import from_dict
    from toolkit.training.pseudo_labels import teach

    assert job.teacher is not None
    if job.teacher.exists():
        return
    competition, dataset = load_competition(job.competition), open_dataset(job.data)
    recipe = from_dict(read_json(teacher.parent / "recipe.json"))
    teach(competition, dataset, recipe, teacher / "weights.safetensors", resolve_device(job.device), job.teacher)


def _forget_other_teacher(folder: Path, teacher: Path) -> None:
    """Remove what was learnt from a teacher that a budget had cut short and that was trained on since."""
    import shutil

    weights = {path.parent.name: hash_file(path) for path in sorted(teacher.glob("fold_*/weights.safetensors"))}
    if folder.exists() and (not (folder / TEACHER).exists() or read_json(folder / TEACHER) != weights):
        shutil.rmtree(folder)
    write_json(folder / TEACHER, weights)


def _clean(folder: Path) -> float:
    score: float = read_json(folder / "metrics.json")["clean"]["score"]
    return score


def _train_once(
    competition: "Competition",
    workspace: Workspace,
    recipe: "Recipe",
    options: argparse.Namespace,
    deadline: float | None,
    teacher: Path | None,
) -> Path:
    """One run, all folds; `teacher`: the run whose folds label test images for the same folds here."""
    from toolkit.data.dataset import data_hash, open_dataset, relabel
    from toolkit.data.folds import folds_hash, read_folds, relabels
    from toolkit.scoring import matching as match
    from toolkit.scoring import stress
    from toolkit.training.results import AVERAGED, LAST, choose_averages, store_oof, store_test
    from toolkit.training.run_scores import compare_with_best

    # read before the training: a cleaning list or folds that change meanwhile are the next run's
    dataset, table = open_dataset(workspace.data), read_folds(workspace)
    folder, jobs = prepare(competition, workspace, recipe, options)
    if teacher is not None:
        _forget_other_teacher(folder, teacher)
    done = read_manifest(folder)
    if done is not None and (done["complete"] or deadline is not None):
        console.say(f"{folder.name}: already trained")
        _judge(competition, workspace, dataset, table, jobs, options, deadline)
        return folder
    (folder / MANIFEST).unlink(missing_ok=True)
    for evidence in (stress.EVIDENCE, match.EVIDENCE):  # of the weights that are about to change
        (folder / evidence / MANIFEST).unlink(missing_ok=True)
    begin(folder, jobs[0])
    with console.training_progress(len(jobs), recipe.schedule.epochs) as watch:
        until = None if deadline is None else time.time() + (deadline - time.time()) / stress_factor(options)
        complete = _train_folds(jobs, options.device, watch, until, teacher)
    gained = choose_averages(competition, relabel(dataset.targets, relabels(table)), jobs)
    clean = store_oof(competition, relabel(dataset.targets, relabels(table)), table, jobs, folder)
    if len(dataset.test_images):
        store_test(competition, dataset, jobs, folder)
    metrics: dict[str, Any] = {"metric": competition.metric.name, "clean": clean, "stress": None, "matched": None}
    if recipe.schedule.average != "ema":
        metrics["averaged"] = gained
    write_json(folder / "metrics.json", metrics)
    inputs = {
        "recipe": recipe.hash,
        "data": data_hash(workspace.data),
        "folds": folds_hash(table),
        "seed": recipe.seed,
        "complete": complete,
    }
    write_manifest(folder, inputs)
    for path in folder.glob("fold_*/*") if complete else ():
        if path.name.startswith((LAST, AVERAGED)):
            path.unlink()
    console.say(f"{folder.name}: out-of-fold {competition.metric.name} {console.interval(clean)}")
    _judge(competition, workspace, dataset, table, jobs, options, deadline)
    console.say(compare_with_best(competition, workspace, dataset, table, folder))
    return folder


def _judge(
    competition: "Competition",
    workspace: Workspace,
    dataset: "Dataset",
    table: "pd.DataFrame",
    jobs: list["FoldJob"],
    options: argparse.Namespace,
    deadline: float | None,
) -> None:
    """Add the scores that a finished run lacks."""
    from toolkit.training.run_scores import score_run

    run, metric = jobs[0].folder.parent.name, competition.metric.name
    for name, score, how in score_run(competition, workspace, dataset, table, jobs, options.stress, deadline):
        console.say(f"{run}: {name} {metric} {console.interval(score)}, {how}")


def _hold_out_families(
    competition: "Competition", workspace: Workspace, recipe: "Recipe", options: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """Train the recipe anew without each family of corruptions that it trains on, and score it on that family.

    Where a score falls far without the training, it was learnt by heart: a hidden corruption of another family will
    find the network as weak as that.
    """
    from dataclasses import replace

    trained = recipe.augment.families(competition.task.image_shape[2])
    if not trained or options.stress == "none":
        raise UserError(f"{recipe.name} trains on no family of corruptions, or --stress none leaves them unscored")
    held_out = {}
    for family in trained:
        augment = replace(recipe.augment, leave_out=(*recipe.augment.leave_out, family))
        without = replace(recipe, name=f"{recipe.name}-no-{family}", augment=augment)
        run = train(competition, workspace, without, options)
        held_out[family] = read_json(run / "metrics.json")["stress"]["by_family"][family]
    by_family = read_json(folder / "metrics.json")["stress"]["by_family"]
    scores = {"trained_on": {family: by_family[family] for family in trained}, "held_out": held_out}
    write_json(folder / "families.json", scores)
    pairs = [(family, by_family[family], held_out[family]) for family in trained]
    pairs.append(("mean", *(sum(one.values()) / len(one) for one in scores.values())))
    rows = [[family, f"{own:.4f}", f"{other:.4f}", f"{other - own:+.4f}"] for family, own, other in pairs]
    columns = ["family", "trained on", "held out", "difference"]
    console.table(f"{recipe.name}: {competition.metric.name} under families of corruptions", columns, rows, total=True)
    return {"families": scores}


def stress_factor(options: argparse.Namespace) -> float:
    """How many times as long a training takes with its stress score, when that has to fit in with it."""
    from toolkit.scoring.stress import SHARE

    return 1 + (SHARE if options.stress == "auto" else 0)


def begin(folder: Path, job: "FoldJob") -> None:
    """Leave the recipe, how it is trained here, and a picture of its first batch."""
    from dataclasses import asdict

    from toolkit.pages.pictures import batch_picture, write_png
    from toolkit.recipe import to_dict
    from toolkit.training.fold import first_batch

    write_json(folder / "recipe.json", to_dict(job.recipe))
    if not (folder / PICTURE).exists():
        write_png(folder / PICTURE, batch_picture(*first_batch(job)))
    if not (folder / SETTINGS).exists():
        write_json(folder / SETTINGS, asdict(job.settings))
    speed = ""
    if job.settings.seconds and job.settings.plain_seconds:
        batch = job.recipe.batch_size
        speed = f": {batch / job.settings.seconds:.0f} images/s, {batch / job.settings.plain_seconds:.0f} plain"
    console.say(f"{folder.name}: {job.settings}{speed}")


def _train_folds(
    jobs: "Sequence[FoldJob]", device: str, watch: "Watch", deadline: float | None = None, teacher: Path | None = None
) -> bool:
    """Fit and store the folds that aren't finished, side by side where there are devices; are all complete?"""
    from functools import partial

    from toolkit.training.workers import each

    def finished(job: "FoldJob", said: str = "") -> None:
        watch(job.fold, job.recipe.schedule.epochs, "")
        if said:
            console.say(said)

    todo = []
    for job in jobs:
        done = read_manifest(job.folder)
        if done is None or not (done["complete"] or deadline is not None):
            todo.append(job)
        else:
            finished(job)
    each(partial(train_fold, teacher=teacher), todo, device, watch, finished, deadline)
    manifests = [read_manifest(job.folder) for job in jobs]
    return all(manifest is not None and manifest["complete"] for manifest in manifests)


def train_fold(
    job: "FoldJob", watch: "Watch", teacher: Path | None = None, stop: "Stop" = lambda history: False
) -> str:
    """Fit and store one fold; what to say of it. It may run in a process of its own, which prints nothing."""
    from dataclasses import replace

    import torch

    from toolkit.training import distributed
    from toolkit.training.fold import fit_fold
    from toolkit.training.results import store_fold

    if teacher is not None:
        job = replace(job, teacher=job.folder / "taught.npy")
        distributed.first(lambda: _teach(job, teacher / job.folder.name))
    try:
        result = fit_fold(job, watch, stop)  # of several processes on one fold, the first alone returns
    except (MemoryError, torch.OutOfMemoryError):
        raise UserError("it did not fit into memory; lower batch_size or model.input_scale") from None
    store_fold(job, result)
    note = "" if result.complete else f", cut short by the budget after {len(result.history)} epochs"
    return (
        f"{job.folder.parent.name} fold {job.fold}: {len(job.valid_rows):,} samples validated, "
        f"{len(result.history)} epochs in {console.duration(result.seconds)}{note}"
    )


def add_options(made: argparse.ArgumentParser) -> None:
    made.add_argument("--fold", type=int, metavar="K", help="only this fold")
    made.add_argument("--families", action="store_true", help="train again without each family of corruptions")


if __name__ == "__main__":
    made = console.parser("train", "Train one recipe on all folds.", overrides=True)
    add_options(made)
    console.main(made, train_verb)
