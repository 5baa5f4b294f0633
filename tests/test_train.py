"""The command: a run or a fold of one, and what it says as JSON and on the screen."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from tests.tiny import FIRST, competition, prepare
from toolkit.command_line import parser, run_command
from toolkit.train import add_options, train

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = "schedule.epochs=1"


def trained(root: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    """Its JSON."""
    made = parser("train", "", overrides=True)
    add_options(made)
    shared = [str(competition.folder), "--practice", "--workspace", str(root), "--json"]
    assert run_command(made, train, [*shared, *more]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_a_fold_then_the_whole_run_with_its_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = prepare(tmp_path)
    fold = trained(tmp_path, capsys, "--fold", "1", QUICK)
    assert fold["fold"] == 1 and not made.runs()
    result = trained(tmp_path, capsys, QUICK)
    (run,) = made.runs()
    assert result["run"] == fold["run"] == str(run.folder) and result["recipe"] == fold["recipe"] == "first"
    assert {name: result[name] for name in ("clean", "stress", "matched")} == {
        name: run.metrics[name] for name in ("clean", "stress", "matched")
    }


def test_families_are_told_with_their_mean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(tmp_path)
    result = trained(tmp_path, capsys, QUICK, "augment.erase=0.5", "--families")
    assert result["families"].keys() == {"trained_on", "held_out"}
    assert result["families"]["held_out"].keys() == {"occlusion"}


def test_a_seed_is_the_recipes_unless_it_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = prepare(tmp_path)
    for more in (["--recipe", "second"], ["--recipe", "second", "--seed", "5"]):
        trained(tmp_path, capsys, QUICK, "--stress", "none", *more)
    assert sorted(run.recipe.seed for run in made.runs()) == [1, 5]


def test_the_other_folds_are_of_the_same_recipe() -> None:
    made = parser("train", "", overrides=True)
    add_options(made)
    project = Mock(**{"choose_recipe.return_value": FIRST, "save_recipe.return_value": FIRST})
    for more, rest in (
        (["--recipe", "a b.json", "seed=4"], " --recipe 'a b.json' seed=4"),
        (["--recipe", "second", "seed=4", "--save-as", "mine"], " --recipe mine"),
        (["--seed", "3"], " --seed 3"),
        ([], ""),
    ):
        options = made.parse_intermixed_args(["tiny", *more, "--fold", "0"])
        assert train(project, options).next[0][0] == f"compete train{rest}"
    train(project, made.parse_intermixed_args(["tiny", "--fold", "0", "--save-as", ""]))
    project.save_recipe.assert_called_with(FIRST, "")  # which refuses that name
