"""A budget being spent: the next part is chosen, trained and looked at, until nothing worth its time fits.

What was chosen is kept, so that the same call, after a kill, goes on with the same parts. The epochs of all folds of
a part are final once the first epochs of its first fold have shown the speed: folds are alike, and a machine that
becomes busy or quiet changes what comes after.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import Any

from toolkit.data.labelled import Labelled
from toolkit.errors import UserError
from toolkit.networks.contention import contention
from toolkit.networks.pretrained import files_of
from toolkit.outcome import counted, duration
from toolkit.planning.choice import MARGIN, WORTHWHILE, enough_for, lead, next_part, plan
from toolkit.planning.ending import CLOSING, GROWS, Ending, closing_seconds
from toolkit.planning.gains import NOTHING, Gains
from toolkit.planning.kept import Kept, kept
from toolkit.planning.pace import first_pace, forget_run, is_new
from toolkit.planning.parts import WORDS, Ended, Known, Part, larger
from toolkit.planning.planned import Planned, Spent
from toolkit.planning.skips import Skips
from toolkit.planning.speeds import like_known, measured, obeys_scale
from toolkit.processes import beating
from toolkit.progress import SILENT, Progress
from toolkit.recipe import Recipe, with_epochs
from toolkit.runs import Run, current_runs
from toolkit.training.budget import Cost
from toolkit.training.cross_validation import train
from toolkit.training.workers import places, turns
from toolkit.tuning.clock import start
from toolkit.tuning.search_loop import search
from toolkit.tuning.settings import SearchSettings

MEASURING = 0.05  # of the budget may go into how fast further recipes are,
SEEKING = 0.2  # and so much while none is known that fits at all
TOO_LONG, TOO_SHORT = 1.05, 1.07  # times what fits, from which on the epochs are chosen anew
FEW = 0.25  # of a recipe's epochs: where less fits, fewer folds of more epochs are better
SLOWEST = 3.0  # times as long the end takes on a busy machine, at most
BLENDS = 2.5  # times as long as one of them the end takes, where blending is slow, as by a function of the organisers
BEAT = 5.0  # seconds between two writings of the time that is spent
BLENDING = 0.05  # of the time left may go into a blend that only shows what a part gained


class Spending:
    """What was chosen so far, and the time that is left."""

    def __init__(
        self,
        labelled: Labelled,
        recipes: Sequence[Recipe],
        budget: float,
        started: float,
        *,
        device: str = "auto",
        stress: str = "auto",
        more: float = 0.0,
        alone: bool = False,
        wanted: Sequence[Recipe] | None = None,
        progress: Progress = SILENT,
    ) -> None:
        """budget: seconds from `started` (of time.monotonic()). more: seconds that the submission takes beside what
        any takes, as code does that is run. alone: nothing but the recipes is trained. wanted: the recipes with those
        that can't be had here, by which a plan is known: how many are tried depends on the time (None: all can).
        """
        self.labelled, self.recipes, self.budget, self.started = labelled, tuple(recipes), budget, started
        self.device, self.stress, self.more, self.alone, self.progress = device, stress, more, alone, progress
        asked: dict[str, Any] = {"budget": budget, "data": labelled.data_hash, "folds": labelled.folds_hash}
        known_by = recipes if wanted is None else wanted
        asked |= {"recipes": [[one.name, one.hash, files_of(labelled.competition, one)] for one in known_by]}
        asked |= {"device": device, "stress": stress, "alone": alone}
        self.kept: Kept = kept(labelled.workspace.plan, asked)
        self.before = max(0.0, self.kept.spent - self._since)  # seconds of calls that were killed
        self.kept.elapsed = lambda: self._elapsed
        self.recipes = tuple(
            replace(one, precision=self.kept.precisions.get(one.name, one.precision)) for one in self.recipes
        )
        self.ending = Ending(labelled, budget, stress, device)
        self.slow, self.measuring = 1.0, 0.0
        self.gains, self.skips = Gains(labelled, device), Skips(progress)
        self.resizes: dict[str, bool] = {}

    def spend(self) -> Spent:
        """Train part after part."""
        with beating(self.kept.store, BEAT):  # so that a kill loses no more than that of the time
            return self._spent()

    def _spent(self) -> Spent:
        runs: dict[Run, None] = {}
        for one in list(self.kept.parts):
            self._carry_out(one.part if isinstance(one, Ended) else one, runs, isinstance(one, Ended))
        while not self.kept.over:
            part = self._next()
            self.skips.tell()
            if part is None:
                self.kept.over = True
                self.kept.store()
                if not self.alone:
                    self.progress.say(f"nothing that is worth its time fits into {duration(max(0.0, self._left))}")
                break
            self._say(part)
            part = replace(part, begun=self._elapsed)
            self.kept.put(part)
            self._carry_out(part, runs)
        self.skips.tell()
        return self._finished(list(runs))

    def forecast(self) -> Planned:
        """What it would be spent on as it looks now, beside what is done of it."""
        self.kept.shown = True
        self._measure_leads()
        for recipe in () if self.kept.over else self.recipes:
            if recipe.name not in self.kept.costs and self.measuring < MEASURING * self.budget:
                self._cost(recipe)
        self.skips.tell()
        known = self._known()
        known = replace(known, resizes=frozenset(one.model.name for one in self.recipes if self._obeys(one)))
        parts, done = [] if self.kept.over else plan(known), [one.part.name for one in known.ended]
        if not parts and not done:
            raise self._too_short()
        unknown = [one.name for one in self.recipes if one.name not in self.kept.costs]
        return Planned(parts, self.budget, max(0.0, self._left), [] if self.alone else unknown, done)

    def few_epochs(self) -> str:
        """In words, how few of its epochs the first recipe gets; empty where they are enough, or runs are there."""
        if self.kept.parts or current_runs(self.labelled):
            return ""
        self._measure_leads()
        part = lead(self._known())
        epochs = 0 if part is None else part.recipe.schedule.epochs
        if part is not None and epochs >= FEW * part.wanted:
            return ""
        name, wanted = (
            (self.recipes[0].name, self.recipes[0].schedule.epochs) if part is None else (part.name, part.wanted)
        )
        return f"{name} gets {epochs} of its {counted(wanted, 'epoch')} in this time"

    @property
    def _since(self) -> float:
        return time.monotonic() - self.started

    @property
    def _elapsed(self) -> float:
        """Seconds of the budget, with those of calls that were killed."""
        return self._since + self.before

    @property
    def _closing(self) -> float:
        blends = BLENDS * self.gains.seconds if self.gains.known else 0.0
        return self.slow * (max(closing_seconds(self.budget), blends) + self.more)

    @property
    def _left(self) -> float:
        """Seconds for training."""
        return self.budget - self._closing - self._ending - self._elapsed

    def _known(self) -> Known:
        may_learn = self.labelled.has_test_images and self.labelled.competition.rules.unlabelled_test_images
        space = self.labelled.competition.suggest is not None and "," not in self.device
        known = Known(
            recipes=self.recipes,
            costs=self.kept.costs,
            left=self._left,
            ended=self.kept.ended,
            skipped=frozenset(self.kept.skipped),
            tests=may_learn and not self.alone,
            space=space and not self.alone,
            alone=self.alone,
        )
        if not known.ended or self.alone:
            return known
        best = known.untaught.part.recipe
        return replace(known, resizes=frozenset([best.model.name] if self._obeys(best) else []))

    def _obeys(self, recipe: Recipe) -> bool:
        name = recipe.model.name
        if name not in self.resizes:
            self.resizes[name] = obeys_scale(self.labelled.competition, larger(recipe))
        return self.resizes[name]

    # what is chosen

    def _next(self) -> Part | None:
        if not self.kept.ended:
            self._measure_leads()
            part = lead(self._known())
            if part is None:
                raise self._too_short()
            return part
        self._measure_next()
        return next_part(self._known())

    def _measure_leads(self) -> None:
        """How fast recipes are, in their order, until one gets enough epochs; once one gets any, no longer than the
        budget has for it.
        """
        limit = inf
        for recipe in self.recipes:
            cost = self._cost(recipe, first=recipe is self.recipes[0], limit=limit)
            epochs = 0 if cost is None else cost.epochs_within(MARGIN * self._left)
            if cost is not None and epochs >= enough_for(recipe, cost):
                return
            limit = MEASURING * self.budget if epochs > 0 else min(limit, SEEKING * self.budget)

    def _measure_next(self) -> None:
        """How fast the next recipe is that may fit, where the time is enough for one at all."""
        known = self._known()
        least = WORTHWHILE * known.lead.seconds
        for recipe in self.recipes:
            if recipe.name in known.names:
                continue
            if recipe.name in self.kept.costs:
                return
            if MARGIN * self._left < least or self.measuring > MEASURING * self.budget:
                return
            cost = self._cost(recipe)
            if cost is not None and cost.of(1) < MARGIN * self._left:
                return

    def _cost(self, recipe: Recipe, first: bool = False, limit: float = inf) -> Cost | None:
        """Known or measured, and kept; None where it can't be trained, an error if it is the first, or where it would
        have to be measured after more than `limit` seconds of that."""
        if recipe.name in self.kept.skipped:
            return None
        if recipe.name not in self.kept.costs:
            begun = time.monotonic()
            try:
                known = self._like_known(recipe)
                if known is None and self.measuring > limit:
                    return None
                found, cost = known or self._measured(recipe)
            except UserError as error:
                if first:
                    raise
                self._skip(recipe.name, str(error))
                return None
            self.measuring += time.monotonic() - begun
            self.recipes = tuple(found if one.name == recipe.name else one for one in self.recipes)
            self.kept.costs[recipe.name], self.kept.precisions[recipe.name] = cost, found.precision
        return self.kept.costs[recipe.name]

    def _like_known(self, recipe: Recipe) -> tuple[Recipe, Cost] | None:
        """What it costs by that of another one, where none of its own has to be measured."""
        self.labelled.competition.check(recipe)
        for other in self.recipes:
            known = self.kept.costs.get(other.name)
            cost = None if known is None else like_known(recipe, other, known)
            if cost is not None:
                return replace(recipe, precision=other.precision), cost
        return None

    def _measured(self, recipe: Recipe) -> tuple[Recipe, Cost]:
        return measured(self.labelled, recipe, self.budget, self._left, self.stress, self.device, self.progress)

    def _say(self, part: Part) -> None:
        epochs = ""
        if part.kind != "search":
            epoch = self._cost_of(part.recipe).epoch
            folds = f"{self.labelled.folds} folds of {counted(part.recipe.schedule.epochs, 'epoch')}"
            epochs = f" {folds}, {duration(epoch)} for an epoch of all folds,"
        self.progress.say(
            f"{part.name}:{epochs} about {duration(part.seconds)} of {duration(max(0.0, self._left))} "
            f"({WORDS[part.kind]}: {part.why})"
        )

    def _skip(self, name: str, why: str) -> None:
        self.skips.add(name, why)
        self.kept.drop(name)

    # what is done

    def _carry_out(self, part: Part, runs: dict[Run, None], ended: bool = False) -> None:
        """Train it, and look at what it gained where that decides on something."""
        first = not runs
        try:
            with contention() as waited:
                part = part if ended else self._settled(part)
                part, made = self._trained(part, ended)
        except UserError as error:
            if first:
                raise
            self._skip(part.name, str(error))  # what is trained is still worth a submission
            return
        known_before, new = list(runs), [run for run in made if run not in runs]
        runs.update(dict.fromkeys(made))
        if ended:
            return
        self.slow = min(SLOWEST, 1 / max(1e-9, 1 - waited.share))
        took = max(self._elapsed - part.begun, self._took(part, made))  # of a run that was there, what that took
        if part.kind != "search":
            pace = min(SLOWEST, max(1 / SLOWEST, took / max(part.seconds, 1e-9)))
            self.kept.costs[part.recipe.name] = self._cost_of(part.recipe).times(pace)
        merit = max((run.merit_on_tests for run in made), default=-inf)
        self.kept.put(Ended(part, took, merit))
        if first or next_part(self._known()) is None or self._left * BLENDING < self.gains.seconds:
            return  # nothing is decided by what it gained
        gain = self.gains.of(known_before, list(runs)) if new else NOTHING
        self.progress.say(f"{part.name}: {gain}")
        self.kept.put_again(Ended(part, took, merit, gain.errors, gain.noise))

    def _took(self, part: Part, made: Sequence[Run]) -> float:
        """Seconds in which its run was trained, side by side, however often it was killed."""
        if part.kind == "search":
            return 0.0
        return sum(run.seconds for run in made) * turns(self.device, self.labelled.folds) / self.labelled.folds

    def _settled(self, part: Part) -> Part:
        """With epochs that are final for all folds, by the speed of the first fold's first ones."""
        if part.kind == "search":
            return part
        recipe = part.recipe
        cost, begun, new = self._cost_of(recipe), time.monotonic(), is_new(self.labelled, recipe)
        # of what has a teacher the first fold can't be looked at before that is trained
        if not part.fixed and not recipe.pseudo.rounds and places(self.device) == [[self.device]]:
            pace = first_pace(self.labelled, recipe, cost, self.stress, self.device, self.progress)
            cost = cost.times(pace)
            self.kept.costs[recipe.name] = cost
            left = MARGIN * (self._left + time.monotonic() - begun)
            # begun anew, what the first fold has trained so far is lost
            epochs, possible = recipe.schedule.epochs, min(part.wanted, cost.epochs_within(MARGIN * self._left))
            if cost.of(epochs) > TOO_LONG * left or possible > TOO_SHORT * epochs:
                if new:
                    forget_run(self.labelled, recipe)
                if possible < 1 and self.kept.ended:
                    raise UserError("the machine has become so busy that not one epoch fits into what is left")
                possible = max(1, possible)
                recipe = with_epochs(recipe, possible)
                self.progress.say(
                    f"{part.name}: {counted(possible, 'epoch')} in all folds, not {epochs}, as an epoch takes "
                    f"{pace:.2f} of what was expected"
                )
        part = replace(part, recipe=recipe, seconds=cost.of(recipe.schedule.epochs), fixed=True)
        self.kept.put(part)
        return part

    def _trained(self, part: Part, ended: bool) -> tuple[Part, list[Run]]:
        """The part with what it was in the end, and its runs, the best first."""
        if part.kind == "search":
            return self._searched(part, ended)
        # the predictions and the submission come after the folds
        until = self.started + self.budget - self.before - self._closing - self._ending - part.reserved
        how: Any = {"device": self.device, "stress": self.stress, "progress": self.progress}
        return part, [train(self.labelled, part.recipe, deadline=until, **how)]

    def _searched(self, part: Part, ended: bool) -> tuple[Part, list[Run]]:
        if not ended:
            settings = SearchSettings(
                budget=part.seconds, stress=self.stress, seed=part.recipe.seed, device=self.device
            )
            clock = start(settings)
            clock.started -= self._elapsed - part.begun  # what calls that were killed spent on it
            found = search(self.labelled, settings, self.progress, clock)
            self.progress.show(found)
            if found.recipe is not None:
                part = replace(part, recipe=found.recipe)
                self.kept.costs[found.recipe.name] = self._measured(found.recipe)[1]
        # all of them: a blend's score then knows of the choice among them
        made = [run for run in current_runs(self.labelled) if run.searched]
        return part, sorted(made, key=lambda run: -run.merit)

    def _cost_of(self, recipe: Recipe) -> Cost:
        if not self.kept.ended:
            return self.kept.costs[recipe.name]
        known = self._known()
        like = known.best if recipe.pseudo.rounds else known.untaught
        return known.cost(recipe, like.part.recipe)

    def _finished(self, runs: list[Run]) -> Spent:
        """With what the blend is given time for."""
        if self.kept.views is None:
            left = (self._left + self._ending) / self.slow
            self.kept.views, self.kept.adapt = self.ending.chosen(runs, self.kept.costs, left)
            self.kept.store()
        return Spent(runs, self.kept.views, self.kept.adapt)

    @property
    def _ending(self) -> float:
        """Seconds that are kept for adapting to the test images, or for views."""
        return self.ending.kept(self.recipes[0], self.kept.costs, len(self.kept.ended) + 1, self.slow)

    def _too_short(self) -> UserError:
        name, cost = min(self.kept.costs.items(), key=lambda pair: pair[1].of(1))
        wanted, left = cost.of(1), self._left
        spent = self.budget - self._closing - left  # less, the next time
        enough = (spent + wanted / MARGIN + CLOSING + self.more) / (1 - GROWS)
        budget, still, takes, give = map(duration, (self.budget, max(0.0, left), wanted, enough))
        fewer = " or ask for fewer `--folds`" if self.labelled.folds > 2 else ""
        return UserError(
            f"the budget of {budget} is too short: {still} are left of it for training, and one epoch of {name} "
            f"on {self.labelled.folds} folds takes about {takes} here; give {give} or more{fewer} (what was done is "
            "not done again)"
        )
