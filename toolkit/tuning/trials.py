"""A trial as what it is: a run, fold by fold. What its folds are worth, and what the finished trials say of it.

Nothing here is stored in the study: a trial names its run, and the run's folder has the evidence.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from toolkit.competition import Competition
from toolkit.data.dataset import Dataset
from toolkit.errors import UserError
from toolkit.metrics import confusion_by_sample
from toolkit.networks.devices import resolve_device
from toolkit.networks.network import load_network
from toolkit.networks.predict import predict
from toolkit.probabilities import chunks, open_probabilities, probabilities
from toolkit.scoring.stress import stressed
from toolkit.store import atomic, hash_file, read_json, read_manifest
from toolkit.training.loop import FoldJob
from toolkit.tuning.pruning import (
    Fold,
    below_median,
    by_group,
    expected_score,
    fold_change,
    fold_noise,
    hopeless_end,
    pooled_score,
    should_prune,
)
from toolkit.tuning.study import RUN, Direction

SEED = 0  # of the corruptions that folds are judged under: one for all trials


@dataclass(frozen=True)
class Objective:
    """What a search climbs. `metric`: its key in metrics.json; `judged`: what a fold is pruned by."""

    name: str
    metric: str | None
    judged: str | None
    direction: Direction = "maximize"


CLEAN = Objective("clean", "clean", "clean")
OBJECTIVES = {
    one.name: one
    for one in (
        CLEAN,
        Objective("stress", "stress", "stress"),
        Objective("test-matched", "matched", "stress"),
        Objective("seconds", None, None, "minimize"),
    )
}


def read_objectives(text: str) -> tuple[Objective, ...]:
    """`clean`, `stress`, `test-matched`, or two such as `clean,seconds`. UserError for others."""
    names = text.split(",")
    for name in names:
        if name not in OBJECTIVES:
            raise UserError(f"there is no objective {name!r}; there are {', '.join(OBJECTIVES)}, or two with a comma")
    if len(names) > 2 or len(set(names)) < len(names):
        raise UserError(f"--objective takes one or two different ones, got {text}")
    if names[0] == "seconds":
        raise UserError("--objective names a score first, such as clean,seconds: nothing is fastest")
    return tuple(OBJECTIVES[name] for name in names)


def fold_order(seed: int, number: int, folds: int) -> list[int]:
    """The order in which a trial trains its folds: each trial another, so that no fold decides more than others."""
    return np.random.default_rng([seed, number]).permutation(folds).tolist()


def judge(competition: Competition, dataset: Dataset, groups: np.ndarray, job: FoldJob, judged: str) -> Fold:
    """A trained fold's confusions by group, from its folder or made and left there.

    dataset: relabelled; groups: int64 (N,) of its rows. Under stress each sample is seen once, under one random
    member of the suite, the same in all trials.
    """
    weights = hash_file(job.folder / "weights.safetensors")
    path = _evidence(job.folder, judged)
    if path.exists():
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["weights"]) == weights:
                return Fold(job.fold, stored["groups"], stored["confusions"])
    rows, classes = job.valid_rows, len(competition.task.classes)
    truth = dataset.targets[rows]
    if judged == "clean":
        stored_oof = open_probabilities(job.folder / "oof.npy")
        predicted = np.concatenate([competition.decode(probabilities(stored_oof[at])) for at in chunks(len(rows))])
    else:
        images, masks = stressed(dataset.images[rows], truth if truth.ndim > 1 else None, SEED)
        truth = truth if masks is None else masks
        device = resolve_device(job.device)
        network = load_network(competition, job.recipe, job.folder / "weights.safetensors", device)
        said = predict(network, images, competition.scored, device, job.recipe.precision)
        predicted = competition.decode(said)
    fold = by_group(job.fold, groups[rows], confusion_by_sample(truth, predicted, classes))
    with atomic(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, weights=np.array(weights), groups=fold.groups, confusions=fold.confusions)
    return fold


def _evidence(folder: Path, judged: str) -> Path:
    return folder / f"judged_{judged}.npz"


def stored_folds(run: Path, judged: str, folds: Iterable[int]) -> list[Fold]:
    """Those of the run's folds that were trained whole and judged."""
    found = []
    for k in folds:
        path = _evidence(run / f"fold_{k}", judged)
        if path.exists() and (read_manifest(path.parent) or {}).get("complete"):
            found.append(_read(path, path.stat().st_mtime_ns, k))
    return found


@lru_cache(maxsize=256)
def _read(path: Path, changed: int, fold: int) -> Fold:
    with np.load(path, allow_pickle=False) as stored:
        return Fold(fold, stored["groups"], stored["confusions"])


def seconds(run: Path, folds: Iterable[int]) -> float:
    """What training these folds took, all epochs together, however often it was interrupted."""
    histories = [run / f"fold_{k}" / "history.json" for k in folds]
    return float(sum(epoch["seconds"] for path in histories if path.exists() for epoch in read_json(path)))


def course(run: Path, fold: int) -> dict[float, float]:
    """Share of the epochs → score that was watched then; empty where the fold isn't trained."""
    path = run / f"fold_{fold}" / "history.json"
    return _course(path, path.stat().st_mtime_ns) if path.exists() else {}


@lru_cache(maxsize=4096)  # each epoch of a first fold looks at all that were trained
def _course(path: Path, changed: int) -> dict[float, float]:
    epochs: list[dict[str, Any]] = read_json(path)
    return {(at + 1) / len(epochs): line["score"] for at, line in enumerate(epochs) if line["score"] is not None}


@dataclass(frozen=True)
class Rivals:
    """The study's finished trials whose folds are at hand."""

    competition: Competition
    objectives: tuple[Objective, ...]
    train: Path  # the folder of the runs
    folds: int

    def _finished(self, study: Study) -> list[FrozenTrial]:
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [t for t in done if RUN in t.user_attrs and (self.train / t.user_attrs[RUN]).is_dir()]

    def _whole(self, finished: Sequence[FrozenTrial], kind: str) -> dict[int, list[Fold]]:
        """The folds of those that have all of them, by the trial's number."""
        found = {trial.number: self.of(trial, kind) for trial in finished}
        return {number: folds for number, folds in found.items() if len(folds) == self.folds}

    def of(self, trial: FrozenTrial, judged: str) -> list[Fold]:
        return stored_folds(self.train / trial.user_attrs[RUN], judged, range(self.folds))

    def verdict(self, study: Study, run: Path, mine: Mapping[str, Sequence[Fold]]) -> str | None:
        """Why a trial with these folds, by what they were judged by, needs no further ones; None: it goes on.

        A rival must be better in every objective; with one objective the best one is asked, and the median of all;
        with two objectives all those that no other beats.
        """
        finished = self._finished(study)
        kinds = {one.judged for one in self.objectives if one.judged}
        whole = {kind: list(self._whole(finished, kind).values()) for kind in kinds}
        noise = {kind: fold_noise(self.competition, whole[kind]) for kind in kinds}
        for rival in _best(study, finished):
            theirs = {kind: self.of(rival, kind) for kind in kinds}
            beaten = all(
                len(theirs[kind]) == self.folds
                and should_prune(self.competition, mine[kind], theirs[kind], noise=noise[kind])
                for kind in kinds
            )
            if beaten and not self._cheaper(run, self.train / rival.user_attrs[RUN], mine):
                return f"worse than trial {rival.number} on the same folds"
        for kind in kinds if len(self.objectives) == 1 else ():
            if below_median(self.competition, mine[kind], whole[kind]):
                return f"below the median of {len(whole[kind])} finished trials on the same folds"
        return None

    def _cheaper(self, run: Path, rival: Path, mine: Mapping[str, Sequence[Fold]]) -> bool:
        if all(one.judged for one in self.objectives):
            return False
        shared = [fold.number for fold in next(iter(mine.values()))]
        return seconds(run, shared) < seconds(rival, shared)

    def hopeless(self, study: Study, fold: int, history: Sequence[Mapping[str, Any]], epochs: int) -> float | None:
        """What a trial whose first fold needs not be trained to its end is likely to have; None: it goes on.

        Only the clean score is watched.
        """
        score = history[-1]["score"]
        if self.objectives != (CLEAN,) or score is None:
            return None
        ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        runs = [self.train / t.user_attrs[RUN] for t in ended if RUN in t.user_attrs]
        courses = [{k: course(run, k) for k in range(self.folds)} for run in runs]
        end = hopeless_end(score, len(history) / epochs, fold, courses)
        if end is None:
            return None
        return end + fold_change(self.competition, [fold], list(self._whole(self._finished(study), "clean").values()))

    def expected(self, study: Study, kind: str, mine: Sequence[Fold]) -> float:
        """What a trial with these folds is likely to have on all."""
        return expected_score(self.competition, mine, list(self._whole(self._finished(study), kind).values()))

    def ranking(self, study: Study) -> list[tuple[FrozenTrial, float]]:
        """Finished and pruned trials that have a fold, best first, by the first objective; what a pruned one is
        expected to have, moved by what finished ones' values differ from the score that they are judged by."""
        kind = self.objectives[0].judged
        assert kind is not None
        finished = self._finished(study)
        whole = self._whole(finished, kind)
        gaps = [t.values[0] - pooled_score(self.competition, whole[t.number]) for t in finished if t.number in whole]
        gap = float(np.mean(gaps)) if gaps else 0.0
        ranked = [(trial, trial.values[0]) for trial in finished]
        for trial in study.get_trials(deepcopy=False, states=(TrialState.PRUNED,)):
            if RUN in trial.user_attrs and (mine := self.of(trial, kind)):
                ranked.append((trial, expected_score(self.competition, mine, list(whole.values())) + gap))
        return sorted(ranked, key=lambda pair: -pair[1])


def _best(study: Study, finished: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    if len(study.directions) == 1:
        return [max(finished, key=lambda t: t.values[0])] if finished else []
    front = {t.number for t in study.best_trials}
    return [t for t in finished if t.number in front]
