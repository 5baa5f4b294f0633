"""64 bits that stay nearly the same where a picture is saved anew, scaled or relit: a first look at all pictures, in
time that grows with their number alone. It says which of very many are worth the closer look.
"""

import cv2
import numpy as np

from toolkit.auditing.keypoints import working_image
from toolkit.auditing.parts import by_parts
from toolkit.images.rows import ImageRows
from toolkit.progress import SILENT, Progress

APART = 3  # bits by which pictures of one origin may differ; of one more bands one agrees
BAND = 64 // (APART + 1)  # bits
NEXT = 16  # others that agree in a band that each is compared with: of many that look alike, not all pairs


def fingerprint(image: np.ndarray) -> int:
    """Of a picture (H, W, C): which of its lowest 64 frequencies are above their median (Zauner 2010)."""
    small = cv2.resize(working_image(image), (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    waves = cv2.dct(small)[:8, :8].ravel()
    waves[0] = 0  # how bright it is
    return int.from_bytes(np.packbits(waves > np.median(waves)).tobytes(), "big")


def fingerprints(images: ImageRows, jobs: int = 1, progress: Progress = SILENT) -> np.ndarray:
    """uint64 (N,)."""
    found = by_parts(fingerprint, images, "first look at all pictures", jobs, progress)
    return np.fromiter(found, np.uint64, len(images))


def alike(prints: np.ndarray) -> np.ndarray:
    """bool (N,): fingerprints that another one nearly equals.

    Only those that agree in a band are compared, and of these the next in their order: linear in N.
    """
    found = np.zeros(len(prints), bool)
    for shift in range(0, 64, BAND):
        turned = prints if not shift else (prints << np.uint64(shift)) | (prints >> np.uint64(64 - shift))
        order = np.argsort(turned)
        band = turned >> np.uint64(64 - BAND)
        for step in range(1, min(NEXT, len(prints) - 1) + 1):
            left, right = order[:-step], order[step:]
            near = (band[left] == band[right]) & (np.bitwise_count(prints[left] ^ prints[right]) <= APART)
            found[left[near]] = found[right[near]] = True
    return found & (prints != 0)  # 0: nothing is to be seen on it
