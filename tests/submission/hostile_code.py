"""Code that tries what it may not: it is refused, counted, or said in a sentence."""

import stat
from pathlib import Path

from tests.submission.attack import Attack, model


def others() -> list[str]:
    """Devices that no code needs: disks, terminals, memory."""
    return [
        str(path)
        for path in sorted(Path("/dev").iterdir())
        if path.name in ("kmsg", "mem", "ptmx", "tty0", "port") or stat.S_ISBLK(path.lstat().st_mode)
    ][:8]


# each leaves True in `refused` where it was not let do it; FILE is a file of somebody else, whose path replaces OTHERS
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
PRELUDE = "import ctypes, os\nlibc, refused, FILE = ctypes.CDLL(None), [], os.fsencode(OTHERS)\n"
ENDING = "\nreturn np.full(len(X), int(all(refused)))"
ATTACKS = {
    **{name: Attack(model(body), sentence) for name, (body, sentence) in NAMED.items()},
    **{name: Attack(model(PRELUDE + body + ENDING), "^refused$", walled=True) for name, body in REFUSED.items()},
}
