"""A registered notebook handed in."""

from datetime import UTC, datetime

from toolkit.competition import Competition
from toolkit.errors import UserError
from toolkit.kaggle.client import kaggle_client
from toolkit.notebooks.bundle import BUNDLE
from toolkit.notebooks.upload import upload_notebook
from toolkit.outcome import Done
from toolkit.progress import SILENT, Progress
from toolkit.store import read_json
from toolkit.submission.ledger import Ledger, identity


def hand_in_notebook(
    competition: Competition, ledger: Ledger, name: str | None, *, team: int | None = None, progress: Progress = SILENT
) -> Done:
    """Attach, run and submit the notebook of that ID (none: the newest) through Kaggle's client, wait for its score and write it down.

    UserError where it isn't the one that was tried, and as `upload_notebook` says.
    """
    line = ledger.find(name)
    name, path = identity(line), ledger.file(line)
    if not ledger.is_whole(line):
        raise UserError(f"{path} is not the notebook that was tried any more; build it again")
    said = read_json(path / "dataset" / BUNDLE)

    def taken() -> None:
        ledger.update(name, {"uploaded": datetime.now(UTC).isoformat(timespec="seconds")})

    message = f"{name}, commit {line['commit'][:12]}, out of fold {line['clean']}"
    scores = upload_notebook(
        path,
        said["kaggle"],
        message,
        competition.rules,
        kaggle_client(),
        taken,
        team=team,
        file_name=said["file"],
        progress=progress,
    )
    ledger.update(name, scores)
    public, private = (scores[board] or "not shown" for board in ("public", "private"))
    return Done({"id": name, **scores}, [f"{name}: public score {public}, private {private}"])
