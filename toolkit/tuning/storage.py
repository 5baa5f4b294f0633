"""Where a study lies: a database or a log in the workspace, or PostgreSQL. Passwords are shown nowhere."""

import json
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote

import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.storages.journal._file import get_lock_file

from toolkit.errors import UserError
from toolkit.store import without_passwords

ATTEMPTS = 5  # to open a storage: of several processes that make its tables at once, one fails
LOCKED = 10  # seconds after which the journal's lock is taken from a process that was killed while it had it
BUSY = 600.0  # seconds to wait for a database that another program has locked, as a backup may
BLOCK = 2**16  # bytes
BEGIN_ANEW = "remove it and run `compete search` again: what is trained stays"
NO_DATABASE = r"malformed|not a database|file is encrypted"


def open_storage(where: str, folder: Path) -> BaseStorage:
    """`sqlite` and `journal` lie in the folder; else an address in PostgreSQL. UserError if it can't be opened."""
    folder.mkdir(parents=True, exist_ok=True)
    if where == "journal":
        path = str(folder / "study.log")
        return JournalStorage(Journal(path, JournalLock(path, grace_period=LOCKED)))
    engine: dict[str, Any]
    if where == "sqlite":
        # not as an address, in which ?, #, % and braces of a path mean something
        place = folder / "study.db"
        address, shown = "sqlite://", str(place)
        connect = partial(sqlite3.connect, place, timeout=BUSY, check_same_thread=False)
        engine = {"creator": connect, "poolclass": sqlalchemy.QueuePool}
    else:
        address, shown, engine = _postgresql(where), without_passwords(where), {"pool_pre_ping": True}
    for attempt in range(ATTEMPTS):
        try:
            storage = RDBStorage(address, engine_kwargs=engine)
            if where == "sqlite":
                _hasten(storage.engine)
                _check(storage.engine, shown)
            return storage
        except ImportError:
            raise UserError("PostgreSQL needs the package psycopg; pip install 'psycopg[binary]'") from None
        except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError) as error:
            if re.search(NO_DATABASE, _reason(error)):
                raise UserError(f"{shown} is damaged ({_reason(error)}); {BEGIN_ANEW}") from None
            if attempt == ATTEMPTS - 1:
                raise UserError(f"the storage {shown} can't be opened: {_reason(error)}") from None
            time.sleep(0.2 * (attempt + 1))
        except (ValueError, RuntimeError) as error:  # no address, or tables of another version
            raise UserError(f"--storage {shown} can't be used: {_reason(error)}") from None
    raise AssertionError


def _check(engine: sqlalchemy.Engine, shown: str) -> None:
    """UserError where SQLite finds its own pages or indexes damaged; what a trial says is checked by `study`."""
    with engine.connect() as connection:
        said = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
    if said != "ok":
        raise UserError(f"{shown} is damaged ({' '.join(str(said).split())}); {BEGIN_ANEW}")


def _postgresql(where: str) -> str:
    """The address as SQLAlchemy takes it, any sign in a password written so that it means nothing else."""
    found = re.fullmatch(r"postgres(?:ql)?(?:\+psycopg)?://(?:([^:/@]*)(?::(.*))?@)?([^@]*)", where, re.DOTALL)
    if found is None:
        shown = re.split(r"[:/@]", where)[0]
        raise UserError(
            f"--storage {shown}{'…' * (shown != where)} is not known; write sqlite, journal or "
            "postgresql://user@host/database"
        )
    login = ":".join(quote(unquote(name), safe="") for name in found.groups()[:2] if name is not None)
    return "postgresql+psycopg://" + (f"{login}@" if login else "") + found[3]


def _reason(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, StorageInternalError) else None
    told = getattr(cause or error, "orig", None) or cause or error
    return without_passwords(str(told).strip().splitlines()[0])


@contextmanager
def storage_faults() -> Iterator[None]:
    """UserError in place of what a storage raises that is away, or locked for longer than BUSY."""
    try:
        yield
    except (StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
        if re.search(NO_DATABASE, _reason(error)):
            raise UserError(f"the search's study.db is damaged ({_reason(error)}); {BEGIN_ANEW}") from None
        raise UserError(
            f"the search's storage can't be read or written: {_reason(error)}; the same command again goes on from "
            "here"
        ) from None


class Journal(JournalFileBackend):
    """A log whose last line is torn where a process was killed as it wrote: nobody was told of it, and it is cut off
    before the next line is written.
    """

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with get_lock_file(self._lock), open(self._file_path, "r+b") as file:
            _cut(file)
            file.write(lines.encode())
            file.flush()
            os.fsync(file.fileno())

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        number = log_number_from
        try:
            for log in super().read_logs(log_number_from):
                number += 1
                yield log
        except ValueError as error:  # no JSON
            raise UserError(
                f"line {number + 1} of {self._file_path} is damaged ({error}); remove that line, or the file to begin "
                "anew"
            ) from None


def _cut(file: BinaryIO) -> None:
    """Cut off what stands behind the last end of a line, and go there."""
    end = file.seek(0, 2)
    while end:
        begin = max(0, end - BLOCK)
        file.seek(begin)
        at = file.read(end - begin).rfind(b"\n")
        if at >= 0:
            end = begin + at + 1
            break
        end = begin
    file.truncate(end)
    file.seek(end)


class JournalLock(JournalFileOpenLock):
    """A lock file that others take from a killed process, one of them and not all at once.

    Optuna's symbolic link has the age of what it points to, which is the journal's: those who wait would take it
    from each other too, and behind a relative path they would wait forever.
    """

    def release(self) -> None:
        with suppress(RuntimeError):  # it was taken from here; what was written stays written
            super().release()


def _hasten(engine: sqlalchemy.Engine) -> None:
    """Write ahead, and don't wait for the disk: a trial took 0.37 s of it. A killed process loses nothing by it."""

    def hasten(connection: Any, record: Any) -> None:
        for setting in ("journal_mode=WAL", "synchronous=NORMAL"):
            connection.execute(f"PRAGMA {setting}")

    sqlalchemy.event.listen(engine, "connect", hasten)
    engine.dispose()  # what was opened before
