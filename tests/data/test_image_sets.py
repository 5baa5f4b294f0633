"""Samples that are sets of images, as data: read, checked, hashed, by tables."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import bags
from toolkit import Classification, Dataset, Numbers, UserError, set_table, sets_of
from toolkit.data.data_folder import hash_dataset, open_dataset, save_dataset
from toolkit.data.dataset import check_dataset, pictures_of
from toolkit.data.image_sets import ImageSets, first_images, images_each, in_sets, single_images
from toolkit.data.known_answers import known_answers
from toolkit.images.pictures import READ
from toolkit.images.rows import Chosen


def images_of(counts: Sequence[int]) -> tuple[ImageSets, list[list[int]]]:
    """Image f is all f + 1, in sets that are dealt in turns; and what each set holds."""
    sets = np.repeat(np.arange(len(counts)), counts)
    sets = sets[np.random.default_rng(0).permutation(len(sets))]
    images = np.broadcast_to(np.arange(1, len(sets) + 1, dtype=np.uint8)[:, None, None, None], (len(sets), 2, 3, 2))
    return ImageSets(np.array(images), sets), [np.flatnonzero(sets == at).tolist() for at in range(len(counts))]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_rows_are_the_images_of_a_set_side_by_side_and_black_behind_them(counts: list[int], seed: int) -> None:
    sets, held = images_of(counts)
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(counts), size=3)
    assert sets.shape == (len(counts), 2, 3, 2) and len(sets) == len(counts)
    for found in (sets[rows], Chosen(sets, rows)[:]):
        assert found.shape == (3, 2, 3, 2 * max(counts[row] for row in rows))
        for image, row in zip(found, rows, strict=True):
            said = image[0, 0].reshape(-1, 2)
            assert (said == said[:, :1]).all()
            assert said[:, 0].tolist()[: counts[row]] == [f + 1 for f in held[row]] and not said[counts[row] :].any()
    drawn = sets.drawn(rows, 3, rng)
    for line, row in zip(drawn.tolist(), rows, strict=True):
        assert set(line) <= set(held[row]) and len(set(line)) == min(3, counts[row])
    first = sets.first[:]
    assert first[:, 0, 0, 0].tolist() == [row[0] + 1 for row in held]
    assert images_each(Chosen(sets, rows)).tolist() == [counts[row] for row in rows]  # type: ignore[union-attr]
    assert images_each(sets.images) is None


def test_single_rows_slices_and_no_rows_at_all() -> None:
    sets, _ = images_of([2, 1, 3])
    assert sets[1].shape == (2, 3, 2) and sets[-1].shape == (2, 3, 6) and sets[:2].shape == (2, 2, 3, 4)
    assert sets[np.zeros(0, np.int64)].shape == (0, 2, 3, 2) and np.asarray(sets).shape == (3, 2, 3, 6)
    empty = ImageSets(np.zeros((0, 2, 3, 2), np.uint8), np.zeros(0, np.int64))
    assert empty.shape == (0, 2, 3, 2) and empty.first[:].shape == (0, 2, 3, 2)


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    bags.practice(tmp_path, 0, 12)
    return bags.load(tmp_path / "raw")


def test_saved_data_open_as_sets_and_their_hash_knows_which_image_is_whose(data: Dataset, tmp_path: Path) -> None:
    save_dataset(data, tmp_path / "data", "")
    opened = open_dataset(tmp_path / "data")
    assert isinstance(opened.images, ImageSets) and opened.images.shape == (12, 12, 12, 1)
    assert data.sets is not None
    np.testing.assert_array_equal(opened.images[:1][0, ..., 0], data.images[data.sets == 0][0, ..., 0])
    other = data.sets.copy()
    other[:2] = 1 - other[:2]
    assert hash_dataset(data) != hash_dataset(replace(data, sets=other))
    flat = single_images(opened)
    assert len(flat.images) == len(flat.targets) == len(flat.called) == len(data.images)
    assert flat.called[:2].tolist() == ["p0", "p0, image 2"]
    assert first_images(opened).images[:].shape == (12, 12, 12, 1)


@pytest.mark.parametrize("kind", [np.uint8, np.uint64])
def test_whole_numbers_of_any_type_say_whose_an_image_is(kind: type, data: Dataset) -> None:
    assert data.sets is not None and data.test_sets is not None
    other = replace(data, sets=data.sets.astype(kind), test_sets=data.test_sets.astype(kind))
    check_dataset(other, bags.TASK, "here")
    np.testing.assert_array_equal(in_sets(other).images[:], in_sets(data).images[:])


def test_nothing_is_learnt_of_an_image_that_can_not_be_read(data: Dataset) -> None:
    assert data.sets is not None
    pictures = np.full(len(data.images), READ, np.uint64)
    first = np.flatnonzero(data.sets == 2)[0]
    pictures[first], pictures[data.sets == 3] = 1, 1
    images = in_sets(replace(data, pictures=pictures)).images
    assert isinstance(images, ImageSets)
    rng, rows = np.random.default_rng(0), np.array([1, 2, 3])
    drawn = np.stack([images.drawn(rows, 4, rng) for _ in range(40)])
    assert set(drawn[:, 1].ravel()) == set(np.flatnonzero(data.sets == 2)) - {first}
    assert set(drawn[:, 2].ravel()) == set(np.flatnonzero(data.sets == 3)), "a set needs some image"
    whole = ImageSets(images.images, images.sets)
    same = [each.drawn(rows[:1], 2, np.random.default_rng(5)).tolist() for each in (whole, images)]
    assert same[0] == same[1]


def test_sets_are_equal_where_all_their_images_are_in_any_order(data: Dataset) -> None:
    images, sets = data.images, data.sets
    assert sets is not None
    some = np.flatnonzero(sets == 3)
    tests = images[[*some[::-1], some[0], *np.flatnonzero(sets == 4)[1:]]]
    test_sets = np.array([0] * len(some) + [1] * (len(tests) - len(some)))
    made = replace(data, test_images=tests, test_sets=test_sets, test_ids=np.array(["a", "b"]))
    made = replace(made, pictures=np.arange(len(images), dtype=np.uint64) | np.uint64(READ))
    theirs = [*made.pictures[some][::-1], made.pictures[some[0]], *made.pictures[np.flatnonzero(sets == 4)[1:]]]  # type: ignore[index]
    made = in_sets(replace(made, test_pictures=np.array(theirs)))
    ours, given = pictures_of(made)
    assert given[0] == ours[3] and given[1] not in ours and len(np.unique(ours)) == len(ours)
    assert known_answers(made, np.ones(12, bool)).rows.tolist() == [0]
    pictures = np.where(sets == 2, np.uint64(7), np.asarray(made.pictures))
    unread = in_sets(replace(made, images=images, pictures=pictures))
    assert pictures_of(unread)[0][2] < READ, "none of its images can be read"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sets": np.zeros(3, np.int64)}, "sets are int64 of shape"),
        ({"sets": None}, "has test_sets and no sets"),
        ({"test_sets": None}, "has sets and no test_sets"),
        ({"test_ids": None}, "test_ids are missing; say what a submission calls each of the 10 sets"),
        ({"test_ids": np.array(["a"])}, "has 10 sets of test images and 1 ids"),
        ({"names": np.array(["a"])}, r"names have shape \(1,\), expected \(12,\), one for each of the sets"),
    ],
)
def test_what_does_not_go_together_is_refused(changed: dict[str, Any], said: str, data: Dataset) -> None:
    with pytest.raises(UserError, match=said):
        check_dataset(replace(data, **changed), bags.TASK, "here")


def test_a_set_without_images_and_an_image_without_a_set_are_refused(data: Dataset) -> None:
    assert data.sets is not None
    with pytest.raises(UserError, match="no image in sets belongs to 3; leave out"):
        check_dataset(replace(data, sets=np.where(data.sets == 3, 4, data.sets)), bags.TASK, "here")
    with pytest.raises(UserError, match=r"sets say 99 of image \d+, expected 0 to 11"):
        check_dataset(replace(data, sets=np.where(data.sets == 3, 99, data.sets)), bags.TASK, "here")


def test_sets_by_the_names_of_files_and_of_a_table(tmp_path: Path) -> None:
    assert sets_of(["b", "a", "b"], ["a", "b"]).tolist() == [1, 0, 1]
    for each, names, said in (
        (["a", "c"], ["a", "b"], "image 1 belongs to the set 'c'"),
        (["a"], ["a", "b"], "the set 'b' has no image"),
        (["a"], ["a", "a"], "two sets have the name 'a'"),
    ):
        with pytest.raises(UserError, match=said):
            sets_of(each, names)
    table = tmp_path / "train.csv"
    table.write_text("image,patient,label\nx1,007,yes\nx2,8,no\nx3,007,yes\n")
    task = Classification(("no", "yes"), (8, 8, 1))
    images, names, sets, targets = set_table(table, task, ("image", "patient", "label"))
    assert (images, names, sets.tolist(), targets.tolist()) == (["x1", "x2", "x3"], ["007", "8"], [0, 1, 0], [1, 0])
    table.write_text("image,patient,label\nx1,007,yes\nx2,8,no\nx3,007,no\n")
    with pytest.raises(UserError, match="line 4: '007' has another target than in line 2"):
        set_table(table, task, ("image", "patient", "label"))
    table.write_text("image,patient,age\nx1,007,\nx2,8,3.5\nx3,007,\n")
    made = set_table(table, Numbers(("age",), (8, 8, 1)), ("image", "patient", "age"))
    np.testing.assert_array_equal(made[3], [[np.nan], [3.5]])
