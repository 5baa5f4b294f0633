"""The benchmarks run, and measure what they say."""

import json

import pytest

from benchmarks import submission


def test_the_benchmark_of_submissions_compares_with_pandas(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks.submission", "--json", "--only", "csv", "--rows", "400"])
    submission.main()
    figures = json.loads(capsys.readouterr().out)
    assert figures["csv_rows"] == 400 and figures["pandas_rows"] == 20
    assert figures["csv_same"] and figures["csv_same_in_pandas"] and figures["csv_same_bytes_as_pandas"]
    assert figures["csv_over_pandas"] > 5  # how much more is for the benchmark to say, on a quiet machine
    assert figures["csv_seconds_low"] <= figures["csv_seconds"] <= figures["csv_seconds_high"]
    assert 10 < figures["csv_write_peak_mib"] < figures["csv_check_peak_mib"]
