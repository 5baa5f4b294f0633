"""What a part gained: the cross-fitted score of the blend with its runs against that without them."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from toolkit.blending.blend import blend
from toolkit.blending.stored_views import NONE
from toolkit.data.labelled import Labelled
from toolkit.metrics.tally import Tally
from toolkit.outcome import number
from toolkit.runs import Run
from toolkit.scoring.comparison import compare

WIDE = 3.92  # standard errors that a 95 % interval is wide
FIRST = 6.0  # seconds of a blend, before one was made


@dataclass(frozen=True)
class Gain:
    """By how much the score of the blend rose, positive where better; noise: the standard error of that. Both in
    standard errors of the score, `unit`.
    """

    errors: float
    noise: float
    unit: float

    def __str__(self) -> str:
        gain, noise = number(self.errors * self.unit, "+"), number(self.noise * self.unit)
        return f"the blend gained {gain} by it (standard error {noise})" if self.unit else "nothing new"


NOTHING = Gain(0.0, 0.0, 0.0)


class Gains:
    """seconds: what the last blend took, with its comparison."""

    def __init__(self, labelled: Labelled, device: str) -> None:
        self.labelled, self.device, self.seconds = labelled, device, FIRST
        self.known: tuple[frozenset[str], Tally] | None = None

    def of(self, before: Sequence[Run], after: Sequence[Run]) -> Gain:
        old, _ = self._blended(before)
        begun = time.monotonic()
        new, unit = self._blended(after)
        (found,) = compare([new], old, self.labelled.group[self.labelled.inside])
        self.seconds = time.monotonic() - begun
        difference = found.sign * found.difference
        return Gain(difference / unit, (found.high - found.low) / WIDE / unit, unit)

    def _blended(self, runs: Sequence[Run]) -> tuple[Tally, float]:
        """What the metric counts of it, and the standard error of its score, or of an endless interval the score."""
        names = [run.name for run in runs]
        made = blend(self.labelled, names, views=NONE, adapt="none", device=self.device)
        clean = made.metrics["clean"]
        if self.known is None or self.known[0] != frozenset(names):
            self.known = frozenset(names), made.tally()
        error = (clean["high"] - clean["low"]) / WIDE
        return self.known[1], max(error if math.isfinite(error) else abs(clean["score"]), 1e-9)
