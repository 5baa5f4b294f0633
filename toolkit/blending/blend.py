"""From finished runs to the blend that the submission follows: within limits, through views, cross-fitted, stored.

Each run is averaged over test-time views where that gains; then the blenders are tried on out-of-fold values and the
simplest one within noise of the best is taken.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.blending.adaptation import ADAPTING, AUTO, NONE, adapted_tests, check_asked, find_adaptation
from toolkit.blending.blend_folder import Blend, choose, chosen_blend, further_scores, score_anew
from toolkit.blending.blenders import blenders_for
from toolkit.blending.blenders import check_asked as check_blender
from toolkit.blending.candidates import NO_LIMITS, Candidate, Limits, candidate
from toolkit.blending.crossfit import FITTING, CrossFit, cross_fit
from toolkit.blending.described import describe, quantiles_of
from toolkit.blending.plots import draw
from toolkit.blending.pool import Pool, make_pool, with_test
from toolkit.blending.solution import mixed, run_shares, write_mixed
from toolkit.blending.stored_views import TRAINED, VIEWS, of_test_images, through_views, views_to_try
from toolkit.blending.view_choice import ViewChoice, write_choice
from toolkit.blending.worn import Kept, find_worn, kept_of
from toolkit.checked import keep
from toolkit.competition_code import tell_of_code
from toolkit.data.labelled import Labelled
from toolkit.disk import need
from toolkit.errors import UserError
from toolkit.outcome import are, counted
from toolkit.partial_files import scratch as scratch_folder
from toolkit.probabilities import chunks, no_values, value_type
from toolkit.progress import SILENT, Progress
from toolkit.runs import Run, all_runs, current_runs, without_handicap
from toolkit.scoring.adaptation import may_adapt
from toolkit.scoring.out_of_fold import write_oof
from toolkit.store import atomic, write_json, write_manifest

READING, TESTS, WRITING = "reading the runs", "predicting test images", "writing the blend"  # phases


def blend(
    labelled: Labelled,
    names: Sequence[str] | None = None,
    *,
    views: Sequence[str] = TRAINED,
    blender: str | None = None,
    limits: Limits = NO_LIMITS,
    adapt: str = AUTO,
    device: str = "auto",
    progress: Progress = SILENT,
) -> Blend:
    """Blend, score, store and choose; nothing is done where the same runs were blended before.

    names: of the runs (None: all on the present data and folds). views: test-time views to try, by name, `none` or
    `trained`: what all recipes' augmentation made familiar. blender: the way to take, whatever its score. adapt: the
    networks to the test images, `auto` where that gains, `none`, or by a share. UserError for a run or blender
    that isn't there, a view that doesn't fit, a share that may not be taken, or limits that no run keeps.
    """
    check_wishes(labelled, blender, adapt)
    current = current_runs(labelled)
    runs = _named(labelled, current, names)
    others = len(all_runs(labelled)) - len(current)
    if others:
        text = "on other data or folds than the present ones, and can't be blended with these"
        progress.say(f"{are(others, 'run')} {text}")
    if not names and len(runs) < len(current):
        text = "not blended unless --runs says so, as `augment.leave_out` holds corruptions back"
        progress.say(f"{are(len(current) - len(runs), 'run')} {text}")
    left = sum(not run.handicapped and run not in runs for run in current)
    if left:
        text = "one other run on these folds takes" if left == 1 else f"{left} other runs on these folds take"
        progress.say(f"{text} no part: if scores had a say in that, the blend's score knows nothing of it")
    tell_of_code(labelled.competition, [run.folder for run in runs], progress)
    limits, tried = limits.on(labelled), views_to_try(runs, views)
    inputs = {"runs": {run.name: run.manifest for run in runs}, "views": list(tried)}
    inputs |= labelled.competition.scored_by
    inputs |= {"limits": limits.given} if limits.given else {}
    kept = kept_of(labelled, runs)
    inputs |= {"chosen_by": kept.key} if kept is not None and blender is None else {}
    inputs |= {} if blender is None else {"blender": blender}
    inputs |= {"adapt": adapt} if adapt != NONE and may_adapt(labelled) else {}
    made = chosen_blend(labelled)
    if made is not None and made.manifest == inputs and not made.is_older:
        score_anew(made)
        if not labelled.workspace.chosen.exists():  # a kill came before it
            choose(made)
        return made
    _ask_for_room(runs, tried)
    choice = None
    whole = progress.phase(f"blend of {counted(len(runs), 'run')}", costs=_costs(len(tried), labelled))
    with whole, scratch_folder(labelled.workspace.ensemble) as scratch:
        with progress.phase(READING):
            candidates = [candidate(run, limits, device) for run in runs]
        if len(tried) > 1:
            candidates, choice = through_views(runs, candidates, tried, limits, scratch, device, progress)
        made = _store(labelled, runs, candidates, choice, limits, inputs, kept, scratch, device, progress)
    choose(made)
    return made


def _costs(views: int, labelled: Labelled) -> dict[str, float]:
    """What the phases of a blend take beside each other."""
    found = {READING: 2.0} | ({VIEWS: 40.0} if views > 1 else {}) | {FITTING: 30.0}
    found |= {ADAPTING: 20.0} if may_adapt(labelled) else {}
    return found | ({TESTS: 10.0} if labelled.has_test_images else {}) | {WRITING: 5.0}


def check_wishes(labelled: Labelled, blender: str | None, adapt: str) -> None:
    """UserError for a blender that isn't there, or a share that may not be taken."""
    if blender is not None:
        check_blender(labelled, blender)
    check_asked(labelled, adapt)


def _ask_for_room(runs: Sequence[Run], views: Sequence[str]) -> None:
    """UserError where the disk can't hold the blend, and the views of its runs that aren't there yet."""

    def stored(run: Run) -> int:
        return sum(path.stat().st_size for path in (run.oof_path, run.test_path) if path.exists())

    lacking = [run for run in runs for view in views[1:] if not run.view_folder(view).exists()]
    size = max(map(stored, runs)) + sum(map(stored, lacking))
    through = f", through {len(views):,} views" if len(views) > 1 else ""
    need(runs[0].labelled.workspace, size, f"a blend of {counted(len(runs), 'run')}{through}")


def _named(labelled: Labelled, current: Sequence[Run], names: Sequence[str] | None) -> list[Run]:
    where = labelled.workspace.train
    if not names:
        if not current:
            raise UserError(f"{where} has no finished run on the present data and folds; train one first")
        return without_handicap(current)
    known = {run.name: run for run in current}
    for name in names:
        if name not in known:
            raise UserError(
                f"{where} has no finished run {name!r} on the present data and folds; it has "
                f"{', '.join(known) or 'none'}"
            )
    return [known[name] for name in dict.fromkeys(names)]  # a run named twice has one share


def _store(
    labelled: Labelled,
    runs: Sequence[Run],
    candidates: Sequence[Candidate],
    choice: ViewChoice | None,
    limits: Limits,
    inputs: dict[str, Any],
    kept: Kept | None,
    scratch: Path,
    device: str,
    progress: Progress,
) -> Blend:
    with progress.phase("reading what the runs predict"):
        pool, asked = make_pool(labelled, candidates, limits, scratch), inputs.get("blender")
    worn = find_worn(kept, pool)
    fitted = cross_fit(pool, blenders_for(pool, asked), asked, progress, worn)
    blender, solution = fitted.final
    described, quantiles = describe(pool, fitted), quantiles_of(fitted)
    share = check_asked(labelled, inputs.get("adapt", NONE))
    if share is None and limits.max_seconds is not None:
        share = 0.0  # it takes one more pass, for which the limit wasn't kept
    adapted, worth = find_adaptation(labelled, described, quantiles, share, device, progress)
    if labelled.has_test_images:
        shares = zip(pool.runs, run_shares(pool, solution), strict=True)
        used = {one.name for one, share in shares if share}
        plain = [run for run in runs if run.name in used and run.name not in adapted]
        by_name = {run.name: run for run in runs}
        with progress.phase(TESTS):
            tests = of_test_images(plain, choice, scratch, device, progress) if plain else {}
            tests |= adapted_tests(labelled, by_name, adapted, choice, scratch, device, progress)
        pool = with_test(pool, tests)
    made = Blend(labelled.workspace.ensemble / blender.name, labelled)
    with progress.phase(WRITING), atomic(made.folder) as partial:
        partial.mkdir()
        files = Blend(partial, labelled)
        decisions = [solution.decisions for _, solution in fitted.parts]
        clean = write_oof(files.oof_path, _out_of_fold(pool, fitted, scratch), labelled, decisions)
        if labelled.has_test_images:
            kind = candidates[0].oof.dtype
            write_mixed(files.test_path, pool, solution, len(labelled.test_images), kind)
        write_json(files.description_path, described)
        if quantiles:
            ranks: dict[str, Any] = quantiles
            np.savez(files.quantiles_path, **ranks)
        if adapted:
            write_json(files.adapted_path, {"runs": adapted})
        if choice is not None:
            write_choice(files.views_path, choice)
        scores = {"clean": clean} | further_scores(files.labelled, files.described, files.quantiles, choice)
        scores |= {"adapted": worth} if worth else {}
        metric = labelled.competition.metric
        beside = {"chosen_by": worn.name} if worn is not None else {}
        counts = _counted(fitted, metric.sign) | beside
        write_json(files.metrics_path, {**labelled.competition.scored_by, **scores, **counts})
        draw(pool, solution, blender.name, partial)
        write_manifest(partial, inputs, labelled.competition.folder)
        sealed = (files.description_path, files.views_path, files.adapted_path)
        keep(path for path in sealed if path.exists())
    return made


def _out_of_fold(pool: Pool, fitted: CrossFit, scratch: Path) -> np.ndarray:
    """(N, channels, ...) on disk: each fold as it was predicted by the blend that was fitted without it."""
    shape = pool.labelled.probability_shape(len(pool.labelled.fold))
    kind = value_type(pool.labelled.competition.task)
    values = no_values(shape, kind, scratch / "cross_fitted.npy")
    for k, (_, solution) in zip(pool.folds, fitted.parts, strict=True):
        rows = pool.labelled.rows(k)
        for at in chunks(len(rows), shape[2:]):
            values[rows[at]] = mixed(pool, solution, "oof", rows[at])
    return values


def _counted(fitted: CrossFit, sign: int) -> dict[str, Any]:
    """Scores are the official ones; optimism and gain are positive where better."""
    return {
        "naive": fitted.naive,
        "optimism": sign * (fitted.naive - fitted.score),
        "single": fitted.single,
        "gain": sign * (fitted.score - fitted.single),
        "gain_is_real": fitted.real,
        "gave_way": fitted.gave_way,
        "blenders": [asdict(line) for line in fitted.table],
    }
