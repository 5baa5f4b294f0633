"""A fold keeps its average over epochs where it gains on the other folds, never by its own labels."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests import kinds, tiny
from tests.tiny import FIRST, prepare, train
from toolkit.data.data_folder import save_dataset
from toolkit.leftovers import sweep_leftovers
from toolkit.probabilities import probabilities, write_probabilities
from toolkit.run_folds import RunFold
from toolkit.runs import Run
from toolkit.scoring.out_of_fold import score
from toolkit.store import Workspace, write_manifest
from toolkit.training import cross_validation, saving
from toolkit.training.fold import FoldResult
from toolkit.training.jobs import Trained

pytestmark = pytest.mark.usefixtures("one_thread")
Arrange = Callable[[list[int], list[int]], Run]


@pytest.fixture
def two_endings(tmp_path: Path) -> Arrange:
    """Three trained folds of 24 rows, of which so many are right with the last weights and with the average."""
    labelled = prepare(tmp_path).labelled()

    def ending(rows: np.ndarray, kind: int, right: int) -> Trained:
        wrong = np.arange(24) >= right
        probabilities = np.eye(3, dtype=np.float32)[(labelled.targets[rows] + wrong) % 3]
        return Trained({"kind": torch.tensor([kind])}, probabilities)

    def arrange(last: list[int], averaged: list[int]) -> Run:
        run, jobs = cross_validation.prepare(labelled, FIRST)
        for job, *right in zip(jobs, last, averaged, strict=True):
            one, other = (ending(job.valid_rows, kind, count) for kind, count in enumerate(right))
            saving.store_fold(job, FoldResult(one, other, [], True, 0.0))
        return run

    return arrange


def kept(fold: RunFold) -> str:
    """Which ending a fold has: `last` or `averaged`."""
    kind = saving.KINDS[int(load_file(fold.weights)["kind"])]
    assert fold.oof_path.read_bytes() == fold.variant(kind)[1].read_bytes()
    return kind


def test_a_fold_keeps_the_average_where_it_gains_on_the_other_folds(two_endings: Arrange) -> None:
    run = two_endings([12, 12, 12], [6, 20, 14])  # on the others: 34, 20, 26 in place of 24
    for _ in range(2):  # killed and done again
        assert saving.choose_averages(run) == [0, 2]
        assert [kept(fold) for fold in run.folds] == ["averaged", "last", "averaged"]
    assert saving.choose_averages(two_endings([12, 12, 12], [12, 12, 12])) == [], "no gain"


@pytest.mark.parametrize("fold", range(3))
def test_a_folds_own_labels_do_not_decide_which_weights_it_keeps(fold: int, two_endings: Arrange) -> None:
    run = two_endings([12, 12, 12], [6, 18, 18])
    labelled, targets = run.labelled, run.labelled.targets.copy()
    predicted = [np.load(run.fold(fold).variant(kind)[1]).argmax(1) for kind in saving.KINDS]
    others = set()
    for labels in (*predicted, np.random.default_rng(fold).integers(3, size=24)):
        targets[labelled.rows(fold)] = labels
        chosen = saving.choose_averages(Run(run.folder, replace(labelled, truth=targets)))
        assert (fold in chosen) == (fold == 0)
        others.add(tuple(chosen))
    assert len(others) > 1, "they do decide for the others"


@pytest.mark.parametrize("average", ["swa", "soup"])
def test_an_average_is_kept_by_the_folds_that_the_metrics_name_and_what_was_tried_is_removed(
    average: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, bytes]] = []

    def watched(run: Run) -> list[int]:
        seen.extend({kind: fold.variant(kind)[0].read_bytes() for kind in saving.KINDS} for fold in run.folds)
        return saving.choose_averages(run)

    monkeypatch.setattr(cross_validation, "choose_averages", watched)
    prepare(tmp_path)
    run = train(tmp_path, f"schedule.average={average}", "schedule.epochs=8")
    for fold, variants in zip(run.folds, seen, strict=True):
        averaged = fold.number in run.metrics["averaged"]
        assert fold.weights.read_bytes() == variants["averaged" if averaged else "last"]
        left = {path.name for path in fold.folder.iterdir()}
        assert left == {"weights.safetensors", "oof.npy", "history.json", "manifest.json"}


def test_predictions_of_masks_are_put_together_on_the_disk_and_kept_once(tmp_path: Path) -> None:
    data, fold = kinds.drawn("masks", 30), np.arange(30) % 3
    fold[[4, 9]] = -1
    labelled = tiny.labelled(data.targets, fold, of=kinds.competition("masks"), root=tmp_path, images=data.images)
    run, whole = Run(tmp_path / "run", labelled), np.zeros((30, 2, 16, 16), np.float16)
    whole[fold >= 0] = np.random.default_rng(0).dirichlet(np.ones(2), (28, 16, 16)).transpose(0, 3, 1, 2)
    for part in run.folds:
        rows = labelled.rows(part.number)
        write_probabilities(part.oof_path, [whole[rows]], whole[rows].shape, np.float16)
    together = saving.Together(labelled, [part.oof for part in run.folds])
    for at in (np.s_[3:20], np.array([29, 4, 0])):
        assert np.array_equal(together[at], whole[at])
    stored = saving.store_oof(run)
    assert (
        np.allclose(probabilities(run.oof), whole, atol=1 / 255)
        and stored["score"] == score(labelled, run.oof)["score"]
    )
    before = [np.array(run.oof_of(k)) for k in range(3)]
    write_manifest(run.folder, {})
    saving.forget_spare(run)
    assert [path.name for path in run.folder.rglob("*.npy")] == ["oof.npy"]
    for k in range(3):
        assert np.allclose(probabilities(np.array(run.oof_of(k))), before[k], atol=1 / 255)
    whole_run = run.oof_path.read_bytes()
    saving.store_oof(run)  # as where one fold's weights were lost and trained again: what is there of the others stays
    assert run.oof_path.read_bytes() == whole_run


def test_masks_of_a_run_that_was_cut_are_kept_once_and_it_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of, data, fold = replace(kinds.competition("masks"), folder=Path("masks")), kinds.drawn("masks", 30), np.arange(30)
    for room in ("jobs", "saving"):
        monkeypatch.setattr(f"toolkit.training.{room}.load_competition", kinds.known)

    def trained(root: Path, *deadlines: float | None) -> Run:
        labelled = tiny.labelled(data.targets, fold % 3, of=of, root=root, images=data.images)
        save_dataset(data, labelled.workspace.data, "")
        how: dict[str, Any] = {"device": "cpu", "stress": "none"}
        runs = [
            cross_validation.train(labelled, kinds.RECIPE, deadline=deadline, **how) for deadline in (*deadlines, None)
        ]
        return runs[-1]

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    whole = trained(tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr("toolkit.training.cross_validation.choose_averages", killed)
        with pytest.raises(KeyboardInterrupt):  # once all folds are cut, before they are put together
            trained(tmp_path / "cut", time.monotonic())
    cut = Run(tmp_path / "cut" / "masks" / "train" / whole.name, whole.labelled)
    assert all(part.oof_path.exists() for part in cut.folds) and not cut.finished
    with monkeypatch.context() as patched:
        patched.setattr("toolkit.training.cross_validation.forget_spare", killed)
        with pytest.raises(KeyboardInterrupt):  # finished, and what there is twice not removed yet
            trained(tmp_path / "cut", time.monotonic())
    assert cut.finished and not cut.complete and cut.fold(0).oof_path.exists()
    sweep_leftovers(Workspace(tmp_path / "cut", "masks"), tmp_path / "none")
    assert not cut.fold(0).oof_path.exists() and np.array(cut.oof_of(0)).shape == (10, 2, 16, 16)
    assert trained(tmp_path / "cut").complete
    for path in (whole.oof_path, *(part.weights for part in whole.folds)):
        other = cut.folder / path.relative_to(whole.folder)
        assert other.read_bytes() == path.read_bytes()
    assert [path.parent.name for path in cut.folder.rglob("oof.npy")] == [cut.name]
