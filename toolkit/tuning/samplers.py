"""Who draws a study's next trial: Optuna's samplers, seeded for each trial, and taught by pruned ones too."""

import zlib
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from toolkit.errors import UserError
from toolkit.tuning.study import own

SAMPLERS = ("auto", "tpe", "gp", "cmaes", "qmc", "random")
START = 10  # trials at random before a model is worth having: five, hand-made ones among them, misled it (benchmark)
FEW = 100  # trials, up to which a Gaussian process learns more from them than TPE (benchmark), in little time


def make_sampler(name: str, trials: int, seed: int, objectives: int = 1) -> tuple[BaseSampler, str]:
    """A sampler and what it is, in words; trials: how many are expected.

    Raises UserError for a name that isn't known or does not fit.
    """
    if name not in SAMPLERS:
        raise UserError(f"there is no sampler {name!r}; there are {', '.join(SAMPLERS)}")
    if name == "cmaes" and objectives > 1:
        raise UserError("--sampler cmaes takes one objective; use tpe or gp for two")
    if name == "auto":
        name = "random" if trials <= START else "gp" if objectives == 1 and trials <= FEW else "tpe"
    if name == "qmc":
        return Numbered(seed), "from a quasi-random sequence"
    if name == "random":
        return Seeded(lambda seed: RandomSampler(seed=seed), seed), "at random"
    make, words = MODELS[name]
    return Seeded(make, seed), f"by {words} once {START} trials have ended, at random before"


def _tpe(seed: int) -> BaseSampler:
    return TPESampler(multivariate=True, group=True, constant_liar=True, n_startup_trials=START, seed=seed)


def _gp(seed: int) -> BaseSampler:
    return GPSampler(seed=seed, **_with_branches(seed))


def _cmaes(seed: int) -> BaseSampler:
    return CmaEsSampler(seed=seed, **_with_branches(seed))


def _with_branches(seed: int) -> dict[str, Any]:
    """For parameters that only some trials have."""
    alone = TPESampler(n_startup_trials=START, seed=seed)
    return {"n_startup_trials": START, "independent_sampler": alone, "warn_independent_sampling": False}


MODELS: dict[str, tuple[Callable[[int], BaseSampler], str]] = {
    "tpe": (_tpe, "multivariate TPE"),
    "gp": (_gp, "a Gaussian process"),
    "cmaes": (_cmaes, "CMA-ES"),
}


class Seeded(BaseSampler):
    """A sampler whose draws follow from the seed, the trial's place and the trials so far; what a trial draws alone,
    from the parameter's name too.

    So no process repeats another's draws, and what is drawn after a restart is what would have been.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self.make, self.seed = make, seed
        self.place, self.inner = 0, make(seed)

    def _of(self, *more: int) -> BaseSampler:
        return self.make(int(np.random.SeedSequence([self.seed, self.place, *more]).generate_state(1)[0]))

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self.place = own(study, trial)
        self.inner = self._of()
        self.inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        known: Any = _WithPruned(study, set(search_space)) if isinstance(self.inner, GPSampler) else study
        if isinstance(self.inner, CmaEsSampler):  # which draws by the number
            trial = copy(trial)
            trial.number = self.place
        return self.inner.sample_relative(known, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        alone = self._of(zlib.crc32(param_name.encode()))  # others may be given, or were drawn before a kill
        return alone.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self.inner.after_trial(study, trial, state, values)


class Numbered(QMCSampler):
    """Optuna counts the points that were drawn, those of trials that were killed among them; here a trial's place
    is its number in the sequence.
    """

    def __init__(self, seed: int) -> None:
        self.first = Seeded(lambda seed: RandomSampler(seed=seed), seed)
        super().__init__(scramble=True, seed=seed, independent_sampler=self.first, warn_independent_sampling=False)

    def _find_sample_id(self, study: Study, search_space: dict[str, BaseDistribution]) -> int:
        return self.first.place


class _WithPruned:
    """A study whose pruned trials count as finished.

    Optuna's Gaussian process looks at finished trials alone: it would suggest what was pruned again and again.
    """

    def __init__(self, study: Study, names: set[str]) -> None:
        self._study, self._names = study, names

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def _get_trials(
        self, deepcopy: bool = True, states: tuple[TrialState, ...] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        trials = self._study._get_trials(deepcopy, states, use_cache)
        if states is None or TrialState.COMPLETE not in states or TrialState.PRUNED in states:
            return trials
        pruned = self._study._get_trials(True, (TrialState.PRUNED,), use_cache)
        pruned = [trial for trial in pruned if self._names <= set(trial.params)]
        return sorted([*trials, *as_finished(pruned, trials)], key=lambda trial: trial.number)


def as_finished(pruned: Sequence[FrozenTrial], trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Pruned trials as if they had ended with the last score that they reported; without those that reported none.

    What is reported may not be what is climbed (a test-matched search is pruned by a stress score): it is moved by
    what finished ones among `trials` differ by. `pruned` is changed.
    """
    known = [t for t in trials if t.state == TrialState.COMPLETE and t.intermediate_values]
    gap = sum(t.values[0] - _last_report(t) for t in known) / max(1, len(known))
    told = [t for t in pruned if t.intermediate_values]
    for trial in told:
        trial.values, trial.state = [_last_report(trial) + gap], TrialState.COMPLETE
    return told


def _last_report(trial: FrozenTrial) -> float:
    return trial.intermediate_values[max(trial.intermediate_values)]
