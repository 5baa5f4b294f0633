"""A competition's metric and submission, tried on predictions that are drawn, before hours of training.

Code needs trained networks, and files need the test images.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.answers import NONE, Prediction, differences, misfit, values_of
from toolkit.competition import Competition
from toolkit.competition_code import parts_of_code, words
from toolkit.data.dataset import Dataset
from toolkit.data.masks import Masks
from toolkit.data.sample_submission import compared
from toolkit.errors import UserError, said_by
from toolkit.metrics.organisers import Function
from toolkit.probabilities import value_type
from toolkit.recipe import Recipe
from toolkit.store import Workspace, hash_file, hash_json, read_json, write_json
from toolkit.task import IGNORED, Numbers, Task

PIXELS = 1 << 30  # of test pictures, from which on a rehearsal is of smaller ones
SIDE = 1024
SOME = 1 << 23  # values of masks by which a metric is tried
VALUES = 1 << 26  # drawn for all test images at most; of more the same is said of each
SURE = 0.6  # of what is drawn is the target of some sample, the rest anything


def once(workspace: Workspace, what: str, key: str, attempt: Callable[[], None]) -> int:
    """Attempt it unless it succeeded before under that key, and remember that; 1 where it was attempted, else 0."""
    path = workspace.tried
    known: dict[str, str] = read_json(path, holds=dict[str, str]) if path.exists() else {}
    if known.get(what) == key:
        return 0
    attempt()
    write_json(path, known | {what: key})
    return 1


def network(recipe: Recipe) -> str:
    """What a recipe's network is remembered as; what it is given beside images may follow."""
    return f"network {recipe.name}"


def was_built(workspace: Workspace, recipe: Recipe) -> bool:
    """Could the recipe's network be built when it was tried here, with the weights that it begins with?"""
    path = workspace.tried
    known: dict[str, str] = read_json(path, holds=dict[str, str]) if path.exists() else {}
    return network(recipe) in known


def try_answers(competition: Competition, workspace: Workspace, dataset: Dataset, data: str, folder: Path) -> int:
    """`try_metric` and `rehearse`, once for a hash of the data; 1 where they were tried now.

    dataset: of single images, as `in_sets` makes it; folder: of the organisers' files, where their sample may lie.
    """

    def attempt() -> None:
        try_metric(competition, np.asarray(dataset.targets))
        rehearse(competition, dataset, folder)

    return once(workspace, "answers", hash_json([made_by(competition), data, repr(competition.task)]), attempt)


def made_by(competition: Competition) -> str:
    """12 hex digits that name what is tried here: the competition's metric and how it writes and reads."""
    form = competition.form
    functions = [competition.write_submission, competition.read_submission] if form is None else []
    code = [parts_of_code(one, competition.folder) for one in functions]
    laid_out = [form and form.stored(), words(competition.dialect), competition.submission_suffix]
    return hash_json([code, competition.scored_by, competition.tolerance, laid_out])


def written_by(competition: Competition) -> str:
    """12 hex digits that name what makes a submission of a blend: with the above how the task calls its classes, and
    of code all modules in the competition's folder, as any of them may be handed in.
    """
    modules: dict[str, str] = {}
    if competition.try_submission is not None:
        files = {path.relative_to(competition.folder): path for path in competition.folder.rglob("*.py")}
        modules = {within.as_posix(): hash_file(path) for within, path in files.items() if within.parts[0] != "data"}
    return hash_json([made_by(competition), words(competition.task), modules])


def try_metric(competition: Competition, targets: np.ndarray) -> None:
    """Score what is right of every sample, and what is drawn; UserError where that fails, not hours later.

    Of masks as many are taken as SOME pixels fill, evenly from all. What the toolkit itself counts isn't tried.
    """
    task, metric = competition.task, competition.metric
    own = isinstance(metric, Function)
    if type(metric).__module__.startswith("toolkit.") and not own:
        return
    if task.masks:
        fitting = max(2, SOME // (task.channels * targets[0].size))
        targets = targets[np.unique(np.linspace(0, len(targets) - 1, fitting).astype(np.int64))]
    rng = np.random.default_rng(0)
    drawn = rng.permutation(len(targets))
    try:
        if task.exclusive and metric.needs == "labels":
            for said in (targets, targets[drawn]):
                metric.tally(task, targets, said, competition.scored).score()
        else:
            right = np.nan_to_num(values_of(task, targets), nan=0.5)
            for values in (right, _unsure(task, right[drawn], rng)):
                competition.tally(targets, values).score()
    except UserError:
        raise
    except Exception as error:  # of code that isn't ours
        raise UserError(
            f"the metric {metric.name} fails on predictions that were drawn: {said_by(error, competition.folder)}"
        ) from error


def ids_of_tests(dataset: Dataset) -> np.ndarray:
    """What a submission calls test images by, or the pictures that tiles are of."""
    number = len(dataset.test_images) if dataset.test_sizes is None else len(dataset.test_sizes)
    return np.arange(number) if dataset.test_ids is None else dataset.test_ids


def rehearse(competition: Competition, dataset: Dataset, folder: Path) -> None:
    """A submission of drawn predictions, written and read back; UserError where that can't be done. Of masks that
    together are very large it says the same of every image.
    """
    images = dataset.test_images
    if competition.try_submission is not None or not len(images):
        return
    ids = ids_of_tests(dataset)
    prediction = _drawn(competition, dataset, ids)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"rehearsal{competition.submission_suffix}"
        try:
            competition.write_submission(prediction, path)
            found = competition.read_submission(path, prediction.read_with, ids)
            compared(competition, path, folder)
        except Exception as error:  # of code that isn't ours: whatever it raises, the user can mend it now
            mend = "write_submission or read_submission" if competition.form is None else "its dialect"
            raise UserError(
                f"a submission for the {len(images):,} test images in these files can't be written and read back "
                f"({error}); mend {mend} in {competition.folder / '__init__.py'}"
            ) from error
    fault, mend = misfit(found, prediction.answer), "read_submission"
    if not fault and differences(found, prediction.answer, competition.tolerance).any():
        fault, mend = "reads back as something else than what was written", "write_submission or read_submission"
    if fault:
        raise UserError(
            f"a submission for the {len(images):,} test images in these files {fault}; "
            f"mend {mend} in {competition.folder / '__init__.py'}"
        )


def _drawn(competition: Competition, dataset: Dataset, ids: np.ndarray) -> Prediction:
    """Of each test image what some training sample is, not quite surely, stored as predictions are."""
    task, targets = competition.task, dataset.targets
    number = len(ids) * task.channels * int(np.prod(targets.shape[1:] if task.masks else ()))
    if dataset.test_sizes is not None or number > VALUES:
        return _alike(competition, dataset, ids)
    rng = np.random.default_rng(0)
    if task.exclusive and task.masks and competition.metric.needs == "labels":
        labels = _known_masks(competition, targets[np.sort(rng.integers(len(targets), size=len(ids)))])
        stored = np.broadcast_to(np.float32(0), (len(ids), task.channels, *labels.shape[1:]))
        return Prediction(dataset.test_images, ids, labels, (), stored=stored, task=task)
    known = np.nan_to_num(values_of(task, targets[rng.integers(len(targets), size=len(ids))]), nan=0.5)
    return competition.prediction(dataset.test_images, ids, _unsure(task, known, rng))


def _known_masks(competition: Competition, masks: np.ndarray) -> np.ndarray:
    """uint8 (n, H, W), the first class that is scored where none is to be predicted."""
    kept = np.isin(masks, competition.scored)
    return np.where(kept, masks, competition.scored[0]).astype(np.uint8)


def _unsure(task: Task, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Values (n, channels) moved away from what is sure, as networks' are; numbers are those of other samples."""
    if isinstance(task, Numbers):
        return values
    other = values[rng.permutation(len(values))]
    share = rng.uniform(SURE, 1, (len(values), *[1] * (values.ndim - 1))).astype(np.float32)
    kind = value_type(task)
    mixed: np.ndarray = share * values + (1 - share) * other
    return mixed if kind.names else mixed.astype(kind)


def _alike(competition: Competition, dataset: Dataset, ids: np.ndarray) -> Prediction:
    """The first class that is scored, or else what the first sample is, said of every test image."""
    images, task = dataset.test_images, competition.task
    first = dataset.targets[:1]
    if task.exclusive:
        first = np.full(first.shape, competition.scored[0], first.dtype)
    if dataset.test_sizes is not None:
        return _alike_at_own_sizes(task, images, ids, first, dataset.test_sizes)
    one = np.nan_to_num(values_of(task, first), nan=0.5)
    stored = np.broadcast_to(one, (len(images), *one.shape[1:]))
    if task.exclusive and competition.metric.needs == "labels":  # what follows from them takes a while for masks
        labels = np.broadcast_to(first, (len(images), *first.shape[1:]))
        return Prediction(images, ids, labels, (), stored=stored, task=task)
    return competition.prediction(images, ids, stored)


def _alike_at_own_sizes(
    task: Task, images: np.ndarray, ids: np.ndarray, first: np.ndarray, sizes: np.ndarray
) -> Prediction:
    """What the first mask says somewhere, said everywhere in pictures of these sizes (P, 2), or in smaller ones where
    these have very many pixels.
    """
    value = int(np.bitwise_or.reduce(first[first != IGNORED]))
    sizes = np.minimum(sizes, SIDE) if sizes.prod(1).sum() > PIXELS else sizes
    masks: Any = Masks(len(sizes), lambda at: np.full(sizes[at], value, np.uint8), sizes)
    labels, answered = (masks, None) if task.exclusive else (NONE, masks)
    return Prediction(images, ids, labels, (), answered=answered, task=task)
