"""Corrupted samples are scored by any metric as accuracy always was."""

from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import RGB
from tests.scoring.test_either_direction import LABELS, NUMBERS, predicted
from tests.tiny import competition as tiny
from tests.tiny import labelled
from tests.tiny_metrics import flipped
from toolkit.competition import Competition, by_matrix
from toolkit.data.labelled import Labelled
from toolkit.metrics.organisers import from_function
from toolkit.scoring.bootstrap import widened
from toolkit.scoring.corruption_suite import SEVERITIES, suite
from toolkit.scoring.stress_sampling import Evidence, all_triples, score_draws, score_triples, tally_of
from toolkit.scoring.stress_tallies import TalliedTriples
from toolkit.task import Classification

SAMPLES = 48
MEMBERS = len(suite(RGB))


def gathered(of: Competition, share: int = 4) -> tuple[Labelled, Evidence]:
    """Samples in two folds, and values for the first part of their triples, worse at high severities."""
    rng = np.random.default_rng(1)
    targets: np.ndarray
    if of is NUMBERS:
        targets = rng.normal(40, 10, (SAMPLES, 2)).astype(np.float32)
    elif of is LABELS:
        targets = (np.arange(SAMPLES)[:, None] % 4 == 0).astype(np.int8)
    else:
        targets = np.arange(SAMPLES) % 3
    given = labelled(targets, np.arange(SAMPLES) % 2, of=of)
    triples = all_triples(given)
    triples = triples[: len(triples) // share]
    truth = targets[triples[:, 0]]
    noise = rng.standard_normal((len(triples), of.task.channels)) * triples[:, 2:] / 2
    return given, Evidence(triples, predicted(of, truth, noise, 1.5).astype(np.float32))


def test_accuracy_by_a_tally_is_what_it_is_by_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    given, evidence = gathered(tiny)
    assert by_matrix(given.competition)
    before, drawn = score_triples(given, evidence, 10**5), score_draws(given, evidence)
    monkeypatch.setattr("toolkit.scoring.stress_sampling.by_matrix", lambda competition: False)
    after = score_triples(given, evidence, 10**5)
    for name in ("score", "low", "high", "error", "by_fold", "by_severity"):
        assert after[name] == pytest.approx(before[name]), name
    assert after["by_corruption"] == pytest.approx(before["by_corruption"])
    assert {name: pytest.approx(five) for name, five in before["cells"].items()} == after["cells"]
    assert score_draws(given, evidence) == pytest.approx(drawn)


def test_the_error_of_numbers_is_theirs_in_each_corruption_where_severities_weigh_the_same() -> None:
    given, evidence = gathered(NUMBERS)
    found, squares = score_triples(given, evidence, 10**5), []
    apart = ((evidence.probabilities - given.truth[evidence.triples[:, 0]]) ** 2).mean(1)
    for number, member in enumerate(suite(RGB)):
        of = [(evidence.triples[:, 1] == number) & (evidence.triples[:, 2] == s + 1) for s in range(SEVERITIES)]
        squares.append(np.mean([apart[at].mean() for at in of if at.any()]))
        assert found["by_corruption"][member.name] == pytest.approx(squares[-1] ** 0.5)
    assert found["score"] == pytest.approx(np.mean(np.sqrt(squares)))
    assert 0 < found["low"] < found["score"] < found["high"] and found["by_severity"][0] < found["by_severity"][4]


def test_cells_and_corruptions_of_one_class_have_the_area_of_all() -> None:
    given, evidence = gathered(LABELS, share=40)
    truth = given.truth[evidence.triples[:, 0], 0]
    alone = [len(np.unique(truth[evidence.triples[:, 1] == at])) < 2 for at in range(MEMBERS)]
    assert any(alone) and not all(alone)
    found = score_triples(given, evidence, 10**5)
    pooled = tally_of(given, evidence, ()).score()
    for member, one_class in zip(suite(RGB), alone, strict=True):
        if one_class and found["by_corruption"][member.name] is not None:
            assert found["by_corruption"][member.name] == pytest.approx(pooled)
    assert 0.5 < found["score"] < 1 and np.isfinite([found["low"], found["high"], found["error"]]).all()


@pytest.mark.parametrize("of", [NUMBERS, LABELS], ids=lambda one: one.metric.name)
def test_a_turned_sign_turns_the_stress_score(of: Competition) -> None:
    given, evidence = gathered(of, share=8)
    there = score_triples(given, evidence, 10**5)
    back = score_triples(replace(given, competition=replace(of, metric=flipped(of.metric))), evidence, 10**5)
    assert back["score"] == pytest.approx(-there["score"])
    assert (back["low"], back["high"]) == pytest.approx((-there["high"], -there["low"]))
    assert back["error"] == pytest.approx(there["error"])


def test_an_organisers_function_is_called_for_few_draws() -> None:
    """A score of two tables takes milliseconds, and a draw has one of every corruption: a thousand are minutes."""
    called = []

    def score(truth: np.ndarray, prediction: np.ndarray) -> float:
        called.append(len(truth))
        return float((truth == prediction).mean())

    truth, said = np.arange(60) % 2, np.arange(60) // 2 % 2
    metric = from_function(score, needs="labels", lower_is_better=False)
    tally = metric.tally(Classification(("a", "b"), (2, 2, 1)), truth, said, (0, 1))
    drawn = TalliedTriples(tally, 2, np.arange(60) % 2 * 5).draws(np.arange(60) // 6)
    assert drawn.shape == (100,) and len(called) < 300


def test_a_draw_in_which_a_function_fails_under_all_corruptions_has_no_score() -> None:
    def score(truth: np.ndarray, prediction: np.ndarray) -> float:
        if not truth.any():
            raise ValueError("none is true")
        return float((truth == prediction).mean())

    truth, said, group = np.zeros(60, np.int64), np.arange(60) % 7 // 6, np.arange(60) // 2
    truth[:2] = 1  # of one group
    metric = from_function(score, needs="labels", lower_is_better=False, low=0, high=1)
    tally = metric.tally(Classification(("a", "b"), (2, 2, 1)), truth, said, (0, 1))
    both = TalliedTriples(tally, 2, np.arange(60) % 2 * SEVERITIES)
    drawn = both.draws(group)
    assert 0.2 < np.isnan(drawn).mean() < 0.6 and np.nanstd(drawn) > 0.02
    assert widened(both.pooled, drawn, both.without(group)) == (0, 1)
    truth[2::2] = np.arange(29) % 2  # under one of them there is always a score
    tally = metric.tally(Classification(("a", "b"), (2, 2, 1)), truth, said, (0, 1))
    assert np.isfinite(TalliedTriples(tally, 2, np.arange(60) % 2 * SEVERITIES).draws(group)).all()
