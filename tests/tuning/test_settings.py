"""What can't be searched is one sentence, before time is spent."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import competition, prepare
from tests.tuning.studies import search
from toolkit.errors import UserError
from toolkit.metrics.confusion import Accuracy
from toolkit.tuning.settings import SearchSettings, read_objectives


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"objective": "speed"}, "there is no objective 'speed'; there are clean, stress, test-matched, seconds"),
        ({"objective": "seconds"}, "objective names a score first"),
        ({"objective": "clean,clean"}, "takes one or two different ones"),
        ({"objective": "stress", "stress": "none"}, "leave out stress=none"),
        ({"objective": "clean,test-matched", "stress": "none"}, "leave out stress=none"),
        ({"objective": "test-matched"}, "needs 10 test images that may be looked at, and tiny has fewer"),
        ({"sampler": "grid"}, "there is no sampler 'grid'; there are auto"),
        ({"sampler": "cmaes", "objective": "clean,stress"}, "cmaes takes one objective"),
        ({"storage": "mysql://x"}, "--storage mysql… is not known"),
        ({"trials": 0}, "trials must be at least 1, got 0"),
        ({"until_no_gain": 0}, "until_no_gain must be at least 1, got 0"),
        ({"repeats": -1}, "repeats must not be negative"),
        ({"pseudo__rounds": 1}, "leave out pseudo.rounds"),
        ({"seed": 3}, "give a seed to all"),
        ({"optimizer__rate": 1}, "recipe has no field 'optimizer.rate'"),
        ({"recipe": "third"}, "tiny has no recipe 'third', nor is it a file; there are first, second"),
    ],
)
def test_wrong_usage_is_one_sentence_before_time_is_spent(asked: dict[str, Any], said: str, tmp_path: Path) -> None:
    project = prepare(tmp_path)
    with pytest.raises(UserError, match=said):
        project.search(**asked)
    assert not project.workspace.train.exists()


def test_a_search_trains_on_one_device() -> None:
    with pytest.raises(UserError, match="start one search for each of cpu,cpu"):
        SearchSettings(device="cpu,cpu")


def test_a_competition_without_a_space_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="tiny has no search space; give its Competition a suggest"):
        search(tmp_path, of=replace(competition, suggest=None))


def test_objectives_know_their_direction() -> None:
    assert [one.direction(Accuracy()) for one in read_objectives("clean,seconds")] == ["maximize", "minimize"]
