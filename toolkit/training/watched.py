"""Training samples that a recipe looks at instead of training on them: to stop, or to choose epochs to average."""

import numpy as np

from toolkit.data.balance import HELD_OUT, assign
from toolkit.data.targets import describe
from toolkit.errors import UserError
from toolkit.recipe import Recipe
from toolkit.task import Task

SHARE = 0.1  # of a fold's training rows


def watches(recipe: Recipe) -> bool:
    """Does the recipe need any?"""
    return recipe.schedule.patience > 0 or recipe.schedule.average == "soup"


def watched_part(targets: np.ndarray, groups: np.ndarray, fold: int, task: Task) -> np.ndarray:
    """bool (n,): which of a fold's training rows these are: whole groups, one at least and never all.

    On the validation fold the score would be chosen, not measured. UserError where there are no two groups.
    """
    names, sizes = np.unique(groups, return_counts=True)
    if len(names) < 2:
        raise UserError(
            f"fold {fold} is trained on one group alone, so there is none to decide when to stop: set "
            "schedule.patience=0 and schedule.average=ema, or make more folds"
        )
    part: np.ndarray = assign(describe(targets, task), groups, 1, fold, SHARE) == HELD_OUT
    if part.all() or not part.any():
        part = np.asarray(groups == names[sizes.argmin()])
    return part
