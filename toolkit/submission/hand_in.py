"""A registered submission handed in, and what the leaderboard said of it written down."""

import math
import shlex
from datetime import UTC, datetime
from typing import Any

from toolkit.competition import Competition
from toolkit.errors import UserError
from toolkit.kaggle.client import kaggle_client
from toolkit.outcome import Done
from toolkit.progress import SILENT, Progress
from toolkit.submission.kaggle import upload_to_kaggle
from toolkit.submission.ledger import FORGOTTEN, Ledger, Line, identity

BESIDE = ("compete report", "sets it beside the CV score, and forecasts the next one")


def upload(
    competition: Competition,
    ledger: Ledger,
    name: str | None = None,
    *,
    kaggle: str | None = None,
    team: int | None = None,
    progress: Progress = SILENT,
) -> Done:
    """Hand the submission of that ID (none: the newest) in, through Kaggle's client or, elsewhere, by telling where.

    kaggle: the competition's name there; team: its members. UserError where no submission is left today, a rule is
    broken, the file isn't the one that was checked, Kaggle refuses it, or nobody knows where it is to go.
    """
    line = ledger.find(name)
    name, path = identity(line), ledger.file(line)
    facts = {"id": name, "submission": str(path.resolve()), "page": competition.page}
    if not ledger.is_whole(line):
        raise UserError(f"{path} is not the file that was checked any more; build it again")
    slug, now = kaggle or competition.kaggle, datetime.now(UTC)

    def taken() -> None:
        ledger.update(name, {"uploaded": now.isoformat(timespec="seconds")})

    if slug:
        how: dict[str, Any] = {"team": team, "progress": progress}
        scores = upload_to_kaggle(path, slug, message(line), competition.rules, kaggle_client(), taken, **how)
        return scored(ledger, name, scores, facts)
    today = sum(line["uploaded"][:10] == str(now.date()) for line in (*ledger.lines, *ledger.forgotten))
    competition.rules.check_upload(today, now, team)
    if not competition.page:
        raise UserError(
            f"where {competition.name} takes submissions is not known: give its Kaggle name with --kaggle NAME, "
            f"or set page in {competition.folder / '__init__.py'}; the file is {path.resolve()}"
        )
    taken()
    facts |= {board: line[board] for board in ("public", "private")}
    score = ("compete submit … --score 0.71", "records what the leaderboard says (0.71)")
    return Done(facts, [f"open {competition.page}\nand hand in {path.resolve()}"], [score])


def message(line: Line) -> str:
    """What Kaggle shows beside a submission."""
    return f"{identity(line)}, commit {line['commit'][:12]}, out of fold {line['clean']}"


def scored(ledger: Ledger, name: str, scores: dict[str, str], facts: dict[str, Any]) -> Done:
    """Kaggle's scores written down and told."""
    ledger.update(name, scores)
    public, private = (scores[board] or "not shown" for board in ("public", "private"))
    seen = [BESIDE] if scores["public"] else []
    return Done(facts | scores, [f"{name}: public score {public}, private {private}"], seen)


def record_score(
    ledger: Ledger, name: str | None = None, *, public: float | None = None, private: float | None = None
) -> Done:
    """Write down what the leaderboard said of the submission of that ID (none: the newest)."""
    line = ledger.find(name)
    name = identity(line)
    scores = {board: score for board, score in (("public", public), ("private", private)) if score is not None}
    if not scores:
        raise UserError("--private needs a score: --private 0.64")
    if not all(map(math.isfinite, scores.values())):
        raise UserError(f"{', '.join(f'{score:g}' for score in scores.values())} is no score of a leaderboard")
    said = {board: repr(float(score)).removesuffix(".0") for board, score in scores.items()}  # with all its digits
    ledger.update(name, said)
    before = {board: line[board] for board, score in said.items() if line[board] not in ("", score)}
    told = [f"{name}: {board} score {score}{_before(before.get(board))}" for board, score in said.items()]
    return Done({"id": name, **scores, **({"before": before} if before else {})}, told, [BESIDE])


def _before(score: str | None) -> str:
    return f", in place of {score}" if score else ""


def forget(ledger: Ledger, name: str) -> Done:
    """Take a submission off the ledger; its file and, beside the ledger, its line stay."""
    line = ledger.forget(name)
    kept, name = ledger.folder / FORGOTTEN, identity(line)
    told = [f"{name} is off the ledger; {ledger.file(line)} stays, and its line lies in {kept}"]
    if line["uploaded"]:
        told.append("it was handed in, which still counts against the submissions of its day")
    back = [(shlex.join(["compete", "submit", "--remember", name]), "takes it back")]
    return Done({"id": name, "forgotten": str(kept)}, told, back)


def remember(ledger: Ledger, name: str) -> Done:
    """Put back a submission that was forgotten."""
    name = identity(ledger.remember(name))
    return Done({"id": name, "ledger": str(ledger.path)}, [f"{name} is on the ledger again"])
