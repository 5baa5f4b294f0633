"""A competition's data as they are trained on and scored: what everything after `folds` takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from toolkit.competition import Competition
from toolkit.data.balance import HELD_OUT
from toolkit.data.dataset import data_hash, open_dataset, relabel
from toolkit.data.folds import ALWAYS, folds_hash, obeyed_in, read_folds, relabels, trained_on
from toolkit.decisions.decide import Decisions
from toolkit.decisions.fit import fit_stored
from toolkit.metrics.confusion import confusion_by_sample
from toolkit.metrics.tally import Tally, joined
from toolkit.outcome import counted
from toolkit.probabilities import chunks, decidable, probabilities
from toolkit.store import Workspace
from toolkit.task import UNKNOWN, Classification


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images, targets and folds of N samples, and the M test images.

    images: (N, H, W, C), uint8 or float16; test_images: (M, H, W, C), M = 0 where the organisers keep them; test_ids:
    (M,), what a submission calls them by. truth: (N, ...), the file's targets as the task has them, by which
    everything is scored and chosen. targets: the same as the cleaning list relabels them, for training: `relabels`,
    int64 (n, 2), row and label; obeyed: bool (n, folds), in the training of which folds each is, None where in all.
    trained: bool (N,), False for what it drops, which is validated and scored all the same where it is in a fold.
    ids: int64 (N,), the row in the raw file; names: text (N,), what people call the samples. fold: int64 (N,),
    negative for samples in none. group: int64 (N,), equal for samples of one origin. data_hash, folds_hash: of the
    arrays and of the split that they were opened from.
    """

    competition: Competition
    workspace: Workspace
    images: np.ndarray
    truth: np.ndarray
    targets: np.ndarray
    trained: np.ndarray
    ids: np.ndarray
    test_images: np.ndarray
    fold: np.ndarray
    group: np.ndarray
    relabels: np.ndarray
    data_hash: str
    folds_hash: str
    test_ids: np.ndarray
    names: np.ndarray
    obeyed: np.ndarray | None = None

    def __repr__(self) -> str:
        return (
            f"Labelled({self.workspace.name}: {counted(len(self.images), 'sample')} in {self.folds} folds, "
            f"{counted(len(self.test_images), 'test image')})"
        )

    @cached_property
    def folds(self) -> int:
        """How many there are."""
        return int(self.fold.max()) + 1

    @cached_property
    def inside(self) -> np.ndarray:
        """bool (N,): samples that are in a fold, and so validated and scored."""
        return self.fold >= 0

    @cached_property
    def held_out(self) -> np.ndarray:
        """bool (N,): samples that nothing is trained on or chosen by; what is handed in is scored on them."""
        return self.fold == HELD_OUT

    @property
    def masks(self) -> bool:
        return self.competition.task.masks

    @property
    def has_test_images(self) -> bool:
        return len(self.test_images) > 0

    @property
    def may_look_at_test_images(self) -> bool:
        return self.competition.may_look_at(self.test_images)

    def rows(self, fold: int) -> np.ndarray:
        """The samples that a fold validates, int64 (n,)."""
        return np.flatnonzero(self.fold == fold)

    def training_rows(self, fold: int) -> np.ndarray:
        """The samples that are trained on where a fold is validated, int64 (n,); nothing is learnt of the unknown."""
        used = self.trained & (self.fold != fold) & (self.inside | (self.fold == ALWAYS))
        task = self.competition.task
        if isinstance(task, Classification) and task.unknown is not None:
            used = used & (relabel(self.truth, self.training_relabels(fold)) != UNKNOWN)
        return np.flatnonzero(used)

    def training_relabels(self, fold: int) -> np.ndarray:
        """The lines of `relabels` that are obeyed in the training where a fold is validated."""
        return self.relabels if self.obeyed is None else self.relabels[self.obeyed[:, fold]]

    def probability_shape(self, samples: int) -> tuple[int, ...]:
        """(samples, channels) or, for masks, (samples, channels, H, W)."""
        return (samples, self.competition.task.channels, *(self.truth.shape[1:] if self.masks else ()))

    def decisions(self, stored: np.ndarray) -> list[Decisions]:
        """Of each fold, fitted on stored out-of-fold values (N, channels, ...) of the others."""
        task, metric, scored = self.competition.task, self.competition.metric, self.competition.scored
        others = [np.flatnonzero(self.inside & (self.fold != k)) for k in range(self.folds)]
        return [fit_stored(task, metric, self.truth, stored, rows, scored) for rows in others]

    def tally(self, stored: np.ndarray, decisions: Sequence[Decisions] | None = None) -> Tally:
        """What the metric counts of stored out-of-fold values (N, channels, ...), on the file's targets.

        A row for each sample that is `inside`, in order. decisions: of each fold; None: fitted on the other folds.
        """
        return tally(self, self.truth, stored, decisions)

    def confusions(self, stored: np.ndarray) -> np.ndarray:
        """Confusion matrices int64 (N, C, C) of stored out-of-fold probabilities (N, C, ...), on the file's labels.

        Those of samples in no fold mean nothing.
        """
        return confusions(self.competition, self.truth, stored)


def tally(
    labelled: Labelled, targets: np.ndarray, stored: np.ndarray, decisions: Sequence[Decisions] | None = None
) -> Tally:
    """As `Labelled.tally`, on other targets (N, ...) than the file's."""
    found = labelled.decisions(stored) if decisions is None else decisions
    return decided_tally(labelled.competition, targets, stored, [(labelled.rows(k), d) for k, d in enumerate(found)])


def decided_tally(
    competition: Competition, truth: np.ndarray, stored: np.ndarray, decided: Sequence[tuple[np.ndarray, Decisions]]
) -> Tally:
    """A row for each sample that is in one of the parts, in order: rows of targets (N, ...) and of stored values
    (N, channels, ...), and what is decided for them.
    """
    parts, places = [], []
    for rows, decisions in decided:
        for at in chunks(len(rows)):
            chosen = rows[at]
            parts.append(competition.tally(truth[chosen], decidable(stored[chosen]), decisions))
            places.append(chosen)
    made = joined(parts)
    return made if len(decided) == 1 else made[np.argsort(np.concatenate(places))]


def confusions(competition: Competition, truth: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """Confusion matrices int64 (n, C, C) of labels or masks (n, ...) and stored probabilities (n, C, ...)."""

    def parts() -> Iterator[np.ndarray]:
        for at in chunks(len(truth)):
            predicted = competition.decode(probabilities(stored[at]))
            yield confusion_by_sample(truth[at], predicted, len(competition.task.classes))

    return np.concatenate(list(parts()))


def open_labelled(competition: Competition, workspace: Workspace, table: pd.DataFrame | None = None) -> Labelled:
    """The workspace's data with its folds, or with this table of folds.

    UserError where one is missing, or the folds are of other data or another cleaning list.
    """
    dataset, table = open_dataset(workspace.data), read_folds(workspace) if table is None else table
    changed = relabels(table)
    return Labelled(
        competition=competition,
        workspace=workspace,
        images=dataset.images,
        truth=dataset.targets,
        targets=relabel(dataset.targets, changed),
        trained=trained_on(table),
        ids=dataset.ids,
        test_images=dataset.test_images,
        fold=table["fold"].to_numpy(),
        group=table["group"].to_numpy(),
        relabels=changed,
        obeyed=obeyed_in(table),
        data_hash=data_hash(workspace.data),
        folds_hash=folds_hash(table),
        test_ids=np.arange(len(dataset.test_images)) if dataset.test_ids is None else dataset.test_ids,
        names=dataset.called,
    )
