"""Jobs to train, and training that can be interrupted anywhere."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from tests import tiny
from tests.training.layered import NETWORKS
from toolkit.networks.network import Network
from toolkit.training.jobs import FoldJob


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., FoldJob]:
    """Makes jobs as `tiny.make_job`, each in a folder of its own."""
    folders = (tmp_path / str(number) for number in count())
    return lambda *assignments, **more: tiny.make_job(next(folders), *assignments, **more)


@pytest.fixture
def saving_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.training.fold.SAVE_SECONDS", 0.0)


@pytest.fixture(scope="session")
def networks() -> dict[str, Network]:
    return {name: build() for name, build in NETWORKS.items()}
