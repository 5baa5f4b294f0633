"""Code of others that fails is named: file, line and function; and a command's fault of its own, too."""

import errno
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from toolkit.errors import UserError, others_code
from toolkit.faults import sentence

BROKEN = """import sys
def load(folder):
    return {"a": 1}["b"]
def leave(folder):
    sys.exit(7)
"""


def functions(folder: Path) -> dict[str, object]:
    file = folder / "__init__.py"
    file.write_text(BROKEN)
    found: dict[str, object] = {}
    exec(compile(BROKEN, str(file), "exec"), found)
    return found


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def load(folder):\n    images = 1\n    return imges\n", "name 'imges' is not defined; did you mean images?"),
        ("import math\ndef load(folder):\n    return math.sqr(2)\n", "has no attribute 'sqr'; did you mean sqrt?"),
        ("def load(folder):\n    return zzz\n", "name 'zzz' is not defined"),
    ],
)
def test_a_name_that_is_not_there_is_told_with_the_nearest_one(code: str, said: str, tmp_path: Path) -> None:
    found: dict[str, Any] = {}
    exec(compile(code, str(tmp_path / "__init__.py"), "exec"), found)
    with pytest.raises(UserError, match=rf"{re.escape(said)}$"), others_code("x", tmp_path):
        found["load"](tmp_path)


@pytest.mark.parametrize(
    ("name", "said"), [("load", "line 3 in load: KeyError: 'b'"), ("leave", "line 5 in leave: SystemExit: 7")]
)
def test_file_line_and_function_are_said_also_of_an_exit(name: str, said: str, tmp_path: Path) -> None:
    function = functions(tmp_path)[name]
    with pytest.raises(UserError) as caught, others_code("mars can't load data", tmp_path):
        function(tmp_path)  # type: ignore[operator]
    assert str(caught.value) == f"mars can't load data: {tmp_path / '__init__.py'}, {said}"


def test_errors_for_users_and_those_that_are_let_pass_as_they_are(tmp_path: Path) -> None:
    for error, let in ((UserError("as it is"), None), (KeyError("mine"), KeyError)):
        with pytest.raises(type(error)) as caught, others_code("x", tmp_path, let):
            raise error
        assert caught.value is error


def test_a_dangling_link_is_told_as_one(tmp_path: Path) -> None:
    link = tmp_path / "w"
    link.symlink_to(tmp_path / "gone")
    error = FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(link))
    assert sentence(error) == f"{link} is a link to {tmp_path / 'gone'}, where nothing is; mend or remove the link"


def test_a_name_error_that_somebody_raised_suggests_no_name() -> None:
    with pytest.raises(UserError) as caught, others_code("load fails", Path(__file__).parent):
        raise NameError("no such class")
    assert "no such class" in str(caught.value) and "did you mean" not in str(caught.value)


def test_what_nobody_foresaw_is_said_with_its_place() -> None:
    from toolkit.store import Workspace

    try:
        Workspace(Path("w"), "x").folder / 3  # type: ignore[operator]
    except TypeError as error:
        text = sentence(error)
    assert "the toolkit fails in " in text and "TypeError: " in text and "--report-bug" in text


def test_nothing_heavy_is_imported_for_it() -> None:
    import subprocess

    code = "import sys, toolkit.faults; assert not {'torch', 'pandas', 'numpy'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
