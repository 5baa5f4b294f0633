"""What a run and a blend have in common: a folder with predictions out of fold and of the test images, and scores."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit.data.labelled import Labelled
from toolkit.outcome import Outcome
from toolkit.probabilities import chunks, open_probabilities, probabilities
from toolkit.store import MANIFEST, read_json, read_manifest


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
    def oof_path(self) -> Path:
        return self.folder / "oof.npy"

    @property
    def oof(self) -> np.ndarray:
        """Stored probabilities (N, C, ...), memory-mapped; `probabilities` reads a part as float32."""
        return open_probabilities(self.oof_path)


@dataclass(frozen=True)
class Predictions(OutOfFold, Outcome):
    """Those of all samples and of the test images, and how good they are."""

    labelled: Labelled = field(compare=False)

    def __repr__(self) -> str:
        score = f"{self.score:.4f}" if self.finished else "not finished"
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
        metrics: dict[str, Any] = read_json(self.metrics_path)
        return metrics

    @property
    def score(self) -> float:
        """The official metric, out of fold."""
        return float(self.metrics["clean"]["score"])

    @property
    def test_path(self) -> Path:
        return self.folder / "test.npy"

    @property
    def test(self) -> np.ndarray | None:
        """Stored probabilities (M, C, ...) of the test images, memory-mapped; None where there are none."""
        return open_probabilities(self.test_path) if self.test_path.exists() else None

    def confusions(self) -> np.ndarray:
        """Confusion matrices int64 (N, C, C) out of fold; those of samples in no fold mean nothing."""
        return self.labelled.confusions(self.oof)

    def mistakes(self, count: int = 20) -> pd.DataFrame:
        """The samples that are most surely wrong out of fold, the worst first.

        Columns row (of the data), index (in the raw file), certainty: the probability of the wrong label; of a mask
        its mean over all pixels, right ones counted as 0. For labels also truth and predicted, as names.
        """
        labelled, competition = self.labelled, self.labelled.competition
        certainty = self._certainty()
        order = np.argsort(-certainty, kind="stable")[: max(count, 0)]
        order = order[certainty[order] > 0]
        table = pd.DataFrame({"row": order, "index": labelled.ids[order], "certainty": certainty[order]})
        if not labelled.masks:
            names = np.array(competition.task.classes, dtype=object)
            table["truth"] = names[labelled.truth[order]]
            table["predicted"] = names[competition.decode(probabilities(self.oof[order]))]
        return table

    def _certainty(self) -> np.ndarray:
        """Of wrong labels, float64 (N,); 0 for samples in no fold."""
        labelled, stored, decode = self.labelled, self.oof, self.labelled.competition.decode
        certainty = np.zeros(len(labelled.truth))
        for at in chunks(len(certainty)):
            part, truth = probabilities(stored[at]), labelled.truth[at]
            labels = decode(part)
            sure = np.take_along_axis(part, labels[:, None].astype(np.int64), 1)[:, 0]
            wrong = np.where(np.isin(truth, labelled.competition.scored) & (labels != truth), sure, 0)
            certainty[at] = wrong.mean(tuple(range(1, wrong.ndim)))
        certainty[~labelled.inside] = 0
        return certainty
