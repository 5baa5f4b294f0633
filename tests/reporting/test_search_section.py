"""A search is shown once it has trials enough, its winner with the command that trains it."""

from pathlib import Path

import pytest

from tests.tiny import FIRST, labelled, prepare
from toolkit.data.labelled import Labelled
from toolkit.pages.html import Advice, Chart, Lines, Row
from toolkit.recipe import override, to_dict
from toolkit.reporting.search_section import search_section
from toolkit.store import read_json, write_json


def searched(root: Path, finished: int, pruned: int = 2) -> Labelled:
    """A study of so many trials, and its summary."""
    import optuna

    from toolkit.tuning.storage import open_storage

    made = prepare(root).labelled()
    folder = made.workspace.search
    study = optuna.create_study(
        storage=open_storage("sqlite", folder), study_name="tiny-practice-1", direction="maximize"
    )
    for number in range(finished + pruned):
        trial = study.ask()
        lr = trial.suggest_float("optimizer.lr", 1e-4, 1e-1, log=True)
        trial.suggest_categorical("batch_size", [8, 16])
        trial.suggest_categorical("loss.names", ["focal", "cross_entropy"])
        trial.report(0.5, 0)
        whole = number < finished
        study.tell(trial, lr if whole else None, None if whole else optuna.trial.TrialState.PRUNED)
    write_json(made.workspace.best_recipe, to_dict(override(FIRST, ["name=first-t3", "optimizer.lr=0.02"])))
    summary = {
        "study": "tiny-practice-1",
        "trials": {"begun": finished + pruned, "finished": finished, "pruned": pruned, "failed": 0},
        "recipe": str(made.workspace.best_recipe),
        "seconds": 81.67,
        "score": 0.51,
        "low": 0.4,
        "high": 0.6,
        "naive": 0.53,
        "optimism": 0.02,
    }
    write_json(made.workspace.search_summary, summary)
    return made


def test_without_a_search_its_command_is_shown(tmp_path: Path) -> None:
    import numpy as np

    made = labelled(np.zeros(3, np.int64), np.arange(3), root=tmp_path)
    assert search_section(made).note.startswith("No search yet: `compete search tests/tiny --workspace ")


def test_too_few_finished_trials_are_a_sentence_and_the_winner(tmp_path: Path) -> None:
    section = search_section(searched(tmp_path, finished=1, pruned=3))
    assert section.note == (
        "4 trials (1 finished, 3 pruned) in 1 min 22 s. 1 finished trial of the 5 that charts need; the same command "
        "goes on."
    )
    (advice,) = section.blocks
    assert isinstance(advice, Advice)
    ((text, command),) = advice.items
    assert text.startswith("The winner is first with optimizer.lr=0.02; train it")
    assert command.startswith("compete train tests/tiny --practice ") and "best.recipe" in command


@pytest.mark.usefixtures("unpainted")
def test_scores_are_drawn_over_each_parameter_the_learning_rate_first(tmp_path: Path) -> None:
    words, _, course, parameters = search_section(searched(tmp_path, finished=6)).blocks
    assert "Expect 0.5100 (95 %: 0.400 to 0.600) of the winner; as chosen it has 0.5300, of which 0.0200" in str(words)
    assert isinstance(course, Row) and isinstance(course.blocks[0], Lines)
    assert "earlier search" not in str(words)
    best, *trials = course.blocks[0].series
    assert list(best.ys) == sorted(best.ys) and len(best.ys) == 6
    assert [one.group for one in trials].count("pruned") == 2
    assert isinstance(parameters, Row)
    drawn = [block.title for block in parameters.blocks if isinstance(block, Chart)]
    assert drawn[0] == "optimizer.lr" and set(drawn) <= {"optimizer.lr", "batch_size", "loss.names"}


@pytest.mark.usefixtures("unpainted")
def test_among_how_many_trials_the_first_recipe_was_chosen_is_said(tmp_path: Path) -> None:
    made = searched(tmp_path, finished=6)
    summary = read_json(made.workspace.search_summary)
    for known in (summary, summary | {"score": None}):
        write_json(made.workspace.search_summary, known | {"before": 40})
        words, *_ = search_section(made).blocks
        assert "The first recipe was chosen among 40 trials of an earlier search, which no score" in str(words)
