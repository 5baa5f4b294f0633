"""A smooth stand-in for the official metric, and weights that climb it."""

from collections.abc import Sequence

import numpy as np

from toolkit.metrics import Metric

SHARPNESS = 4.0  # probabilities to this power, normalised, stand for the label
STEPS = 80
RATE = 0.1


def climb(
    values: np.ndarray,
    truth: np.ndarray,
    metric: Metric,
    scored: Sequence[int],
    classes: int,
    start: np.ndarray,
    shrink: float = 0.0,
) -> np.ndarray:
    """Weights like `start`, (M,) or (M, S), that climb the metric of soft labels by Adam (Kingma and Ba 2015).

    values: float32 (n, S, M); truth (n,). Weights are start times exp(theta), so they stay positive and a weight of
    0 stays 0; `shrink` is the price of mean theta².
    """
    kept = truth < classes
    values, truth = values[kept], truth[kept].astype(np.int64)
    theta = np.zeros_like(start, dtype=np.float64)
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    best, best_theta = -np.inf, theta.copy()
    onehot = np.zeros((len(truth), classes), np.float32)
    onehot[np.arange(len(truth)), truth] = 1
    for number in range(1, STEPS + 1):
        weights = start * np.exp(theta)
        weights /= weights.sum()
        full = np.broadcast_to(weights if weights.ndim == 1 else weights.T, values.shape[1:]).astype(np.float32)
        mixed = np.maximum(np.einsum("nsm,sm->ns", values, full, optimize=False), 1e-9)
        sharp = mixed**SHARPNESS
        sharp /= sharp.sum(1, keepdims=True)
        confusion = np.zeros((classes, classes))
        confusion[:, list(scored)] = onehot.T @ sharp
        score, slope = _slope(confusion, metric, scored)
        value = score - shrink * float((theta**2).mean())
        if value > best:
            best, best_theta = value, theta.copy()
        given = slope[:, list(scored)].astype(np.float32)[truth]
        given = SHARPNESS * sharp / mixed * (given - (given * sharp).sum(1, keepdims=True))
        by_class = np.einsum("ns,nsm->sm", given, values, optimize=False).astype(np.float64).T
        gradient = (by_class.sum(1) if start.ndim == 1 else by_class) * start * np.exp(theta)
        gradient -= 2 * shrink * theta / theta.size
        first, second = 0.9 * first + 0.1 * gradient, 0.99 * second + 0.01 * gradient**2
        theta = theta + RATE * (first / (1 - 0.9**number)) / (np.sqrt(second / (1 - 0.99**number)) + 1e-12)
    weights = start * np.exp(best_theta)
    result: np.ndarray = weights / weights.sum()
    return result


def _slope(confusion: np.ndarray, metric: Metric, scored: Sequence[int]) -> tuple[float, np.ndarray]:
    """The metric and its derivative (C, C) by every cell, by central differences: any metric will do."""
    cells = confusion.size
    size = max(confusion.sum(), 1.0) * 1e-4
    moved = confusion.ravel() + size * np.concatenate([np.eye(cells), -np.eye(cells), np.zeros((1, cells))])
    scores = metric.score(np.maximum(moved, 0).reshape(-1, *confusion.shape), scored)
    return float(scores[-1]), ((scores[:cells] - scores[cells:-1]) / (2 * size)).reshape(confusion.shape)
