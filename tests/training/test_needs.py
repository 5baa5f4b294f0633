"""What a run takes is reckoned as it is stored, said where it is much, and refused where there is no room."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import kinds, tiny
from toolkit.disk import bytes_in
from toolkit.errors import UserError
from toolkit.training import needs as module
from toolkit.training.cross_validation import prepare
from toolkit.training.needs import available_memory, needs


def test_what_is_reckoned_is_what_lies_on_the_disk(tmp_path: Path) -> None:
    run = tiny.train(tmp_path, stress="none")
    stored = sum(path.stat().st_size - 128 for path in run.folder.rglob("*.npy"))  # without their heads
    assert needs(run.labelled, run.recipe).predictions == stored


def test_no_room_ends_a_run_before_it_begins_and_much_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny.train(tmp_path, stress="none")
    labelled, workspace, second = run.labelled, run.labelled.workspace, run.labelled.competition.recipes["second"]
    full = replace(labelled, workspace=replace(workspace, max_disk=bytes_in(workspace.folder) + 100))
    with pytest.raises(UserError, match=r"second-\w+ \(predictions 0.0 MB, weights 0.0 MB\) takes .* --max-disk is"):
        prepare(full, second)
    assert prepare(full, run.recipe)[0].finished  # it takes no more
    told = tiny.Heard()
    prepare(labelled, second, progress=told)
    assert told.lines == []
    monkeypatch.setattr(module, "MUCH", 1)
    monkeypatch.setattr(module, "available_memory", lambda: 100)
    prepare(labelled, second, progress=told)
    assert "takes 0.0 MB in" in told.lines[0] and "are free" in told.lines[0]
    assert "the predictions of a fold take 0.0 MB of memory, of which 0.0 MB are free" in told.lines[1]


def test_masks_take_a_value_for_each_pixel_and_class() -> None:
    data, fold = kinds.drawn("masks"), np.arange(96) % 3
    labelled = tiny.labelled(data.targets, fold, of=kinds.competition("masks"), images=data.images)
    found = needs(labelled, kinds.RECIPE)
    assert found.predictions == 2 * 96 * 2 * 256 * 2 and found.memory == 32 * 2 * 256 * 4


def test_free_memory_is_known_or_not() -> None:
    free = available_memory()
    assert free is None or free > 10**6
