"""Images that lie in files and are decoded when they are needed: what `load` may say in place of arrays."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.data.image_reading import Values, read_image
from toolkit.errors import UserError

# Of a path, the row in a file that holds several (-1: it holds one), and a length: an image may come at reduced scale
# while neither side gets shorter than that. It returns the image as it is stored, (h, w) or (h, w, channels)
Reader = Callable[..., np.ndarray]
# files that lie beside images, and not those of a folder of images
BESIDE = {".csv", ".tsv", ".txt", ".md", ".json", ".xml", ".yaml", ".yml", ".html", ".pdf", ".zip", ".ini", ".db"}
SHOWN = 5  # names in a message


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """N images in files.

    paths: a file each, in which image `rows` int64 (N,) is meant where it holds several (pages, rows of an array);
    None: each its whole file. read: a function of a module, as it is called in other processes; uint8 (h, w) or
    (h, w, channels), or with `values` numbers of any type, of which these two become 0 and 255, for all channels or a
    number for each. names: text (N,), what
    people call them; None: by their paths, within the folder of the organisers' files. options: further arguments of
    `read`, by name: text, numbers, None.
    """

    paths: Sequence[Path]
    rows: np.ndarray | None = None
    read: Reader = read_image
    values: Values | None = None
    names: np.ndarray | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what, given in (("rows", self.rows), ("names", self.names)):
            if given is not None and len(given) != len(self.paths):
                raise UserError(f"ImageFiles: {len(self.paths):,} paths and {len(given):,} {what}; need as many")
        if self.values is not None and not (np.isfinite(apart := np.subtract(*self.values)) & (apart != 0)).all():
            raise UserError(
                f"ImageFiles: values={self.values}, expected two different numbers: what becomes 0 and 255"
            )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, at: slice | np.ndarray) -> "ImageFiles":
        rows, names = (None if kept is None else kept[at] for kept in (self.rows, self.names))
        paths = self.paths[at] if isinstance(at, slice) else [self.paths[place] for place in at.tolist()]
        return replace(self, paths=paths, rows=rows, names=names)

    @property
    def dtype(self) -> type:
        """Of the images once they are decoded: uint8, or float16 on the scale 0..255."""
        return np.uint8 if self.values is None else np.float16

    def stored(self, at: int, least: int = 0) -> np.ndarray:
        """Image `at` as its file has it, (h, w) or (h, w, channels), or smaller, but no side shorter than `least`."""
        row = -1 if self.rows is None else int(self.rows[at])
        return self.read(Path(self.paths[at]), row, least, **self.options)

    def named(self, folder: Path) -> np.ndarray:
        """Text (N,): their names, or paths within `folder`."""
        if self.names is not None:
            return self.names
        inside = [path.relative_to(folder) if path.is_relative_to(folder) else path for path in self.paths]
        texts = [path.as_posix() for path in inside]
        if self.rows is not None:
            texts = [f"{text}:{row}" for text, row in zip(texts, self.rows.tolist(), strict=True)]
        return np.array(texts, dtype=str)

    @property
    def file_names(self) -> np.ndarray:
        """Text (N,): the names of their files, with suffix and without folder."""
        return np.array([Path(path).name for path in self.paths], dtype=str)

    @property
    def stems(self) -> np.ndarray:
        """Text (N,): the names of their files, without suffix and folder."""
        return np.array([Path(path).stem for path in self.paths], dtype=str)

    def chosen(self, names: Sequence[str] | np.ndarray) -> "ImageFiles":
        """Those that are called so, in that order: `1`, `1.png`, or with as many folders as it takes, `cat/1.png`.

        UserError for names that none has, or two have.
        """
        known = [Path(path).as_posix() for path in self.paths] if self.names is None else self.names.tolist()
        depths = {name.count("/") for name in names}
        places: dict[str, int] = {}
        times: Counter[str] = Counter()
        for place, text in enumerate(known):
            parts = text.split("/")
            for depth in depths:
                whole = "/".join(parts[-depth - 1 :])
                for called in {whole, whole.removesuffix(Path(whole).suffix)}:
                    places[called] = place
                    times[called] += 1
        missing = [name for name in names if name not in places]
        if missing:
            some = ", ".join(missing[:SHOWN]) + (", …" if len(missing) > SHOWN else "")
            first = Path(known[0]) if known else Path("nothing")
            held = f"{first.parent} holds {first.name}" + (", …" if len(known) > 1 else "")
            raise UserError(f"{len(missing):,} of {len(names):,} images are not there: {some} ({held})")
        twice = next((name for name in names if times[name] > 1), None)
        if twice is not None:
            raise UserError(f"{times[twice]} images are called {twice!r}; call them by their folders as well")
        return self[np.array([places[name] for name in names], np.int64)]


def image_folder(folder: Path, pattern: str = "*", **given: Any) -> ImageFiles:
    """All images in a folder and the folders in it, by their paths' order; given: other fields of ImageFiles.

    pattern: of their files' names, `*.png`; with the usual one tables, texts and hidden files are no images. UserError
    where there is none.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder} {'is a file, expected' if folder.exists() else 'does not exist:'} a folder of images"
        )
    found = sorted(path for path in folder.rglob(pattern) if not path.name.startswith(".") and path.is_file())
    paths = [path for path in found if pattern != "*" or path.suffix.lower() not in BESIDE]
    if not paths:
        raise UserError(f"{folder} holds no image{'' if pattern == '*' else f' called {pattern}'}")
    return ImageFiles(paths, **given)


def class_folders(
    folder: Path, classes: Sequence[str], pattern: str = "*", **given: Any
) -> tuple[ImageFiles, np.ndarray]:
    """The images in a folder that has one for each class, and their labels int64 (N,); arguments as of `image_folder`.

    UserError for a class without a folder, and a folder that is no class.
    """
    images = image_folder(folder, pattern, **given)
    parts = [path.relative_to(folder).parts for path in images.paths]
    homes = [part[0] if len(part) > 1 else "" for part in parts]
    place = {name: at for at, name in enumerate(classes)}
    odd = next((at for at, home in enumerate(homes) if home not in place), None)
    if odd is not None:
        where = f"lies in {homes[odd]!r}" if homes[odd] else "lies in no folder of a class"
        raise UserError(f"{images.paths[odd]} {where}, expected {', '.join(classes)}")
    empty = [name for name in classes if name not in set(homes)]
    if empty:
        raise UserError(f"{folder} has no images in a folder {empty[0]!r}; it has {', '.join(sorted(set(homes)))}")
    return images, np.array([place[home] for home in homes], np.int64)
