"""What pictures look like, as numbers: to find outliers and nearest neighbours, to guess labels, to compare sets."""

import cv2
import numpy as np
import pandas as pd

from toolkit.auditing.keypoints import content, working_image
from toolkit.auditing.parts import by_parts
from toolkit.auditing.phases import PROPERTIES
from toolkit.images.rows import ImageRows
from toolkit.progress import SILENT, Progress

BATCH = 128
NEAREST = 5  # others that a picture is held against
EXACT = 50_000  # up to so many vectors are compared exactly; beyond, by an HNSW graph (Malkov and Yashunin 2016)


def network_features(images: ImageRows, progress: Progress = SILENT) -> np.ndarray:
    """Pooled features of an ImageNet EfficientNet-Lite0, float32 (N, 1280), of images uint8 (N, H, W, 1 or 3)."""
    import torch

    from toolkit.networks.predict import batches
    from toolkit.networks.pretrained import packaged_backbone

    network = packaged_backbone("tf_efficientnet_lite0").eval().to(memory_format=torch.channels_last)
    network.reset_classifier(0)  # type: ignore[operator]
    parts = []
    with torch.inference_mode(), progress.counting("features of a pretrained network", len(images)) as done:
        for batch in batches(images, BATCH, torch.device("cpu")):
            x = batch.float() / 127.5 - 1
            parts.append(network(x.expand(-1, 3, -1, -1).to(memory_format=torch.channels_last)).numpy())
            done(len(batch))
    return np.concatenate(parts)


def gradient_histograms(images: ImageRows, jobs: int = 1, progress: Progress = SILENT) -> np.ndarray:
    """Unit vectors float32 (N, 144) of images (N, H, W, 1 or 3): where which edges are, and the grey values.

    Histograms of gradients (Dalal and Triggs 2005). For finding outliers they did better than features of a
    network: of 800 real blood cells and two drawings, the drawings were 21 and 25 robust standard deviations
    from their nearest and the cells at most 6; by EfficientNet-Lite0 all were within 6.
    """
    vectors = np.stack(list(by_parts(_gradients, images, "edges and grey values", jobs, progress)))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _gradients(image: np.ndarray) -> np.ndarray:
    small = cv2.resize(working_image(image), (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32)
    across, down = cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1)
    strength, angle = cv2.cartToPolar(across, down)
    place = np.arange(64) // 16
    cell = (place[:, None] * 4 + place) * 8 + np.minimum((angle * (8 / (2 * np.pi))).astype(int), 7)
    gradients = np.sqrt(np.bincount(cell.ravel(), strength.ravel(), minlength=128))
    grey = np.sqrt(np.histogram(small, 16, (0, 256))[0] / small.size)
    return np.concatenate([gradients / max(float(np.linalg.norm(gradients)), 1e-6), grey]).astype(np.float32)


def nearest(vectors: np.ndarray, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Dot products float32 (N, count) and rows int64 (N, count) of the vectors (N, d) nearest to each query (N, d).

    Query i belongs to vector i, which is left out. Row -1: there was none.
    """
    number = len(vectors)
    products, rows = look_up(vectors, queries, count + 1)
    others = rows != np.arange(number)[:, None]
    others[others.all(1), -1] = False  # the own one was not among the nearest: the last one goes instead
    return products[others].reshape(number, count), rows[others].reshape(number, count)


def look_up(vectors: np.ndarray, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Dot products float32 (M, count) and rows int64 (M, count) of the vectors (N, d) nearest to each query (M, d).

    Row -1: there was none.
    """
    import faiss

    number, dimensions = vectors.shape
    index: faiss.Index = faiss.IndexFlatIP(dimensions)
    if number > EXACT:
        index = faiss.IndexHNSWFlat(dimensions, 32, faiss.METRIC_INNER_PRODUCT)
    index.add(np.ascontiguousarray(vectors, np.float32))
    products, rows = index.search(np.ascontiguousarray(queries, np.float32), count)
    return products, rows


def outlyingness(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each picture is from its nearest others: float (N,) in robust standard deviations above the median,
    and rows (N, k) of those others, nearest first.

    vectors: float32 (N, d) of unit length.
    """
    products, near = nearest(vectors, vectors, min(NEAREST, len(vectors) - 1))
    distance = 1 - products.mean(1)
    middle = float(np.median(distance))
    spread = 1.4826 * float(np.median(np.abs(distance - middle)))
    return (distance - middle) / max(spread, 1e-9), near


def properties(images: ImageRows, jobs: int = 1, progress: Progress = SILENT) -> pd.DataFrame:
    """Named properties of images uint8 (N, H, W, 1 or 3), a row each; of colour only where there is any."""
    return pd.DataFrame(list(by_parts(_properties, images, PROPERTIES, jobs, progress)))


def _properties(image: np.ndarray) -> dict[str, float]:
    grey = image.astype(np.float32).mean(2)
    inside = content(working_image(image))
    seen = cv2.resize(inside, grey.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    values = grey[seen] if seen.any() else grey.ravel()
    fine = cv2.Laplacian(grey, cv2.CV_32F)
    # Immerkær 1996: this kernel is blind to edges and slopes, so what is left is noise
    noise = cv2.filter2D(grey, cv2.CV_32F, np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32))
    coarse = cv2.GaussianBlur(grey, (0, 0), 4)
    steps = np.abs(np.diff(grey, axis=1))
    result = {
        "brightness": float(values.mean()),
        "contrast": float(values.std()),
        "sharpness": float(np.log1p(fine.var())),
        "noise": float(np.abs(noise).mean() * np.sqrt(np.pi / 2) / 6),
        "coarse detail": float((coarse - coarse.mean()).std()),
        "compression blocks": float(steps[:, 7::8].mean() / max(float(steps.mean()), 1e-3))
        if steps.shape[1] > 7
        else 1.0,
        "darkest": float(np.percentile(values, 1)),
        "brightest": float(np.percentile(values, 99)),
        "black border": float(1 - seen.mean()),
    }
    if image.shape[2] == 3:
        red, green, blue = (image[..., channel].astype(np.float32) for channel in range(3))
        result |= {
            "red minus green": float((red - green)[seen].mean()) if seen.any() else 0.0,
            "blue minus yellow": float((blue - (red + green) / 2)[seen].mean()) if seen.any() else 0.0,
            "saturation": float((image.max(2).astype(np.float32) - image.min(2)).mean()),
        }
    return result
