from pathlib import Path

import pytest

from tests.planning.budgets import Measured
from tests.tiny import prepare
from toolkit import Labelled
from toolkit.planning import spending
from toolkit.training.budget import Speed
from toolkit.training.jobs import FoldJob


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    """Let a training step of a recipe seem to take so many seconds, and a first fold `pace` times as long; the recipes
    that were measured.
    """

    def install(seconds: dict[str, float], pace: float = 1.0) -> list[str]:
        asked: list[str] = []

        def measure_speed(job: FoldJob, within: float) -> Speed:
            asked.append(job.recipe.name)
            return Speed(seconds[job.recipe.name], 0.0, None)

        monkeypatch.setattr("toolkit.training.budget.measure_speed", measure_speed)
        # whatever else runs here
        monkeypatch.setattr("toolkit.training.budget.quietest", lambda measure, within=0: measure())
        monkeypatch.setattr(spending, "first_pace", lambda *given: pace)
        monkeypatch.setattr(spending, "SLOWEST", 1.0)
        return asked

    return install


@pytest.fixture
def labelled(tmp_path: Path) -> Labelled:
    return prepare(tmp_path).labelled()
