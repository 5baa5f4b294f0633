"""Images that lie in files and are decoded when they are needed: what `load` may say in place of arrays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from toolkit.data.image_reading import read_image

# Of a path, the row in a file that holds several (-1: it holds one), and a length: an image may come at reduced scale
# while neither side gets shorter than that. It returns the image as it is stored, (h, w) or (h, w, channels)
Reader = Callable[[Path, int, int], np.ndarray]


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """N images in files.

    paths: a file each, in which image `rows` int64 (N,) is meant where it holds several (pages, rows of an array);
    None: each its whole file. read: a function of a module, as it is called in other processes; uint8 (h, w) or
    (h, w, channels), or with `values` numbers of any type, of which these two become 0 and 255. names: text (N,), what
    people call them; None: by their paths, within the folder of the organisers' files.
    """

    paths: Sequence[Path]
    rows: np.ndarray | None = None
    read: Reader = read_image
    values: tuple[float, float] | None = None
    names: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, at: slice) -> "ImageFiles":
        rows, names = (None if kept is None else kept[at] for kept in (self.rows, self.names))
        return replace(self, paths=self.paths[at], rows=rows, names=names)

    @property
    def dtype(self) -> type:
        """Of the images once they are decoded: uint8, or float16 on the scale 0..255."""
        return np.uint8 if self.values is None else np.float16

    def named(self, folder: Path) -> np.ndarray:
        """Text (N,): their names, or paths within `folder`."""
        if self.names is not None:
            return self.names
        inside = [path.relative_to(folder) if path.is_relative_to(folder) else path for path in self.paths]
        texts = [path.as_posix() for path in inside]
        if self.rows is not None:
            texts = [f"{text}:{row}" for text, row in zip(texts, self.rows.tolist(), strict=True)]
        return np.array(texts, dtype=str)
