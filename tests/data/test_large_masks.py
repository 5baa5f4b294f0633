"""Masks of slides: no step from the organisers' files to a submission holds several, or copies that are larger."""

import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import toolkit.data.masks as masks_room
import toolkit.formats.run_lengths as run_lengths_room
from tests import tiny
from toolkit import (
    Masks,
    MeanIoU,
    OverlappingMasks,
    Segmentation,
    label_mask_files,
    mask_files,
    read_run_lengths,
    run_length_masks,
    write_run_lengths,
)
from toolkit.answers import differences
from toolkit.data.labelled import decided_tally
from toolkit.data.masks import HUGE, side_by_side
from toolkit.decisions.decide import PLAIN
from toolkit.formats.run_lengths import from_run_lengths, run_lengths
from toolkit.probabilities import chunks

SIDE = 1500
SIZE = (SIDE, SIDE)
PIXELS = SIDE * SIDE
TASK = Segmentation(("ground", "thing"), (8, 8, 3))
BOTH = OverlappingMasks(("one", "other"), (8, 8, 3))


@pytest.fixture(autouse=True)
def small_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """As small beside these masks as they are beside those of slides."""
    monkeypatch.setattr(masks_room, "BAND", 1 << 14)
    monkeypatch.setattr(run_lengths_room, "PART", 1 << 14)


@contextmanager
def at_most(masks: float) -> Iterator[None]:
    """So many bytes a pixel are held at once."""
    tracemalloc.start()
    try:
        yield
        held = tracemalloc.get_traced_memory()[1] / PIXELS
    finally:
        tracemalloc.stop()
    assert held < masks, f"{held:.2f} masks were held"


def drawn() -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[200:900, 300:1200] = 1
    mask[1000:, :7] = 1
    return mask


@pytest.mark.parametrize("by", ["columns", "rows"])
def test_run_lengths_are_read_and_written_without_a_copy(by: Any, tmp_path: Path) -> None:
    mask = drawn()
    text = run_lengths(mask, by)
    (tmp_path / "masks.csv").write_text(f"id,kind,rle\na,one,{text}\n")
    of_task, of_both = (
        run_length_masks(tmp_path / "masks.csv", ["a"], TASK, SIZE, by=by),
        run_length_masks(tmp_path / "masks.csv", ["a"], BOTH, SIZE, ("id", "kind", "rle"), by=by),
    )
    assert of_both.number == 1
    with at_most(1.3):
        found = of_task[0]
    np.testing.assert_array_equal(found, mask)
    np.testing.assert_array_equal(from_run_lengths(text, SIZE, by), mask == 1)
    with at_most(0.3):
        again = run_lengths(mask, by)
    assert again == text


def test_masks_in_pictures_are_mapped_a_few_rows_at_a_time(tmp_path: Path) -> None:
    mask = drawn()
    Image.fromarray(mask * 255).save(tmp_path / "a.png")
    given = mask_files([tmp_path / "a.png"], TASK, {255: 1})
    with at_most(4):  # of which the picture library's own copies are most
        found = given[0]
    np.testing.assert_array_equal(found, mask)
    several = label_mask_files([{"thing": [tmp_path / "a.png"] * 6}], TASK)
    with at_most(4):
        found = several[0]
    np.testing.assert_array_equal(found, mask)


def test_a_submission_of_large_masks_is_written_and_read_back_one_at_a_time(tmp_path: Path) -> None:
    made: Any = Masks(3, lambda row: np.roll(drawn(), row, 1), np.array([SIZE] * 3))
    with at_most(2.6):  # one that is made from another
        write_run_lengths(tmp_path / "masks.csv", ["a", "b", "c"], made)
        write_run_lengths(tmp_path / "classes.csv", ["a", "b", "c"], made, {1: "thing"})
    found = read_run_lengths(tmp_path / "masks.csv", ["a", "b", "c"], np.array([SIZE] * 3))
    with at_most(3.3):  # two beside each other, of which the second is made from another
        assert not differences(found, made, 0).any()
    named = run_length_masks(tmp_path / "classes.csv", ["a", "b", "c"], TASK, SIZE, ("id", "class", "rle"))
    assert not differences(found, named_of(named), 0).any()


def named_of(masks: Masks) -> Any:
    return replace(masks, sizes=np.array([SIZE] * masks.number))


def most_at_once(pixels: int) -> int:
    """Of 12 masks with so many pixels, how many are held at a time."""
    lock, held, most = threading.Lock(), 0, 0

    def work(row: int) -> int:
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        time.sleep(0.01)
        with lock:
            held -= 1
        return row

    assert side_by_side(work, [pixels] * 12) == list(range(12))
    return most


def test_threads_that_read_masks_are_bounded_by_pixels() -> None:
    assert most_at_once(HUGE * 2) == 1
    assert most_at_once(HUGE // 2 + 1) == 1
    assert most_at_once(HUGE // 3) <= 3
    assert most_at_once(100) > 1


def test_masks_of_unknown_size_are_taken_to_be_as_large_as_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    each = masks_room.each_of

    def noted(number: int, fill: Callable[[int], None], pixels: np.ndarray) -> None:
        seen.extend(pixels)
        each(number, fill, pixels)

    monkeypatch.setattr(masks_room, "each_of", noted)
    Masks(2, lambda row: np.zeros((20, 30), np.uint8)).fitted((8, 8))
    assert seen == [600, 600]


def test_parts_of_large_masks_are_smaller_and_whole_batches() -> None:
    assert [at.stop - at.start for at in chunks(600)] == [256, 256, 88]
    assert list(chunks(600, (128, 128))) == list(chunks(600))
    assert [at.stop - at.start for at in chunks(40, (512, 512))] == [16, 16, 8]
    assert [at.stop - at.start for at in chunks(300, (384, 384), 56)] == [56, 56, 56, 56, 32, 44]
    assert [at.stop for at in chunks(3, (9000, 9000))] == [1, 2, 3]


def test_counting_pixels_of_many_tiles_takes_no_more_than_of_few() -> None:
    competition = replace(tiny.competition, task=TASK, metric=MeanIoU())
    truth, stored = np.zeros((160, 256, 256), np.uint8), np.full((160, 2, 256, 256), 128, np.uint8)
    tracemalloc.start()
    decided_tally(competition, truth, stored, [(np.arange(160), PLAIN)])
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < 64 * truth[0].size * 40  # bytes a pixel of a part
