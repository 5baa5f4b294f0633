"""The face of the toolkit: one place for names, and nothing heavy until one is used."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import toolkit
from tests.conftest import ROOT


def face() -> dict[str, str]:
    """What editors are told: the home of each name."""
    tree = ast.parse(Path(toolkit.__file__).read_text(encoding="utf-8"))
    (told,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in told.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def test_every_name_that_editors_are_told_is_there() -> None:
    assert len(face()) > 40
    for name, home in face().items():
        assert name in dir(toolkit) and getattr(toolkit, name) is getattr(import_module(home), name)
    with pytest.raises(AttributeError, match="module 'toolkit' has no attribute 'Competitoin'"):
        getattr(toolkit, "Competitoin")  # noqa: B009 - as a name that is known it would not pass mypy


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("toolkit", ("torch", "numpy", "pandas")),
        ("toolkit, competitions.mars, competitions.blood_cells", ("torch", "cv2", "timm")),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_used(modules: str, absent: tuple[str, ...]) -> None:
    script = f"import sys, {modules}; print([name for name in {absent} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
