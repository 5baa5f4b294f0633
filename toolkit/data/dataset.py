"""A competition's data as arrays on disk: checked, saved, then memory-mapped by everything else."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.data.image_sets import check_sets, number_of, set_pictures
from toolkit.data.masks import Masks
from toolkit.data.targets import check_targets
from toolkit.errors import UserError
from toolkit.images.cache import PICTURES
from toolkit.images.files import ImageFiles
from toolkit.images.fitting import Fit
from toolkit.images.pictures import hash_pictures
from toolkit.images.places import Places, check_places
from toolkit.probabilities import chunks
from toolkit.task import Task

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Dataset:
    """One competition's data.

    images: uint8 (N, H, W, C), or float16 on the scale 0..255. targets: (N, ...) of the form that the task says: int64
    labels (N,), uint8 masks (N, H, W), int8 (N, L) yes, no or missing, float32 numbers (N, T). ids: int64 (N,), the
    row in the raw training file. groups: int64 (N,), equal for samples of one origin. test_images: (M, H, W, C), of
    the same type, M = 0 where the organisers keep them. test_ids: text or int64 (M,), what a submission calls the test
    images by; None: their row, from 0. names: text (N,), what people call the samples; None: their files' names, or
    else their ids. pictures, test_pictures: uint64 (N,), (M,), hashes that the toolkit makes; take them by
    `pictures_of`.

    Where samples are sets of images: sets, test_sets: int64, a number an image, the sample that it belongs to. Where
    something is known beside the images: table, test_table: float32 (N, K), (M, K), categories as their places, NaN
    where it isn't known; columns: text (K,), what they are, see `toolkit.data.tables`. Where masks are scored at the
    size of the organisers' files: places, test_places: int64 (N, 5), (M, 5), see `toolkit.images.places`; sizes,
    test_sizes: int64 (P, 2), of the pictures that samples lie in; native: uint8, the targets of these, one after the
    other.
    """

    images: np.ndarray
    targets: np.ndarray
    ids: np.ndarray
    groups: np.ndarray
    test_images: np.ndarray
    test_ids: np.ndarray | None = None
    names: np.ndarray | None = None
    pictures: np.ndarray | None = None
    test_pictures: np.ndarray | None = None
    sets: np.ndarray | None = None
    test_sets: np.ndarray | None = None
    table: np.ndarray | None = None
    test_table: np.ndarray | None = None
    columns: np.ndarray | None = None
    places: np.ndarray | None = None
    sizes: np.ndarray | None = None
    native: np.ndarray | None = None
    test_places: np.ndarray | None = None
    test_sizes: np.ndarray | None = None

    @property
    def called(self) -> np.ndarray:
        """Text (N,): the samples' names, or else their ids."""
        return self.ids.astype(str) if self.names is None else self.names


@dataclass(frozen=True, eq=False)
class Samples:
    """One competition's data whose images lie in files: what `load` returns where they aren't arrays yet.

    As in `Dataset`. ids, groups: None where each row is one of its own. test_images: None where the organisers keep
    them. test_ids: None for their names, or those of their files without folder and suffix; of rows of a file their
    places, from 0. targets that are `Masks` (not `fitted`) are trained on at the task's size, scored and handed in at
    that of each picture. places, test_places: where samples lie in these, if they are tiles of them; there is then
    a mask and a test id a picture. skip_unreadable: images that can't be read are black, and training images among
    them are neither trained on nor scored; otherwise they end the audit. table, test_table: what is known beside the
    images, a row a sample, numbers and categories, as `table_of` reads them; see `toolkit.data.tables`. sets,
    test_sets: int64, a number an image, where samples are sets of images: the sample that each belongs to. names: text
    (N,), what people call the samples; None: as their files, or the first of each set.
    """

    images: ImageFiles
    targets: np.ndarray | Masks
    ids: np.ndarray | None = None
    groups: np.ndarray | None = None
    test_images: ImageFiles | None = None
    test_ids: np.ndarray | None = None
    skip_unreadable: bool = False
    table: "pd.DataFrame | None" = None
    test_table: "pd.DataFrame | None" = None
    places: Places | None = None
    test_places: Places | None = None
    sets: np.ndarray | None = None
    test_sets: np.ndarray | None = None
    names: np.ndarray | None = None

    @property
    def files(self) -> dict[str, ImageFiles]:
        """Both kinds of images, by the names of their arrays."""
        return {
            "images": self.images,
            "test_images": self.test_images or replace(self.images, paths=[], rows=None, names=None),
        }

    @property
    def is_native(self) -> bool:
        """Is it scored and handed in at the size of the organisers' pictures?"""
        return isinstance(self.targets, Masks) or self.places is not None or self.test_places is not None

    def as_dataset(self, folder: Path) -> Dataset:
        """All but the images, which are empty, (N, 0, 0, 0), and masks that are `Masks`, which `native_arrays` reads.

        folder: of the organisers' files, for names.
        """
        from toolkit.data.tables import table_arrays  # imports pandas

        rows, files = np.arange(len(self.images if self.sets is None else self.targets)), self.files
        ids, names = self.test_ids, self.names
        tests = files["test_images"]
        if ids is None and self.test_places is not None:
            ids = _stems_of_pictures(tests, self.test_places)
        elif ids is None and self.sets is None and len(tests) and (tests.names is not None or tests.rows is None):
            ids = tests.stems if tests.names is None else tests.names
        if names is None:
            names = self.images.named(folder)
            if self.sets is not None and names is not None:
                names = names[np.unique(self.sets, return_index=True)[1]]
        return Dataset(
            np.empty((len(self.images), 0, 0, 0), self.images.dtype),
            np.empty((len(rows), 0, 0), np.uint8) if isinstance(self.targets, Masks) else self.targets,
            rows if self.ids is None else self.ids,
            rows if self.groups is None else self.groups,
            np.empty((len(tests), 0, 0, 0), tests.dtype),
            ids,
            names,
            sets=self.sets,
            test_sets=self.test_sets,
            **({} if self.table is None else table_arrays(self.table, self.test_table)),
        )


def _stems_of_pictures(tiles: ImageFiles, places: Places) -> np.ndarray:
    """Text (P,): the names of the files that the tiles of each picture lie in."""
    without = next((at for at, rows in enumerate(places.samples) if not len(rows)), None)
    if without is not None:
        raise UserError(f"test picture {without} has no tile that could name it: say test_ids=, one a picture")
    return tiles[np.array([rows[0] for rows in places.samples], np.int64)].stems


ARRAYS = ("images", "targets", "ids", "groups", "test_images")
BESIDE = ("sets", "test_sets", "table", "test_table", "columns")
PLACED = ("places", "sizes", "native", "test_places", "test_sizes")
OPTIONAL = ("test_ids", "names", *PICTURES.values(), *BESIDE, *PLACED)
MADE_BY = {  # what else `load` may have returned, and the way from there
    "Masks": "masks.fitted(TASK.image_shape) makes one of the size of the task, and Samples(…) takes them as they are",
    "ImageFiles": "`load` returns images in files as Samples(…), not as Dataset(…)",
}
FIT: Fit = "letterbox"  # how images come to the size of the task, at which they are audited


def with_text(loaded: Dataset | Samples) -> Dataset | Samples:
    """Where pandas gave text as objects, it is text; what isn't text alone stays as it is."""
    columns = {name: getattr(loaded, name) for name in ("groups", "test_ids", "names")}
    text: dict[str, Any] = {
        name: array.astype(str)
        for name, array in columns.items()
        if isinstance(array, np.ndarray) and array.dtype == object and all(isinstance(one, str) for one in array.flat)
    }
    return replace(loaded, **text)


def check_dataset(dataset: Dataset, task: Task, where: str) -> None:
    """UserError if lengths differ, targets can't be learnt from, or test images can't be told apart by their ids."""
    for name in (*ARRAYS, *OPTIONAL):
        array = getattr(dataset, name)
        if not isinstance(array, np.ndarray) and (array is not None or name not in OPTIONAL):
            kind = type(array).__name__
            raise UserError(
                f"{where}: {name} are of type {kind}, expected a numpy array: "
                f"{MADE_BY.get(kind, 'np.array(…) makes one')}"
            )
    tests = len(dataset.test_images)
    if dataset.sets is not None:
        tests = _check_sets(dataset, dataset.sets, task, where)
    elif dataset.test_sets is not None:
        raise UserError(f"{where} has test_sets and no sets; give those of the training images too")
    elif len(dataset.targets) != len(dataset.images):
        raise UserError(f"{where} has {len(dataset.images)} images and {len(dataset.targets)} targets; need as many")
    _check_rows(dataset, where)
    ids = dataset.test_ids
    if ids is not None and len(ids):
        tests, what = (tests, "images") if dataset.test_sizes is None else (len(dataset.test_sizes), "pictures")
        if len(ids) != tests:
            what = f"test {what}" if dataset.sets is None else "sets of test images"
            raise UserError(f"{where} has {tests} {what} and {len(ids)} ids; need as many")
        if ids.dtype.kind not in "iuU" or ids.ndim > 1:
            shape = "" if ids.ndim == 1 else f", of shape {ids.shape}"
            raise UserError(
                f"{where}: test_ids are of type {ids.dtype}{shape}, expected text or whole numbers, one each"
            )
        if ids.dtype.kind == "U" and (ids == "").any():
            raise UserError(f"{where}: the id of test image {int((ids == '').argmax())} is empty")
        if len(np.unique(ids)) < len(ids):
            raise UserError(f"{where}: two test images have the same id; a submission must tell them apart")
    if dataset.table is not None or dataset.test_table is not None:
        from toolkit.data.tables import check_table  # imports pandas

        check_table(dataset, task, where)
    if dataset.places is not None and dataset.sizes is not None:
        check_places(Places.of_stored(dataset.places, dataset.sizes), len(dataset.images), where, dataset.groups)
    check_targets(dataset.targets, task, where, dataset.ids)


def _check_rows(dataset: Dataset, where: str) -> None:
    """UserError unless ids, groups and names say one thing of each sample."""
    samples = "samples" if dataset.sets is None else "sets"
    for name, kinds, wanted in (
        ("ids", "iu", "whole numbers (what people call samples is given as names=)"),
        ("groups", "iuU", "whole numbers or text"),
        ("names", "U", "text: .astype(str) makes it"),
    ):
        array = getattr(dataset, name)
        if array is None:
            continue
        if array.shape != dataset.targets.shape[:1]:
            raise UserError(
                f"{where}: {name} have shape {array.shape}, expected ({len(dataset.targets)},), one for each of the "
                f"{samples}"
            )
        if array.dtype.kind not in kinds:
            missing = array != array  # NaN is not itself
            of_none = f", and row {int(missing.argmax())} has none" if missing.any() else ""
            raise UserError(f"{where}: {name} are of type {array.dtype}{of_none}, expected {wanted}")
    for images, pictures in PICTURES.items():
        given = getattr(dataset, pictures)
        if given is not None and given.shape != getattr(dataset, images).shape[:1]:
            raise UserError(f"{where}: {pictures} are hashes that the toolkit makes; leave them out")
    ids = np.sort(dataset.ids)
    twice = ids[1:][ids[1:] == ids[:-1]]
    if len(twice):
        raise UserError(f"{where}: {len(twice):,} ids are not unique, the first {twice[0]}; each sample needs its own")
    groups = dataset.groups
    if len(groups) > 1 and (groups == groups[0]).all():
        raise UserError(
            f"{where}: all {len(groups):,} {samples} are of one group, {groups[0]}, and a group is never divided, so "
            "none could be validated; leave out groups, or give those of one origin alone the same"
        )


def _check_sets(dataset: Dataset, sets: np.ndarray, task: Task, where: str) -> int:
    """How many sets of test images there are; UserError where images and samples don't go together."""
    if task.masks:
        raise UserError(
            f"{where}: samples that are sets of images can't have masks; leave out sets, or mask each image"
        )
    samples, tests = len(dataset.targets), len(dataset.test_images)
    check_sets(sets, len(dataset.images), samples, where, "sets")
    if not tests:
        return 0
    if dataset.test_sets is None:
        raise UserError(
            f"{where} has sets and no test_sets; say which sample each of the {tests} test images belongs to"
        )
    number = number_of(dataset.test_sets)
    check_sets(dataset.test_sets, tests, number, where, "test_sets")
    if dataset.test_ids is None:
        raise UserError(f"{where}: test_ids are missing; say what a submission calls each of the {number} sets")
    return number


def check_images(images: np.ndarray, shape: tuple[int, int, int], where: str) -> None:
    """UserError unless images are (N, *shape), uint8, or float16 on the scale 0..255."""
    if images.shape[1:] != shape:
        raise UserError(
            f"{where} have shape {images.shape}, expected (n, {', '.join(map(str, shape))}) as the task says"
        )
    if images.dtype not in (np.uint8, np.float16):
        raise UserError(
            f"{where} are of type {images.dtype}, expected uint8, or float16 on the scale 0..255: "
            "((images - low) * (255 / (high - low))).astype(np.float16)"
        )
    brightest = 0.0
    for at in chunks(len(images) if images.dtype == np.float16 else 0):
        part = images[at]
        wrong = ~((part >= 0) & (part <= 255)).all((1, 2, 3))  # of what is not a number too
        if wrong.any():
            row = int(wrong.argmax())
            low, high = part[row].min(), part[row].max()
            raise UserError(
                f"{where}: image {at.start + row} has values from {low:g} to {high:g}, expected the scale 0..255"
            )
        brightest = max(brightest, float(part.max(initial=0)))
    if len(images) and images.dtype == np.float16 and brightest <= 1:
        raise UserError(f"{where}: no value is above 1, expected the scale 0..255; multiply by 255")


def relabel(targets: np.ndarray, relabels: np.ndarray) -> np.ndarray:
    """Targets with the labels of `relabels`, int64 (n, 2): row, label. A copy, where there are any."""
    if len(relabels):
        targets = targets.copy()
        targets[relabels[:, 0]] = relabels[:, 1]
    return targets


def pictures_of(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of samples and test samples, uint64 (N,), (M,): equal where their images are equal to the last bit."""
    if dataset.sets is not None:
        return set_pictures(dataset)
    return _image_pictures(dataset)


def _image_pictures(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    ours, theirs = dataset.pictures, dataset.test_pictures
    return (
        hash_pictures(dataset.images) if ours is None else ours,
        hash_pictures(dataset.test_images) if theirs is None else theirs,
    )


def hash_sample(sample: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(sample).data).hexdigest()
