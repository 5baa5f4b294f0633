"""Equal images have equal hashes, others have others, and rows are found by them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from toolkit.images.pictures import READ, hash_picture, hash_pictures, rows_of


def test_a_picture_is_named_by_its_pixels_alone() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert hash_picture(image) == hash_picture(image[::-1][::-1]) != hash_picture(image + 1)
    assert (
        hash_pictures(np.stack([image, image])).tolist() == [hash_picture(image)] * 2 and hash_picture(image) >= READ
    )
    assert hash_pictures(image[:0]).shape == (0,)


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(1, 3))
def test_rows_are_found_by_their_picture(numbers: list[int], least: int) -> None:
    wanted: dict[int, list[int]] = {}
    for row, number in enumerate(numbers):
        wanted.setdefault(number, []).append(row)
    found = rows_of(np.array(numbers, np.uint64), least)
    kept = [(number, rows) for number, rows in wanted.items() if len(rows) >= least]
    assert [(number, rows.tolist()) for number, rows in found.items()] == kept
