"""Searches without pictures, and at a speed that is known."""

from collections.abc import Callable

import pytest

from toolkit.training.budget import Speed


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take seconds, and most tests of searches don't look at them."""
    monkeypatch.setattr("toolkit.tuning.summary.draw", lambda *_: [])


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let a training step seem to take so many seconds."""

    def install(seconds: float) -> None:
        monkeypatch.setattr("toolkit.training.budget.measure_speed", lambda job, within: Speed(seconds, 0.0))

    return install
