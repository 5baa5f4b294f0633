"""What is handed in, scored on samples that nothing was trained on or chosen by.

Out of fold each sample is judged by one network, while a submission is the mean of all; and runs, views and blends are
chosen by the samples that they are scored on. The held-out samples meet the submission alone, and are predicted as its
test images are. Keeping the best of several blends is a choice too, so those that were scored are counted.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from toolkit.blending.blend_folder import Blend
from toolkit.claims import in_turn
from toolkit.data.labelled import Labelled
from toolkit.data.placed import placed_tally
from toolkit.decisions.decide import PLAIN, Decisions
from toolkit.decisions.fit import fit_stored
from toolkit.metrics.tally import Tally
from toolkit.outcome import Warned, counted, interval
from toolkit.partial_files import scratch as scratch_folder
from toolkit.predictions import Predictions
from toolkit.probabilities import open_probabilities
from toolkit.progress import SILENT, Progress
from toolkit.scoring.decided import tally_by_fold
from toolkit.scoring.out_of_fold import by_class, with_interval
from toolkit.store import hash_json, read_json, write_json
from toolkit.submission.predicted_anew import blended_runs, predict_blend


def holdout_score(blend: Blend, device: str = "auto", progress: Progress = SILENT) -> dict[str, Any] | None:
    """The score of a finished blend on the held-out samples, measured once; None where there are none.

    As `score_held_out`, with the same of each run that has a share in `runs`, and `look` of `looks`: it is that one of
    so many blends that were scored on these samples. It is kept in the blend's metrics.

    None, too, where the blend's runs are on other folds than the present ones. UserError where their weights are gone,
    or are others by now.
    """
    labelled = blend.labelled
    if not labelled.held_out.any() or not blend.is_current:
        return None
    found = blend.metrics.get("holdout")
    fresh = found is None
    found = found or _score(blend, device, progress)
    looks = _look(labelled, blend.hash)  # before the score can be seen
    if fresh:
        write_json(blend.metrics_path, blend.metrics | {"holdout": found})
    return {**found, "look": looks.index(blend.hash) + 1, "looks": len(looks)}


def holdout_words(found: Mapping[str, Any], metric: str) -> list[str | Warned]:
    """What is to be said of it."""
    first = f"held out, as it is handed in: {metric} {interval(found)} on {counted(found['samples'], 'sample')}"
    return [first, *map(Warned, other_looks(found))]


def other_looks(found: Mapping[str, Any]) -> list[str]:
    """A sentence where other blends were scored, too."""
    if found["looks"] == 1:
        return []
    return [
        f"this is the {ordinal(found['look'])} of {found['looks']} blends that were scored on the held-out samples: "
        "to choose among them by this score makes it kinder than the leaderboard will be"
    ]


def ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{ending}"


def _look(labelled: Labelled, blend: str) -> list[str]:
    """Hashes of the blends that were scored on these held-out samples, the first first, with this one among them."""
    path = labelled.workspace.holdout
    samples = hash_json([labelled.data_hash, labelled.ids[labelled.held_out].tolist()])
    with in_turn(path.with_name(f".{path.name}.lock"), "the list of blends that were scored on the held-out samples"):
        known = read_json(path, holds=dict[str, list[str]]) if path.exists() else {}
        looks: list[str] = known.get(samples, [])
        if blend not in looks:
            looks = [*looks, blend]
            write_json(path, known | {samples: looks})
    return looks


def _score(blend: Blend, device: str, progress: Progress) -> dict[str, Any]:
    labelled, runs = blend.labelled, blended_runs(blend)
    progress.say(f"predicting {int(labelled.held_out.sum()):,} held-out samples as the submission does")
    with progress.phase("held-out samples"), scratch_folder(labelled.workspace.ensemble) as scratch:
        stored = predict_blend(blend, runs, np.flatnonzero(labelled.held_out), device, blend.holdout_path, scratch)
        by_run = {
            run.name: score_held_out(labelled, each, _decisions(run)) for run, each in zip(runs, stored, strict=True)
        }
    remedy = f"remove {blend.holdout_path} and run `compete submit` again"
    handed_in = open_probabilities(blend.holdout_path, remedy)
    return score_held_out(labelled, handed_in, _decisions(blend)) | {"runs": by_run}


def score_held_out(labelled: Labelled, stored: np.ndarray, decisions: Decisions = PLAIN) -> dict[str, Any]:
    """The official metric of values (H, channels, ...) of the held-out samples, in their order.

    As `with_interval`, with the number of `samples`, and `by_class`. Against the labels in the file: no cleaning list
    mends those of the hidden test set.
    """
    competition, rows = labelled.competition, np.flatnonzero(labelled.held_out)
    counted: Tally
    if labelled.native is None:
        counted = tally_by_fold(competition, labelled.truth[rows], stored, np.zeros(len(rows), np.int64), [decisions])
    else:
        at = np.full(len(labelled.fold), -1)
        at[rows] = np.arange(len(rows))
        counted = placed_tally(competition, labelled.native, stored, at, [decisions] * len(at))
    found = with_interval(counted, labelled.group[rows])
    return {**found, "samples": len(rows), **by_class(competition, counted)}


def _decisions(predictions: Predictions) -> Decisions:
    """What is decided for samples in no fold, by what was predicted out of fold; a blend's are stored with it."""
    own: Decisions | None = getattr(predictions, "decisions", None)
    if own is not None:
        return own
    labelled, of = predictions.labelled, predictions.labelled.competition
    rows = np.flatnonzero(labelled.inside)
    return fit_stored(of.task, of.metric, labelled.truth, predictions.oof, rows, of.scored)
