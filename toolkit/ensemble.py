"""verb: blend the finished runs.

    python -m toolkit.ensemble competitions/mars
    python -m toolkit.ensemble competitions/blood_cells --max-models 3 --max-bytes 200000000 --views none
    python -m toolkit.ensemble                  every competition that has runs

Averages each run over test-time views where that gains, then tries the blenders of `blend.py` on out-of-fold
probabilities and takes the simplest one within noise of the best.
The printed score is cross-fitted, that choice included. Only runs on the present data and folds take part.
Leaves `ensemble/<blender>/`, and its name in `ensemble/chosen.json`.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import console
from toolkit.errors import UserError
from toolkit.store import (
    STALE_SECONDS,
    Workspace,
    atomic,
    choose_blend,
    chosen_blend,
    hash_json,
    read_json,
    read_manifest,
    write_json,
    write_manifest,
)

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.blending.candidates import Candidate
    from toolkit.blending.view_choice import ViewChoice
    from toolkit.competition import Competition

LIMITS = ("max_models", "max_seconds", "max_bytes")


def ensemble(competition: "Competition", workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """Blend, store and score; nothing is done where the same runs were blended before."""
    from toolkit.blending.blend_folder import score_anew
    from toolkit.data.dataset import data_hash
    from toolkit.data.folds import folds_hash, read_folds
    from toolkit.scoring.out_of_fold import finished_runs

    table = read_folds(workspace)
    found = finished_runs(workspace.train, data_hash(workspace.data), folds_hash(table))
    runs = _chosen(found, workspace, options)
    others = sum(read_manifest(run) is not None for run in workspace.train.glob("*/")) - len(found)
    if others:
        console.say(
            f"{others} runs are on other data or folds than the present ones: they can't be blended with these"
        )
    given = {name: getattr(options, name, None) for name in LIMITS}
    limits = {name: value for name, value in given.items() if value is not None}
    if "max_seconds" in limits:
        limits["test_images"] = _test_images(workspace, options)
    views = _views(competition, runs, options)
    inputs = {"runs": {run.name: read_manifest(run) for run in runs}, "views": list(views)}
    inputs |= {"limits": limits} if limits else {}
    folder = chosen_blend(workspace)
    if read_manifest(folder) != inputs:
        workspace.ensemble.mkdir(parents=True, exist_ok=True)
        for stale in workspace.ensemble.glob(".scratch-*"):
            if time.time() - stale.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(stale)
        with tempfile.TemporaryDirectory(dir=workspace.ensemble, prefix=".scratch-") as scratch:
            candidates = _candidates(competition, workspace, runs, limits, options)
            choice = None
            if len(views) > 1:
                seen, choice = _seen(competition, workspace, table, candidates, views, options, Path(scratch))
                candidates, choice = _within(candidates, seen, choice, limits)
            folder = _blend(competition, workspace, table, candidates, choice, limits, inputs, Path(scratch))
        choose_blend(workspace, folder.name)
    else:
        score_anew(competition, workspace, table, folder)
    return _show(competition, folder, runs)


def _chosen(runs: list[Path], workspace: Workspace, options: argparse.Namespace) -> list[Path]:
    if options.runs:
        known = {run.name: run for run in runs}
        names = list(dict.fromkeys(options.runs))  # a run named twice has one share, in the score and the submission
        for name in names:
            if name not in known:
                raise UserError(
                    f"{workspace.train} has no finished run {name!r} on the present data and folds; "
                    f"it has {', '.join(known) or 'none'}"
                )
        return [known[name] for name in names]
    if not runs:
        raise UserError(f"{workspace.train} has no finished run on the present data and folds; train one first")
    return runs


def _views(competition: "Competition", runs: list[Path], options: argparse.Namespace) -> tuple[str, ...]:
    """Names of the views to be tried, `identity` first."""
    from toolkit.blending.view_choice import PLAIN, default_views
    from toolkit.networks.views import EXACT, parse_views
    from toolkit.recipe import from_dict

    asked = options.views
    if asked == ["none"]:
        return (PLAIN,)
    if asked != ["trained"]:
        height, width, _ = competition.task.image_shape
        asked = [view.name for view in parse_views(asked, height, width)]
        if competition.try_submission is not None:
            for view in asked:
                if view not in EXACT:
                    raise UserError(f"a code submission can't honour the view {view!r}; it can {', '.join(EXACT)}")
        return tuple(dict.fromkeys((PLAIN, *asked)))
    shape = competition.task.image_shape
    known = [default_views(from_dict(read_json(run / "recipe.json")), shape) for run in runs]
    return tuple(view for view in known[0] if all(view in each for each in known))


def _seen(
    competition: "Competition",
    workspace: Workspace,
    table: "pd.DataFrame",
    candidates: list["Candidate"],
    views: tuple[str, ...],
    options: argparse.Namespace,
    scratch: Path,
) -> tuple[list["Candidate"], "ViewChoice | None"]:
    """The candidates averaged over the views that gain on the mean of all runs; None: none did.

    A fold's rows are averaged over the views that were chosen on the other folds.
    """
    from dataclasses import replace

    import numpy as np

    from toolkit.blending.view_choice import (
        PLAIN,
        averaged,
        averaged_out_of_fold,
        choose_views,
        open_views,
        store_views,
    )
    from toolkit.data.dataset import open_dataset, relabel
    from toolkit.data.folds import relabels
    from toolkit.probabilities import chunks, open_probabilities, weighted_mean, write_probabilities

    for one in candidates:
        console.say(f"{one.name}: {len(views)} views")
        store_views(competition, workspace, workspace.train / one.name, views, options.device)
    like = candidates[0].oof
    means = {}
    for view in views:  # opened one by one: runs times views may be more files than a process may have open
        stored = [open_views(workspace.train / one.name, [view])[view] for one in candidates]
        parts = (
            weighted_mean([each[at] for each in stored], np.full((at.stop - at.start, len(stored)), 1 / len(stored)))
            for at in chunks(len(like))
        )
        write_probabilities(scratch / f"{view}.npy", parts, like.shape, like.dtype.type)
        means[view] = open_probabilities(scratch / f"{view}.npy")
    targets = relabel(open_dataset(workspace.data).targets, relabels(table))
    choice = choose_views(competition, targets, table, means)
    gain = (
        f"{competition.metric.name} {choice.plain:.4f} without, {choice.crossfitted:.4f} with, of the mean of all runs"
    )
    if choice.crossfitted <= choice.plain:
        console.say(f"views {', '.join(views)} are not used: {gain}")
        return candidates, None
    shares = (f"{view} {weight:.2f}" for view, weight in zip(choice.views, choice.weights, strict=True))
    console.say(f"views: {', '.join(shares)}: {gain}")
    fold, result = table["fold"].to_numpy(), []
    for number, one in enumerate(candidates):
        path, of_run = scratch / f"oof_{number}.npy", open_views(workspace.train / one.name, views)
        write_probabilities(path, averaged_out_of_fold(competition, choice, of_run, fold), like.shape, like.dtype.type)
        one = replace(one, oof=open_probabilities(path))
        if one.test is not None:
            path = scratch / f"test_{number}.npy"
            seen = open_views(workspace.train / one.name, choice.views, "test")
            write_probabilities(
                path, averaged(competition, choice, {PLAIN: one.test} | seen), one.test.shape, one.test.dtype.type
            )
            one = replace(one, test=open_probabilities(path))
        result.append(one)
    return result, choice


def _within(
    plain: list["Candidate"], seen: list["Candidate"], choice: "ViewChoice | None", limits: dict[str, float]
) -> tuple[list["Candidate"], "ViewChoice | None"]:
    """The candidates with the time that their views take; without views, where no run fits the limit with them."""
    from dataclasses import replace

    if choice is None or "max_seconds" not in limits:
        return seen, choice
    at = [name for name in LIMITS if name in limits].index("max_seconds")
    times = len(choice.views)
    costs = [tuple(cost * (times if i == at else 1) for i, cost in enumerate(one.costs)) for one in seen]
    if min(cost[at] for cost in costs) > limits["max_seconds"]:
        console.say(
            f"{times} views are not used: no run predicts all images {times} times in the time that is allowed"
        )
        return plain, None
    return [replace(one, costs=cost) for one, cost in zip(seen, costs, strict=True)], choice


def _test_images(workspace: Workspace, options: argparse.Namespace) -> int:
    from toolkit.data.dataset import open_dataset

    dataset = open_dataset(workspace.data)
    return int(options.test_images or len(dataset.test_images) or len(dataset.images))


def _candidates(
    competition: "Competition",
    workspace: Workspace,
    runs: list[Path],
    limits: dict[str, float],
    options: argparse.Namespace,
) -> list["Candidate"]:
    """Runs as candidates; those that differ in seed alone are one family. Costs are in the limits' currencies."""
    from toolkit.blending.candidates import Candidate
    from toolkit.data.dataset import open_dataset
    from toolkit.probabilities import open_probabilities

    found = []
    for run in runs:
        recipe = read_json(run / "recipe.json")
        family = hash_json({key: value for key, value in recipe.items() if key not in ("name", "seed")})
        costs = []
        if "max_models" in limits:
            costs.append(1.0)
        if "max_seconds" in limits:
            from toolkit.blending.cost import seconds_per_image

            each = seconds_per_image(competition, run, open_dataset(workspace.data).images, options.device)
            costs.append(each * limits["test_images"])
        if "max_bytes" in limits:
            from toolkit.blending.cost import weight_bytes

            costs.append(float(weight_bytes(run)))
        test = open_probabilities(run / "test.npy") if (run / "test.npy").exists() else None
        found.append(Candidate(run.name, family, open_probabilities(run / "oof.npy"), test, tuple(costs)))
    return found


def _blend(
    competition: "Competition",
    workspace: Workspace,
    table: "pd.DataFrame",
    candidates: list["Candidate"],
    choice: "ViewChoice | None",
    limits: dict[str, float],
    inputs: dict[str, Any],
    scratch: Path,
) -> Path:
    import numpy as np

    from toolkit.blending.blend_folder import counted, cross_fitted, description, further_scores, write_test
    from toolkit.blending.blenders import blenders_for
    from toolkit.blending.candidates import make_families, make_pool
    from toolkit.blending.crossfit import best_single, cross_fit
    from toolkit.blending.pictures import draw
    from toolkit.blending.view_choice import write_choice
    from toolkit.data.dataset import open_dataset, relabel
    from toolkit.data.folds import relabels
    from toolkit.scoring.out_of_fold import write_oof

    bounds = np.array([limits[name] for name in LIMITS if name in limits]) if limits else None
    families = make_families(candidates, bounds)
    if not families:
        raise UserError(f"no run fits {', '.join(f'--{name}' for name in limits).replace('_', '-')} even alone")
    targets = relabel(open_dataset(workspace.data).targets, relabels(table))
    fold, group = table["fold"].to_numpy(), table["group"].to_numpy()
    pool = make_pool(competition, families, targets, fold, group, bounds, scratch)
    blenders = blenders_for(pool)
    eligible = [one.linear or competition.try_submission is None for one in blenders]
    single = best_single(competition, [m for f in families for m in f.members], targets, fold)
    outcome = cross_fit(pool, blenders, eligible, single)
    blender, solution = outcome.final
    folder = workspace.ensemble / blender.name
    with atomic(folder) as partial:
        partial.mkdir()
        clean = write_oof(partial / "oof.npy", cross_fitted(pool, outcome, scratch), competition, targets, table)
        if all(one.test is not None for one in candidates):
            write_test(pool, solution, partial / "test.npy")
        blend = description(pool, blender.name, solution) | {
            "linear": blender.linear,
            "folds": [description(pool, one.name, fitted) for one, fitted in outcome.parts],
        }
        write_json(partial / "blend.json", blend)
        if choice is not None:
            write_choice(partial, choice)
        scores = {"clean": clean} | further_scores(competition, workspace, table, targets, blend)
        metrics = {"metric": competition.metric.name, **scores} | counted(outcome)
        write_json(partial / "metrics.json", metrics)
        draw(pool, solution, blender.name, partial)
        write_manifest(partial, inputs)
    return folder


def _show(competition: "Competition", folder: Path, runs: list[Path]) -> dict[str, Any]:
    """Print what is stored."""
    blend, metrics = read_json(folder / "blend.json"), read_json(folder / "metrics.json")
    clean, metric = metrics["clean"], competition.metric.name
    of_runs = {run.name: read_json(run / "metrics.json") for run in runs}
    further = [kind for kind in ("stress", "matched") if any(one.get(kind) for one in of_runs.values())]
    rows = []
    for name, one in [*of_runs.items(), (folder.name, metrics)]:
        scores = [f"{one[kind]['score']:.4f}" if one.get(kind) else "-" for kind in further]
        share = 1 if one is metrics else blend["runs"].get(name, 0)
        rows.append([name, f"{share:.3f}", console.interval(one["clean"]), *scores])
    columns = ["run", "share", f"out-of-fold {metric}", *further]
    console.table(f"{competition.name}: blend", columns, rows, total=True)
    if len(metrics["blenders"]) > 1:
        rows = []
        for one in metrics["blenders"]:
            note = "chosen" if one["name"] == folder.name else "within noise of the best" if one["within"] else ""
            note = note if one["eligible"] else "the server can't do it"
            optimism = one["naive"] - one["score"]
            rows.append([one["name"], f"{one['score']:.4f}", f"{one['naive']:.4f}", f"{optimism:+.4f}", note])
        columns = ["blender", "cross-fitted", "in sample", "optimism", ""]
        console.table(f"{competition.name}: from the simplest to the most complex", columns, rows)
    methods = [part["method"] for part in blend["folds"]]
    if set(methods) != {folder.name}:
        console.say(f"chosen without each fold in turn: {', '.join(methods)}; so the choice is not a sure one")
    console.say(
        f"{folder.name}: {metric} {clean['score']:.4f} cross-fitted, the choice of the blender included; in sample "
        f"{metrics['naive']:.4f}, which is {metrics['optimism']:+.4f} of optimism"
    )
    if len(runs) > 1:
        console.say(
            f"the best single run, chosen in the same way: {metrics['single']:.4f}; the gain of "
            f"{metrics['gain']:+.4f} is real with probability {metrics['gain_is_real']:.2f}"
        )
    used = [name for name, share in blend["runs"].items() if share > 0]
    counted = {name: metrics[name] for name in ("naive", "optimism", "single", "gain", "gain_is_real")}
    result = {"blend": str(folder), "method": folder.name, "runs": used, "clean": clean, "stress": metrics["stress"]}
    return result | counted


def has_runs(workspace: Workspace) -> bool:
    return any(read_manifest(run) is not None for run in workspace.train.glob("*/"))


def add_options(made: argparse.ArgumentParser) -> None:
    made.add_argument("--runs", nargs="+", metavar="NAME", help="blend these runs only (default: all)")
    made.add_argument(
        "--views",
        nargs="+",
        default=["trained"],
        metavar="VIEW",
        help="test-time views to try: none, trained (what all recipes' augmentation made familiar), or their names",
    )
    limits = made.add_argument_group("limits of the organisers' machine: the best blend within them")
    limits.add_argument(
        "--max-models", type=_at_least_one, metavar="N", help="runs, each with all its folds' networks"
    )
    limits.add_argument("--max-seconds", type=float, metavar="S", help="for all test images, on a machine like this")
    limits.add_argument("--test-images", type=int, metavar="N", help="how many that are (default: those at hand)")
    limits.add_argument("--max-bytes", type=_at_least_one, metavar="B", help="of the networks' weights")


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    made = console.parser("ensemble", "Blend the finished runs.", several=True)
    add_options(made)
    console.main(made, ensemble, has_runs)
