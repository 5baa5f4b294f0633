"""Images that lie in files and are decoded when they are needed: what `load` may say in place of arrays."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from os.path import splitext
from pathlib import Path
from typing import Any, cast
from unicodedata import normalize

import numpy as np

from toolkit.errors import UserError
from toolkit.images.reading import Values, read_image

# Of a path, the row in a file that holds several (-1: it holds one), and a length: an image may come at reduced scale
# while neither side gets shorter than that. It returns the image as it is stored, (h, w) or (h, w, channels)
Reader = Callable[..., np.ndarray]
SUFFIXES = {  # of images
    *(".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".jp2", ".avif", ".ppm", ".pgm", ".pbm"),
    *(".dcm", ".dicom"),
}
# files that lie beside images, and not those of a folder of images
BESIDE = {".csv", ".tsv", ".txt", ".md", ".json", ".xml", ".yaml", ".yml", ".html", ".pdf", ".zip", ".ini", ".db"}
SHOWN = 5  # names in a message


@dataclass(frozen=True)
class Paths(Sequence[Path]):
    """Paths of a million files, a Path only while one is looked at. texts: within the folder, or absolute."""

    folder: Path
    texts: Sequence[str]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return Paths(self.folder, self.texts[at])
        if isinstance(at, np.ndarray):
            return Paths(self.folder, [self.texts[place] for place in at.tolist()])
        return self.folder / self.texts[at]


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
        if isinstance(self.paths, Paths):
            paths: Sequence[Path] = self.paths[at]
        else:
            paths = self.paths[at] if isinstance(at, slice) else [self.paths[place] for place in at.tolist()]
        return replace(self, paths=paths, rows=rows, names=names)

    def __add__(self, others: "ImageFiles") -> "ImageFiles":
        """These images, then the others, which must be read in the same way."""
        for what in ("read", "values", "options"):
            if getattr(self, what) != getattr(others, what):
                raise UserError(f"ImageFiles that are joined differ in {what}; all images are read in one way")
        if (self.names is None) != (others.names is None):
            raise UserError("ImageFiles that are joined need names for both, or for none")
        rows = None
        if self.rows is not None or others.rows is not None:
            parts = [np.full(len(one), -1) if one.rows is None else one.rows for one in (self, others)]
            rows = np.concatenate(parts)
        names = None if self.names is None or others.names is None else np.concatenate([self.names, others.names])
        return replace(self, paths=[*self.paths, *others.paths], rows=rows, names=names)

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
        start = f"{folder.as_posix()}/"
        texts = [text.removeprefix(start) for text in self._texts]
        if self.rows is not None:
            places = zip(texts, self.rows.tolist(), strict=True)
            texts = [f"{text}:{row}" if row >= 0 else text for text, row in places]
        return np.array(texts, dtype=str)

    @property
    def _texts(self) -> list[str]:
        """Their paths as text."""
        if not isinstance(self.paths, Paths):
            return [Path(path).as_posix() for path in self.paths]
        start = f"{self.paths.folder.as_posix()}/"
        return [text if text.startswith("/") else start + text for text in self.paths.texts]

    @property
    def file_names(self) -> np.ndarray:
        """Text (N,): the names of their files, with suffix and without folder."""
        return np.array([text.rpartition("/")[2] for text in self._texts], dtype=str)

    @property
    def stems(self) -> np.ndarray:
        """Text (N,): the names of their files, without suffix and folder."""
        return np.array([splitext(text.rpartition("/")[2])[0] for text in self._texts], dtype=str)

    def chosen(self, names: Sequence[str] | np.ndarray) -> "ImageFiles":
        """Those that are called so, in that order: `1`, `1.png`, or with as many folders as it takes, `cat/1.png`. A
        name that none has is looked for as `spelled`, and without its suffix, if that is one of images.

        UserError for names that none has, or two have.
        """
        other = next((name for name in names if not isinstance(name, str)), None)
        if other is not None:
            raise UserError(
                f"the name {other} of an image is a {type(other).__name__}, no text: target_table or "
                "pd.read_csv(…, dtype=str) keep zeros before a number"
            )
        found = self._rows_of(names)
        missing = [name for name, (_, times) in zip(names, found, strict=True) if not times]
        if missing:
            known = self._texts if self.names is None else self.names.tolist()
            some = ", ".join(missing[:SHOWN]) + (", …" if len(missing) > SHOWN else "")
            first = Path(known[0]) if known else Path("nothing")
            held = f"{first.parent} holds {first.name}" + (", …" if len(known) > 1 else "")
            raise UserError(f"{len(missing):,} of {len(names):,} images are not there: {some} ({held})")
        twice = next((at for at, (_, times) in enumerate(found) if times > 1), None)
        if twice is not None:
            number, called = found[twice][1], str(names[twice])
            raise UserError(f"{number} images are called {called!r}; call them by their folders as well")
        return self[np.array([row for row, _ in found], np.int64)]

    def has(self, names: Sequence[str] | np.ndarray) -> np.ndarray:
        """bool (N,): which of these names `chosen` finds."""
        return np.array([times > 0 for _, times in self._rows_of(names)], bool)

    def _rows_of(self, names: Sequence[str] | np.ndarray) -> list[tuple[int, int]]:
        """A row of each name, and how many images are called so."""
        known: list[str] = self._texts if self.names is None else self.names.tolist()
        rows = _rows_by_name(known, names)
        if all(name in rows for name in names):
            return [rows[name] for name in names]
        plain = [spelled(name) for name in names]
        bare = [start if end in SUFFIXES else name for name in plain for start, end in (splitext(name),)]
        alike = _rows_by_name([spelled(text) for text in known], [*plain, *bare])
        ways = zip(names, plain, bare, strict=True)
        return [rows.get(name) or alike.get(other) or alike.get(third) or (-1, 0) for name, other, third in ways]


def spelled(name: str) -> str:
    """A name in one spelling: small letters, `/` for `\\`, accents as one letter, which files of a Mac have as two."""
    return normalize("NFC", name.strip()).casefold().replace("\\", "/")


def _rows_by_name(known: Sequence[str], names: Sequence[str] | np.ndarray) -> dict[str, tuple[int, int]]:
    """Of what images are called, with as many folders as one of the names has, with suffix and without: the last row,
    and how many are called so.
    """
    depths = {name.count("/") for name in names}
    deepest = max(depths, default=0) + 1
    rows: dict[str, tuple[int, int]] = {}
    for row, text in enumerate(known):
        parts = text.rsplit("/", deepest)
        for depth in depths:
            whole = "/".join(parts[-depth - 1 :])
            for called in {whole, splitext(whole)[0]}:
                rows[called] = (row, rows.get(called, (0, 0))[1] + 1)
    return rows


def image_folder(folder: Path, pattern: str = "*", **given: Any) -> ImageFiles:
    """All images in a folder and the folders in it, by their paths' order; given: other fields of ImageFiles.

    pattern: of their files' names, `*.png`; with the usual one tables, texts and hidden files are no images. UserError
    where there is none.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder} {'is a file, expected' if folder.exists() else 'does not exist:'} a folder of images"
        )
    texts = sorted(_files_in(str(folder), "", pattern))
    if not texts:
        raise UserError(f"{folder} holds no image{'' if pattern == '*' else f' called {pattern}'}")
    return ImageFiles(Paths(folder, texts), **given)


def _files_in(folder: str, inside: str, pattern: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _files_in(entry.path, f"{inside}{entry.name}/", pattern)
            elif pattern == "*":
                if splitext(entry.name)[1].lower() not in BESIDE:
                    yield inside + entry.name
            elif fnmatch(entry.name, pattern):
                yield inside + entry.name


def class_folders(
    folder: Path, classes: Sequence[str], pattern: str = "*", **given: Any
) -> tuple[ImageFiles, np.ndarray]:
    """The images in a folder that has one for each class, and their labels int64 (N,); arguments as of `image_folder`.

    UserError for a class without a folder, and a folder that is no class.
    """
    images = image_folder(folder, pattern, **given)
    texts = cast(Paths, images.paths).texts
    homes = [text.partition("/")[0] if "/" in text else "" for text in texts]
    place = {name: at for at, name in enumerate(classes)}
    odd = next((at for at, home in enumerate(homes) if home not in place), None)
    if odd is not None:
        where = f"lies in {homes[odd]!r}" if homes[odd] else "lies in no folder of a class"
        raise UserError(f"{images.paths[odd]} {where}, expected {', '.join(classes)}")
    empty = [name for name in classes if name not in set(homes)]
    if empty:
        raise UserError(f"{folder} has no images in a folder {empty[0]!r}; it has {', '.join(sorted(set(homes)))}")
    return images, np.array([place[home] for home in homes], np.int64)
