"""Functions compiled by numba: kept on the disk for the next process where that can be written to."""

from collections.abc import Callable
from typing import TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function, fastmath: bool = False) -> Function:
    """The function, compiled on its first call; anew in every process where neither the installation, nor a home, nor
    NUMBA_CACHE_DIR can be written to. fastmath: sums may be added up in any order.
    """
    try:
        made: Function = njit(cache=True, fastmath=fastmath)(function)
    except RuntimeError:  # numba finds no folder to keep it in
        made = njit(fastmath=fastmath)(function)
    return made
