"""A notebook tried before it is handed in: on the visible test images, and on training images as if these were hidden.

Both times it runs in the sandbox, with the packages that Kaggle's machines have, no network and input that is
read-only; what it writes is read as the organisers would, and compared with what the blend says here.
"""

import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.answers import Prediction, differences, lead, misfit, sizes_of
from toolkit.blending.blend_folder import Blend
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset, Samples
from toolkit.data.labelled import Labelled
from toolkit.data.loading import loaded
from toolkit.data.placed import placed_prediction
from toolkit.data.sample_submission import following, recognised
from toolkit.errors import UserError, harmless
from toolkit.images.places import Places
from toolkit.metrics.tally import Counts
from toolkit.notebooks.new_names import NotTried
from toolkit.notebooks.renamed import link_others, renamed_folder
from toolkit.outcome import Outcome, Table, Warned, counted, duration, number
from toolkit.probabilities import decidable, open_probabilities, probabilities
from toolkit.progress import SILENT, Progress
from toolkit.store import read_json
from toolkit.submission import sandbox_server
from toolkit.submission.checks import blend_prediction
from toolkit.submission.clean_environment import clean_python, readable
from toolkit.submission.confined import Ended, Limits, Place, network, run_confined
from toolkit.submission.grading import answers_tally
from toolkit.submission.predicted_anew import blended_runs, predict_blend
from toolkit.task import Grades, Labels, Numbers

KAGGLE = (  # of what Kaggle's image has, what a notebook of ours may import; in the versions that are installed here
    *("numpy", "scipy", "pandas", "pyarrow", "scikit-learn", "joblib", "numba", "matplotlib", "tqdm", "packaging"),
    *("torch", "torchvision", "timm", "safetensors", "huggingface_hub", "filelock", "pydantic", "psutil", "PyYAML"),
    *("opencv-python-headless", "opencv-python", "pillow", "tifffile", "pydicom", "h5py", "pycocotools"),
)
SECONDS = 9 * 3600.0  # that a notebook may run on Kaggle, where the rules don't say it
MEMORY, OUTPUT = 29 << 30, 20 << 30  # bytes, on Kaggle's machines
MOST = 256  # training images that are tried
VISIBLE = 3000  # of more visible test images none are tried: they were all predicted before
NEAR = {"float32": 0.005, "other": 0.03}  # of values: by how much of their size another machine may compute otherwise
PIXELS = 0.002  # share of a mask's pixels that may fall the other way
FIGURES = "inference.json"  # what a notebook of ours measures, beside what it writes


@dataclass(frozen=True)
class Tried:
    """One of the two trials: of so many images so many answers compared and how many not the same, ties among them."""

    images: int
    compared: int
    ties: int
    seconds: float  # for predicting them
    besides: float  # for all else: imports, reading tables, writing
    peak_bytes: int


@dataclass(frozen=True, repr=False)
class Trial(Outcome):
    """A notebook that passed both trials, or the one that could be made.

    visible, hidden: on the visible test images, and on training images under other names; None where that wasn't tried,
    for which `untried` says why. score: the official metric on the latter; held_out: did no network learn from these?
    """

    competition: Competition
    visible: Tried | None
    hidden: Tried | None
    score: float
    out_of_fold: float
    held_out: bool
    test_images: int
    untried: Sequence[str] = ()

    @property
    def limit(self) -> float:
        return self.competition.rules.submission_seconds or SECONDS

    @property
    def tried(self) -> list[Tried]:
        return [one for one in (self.visible, self.hidden) if one is not None]

    @property
    def seconds(self) -> float:
        """What a hidden test of `test_images` would take here."""
        most = max(self.tried, key=lambda one: one.images)
        return most.besides + most.seconds / max(1, most.images) * self.test_images

    @property
    def rows(self) -> list[list[str]]:
        """For a table: what, here, allowed."""
        made = []
        for what, one in (("visible test images", self.visible), ("other names and number", self.hidden)):
            if one is not None:
                tied = f", {one.ties:,} ties" if one.ties else ""
                made.append([f"{what} ({one.images:,})", f"as the blend says ({one.compared:,} answers{tied})", "all"])
        if self.hidden is not None:
            of = "held-out images" if self.held_out else "training images, which it has learnt"
            metric, clean = self.competition.metric.name, number(self.out_of_fold)
            made.append([f"{metric} on these {of}", number(self.score), f"out of fold {clean}"])
        peak = max(one.peak_bytes for one in self.tried)
        return [
            *made,
            [
                f"time for {counted(self.test_images, 'test image')}, here",
                duration(self.seconds),
                duration(self.limit),
            ],
            ["memory", f"{peak / 1e6:,.0f} MB", f"{_memory(self.competition) / 1e6:,.0f} MB"],
            ["network", f"none ({network()})", "none"],
        ]

    def told(self) -> Sequence[str | Warned | Table]:
        late = (
            f"on this machine a hidden test of {counted(self.test_images, 'image')} would take longer than is allowed"
        )
        title = f"{self.competition.name}: the notebook's trial"
        return [
            Table(title, ["", "here", "allowed"], self.rows),
            *map(Warned, self.untried),
            *([Warned(f"{late}; blend fewer runs if Kaggle's is no faster")] if self.seconds > self.limit else []),
        ]

    def as_json(self) -> dict[str, Any]:
        hidden = {} if self.hidden is None else {"score": self.score, "held_out": self.held_out}
        counts = {"visible": self.visible, "hidden": self.hidden}
        return {
            **{name: None if one is None else one.images for name, one in counts.items()},
            **hidden,
            "seconds": round(self.seconds, 1),
            "test_images": self.test_images,
            "peak_bytes": max(one.peak_bytes for one in self.tried),
            "untried": list(self.untried),
        }


class _Stage(Place):
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


def try_notebook(
    blend: Blend,
    raw: Path,
    folder: Path,
    *,
    test_images: int | None = None,
    device: str = "auto",
    progress: Progress = SILENT,
) -> Trial:
    """Run a notebook's `folder` as Kaggle would.

    raw: the organisers' files; test_images: how many the hidden test has (None: as many as are visible). UserError, one
    sentence, for whatever would fail there, or for answers that aren't the blend's.
    """
    labelled = blend.labelled
    competition, visible = labelled.competition, len(labelled.test_ids)
    tried: list[Tried | None] = [None, None]
    untried: list[str] = []
    if not labelled.has_test_images or blend.test is None:
        untried.append("there are no visible test images, on which it could be tried")
    elif visible > VISIBLE:
        untried.append(f"the {visible:,} visible test images weren't all tried once more")
    else:
        progress.say(f"running the notebook on {counted(visible, 'visible test image')}")
        tried[0] = _on_visible(blend, raw, folder, device)
    score = math.nan
    try:
        made = _on_renamed(blend, raw, folder, device, progress)
    except NotTried as error:
        untried.append(str(error))
    else:
        tried[1], score = made
    if not any(tried):
        raise UserError(f"the notebook can't be tried: {'; '.join(untried)}")
    return Trial(
        competition,
        *tried,
        score,
        blend.metrics["clean"]["score"],
        bool(labelled.held_out.any()),
        test_images or max(1, visible),
        untried,
    )


def _on_visible(blend: Blend, raw: Path, folder: Path, device: str) -> Tried:
    what = "the visible test images"
    with tempfile.TemporaryDirectory(prefix="trial-") as scratch:
        stage = _Stage(Path(scratch).resolve())
        link_others(raw, _competition_folder(stage, folder), set())
        ended, path = _run(stage, folder, blend.labelled.competition, what, [raw])
        prediction = blend_prediction(blend, 0, device, folder=raw)
        _, ties = _compared(blend, prediction, path, what)
        return _tried(stage, ended, len(prediction.ids), prediction.answer, ties)


def _on_renamed(blend: Blend, raw: Path, folder: Path, device: str, progress: Progress) -> tuple[Tried, float]:
    """And the official metric. Raises NotTried where there can be no such folder."""
    labelled, competition = blend.labelled, blend.labelled.competition
    with tempfile.TemporaryDirectory(prefix="trial-") as scratch:
        stage = _Stage(Path(scratch).resolve())
        data: Dataset | Samples = loaded(competition, raw)
        chosen = _chosen(labelled, len(labelled.test_ids))
        place = _competition_folder(stage, folder)
        renamed = renamed_folder(competition, raw, data, chosen, place)
        what = f"{counted(len(chosen), 'training image')} under other names"
        progress.say(f"running the notebook on {what}")
        ended, path = _run(stage, folder, competition, what, [raw])
        rows, places = _samples(labelled, renamed.rows)
        own = Path(scratch) / "blend"
        own.mkdir()
        predict_blend(blend, blended_runs(blend), rows, device, own / "test.npy", own)
        stored = open_probabilities(own / "test.npy")
        if competition.form is not None:
            competition = following(competition, recognised(competition, place, renamed.ids))
        images: np.ndarray = labelled.images[rows]
        if places is not None:
            prediction = placed_prediction(competition, images, renamed.ids, stored, places, blend.decisions)
        else:
            prediction = competition.prediction(images, renamed.ids, stored, blend.decisions)
        found, ties = _compared(blend, prediction, path, what, competition)
        tried = _tried(stage, ended, len(renamed.ids), prediction.answer, ties)
        return tried, _score(labelled, competition, renamed.rows, found)


def _chosen(labelled: Labelled, visible: int) -> np.ndarray:
    """Samples, or pictures, that take the place of test images: held-out ones where there are any, of another number."""
    some = np.flatnonzero(labelled.held_out if labelled.held_out.any() else labelled.inside)
    if labelled.native is not None:
        some = np.unique(labelled.native.places.picture[some])
    number = min(len(some), MOST)
    number -= number == visible
    if number < 1:
        raise NotTried("there are too few training images to try it on a test of another number")
    return np.random.default_rng(0).permutation(some)[:number]


def _samples(labelled: Labelled, chosen: np.ndarray) -> tuple[np.ndarray, Places | None]:
    """Rows of the samples, and of pictures where these lie in them."""
    if labelled.native is None:
        return chosen, None
    places = labelled.native.places
    of_each = [places.samples[picture] for picture in chosen.tolist()]
    rows = np.concatenate(of_each)
    picture = np.repeat(np.arange(len(chosen)), [len(one) for one in of_each])
    return rows, Places(picture, places.boxes[rows], places.sizes[chosen])


def _score(labelled: Labelled, competition: Competition, chosen: np.ndarray, found: Any) -> float:
    """The official metric of what the notebook says."""
    if labelled.native is None:
        return float(answers_tally(competition, labelled.truth[chosen], found).score())
    metric: Any = competition.metric
    beside = labelled.native.beside
    counts = [
        metric.counts_in_parts(competition.task, beside(picture, found[at]))
        for at, picture in enumerate(chosen.tolist())
    ]
    return float(Counts(metric, np.concatenate(counts), competition.scored).score())


def _competition_folder(stage: _Stage, folder: Path) -> Path:
    return stage.inputs / "competitions" / str(read_json(folder / "dataset" / "bundle.json")["kaggle"])


def _run(
    stage: _Stage, folder: Path, competition: Competition, what: str, further: Sequence[Path]
) -> tuple[Ended, Path]:
    """How it ended, and the file that it wrote. further: what links in the input lead to."""
    said = read_json(folder / "dataset" / "bundle.json")
    attached = stage.inputs / str(read_json(folder / "dataset" / "dataset-metadata.json")["id"]).rpartition("/")[2]
    link_others(folder / "dataset", attached, {"dataset-metadata.json"})
    shutil.copyfile(folder / "kernel" / "script.py", stage.script)
    python = clean_python(installed(KAGGLE))
    seconds, memory = competition.rules.submission_seconds or SECONDS, _memory(competition)
    read = [stage.scratch / "kaggle", folder.resolve(), *further, *_targets(stage.inputs), *readable(python)]
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


def _memory(competition: Competition) -> int:
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


def _targets(folder: Path) -> set[Path]:
    """Where links in a folder lead."""
    return {path.resolve() for path in folder.rglob("*") if path.is_symlink()}


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


def _tried(stage: _Stage, ended: Ended, images: int, answer: Any, ties: int) -> Tried:
    compared = answer.size if sizes_of(answer) is None else int(answer.sizes.prod(1).sum())
    seconds, besides = ended.seconds, 0.0
    if (stage.working / FIGURES).is_file():
        figures = read_json(stage.working / FIGURES)
        seconds = float(figures["seconds"])
        besides = max(0.0, ended.seconds - seconds)
    return Tried(images, compared, ties, seconds, besides, ended.peak)


def _compared(
    blend: Blend, prediction: Prediction, path: Path, what: str, competition: Competition | None = None
) -> tuple[Any, int]:
    """What a file says, and in how many places that is otherwise than the blend, where both are as good as equal.

    UserError where it is otherwise elsewhere, too.
    """
    of = competition or blend.labelled.competition
    try:
        found = of.read_submission(path, prediction.read_with, prediction.ids)
    except UserError as error:
        text = str(error).replace(str(path), path.name)
        raise UserError(f"tried on {what}, the notebook writes what is refused: {text}") from error
    if fault := misfit(found, prediction.answer):
        raise UserError(f"tried on {what}, what the notebook wrote {fault}")
    float32 = all(run.recipe.precision == "float32" for run in blended_runs(blend))
    near = NEAR["float32" if float32 else "other"]
    differs = differences(found, prediction.answer, near)
    wrong = differs & ~_ties(of, blend, prediction, found, near) if differs.dtype == bool else differs
    if of.task.masks:
        pixels = prediction.answer.size if prediction.sizes is None else int(prediction.sizes.prod(1).sum())
        if differs.sum() <= PIXELS * pixels:
            return found, int(differs.sum())
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0].tolist())
        words = ""
        if not of.task.masks:
            words = f": it says {_shown(found[place])}, the blend {_shown(prediction.answer[place])}"
        raise UserError(
            f"tried on {what}, the notebook says something else than the blend in {int(np.count_nonzero(wrong)):,} of "
            f"{wrong.size:,} places, first of {prediction.ids[place[0]]}{words}"
        )
    return found, int(differs.sum())


def _shown(value: Any) -> str:
    return f"{value:.6g}"


def _ties(competition: Competition, blend: Blend, prediction: Prediction, found: Any, near: float) -> np.ndarray:
    """bool, of the answer's shape: where another machine may decide otherwise, as values are nearly equal."""
    task, answer = competition.task, prediction.answer
    if answer.dtype.kind == "f" or task.masks or prediction.stored is None:
        return np.zeros(answer.shape, bool)
    values = decidable(prediction.stored[:])
    if competition.metric.needs == "lists":
        dense = probabilities(prediction.stored[:])
        of = [np.take_along_axis(dense, np.clip(one, 0, dense.shape[1] - 1), 1) for one in (found, answer)]
        return np.asarray(np.abs(of[0] - of[1]) <= 2 * near)
    if task.exclusive:
        return np.asarray(lead(values) <= 2 * near)
    if isinstance(task, Labels | Grades | Numbers):
        low, high = (competition.decide(np.asarray(values) + by, blend.decisions) for by in (-near, near))
        return np.asarray(low != high)
    return np.zeros(answer.shape, bool)
