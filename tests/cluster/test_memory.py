"""A machine whose memory is shorter than its CPUs: folds are measured, and no more are trained there than fit."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests import tiny
from tests.cluster.simulated import simulated
from tests.cluster.test_cluster import on_cluster, results, silent
from toolkit.cluster.place import ask, cluster
from toolkit.training.cross_validation import train_fold

pytest.importorskip("ray", reason="folds are sent to other machines by Ray: pip install '.[cluster]'")


@pytest.mark.usefixtures("one_thread")
def test_as_many_folds_as_fit_in_memory(tmp_path: Path) -> None:
    with simulated(tmp_path / "machine", 1, cpus=3, memory=1_700_000_000) as machine:
        jobs, expected = on_cluster(tmp_path, machine, 3)
        told = tiny.Heard()
        ask(machine.address, progress=told)
        found = cluster()
        assert found.places == 3
        found.each(train_fold, jobs, silent, lambda job, said: None)
        (need,) = found.allotments.measured.values()
        assert need.cpus == 1 and 0.2e9 < need.memory < 1.7e9, "a fold that was measured"
        assert found.places == 1_700_000_000 // need.memory < 3
        assert f"{found.places} fold" in str(told) and f"{need.memory / 1e9:.1f} GB of memory each" in str(told)
        assert len(found.crew.idle) <= found.places and [results(job) for job in jobs] == expected
        larger = replace(jobs[0], recipe=replace(jobs[0].recipe, batch_size=jobs[0].recipe.batch_size + 1))
        found.measure(larger)
        assert len(found.allotments.measured) == 2
