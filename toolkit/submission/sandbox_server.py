"""What the sandbox starts in its clean environment: it plays the organisers' server, once.

    python sandbox_server.py '{"code": …, "images": …, "labels": …, "report": …, "readable": […], "writable": […]}'

Nothing of the toolkit may be imported here. `report` tells how far it came, whatever happens to the process:
`stage` (import, make, predict, done), `error` (the last line of an exception), `kind` (its type),
`seconds`, and `peak` bytes of memory.
"""

import ctypes
import errno
import json
import os
import resource
import struct
import sys
import time
from typing import Any

ASKS = "asks for the network"
NO_SUCH_FILE = "the server has no such file"
LINE = 400  # characters of an error that are kept
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = ("mkdir", "rename", "remove", "rmdir", "link", "symlink", "truncate", "chmod", "chown", "utime")
LISTS = ("os.listdir", "os.scandir")
LOCAL = 1  # the family of sockets within a machine, by which the processes of a DataLoader speak
NETWORK = ("connect", "getaddrinfo", "gethostbyname", "gethostbyaddr", "sendto", "sendmsg", "bind")


def serve(job: dict[str, Any]) -> None:
    report: dict[str, Any] = {"stage": "import"}

    def tell(**news: Any) -> None:
        report.update(news, peak=peak())
        # in place: the sandbox reads it after the process has ended
        with open(job["report"], "w", encoding="utf-8") as file:
            json.dump(report, file)

    tell()
    begun = time.perf_counter()
    try:
        import numpy as np

        images = np.load(job["images"], allow_pickle=False)
        readable = [job["code"], *job["readable"]]
        lock(readable, [*job["writable"], os.path.dirname(job["report"]), "/dev", "/proc"])
        guard(readable, [*job["writable"], job["labels"], job["report"]])
        os.chdir(job["code"])
        sys.path.insert(0, "")
        module: Any = __import__("model")
        if not hasattr(module, "Model"):
            classes = [name for name, value in vars(module).items() if isinstance(value, type)]
            raise NameError(f"model.py has no class Model; it has {', '.join(classes) or 'no class'}")
        tell(stage="make")
        model = module.Model()
        tell(stage="predict", loaded=time.perf_counter() - begun)
        result = model.predict(images)
        seconds = time.perf_counter() - begun
        if not isinstance(result, np.ndarray):
            raise TypeError(f"predict returned {type(result).__name__}, expected a numpy array")
        if result.dtype.hasobject:
            raise TypeError(f"predict returned an array of {result.dtype}, expected integers")
        np.save(job["labels"], result, allow_pickle=False)
        tell(stage="done", seconds=seconds)
    except BaseException as error:
        lines = str(error).strip().splitlines()
        tell(kind=type(error).__name__, error=(lines[-1] if lines else "")[:LINE])
        sys.exit(1)


def peak() -> int:
    """Bytes of main memory that this process held at most."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except OSError:  # not Linux
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def guard(readable: list[str], writable: list[str]) -> None:
    """From now on refuse network, reads outside both lists and writes outside `writable`, as far as Python sees them.

    A file that is read elsewhere is not found, as it will not be on the server.
    """
    written = tuple(map(os.path.realpath, [*writable, "/dev"]))
    read = (*readable, *map(os.path.realpath, readable), *written)

    def allowed(path: Any, roots: tuple[str, ...]) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return True  # a number: it was opened before
        named = os.fsdecode(path)
        # torch reads thousands of files through the environment's links: those are known by their names
        return (roots is read and _below(os.path.abspath(named), roots)) or _below(os.path.realpath(named), roots)

    def missing(path: Any) -> FileNotFoundError:
        return FileNotFoundError(errno.ENOENT, NO_SUCH_FILE, os.fsdecode(path))

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & WRITES:
                if not allowed(path, written):
                    raise PermissionError(f"writes to {os.fsdecode(path)}")
            elif not allowed(path, read):
                raise missing(path)
        elif event in LISTS and not allowed(arguments[0], read):
            raise missing(arguments[0])
        elif event.startswith("os.") and event[3:] in CHANGES:
            for path in arguments[:2] if event in ("os.rename", "os.link", "os.symlink") else arguments[:1]:
                if not allowed(path, written):
                    raise PermissionError(f"changes {os.fsdecode(path)}")
        elif event.startswith("socket.") and event[7:] in NETWORK:
            target = next((a for a in arguments if isinstance(a, str | tuple)), "")
            if event == "socket.bind" or getattr(arguments[0], "family", None) == LOCAL:
                return
            host = target[0] if isinstance(target, tuple) and target else target
            raise ConnectionError(f"{ASKS}: {event[7:]} {host}")

    sys.addaudithook(hook)


def _below(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(root.rstrip(os.sep) + os.sep) for root in roots)


def lock(readable: list[str], writable: list[str]) -> bool:
    """Have the kernel refuse all other reads and writes, of native code and child processes too; False where it can't.

    `writable` may be read too; what doesn't exist is left out. Landlock, Linux 5.13 and later:
    https://docs.kernel.org/userspace-api/landlock.html
    """
    if not sys.platform.startswith("linux"):
        return False
    system = ctypes.CDLL(None, use_errno=True)
    create, add, restrict = 444, 445, 446  # the same on every architecture
    version = system.syscall(create, None, 0, 1)
    if version < 1:
        return False
    read_file, read_folder = 1 << 2, 1 << 3
    # write, remove a folder or file, make anything; with later versions move between folders, and truncate
    change = 1 << 1 | 0b111111111 << 4 | (version >= 2) << 13 | (version >= 3) << 14
    ruleset = system.syscall(create, struct.pack("Q", read_file | read_folder | change), 8, 0)
    rules = [*((path, 0) for path in readable), *((path, change) for path in writable)]
    for path, rights in rules:
        if os.path.exists(path):
            rights |= read_file | read_folder * os.path.isdir(path)
            there = os.open(path, os.O_PATH)
            system.syscall(add, ruleset, 1, struct.pack("=Qi", rights, there), 0)
            os.close(there)
    no_new_privileges = 38
    system.prctl(no_new_privileges, 1, 0, 0, 0)
    done = system.syscall(restrict, ruleset, 0) == 0
    os.close(ruleset)
    return done


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
