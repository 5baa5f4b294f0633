"""From the organisers' files to arrays on disk: read once, drawn where practice is asked for."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from inspect import getsourcefile
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.answers import Prediction, differences, misfit, values_of
from toolkit.competition import Competition
from toolkit.data.dataset import (
    Dataset,
    Samples,
    check_dataset,
    check_images,
    hash_dataset,
    hash_samples,
    save_dataset,
    save_samples,
)
from toolkit.data.file_list import describe_files
from toolkit.data.native import native_arrays
from toolkit.data.raw_files import listed, source_of
from toolkit.errors import UserError, said_by
from toolkit.metrics.metric import CountedMetric
from toolkit.metrics.organisers import Function
from toolkit.progress import SILENT, Progress
from toolkit.store import MANIFEST, Workspace, atomic, hash_file, hash_json, read_json, read_manifest, write_json


def draw_practice(competition: Competition, workspace: Workspace, seed: int, size: int, progress: Progress) -> Path:
    """The folder of the practice data's raw files, which are drawn on first use."""
    if not workspace.practice.exists():
        with atomic(workspace.practice) as partial:
            partial.mkdir()
            competition.practice(partial, seed, size)
        progress.say(f"drew practice data in {workspace.practice}")
    return workspace.practice / "raw"


def load(
    competition: Competition, workspace: Workspace, folder: Path, progress: Progress = SILENT, jobs: int = 1
) -> None:
    """Raw files → `data/`, images decoded by `jobs` processes.

    Nothing is done where the same files were loaded before, by the same code.
    """
    known = read_manifest(workspace.data)
    files = listed(folder, workspace.files, progress, None if known is None else known["source"])
    if not len(files):
        raise UserError(competition.without_files(folder))
    source = source_of(files)
    code = getsourcefile(competition.load)
    reader = hash_json([repr(competition.task), hash_file(Path(code)) if code else None])
    if known is not None and known.get("reader") == reader and _is_there(workspace, known):
        _keep_place(workspace, folder)
        return
    data = _loaded(competition, folder)
    shape = competition.task.image_shape
    if isinstance(data, Samples) and isinstance(data.images, np.ndarray):
        raise UserError(f"{folder}: images are an array: `load` returns arrays as Dataset(…), not as Samples(…)")
    dataset = data.as_dataset(folder) if isinstance(data, Samples) else data
    workspace.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=workspace.folder, prefix=".masks-") as scratch:
        if isinstance(data, Samples) and data.is_native:
            dataset = replace(dataset, **native_arrays(data, shape, Path(scratch)))
        check_dataset(dataset, competition.task, str(folder))
        _check_native(competition, dataset)
        _check_images(competition, data, dataset, str(folder))
        if dataset.table is not None and competition.try_submission is not None:
            raise UserError(f"{folder} has a table, and code that is handed in is given images alone; leave out table")
        _try_metric(competition, dataset.targets)
        _rehearse(competition, dataset)
        described = describe_files(data.files, folder, source) if isinstance(data, Samples) else {}
        value = hash_samples(dataset, described, shape) if described else hash_dataset(dataset)
        if known is not None and known["hash"] != value:
            raise UserError(
                f"{competition.name} reads the files otherwise than when {workspace.folder} was made; "
                f"choose another --workspace, or remove {workspace.folder}"
            )
        if isinstance(data, Samples):
            save_samples(data, dataset, described, workspace, source, reader, folder, shape, progress, jobs)
        else:
            save_dataset(data, workspace.data, source, reader, folder)


def _is_there(workspace: Workspace, manifest: Mapping[str, Any]) -> bool:
    """Are images that lie in files decoded, as far as the workspace keeps them?"""
    if "decoded" not in manifest:
        return True
    decoded = read_manifest(workspace.decoded / manifest["decoded"])
    return decoded is not None and (decoded["kept"] or not workspace.keeps_images)


def _keep_place(workspace: Workspace, folder: Path) -> None:
    """Note where the organisers' files lie, should they have been moved."""
    path = workspace.data / MANIFEST
    manifest, place = read_json(path), str(folder.resolve())
    if manifest["inputs"].get("raw") != place:
        write_json(path, manifest | {"inputs": manifest["inputs"] | {"raw": place}})


def _loaded(competition: Competition, folder: Path) -> Dataset | Samples:
    """What the competition's `load` makes of the files; UserError, one sentence, for whatever goes wrong in it."""
    try:
        return competition.load(folder)
    except UserError:
        raise
    except Exception as error:  # of code that isn't ours, or a file that it can't read
        code = getsourcefile(competition.load)
        home = Path(code).parent if code else competition.folder
        raise UserError(f"{competition.name} can't load {folder}: {said_by(error, home)}") from error


def _check_images(competition: Competition, data: Dataset | Samples, dataset: Dataset, where: str) -> None:
    """UserError for arrays that aren't as the task says, or for more than 8 bits where code is handed in."""
    for name in ("images", "test_images"):
        images: np.ndarray = getattr(dataset, name)
        if isinstance(data, Dataset) and (name == "images" or len(images)):
            check_images(images, competition.task.image_shape, f"{where}: {name}")
        if competition.try_submission is not None and images.dtype != np.uint8:
            raise UserError(
                f"{where}: {name} are {images.dtype} on the scale 0..255, and a code submission is given what lies in "
                "the files: let load give 8-bit images, or hand in a file and leave out try_submission"
            )


def _check_native(competition: Competition, dataset: Dataset) -> None:
    """UserError where masks can't be scored at the size of each picture: as values, or by what has no counts."""
    metric = competition.metric
    if dataset.native is not None and not (isinstance(metric, CountedMetric) and metric.needs == "labels"):
        raise UserError(
            f"{metric.name} can't score masks at the size of each picture: that takes a metric of decided masks that "
            "has counts (docs/metrics.md); masks.fitted(TASK.image_shape) are scored at the size of the task"
        )


def _try_metric(competition: Competition, targets: np.ndarray) -> None:
    """An organisers' function scores what is right of every sample; UserError where it fails, not hours later.

    Of masks it isn't tried: their values can be larger than memory.
    """
    task, metric = competition.task, competition.metric
    if not isinstance(metric, Function) or task.masks:
        return
    if task.exclusive and metric.needs == "labels":
        metric.tally(task, targets, targets, competition.scored).score()
    else:
        competition.tally(targets, np.nan_to_num(values_of(task, targets), nan=0.5)).score()


def _rehearse(competition: Competition, dataset: Dataset) -> None:
    """A submission that says the same of every image, written and read back; UserError where that can't be done.

    Before hours of training, not after them. Code needs trained networks, and files need the test images.
    """
    images = dataset.test_images
    if competition.try_submission is not None or not len(images):
        return
    ids = np.arange(len(images)) if dataset.test_ids is None else dataset.test_ids
    prediction = _alike(competition, dataset, ids)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"rehearsal{competition.submission_suffix}"
        try:
            competition.write_submission(prediction, path)
            found = competition.read_submission(path, images, ids)
        except Exception as error:  # of code that isn't ours: whatever it raises, the user can mend it now
            raise UserError(
                f"a submission for the {len(images):,} test images in these files can't be written and read back "
                f"({error}); mend write_submission or read_submission in {competition.folder / '__init__.py'}"
            ) from error
    fault, mend = misfit(found, prediction.answer), "read_submission"
    if not fault and differences(found, prediction.answer, competition.tolerance).any():
        fault, mend = "reads back as something else than what was written", "write_submission or read_submission"
    if fault:
        raise UserError(
            f"a submission for the {len(images):,} test images in these files {fault}; "
            f"mend {mend} in {competition.folder / '__init__.py'}"
        )


def _alike(competition: Competition, dataset: Dataset, ids: np.ndarray) -> Prediction:
    """The first class that is scored, or else what the first sample is, said of every test image."""
    images, task = dataset.test_images, competition.task
    first = dataset.targets[:1]
    if task.exclusive:
        first = np.full(first.shape, competition.scored[0], first.dtype)
    one = np.nan_to_num(values_of(task, first), nan=0.5)
    stored = np.broadcast_to(one, (len(images), *one.shape[1:]))
    if task.exclusive and competition.metric.needs == "labels":  # what follows from them takes a while for masks
        labels = np.broadcast_to(first, (len(images), *first.shape[1:]))
        return Prediction(images, ids, labels, (), stored=stored, task=task)
    return competition.prediction(images, ids, stored)
