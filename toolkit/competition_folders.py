"""Where competitions lie: in ./competitions, in any folder that is named, and in the package itself."""

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from toolkit.errors import UserError

HERE = Path("competitions")
PACKAGE = Path(__file__).parent
SHIPPED = PACKAGE / "shipped" / "competitions"  # where a wheel puts them
# of a checkout, from whatever folder, those beside the toolkit
HOMES = (HERE, SHIPPED if SHIPPED.is_dir() else PACKAGE.parent / "competitions")


def is_one(folder: Path) -> bool:
    """Does a package lie in that folder?"""
    return (folder / "__init__.py").is_file()


def competition_folders() -> dict[str, Path]:
    """Those that a name finds, each by its name: the first that has it, `./competitions` before the package's."""
    found: dict[str, Path] = {}
    for home in HOMES:
        for file in sorted(home.glob("*/__init__.py")):
            found.setdefault(file.parent.name, file.parent)
    return found


def folder_of(name: str | Path) -> Path:
    """The folder that a name, such as `mars`, or a path, such as `competitions/mars`, stands for, with an
    `__init__.py` in it.

    UserError, with what may be meant, where there is none.
    """
    path, known = Path(name), competition_folders()
    if is_one(path):
        return path
    if len(path.parts) == 1 and path.name in known:
        return known[path.name]
    if path.parent == HERE and path.name in known:  # as the documentation writes it, from a folder without it
        return known[path.name]
    raise UserError(f"{name} is not a competition{_lack(path)}; {_meant(path, known)}")


def _lack(path: Path) -> str:
    return ": it has no __init__.py" if path.is_dir() and path.name else ""


def _meant(path: Path, known: dict[str, Path]) -> str:
    beside = {one.parent.name: one.parent for one in path.absolute().parent.glob("*/__init__.py")}
    names = {**{name: str(path.parent / name) for name in beside if len(path.parts) > 1}, **{n: n for n in known}}
    near = get_close_matches(path.name.lower(), names, 1)
    if near:
        return f"did you mean {names[near[0]]}?"
    make = "`compete new NAME --data FOLDER` writes one"
    return f"there are {', '.join(names.values())}; {make}" if names else f"there is none here; {make}"


def called(folder: Path) -> str:
    """The shortest that finds a competition's folder again: its name, or its path."""
    whole, known = folder.resolve(), competition_folders().get(folder.name)
    if known is not None and known.resolve() == whole:
        return folder.name
    return str(whole.relative_to(Path.cwd())) if whole.is_relative_to(Path.cwd()) else str(whole)


def own_folder(folder: Path) -> Path:
    """Where a person's files of a competition lie: in its folder, but never in the package."""
    return HERE / folder.name if folder.resolve().is_relative_to(SHIPPED.resolve()) else folder


def data_folder(folder: Path) -> Path:
    """Where the organisers' files lie unless `--data` says it."""
    return own_folder(folder) / "data"


def here() -> Iterator[Path]:
    """The folders in ./competitions."""
    return (file.parent for file in sorted(HERE.glob("*/__init__.py")))
