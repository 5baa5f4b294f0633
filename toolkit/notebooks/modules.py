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
    home, folder = f"{folder.parent.name}/{folder.name}/", folder.resolve()
    todo = [(folder.parent.parent, path) for path in sorted(folder.rglob("*.py"))]
    while todo:
        for root, path in _imported(*todo.pop()):
            within = path.relative_to(root).as_posix()
            if within not in found and folder not in path.parents and not within.startswith(home):
                found[within] = path
                todo.append((root, path))
    return dict(sorted(found.items()))


def _imported(root: Path, file: Path) -> Iterator[tuple[Path, Path]]:
    """Files of modules, and of the packages that they lie in, each behind the folder from which its name counts, as
    the file's own does from root.
    """
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        module = getattr(node, "module", None)
        level = getattr(node, "level", 0)  # dots before the name
        package = file.relative_to(root).parts[:-level] if level else ()
        if level and not package:  # above all packages, which Python refuses
            continue
        for alias in node.names:
            name = [*package, *(f"{module}.{alias.name}" if module else alias.name).split(".")]
            for place in [root] if level else _roots(name[0]):
                yield from ((place, path) for path in _files_of(place, name, len(package)))


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


def _files_of(root: Path, parts: list[str], known: int) -> Iterator[Path]:
    """known: so many parts name the package that a relative import starts at; those around that are known."""
    for depth in range(max(1, known), len(parts) + 1):
        place = root.joinpath(*parts[:depth])
        for path in (place / "__init__.py", place.with_suffix(".py")):
            if path.is_file():
                yield path
