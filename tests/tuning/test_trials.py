"""What finished trials, as they lie on the disk, say of one under way."""

from pathlib import Path

import numpy as np
import optuna
import pytest

from tests.tiny import competition
from toolkit.store import write_json, write_manifest
from toolkit.tuning.study import RUN
from toolkit.tuning.trials import CLEAN, Rivals

STATE = optuna.trial.TrialState


def stored(folder: Path, scores: dict[int, float]) -> None:
    """A run with these accuracies on some folds, each reached by a straight course."""
    for fold, score in scores.items():
        right = round(100 * score)
        made = folder / f"fold_{fold}"
        made.mkdir(parents=True)
        confusions = np.array([[right, 100 - right, 0], [0, 0, 0], [0, 0, 0]])
        np.savez_compressed(made / "judged_clean.npz", weights="", groups=np.arange(1), confusions=confusions[None])
        write_json(made / "history.json", [{"score": score * share, "seconds": 1.0} for share in (0.25, 0.5, 0.75, 1)])
        write_manifest(made, {"complete": True})


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    """Four finished trials, whose fold 1 is harder by 0.2, and one that was given up after it."""
    made = optuna.create_study(direction="maximize")
    for number in range(4):
        stored(tmp_path / f"run{number}", {0: 0.6 + number / 100, 1: 0.4 + number / 100})
        made.add_trial(optuna.create_trial(value=0.5 + number / 100, user_attrs={RUN: f"run{number}"}))
    stored(tmp_path / "given_up", {1: 0.3})
    made.add_trial(optuna.create_trial(state=STATE.PRUNED, user_attrs={RUN: "given_up"}))
    return made


def test_a_trial_is_expected_to_have_on_all_folds_what_others_gain_there(study: optuna.Study, tmp_path: Path) -> None:
    rivals = Rivals(competition, (CLEAN,), tmp_path, 2)
    mine = rivals.of(study.trials[-1], "clean")
    assert rivals.expected(study, "clean", mine) == pytest.approx(0.4)
    ranked = rivals.ranking(study)
    assert [trial.number for trial, _ in ranked] == [3, 2, 1, 0, 4]
    assert [score for _, score in ranked] == pytest.approx([0.53, 0.52, 0.51, 0.5, 0.4])


def test_a_first_fold_is_hopeless_by_the_courses_on_all_folds(study: optuna.Study, tmp_path: Path) -> None:
    rivals = Rivals(competition, (CLEAN,), tmp_path, 2)
    low, high = ([{"score": score}] * 2 for score in (0.1, 0.3))
    end = rivals.hopeless(study, 1, low, 4)
    assert end == pytest.approx(0.1 + 0.205 + 0.1), "with the others' gain, on all folds, which are easier than fold 1"
    assert rivals.hopeless(study, 1, high, 4) is None
    assert rivals.hopeless(study, 1, [{"score": None}] * 2, 4) is None
    assert Rivals(competition, (), tmp_path, 2).hopeless(study, 1, low, 4) is None, "only the clean score is watched"
