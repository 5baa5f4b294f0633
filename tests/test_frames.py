"""What there is as pandas tables: a line each, columns with the names and types that docstrings say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import kinds, tiny
from toolkit import Run, UserError
from toolkit.frames import lines_table

pytestmark = pytest.mark.usefixtures("one_thread")


def left(kind: str, root: Path) -> Run:
    """A run of a kind of competition, that says of each sample the same."""
    competition, data = kinds.competition(kind), kinds.drawn(kind)
    targets = data.targets
    labelled = replace(tiny.labelled(targets, np.arange(len(targets)) % 2, of=competition, root=root))
    run = Run(labelled.workspace.train / kind, labelled)
    shape = (competition.task.channels, *targets.shape[1:][: 2 * competition.task.masks])
    tiny.leave_run(run, kinds.RECIPE, np.full((len(targets), *shape), 0.25, np.float32), kind=np.float32)
    return run


def test_runs_epochs_and_predictions_of_a_training(tmp_path: Path) -> None:
    project = tiny.prepare(tmp_path)
    first, second = (project.train(name, stress="none", schedule__epochs=2) for name in ("first", "second"))
    runs = project.runs().to_pandas().set_index("run")
    assert set(runs.index) == {first.name, second.name}
    assert runs.loc[second.name, "batch_size"] == 16 and "optimizer.lr" not in runs, "only what differs"
    assert list(runs.loc[first.name, ["clean", "epochs", "complete"]]) == [first.score, 2, True]
    assert runs["stress"].isna().all() and (runs["clean_low"] <= runs["clean"]).all()

    epochs = first.history.to_pandas()
    assert list(epochs) == ["fold", "epoch", "loss", "validation_loss", "score", "lr", "seconds"]
    assert len(epochs) == 6 and epochs["epoch"].tolist() == [1, 2] * 3
    assert set(map(str, epochs.dtypes[2:])) == {"float64"}

    said, labelled = first.to_pandas(), first.labelled
    assert len(said) == labelled.inside.sum() == 72
    assert (said["truth"] == said["predicted"]).mean() == pytest.approx(first.score)
    assert np.allclose(said[["red", "green", "blue"]].sum(axis=1), 1, atol=1e-2)
    assert np.allclose(said["probability"], said[["red", "green", "blue"]].max(axis=1))


@pytest.mark.parametrize("kind", [kind for kind in kinds.KINDS if kind not in ("masks", "overlapping")])
def test_predictions_of_any_kind_of_output(kind: str, tmp_path: Path) -> None:
    run = left(kind, tmp_path)
    said = run.to_pandas()
    assert len(said) == kinds.NUMBER and said["fold"].tolist() == [0, 1] * (kinds.NUMBER // 2)
    outputs = {"grades": ["at least 1", "at least 2", "at least 3"], "heads": ["x a", "y e"], "numbers": ["truth x"]}
    expected = outputs.get(kind, list(run.labelled.competition.task.classes))
    assert set(expected) <= set(said) and said[expected].notna().any().all()


def test_masks_are_no_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"masks are no table: `oof` has them as an array, and `mistakes\(\)`"):
        left("masks", tmp_path).to_pandas()


def test_trials_of_a_search(tmp_path: Path) -> None:
    tiny.prepare(tmp_path)
    found = tiny.project(tmp_path).search(trials=1, repeats=0, stress="none", schedule__epochs=1)
    trials = found.to_pandas()
    assert trials["trial"].tolist() == [0] and trials["state"].tolist() == ["complete"]
    assert {"optimizer.lr", "batch_size", "clean", "run", "folds", "seconds"} <= set(trials)
    assert trials.loc[0, "clean"] == pytest.approx(found.best[0].values[0])


def test_submissions_of_the_ledger(tmp_path: Path) -> None:
    ledger = tiny.project(tmp_path).ledger
    empty = ledger.to_pandas()
    assert empty.empty and "submission" in empty and empty["clean"].dtype == np.float64
    line = {"competition": "tiny-practice", "submission": "a.txt", "clean": "0.5", "public": "", "bytes": "12"}
    ledger.append(line)
    found = ledger.to_pandas()
    assert list(found.loc[0, ["submission", "clean", "bytes"]]) == ["a.txt", 0.5, 12.0]
    assert found["public"].isna().all() and isinstance(lines_table([], ["x"], ["x"]), pd.DataFrame)
