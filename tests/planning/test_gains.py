"""What a part gained, by the blends with and without it."""

from pathlib import Path

import pytest

from tests.tiny import competition, prepare
from toolkit.planning.gains import NOTHING, Gains
from toolkit.training.cross_validation import train

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_gain_is_that_of_the_blend_with_the_run_over_the_one_without(tmp_path: Path) -> None:
    labelled = prepare(tmp_path).labelled()
    runs = [train(labelled, recipe, stress="none") for recipe in competition.recipes.values()]
    gains = Gains(labelled, "cpu")
    gain = gains.of(runs[:1], runs)
    assert gain.unit > 0 and gain.noise >= 0 and gains.seconds > 0
    assert gains.of(runs, runs).errors == 0 and "the blend gained" in str(gain) and str(NOTHING) == "nothing new"
