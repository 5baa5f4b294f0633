"""All scores of a finished run beside its clean one, each added to its metrics once."""

import time
from typing import Any

from toolkit.outcome import counted, interval
from toolkit.progress import Progress
from toolkit.runs import Run
from toolkit.scoring import stress
from toolkit.scoring.corruption_suite import VERSION
from toolkit.scoring.matched_to_test import open_match, predict_matched, store_matched
from toolkit.store import read_manifest, write_json
from toolkit.training.workers import turns


def add_scores(run: Run, wanted: str, deadline: float | None, device: str, progress: Progress) -> None:
    """The stress score and, where there are test images, the test-matched score; says what was added.

    wanted: `none`, `auto` (as many corrupted images as a share of the training time allows) or `full`.
    """
    if wanted == "none":
        return
    metrics = run.metrics

    def add(kind: str, name: str, score: dict[str, Any], how: str) -> None:
        metrics[kind] = score
        write_json(run.metrics_path, metrics)
        progress.say(f"{run.name}: {name} {run.labelled.competition.metric.name} {interval(score)}, {how}")

    known = metrics["stress"]
    lost = read_manifest(run.stress_folder) is None
    if known is None or known["version"] != VERSION or (wanted == "full" and known["share"] < 1) or lost:
        seconds = _stress_seconds(run, deadline, device) if wanted == "auto" else None
        known = stress.store_stress(run, device, seconds)
        share = f"{known['triples']:,} corrupted images ({known['share']:.2%} of the suite)"
        add("stress", "stress", known, f"on {share} in {known['seconds']:.0f} s")
    if not run.labelled.shows_how_tests_look:
        return
    folder = run.labelled.workspace.match
    before = read_manifest(folder)
    found = open_match(run.labelled)
    new = read_manifest(folder) != before
    if (metrics.get("matched") or {}).get("match") != found.hash or not run.matched_folder.exists():
        score = store_matched(run, found, predict_matched(run, found, device))
        rgb = run.labelled.competition.rgb
        how = found.words(rgb) if new else f"on {counted(len(found.rows), 'image')} like them"
        add("matched", "test-matched", score, how)


def _stress_seconds(run: Run, deadline: float | None, device: str) -> float:
    folds = run.labelled.folds
    seconds = stress.SHARE * run.seconds * turns(device, folds) / folds  # of the time that it took, side by side
    return seconds if deadline is None else min(seconds, deadline - time.monotonic())
