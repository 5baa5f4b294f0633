"""The code of a competition that a function is made of: whether it is still what built a network, or scored."""

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from toolkit.metrics.metric import Metric
from toolkit.metrics.organisers import Function
from toolkit.progress import Progress
from toolkit.store import hash_json, read_manifest

if TYPE_CHECKING:
    from toolkit.competition import Competition

CODE = "code"  # in the manifest of a trained fold


def code_of(function: Callable[..., Any], folder: Path) -> str:
    """12 hex digits that name a function's text and that of all it uses, as far as it is defined below `folder`.

    Functions and classes by their own text, whatever else is in their file; plain values by what they are.
    """
    parts: dict[str, str] = {}
    todo: list[tuple[str, Any]] = [("", function)]
    while todo:
        name, found = todo.pop()
        text = repr(found) if _is_plain(found) else ""
        if isinstance(found, ModuleType | FunctionType | type):
            module = found if isinstance(found, ModuleType) else sys.modules.get(found.__module__)
            file = Path(getattr(module, "__file__", None) or "/").resolve()
            if not file.is_relative_to(folder.resolve()):
                continue
            name = f"{file.relative_to(folder.resolve())} {getattr(found, '__qualname__', '')}"
            text = _text(found)
        if name not in parts:
            parts[name] = text
            todo += _used(found)
    return hash_json(parts)


def parts_of_code(function: Any, folder: Path) -> list[str]:
    """`code_of` it, its own text wherever it is defined (in a notebook, beside the folder), what a partial adds."""
    if isinstance(function, partial):
        return [*parts_of_code(function.func, folder), words(function.args), words(function.keywords)]
    return [code_of(function, folder), _text(function)]


def words(value: Any) -> str:
    """Its representation without addresses, which are others in each process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def metric_key(metric: Metric, folder: Path) -> str:
    """12 hex digits that name a metric: its kind and settings and, where it isn't the toolkit's own, its code."""
    code: list[Any] = []
    if isinstance(metric, Function):
        code = [metric.function, getattr(metric, "frame", None)]
    elif not type(metric).__module__.startswith("toolkit."):
        code = [type(metric)]
    parts = [parts_of_code(one, folder) for one in code if one is not None]
    return hash_json([metric.name, type(metric).__qualname__, words(metric), parts])


def _text(found: Any) -> str:
    try:
        return inspect.getsource(found)
    except (OSError, TypeError):  # made while the program runs
        return ""


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, [*value, *value.values()]))
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float | bool)


def _used(found: Any) -> Iterator[tuple[str, Any]]:
    """Names in the code of a function or of a class's methods, and the values that these stand for in its module."""
    if isinstance(found, dict | tuple | list):
        values = found.values() if isinstance(found, dict) else found
        yield from (("", one) for one in values if isinstance(one, FunctionType | type))
    if isinstance(found, ModuleType):
        yield from (("", one) for one in vars(found).values() if isinstance(one, FunctionType | type | ModuleType))
    functions = vars(found).values() if isinstance(found, type) else [found]
    for function in functions:
        if isinstance(function, FunctionType):
            for name in _names(function.__code__):
                if name in function.__globals__:
                    yield f"{function.__module__.rpartition('.')[2]} {name}", function.__globals__[name]


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


def tell_of_code(competition: "Competition", runs: Iterable[Path], progress: Progress) -> None:
    """Warn of runs, by their folders, whose networks were built by other code than `build_model` is of now."""
    now, changed = code_of(competition.build_model, competition.folder), []
    for run in runs:
        made_by = [(read_manifest(fold) or {}).get(CODE, now) for fold in run.glob("fold_*")]
        if any(code != now for code in made_by):
            changed.append(run.name)
    if changed:
        progress.warn(
            f"the code that builds networks in {competition.folder} has changed since {', '.join(changed)} was "
            "trained, and what is stored is of the code before: remove a run's folder to train it anew, or bring the "
            "old code back"
        )
