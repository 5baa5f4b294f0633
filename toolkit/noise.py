"""What libraries say for their developers' ears; who uses a command can do nothing about it."""

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# PyTorch sets the levels of its own loggers when it is imported, but not of these
LOGGERS = ("torch.utils.cpp_extension", "torch._inductor", "torch._dynamo", "torch.distributed")


@contextmanager
def silenced(debugged: bool = False) -> Iterator[None]:
    """No warning or log of a library is printed meanwhile, also by processes that are begun; `debugged`: all are.

    A polite end (SIGTERM) is taken as ctrl-C: what is open is closed, so that nothing of it is complained about.
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

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
