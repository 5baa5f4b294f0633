"""The benchmark of the metrics: both say the same, and both times are taken."""

import json

import pytest

from benchmarks import metrics


def test_the_benchmark_of_metrics_compares_scores_and_draws(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks.metrics", "--json", "--samples", "800", "--draws", "4"])
    metrics.main()
    made = json.loads(capsys.readouterr().out)
    assert (made["samples"], made["draws"], len(made["metrics"])) == (800, 4, 20)
    for name, figures in made["metrics"].items():
        # theirs count a class that a draw lacks otherwise; 168 classes in 800 samples lack some
        assert figures["off"] < 1e-9 or name == "recall of 3 heads", name
        assert min(figures[key] for key in ("ours", "theirs", "ours_draws", "theirs_draws")) > 0
