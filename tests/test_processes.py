"""A process that is over ends at once."""

import gc
import sys
from types import SimpleNamespace

import pytest

from toolkit.processes import end_soon


def test_helpers_are_ended_and_no_garbage_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[dict[str, bool]] = []
    executor = SimpleNamespace(shutdown=lambda **how: heard.append(how))
    name = "joblib.externals.loky.reusable_executor"
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(_executor=executor))
    try:
        end_soon()
        assert heard == [{"wait": True, "kill_workers": True}] and gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
