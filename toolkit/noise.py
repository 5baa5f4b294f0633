"""What libraries say for their developers' ears; who uses a command can do nothing about it."""

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

SOON = 0.1  # seconds
# PyTorch sets the levels of its own loggers when it is imported, but not of these
LOGGERS = ("torch.utils.cpp_extension", "torch._inductor", "torch._dynamo", "torch.distributed")


@contextmanager
def silenced(debugged: bool = False) -> Iterator[None]:
    """No warning or log of a library is printed meanwhile, also by processes that are begun; `debugged`: all are.

    A polite end (SIGTERM) is taken as ctrl-C: what is open is closed, so that nothing of it is complained about. Where
    either comes while something is taken away, when Python only prints it and goes on, it comes once more.
    """
    if debugged:
        yield
        return
    before, levels = os.environ.get("PYTHONWARNINGS"), {name: logging.getLogger(name).level for name in LOGGERS}
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), _ended_politely():
            if not sys.warnoptions:  # the user's own -W
                warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if before is None:
            os.environ.pop("PYTHONWARNINGS", None)


@contextmanager
def _ended_politely() -> Iterator[None]:
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:  # somebody else's
        yield
        return

    def end(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    def once_more() -> None:
        if signal.getsignal(signal.SIGTERM) is end:
            os.kill(os.getpid(), signal.SIGTERM)

    def unraisable(lost: "sys.UnraisableHookArgs") -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            later = threading.Timer(SOON, once_more)
            later.daemon = True
            later.start()
        else:
            told(lost)

    told, sys.unraisablehook = sys.unraisablehook, unraisable
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.unraisablehook = told
