"""What is tried at the end of a budget, and what is kept for it."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.tiny import FIRST
from toolkit.planning import ending
from toolkit.planning.ending import KEPT_FROM, MOST, ROOM, Ending
from toolkit.training.budget import Cost

RUN: Any = SimpleNamespace(recipe=SimpleNamespace(name="first"))
ADAPTING = 40.0  # seconds


@pytest.fixture(autouse=True)
def adapting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "may_adapt", lambda labelled: True)
    monkeypatch.setattr(ending, "seconds_to_adapt", lambda runs, device: ADAPTING * len(runs))
    monkeypatch.setattr(ending, "images_to_adapt", lambda labelled: 400 / labelled.folds)
    monkeypatch.setattr(ending, "views_to_try", lambda runs, asked: ("identity", "horizontal"))
    monkeypatch.setattr(ending, "default_views", lambda recipe, shape: ("identity", "horizontal"))


def end(tests: int, budget: float = 600.0) -> Ending:
    """Of a competition with 500 images in folds, and so many test images at hand."""
    competition = SimpleNamespace(try_submission=None, task=SimpleNamespace(image_shape=(8, 8, 3)))
    labelled: Any = SimpleNamespace(
        folds=5,
        inside=np.ones(500, bool),
        held_out=np.zeros(500, bool),
        test_images=np.zeros((tests, 1)),
        has_test_images=tests > 0,
        shows_how_tests_look=tests > 0,
        competition=competition,
    )
    return Ending(labelled, budget, "auto", "cpu")


COSTS = {"first": Cost(epoch=1.0, once=0.0, image=0.1)}  # a view of 500 images takes 50 s


@pytest.mark.parametrize(
    ("tests", "left", "tried"),
    [
        (0, 50 / ROOM + 1, (["trained"], "none")),
        (0, ADAPTING / ROOM + 1, (["none"], "auto")),  # what doesn't fit is passed over
        (0, 90 / ROOM + 1, (["trained"], "auto")),
        (100, 90 / ROOM + 1, (["none"], "auto")),  # a view of five folds' test images takes 50 s more
        (100, 140 / ROOM + 1, (["trained"], "auto")),
        (100, 10.0, (["none"], "none")),
    ],
)
def test_where_test_images_are_hidden_views_come_before_adapting(
    tests: int, left: float, tried: tuple[list[str], str]
) -> None:
    assert end(tests).chosen([RUN], COSTS, left) == tried


def test_what_is_kept_is_enough_or_nothing() -> None:
    for tests, takes in ((0, 50.0), (100, ADAPTING)):
        kept = end(tests).kept(FIRST, COSTS, 1)
        assert kept == pytest.approx(takes / ROOM)
        assert end(tests).chosen([RUN], COSTS, kept + 1e-6) != (["none"], "none")
        assert end(tests).kept(FIRST, COSTS, 2) in (0.0, pytest.approx(2 * kept))
    assert end(0).kept(FIRST, COSTS, 1, slow=1.2) == pytest.approx(1.2 * 50 / ROOM)
    assert end(0).kept(FIRST, COSTS, 1, slow=2.0) == 0.0, "a busy machine doesn't raise the share"
    assert end(0, budget=50 / ROOM / MOST - 1).kept(FIRST, COSTS, 1) == 0.0
    assert end(0, budget=KEPT_FROM - 1).kept(FIRST, {"first": Cost(1.0, 0.0, image=1e-4)}, 1) == 0.0
    assert end(0).kept(FIRST, {}, 1) == 0.0
