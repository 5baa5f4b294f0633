"""What code may try in the sandbox: each is refused, counted, or said in a sentence, and nothing outlives it."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.submission.attack import (
    CLASSES,
    IMAGES,
    LABELS,
    OUTPUT,
    PROCESSES,
    RULES,
    has_walls,
    model,
    packed,
    said_of,
)
from tests.submission.attacks import ATTACKS
from tests.submission.odd_zips import UNPACK
from toolkit.errors import UserError
from toolkit.submission import confined, sandbox
from toolkit.submission.sandbox import run_code_submission

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def walls() -> None:
    """Skipped where this system lends no namespace of processes and mounts."""
    if confined.isolation() != confined.ALONE:
        pytest.skip("this system lends no namespaces")


@pytest.mark.parametrize("name", ATTACKS)
def test_each_attack_is_refused_or_is_a_sentence(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attack = ATTACKS[name]
    if attack.walled and not has_walls():
        pytest.skip("this system lends no namespaces, or its kernel has no Landlock")
    monkeypatch.setattr(sandbox, "OUTPUT", OUTPUT)
    monkeypatch.setattr(sandbox, "PROCESSES", PROCESSES)
    monkeypatch.setenv("SECRET", "1")
    said = said_of(attack, tmp_path)
    assert re.search(attack.sentence, said), said
    assert said.isprintable() and not (name in UNPACK and (tmp_path / "out").exists())


DETACHED = """
import os, sys, time
def apart(work):
    if not os.fork():
        os.setsid()
        if not os.fork():
            work()
            os._exit(0)
        os._exit(0)
    os.wait()
"""


def test_memory_of_a_process_that_went_its_own_way_counts(tmp_path: Path) -> None:
    body = "def hold():\n    held = bytearray(4 * 10**8)\n    time.sleep(9)\napart(hold)\ntime.sleep(9)\n" + LABELS
    with pytest.raises(UserError, match=r"takes more than 0.30 GB of memory"):
        run_code_submission(
            packed(tmp_path / "s.zip", model(body, before=DETACHED)),
            IMAGES,
            CLASSES,
            replace(RULES, submission_memory=300_000_000),
        )


def test_shared_memory_counts_and_is_gone_afterwards(tmp_path: Path) -> None:
    walls()
    body = "open('/dev/shm/left-behind', 'wb').write(bytes(250 << 20))\nimport time\ntime.sleep(9)\n" + LABELS
    with pytest.raises(UserError, match=r"takes more than 0.30 GB of memory"):
        run_code_submission(
            packed(tmp_path / "s.zip", model(body)), IMAGES, CLASSES, replace(RULES, submission_memory=300_000_000)
        )
    assert not Path("/dev/shm/left-behind").exists()


def alive(mark: str) -> list[int]:
    """Processes that were started with this argument."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def gone(mark: str, patience: float = 15) -> bool:
    end = time.monotonic() + patience
    while time.monotonic() < end and alive(mark):
        time.sleep(0.1)
    return not alive(mark)


WAYS = ["alone", "by hand"]


@pytest.mark.parametrize("way", WAYS)
def test_what_it_started_dies_with_it(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "alone":
        walls()
    else:
        monkeypatch.setattr(confined, "isolation", lambda: ())
    mark = f"mark-{os.getpid()}-{way.replace(' ', '-')}"
    start = f"os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)', {mark!r}])"
    body = f"def stay():\n    {start}\napart(stay)\ntime.sleep(0.2)\n{LABELS}"
    run_code_submission(packed(tmp_path / "s.zip", model(body, before=DETACHED)), IMAGES, CLASSES, RULES)
    assert gone(mark)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGSTOP])
def test_nothing_is_left_by_whoever_asked_and_is_gone(
    ending: signal.Signals, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "alone":
        walls()
    mark, temporary = f"mark-{os.getpid()}-{ending.name}", tmp_path / "temporary"
    temporary.mkdir()
    start = f"os.execv(sys.executable, [sys.executable, '-c', 'while True: pass', {mark!r}])"
    body = f"def stay():\n    {start}\napart(stay)\nwhile True: pass"
    packed(tmp_path / "s.zip", model(body, before=DETACHED))
    np.save(tmp_path / "images.npy", IMAGES)
    asking = (
        "import signal, sys, numpy as np\nfrom pathlib import Path\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # which `nohup` has it not hear
        "from toolkit.rules import Rules\nfrom toolkit.submission import confined, sandbox\n"
        f"if {way != 'alone'}: confined.isolation = lambda: ()\n"
        f"confined.LATE = 1 if {ending == signal.SIGSTOP} else 600\n"
        "rules = Rules(submission_packages=('numpy',), submission_seconds=2.0 if confined.LATE == 1 else 60.0)\n"
        "sandbox.run_code_submission(Path(sys.argv[1]), np.load(sys.argv[2]), 8, rules)\n"
    )
    command = [sys.executable, "-c", asking, str(tmp_path / "s.zip"), str(tmp_path / "images.npy")]
    asked = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"TMPDIR": str(temporary)}, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while not alive(mark) and time.monotonic() < end:
            time.sleep(0.1)
        assert alive(mark)
        asked.send_signal(ending)
        assert gone(mark)
        if ending != signal.SIGSTOP:
            asked.wait(10)
            end = time.monotonic() + 10
            while list(temporary.iterdir()) and time.monotonic() < end:
                time.sleep(0.1)
            assert not list(temporary.iterdir())
    finally:
        asked.kill()
        asked.wait()


def test_it_cannot_end_or_stop_whoever_watches_it(tmp_path: Path) -> None:
    walls()
    body = (
        "import os, signal\n"
        "for number in (signal.SIGSTOP, signal.SIGKILL, signal.SIGTERM):\n"
        "    try: os.kill(os.getppid(), number)\n"
        "    except PermissionError: pass\n" + LABELS
    )
    run_code_submission(packed(tmp_path / "s.zip", model(body)), IMAGES, CLASSES, RULES)
