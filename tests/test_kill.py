"""kill -9 at any moment, then the same job again: the same bits as if nothing had happened."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.conftest import START
from tests.tiny import make_job
from tests.training import untimed
from toolkit.training import fold as fit
from toolkit.training.jobs import FoldJob

KILLS, EPOCHS = 6, 24


def train(job: FoldJob) -> None:
    """What a process does until it is killed: all that a fold leaves, as files."""
    torch.set_num_threads(1)
    fit.SAVE_SECONDS = 0.0
    result = fit.fit_fold(job)
    assert result.averaged is not None
    for name, trained in (("main", result.main), ("averaged", result.averaged)):
        save_file(trained.weights, job.folder / f"{name}.safetensors")
        np.save(job.folder / f"{name}.npy", trained.probabilities)
    (job.folder / "untimed.json").write_text(json.dumps(untimed(result)))


def saved(job: FoldJob) -> int:
    """When its state was saved last; 0 where there is none."""
    try:
        return job.place.state.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def run(target: Callable[..., object], *given: object) -> None:
    process = START.Process(target=target, args=given)
    process.start()
    process.join()
    assert process.exitcode == 0


@pytest.mark.parametrize(
    "more",
    [
        ("schedule.average=swa", "schedule.freeze=0.2"),
        ("schedule.average=soup", "optimizer.accumulate=2"),
    ],
)
def test_a_training_killed_again_and_again_ends_with_the_same_bits(more: tuple[str, ...], tmp_path: Path) -> None:
    recipe = (f"schedule.epochs={EPOCHS}", "augment.rotate=20", "sampling=0.5", *more)
    whole = make_job(tmp_path, *recipe, fold=1, features=tmp_path / "features")
    run(int)  # only the first start takes seconds
    begun = time.monotonic()
    run(train, whole)
    took = time.monotonic() - begun

    job = replace(whole, folder=tmp_path / "killed", features=tmp_path / "features_killed")
    rng, killed_with_state = np.random.default_rng(), 0
    for number in range(KILLS):
        process = START.Process(target=train, args=(job,))
        before = saved(job)
        process.start()
        # the first at any moment, all others when they have come further, however busy the machine is
        while number and saved(job) == before and process.exitcode is None:
            time.sleep(0.002)
        process.join(rng.uniform(0, 1.5 if number else 6) * took / EPOCHS)
        if process.exitcode is not None:
            break
        process.kill()
        process.join()
        killed_with_state += job.place.state.exists()
    assert killed_with_state >= 2
    run(train, job)
    for name in ("main.safetensors", "averaged.safetensors", "main.npy", "averaged.npy", "untimed.json"):
        assert (whole.folder / name).read_bytes() == (job.folder / name).read_bytes(), name
