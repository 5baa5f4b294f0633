"""What an audit leaves in its folder of evidence, and reads again."""

from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pandas as pd

from toolkit import checked


def storing(path: Path) -> AbstractContextManager[Path]:
    """Where to write a file, which is there whole in the end, its hash noted."""
    return checked.noted(path, begin=True)


def stored_array(path: Path) -> np.ndarray:
    """The array in a .npy file, memory-mapped; UserError where it is damaged or gone."""
    return checked.opened(path, _anew(path))


def stored_arrays(path: Path, *names: str) -> dict[str, np.ndarray]:
    """Those of these names in an .npz file; UserError as of `stored_array`."""
    return checked.arrays(path, _anew(path), *names)


def stored_table(path: Path, *columns: str) -> pd.DataFrame:
    """A table with these columns; UserError as of `stored_array`."""
    return checked.table(path, _anew(path), *columns)


def _anew(path: Path) -> str:
    return f"remove {path.parent} and run `compete audit` again"
