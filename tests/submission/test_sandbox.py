"""Broken code submissions, each caught with the sentence that says what to mend; and a good one, measured."""

import io
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.rules import Rules
from toolkit.submission import confined, sandbox, sandbox_server
from toolkit.submission.sandbox import run_code_submission
from toolkit.submission.unpacking import LARGEST, unpack

CLASSES = 8
RULES = Rules(submission_packages=("numpy",), sources={"submission_packages": "README.md, Rules"})
IMAGES = np.arange(5 * 4 * 4 * 3, dtype=np.uint8).reshape(5, 4, 4, 3)
GOOD = """
    import numpy as np
    class Model:
        def predict(self, X):
            return np.asarray(X).astype(int).sum((1, 2, 3)) % 8
"""
EXPECTED = IMAGES.reshape(5, -1).astype(int).sum(1) % CLASSES


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def code(text: str) -> str:
    lines = text.strip("\n").splitlines()
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return "\n".join(line[indent:] for line in lines)


def packed(path: Path, files: Mapping[str | zipfile.ZipInfo, str | bytes], compression: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", compression) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return path


def model(body: str, before: str = "", made: str = "pass") -> dict[str | zipfile.ZipInfo, str | bytes]:
    """A zip's content whose predict is `body`."""
    text = f"import numpy as np\n{before}\nclass Model:\n    def __init__(self):\n        {made}\n"
    return {
        "model.py": text + "    def predict(self, X):\n" + "\n".join(f"        {line}" for line in body.split("\n"))
    }


def member(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr = mode << 16
    return made


LABELS = "return np.zeros(len(X), int)"
RUN: dict[str, tuple[Mapping[str | zipfile.ZipInfo, str | bytes], str]] = {
    "wrong class name": ({"model.py": "class Net:\n    pass"}, "model.py has no class Model; it has Net"),
    "no predict": (
        {"model.py": "class Model:\n    pass"},
        "fails in predict: AttributeError: 'Model' object has no attribute 'predict'",
    ),
    "Model wants arguments": (
        {"model.py": "class Model:\n    def __init__(self, path): pass"},
        r"fails in Model\(\): TypeError: .*missing 1 required positional argument: 'path'",
    ),
    "missing weights": (
        model(LABELS, made="open('weights.pt')"),
        r"fails in Model\(\): .*'weights.pt'; is the file in the zip",
    ),
    "a path of the training machine": (
        model(LABELS, before="open('/home/me/weights.pt')"),
        "fails when model.py is imported: .*'/home/me/weights.pt'; is the file in the zip",
    ),
    "a file of this machine": (
        model(LABELS, made=f"open({__file__!r})"),
        f"fails in Model.*the server has no such file: '{__file__}'; is the file in the zip, and named relative",
    ),
    "a folder of this machine": (
        model(f"import os\nos.listdir({os.path.dirname(__file__)!r})\n" + LABELS),
        f"fails in predict: .*the server has no such file: '{os.path.dirname(__file__)}'",
    ),
    "a file of this machine, by a detour": (
        model(LABELS, made=f"open('/proc/self/root{__file__}')"),
        "fails in Model.*the server has no such file",
    ),
    "one-hot output": (
        model("return np.eye(8, dtype=int)[np.zeros(len(X), int)]"),
        r"returned shape \(5, 8\), expected \(5,\); it has a column for each class, return the arg max",
    ),
    "a column too many": (
        model("return np.zeros((len(X), 1), int)"),
        r"returned shape \(5, 1\), expected \(5,\); return labels\[:, 0\]",
    ),
    "wrong length": (model("return np.zeros(len(X) - 1, int)"), r"returned shape \(4,\), expected \(5,\)"),
    "float labels": (model("return np.zeros(len(X))"), "returned labels of type float64, expected integers"),
    "a class too many": (model("return np.full(len(X), 8)"), "returned labels 8 to 8, expected 0 to 7"),
    "negative labels": (model("return np.full(len(X), -1)"), "returned labels -1 to -1, expected 0 to 7"),
    "a list": (model("return [0] * len(X)"), "predict returned list, expected a numpy array"),
    "prints only": (
        model("print(np.zeros(len(X), int))"),
        "predict returned NoneType, expected a numpy array; it printed 12 bytes, but labels must be returned",
    ),
    "objects": (model("return np.array([None] * len(X))"), "returned an array of object, expected integers"),
    "os._exit": (model("import os\nos._exit(0)"), "ended with exit status 0 in predict, before it returned labels"),
    "sys.exit": (model("import sys\nsys.exit('bye')"), "fails in predict: SystemExit: bye"),
    "a crash of native code": (model("import ctypes\nctypes.string_at(0)"), "ended by signal SIGSEGV in predict"),
    "an exception": (model("raise ValueError('first line\\nlast line')"), "fails in predict: ValueError: last line"),
    "network access": (
        model("import urllib.request\nurllib.request.urlopen('http://example.org/weights')"),
        r"asks for the network: getaddrinfo example.org \(in predict\); the server has none",
    ),
    "a socket": (
        model("import socket\nsocket.socket().connect(('192.0.2.1', 80))"),
        r"asks for the network: connect 192.0.2.1 \(in predict\); the server has none",
    ),
    "a name looked up": (
        model("import socket\nsocket.getaddrinfo('example.org', 80)"),
        r"asks for the network: getaddrinfo example.org",
    ),
    "writes outside its folder": (
        model(f"open('{os.path.expanduser('~')}/.left-behind', 'w')\n{LABELS}"),
        "writes to .*/.left-behind in predict; a server lets it write to its temporary folder alone",
    ),
    "writes into its own folder": (
        model("np.save('cache.npy', X)\n" + LABELS),
        "writes to cache.npy in predict|read-only on a server",
    ),
    "makes a folder": (
        model("import os\nos.mkdir('../cache')\n" + LABELS),
        "changes ../cache in predict; a server lets it write",
    ),
    "an import that the server may lack": (
        model(LABELS, before="import timm"),
        r"model.py line 2 imports timm, which the server may lack; allowed are numpy and the standard library "
        r"\(rule submission_packages: README.md, Rules\)",
    ),
    "an import in disguise": (
        model("__import__('pandas')\n" + LABELS),
        r"fails in predict: No module named 'pandas'; allowed are numpy.*\(rule submission_packages",
    ),
    "an environment variable": (
        model("import os\nos.environ['HOSTNAME_OF_MINE']\n" + LABELS),
        "fails in predict: KeyError: 'HOSTNAME_OF_MINE'",
    ),
    "not Python": (
        {"model.py": "class Model:\nreturn 1"},
        "model.py line 2 is not Python: expected an indented block",
    ),
    "a flood of output": (model("while True: print('x' * 1000000)"), "prints or writes more than 1 MiB"),
}
LIMITED: dict[str, tuple[Mapping[str | zipfile.ZipInfo, str | bytes], Rules, str]] = {
    "endless loop": (
        model("while True: pass"),
        replace(RULES, submission_seconds=1.0, sources={"submission_seconds": "the page, Evaluation"}),
        r"takes longer than 1 s; is there an endless loop\? \(rule submission_seconds: the page, Evaluation\)",
    ),
    "memory hog": (
        model("held = [np.ones(1 << 20) for _ in range(500)]\n" + LABELS),
        replace(RULES, submission_memory=300_000_000),
        r"takes more than 0.30 GB of memory; predict in smaller batches \(rule submission_memory",
    ),
    "a child that takes the memory": (
        model(
            "import subprocess, sys, time\n"
            "subprocess.run([sys.executable, '-c', 'import time; x = bytearray(4 * 10**8); time.sleep(9)'])\n" + LABELS
        ),
        replace(RULES, submission_memory=300_000_000),
        "takes more than 0.30 GB of memory",
    ),
}
SMALL_BOMBS: dict[str | zipfile.ZipInfo, str | bytes] = {f"w{at}": bytes(1 << 20) for at in range(9)}
UNPACK: dict[str, tuple[Mapping[str | zipfile.ZipInfo, str | bytes], str]] = {
    "parent folder": (
        {"submission/model.py": GOOD, "submission/weights": b"1"},
        "must have model.py at its top level; it is at submission/model.py: zip the files, not their folder",
    ),
    "no model.py": ({"Model.py": GOOD}, "must have model.py at its top level; there is none"),
    "zip slip": ({"model.py": GOOD, "../../evil.py": ""}, "'../../evil.py', which leads out of the folder"),
    "an absolute path": ({"model.py": GOOD, "/etc/evil": ""}, "'/etc/evil', which leads out of the folder"),
    "a path of another system": ({"model.py": GOOD, "C:\\evil": ""}, "which leads out of the folder"),
    "symlink": (
        {"model.py": GOOD, member("weights.pt", stat.S_IFLNK | 0o777): "/etc/passwd"},
        "holds a symbolic link, 'weights.pt'; put the file itself there",
    ),
    "a pipe": ({"model.py": GOOD, member("p", stat.S_IFIFO): ""}, "holds a special file, 'p'"),
    "zip bomb": (
        {"model.py": GOOD, "weights.pt": bytes(3 << 20)},
        "zip bomb.*'weights.pt' grows from .* to 3,145,728",
    ),
    "many small bombs": (
        {"model.py": GOOD, **SMALL_BOMBS},
        r"zip bomb to the server: its files grow from [\d,]+ to 9,437,\d+ bytes",
    ),
    "a file and a folder of one name": (
        {"model.py": GOOD, "a": "1", "a/b": "1"},
        "holds 'a' both as a file and as a folder",
    ),
    "a long name": ({"model.py": GOOD, 300 * "n": ""}, "holds a name of 300 letters, 'n{20}'…, longer than a file's"),
    "a long path": ({"model.py": GOOD, 2500 * "n/" + "n": ""}, "holds a name of 5,001 letters"),
    "leftovers of macOS": (
        {"model.py": GOOD, "__MACOSX/._model.py": "\0"},
        r"holds '__MACOSX/._model.py', which macOS adds and no server needs; `zip -d s.zip '__MACOSX/\*' '\*._\*'`",
    ),
    "more leftovers of macOS": ({"model.py": GOOD, "w/._a": "\0"}, "holds 'w/._a', which macOS adds"),
    "too large": (
        {"model.py": GOOD, "w": os.urandom(1 << 20)},
        r"unpacks to 1,0\d\d,\d\d\d bytes, more than 1,000,000",
    ),
}


@pytest.mark.parametrize("fault", RUN)
def test_a_submission_that_fails_on_the_server_fails_here(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "OUTPUT", 1 << 20)
    files, sentence = RUN[fault]
    with pytest.raises(UserError, match=sentence) as caught:
        run_code_submission(packed(tmp_path / "s.zip", files), IMAGES, CLASSES, RULES)
    assert "\n" not in str(caught.value) and str(tmp_path / "s.zip") in str(caught.value)
    assert not Path("~/.left-behind").expanduser().exists()


@pytest.mark.parametrize("fault", LIMITED)
def test_a_submission_is_stopped_at_its_limit(fault: str, tmp_path: Path) -> None:
    files, rules, sentence = LIMITED[fault]
    with pytest.raises(UserError, match=sentence):
        run_code_submission(packed(tmp_path / "s.zip", files), IMAGES, CLASSES, rules)


@pytest.mark.parametrize("fault", UNPACK)
def test_a_zip_is_looked_at_before_it_is_unpacked(fault: str, tmp_path: Path) -> None:
    files, sentence = UNPACK[fault]
    path = packed(tmp_path / "s.zip", files, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match=sentence):
        unpack(path, tmp_path / "out" / "in", 1_000_000 if fault == "too large" else LARGEST)
    assert not (tmp_path / "out").exists()


def test_a_name_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as made:
        made.writestr("model.py", GOOD)
        with pytest.warns(UserWarning, match="Duplicate"):
            made.writestr("model.py", "")
    with pytest.raises(UserError, match=r"holds 'model.py' 2 times; which one counts depends on the server"):
        unpack(tmp_path / "s.zip", tmp_path / "out")


def damage(path: Path, change: Callable[[bytes], bytes]) -> Path:
    path.write_bytes(change(path.read_bytes()))
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[:-10],
        lambda content: content.replace(b"class", b"klass"),  # stored, so the checksum no longer fits
        lambda content: b"",
        lambda content: b"model,py\n",
    ],
    ids=["truncated", "bit rot", "empty", "no zip"],
)
def test_a_damaged_zip_is_refused(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = damage(packed(tmp_path / "s.zip", {"model.py": GOOD}), change)
    with pytest.raises(UserError, match="is not a whole zip file"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("packer", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_damage_within_other_packers_is_a_sentence(packer: int, place: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = packed(tmp_path / "s.zip", {"model.py": rng.integers(97, 120, 5000, np.uint8).tobytes()}, packer)

    def flip(content: bytes) -> bytes:
        at = 60 + int(place * 2500)
        return content[:at] + bytes(255 - byte for byte in content[at : at + 40]) + content[at + 40 :]

    with pytest.raises(UserError, match=r"is not a whole zip file|is packed in a way that not every server reads"):
        unpack(damage(path, flip), tmp_path / "out")


def test_a_name_that_is_no_text_is_a_sentence(tmp_path: Path) -> None:
    path = packed(tmp_path / "s.zip", {"model.py": GOOD, "größe": "1"})
    with pytest.raises(UserError, match="holds a name that is no text"):
        unpack(damage(path, lambda content: content.replace("ö".encode(), b"\xff\xfe")), tmp_path / "out")


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    def mark(content: bytes) -> bytes:
        at = content.index(b"PK\x01\x02") + 8
        return content[:at] + bytes([content[at] | 1]) + content[at + 1 :]

    path = damage(packed(tmp_path / "s.zip", {"model.py": GOOD}), mark)
    with pytest.raises(UserError, match="is encrypted"):
        unpack(path, tmp_path / "out")


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
    files, sentence = RUN["a socket"]
    with pytest.raises(UserError, match=sentence):
        run_code_submission(packed(tmp_path / "s.zip", files), IMAGES, CLASSES, RULES)


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


def locks() -> bool:
    code = "import sys; sys.path.append(sys.argv[1]); from sandbox_server import lock; sys.exit(not lock(['/'], []))"
    command = [sys.executable, "-c", code, str(Path(sandbox_server.__file__).parent)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert not done.stderr
    return done.returncode == 0


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
