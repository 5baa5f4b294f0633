"""A run is its folds put together; it is trained once, however it was cut short, and any fold alone."""

import pickle
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.tiny import FIRST, Heard, prepare, train
from tests.training import same_run
from toolkit import Project, Run, UserError, override, predict
from toolkit.scoring.out_of_fold import score
from toolkit.scoring.stress import read_evidence
from toolkit.training import cross_validation

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
QUICK = "schedule.epochs=1"
TrainUntil = Callable[[float | None], Run]


@pytest.fixture
def without_row_5(tmp_path: Path) -> Project:
    lines = pd.DataFrame({"index": [5], "action": ["drop"], "value": "unscored", "reason": "", "confidence": 1})
    lines.to_csv(prepare(tmp_path).workspace.cleaning, index=False)
    return prepare(tmp_path)


def test_a_sample_is_validated_in_its_fold_and_trained_on_in_all_others(without_row_5: Project) -> None:
    labelled = without_row_5.labelled()
    _, jobs = cross_validation.prepare(labelled, FIRST)
    origin = np.arange(72) // 3
    kept = [row for row in range(72) if row != 5]
    assert sorted(np.concatenate([job.valid_rows for job in jobs]).tolist()) == kept
    for job in jobs:
        assert sorted([*job.train_rows, *job.valid_rows]) == kept
        assert not set(origin[job.train_rows]) & set(origin[job.valid_rows])
        assert np.array_equal(job.train_groups, labelled.group[job.train_rows])


def test_jobs_leave_the_holdout_alone_and_are_small(tmp_path: Path) -> None:
    project = prepare(tmp_path)
    project.folds(2, holdout=0.25)
    labelled = project.labelled()
    _, jobs = cross_validation.prepare(labelled, FIRST)
    held = set(np.flatnonzero(~labelled.inside))
    assert len(jobs) == 2 and held
    for job in jobs:
        assert not held & {*job.train_rows, *job.valid_rows}
        assert len(pickle.dumps(job)) < 10_000


def test_training_obeys_the_cleaning_list_its_score_does_not_and_no_edit_counts_that_comes_later(
    tmp_path: Path,
) -> None:
    project = prepare(tmp_path)
    workspace, labels = project.workspace, np.array(project.labelled().targets)
    head, rows = "index,action,value\n", [3, 9]
    relabelled = "".join(f"{row},relabel,{(labels[row] + 1) % 3}\n" for row in rows)
    workspace.cleaning.write_text(head + "5,drop,\n" + relabelled)
    project.folds(2)
    labelled = project.labelled()
    workspace.cleaning.write_text(head + "7,drop,\n")  # by a person who looks at the list while this runs
    mended = labels.copy()
    mended[rows] = (labels[rows] + 1) % 3
    recipe = override(FIRST, [QUICK])
    _, jobs = cross_validation.prepare(labelled, recipe)
    for job in jobs:
        assert {tuple(line) for line in job.relabels} == {(row, mended[row]) for row in rows}
        assert 5 not in job.train_rows and 7 in {*job.train_rows, *job.valid_rows}
    assert sum(5 in job.valid_rows for job in jobs) == 1
    run = cross_validation.train(labelled, recipe, stress="none")
    assert run.score == pytest.approx((run.oof.argmax(1) == labels).mean())
    beside = run.metrics["clean"]["mended"]
    assert beside["score"] == pytest.approx((run.oof.argmax(1) == mended).mean()) and beside["low"] < beside["high"]
    assert "on the mended labels" in run._repr_html_()


def test_each_fold_trains_on_the_labels_that_are_obeyed_in_it(tmp_path: Path) -> None:
    labelled = prepare(tmp_path).labelled()
    obeyed = np.array([[True, False, True], [False, True, True]])
    some = replace(labelled, relabels=np.array([[3, 1], [9, 2]]), obeyed=obeyed)
    _, jobs = cross_validation.prepare(some, FIRST)
    assert [job.relabels.tolist() for job in jobs] == [[[3, 1]], [[9, 2]], [[3, 1], [9, 2]]]


def test_predictions_are_out_of_fold_and_the_test_images_get_the_mean(without_row_5: Project) -> None:
    run = without_row_5.train()
    labelled, networks, competition = run.labelled, run.networks(CPU), without_row_5.competition
    for k, network in enumerate(networks):
        rows = labelled.rows(k)
        expected = predict(network, labelled.images[rows], competition.scored, CPU, "auto")
        assert np.allclose(run.oof[rows], expected, atol=1e-3)
    assert not run.oof[5].any() and run.test is not None
    each = [predict(network, labelled.test_images, competition.scored, CPU, "auto") for network in networks]
    assert np.allclose(run.test, np.mean(each, axis=0), atol=1e-3)
    assert run.metrics["clean"] == score(labelled, run.oof)
    assert not any(fold.state.exists() for fold in run.folds) and not list(run.folder.rglob("*.partial"))


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def train_until(tmp_path: Path, heard: Heard) -> TrainUntil:
    """Train the first recipe in `tmp_path` with a deadline."""
    labelled = prepare(tmp_path).labelled()
    return lambda deadline: cross_validation.train(labelled, FIRST, device="cpu", deadline=deadline, progress=heard)


def test_a_run_cut_short_says_so_and_ends_with_the_same_bits(
    train_until: TrainUntil, tmp_path: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    # else the time decides how many corrupted images are scored
    monkeypatch.setattr("toolkit.scoring.stress.SHARE", 0.0)
    cut = train_until(time.monotonic())
    assert "cut short by the budget after 1 epoch" in str(heard) and "stress score (accuracy)" in str(heard)
    assert cut.finished and not cut.complete and len(cut.fold(2).history) == 1
    heard.lines.clear()
    assert train_until(time.monotonic()) == cut
    assert heard.lines == [f"{cut.name}: already trained"]
    assert train_until(None) == cut
    prepare(tmp_path / "whole")
    whole = train(tmp_path / "whole")
    assert same_run(cut, whole) and cut.manifest == whole.manifest
    assert not any(fold.state.exists() for fold in cut.folds)
    stress = [run.metrics["stress"] for run in (cut, whole)]
    assert stress[0]["by_fold"] and {**stress[0], "seconds": 0} == {**stress[1], "seconds": 0}


def test_a_stress_score_goes_with_its_weights(train_until: TrainUntil, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = train_until(time.monotonic())
    assert read_evidence(cut) is not None

    def killed(*_: object) -> None:
        raise UserError("killed")

    monkeypatch.setattr("toolkit.scoring.stress.store_stress", killed)
    with pytest.raises(UserError, match="killed"):
        train_until(None)
    assert read_evidence(cut) is None and cut.metrics["stress"] is None
    monkeypatch.undo()
    train_until(None)
    assert read_evidence(cut) is not None and cut.metrics["stress"]


def test_folds_trained_one_by_one_make_the_same_run(tmp_path: Path) -> None:
    parts = prepare(tmp_path / "parts")
    for fold in (2, 0, 1):
        run = parts.train_fold(None, fold)
    assert not run.finished
    before = run.weights[1].stat().st_mtime_ns
    assert parts.train() == run and run.weights[1].stat().st_mtime_ns == before
    assert same_run(run, prepare(tmp_path / "whole").train())


def test_another_recipe_seed_or_split_is_another_run_but_another_name_is_not(tmp_path: Path) -> None:
    prepare(tmp_path)
    first = train(tmp_path, QUICK)
    assert train(tmp_path, QUICK, "name=renamed") == first
    others = {train(tmp_path, QUICK, seed=1), train(tmp_path, QUICK, "optimizer.lr=1e-4")}
    prepare(tmp_path, seed=1)
    others.add(train(tmp_path, QUICK))
    assert len(others | {first}) == 4


@pytest.mark.parametrize("fold", [3, -1])
def test_a_fold_that_does_not_exist_is_refused_and_leaves_nothing(fold: int, tmp_path: Path) -> None:
    made = prepare(tmp_path)
    with pytest.raises(UserError, match=f"there is no fold {fold}; folds go from 0 to 2"):
        made.train_fold(None, fold)
    assert not made.workspace.train.exists()


def test_each_family_is_held_out_and_scored(tmp_path: Path) -> None:
    made = prepare(tmp_path)
    run = train(tmp_path, QUICK, "augment.erase=0.5", "augment.rotate=20")
    scores = made.train_without_families(run)
    assert scores["held_out"].keys() == scores["trained_on"].keys() == {"geometry", "occlusion"}
    (without,) = [other for other in made.runs() if other.recipe.name == "first-no-occlusion"]
    assert without.recipe.augment.leave_out == ("occlusion",)
    assert scores["held_out"]["occlusion"] == without.metrics["stress"]["by_family"]["occlusion"]
    assert scores["trained_on"]["occlusion"] == run.metrics["stress"]["by_family"]["occlusion"]
    with pytest.raises(UserError, match=r"stress=none leaves them unscored"):
        made.train_without_families(run, stress="none")


def test_too_little_memory_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError

    prepare(tmp_path)
    monkeypatch.setattr(cross_validation, "fit_fold", full)
    with pytest.raises(UserError, match="did not fit into memory; lower batch_size"):
        train(tmp_path, QUICK)


def test_runs_are_compared_only_where_someone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled, told = prepare(tmp_path).labelled(), Heard()
    compared: list[Run] = []

    def compare(run: Run) -> str:
        compared.append(run)
        return "compared"

    monkeypatch.setattr(cross_validation, "compare_with_best", compare)
    cross_validation.train(labelled, override(FIRST, [QUICK]), device="cpu", stress="none")
    assert not compared, "it reads the predictions of all runs"
    cross_validation.train(labelled, override(FIRST, [QUICK, "seed=1"]), device="cpu", stress="none", progress=told)
    assert len(compared) == 1 and "compared" in str(told)
