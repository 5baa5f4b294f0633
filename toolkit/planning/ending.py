"""The end of a budget: what is kept of it for blending and the report, and what is tried there where time is left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toolkit.blending.adaptation import AUTO, images_to_adapt, seconds_to_adapt
from toolkit.blending.adaptation import NONE as PLAIN
from toolkit.blending.stored_views import NONE, TRAINED, default_views, views_to_try
from toolkit.data.labelled import Labelled
from toolkit.recipe import Recipe
from toolkit.runs import Run
from toolkit.scoring.adaptation import may_adapt
from toolkit.training.budget import TRIED, Cost

CLOSING = 9.0  # seconds for scoring, blending, writing and the report, plus the predictions counted apart
GROWS, LATER = 0.03, 0.005  # of the budget's first ten minutes and of the rest, added to them: there are more runs
EARLY = 600.0  # seconds; in half an hour the end took 25 s of one core, in an hour and a half 40
ROOM = 0.8  # of the time left may go into adapting to the test images and into test-time views
KEPT_FROM, MOST = 300.0, 0.15  # seconds of a budget from which on time is kept for one of them, and the largest share


def closing_seconds(budget: float) -> float:
    """What is kept for blending, writing, checking and the report."""
    return CLOSING + GROWS * min(budget, EARLY) + LATER * max(0.0, budget - EARLY)


@dataclass(frozen=True)
class Ending:
    """What a blend is given time for beside blending. stress: as of `run`."""

    labelled: Labelled
    budget: float
    stress: str
    device: str

    @property
    def adapts(self) -> bool:
        """May it be tried? Not in minutes, nor where how test images look would have to be found out for it alone."""
        known = self.stress != "none" or not self.labelled.shows_how_tests_look
        return self.budget >= KEPT_FROM and may_adapt(self.labelled) and known

    @property
    def adapts_first(self) -> bool:
        """Adapting gains more where it is chosen on images that look like the test's, views where they are hidden."""
        return self.adapts and self.labelled.has_test_images

    def kept(self, recipe: Recipe, costs: Mapping[str, Cost], runs: int, slow: float = 1.0) -> float:
        """Seconds to keep for what is tried first, of so many runs like the recipe; 0 where it would take too many.

        slow: times as long as on a quiet machine.
        """
        if not costs or self.budget < KEPT_FROM:
            return 0.0
        images = self.labelled.folds * images_to_adapt(self.labelled)
        if not self.adapts_first:
            images = self._seen(default_views(recipe, self.labelled.competition.task.image_shape))
        seconds = slow * runs * images * min(cost.image for cost in costs.values()) / ROOM
        return seconds if seconds <= MOST * self.budget else 0.0

    def chosen(self, runs: Sequence[Run], costs: Mapping[str, Cost], left: float) -> tuple[list[str], str]:
        """The views to try and whether to adapt, as `Project.ensemble` takes them, in the seconds that are left."""
        longest, views = max(cost.image for cost in costs.values()), views_to_try(runs, TRAINED)
        image = sum(costs[run.recipe.name].image if run.recipe.name in costs else longest for run in runs)
        takes: dict[str, float] = {}
        if self.adapts and (seconds := seconds_to_adapt(runs, self.device)):
            takes[AUTO] = seconds
        if len(views) > 1:
            takes[TRAINED[0]] = self._seen(views) * image
        tried, room = set[str](), ROOM * left
        for name in sorted(takes, reverse=not self.adapts_first):
            if takes[name] <= room:
                tried.add(name)
                room -= takes[name]
        return list(TRAINED if TRAINED[0] in tried else NONE), AUTO if AUTO in tried else PLAIN

    def _seen(self, views: Sequence[str]) -> int:
        """Images that all folds' networks of a run predict through these views, but for `identity`, which is known."""
        labelled, code = self.labelled, self.labelled.competition.try_submission is not None
        images = int(labelled.inside.sum()) + labelled.folds * len(labelled.test_images)
        return (len(views) - 1) * (images + labelled.folds * (int(labelled.held_out.sum()) + TRIED * code))
