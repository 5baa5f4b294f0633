"""A notebook submission handed in: its dataset, its notebook, the version that ran, and what it scored."""

import contextlib
import json
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolkit.disk import bytes_in, in_bytes
from toolkit.errors import UserError
from toolkit.kaggle.client import asked, status_of
from toolkit.outcome import duration
from toolkit.progress import SILENT, Progress
from toolkit.rules import Rules
from toolkit.store import read_json, write_others_json
from toolkit.submission.kaggle import Sleep, may_submit, scores_of

DATASET, NOTEBOOK = "dataset-metadata.json", "kernel-metadata.json"
ATTACH, QUEUE = 3600.0, 3600.0  # seconds at most until a dataset is ready; besides a run, for its queue
LIMIT = 9 * 3600.0  # seconds that a run may take where the rules don't say
PAUSE = 20.0  # seconds between two questions
LINES = 15  # the last ones of a log are shown


def upload_notebook(
    folder: Path,
    competition: str,
    message: str,
    rules: Rules,
    client: Any,
    taken: Callable[[], None],
    *,
    team: int | None = None,
    file_name: str = "submission.csv",
    progress: Progress = SILENT,
    sleep: Sleep = time.sleep,
) -> dict[str, str]:
    """Hand in what `folder` holds and return `public` and `private` as Kaggle shows them ("" if it doesn't).

    `dataset/` becomes a private dataset of whoever is logged in, unless Kaggle has one of that name: names end in a
    hash of what they hold. `kernel/` becomes a version of a notebook, which runs on the visible files; the version is
    submitted, `taken` is called, and the score of its run on the hidden files waited for. file_name: what the notebook
    writes. UserError where no submission is left, a rule is broken, Kaggle can't be reached or refuses, with its own
    reason, or where the notebook fails, with the last lines of its log.
    """
    may_submit(competition, rules, client, team, progress)
    user = client.get_config_value("username")
    if not user:
        raise UserError("Kaggle's client doesn't say who is logged in; run `kaggle auth login`")
    wait = (rules.submission_seconds or LIMIT) + QUEUE
    with tempfile.TemporaryDirectory() as scratch:
        dataset, kernel = _owned(folder, Path(scratch), user)
        _attach(dataset, message, competition, client, progress, sleep)
        pushed = _pushed(kernel, competition, client)
        found = re.search(r"/code/([^/?#]+/[^/?#]+)", pushed.url or "")  # where the title makes another address of it
        name = found[1] if found else str(read_json(kernel / NOTEBOOK)["id"])
    version = pushed.version_number
    progress.say(f"version {version} of {name} runs on the visible files: {pushed.url}")
    _run(f"{name}/{version}", competition, client, wait, sleep)
    answer = asked(
        lambda: client.competition_submit_code(
            file_name, message, competition, kernel=name, kernel_version=version, quiet=True
        ),
        competition,
    )
    what = f"version {version} of {name}"
    if not answer.ref:
        raise UserError(f"Kaggle did not take {what}: {answer.message or 'it gives no reason'}")
    taken()
    progress.say(f"submitted; waiting while Kaggle runs it on the hidden files (submission {answer.ref})")
    return scores_of(answer.ref, what, competition, client, wait, sleep)


def _owned(folder: Path, scratch: Path, user: str) -> tuple[Path, Path]:
    """Both folders with the user's name where theirs have another owner: links, as the folder is not to be changed."""
    dataset, kernel = scratch / "dataset", scratch / "kernel"
    for made in (dataset, kernel):
        made.mkdir()
        for path in (folder / made.name).resolve().iterdir():
            if path.name not in (DATASET, NOTEBOOK):
                (made / path.name).symlink_to(path)
    about, runs = read_json(folder / "dataset" / DATASET), read_json(folder / "kernel" / NOTEBOOK)
    before = about["id"]
    about["id"] = _of(user, before)
    runs["id"] = _of(user, runs["id"])
    runs["dataset_sources"] = [about["id"] if name == before else name for name in runs["dataset_sources"]]
    write_others_json(dataset / DATASET, about)
    write_others_json(kernel / NOTEBOOK, runs)
    return dataset, kernel


def _of(user: str, name: str) -> str:
    return f"{user}/{name.rpartition('/')[2]}"


def _attach(folder: Path, message: str, competition: str, client: Any, progress: Progress, sleep: Sleep) -> None:
    """Have the folder as a dataset that is ready."""
    name = read_json(folder / DATASET)["id"]
    status = _status(name, competition, client)
    given = {"quiet": True, "dir_mode": "zip"}  # Kaggle unpacks what was packed so
    refused = {403: f"Kaggle refuses the dataset {name} (403)", 404: f"Kaggle refuses the dataset {name} (404)"}
    if status == "ready":
        progress.say(f"the dataset {name} is on Kaggle already")
        return
    if status in ("", "deleted", "failed"):
        size = sum(bytes_in(path.resolve()) if path.is_dir() else path.stat().st_size for path in folder.iterdir())
        progress.say(f"uploading the dataset {name}, {in_bytes(size)}")
        if status == "failed":
            answer = asked(lambda: client.dataset_create_version(str(folder), message, **given), competition, refused)
        else:
            answer = asked(lambda: client.dataset_create_new(str(folder), **given), competition, refused)
        if answer.error or answer.status == "error":
            raise UserError(f"Kaggle did not take the dataset {name}: {answer.error or 'it gives no reason'}")
    waited = 0.0
    while waited <= ATTACH:
        try:
            status = _status(name, competition, client)
        except UserError:  # what can't be asked now can be asked later
            status = ""
        if status == "ready":
            return
        if status in ("failed", "deleted"):
            raise UserError(
                f"Kaggle could not read the dataset {name} ({status}): see https://www.kaggle.com/datasets/{name}"
            )
        sleep(PAUSE)
        waited += PAUSE
    raise UserError(
        f"Kaggle has not made the dataset {name} ready within {duration(ATTACH)}; the same command again goes on from "
        "there"
    )


def _status(name: str, competition: str, client: Any) -> str:
    """Of a dataset, in the client's words; empty: there is none, or none that may be seen."""

    def status() -> str:
        try:
            return str(client.dataset_status(name))
        except OSError as error:
            if status_of(error) in (403, 404):
                return ""
            raise

    return str(asked(status, competition))


def _pushed(folder: Path, competition: str, client: Any) -> Any:
    """What Kaggle says of the version that it made of the notebook."""
    refused = {403: "Kaggle refuses the notebook (403); has your account a verified phone number?"}
    pushed = asked(lambda: client.kernels_push(str(folder)), competition, refused)
    if pushed.error:
        raise UserError(f"Kaggle did not take the notebook: {pushed.error}")
    for what, names in (
        ("dataset", pushed.invalid_dataset_sources),
        (
            f"competition (accept its rules at https://www.kaggle.com/competitions/{competition}/rules)",
            pushed.invalid_competition_sources,
        ),
    ):
        if names:
            raise UserError(f"Kaggle could not attach {', '.join(names)} to the notebook: no such {what}")
    return pushed


def _run(name: str, competition: str, client: Any, wait: float, sleep: Sleep) -> None:
    """Wait until the notebook's version has run; UserError with the end of its log where it failed."""
    waited = 0.0
    while waited <= wait:
        try:
            answer = asked(lambda: client.kernels_status(name), competition)
            status = str(getattr(answer.status, "name", answer.status)).upper()
        except UserError:  # what can't be asked now can be asked later
            status = ""
        if status == "COMPLETE":
            return
        if status == "ERROR" or status.startswith("CANCEL"):
            reason = answer.failure_message or ("it was stopped" if status != "ERROR" else "it gives no reason")
            raise UserError(f"the notebook {name} failed on Kaggle: {reason}{_end_of_log(name, competition, client)}")
        sleep(PAUSE)
        waited += PAUSE
    raise UserError(f"the notebook {name} has not run within {duration(wait)}; see https://www.kaggle.com/code/{name}")


def _end_of_log(name: str, competition: str, client: Any) -> str:
    try:
        text = str(asked(lambda: client.kernels_logs(name), competition))
    except UserError:
        return f"; its log is at https://www.kaggle.com/code/{name}"
    with contextlib.suppress(ValueError, TypeError, KeyError):  # else they are lines already
        text = "".join(part["data"] for part in json.loads(text))
    lines = text.strip().splitlines()[-LINES:]
    return "\nits log ends so:\n" + "\n".join(f"  {line}" for line in lines) if lines else ""
