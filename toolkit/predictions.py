"""What a run and a blend have in common: a folder with predictions out of fold and of the test images, and scores."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit.checked import arrays
from toolkit.data.labelled import Labelled, confusions
from toolkit.data.targets import in_words
from toolkit.decisions.decide import Decisions, as_targets
from toolkit.errors import UserError
from toolkit.frames import predictions_table
from toolkit.metrics.tally import Tally
from toolkit.outcome import Outcome, number
from toolkit.probabilities import chunks, decidable, open_probabilities, probabilities
from toolkit.sample_losses import sample_losses
from toolkit.store import MANIFEST, read_json, read_manifest
from toolkit.task import UNKNOWN, Classification, Numbers
from toolkit.top_k import TopK

NATIVE = "native.npz"


@dataclass(frozen=True)
class OutOfFold:
    """A folder with predictions out of fold, finished where it has a manifest."""

    folder: Path

    @property
    def manifest_path(self) -> Path:
        return self.folder / MANIFEST

    @property
    def manifest(self) -> dict[str, Any] | None:
        """What they were made from; None while they aren't finished."""
        return read_manifest(self.folder)

    @property
    def finished(self) -> bool:
        return self.manifest is not None

    @property
    def complete(self) -> bool:
        """Finished, and nothing was cut short by a budget."""
        return (self.manifest or {}).get("complete", False)

    @property
    def oof_path(self) -> Path:
        return self.folder / "oof.npy"

    @property
    def oof(self) -> np.ndarray:
        """Stored probabilities (N, C, ...), memory-mapped; `probabilities` reads a part as float32. UserError where
        they aren't what was stored.
        """
        return open_probabilities(self.oof_path, self.remedy(self.oof_path))

    def remedy(self, path: Path) -> str:
        """What to do where a file of its folder is damaged or gone."""
        return f"remove {self.folder} and run `compete ensemble` again"


@dataclass(frozen=True)
class Predictions(OutOfFold, Outcome):
    """Those of all samples and of the test images, and how good they are."""

    labelled: Labelled = field(compare=False)

    def __repr__(self) -> str:
        score = number(self.score) if self.finished else "not finished"
        return f"{type(self).__name__}({self.name}, {score})"

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def metrics_path(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def metrics(self) -> dict[str, Any]:
        """All scores: `clean`, `stress` and `matched`, each with `score`, `low`, `high`, `by_fold`, or None."""
        metrics: dict[str, Any] = read_json(self.metrics_path, "clean", remedy=self.remedy(self.metrics_path))
        competition = self.labelled.competition
        if not competition.is_scored_by(metrics):
            by, metric = competition.scored_before(metrics), competition.metric.name
            raise UserError(
                f"{self.folder} was scored by {by}, and {competition.name} now is by {metric}: "
                "scores of two metrics can't be compared; take the old metric back, or "
                f"{self.remedy(self.metrics_path)}"
            )
        clean = metrics["clean"]
        if not isinstance(clean, dict) or "score" not in clean:
            raise UserError(f"{self.metrics_path} is damaged: it has no score; {self.remedy(self.metrics_path)}")
        return metrics

    @property
    def score(self) -> float:
        """The official metric, out of fold."""
        return float(self.metrics["clean"]["score"])

    @property
    def merit(self) -> float:
        """The score with its sign turned where the lower one is better: the better run has more of it."""
        return self.labelled.competition.metric.sign * self.score

    @property
    def merit_on_tests(self) -> float:
        """The same of the mean of its score and of that on images as the test may have them, where it has one."""
        metrics = self.metrics
        further = metrics.get("matched") or metrics.get("stress")
        worn = self.score if further is None or further["score"] is None else further["score"]
        return self.labelled.competition.metric.sign * (self.score + worn) / 2

    @property
    def native_path(self) -> Path:
        """What is counted of pictures at their own size, which takes a while."""
        return self.folder / NATIVE

    @property
    def test_path(self) -> Path:
        return self.folder / "test.npy"

    @property
    def test(self) -> np.ndarray | None:
        """Stored probabilities (M, C, ...) of the test images, memory-mapped; None where there are none."""
        return open_probabilities(self.test_path, self.remedy(self.test_path)) if self.test_path.exists() else None

    def tally(self) -> Tally:
        """What the metric counts out of fold, a row for each sample that is in a fold, in order."""
        if self.labelled.native is not None and self.native_path.exists():
            found = arrays(self.native_path, self.remedy(self.native_path))
            return self.labelled.competition.tally_of(found)
        return self.labelled.tally(self.oof, self.fold_decisions)

    @property
    def fold_decisions(self) -> list[Decisions]:
        """Of each fold, fitted on what was predicted in the others; kept with the clean score."""
        clean = self.metrics["clean"] if self.metrics_path.exists() else {}
        if "decisions" not in clean:
            return self.labelled.decisions(self.oof)
        return [Decisions.stored(each) for each in clean["decisions"]]

    def confusions(self) -> np.ndarray:
        """Confusion matrices int64 (N, C, C) out of fold; those of samples in no fold mean nothing."""
        return self.labelled.confusions(self.oof)

    def confusion(self) -> np.ndarray:
        """Their sum over the samples in the folds, int64 (C, C)."""
        labelled, stored = self.labelled, self.oof
        rows, classes = np.flatnonzero(labelled.inside), len(labelled.competition.task.classes)
        total = np.zeros((classes, classes), np.int64)
        for at in chunks(len(rows), stored.shape[2:]):
            some = rows[at]
            total += confusions(labelled.competition, labelled.truth[some], stored[some]).sum(0)
        return total

    def to_pandas(self) -> pd.DataFrame:
        """What is predicted of each sample out of fold, a line each; UserError for masks, which are no table.

        row (of the data), index (in the raw file) and fold int64, name, truth and predicted text; of one of several
        classes probability, that of the predicted one; then a float32 column an output with its value: probabilities
        of classes and labels, of a grade or a higher one (`at least …`). Of more than 100 outputs without these. Of
        numbers `truth x` and `x` in place of text. Thresholds and cuts that were fitted are not looked at.
        """
        return predictions_table(self)

    def mistakes(self, count: int = 20) -> pd.DataFrame:
        """The samples that are predicted worst out of fold, the worst first.

        Columns row (of the data), index (in the raw file), name, and where one of several classes is predicted
        certainty: the probability of the wrong label; of a mask its mean over all pixels, right ones counted as 0.
        Else loss, as `sample_losses` has it. Of whole images also truth and predicted, as text, without a look at
        thresholds or cuts that were fitted.
        """
        labelled, task = self.labelled, self.labelled.competition.task
        wrong = self._certainty() if task.exclusive else self._losses()
        order = np.argsort(-wrong, kind="stable")[: max(count, 0)]
        order = order[wrong[order] > 0]
        measure = "certainty" if task.exclusive else "loss"
        known = {"row": order, "index": labelled.ids[order], "name": labelled.names[order]}
        table = pd.DataFrame({**known, measure: wrong[order]})
        if task.masks:
            return table
        values = probabilities(self.oof[order])
        if task.exclusive:
            unknown = task.unknown if isinstance(task, Classification) else None
            names = np.array([*task.classes, unknown or ""], dtype=object)  # UNKNOWN is the last one
            table["truth"] = names[labelled.truth[order]]
            table["predicted"] = names[labelled.competition.decode(values)]
        else:
            table["truth"] = [in_words(one, task) for one in labelled.truth[order]]
            table["predicted"] = [in_words(one, task) for one in as_targets(task, values, labelled.competition.scored)]
        return table

    def _certainty(self) -> np.ndarray:
        """Of wrong labels, float64 (N,); 0 for samples in no fold. A known class is wrong where none was right."""
        labelled, stored, decode = self.labelled, self.oof, self.labelled.competition.decode
        certainty, counts = np.zeros(len(labelled.truth)), [*labelled.competition.scored]
        if isinstance(labelled.competition.task, Classification) and labelled.competition.task.unknown is not None:
            counts.append(UNKNOWN)
        for at in chunks(len(certainty), stored.shape[2:]):
            part, truth = decidable(stored[at]), labelled.truth[at]
            labels = decode(part)
            place = labels[:, None].astype(np.int64)
            sure = (part.at(place) if isinstance(part, TopK) else np.take_along_axis(part, place, 1))[:, 0]
            wrong = np.where(np.isin(truth, counts) & (labels != truth), sure, 0)
            certainty[at] = wrong.mean(tuple(range(1, wrong.ndim)))
        certainty[~labelled.inside] = 0
        return certainty

    def _losses(self) -> np.ndarray:
        """float64 (N,), of numbers in standard deviations of their targets; 0 for samples in no fold."""
        labelled, task = self.labelled, self.labelled.competition.task
        truth, losses = labelled.truth, np.zeros(len(labelled.truth))
        scale = np.nanstd(truth[labelled.inside], axis=0) if isinstance(task, Numbers) else None
        for at in chunks(len(losses), truth.shape[1:] if task.masks else ()):
            losses[at] = sample_losses(task, truth[at], probabilities(self.oof[at]), scale)
        losses[~labelled.inside] = 0
        return losses
