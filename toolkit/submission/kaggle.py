"""A checked submission handed in through Kaggle's official client (the extra `kaggle`), its score waited for."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from toolkit.errors import UserError
from toolkit.kaggle.client import asked
from toolkit.outcome import are
from toolkit.progress import SILENT, Progress
from toolkit.rules import Rules

WAIT, PAUSE = 1800.0, 10.0  # seconds to wait for the outcome, and between two questions
Sleep = Callable[[float], None]


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
    sleep: Sleep = time.sleep,
) -> dict[str, str]:
    """Upload, wait for the outcome, and return `public` and `private` as Kaggle shows them ("" if it doesn't).

    Today's submissions are read first; `taken` is called when Kaggle has the file, however long it takes to
    score it. Raises UserError if none is left, a rule is broken, Kaggle can't be reached, or it refuses the file, with
    Kaggle's own reason.
    """
    may_submit(competition, rules, client, team, progress)
    notebooks = {400: "Kaggle refuses the file (400), as it does where notebooks alone are taken: submit --notebook"}
    answer = asked(
        lambda: client.competition_submit(str(path), message, competition, quiet=True), competition, notebooks
    )
    if not answer.ref:
        raise UserError(f"Kaggle did not take {path}: {answer.message or 'the upload failed'}")
    taken()
    progress.say(f"uploaded; waiting for Kaggle to score it (submission {answer.ref})")
    with progress.phase("waiting for Kaggle's score"):
        return scores_of(answer.ref, str(path), competition, client, WAIT, sleep)


def may_submit(competition: str, rules: Rules, client: Any, team: int | None, progress: Progress) -> None:
    """UserError where a rule is broken or Kaggle allows no submission now; says how many are left."""
    limits = asked(lambda: client.competition_get_submission_limits(competition), competition)
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


def scores_of(ref: int, what: str, competition: str, client: Any, wait: float, sleep: Sleep) -> dict[str, str]:
    """`public` and `private` of a submission that Kaggle has taken, once it has scored it.

    ref: its number there; wait: seconds at most. UserError with Kaggle's reason where it can't be scored, or after
    that time.
    """
    waited = 0.0
    while waited <= wait:
        try:
            listed = asked(lambda: client.competition_submissions(competition), competition) or []
        except UserError:  # it is taken; what can't be asked now can be asked later
            listed = []
        mine = next((one for one in listed if one is not None and one.ref == ref), None)
        status = str(getattr(mine.status, "name", mine.status)).upper() if mine is not None else "PENDING"
        if mine is not None and status == "ERROR":
            raise UserError(f"Kaggle could not score {what}: {mine.error_description or 'it gives no reason'}")
        if mine is not None and status == "COMPLETE":
            return {"public": mine.public_score or "", "private": mine.private_score or ""}
        sleep(PAUSE)
        waited += PAUSE
    raise UserError(
        f"Kaggle has taken {what} (submission {ref}) but not scored it within {wait / 60:.0f} minutes; "
        "record the score with --score when it shows it"
    )
