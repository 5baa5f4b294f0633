"""Where nothing can be kept on the disk, functions are compiled all the same."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from numba import njit

from toolkit.compiled import compiled
from toolkit.submission.clean_environment import cache_folder


def test_a_function_that_cannot_be_kept_is_compiled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(self: Any) -> None:
        raise RuntimeError("cannot cache function 'twice': no locator available")

    def twice(x: float) -> float:
        return 2 * x

    monkeypatch.setattr("numba.core.dispatcher.Dispatcher.enable_caching", nowhere)
    with pytest.raises(RuntimeError, match="no locator"):
        njit(cache=True)(twice)
    assert compiled(twice)(3.0) == 6.0


def test_without_a_home_the_cache_is_a_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache" / "neural-network-november"
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    assert cache_folder().parent == Path(tempfile.gettempdir())

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", unknown)
    assert cache_folder().parent == Path(tempfile.gettempdir())
