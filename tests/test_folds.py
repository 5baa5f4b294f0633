"""The split is made once, shown again, and made anew when what it was made from has changed."""

import argparse
from pathlib import Path

import pandas as pd
import pytest

from tests.tiny import call, prepare
from toolkit import console
from toolkit.errors import UserError
from toolkit.folds import add_options, folds


def parser() -> argparse.ArgumentParser:
    made = console.parser("folds", "")
    add_options(made)
    return made


def test_the_table_is_made_once_and_anew_for_another_number_seed_or_cleaning(tmp_path: Path) -> None:
    workspace = prepare(tmp_path)
    made = workspace.folds.stat().st_mtime_ns
    first = call(folds, parser(), tmp_path, "--folds", "3")
    assert first["folds"] == 3 and first["samples"] == [24, 24, 24] and first["left_out"] == 0
    assert workspace.folds.stat().st_mtime_ns == made
    hashes = {first["hash"]}
    hashes.add(call(folds, parser(), tmp_path, "--folds", "4")["hash"])
    hashes.add(call(folds, parser(), tmp_path, "--folds", "3", "--seed", "1")["hash"])
    lines = pd.DataFrame({"index": [5], "action": ["drop"], "value": "", "reason": "", "confidence": 1})
    lines.to_csv(workspace.cleaning, index=False)
    cleaned = call(folds, parser(), tmp_path, "--folds", "3")
    assert cleaned["left_out"] == 1 and len(hashes | {cleaned["hash"]}) == 4
    workspace.cleaning.unlink()
    assert call(folds, parser(), tmp_path, "--folds", "3") == first


def test_old_runs_are_mentioned_when_the_folds_are_made_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(tmp_path).train.mkdir()
    capsys.readouterr()
    call(folds, parser(), tmp_path, "--folds", "3")
    assert "warning" not in capsys.readouterr().out
    call(folds, parser(), tmp_path, "--folds", "2")
    assert "warning: the folds are made anew; runs on the old ones" in capsys.readouterr().out


def test_the_data_come_first(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no data in"):
        call(folds, parser(), tmp_path)


@pytest.mark.parametrize("number", ["1", "0", "-3", "three", "2.5"])
def test_fewer_than_two_folds_are_wrong_usage(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parser().parse_args(["competitions/mars", f"--folds={number}"])
    assert end.value.code == 2
    assert f"{number!r} is not a number of folds; there must be at least 2" in capsys.readouterr().err
