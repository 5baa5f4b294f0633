"""From the organisers' files to arrays on disk: read once, drawn where practice is asked for."""

import tempfile
from inspect import getsourcefile
from pathlib import Path

import numpy as np

from toolkit.answers import Prediction
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset, check_dataset, hash_dataset, save_dataset
from toolkit.errors import UserError
from toolkit.progress import Progress
from toolkit.store import Workspace, atomic, hash_file, hash_json, read_manifest


def draw_practice(competition: Competition, workspace: Workspace, seed: int, size: int, progress: Progress) -> Path:
    """The folder of the practice data's raw files, which are drawn on first use."""
    if not workspace.practice.exists():
        with atomic(workspace.practice) as partial:
            partial.mkdir()
            competition.practice(partial, seed, size)
        progress.say(f"drew practice data in {workspace.practice}")
    return workspace.practice / "raw"


def load(competition: Competition, workspace: Workspace, folder: Path) -> None:
    """Raw files → `data/`; nothing is done where the same files were loaded before, by the same code."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    if not files:
        raise UserError(competition.without_files(folder))
    source = hash_json({path.relative_to(folder).as_posix(): hash_file(path) for path in files})
    code = getsourcefile(competition.load)
    reader = hash_json([repr(competition.task), hash_file(Path(code)) if code else None])
    known = read_manifest(workspace.data)
    if known is not None and known["source"] != source:
        raise UserError(
            f"{workspace.folder} was made from other files than those in {folder}; "
            f"choose another --workspace for these, or remove {workspace.folder}"
        )
    if known is None or known.get("reader") != reader:
        dataset = competition.load(folder)
        check_dataset(dataset, competition.task, str(folder))
        _rehearse(competition, dataset)
        if known is not None and known["hash"] != hash_dataset(dataset):
            raise UserError(
                f"{competition.name} reads the files otherwise than when {workspace.folder} was made; "
                f"choose another --workspace, or remove {workspace.folder}"
            )
        save_dataset(dataset, workspace.data, source, reader)


def _rehearse(competition: Competition, dataset: Dataset) -> None:
    """A submission that says one class of everything, written and read back; UserError where that can't be done.

    Before hours of training, not after them. Code needs trained networks, and files need the test images.
    """
    images = dataset.test_images
    if competition.try_submission is not None or not len(images):
        return
    ids = np.arange(len(images)) if dataset.test_ids is None else dataset.test_ids
    labels = np.full((len(images), *dataset.targets.shape[1:]), competition.scored[0], np.uint8)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"rehearsal{competition.submission_suffix}"
        try:
            competition.write_submission(Prediction(images, ids, labels, ()), path)
            found = competition.read_submission(path, images, ids)
        except Exception as error:  # of code that isn't ours: whatever it raises, the user can mend it now
            raise UserError(
                f"a submission for the {len(images):,} test images in these files can't be written and read back "
                f"({error}); mend write_submission or read_submission in {competition.folder / '__init__.py'}"
            ) from error
    if found.shape != labels.shape:
        raise UserError(
            f"a submission for the {len(images):,} test images in these files reads back with shape {found.shape}, "
            f"expected {labels.shape}; mend read_submission in {competition.folder / '__init__.py'}"
        )
