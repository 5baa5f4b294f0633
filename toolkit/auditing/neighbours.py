"""Nearest neighbours among unit vectors, by an index that does not compare all pairs of a large set."""

import numpy as np

EXACT = 50_000  # up to so many vectors are compared exactly; beyond, by an HNSW graph (Malkov and Yashunin 2016)


def nearest(vectors: np.ndarray, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Dot products float32 (N, count) and rows int64 (N, count) of the vectors (N, d) nearest to each query (N, d).

    Query i belongs to vector i, which is left out. Row -1: there was none.
    """
    import faiss

    number, dimensions = vectors.shape
    index: faiss.Index = faiss.IndexFlatIP(dimensions)
    if number > EXACT:
        index = faiss.IndexHNSWFlat(dimensions, 32, faiss.METRIC_INNER_PRODUCT)
    index.add(np.ascontiguousarray(vectors, np.float32))
    products, rows = index.search(np.ascontiguousarray(queries, np.float32), count + 1)
    others = rows != np.arange(number)[:, None]
    others[others.all(1), -1] = False  # the own one was not among the nearest: the last one goes instead
    return products[others].reshape(number, count), rows[others].reshape(number, count)
