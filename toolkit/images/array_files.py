"""Images that are rows of one file: of .npy, .npz, HDF5, Parquet or CSV; none is read before it is needed."""

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from heapq import nlargest
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Protocol

import numpy as np

from toolkit.checked import DOWNLOAD, check_last_line
from toolkit.disk import of_the_machine
from toolkit.errors import UserError
from toolkit.images.arrays import Npz
from toolkit.images.files import ImageFiles
from toolkit.images.reading import decoded

OPEN = 4  # files that a process keeps open
TOGETHER = 1024  # columns of pixels that are read at a time


class Rows(Protocol):
    """N images: an array (h, w) or (h, w, channels) each, a row of pixels, their text, or the bytes of a file."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> Any: ...


def array_files(
    path: Path | Sequence[Path],
    key: str = "",
    shape: Sequence[int] | None = None,
    names: np.ndarray | str | None = None,
    channels_first: bool = False,
    **given: Any,
) -> ImageFiles:
    """The images in a file, or in several one behind another, by their rows; given: other fields of ImageFiles.

    key: of .npz and .h5 the array, which may be left out where there is one; of an .h5 that has a dataset for each
    image the group they are in. Of .csv and .parquet the column that holds pixels as text or the bytes of a file, or
    what the names of the columns of pixels begin with; left out where these are called by numbers alone. shape: (h, w)
    or (h, w, channels) of pixels that lie in one row: where their columns are numbered, in the order of the numbers.
    names: as of ImageFiles, or of .csv and .parquet the column that has them. channels_first: images are
    (channels, h, w). UserError for a file that doesn't have them.
    """
    if not isinstance(path, Path):
        column = names if isinstance(names, str) else None
        parts = [array_files(one, key, shape, column, channels_first, **given) for one in path]
        if not parts:
            raise UserError("array_files has no file to read images from: nothing in the data is called so")
        joined = sum(parts[1:], parts[0])
        return replace(joined, names=names) if isinstance(names, np.ndarray) else joined
    options: dict[str, Any] = {"key": key} | ({} if shape is None else {"shape": list(shape)})
    options |= {"channels_first": True} if channels_first else {}
    rows = opened(path, key)
    if isinstance(rows, _Group):
        names = np.array(rows.names)
    elif isinstance(names, str):
        names = _column(path, names, rows)
    return ImageFiles([path] * len(rows), np.arange(len(rows)), read_row, names=names, options=options, **given)


def read_row(
    path: Path,
    row: int,
    least: int = 0,
    key: str = "",
    shape: Sequence[int] | None = None,
    channels_first: bool = False,
) -> np.ndarray:
    """Image `row` of a file as it is stored, channels last; whole numbers wider than they need be as uint8.

    ValueError where it has another number of pixels.
    """
    found = opened(path, key)[row]
    if isinstance(found, dict):  # as data sets of Hugging Face have it
        found = found["bytes"]
    if isinstance(found, str):
        found = np.array(found.split(), np.float64 if "." in found else np.int64)
    if isinstance(found, bytes):
        return decoded(found, least=least)
    image = np.asarray(found)
    if image.dtype.kind in "SV" and image.ndim == 0:
        return decoded(bytes(image), least=least)
    if image.ndim == 1 and shape is None and image.dtype == np.uint8:
        return decoded(image.tobytes(), least=least)
    if shape is not None:
        if image.size != np.prod(shape):
            raise ValueError(f"row {row} has {image.size} pixels, expected {' x '.join(map(str, shape))}")
        image = image.reshape(shape)
    if channels_first:
        image = np.ascontiguousarray(np.moveaxis(image, 0, -1))
    if (
        image.dtype in (np.int32, np.int64, np.uint32, np.uint64)
        and 0 <= image.min(initial=0) <= image.max(initial=0) <= 255
    ):
        return image.astype(np.uint8)
    return image


def opened(path: Path, key: str) -> Rows:
    if not path.is_file():
        raise UserError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}, expected a file of images")
    stat = path.stat()
    return _opened(path, key, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=OPEN)
def _opened(path: Path, key: str, changed: int, size: int) -> Rows:
    """Kept open, as opening costs more than a row."""
    kinds = {
        ".npy": _npy,
        ".npz": _npz,
        ".h5": _hdf5,
        ".hdf5": _hdf5,
        ".hdf": _hdf5,
        ".parquet": _Parquet,
        ".csv": _csv,
    }
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise UserError(f"{path} has no known suffix, expected {', '.join(kinds)}")
    try:
        return kind(path, key)
    except (UserError, MemoryError):
        raise
    except Exception as error:  # of libraries that read it
        if of_the_machine(error):
            raise
        raise UserError(f"{path} can't be read: {' '.join(str(error).split())}") from None


def _npy(path: Path, key: str) -> Rows:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        if "objects in dtype" not in str(error):
            raise
        raise UserError(f"{path} holds pickled objects, which can run code and are not loaded; save numbers") from None


def _npz(path: Path, key: str) -> Rows:
    """In memory where it is packed, else from the disk."""
    file = Npz(path)
    key = key or _only(path, file.keys)
    with zipfile.ZipFile(path) as archive:
        member = archive.NameToInfo.get(f"{key}.npy")
    if member is None or member.compress_type != zipfile.ZIP_STORED:
        return file[key]
    with open(path, "rb") as raw:
        raw.seek(member.header_offset + 26)  # of a zip's local header: the lengths of name and extra field
        lengths = np.frombuffer(raw.read(4), "<u2")
        raw.seek(int(lengths.sum()), 1)
        version = np.lib.format.read_magic(raw)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(raw)
        if dtype.hasobject:
            return file[key]
        return np.memmap(path, dtype, "r", raw.tell(), shape, "F" if fortran else "C")


class _Group:
    """A dataset for each image, by their names."""

    def __init__(self, group: Any) -> None:
        self.group, self.names = group, sorted(group)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, row: int, /) -> Any:
        return self.group[self.names[row]][()]


def _hdf5(path: Path, key: str) -> Rows:
    try:
        import h5py
    except ImportError:
        raise UserError(f"{path} is an HDF5 file, which needs `pip install h5py`") from None
    file = h5py.File(path, "r")
    if key and key not in file:
        raise UserError(f"{path} has no {key!r}, it has {', '.join(sorted(file)[:10])}")
    found = file[key] if key else file
    if not key and len(file) == 1:
        found = file[_only(path, sorted(file))]
    if isinstance(found, h5py.Dataset):
        return found
    kinds = {found[name].ndim for name in sorted(found)[:100] if isinstance(found[name], h5py.Dataset)}
    if not key and kinds - {0, 1}:  # arrays side by side, such as images and labels, and not encoded images
        raise UserError(f"{path} has {', '.join(sorted(file)[:10])}: say by `key` where the images are")
    return _Group(found)


class _Parquet:
    """Rows of a Parquet file. One row group of one file is in memory at a time: it may be all of a large file."""

    held: ClassVar[tuple["_Parquet | None", int, Any]] = (None, -1, None)  # of which file, which group, its rows
    lock: ClassVar[Lock] = Lock()  # threads read beside each other

    def __init__(self, path: Path, key: str) -> None:
        import pyarrow.parquet as parquet

        self.file = parquet.ParquetFile(path)
        self.columns = _pixel_columns(path, self.file.schema_arrow.names, key)
        sizes = [self.file.metadata.row_group(group).num_rows for group in range(self.file.num_row_groups)]
        self.ends = np.cumsum(sizes)

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def __getitem__(self, row: int, /) -> Any:
        group = int(np.searchsorted(self.ends, row, side="right"))
        with _Parquet.lock:
            if _Parquet.held[:2] != (self, group):
                _Parquet.held = (None, -1, None)  # before the next is read
                _Parquet.held = (self, group, self._read(group))
            rows = _Parquet.held[2]
        found = rows[row - (int(self.ends[group - 1]) if group else 0)]
        return found if len(self.columns) > 1 else found.as_py()

    def _read(self, group: int) -> Any:
        if len(self.columns) == 1:
            return self.file.read_row_group(group, self.columns).column(0)
        made = np.empty((self.file.metadata.row_group(group).num_rows, len(self.columns)), np.uint8)
        for first in range(0, len(self.columns), TOGETHER):  # all at once would be in memory twice
            table = self.file.read_row_group(group, self.columns[first : first + TOGETHER])
            part = np.stack([column.to_numpy() for column in table.columns], axis=1)
            made = made.astype(np.result_type(made, part), copy=False)
            made[:, first : first + TOGETHER] = part
        return made

    @property
    def nbytes(self) -> int:
        """Of what is in memory at a time."""
        groups = [self.file.metadata.row_group(at) for at in range(self.file.num_row_groups)]
        if len(self.columns) == 1:
            return max((group.total_byte_size for group in groups), default=0)
        width = self.file.schema_arrow.field(self.columns[0]).type.bit_width // 8
        return max((group.num_rows for group in groups), default=0) * width * len(self.columns)


def bytes_in_each(images: ImageFiles) -> int:
    """What each process that decodes them holds in memory, of files that are read as a whole or in large parts."""
    if getattr(images.read, "function", images.read) is not read_row:
        return 0
    key = str(images.options.get("key", ""))
    sizes = [_held(Path(path), opened(Path(path), key)) for path in dict.fromkeys(map(str, images.paths))]
    return max(max((group for group, _ in sizes), default=0), sum(nlargest(OPEN, (array for _, array in sizes))))


def _held(path: Path, rows: Rows) -> tuple[int, int]:
    """Bytes of a file's largest row group, of which all files together have one in memory, and of its array."""
    if isinstance(rows, _Parquet):
        return rows.nbytes, 0
    if not isinstance(rows, np.ndarray) or isinstance(rows, np.memmap):
        return 0, 0
    return 0, max(rows.nbytes, path.stat().st_size) if rows.dtype.hasobject else rows.nbytes  # of texts: their letters


def let_go() -> None:
    """Of what was read of Parquet files nothing stays in memory."""
    with _Parquet.lock:
        _Parquet.held = (None, -1, None)


def _column(path: Path, name: str, rows: Rows) -> np.ndarray:
    """Text (N,): a column of a .csv or .parquet file."""
    import pandas as pd

    if isinstance(rows, _Parquet) and name in rows.file.schema_arrow.names:
        return rows.file.read([name]).column(0).to_pandas().to_numpy(str)
    try:
        return pd.read_csv(path, usecols=[name], dtype=str, na_filter=False)[name].to_numpy(str)
    except ValueError:
        raise UserError(f"{path} has no column {name!r} that could name its images") from None


def _csv(path: Path, key: str) -> Rows:
    """In memory."""
    import pandas as pd

    check_last_line(path, DOWNLOAD)
    columns = _pixel_columns(path, list(pd.read_csv(path, nrows=0).columns), key)
    table = pd.read_csv(path, usecols=columns)  # in the file's order
    return table[columns[0]].to_numpy() if len(columns) == 1 else table[columns].to_numpy()


def _pixel_columns(path: Path, names: list[str], key: str) -> list[str]:
    found = [key] if key in names else [name for name in names if key and name.startswith(key)]
    found = found or [name for name in names if not key and name.isascii() and name.isdecimal()]
    if not found:
        shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        raise UserError(f"{path} has the columns {shown}: say by `key` which hold the pixels")
    numbered = [name for name in found if name[len(key) :].isascii() and name[len(key) :].isdecimal()]
    found = numbered if len(numbered) > 1 else found  # `p0`, `p1`, …, and not `patient`
    numbers = [name[len(key) :] for name in found]
    if all(number.isascii() and number.isdecimal() for number in numbers):  # sorted as text, 10 comes before 2
        found.sort(key=lambda name: int(name[len(key) :]))
    return found


def _only(path: Path, keys: list[str]) -> str:
    if len(keys) != 1:
        raise UserError(f"{path} has {', '.join(keys[:10]) or 'nothing'}: say by `key` where the images are")
    return keys[0]
