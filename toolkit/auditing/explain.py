"""Pictures that show why an audit decided as it did."""

from typing import Any

import cv2
import numpy as np

from toolkit.auditing.findings import Findings
from toolkit.auditing.keypoints import working_image
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset
from toolkit.task import Segmentation

SHOWN = 160  # pixels, the shorter side of a shown picture at least
COLOURS = np.array(
    [
        [0, 0, 0],
        [86, 180, 233],
        [230, 159, 0],
        [240, 228, 66],
        [204, 121, 167],
        [0, 158, 115],
        [213, 94, 0],
        [0, 114, 178],
    ],
    np.uint8,
)  # Okabe and Ito 2008: told apart by the colour-blind


def strip(panels: list[tuple[str, np.ndarray]]) -> np.ndarray:
    """Captioned pictures side by side, uint8 (h, w, 3)."""
    columns = []
    for caption, image in panels:
        picture = enlarged(image)
        width = max(picture.shape[1], 7 * len(caption) + 8)
        column = np.full((picture.shape[0] + 26, width + 8, 3), 255, np.uint8)
        column[24 : 24 + picture.shape[0], 4 : 4 + picture.shape[1]] = picture
        cv2.putText(column, caption, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (20, 20, 20), 1, cv2.LINE_AA)
        columns.append(column)
    height = max(column.shape[0] for column in columns)
    padded = [np.pad(c, ((0, height - len(c)), (0, 0), (0, 0)), constant_values=255) for c in columns]
    return np.concatenate(padded, axis=1)


def enlarged(image: np.ndarray) -> np.ndarray:
    """An image (H, W, C) as colours, at a size that a person can look at."""
    colour = np.repeat(image, 3, 2) if image.shape[2] == 1 else np.ascontiguousarray(image)
    factor = max(1, round(SHOWN / min(colour.shape[:2])))
    return np.asarray(cv2.resize(colour, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST))


def with_mask(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mask's classes as colours over the image."""
    colour = np.repeat(image, 3, 2) if image.shape[2] == 1 else image
    painted = COLOURS[mask % len(COLOURS)]
    return np.where((mask > 0)[..., None], colour // 2 + painted // 2, colour).astype(np.uint8)


def explain(competition: Competition, dataset: Dataset, findings: Findings, row: int) -> np.ndarray:
    """The pictures behind all that was found about a row, uint8 (h, w, 3); itself and its nearest if nothing was."""
    strips = []
    for rows in (*findings.same, *findings.masks):
        if row in rows:
            others = [other for other in rows if other != row][:5]
            strips.append(strip([_panel(competition, dataset, at, "") for at in (row, *others)]))
    links = findings.links
    touching = links[(links["left"] == row) | (links["right"] == row)].sort_values("similarity", ascending=False)
    strips += [strip(link_panels(dataset, link)) for link in list(touching.itertuples(index=False))[:4]]
    if not strips or row in np.flatnonzero(findings.doubts.wrong):
        panels = [_panel(competition, dataset, row, "")]
        panels += [_panel(competition, dataset, int(at), "near: ") for at in findings.near[row] if at != row]
        strips.append(strip(panels))
    width = max(part.shape[1] for part in strips)
    return np.concatenate(
        [np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=255) for part in strips]
    )


def _panel(competition: Competition, dataset: Dataset, row: int, before: str) -> tuple[str, np.ndarray]:
    if isinstance(competition.task, Segmentation):
        return f"{before}{dataset.ids[row]}", with_mask(dataset.images[row], dataset.targets[row])
    return f"{before}{dataset.ids[row]} {competition.task.classes[int(dataset.targets[row])]}", dataset.images[row]


def link_panels(dataset: Dataset, link: Any) -> list[tuple[str, np.ndarray]]:
    """The two pictures of a row of `Findings.links`, and the second laid onto the first or set beside it."""
    left, right = dataset.images[link.left], dataset.images[link.right]
    panels = [(str(dataset.ids[link.left]), left), (str(dataset.ids[link.right]), right)]
    if link.kind != "copy":
        joined = np.concatenate([left, right], axis=1 if link.kind == "right" else 0)
        return [*panels, ("side by side", joined)]
    scale = working_image(left).shape[1] / left.shape[1]
    matrix = np.array(link.matrix, np.float64).reshape(2, 3)
    matrix[:, 2] /= scale
    other = np.ascontiguousarray(right[:, ::-1] if link.mirrored else right)
    moved = cv2.warpAffine(other, matrix, (left.shape[1], left.shape[0]), flags=cv2.INTER_LINEAR)
    moved = moved.reshape(left.shape)
    caption = f"second on first: {link.keypoints} keypoints, similarity {link.similarity:.2f}"
    apart = np.abs(left.astype(np.int16) - moved).astype(np.uint8)
    return [*panels, (caption, moved), ("difference", apart)]
