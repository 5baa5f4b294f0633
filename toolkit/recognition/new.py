"""A competition's folder from a download."""

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.competition import load_competition
from toolkit.competition_folders import called
from toolkit.data.dataset import Samples, check_dataset
from toolkit.data.sample_submission import recognised
from toolkit.errors import UserError
from toolkit.kaggle.client import kaggle_client
from toolkit.kaggle.download import competition_name, download
from toolkit.outcome import Outcome, Table, Warned, counted
from toolkit.partial_files import atomic, sweep
from toolkit.progress import SILENT, Progress
from toolkit.recognition import packed
from toolkit.recognition.listing import ARRAYS, IMAGES, TABLES
from toolkit.recognition.proposal import Proposal, facts_of, propose
from toolkit.recognition.recognise import recognise
from toolkit.recognition.written import written

CLASSES = "classes.txt"
THERE = "{} is there already; --force replaces it, another name leaves it"


@dataclass(frozen=True, repr=False)
class New(Outcome):
    """What was recognised, and the folder that says so. read: what its `load` makes of the download; fault: why that
    fails.
    """

    folder: Path
    proposal: Proposal
    read: str
    fault: str
    unpacked: tuple[str, ...] = ()

    @property
    def facts(self) -> list[dict[str, str]]:
        """What, found, why, sure: in words."""
        return [vars(fact) for fact in facts_of(self.proposal.found)]

    @property
    def next(self) -> list[tuple[str, str]]:
        """Whole commands."""
        data, name = self.proposal.found.folder, shlex.quote(called(self.folder))
        where = "" if data == self.folder / "data" else f" --data {shlex.quote(str(data))}"
        if self.fault:
            return []
        return [
            (f"compete audit {name}{where}", "looks at the data, and shows what is wrong with them"),
            (f"compete run {name}{where} --budget 1h", "all of it, from files to a checked submission"),
        ]

    def told(self) -> list[str | Warned | Table]:
        rows = [(fact["what"], f"{fact['found']}\n{fact['why']}", fact["sure"]) for fact in self.facts]
        file, data = self.folder / "__init__.py", self.proposal.found.folder
        lines = file.read_text(encoding="utf-8").splitlines()
        marked = [at for at, line in enumerate(lines, start=1) if "# CHOOSE" in line]
        said: list[str | Warned | Table] = [
            *self.unpacked,
            Table(f"what {data} holds", ("what", "found and why", "sure"), rows, text=True),
            f"wrote {file}",
            *(f"look at line {at}: {lines[at - 1]}" for at in marked),
        ]
        return [*said, Warned(f"not yet: {self.fault}")] if self.fault else [*said, self.read]

    def as_json(self) -> dict[str, Any]:
        proposal = self.proposal
        return {
            "folder": str(self.folder),
            "task": proposal.task,
            "metric": proposal.word,
            "classes": list(proposal.names),
            "image_shape": list(proposal.shape),
            "recognised": self.facts,
            "fault": self.fault,
            "unpacked": list(self.unpacked),
        }


def new_competition(
    folder: str | Path,
    data: str | Path | None = None,
    *,
    metric: str | None = None,
    force: bool = False,
    unpack: bool = False,
    targets: Sequence[str] = (),
    kaggle: str | None = None,
    progress: Progress = SILENT,
) -> New:
    """Look at a download, say what it holds, and write `folder/__init__.py`, which every command takes.

    data: the download (default: `folder/data`); metric: by its word, such as `auc`, where it is known; force: what was
    written before is replaced; unpack: packed files of the download are unpacked beside themselves before; targets:
    columns to be predicted, where these are known; kaggle: a competition's name there, which is downloaded to `data`
    first where that holds nothing. UserError where the folder has a competition already, other than this one, what is
    to be predicted isn't recognised, or nothing can be downloaded.
    """
    folder = Path(folder)
    data = folder / "data" if data is None else Path(data)
    name, file = folder.name, folder / "__init__.py"
    if not name.isidentifier():
        allowed = re.sub(r"\W", "_", name)
        hint = f"; {allowed} can" if allowed.isidentifier() else ": letters, digits and _ make a name"
        raise UserError(f"{name!r} can't be the name of a competition's folder{hint}")
    if file.exists() and not (force or data.exists()):
        raise UserError(THERE.format(file))
    slug = "" if kaggle is None else competition_name(kaggle)
    if slug:
        download(slug, data, IMAGES | TABLES | ARRAYS, client=kaggle_client, progress=progress)
    unpacked = tuple(packed.unpack(data)) if unpack else ()
    proposal = propose(recognise(data, targets), name, metric or "")
    text = written(proposal, slug)
    if file.exists() and not force and file.read_bytes() != text.encode():  # else a kill came after it was written
        raise UserError(THERE.format(file))
    folder.mkdir(parents=True, exist_ok=True)
    sweep(iter([folder]))
    if proposal.long:
        with atomic(folder / CLASSES) as partial:
            partial.write_text("\n".join(proposal.names) + "\n", encoding="utf-8")
    with atomic(file) as partial:
        partial.write_text(text, encoding="utf-8")
    sys.modules.pop(f"{folder.resolve().parent.name}.{name}", None)  # what was read of the file before
    try:
        return New(folder, proposal, _tried(folder, data), "", unpacked)
    except UserError as error:
        return New(folder, proposal, "", str(error), unpacked)


def _tried(folder: Path, data: Path) -> str:
    """What the competition that was written makes of the download; UserError where that fails."""
    made = load_competition(folder)
    samples = made.load(data)
    dataset = samples.as_dataset(data) if isinstance(samples, Samples) else samples
    if not len(dataset.images):
        raise UserError("its `load` finds no training image")
    if not isinstance(samples, Samples) or not samples.is_native:
        check_dataset(dataset, made.task, str(data))
    tests = len(dataset.test_images)
    said = f"it reads {counted(len(dataset.images), 'training image')} and {counted(tests, 'test image')}"
    if not made.follows_sample or not tests:
        return said
    ids = np.arange(tests) if dataset.test_ids is None else dataset.test_ids
    return f"{said}; {recognised(made, data, ids).told()}"
