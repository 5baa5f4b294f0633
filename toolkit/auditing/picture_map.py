"""All pictures on a plane, those that look alike close to each other: what an audit saw of them, made two numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.auditing.appearance import gradient_histograms, network_features
from toolkit.auditing.evidence import stored_array, stored_arrays, storing
from toolkit.auditing.parts import drawn
from toolkit.images.rows import Chosen, ImageRows
from toolkit.progress import SILENT, Progress

TRAIN, TEST = 1_200, 400  # drawn pictures on the map: t-SNE takes 3.5 s of a core for these, 5 s for 2,000
MARKED = 400  # pictures that are on it whatever is drawn, at most
LEAST = 10  # pictures, of which fewer make no map
PARTS = 50  # principal components that are kept for the plane
NEIGHBOURS = 30.0  # t-SNE's perplexity


@dataclass(frozen=True, eq=False)
class PictureMap:
    """points: float32 (n + m, 2), of the training rows (n,) and then of the test rows (m,). seen: what by."""

    points: np.ndarray
    rows: np.ndarray
    tests: np.ndarray
    seen: str


def picture_map(
    images: ImageRows,
    test_images: ImageRows,
    distinct: np.ndarray,
    among: np.ndarray,
    marked: np.ndarray,
    evidence: Path,
    pretrained: bool,
    jobs: int = 1,
    progress: Progress = SILENT,
) -> PictureMap | None:
    """None where there are too few pictures.

    images, test_images: as pictures, M = 0 of these where they may not be looked at. distinct: the rows that evidence
    was gathered of; none, where it isn't of these images. among: rows that may be on the map; marked: those of them
    that are, MARKED at most. pretrained: are features kept those of a pretrained network?
    """
    marked = np.unique(marked[:MARKED])
    others = np.setdiff1d(among, marked)
    rows = np.sort(np.concatenate([marked, others[drawn(len(others), max(TRAIN - len(marked), 0))]]))
    tests = drawn(len(test_images), TEST)
    if len(rows) + len(tests) < LEAST:
        return None
    features = evidence / "features.npy"
    by_network = pretrained and features.exists() and len(stored_array(features)) == len(distinct)
    seen = "features of a pretrained network" if by_network else "edges and grey values"
    path = evidence / "map.npz"
    if path.exists():
        kept = stored_arrays(path, "points", "rows", "tests", "by_network")
        same = (np.array_equal(kept[name], now) for name, now in (("rows", rows), ("tests", tests)))
        if all(same) and bool(kept["by_network"]) == by_network:
            return PictureMap(kept["points"], rows, tests, seen)

    def look(pictures: ImageRows) -> np.ndarray:
        return network_features(pictures, progress) if by_network else gradient_histograms(pictures, jobs, progress)

    known = stored_array(features if by_network else evidence / "appearance.npy") if len(distinct) else None
    vectors = [_vectors(images, rows, distinct, known, look)]
    vectors += [look(Chosen(test_images, tests))] if len(tests) else []
    points = on_a_plane(np.concatenate(vectors))
    with storing(path) as partial, open(partial, "wb") as file:
        np.savez(file, points=points, rows=rows, tests=tests, by_network=np.array(by_network))
    return PictureMap(points, rows, tests, seen)


def _vectors(
    images: ImageRows,
    rows: np.ndarray,
    distinct: np.ndarray,
    known: np.ndarray | None,
    look: Callable[[ImageRows], np.ndarray],
) -> np.ndarray:
    """What is known of rows that are distinct, float32 (n, d), and what is seen of the others when looked at."""
    unknown = ~np.isin(rows, distinct)
    seen = look(Chosen(images, rows[unknown])) if unknown.any() else None
    if known is None or seen is None:
        return np.asarray(known[np.searchsorted(distinct, rows)] if seen is None and known is not None else seen)
    made = np.empty((len(rows), known.shape[1]), np.float32)
    made[~unknown], made[unknown] = known[np.searchsorted(distinct, rows[~unknown])], seen
    return made


def on_a_plane(vectors: np.ndarray) -> np.ndarray:
    """float32 (n, 2) of vectors (n, d): t-SNE (van der Maaten and Hinton 2008) of their principal components."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if (vectors == vectors[:1]).all():
        return np.zeros((len(vectors), 2), np.float32)
    parts = min(PARTS, len(vectors) - 1, vectors.shape[1])
    reduced = PCA(parts, random_state=0).fit_transform(vectors.astype(np.float32))
    near = min(NEIGHBOURS, (len(vectors) - 1) / 3)
    points = TSNE(perplexity=near, init="pca", random_state=0, max_iter=500).fit_transform(reduced)
    return np.asarray(points, np.float32)
