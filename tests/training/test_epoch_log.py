"""log.csv and what listeners hear: every epoch of every fold, once, whatever was interrupted."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests import tiny
from toolkit import Epoch, Run, Scores
from toolkit.progress import Progress
from toolkit.training import fold as fit

pytestmark = pytest.mark.usefixtures("one_thread")
EVERY = {(fold, epoch) for fold in range(3) for epoch in range(1, 5)}


class Ear(Progress):
    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.listeners = (self.heard.append,)

    def epochs(self, replayed: bool = False) -> list[tuple[int, int]]:
        return [(e.fold, e.epoch) for e in self.heard if isinstance(e, Epoch) and e.replayed == replayed]


def table(run: Run) -> pd.DataFrame:
    return pd.read_csv(run.log_path)


def test_every_epoch_of_every_fold_is_told_and_stands_in_the_table(tmp_path: Path) -> None:
    tiny.prepare(tmp_path)
    ear = Ear()
    run = tiny.train(tmp_path, progress=ear, stress="none")
    assert set(ear.epochs()) == EVERY and len(ear.epochs()) == 12
    assert ear.heard[-1] == Scores(run.name, "accuracy", {"CV": run.score})
    found = table(run)
    assert list(found) == ["fold", "epoch", "loss", "validation_loss", "score", "lr", "seconds"]
    for number, epochs in enumerate(run.history):
        mine = found[found["fold"] == number]
        for name in ("loss", "lr"):
            assert mine[name].tolist() == [line[name] for line in epochs], "to the bit"
        assert mine["validation_loss"].tolist()[-1] == epochs[-1]["validation_loss"] > 0


def test_the_loss_on_the_fold_is_that_of_what_is_predicted_of_it(tmp_path: Path) -> None:
    labelled = tiny.prepare(tmp_path).labelled()
    run = tiny.train(tmp_path, stress="none")
    for fold in run.folds:
        rows = labelled.rows(fold.number)
        given = np.asarray(fold.oof, np.float64)[np.arange(len(rows)), labelled.truth[rows]]
        assert fold.history[-1]["validation_loss"] == pytest.approx(-np.log(given).mean(), rel=0.01)


def test_a_resumed_run_tells_what_was_trained_before_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.prepare(tmp_path / "whole")
    whole = tiny.train(tmp_path / "whole", stress="none")
    tiny.prepare(tmp_path)
    monkeypatch.setattr(fit, "SAVE_SECONDS", 0.0)

    class Killed(Ear):
        def tell(self, event: Any) -> None:
            super().tell(event)
            if len(self.heard) == 6:
                raise KeyboardInterrupt

    first, second = Killed(), Ear()
    with pytest.raises(KeyboardInterrupt):
        tiny.train(tmp_path, progress=first, stress="none")
    run = tiny.train(tmp_path, progress=second, stress="none")
    assert second.epochs(replayed=True) == [(0, 1), (0, 2), (0, 3), (0, 4), (1, 1)]
    assert set(first.epochs()[:5]) | set(second.epochs()) == EVERY and len(second.epochs()) == 7
    timeless = [table(one).drop(columns="seconds") for one in (whole, run)]
    assert timeless[0].equals(timeless[1]), "the same bits after a kill"


def test_a_finished_run_is_told_to_who_listens_later(tmp_path: Path) -> None:
    tiny.prepare(tmp_path)
    run = tiny.train(tmp_path, stress="none")
    before = run.log_path.read_bytes()
    run.log_path.unlink()
    ear = Ear()
    tiny.train(tmp_path, progress=ear, stress="none")
    assert ear.epochs() == [] and set(ear.epochs(replayed=True)) == EVERY and isinstance(ear.heard[-1], Scores)
    assert run.log_path.read_bytes() == before


def test_a_damaged_table_is_made_anew(tmp_path: Path) -> None:
    project = tiny.prepare(tmp_path)
    project.train_fold(None, 1)
    run = project.train_fold(None, 2)
    assert set(table(run)["fold"]) == {1, 2}
    run.log_path.write_bytes(b"fold,epoch\n\xff\xfe,")
    project.train_fold(None, 0)
    assert set(table(run)["fold"]) == {0}, "of the others nothing is known until they are put together"
    assert set(table(project.train(stress="none"))["fold"]) == {0, 1, 2}
