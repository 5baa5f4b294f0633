"""What an audit finds in a dataset; what took long to compute is kept on disk, with the evidence for it."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from toolkit.auditing.appearance import gradient_histograms, network_features, outlyingness, properties
from toolkit.auditing.duplicates import Pictures, find_copies
from toolkit.auditing.keypoints import Vocabulary, learn_vocabulary, open_keypoints, save_keypoints
from toolkit.auditing.label_errors import LabelErrors, find_label_errors
from toolkit.auditing.tiles import find_seams
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset, hash_sample, pictures_of
from toolkit.data.pictures import rows_of
from toolkit.data.preview import previewed
from toolkit.runs import Run
from toolkit.store import atomic
from toolkit.task import Task

REPEATS = 5  # one picture, or one patterned mask, in more samples than this is no chance
LINKS = ("left", "right", "kind", "mirrored", "keypoints", "similarity", "matrix")


@dataclass(frozen=True)
class Findings:
    """Rows are those of the dataset, N in all.

    same: rows of equal pictures, two or more each. masks: rows under one patterned mask, more than REPEATS.
    distinct: one row of each picture that is not repeated so often. links: pairs of distinct rows of one origin;
    kind is `copy`, or the side on which the right picture continues the left one. outlyingness: float (N,),
    robust standard deviations from the typical distance to the nearest pictures, NaN where not looked at; near:
    int64 (N, k), those nearest. label_errors: which labels may be wrong.
    """

    same: tuple[np.ndarray, ...]
    masks: tuple[np.ndarray, ...]
    distinct: np.ndarray
    links: pd.DataFrame
    outlyingness: np.ndarray
    near: np.ndarray
    label_errors: LabelErrors


def gather(competition: Competition, dataset: Dataset, folder: Path, run: Run | None, jobs: int) -> Findings:
    """All findings, with the evidence in `folder`.

    run: a finished run on these data, whose out-of-fold probabilities judge the labels.
    """
    same, masks = equal_pictures(pictures_of(dataset)[0]), repeated_masks(dataset.targets, competition.task)
    distinct = _distinct(len(dataset.images), same, masks)
    shown = previewed(dataset, competition.rgb).images
    links = find_links(shown, distinct, folder, jobs)
    pictures = shown[distinct]
    score, nearest = outlyingness(kept(folder / "appearance.npy", lambda: gradient_histograms(pictures)))
    everywhere = np.full(len(dataset.images), np.nan)
    everywhere[distinct] = score
    near = np.zeros((len(dataset.images), nearest.shape[1]), np.int64)
    near[distinct] = distinct[nearest]

    errors = find_label_errors(
        competition, dataset, distinct, lambda: kept_features(competition, dataset, distinct, folder), links, run
    )
    return Findings(same, masks, distinct, links, everywhere, near, errors)


def equal_pictures(pictures: np.ndarray) -> tuple[np.ndarray, ...]:
    """Rows of images that are the same to the last bit, two or more each, by their hashes (N,)."""
    return tuple(rows_of(pictures, least=2).values())


def repeated_masks(targets: np.ndarray, task: Task) -> tuple[np.ndarray, ...]:
    """Rows that share one mask with structure, more than REPEATS; masks of one class alone repeat by nature."""
    if not task.masks:
        return ()
    rows: dict[str, list[int]] = defaultdict(list)
    for row, mask in enumerate(targets):
        if mask.min() != mask.max():
            rows[hash_sample(mask)].append(row)
    return tuple(np.array(found) for found in rows.values() if len(found) > REPEATS)


def _distinct(number: int, same: Iterable[np.ndarray], masks: Iterable[np.ndarray]) -> np.ndarray:
    kept = np.ones(number, bool)
    for rows in same:
        kept[rows if len(rows) > REPEATS else rows[1:]] = False
    for rows in masks:
        kept[rows] = False
    return np.flatnonzero(kept)


def find_links(images: np.ndarray, distinct: np.ndarray, folder: Path, jobs: int) -> pd.DataFrame:
    """Copies and seams among the distinct rows of pictures uint8 (N, H, W, 1 or 3), with the columns LINKS."""

    def search() -> pd.DataFrame:
        kept(folder / "rows.npy", lambda: distinct)
        pictures = kept_pictures(images[distinct], folder / "keypoints", jobs)
        vectors = kept_vectors(pictures, vocabulary(pictures, folder), folder / "vectors.npy")
        rows: list[tuple[object, ...]] = [
            (link.left, link.right, "copy", link.mirrored, link.keypoints, link.similarity, link.matrix)
            for link in find_copies(pictures, vectors, jobs)
        ]
        rows += [(s.left, s.right, s.side, False, 0, 1 - s.ratio, ()) for s in find_seams(pictures.images)]
        table = pd.DataFrame(rows, columns=list(LINKS))
        table["left"], table["right"] = (distinct[table[side].to_numpy(np.int64)] for side in ("left", "right"))
        return table

    return kept_table(folder / "links.parquet", search)


def kept_pictures(images: np.ndarray, folder: Path, jobs: int) -> Pictures:
    """With their keypoints, detected once and kept in `folder`."""
    if not folder.exists():
        save_keypoints(images, folder, jobs)
    return Pictures(images, open_keypoints(folder))


def vocabulary(pictures: Pictures, evidence: Path) -> Vocabulary:
    """That of the training pictures, learnt once."""
    path = evidence / "vocabulary.npz"
    if not path.exists():
        with atomic(path) as partial, open(partial, "wb") as file:
            np.savez(file, **vars(learn_vocabulary(pictures.keypoints)))
    with np.load(path, allow_pickle=False) as arrays:
        return Vocabulary(**arrays)


def kept_vectors(pictures: Pictures, words: Vocabulary, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Those of the pictures and of their mirror images, computed once."""
    plain, mirrored = kept(path, lambda: np.stack(words.vectors(pictures.keypoints)))
    return plain, mirrored


def kept_features(competition: Competition, dataset: Dataset, distinct: np.ndarray, folder: Path) -> np.ndarray:
    """What labels are guessed from, float32 (n, d), of the distinct rows (n,), computed once."""
    make = network_features if competition.rules.pretrained else gradient_histograms
    return kept(folder / "features.npy", lambda: make(previewed(dataset, competition.rgb).images[distinct]))


def kept_properties(images: np.ndarray, path: Path) -> pd.DataFrame:
    """`appearance.properties` of pictures (N, H, W, 1 or 3), computed once."""
    return kept_table(path, lambda: properties(images))


def kept_table(path: Path, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """A table, computed once."""
    if not path.exists():
        with atomic(path) as partial:
            make().to_parquet(partial, index=False)
    return pd.read_parquet(path)


def kept(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """An array, computed once and then memory-mapped."""
    if not path.exists():
        with atomic(path) as partial, open(partial, "wb") as file:
            np.save(file, make(), allow_pickle=False)
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array
