"""No sample is decided by itself: thresholds and the like come from other groups, or from other folds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from tests.tiny import competition as tiny
from tests.tiny import labelled
from toolkit.decisions.decide import PLAIN, Decisions
from toolkit.metrics.metric import CountedMetric
from toolkit.metrics.organisers import from_function
from toolkit.runs import Run
from toolkit.scoring.decided import mixed_decisions, tally_by_fold, tally_within
from toolkit.scoring.selection import by_group
from toolkit.task import Labels, Numbers, Task


@dataclass(frozen=True)
class Right(CountedMetric):
    """Share of labels that are right."""

    name: str = "right"

    def counts(self, task: Task, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return np.stack([(truth == predicted).sum(1), predicted.sum(1), np.full(len(truth), truth.shape[1])], axis=1)

    def of_counts(self, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        return counts[..., 0] / counts[..., 2]


OF = replace(tiny, task=Labels(("cat", "dog"), (8, 8, 3)), metric=Right())
VALUES = np.tile(np.linspace(0, 1, 40)[:, None], (1, 2)).astype(np.float32)


@pytest.fixture(autouse=True)
def by_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decisions that tell by which targets they were fitted."""

    def fitted(task: Task, metric: Any, truth: np.ndarray, values: np.ndarray, scored: Any) -> Decisions:
        return Decisions(thresholds=tuple(truth.mean(0).tolist()))

    monkeypatch.setattr("toolkit.decisions.fit.fit_decisions", fitted)


def given_out(truth: np.ndarray, groups: np.ndarray) -> np.ndarray:
    return tally_within(OF, truth, VALUES, groups).arrays()["counts"][:, 1]


def test_within_a_part_a_group_decides_for_others_alone() -> None:
    groups, truth = np.arange(40) // 2, (np.arange(80).reshape(40, 2) % 3 == 0).astype(np.int8)
    plain = given_out(truth, groups)
    for group in range(0, 20, 3):
        own = groups == group
        turned = np.where(own[:, None], 1 - truth, truth).astype(np.int8)
        assert np.array_equal(given_out(turned, groups)[own], plain[own])
    everywhere = given_out(np.ones_like(truth), groups)
    assert not np.array_equal(everywhere, plain)
    assert np.array_equal(given_out(truth, np.zeros(40, int)), (VALUES >= 0.5).sum(1))  # nobody else to learn from


def test_decisions_may_be_learnt_from_the_same_samples_as_they_were() -> None:
    groups, truth = np.arange(40), np.zeros((40, 2), np.int8)
    found = tally_within(OF, truth, VALUES, groups, (np.ones_like(truth), VALUES)).arrays()["counts"]
    assert found[:, 1].sum() == 2 and (found[:, 2] == 2).all()  # a threshold of 1: the last sample alone


def test_each_fold_has_its_own_decisions_and_rows_keep_their_order() -> None:
    truth, fold = np.zeros((40, 2), np.int8), np.arange(40) % 2
    decisions = [Decisions(thresholds=(0.0, 0.0)), Decisions(thresholds=(2.0, 2.0))]
    found = tally_by_fold(OF, truth, VALUES, fold, decisions).arrays()["counts"]
    assert found[:, 1].tolist() == [2, 0] * 20
    plain = tally_by_fold(OF, truth, VALUES, fold, [PLAIN, PLAIN]).arrays()["counts"]
    assert np.array_equal(plain[:, 1], (VALUES >= 0.5).sum(1))


def test_what_is_mixed_is_decided_by_its_own_values_of_the_other_folds(tmp_path: Any) -> None:
    truth = np.where(np.arange(40)[:, None] % 2 == 0, 1, 0).repeat(2, 1).astype(np.int8)
    run = Run(tmp_path / "run", labelled(truth, np.arange(40) % 2, of=OF, root=tmp_path))
    run.folder.mkdir()
    np.save(run.oof_path, VALUES.astype(np.float16))
    found = mixed_decisions([run, run], lambda parts, fold: np.mean(parts, axis=0))
    assert [one.thresholds for one in found] == [(0.0, 0.0), (1.0, 1.0)]
    assert run.tally().arrays()["counts"][:2, 1].tolist() == [2, 0]


def test_a_part_of_which_an_organisers_function_says_nothing_has_no_score() -> None:
    def first_of_each(truth: np.ndarray, said: np.ndarray) -> float:
        return float(said[truth == 1][0] - said[truth == 0][0])

    metric = from_function(first_of_each, needs="values", lower_is_better=False)
    of = replace(tiny, task=Numbers(("x",), (8, 8, 3)), metric=metric)
    part = tally_within(of, np.zeros((4, 1)), np.ones((4, 1), np.float32), np.arange(4))
    assert np.isnan(part.score())
    stored = of.tally_of(by_group(0, np.arange(4), part).tally.arrays())
    assert np.isnan(by_group(0, np.arange(4), stored).tally.score())
