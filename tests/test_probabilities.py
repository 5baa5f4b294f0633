"""Probabilities that are written in parts come back as they were, up to rounding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.probabilities import open_probabilities, probabilities, write_probabilities


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.sampled_from([np.uint8, np.float16]))
@settings(max_examples=30)
def test_what_is_written_in_parts_comes_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], dtype: type
) -> None:
    values = np.random.default_rng(0).random((sum(sizes), 3, 2)).astype(np.float32)
    values[0, :, 0] = 0, 0.5, 1
    path = tmp_path_factory.mktemp("parts") / "oof.npy"
    write_probabilities(path, np.split(values, np.cumsum(sizes)[:-1]), values.shape, dtype)
    stored = open_probabilities(path)
    assert stored.dtype == dtype and stored.shape == values.shape
    back = probabilities(stored)
    assert back.dtype == np.float32 and np.abs(back - values).max() <= 0.501 / 255
    assert back[0, 0, 0] == 0 and back[0, 2, 0] == 1
