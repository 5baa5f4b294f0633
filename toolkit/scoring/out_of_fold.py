"""Out-of-fold predictions: made on whatever becomes of a sample, scored, and stored with their score."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from toolkit.checked import noted
from toolkit.competition import Competition
from toolkit.data.labelled import Labelled, tally
from toolkit.decisions.decide import PLAIN, Decisions
from toolkit.metrics.confusion import ConfusionMetric, MeanIoU
from toolkit.metrics.many_classes import ManyClasses
from toolkit.metrics.tally import Counts, Tally
from toolkit.networks.predict import at_once, predict
from toolkit.predictions import NATIVE
from toolkit.probabilities import chunks, decidable, open_probabilities, probabilities, value_type, write_probabilities
from toolkit.runs import Run
from toolkit.scoring.bootstrap import class_intervals, score_interval

QUANTISATION = 1e-4  # of the score, that storing masks' probabilities in 8 bits may change
BATCH = 128
SHOWN, WORST = 100, 30  # classes whose scores are all kept, and how many of more


def predict_out_of_fold(
    run: Run,
    rows: np.ndarray,
    alter: Callable[[np.ndarray], np.ndarray],
    device: torch.device,
    networks: Sequence[nn.Module] | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places `at` in `rows` and the probabilities float32 (n, C, ...) there, each by the network of its own fold.

    rows: of the data, any of them any number of times, all in a fold. alter(at): images (n, H, W, C) in place of those
    of rows[at], beside which a table stays as it is; BATCH of them, fewer of large ones, are asked for at a time, fold
    by fold, in the order of `rows`. networks: of the folds, where they are loaded already.
    """
    fold, scored = run.labelled.fold[rows], run.labelled.competition.scored
    together = at_once(run.images, BATCH)
    for k in np.unique(fold):
        network = networks[k] if networks is not None else run.network(int(k), device)
        own = np.flatnonzero(fold == k)
        for start in range(0, len(own), together):
            at = own[start : start + together]
            table = run.labelled.table_of(rows[at])
            yield at, predict(network, alter(at), scored, device, run.recipe.precision, table=table)


def score(
    labelled: Labelled,
    stored: np.ndarray,
    decisions: Sequence[Decisions] | None = None,
    counted: Tally | None = None,
) -> dict[str, Any]:
    """The official metric of out-of-fold values (N, channels, ...): `score`, its 95 % interval `low` and `high` and
    the number of `groups` that it rests on, `by_fold` (None for a fold in which it isn't defined), `by_class` with its
    `by_class_interval` [low, high] (None for a class that has no sample; both empty for a metric that scores none),
    and for mean IoU its `readings`. Of more than SHOWN classes the worst are kept (`by_class`). What has to be
    decided is decided by the other folds, if no decisions are given, one a fold.

    All on the file's labels, as those of a hidden test set are; labels that were mended by what a network predicted
    would flatter it. Where some are relabelled, `mended` has `score`, `low`, `high` and `groups` on those.
    `decisions`: those of each fold that were fitted here, if there are any. counted: the tally, where it is at hand.
    """
    decided = labelled.decisions(stored) if decisions is None else decisions
    made = labelled.tally(stored, decided) if counted is None else counted
    fold, group = labelled.fold[labelled.inside], labelled.group[labelled.inside]
    result: dict[str, Any] = {
        **with_interval(made, group),
        "by_fold": [defined(made[fold == k].score()) for k in range(labelled.folds)],
        **by_class(labelled.competition, made, group),
    }
    metric = made.metric
    if isinstance(metric, MeanIoU) and isinstance(made, Counts):
        result["readings"] = metric.readings(made.whole, labelled.competition.scored)
    if len(labelled.relabels):
        result["mended"] = with_interval(tally(labelled, labelled.targets, stored, decided), group)
    if decisions is None and any(one != PLAIN for one in decided):
        result["decisions"] = [asdict(one) for one in decided]
    return result


def with_interval(made: Tally, group: np.ndarray) -> dict[str, Any]:
    """The official metric `score` of a tally of n samples, its 95 % interval `low` and `high`, and the number of
    `groups` (n,) that it rests on.
    """
    low, high = score_interval(made, group)
    return {"score": made.score(), "low": low, "high": high, "groups": len(np.unique(group))}


def by_class(competition: Competition, made: Tally, group: np.ndarray | None = None) -> dict[str, Any]:
    """`by_class` of a tally of n samples, and with groups (n,) its `by_class_interval`.

    Of more than SHOWN classes those WORST that have samples, the worst first, and `classes`: how many there are.
    """
    metric, found = competition.metric, made.by_class()
    names = metric.classes(competition.task, competition.scored)
    shown = [] if found is None else [at for at, name in enumerate(names) if name not in metric.ignore]
    many = {}
    if found is not None and len(shown) > SHOWN:
        many = {"classes": len(shown)}
        shown = worst_classes(made, found, np.array(shown)).tolist()
    # of a class that is neither there nor predicted IoU, F1 and recall have always been stored as 0
    missing = 0.0 if isinstance(metric, ConfusionMetric) else None
    values = {names[at]: missing if found is None or np.isnan(found[at]) else float(found[at]) for at in shown}
    if group is None:
        return {"by_class": values, **many}
    each = class_intervals(made, group, np.array(shown) if many else None)
    ends = dict(zip(shown, each, strict=True)) if many else dict(enumerate(each))
    return {"by_class": values, **many, "by_class_interval": {names[at]: list(ends[at] or ()) or None for at in shown}}


def worst_classes(made: Tally, found: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Places (WORST,) of the classes with the worst scores (C,), of equal ones those with the most samples first."""
    counts = np.bincount(made.truth, minlength=len(found)) if isinstance(made, ManyClasses) else np.ones(len(found))
    kept = among[(counts[among] > 0) & ~np.isnan(found[among])]
    worst: np.ndarray = kept[np.lexsort((-counts[kept], made.metric.sign * found[kept]))][:WORST]
    return worst


def defined(score: float) -> float | None:
    """None where a part lacks what the metric needs, such as one of two classes."""
    return None if np.isnan(score) else score


def write_oof(
    path: Path, values: np.ndarray, labelled: Labelled, decisions: Sequence[Decisions] | None = None
) -> dict[str, Any]:
    """Store values (N, channels, ...) as small as the metric allows; their score as read back, as `score` has it."""
    kind = value_type(labelled.competition.task)
    if labelled.native is not None:
        return _write_native(path, values, labelled, decisions)
    if labelled.masks:
        exact = score(labelled, values, decisions)
        write_probabilities(
            path, (probabilities(values[at]) for at in chunks(len(values), values.shape[2:])), values.shape, np.uint8
        )
        stored = score(labelled, open_probabilities(path), decisions)
        if abs(stored["score"] - exact["score"]) < QUANTISATION:
            return stored
    write_probabilities(
        path, (decidable(values[at]) for at in chunks(len(values), values.shape[2:])), values.shape, kind
    )
    return score(labelled, open_probabilities(path), decisions)


def _write_native(
    path: Path, values: np.ndarray, labelled: Labelled, decisions: Sequence[Decisions] | None
) -> dict[str, Any]:
    """As `write_oof`, of masks that are scored at the size of their pictures.

    How they are stored is chosen at the size of the task, at which corruptions and choices are scored too: `resized`
    has that score, with its interval, to compare these with.
    """
    kind: Any = np.uint8
    parts, group = (
        (probabilities(values[at]) for at in chunks(len(values), values.shape[2:])),
        labelled.group[labelled.inside],
    )
    write_probabilities(path, parts, values.shape, kind)
    exact, stored = (tally(labelled, labelled.truth, one, decisions) for one in (values, open_probabilities(path)))
    if abs(stored.score() - exact.score()) >= QUANTISATION:
        kind = value_type(labelled.competition.task)
        write_probabilities(
            path, (decidable(values[at]) for at in chunks(len(values), values.shape[2:])), values.shape, kind
        )
        stored = tally(labelled, labelled.truth, open_probabilities(path), decisions)
    return _score_native(path, labelled, decisions) | {"resized": with_interval(stored, group)}


def _score_native(path: Path, labelled: Labelled, decisions: Sequence[Decisions] | None) -> dict[str, Any]:
    """The score of stored values; what is counted for it is kept beside them."""
    found = open_probabilities(path)
    counted = labelled.tally(found, decisions)
    with noted(path.with_name(NATIVE)) as partial, open(partial, "wb") as file:
        arrays: dict[str, Any] = counted.arrays()
        np.savez(file, **arrays)
    return score(labelled, found, decisions, counted)


def score_stored(path: Path, labelled: Labelled) -> dict[str, Any]:
    """As `write_oof`, of values that were stored before, for another metric."""
    stored = open_probabilities(path)
    if labelled.native is None:
        return score(labelled, stored)
    resized = tally(labelled, labelled.truth, stored, None)
    found = _score_native(path, labelled, None)
    return found | {"resized": with_interval(resized, labelled.group[labelled.inside])}
