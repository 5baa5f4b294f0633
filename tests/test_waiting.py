"""Threads wait asleep wherever the toolkit computes, if nobody has said otherwise."""

import os
import subprocess
import sys
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import pytest
from joblib import delayed

from tests.conftest import ROOT
from toolkit.processes import parallel
from toolkit.submission.confined import Place
from toolkit.waiting import POLICIES

PASSIVE = "OMP_WAIT_POLICY", "PASSIVE"
# OpenMP says what it has read, on standard error, as soon as it is loaded
LOADED = "import ctypes, sys, toolkit; assert 'torch' not in sys.modules; ctypes.CDLL(sys.argv[1])"


def spins(**said: str) -> str:
    """How often a thread of PyTorch's OpenMP looks before it sleeps, in a process that imports the toolkit."""
    spec = find_spec("torch")
    assert spec is not None and spec.origin is not None
    library = Path(spec.origin).parent / "lib" / "libgomp.so.1"
    if not library.exists():
        pytest.skip("this PyTorch comes without GNU's OpenMP")
    kept = {name: value for name, value in os.environ.items() if name not in POLICIES}
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(library)],
        cwd=ROOT,
        env=kept | {"OMP_DISPLAY_ENV": "VERBOSE"} | said,
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = (line for line in done.stderr.splitlines() if "GOMP_SPINCOUNT" in line)
    return line.split("'")[1]


def test_threads_wait_asleep() -> None:
    assert spins() == "0"


def test_what_the_user_has_set_stays() -> None:
    assert spins(GOMP_SPINCOUNT="77") == "77"
    assert int(spins(OMP_WAIT_POLICY="ACTIVE")) > 300_000
    assert spins(KMP_BLOCKTIME="1") == "300000"  # of another OpenMP: whoever sets it has thought of waiting


def told(name: str) -> str | None:
    return os.environ.get(name)


def test_processes_that_train_and_decode_wait_asleep_too() -> None:
    name, policy = PASSIVE
    assert list(parallel(2)(delayed(told)(name) for _ in range(2))) == [policy, policy]
    with get_context("forkserver").Pool(1) as pool:
        assert pool.apply(told, [name]) == policy


def test_confined_code_waits_asleep_too(tmp_path: Path) -> None:
    assert PASSIVE in Place(tmp_path / "scratch").environment().items()
