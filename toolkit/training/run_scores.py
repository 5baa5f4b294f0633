"""All scores of a finished run beside its clean one, each added to `metrics.json` once."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from toolkit.competition import Competition
from toolkit.data.dataset import Dataset, data_hash, open_dataset, relabel
from toolkit.data.folds import folds_hash, relabels
from toolkit.scoring import matching as match
from toolkit.scoring import stress
from toolkit.scoring.comparison import compare_runs, run_confusions
from toolkit.scoring.corruptions import VERSION
from toolkit.scoring.out_of_fold import finished_runs
from toolkit.store import Workspace, read_json, read_manifest, write_json
from toolkit.training.loop import FoldJob
from toolkit.training.workers import rounds


def score_run(
    competition: Competition,
    workspace: Workspace,
    dataset: Dataset,
    table: pd.DataFrame,
    jobs: list[FoldJob],
    wanted: str,
    deadline: float | None,
) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Add the stress score and, where there are test images, the test-matched score; yields what
    was added: its name, the score, and how it came about.

    wanted: `none`, `auto` (as many corrupted images as a share of the training time allows) or `full`.
    """
    if wanted == "none":
        return
    folder, recipe, device = jobs[0].folder.parent, jobs[0].recipe, jobs[0].device
    metrics = read_json(folder / "metrics.json")
    known = metrics["stress"]
    if known is None or known["version"] != VERSION or (wanted == "full" and known["share"] < 1):
        seconds = None
        if wanted == "auto":
            history = [read_json(job.folder / "history.json") for job in jobs]
            seconds = stress.SHARE * sum(epoch["seconds"] for epochs in history for epoch in epochs)
            seconds *= rounds(device, len(jobs)) / len(jobs)  # of the time that it took, side by side
            if deadline is not None:
                seconds = min(seconds, deadline - time.time())
        targets = relabel(dataset.targets, relabels(table))
        known = stress.score_run(competition, recipe, dataset.images, targets, table, folder, device, seconds)
        metrics["stress"] = known
        write_json(folder / "metrics.json", metrics)
        share = f"{known['triples']:,} corrupted images ({known['share']:.2%} of the suite)"
        yield "stress", known, f"on {share} in {known['seconds']:.0f} s"
    if not can_match(competition, workspace):
        return
    before = read_manifest(workspace.match)
    found = matching(workspace, dataset, table)
    new = read_manifest(workspace.match) != before
    if (metrics.get("matched") or {}).get("match") != found.hash:
        said = match.predict_matched(competition, recipe, dataset.images, table, found, folder, device)
        metrics["matched"] = match.store_matched(competition, table, found, said, folder)
        write_json(folder / "metrics.json", metrics)
        how = found.words(dataset.images.shape[3]) if new else f"on {len(found.rows):,} images that look like them"
        yield "test-matched", metrics["matched"], how


def can_match(competition: Competition, workspace: Workspace) -> bool:
    """Are there test images at hand, and may they be looked at?"""
    return competition.rules.unlabelled_test_images and len(open_dataset(workspace.data).test_images) > 0


def matching(workspace: Workspace, dataset: Dataset, table: pd.DataFrame) -> match.Match:
    """Which corruptions make validation images look like the test images; found once."""
    made_from = {"data": data_hash(workspace.data), "folds": folds_hash(table)}
    return match.open_match(workspace.match, dataset, relabel(dataset.targets, relabels(table)), table, made_from)


def compare_with_best(
    competition: Competition, workspace: Workspace, dataset: Dataset, table: pd.DataFrame, folder: Path
) -> str:
    """The clean score of a run against that of the best other one on the same data and folds, in words."""
    runs = finished_runs(workspace.train, data_hash(workspace.data), folds_hash(table))
    scores = {run: read_json(run / "metrics.json")["clean"]["score"] for run in runs if run != folder}
    if not scores:
        return f"{folder.name}: the first run, so there is none to compare it with"
    best = max(scores, key=scores.__getitem__)
    targets = relabel(dataset.targets, relabels(table))
    (found,) = compare_runs(competition, targets, table, [folder], run_confusions(competition, targets, best))
    return f"{folder.name} against {best.name}: {found}"
