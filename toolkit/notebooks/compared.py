"""What a notebook wrote, held against the blend."""

from pathlib import Path
from typing import Any

import numpy as np

from toolkit.answers import Prediction, differences, lead, misfit
from toolkit.blending.blend_folder import Blend
from toolkit.competition import Competition
from toolkit.errors import UserError
from toolkit.probabilities import decidable, probabilities
from toolkit.submission.predicted_anew import blended_runs
from toolkit.task import Grades, Heads, Labels, Numbers

NEAR = {"float32": 0.005, "other": 0.03}  # of values: by how much of their size another machine may compute otherwise
PIXELS = 0.002  # share of a mask's pixels that may fall the other way


def compared(
    blend: Blend, prediction: Prediction, path: Path, what: str, competition: Competition | None = None
) -> tuple[Any, int]:
    """What a file says, and in how many places that is otherwise than the blend, where both are as good as equal.

    UserError where it is otherwise elsewhere, too.
    """
    of = competition or blend.labelled.competition
    try:
        found = of.read_submission(path, prediction.read_with, prediction.ids)
    except UserError as error:
        text = str(error).replace(str(path), path.name)
        raise UserError(f"tried on {what}, the notebook writes what is refused: {text}") from error
    if fault := misfit(found, prediction.answer):
        raise UserError(f"tried on {what}, what the notebook wrote {fault}")
    float32 = all(run.recipe.precision == "float32" for run in blended_runs(blend))
    near = NEAR["float32" if float32 else "other"]
    differs = differences(found, prediction.answer, near)
    wrong = differs & ~_ties(of, blend, prediction, found, near) if differs.dtype == bool else differs
    if of.task.masks:
        pixels = prediction.answer.size if prediction.sizes is None else int(prediction.sizes.prod(1).sum())
        if differs.sum() <= PIXELS * pixels:
            return found, int(differs.sum())
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0].tolist())
        words = ""
        if not of.task.masks:
            words = f": it says {_shown(found[place])}, the blend {_shown(prediction.answer[place])}"
        raise UserError(
            f"tried on {what}, the notebook says something else than the blend in {int(np.count_nonzero(wrong)):,} of "
            f"{wrong.size:,} places, first of {prediction.ids[place[0]]}{words}"
        )
    return found, int(differs.sum())


def _shown(value: Any) -> str:
    return f"{value:.6g}"


def _ties(competition: Competition, blend: Blend, prediction: Prediction, found: Any, near: float) -> np.ndarray:
    """bool, of the answer's shape: where another machine may decide otherwise, as values are nearly equal."""
    task, answer = competition.task, prediction.answer
    if answer.dtype.kind == "f" or task.masks or prediction.stored is None:
        return np.zeros(answer.shape, bool)
    values = decidable(prediction.stored[:])
    if competition.metric.needs == "lists":
        dense = probabilities(prediction.stored[:])
        of = [np.take_along_axis(dense, np.clip(one, 0, dense.shape[1] - 1), 1) for one in (found, answer)]
        return np.asarray(np.abs(of[0] - of[1]) <= 2 * near)
    if isinstance(task, Heads):
        return np.stack([lead(np.asarray(values)[:, span]) <= 2 * near for span in task.spans], 1)
    if task.exclusive:
        return np.asarray(lead(values) <= 2 * near)
    if isinstance(task, Labels | Grades | Numbers):
        low, high = (competition.decide(np.asarray(values) + by, blend.decisions) for by in (-near, near))
        return np.asarray(low != high)
    return np.zeros(answer.shape, bool)
