"""Neighbouring tiles: pictures that were cut side by side, without overlap, from one larger picture.

Their facing edges continue each other. How many such links chance alone would make is measured with a decoy:
the same search with one edge reversed, which no true neighbour survives. Where the decoy finds nearly as many,
as in pictures that are no tiles, nothing is linked.
"""

from dataclasses import dataclass

import numpy as np

from toolkit.auditing.parts import parts_of
from toolkit.auditing.phases import EDGES
from toolkit.images.rows import ImageRows
from toolkit.progress import SILENT, Progress

SIDES = (("right", "left"), ("bottom", "top"))
FALSE_SHARE = 0.02  # of the links may be chance, as the decoy estimates it
BLACK = 3  # values up to this belong to a border, where nothing continues
FLAT = 1.5  # standard deviation of an edge below which it could fit anything
FEWEST = 10  # links; fewer are not told from chance


@dataclass(frozen=True)
class Seam:
    """The `side` edge of row `left` continues in row `right`. ratio: distance to it over that to the second best."""

    left: int
    right: int
    side: str
    ratio: float


def find_seams(images: ImageRows, others: ImageRows | None = None, progress: Progress = SILENT) -> list[Seam]:
    """Rows of images uint8 (N, H, W, 1 or 3) that are each other's best neighbour, by far enough to be no chance.

    others: images (M, H, W, C), rows from N on; then seams between the two sets alone, held against chance by
    themselves. All compete: a tile's true neighbour may lie in its own set.
    """
    number, sets = len(images), [images] if others is None else [images, others]

    def wanted(pairs: list[tuple[int, int, float]]) -> list[tuple[int, int, float]]:
        return [pair for pair in pairs if others is None or (pair[0] < number) != (pair[1] < number)]

    seams: list[Seam] = []
    edges = [_edges(part) for part in sets]
    with progress.counting(EDGES, 2 * len(SIDES)) as done:
        for side, opposite in SIDES:
            edge, other = (np.concatenate([part[at] for part in edges]).astype(np.float32) for at in (side, opposite))
            ratios = []
            for values in (other, other[:, ::-1]):
                ratios.append(sorted(wanted(_best_buddies(edge, values)), key=lambda pair: pair[2]))
                done(1)
            found, decoy = ratios
            limit = _limit([ratio for *_, ratio in found], [ratio for *_, ratio in decoy], int(others is None))
            seams += [Seam(left, right, side, ratio) for left, right, ratio in found if ratio <= limit]
    return seams


def _edges(images: ImageRows) -> dict[str, np.ndarray]:
    """Pixel values along each side, (N, length, C), of one pass through the images."""
    places = {"left": np.s_[:, :, 0], "right": np.s_[:, :, -1], "top": np.s_[:, 0], "bottom": np.s_[:, -1]}
    found: dict[str, list[np.ndarray]] = {side: [] for side in places}
    for at in [*parts_of(len(images))] or [slice(0)]:
        part = images[at]
        for side, place in places.items():
            found[side].append(np.array(part[place]))
    return {side: np.concatenate(values) for side, values in found.items()}


def _best_buddies(edge: np.ndarray, other: np.ndarray) -> list[tuple[int, int, float]]:
    """Pairs that are each other's nearest (Pomeranz et al. 2011), with the ratio of nearest to second nearest."""
    rows, other_rows = (np.flatnonzero(_informative(values)) for values in (edge, other))
    if len(rows) < 3 or len(other_rows) < 3:
        return []
    forward = _search(edge[rows], other[other_rows], rows, other_rows)
    backward = _search(other[other_rows], edge[rows], other_rows, rows)
    back = dict(zip(other_rows.tolist(), backward, strict=True))
    pairs = []
    for row, (nearest, ratio) in zip(rows.tolist(), forward, strict=True):
        their_nearest, their_ratio = back[nearest]
        if their_nearest == row:
            pairs.append((row, nearest, max(ratio, their_ratio)))
    return pairs


def _informative(edges: np.ndarray) -> np.ndarray:
    """Which edges have content: no black border, not flat."""
    grey = edges.mean(2)
    return np.asarray(((grey <= BLACK).mean(1) < 0.05) & (grey.std(1) >= FLAT))


def _search(
    queries: np.ndarray, values: np.ndarray, query_rows: np.ndarray, rows: np.ndarray
) -> list[tuple[int, float]]:
    """The nearest of `rows` to each query, itself left out, and its squared distance over the second nearest's."""
    import faiss

    queries, values = (np.ascontiguousarray(part.reshape(len(part), -1)) for part in (queries, values))
    index = faiss.IndexFlatL2(values.shape[1])
    index.add(values)
    distances, places = index.search(queries, 3)
    result = []
    for row, distance, place in zip(query_rows, distances, places, strict=True):
        other = [(float(d), int(rows[p])) for d, p in zip(distance, place, strict=True) if p >= 0 and rows[p] != row]
        result.append((other[0][1], other[0][0] / max(other[1][0], 1e-6)))
    return result


def _limit(real: list[float], decoy: list[float], more: int) -> float:
    """The largest ratio up to which decoys, and so many more, are no more than FALSE_SHARE of the links; -1 for none.

    Ratios are sorted. With one more, at least 50 links are asked for. Between two sets there may be fewer: that by
    chance FEWEST links come before the first decoy, one in 2^FEWEST times, is all that is feared.
    """
    below = np.searchsorted(decoy, real, side="right")
    share = (below + more) / np.arange(1, len(real) + 1)
    fine = np.flatnonzero((share <= FALSE_SHARE) & (np.arange(1, len(real) + 1) >= FEWEST))
    return float(real[fine[-1]]) if len(fine) else -1.0
