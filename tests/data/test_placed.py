"""What is said of samples becomes masks of the pictures they lie in, and counts of these."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import tiny
from toolkit import Competition, MeanDice, MeanIoU, OverlappingMasks, Segmentation
from toolkit.data import placed
from toolkit.data.masks import nearest
from toolkit.data.native import Native, starts_of
from toolkit.decisions.decide import PLAIN, Decisions
from toolkit.images.fitting import fitted, letterboxed
from toolkit.images.places import Places
from toolkit.metrics.metric import CountedMetric, Metric
from toolkit.task import IGNORED, Task

TASK = Segmentation(("ground", "thing", "other"), (16, 16, 3))
OF = replace(tiny.competition, task=TASK, metric=MeanIoU())
LABELS = replace(OF, task=OverlappingMasks(("a", "b"), (16, 16, 3)), metric=MeanDice())


def one_hot(mask: np.ndarray) -> np.ndarray:
    """float16 (classes, H, W) that says a mask."""
    said: np.ndarray = (mask == np.arange(3)[:, None, None]).astype(np.float16)
    return said


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 5))
@settings(max_examples=60)
def test_a_picture_of_any_size_comes_back_at_its_own(height: int, width: int, seed: int) -> None:
    """By OpenCV's own enlargement of the whole, whatever the bands."""
    values = np.random.default_rng(seed).random((1, 3, 16, 16)).astype(np.float32)
    top, left, tall, wide = letterboxed((height, width), (16, 16))
    box = np.array([(0, 0, height, width)])
    how = cv2.INTER_AREA if tall > height or wide > width else cv2.INTER_LINEAR
    content = values[0, :, top : top + tall, left : left + wide]
    whole = np.stack([cv2.resize(one, (width, height), interpolation=how).reshape(height, width) for one in content])
    for band in (1, 3 * width, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(placed, "BAND", band)
            found = list(placed.bands(values, [0], box, (height, width)))
        assert np.abs(np.concatenate([each for _, each, _ in found], axis=1) - whole).max() < 1e-6
        assert [seen for *_, seen in found] == [None] * len(found)


@pytest.mark.parametrize("size", [(16, 16), (23, 40), (50, 11), (5, 9)])
def test_what_is_known_of_a_mask_is_said_of_the_picture(size: tuple[int, int]) -> None:
    """Up to what its smaller copy can't say: a rim."""
    mask = np.zeros(size, np.uint8)
    mask[: size[0] // 2, size[1] // 3 :] = 2
    small = fitted(mask[..., None], 16, 16, "letterbox", nearest, IGNORED)[..., 0]
    made = placed.placed_mask(OF, one_hot(small)[None], [0], np.array([(0, 0, *size)]), size)
    rim = 0.5 * max(size) / 16 * (sum(size) if max(size) != 16 else 0)
    assert made.shape == size and (made != mask).sum() <= rim


def test_tiles_are_joined_without_a_seam_and_what_none_shows_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.random.default_rng(0).random((3, 40, 40)).astype(np.float32)
    tops = [0, 8, 16, 24]
    boxes = np.array([(top, left, 16, 16) for top in tops for left in tops])
    stored = np.stack([whole[:, top : top + 16, left : left + 16] for top, left, _, _ in boxes])
    for band in (50, 1 << 20):
        monkeypatch.setattr(placed, "BAND", band)
        found = list(placed.bands(stored, range(16), boxes, (40, 40)))
        assert np.abs(np.concatenate([each for _, each, _ in found], axis=1) - whole).max() < 1e-6
    made = placed.placed_mask(OF, stored[[0, 15]], [0, 1], boxes[[0, 15]], (40, 40))
    said = whole.argmax(0)
    assert (made[:16, :16] == said[:16, :16]).all() and (made[24:, 24:] == said[24:, 24:]).all()
    made[:16, :16] = made[24:, 24:] = 0
    assert not made.any()
    assert not placed.placed_mask(OF, stored, [], boxes[:0], (40, 40)).any()
    # two tiles that disagree: their weights change places smoothly from one's middle to that of the other
    apart = np.stack([np.full((3, 16, 16), share, np.float32) for share in (0, 1)])
    ((_, values, _),) = placed.bands(apart, [0, 1], np.array([(0, 0, 16, 16), (0, 8, 16, 16)]), (16, 24))
    row = values[0, 8]
    assert (row[:8] == 0).all() and (row[16:] == 1).all()
    assert (np.diff(row) >= 0).all() and np.diff(row).max() < 0.2


def test_the_smallest_region_grows_with_a_pixel_s_area() -> None:
    values = np.zeros((1, 2, 16, 16), np.float16)
    values[0, 0, :2, :2] = values[0, 1, :3, :3] = 1
    decided = Decisions(smallest=(5, 5))
    made = placed.placed_mask(LABELS, values, [0], np.array([(0, 0, 64, 64)]), (64, 64), decided)
    assert np.unique(made).tolist() == [0, 2]  # 4 and 9 pixels there, 64 and 144 here
    assert np.unique(placed.placed_mask(LABELS, values, [0], np.array([(0, 0, 64, 64)]), (64, 64))).tolist() == [
        0,
        2,
        3,
    ]


@dataclass(frozen=True)
class Right(CountedMetric):
    """Pixels that are right, of a whole mask at a time: it knows nothing of parts."""

    name: str = "right"
    ignore: tuple[str, ...] = ()

    def counts(self, task: Task, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        assert truth.shape[1:] in {(20, 12), (24, 24)}
        return np.stack([(truth == predicted).sum((1, 2)), np.full(len(truth), truth[0].size)], axis=1)

    def of_counts(self, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        result: np.ndarray = counts[..., 0] / np.maximum(counts[..., 1], 1)
        return result


@pytest.mark.parametrize(
    ("of", "metric"), [(OF, MeanIoU()), (OF, MeanDice()), (LABELS, MeanDice()), (OF, Right()), (LABELS, Right())]
)
def test_a_picture_is_counted_once_in_the_row_of_its_first_sample(
    of: Competition, metric: Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placed, "BAND", 60)
    of, rng = replace(of, metric=metric), np.random.default_rng(0)
    sizes = np.array([(20, 12), (24, 24)])
    picture = np.array([1, 0, 1, 1, 0, 1])
    boxes = np.array([(0, 0, 16, 16), (0, 0, 16, 12), (0, 8, 16, 16), (8, 0, 16, 16), (4, 0, 16, 12), (8, 8, 16, 16)])
    truth = rng.integers(0, 3, 20 * 12 + 24 * 24).astype(np.uint8)
    native = Native(Places(picture, boxes, sizes), truth)
    stored = rng.random((6, of.task.channels, 16, 16)).astype(np.float16)
    decisions = [PLAIN] * 6
    made = placed.placed_tally(of, native, stored, np.arange(6), decisions)
    assert len(made) == 6 and not made.counts[[2, 3, 4, 5]].any()
    for row, at in ((1, 0), (0, 1)):
        inside = np.flatnonzero(picture == at)
        size = int(sizes[at, 0]), int(sizes[at, 1])
        mask = placed.placed_mask(of, stored, inside.tolist(), boxes[inside], size)
        alone = of.metric.tally(of.task, native[at][None], mask[None], of.scored)
        assert np.allclose(alone.counts, made.counts[[row]])  # type: ignore[attr-defined]
    # a sample that nothing is predicted of hides what it alone shows
    places = np.array([0, 1, 2, 3, 4, -1])
    part = placed.placed_tally(of, native, stored, places, decisions)
    assert len(part) == 5
    hidden = truth.copy()
    hidden[starts_of(sizes)[1] :].reshape(24, 24)[16:, 16:] = IGNORED
    same = placed.placed_tally(of, replace(native, pixels=hidden), stored[:5], places, decisions)
    assert (part.counts == same.counts).all()
