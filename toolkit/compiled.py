"""Functions compiled by numba: kept on the disk for the next process where that can be written to."""

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any], fastmath: bool = False) -> Any:
    """The function, compiled on its first call; anew in every process where neither the installation, nor a home, nor
    NUMBA_CACHE_DIR can be written to. fastmath: sums may be added up in any order.
    """
    try:
        return njit(cache=True, fastmath=fastmath)(function)
    except RuntimeError:  # numba finds no folder to keep it in
        return njit(fastmath=fastmath)(function)
