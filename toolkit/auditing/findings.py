"""What an audit finds in a dataset; what took long to compute is kept on disk, with the evidence for it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pandas as pd

from toolkit.auditing.appearance import gradient_histograms, network_features, outlyingness, properties
from toolkit.auditing.duplicates import Pictures, find_copies, likeness
from toolkit.auditing.evidence import stored_array, stored_arrays, stored_table, storing
from toolkit.auditing.fingerprints import alike, fingerprints
from toolkit.auditing.keypoints import Vocabulary, learn_vocabulary, open_keypoints, save_keypoints, working_image
from toolkit.auditing.label_errors import LabelErrors, find_label_errors, nothing_said
from toolkit.auditing.parts import drawn
from toolkit.auditing.phases import APPEARANCE, COPIES, COSTS_OF_COPIES, EQUAL, LABELS, VECTORS
from toolkit.auditing.tiles import find_seams
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset, hash_sample, pictures_of
from toolkit.data.groups import REPEATS, empty_pictures, equal_pictures
from toolkit.data.preview import previewed
from toolkit.errors import UserError
from toolkit.images.cache import unreadable
from toolkit.images.pictures import READ
from toolkit.images.rows import Chosen, ImageRows
from toolkit.outcome import counted
from toolkit.progress import SILENT, Progress
from toolkit.runs import Run
from toolkit.store import Workspace
from toolkit.task import IGNORED, Task

LOOKED_AT = 50_000  # pictures that are compared with each other; of more, those that look alike and a drawn rest
SEAMS_AMONG = 20_000  # pictures, as each edge is compared with all others
DESCRIBED = 20_000  # pictures whose properties are measured
LINKS = ("left", "right", "kind", "mirrored", "keypoints", "similarity", "matrix")
# Likeness from which two pictures show the same scene. Of the real Martian tiles under one mask, an alien drawn over
# different ground, it is .26 to .57; of 40 tiles and themselves, relit, under noise and compressed, .68 to .99
SAME_SCENE = 0.65


@dataclass(frozen=True)
class Findings:
    """Rows are those of the dataset, N in all.

    same: rows of equal pictures, two or more each. masks: rows under one patterned mask, more than REPEATS.
    distinct: one row of each picture that is not repeated so often, LOOKED_AT at most; unseen: how many more there
    are. links: pairs of distinct rows of one origin; kind is `copy`, or the side on which the right picture continues
    the left one. outlyingness: float (N,), robust standard deviations from the typical distance to the nearest
    pictures, NaN where not looked at; near: int64 (N, k), those nearest. label_errors: which labels may be wrong.
    unreadable: of rows whose image can't be read, why. empty: the first rows of those of `same` in which there is
    nothing to see.
    """

    same: tuple[np.ndarray, ...]
    masks: tuple[np.ndarray, ...]
    distinct: np.ndarray
    links: pd.DataFrame
    outlyingness: np.ndarray
    near: np.ndarray
    label_errors: LabelErrors
    unseen: int = 0
    unreadable: Mapping[int, str] = field(default_factory=dict)
    empty: frozenset[int] = frozenset()

    @property
    def limits(self) -> list[str]:
        """In sentences, what was not looked at, and by what labels were judged."""
        told = []
        if self.unreadable:
            images = counted(len(self.unreadable), "image")
            told.append(f"{images} can't be read (unreadable.csv): neither trained on nor scored")
        if self.unseen:
            told.append(
                f"copies, outliers and doubtful labels were looked for among {len(self.distinct):,} of "
                f"{len(self.distinct) + self.unseen:,} pictures, first those that look alike; only what is the same "
                "to the last bit was looked for among all"
            )
        if len(self.distinct) > SEAMS_AMONG:
            told.append(f"neighbouring tiles were looked for among {SEAMS_AMONG:,} drawn pictures")
        if self.label_errors.unshown:
            told.append(self.label_errors.unshown)
        elif self.label_errors.issue.any():
            told.append(f"labels were compared with {self.label_errors.judge}")
        return told


def gather(
    competition: Competition,
    dataset: Dataset,
    workspace: Workspace,
    run: Run | None,
    jobs: int,
    progress: Progress = SILENT,
    folder: Path | None = None,
) -> Findings:
    """All findings, with the evidence in the workspace.

    run: a finished run on these data, whose out-of-fold probabilities judge the labels. folder: for the evidence,
    where the images are those of sets; nothing is said of labels then.
    """
    singles, folder = folder is not None, folder or workspace.evidence
    with progress.phase(EQUAL):
        shown, pictures = previewed(dataset, competition.rgb), pictures_of(dataset)[0]
        black, same = np.flatnonzero(pictures < READ), equal_pictures(pictures)
        empty = empty_pictures(same, dataset.images)
        repeated = repeated_masks(dataset.targets, competition.task)
        masks = tuple(rows for rows in repeated if not _one_scene(shown.images, rows))
    why = unreadable(workspace).query("part == 'training'").set_index("row")["reason"].to_dict()
    whole = np.setdiff1d(_distinct(len(dataset.images), same, masks), black, assume_unique=True)
    if not len(whole):
        raise UserError(
            f"every one of the {len(dataset.images):,} images is black, so there is nothing to learn: does load read "
            "them on the right scale?"
        )
    distinct = np.asarray(kept(folder / "rows.npy", lambda: _looked_at(competition, shown, whole, jobs, progress)))
    with progress.phase(COPIES, costs=COSTS_OF_COPIES):
        links = find_links(shown.images, distinct, folder, jobs, progress)
    looked_at = Chosen(shown.images, distinct)
    with progress.phase(APPEARANCE):
        seen = kept(folder / "appearance.npy", lambda: gradient_histograms(looked_at, jobs, progress))
        score, nearest = outlyingness(seen)
    everywhere = np.full(len(dataset.images), np.nan)
    everywhere[distinct] = score
    near = np.zeros((len(dataset.images), nearest.shape[1]), np.int64)
    near[distinct] = distinct[nearest]

    def features() -> np.ndarray:
        return kept_features(competition, dataset, distinct, folder, jobs, progress)

    kept_properties(shown.images, folder / "properties.parquet", jobs, progress)
    errors = nothing_said(len(dataset.images), "nothing")
    if not singles:
        with progress.phase(LABELS):
            errors = find_label_errors(competition, dataset, distinct, features, links, run)
    left_out = {int(row): str(why.get(row, "")) for row in black}
    unseen = len(whole) - len(distinct)
    return Findings(same, masks, distinct, links, everywhere, near, errors, unseen, left_out, empty)


def _looked_at(
    competition: Competition, dataset: Dataset, distinct: np.ndarray, jobs: int, progress: Progress
) -> np.ndarray:
    """Those of the distinct rows that are compared with each other: all, or LOOKED_AT, first those that look like
    another one, or like a test image.
    """
    if len(distinct) <= LOOKED_AT:
        return distinct
    prints = fingerprints(Chosen(dataset.images, distinct), jobs, progress)
    tests = np.zeros(0, np.uint64)
    if competition.may_look_at(dataset.test_images):
        tests = fingerprints(Chosen(dataset.test_images, drawn(len(dataset.test_images), LOOKED_AT)), jobs, progress)
    first = alike(np.concatenate([prints, tests]))[: len(prints)]
    order = np.random.default_rng(0).permutation(len(distinct))
    return np.sort(distinct[order[np.argsort(~first[order], kind="stable")][:LOOKED_AT]])


def repeated_masks(targets: np.ndarray, task: Task) -> tuple[np.ndarray, ...]:
    """Rows that share one mask with structure, more than REPEATS; masks of one class alone, but for what is ignored,
    repeat by nature.
    """
    if not task.masks:
        return ()
    rows: dict[str, list[int]] = defaultdict(list)
    for row, mask in enumerate(targets):
        given = mask[mask != IGNORED] if (mask == IGNORED).any() else mask
        if given.size and given.min() != given.max():
            rows[hash_sample(mask)].append(row)
    return tuple(np.array(found) for found in rows.values() if len(found) > REPEATS)


def _one_scene(images: ImageRows, rows: np.ndarray) -> bool:
    """Do these pictures show the same, in another light, noise or moment? Then their masks are the same by right."""
    first, *others = (working_image(images[row]) for row in rows[: REPEATS + 1].tolist())
    return float(np.median([likeness(first, other) for other in others])) >= SAME_SCENE


def _distinct(number: int, same: Iterable[np.ndarray], masks: Iterable[np.ndarray]) -> np.ndarray:
    kept = np.ones(number, bool)
    for rows in same:
        kept[rows if len(rows) > REPEATS else rows[1:]] = False
    for rows in masks:
        kept[rows] = False
    return np.flatnonzero(kept)


def find_links(
    images: ImageRows, distinct: np.ndarray, folder: Path, jobs: int, progress: Progress = SILENT
) -> pd.DataFrame:
    """Copies and seams among the distinct rows, with the columns LINKS."""

    def search() -> pd.DataFrame:
        pictures = kept_pictures(Chosen(images, distinct), folder / "keypoints", jobs, progress)
        with progress.phase(VECTORS):
            vectors = kept_vectors(pictures, vocabulary(pictures, folder), folder / "vectors.npy")
        rows: list[tuple[object, ...]] = [
            (link.left, link.right, "copy", link.mirrored, link.keypoints, link.similarity, link.matrix)
            for link in find_copies(pictures, vectors, jobs, progress)
        ]
        some = drawn(len(distinct), SEAMS_AMONG)
        rows += [
            (int(some[seam.left]), int(some[seam.right]), seam.side, False, 0, 1 - seam.ratio, ())
            for seam in find_seams(Chosen(pictures.images, some), progress=progress)
        ]
        table = pd.DataFrame(rows, columns=list(LINKS))
        table["left"], table["right"] = (distinct[table[side].to_numpy(np.int64)] for side in ("left", "right"))
        return table

    return kept_table(folder / "links.parquet", search)


def kept_pictures(images: ImageRows, folder: Path, jobs: int, progress: Progress = SILENT) -> Pictures:
    """With their keypoints, detected once and kept in `folder`."""
    if not folder.exists():
        save_keypoints(images, folder, jobs, progress)
    return Pictures(images, open_keypoints(folder))


def vocabulary(pictures: Pictures, evidence: Path) -> Vocabulary:
    """That of the training pictures, learnt once."""
    path = evidence / "vocabulary.npz"
    if not path.exists():
        with storing(path) as partial, open(partial, "wb") as file:
            np.savez(file, **vars(learn_vocabulary(pictures.keypoints)))
    return Vocabulary(**stored_arrays(path, *(each.name for each in fields(Vocabulary))))


def kept_vectors(pictures: Pictures, words: Vocabulary, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Those of the pictures and of their mirror images, computed once."""
    plain, mirrored = kept(path, lambda: np.stack(words.vectors(pictures.keypoints)))
    return plain, mirrored


def kept_features(
    competition: Competition,
    dataset: Dataset,
    distinct: np.ndarray,
    folder: Path,
    jobs: int = 1,
    progress: Progress = SILENT,
) -> np.ndarray:
    """What labels are guessed from, float32 (n, d), of the distinct rows (n,), computed once."""
    pictures = Chosen(previewed(dataset, competition.rgb).images, distinct)

    def make() -> np.ndarray:
        if competition.rules.pretrained:
            return network_features(pictures, progress)
        return gradient_histograms(pictures, jobs, progress)

    return kept(folder / "features.npy", make)


def kept_properties(
    images: ImageRows, path: Path, jobs: int = 1, progress: Progress = SILENT
) -> tuple[np.ndarray, pd.DataFrame]:
    """Rows, int64 (n,), all or DESCRIBED that were drawn, and the properties of these pictures, computed once."""

    def make() -> pd.DataFrame:
        rows = drawn(len(images), DESCRIBED)
        return properties(Chosen(images, rows), jobs, progress).assign(row=rows)

    table = kept_table(path, make)
    if "row" not in table:  # of an earlier version: all
        return np.arange(len(table)), table
    return table.pop("row").to_numpy(), table


def kept_table(path: Path, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """A table, computed once."""
    if not path.exists():
        with storing(path) as partial:
            make().to_parquet(partial, index=False)
    return stored_table(path)


def kept(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """An array, computed once and then memory-mapped."""
    if not path.exists():
        with storing(path) as partial, open(partial, "wb") as file:
            np.save(file, make(), allow_pickle=False)
    return stored_array(path)
