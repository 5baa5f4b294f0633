"""The one exception that a user is meant to read, and what others become on their way to one."""

import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path


class UserError(Exception):
    """What the user gave cannot be used.

    The message is one sentence: which file or option, what was expected, what to do. Commands print it
    without a traceback and exit with `status`.
    """

    status = 1

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the sentence, and not where in the toolkit it was said."""
        return [f"error: {self}"]


class NotAgreedError(UserError):
    """What was asked for would undo work, and nobody has agreed to that yet: usage that lacks a word."""

    status = 2


class OutOfMemory(UserError):
    """A training that doesn't fit."""

    def __init__(self) -> None:
        super().__init__("it did not fit into memory; lower batch_size, images.size or model.input_scale")


@contextmanager
def others_code(what: str, folder: Path, let: type[Exception] | None = None) -> Iterator[None]:
    """UserError, one sentence, for whatever goes wrong in a competition's own code, `sys.exit` too.

    what: what can't be done for it, such as "mars can't load data"; folder: where the code lies; let: what it may
    raise.
    """
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if let is not None and isinstance(error, let):
            raise
        raise UserError(f"{what}: {said_by(error, folder)}") from error


def said_by(error: BaseException, folder: Path) -> str:
    """What went wrong in code that isn't ours, as one line: file under `folder`, line, function, kind, reason."""
    reason = " ".join(_suggested(error).split()) or "no reason given"
    if isinstance(error, SyntaxError):  # has the line itself, no frame
        return f"{error.filename}, line {error.lineno}: {error.msg}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _within(frame.filename, folder)]
    where = f"{frames[-1].filename}, line {frames[-1].lineno}{_within_function(frames[-1].name)}: " if frames else ""
    return f"{where}{type(error).__name__}: {reason}"


def _suggested(error: BaseException) -> str:
    """What it says, and for a name that isn't there the one that may be meant, as Python's own tracebacks end."""
    text = str(error)
    if isinstance(error, NameError | AttributeError | ImportError) and error.__traceback__ is not None:
        (*_, last) = traceback.TracebackException(type(error), error, error.__traceback__).format_exception_only()
        found = re.search(r"Did you mean: '(.+)'\?$", last.strip())
        near = found[1] if found else _near(error)
        return f"{text}; did you mean {near}?" if near else text
    return text


def _near(error: BaseException) -> str | None:
    """Before Python 3.12 tracebacks as text don't say it."""
    if getattr(error, "name", None) is None:  # somebody raised it, who named nothing
        return None
    frame = list(traceback.walk_tb(error.__traceback__))[-1][0]
    if isinstance(error, NameError):
        known = {**frame.f_builtins, **frame.f_globals, **frame.f_locals}
    elif isinstance(error, AttributeError):
        known = dict.fromkeys(dir(error.obj))
    else:
        return None
    found = get_close_matches(str(error.name), [name for name in known if isinstance(name, str)], 1, 0.7)
    return found[0] if found else None


def _within_function(name: str) -> str:
    """` in load`; nothing of what stands in no function."""
    return "" if name.startswith("<") else f" in {name}"


def harmless(text: str) -> str:
    """Text of others for the screen: what would steer a terminal is written as its code."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)


def _within(name: str, folder: Path) -> bool:
    return Path(name).is_relative_to(folder)


def listed(names: Sequence[object], written: Callable[[object], str] = str, most: int = 20) -> str:
    """Names in a sentence, of many the first ones and how many there are."""
    shown = ", ".join(map(written, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"
