"""A registered submission handed in, and what the leaderboard said of it written down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from toolkit.competition import Competition
from toolkit.errors import UserError
from toolkit.outcome import Outcome
from toolkit.progress import SILENT, Progress
from toolkit.submission.kaggle import kaggle_client, upload_to_kaggle
from toolkit.submission.ledger import Ledger, identity


@dataclass(frozen=True, repr=False)
class HandedIn(Outcome):
    """A submission that Kaggle has scored, or that its user takes to the competition's page."""

    name: str
    path: Path
    competition: Competition
    kaggle: bool
    public: str
    private: str

    def told(self) -> Sequence[str]:
        if self.kaggle:
            return [f"{self.name}: public score {self.public or 'not shown'}, private {self.private or 'not shown'}"]
        return [f"open {self.competition.page}\nand hand in {self.path}"]

    def as_json(self) -> dict[str, Any]:
        place = {"id": self.name, "submission": str(self.path), "page": self.competition.page}
        return place | {"public": self.public, "private": self.private}


def upload(
    competition: Competition,
    ledger: Ledger,
    name: str | None = None,
    *,
    kaggle: str | None = None,
    team: int | None = None,
    progress: Progress = SILENT,
) -> HandedIn:
    """Hand the submission of that ID (none: the newest) in, through Kaggle's client or, elsewhere, by telling where.

    kaggle: the competition's name there; team: its members. UserError where no submission is left today, a rule is
    broken, the file isn't the one that was checked, Kaggle refuses it, or nobody knows where it is to go.
    """
    line = ledger.find(name)
    name, path = identity(line), ledger.file(line)
    if not ledger.is_whole(line):
        raise UserError(f"{path} is not the file that was checked any more; build it again")
    slug, now = kaggle or competition.kaggle, datetime.now(UTC)

    def taken() -> None:
        ledger.update(name, {"uploaded": now.isoformat(timespec="seconds")})

    if slug:
        message = f"{name}, commit {line['commit'][:12]}, out of fold {line['clean']}"
        scores = upload_to_kaggle(
            path, slug, message, competition.rules, kaggle_client(), taken, team=team, progress=progress
        )
        ledger.update(name, scores)
        return HandedIn(name, path.resolve(), competition, True, **scores)
    today = sum(line["uploaded"][:10] == str(now.date()) for line in ledger.lines)
    competition.rules.check_upload(today, now, team)
    if not competition.page:
        raise UserError(
            f"where {competition.name} takes submissions is not known: give its Kaggle name with --kaggle NAME, "
            f"or set page in {competition.folder / '__init__.py'}; the file is {path.resolve()}"
        )
    taken()
    return HandedIn(name, path.resolve(), competition, False, line["public"], line["private"])


@dataclass(frozen=True, repr=False)
class Recorded(Outcome):
    """Scores of the leaderboards `public` and `private` that were written into the line of a submission."""

    name: str
    scores: Mapping[str, float]

    def told(self) -> Sequence[str]:
        return [f"{self.name}: {board} score {score:g}" for board, score in self.scores.items()]

    def as_json(self) -> dict[str, Any]:
        return {"id": self.name, **self.scores}


def record_score(
    ledger: Ledger, name: str | None = None, *, public: float | None = None, private: float | None = None
) -> Recorded:
    """Write down what the leaderboard said of the submission of that ID (none: the newest)."""
    name = identity(ledger.find(name))
    scores = {board: score for board, score in (("public", public), ("private", private)) if score is not None}
    if not scores:
        raise UserError("--private needs a score: --private 0.64")
    ledger.update(name, {board: f"{score:g}" for board, score in scores.items()})
    return Recorded(name, scores)
