"""Good code submissions run as on a server, and are measured; they see nothing but what a server has."""

import io
import os
import re
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.submission.attack import CLASSES, GOOD, IMAGES, LABELS, RULES, code, locks, model, packed, said_of
from tests.submission.attacks import ATTACKS
from toolkit.errors import UserError
from toolkit.submission import confined
from toolkit.submission.sandbox import run_code_submission
from toolkit.submission.sandbox_server import SHARED

EXPECTED = IMAGES.reshape(5, -1).astype(int).sum(1) % CLASSES


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def test_a_zip_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        run_code_submission(tmp_path / "s.zip", IMAGES, CLASSES, RULES)


@pytest.mark.parametrize("images", [IMAGES, IMAGES.astype(np.float64), IMAGES[:1], IMAGES[:0]])
def test_a_good_submission_returns_its_labels_and_what_it_cost(images: np.ndarray, tmp_path: Path) -> None:
    ran = run_code_submission(packed(tmp_path / "s.zip", {"model.py": code(GOOD)}), images, CLASSES, RULES)
    assert ran.labels.tolist() == EXPECTED[: len(images)].tolist() and ran.labels.dtype == np.uint8
    assert 0 < ran.loading < ran.seconds < 60
    assert 10e6 < ran.peak_bytes < 500e6
    assert ran.network == confined.network()


def test_without_a_namespace_the_network_is_blocked_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confined, "isolation", lambda: ())
    assert confined.network() == "blocked socket module"
    assert re.search(ATTACKS["a socket"].sentence, said_of(ATTACKS["a socket"], tmp_path))


def test_a_namespace_takes_the_network_from_native_code_too(tmp_path: Path) -> None:
    if confined.network() != "network namespace":
        pytest.skip("this system lends no network namespace")
    body = "links = open('/proc/net/dev').read().splitlines()[2:]\nreturn np.full(len(X), len(links))"
    ran = run_code_submission(packed(tmp_path / "s.zip", model(body)), IMAGES, CLASSES, RULES)
    assert ran.labels.max() <= 1  # the loopback alone, and that is down


def test_native_code_and_children_cannot_write_outside_either(tmp_path: Path) -> None:
    if not locks():
        pytest.skip("this kernel has no Landlock")
    target = Path("~/.left-behind").expanduser()
    body = (
        "import ctypes, subprocess, sys, tempfile\n"
        "open_ = ctypes.CDLL(None).creat\n"
        f"native = open_({str(target)!r}.encode(), 0o644)\n"
        f"child = subprocess.run([sys.executable, '-c', \"open({str(target)!r}, 'w')\"], stderr=subprocess.DEVNULL)\n"
        "inside = open_(tempfile.mktemp().encode(), 0o644)\n"
        "return np.array([native < 0, child.returncode == 1, inside > 0, 0, 0]).astype(int)"
    )
    ran = run_code_submission(packed(tmp_path / "s.zip", model(body)), IMAGES, CLASSES, RULES)
    assert ran.labels.tolist() == [1, 1, 1, 0, 0]
    assert not target.exists()


def test_native_code_and_children_cannot_read_what_is_not_on_the_server(tmp_path: Path) -> None:
    if not locks():
        pytest.skip("this kernel has no Landlock")
    body = (
        "import ctypes, subprocess, sys, tempfile\n"
        "open_ = ctypes.CDLL(None).open\n"
        f"native = open_({__file__!r}.encode(), 0)\n"
        f"child = subprocess.run([sys.executable, '-c', \"open({__file__!r})\"], stderr=subprocess.DEVNULL)\n"
        "own = open_(b'model.py', 0)\n"
        "same = subprocess.run([sys.executable, '-c', 'import numpy; open(\"model.py\")'])\n"
        "with tempfile.TemporaryFile() as file: file.write(b'1'); file.seek(0); file.read()\n"
        "return np.array([native < 0, child.returncode == 1, own > 0, same.returncode == 0, 0]).astype(int)"
    )
    ran = run_code_submission(packed(tmp_path / "s.zip", model(body)), IMAGES, CLASSES, RULES)
    assert ran.labels.tolist() == [1, 1, 1, 1, 0]


def test_processes_of_a_submission_may_speak_to_each_other(tmp_path: Path) -> None:
    body = (
        "import multiprocessing, socket\n"
        "queue = multiprocessing.get_context('fork').Queue()\n"
        "queue.put(3)\n"
        "one, other = socket.socketpair()\n"
        "one.sendmsg([b'ab'])\n"
        "return np.full(len(X), queue.get() + len(other.recv(2)))"
    )
    ran = run_code_submission(packed(tmp_path / "s.zip", model(body)), IMAGES, CLASSES, RULES)
    assert ran.labels.tolist() == [5] * 5


def test_a_submission_may_write_to_its_temporary_folder(tmp_path: Path) -> None:
    body = "import tempfile\nwith tempfile.TemporaryFile() as file: file.write(b'1')\n" + LABELS
    run_code_submission(packed(tmp_path / "s.zip", model(body)), IMAGES, CLASSES, RULES)


@pytest.mark.parametrize("way", ["alone", "by hand"])
def test_it_may_lie_in_shared_memory_and_sees_nothing_else_there(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not os.access(SHARED, os.W_OK) or (way == "alone" and confined.isolation() != confined.ALONE):
        pytest.skip("this system has no shared memory as files, or lends no namespaces")
    if way == "by hand":
        monkeypatch.setattr(confined, "isolation", lambda: ())
    body = (
        "import os, tempfile\n"
        "try: open('model.py', 'a')\n"
        "except OSError: own = 0\n"
        "try: os.mkdir('../cache'); own = 1\n"
        "except OSError: pass\n"
        f"open('{SHARED}/{tmp_path.name}-made', 'wb').write(bytes(1 << 20))\n"
        f"os.remove('{SHARED}/{tmp_path.name}-made')\n"
        "with tempfile.NamedTemporaryFile() as file: file.write(b'1'); own += not file.name.startswith(HERE)\n"
        "return np.full(len(X), own + os.path.exists(HERE + '/other') * (WAY == 'alone'))"
    )
    with tempfile.TemporaryDirectory(dir=SHARED) as here:
        (Path(here) / "other").touch()
        monkeypatch.setattr(tempfile, "tempdir", here)
        monkeypatch.setenv("XDG_CACHE_HOME", f"{here}/cache")  # the interpreter lies there too
        files = model(body, before=f"HERE, WAY = {here!r}, {way!r}")
        ran = run_code_submission(packed(Path(here) / "s.zip", files), IMAGES, CLASSES, RULES)
    assert ran.labels.tolist() == [0] * 5


def test_it_sees_neither_the_project_nor_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    body = (
        "import importlib.util, os\n"
        "seen = [name for name in ('toolkit', 'torch', 'pandas', 'pytest') if importlib.util.find_spec(name)]\n"
        "return np.full(len(X), len(seen) + ('SECRET' in os.environ))"
    )
    ran = run_code_submission(packed(tmp_path / "s.zip", model(body)), IMAGES, CLASSES, RULES)
    assert ran.labels.tolist() == [0] * 5


def test_a_zip_of_a_zip_is_no_bomb(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as made:
        made.writestr("data", os.urandom(1000))
    packed(tmp_path / "s.zip", {"model.py": code(GOOD), "weights.pt": inner.getvalue()})
    run_code_submission(tmp_path / "s.zip", IMAGES, CLASSES, RULES)
