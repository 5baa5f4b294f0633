"""What code may try in the sandbox: each is refused, counted, or said in a sentence, and nothing outlives it."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.submission.test_sandbox import CLASSES, IMAGES, LABELS, RULES, locks, model, packed
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


def others() -> list[str]:
    """Devices that no code needs: disks, terminals, memory."""
    return [
        str(path)
        for path in sorted(Path("/dev").iterdir())
        if path.name in ("kmsg", "mem", "ptmx", "tty0", "port") or stat.S_ISBLK(path.lstat().st_mode)
    ][:8]


# each leaves True in `refused` where it was not let do it; FILE is a file of somebody else
REFUSED = {
    "disks and terminals, by native code": (
        f"for name in {others()!r}:\n    for how in (0, 2): refused.append(libc.open(name.encode(), how) < 0)"
    ),
    "settings of the kernel": (
        "for name in (b'/proc/sys/kernel/core_pattern', b'/proc/sys/vm/drop_caches', b'/proc/sysrq-trigger'):\n"
        "    refused.append(libc.open(name, 1) < 0)"
    ),
    "owners, modes and times": (
        "refused.append(libc.chmod(FILE, 0o600) < 0)\n"
        "refused.append(libc.chown(FILE, 0, 0) < 0)\n"
        "refused.append(libc.utimes(FILE, None) < 0)\n"
        "refused.append(libc.setxattr(FILE, b'user.x', b'1', 1, 0) < 0)"
    ),
    "writing by native code": "refused.append(libc.open(FILE, 2) < 0)\nrefused.append(libc.unlink(FILE) < 0)",
    "reading by native code": "refused.append(libc.open(FILE, 0) < 0)",
    "processes that are not its own": (
        "seen = [int(one) for one in os.listdir('/proc') if one.isdigit()]\nrefused.append(len(seen) < 10)"
    ),
    "the environment of its parent": (
        "import builtins\n"
        "try: refused.append(b'SECRET' not in open('/proc/1/environ', 'rb').read())\n"
        "except OSError: refused.append(True)"
    ),
    "memory of its parent": "refused.append(libc.open(b'/proc/1/mem', 2) < 0 or libc.ptrace(16, 1, 0, 0) < 0)",
}


@pytest.mark.parametrize("attack", REFUSED)
def test_what_code_is_not_let_do(attack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walls()
    if not locks():
        pytest.skip("this kernel has no Landlock")
    monkeypatch.setenv("SECRET", "1")
    target = tmp_path / "somebody's"
    target.write_text("1")
    before = target.stat()
    body = (
        f"import ctypes, os\nlibc, refused, FILE = ctypes.CDLL(None), [], {os.fsencode(target)!r}\n"
        f"{REFUSED[attack]}\nreturn np.full(len(X), int(all(refused)))"
    )
    ran = run_code_submission(packed(tmp_path / "s.zip", model(body)), IMAGES, CLASSES, RULES)
    assert ran.labels.tolist() == [1] * 5
    assert (target.read_text(), target.stat().st_mode, target.stat().st_mtime_ns) == (
        "1",
        before.st_mode,
        before.st_mtime_ns,
    )


OUT = "'../../output/"  # where the server writes, as seen from the code
NAMED = {
    "a disk": (
        f"open({others()[0] if others() else '/dev/sda'!r}, 'r+b')",
        "fails in predict: .*no such file|writes to /dev/.* in predict",
    ),
    "somebody's socket": (
        "import socket\nsocket.socket(socket.AF_UNIX).connect(SOCKET)",
        r"asks for the network: connect .*/s \(in predict\)",
    ),
    "a torn report": (f"open({OUT}report.json', 'w').write('{{')\nimport os\nos._exit(0)", "ended with exit status 0"),
    "a nested report": (
        f"open({OUT}report.json', 'w').write('[' * 100000)\nimport os\nos._exit(1)",
        "ended with exit status 1",
    ),
    "a forged report": (
        f"open({OUT}report.json', 'w').write('{{\"stage\": \"done\"}}')\nimport os\nos._exit(0)",
        "wrote over the labels|wrote into the server's report",
    ),
    "a report of other types": (
        f'open({OUT}report.json\', \'w\').write(\'{{"stage": [], "kind": 3, "error": {{}}, "peak": "x"}}\')\n'
        "import os\nos._exit(1)",
        "fails before it began: 3|ended with exit status 1",
    ),
    "pickled labels": (
        f"import os, pickle\npickle.dump([1], open({OUT}labels.npy', 'wb'))\n"
        f'open({OUT}report.json\', \'w\').write(\'{{"stage": "done", "seconds": 1, "loaded": 1, "peak": 1}}\')\n'
        "os._exit(0)",
        "wrote over the labels that predict returned",
    ),
    "a signal without a name": ("import os, signal\nsignal.raise_signal(40)", "was ended by signal 40 in predict"),
    "steering the terminal": (
        "raise ValueError('\\x1b[2J\\x1b]0;title\\x07gone')",
        r"fails in predict: ValueError: \\x1b\[2J\\x1b\]0;title\\x07gone",
    ),
    "steering the terminal as it dies": (
        "import os, sys\nsys.stderr.write('\\x1b[31mred')\nsys.stderr.flush()\nos._exit(2)",
        r"its last words: \\x1b\[31mred",
    ),
    "bytes in place of labels": (
        f"open({OUT}labels.npy', 'wb').write(bytes(6 << 20))\nimport time\ntime.sleep(9)",
        "prints or writes more than 1 MiB",
    ),
    "many processes": (
        "import os, time\nfor _ in range(60):\n    if not os.fork(): time.sleep(30)\ntime.sleep(9)",
        "starts more than 20 processes",
    ),
}


@pytest.mark.parametrize("attack", NAMED)
def test_what_ends_in_a_sentence(attack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "OUTPUT", 1 << 20)
    monkeypatch.setattr(sandbox, "PROCESSES", 20)
    body, sentence = NAMED[attack]
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        path = packed(tmp_path / "s.zip", model(body.replace("SOCKET", repr(str(tmp_path / "s")))))
        with pytest.raises(UserError, match=sentence) as caught:
            run_code_submission(path, IMAGES, CLASSES, RULES)
    assert str(caught.value).isprintable()


def test_code_that_no_parser_takes_is_a_sentence(tmp_path: Path) -> None:
    for text in ("x = " + 200_000 * "-" + "1", "x = " + 5000 * "(" + 5000 * ")", "x = '\0'"):
        with pytest.raises(UserError, match=r"is not Python|fails when model\.py is imported"):
            run_code_submission(packed(tmp_path / "s.zip", {"model.py": text}), IMAGES, CLASSES, RULES)


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
        "import sys, numpy as np\nfrom pathlib import Path\n"
        "from toolkit.rules import Rules\nfrom toolkit.submission import confined, sandbox\n"
        f"if {way != 'alone'}: confined.isolation = lambda: ()\n"
        f"confined.LATE = 2 if {ending == signal.SIGSTOP} else 600\n"
        "rules = Rules(submission_packages=('numpy',), submission_seconds=3.0 if confined.LATE == 2 else 60.0)\n"
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
