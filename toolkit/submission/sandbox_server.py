"""What the sandbox starts in its clean environment: it plays the organisers' server, once.

    python sandbox_server.py < job

The job is a line of JSON on standard input, which stays open: once it is closed, whoever asked for this is gone.
Nothing of the toolkit may be imported here. One process keeps another that runs the code, and ends all that came of
it.

The job's `report` tells how far the code came, whatever happens to it: `stage` (import, make, predict; or run; then
done), `error` (the last line of an exception), `kind` (its type), `where` it was raised, `seconds`, and `peak` bytes
of memory.
"""

import ctypes
import errno
import glob
import json
import os
import resource
import select
import shutil
import signal
import stat
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

ASKS = "asks for the network"
NO_SUCH_FILE = "the server has no such file"
LINE = 400  # characters of an error that are kept
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = (
    *("mkdir", "rename", "remove", "rmdir", "link", "symlink", "truncate"),
    *("chmod", "chown", "utime", "setxattr", "removexattr"),
)
LISTS = ("os.listdir", "os.scandir")
LOCAL = 1  # the family of sockets within a machine, by which the processes of a DataLoader speak
NETWORK = ("connect", "getaddrinfo", "gethostbyname", "gethostbyaddr", "sendto", "sendmsg", "bind")
SHARED = "/dev/shm"  # memory that processes share, as files
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", SHARED)  # no disks, no terminals
GRAPHICS = ("/dev/nvidia*", "/dev/dri", "/dev/kfd")
LOOK = 0.02  # seconds between two looks at the process that runs the code
SIGNALLED = 128  # what is added to a signal's number to make an exit status of it
DIE_WITH_PARENT, NO_NEW_PRIVILEGES, ADOPT = 1, 38, 36  # of prctl
Tell = Callable[..., None]


def main() -> None:
    job = _job()
    lifeline = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    _prctl(ADOPT, 1)  # whoever is left behind by the code belongs to this process
    keeper = os.getpid()
    child = os.fork()
    if child:
        _keep(child, lifeline, job)
    os.close(lifeline)
    _prctl(DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() not in (keeper, 0):
        os._exit(1)  # it was gone before that
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if job["mounts"]:
        writable = [*job["writable"], os.path.dirname(job["report"])]
        wall_off(writable, [job["scratch"], *job["readable"]], job["memory"])
    serve(job)


def _job() -> dict[str, Any]:
    """Read byte by byte: what follows the line is the lifeline's end."""
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, 1 << 16)
        if not part:
            sys.exit("no job was given")
        line += part
    job: dict[str, Any] = json.loads(line)
    return job


def _keep(child: int, lifeline: int, job: dict[str, Any]) -> None:
    """Wait for the child's end, or make it; then end all that came of it. Never returns."""
    end = time.monotonic() + job["seconds"]
    while True:
        gone, status = _reaped(child)
        if gone:
            _end_others()
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else SIGNALLED - code)
        alone = bool(select.select([lifeline], [], [], LOOK)[0])
        if alone or time.monotonic() > end:
            _end_others()
            if alone:
                remove(job["scratch"])
            os._exit(1)


def _reaped(child: int) -> tuple[bool, int]:
    """Has the child ended, and how? Orphans that it left are reaped meanwhile."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True, 1
        if pid in (0, child):
            return pid == child, status


def _end_others() -> None:
    """End all processes that came of this one."""
    if os.getpid() == 1:  # of a namespace, which holds nothing else
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        return
    for _ in range(1000):  # one that is ended may just have started another
        left = descendants(os.getpid())
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not left:
            return


def descendants(root: int) -> list[int]:
    """Processes that came of one, whatever group or session they are in; none where the system doesn't tell."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                # after the name, which may hold anything: state, parent, …
                state, parent = file.read().rpartition(b")")[2].split()[:2]
                if state != b"Z":
                    children.setdefault(int(parent), []).append(int(name))
    found, waiting = [], [root]
    while waiting:
        some = children.get(waiting.pop(), [])
        found += some
        waiting += some
    return found


def remove(folder: str) -> None:
    """A folder, parts of which may be read-only."""
    for here, *_ in os.walk(folder):
        with suppress(OSError):
            os.chmod(here, stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)


def serve(job: dict[str, Any]) -> None:
    report: dict[str, Any] = {"stage": "import" if job["kind"] == "model" else "run"}

    def tell(**news: Any) -> None:
        report.update(news, peak=peak())
        # in place: the sandbox reads it after the process has ended
        with open(job["report"], "w", encoding="utf-8") as file:
            json.dump(report, file)

    tell()
    try:
        {"model": _run_model, "script": _run_script}[job["kind"]](job, tell)
    except BaseException as error:
        lines = str(error).strip().splitlines()
        tell(kind=type(error).__name__, error=(lines[-1] if lines else "")[:LINE], where=_place(error))
        sys.exit(1)


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{os.path.basename(trace.tb_frame.f_code.co_filename)}, line {trace.tb_lineno}"


def _confine(job: dict[str, Any]) -> None:
    writable = [*job["writable"], *devices()]
    lock(job["readable"], [*writable, os.path.dirname(job["report"])])
    guard(job["readable"], [*writable, job["report"], *([job["labels"]] if "labels" in job else [])], job["scratch"])


def _run_model(job: dict[str, Any], tell: Tell) -> None:
    begun = time.perf_counter()
    import numpy as np

    images = np.load(job["images"], allow_pickle=False)
    _confine(job)
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


def _run_script(job: dict[str, Any], tell: Tell) -> None:
    import runpy

    begun = time.perf_counter()
    _confine(job)
    os.chdir(job["working"])
    sys.argv = [job["script"]]
    try:
        runpy.run_path(job["script"], run_name="__main__")
    except SystemExit as error:
        if error.code not in (None, 0):
            raise
    tell(stage="done", seconds=time.perf_counter() - begun)


def peak() -> int:
    """Bytes of main memory that this process held at most."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except OSError:  # not Linux
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def devices() -> list[str]:
    """Those that code may read and write: what no machine lacks, and graphics cards."""
    return [*DEVICES, *(name for pattern in GRAPHICS for name in glob.glob(pattern))]


def guard(readable: list[str], writable: list[str], scratch: str) -> None:
    """From now on refuse network, reads outside both lists and writes outside `writable`, as far as Python sees them.

    A file that is read elsewhere is not found, as it will not be on the server. Where `scratch` or one of `readable`
    lies in one of `writable`, such as in shared memory, it may not be written to.
    """
    written = tuple(map(os.path.realpath, writable))
    refused = tuple(map(os.path.realpath, [*readable, scratch]))
    read = (*readable, *refused[:-1], *written)

    def allowed(path: Any, roots: tuple[str, ...]) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return True  # a number: it was opened before
        named = os.fsdecode(path)
        # torch reads thousands of files through the environment's links: those are known by their names
        if roots is read and _below(os.path.abspath(named), roots):
            return True
        real = os.path.realpath(named)
        return _below(real, roots) and (roots is read or _nearest(real, written) >= _nearest(real, refused))

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
            target: Any = next((a for a in arguments if isinstance(a, str | bytes | tuple)), "")
            host: Any = target[0] if isinstance(target, tuple) and target else target
            if event == "socket.bind":
                return
            if getattr(arguments[0], "family", None) == LOCAL:
                host = os.fsdecode(target)
                if not host or host.startswith("\0") or allowed(host, written):
                    return
            raise ConnectionError(f"{ASKS}: {event[7:]} {host}")

    sys.addaudithook(hook)


def _below(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(root.rstrip(os.sep) + os.sep) for root in roots)


def _nearest(path: str, roots: tuple[str, ...]) -> int:
    """The length of the innermost root that the path is below; 0 for none."""
    return max((len(root) for root in roots if _below(path, (root,))), default=0)


def lock(readable: list[str], writable: list[str]) -> bool:
    """Have the kernel refuse all other reads and writes, of native code and child processes too; False where it can't.

    `writable` may be read too; what doesn't exist is left out. Newer kernels refuse signals to other processes, too.
    Landlock, Linux 5.13 and later: https://docs.kernel.org/userspace-api/landlock.html
    """
    if not sys.platform.startswith("linux"):
        return False
    system = ctypes.CDLL(None, use_errno=True)
    create, add, restrict = 444, 445, 446  # the same on every architecture
    version = system.syscall(create, None, 0, 1)
    if version < 1:
        return False
    read_file, read_folder = 1 << 2, 1 << 3
    change_file = 1 << 1 | (version >= 3) << 14  # write, and with later versions truncate
    # remove a folder or file, make anything; with later versions move between folders
    change = change_file | 0b111111111 << 4 | (version >= 2) << 13
    wanted = struct.pack("Q", read_file | read_folder | change)
    if version >= 6:  # no network rules; neither sockets with abstract names nor signals of others
        wanted += struct.pack("QQ", 0, 0b11)
    ruleset = system.syscall(create, wanted, len(wanted), 0)
    rules = [*((path, 0) for path in readable), *((path, change) for path in writable)]
    for path, rights in rules:
        if os.path.exists(path):
            rights |= read_file | read_folder
            rights &= -1 if os.path.isdir(path) else read_file | change_file
            there = os.open(path, os.O_PATH)
            system.syscall(add, ruleset, 1, struct.pack("=Qi", rights, there), 0)
            os.close(there)
    _prctl(NO_NEW_PRIVILEGES, 1)
    done = system.syscall(restrict, ruleset, 0) == 0
    os.close(ruleset)
    return done


def wall_off(writable: list[str], readable: list[str], memory: int) -> bool:
    """In a namespace of its own: all but `writable` is read-only, owners and times too, and shared memory is its own.

    readable: what stays where it is though it may lie in this machine's shared memory; memory: bytes that may lie in
    the new one. False where the system refuses it.
    """
    system = ctypes.CDLL(None, use_errno=True)
    new_mounts, private, whole, bind = 0x20000, 1 << 18, 1 << 14, 1 << 12
    change, here, all_below, read_only = 442, -100, 0x8000, 1

    def set_read_only(path: str, on: bool, how: int = 0) -> bool:
        wanted = struct.pack("QQQQ", read_only * on, read_only * (not on), 0, 0)
        return bool(system.syscall(change, here, path.encode(), how, wanted, len(wanted)) == 0)

    if system.unshare(new_mounts) or system.mount(None, b"/", None, private | whole, None):
        return False
    for folder in writable:
        system.mount(os.fsencode(folder), os.fsencode(folder), None, bind, None)
    done = set_read_only("/", True, all_below) and min(set_read_only(folder, False) for folder in writable)
    if os.path.isdir(SHARED):
        # it is held open, as the new memory hides it
        held = [(path, os.open(path, os.O_PATH)) for path in _in_shared_memory([*writable, *readable])]
        done &= system.mount(b"tmpfs", SHARED.encode(), b"tmpfs", 0, f"size={memory}".encode()) == 0
        for path, there in held:
            _make_like(path, os.stat(there).st_mode)
            done &= system.mount(f"/proc/self/fd/{there}".encode(), os.fsencode(path), None, bind | whole, None) == 0
            os.close(there)
    return done


def _in_shared_memory(paths: list[str]) -> list[str]:
    """Those of the paths, under each of their names, that lie there; none that lies in another of them."""
    shared = os.path.realpath(SHARED)
    named = {name for path in paths for name in (os.path.abspath(path), os.path.realpath(path))}
    inside = sorted(name for name in named if name != shared and _below(name, (shared,)) and os.path.exists(name))
    return [name for name in inside if not _below(os.path.dirname(name), tuple(inside))]


def _make_like(path: str, mode: int) -> None:
    """An empty folder, or an empty file, on which one of this mode can be mounted."""
    os.makedirs(path if stat.S_ISDIR(mode) else os.path.dirname(path), exist_ok=True)
    if not stat.S_ISDIR(mode):
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))


def _prctl(option: int, value: int) -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main()
