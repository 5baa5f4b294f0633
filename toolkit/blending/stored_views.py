"""What runs predict through test-time views: stored once beside each run, chosen for all together, averaged."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from toolkit.blending.candidates import Candidate, Limits
from toolkit.blending.view_choice import ViewChoice, choose_views, seen_where
from toolkit.data.image_sets import part_of
from toolkit.data.labelled import Labelled
from toolkit.errors import UserError
from toolkit.networks.devices import resolve_device
from toolkit.networks.predict import BATCH, at_once
from toolkit.networks.tta import EXACT, IDENTITY, Mean, parse_views, predict_views
from toolkit.outcome import counted, number
from toolkit.predictions import Predictions
from toolkit.probabilities import chunks, open_probabilities, probabilities, write_probabilities
from toolkit.progress import SILENT, Done, Progress
from toolkit.recipe import Recipe
from toolkit.runs import Boosted, Run
from toolkit.store import atomic, hash_file, write_manifest

VIEWS, CHOOSING = "views", "choosing views"  # phases
NONE, TRAINED = ("none",), ("trained",)  # asked for in place of names


def default_views(recipe: Recipe, image_shape: tuple[int, int, int]) -> tuple[str, ...]:
    """Names of the views that a recipe's augmentation has made familiar to its networks.

    Only those that exchange pixels, which a code submission can honour too.
    """
    augment, (height, width, _) = recipe.augment, image_shape
    chosen = [IDENTITY]
    if augment.flip != "none":
        chosen.append("horizontal")
    if augment.flip == "both":
        chosen.append("vertical")
    if augment.flip == "both" or augment.rotate == 180:
        chosen.append("both")
    if augment.flip == "horizontal" and augment.rotate == 180:
        chosen.append("vertical")
    if augment.rotate >= 90 and height == width:
        chosen += ["rot90", "rot270"] + ["transpose", "antitranspose"] * (augment.flip != "none")
    return tuple(chosen)


def views_to_try(runs: Sequence[Run], asked: Sequence[str]) -> tuple[str, ...]:
    """Names of the views, `identity` first. asked: names, `none`, or `trained`: familiar to all runs."""
    competition = runs[0].labelled.competition
    shape = competition.task.image_shape
    if tuple(asked) == NONE:
        return (IDENTITY,)
    if tuple(asked) == TRAINED:
        known = [default_views(run.recipe, shape) for run in runs]
        return tuple(view for view in known[0] if all(view in each for each in known))
    names = [view.name for view in parse_views(asked, *shape[:2])]
    if competition.try_submission is not None:
        for name in names:
            if name not in EXACT:
                raise UserError(f"a code submission can't honour the view {name!r}; it can {', '.join(EXACT)}")
    return tuple(dict.fromkeys((IDENTITY, *names)))


def store_views(run: Run, views: Iterable[str], device: str, progress: Progress = SILENT) -> None:
    """Predict, through each view, what the finished run predicted of its validation rows.

    Probabilities are stored as the run's own, in chunks, each view whole or not at all; views that are there are
    kept while the run's weights are the same. Where a view doesn't see a pixel all classes have 0. `identity` is
    the run itself, and so is every view of a boosted one. Raises UserError for a view that doesn't fit, or a run
    without weights.
    """
    if isinstance(run, Boosted):
        return
    labelled, fold, like = run.labelled, run.labelled.fold, run.oof
    inputs = {"run": run.manifest, "weights": [hash_file(path) for path in run.weights]}
    names = [view.name for view in parse_views(views, *labelled.competition.task.image_shape[:2])]
    missing = [name for name in names if name != IDENTITY and _through(run, name).manifest != inputs]
    if not missing:
        return
    predict = _predictor(run, device)

    def out_of_fold(view: str, done: Done) -> Iterator[np.ndarray]:
        for at in chunks(len(fold), like.shape[2:], at_once(run.images, BATCH)):
            part = np.zeros((at.stop - at.start, *like.shape[1:]), np.float32)
            for k in np.unique(fold[at][fold[at] >= 0]):
                rows = np.flatnonzero(fold[at] == k)
                places = at.start + rows
                part[rows] = predict(k, part_of(run.images, places), view, labelled.table_of(places))
                done(len(rows))
            yield part

    for name in missing:
        what, number = _through_words(run, name), int((fold >= 0).sum())
        with atomic(run.view_folder(name)) as partial, progress.counting(what, number) as done:
            partial.mkdir()
            _written(Predictions(partial, labelled).oof_path, out_of_fold(name, done), like.shape, like.dtype)
            write_manifest(partial, inputs)


def _through_words(run: Run, view: str) -> str:
    return f"{run.name} through {view}"


def store_test_views(run: Run, views: Iterable[str], device: str, progress: Progress = SILENT) -> None:
    """As `store_views`, which comes first, of the test images: the mean of all folds' networks."""
    images = run.test_images
    missing = [view for view in views if view != IDENTITY and _through(run, view).test is None]
    if not missing:
        return
    predict = _predictor(run, device)

    def means(view: str, done: Done) -> Iterator[np.ndarray]:
        for at in chunks(len(images), run.oof.shape[2:], at_once(images, BATCH)):
            seen, table = part_of(images, at), run.labelled.test_table_of(at)
            yield np.mean([predict(number, seen, view, table) for number in range(run.labelled.folds)], axis=0)
            done(at.stop - at.start)

    for view in missing:
        shape = run.labelled.probability_shape(len(images))
        path = _through(run, view).test_path
        with progress.counting(f"test images through {view}", len(images)) as done:
            _written(path, means(view, done), shape, run.oof.dtype)


def _predictor(run: Run, device: str) -> Callable[[int, np.ndarray, str, np.ndarray | None], np.ndarray]:
    """(fold, images, view, table) -> probabilities of that fold's network."""
    place, scored = resolve_device(device), run.labelled.competition.scored
    networks = run.networks(place)

    def predict(number: int, images: np.ndarray, view: str, table: np.ndarray | None) -> np.ndarray:
        network, precision = networks[number], run.recipe.precision
        return predict_views(network, images, scored, place, precision, [view], gaps=True, table=table)

    return predict


def of_test_images(
    runs: Sequence[Run], choice: ViewChoice | None, scratch: Path, device: str, progress: Progress = SILENT
) -> dict[str, np.ndarray]:
    """Test predictions (M, C, ...) by run, averaged over the chosen views; those that aren't there yet are made."""
    views = (IDENTITY,) if choice is None else choice.views
    lacking = [run.name for run in runs if any(_through(run, view).test is None for view in views)]
    if lacking:
        progress.say(
            f"predicting {counted(len(runs[0].labelled.test_images), 'test image')} with {', '.join(lacking)}"
        )
    found = {}
    for run in runs:
        if IDENTITY in views and run.test is None:
            from toolkit.training.saving import store_test

            store_test(run, device, progress)
        store_test_views(run, views, device, progress)
        stored = open_views(run, views, "test")
        if choice is None:
            found[run.name] = stored[IDENTITY]
        else:
            path = Predictions(scratch / run.name, run.labelled).test_path
            some = stored[views[0]]
            found[run.name] = _written(path, averaged(run.labelled, choice, stored), some.shape, run.oof.dtype)
    return found


def _through(run: Run, view: str) -> Predictions:
    # trees see no image: what they say is the same through every view
    same = view == IDENTITY or isinstance(run, Boosted)
    return run if same else Predictions(run.view_folder(view), run.labelled)


def open_views(run: Run, views: Iterable[str], kind: str = "oof") -> dict[str, np.ndarray]:
    """Stored probabilities (N, C, ...) by view, memory-mapped. kind: `oof` or `test`."""
    return {view: getattr(_through(run, view), kind) for view in views}


def averaged(labelled: Labelled, choice: ViewChoice, stored: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
    """The chosen mean of stored probabilities by view, float32 (n, C, ...) a chunk, in order."""
    weights = dict(zip(choice.views, choice.weights, strict=True))
    first = stored[choice.views[0]]
    for at in chunks(len(first), first.shape[2:]):
        yield _mean(labelled, weights, stored, at)


def averaged_out_of_fold(
    labelled: Labelled, choice: ViewChoice, stored: Mapping[str, np.ndarray]
) -> Iterator[np.ndarray]:
    """As `averaged`, each fold's rows with the views that were chosen without it; rows without a fold get 0."""
    fold = labelled.fold
    for at in chunks(len(fold), stored[IDENTITY].shape[2:]):
        part = np.zeros((at.stop - at.start, *stored[IDENTITY].shape[1:]), np.float32)
        for k, weights in enumerate(choice.by_fold):
            rows = np.flatnonzero(fold[at] == k)
            if len(rows):
                part[rows] = _mean(labelled, weights, stored, at.start + rows)
        yield part


def _mean(
    labelled: Labelled, weights: Mapping[str, float], stored: Mapping[str, np.ndarray], rows: np.ndarray | slice
) -> np.ndarray:
    task = labelled.competition.task
    mean, scored = Mean(), list(labelled.competition.scored if task.exclusive else range(task.channels))
    for view, weight in weights.items():
        part = probabilities(stored[view][rows])
        mean.add(torch.from_numpy(part[:, scored]), weight, seen_where(task, view))
    result = np.zeros_like(part)
    result[:, scored] = mean.result().numpy()
    return result


def through_views(
    runs: Sequence[Run],
    candidates: list[Candidate],
    views: Sequence[str],
    limits: Limits,
    scratch: Path,
    device: str,
    progress: Progress = SILENT,
) -> tuple[list[Candidate], ViewChoice | None]:
    """The runs' candidates averaged over the views that gain on the mean of all runs, as costly as that makes them.

    As they are, and None, where none gains or no run has the time for them within the limits. A fold's rows are
    averaged over the views that were chosen on the other folds.
    """
    labelled = runs[0].labelled
    costs = {_through_words(run, view): 1.0 for run in runs for view in views if view != IDENTITY}
    with progress.phase(VIEWS, costs=costs | {CHOOSING: 1.0}):
        for run in runs:
            progress.say(f"{run.name}: {len(views)} views")
            store_views(run, views, device, progress)
        with progress.phase(CHOOSING):
            choice = choose_views(labelled, _means(runs, views, scratch))
    scores = f"{number(choice.plain)} without, {number(choice.crossfitted)} with"
    gain = f"{labelled.competition.metric.name} {scores}, of the mean of all runs"
    if not labelled.competition.better(choice.crossfitted, choice.plain):
        progress.say(f"views {', '.join(views)} are not used: {gain}")
        return candidates, None
    shares = (f"{view} {weight:.2f}" for view, weight in zip(choice.views, choice.weights, strict=True))
    progress.say(f"views: {', '.join(shares)}: {gain}")
    times = len(choice.views)
    costly = [one.times(times) for one in candidates]
    if limits.max_seconds is not None and min(one.costs[1] for one in costly) > limits.max_seconds:
        text = f"{times} views are not used: no run predicts all images {times} times in the time that is allowed"
        progress.say(text)
        return candidates, None
    seen = []
    for run, one in zip(runs, costly, strict=True):
        files = Predictions(scratch / run.name, labelled)
        parts = averaged_out_of_fold(labelled, choice, open_views(run, views))
        like = candidates[0].oof
        seen.append(replace(one, oof=_written(files.oof_path, parts, like.shape, like.dtype)))
    return seen, choice


def _means(runs: Sequence[Run], views: Sequence[str], scratch: Path) -> dict[str, np.ndarray]:
    """Out-of-fold probabilities (N, C, ...) by view, of the mean of all runs."""
    like, means = runs[0].oof, {}
    for view in views:  # opened one by one: runs times views may be more files than a process may have open
        stored = [open_views(run, [view])[view] for run in runs]
        parts = (
            np.mean([probabilities(each[at]) for each in stored], axis=0) for at in chunks(len(like), like.shape[2:])
        )
        means[view] = _written(scratch / f"{view}.npy", parts, like.shape, like.dtype)
    return means


def _written(path: Path, parts: Iterable[np.ndarray], shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    write_probabilities(path, parts, shape, dtype)
    return open_probabilities(path)
