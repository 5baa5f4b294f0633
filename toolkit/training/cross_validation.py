"""One recipe on all folds: from the jobs of its folds to a finished run with its scores.

Killed and called again it goes on from the last epoch; a finished run is not trained twice.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import torch

from toolkit.claims import alone
from toolkit.cluster.place import cluster
from toolkit.competition_code import tell_of_code
from toolkit.data.image_sets import images_each, shown
from toolkit.data.labelled import Labelled
from toolkit.data.preview import find_preview
from toolkit.data.sizes import decoded
from toolkit.errors import OutOfMemory, UserError
from toolkit.events import Tell, scores_of, unheard
from toolkit.networks.devices import CLUSTER, resolve_device
from toolkit.networks.pretrained import files_of
from toolkit.networks.speed import UNMEASURED, Settings, fastest, give_back_memory, read_settings
from toolkit.outcome import MENDED, counted, duration, mended
from toolkit.pages.pictures import batch_picture, write_png
from toolkit.progress import SILENT, Progress, Watch
from toolkit.recipe import Pseudo, Recipe, Sets
from toolkit.run_folds import RunFold
from toolkit.runs import BITS, Run
from toolkit.scoring.comparison import compare_with_best
from toolkit.scoring.stress import SHARE
from toolkit.store import MANIFEST, hash_file, hash_json, write_json, write_manifest
from toolkit.training import distributed
from toolkit.training.alone import claim_of, waiting_for, whole_run
from toolkit.training.distillation import BlendTeacher, forget_other_teacher, taught_by_blend
from toolkit.training.epoch_log import EpochLog, told_again
from toolkit.training.fold import Stop, first_batch, fit_fold
from toolkit.training.jobs import FoldJob
from toolkit.training.needs import ask_for_room
from toolkit.training.phases import FOLDS, OUT_OF_FOLD, costs
from toolkit.training.pseudo_labels import teach
from toolkit.training.run_names import folder_name
from toolkit.training.run_scores import add_scores, score_again, tell_score
from toolkit.training.saving import choose_averages, forget_spare, pooling, store_fold, store_oof, store_test
from toolkit.training.watched import watched_part, watches
from toolkit.training.workers import each, places
from toolkit.weight_files import FOLDERS

STRESS = ("auto", "full", "none")  # of as many corrupted images as fit, of all, or not


def train(
    labelled: Labelled,
    recipe: Recipe,
    *,
    device: str = "auto",
    stress: str = "auto",
    deadline: float | None = None,
    test_images: bool = True,
    teacher: BlendTeacher | None = None,
    progress: Progress = SILENT,
) -> Run:
    """Train all folds, then store out-of-fold and test probabilities and scores.

    stress: the score under corruptions, of as many as fit into a tenth of the training time (`auto`), of all
    (`full`), or not (`none`); a finished run that lacks it gets it. With a deadline (of time.monotonic()) each fold
    gets its share of the time left and is cut short where it needs more; the cut is recorded, and training without the
    deadline goes on from there. test_images: predict them now; `store_test` does so later, where they are asked for.

    teacher: the blend that a recipe with `distil.blend` learns from; a finished run keeps the one that it had.

    A recipe with pseudo-labels is first trained without, then in rounds, each taught by the one before, until
    one no longer gains out of fold; the last that gained is the run.
    """
    if stress not in STRESS:
        raise UserError(f"stress is {stress!r}, expected one of {', '.join(STRESS)}")
    rounds = recipe.pseudo.rounds
    if rounds and not labelled.has_test_images:
        raise UserError(f"{labelled.competition.name} has no test images at hand to learn from; set pseudo.rounds=0")
    single = not labelled.competition.task.masks and images_each(labelled.images) is None
    if rounds and recipe.schedule.freeze == 1 and single:  # a head on stored features is shown no other images
        raise UserError("pseudo.rounds teach no head trained on features alone: set schedule.freeze below 1")
    if recipe.distil.blend and teacher is None:
        raise UserError(f"{recipe.name} learns from a blend; train it by `train`, or set distil.blend=")
    best: Run | None = None
    for number in range(rounds + 1):
        pseudo = replace(recipe.pseudo, rounds=number) if number else Pseudo()
        until = None if deadline is None else time.monotonic() + (deadline - time.monotonic()) / (rounds + 1 - number)
        run = run_of(labelled, replace(recipe, pseudo=pseudo))
        with (
            whole_run(run, waiting_for(run, progress, deadline)),
            progress.phase(run.name, costs=costs(labelled, recipe, stress, test_images)),
        ):
            _, jobs = prepare(labelled, replace(recipe, pseudo=pseudo), device, progress)
            if teacher is not None and not all(job.place.complete for job in jobs):
                jobs = taught_by_blend(run, jobs, teacher, progress)
            _train_once(run, jobs, stress, until, best, test_images, progress)
            progress.tell(scores_of(run.name, run.metrics))
        if best is not None and run.merit <= best.merit:
            progress.say(f"{run.name}: pseudo-labels gained nothing more, {best.name} stays")
            return best
        best = run
    assert best is not None
    return best


def train_one_fold(
    labelled: Labelled, recipe: Recipe, fold: int, *, device: str = "auto", progress: Progress = SILENT
) -> Run:
    """Train a single fold of a run, which isn't finished by that; UserError where there is no such fold."""
    if recipe.pseudo.rounds or recipe.distil.blend:
        word = "pseudo.rounds=0" if recipe.pseudo.rounds else "distil.blend="
        raise UserError(f"a fold alone has no teacher to learn from; train all folds, or set {word}")
    if not 0 <= fold < labelled.folds:
        raise UserError(f"there is no fold {fold}; folds go from 0 to {labelled.folds - 1}")
    run = run_of(labelled, recipe)
    with alone(claim_of(run), waiting_for(run, progress)):
        _, jobs = prepare(labelled, recipe, device, progress)
        begin(run, jobs[0], progress)
    with alone(claim_of(run, fold), waiting_for(run, progress)):  # other folds may be trained meanwhile
        _train_folds(run, jobs[fold : fold + 1], progress, bars=len(jobs))
    return run


def train_without_families(
    run: Run, *, device: str = "auto", stress: str = "auto", progress: Progress = SILENT
) -> dict[str, dict[str, float]]:
    """Train a run's recipe anew without each family of corruptions that it trains on, and score it on that family.

    `trained_on` and `held_out`: stress scores by family, of the run and of the one that left the family out. Where a
    score falls far without the training, it was learnt by heart: a hidden corruption of another family will find the
    network as weak as that.
    """
    labelled, recipe = run.labelled, run.recipe
    trained = recipe.augment.families(labelled.competition.rgb)
    if not trained or stress == "none":
        raise UserError(f"{recipe.name} trains on no family of corruptions, or stress=none leaves them unscored")
    held_out: dict[str, float] = {}
    for family in trained:
        augment = replace(recipe.augment, leave_out=(*recipe.augment.leave_out, family))
        without = replace(recipe, name=f"{recipe.name}-no-{family}", augment=augment)
        other = train(labelled, without, device=device, stress=stress, progress=progress)
        held_out[family] = other.metrics["stress"]["by_family"][family]
    by_family = run.metrics["stress"]["by_family"]
    trained_on: dict[str, float] = {family: by_family[family] for family in trained}
    scores = {"trained_on": trained_on, "held_out": held_out}
    write_json(run.families_path, scores)
    return scores


def run_of(labelled: Labelled, recipe: Recipe) -> Run:
    """The run of a recipe on the present data and folds, which may be new."""
    train = labelled.workspace.train
    files = files_of(labelled.competition, recipe)
    digits = hash_json([recipe.hash, labelled.folds_hash, labelled.data_hash, *([files] if files else [])])[:8]
    existing = sorted(train.glob(f"[!.]*-{digits}"))  # of whatever name: older versions gave others
    return Run(existing[0] if existing else train / folder_name(labelled.competition, recipe, digits), labelled)


def prepare(
    labelled: Labelled, recipe: Recipe, device: str = "auto", progress: Progress = SILENT, within: float = inf
) -> tuple[Run, list[FoldJob]]:
    """The run, which may be new, and the jobs of its folds; images of the recipe's own size are decoded where they
    aren't yet. UserError for a recipe against the rules, or where the disk has no room for it.

    within: seconds that it may take to measure what is fastest here, else float32 is used; a cluster measures anyway.
    """
    labelled.competition.check(recipe)
    if recipe.sets != Sets() and images_each(labelled.images) is None:
        raise UserError(f"samples of {labelled.competition.name} are single images; leave out sets.… of the recipe")
    places(device)
    images = decoded(labelled.workspace, recipe.images, labelled.competition.task, progress)
    workspace, run = labelled.workspace, run_of(labelled, recipe)
    if not run.complete:
        ask_for_room(run, recipe, progress)
    if run.settings_path.exists():  # a run that was begun goes on as it began, to the same bits
        settings = read_settings(run.settings_path)
    else:
        samples = sum(len(labelled.training_rows(fold)) for fold in range(labelled.folds))
        whole = recipe.schedule.freeze < 1  # of a head alone, compiling the backbone never pays back
        steps = samples // recipe.batch_size * recipe.schedule.epochs * whole
        remembered = workspace.root / "speed.json"
        seen = replace(recipe, batch_size=recipe.batch_size * recipe.sets.drawn)  # images, not sets
        with progress.phase("measuring what is fastest here"):
            settings = _fastest(run, seen, device, images, remembered, steps, within)
    jobs = [_job(run, recipe, fold, settings, device, images) for fold in range(labelled.folds)]
    _check_sizes(jobs, labelled)
    return run, jobs


def _fastest(
    run: Run, recipe: Recipe, device: str, images: Path | None, remembered: Path, steps: int, within: float
) -> Settings:
    """Here, or as a machine of the cluster measures it."""
    if device.startswith(CLUSTER):
        return cluster().settings(_job(run, recipe, 0, UNMEASURED, device, images), steps)
    return fastest(run.labelled.competition, recipe, resolve_device(device), remembered, steps, within)


def _check_sizes(jobs: Sequence[FoldJob], labelled: Labelled) -> None:
    """UserError for a fold that has too little to be trained on."""
    for job in jobs:
        rows = job.train_rows
        if len(rows) < 2:
            raise UserError(
                f"fold {job.fold} would be trained on {counted(len(rows), 'sample')}, and it takes 2 at least: nearly "
                "all samples are of one group, which a single fold validates"
            )
        if watches(job.recipe) and (job.train_groups == job.train_groups[0]).all():
            # which is refused there
            watched_part(labelled.targets[rows], job.train_groups, job.fold, labelled.competition.task)


def _job(run: Run, recipe: Recipe, fold: int, settings: Settings, device: str, images: Path | None) -> FoldJob:
    labelled = run.labelled
    rows = labelled.training_rows(fold)
    return FoldJob(
        competition=labelled.competition.folder,
        data=labelled.workspace.data,
        recipe=recipe,
        fold=fold,
        train_rows=rows,
        train_groups=labelled.group[rows],
        valid_rows=labelled.rows(fold),
        relabels=labelled.training_relabels(fold),
        folder=run.fold(fold).folder,
        images=images,
        features=labelled.workspace.features,
        settings=settings,
        device=device,
        weights=tuple(FOLDERS),
    )


def begin(run: Run, job: FoldJob, progress: Progress = SILENT) -> None:
    """Leave the recipe, how it is trained here, and a picture of its first batch."""
    run.store_recipe(job.recipe)
    if not run.picture.exists():
        preview = find_preview(shown(run.labelled.images), run.labelled.competition.rgb)
        images, targets = first_batch(job)
        first = images[:, : run.labelled.images.shape[3]]  # of a set
        write_png(run.picture, batch_picture(first, targets, preview))
    if not run.settings_path.exists():
        write_json(run.settings_path, asdict(job.settings))
    speed = ""
    if job.settings.seconds and job.settings.plain_seconds:
        batch = job.recipe.batch_size * job.recipe.sets.drawn
        of = "features of " if job.recipe.schedule.freeze == 1 else ""
        speed = f": {of}{batch / job.settings.seconds:.0f} images/s, {batch / job.settings.plain_seconds:.0f} plain"
    progress.say(f"{run.name}: {job.settings}{speed}")
    if doubt := run.labelled.competition.doubt(job.recipe):
        progress.warn(doubt)


def stress_factor(stress: str) -> float:
    """How many times as long a training takes with its stress score, when that has to fit in with it."""
    return 1 + (SHARE if stress == "auto" else 0)


def _train_once(
    run: Run,
    jobs: list[FoldJob],
    stress: str,
    deadline: float | None,
    teacher: Run | None,
    test_images: bool,
    progress: Progress,
) -> None:
    """All folds of a run, put together and scored; `teacher`: its folds label test images for the same folds here."""
    device, recipe, labelled = jobs[0].device, jobs[0].recipe, run.labelled
    test_images = test_images and labelled.has_test_images
    if teacher is not None:
        forget_other_teacher(run, {path.parent.name: hash_file(path) for path in teacher.weights}, progress)
    if run.finished and run.is_whole and (run.complete or deadline is not None):
        progress.say(f"{run.name}: already trained")
        told_again(run, progress)
        score_again(run, progress, at_any_price=True)
        tell_of_code(labelled.competition, [run.folder], progress)
        if recipe.chosen is not None:
            run.store_recipe(replace(recipe, name=run.recipe.name))
        forget_spare(run)
        if test_images and run.test is None:
            _predict_test(run, device, progress)
        add_scores(run, stress, deadline, device, progress)
        return
    for folder in (run.folder, run.stress_folder, run.matched_folder):  # scores of weights that are about to change
        (folder / MANIFEST).unlink(missing_ok=True)
    begin(run, jobs[0], progress)
    until = None if deadline is None else time.monotonic() + (deadline - time.monotonic()) / stress_factor(stress)
    complete = _train_folds(run, jobs, progress, until, teacher)
    _put_together(run, recipe, complete, device, test_images, progress)
    clean = run.metrics["clean"]
    mend = "".join(f", {MENDED} {text}" for text in mended(clean))
    tell_score(run, mend, progress)
    add_scores(run, stress, deadline, device, progress)
    if progress is not SILENT:  # a search, which reads no sentence, would read all runs after each trial
        with progress.phase("comparing it with the best run"):
            words = compare_with_best(run)
        if words:
            progress.say(words)


def _put_together(
    run: Run, recipe: Recipe, complete: bool, device: str, test_images: bool, progress: Progress
) -> None:
    """From trained folds to a finished run."""
    labelled = run.labelled
    give_back_memory()
    with progress.phase(OUT_OF_FOLD):
        averaged, clean = choose_averages(run), store_oof(run, device)
    metrics: dict[str, Any] = {**labelled.competition.scored_by, "clean": clean}
    metrics |= {"stress": None, "matched": None}
    run.test_path.unlink(missing_ok=True)  # of weights that were trained on since
    if test_images:
        _predict_test(run, device, progress)
    if recipe.schedule.average != "ema":
        metrics["averaged"] = averaged
    if pools := pooling(run):
        metrics["pooled"] = pools
    write_json(run.metrics_path, metrics)
    made_from: dict[str, Any] = {"recipe": recipe.hash, "data": labelled.data_hash, "folds": labelled.folds_hash}
    made_from |= {"pretrained": files} if (files := files_of(labelled.competition, recipe)) else {}
    made_from |= {"seed": recipe.seed, "complete": complete, BITS: run.bits}
    write_manifest(run.folder, made_from, labelled.competition.folder)
    forget_spare(run)


def _predict_test(run: Run, device: str, progress: Progress) -> None:
    labelled = run.labelled
    progress.say(
        f"{run.name}: predicting {counted(len(labelled.test_images), 'test image')}, {labelled.folds} networks each"
    )
    give_back_memory()
    store_test(run, device, progress)
    give_back_memory()


def _train_folds(
    run: Run,
    jobs: Sequence[FoldJob],
    progress: Progress,
    deadline: float | None = None,
    teacher: Run | None = None,
    bars: int | None = None,
) -> bool:
    """Fit and store the folds that aren't finished, side by side where there are devices; are all complete?"""
    epochs, log = jobs[0].recipe.schedule.epochs, EpochLog(run, progress)
    with progress.training(bars or len(jobs), epochs, FOLDS) as watch:

        def finished(job: FoldJob, told: str = "") -> None:
            watch(job.fold, epochs, "")
            log.stored(job.fold)
            if told:
                progress.say(told)

        todo = []
        for job in jobs:
            if job.place.complete or (job.place.finished and deadline is not None):
                finished(job)
            else:
                todo.append(job)
        work = partial(train_fold, teacher=None if teacher is None else teacher.folder)
        each(work, todo, jobs[0].device, watch, finished, deadline, log)
    return all(job.place.complete for job in jobs)


def train_fold(
    job: FoldJob,
    watch: Watch,
    tell: Tell = unheard,
    teacher: Path | None = None,
    stop: Stop = lambda history: False,
) -> str:
    """Fit and store one fold; what to say of it. It may run in a process of its own, which prints nothing.

    teacher: the folder of the run whose same fold labels test images.
    """
    if teacher is not None:
        job = replace(job, teacher=job.place.taught)
        source, device = RunFold(teacher / job.folder.name), resolve_device(job.device)
        distributed.first(lambda: teach(*job.open(), source, device, job.place.taught))
    try:
        result = fit_fold(job, watch, stop, tell)  # of several processes on one fold, the first alone returns
    except (MemoryError, torch.OutOfMemoryError):
        raise OutOfMemory from None
    store_fold(job, result)
    note = ", begun anew, as its saved epochs were damaged or of another version" if result.anew else ""
    note += "" if result.complete else f", cut short by the budget after {counted(len(result.history), 'epoch')}"
    return (
        f"{job.folder.parent.name} fold {job.fold}: {counted(len(job.valid_rows), 'sample')} validated, "
        f"{counted(len(result.history), 'epoch')} in {duration(result.seconds)}{note}"
    )
