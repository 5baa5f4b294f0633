"""The drawn practice data has the organisers' format and the traps of the real file."""

from collections import defaultdict
from pathlib import Path

import numpy as np

from competitions.blood_cells.practice import practice

SIZE = 48


def test_practice_data_has_the_format_and_the_traps(tmp_path: Path) -> None:
    practice(tmp_path, seed=3, size=SIZE)
    raw, truth = np.load(tmp_path / "raw" / "training_set.npz"), np.load(tmp_path / "truth" / "truth.npz")
    assert set(raw.files) == {"images", "labels"} and set(truth.files) == {"images", "targets"}
    images, labels, hidden, targets = raw["images"], raw["labels"], truth["images"], truth["targets"]
    assert images.shape == (len(labels), 96, 96, 3) and labels.shape == (len(images), 1)
    assert images.dtype == labels.dtype == hidden.dtype == np.uint8
    assert hidden.shape == (24, 96, 96, 3) and targets.shape == (24,) and targets.dtype == np.int64
    assert np.bincount(targets, minlength=8).min() >= 3

    keys, marks = [image.tobytes() for image in images], labels[:, 0].tolist()
    second = keys[::-1].index(next(key for key in keys[::-1] if key != keys[-1]))
    assert second >= 6 and set(marks[-second:]) == {5}
    first = keys.count(keys[-second - 1])
    start = len(keys) - second - first
    assert first >= 16 and set(keys[start : start + first]) == {keys[-second - 1]}
    assert marks[start : start + first] == np.repeat(np.arange(8), first // 8).tolist()

    found = defaultdict(list)
    for key, mark in zip(keys[:start], marks[:start], strict=True):
        found[key].append(mark)
    repeated = [sorted(group) for group in found.values() if len(group) > 1]
    assert len(repeated) >= 3 and [len(set(group)) for group in repeated].count(2) == 1
    assert len(found) > SIZE  # the near copies are not exact ones
    assert np.bincount(marks[:start], minlength=8).min() >= 3
    assert not set(keys) & {image.tobytes() for image in hidden}


def test_the_seed_decides_every_byte(tmp_path: Path) -> None:
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        practice(tmp_path / folder, seed=seed, size=SIZE)
    for name in ("raw/training_set.npz", "truth/truth.npz"):
        a, b, c = ((tmp_path / folder / name).read_bytes() for folder in "abc")
        assert a == b and a != c
