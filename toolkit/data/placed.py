"""From what networks say of samples to masks of the pictures they lie in: letterboxes undone, tiles stitched.

Probabilities are enlarged, not classes. Where samples overlap they are averaged by a window that fades to a tile's
edges, so that no seam shows; where there is none nothing is predicted: class 0, no label. All is done in bands of
rows, as the probabilities of a large picture may not fit in memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from toolkit.answers import NONE, Prediction
from toolkit.competition import Competition
from toolkit.data.masks import Masks, side_by_side
from toolkit.data.native import Native
from toolkit.decisions.decide import PLAIN, Decisions, as_targets
from toolkit.images.fitting import letterboxed
from toolkit.images.places import Places
from toolkit.metrics.metric import CountedMetric
from toolkit.metrics.tally import Counts
from toolkit.probabilities import probabilities, read
from toolkit.task import OverlappingMasks

BAND = 1 << 21  # pixels of a picture at a time
FAINT = 1e-3  # weight of a tile's outermost pixels beside that of its middle, which is 1


def bands(
    stored: np.ndarray, at: Sequence[int], boxes: np.ndarray, size: tuple[int, int]
) -> Iterator[tuple[slice, np.ndarray, np.ndarray | None]]:
    """Rows of a picture of that size from top to bottom, their values float32 (channels, rows, w), and where there are
    any, bool (rows, w), None for everywhere.

    stored: values (n, channels, H, W); at: which of them lie in the picture; boxes: int64 (len(at), 4), where.
    """
    height, width = size
    step, channels = max(1, BAND // max(width, 1)), stored.shape[1]
    held: dict[int, np.ndarray] = {}
    for first in range(0, height, step):
        end = min(first + step, height)
        here = np.flatnonzero((boxes[:, 0] < end) & (boxes[:, 0] + boxes[:, 2] > first))
        held = {one: held[one] if one in held else _content(stored, at[one], boxes[one]) for one in here.tolist()}
        if len(here) == 1 and tuple(boxes[here[0]].tolist()) == (0, 0, height, width):
            yield slice(first, end), _enlarged(held[int(here[0])], size, first, end), None
            continue
        total, weight = (
            np.zeros((channels, end - first, width), np.float32),
            np.zeros((end - first, width), np.float32),
        )
        for one, content in held.items():
            top, left, tall, wide = boxes[one].tolist()
            rows, columns = slice(max(top, first), min(top + tall, end)), slice(max(left, 0), min(left + wide, width))
            part = _enlarged(content, (tall, wide), rows.start - top, rows.stop - top)
            part = part[:, :, columns.start - left : columns.stop - left]
            faded = _window(tall)[rows.start - top : rows.stop - top, None]
            faded = faded * _window(wide)[columns.start - left : columns.stop - left]
            within = np.s_[rows.start - first : rows.stop - first, columns]
            weight[within] += faded
            total[(slice(None), *within)] += part * faded
        total /= np.maximum(weight, np.finfo(np.float32).tiny)
        yield slice(first, end), total, weight > 0


def _content(stored: np.ndarray, at: int, box: np.ndarray) -> np.ndarray:
    """What a sample says within its box, float32 (channels, t, w), no larger than that."""
    import cv2

    values = probabilities(read(stored, np.s_[at : at + 1]))[0]
    size = int(box[2]), int(box[3])
    top, left, tall, wide = letterboxed(size, (values.shape[1], values.shape[2]))
    content = values[:, top : top + tall, left : left + wide]
    if tall > size[0] or wide > size[1]:  # one side may be longer by a rounding, the other not
        content = np.stack([cv2.resize(one, size[::-1], interpolation=cv2.INTER_AREA) for one in content])
    return content


def _enlarged(content: np.ndarray, size: tuple[int, int], first: int, end: int) -> np.ndarray:
    """float32 (channels, end - first, width), rows of a content (channels, t, w) at that size, bilinear."""
    import cv2

    height, width = size
    _, tall, wide = content.shape
    if (tall, wide) == size:
        return content[:, first:end]
    places = np.clip((np.arange(first, end) + 0.5) * (tall / height) - 0.5, 0, tall - 1)
    above = np.minimum(places.astype(np.int64), max(tall - 2, 0))
    share = (places - above).astype(np.float32)[:, None]
    rows = content[:, above] * (1 - share) + content[:, np.minimum(above + 1, tall - 1)] * share
    return np.stack([cv2.resize(one, (width, end - first), interpolation=cv2.INTER_LINEAR) for one in rows])


def _window(length: int) -> np.ndarray:
    """float32 (length,): 1 in the middle, FAINT at both ends."""
    made: np.ndarray = FAINT + (1 - FAINT) * np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2
    return made.astype(np.float32)


def placed_mask(
    competition: Competition,
    stored: np.ndarray,
    at: Sequence[int],
    boxes: np.ndarray,
    size: tuple[int, int],
    decisions: Decisions = PLAIN,
) -> np.ndarray:
    """What is decided of a picture, uint8 (h, w), of values as of `bands`.

    Smallest regions, which are fitted at the size of the task, grow with the area of a pixel.
    """
    task, scored, pixelwise = competition.task, competition.scored, replace(decisions, smallest=None)
    mask = np.zeros(size, np.uint8)
    sizes = np.zeros(len(task.classes), np.int64)
    for rows, values, seen in bands(stored, at, boxes, size):
        part = as_targets(task, values[None], scored, pixelwise)[0]
        if seen is not None:
            part[~seen] = 0
        mask[rows] = part
        if decisions.smallest is not None:
            sizes += [np.count_nonzero(part & (1 << label)) for label in range(len(sizes))]
    if decisions.smallest is not None and len(boxes):
        _, _, tall, wide = letterboxed((int(boxes[0, 2]), int(boxes[0, 3])), (stored.shape[2], stored.shape[3]))
        grown = np.asarray(decisions.smallest) * (float(boxes[0, 2] * boxes[0, 3]) / (tall * wide))
        for label in np.flatnonzero(sizes < grown):
            mask &= np.uint8(~(1 << int(label)) & 0xFF)
    return mask


def placed_tally(
    competition: Competition,
    native: Native,
    stored: np.ndarray,
    at: np.ndarray,
    decisions: Sequence[Decisions],
) -> Counts:
    """What the metric counts at the size of the pictures, a row for each of n samples that values are stored of: a
    picture's counts stand in that of its first sample, those of the others are zeros.

    at: int64 (N,), where the values of each of the native masks' samples are stored, negative where they aren't: what
    such samples alone show isn't scored. decisions: of each of the N samples.
    """
    metric: Any = competition.metric
    assert isinstance(metric, CountedMetric)
    places, chosen = native.places, np.flatnonzero(at >= 0)
    pictures = np.unique(places.picture[chosen])

    def counts(place: int) -> np.ndarray:
        return _counts(competition, native, int(pictures[place]), stored, at, decisions)

    found = side_by_side(counts, places.sizes[pictures].prod(1))
    made = np.zeros((len(chosen), *found[0].shape[1:]), found[0].dtype)
    first = [int(rows[at[rows] >= 0][0]) for rows in (places.samples[one] for one in pictures)]
    for row, each in zip(np.searchsorted(chosen, first), found, strict=True):
        made[row] = each[0]
    return Counts(metric, made, competition.scored)


def _counts(
    competition: Competition,
    native: Native,
    picture: int,
    stored: np.ndarray,
    at: np.ndarray,
    decisions: Sequence[Decisions],
) -> np.ndarray:
    """Of one picture, (1, ...)."""
    places, metric = native.places, competition.metric
    rows = places.samples[picture]
    known, unknown = rows[at[rows] >= 0], rows[at[rows] < 0]
    size = int(places.sizes[picture, 0]), int(places.sizes[picture, 1])
    mask = placed_mask(competition, stored, at[known].tolist(), places.boxes[known], size, decisions[int(known[0])])
    hidden, shown = (places.boxes[some].tolist() for some in (unknown, known))
    assert isinstance(metric, CountedMetric)
    return metric.counts_in_parts(competition.task, native.beside(picture, mask, hidden, shown))


def placed_prediction(
    competition: Competition,
    images: np.ndarray,
    ids: np.ndarray,
    stored: np.ndarray,
    places: Places,
    decisions: Decisions = PLAIN,
    **more: Any,
) -> Prediction:
    """As `Competition.prediction`, of masks as large as the pictures that images (M, H, W, C) lie in.

    Labels, or of overlapping masks the answer, are `Masks`, each made when it is asked for; ids: of the pictures.
    """

    def made(picture: int) -> np.ndarray:
        rows, (height, width) = places.samples[picture], places.sizes[picture].tolist()
        return placed_mask(competition, stored, rows.tolist(), places.boxes[rows], (height, width), decisions)

    masks: Any = Masks(len(places.sizes), made, places.sizes)
    labels, answered = (NONE, masks) if isinstance(competition.task, OverlappingMasks) else (masks, None)
    prediction = Prediction(images, ids, labels, (), answered=answered, stored=stored, task=competition.task)
    return replace(prediction, **more)
