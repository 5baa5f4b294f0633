"""Masks as pictures in the page's one colour code: the truth, what is predicted, where the two differ."""

from collections.abc import Sequence

import cv2
import numpy as np

from toolkit.competition import Competition
from toolkit.decisions.decide import above, packed, unpacked
from toolkit.pages.pictures import COLOURS, enlarged, with_mask
from toolkit.task import IGNORED, OverlappingMasks

RED = (213, 30, 30)
STRIPE, GREY = 6, 128  # pixels from stripe to stripe over what isn't scored, and their colour


def layers(
    competition: Competition, image: np.ndarray, truth: np.ndarray, said: np.ndarray
) -> list[tuple[str, np.ndarray]]:
    """The image and, in colours over it, truth, prediction and difference, enlarged alike.

    image: uint8 (H, W, 1 or 3); truth: (H, W), of overlapping masks as bits; said: probabilities (C, H, W).
    """
    seen, label, error, scored = numbers(competition, truth, said)
    grey = np.repeat(image, 3, 2) if image.shape[2] == 1 else image
    red = np.where(error[..., None], np.array(RED, np.uint8), grey // 2)
    named = {
        "image": grey,
        "truth": with_mask(image, np.where(seen == IGNORED, 0, seen)),
        "prediction": with_mask(image, np.where(scored, label, 0)),
        "difference": red,
    }
    shown = {name: enlarged(picture) for name, picture in named.items()}
    return [(name, picture if name == "image" else _hatched(picture, scored)) for name, picture in shown.items()]


def numbers(
    competition: Competition, truth: np.ndarray, said: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Truth and prediction (H, W) as numbers of colours, and bool (H, W): where they differ, and what is scored."""
    if not isinstance(competition.task, OverlappingMasks):
        label = competition.decode(said[None])[0]
        scored = np.isin(truth, competition.scored)
        return truth, label, (label != truth) & scored, scored
    label, labels = packed(above(said[None], None))[0], len(competition.task.labels)
    scored = truth != IGNORED
    return _painted(truth, labels), _painted(label, labels), (label != truth) & scored, scored


def _painted(bits: np.ndarray, labels: int) -> np.ndarray:
    """Overlapping masks (H, W) as numbers of colours: one more than the label's, the last where there are several."""
    given = unpacked(bits[None], labels)[0]
    number = np.where(given.sum(0) > 1, labels + 1, np.where(given.any(0), given.argmax(0) + 1, 0))
    return np.where(bits == IGNORED, IGNORED, number).astype(np.uint8)


def _hatched(picture: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """Stripes over what isn't scored (H, W), of a picture of any size."""
    if scored.all():
        return picture
    height, width = picture.shape[:2]
    outside = cv2.resize((~scored).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    down, across = np.indices((height, width), sparse=True)
    striped = outside & ((down + across) % STRIPE < 2)
    return np.where(striped[..., None], np.uint8(GREY), picture)


def legend(competition: Competition, hatched: bool = True) -> Sequence[tuple[str, str]]:
    """Classes and the colours that they are painted in; those that aren't scored are hatched, or left out."""
    task = competition.task
    if not task.masks:
        return ()
    names = ("", *task.classes, "several") if isinstance(task, OverlappingMasks) else task.classes
    stripes = "repeating-linear-gradient(135deg, #808080 0 2px, transparent 2px 4px)"
    found = [
        (name, "rgb({}, {}, {})".format(*COLOURS[at]))
        for at, name in enumerate(names)
        if at and (isinstance(task, OverlappingMasks) or at in competition.scored)
    ]
    unscored = [name for at, name in enumerate(task.classes) if at not in competition.scored] if hatched else []
    return [*found, *((f"{name}: not scored", stripes) for name in unscored)]
