"""Images grow from half their sides to all of them, in few sizes that networks like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.networks.growth import LEAST, pixels, sides

SIDES = st.integers(4, 600)


@pytest.mark.parametrize(
    ("whole", "seen"),
    [
        ((224, 224), [(128, 128), (128, 128), (160, 160), (192, 192), (224, 224)]),
        ((64, 128), [(32, 64), (32, 64), (48, 96), (64, 128), (64, 128)]),
        ((128, 64), [(64, 32), (64, 32), (96, 48), (128, 64), (128, 64)]),
        ((96, 96), [(48, 48), (64, 64), (64, 64), (80, 80), (96, 96)]),
    ],
)
def test_sides_are_multiples_of_a_stride(whole: tuple[int, int], seen: list[tuple[int, int]]) -> None:
    assert [sides(0.4, whole, 10, epoch) for epoch in range(5)] == seen


@given(st.floats(0, 1), SIDES, SIDES, st.integers(1, 60))
def test_they_never_shrink_and_are_whole_in_the_last_epoch(grow: float, height: int, width: int, epochs: int) -> None:
    seen = [sides(grow, (height, width), epochs, epoch) for epoch in range(epochs)]
    assert seen[-1] == (height, width) and seen == sorted(seen)
    assert all(h <= height and w <= width for h, w in seen)
    assert len(set(seen)) <= 5
    assert all(h * w >= LEAST * height * width for h, w in seen)
    if not grow:
        assert set(seen) == {(height, width)}


@given(st.floats(0, 1), SIDES, SIDES, st.integers(1, 40), st.integers(0, 5))
def test_more_epochs_cost_more(grow: float, height: int, width: int, epochs: int, first: int) -> None:
    whole, first = (height, width), min(first, epochs)
    assert pixels(grow, whole, epochs, first) <= epochs - first
    assert pixels(grow, whole, epochs) < pixels(grow, whole, epochs + 1)


def test_half_the_epochs_grown_cost_less() -> None:
    assert pixels(0.0, (224, 224), 10) == 10
    assert pixels(0.5, (256, 256), 8) == pytest.approx(4 + (0.5**2 + 0.625**2 + 0.75**2 + 0.875**2))
