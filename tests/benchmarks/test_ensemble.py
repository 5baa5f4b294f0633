"""Greedy selection is compared on the same models, in a process of its own, and scored on held-out samples."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import ensemble_metrics
from benchmarks.ensemble import call
from toolkit.blending.greedy import greedy


@pytest.mark.parametrize("name", ensemble_metrics.MEASURED)
def test_what_is_selected_is_worth_more_on_held_out_samples_than_the_worst_model(name: str, tmp_path: Path) -> None:
    ensemble_metrics.draw(tmp_path, name, 60 if name == "mean Dice" else 400, 4)
    valued = ensemble_metrics.opened(tmp_path, name)
    assert np.bincount(valued.fold).tolist() == [len(valued.rows) // 2] * 2
    sign = valued.competition.metric.sign
    alone = [sign * ensemble_metrics.held_out(valued, one) for one in np.eye(4)]
    found = sign * ensemble_metrics.held_out(valued, greedy(valued, [0], 5).astype(float))
    assert min(alone) < found


def test_a_process_of_its_own_selects_the_same(tmp_path: Path) -> None:
    found = ensemble_metrics.compare(call, tmp_path, "RMSE", "", 5, 200, 3)
    valued = ensemble_metrics.opened(tmp_path, "RMSE")
    weights = greedy(valued, [0], 5).astype(float)
    assert found["score"] == ensemble_metrics.held_out(valued, weights) and found["seconds"] > 0
    assert "peer_score" not in found and ensemble_metrics.line("RMSE", found)[2] == "-"
