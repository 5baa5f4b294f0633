"""Which images are the same to the last bit: a hash of each, made once and kept with the data."""

import hashlib
from collections.abc import Iterable

import numpy as np

READ = 2**63  # hashes are from here on: below there are marks of what couldn't be read


def hash_picture(image: np.ndarray) -> int:
    """Of its values' SHA-256 as many bits that two of a million images share them once in 18 million sets."""
    digest = hashlib.sha256(np.ascontiguousarray(image).data).digest()
    return int.from_bytes(digest[:8], "little") | READ


def hash_pictures(images: Iterable[np.ndarray]) -> np.ndarray:
    """uint64 (N,) of images (N, ...)."""
    return np.fromiter(map(hash_picture, images), np.uint64)


def rows_of(pictures: np.ndarray, least: int = 1) -> dict[int, np.ndarray]:
    """Rows, int64, of each hash in uint64 (N,) that at least so many rows have, in the order of their first rows."""
    order = np.argsort(pictures, kind="stable")
    begins = np.flatnonzero(np.diff(pictures[order], prepend=pictures[order][:1] ^ np.uint64(1)))
    parts = [part for part in np.split(order, begins[1:]) if len(part) >= least]
    return {int(pictures[part[0]]): part for part in sorted(parts, key=lambda part: part[0])}
