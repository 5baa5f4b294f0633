"""A notebook tried before it is handed in: on the visible test images, and on training images as if these were hidden.

Both times it runs in the sandbox, with the packages that Kaggle's machines have, no network and input that is
read-only; what it writes is read as the organisers would, and compared with what the blend says here.
"""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.answers import sizes_of
from toolkit.blending.blend_folder import Blend
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset, Samples
from toolkit.data.labelled import Labelled
from toolkit.data.origin import loaded
from toolkit.data.placed import placed_prediction
from toolkit.data.sample_submission import following, recognised
from toolkit.errors import UserError
from toolkit.images.places import Places
from toolkit.metrics.tally import Counts
from toolkit.notebooks.compared import compared
from toolkit.notebooks.new_names import NotTried
from toolkit.notebooks.renamed import link_others, renamed_folder
from toolkit.notebooks.stage import SECONDS, Stage, competition_folder, memory_of, run_notebook
from toolkit.outcome import Outcome, Table, Warned, counted, duration, number
from toolkit.probabilities import open_probabilities
from toolkit.progress import SILENT, Progress
from toolkit.store import read_json
from toolkit.submission.checks import blend_prediction
from toolkit.submission.confined import Ended, network
from toolkit.submission.grading import answers_tally
from toolkit.submission.predicted_anew import blended_runs, predict_blend

MOST = 256  # training images that are tried
VISIBLE = 3000  # of more visible test images none are tried: they were all predicted before
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

    visible, hidden: on the visible test images, and on training images under other names; None where that wasn't
    tried, `untried` says why. score: the official metric on the latter; held_out: did no network learn from these?
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
                tied = f" ({one.ties:,} tied)" if one.ties else ""
                made.append([f"{what} ({one.images:,})", f"{one.compared:,} answers{tied}", "all as the blend's"])
        if self.hidden is not None:
            of = "held out" if self.held_out else "which it has learnt from"
            metric, clean = self.competition.metric.name, number(self.out_of_fold)
            made.append([f"{metric} on these, {of}", number(self.score), f"out of fold {clean}"])
        peak = max(one.peak_bytes for one in self.tried)
        return [
            *made,
            [
                f"time for {counted(self.test_images, 'test image')}, here",
                _time(self.seconds),
                _time(self.limit),
            ],
            ["memory", f"{peak / 1e6:,.0f} MB", f"{memory_of(self.competition) / 1e6:,.0f} MB"],
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


def _time(seconds: float) -> str:
    """Of many hours these."""
    return f"{seconds / 3600:.3g} h" if seconds >= 7200 else duration(seconds)


def try_notebook(
    blend: Blend,
    raw: Path,
    folder: Path,
    *,
    test_images: int | None = None,
    visible_only: bool = False,
    device: str = "auto",
    progress: Progress = SILENT,
) -> Trial:
    """Run a notebook's `folder` as Kaggle would.

    raw: the organisers' files; test_images: how many the hidden test has (None: as many as are visible);
    visible_only: not on training images under other names. UserError, one sentence, for whatever would fail there, or
    for answers that aren't the blend's.
    """
    labelled = blend.labelled
    competition, visible = labelled.competition, len(labelled.test_ids)
    on_visible: Tried | None = None
    on_renamed: Tried | None = None
    untried: list[str] = []
    if not labelled.has_test_images or blend.test is None:
        untried.append("there are no visible test images, on which it could be tried")
    elif visible > VISIBLE:
        untried.append(f"the {visible:,} visible test images weren't all tried once more")
    else:
        progress.say(f"running the notebook on {counted(visible, 'visible test image')}")
        with progress.phase("trying the notebook on visible test images"):
            on_visible = _on_visible(blend, raw, folder, device)
    score = math.nan
    try:
        if visible_only:
            raise NotTried("it was asked for on visible images alone")
        with progress.phase("trying the notebook on training images under other names"):
            on_renamed, score = _on_renamed(blend, raw, folder, device, progress)
    except NotTried as error:
        untried.append(f"{error}, so a hidden test of other names and number wasn't tried")
    if on_visible is None and on_renamed is None:
        raise UserError(f"the notebook can't be tried: {'; '.join(untried)}")
    return Trial(
        competition,
        on_visible,
        on_renamed,
        score,
        blend.metrics["clean"]["score"],
        bool(labelled.held_out.any()),
        test_images or max(1, visible),
        untried,
    )


def _on_visible(blend: Blend, raw: Path, folder: Path, device: str) -> Tried:
    what = "the visible test images"
    with tempfile.TemporaryDirectory(prefix="trial-") as scratch:
        stage = Stage(Path(scratch).resolve())
        link_others(raw, competition_folder(stage, folder), set())
        ended, path = run_notebook(stage, folder, blend.labelled.competition, what, [raw])
        prediction = blend_prediction(blend, 0, device, folder=raw)
        _, ties = compared(blend, prediction, path, what)
        return _tried(stage, ended, len(prediction.ids), prediction.answer, ties)


def _on_renamed(blend: Blend, raw: Path, folder: Path, device: str, progress: Progress) -> tuple[Tried, float]:
    """And the official metric. Raises NotTried where there can be no such folder."""
    labelled, competition = blend.labelled, blend.labelled.competition
    with tempfile.TemporaryDirectory(prefix="trial-") as scratch:
        stage = Stage(Path(scratch).resolve())
        data: Dataset | Samples = loaded(competition, raw)
        chosen = _chosen(labelled, len(labelled.test_ids))
        place = competition_folder(stage, folder)
        renamed = renamed_folder(competition, raw, data, chosen, place)
        what = f"{counted(len(chosen), 'training image')} under other names"
        progress.say(f"running the notebook on {what}")
        ended, path = run_notebook(stage, folder, competition, what, [raw])
        rows, places = _samples(labelled, renamed.rows)
        own = Path(scratch) / "blend"
        own.mkdir()
        predict_blend(blend, blended_runs(blend), rows, device, own / "test.npy", own)
        stored = open_probabilities(own / "test.npy")
        if competition.form is not None:
            form = recognised(competition, place, renamed.ids).as_written_in(competition.form)
            competition = following(competition, form)
        images: np.ndarray = labelled.images[rows]
        if places is not None:
            prediction = placed_prediction(competition, images, renamed.ids, stored, places, blend.decisions)
        else:
            prediction = competition.prediction(images, renamed.ids, stored, blend.decisions)
        found, ties = compared(blend, prediction, path, what, competition)
        tried = _tried(stage, ended, len(renamed.ids), prediction.answer, ties)
        return tried, _score(labelled, competition, renamed.rows, found)


def _chosen(labelled: Labelled, visible: int) -> np.ndarray:
    """Samples, or pictures, that become test images, of another number: held-out ones where there are any."""
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


def _tried(stage: Stage, ended: Ended, images: int, answer: Any, ties: int) -> Tried:
    compared = answer.size if sizes_of(answer) is None else int(answer.sizes.prod(1).sum())
    seconds, besides = ended.seconds, 0.0
    if (stage.working / FIGURES).is_file():
        figures = read_json(stage.working / FIGURES)
        seconds = float(figures["seconds"])
        besides = max(0.0, ended.seconds - seconds)
    return Tried(images, compared, ties, seconds, besides, ended.peak)
