"""From the organisers' files to arrays on disk: read once, drawn where practice is asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.competition import Competition
from toolkit.data.data_folder import hash_dataset, hash_samples, open_dataset, save_dataset, save_samples
from toolkit.data.dataset import Dataset, Samples, check_dataset, check_images
from toolkit.data.image_sets import in_sets
from toolkit.data.origin import (
    TASK,
    Reading,
    check_task,
    facts,
    is_another_order,
    loaded,
    read_facts,
    reader_of,
    reads_alike,
    whole,
)
from toolkit.data.raw_files import listed, source_of
from toolkit.data.rehearsal import ids_of_tests, try_answers
from toolkit.data.sample_submission import following, keep, recognised
from toolkit.errors import UserError, others_code
from toolkit.images.file_list import describe_files
from toolkit.images.files import ImageFiles
from toolkit.images.regions import turned_by_exif
from toolkit.metrics.metric import CountedMetric
from toolkit.progress import SILENT, Progress
from toolkit.store import MANIFEST, Workspace, atomic, read_json, read_manifest, write_json

LOOKED_AT = 200  # pictures, for the tags that turn them
DRAWN = "drawn.json"  # beside the practice data: how many samples were asked for


def draw_practice(
    competition: Competition, workspace: Workspace, seed: int, size: int | None, progress: Progress
) -> Path:
    """The folder of the practice data's raw files, which are drawn on first use.

    size: samples (None: as many as are there, or the competition says); UserError where others are there.
    """
    if not workspace.practice.exists():
        size = size or competition.practice_size
        with progress.phase("making practice data"), atomic(workspace.practice) as partial:
            partial.mkdir()
            with others_code(f"{competition.name} can't draw practice data", competition.folder):
                competition.practice(partial, seed, size)
            write_json(partial / DRAWN, {"size": size})
        progress.say(f"made synthetic practice data in {workspace.practice}")
    check_practice_size(workspace, size)
    return workspace.practice / "raw"


def check_practice_size(workspace: Workspace, size: int | None) -> None:
    """UserError where practice data of another size are there."""
    note = workspace.practice / DRAWN
    if size is None or not note.exists():
        return
    drawn = read_json(note, "size", holds=dict[str, int])["size"]
    if drawn != size:
        raise UserError(
            f"{workspace.practice} was made with --practice-size {drawn}; leave {size} out, choose another "
            f"--workspace, or remove {workspace.folder}"
        )


def load(
    competition: Competition, workspace: Workspace, folder: Path, progress: Progress = SILENT, jobs: int = 1
) -> None:
    """Raw files → `data/`, images decoded by `jobs` processes.

    Nothing is done where the same files were loaded before, by the same code.
    """
    known = read_manifest(workspace.data, source=str, hash=str)
    same = Reading(competition, workspace, folder).same
    files = listed(folder, workspace.files, progress, None if known is None else known["source"], same)
    if not len(files):
        raise UserError(competition.without_files(folder))
    source = source_of(files) if known is None else known["source"]  # what else lies there by now isn't read
    reader = reader_of(competition)
    read_alike = known is not None and known.get("reader") == reader and reads_alike(competition, workspace)
    if known is not None and read_alike and _is_there(competition, workspace, known):
        _keep_place(workspace, folder)
        _keep_facts(competition, workspace)
        return
    with progress.phase("reading the labels and images"):
        data = loaded(competition, folder)
    shape = competition.task.image_shape
    if isinstance(data, Samples) and isinstance(data.images, np.ndarray):
        raise UserError(f"{folder}: images are an array: `load` returns arrays as Dataset(…), not as Samples(…)")
    workspace.folder.mkdir(parents=True, exist_ok=True)
    with progress.phase("checking the data"), whole(data, competition, workspace, folder) as dataset:
        check_dataset(dataset, competition.task, str(folder))
        _check_native(competition, dataset)
        if competition.task.masks and isinstance(data, Samples) and isinstance(data.images, ImageFiles):
            _warn_of_turned(data.images, progress)
        _check_images(competition, data, dataset, str(folder))
        if dataset.table is not None and competition.try_submission is not None:
            raise UserError(f"{folder} has a table, and code that is handed in is given images alone; leave out table")
        competition = _with_sample(competition, folder, in_sets(dataset), progress)
        described = describe_files(data.files, folder, source) if isinstance(data, Samples) else {}
        value = hash_samples(dataset, described, shape) if described else hash_dataset(dataset)
        try_answers(competition, workspace, in_sets(dataset), value, folder)
        if known is not None and known["hash"] != value:
            raise UserError(
                f"{competition.name} reads the files otherwise than when {workspace.folder} was made; "
                f"choose another --workspace, or remove {workspace.folder}"
            )
        if known is not None and is_another_order(competition, workspace):
            check_task(competition, workspace)
        if competition.form is not None:
            keep(competition.form, workspace)
        if isinstance(data, Samples):
            save_samples(data, dataset, described, workspace, source, reader, folder, shape, progress, jobs)
        else:
            save_dataset(data, workspace.data, source, reader, folder)
        _keep_facts(competition, workspace)


def _is_there(competition: Competition, workspace: Workspace, manifest: Mapping[str, Any]) -> bool:
    """Are images that lie in files decoded, as far as the workspace keeps them, and is the sample's form kept?"""
    if "decoded" in manifest:
        decoded = read_manifest(workspace.decoded / manifest["decoded"])
        if decoded is None or decoded["kept"] < workspace.keeps_images:
            return False
    followed = competition.follows_sample and len(open_dataset(workspace.data).test_images) > 0
    return not followed or workspace.sample.exists()


def _keep_facts(competition: Competition, workspace: Workspace) -> None:
    """Note what the data were read for."""
    if read_facts(workspace) != (now := facts(competition)):
        write_json(workspace.data / TASK, now)


def _keep_place(workspace: Workspace, folder: Path) -> None:
    """Note where the organisers' files lie, should they have been moved."""
    path = workspace.data / MANIFEST
    manifest, place = read_json(path, "inputs"), str(folder.resolve())
    if manifest["inputs"].get("raw") != place:
        write_json(path, manifest | {"inputs": manifest["inputs"] | {"raw": place}})


def _check_images(competition: Competition, data: Dataset | Samples, dataset: Dataset, where: str) -> None:
    """UserError for arrays that aren't as the task says, or for more than 8 bits where code is handed in."""
    if dataset.sets is not None and competition.try_submission is not None:
        raise UserError(
            f"{where}: samples are sets of images, and a code submission is given single ones; hand in a file "
            "and leave out try_submission"
        )
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


def _warn_of_turned(images: ImageFiles, progress: Progress) -> None:
    """Pictures are turned as EXIF says; who drew masks may have seen them as they are stored."""
    turned, looked_at = turned_by_exif(images, LOOKED_AT)
    if turned:
        progress.warn(
            f"{turned} of {looked_at} pictures that were looked at have an EXIF tag, by which they are turned: masks "
            "are right only where they were drawn on the turned pictures, or have the tag too (audit.html and a run's "
            "augmented.png show them on each other); else take the tags out of the pictures"
        )


def _with_sample(competition: Competition, folder: Path, dataset: Dataset, progress: Progress) -> Competition:
    """Able to write and read a submission, where that follows from the organisers' sample."""
    if not competition.follows_sample or competition.try_submission is not None or not len(dataset.test_images):
        return competition
    form = recognised(competition, folder, ids_of_tests(dataset))
    progress.say(form.told())
    return following(competition, form)
