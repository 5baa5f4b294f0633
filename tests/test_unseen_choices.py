"""A choice among a search's trials that the pool's scores can't know of is told."""

from pathlib import Path

import numpy as np

from tests import tiny
from tests.test_runs import tried
from toolkit.unseen_choices import unseen_choices


def test_a_choice_is_seen_where_all_trials_with_all_folds_are_there(tmp_path: Path) -> None:
    labelled = tiny.labelled(np.zeros(4, int), np.arange(4) % 2, root=tmp_path)
    runs = [tried(labelled, number, number + 1) for number in range(3)]
    tried(labelled, 3, 4, ended=1)  # given up
    repeat = tried(labelled, 1, 4, seed=1)
    assert unseen_choices(runs) == unseen_choices([*runs, repeat]) == [], "a repeat goes with its trial"
    (found,) = unseen_choices([runs[0], repeat])
    assert found.chosen.trials == 4 and found.runs == (runs[0], repeat)
    assert found.sentence.startswith("2 of 3 trials of study were picked before these scores;")
    assert found.cell({runs[0].name: 0.5, repeat.name: 0.5}) == "2 runs: 4 trials of study"
    assert found.cell({runs[0].name: 1.0, repeat.name: 0}) == f"{runs[0].name}: 4 trials of study"
    anew = tried(labelled, 1, 4, seed=2, judged=False)
    (found,) = unseen_choices([*runs, anew])
    assert found.sentence.startswith(f"{anew.name}: trained from a recipe that was chosen among 4 trials of study;")
