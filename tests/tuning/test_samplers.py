"""Which sampler draws, what it learns from, and that it repeats nothing."""

from copy import deepcopy
from pathlib import Path

import optuna
import pytest
from optuna.distributions import BaseDistribution

from tests.tuning.studies import expected, opened, suggested, up_to
from toolkit.errors import UserError
from toolkit.tuning.samplers import SAMPLERS, as_finished, make_sampler
from toolkit.tuning.study import work


def test_a_gaussian_process_learns_from_pruned_trials_what_they_reported_last() -> None:
    study = optuna.create_study(direction="maximize", sampler=make_sampler("gp", 30, 0)[0])
    low: dict[str, BaseDistribution] = {"x": optuna.distributions.FloatDistribution(0, 1)}
    state = optuna.trial.TrialState
    for at in range(12):  # the better the lower x is, which only those that were given up show
        study.add_trial(optuna.create_trial(params={"x": 0.5}, distributions=low, value=0.5))
        reports = {1: 0.9, 2: 1 - at / 12}
        pruned = optuna.create_trial(
            params={"x": at / 12}, distributions=low, state=state.PRUNED, intermediate_values=reports
        )
        study.add_trial(pruned)
    study.add_trial(optuna.create_trial(params={"x": 0.1}, distributions=low, state=state.PRUNED))  # told nothing
    study.add_trial(optuna.create_trial(state=state.PRUNED, intermediate_values={1: 0.3}))  # has no x
    assert study.ask().suggest_float("x", 0, 1) < 0.2
    assert sum(t.state == state.PRUNED for t in study.get_trials()) == 14, "the study itself is left as it is"


def test_pruned_trials_count_with_what_they_reported_last_moved_by_what_finished_ones_differ_by() -> None:
    state = optuna.trial.TrialState
    pruned = [
        optuna.create_trial(state=state.PRUNED, intermediate_values=reports) for reports in ({1: 0.9, 2: 0.4}, {})
    ]
    plain, told = optuna.create_trial(value=0.5), optuna.create_trial(value=0.8, intermediate_values={1: 0.3})
    for trials, score in (([plain], 0.4), ([plain, told], 0.9)):
        (seen,) = as_finished(deepcopy(pruned), trials)
        assert seen.state == state.COMPLETE and seen.value == pytest.approx(score)


@pytest.mark.parametrize(("sampler", "where"), [*((name, "journal") for name in SAMPLERS), ("auto", "sqlite")])
def test_every_sampler_draws_for_a_space_with_branches_and_goes_on_in_a_new_process(
    sampler: str, where: str, tmp_path: Path
) -> None:
    for number in (6, 12):
        work(opened(tmp_path, where, sampler), tmp_path, up_to(number), suggested)
    trials = opened(tmp_path, where).get_trials()
    assert len(trials) == 12 and all(t.values == [expected(t)] for t in trials)
    assert len({t.params["x"] for t in trials}) > 10, "a restart repeats no draws (a model may ask for the edge twice)"


def test_which_sampler_follows_from_the_number_of_trials() -> None:
    assert make_sampler("auto", 30, 0)[1].startswith("by a Gaussian process once 10 trials")
    assert make_sampler("auto", 16, 0)[1].startswith("by a Gaussian process once 10 trials"), (
        "nor with a budget sooner"
    )
    assert make_sampler("auto", 101, 0)[1].startswith("by multivariate TPE once 10 trials")
    assert make_sampler("auto", 30, 0, objectives=2)[1].startswith("by multivariate TPE once 10 trials")
    assert make_sampler("auto", 10, 0)[1] == "at random"
    with pytest.raises(UserError, match="there is no sampler 'best'; there are auto, tpe"):
        make_sampler("best", 30, 0)
    with pytest.raises(UserError, match="cmaes takes one objective"):
        make_sampler("cmaes", 30, 0, objectives=2)
