"""Where studies lie: in odd folders, behind passwords, torn by a kill, locked by others."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from optuna.trial import Trial

from tests.tuning.studies import opened, suggested, up_to
from toolkit.errors import UserError
from toolkit.store import without_passwords
from toolkit.tuning import storage
from toolkit.tuning.storage import open_storage, storage_faults
from toolkit.tuning.study import work


@pytest.mark.parametrize("name", ["what?", "a#b", "per%20cent", "50%", "{braces}", "file:x?mode=ro", "a b'\"ü"])
@pytest.mark.parametrize("where", ["sqlite", "journal"])
def test_a_study_lies_in_its_folder_whatever_that_is_called(where: str, name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    for number in (1, 2):
        work(opened(folder, where), folder, up_to(number), suggested)
    assert len(opened(folder, where).trials) == 2
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (folder / ("study.db" if where == "sqlite" else "study.log")).is_file()


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("mysql://user:secret@somewhere/study", "--storage mysql… is not known; write sqlite, journal or"),
        ("postgresql//user:secret@somewhere/study", "--storage postgresql… is not known"),
        ("postgresql:/user:secret@somewhere/study", "--storage postgresql… is not known"),
        ("postgresql://user:secret@127.0.0.1:1/study", r"user:\*\*\*@127.0.0.1:1/study can't be opened: .*refused"),
        ("postgresql://user:se@secret@127.0.0.1:1/study", r"user:\*\*\*@127.0.0.1:1/study can't be opened: .*refused"),
        (
            "postgresql://user:secret%/?#@127.0.0.1:1/study",
            r"user:\*\*\*@127.0.0.1:1/study can't be opened: .*refused",
        ),
        ("postgresql://user@127.0.0.1:1/study?password=secret", r"password=\*\*\* can't be opened: .*refused"),
        ("postgresql://user:secret@127.0.0.1:port/study", r"user:\*\*\*@127.0.0.1:port/study can't be used"),
    ],
)
def test_a_storage_that_cannot_be_reached_is_an_error_of_one_sentence(where: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said) as error:
        opened(tmp_path, where)
    assert "secret" not in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:pw@host/db", "postgresql://u:***@host/db"),
        ("--storage=mysql+x://u:p@ss@host", "--storage=mysql+x://u:***@host"),
        ("postgresql://u:p /:?\n#@host", "postgresql://u:***@host"),
        ("postgresql://:pw@host", "postgresql://:***@host"),
        ("u:pw@host/db", "u:***@host/db"),
        ("postgresql://u@host:5432/db?password=pw&x=1", "postgresql://u@host:5432/db?password=***&x=1"),
        ("postgresql://u@host:5432/db", "postgresql://u@host:5432/db"),
        ("competitions/mars", "competitions/mars"),
        ("optimizer.lr=1e-3", "optimizer.lr=1e-3"),
    ],
)
def test_passwords_are_left_out(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


def test_no_manifest_holds_a_password(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from toolkit.store import write_manifest; write_manifest(pathlib.Path(sys.argv[1]), {})"
    )
    command = [sys.executable, "-c", code, str(tmp_path), "--storage", "postgresql://user:se@cret@host/study"]
    subprocess.run(command, check=True)
    text = (tmp_path / "manifest.json").read_text()
    assert "cret" not in text and "--storage postgresql://user:***@host/study" in text


def test_a_torn_last_line_of_the_journal_is_cut_off(tmp_path: Path) -> None:
    work(opened(tmp_path, "journal"), tmp_path, up_to(2), suggested)
    other = opened(tmp_path, "journal")  # of a process that lives on
    log = tmp_path / "study.log"
    whole = log.read_bytes()
    for torn in (b'{"op_code":8,"trial_', b"x" * 100_000):
        log.write_bytes(log.read_bytes() + torn)
        assert len(opened(tmp_path, "journal").trials) == len(other.trials)
        work(other, tmp_path, up_to(len(other.trials) + 1), suggested)
        work(opened(tmp_path, "journal"), tmp_path, up_to(len(other.trials) + 1), suggested)
    assert log.read_bytes().startswith(whole) and b"xxx" not in log.read_bytes()
    assert len(opened(tmp_path, "journal").trials) == len(other.trials) == 6


def test_a_damaged_line_of_the_journal_is_named(tmp_path: Path) -> None:
    work(opened(tmp_path, "journal"), tmp_path, up_to(2), suggested)
    log = tmp_path / "study.log"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[:3], b"{torn\n", *lines[3:]]))
    with pytest.raises(UserError, match=r"line 4 of .*study.log is damaged .*; remove that line, or the file"):
        opened(tmp_path, "journal")


def test_a_database_that_stays_locked_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert storage.BUSY >= 600
    monkeypatch.setattr(storage, "BUSY", 0.2)

    def evaluate(trial: Trial) -> list[float]:
        other = sqlite3.connect(tmp_path / "study.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        values = suggested(trial)
        other.execute("COMMIT")
        return values

    said = "storage can't be read or written: database is locked; the same command again goes on from here"
    with pytest.raises(UserError, match=said), storage_faults():
        work(opened(tmp_path), tmp_path, up_to(1), evaluate)


def test_a_damaged_database_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"no database" * 999)
    with pytest.raises(UserError, match=r"study\.db is damaged \(file is not a database\); remove it and run"):
        open_storage("sqlite", tmp_path)


def test_the_storage_may_come_from_the_environment(tmp_path: Path) -> None:
    from toolkit.command_line import parser
    from toolkit.search import add_options

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOOLKIT_STORAGE", "journal")
        made = parser("search", "", overrides=True)
        add_options(made)
        assert made.parse_args(["here"]).storage == "journal"
        assert made.parse_args(["here", "--storage", "sqlite"]).storage == "sqlite"
