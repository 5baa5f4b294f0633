"""Which modules of its own project a competition's code imports, anywhere in it: they have to travel with it."""

import ast
import sysconfig
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

ELSEWHERE = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")]


def project_modules(folder: Path) -> dict[str, Path]:
    """Files by the path that they have below the project's own root, of all code below a competition's folder; but for
    those in the folder itself.
    """
    found: dict[str, Path] = {}
    home = f"{folder.parent.name}/{folder.name}/"
    todo = sorted(folder.rglob("*.py"))
    while todo:
        for within, path in _imported(todo.pop()):
            if within not in found and folder not in path.parents and not within.startswith(home):
                found[within] = path
                todo.append(path)
    return dict(sorted(found.items()))


def _imported(file: Path) -> Iterator[tuple[str, Path]]:
    """Files of modules, and of the packages that they lie in."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, *below = name.split(".")
            for root in _roots(top):
                yield from _files_of(root, [top, *below])


def _roots(top: str) -> Iterator[Path]:
    """Where a name lies that isn't of Python, of a package that was installed, or this program's."""
    spec = None if top == "toolkit" else find_spec(top)
    if spec is None:
        return
    places = spec.submodule_search_locations or ([spec.origin] if spec.has_location and spec.origin else [])
    for place in places:
        root = Path(place).resolve().parent
        if not any(home in (root, *root.parents) for home in ELSEWHERE):
            yield root


def _files_of(root: Path, parts: list[str]) -> Iterator[tuple[str, Path]]:
    for depth in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:depth])
        for path in (place / "__init__.py", place.with_suffix(".py")):
            if path.is_file():
                yield path.relative_to(root).as_posix(), path
