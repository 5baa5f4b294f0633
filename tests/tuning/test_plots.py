"""What decides, by the trials."""

import optuna
import pytest

from toolkit.tuning.plots import ENOUGH, importances


@pytest.mark.parametrize("objectives", [1, 2])
def test_what_sets_the_best_trials_apart_is_important_not_what_makes_the_worst(objectives: int) -> None:
    study = optuna.create_study(directions=["maximize"] * objectives, sampler=optuna.samplers.RandomSampler(seed=0))
    for number in range(30):
        trial = study.ask()
        x = trial.suggest_float("x", 0, 1)
        y = trial.suggest_float("y", 0, 1)
        branch = trial.suggest_categorical("branch", ["a", "b"])
        only = trial.suggest_float("z@b", 0, 1) if branch == "b" else 0
        study.tell(trial, [(x if y > 0.3 else -1) + 0.01 * only, -x][:objectives])
        if number + 1 < ENOUGH:
            assert importances(study) == {}
    found = importances(study)
    assert next(iter(found)) == "x" and sum(found.values()) == pytest.approx(1)
    assert found.keys() == {"x", "y", "branch", "z@b"}
