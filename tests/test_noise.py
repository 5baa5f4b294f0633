"""What libraries say to their developers doesn't reach who uses a command, unless it is asked for."""

import gc
import logging
import os
import signal
import subprocess
import sys
import time
import warnings

import pytest

from toolkit.noise import LOGGERS, silenced


def test_warnings_and_logs_of_libraries_are_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with silenced():
        warnings.warn("mean of an empty slice", RuntimeWarning, stacklevel=1)
        logging.getLogger(LOGGERS[0]).warning("No CUDA runtime is found")
        subprocess.run([sys.executable, "-c", "import warnings; warnings.warn('leaked semlock objects')"], check=True)
    assert capfd.readouterr().err == "" and "PYTHONWARNINGS" not in os.environ
    with pytest.warns(RuntimeWarning), silenced(debugged=True):
        warnings.warn("mean of an empty slice", RuntimeWarning, stacklevel=1)


def test_a_polite_end_is_as_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt), silenced():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_polite_end_that_python_would_swallow_comes_again(capfd: pytest.CaptureFixture[str]) -> None:
    class Ended:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0)

    def interrupted() -> None:
        with silenced():
            Ended()
            gc.collect()
            time.sleep(5)

    hook = sys.unraisablehook
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert capfd.readouterr().err == "" and sys.unraisablehook is hook
