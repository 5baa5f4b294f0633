"""Shares of the least log loss or squared error: both are convex in them, so the best there are is found."""

import numpy as np

from toolkit.blending.climbs_of_values import ByLogarithm, BySquare

ROUNDS = 300
CLOSE = 1e-9  # gain of the loss by which a round still counts


def least_loss(climb: ByLogarithm, allowed: np.ndarray) -> np.ndarray:
    """float64 (M,) that sum to 1: the fixed point of w <- w · (mean of p_m / Σ w p), which never gets worse.

    It is the EM algorithm for the shares of a mixture (Dempster, Laird and Rubin 1977), each probability of what is
    true weighted as the metric does.
    """
    parts = np.maximum(climb.parts[allowed].astype(np.float64), climb.metric.clip)
    weights = climb.weights()
    shares, loss = np.full(len(parts), 1 / len(parts)), np.inf
    for _ in range(ROUNDS):
        mixture = shares @ parts
        before, loss = loss, -float(weights @ np.log(mixture))
        if before - loss < CLOSE:
            break
        shares = shares * (parts @ (weights / mixture))
    return _whole(shares / shares.sum(), allowed)


def least_squares(climb: BySquare, allowed: np.ndarray) -> np.ndarray:
    """float64 (M,) that sum to 1, by non-negative least squares (Lawson and Hanson 1974), targets counting alike.

    The residuals' products say all: their square root takes the place of the samples, a further row keeps the sum.
    """
    from scipy.optimize import nnls

    products = climb.products[:, allowed][:, :, allowed]
    scale = np.array([max(np.trace(each), 1e-30) for each in products])
    products = (products / scale[:, None, None]).sum(0)
    values, vectors = np.linalg.eigh(products)
    root = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
    whole = 1e3 * np.sqrt(max(values.max(initial=0), 1e-30))  # weight of the condition that shares sum to 1
    rows = np.vstack([root, np.full(len(root), whole)])
    shares, _ = nnls(rows, np.append(np.zeros(len(root)), whole))
    return _whole(shares / shares.sum(), allowed)


def _whole(shares: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Of all candidates; what is next to nothing is nothing."""
    found = np.zeros(len(allowed))
    found[allowed] = np.where(shares < 1e-4, 0, shares)
    result: np.ndarray = found / found.sum()
    return result
