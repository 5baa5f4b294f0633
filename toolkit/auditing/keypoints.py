"""Local features of pictures: SIFT keypoints, and from them one vector a picture that finds its copies.

Needs no learnt weights, so it may be used where the rules forbid them, and works on colour and grey alike.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from joblib import Parallel, delayed

from toolkit.auditing.evidence import stored_array
from toolkit.auditing.parts import parts_of
from toolkit.auditing.phases import DETECTED
from toolkit.images.rows import ImageRows
from toolkit.progress import SILENT, Progress
from toolkit.store import atomic, write_manifest

MOST = 100  # keypoints a picture, the strongest first
FEWEST = 8  # below, a picture is too empty to be told from another
SIDES = (96, 192)  # pictures are scaled so that their longer side lies between these, in pixels
BLACK = 8  # values up to this, connected to the picture's edge, are a border and not content
WORDS = 32  # of the visual vocabulary
DIMENSIONS = 256  # of the vector of a picture

_MIRRORED_BINS = (-np.arange(8)) % 8


@dataclass(frozen=True)
class Keypoints:
    """Of N pictures, memory-mapped: points float32 (N, MOST, 4) as x, y, size, angle in degrees; descriptors
    uint8 (N, MOST, 128); counts int64 (N,), how many of them are filled.
    """

    points: np.ndarray
    descriptors: np.ndarray
    counts: np.ndarray

    def of(self, row: int, mirrored_width: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Points (n, 4) and RootSIFT descriptors float32 (n, 128) of one picture.

        With a width: of the picture mirrored left to right, without looking at the picture again.
        """
        count = self.counts[row]
        points = np.array(self.points[row, :count])
        descriptors = root_sift(self.descriptors[row, :count])
        if mirrored_width:
            points[:, 0] = mirrored_width - 1 - points[:, 0]
            points[:, 3] = (180 - points[:, 3]) % 360
            descriptors = mirror(descriptors)
        return points, descriptors


def working_image(image: np.ndarray) -> np.ndarray:
    """Grey uint8 (h, w) of a picture uint8 (H, W, 1 or 3), at the size that keypoints and alignments refer to."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.shape[-1] == 3 else np.ascontiguousarray(image[..., 0])
    longer = max(grey.shape)
    factor = min(SIDES[1] / longer, max(1.0, SIDES[0] / longer))
    if factor != 1:
        size = (max(1, round(grey.shape[1] * factor)), max(1, round(grey.shape[0] * factor)))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    return grey


def content(grey: np.ndarray) -> np.ndarray:
    """uint8 (h, w), 1 where the picture is, 0 on black borders (of a rotation, say)."""
    dark = (grey <= BLACK).astype(np.uint8)
    if not (dark[0].any() or dark[-1].any() or dark[:, 0].any() or dark[:, -1].any()):
        return np.ones_like(grey)
    _, parts = cv2.connectedComponents(dark, connectivity=4)
    at_edge = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    return (~np.isin(parts, at_edge[at_edge > 0])).astype(np.uint8)


def detect(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points float32 (n, 4) and SIFT descriptors uint8 (n, 128) (Lowe 2004), none on the rim of a black border."""
    grey = working_image(image)
    inside = cv2.erode(content(grey), np.ones((9, 9), np.uint8), borderValue=1)
    sift = cv2.SIFT.create(nfeatures=MOST, contrastThreshold=0.01)
    found, descriptors = sift.detectAndCompute(grey, inside * np.uint8(255))
    if not found:
        return np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8)
    points = np.array([(*point.pt, point.size, point.angle) for point in found], np.float32)
    return points[:MOST], descriptors[:MOST].astype(np.uint8)


def save_keypoints(images: ImageRows, folder: Path, jobs: int, progress: Progress = SILENT) -> None:
    """Detect in all pictures (N, H, W, 1 or 3) and write the arrays to `folder`."""
    with atomic(folder) as partial:
        partial.mkdir()
        arrays = {
            "points": ((len(images), MOST, 4), np.float32),
            "descriptors": ((len(images), MOST, 128), np.uint8),
            "counts": ((len(images),), np.int64),
        }
        made = {
            name: np.lib.format.open_memmap(partial / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
            for name, (shape, dtype) in arrays.items()
        }
        with progress.counting(DETECTED, len(images)) as done:
            for at in parts_of(len(images)):
                # OpenCV lets go of the interpreter, so threads are enough
                results = Parallel(n_jobs=jobs, prefer="threads")(delayed(detect)(image) for image in images[at])
                for row, (points, descriptors) in enumerate(results, start=at.start):
                    made["counts"][row] = len(points)
                    made["points"][row, : len(points)] = points
                    made["descriptors"][row, : len(points)] = descriptors
                done(at.stop - at.start)
        for array in made.values():
            array.flush()
        write_manifest(partial, {})


def open_keypoints(folder: Path) -> Keypoints:
    arrays = {name: stored_array(folder / f"{name}.npy") for name in KEYPOINT_ARRAYS}
    return Keypoints(**arrays)


KEYPOINT_ARRAYS = tuple(Keypoints.__dataclass_fields__)


def root_sift(descriptors: np.ndarray) -> np.ndarray:
    """float32 (n, 128) of unit length, whose dot product compares better (Arandjelović and Zisserman 2012)."""
    values = descriptors.astype(np.float32)
    return np.sqrt(values / np.maximum(values.sum(-1, keepdims=True), 1e-9))


def mirror(descriptors: np.ndarray) -> np.ndarray:
    """The descriptors (..., 128) that the mirrored picture would have: 4 x 4 cells of 8 directions, reordered."""
    cells = descriptors.reshape(*descriptors.shape[:-1], 4, 4, 8)
    return cells[..., ::-1, :, :][..., _MIRRORED_BINS].reshape(descriptors.shape)


@dataclass(frozen=True)
class Vocabulary:
    """What turns keypoints into one vector a picture: VLAD (Jégou et al. 2010) over words, rotated to fewer numbers.

    words: float32 (WORDS, 128); basis: float32 (D, d); mean: float32 (d,), of the pictures that it was learnt on.
    """

    words: np.ndarray
    basis: np.ndarray
    mean: np.ndarray

    def vectors(self, keypoints: Keypoints) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of unit length, float32 (N, d), of N pictures and of their mirror images.

        Copies under rotation, scale, shift, shear and light have a high dot product; a picture of fewer than FEWEST
        keypoints is zero, or all empty skies would be each other's neighbours.
        """
        number = len(keypoints.counts)
        plain, mirrored = (np.empty((number, len(self.mean)), np.float32) for _ in range(2))
        for at in parts_of(number):
            roots = [keypoints.of(row)[1] for row in range(at.start, at.stop)]
            plain[at] = np.stack([_vlad(root, self.words) for root in roots]) @ self.basis - self.mean
            mirrored[at] = np.stack([_vlad(mirror(root), self.words) for root in roots]) @ self.basis - self.mean
        informative = (keypoints.counts >= FEWEST)[:, None]
        return _unit(plain) * informative, _unit(mirrored) * informative


def learn_vocabulary(keypoints: Keypoints) -> Vocabulary:
    """Words from these very pictures, and a PCA of their vectors to DIMENSIONS.

    Where they hold too few keypoints for any, all vectors will be zero.
    """
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(0)
    some = np.sort(rng.permutation(len(keypoints.counts))[:2000])
    sample = np.concatenate([keypoints.of(row)[1] for row in some] or [np.zeros((0, 128), np.float32)])
    if len(sample) < WORDS:
        words = np.zeros((WORDS, 128), np.float32)
        return Vocabulary(words, np.zeros((words.size, 1), np.float32), np.zeros(1, np.float32))
    sample = sample[rng.permutation(len(sample))[:50_000]]
    with threadpool_limits(1):  # batches are small: threads wait for each other longer than they work
        clusters = MiniBatchKMeans(WORDS, random_state=0, n_init=1, batch_size=4096).fit(sample)
    words = clusters.cluster_centers_.astype(np.float32)
    basis, mean = _principal_axes(np.stack([_vlad(keypoints.of(row)[1], words) for row in some]))
    return Vocabulary(words, basis, mean)


def _vlad(descriptors: np.ndarray, words: np.ndarray) -> np.ndarray:
    sums = np.zeros_like(words)
    if len(descriptors):
        nearest = (descriptors @ words.T - 0.5 * (words**2).sum(1)).argmax(1)
        assigned = np.eye(len(words), dtype=np.float32)[nearest]
        sums = assigned.T @ descriptors - assigned.sum(0)[:, None] * words
        sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
    return sums.ravel() / max(float(np.linalg.norm(sums)), 1e-9)


def _principal_axes(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Axes (D, d) and the mean in them; without whitening, which would raise the noise of small sets."""
    mean = vectors.mean(0)
    _, _, axes = np.linalg.svd(vectors - mean, full_matrices=False)
    basis = axes[:DIMENSIONS].T.astype(np.float32)
    return basis, mean @ basis


def _unit(vectors: np.ndarray) -> np.ndarray:
    result: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return result
