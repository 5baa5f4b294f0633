"""The Optuna study behind a search: where it lies, and whose trials are whose.

Several processes may work on one study. Each asks for a trial, evaluates it and tells how it ended; a trial whose
process has died is told to have failed, which no sampler learns from, and its parameters are tried once more. Trials
have places, from 0 on, of which a trial that is tried again keeps its own: names, seeds and the order of folds follow
from it and not from Optuna's number, so that a search that was killed ends as one that was not.
"""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from toolkit.claims import turn
from toolkit.errors import UserError
from toolkit.processes import BEAT, Owner, alive, beating, this_process
from toolkit.tuning.settings import Direction
from toolkit.tuning.storage import open_storage

OWNER, HEARD = "owner", "heard"  # attributes of a trial: its process, and Unix time of the last sign of life
LOST = "lost"  # what became of a trial whose process died
RETRIED, GIVEN_UP = "tried again", "given up"
RETRY_OF, RETRIES = "retry_of", "retries"
PLACE = "place"
RUN, ERROR, NOTE = "run", "error", "note"
UNOWNED = 30.0  # seconds that a trial may run before it has an owner: it gets one as soon as it is drawn
Told = Callable[[FrozenTrial], None]

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def in_turn(folder: Path) -> FileLock:
    """One process of this machine at a time draws trials, or takes those of a dead one."""
    return turn(folder / "turn.lock")


def open_study(where: str, folder: Path, name: str, directions: Sequence[Direction], sampler: BaseSampler) -> Study:
    """The study of that name, made where it isn't there."""
    with in_turn(folder):
        storage = open_storage(where, folder)
        return optuna.create_study(
            storage=storage, study_name=name, directions=list(directions), sampler=sampler, load_if_exists=True
        )


def enqueue(study: Study, folder: Path, queue: Sequence[tuple[dict[str, Any], Mapping[str, Any]]]) -> None:
    """Let the study begin with these (parameters, attributes), once, whoever comes first."""
    with in_turn(folder):
        if not study.get_trials(deepcopy=False):
            for params, attributes in queue:
                study.enqueue_trial(params, user_attrs=dict(attributes), skip_if_exists=True)


def begun_trials(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that were begun, each once: one that is tried again is counted there."""
    return [t for t in trials if t.state != TrialState.WAITING and t.user_attrs.get(LOST) != RETRIED]


def begin(study: Study, folder: Path, wanted: Callable[[Sequence[FrozenTrial]], bool]) -> Trial | None:
    """The next trial, in the name of this process; None where the trials so far are enough."""
    with in_turn(folder):
        revive(study)
        if not wanted(study.get_trials(deepcopy=False)):
            return None
        return study.ask()  # which calls `own`


def own(study: Study, trial: FrozenTrial) -> int:
    """The place of a trial that is being drawn, its own or the first free one, kept in the name of this process."""
    trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
    taken = {place_of(t) for t in trials if t.number != trial.number and _has_place(t)}
    place = trial.user_attrs.get(PLACE)
    if place is None:
        place = next(free for free in range(len(trials)) if free not in taken)
    for name, value in ((OWNER, asdict(this_process())), (HEARD, time.time()), (PLACE, place)):
        study._storage.set_trial_user_attr(trial._trial_id, name, value)
        trial.user_attrs[name] = value  # of the trial that is handed out
    return int(place)


def place_of(trial: FrozenTrial) -> int:
    """Studies of older versions have none: there it is the number."""
    return int(trial.user_attrs.get(PLACE, trial.number))


def _has_place(trial: FrozenTrial) -> bool:
    return trial.user_attrs.get(LOST) != RETRIED and (trial.state != TrialState.WAITING or PLACE in trial.user_attrs)


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

    Killed in the middle it is done anew by the next process, and nothing is queued twice. A trial without parameters
    is queued by leaving its place free.
    """
    params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    queued = {t.user_attrs.get(RETRY_OF) for t in study.get_trials(deepcopy=False)}
    if retries is not None and params and trial.number not in queued:
        again = {RETRY_OF: trial.number, RETRIES: retries, PLACE: place_of(trial)}
        study.enqueue_trial(params, user_attrs=again)
    with suppress(UpdateFinishedTrialError, ValueError):  # another process was faster
        study._storage.set_trial_user_attr(trial._trial_id, LOST, GIVEN_UP if retries is None else RETRIED)
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
