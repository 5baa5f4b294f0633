"""Hand a checked submission in through Kaggle's official client (the extra `kaggle`)."""

import contextlib
import io
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from toolkit.errors import UserError
from toolkit.outcome import are
from toolkit.progress import SILENT, Progress
from toolkit.rules import Rules

WAIT, PAUSE = 1800.0, 10.0  # seconds to wait for the outcome, and between two questions


def kaggle_client() -> Any:
    """Kaggle's client, logged in; UserError where it isn't installed or nobody is."""
    quiet = contextlib.redirect_stdout(io.StringIO())  # without a login it prints a page of help, twice
    try:
        with quiet:
            from kaggle.api.kaggle_api_extended import KaggleApi
    except ImportError as error:
        raise UserError(
            f"uploading needs Kaggle's client ({error}); install it with `pip install -e .[kaggle]`"
        ) from None
    client = KaggleApi()
    try:
        with quiet:
            client.authenticate()  # without a login it ends the program
    except (SystemExit, OSError, ValueError) as error:
        reason = f" ({_line(error)})" if isinstance(error, Exception) else ""
        raise UserError(
            f"Kaggle knows no login of yours on this machine{reason}; run `kaggle auth login`, or put an API token "
            "from https://www.kaggle.com/settings into ~/.kaggle"
        ) from None
    return client


def upload_to_kaggle(
    path: Path,
    competition: str,
    message: str,
    rules: Rules,
    client: Any,
    taken: Callable[[], None],
    *,
    team: int | None = None,
    progress: Progress = SILENT,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, str]:
    """Upload, wait for the outcome, and return `public` and `private` as Kaggle shows them ("" if it doesn't).

    Today's submissions are read first; `taken` is called when Kaggle has the file, however long it takes to
    score it. Raises UserError if none is left, a rule is broken, Kaggle can't be reached, or it refuses the file, with
    Kaggle's own reason.
    """
    limits = _ask(lambda: client.competition_get_submission_limits(competition), competition)
    rules.check_upload(int(limits.num_today), datetime.now(UTC), team)
    if limits.num_allowed_now < 1:
        if not limits.num_today and not limits.num_total:
            raise UserError(
                f"Kaggle allows no submission to {competition}: you have not joined it; accept its rules at "
                f"https://www.kaggle.com/competitions/{competition}/rules"
            )
        raise UserError(
            f"Kaggle allows no further submission to {competition} today: {limits.num_today} were made; wait a day"
        )
    progress.say(f"{are(limits.num_allowed_now, 'submission')} left today, this one included")
    answer = _ask(lambda: client.competition_submit(str(path), message, competition, quiet=True), competition)
    if not answer.ref:
        raise UserError(f"Kaggle did not take {path}: {answer.message or 'the upload failed'}")
    taken()
    progress.say(f"uploaded; waiting for Kaggle to score it (submission {answer.ref})")
    waited = 0.0
    while waited <= WAIT:
        try:
            listed = _ask(lambda: client.competition_submissions(competition), competition) or []
        except UserError:  # it is taken; what can't be asked now can be asked later
            listed = []
        mine = next((one for one in listed if one is not None and one.ref == answer.ref), None)
        status = str(getattr(mine.status, "name", mine.status)).upper() if mine is not None else "PENDING"
        if mine is not None and status == "ERROR":
            raise UserError(f"Kaggle could not score {path}: {mine.error_description or 'it gives no reason'}")
        if mine is not None and status == "COMPLETE":
            return {"public": mine.public_score or "", "private": mine.private_score or ""}
        sleep(PAUSE)
        waited += PAUSE
    raise UserError(
        f"Kaggle has taken {path} (submission {answer.ref}) but not scored it within {WAIT / 60:.0f} minutes; "
        "record the score with --score when it shows it"
    )


def _ask(question: Callable[[], Any], competition: str) -> Any:
    """The client's answer; UserError in place of what it raises about network, login and unknown names."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return question()
    except (SystemExit, Exception) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            text = f"Kaggle refuses the login or you have not joined {competition} ({status})"
        elif status == 404:
            text = f"Kaggle knows no competition {competition!r}"
        elif status is None and isinstance(error, OSError):
            text = "Kaggle can't be reached (is there a network?)"
        else:
            text = "Kaggle's client failed"
        raise UserError(f"{text}: {_line(error)}") from None


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
