"""From a blend to the folder of a notebook submission, which is whole or not there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.blending.blend_folder import Blend
from toolkit.errors import UserError
from toolkit.notebooks.bundle import write_bundle
from toolkit.notebooks.kernel import dataset_metadata, kernel_metadata, script, title
from toolkit.outcome import Outcome
from toolkit.progress import SILENT, Progress
from toolkit.store import atomic, write_json, write_text
from toolkit.submission.build import submission_name

NOTEBOOK = "-notebook"  # ends the name of a submission that is one


@dataclass(frozen=True, repr=False)
class Notebook(Outcome):
    """A folder with `dataset/` and `kernel/`."""

    path: Path

    def told(self) -> Sequence[str]:
        return [f"{self.path}: a notebook and its data set"]

    def as_json(self) -> dict[str, Any]:
        return {"notebook": str(self.path)}


def build_notebook(
    blend: Blend, folder: Path, raw: Path, *, kaggle: str | None = None, progress: Progress = SILENT
) -> Notebook:
    """Write `<blend>-<hash>-notebook/` into a folder.

    raw: the organisers' files; kaggle: the competition's name on Kaggle, where it doesn't say so itself.
    """
    competition = blend.labelled.competition
    called = kaggle or competition.kaggle
    if not called:
        raise UserError(
            f"a notebook needs the name of {competition.name} on Kaggle, as in its address: give --kaggle NAME, or set "
            f"kaggle in {competition.folder / '__init__.py'}"
        )
    name = f"{submission_name(blend, None)}{NOTEBOOK}"
    path = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    with atomic(path) as partial:
        dataset, kernel = partial / "dataset", partial / "kernel"
        for each in (partial, dataset, kernel):
            each.mkdir()
        description = write_bundle(blend, dataset, raw, called)
        attached, own = title(called, description["bundle"]), title(called, "by-blend")
        write_json(dataset / "dataset-metadata.json", dataset_metadata(attached))
        write_json(kernel / "kernel-metadata.json", kernel_metadata(own, attached, called))
        write_text(kernel / "script.py", script(description, name))
    return Notebook(path)
