"""All scores of a finished run beside its clean one, each added to its metrics once; all of them by another metric."""

import time
from typing import Any

from toolkit.competition import by_matrix
from toolkit.outcome import counted, interval
from toolkit.progress import SILENT, Progress
from toolkit.runs import Run, best_run, current_runs
from toolkit.scoring import stress
from toolkit.scoring.corruption_suite import VERSION
from toolkit.scoring.matched_to_test import kept_of_match, matched_score, open_match, predict_matched, store_matched
from toolkit.scoring.out_of_fold import score_stored
from toolkit.scoring.stress_sampling import Evidence, all_triples, score_triples
from toolkit.store import read_json, read_manifest, write_json
from toolkit.training.phases import LOOKS, STRESS_SCORE, TEST_LIKE
from toolkit.training.workers import turns


def tell_score(run: Run, more: str, progress: Progress) -> None:
    """The CV score of a run that was just finished."""
    if progress is SILENT:
        return
    best = best_run([one for one in current_runs(run.labelled) if one.name != run.name])
    better = None if best is None else run.merit > best.merit
    name = run.labelled.competition.metric.name
    progress.say_score(
        f"{run.name}: CV score ({name}) ", interval(run.metrics["clean"]), f"{more}{run.beside}", better
    )


def add_scores(run: Run, wanted: str, deadline: float | None, device: str, progress: Progress) -> None:
    """The stress score and, where there are test images, the test-like score; says what was added.

    wanted: `none`, `auto` (as many corrupted images as a share of the training time allows) or `full`.
    """
    if wanted == "none":
        return
    metrics = run.metrics

    def add(kind: str, name: str, score: dict[str, Any], how: str) -> None:
        metrics[kind] = score
        write_json(run.metrics_path, metrics)
        progress.say(f"{run.name}: {name} score ({run.labelled.competition.metric.name}) {interval(score)}, {how}")

    known = metrics["stress"]
    lost = read_manifest(run.stress_folder) is None
    if known is None or known["version"] != VERSION or (wanted == "full" and known["share"] < 1) or lost:
        seconds = _stress_seconds(run, deadline, device) if wanted == "auto" else None
        with progress.phase(STRESS_SCORE, None if seconds else len(all_triples(run.labelled)), budget=seconds) as done:
            known = stress.store_stress(run, device, seconds, done)
        share = f"{known['triples']:,} corrupted images ({known['share']:.2%} of the suite)"
        add("stress", "stress", known, f"on {share} in {known['seconds']:.0f} s")
    if not run.labelled.shows_how_tests_look:
        return
    folder = run.labelled.workspace.match
    before = read_manifest(folder)
    with progress.phase(LOOKS):
        found = open_match(run.labelled)
    new = read_manifest(folder) != before
    if (metrics.get("matched") or {}).get("match") != found.hash or not run.matched_folder.exists():
        with progress.counting(TEST_LIKE, len(found.rows)) as done:
            score = store_matched(run, found, predict_matched(run, found, device, done))
        rgb = run.labelled.competition.rgb
        how = found.words(rgb) if new else f"on {counted(len(found.rows), 'image')} like them"
        add("matched", "test-like", score, how)


def score_again(run: Run, progress: Progress, at_any_price: bool = False) -> None:
    """By the competition's metric, where another one scored it: from what it predicted, which stays as it is.

    What was counted under corruptions may say nothing to the new metric; then it isn't touched, unless at_any_price:
    the stress score is made anew by the next `add_scores`. Whatever training chose by the old metric stays chosen.
    """
    labelled, remedy = run.labelled, run.remedy(run.metrics_path)
    metrics, competition = read_json(run.metrics_path, "clean", remedy=remedy), labelled.competition
    if competition.is_scored_by(metrics):
        return
    before, metric = competition.scored_before(metrics), competition.metric.name
    evidence = stress.read_evidence(run) if metrics.get("stress") else None
    lost = evidence is not None and not _tells(run, evidence)
    if lost and not at_any_price:
        how = f"`compete train … --recipe {run.recipe_path}` scores it by {metric}, under corruptions too"
        progress.warn(f"{run.name} was scored by {before} and is left out: {how}")
        return
    decisions = labelled.decisions(run.oof)
    metrics |= {**competition.scored_by, "clean": score_stored(run.oof_path, labelled)}
    if evidence is None or lost:
        metrics["stress"] = None
    else:
        again = score_triples(labelled, evidence, len(all_triples(labelled)), decisions)
        metrics["stress"] = {**again, "seconds": metrics["stress"]["seconds"]}
    match = open_match(labelled) if metrics.get("matched") and labelled.shows_how_tests_look else None
    kept = None if match is None else kept_of_match(run, match)
    metrics["matched"] = None if match is None or kept is None else matched_score(labelled, match, kept, decisions)
    write_json(run.metrics_path, metrics)
    progress.say(f"{run.name} was scored by {before}, now by {metric}: out of fold {interval(metrics['clean'])}")


def _tells(run: Run, evidence: Evidence) -> bool:
    """Does what was kept of corrupted images tell another metric enough: values or matrices, not its own counts?"""
    if evidence.counts is not None:
        return False
    return evidence.confusions is None or by_matrix(run.labelled.competition)


def _stress_seconds(run: Run, deadline: float | None, device: str) -> float:
    folds = run.labelled.folds
    seconds = stress.SHARE * run.seconds * turns(device, folds) / folds  # of the time that it took, side by side
    return seconds if deadline is None else min(seconds, deadline - time.monotonic())
