"""The worst predictions of a report: pictures that the best run is sure of, out of fold, and wrong about."""

import cv2
import numpy as np
import pandas as pd

from toolkit.competition import Competition
from toolkit.data.image_sets import shown
from toolkit.data.naming import with_addresses
from toolkit.data.preview import find_preview
from toolkit.decisions.decide import above, packed, unpacked
from toolkit.pages.html import Figure, Gallery, Section
from toolkit.pages.pictures import COLOURS, enlarged, with_mask
from toolkit.probabilities import probabilities
from toolkit.runs import Run
from toolkit.task import IGNORED, OverlappingMasks

SHOWN = 18  # labels
SHOWN_MASKS = 12  # four pictures each
RED = (213, 30, 30)
GAP = 4  # pixels between the four pictures of a mask


def mistakes_section(run: Run) -> Section:
    labelled = run.labelled
    title = "Confident and wrong" if labelled.competition.task.exclusive else "Worst predictions"
    mistakes = run.mistakes(SHOWN_MASKS if labelled.masks else SHOWN)
    if mistakes.empty:
        return Section(title, [], "The best run is right about everything out of fold.")
    each = "Each: the image, the truth, the prediction, and in red where they differ and are scored. "
    advice = (
        f"Out of fold, by {run.name}. {each if labelled.masks else ''}A wrong label in the file looks like this too: "
        f"if it is one, drop {'or relabel it' if labelled.competition.task.exclusive else 'it'} in cleaning.csv."
    )
    gallery = Gallery("", advice, mistake_pictures(run, mistakes), legend=legend(labelled.competition))
    return Section(title, [gallery])


def mistake_pictures(run: Run, mistakes: pd.DataFrame) -> list[Figure]:
    """Pictures with their files: the image, of a set the first; of masks also the truth, the prediction and the error.

    mistakes: as `Run.mistakes` gives them.
    """
    labelled, task = run.labelled, run.labelled.competition.task
    images = shown(labelled.images)
    preview = find_preview(images, labelled.competition.rgb)
    figures = []
    for row, _, name, certainty, *names in mistakes.itertuples(index=False, name=None):
        image, files = preview(np.asarray(images[row])), with_addresses([name], labelled.workspace)
        if task.masks:
            truth, label, error = _masks(run, row)
            caption = f"{error.mean():.0%} of its pixels wrong"
            figures.append(Figure(caption, _four(image, truth, label, error), files))
        else:
            sure = f" {certainty:.2f}" if task.exclusive else ""
            figures.append(Figure(f"{names[0]}, said {names[1]}{sure}", enlarged(image), files))
    return figures


def _masks(run: Run, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth and prediction (H, W) as numbers of colours, and bool (H, W): where they differ and are scored."""
    labelled, competition = run.labelled, run.labelled.competition
    truth, said = np.asarray(labelled.truth[row]), probabilities(run.oof[row : row + 1])
    if not isinstance(competition.task, OverlappingMasks):
        label = competition.decode(said)[0]
        return truth, label, (label != truth) & np.isin(truth, competition.scored)
    label, labels = packed(above(said, None))[0], len(competition.task.labels)
    return _painted(truth, labels), _painted(label, labels), (label != truth) & (truth != IGNORED)


def _painted(bits: np.ndarray, labels: int) -> np.ndarray:
    """Overlapping masks (H, W) as numbers of colours: one more than the label's, the last where there are several."""
    given = unpacked(bits[None], labels)[0]
    number = np.where(given.sum(0) > 1, labels + 1, np.where(given.any(0), given.argmax(0) + 1, 0))
    return np.where(bits == IGNORED, IGNORED, number).astype(np.uint8)


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
    task = competition.task
    if not task.masks:
        return ()
    names = ("", *task.classes, "several") if isinstance(task, OverlappingMasks) else task.classes
    return tuple((name, "rgb({}, {}, {})".format(*COLOURS[at])) for at, name in enumerate(names) if at)
