"""Zips that a server refuses, or that would harm it, or that are damaged."""

import os
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tests.submission.attack import GOOD, Attack, Files, member

SMALL_BOMBS: Files = {f"w{at}": bytes(1 << 20) for at in range(9)}
UNPACK: dict[str, tuple[Files, str]] = {
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


def _damaged(start: int, length: int) -> Callable[[bytes], bytes]:
    return lambda zipped: (
        zipped[:start] + bytes(255 - byte for byte in zipped[start : start + length]) + zipped[start + length :]
    )


def _encrypted(zipped: bytes) -> bytes:
    at = zipped.index(b"PK\x01\x02") + 8
    return zipped[:at] + bytes([zipped[at] | 1]) + zipped[at + 1 :]


def _damaged_zips() -> dict[str, Attack]:
    one: Files = {"model.py": GOOD}
    drawn: Files = {"model.py": np.random.default_rng(0).integers(97, 120, 5000, np.uint8).tobytes()}
    not_whole = "is not a whole zip file"
    found = {
        "cut": Attack(one, not_whole, change=lambda zipped: zipped[:-10]),
        "bit rot": Attack(one, not_whole, change=lambda zipped: zipped.replace(b"class", b"klass")),  # it is stored
        "empty": Attack(one, not_whole, change=lambda zipped: b""),
        "no zip": Attack(one, not_whole, change=lambda zipped: b"model,py\n"),
        "a name twice": Attack(
            {"model.py": GOOD, "nodel.py": ""},
            r"holds 'model.py' 2 times; which one counts depends on the server",
            change=lambda zipped: zipped.replace(b"nodel.py", b"model.py"),
        ),
        "a name that is no text": Attack(
            {"model.py": GOOD, "größe": "1"},
            "holds a name that is no text",
            change=lambda zipped: zipped.replace("ö".encode(), b"\xff\xfe"),
        ),
        "encrypted": Attack(one, "is encrypted", change=_encrypted),
    }
    odd = f"{not_whole}|is packed in a way that not every server reads"
    for packer, name in ((zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "lzma")):
        for at in (560, 1310, 2060):
            found[f"{name} damaged at {at}"] = Attack(drawn, odd, packer=packer, change=_damaged(at, 40))
    return found


def _looked_at() -> dict[str, Attack]:
    found = {name: Attack(files, sentence, packer=zipfile.ZIP_DEFLATED) for name, (files, sentence) in UNPACK.items()}
    found["too large"] = replace(found["too large"], largest=1_000_000)
    return {name: replace(attack, looked_at=True) for name, attack in (found | _damaged_zips()).items()}


ATTACKS = _looked_at()
