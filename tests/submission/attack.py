"""One attack by a zip that is handed in, and what comes of it."""

import socket
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from toolkit.errors import UserError
from toolkit.rules import Rules
from toolkit.submission import confined, sandbox_server, unpacking
from toolkit.submission.sandbox import run_code_submission
from toolkit.submission.unpacking import unpack

CLASSES = 8
RULES = Rules(submission_packages=("numpy",), sources={"submission_packages": "README.md, Rules"})
IMAGES = np.arange(5 * 4 * 4 * 3, dtype=np.uint8).reshape(5, 4, 4, 3)
GOOD = """
    import numpy as np
    class Model:
        def predict(self, X):
            return np.asarray(X).astype(int).sum((1, 2, 3)) % 8
"""
LABELS = "return np.zeros(len(X), int)"
LEFT = "~/.left-behind"  # what no code may write
OUTPUT, PROCESSES = 1 << 20, 20  # bytes and processes that the server is to allow, for an attack to be quick
Files = Mapping[str | zipfile.ZipInfo, str | bytes]


@dataclass(frozen=True)
class Attack:
    """files: of the zip; sentence: a pattern of what is said of it; change: damage to the zip's bytes; looked_at: the
    zip is unpacked, to `largest` bytes at most, and no code runs; walled: only where this system lends namespaces and
    Landlock.
    """

    files: Files
    sentence: str
    rules: Rules = RULES
    packer: int = zipfile.ZIP_STORED
    change: Callable[[bytes], bytes] = bytes
    looked_at: bool = False
    largest: int = unpacking.LARGEST
    walled: bool = False


def code(text: str) -> str:
    lines = text.strip("\n").splitlines()
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return "\n".join(line[indent:] for line in lines)


def packed(path: Path, files: Files, packer: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", packer) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return path


def model(body: str, before: str = "", made: str = "pass") -> Files:
    """A zip's content whose predict is `body`."""
    text = f"import numpy as np\n{before}\nclass Model:\n    def __init__(self):\n        {made}\n"
    return {
        "model.py": text + "    def predict(self, X):\n" + "\n".join(f"        {line}" for line in body.split("\n"))
    }


def member(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr = mode << 16
    return made


def said_of(attack: Attack, folder: Path) -> str:
    """What comes of it in an empty folder: the sentence, `refused` where code ended well and was refused all that it
    tried, else `passed`; `changed` where a file of somebody else is another.
    """
    other, path, place = folder / "somebody's", folder / "s.zip", folder / "s"
    other.write_text("1")
    before = other.stat()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        listening.listen()
        names = {"OTHERS": repr(str(other)), "SOCKET": repr(str(place))}
        path = packed(path, {name: _filled(content, names) for name, content in attack.files.items()}, attack.packer)
        path.write_bytes(attack.change(path.read_bytes()))
        try:
            said = _tried(attack, path, folder / "out" / "in")
        except UserError as error:
            said = str(error)
    after = other.stat()
    same = other.read_text() == "1" and (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
    return said if same and not Path(LEFT).expanduser().exists() else "changed"


def _filled(content: str | bytes, names: Mapping[str, str]) -> str | bytes:
    if isinstance(content, str):
        for name, value in names.items():
            content = content.replace(name, value)
    return content


def _tried(attack: Attack, path: Path, folder: Path) -> str:
    if attack.looked_at:
        unpack(path, folder, attack.largest)
        return "passed"
    ran = run_code_submission(path, IMAGES, CLASSES, attack.rules)
    return "refused" if ran.labels.tolist() == [1] * len(IMAGES) else "passed"


@cache
def has_walls() -> bool:
    """Does this system lend namespaces of processes and mounts, and Landlock?"""
    return confined.isolation() == confined.ALONE and locks()


@cache
def locks() -> bool:
    """Has this kernel Landlock?"""
    code = "import sys; sys.path.append(sys.argv[1]); from sandbox_server import lock; sys.exit(not lock(['/'], []))"
    command = [sys.executable, "-c", code, str(Path(sandbox_server.__file__).parent)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert not done.stderr
    return done.returncode == 0
