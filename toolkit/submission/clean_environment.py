"""A clean interpreter that sees the allowed packages, what they require, and nothing else.

A virtual environment whose site-packages holds links to the installed distributions: the very versions that
the project runs, no download, and a second where installing PyTorch anew takes minutes and 5 GB. Built once
for each set of versions, and kept in the user's cache folder.
"""

import hashlib
import os
import platform
import sys
import tempfile
import venv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions, packages_distributions
from pathlib import Path, PurePath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from toolkit.errors import UserError
from toolkit.store import atomic

LAYOUT = 1  # raised when what is built here changes
SYSTEM = (  # folders of any machine: libraries, drivers; nothing that a user keeps
    *(f"{above}/{name}" for above in ("", "/usr", "/usr/local") for name in ("bin", "sbin", "lib", "lib32", "lib64")),
    *("/usr/libexec", "/usr/share", "/usr/local/share", "/usr/local/cuda", "/usr/local/nvidia"),
    *("/etc", "/proc", "/sys", "/nix/store", "/run/opengl-driver", "/System", "/Library"),
)


def clean_python(packages: Sequence[str]) -> Path:
    """The interpreter of an environment with `packages` and what they require.

    Raises UserError if one of them isn't installed here.
    """
    chosen = with_requirements(packages)
    key = [str(LAYOUT), sys.version, sys.prefix, *(f"{d.name}=={d.version} {d.locate_file('')}" for d in chosen)]
    name = hashlib.sha256("\n".join(key).encode()).hexdigest()[:16]
    folder = cache_folder() / "environments" / name
    python = folder / "bin" / "python"
    if not python.exists() or not all(link.exists() for link in _site_packages(folder).iterdir()):
        with atomic(folder) as partial:
            venv.EnvBuilder(symlinks=True, with_pip=False).create(partial)
            link(chosen, _site_packages(partial))
    return python


def readable(python: Path) -> list[Path]:
    """What an interpreter of `clean_python` and its packages read: itself, where its links lead, and the system."""
    folder = python.parent.parent
    site = _site_packages(folder)
    homes = dict.fromkeys([Path(sys.base_prefix).resolve(), Path(sys.base_exec_prefix).resolve()])
    own = [home / name for home in homes for name in ("bin", "lib", "lib64")]
    links = [path.resolve() for path in site.rglob("*") if path.is_symlink()]  # doesn't go into them
    libraries = [Path(name) for name in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if name]
    return [folder, *own, *links, *libraries, *map(Path, SYSTEM)]


def cache_folder() -> Path:
    """The user's cache; where there is no home that can be written to, one in the system's temporary folder."""
    name = "neural-network-november"
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / name
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (RuntimeError, OSError):  # no home is known, or nothing can be made in it
        pass
    return Path(tempfile.gettempdir()) / f"{name}-{os.getuid()}"


def with_requirements(packages: Iterable[str]) -> list[Distribution]:
    """The installed distributions of `packages`, given by import name, and of all that they require."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(name), True) for name in packages]
    while waiting:
        wanted, asked = waiting.pop()
        key = canonicalize_name(wanted.name)
        try:
            found[key] = distribution(wanted.name)
        except PackageNotFoundError:
            # an import name may be another than the distribution's: PIL comes with pillow
            homes = packages_distributions().get(wanted.name, []) if asked else []
            waiting += [(Requirement(home), True) for home in homes]
            if asked and not homes:
                raise UserError(
                    f"the package {wanted.name} is allowed on the server but not installed here; install it to try"
                ) from None
            continue  # a requirement that was left out on purpose when the package was installed
        for extra in {"", *wanted.extras}:
            if (key, extra) not in seen:
                seen.add((key, extra))
                needed = [Requirement(text) for text in found[key].requires or ()]
                chosen = [n for n in needed if n.marker is None or n.marker.evaluate({"extra": extra})]
                waiting += [(requirement, False) for requirement in chosen]
    return [found[key] for key in sorted(found)]


def _site_packages(folder: Path) -> Path:
    return folder / "lib" / f"python{'.'.join(platform.python_version_tuple()[:2])}" / "site-packages"


def link(chosen: Sequence[Distribution], target: Path) -> None:
    """Link the files of `chosen` into `target`; whole folders where no other distribution has a part in them."""
    names = {canonicalize_name(d.name) for d in chosen}
    owners: dict[PurePath, set[str]] = defaultdict(set)
    files: list[tuple[PurePath, Path]] = []
    for installed in distributions():
        name = canonicalize_name(installed.name)
        for file in installed.files or ():
            if ".." in file.parts or file.suffix in (".pth", ".pyc"):
                continue  # scripts, and lines that would open the environment to others
            for folder in PurePath(file).parents:
                owners[folder].add(name)
            if name in names:
                files.append((PurePath(file), Path(str(installed.locate_file(file)))))
    linked: set[PurePath] = set()
    for path, source in files:
        # the outermost folder that belongs to the chosen ones alone
        whole = [f for f in reversed(path.parents) if f != PurePath(".") and owners[f] <= names]
        place = whole[0] if whole else path
        if place in linked:
            continue
        linked.add(place)
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        up = len(path.parts) - len(place.parts)
        (target / place).symlink_to(source.parents[up - 1] if up else source)
