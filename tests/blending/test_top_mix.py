"""Blends of the likeliest of many classes: as of all of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_top_k import CLASSES, KIND, drawn
from toolkit.blending.top_mix import common_classes, mixed_top
from toolkit.top_k import top


@given(seed=st.integers(0, 100), models=st.integers(1, 4))
@settings(max_examples=10, deadline=None)
def test_a_mixture_is_the_mean_of_what_is_stored(seed: int, models: int) -> None:
    parts = [top(drawn(6, 10 * seed + m, 2.0 + m), KIND) for m in range(models)]
    shares = np.random.default_rng(seed).dirichlet(np.ones(models))
    mean = sum(share * part.dense() for share, part in zip(shares, parts, strict=True))
    mixed = mixed_top(parts, shares.tolist())
    likely = np.argsort(-mean, axis=1, kind="stable")[:, :20]
    assert np.take_along_axis(mixed.dense(), likely, 1) == pytest.approx(np.take_along_axis(mean, likely, 1), abs=1e-3)
    first, other = (np.take_along_axis(mean, places, 1) for places in (likely[:, :1], mixed.places[:, :1].astype(int)))
    assert other == pytest.approx(first, abs=1e-6)


def test_the_classes_that_decide_hold_the_true_one() -> None:
    parts, rng = [top(drawn(50, m), KIND) for m in range(3)], np.random.default_rng(0)
    truth = rng.integers(-1, CLASSES, 50)
    classes, values, place = common_classes(parts, truth, 16)
    known = truth >= 0
    assert (classes[known, place[known]] == truth[known]).all() and (place[~known] == -1).all()
    assert (np.diff(classes, axis=1) > 0).all()
    for part, own in zip(parts, values, strict=True):
        assert (own == part.at(classes)).all()
