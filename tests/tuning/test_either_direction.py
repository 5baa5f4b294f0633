"""A search for the lowest score goes as one for the highest of its negative."""

from pathlib import Path

import numpy as np
import pytest

from tests import tiny, tiny_flipped
from tests.tuning.studies import EPOCH, search
from toolkit.competition import Competition
from toolkit.tuning.board import best_of
from toolkit.tuning.summary import Search

pytestmark = pytest.mark.usefixtures("one_thread", "no_pictures")


def searched(root: Path, of: Competition) -> Search:
    return search(root, EPOCH, of=of, trials=9, stress="none", repeats=1)


def test_a_turned_sign_changes_no_trial_no_order_and_no_winner(tmp_path: Path) -> None:
    plain, turned = searched(tmp_path / "plain", tiny.competition), searched(tmp_path / "turned", tiny_flipped.competition)
    assert turned.study.directions[0].name == "MINIMIZE" and plain.study.directions[0].name == "MAXIMIZE"
    assert turned.trials == plain.trials and plain.trials["pruned"] > 0
    pairs = list(zip(plain.study.trials, turned.study.trials, strict=True))
    assert [one.state for one, _ in pairs] == [other.state for _, other in pairs]
    assert [one.params for one, _ in pairs] == [other.params for _, other in pairs]
    values = [[t.value for t in pair] for pair in pairs if pair[0].state.name == "COMPLETE"]
    assert [one for one, _ in values] == pytest.approx([-other for _, other in values])
    assert [t.number for t in turned.ranked] == [t.number for t in plain.ranked]
    assert [final.trial for final in turned.best] == [final.trial for final in plain.best]
    assert turned.choice is not None and plain.choice is not None
    assert turned.choice.winner == plain.choice.winner
    assert turned.choice.optimism == pytest.approx(plain.choice.optimism)
    assert turned.score == pytest.approx(-(plain.score or np.nan))
    lowest = min(one.value for one in turned.study.trials if one.value is not None and one.state.name == "COMPLETE")
    assert best_of(turned.study.trials, lower=True).startswith(f"best of {len(values)}: {lowest:.4f}")
