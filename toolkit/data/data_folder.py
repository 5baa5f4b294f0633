"""The folder of a workspace that holds a competition's data: written once, then memory-mapped by everything else."""

import hashlib
import mmap
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.checked import opened
from toolkit.data.dataset import ARRAYS, FIT, OPTIONAL, Dataset, Samples, _image_pictures
from toolkit.data.image_sets import in_sets, like
from toolkit.data.raw_files import listed
from toolkit.errors import UserError
from toolkit.images.cache import PICTURES, decode_all, folder_of
from toolkit.images.file_list import TABLE, file_table, open_files
from toolkit.images.fitting import Fit
from toolkit.images.pictures import READ
from toolkit.images.rows import Undecoded
from toolkit.probabilities import read
from toolkit.progress import SILENT, Progress
from toolkit.store import Workspace, atomic, hash_json, read_manifest, write_manifest

UNHASHED = ("names", *PICTURES.values())
PART = 1 << 24  # bytes of an array in a file that are hashed at a time


def hash_dataset(dataset: Dataset) -> str:
    """Of all that is trained on and scored by; what samples are called is no part of it."""
    digest = hashlib.sha256()
    for name in _stored(dataset):
        if name not in UNHASHED:
            array = getattr(dataset, name)
            digest.update(f"{name} {array.shape} {array.dtype}".encode())
            for part in _parts(array):
                digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()[:12]


def _parts(array: np.ndarray) -> Iterator[np.ndarray]:
    """Of what lies in a file of ours a few rows at a time."""
    in_file = isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap) and array.flags.c_contiguous
    rows = max(1, PART // max(1, array[:1].nbytes)) if in_file else max(len(array), 1)
    for start in range(0, max(len(array), 1), rows):
        yield read(array, np.s_[start : start + rows]) if in_file else array


def _save(path: Path, array: np.ndarray) -> None:
    if path.stem == "native" and isinstance(array, np.memmap):
        shutil.copyfile(str(array.filename), path)  # without its pages in memory
    else:
        np.save(path, array, allow_pickle=False)


def _stored(dataset: Dataset) -> tuple[str, ...]:
    return (*ARRAYS, *(name for name in OPTIONAL if getattr(dataset, name) is not None))


def save_dataset(dataset: Dataset, folder: Path, source: str, reader: str = "", raw: Path = Path()) -> None:
    """Write the arrays as .npy files. source: the hash of the raw files, which lie in `raw`; reader: that of the code
    that read them.
    """
    ours, theirs = _image_pictures(dataset)
    dataset = replace(dataset, pictures=ours, test_pictures=theirs)
    with atomic(folder) as partial:
        partial.mkdir()
        for name in _stored(dataset):
            _save(partial / f"{name}.npy", getattr(dataset, name))
        made_from = {"source": source, "hash": hash_dataset(dataset), "reader": reader, "raw": str(raw.resolve())}
        write_manifest(partial, made_from)


def hash_samples(dataset: Dataset, described: Mapping[str, Any], shape: tuple[int, int, int]) -> str:
    """As `hash_dataset`, of `Samples.as_dataset` and what `describe_files` says of the images."""
    return hash_json([hash_dataset(dataset), described["key"], shape, FIT])


def save_samples(
    samples: Samples,
    dataset: Dataset,
    described: Mapping[str, Any],
    workspace: Workspace,
    source: str,
    reader: str,
    raw: Path,
    shape: tuple[int, int, int],
    progress: Progress = SILENT,
    jobs: int = 1,
) -> None:
    """As `save_dataset`, of images in files: they are decoded to `shape` in a folder of their own, beside `data/`.

    dataset: by `as_dataset`; described: by `describe_files`. UserError as of `decode_all`.
    """
    skip = samples.skip_unreadable
    decoded = decode_all(samples.files, described["key"], workspace, shape, FIT, progress, jobs, skip)
    with atomic(workspace.data) as partial:
        partial.mkdir()
        for name in _stored(dataset):
            if name not in PICTURES:
                _save(partial / f"{name}.npy", getattr(dataset, name))
        file_table(samples.files, raw).to_parquet(partial / TABLE, index=False)
        made_from = {"source": source, "hash": hash_samples(dataset, described, shape), "reader": reader}
        where = {"raw": str(raw.resolve()), "decoded": decoded.name, "skip": skip}
        write_manifest(partial, made_from | where | dict(described))


def decoded_at(
    workspace: Workspace, shape: tuple[int, int, int], fit: Fit, progress: Progress = SILENT, jobs: int = 1
) -> Path:
    """The folder of the workspace's images at another size, for `open_decoded`; they are decoded on first use.

    UserError where images were given as arrays, or their files are gone or others.
    """
    manifest = read_manifest(workspace.data)
    folder = folder_of(workspace, shape, fit)
    made = read_manifest(folder)
    if manifest is None or made is None or made["key"] != manifest.get("key") or made["kept"] < workspace.keeps_images:
        files = open_files(workspace.data)
        assert manifest is not None
        check_files(workspace, progress)
        return decode_all(files, manifest["key"], workspace, shape, fit, progress, jobs, manifest["skip"])
    if not made["kept"]:
        check_files(workspace, progress)
    return folder


def check_files(workspace: Workspace, progress: Progress = SILENT) -> None:
    """UserError where the organisers' files, of which images are yet to be decoded, aren't those that were audited.

    Where all of them are gone nothing is said: there may be no need of them.
    """
    manifest = read_manifest(workspace.data)
    if manifest is not None:
        listed(Path(manifest["raw"]), workspace.files, progress, manifest["source"])


def open_decoded(data: Path, folder: Path) -> dict[str, Any]:
    """The images that `decode_all` left in `folder`, and their hashes, by the names of `Dataset`; data: the folder of
    the list of their files.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise UserError(f"{folder} is gone or was not finished; run `compete audit` again")
    pictures = {name: _opened(folder / f"{PICTURES[name]}.npy") for name in PICTURES}
    if manifest["kept"]:
        images: dict[str, Any] = {name: _opened(folder / f"{name}.npy") for name in PICTURES}
    else:
        images = {}
        for name, files in open_files(data).items():
            black = np.flatnonzero(pictures[name] < READ)
            images[name] = Undecoded(files, (len(files), *manifest["shape"]), manifest["fit"], black)
    return images | {PICTURES[name]: array for name, array in pictures.items()}


def open_dataset(folder: Path) -> Dataset:
    """The saved arrays, memory-mapped read-only, images as sets where they are (`ImageSets`); UserError if there are
    none.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise UserError(f"there is no data in {folder} yet; run `compete audit` first")
    arrays = {}
    if "decoded" in manifest:
        arrays = open_decoded(folder, folder.parent / "decoded" / manifest["decoded"])
    needed = [name for name in ARRAYS if name not in arrays]
    for name in [*needed, *(name for name in OPTIONAL if (folder / f"{name}.npy").exists())]:
        arrays[name] = _opened(folder / f"{name}.npy")
    return in_sets(Dataset(**arrays))


def at_other_size(dataset: Dataset, opened: Mapping[str, Any]) -> Dataset:
    """The same samples with the images of `open_decoded`."""
    images, test_images = like(opened["images"], dataset.images), like(opened["test_images"], dataset.test_images)
    return replace(dataset, **{**opened, "images": images, "test_images": test_images})


def _opened(path: Path) -> np.ndarray:
    return opened(path, f"remove {path.parent} and run `compete audit` again")


def data_hash(folder: Path) -> str:
    manifest = read_manifest(folder)
    if manifest is None:
        raise UserError(f"there is no data in {folder} yet; run `compete audit` first")
    value: str = manifest["hash"]
    return value
