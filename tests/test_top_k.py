"""Of many classes the likeliest are stored: what is read back is right where it matters, and sums to 1."""

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.probabilities import chunks, no_values, open_probabilities, probabilities, read, write_probabilities
from toolkit.task import Classification, Labels, OverlappingMasks
from toolkit.top_k import ALL, KEPT, TopK, record_type, top

CLASSES = 1200
KIND = record_type(CLASSES)


def drawn(rows: int, seed: int, sure: float = 3.0) -> np.ndarray:
    """Probabilities float32 (rows, CLASSES)."""
    logits = sure * np.random.default_rng(seed).normal(size=(rows, CLASSES))
    made = np.exp(logits - logits.max(1, keepdims=True))
    found: np.ndarray = (made / made.sum(1, keepdims=True)).astype(np.float32)
    return found


@given(seed=st.integers(0, 1000), sure=st.floats(0, 8))
@settings(max_examples=20, deadline=None)
def test_the_likeliest_come_back_and_the_rest_is_spread_evenly(seed: int, sure: float) -> None:
    values = drawn(4, seed, sure)
    stored = top(values, KIND)
    back = stored.dense()
    assert stored.shape == values.shape and stored.best(np.arange(CLASSES)).tolist() == values.argmax(1).tolist()
    assert np.abs(back.sum(1) - 1).max() < 2e-3
    likely = np.argsort(-values, axis=1, kind="stable")[:, :KEPT]
    assert np.abs(np.take_along_axis(back - values, likely, 1)).max() < 1e-3
    rest = np.ones_like(values, bool)
    np.put_along_axis(rest, likely, False, 1)
    assert (back[rest].reshape(4, -1) == back[rest].reshape(4, -1)[:, :1]).all()
    some = np.random.default_rng(seed).integers(0, CLASSES, (4, 3))
    assert (stored.at(some) == np.take_along_axis(back, some, 1)).all()


def test_files_are_written_in_parts_and_read_by_rows(tmp_path: Path) -> None:
    values, path = drawn(600, 0), tmp_path / "oof.npy"
    write_probabilities(path, (values[at] for at in chunks(600)), values.shape, KIND)
    stored = open_probabilities(path)
    assert isinstance(stored, TopK) and stored.shape == (600, CLASSES) and len(stored) == 600
    rows = np.array([599, 0, 7])
    assert (probabilities(read(stored, rows)) == top(values[rows], KIND).dense()).all()
    assert (np.asarray(stored[rows]) == top(values[rows], KIND).dense()).all()
    assert path.stat().st_size < values.nbytes / 7


def test_rows_are_set_as_those_of_an_array(tmp_path: Path) -> None:
    values = drawn(5, 1)
    for path in (None, tmp_path / "made.npy"):
        made = no_values((5, CLASSES), KIND, path)
        made[np.array([3, 1])] = values[[3, 1]]
        made[:1] = top(values[:1], KIND)
        back = probabilities(made)
        assert (back[[0, 1, 3]] == top(values[[0, 1, 3]], KIND).dense()).all()
        assert (back[[2, 4]] == 0).all()  # nothing is said there


def test_a_class_that_is_not_scored_is_never_the_best() -> None:
    values = drawn(20, 2)
    left = np.setdiff1d(np.arange(CLASSES), values.argmax(1))
    assert (top(values, KIND).best(left) == left[values[:, left].argmax(1)]).all()


def test_up_to_a_thousand_classes_all_are_stored() -> None:
    from toolkit.probabilities import value_type

    few, many = (Classification(tuple(map(str, range(n))), (8, 8, 3)) for n in (ALL, ALL + 1))
    labels = Labels(("a", "b"), (8, 8, 3))  # of which .9998 may cost as much as 4 true ones, if it were stored as 1
    assert value_type(labels) == np.float32 and value_type(OverlappingMasks(("a", "b"), (8, 8, 3))) == np.float16
    assert value_type(few) == np.float16 and value_type(many) == record_type(ALL + 1)
