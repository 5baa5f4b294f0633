"""The Optuna study behind a search: where it lies, who draws the next trial, and whose trials are whose.

Several processes may work on one study. Each asks for a trial, evaluates it and tells how it ended; a trial whose
process has died is told to have failed, which no sampler learns from, and its parameters are tried once more.
"""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from toolkit.errors import UserError
from toolkit.tuning.claims import BEAT, Owner, alive, beating, this_process, turn

SAMPLERS = ("auto", "tpe", "gp", "cmaes", "qmc", "random")
OWNER, HEARD = "owner", "heard"  # attributes of a trial: its process, and Unix time of the last sign of life
LOST = "lost"  # what became of a trial whose process died
RETRIED, GIVEN_UP = "tried again", "given up"
RETRY_OF, RETRIES = "retry_of", "retries"
RUN, ERROR, NOTE = "run", "error", "note"
UNOWNED = 30.0  # seconds that a trial may run before it has an owner: it gets one as soon as it is drawn
ATTEMPTS = 5  # to open a storage: of several processes that make its tables at once, one fails
LOCKED = 10  # seconds after which the journal's lock is taken from a process that was killed while it had it
START = 10  # trials at random before a model is worth having: five, hand-made ones among them, misled it (benchmark)
FEW = 100  # trials, up to which a Gaussian process learns more from them than TPE (benchmark), in little time
Told = Callable[[FrozenTrial], None]
Direction = Literal["minimize", "maximize"]

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def open_storage(where: str, folder: Path) -> BaseStorage:
    """`sqlite` and `journal` lie in the folder; else an address in PostgreSQL. UserError if it can't be opened."""
    folder.mkdir(parents=True, exist_ok=True)
    if where == "journal":
        path = str(folder / "study.log")
        return JournalStorage(JournalFileBackend(path, _JournalLock(path, grace_period=LOCKED)))
    if where == "sqlite":
        address = f"sqlite:///{folder / 'study.db'}"
        engine: dict[str, Any] = {"connect_args": {"timeout": 60}}
    elif where.startswith(("postgresql://", "postgres://", "postgresql+psycopg://")):
        address, engine = "postgresql+psycopg://" + where.partition("://")[2], {"pool_pre_ping": True}
    else:
        raise UserError(f"--storage {where} is not known; write sqlite, journal or postgresql://user@host/database")
    for attempt in range(ATTEMPTS):
        try:
            storage = RDBStorage(address, engine_kwargs=engine)
            if where == "sqlite":
                _hasten(storage.engine)
            return storage
        except ImportError:
            raise UserError("PostgreSQL needs the package psycopg; pip install 'psycopg[binary]'") from None
        except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError) as error:
            if attempt == ATTEMPTS - 1:
                shown = sqlalchemy.make_url(address).render_as_string(hide_password=True)
                reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
                raise UserError(f"the storage {shown} can't be opened: {reason}") from None
            time.sleep(0.2 * (attempt + 1))
        except (ValueError, RuntimeError) as error:  # no address, or tables of another version
            raise UserError(f"--storage can't be used: {str(error).splitlines()[0]}") from None
    raise AssertionError


class _JournalLock(JournalFileOpenLock):
    """A lock file that others take from a killed process, one of them and not all at once.

    Optuna's symbolic link has the age of what it points to, which is the journal's: those who wait would take it
    from each other too, and behind a relative path they would wait forever.
    """

    def release(self) -> None:
        with suppress(RuntimeError):  # it was taken from here; what was written stays written
            super().release()


def _hasten(engine: sqlalchemy.Engine) -> None:
    """Write ahead, and don't wait for the disk: a trial took 0.37 s of it. A killed process loses nothing by it."""

    def hasten(connection: Any, record: Any) -> None:
        for setting in ("journal_mode=WAL", "synchronous=NORMAL"):
            connection.execute(f"PRAGMA {setting}")

    sqlalchemy.event.listen(engine, "connect", hasten)
    engine.dispose()  # what was opened before


def open_study(where: str, folder: Path, name: str, directions: Sequence[Direction], sampler: BaseSampler) -> Study:
    """The study of that name, made where it isn't there."""
    with turn(folder / "turn.lock"):
        storage = open_storage(where, folder)
        return optuna.create_study(
            storage=storage, study_name=name, directions=list(directions), sampler=sampler, load_if_exists=True
        )


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
    if name == "qmc":  # its points are numbered in the study, so all processes need one sequence
        return optuna.samplers.QMCSampler(
            scramble=True, seed=seed, warn_independent_sampling=False
        ), "from a quasi-random sequence"

    def tpe(seed: int) -> BaseSampler:
        return optuna.samplers.TPESampler(
            multivariate=True, group=True, constant_liar=True, n_startup_trials=START, seed=seed
        )

    def gp(seed: int) -> BaseSampler:
        alone = optuna.samplers.TPESampler(n_startup_trials=START, seed=seed)  # for parameters that some trials have
        return optuna.samplers.GPSampler(
            n_startup_trials=START, seed=seed, independent_sampler=alone, warn_independent_sampling=False
        )

    def cmaes(seed: int) -> BaseSampler:
        alone = optuna.samplers.TPESampler(n_startup_trials=START, seed=seed)
        return optuna.samplers.CmaEsSampler(
            n_startup_trials=START, seed=seed, independent_sampler=alone, warn_independent_sampling=False
        )

    def random(seed: int) -> BaseSampler:
        return optuna.samplers.RandomSampler(seed=seed)

    makers: dict[str, tuple[Callable[[int], BaseSampler], str]] = {
        "tpe": (tpe, f"by multivariate TPE once {START} trials have ended, at random before"),
        "gp": (gp, f"by a Gaussian process once {START} trials have ended, at random before"),
        "cmaes": (cmaes, f"by CMA-ES once {START} trials have ended, at random before"),
        "random": (random, "at random"),
    }
    make, words = makers[name]
    return Seeded(make, seed), words


class Seeded(BaseSampler):
    """A sampler whose draws follow from the seed, the trial's number and the trials so far.

    So no process repeats another's draws, nor its own after a restart.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self.make, self.seed = make, seed
        self.inner = make(seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self.inner = self.make((self.seed * 1_000_003 + trial.number) % 2**32)
        self.inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        pruned_too: Any = (
            _WithPruned(study, set(search_space)) if isinstance(self.inner, optuna.samplers.GPSampler) else study
        )
        return self.inner.sample_relative(pruned_too, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self.inner.after_trial(study, trial, state, values)


class _WithPruned:
    """A study whose pruned trials have ended with the last score that they reported.

    Optuna's Gaussian process looks at finished trials alone: it would suggest what was given up again and again.
    What is reported may not be what is climbed (a test-matched search is pruned by a stress score): it is moved by
    what finished trials differ by.
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
        known = [t for t in trials if t.state == TrialState.COMPLETE and t.intermediate_values]
        gap = sum(t.values[0] - _last_report(t) for t in known) / max(1, len(known))
        pruned = self._study._get_trials(True, (TrialState.PRUNED,), use_cache)
        pruned = [t for t in pruned if t.intermediate_values and self._names <= set(t.params)]
        for trial in pruned:
            trial.values, trial.state = [_last_report(trial) + gap], TrialState.COMPLETE
        return sorted([*trials, *pruned], key=lambda trial: trial.number)


def _last_report(trial: FrozenTrial) -> float:
    return trial.intermediate_values[max(trial.intermediate_values)]


def enqueue(study: Study, folder: Path, queue: Sequence[tuple[dict[str, Any], Mapping[str, Any]]]) -> None:
    """Let the study begin with these (parameters, attributes), once, whoever comes first."""
    with turn(folder / "turn.lock"):
        if not study.get_trials(deepcopy=False):
            for params, attributes in queue:
                study.enqueue_trial(params, user_attrs=dict(attributes), skip_if_exists=True)


def counted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that were begun, each once: one that is tried again is counted there."""
    return [t for t in trials if t.state != TrialState.WAITING and t.user_attrs.get(LOST) != RETRIED]


def begin(study: Study, folder: Path, wanted: Callable[[Sequence[FrozenTrial]], bool]) -> Trial | None:
    """The next trial, in the name of this process; None where the trials so far are enough."""
    with turn(folder / "turn.lock"):
        revive(study)
        if not wanted(study.get_trials(deepcopy=False)):
            return None
        trial = study.ask()
        trial.set_user_attr(OWNER, asdict(this_process()))
        trial.set_user_attr(HEARD, time.time())
        return trial


def revive(study: Study) -> list[int]:
    """Tell that trials have failed whose process died, and queue their parameters once more; their numbers."""
    dead = [t for t in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)) if not _lives(t)]
    for trial in dead:
        again = trial.user_attrs.get(RETRIES, 0) == 0
        give_back(study, trial, 1 if again else None)
    return [trial.number for trial in dead]


def _lives(trial: FrozenTrial) -> bool:
    owner = trial.user_attrs.get(OWNER)
    if owner is None:
        return trial.datetime_start is not None and time.time() - trial.datetime_start.timestamp() < UNOWNED
    return alive(Owner(**owner), trial.user_attrs.get(HEARD, 0.0))


def give_back(study: Study, trial: FrozenTrial, retries: int | None) -> None:
    """Tell that a trial failed through no fault of its parameters; they are queued again unless `retries` is None.

    Killed in the middle it is done anew by the next process, and nothing is queued twice.
    """
    params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    queued = {t.user_attrs.get(RETRY_OF) for t in study.get_trials(deepcopy=False)}
    if retries is not None and params and trial.number not in queued:
        study.enqueue_trial(params, user_attrs={RETRY_OF: trial.number, RETRIES: retries})
    with suppress(UpdateFinishedTrialError, ValueError):  # another process was faster
        study._storage.set_trial_user_attr(
            trial._trial_id, LOST, GIVEN_UP if retries is None or not params else RETRIED
        )
        study.tell(trial.number, state=TrialState.FAIL)


class Interrupted(Exception):
    """The trial under way can't be ended now, for no fault of its own; it is queued again."""


def work(
    study: Study,
    folder: Path,
    wanted: Callable[[Sequence[FrozenTrial]], bool],
    evaluate: Callable[[Trial], Sequence[float]],
    told: Told = lambda trial: None,
    beat: float = BEAT,
) -> None:
    """Draw and evaluate trials while `wanted(trials of the study)` says so.

    `evaluate` returns the trial's values; it raises TrialPruned, UserError for a trial that failed, or Interrupted,
    which ends the work here.
    """
    while (trial := begin(study, folder, wanted)) is not None:
        number, trial_id = trial.number, trial._trial_id

        def sign_of_life(trial_id: int = trial_id) -> None:
            study._storage.set_trial_user_attr(trial_id, HEARD, time.time())

        values, state = None, TrialState.FAIL
        try:
            with beating(sign_of_life, beat):
                values, state = list(evaluate(trial)), TrialState.COMPLETE
        except optuna.TrialPruned as pruned:
            state = TrialState.PRUNED
            _note(trial, NOTE, str(pruned))
        except UserError as error:
            _note(trial, ERROR, str(error))
        except (KeyboardInterrupt, Interrupted) as ended:
            give_back(study, study._storage.get_trial(trial_id), trial.user_attrs.get(RETRIES, 0))
            if isinstance(ended, KeyboardInterrupt):
                raise
            return
        except UpdateFinishedTrialError:  # it was silent for so long that others took it for dead, and try it again
            continue
        study.tell(number, values, state, skip_if_finished=True)
        told(study._storage.get_trial(trial_id))


def _note(trial: Trial, name: str, text: str) -> None:
    with suppress(UpdateFinishedTrialError):
        trial.set_user_attr(name, text)


def others_running(study: Study) -> int:
    """Trials that living processes are at."""
    return sum(_lives(t) for t in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
