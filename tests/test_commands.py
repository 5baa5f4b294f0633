"""Commands as a person types them."""

from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.commands import command
from toolkit.competition import Competition
from toolkit.store import Workspace


def test_a_competition_is_called_by_its_name_or_its_folder(
    mars: Competition, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usual = Path("workspace")
    assert command(mars, Workspace(usual, "mars"), "folds") == "compete folds mars"
    practice = command(mars, Workspace(tmp_path, "mars-practice"), "audit", "--accept", "a b")
    assert practice == f"compete audit mars --practice --workspace {tmp_path} --accept 'a b'"
    monkeypatch.chdir(tmp_path)
    leaves = replace(mars, name="leaves", folder=tmp_path / "examples" / "leaves")
    assert command(leaves, Workspace(usual, "leaves"), "folds") == "compete folds examples/leaves"
