"""A registered submission, of whatever kind, handed in or built again."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from toolkit.blending.blend_folder import Blend
from toolkit.competition import Competition
from toolkit.errors import UserError
from toolkit.kaggle.client import kaggle_client
from toolkit.notebooks.build import NOTEBOOK, write_notebook
from toolkit.notebooks.bundle import BUNDLE
from toolkit.notebooks.upload import upload_notebook
from toolkit.outcome import Done
from toolkit.progress import SILENT, Progress
from toolkit.store import read_json
from toolkit.submission import build, hand_in
from toolkit.submission.ledger import Ledger, Line, content_hash, identity


def upload(
    competition: Competition,
    ledger: Ledger,
    name: str | None = None,
    *,
    kaggle: str | None = None,
    team: int | None = None,
    progress: Progress = SILENT,
) -> Done:
    """As `toolkit.submission.hand_in.upload`; a notebook is attached, run and submitted through Kaggle's client.

    UserError where a notebook isn't the one that was tried, or is for a competition of another name.
    """
    line = ledger.find(name)
    if not _is_notebook(line):
        return hand_in.upload(competition, ledger, name, kaggle=kaggle, team=team, progress=progress)
    name, path = identity(line), ledger.file(line)
    if not ledger.is_whole(line):
        raise UserError(f"{path} is not the notebook that was tried any more; build it again")
    said = read_json(path / "dataset" / BUNDLE)
    if kaggle not in (None, said["kaggle"]):
        raise UserError(f"{path} is a notebook for {said['kaggle']}: --notebook --kaggle {kaggle} builds another")

    def taken() -> None:
        ledger.update(name, {"uploaded": datetime.now(UTC).isoformat(timespec="seconds")})

    scores = upload_notebook(
        path,
        said["kaggle"],
        hand_in.message(line),
        competition.rules,
        kaggle_client(),
        taken,
        team=team,
        file_name=said["file"],
        progress=progress,
    )
    return hand_in.scored(ledger, name, scores, {"id": name})


def reproduce(blend: Blend, ledger: Ledger, name: str, device: str = "auto") -> Done:
    """As `toolkit.submission.build.reproduce`, notebooks included."""
    line = ledger.find(name)
    if not _is_notebook(line):
        return build.reproduce(blend, ledger, name, device)
    name, path = identity(line), ledger.file(line) / "dataset" / BUNDLE
    now = f"{build.submission_name(blend, None)}{NOTEBOOK}" if blend.manifest else ""
    build.check_blend(blend, line, now)
    if not path.is_file():
        raise UserError(f"{path}, which says for whom it was built, is gone; build it with --notebook")
    said = read_json(path)
    with tempfile.TemporaryDirectory() as scratch:
        write_notebook(blend, Path(scratch) / name, said["raw"], said["kaggle"])
        made = content_hash(Path(scratch) / name)
    if made != line["sha256"]:
        commit = f"{line['commit'][:12] or 'unknown'} ({line['tree'] or 'unknown'})"
        raise UserError(
            f"{name} can't be reproduced: its SHA-256 was {line['sha256'][:16]}…, now it is {made[:16]}…; the program "
            f"is part of it, and was at commit {commit}{'' if now == name else build.changed_since(line, now)}"
        )
    text = f"{name}: built again, and identical (SHA-256 {made})"
    return Done({"id": name, "sha256": made, "identical": True}, [text])


def _is_notebook(line: Line) -> bool:
    return identity(line).endswith(NOTEBOOK)
