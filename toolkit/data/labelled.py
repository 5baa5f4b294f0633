"""A competition's data as they are trained on and scored: what everything after `folds` takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from toolkit.competition import Competition
from toolkit.data.balance import HELD_OUT
from toolkit.data.data_folder import data_hash, open_dataset
from toolkit.data.dataset import relabel
from toolkit.data.folds import (
    ALWAYS,
    check_undivided,
    folds_hash,
    newcomers,
    obeyed_in,
    read_folds,
    relabels,
    trained_on,
)
from toolkit.data.native import Native
from toolkit.data.placed import placed_tally
from toolkit.data.sample_submission import followed
from toolkit.data.tables import Column, columns_of
from toolkit.decisions.decide import Decisions
from toolkit.decisions.fit import fit_stored
from toolkit.errors import UserError
from toolkit.images.places import Places
from toolkit.metrics.confusion import confusion_by_sample
from toolkit.metrics.tally import Tally, joined
from toolkit.outcome import counted
from toolkit.probabilities import chunks, decidable, probabilities
from toolkit.store import Workspace
from toolkit.task import UNKNOWN, Classification

COMPARABLE = 10  # images of each side, below which how these differ would be chance


def enough_to_compare(train: int, test: int) -> bool:
    """Are training and test samples enough to say how they differ?"""
    return min(train, test) >= COMPARABLE


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images, targets and folds of N samples, and the M test images.

    images: (N, H, W, C), uint8 or float16; test_images: (M, H, W, C), M = 0 where the organisers keep them; test_ids:
    (M,), what a submission calls them by. truth: (N, ...), the file's targets as the task has them, by which
    everything is scored and chosen. targets: the same as the cleaning list relabels them, for training: `relabels`,
    int64 (n, 2), row and label; obeyed: bool (n, folds), in the training of which folds each is, None where in all.
    newcomers: int64 (n, 2), rows whose truth is UNKNOWN as no network that is asked knows their class, and this class.
    trained: bool (N,), False for what it drops, which is validated and scored all the same where it is in a fold.
    ids: int64 (N,), the row in the raw file; names: text (N,), what people call the samples. fold: int64 (N,),
    negative for samples in none. group: int64 (N,), equal for samples of one origin. native: masks at the size of the
    organisers' pictures, by which is scored what is shown; test_places: where test images lie in the pictures that are
    handed in, whose test_ids are then meant; None where samples are what they are. data_hash, folds_hash: of the
    arrays and of the split that they were opened from. table, test_table: float32 (N, K), (M, K), what is known
    beside the images, and columns, K of them, what that is; None where nothing is.
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
    table: np.ndarray | None = None
    test_table: np.ndarray | None = None
    columns: tuple[Column, ...] = ()
    native: Native | None = None
    test_places: Places | None = None
    newcomers: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))

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

    @property
    def shows_how_tests_look(self) -> bool:
        """May test images be looked at, and are both sides enough to say how they differ from training images?"""
        return self.may_look_at_test_images and enough_to_compare(len(self.images), len(self.test_images))

    def table_of(self, rows: np.ndarray | slice) -> np.ndarray | None:
        """What is known beside the images of some samples, float32 (n, K); None where nothing is."""
        return None if self.table is None else self.table[rows]

    def test_table_of(self, rows: np.ndarray | slice) -> np.ndarray | None:
        """The same of test images."""
        return None if self.test_table is None else self.test_table[rows]

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
        """The lines of `relabels` that are obeyed in the training where a fold is validated, and the newcomers'."""
        obeyed = self.relabels if self.obeyed is None else self.relabels[self.obeyed[:, fold]]
        return np.concatenate([obeyed, self.newcomers])

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
        Where pictures are scored as large as they are, a picture's counts stand in the row of its first sample.
        """
        if self.native is None:
            return tally(self, self.truth, stored, decisions)
        found = self.decisions(stored) if decisions is None else decisions
        at = np.where(self.inside, np.arange(len(self.fold)), -1)
        return placed_tally(self.competition, self.native, stored, at, [found[fold] for fold in self.fold])

    def confusions(self, stored: np.ndarray) -> np.ndarray:
        """Confusion matrices int64 (N, C, C) of stored out-of-fold probabilities (N, C, ...), on the file's labels.

        Those of samples in no fold mean nothing.
        """
        return confusions(self.competition, self.truth, stored)


def tally(
    labelled: Labelled, targets: np.ndarray, stored: np.ndarray, decisions: Sequence[Decisions] | None = None
) -> Tally:
    """As `Labelled.tally`, of targets (N, ...) at the size of the task, the file's or others."""
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
        for at in chunks(len(rows), truth.shape[1:]):
            chosen = rows[at]
            parts.append(competition.tally(truth[chosen], decidable(stored[chosen]), decisions))
            places.append(chosen)
    made = joined(parts)
    return made if len(decided) == 1 else made[np.argsort(np.concatenate(places))]


def confusions(competition: Competition, truth: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """Confusion matrices int64 (n, C, C) of labels or masks (n, ...) and stored probabilities (n, C, ...)."""

    def parts() -> Iterator[np.ndarray]:
        for at in chunks(len(truth), truth.shape[1:]):
            predicted = competition.decode(probabilities(stored[at]))
            yield confusion_by_sample(truth[at], predicted, len(competition.task.classes))

    return np.concatenate(list(parts()))


def open_labelled(competition: Competition, workspace: Workspace, table: pd.DataFrame | None = None) -> Labelled:
    """The workspace's data with its folds, or with this table of folds.

    UserError where one is missing, or the folds are of other data or another cleaning list.
    """
    dataset, table = open_dataset(workspace.data), read_folds(workspace) if table is None else table
    check_undivided(table, dataset.groups, workspace)
    changed, tests, new = relabels(table), len(dataset.test_images), np.flatnonzero(newcomers(table))
    mended = relabel(dataset.targets, changed)
    native, test_places = None, None
    if dataset.places is not None and dataset.sizes is not None and dataset.native is not None:
        native = Native(Places.of_stored(dataset.places, dataset.sizes), dataset.native)
        _check_whole(native.places, table["fold"].to_numpy())
    if dataset.test_places is not None and dataset.test_sizes is not None:
        test_places, tests = Places.of_stored(dataset.test_places, dataset.test_sizes), len(dataset.test_sizes)
    return Labelled(
        competition=followed(competition, workspace),
        workspace=workspace,
        images=dataset.images,
        truth=relabel(dataset.targets, np.stack([new, np.full(len(new), UNKNOWN)], axis=1)),
        targets=mended,
        trained=trained_on(table),
        ids=dataset.ids,
        test_images=dataset.test_images,
        fold=table["fold"].to_numpy(),
        group=table["group"].to_numpy(),
        relabels=changed,
        obeyed=obeyed_in(table),
        data_hash=data_hash(workspace.data),
        folds_hash=folds_hash(table),
        test_ids=np.arange(tests) if dataset.test_ids is None else dataset.test_ids,
        names=dataset.called,
        table=dataset.table,
        test_table=dataset.test_table,
        columns=columns_of(dataset.columns),
        native=native,
        test_places=test_places,
        newcomers=np.stack([new, mended[new]], axis=1) if len(new) else np.empty((0, 2), np.int64),
    )


def _check_whole(places: Places, fold: np.ndarray) -> None:
    """UserError where samples of a picture, which is scored as a whole, are validated in different folds."""
    for picture, rows in enumerate(places.samples):
        folds = np.unique(fold[rows][fold[rows] >= 0])
        if len(folds) > 1 or (len(folds) == 1 and (fold[rows] == HELD_OUT).any()):
            raise UserError(
                f"samples of picture {picture} are in several folds; a picture is scored as a whole: run "
                "`compete folds --split groups`"
            )
