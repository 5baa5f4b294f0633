"""What it is worth to adapt a run's networks to the images that they predict, and by which share, found out of fold.

Each fold's network adapts (`networks/adapted.py`) to that fold's images, all together, worn as a test set is: where
the test images are at hand, as `matched_to_test` finds them to be, which may be not at all; else each by a corruption
of the suite at a severity by lot, and some by none. Labels are looked at for the score alone. The share is
chosen for each fold on the others, so its score is cross-fitted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from toolkit.data.labelled import Labelled
from toolkit.decisions.decide import Decisions
from toolkit.metrics.tally import Tally
from toolkit.networks.adapted import adapted, adapts
from toolkit.networks.devices import resolve_device
from toolkit.networks.predict import predict
from toolkit.probabilities import (
    Mix,
    as_stored,
    chunks,
    no_values,
    open_probabilities,
    value_type,
    write_probabilities,
)
from toolkit.runs import Run
from toolkit.scoring.comparison import compare
from toolkit.scoring.corruption_suite import VERSION, count_cells
from toolkit.scoring.decided import mixed_decisions, tally_by_fold
from toolkit.scoring.matched_to_test import ARRAYS, CLEAN, Match, corrupted, open_match
from toolkit.scoring.out_of_fold import with_interval
from toolkit.scoring.stress_sampling import SEED
from toolkit.scoring.weighted import weigh
from toolkit.store import atomic, read_json, read_manifest, write_json, write_manifest

SHARES = (0.25, 0.5, 0.75, 1.0)  # that are tried, beside none
MOST = 1024  # images, of all folds together,
BYTES = 2**26  # whose values, of one share, take no more
# of the best share's gain that a smaller one has to have: on tiles of other panoramas than any fold had seen the best
# one out of fold, a whole share, gained nothing, and .25 what it had gained there
ENOUGH = 2 / 3
UNWORN = 1 / 6  # of the images, where nobody knows how test images look
PLAIN, CHOSEN = "plain.npy", "chosen.npy"  # values of the worn images, without and with what each fold chose


@dataclass(frozen=True)
class Adaptation:
    """share: of the test's statistics, chosen on all folds; by_fold: on the others than each; scores: by share."""

    share: float
    by_fold: tuple[float, ...]
    scores: dict[str, float]


def may_adapt(labelled: Labelled) -> bool:
    """May what is handed in follow from what the test images have in common? Code sees them where it runs."""
    competition = labelled.competition
    seen = competition.try_submission is not None or labelled.may_look_at_test_images
    return competition.rules.adapting and seen


def worn_images(labelled: Labelled) -> Match:
    """A batch of each fold's images as a test set may be, MOST in all."""
    size = labelled.competition.task.channels * int(np.prod(labelled.truth.shape[1:] if labelled.masks else ()))
    most = int(np.clip(BYTES // size, 1, MOST))
    rng, inside = np.random.default_rng(SEED), np.flatnonzero(labelled.inside)
    if labelled.shows_how_tests_look:
        match = open_match(labelled)
        at = np.sort(rng.permutation(len(match.rows))[:most])
        return replace(match, **{name: getattr(match, name)[at] for name in ARRAYS})
    rows = np.sort(rng.permutation(inside)[:most])
    cells = rng.integers(count_cells(labelled.competition.rgb), size=len(rows))
    cells[rng.random(len(rows)) < UNWORN] = CLEAN
    truth = np.array(labelled.truth[rows])
    if labelled.masks:
        _, moved = corrupted(labelled.images, labelled.truth, rows, cells, labelled.competition.rgb)
        assert moved is not None
        truth = moved
    return Match(rows, cells, truth, np.ones(len(rows)), np.nan, np.nan)


def folder_of(run: Run) -> Path:
    """What its networks say of worn images, and the share that was chosen by it."""
    return run.folder / "adapted"


def _remedy(run: Run) -> str:
    return f"remove {folder_of(run)} and run `compete ensemble` again"


def adaptation(run: Run, worn: Match, device: str, asked: float | None = None) -> Adaptation:
    """The share by which a run's networks adapt best, found once and kept with what they say of the worn images.

    asked: that share, whatever it is worth. A network without batch norm has nothing to adapt: 0 is chosen.
    """
    folder, shares = folder_of(run), SHARES if asked is None else (asked,)
    made_from = {"run": run.bits, "worn": worn.hash, "suite": VERSION, "shares": list(shares)}
    if read_manifest(folder) != made_from:
        values, chosen = _tried(run, worn, shares, asked, resolve_device(device))
        with atomic(folder) as partial:
            partial.mkdir()
            kept = np.dtype(np.uint8) if run.labelled.masks else value_type(run.labelled.competition.task)
            for name, each in zip((PLAIN, CHOSEN), values, strict=True):
                write_probabilities(partial / name, [each], each.shape, kept)
            scores = {"share": chosen.share, "by_fold": chosen.by_fold, "scores": chosen.scores}
            write_json(partial / "choice.json", scores)
            write_manifest(partial, made_from)
    known = read_json(folder / "choice.json", "share", "by_fold", "scores", remedy=_remedy(run))
    return Adaptation(known["share"], tuple(known["by_fold"]), known["scores"])


def _tried(
    run: Run, worn: Match, shares: Sequence[float], asked: float | None, device: torch.device
) -> tuple[tuple[np.ndarray, np.ndarray], Adaptation]:
    labelled, decisions = run.labelled, run.fold_decisions
    fold, folds = labelled.fold[worn.rows], range(labelled.folds)
    tried = (0.0, *shares) if adapts(run.network(0, device)) else (0.0,)
    values = _values(run, worn, tried, device)
    tallies = {share: _tally(labelled, worn, values[share], decisions) for share in tried}
    sign = labelled.competition.metric.sign

    def best(rows: np.ndarray) -> float:
        if asked is not None:
            return tried[-1]
        return smallest_enough({share: sign * tally[rows].score() for share, tally in tallies.items()})

    every = np.arange(len(fold))
    by_fold = tuple(best(every[fold != k]) for k in folds)
    chosen = no_values(values[0.0].shape, values[0.0].dtype)
    for k, share in zip(folds, by_fold, strict=True):
        chosen[every[fold == k]] = values[share][every[fold == k]]
    scores = {f"{share:g}": tally.score() for share, tally in tallies.items()}
    return (values[0.0], chosen), Adaptation(best(every), by_fold, scores)


def smallest_enough(merits: Mapping[float, float]) -> float:
    """The smallest share that gains ENOUGH of what the best one does; merits: by share, more is better."""
    known = {share: merit for share, merit in merits.items() if not np.isnan(merit)}
    if 0.0 not in known:
        return 0.0
    most = max(known.values()) - known[0.0]
    return min(share for share, merit in known.items() if merit - known[0.0] >= ENOUGH * most)


def _values(run: Run, worn: Match, tried: Sequence[float], device: torch.device) -> dict[float, np.ndarray]:
    """By share: values (n, channels, ...) of worn images as they are stored, each by the network of its own fold."""
    labelled, precision = run.labelled, precision_of(run)
    competition, fold = labelled.competition, labelled.fold[worn.rows]
    kind = np.dtype(np.uint8) if labelled.masks else value_type(competition.task)
    values = {share: no_values(labelled.probability_shape(len(fold)), kind) for share in tried}
    for k in np.unique(fold):
        own = np.flatnonzero(fold == k)
        rows, network = worn.rows[own], run.network(int(k), device)
        size, table = competition.task.image_shape[:2], labelled.table_of(rows)
        images = corrupted(run.images, None, rows, worn.cells[own], competition.rgb, size)[0]
        for share in tried:
            with adapted(network, images, share, device, precision, table) as moved:
                part = predict(moved, images, competition.scored, device, precision, table=table)
            values[share][own] = as_stored(part, kind)
    return values


def precision_of(run: Run) -> str:
    """In which its networks predict what is handed in: code computes in float32."""
    return run.recipe.precision if run.labelled.competition.try_submission is None else "float32"


def _tally(labelled: Labelled, worn: Match, values: np.ndarray, decisions: Sequence[Decisions]) -> Tally:
    fold = labelled.fold[worn.rows]
    return weigh(tally_by_fold(labelled.competition, worn.truth, values, fold, decisions), worn.weights)


def blend_adaptation(
    runs: Sequence[Run], worn: Match, mix: Mix, decisions: Sequence[Decisions] | None = None
) -> dict[str, Any]:
    """What adapting is worth to a blend of runs for which `adaptation` was found: `score` of the worn images with it,
    its interval `low` and `high` from `groups`, `plain` without it, the `gain` with `gain_low` and `gain_high` and
    how `sure` it is, of so many `samples`, so many of them `worn`; `unworn`: scores without it and with it of the
    others, where there are some of both.

    decisions: of each fold; fitted on what the blend makes of the runs out of fold, if there are none.
    """
    labelled = runs[0].labelled
    fold, group = labelled.fold[worn.rows], labelled.group[worn.rows]
    decided = mixed_decisions(runs, mix) if decisions is None else decisions
    tallies = []
    for name in (PLAIN, CHOSEN):
        parts = [open_probabilities(folder_of(run) / name, _remedy(run)) for run in runs]
        mixed = no_values(parts[0].shape, value_type(labelled.competition.task))
        for at in chunks(len(mixed), mixed.shape[2:]):
            mixed[at] = mix([part[at] for part in parts], fold[at])
        tallies.append(_tally(labelled, worn, mixed, decided))
    plain, moved = tallies
    found, clean = compare([moved], plain, group)[0], np.flatnonzero(worn.cells == CLEAN)
    return {
        **with_interval(moved, group),
        "plain": plain.score(),
        "gain": found.sign * found.difference,
        "gain_low": min(found.sign * found.low, found.sign * found.high),
        "gain_high": max(found.sign * found.low, found.sign * found.high),
        "sure": found.sure,
        "samples": len(worn.rows),
        "worn": len(worn.rows) - len(clean),
        "unworn": [one[clean].score() for one in tallies] if 0 < len(clean) < len(worn.rows) else None,
    }


def gains(found: Mapping[str, Any]) -> bool:
    """Is it better to adapt? Sure or not: on cells .013 (-.028 to .050) out of fold was .033 on the hidden ones."""
    return bool(found["gain"] > 0)
