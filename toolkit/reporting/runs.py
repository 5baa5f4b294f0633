"""The runs that a report shows: read, held against the best one, and their worst predictions out of fold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from toolkit.competition import Competition
from toolkit.data.dataset import Dataset, data_hash
from toolkit.data.folds import folds_hash
from toolkit.metrics import IGNORED
from toolkit.pages.pictures import COLOURS, enlarged, with_mask
from toolkit.probabilities import chunks, open_probabilities, probabilities
from toolkit.scoring.comparison import Comparison, compare_runs
from toolkit.scoring.out_of_fold import finished_runs
from toolkit.store import Workspace, read_json, read_manifest
from toolkit.task import Segmentation

COMPARED = 20  # runs that are held against the best, the best ones: a second each for large masks
DIFFERENCES = 6  # fields of a recipe that are named
GAP = 4  # pixels between the four pictures of a mask


@dataclass(frozen=True)
class Run:
    """recipe, metrics: as stored; histories: of each fold, epoch by epoch."""

    folder: Path
    recipe: dict[str, Any]
    metrics: dict[str, Any]
    histories: list[list[dict[str, Any]]]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def epochs(self) -> int:
        return max((len(history) for history in self.histories), default=0)

    @property
    def minutes(self) -> float:
        return sum(epoch.get("seconds", 0.0) for history in self.histories for epoch in history) / 60


def read_runs(workspace: Workspace, table: pd.DataFrame) -> tuple[list[Run], int]:
    """The finished runs on the present data and folds, best clean score first; how many are on others."""
    found = finished_runs(workspace.train, data_hash(workspace.data), folds_hash(table))
    others = sum(read_manifest(folder) is not None for folder in workspace.train.glob("*/")) - len(found)
    runs = []
    for folder in found:
        histories = [read_json(path) for path in sorted(folder.glob("fold_*/history.json"), key=_fold_of)]
        runs.append(Run(folder, read_json(folder / "recipe.json"), read_json(folder / "metrics.json"), histories))
    return sorted(runs, key=lambda run: -run.metrics["clean"]["score"]), others


def _fold_of(path: Path) -> int:
    return int(path.parent.name.removeprefix("fold_"))


def differences(recipe: dict[str, Any], best: dict[str, Any]) -> str:
    """What a recipe has that the best one has not, field by field; names don't count."""
    mine, theirs = _flat(recipe), _flat(best)
    changed = [name for name in {**mine, **theirs} if name != "name" and mine.get(name) != theirs.get(name)]
    said = [f"{name}={_value(mine.get(name))}" for name in changed[:DIFFERENCES]]
    if len(changed) > DIFFERENCES:
        said.append(f"and {len(changed) - DIFFERENCES} more")
    return ", ".join(said)


def _flat(recipe: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in recipe.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{part}": each for part, each in value.items()}
        else:
            flat[name] = value
    return flat


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def compared(
    competition: Competition, targets: np.ndarray, table: pd.DataFrame, runs: Sequence[Run], best: np.ndarray
) -> dict[str, Comparison]:
    """How the others stand to the best run, by name; best: its confusions (N, C, C)."""
    others = [run.folder for run in runs[1:COMPARED]]
    found = compare_runs(competition, targets, table, others, best)
    return {folder.name: each for folder, each in zip(others, found, strict=True)}


def better_elsewhere(runs: Sequence[Run], shown: Mapping[str, Any]) -> list[str]:
    """A sentence for each other score by which a run is better, beyond both intervals, than what is shown first."""
    said = []
    for kind in ("stress", "matched"):
        scored = [run for run in runs if run.metrics.get(kind)]
        if not scored or not shown.get(kind):
            continue
        best = max(scored, key=lambda run: run.metrics[kind]["score"])
        score, own = best.metrics[kind], shown[kind]
        if score["low"] > own["high"]:
            said.append(
                f"By the {kind} score {best.name} is better: {score['score']:.4f} against {own['score']:.4f}, "
                f"with a clean score of {best.metrics['clean']['score']:.4f}. Trust it if test images are corrupted."
            )
    return said


@dataclass(frozen=True)
class Wrong:
    """A prediction out of fold: `certainty` is the probability of the wrong label; of a mask, its mean over all
    pixels, right ones counted as 0.
    """

    row: int
    certainty: float


def worst(competition: Competition, targets: np.ndarray, fold: np.ndarray, run: Run, count: int) -> list[Wrong]:
    """The samples that a run is most surely wrong about, the worst first; targets as it was scored on."""
    stored = open_probabilities(run.folder / "oof.npy")
    certainty = np.zeros(len(targets))
    for at in chunks(len(targets)):
        part, truth = probabilities(stored[at]), targets[at].astype(np.int64)
        labels = competition.decode(part)
        sure = np.take_along_axis(part, labels[:, None].astype(np.int64), 1)[:, 0]
        counted = np.isin(truth, competition.scored) & (truth != IGNORED)
        wrong = np.where(counted & (labels != truth), sure, 0)
        axes = tuple(range(1, wrong.ndim))
        certainty[at] = wrong.mean(axes) if axes else wrong
    certainty[fold < 0] = 0
    order = np.argsort(-certainty, kind="stable")[:count]
    return [Wrong(int(row), float(certainty[row])) for row in order if certainty[row] > 0]


def worst_pictures(
    competition: Competition, dataset: Dataset, targets: np.ndarray, run: Run, wrongs: Sequence[Wrong]
) -> list[tuple[str, np.ndarray]]:
    """Captions and pictures uint8 (h, w, 3): the image; of masks also the truth, the prediction and the error."""
    stored = open_probabilities(run.folder / "oof.npy")
    classes = competition.task.classes
    figures = []
    for wrong in wrongs:
        row, image = wrong.row, np.asarray(dataset.images[wrong.row])
        label = competition.decode(probabilities(stored[row : row + 1]))[0]
        if isinstance(competition.task, Segmentation):
            error = (label != targets[row]) & np.isin(targets[row], competition.scored)
            figures.append(
                (
                    f"{dataset.ids[row]}: {error.mean():.0%} of its pixels wrong",
                    _four(image, targets[row], label, error),
                )
            )
        else:
            told = f"{classes[int(targets[row])]}, said {classes[int(label)]} {wrong.certainty:.2f}"
            figures.append((f"{dataset.ids[row]}: {told}", enlarged(image)))
    return figures


def _four(image: np.ndarray, truth: np.ndarray, label: np.ndarray, error: np.ndarray) -> np.ndarray:
    grey = np.repeat(image, 3, 2) if image.shape[2] == 1 else image
    red = np.where(error[..., None], np.array([213, 30, 30], np.uint8), grey // 2)
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
