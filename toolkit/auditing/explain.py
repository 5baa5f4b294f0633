"""Pictures that show why an audit decided as it did."""

from typing import Any

import cv2
import numpy as np
import pandas as pd

from toolkit.auditing.findings import Findings
from toolkit.auditing.keypoints import working_image
from toolkit.auditing.panels import beside
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset
from toolkit.data.targets import in_words
from toolkit.pages.pictures import COLOURS, short, stacked, strip, with_mask
from toolkit.task import IGNORED, MOST_MASKS

LOOKED_AT = 200  # masks in which pixels that aren't scored are looked for


def picture_of_row(
    competition: Competition, dataset: Dataset, findings: Findings, row: int, singles: Dataset
) -> np.ndarray:
    """The pictures behind all that was found about a row, uint8 (h, w, 3); itself and its nearest if nothing was.

    dataset: as pictures; of sets of images the first of each, and singles, all of them.
    """
    strips = []
    for rows in (*findings.same, *findings.masks):
        if row in rows:
            others = [other for other in rows if other != row][:5]
            strips.append(strip([panel(competition, dataset, at) for at in (row, *others)]))
    links = findings.links
    touching = links[(links["left"] == row) | (links["right"] == row)].sort_values("similarity", ascending=False)
    strips += [strip(link_panels(singles, link)) for link in of_images(touching.head(4)).itertuples(index=False)]
    if not strips or findings.label_errors.issue[row]:
        near = [panel(competition, dataset, at) for at in findings.near[row].tolist() if at != row]
        near = [(f"near: {name}", picture) for name, picture in near]
        strips.append(strip([panel(competition, dataset, row), *near]))
    return stacked(strips)


def of_images(links: pd.DataFrame) -> pd.DataFrame:
    """Links of samples, as in `Findings`, by the rows of their images, where samples are sets of these."""
    return links.assign(left=links["left_image"], right=links["right_image"]) if "left_image" in links else links


def panel(competition: Competition, dataset: Dataset, row: int) -> tuple[str, np.ndarray]:
    """What a row is called and its picture, with its label or under its mask."""
    target, task, name = dataset.targets[row], competition.task, panel_name(dataset, row)
    if task.masks:
        return name, with_mask(dataset.images[row], target if task.exclusive else _first_label(target))
    return f"{name} {in_words(target, task)}", dataset.images[row]


def panel_name(dataset: Dataset, row: int) -> str:
    """What a row is called, as it fits above a picture."""
    return str(dataset.ids[row]) if dataset.names is None else short(str(dataset.names[row]))


def _first_label(mask: np.ndarray) -> np.ndarray:
    """Of overlapping masks, the first label at each pixel, from 1, uint8 (H, W); 0 where there is none."""
    given = (mask[..., None] >> np.arange(MOST_MASKS)) & 1
    first = np.where(given.any(-1), given.argmax(-1) + 1, 0)
    return np.where(mask == IGNORED, IGNORED, first).astype(np.uint8)


def mask_legend(competition: Competition, dataset: Dataset) -> tuple[tuple[str, str], ...]:
    """Classes and the colours in which `panel` paints them, as CSS has these; nothing where targets are no masks."""
    task = competition.task
    if not task.masks:
        return ()
    painted = [*task.classes[1:]] if task.exclusive else [*task.classes]
    legend = [(name, "rgb({}, {}, {})".format(*COLOURS[at])) for at, name in enumerate(painted, 1)]
    bare = [(f"{task.classes[0]}: not painted", "transparent")] if task.exclusive else []
    ignored = any((dataset.targets[row] == IGNORED).any() for row in range(min(len(dataset.targets), LOOKED_AT)))
    return (*bare, *legend, *([("not scored", "white")] if ignored else []))


def link_panels(dataset: Dataset, link: Any) -> list[tuple[str, np.ndarray]]:
    """The two pictures of a row of `Findings.links`, and the second laid onto the first or set beside it."""
    left, right = dataset.images[link.left], dataset.images[link.right]
    panels = [(panel_name(dataset, link.left), left), (panel_name(dataset, link.right), right)]
    if link.kind != "copy":
        return [*panels, ("side by side", beside([left, right], 1 if link.kind == "right" else 0))]
    caption = f"second on first: {link.keypoints} keypoints, similarity {link.similarity:.2f}"
    *_, moved, apart = laid_on(dataset, link)
    return [*panels, (caption, moved), ("difference", apart)]


def laid_on(dataset: Dataset, link: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two copies, the second laid onto the first, and by how much they then differ, uint8 (H, W, C) each."""
    left, right = dataset.images[link.left], dataset.images[link.right]
    scale = working_image(left).shape[1] / left.shape[1]
    matrix = np.array(link.matrix, np.float64).reshape(2, 3)
    matrix[:, 2] /= scale
    other = np.ascontiguousarray(right[:, ::-1] if link.mirrored else right)
    moved = cv2.warpAffine(other, matrix, (left.shape[1], left.shape[0]), flags=cv2.INTER_LINEAR)
    moved = moved.reshape(left.shape)
    return left, right, moved, np.abs(left.astype(np.int16) - moved).astype(np.uint8)
