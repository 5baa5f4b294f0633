"""Kaggle's machine, imitated: a notebook's script, its data set and the organisers' files where they lie there."""

import shutil
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from toolkit.competition import Competition
from toolkit.errors import UserError, harmless
from toolkit.notebooks.renamed import link_others
from toolkit.outcome import duration
from toolkit.store import read_json
from toolkit.submission import sandbox_server
from toolkit.submission.clean_environment import clean_python, readable
from toolkit.submission.confined import Ended, Limits, Place, run_confined

KAGGLE = (  # of what Kaggle's image has, what a notebook of ours may import; in the versions that are installed here
    *("numpy", "scipy", "pandas", "pyarrow", "scikit-learn", "joblib", "numba", "matplotlib", "tqdm", "packaging"),
    *("torch", "torchvision", "timm", "safetensors", "huggingface_hub", "filelock", "pydantic", "psutil", "PyYAML"),
    *("opencv-python-headless", "opencv-python", "pillow", "tifffile", "pydicom", "h5py", "pycocotools"),
)
SECONDS = 9 * 3600.0  # that a notebook may run on Kaggle, where the rules don't say it
MEMORY, OUTPUT = 29 << 30, 20 << 30  # bytes, on Kaggle's machines


class Stage(Place):
    """Where things lie as on Kaggle."""

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self.inputs, self.working = scratch / "kaggle" / "input", scratch / "kaggle" / "working"
        self.script = scratch / "kaggle" / "src" / "script.py"
        for folder in (self.inputs, self.working, self.script.parent):
            folder.mkdir(parents=True)

    def environment(self) -> dict[str, str]:
        said = {"KAGGLE_INPUT": str(self.inputs), "HF_HUB_OFFLINE": "1"}
        return super().environment() | said


def competition_folder(stage: Stage, folder: Path) -> Path:
    return stage.inputs / "competitions" / str(read_json(folder / "dataset" / "bundle.json")["kaggle"])


def run_notebook(
    stage: Stage, folder: Path, competition: Competition, what: str, further: Sequence[Path]
) -> tuple[Ended, Path]:
    """How it ended, and the file that it wrote. further: what links in the input lead to."""
    said = read_json(folder / "dataset" / "bundle.json")
    attached = stage.inputs / str(read_json(folder / "dataset" / "dataset-metadata.json")["id"]).rpartition("/")[2]
    link_others(folder / "dataset", attached, {"dataset-metadata.json"})
    shutil.copyfile(folder / "kernel" / "script.py", stage.script)
    python = clean_python(installed(KAGGLE))
    seconds, memory = competition.rules.submission_seconds or SECONDS, memory_of(competition)
    known = [folder.resolve(), *(path.resolve() for path in further)]
    read = [stage.scratch / "kaggle", *known, *_targets(stage.inputs, known), *readable(python)]
    job = {
        "kind": "script",
        "script": str(stage.script),
        "working": str(stage.working),
        "readable": [str(path) for path in dict.fromkeys(read)],
    }
    limits = Limits(seconds, memory, OUTPUT)
    ended = run_confined(job, python, stage, limits, writable=[stage.working], environment=stage.environment())
    if not ended.done:
        raise UserError(f"tried on {what}, the notebook {why(ended, limits)}")
    path = stage.working / str(said["file"])
    if not path.is_file():
        there = ", ".join(sorted(one.name for one in stage.working.iterdir())) or "nothing"
        raise UserError(f"tried on {what}, the notebook wrote no {path.name}, but {harmless(there)}")
    return ended, path


def memory_of(competition: Competition) -> int:
    return competition.rules.submission_memory or MEMORY


def installed(packages: Sequence[str]) -> list[str]:
    """Those that are installed here."""
    found = []
    for name in packages:
        try:
            distribution(name)
        except PackageNotFoundError:
            continue
        found.append(name)
    return found


def _targets(folder: Path, known: Sequence[Path]) -> set[Path]:
    """The folders that links in a folder lead to, but for what lies in those that are known."""
    found = {path.resolve() for path in folder.rglob("*") if path.is_symlink()}
    others = [path for path in found if not any(path.is_relative_to(one) for one in known)]
    return {path if path.is_dir() else path.parent for path in others}


def why(ended: Ended, limits: Limits) -> str:
    """What a script did that ended otherwise than it should, in words after "the notebook"."""
    if ended.broke:
        return {
            "memory": f"takes more than {limits.memory / 1e9:.0f} GB of memory, which Kaggle's machines have",
            "seconds": f"takes longer than {duration(limits.seconds)}",
            "output": f"writes more than {limits.output / 1e9:.0f} GB",
            "processes": f"starts more than {limits.processes} processes",
        }[ended.broke]
    kind, reason = ended.kind, ended.reason
    if kind == "SystemExit" and reason.isdecimal() and ended.words:
        kind, reason = "", ended.words
    at = f" ({ended.where})" if ended.where else ""
    if kind == "PermissionError" and reason.startswith(("writes to", "changes")):
        return f"{reason}{at}; on Kaggle it may write into its working folder alone"
    if sandbox_server.ASKS in reason:
        return f"{reason[reason.index(sandbox_server.ASKS) :].rstrip('>')}{at}; a submission has none on Kaggle"
    if kind == "ModuleNotFoundError":
        return (
            f"fails: {reason}{at}, which isn't among the packages that are taken for Kaggle's, or not installed here"
        )
    if kind or reason:
        return f"fails: {': '.join(part for part in (kind, reason) if part and kind != 'UserError') or reason}{at}"
    words = f"; its last words: {ended.words}" if ended.words else ""
    how = f"was ended by signal {ended.signal}" if ended.signal else f"ended with exit status {ended.status}"
    return f"{how} before it was done{words}"
