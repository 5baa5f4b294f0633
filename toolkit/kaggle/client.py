"""Kaggle's official client: logged in, and its errors as one sentence each."""

import contextlib
import io
import sys
from collections.abc import Callable, Mapping
from typing import Any

from toolkit.disk import of_the_disk
from toolkit.errors import UserError


def kaggle_client() -> Any:
    """Kaggle's client, logged in; UserError where it isn't installed or nobody is."""
    quiet = contextlib.redirect_stdout(io.StringIO())  # without a login it prints a page of help, twice
    try:
        with quiet:
            from kaggle.api.kaggle_api_extended import KaggleApi
    except ImportError as error:
        raise UserError(
            f"Kaggle is reached through its client, which isn't here ({error}); install it with "
            "`pip install '.[kaggle]'`"
        ) from None
    client = KaggleApi()
    try:
        with quiet:
            client.authenticate()  # without a login it ends the program
    except (SystemExit, OSError, ValueError) as error:
        reason = f" ({line_of(error)})" if isinstance(error, Exception) else ""
        raise UserError(
            f"Kaggle knows no login of yours on this machine{reason}; run `kaggle auth login`, or put an API token "
            "from https://www.kaggle.com/settings into ~/.kaggle"
        ) from None
    return client


def asked(question: Callable[[], Any], competition: str, refused: Mapping[int, str] | None = None) -> Any:
    """The client's answer; UserError in place of what it raises about network, login and unknown names.

    refused: what else an HTTP status means to this question, by its number.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return question()
    except UserError:
        raise
    except (SystemExit, Exception) as error:
        status = status_of(error)
        page = f"https://www.kaggle.com/competitions/{competition}"
        meanings = {
            401: "Kaggle refuses the login; run `kaggle auth login` again",
            403: f"Kaggle refuses (403): accept the rules of {competition} at {page}/rules, and see that its name is "
            "the last part of its page's address",
            404: f"Kaggle knows no competition {competition!r}; its name is the last part of its page's address",
            429: "Kaggle asks for a pause, as too much was asked; try again in some minutes",
        } | dict(refused or {})
        if status in meanings:
            text = meanings[status]
        elif isinstance(error, OSError) and (reason := of_the_disk(error)):
            raise UserError(reason) from None
        elif status is None and isinstance(error, OSError):
            text = "Kaggle can't be reached (is there a network?)"
        else:
            text = "Kaggle's client failed"
        raise UserError(f"{text}: {line_of(error)}") from None


def status_of(error: BaseException) -> int | None:
    """The HTTP status that the client met."""
    status: int | None = getattr(getattr(error, "response", None), "status_code", None)
    return status


def line_of(error: BaseException) -> str:
    """The first line of what an error says."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
