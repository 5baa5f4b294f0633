"""Tasks whose outputs can't be told apart, or that leave nothing to predict, are refused in one sentence."""

import pytest

from toolkit.task import Classification, Grades, Heads, Labels, Numbers, Task, check_task

SHAPE = (4, 4, 3)
TWO = ("a", "b")


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (Labels("rust", SHAPE), "Labels has the text 'rust' for names"),  # type: ignore[arg-type]
        (Classification(("a", "b", "a"), SHAPE), "Classification has the name 'a' twice"),
        (Classification(("a",), SHAPE), "Classification has 1 classes, expected at least 2"),
        (Grades(("0",), SHAPE), "Grades has 1 grades, expected at least 2"),
        (Labels(TWO, (4, 4)), r"image_shape=\(4, 4\), expected \(height, width, channels\)"),  # type: ignore[arg-type]
        (Labels((), SHAPE), "Labels has 0 labels, expected at least 1"),
        (Heads((), SHAPE), "Heads has no outputs"),
        (Heads((("x", TWO), ("y", TWO)), SHAPE, weights=(1,)), "Heads has 1 weights for 2 heads"),
        (Numbers(("a",), SHAPE, low=3, high=1), "Numbers has low=3 and high=1"),
    ],
)
def test_what_makes_no_sense_is_refused(task: Task, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_task(task)


def test_what_makes_sense_passes() -> None:
    for task in (Classification(TWO, SHAPE), Grades(TWO, SHAPE), Labels(("a",), SHAPE), Heads((("x", TWO),), SHAPE)):
        check_task(task)
    check_task(Numbers(("a",), SHAPE, low=0))
