"""What a run leaves: its folds' networks and predictions, stored, chosen and merged."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from toolkit.checked import checked, noted, readable
from toolkit.competition import load_competition
from toolkit.competition_code import CODE, code_of
from toolkit.data.image_sets import ImageSets, part_of
from toolkit.data.labelled import Labelled
from toolkit.leftovers import forget, of_no_use, of_no_use_to
from toolkit.metrics.tally import Tally, joined
from toolkit.networks.devices import resolve_device
from toolkit.networks.network import Network, head_of
from toolkit.networks.outputs import POOLING
from toolkit.networks.pooling import KINDS as POOLINGS
from toolkit.networks.predict import BATCH, at_once, predict, predict_features
from toolkit.probabilities import chunks, no_values, probabilities, read, value_type, write_probabilities
from toolkit.probabilities import open_probabilities as opened
from toolkit.progress import SILENT, Done, Progress
from toolkit.run_folds import RunFold
from toolkit.runs import Run
from toolkit.scoring.decided import tally_within
from toolkit.scoring.out_of_fold import write_oof
from toolkit.store import MANIFEST, atomic, write_json, write_manifest
from toolkit.training.fold import FoldResult
from toolkit.training.frozen_features import images_source, network_source, plain_features
from toolkit.training.jobs import FoldJob, Trained
from toolkit.training.phases import TESTS

ValuesAt = Callable[[slice], np.ndarray]  # of some of the images
KINDS = ("last", "averaged")  # a fold's two sets of weights, until one is chosen
POOLED = ("last_max", "averaged_max")  # the same with the maximum over a set's images in place of the mean


def store_fold(job: FoldJob, result: FoldResult) -> None:
    """Leave weights, out-of-fold probabilities and history in the fold's folder, and remove what it needed."""
    place = job.place
    for folder in (place.folder.parent, place.folder):  # the run's own predictions are of other weights from now on
        (folder / MANIFEST).unlink(missing_ok=True)
    competition = load_competition(job.competition)
    kept = value_type(competition.task)
    _store_trained(place, result.main, kept)
    averaged = {} if result.averaged is None else {"averaged": result.averaged}
    endings = {"last": result.main, **averaged, **result.pooled}
    for kind, trained in endings.items() if len(endings) > 1 else ():
        _store_trained(place, trained, kept, kind)
    write_json(place.history_path, result.history)
    code = code_of(competition.build_model, competition.folder)
    made_by = {"fold": job.fold, "complete": result.complete, "seconds": result.seconds, CODE: code}
    write_manifest(place.folder, made_by, competition.folder)
    forget(of_no_use_to(place.folder))


def _store_trained(place: RunFold, trained: Trained, kept: np.dtype, kind: str = "") -> None:
    weights, oof = place.variant(kind) if kind else (place.weights, place.oof_path)
    write_probabilities(oof, [trained.probabilities], trained.probabilities.shape, kept)
    with atomic(weights) as partial:
        save_file(trained.weights, partial)


def choose_averages(run: Run) -> list[int]:
    """The folds that keep the recipe's average over epochs: those where it gained on the *other* folds.

    In the same way each keeps the mean or the maximum over a set's images, where the recipe leaves that to the folds.
    A fold's own score decides on nothing, so it stays out of fold for these choices too.
    """
    labelled, folds = run.labelled, run.folds
    there = [kind for kind in (*KINDS, *POOLED) if all(fold.variant(kind)[1].exists() for fold in folds)]
    if len(folds) < 2 or len(there) < 2:
        return []

    def counted(fold: RunFold, kind: str) -> Tally:
        rows = labelled.rows(fold.number)
        stored, group = opened(fold.variant(kind)[1]), labelled.group[rows]
        made = tally_within(labelled.competition, labelled.truth[rows], stored, group)
        return made.by_group(np.zeros(len(rows), np.int64))  # a row a fold

    kinds = {kind: joined([counted(fold, kind) for fold in folds]) for kind in there}
    chosen = []
    for fold in folds:
        rest = [other.number for other in folds if other is not fold]
        others = {kind: each[rest].score() for kind, each in kinds.items()}
        kind = there[0]
        for other in there[1:]:
            kind = other if labelled.competition.better(others[other], others[kind]) else kind
        chosen += [fold.number] if kind.startswith("averaged") else []
        for path, source in zip((fold.weights, fold.oof_path), fold.variant(kind), strict=True):
            with noted(path) as partial:
                shutil.copyfile(checked(source, fold.remedy(source)), partial)
    return chosen


def pooling(run: Run) -> list[str]:
    """How each fold's network pools the images of a set; none where samples are images."""
    found = []
    for fold in run.folds:
        path = fold.weights
        with readable(path, fold.remedy(path)), safe_open(checked(path, fold.remedy(path)), "pt") as weights:
            if POOLING in weights.keys():  # noqa: SIM118
                found.append(POOLINGS[int(weights.get_tensor(POOLING))])
    return found


class Together:
    """The folds' predictions as one array (N, channels, ...) in the order of the data, of which no more is in memory
    than is asked for: masks can be larger than that. Samples in no fold have zeros.
    """

    def __init__(self, labelled: Labelled, parts: Sequence[np.ndarray]) -> None:
        self.fold, self.parts = labelled.fold, parts
        self.shape, self.dtype = labelled.probability_shape(len(labelled.fold)), parts[0].dtype
        self.place = np.zeros(len(labelled.fold), np.int64)  # of a row in the predictions of its fold
        for k in range(labelled.folds):
            rows = labelled.rows(k)
            self.place[rows] = np.arange(len(rows))

    def __len__(self) -> int:
        return len(self.fold)

    def __getitem__(self, at: slice | np.ndarray) -> np.ndarray:
        rows = np.arange(len(self.fold))[at]
        found = np.zeros((len(rows), *self.shape[1:]), self.dtype)
        for k, part in enumerate(self.parts):
            here = self.fold[rows] == k
            found[here] = read(part, self.place[rows[here]])
        return found


def forget_spare(run: Run) -> None:
    """Remove what a finished run needs no more, and of masks what there is twice."""
    forget(of_no_use(run.folder))


def _restore_oof(run: Run, device_name: str) -> None:
    """Leave a fold's own predictions where they were removed, as those of masks are once the run has them all: from
    the run's, or where these are gone too from its network.
    """
    labelled, competition = run.labelled, run.labelled.competition
    device = resolve_device(device_name)

    def parts(fold: RunFold, rows: np.ndarray) -> Iterator[np.ndarray]:
        if run.oof_path.exists():
            yield from (probabilities(run.oof[rows[at]]) for at in chunks(len(rows), shape[2:]))
            return
        network, precision = run.network(fold.number, device), run.recipe.precision
        for at in chunks(len(rows), shape[2:], at_once(run.images, BATCH)):
            known = labelled.table_of(rows[at])
            yield predict(network, part_of(run.images, rows[at]), competition.scored, device, precision, table=known)

    for fold in run.folds:
        if not fold.oof_path.exists():
            rows = labelled.rows(fold.number)
            shape = labelled.probability_shape(len(rows))
            write_probabilities(fold.oof_path, parts(fold, rows), shape, value_type(competition.task))


def store_oof(run: Run, device_name: str = "auto") -> dict[str, Any]:
    """Merge the folds' predictions in the order of the data; the clean score."""
    labelled = run.labelled
    _restore_oof(run, device_name)
    if labelled.masks:
        together: Any = Together(labelled, [fold.oof for fold in run.folds])
        return write_oof(run.oof_path, together, labelled)
    merged = no_values(labelled.probability_shape(len(labelled.truth)), value_type(labelled.competition.task))
    for fold in run.folds:
        merged[labelled.rows(fold.number)] = fold.oof
    return write_oof(run.oof_path, merged, labelled)


def store_test(run: Run, device_name: str, progress: Progress = SILENT) -> None:
    """Average the folds' predictions of the test images; a backbone that all of them left as it was is asked once."""
    device, labelled = resolve_device(device_name), run.labelled
    networks, images = run.networks(device), run.test_images
    shape = labelled.probability_shape(len(images))
    values = [
        _of_head(run, network, images, device) or _of_whole(run, network, images, device) for network in networks
    ]

    def averages(done: Done) -> Iterator[np.ndarray]:
        for at in chunks(len(images), shape[2:], at_once(images, BATCH)):
            means = []
            for values_at in values:
                means.append(values_at(at))
                done((at.stop - at.start) / len(values))
            yield np.mean(means, axis=0)

    kind = run.oof.dtype  # uint8 where that does not change the score
    with progress.counting(TESTS, len(images)) as done:
        write_probabilities(run.test_path, averages(done), shape, kind)


def _of_whole(run: Run, network: nn.Module, images: np.ndarray, device: torch.device) -> ValuesAt:
    scored, precision = run.labelled.competition.scored, run.recipe.precision
    known = run.labelled.test_table_of
    return lambda at: predict(network, part_of(images, at), scored, device, precision, table=known(at))


def _of_head(run: Run, network: nn.Module, images: np.ndarray, device: torch.device) -> ValuesAt | None:
    """From the stored features of the images, where the recipe trained a head alone."""
    labelled, recipe = run.labelled, run.recipe
    competition, precision = labelled.competition, recipe.precision
    head = head_of(network, competition.task) if recipe.schedule.freeze == 1 else None
    if head is None or isinstance(images, ImageSets):
        return None
    assert isinstance(network, Network)
    source = images_source(labelled.data_hash, "test_images", recipe, images)
    source += network_source(competition, recipe)
    features = plain_features(network, images, source, precision, device, labelled.workspace.features)
    scored, known = competition.scored, labelled.test_table_of
    return lambda at: predict_features(network, head, features[at], scored, device, precision, table=known(at))
