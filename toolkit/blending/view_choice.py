"""Views of a run: predicted once and stored, then chosen and weighted on out-of-fold probabilities.

`store_views` leaves `views/<view>/oof.npy` and `test.npy` in the run's folder, `open_views` maps them into memory,
`choose_views` says which of them to average, `averaged` does it. Views come from `toolkit.tta`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from toolkit.competition import Competition
from toolkit.data.dataset import data_hash, open_dataset
from toolkit.data.folds import folds_hash, read_folds
from toolkit.errors import UserError
from toolkit.metrics import IGNORED
from toolkit.networks.devices import resolve_device
from toolkit.networks.network import load_network
from toolkit.networks.views import EXACT, FLOOR, Mean, Space, parse_views, predict_view
from toolkit.probabilities import chunks, open_probabilities, probabilities, write_probabilities
from toolkit.recipe import Recipe, from_dict
from toolkit.store import Workspace, atomic, hash_file, read_json, read_manifest, write_json, write_manifest

PLAIN = "identity"  # the image as it is: the run's own predictions
FLIPS = (PLAIN, "horizontal", "vertical", "both")
CHOICE = "views.json"
ROUNDS = 8  # of the greedy selection
SHRINK = 0.5  # of the way from its weights to equal ones
STORED_FLOOR = 1 / 1020  # under a logarithm, of a probability that is stored as a 255th
POSITIONS = 2**19  # labels or pixels in memory at a time, for each view
Weights = tuple[float, ...]


def default_views(recipe: Recipe, image_shape: tuple[int, int, int], exact: bool = True) -> tuple[str, ...]:
    """Names of the views that a recipe's augmentation has made familiar to its networks.

    exact: only those that exchange pixels, which a code submission can honour too; else also a turn and a change
    of scale either way, by half of what was trained.
    """
    augment, (height, width, _) = recipe.augment, image_shape
    chosen = [PLAIN]
    if augment.flip != "none":
        chosen.append("horizontal")
    if augment.flip == "both":
        chosen.append("vertical")
    if augment.flip == "both" or augment.rotate == 180:
        chosen.append("both")
    if augment.flip == "horizontal" and augment.rotate == 180:
        chosen.append("vertical")
    if augment.rotate >= 90 and height == width:
        chosen += ["rot90", "rot270"] + ["transpose", "antitranspose"] * (augment.flip != "none")
    if not exact:
        if augment.rotate:
            chosen += [f"rotate{sign}{min(augment.rotate / 2, 15):g}" for sign in ("", "-")]
        if augment.scale:
            chosen += [f"scale{1 + sign * augment.scale / 2:g}" for sign in (-1, 1)]
    return tuple(chosen)


def store_views(
    competition: Competition, workspace: Workspace, run: Path, views: Iterable[str], device_name: str = "auto"
) -> None:
    """Predict, through each view, what the finished run predicted: its validation rows and the test images.

    Probabilities are stored as the run's own, in chunks, each view whole or not at all; views that are there are
    kept while the run's weights are the same. Where a view doesn't see a pixel all classes have 0. `identity` is
    the run itself. Raises UserError for a view that doesn't fit, a run on other data or folds, or without weights.
    """
    dataset, table, done = open_dataset(workspace.data), read_folds(workspace), read_manifest(run)
    if done is None or (done["data"], done["folds"]) != (data_hash(workspace.data), folds_hash(table)):
        raise UserError(f"{run} is no finished run on the present data and folds; train it again")
    recipe, fold = from_dict(read_json(run / "recipe.json")), table["fold"].to_numpy()
    weights = [run / f"fold_{k}" / "weights.safetensors" for k in range(int(fold.max()) + 1)]
    for path in weights:
        if not path.exists():
            raise UserError(f"{path} does not exist any more; train {recipe.name} again")
    height, width, _ = competition.task.image_shape
    missing = []
    inputs = {"run": done, "weights": [hash_file(path) for path in weights]}
    for view in parse_views(views, height, width):
        if view.name != PLAIN and read_manifest(_folder(run, view.name)) != inputs:
            missing.append(view.name)
    if not missing:
        return
    device = resolve_device(device_name)
    networks = [load_network(competition, recipe, path, device) for path in weights]

    def predict(number: int, images: np.ndarray, view: str) -> np.ndarray:
        return predict_view(networks[number], images, competition.scored, device, recipe.precision, view)

    def out_of_fold(view: str, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
        for at in chunks(len(fold)):
            part = np.zeros((at.stop - at.start, *shape[1:]), np.float32)
            for number in np.unique(fold[at][fold[at] >= 0]):
                rows = np.flatnonzero(fold[at] == number)
                part[rows] = predict(number, dataset.images[at.start + rows], view)
            yield part

    def test(view: str) -> Iterator[np.ndarray]:
        for at in chunks(len(dataset.test_images)):
            parts = [predict(number, dataset.test_images[at], view) for number in range(len(networks))]
            yield np.mean(parts, axis=0)

    for name in missing:
        with atomic(_folder(run, name)) as partial:
            partial.mkdir()
            like = open_probabilities(run / "oof.npy")
            write_probabilities(partial / "oof.npy", out_of_fold(name, like.shape), like.shape, like.dtype.type)
            if len(dataset.test_images):
                like = open_probabilities(run / "test.npy")
                write_probabilities(partial / "test.npy", test(name), like.shape, like.dtype.type)
            write_manifest(partial, inputs)


def _folder(run: Path, view: str) -> Path:
    return run / "views" / view


def open_views(run: Path, views: Iterable[str], kind: str = "oof") -> dict[str, np.ndarray]:
    """Stored probabilities (N, C, ...) by view, memory-mapped. kind: `oof` or `test`. UserError for one not stored."""
    found = {}
    for view in views:
        folder = run if view == PLAIN else _folder(run, view)
        if read_manifest(folder) is None:
            raise UserError(f"{run} has no stored view {view!r}; store it first")
        found[view] = open_probabilities(folder / f"{kind}.npy")
    return found


@dataclass(frozen=True)
class ViewChoice:
    """Which views are averaged. `crossfitted` is the score of choosing them, `plain` that of `identity`."""

    views: tuple[str, ...]
    weights: tuple[float, ...]  # sum to 1
    space: Space
    crossfitted: float
    plain: float
    by_fold: tuple[dict[str, float], ...] = ()  # for each fold, the views and weights chosen on the others


def choose_views(
    competition: Competition,
    targets: np.ndarray,
    folds: pd.DataFrame,
    stored: Mapping[str, np.ndarray],
    space: Space = "probability",
) -> ViewChoice:
    """The views to average and their weights, from out-of-fold probabilities (N, C, ...) of each view.

    Candidates: `identity`; equal weights for the flips, for all that only exchange pixels, and for all views; and
    a greedy selection with replacement (Caruana et al. 2004), its weights shrunk half-way to equal ones. The best
    on the folds but one predicts that one, which gives the cross-fitted score: no sample is scored by a choice that
    saw it. Only where that is better than `identity` is the best on all folds taken, else `identity`.

    targets: labels (N,) or masks (N, H, W); folds: the table of `read_folds`. Reads every view some ten times in
    chunks. Raises UserError without `identity` or a second fold.
    """
    names, fold = tuple(stored), folds["fold"].to_numpy()
    if PLAIN not in stored:
        raise UserError("views are compared with identity; store it too")
    if fold.max() < 1:
        raise UserError("views are chosen on other folds than they are scored on; one fold is not enough")
    table = _Confusions(competition, targets, fold, stored, space)
    every = np.arange(int(fold.max()) + 1)
    fits = [every, *(every[every != k] for k in every)]
    plain = tuple(float(name == PLAIN) for name in names)
    families = (FLIPS, tuple(EXACT), names)
    equal = [_shares([float(name in family) for name in names]) for family in families]
    table.measure([plain, *equal])
    greedy = [
        tuple(((1 - SHRINK) * np.array(found) + SHRINK / len(names)).tolist()) for found in _greedy(table, plain, fits)
    ]
    table.measure(greedy)
    best = [
        max(dict.fromkeys([plain, *equal, own]), key=lambda w, fit=fit: table.score(w, fit))  # type: ignore[misc]
        for fit, own in zip(fits, greedy, strict=True)
    ]
    total = sum(table.known[best[1 + k]][k] for k in every)
    crossfitted, unchanged = float(competition.score(np.asarray(total))), table.score(plain, every)
    if crossfitted <= unchanged:
        best = [plain] * len(best)
    kept, *by_fold = ({name: w for name, w in zip(names, one, strict=True) if w} for one in best)
    return ViewChoice(tuple(kept), tuple(kept.values()), space, crossfitted, unchanged, tuple(by_fold))


def _shares(weights: Sequence[float]) -> Weights:
    return tuple(weight / sum(weights) for weight in weights)


class _Confusions:
    """Confusion matrices int64 (K, C, C), by fold, of weighted means over views; each mean is measured once."""

    def __init__(
        self,
        competition: Competition,
        targets: np.ndarray,
        fold: np.ndarray,
        stored: Mapping[str, np.ndarray],
        space: Space,
    ) -> None:
        self.competition, self.targets, self.fold, self.space = competition, targets, fold, space
        self.stored = list(stored.values())
        self.known: dict[Weights, np.ndarray] = {}

    def score(self, weights: Weights, folds: np.ndarray) -> float:
        return float(self.competition.score(self.known[weights][folds].sum(0)))

    def measure(self, candidates: Collection[Weights]) -> None:
        """All that aren't known yet, in one pass over the stored views."""
        fresh = [weights for weights in dict.fromkeys(candidates) if weights not in self.known]
        if not fresh:
            return
        classes, scored = len(self.competition.task.classes), np.array(self.competition.scored)
        cells = (int(self.fold.max()) + 1) * classes**2
        counts = np.zeros((len(fresh), cells), np.int64)
        rows = np.flatnonzero(self.fold >= 0)
        step = max(1, POSITIONS // int(np.prod(self.targets.shape[1:], dtype=int)))
        shares = torch.tensor(fresh, dtype=torch.float32)
        for start in range(0, len(rows), step):
            at = rows[start : start + step]
            truth = self.targets[at].reshape(len(at), -1).astype(np.int64)
            kept = (truth != IGNORED).ravel()
            cell = ((self.fold[at, None] * classes + truth) * classes).ravel()[kept]
            values = torch.stack([self._values(view[at], scored) for view in self.stored])
            for number, share in enumerate(shares):
                label = scored[_first_largest(torch.tensordot(share, values, 1)).numpy()[kept]]
                counts[number] += np.bincount(cell + label, minlength=cells)
        self.known |= dict(zip(fresh, counts.reshape(len(fresh), -1, classes, classes), strict=True))

    def _values(self, stored: np.ndarray, scored: np.ndarray) -> torch.Tensor:
        """What is added up, (S, positions): the label of the sum is that of the mean, as a view without a vote adds
        the same to all classes and a mean's scale and renormalisation move no maximum.
        """
        mean = Mean(self.space, _floor(stored))
        mean.add(torch.from_numpy(probabilities(stored)[:, scored]), 1.0)
        return torch.as_tensor(mean.total).transpose(0, 1).flatten(1)


def _first_largest(values: torch.Tensor) -> torch.Tensor:
    """argmax over the few rows of (S, positions), uint8: torch's own took most of the time of a choice on masks."""
    best, label = values[0].clone(), torch.zeros(values.shape[1], dtype=torch.uint8)
    for row in range(1, len(values)):
        label.masked_fill_(values[row] > best, row)
        torch.maximum(best, values[row], out=best)
    return label


def _floor(stored: np.ndarray) -> float:
    return STORED_FLOOR if stored.dtype == np.uint8 else FLOOR


def _greedy(table: _Confusions, start: Weights, fits: Sequence[np.ndarray]) -> list[Weights]:
    """For each set of folds: views added one at a time, with replacement, while the score on those folds gains."""
    counts = [np.array(start) for _ in fits]
    going = set(range(len(fits)))
    for _ in range(ROUNDS):
        grown = {at: [counts[at] + step for step in np.eye(len(start))] for at in going}
        table.measure([_shares(each.tolist()) for options in grown.values() for each in options])
        for at in sorted(going):
            scores = [table.score(_shares(each.tolist()), fits[at]) for each in grown[at]]
            if max(scores) <= table.score(_shares(counts[at].tolist()), fits[at]):
                going.remove(at)
            else:
                counts[at] = grown[at][int(np.argmax(scores))]
    return [_shares(each.tolist()) for each in counts]


def averaged(competition: Competition, choice: ViewChoice, stored: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
    """The chosen mean of stored probabilities by view, float32 (n, C, ...) a chunk, in order."""
    weights = dict(zip(choice.views, choice.weights, strict=True))
    for at in chunks(len(stored[PLAIN])):
        yield _mean(competition, choice.space, weights, {view: stored[view][at] for view in weights})


def averaged_out_of_fold(
    competition: Competition, choice: ViewChoice, stored: Mapping[str, np.ndarray], fold: np.ndarray
) -> Iterator[np.ndarray]:
    """As `averaged`, each fold's rows with the views that were chosen without it; rows without a fold get 0."""
    for at in chunks(len(fold)):
        part = np.zeros((at.stop - at.start, *stored[PLAIN].shape[1:]), np.float32)
        for k, weights in enumerate(choice.by_fold):
            rows = np.flatnonzero(fold[at] == k)
            seen = {view: stored[view][at][rows] for view in weights}
            if len(rows):
                part[rows] = _mean(competition, choice.space, weights, seen)
        yield part


def _mean(
    competition: Competition, space: Space, weights: Mapping[str, float], seen: Mapping[str, np.ndarray]
) -> np.ndarray:
    like, scored = next(iter(seen.values())), list(competition.scored)
    mean = Mean(space, _floor(like))
    for view, weight in weights.items():
        mean.add(torch.from_numpy(probabilities(seen[view])[:, scored]), weight)
    result = np.zeros(like.shape, np.float32)
    result[:, scored] = mean.result().numpy()
    return result


def write_choice(folder: Path, choice: ViewChoice) -> None:
    """Keep the choice with the blend in `folder`, where `submit` finds it."""
    values = {"views": dict(zip(choice.views, choice.weights, strict=True)), "space": choice.space}
    scores = {"crossfitted": choice.crossfitted, "plain": choice.plain}
    write_json(folder / CHOICE, values | scores | {"by_fold": choice.by_fold})


def read_choice(folder: Path) -> ViewChoice | None:
    """The blend's choice of views; None where it was made without."""
    if not (folder / CHOICE).exists():
        return None
    values = read_json(folder / CHOICE)
    views = values["views"]
    scores = values["crossfitted"], values["plain"]
    return ViewChoice(tuple(views), tuple(views.values()), values["space"], *scores, tuple(values["by_fold"]))
