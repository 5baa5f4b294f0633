"""The script for a GPU runs on a CPU: each part, and what is told of one that fails."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu_parts import CPU, PARTS, TINY, Found, correct, side_by_side, through
from benchmarks.gpu_speed import speed
from tests.conftest import ROOT

TINY_COMPETITION = ROOT / "tests" / "tiny"


@pytest.mark.usefixtures("one_thread")
def test_a_device_is_compared_with_a_cpu(tmp_path: Path) -> None:
    found = correct(CPU, TINY, 5.0, tmp_path)
    assert all(found.checks.values()) and len(found.checks) > 10
    assert found.figures["resnet50_float32_gradient_off"] == found.figures["augmented_cells_off"] == 0


@pytest.mark.usefixtures("one_thread", "undrawn")
def test_practice_data_go_through_to_a_graded_submission(tmp_path: Path) -> None:
    found = through(TINY_COMPETITION, ("first", "first"), CPU, TINY, tmp_path)
    assert found.checks == {"labels_as_on_a_cpu": True, "losses_are_numbers": True}
    assert 0 <= found.figures["leaderboard"] <= 1 and found.figures["stress_score"] is not None


@pytest.mark.usefixtures("forked")
def test_folds_are_trained_side_by_side(tmp_path: Path) -> None:
    found = side_by_side(TINY_COMPETITION, "first", CPU, TINY, tmp_path)
    assert found.figures["side_by_side_gains"] > 0 and found.figures["in_turn_off"] == 0


@pytest.mark.usefixtures("one_thread")
def test_training_is_compared_with_a_bare_loop(tmp_path: Path) -> None:
    figures = speed("net", TINY.networks["unet_resnet34"], torch.device("cpu"), 0.1, tmp_path)
    assert figures["net_32x64_batch"] == 4 and figures["net_32x64_over_bare"] > 0


def test_a_part_that_fails_is_one_line_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {
        "mars": {"seconds": 1.0, "figures": {"score": 0.5}, "checks": {"right": True, "odd": False}, "fault": ""}
    }

    def alone(name: str, device: str, tiny: bool, seconds: float) -> dict[str, object]:
        return answers.get(name) or {"seconds": 2.0, "figures": {}, "checks": {}, "fault": "RuntimeError: no kernel"}

    monkeypatch.setattr(gpu, "alone", alone)
    monkeypatch.setattr("sys.argv", ["benchmarks.gpu", "--only", "correct", "mars", "--device", "cpu"])
    assert gpu.main() == 1
    *shown, last = capsys.readouterr().out.strip().splitlines()
    told = "\n".join(shown)
    assert "RuntimeError: no kernel" in told and "WRONG: odd" in told and "NOT all parts passed" in told
    found = json.loads(last)
    assert found["passed"] is False and list(found["parts"]) == ["correct", "mars"]


def test_a_part_has_a_process_and_a_time_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    monkeypatch.setattr("sys.executable", str(python))

    def answers(script: str, seconds: float = 10.0) -> Any:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
        return gpu.alone("mars", "cpu", True, seconds)

    assert answers('echo warmed up; echo \'{"fault": "", "checks": {}}\'')["fault"] == ""
    assert answers("echo first >&2; echo 'RuntimeError: no kernel' >&2; exit 3")["fault"] == (
        "RuntimeError: no kernel (status 3)"
    )
    assert answers("exec sleep 5", 0.2)["fault"] == "took longer than 0 s"
    assert sum(seconds for name, (_, seconds) in PARTS.items() if name != "start") <= gpu.ALL
    assert gpu.tried("compiled", CPU, True, 1.0)["checks"] == Found({}, {}).checks
