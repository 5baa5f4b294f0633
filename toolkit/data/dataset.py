"""A competition's data as arrays on disk: checked, saved, then memory-mapped by everything else."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.data.targets import check_targets
from toolkit.errors import UserError
from toolkit.store import atomic, read_manifest, write_manifest
from toolkit.task import Task


@dataclass(frozen=True)
class Dataset:
    """One competition's data.

    images: uint8 (N, H, W, C). targets: (N, ...) of the form that the task says: int64 labels (N,), uint8 masks
    (N, H, W), int8 (N, L) yes, no or missing, float32 numbers (N, T). ids: int64 (N,), the row in the raw training
    file. groups: int64 (N,), equal for samples of one origin. test_images: uint8 (M, H, W, C), M = 0 where the
    organisers keep them. test_ids: text or int64 (M,), what a submission calls the test images by; None: their row,
    from 0.
    """

    images: np.ndarray
    targets: np.ndarray
    ids: np.ndarray
    groups: np.ndarray
    test_images: np.ndarray
    test_ids: np.ndarray | None = None


ARRAYS = ("images", "targets", "ids", "groups", "test_images")


def check_dataset(dataset: Dataset, task: Task, where: str) -> None:
    """UserError if lengths differ, targets can't be learnt from, or test images can't be told apart by their ids."""
    for name in (*ARRAYS, "test_ids"):
        array = getattr(dataset, name)
        if not isinstance(array, np.ndarray) and (array is not None or name != "test_ids"):
            kind = type(array).__name__
            raise UserError(f"{where}: {name} are of type {kind}, expected a numpy array: np.array(…) makes one")
    if len(dataset.targets) != len(dataset.images):
        raise UserError(f"{where} has {len(dataset.images)} images and {len(dataset.targets)} targets; need as many")
    ids = dataset.test_ids
    if ids is not None and len(ids):
        if len(ids) != len(dataset.test_images):
            raise UserError(f"{where} has {len(dataset.test_images)} test images and {len(ids)} ids; need as many")
        if ids.dtype.kind not in "iuU":
            raise UserError(f"{where}: test_ids are of type {ids.dtype}, expected text or whole numbers")
        if len(np.unique(ids)) < len(ids):
            raise UserError(f"{where}: two test images have the same id; a submission must tell them apart")
    check_targets(dataset.targets, task, where, dataset.ids)


def relabel(targets: np.ndarray, relabels: np.ndarray) -> np.ndarray:
    """Targets with the labels of `relabels`, int64 (n, 2): row, label. A copy, where there are any."""
    if len(relabels):
        targets = targets.copy()
        targets[relabels[:, 0]] = relabels[:, 1]
    return targets


def _stored(dataset: Dataset) -> tuple[str, ...]:
    return ARRAYS if dataset.test_ids is None else (*ARRAYS, "test_ids")


def hash_sample(sample: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(sample).data).hexdigest()


def rows_of_pictures(images: np.ndarray) -> dict[str, np.ndarray]:
    """Rows, int64, of each picture among images (N, H, W, C), by its hash: those that are the same to the last bit."""
    rows: dict[str, list[int]] = {}
    for row, image in enumerate(images):
        rows.setdefault(hash_sample(image), []).append(row)
    return {picture: np.array(found) for picture, found in rows.items()}


def hash_dataset(dataset: Dataset) -> str:
    digest = hashlib.sha256()
    for name in _stored(dataset):
        array = getattr(dataset, name)
        digest.update(f"{name} {array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:12]


def save_dataset(dataset: Dataset, folder: Path, source: str, reader: str = "") -> None:
    """Write the arrays as .npy files. source: the hash of the raw files; reader: that of the code that read them."""
    with atomic(folder) as partial:
        partial.mkdir()
        for name in _stored(dataset):
            np.save(partial / f"{name}.npy", getattr(dataset, name), allow_pickle=False)
        write_manifest(partial, {"source": source, "hash": hash_dataset(dataset), "reader": reader})


def open_dataset(folder: Path) -> Dataset:
    """The saved arrays, memory-mapped read-only; UserError if there are none."""
    if read_manifest(folder) is None:
        raise UserError(f"there is no data in {folder} yet; run `python -m toolkit.audit` first")
    arrays = {}
    for name in [*ARRAYS, *(["test_ids"] if (folder / "test_ids.npy").exists() else [])]:
        try:
            arrays[name] = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError):
            raise UserError(f"{folder / name}.npy is damaged; remove {folder} and run the audit again") from None
    return Dataset(**arrays)


def data_hash(folder: Path) -> str:
    manifest = read_manifest(folder)
    if manifest is None:
        raise UserError(f"there is no data in {folder} yet; run `python -m toolkit.audit` first")
    value: str = manifest["hash"]
    return value
