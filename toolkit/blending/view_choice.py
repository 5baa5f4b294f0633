"""Which views of all runs to average, and with which weights: chosen on out-of-fold values."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from toolkit.blending.valued import few
from toolkit.competition import by_matrix
from toolkit.data.labelled import Labelled
from toolkit.decisions.decide import PLAIN, Decisions
from toolkit.decisions.fit import fit_decisions, is_decided
from toolkit.metrics.tally import Tally, joined
from toolkit.networks.tta import EXACT, IDENTITY, parse_view, seen_by
from toolkit.probabilities import probabilities
from toolkit.store import read_json, write_json
from toolkit.task import IGNORED, Task

FLIPS = (IDENTITY, "horizontal", "vertical", "both")
ROUNDS = 8  # of the greedy selection
SHRINK = 0.5  # of the way from its weights to equal ones
POSITIONS = 2**19  # labels or pixels in memory at a time, for each view
Weights = tuple[float, ...]


@dataclass(frozen=True)
class ViewChoice:
    """Which views are averaged. `crossfitted` is the score of choosing them, `plain` that of `identity`."""

    views: tuple[str, ...]
    weights: tuple[float, ...]  # sum to 1
    crossfitted: float
    plain: float
    by_fold: tuple[dict[str, float], ...] = ()  # for each fold, the views and weights chosen on the others


def choose_views(labelled: Labelled, stored: Mapping[str, np.ndarray]) -> ViewChoice:
    """The views to average and their weights, from out-of-fold values (N, channels, ...) of `identity` and others.

    Candidates: `identity`; equal weights for the flips, for all that only exchange pixels, and for all views; and
    a greedy selection with replacement (Caruana et al. 2004), its weights shrunk half-way to equal ones. The best
    on the folds but one predicts that one, which gives the cross-fitted score: no sample is scored by a choice that
    saw it. Only where that is better than `identity` is the best on all folds taken, else `identity`.

    Reads every view some ten times in chunks.
    """
    names = tuple(stored)
    table = ViewConfusions(labelled, stored) if by_matrix(labelled.competition) else ViewTallies(labelled, stored)
    every = np.arange(labelled.folds)
    fits = [every, *(every[every != k] for k in every)]
    plain = tuple(float(name == IDENTITY) for name in names)
    equal = [_shares([float(name in some) for name in names]) for some in (FLIPS, tuple(EXACT), names)]
    table.measure([plain, *equal])
    greedy = [
        tuple(((1 - SHRINK) * np.array(found) + SHRINK / len(names)).tolist()) for found in _greedy(table, plain, fits)
    ]
    table.measure(greedy)
    best = [
        max(dict.fromkeys([plain, *equal, own]), key=lambda w, fit=fit: table.merit(w, fit))  # type: ignore[misc]
        for fit, own in zip(fits, greedy, strict=True)
    ]
    sign = labelled.competition.metric.sign
    crossfitted, unchanged = table.crossfitted(best[1:]), sign * table.merit(plain, every)
    if not labelled.competition.better(crossfitted, unchanged):
        best = [plain] * len(best)
    kept, *by_fold = ({name: w for name, w in zip(names, one, strict=True) if w} for one in best)
    return ViewChoice(tuple(kept), tuple(kept.values()), crossfitted, unchanged, tuple(by_fold))


def _shares(weights: Sequence[float]) -> Weights:
    return tuple(weight / sum(weights) for weight in weights)


# greedy.py counts steps to one end, on whole numbers; here each set of folds has its own
def _greedy(table: "ViewConfusions | ViewTallies", start: Weights, fits: Sequence[np.ndarray]) -> list[Weights]:
    """For each set of folds: views added one at a time, with replacement, while the score on those folds gains."""
    counts = [np.array(start) for _ in fits]
    going = set(range(len(fits)))
    for _ in range(ROUNDS):
        grown = {at: [counts[at] + step for step in np.eye(len(start))] for at in going}
        table.measure([_shares(each.tolist()) for options in grown.values() for each in options])
        for at in sorted(going):
            merits = [table.merit(_shares(each.tolist()), fits[at]) for each in grown[at]]
            if max(merits) <= table.merit(_shares(counts[at].tolist()), fits[at]):
                going.remove(at)
            else:
                counts[at] = grown[at][int(np.argmax(merits))]
    return [_shares(each.tolist()) for each in counts]


class ViewConfusions:
    """Confusion matrices int64 (K, C, C), by fold, of weighted means over views; each mean is measured once."""

    def __init__(self, labelled: Labelled, stored: Mapping[str, np.ndarray]) -> None:
        self.labelled, self.stored = labelled, list(stored.values())
        self.known: dict[Weights, np.ndarray] = {}

    def merit(self, weights: Weights, folds: np.ndarray) -> float:
        competition = self.labelled.competition
        return competition.metric.sign * float(competition.score(self.known[weights][folds].sum(0)))

    def crossfitted(self, chosen: Sequence[Weights]) -> float:
        """The score where each fold is averaged with weights of its own."""
        total = sum(self.known[weights][k] for k, weights in enumerate(chosen))
        return float(self.labelled.competition.score(np.asarray(total)))

    def measure(self, candidates: Collection[Weights]) -> None:
        """All that aren't known yet, in one pass over the stored views."""
        fresh = [weights for weights in dict.fromkeys(candidates) if weights not in self.known]
        if not fresh:
            return
        labelled = self.labelled
        classes, scored = len(labelled.competition.task.classes), np.array(labelled.competition.scored)
        cells = labelled.folds * classes**2
        counts = np.zeros((len(fresh), cells), np.int64)
        rows = np.flatnonzero(labelled.inside)
        step = max(1, POSITIONS // int(np.prod(labelled.truth.shape[1:], dtype=int)))
        shares = torch.tensor(fresh, dtype=torch.float32)
        for start in range(0, len(rows), step):
            at = rows[start : start + step]
            truth = labelled.truth[at].reshape(len(at), -1).astype(np.int64)
            kept = (truth != IGNORED).ravel()
            cell = ((labelled.fold[at, None] * classes + truth) * classes).ravel()[kept]
            # their sum has the label of their mean: a view without a vote has 0 for all classes
            views = [torch.from_numpy(probabilities(view[at])[:, scored]) for view in self.stored]
            values = torch.stack([view.transpose(0, 1).flatten(1) for view in views])
            for number, share in enumerate(shares):
                label = scored[first_largest(torch.tensordot(share, values, 1)).numpy()[kept]]
                counts[number] += np.bincount(cell + label, minlength=cells)
        self.known |= dict(zip(fresh, counts.reshape(len(fresh), -1, classes, classes), strict=True))


class ViewTallies:
    """As `ViewConfusions` for any task and metric: what it counts of each fold, of masks of a part of the images.

    What is to be decided is fitted for `identity`, and once for all that isn't it alone, for the mean of all views:
    for a fold that a choice is made on, on the others of those.
    """

    def __init__(self, labelled: Labelled, stored: Mapping[str, np.ndarray]) -> None:
        self.labelled, self.stored = labelled, list(stored.values())
        seen = [seen_where(labelled.competition.task, view) for view in stored]
        self.seen = [np.float32(1) if one is None else one.numpy() for one in seen]
        self.known: dict[Weights, dict[tuple[int, int], Tally]] = {}
        size = 4 * labelled.competition.task.channels
        size *= int(np.prod(labelled.truth.shape[1:], dtype=int)) if labelled.masks else 1
        self.rows = [few(labelled.rows(k), labelled.folds * size) for k in range(labelled.folds)]
        self.plain = tuple(float(name == IDENTITY) for name in stored)
        self.decided = is_decided(labelled.competition.task, labelled.competition.metric)
        self.decisions = [self._fitted(self.plain), self._fitted((1.0,) * len(stored))]

    def _fitted(self, weights: Weights) -> dict[tuple[int, int], Decisions]:
        """Without every two folds, and without every one."""
        competition, found = self.labelled.competition, {}
        for k in range(self.labelled.folds):
            for j in range(k, self.labelled.folds):
                made = PLAIN
                if self.decided and (rest := [i for i in range(self.labelled.folds) if i not in (j, k)]):
                    rows = np.sort(np.concatenate([self.rows[i] for i in rest]))
                    values = self._mixture(weights, [probabilities(view[rows]) for view in self.stored])
                    truth = np.asarray(self.labelled.truth[rows])
                    made = fit_decisions(competition.task, competition.metric, truth, values, competition.scored)
                found[j, k] = found[k, j] = made
        return found

    def _mixture(self, weights: Weights, views: Sequence[np.ndarray]) -> np.ndarray:
        shares = [np.float32(w) * seen for w, seen in zip(weights, self.seen, strict=True)]
        total: Any = sum(share * view for share, view in zip(shares, views, strict=True))
        mixture: np.ndarray = total / np.maximum(np.float32(1e-30), sum(shares))
        return mixture

    def merit(self, weights: Weights, folds: np.ndarray) -> float:
        """Of all folds, or of all but one."""
        left = set(range(self.labelled.folds)) - set(folds.tolist())
        tallies = [self._tally(weights, int(j), *(left or {int(j)})) for j in folds]
        found = self.labelled.competition.metric.sign * joined(tallies).as_part().score()
        return -np.inf if np.isnan(found) else found

    def crossfitted(self, chosen: Sequence[Weights]) -> float:
        """The score where each fold is averaged with weights of its own."""
        return joined([self._tally(weights, k, k) for k, weights in enumerate(chosen)]).score()

    def _tally(self, weights: Weights, fold: int, without: int) -> Tally:
        return self.known[weights][fold, without if self.decided else fold]

    def measure(self, candidates: Collection[Weights]) -> None:
        """All that aren't known yet, in one pass over the stored views."""
        fresh = [weights for weights in dict.fromkeys(candidates) if weights not in self.known]
        self.known |= {weights: {} for weights in fresh}
        for j, rows in enumerate(self.rows) if fresh else ():
            views = [probabilities(view[rows]) for view in self.stored]
            for weights in fresh:
                mixture, decisions = self._mixture(weights, views), self.decisions[weights != self.plain]
                for k in range(self.labelled.folds) if self.decided else (j,):
                    self.known[weights][j, k] = self.labelled.competition.tally(
                        np.asarray(self.labelled.truth[rows]), mixture, decisions[j, k]
                    )


def seen_where(task: Task, view: str) -> torch.Tensor | None:
    """As `Mean.add` takes it: of one of several classes what isn't seen has 0 for all of them."""
    if task.exclusive:
        return None
    return seen_by(parse_view(view), *task.image_shape[:2]) if task.masks else torch.ones(())


def first_largest(values: torch.Tensor) -> torch.Tensor:
    """argmax over the few rows of (S, positions), uint8: torch's own took most of the time of a choice on masks."""
    best, label = values[0].clone(), torch.zeros(values.shape[1], dtype=torch.uint8)
    for row in range(1, len(values)):
        label.masked_fill_(values[row] > best, row)
        torch.maximum(best, values[row], out=best)
    return label


def write_choice(path: Path, choice: ViewChoice) -> None:
    values = {"views": dict(zip(choice.views, choice.weights, strict=True)), "space": "probability"}
    scores = {"crossfitted": choice.crossfitted, "plain": choice.plain}
    write_json(path, values | scores | {"by_fold": choice.by_fold})


def read_choice(path: Path) -> ViewChoice:
    values = read_json(path, "views", "crossfitted", "plain", "by_fold")
    views, scores = values["views"], (values["crossfitted"], values["plain"])
    return ViewChoice(tuple(views), tuple(views.values()), *scores, tuple(values["by_fold"]))
