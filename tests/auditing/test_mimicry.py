"""Which folds mimic the test, by simulation: a test set drawn at random, of other origins, and of both."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from toolkit.auditing.mimicry import BETWEEN, Mimicry, mimicry
from toolkit.data.folds import GROUPS, PLAIN
from toolkit.data.groups import connect

LINK = ["left", "right", "kind"]


def related(lines: list[tuple[int, int, str]]) -> pd.DataFrame:
    """Test row, training row and kind, as `find_relatives` returns them."""
    table = pd.DataFrame(lines, columns=["test", "train", "kind"]).assign(similarity=0.9)
    return table.astype({"test": np.int64, "train": np.int64})


def split(test: np.ndarray, origin: np.ndarray, folds: int = 5) -> Mimicry:
    """The images of one origin are copies; test: which of them are test images."""
    known, tests = origin[~test], origin[test]
    links = [(a, b, "copy") for a, b in pairwise(range(len(known))) if known[a] == known[b]]
    found = [(at, int((known == one).argmax()), "copy") for at, one in enumerate(tests) if (known == one).any()]
    rows = np.arange(len(known))
    return mimicry(related(found), pd.DataFrame(links, columns=LINK), rows, rows >= 0, len(tests), folds)


def test_a_random_test_set_is_mimicked_by_plain_folds_and_one_of_other_origins_by_groups() -> None:
    rng = np.random.default_rng(0)
    origin = np.sort(rng.integers(0, 400, 1200))
    at_random, others = rng.random(1200) < 0.3, origin >= 280
    half = np.where(origin >= 340, True, at_random & (rng.random(1200) < 0.5))
    assert split(at_random, origin).verdict == PLAIN and split(at_random, origin, folds=2).verdict == PLAIN
    assert split(others, origin).verdict == GROUPS and split(others, origin).related == 0
    assert split(half, origin).verdict == BETWEEN
    few = np.zeros(1200, bool)
    few[rng.choice(1200, 6, replace=False)] = True
    assert split(few, origin).verdict == BETWEEN, "six test images say little"


@pytest.mark.parametrize("folds", [2, 5])
def test_the_share_under_plain_folds_is_that_of_random_folds(folds: int) -> None:
    rng = np.random.default_rng(1)
    origin = np.sort(rng.integers(0, 300, 600))
    expected = []
    for _ in range(60):
        fold = rng.permutation(600) % folds
        other = [(origin[fold != k], np.flatnonzero(fold == k)) for k in range(folds)]
        expected.append(sum(np.isin(origin[rows], known).sum() for known, rows in other) / 600)
    assert split(np.arange(600) < 0, origin, folds).plain.share == pytest.approx(np.mean(expected), abs=0.01)


def test_tiles_two_apart_are_no_relatives_and_what_stays_whole_counts_once() -> None:
    links = pd.DataFrame([(0, 1, "right"), (1, 2, "right")], columns=LINK)
    none = related([])
    rows, kept = np.arange(4), np.ones(4, bool)
    shares = [1 - 0.2, 1 - 0.2**2, 1 - 0.2, 0]
    assert mimicry(none, links, rows, kept, 9).plain.share == pytest.approx(np.mean(shares))
    whole = connect(4, [(0, 2)])  # a person's own line
    assert mimicry(none, links, whole, kept, 9).plain.share == pytest.approx(np.mean([0.8, 0.8, 0.8, 0]))
    kept[1] = False
    alone = mimicry(none, links, rows, kept, 9)
    assert (
        alone.plain.share == 0 and alone.verdict == GROUPS and "no relatives among the training images" in alone.words
    )
    assert "groups, if it has any, keep together" in alone.words  # most competitions have none


def test_relatives_that_are_dropped_do_not_count_and_exact_copies_are_left_out_of_the_comparison() -> None:
    links = pd.DataFrame([(row, row + 1, "copy") for row in range(0, 40, 2)], columns=LINK)
    relatives = related([*((row, row, "exact") for row in range(10)), (10, 10, "right"), (10, 11, "copy")])
    rows, kept = np.arange(40), np.ones(40, bool)
    found = mimicry(relatives, links, rows, kept, 100)
    assert (found.related, found.exact, found.copies, found.neighbours) == (11, 10, 1, 0)
    assert found.test.share == pytest.approx(1 / 90) and found.verdict == GROUPS
    assert found.counted.startswith("11 of 100 test images (11.0%) have a copy or a neighbour in training")
    kept[:10] = False
    assert mimicry(relatives, links, rows, kept, 100).related == 1


def test_test_images_of_one_origin_make_the_interval_wider() -> None:
    rows = np.arange(400)
    links = pd.DataFrame([(row, row + 1, "copy") for row in range(0, 400, 2)], columns=LINK)
    apart, together = (
        mimicry(related([(test, train[test], "copy") for test in range(80)]), links, rows, rows >= 0, 100)
        for train in (rows, np.zeros(80, int))
    )
    assert apart.test.share == together.test.share == 0.8
    assert apart.verdict == PLAIN and together.verdict == BETWEEN
