"""A trial as what it is: a run, fold by fold. What its folds are worth, and what the finished trials say of it.

Nothing here is stored in the study: a trial names its run, and the run's folder has the evidence.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from toolkit import checked
from toolkit.competition import Competition
from toolkit.data.labelled import Labelled
from toolkit.images.rows import picked
from toolkit.metrics.tally import Tally
from toolkit.networks.devices import resolve_device
from toolkit.networks.predict import predict
from toolkit.run_folds import RunFold
from toolkit.runs import Run
from toolkit.scoring.decided import tally_within
from toolkit.scoring.selection import Folds, FoldTally, by_group, pooled_score
from toolkit.scoring.stress import stressed
from toolkit.store import MANIFEST, atomic, hash_file
from toolkit.tuning.pruning import below_median, end_if_pruned, expected_score, fold_change, fold_noise, should_prune
from toolkit.tuning.settings import CLEAN, Objective
from toolkit.tuning.study import RUN, place_of

Found = TypeVar("Found")
SEED = 0  # of the corruptions that folds are judged under: one for all trials


def fold_order(seed: int, place: int, folds: int) -> list[int]:
    """The order in which a trial trains its folds: each trial another, so that no fold decides more than others."""
    return np.random.default_rng([seed, place]).permutation(folds).tolist()


def judge(run: Run, number: int, judged: str, device: str) -> FoldTally:
    """What the metric counts of a trained fold by group, from its folder or made and left there.

    Under stress each sample is seen once, under one random member of the suite, the same in all trials. The other
    folds may not be trained yet, so what has to be decided is decided within the fold, by other groups.
    """
    fold, rows = run.fold(number), run.labelled.rows(number)
    weights = hash_file(checked.checked(fold.weights, fold.remedy(fold.weights)))
    path = fold.judged(judged)
    if path.exists():
        stored = _arrays(path, fold.remedy(path))
        if str(stored["weights"]) == weights and _is_by(run, stored):
            return _judged(run, number, stored)
    truth, group = run.labelled.truth[rows], run.labelled.group[rows]
    if judged == "clean":
        found = tally_within(run.labelled.competition, truth, run.oof_of(number), group)
    else:
        found = _stressed(run, number, rows, device)
    made = by_group(number, group, found)
    with atomic(path) as partial, open(partial, "wb") as file:
        by = {name: np.array(value) for name, value in run.labelled.competition.scored_by.items()}
        named = {"weights": np.array(weights), **by}
        arrays: dict[str, Any] = {**named, "groups": made.groups, **made.tally.arrays()}
        np.savez_compressed(file, **arrays)
    return made


def _stressed(run: Run, number: int, rows: np.ndarray, device: str) -> Tally:
    labelled, place = run.labelled, resolve_device(device)
    competition, clean = labelled.competition, labelled.truth[rows]
    masks, (*size, channels) = clean if labelled.masks else None, competition.task.image_shape
    images, masks = stressed(picked(run.images, rows), masks, SEED, competition.rgb, (size[0], size[1]), channels)
    network = run.network(number, place)
    table = labelled.table_of(rows)
    values = predict(network, images, competition.scored, place, run.recipe.precision, table=table)
    truth, learnt_from = clean if masks is None else masks, (clean, run.oof_of(number))
    return tally_within(competition, truth, values, labelled.group[rows], learnt_from)


def judged_folds(run: Run, judged: str) -> list[FoldTally]:
    """The run's folds that were trained whole and judged."""
    paths = ((fold.number, fold.judged(judged)) for fold in run.folds if fold.complete)
    there = [(number, path) for number, path in paths if path.exists()]
    stored = [(number, _arrays(path, run.fold(number).remedy(path))) for number, path in there]
    return [_judged(run, number, arrays) for number, arrays in stored if _is_by(run, arrays)]


def _is_by(run: Run, stored: Mapping[str, np.ndarray]) -> bool:
    """Was it judged by the competition's metric? What older versions stored is taken for that."""
    competition = run.labelled.competition
    return competition.is_scored_by({name: str(stored[name]) for name in competition.scored_by if name in stored})


def _judged(run: Run, fold: int, stored: Mapping[str, np.ndarray]) -> FoldTally:
    # files of older versions have confusion matrices under their own name
    competition = run.labelled.competition
    kept = {name: array for name, array in stored.items() if name not in competition.scored_by}
    arrays = {"counts" if name == "confusions" else name: array for name, array in kept.items()}
    return FoldTally(fold, arrays["groups"], competition.tally_of(arrays).as_part())


def _arrays(path: Path, remedy: str) -> dict[str, np.ndarray]:
    """What was judged, and the hash of the `weights` that it was made of."""
    return checked.arrays(path, remedy, "groups", "weights")


def seconds(run: Run, folds: Iterable[int]) -> float:
    """What training these folds took."""
    return sum(run.fold(k).seconds for k in folds)


def learning_curve(fold: RunFold) -> dict[float, float]:
    """Share of the epochs → score that was watched then; empty where the fold isn't trained."""
    epochs = fold.history
    return {(at + 1) / len(epochs): line["score"] for at, line in enumerate(epochs) if line["score"] is not None}


def _changed(path: str) -> int:
    """When a file was written, in nanoseconds; 0: it isn't there."""
    try:
        return os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return 0


@dataclass(frozen=True)
class Rivals:
    """The study's finished trials whose folds are at hand.

    known: what was read of runs, as each epoch of a first fold asks for it of all, with when its files were written.
    """

    labelled: Labelled
    objectives: tuple[Objective, ...]
    known: dict[tuple[str, str], tuple[list[int], Any]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def competition(self) -> Competition:
        return self.labelled.competition

    @property
    def sign(self) -> int:
        """By which values of the first objective are multiplied so that more is better."""
        return self.objectives[0].sign(self.competition.metric)

    @property
    def kinds(self) -> list[str]:
        """What folds are judged by."""
        return list(dict.fromkeys(one.judged for one in self.objectives if one.judged))

    def run(self, trial: FrozenTrial) -> Run:
        return Run(self.labelled.workspace.train / trial.user_attrs[RUN], self.labelled)

    def of(self, trial: FrozenTrial, kind: str) -> list[FoldTally]:
        return self._known(trial, kind, (f"judged_{kind}.npz", MANIFEST), lambda run: judged_folds(run, kind))

    def curves(self, trial: FrozenTrial) -> dict[int, dict[float, float]]:
        """The learning curves of its folds."""
        return self._known(
            trial, "", ("history.json",), lambda run: {fold.number: learning_curve(fold) for fold in run.folds}
        )

    def _known(self, trial: FrozenTrial, what: str, files: Sequence[str], read: Callable[[Run], Found]) -> Found:
        """What is read of the trial's run, anew only where one of these files in its folds has changed."""
        name = trial.user_attrs[RUN]
        run = f"{self.labelled.workspace.train}/{name}"
        folders = [f"{run}/fold_{k}" for k in range(self.labelled.folds)]
        changed = [_changed(f"{folder}/{file}") for folder in folders for file in files]
        known = self.known.get((name, what))
        if known is None or known[0] != changed:
            known = self.known[name, what] = (changed, read(self.run(trial)))
        found: Found = known[1]
        return found

    def _finished(self, study: Study) -> list[FrozenTrial]:
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [t for t in done if RUN in t.user_attrs and self.run(t).folder.is_dir()]

    def _whole(self, finished: Sequence[FrozenTrial], kind: str) -> dict[int, list[FoldTally]]:
        """The folds of those that have all of them, by the trial's number."""
        found = {trial.number: self.of(trial, kind) for trial in finished}
        return {number: folds for number, folds in found.items() if len(folds) == self.labelled.folds}

    def verdict(self, study: Study, run: Run, mine: Mapping[str, Folds]) -> str | None:
        """Why a trial with these folds, by what they were judged by, needs no further ones; None: it goes on.

        A rival must be better in every objective; with one objective the best one is asked, and the median of all;
        with two objectives all those that no other beats.
        """
        finished = self._finished(study)
        whole = {kind: list(self._whole(finished, kind).values()) for kind in self.kinds}
        noise = {kind: fold_noise(whole[kind]) for kind in self.kinds}
        for rival in self._best(study, finished):
            theirs = {kind: self.of(rival, kind) for kind in self.kinds}
            beaten = all(
                len(theirs[kind]) == self.labelled.folds and should_prune(mine[kind], theirs[kind], noise=noise[kind])
                for kind in self.kinds
            )
            if beaten and not self._cheaper(run, self.run(rival), mine):
                return f"worse than t{place_of(rival)} on the same folds"
        for kind in self.kinds if len(self.objectives) == 1 else ():
            if below_median(mine[kind], whole[kind]):
                return f"below the median of {len(whole[kind])} finished trials on the same folds"
        return None

    def _cheaper(self, run: Run, rival: Run, mine: Mapping[str, Folds]) -> bool:
        if all(one.judged for one in self.objectives):
            return False
        shared = [fold.number for fold in next(iter(mine.values()))]
        return seconds(run, shared) < seconds(rival, shared)

    def end_if_pruned(
        self, study: Study, fold: int, history: Sequence[Mapping[str, Any]], epochs: int
    ) -> float | None:
        """What a trial is likely to have that is pruned inside its first fold; None: it goes on.

        Only the clean score is watched.
        """
        score = history[-1]["score"]
        if self.objectives != (CLEAN,) or score is None:
            return None
        ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        curves = [self.curves(t) for t in ended if RUN in t.user_attrs]
        sign = self.competition.metric.sign
        end = end_if_pruned(score, len(history) / epochs, fold, curves, sign)
        if end is None:
            return None
        return end + fold_change([fold], list(self._whole(self._finished(study), "clean").values()))

    def expected(self, study: Study, kind: str, mine: Folds) -> float:
        """What a trial with these folds is likely to have on all."""
        return expected_score(mine, list(self._whole(self._finished(study), kind).values()))

    def ranking(self, study: Study) -> list[tuple[FrozenTrial, float]]:
        """Finished and pruned trials that have a fold, best first, by the first objective; what a pruned one is
        expected to have, moved by what finished ones' values differ from the score that they are judged by."""
        kind, finished = self.kinds[0], self._finished(study)
        whole = self._whole(finished, kind)
        gaps = [t.values[0] - pooled_score(whole[t.number]) for t in finished if t.number in whole]
        gap = float(np.mean(gaps)) if gaps else 0.0
        ranked = [(trial, trial.values[0]) for trial in finished]
        for trial in study.get_trials(deepcopy=False, states=(TrialState.PRUNED,)):
            if RUN in trial.user_attrs and (mine := self.of(trial, kind)):
                ranked.append((trial, expected_score(mine, list(whole.values())) + gap))
        return sorted(ranked, key=lambda pair: -self.sign * pair[1])

    def _best(self, study: Study, finished: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        if len(study.directions) == 1:
            return [max(finished, key=lambda t: self.sign * t.values[0])] if finished else []
        front = {t.number for t in study.best_trials}
        return [t for t in finished if t.number in front]
