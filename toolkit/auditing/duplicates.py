"""Pictures of one origin: copies that were rotated, flipped, scaled, sheared, shifted, relit or compressed.

Candidates come from a nearest-neighbour index over one vector a picture; each pair is then verified: its
keypoints must agree on one affine map, and the pictures laid on each other by it must look alike. Two
different things of one kind agree in kind but not in place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from toolkit.auditing.appearance import look_up, nearest
from toolkit.auditing.keypoints import FEWEST, Keypoints, content, working_image
from toolkit.auditing.parts import processes
from toolkit.auditing.phases import COMPARED
from toolkit.data.groups import connect
from toolkit.images.rows import ImageRows
from toolkit.processes import parallel
from toolkit.progress import SILENT, Progress

NEIGHBOURS = 10  # candidates a picture, and as many for its mirror image
ROUNDS = ((0, 2), (2, 5), (5, NEIGHBOURS))  # ranks looked at together; pairs already joined need no later look
SIMILAR = 0.75  # cosine of two descriptors that may be of one spot
# Keypoints in agreement, and the similarity that so many ask for; below the first number there is no evidence.
# On 4,500 synthetic copies of real blood cells, pairs of different cells had at most 12 keypoints and, with 9 or
# more of them, similarities below .79; three quarters of the true pairs with so few had .86 and more.
KEYPOINTS, NEEDED = (FEWEST, 12, 24), (0.82, 0.72, 0.2)
OVERLAP = 0.15  # of the picture
# A test image needs one relative in training, not all of them: in a random split of 1,470 copies of real blood cells
# three candidates found 370 of the 374 test images that ten found
FEW_ROUNDS = ((0, 1), (1, 3))
Pairs = Sequence[tuple[int, int, bool]]  # rows left and right, and is the right picture mirrored?


@dataclass(frozen=True)
class Pictures:
    """images: uint8 (N, H, W, 1 or 3), and their keypoints."""

    images: ImageRows
    keypoints: Keypoints


@dataclass(frozen=True)
class Link:
    """Two rows, of one set or of two, that show the same.

    `matrix` (2, 3) takes the right picture, mirrored first if so, onto the left; it refers to
    `keypoints.working_image`. similarity: correlation of their detail where they overlap.
    """

    left: int
    right: int
    mirrored: bool
    keypoints: int
    similarity: float
    matrix: tuple[float, ...]


def find_copies(
    pictures: Pictures, vectors: Sequence[np.ndarray], jobs: int, progress: Progress = SILENT
) -> list[Link]:
    """Verified links between rows of the pictures; vectors: `keypoints.Vocabulary.vectors` of them.

    Not every pair of a group is linked, but every group is connected.
    """
    near, mirrored = (nearest(vectors[0], query, NEIGHBOURS)[1] for query in vectors)
    number = len(pictures.images)
    group = np.arange(number)
    links: list[Link] = []
    with parallel(processes(number, jobs)) as pool:
        for low, high in ROUNDS:
            pairs = {
                (min(row, other), max(row, other), flipped)
                for flipped, table in ((False, near), (True, mirrored))
                for row in range(number)
                for other in table[row, low:high].tolist()
                if other >= 0 and group[row] != group[other]
            }
            links += _verify_in_parts(pool, pictures, pictures, sorted(pairs), progress)
            group = connect(number, [(link.left, link.right) for link in links])
    return links


def find_copies_across(
    pictures: Pictures,
    vectors: Sequence[np.ndarray],
    others: Pictures,
    other_vectors: Sequence[np.ndarray],
    jobs: int,
    progress: Progress = SILENT,
) -> list[Link]:
    """Verified links from rows of the pictures, on the left, to rows of the others; of each of these a few."""
    most = min(FEW_ROUNDS[-1][1], len(pictures.images))
    near, mirrored = (look_up(vectors[0], query, most)[1] for query in other_vectors)
    links: list[Link] = []
    with parallel(processes(len(others.images), jobs)) as pool:
        for low, high in FEW_ROUNDS:
            linked = {link.right for link in links}
            pairs = {
                (row, other, flipped)
                for flipped, table in ((False, near), (True, mirrored))
                for other in range(len(others.images))
                if other not in linked and other_vectors[0][other].any()
                for row in table[other, low:high].tolist()
                if row >= 0
            }
            links += _verify_in_parts(pool, pictures, others, sorted(pairs), progress)
    return links


def _verify_in_parts(
    pool: Parallel, pictures: Pictures, others: Pictures, pairs: Pairs, progress: Progress
) -> list[Link]:
    parts, links = [pairs[start : start + 500] for start in range(0, len(pairs), 500)], []
    with progress.counting(COMPARED, len(pairs)) as done:
        found = pool(delayed(_verify_all)(pictures, others, part) for part in parts)
        for part, verified in zip(parts, found, strict=True):
            links += verified
            done(len(part))
    return links


def _verify_all(pictures: Pictures, others: Pictures, pairs: Pairs) -> list[Link]:
    cv2.setNumThreads(1)
    with threadpool_limits(1):  # the matrices are small, and each process has its own core
        return [link for pair in pairs if (link := verify(pictures, others, *pair)) is not None]


def verify(pictures: Pictures, other_pictures: Pictures, left: int, right: int, mirrored: bool) -> Link | None:
    """The link between a row of the pictures and one of the others, or None where they don't show the same."""
    image = working_image(pictures.images[left])
    points, descriptors = pictures.keypoints.of(left)
    width = image.shape[1] if mirrored else 0
    others, other_descriptors = other_pictures.keypoints.of(right, mirrored_width=width)
    first, second = _matches(descriptors, other_descriptors)
    if len(first) < FEWEST:
        return None
    agreeing = _consensus(points[first], others[second])
    if agreeing.sum() < FEWEST:
        return None
    to, origin = points[first[agreeing], :2], others[second[agreeing], :2]
    matrix, inliers = cv2.estimateAffine2D(
        origin, to, method=cv2.RANSAC, ransacReprojThreshold=2.5, maxIters=300, confidence=0.99
    )
    if matrix is None or not _plausible(matrix) or inliers.sum() < FEWEST:
        return None
    count = int(inliers.sum())
    needed = float(np.interp(count, KEYPOINTS, NEEDED))
    other = working_image(other_pictures.images[right])
    if mirrored:
        other = np.ascontiguousarray(other[:, ::-1])
    similarity = alignment(image, other, matrix)
    if similarity < needed:
        matrix = _refine(image, other, matrix)
        similarity = alignment(image, other, matrix)
    if similarity < needed:
        return None
    return Link(left, right, mirrored, count, similarity, tuple(float(value) for value in matrix.ravel()))


def _matches(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of descriptors that are each other's best match."""
    if not len(left) or not len(right):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    cosine = left @ right.T
    best, back = cosine.argmax(1), cosine.argmax(0)
    rows = np.flatnonzero((back[best] == np.arange(len(left))) & (cosine.max(1) > SIMILAR))
    return rows, best[rows]


def _consensus(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Which matches agree on one rotation and scale, the largest such set: a cheap look before RANSAC."""
    turn = (left[:, 3] - right[:, 3]) % 360
    octave = np.log2(left[:, 2] / right[:, 2])
    apart = np.abs(turn[:, None] - turn)
    near = (np.minimum(apart, 360 - apart) < 30) & (np.abs(octave[:, None] - octave) < 0.6)
    return np.asarray(near[near.sum(1).argmax()])


def _plausible(matrix: np.ndarray) -> bool:
    """Scales between a half and twice, and not squeezed much more one way than the other."""
    large, small = np.linalg.svd(matrix[:, :2])[1]
    return bool(large < 2 and small > 0.5 and large < 1.7 * small and np.linalg.det(matrix[:, :2]) > 0)


def alignment(image: np.ndarray, other: np.ndarray, matrix: np.ndarray) -> float:
    """Correlation of the detail of two grey images (h, w) where the second, moved by `matrix`, overlaps the first.

    0 where they hardly overlap. Shapes and light are left out: two cells of one kind share those.
    """
    size = (image.shape[1], image.shape[0])
    moved = cv2.warpAffine(other, matrix, size, flags=cv2.INTER_LINEAR)
    both = cv2.warpAffine(content(other), matrix, size, flags=cv2.INTER_NEAREST) & content(image)
    inside = cv2.erode(both, np.ones((3, 3), np.uint8), borderValue=1)
    if inside.mean() < OVERLAP:
        return 0.0
    a, b = (_detail(part, inside) for part in (image, moved))
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-9))


def likeness(image: np.ndarray, other: np.ndarray) -> float:
    """Rank correlation (Spearman) of the detail of two grey images (h, w) as they lie: of ranks, since one drawing
    over different ground would make up most of any other.
    """
    from scipy.stats import spearmanr

    first, second = (_detail(part, np.ones_like(image)) for part in (image, other))
    found: Any = spearmanr(first, second)
    return float(np.nan_to_num(found[0]))


def _detail(image: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Values of what is larger than noise and compression, and smaller than a cell, where `inside` is 1."""
    weight = inside.astype(np.float32)
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1)
    around = cv2.GaussianBlur(smooth * weight, (0, 0), 3) / np.maximum(cv2.GaussianBlur(weight, (0, 0), 3), 1e-3)
    values: np.ndarray = (smooth - around)[inside > 0]
    return values - values.mean()


def _refine(image: np.ndarray, other: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The map after some steps of ECC (Evangelidis and Psarakis 2008); the given one where that fails."""
    inverse = cv2.invertAffineTransform(matrix).astype(np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 1e-3)
    try:
        _, refined = cv2.findTransformECC(image, other, inverse, cv2.MOTION_AFFINE, stop, content(other), 3)
    except cv2.error:  # it did not converge
        return matrix
    result = cv2.invertAffineTransform(refined)
    better = _plausible(result) and alignment(image, other, result) > alignment(image, other, matrix)
    return result if better else matrix
