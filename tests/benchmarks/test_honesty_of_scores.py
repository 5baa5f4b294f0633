"""What is simulated of intervals and of obeyed suggestions is what the words say."""

from benchmarks.honesty import intervals, relabel


def test_intervals_and_comparisons_are_measured_before_and_now() -> None:
    found = {one.key: one for one in intervals.measure(10)}
    assert list(found) == ["coverage_10", "coverage_20", "coverage_50", "coverage_100", "false_worse_20"]
    assert all(0 <= one.old <= 1 and 0 <= one.new <= 1 for one in found.values())
    assert found["coverage_10"].old < found["coverage_10"].new
    assert found["false_worse_20"].new < found["false_worse_20"].old


def test_obeyed_suggestions_are_praised_less_on_the_file_s_labels_with_a_judge_for_each_fold() -> None:
    found = {one.key: one for one in relabel.measure(1)}
    assert list(found) == ["relabel", "relabel_first_guess"]
    assert all(abs(one.new) < one.old / 2 for one in found.values())
