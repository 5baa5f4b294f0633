"""The worst predictions of a report: pictures that the best run is sure of, out of fold, and wrong about."""

import cv2
import numpy as np
import pandas as pd

from toolkit.competition import Competition
from toolkit.pages.html import Gallery, Section
from toolkit.pages.pictures import COLOURS, enlarged, with_mask
from toolkit.probabilities import probabilities
from toolkit.runs import Run
from toolkit.task import IGNORED, Segmentation

SHOWN = 18  # labels
SHOWN_MASKS = 12  # four pictures each
RED = (213, 30, 30)
GAP = 4  # pixels between the four pictures of a mask


def mistakes_section(run: Run) -> Section:
    labelled = run.labelled
    mistakes = run.mistakes(SHOWN_MASKS if labelled.masks else SHOWN)
    if mistakes.empty:
        return Section("Confident and wrong", [], "The best run is right about everything out of fold.")
    each = "Each: the image, the truth, the prediction, and in red where they differ and are scored. "
    advice = (
        f"Out of fold, by {run.name}. {each if labelled.masks else ''}A wrong label in the file looks like this too: "
        "if it is one, drop or relabel it in cleaning.csv."
    )
    gallery = Gallery("", advice, mistake_pictures(run, mistakes), legend=legend(labelled.competition))
    return Section("Confident and wrong", [gallery])


def mistake_pictures(run: Run, mistakes: pd.DataFrame) -> list[tuple[str, np.ndarray]]:
    """Captions and pictures uint8 (h, w, 3): the image; of masks also the truth, the prediction and the error.

    mistakes: as `Run.mistakes` gives them.
    """
    labelled = run.labelled
    figures = []
    for row, index, certainty, *names in mistakes.itertuples(index=False, name=None):
        image = np.asarray(labelled.images[row])
        if labelled.masks:
            truth, label = labelled.truth[row], labelled.competition.decode(probabilities(run.oof[row : row + 1]))[0]
            error = (label != truth) & np.isin(truth, labelled.competition.scored)
            caption = f"{index}: {error.mean():.0%} of its pixels wrong"
            figures.append((caption, _four(image, truth, label, error)))
        else:
            caption = f"{index}: {names[0]}, said {names[1]} {certainty:.2f}"
            figures.append((caption, enlarged(image)))
    return figures


def _four(image: np.ndarray, truth: np.ndarray, label: np.ndarray, error: np.ndarray) -> np.ndarray:
    grey = np.repeat(image, 3, 2) if image.shape[2] == 1 else image
    red = np.where(error[..., None], np.array(RED, np.uint8), grey // 2)
    pictures = [grey, with_mask(image, np.where(truth == IGNORED, 0, truth)), with_mask(image, label), red]
    large = [
        cv2.resize(np.ascontiguousarray(each), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST) for each in pictures
    ]
    aside = np.full((large[0].shape[0], GAP, 3), 128, np.uint8)
    rows = [np.concatenate([large[at], aside, large[at + 1]], axis=1) for at in (0, 2)]
    between = np.full((GAP, rows[0].shape[1], 3), 128, np.uint8)
    return np.concatenate([rows[0], between, rows[1]])


def legend(competition: Competition) -> tuple[tuple[str, str], ...]:
    """Classes and the colours that `with_mask` paints them in; the first one is left as the image."""
    if not isinstance(competition.task, Segmentation):
        return ()
    named = enumerate(competition.task.classes)
    return tuple((name, "rgb({}, {}, {})".format(*COLOURS[at % len(COLOURS)])) for at, name in named if at)
