"""The Optuna study behind a search: where it lies, and whose trials are whose.

Several processes may work on one study. Each asks for a trial, evaluates it and tells how it ended; a trial whose
process has died is told to have failed, which no sampler learns from, and its parameters are tried once more. Trials
have places, from 0 on, of which a trial that is tried again keeps its own: names, seeds and the order of folds follow
from it and not from Optuna's number, so that a search that was killed ends as one that was not.
"""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from toolkit import claims
from toolkit.errors import UserError
from toolkit.processes import BEAT, Owner, alive, beating, this_host, this_process
from toolkit.progress import SILENT, Progress
from toolkit.store import hash_json
from toolkit.tuning.settings import Direction
from toolkit.tuning.storage import open_storage

OWNER, HEARD = "owner", "heard"  # attributes of a trial: its process, and Unix time of the last sign of life
LOST = "lost"  # what became of a trial whose process died
RETRIED, GIVEN_UP = "tried again", "given up"
RETRY_OF, RETRIES = "retry_of", "retries"
ENDED_WITH = "ended_with"  # as RETRIES, of machines, or containers, that ended together with a trial's process
MOST_RETRIES, MOST_ENDED_WITH = 1, 5
PLACE = "place"
RUN, ERROR, NOTE = "run", "error", "note"
SEAL = "seal"  # the hash of what an ended trial was told with
UNOWNED = 30.0  # seconds that a trial may run before it has an owner: it gets one as soon as it is drawn
Told = Callable[[FrozenTrial], None]

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def in_turn(folder: Path, progress: Progress = SILENT) -> AbstractContextManager[None]:
    """One process of this machine at a time draws trials, or takes those of a dead one."""
    return claims.in_turn(folder / "turn.lock", "the search's study", progress)


def open_study(
    where: str,
    folder: Path,
    name: str,
    directions: Sequence[Direction],
    sampler: BaseSampler,
    progress: Progress = SILENT,
) -> Study:
    """The study of that name, made where it isn't there; UserError where a trial isn't what it was told with."""
    with in_turn(folder, progress):
        storage = open_storage(where, folder)
        study = optuna.create_study(
            storage=storage, study_name=name, directions=list(directions), sampler=sampler, load_if_exists=True
        )
        _check_trials(study, where, folder)
        return study


def _check_trials(study: Study, where: str, folder: Path) -> None:
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
        known = trial.user_attrs.get(SEAL)  # older versions left none
        if known is not None and known != _seal_of(
            trial, trial.values if trial.state == TrialState.COMPLETE else None
        ):
            place = {"sqlite": folder / "study.db", "journal": folder / "study.log"}.get(where, "the search's storage")
            raise UserError(
                f"{place} is damaged: trial {trial.number} isn't what it ended with; remove it and run `compete "
                "search` again: what is trained stays"
            )


def _seal_of(trial: FrozenTrial, values: Sequence[float] | None) -> str:
    """Of its parameters, its values (of a whole one) and its run; numbers to 12 digits, as databases keep them."""
    numbers = [f"{value:.12g}" for value in values or ()]
    params = {name: f"{value:.12g}" if isinstance(value, float) else value for name, value in trial.params.items()}
    return hash_json([params, numbers, trial.user_attrs.get(RUN)])


def enqueue(
    study: Study,
    folder: Path,
    queue: Sequence[tuple[dict[str, Any], Mapping[str, Any]]],
    progress: Progress = SILENT,
) -> None:
    """Let the study begin with these (parameters, attributes), once, whoever comes first."""
    with in_turn(folder, progress):
        if not study.get_trials(deepcopy=False):
            for params, attributes in queue:
                study.enqueue_trial(params, user_attrs=dict(attributes), skip_if_exists=True)


def begun_trials(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that were begun, each once: one that is tried again is counted there."""
    return [t for t in trials if t.state != TrialState.WAITING and t.user_attrs.get(LOST) != RETRIED]


def begin(
    study: Study, folder: Path, wanted: Callable[[Sequence[FrozenTrial]], bool], progress: Progress = SILENT
) -> Trial | None:
    """The next trial, in the name of this process; None where the trials so far are enough."""
    with in_turn(folder, progress):
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
    """Tell that trials have failed whose process died, and queue their parameters again; their numbers.

    Once, where the machine lived on: what a trial does to its memory may have killed it. Where the machine or the
    container ended too, the trial had hardly a part in it, and it is queued up to MOST_ENDED_WITH times.
    """
    dead = [t for t in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)) if not _lives(t)]
    for trial in dead:
        owner = trial.user_attrs.get(OWNER)
        alone = owner is None or Owner(**owner).host == this_host()
        tries = _tries(trial)
        tries[RETRIES if alone else ENDED_WITH] += 1
        again = tries[RETRIES] <= MOST_RETRIES and tries[ENDED_WITH] <= MOST_ENDED_WITH
        give_back(study, trial, tries if again else None)
    return [trial.number for trial in dead]


def _tries(trial: FrozenTrial | Trial) -> dict[str, int]:
    return {name: int(trial.user_attrs.get(name, 0)) for name in (RETRIES, ENDED_WITH)}


def _lives(trial: FrozenTrial) -> bool:
    owner = trial.user_attrs.get(OWNER)
    if owner is None:
        return trial.datetime_start is not None and time.time() - trial.datetime_start.timestamp() < UNOWNED
    return alive(Owner(**owner), trial.user_attrs.get(HEARD, 0.0))


def give_back(study: Study, trial: FrozenTrial, tries: Mapping[str, int] | None) -> None:
    """Tell that a trial failed through no fault of its parameters; they are queued again unless `tries` is None.

    tries: what the next one is to know of RETRIES and ENDED_WITH.

    Killed in the middle it is done anew by the next process, and nothing is queued twice. A trial without parameters
    is queued by leaving its place free.
    """
    params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    queued = {t.user_attrs.get(RETRY_OF) for t in study.get_trials(deepcopy=False)}
    if tries is not None and params and trial.number not in queued:
        again = {RETRY_OF: trial.number, **tries, PLACE: place_of(trial)}
        study.enqueue_trial(params, user_attrs=again)
    with suppress(UpdateFinishedTrialError, ValueError):  # another process was faster
        study._storage.set_trial_user_attr(trial._trial_id, LOST, GIVEN_UP if tries is None else RETRIED)
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
    progress: Progress = SILENT,
) -> None:
    """Draw and evaluate trials while `wanted(trials of the study)` says so.

    `evaluate` returns the trial's values; it raises TrialPruned, UserError for a trial that failed, or Interrupted,
    which ends the work here.
    """
    while (trial := begin(study, folder, wanted, progress)) is not None:
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
            give_back(study, study._storage.get_trial(trial_id), _tries(trial))
            if isinstance(ended, KeyboardInterrupt):
                raise
            return
        except UpdateFinishedTrialError:  # it was silent for so long that others took it for dead, and try it again
            continue
        if state != TrialState.FAIL:
            _note(trial, SEAL, _seal_of(study._storage.get_trial(trial_id), values))
        study.tell(number, values, state, skip_if_finished=True)
        told(study._storage.get_trial(trial_id))


def _note(trial: Trial, name: str, text: str) -> None:
    with suppress(UpdateFinishedTrialError):
        trial.set_user_attr(name, text)


def others_running(study: Study) -> int:
    """Trials that living processes are at."""
    return sum(_lives(t) for t in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
