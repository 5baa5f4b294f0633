"""From a blend to the folder of a notebook submission: written, tried as Kaggle would run it, registered.

It is `<competition>/<blend>-<hash>-notebook/` beside the ledger, with `dataset/` and `kernel/`. One that fails its
trial is never put there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.blending.blend_folder import Blend
from toolkit.competition import Competition
from toolkit.disk import in_bytes
from toolkit.errors import UserError
from toolkit.notebooks.bundle import BUNDLE, is_current, names_in, write_bundle
from toolkit.notebooks.kernel import dataset_metadata, kernel_metadata, script, title
from toolkit.notebooks.trial import Trial, try_notebook
from toolkit.outcome import Outcome, Table, Warned, interval
from toolkit.progress import SILENT, Progress
from toolkit.runs import SCORES
from toolkit.store import atomic, read_json, write_others_json, write_text
from toolkit.submission.build import ledger_line, submission_name, warn_of
from toolkit.submission.confined import network
from toolkit.submission.holdout import holdout_score, holdout_words
from toolkit.submission.ledger import Ledger

NOTEBOOK = "-notebook"  # ends the name of a submission that is one


@dataclass(frozen=True, repr=False)
class Notebook(Outcome):
    """A folder with `dataset/` and `kernel/` that passed its trial.

    scores: of the blend, by kind, and `holdout`; line: of the ledger; trial: None where it was built and tried before.
    """

    competition: Competition
    path: Path
    scores: Mapping[str, Any]
    line: Mapping[str, Any]
    trial: Trial | None = None

    def told(self) -> Sequence[str | Warned | Table]:
        metric, holdout = self.competition.metric.name, self.scores["holdout"]
        built = [f"{self.path}: already built and tried"] if self.trial is None else self.trial.told()
        return [
            *built,
            f"{self.path} ({in_bytes(int(self.line['bytes']))}): notebook and data set passed their trial",
            f"CV score ({metric}): {interval(self.scores['clean'])}",
            *(holdout_words(holdout, metric) if holdout else []),
            "--notebook --upload hands it in; or attach dataset/ to a notebook with kernel/script.py by hand",
        ]

    def as_json(self) -> dict[str, Any]:
        trial = None if self.trial is None else self.trial.as_json()
        return {"notebook": str(self.path), **self.scores, "trial": trial, "ledger": dict(self.line)}


def build_notebook(
    blend: Blend,
    ledger: Ledger,
    raw: Path,
    *,
    kaggle: str | None = None,
    test_images: int | None = None,
    visible_only: bool = False,
    device: str = "auto",
    progress: Progress = SILENT,
) -> Notebook:
    """Build, try, score on the held-out samples and register; what is there of the same blend and code is not built
    twice, and tried again where another number of test images is asked for.

    raw: the organisers' files; kaggle: the competition's name on Kaggle, where it doesn't say so itself; test_images,
    visible_only: of `try_notebook`. UserError for a blend that a notebook can't make, and whatever fails in the trial.
    """
    competition, metrics = blend.labelled.competition, blend.metrics
    called = kaggle_name(competition, kaggle)
    path = ledger.folder / ledger.competition / f"{submission_name(blend, None)}{NOTEBOOK}"
    scores = {kind: metrics.get(kind) for kind in SCORES}
    warn_of(blend, progress)
    with ledger.building():
        how = {"test_images": test_images, "visible_only": visible_only, "device": device, "progress": progress}
        return _build(blend, ledger, raw, path, called, scores, how)


def _build(
    blend: Blend,
    ledger: Ledger,
    raw: Path,
    path: Path,
    called: str,
    scores: dict[str, Any],
    how: dict[str, Any],
) -> Notebook:
    device, progress = how["device"], how["progress"]
    competition, holds = blend.labelled.competition, names_in(raw)
    line: Mapping[str, Any] | None = ledger.line_of(path)
    if line is not None and not is_current(read_json(path / "dataset" / BUNDLE), competition, holds, called):
        progress.say(f"{path.name} holds other code than there is now, or is for other files: it is built anew")
        line = None
    if line is not None and str(how["test_images"]) in ("None", line["test_images"]):
        scores["holdout"] = holdout_score(blend, device, progress)
        return Notebook(competition, path, scores, line)
    for run, inputs in (blend.manifest or {})["runs"].items():
        competition.rules.check_data(run, inputs["data"], blend.labelled.data_hash)
    if line is None:
        with atomic(path) as partial:
            progress.say("writing the networks as TorchScript, and the code beside them")
            write_notebook(blend, partial, holds, called)
            trial = try_notebook(blend, raw, partial, **how)
            scores["holdout"] = holdout_score(blend, device, progress)
    else:
        trial = try_notebook(blend, raw, path, **how)
        scores["holdout"] = holdout_score(blend, device, progress)
    tried: dict[str, Any] = {"checked": sum(one.compared for one in trial.tried), "agreement": 1.0}
    tried |= {"ties": sum(one.ties for one in trial.tried), "seconds": round(trial.seconds, 1)}
    tried |= {"test_images": trial.test_images}
    tried |= {"peak_bytes": trial.as_json()["peak_bytes"], "network": network()}
    line = ledger.append(ledger_line(blend, scores, ledger, path) | tried | {"known": None})
    return Notebook(competition, path, scores, line, trial)


def kaggle_name(competition: Competition, given: str | None) -> str:
    """The competition's name on Kaggle; UserError where nobody has said it, or where no notebook can be handed in."""
    if competition.try_submission is not None:
        raise UserError(f"{competition.name} takes code of another kind than Kaggle's notebooks; leave out --notebook")
    name = given or competition.kaggle
    if not name:
        raise UserError(
            f"a notebook needs the name of {competition.name} on Kaggle, as in its address: give --kaggle NAME, or "
            f"set kaggle in {competition.folder / '__init__.py'}"
        )
    return name


def write_notebook(blend: Blend, folder: Path, holds: Sequence[str], kaggle: str) -> None:
    """`dataset/` and `kernel/` into a folder that isn't there yet; the same blend makes the same bytes.

    holds: names of files and folders in that of the organisers.
    """
    dataset, kernel = folder / "dataset", folder / "kernel"
    for each in (folder, dataset, kernel):
        each.mkdir()
    description = write_bundle(blend, dataset, holds, kaggle)
    attached, own = title(kaggle, description["bundle"]), title(kaggle, "by-blend")
    write_others_json(dataset / "dataset-metadata.json", dataset_metadata(attached))
    write_others_json(kernel / "kernel-metadata.json", kernel_metadata(own, attached, kaggle))
    write_text(kernel / "script.py", script(description, f"{kaggle}, {submission_name(blend, None)}"))
