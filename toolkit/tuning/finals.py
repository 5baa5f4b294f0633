"""The best trials of a search: finished on all folds, repeated with other seeds, put together for a blend."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from optuna.trial import FrozenTrial

from toolkit.errors import UserError
from toolkit.recipe import Recipe, to_dict
from toolkit.runs import Run
from toolkit.scoring.stress import SHARE
from toolkit.store import write_json
from toolkit.tuning.clock import MOST_RESERVE
from toolkit.tuning.settings import FINALISTS, REPEATED
from toolkit.tuning.study import Interrupted, begun_trials, place_of
from toolkit.tuning.trial_runs import TrialContext, claim, judged, merge, objective_value, prepared, train_all
from toolkit.tuning.trials import seconds


@dataclass(frozen=True)
class Final:
    """One of the best trials: its run, and those of its recipe with other seeds; their values."""

    trial: int
    place: int  # by which its run is named
    runs: tuple[Run, ...]
    values: tuple[float, ...]  # of the first objective

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)


def finals(context: TrialContext) -> list[Final]:
    """Finish the best trials on all folds and repeat the best of them with other seeds; the best mean first.

    With a budget, what doesn't fit any more is left out. Repeated ones come before others, in the order of their means
    over the seeds that all of them have; the first one's recipe is left as the search's best.
    """
    done: list[Final] = []
    best_trials = context.rivals.ranking(context.study)[:FINALISTS]
    repeats = context.settings.repeats * min(REPEATED, len(best_trials))
    for position, (trial, _) in enumerate(best_trials):
        run = context.rivals.run(trial)
        context.board.final(position, len(best_trials), 0, repeats)
        found = _finish(context, run.recipe)
        if found is not None:
            done.append(Final(trial.number, place_of(trial), (run,), (found[1],)))
    sign = context.rivals.sign
    done.sort(key=lambda final: -sign * final.mean)
    repeated = 0
    for repeat in range(context.settings.repeats):
        for position, final in enumerate(done[:REPEATED]):
            context.board.final(len(best_trials), len(best_trials), repeated, repeats)
            done[position], repeated = _repeat(context, final, repeat), repeated + 1
    shared = min((len(final.values) for final in done[:REPEATED]), default=1)
    done = sorted(done[:REPEATED], key=lambda final: -sign * sum(final.values[:shared])) + done[REPEATED:]
    if done:
        chosen = context.chosen(len(begun_trials(context.study.get_trials(deepcopy=False))))
        best = replace(done[0].runs[0].recipe, chosen=chosen)
        write_json(context.labelled.workspace.best_recipe, to_dict(best))
    return done


def _repeat(context: TrialContext, final: Final, repeat: int) -> Final:
    """With one more seed, if there is time for it and it doesn't fail."""
    run = final.runs[0]
    seed = run.recipe.seed + repeat + 1
    if not context.clock.fits(run.seconds):
        return final
    found = _finish(context, replace(run.recipe, seed=seed, name=f"{run.recipe.name}-s{seed}"))
    if found is None:
        return final
    return replace(final, runs=(*final.runs, found[0]), values=(*final.values, found[1]))


def _finish(context: TrialContext, recipe: Recipe) -> tuple[Run, float] | None:
    """Train the folds that are missing; the run and the first objective. None: the time was up, or it failed.

    The run is put together only where that decides on the score: there may be better uses of the time.
    """
    run, jobs = prepared(context, recipe)
    deadline = context.clock.deadline
    trained = [job.fold for job in jobs if job.place.complete]
    missing = len(jobs) - len(trained)
    if not context.clock.fits(seconds(run, trained) / len(trained) * missing if trained else 0.0):
        return None
    context.board.doing = f"{run.name}: finishing"
    try:
        with claim(context, run, deadline):
            train_all(context, run, jobs, run.name, deadline)
            if context.needs_run or recipe.schedule.average != "ema":
                merge(context, recipe, context.needs_run)
            mine = judged(context, run)
        first = context.rivals.objectives[0]
        return run, objective_value(context, first, run, mine)
    except Interrupted:
        return None
    except UserError as error:  # another seed may diverge; what is there is still worth a winner
        context.board.progress.warn(f"{run.name}: {error}")
        return None


def missing_seconds(context: TrialContext) -> float:
    """Seconds by which the finals need more than what is kept for them, with one more trial like the best before."""
    clock, repeats = context.clock, context.settings.repeats * REPEATED
    assert clock.budget is not None and clock.deadline is not None and clock.begin_until is not None
    whole = [t for t, _ in context.rivals.ranking(context.study) if _complete(t)][:REPEATED]
    longest = max((context.rivals.run(trial).seconds for trial in whole), default=0.0)
    needed = (repeats + 1) * longest + FINALISTS * (clock.merging or SHARE * longest)
    return max(0.0, min(needed, MOST_RESERVE * clock.budget) - (clock.deadline - clock.begin_until))


def merge_all(context: TrialContext, best: Sequence[Final]) -> int:
    """Put the runs of all finished trials and of the finals together, the best first, while there is time; how many
    are left. Then the finals' get predictions of the test images, and the first ones their scores under corruptions.

    All of them, so that a blend can choose among them inside its cross-fitting, and not after this choice. What else a
    blend gives a share to has its test images predicted there.
    """
    finals = {run: run == final.runs[0] for final in best for run in final.runs}
    trials = (trial for trial, _ in context.rivals.ranking(context.study) if _complete(trial))
    runs = dict.fromkeys([*finals, *map(context.rivals.run, trials)])
    context.board.final(1, 1, 0, 0)
    context.board.stage = "finals: put together for a blend"
    left = sum(not _joined(context, run) for run in runs)
    for run, with_stress in finals.items():
        _predicted(context, run, with_stress)
    return left


def _joined(context: TrialContext, run: Run) -> bool:
    """Is the run put together, now or before?"""
    return run.complete or (context.clock.fits(context.clock.joining) and _merged(context, run, False, False))


def _predicted(context: TrialContext, run: Run, with_stress: bool) -> None:
    """What takes long, if there is time."""
    test_images = context.labelled.has_test_images
    wanted = run.finished and (with_stress or (test_images and run.test is None))
    if wanted and context.clock.fits(context.clock.merging or SHARE * run.seconds):
        _merged(context, run, with_stress, test_images)


def _merged(context: TrialContext, run: Run, with_stress: bool, test_images: bool) -> bool:
    doing = "predicting the test images" if test_images else "putting it together"
    context.board.doing = f"{run.name}: {doing}"
    try:
        with claim(context, run, context.clock.deadline):
            merge(context, run.recipe, with_stress, test_images)
    except Interrupted:
        return False
    except UserError as error:
        context.board.progress.warn(f"{run.name}: {error}")
        return False
    return True


def _complete(trial: FrozenTrial) -> bool:
    return trial.state.name == "COMPLETE"
