"""Blends where only the likeliest of very many classes are stored: fitted and scored as those of all classes."""

from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from tests.blending.conftest import of_kind
from tests.test_top_k import CLASSES, KIND
from toolkit import MAP, Accuracy, LogLoss, MacroF1
from toolkit.blending.blenders import blenders_for
from toolkit.blending.candidates import Candidate
from toolkit.blending.crossfit import cross_fit
from toolkit.blending.pool import Pool, make_pool
from toolkit.blending.solution import Solution, fold_tally, mixed
from toolkit.blending.valued import ValuedTop
from toolkit.competition import Competition
from toolkit.metrics.tally import joined
from toolkit.task import UNKNOWN, Classification
from toolkit.top_k import TopK, top

SAMPLES, FOLDS, MODELS = 180, 3, 3
NAMES = tuple(f"c{at}" for at in range(CLASSES))
KNOWN = Classification(NAMES, (1, 1, 1))
OF = {
    "accuracy": of_kind(KNOWN, Accuracy()),
    "macro F1": of_kind(KNOWN, MacroF1()),
    "MAP": of_kind(KNOWN, MAP()),
    "MAP with unknowns": of_kind(Classification(NAMES, (1, 1, 1), unknown="new"), MAP()),
    "log loss": of_kind(KNOWN, LogLoss()),
}
each = pytest.mark.parametrize("of", OF.values(), ids=OF.keys())


def pool(of: Competition, groups: int = SAMPLES) -> Pool:
    """Three runs that are right about half of the samples, not the same ones."""
    rng = np.random.default_rng(0)
    targets = rng.integers(CLASSES, size=SAMPLES)
    candidates = []
    for m in range(MODELS):
        logits = rng.normal(size=(SAMPLES, CLASSES))
        logits[np.arange(SAMPLES), targets] += rng.normal(3.5, 1.5, SAMPLES)
        values = np.exp(2 * logits)
        stored = top((values / values.sum(1, keepdims=True)).astype(np.float32), KIND)
        candidates.append(Candidate(f"run{m}", f"recipe{m}", stored))  # type: ignore[arg-type]
    if isinstance(of.task, Classification) and of.task.unknown is not None:
        targets[rng.random(SAMPLES) < 0.2] = UNKNOWN
    fold, group = np.arange(SAMPLES) % FOLDS, np.arange(SAMPLES) % groups
    return make_pool(tiny.labelled(targets, fold, of=of, group=group), candidates)


@each
def test_steps_and_blends_score_as_the_mean_of_all_classes(of: Competition) -> None:
    made = pool(of)
    assert isinstance(made.fitted, ValuedTop)
    climb = made.fitted.climb([0, 1, 2])
    decisions = getattr(climb, "decisions", None)
    given = () if decisions is None else (decisions,)
    truth = made.fitted.truth
    alone = [of.tally(truth, np.asarray(run.oof[made.fitted.rows]), *given).score() for run in made.runs]
    assert of.metric.sign * climb.scores() == pytest.approx(alone, abs=2e-3)
    mean = np.mean([np.asarray(run.oof[made.fitted.rows]) for run in made.runs[:2]], axis=0)
    assert of.metric.sign * climb.scores(0)[1] == pytest.approx(of.tally(truth, mean, *given).score(), abs=2e-3)
    blended = joined([fold_tally(made, Solution(np.array([1, 1, 0])), k) for k in range(FOLDS)])
    # of a mixture a hundred classes are stored, too
    assert blended.score() == pytest.approx(
        of.tally(truth, mean).score(), abs=2e-3 if of is not OF["log loss"] else 0.02
    )


@each
def test_a_blend_is_chosen_and_better_than_its_runs(of: Competition) -> None:
    made = pool(of)
    offered = blenders_for(made)
    assert {"mean", "single", "greedy", "bagged"} <= {one.name for one in offered}
    assert not {"calibrated", "ranks", "mean-biases"} & {one.name for one in offered}
    found = cross_fit(made, offered)
    assert of.better(found.score, found.single)
    values = mixed(made, found.final[1], "oof", np.arange(10))
    assert isinstance(values, TopK) and np.asarray(values).sum(1) == pytest.approx(1, abs=2e-3)


def test_pictures_of_a_blend(tmp_path: Path) -> None:
    from toolkit.blending.plots import draw

    draw(pool(OF["macro F1"]), Solution(np.array([2, 1, 1])), "greedy", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"weights.png", "correlation.png", "gain.png"}
