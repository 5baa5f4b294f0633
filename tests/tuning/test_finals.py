"""The best are finished and repeated before all else; what fails or comes too late costs no winner."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import TrialState

from tests.tiny import Heard, prepare
from tests.tuning.studies import EPOCH, runs, search
from toolkit.errors import UserError
from toolkit.training.cross_validation import train_fold
from toolkit.training.jobs import FoldJob
from toolkit.tuning.clock import Clock
from toolkit.tuning.finals import missing_seconds

pytestmark = pytest.mark.usefixtures("one_thread", "no_pictures")


def diverging(where: Callable[[FoldJob], bool]) -> Callable[..., str]:
    """A training of a fold that fails there."""

    def train(job: FoldJob, *more: Any, **named: Any) -> str:
        if where(job):
            raise UserError("the loss is no longer a number")
        return train_fold(job, *more, **named)

    return train


def test_a_repeat_that_fails_costs_no_winner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path)
    heard = Heard()
    monkeypatch.setattr("toolkit.tuning.trial_runs.train_fold", diverging(lambda job: job.recipe.seed > 0))
    found = search(tmp_path, EPOCH, trials=2, progress=heard)
    assert len(found.best[0].values) == 1
    assert any(line.startswith("first-t") and line.endswith("no longer a number") for line in heard.lines)


def test_a_repeat_that_fails_makes_no_other_trial_the_winner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path)
    before = search(tmp_path, EPOCH, trials=3, repeats=0)
    assert before.run is not None
    repeat = before.run.name.rpartition("-")[0] + "-s1"
    fails = diverging(lambda job: job.folder.parent.name.startswith(repeat))
    monkeypatch.setattr("toolkit.tuning.trial_runs.train_fold", fails)
    found = search(tmp_path, EPOCH, trials=3)
    assert len(runs(found)) == 5, "the other one was repeated"
    assert (found.run, found.best[0].values) == (before.run, before.best[0].values)


def test_the_best_are_repeated_before_time_goes_into_putting_runs_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("toolkit.tuning.finals.merge", None)
        patch.setattr("toolkit.tuning.search_loop.merge_all", lambda context, best: len(best))
        found = search(tmp_path, EPOCH, trials=2)
    assert len(found.best[0].values) == 2 and found.labelled.workspace.best_recipe.exists() and found.left == 2
    assert not any(run.finished for run in runs(found))
    again = search(tmp_path, EPOCH, trials=2)
    assert again.best[0].mean == pytest.approx(found.best[0].mean) and all(run.finished for run in runs(again))
    scored = [run.metrics["stress"] is not None for run in runs(again)]
    assert sum(scored) == 2, "repeats are for the clean score alone"


def test_more_time_is_kept_for_the_finals_where_the_best_trials_take_long() -> None:
    """Of 40 minutes 8 are kept, 10 s of them for tables; repeating two of 3 minutes, after one more, takes 9."""
    took = {"a": 180.0, "b": 120.0, "c": 999.0}

    def more(*names: str, repeats: int = 1, merging: float = 0.0) -> float:
        best = [(SimpleNamespace(state=TrialState.COMPLETE, name=name), 0.5) for name in names]
        pruned = SimpleNamespace(state=TrialState.PRUNED, name="c")
        rivals = SimpleNamespace(
            ranking=lambda study: [(pruned, 0.6), *best], run=lambda trial: SimpleNamespace(seconds=took[trial.name])
        )
        clock = Clock(0, budget=2400.0, merging=merging)
        context: Any = SimpleNamespace(
            settings=SimpleNamespace(repeats=repeats), clock=clock, rivals=rivals, study=None
        )
        return missing_seconds(context)

    assert more() == 0
    assert more("b", "b") == 0, "3 * 120, and a tenth of a training for the scores of three"
    assert more("a", "b") == pytest.approx(3 * 180 + 3 * 18 - 470)
    assert more("b", "b", "a", "c") == more("b", "b"), "the two best of them are repeated"
    assert more("a", "b", repeats=0) == 0
    assert more("a", "b", merging=60) == pytest.approx(3 * 180 + 3 * 60 - 470)
    assert more("a", "b", repeats=9) == pytest.approx(0.4 * 2400 - 470)
