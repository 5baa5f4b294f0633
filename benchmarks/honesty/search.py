"""What a search promises of its winner, and a blend of its best trials of itself, where the truth is known.

A drawn world: 1,000 samples in 5 folds, each a group; trials are right on 90 % of them. Their recipes are worth more
or less by a standard deviation of .4 points, and so is each fold's training of one recipe. Samples are hard for all
trials alike: the errors of two trials correlate by .6. Trials come one after the other and are pruned by the
toolkit's own rules, each with its folds in an order of its own. The truth of a winner is the share of endlessly many
samples on which its recipe is right, whatever the luck of a training; that of a blend is counted on hidden samples,
fold by fold with the networks of that fold.

What all trials of one world owe to its samples alone, the mean of (score - truth) over all of them, says nothing of a
choice and has mean 0: it is taken off, which makes the simulation's standard errors smaller.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.stats import norm

from benchmarks.honesty.measured import Measured
from toolkit.blending.blenders import blenders_for
from toolkit.blending.candidates import Candidate, SeedGroup
from toolkit.blending.crossfit import cross_fit
from toolkit.blending.pool import make_pool
from toolkit.blending.solution import mixed
from toolkit.competition import Competition, load_competition
from toolkit.data.labelled import Labelled
from toolkit.metrics.confusion import Accuracy
from toolkit.scoring.selection import Folds, FoldTally, pooled_score, worth_of_best
from toolkit.store import Workspace
from toolkit.task import Classification
from toolkit.tuning.pruning import below_median, fold_noise, should_prune
from toolkit.tuning.trials import fold_order

ROOT = Path(__file__).parents[2]
SAMPLES, FOLDS, HIDDEN = 1000, 5, 4000
MIDDLE = float(norm.ppf(0.9))  # of margins: a sample is right where its margin is above 0
POINTS = 0.01 / float(norm.pdf(MIDDLE))  # of the margin, for a point of accuracy
SPREAD = LUCK = 0.4 * POINTS  # of recipes, and of trainings
SHARED = 0.87  # of a margin's variance between samples, the same for all trials
SHARPNESS = 2.0  # of probabilities
REPEATS = {20: 160, 60: 80, 200: 40}  # by trials
BLENDS = 50
BEST = 4
QUICK = ("mean", "single", "best-1", "best-2", "best-4", "best-8", "greedy")  # blenders: others take most of the time


@dataclass(frozen=True)
class World:
    """The same samples for all trials: targets and how hard they are, (SAMPLES + HIDDEN,), the hidden ones last."""

    competition: Competition
    rng: np.random.Generator
    targets: np.ndarray
    hard: np.ndarray

    @property
    def fold(self) -> np.ndarray:
        return np.arange(SAMPLES) % FOLDS

    def probabilities(self, margins: np.ndarray, rows: slice) -> np.ndarray:
        """float16 (n, 2) of these rows, from their margins (n,)."""
        right = 1 / (1 + np.exp(-SHARPNESS * margins))
        return np.where(self.targets[rows, None] == np.arange(2), right[:, None], 1 - right[:, None]).astype(
            np.float16
        )


@dataclass(frozen=True)
class Trial:
    """order: of its folds, as they came; folds: as they are judged; truth: of its recipe; networks: the truth of each
    fold's, (FOLDS,); margins: theirs, (FOLDS, SAMPLES + HIDDEN).
    """

    order: list[int]
    folds: Folds
    truth: float
    networks: np.ndarray
    margins: np.ndarray


def draw_world(seed: int) -> World:
    rng = np.random.default_rng(seed)
    cells = load_competition(ROOT / "competitions" / "blood_cells")
    competition = replace(cells, task=Classification(("a", "b"), (1, 1, 1)), metric=Accuracy(), try_submission=None)
    number = SAMPLES + HIDDEN
    return World(competition, rng, rng.integers(2, size=number), rng.standard_normal(number))


def draw_trial(world: World, number: int) -> Trial:
    """A recipe of the space, trained on all folds."""
    rng, worth = world.rng, MIDDLE + SPREAD * world.rng.standard_normal()
    margins = np.sqrt(SHARED) * world.hard + np.sqrt(1 - SHARED) * rng.standard_normal(len(world.hard))
    trained = worth + LUCK * rng.standard_normal((FOLDS, 1))
    margins = trained + margins
    folds = []
    for k in range(FOLDS):
        rows = np.arange(k, SAMPLES, FOLDS)
        truth = world.targets[rows]
        confusions = np.zeros((len(rows), 2, 2), np.int64)
        confusions[np.arange(len(rows)), truth, np.where(margins[k, rows] > 0, truth, 1 - truth)] = 1
        folds.append(FoldTally(k, rows, world.competition.tally_of({"counts": confusions})))
    return Trial(fold_order(0, number, FOLDS), folds, float(norm.cdf(worth)), norm.cdf(trained[:, 0]), margins)


def search(world: World, trials: int) -> tuple[list[Trial], float]:
    """The trials that a search leaves with all folds; and what all that were drawn owe to the world's samples."""
    finished: list[Trial] = []
    shared: list[float] = []
    best, noise = None, None
    for number in range(trials):
        trial = draw_trial(world, number)
        shared.append(pooled_score(trial.folds) - trial.truth)
        known = [one.folds for one in finished]
        done: list[FoldTally] = []
        for k in trial.order:
            done.append(trial.folds[k])
            if best is not None and should_prune(done, best.folds, noise=noise):
                break
            if below_median(done, known):
                break
        else:
            finished.append(trial)
            best = max(finished, key=lambda one: pooled_score(one.folds))
            noise = fold_noise([one.folds for one in finished])
    return finished, float(np.mean(shared))


def measure_winners(trials: int, repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """What is printed less the truth, in points: (repeats, 2), the winner's own score and the search's; and whether
    intervals hold the truth: (repeats, 3), that of the winner's own score, of the search's, of the optimism.
    """
    biases: list[list[float]] = []
    held: list[list[bool]] = []
    for repeat in range(repeats):
        world = draw_world(seed=1000 * trials + repeat)
        finished, shared = search(world, trials)
        found = worth_of_best([one.folds for one in finished], [one.order for one in finished])
        winner = finished[found.winner]
        own = worth_of_best([winner.folds] * 2)  # nothing is chosen: its own interval
        luck = found.naive - winner.truth - shared
        biases.append([luck, found.score - winner.truth - shared])
        held.append(
            [
                own.low <= winner.truth <= own.high,
                found.low <= winner.truth <= found.high,
                found.optimism_low <= luck <= found.optimism_high,
            ]
        )
    return 100 * np.array(biases), np.array(held)


def blend(world: World, trials: Sequence[Trial]) -> tuple[float, float]:
    """The cross-fitted score of a blend of these trials, and its truth."""
    rows, none, seen, hidden = (
        np.arange(SAMPLES),
        np.zeros((0, 1, 1, 1), np.uint8),
        slice(SAMPLES),
        slice(SAMPLES, None),
    )
    labelled = Labelled(
        competition=world.competition,
        workspace=Workspace(Path(), "drawn"),
        images=none,
        truth=world.targets[seen],
        targets=world.targets[seen],
        trained=np.ones(SAMPLES, np.bool_),
        ids=rows,
        test_images=none,
        fold=world.fold,
        group=rows,
        relabels=np.zeros((0, 2), np.int64),
        data_hash="",
        folds_hash="",
        test_ids=rows[:0],
        names=rows.astype(str),
    )
    oof = [world.probabilities(one.margins[world.fold, rows], seen) for one in trials]
    pool = make_pool(labelled, [Candidate(f"{m}", f"{m}", one) for m, one in enumerate(oof)])
    found = cross_fit(pool, [one for one in blenders_for(pool) if one.name in QUICK])
    right = []
    for k in range(FOLDS):
        unseen = [Candidate("", "", none, world.probabilities(one.margins[k, hidden], hidden)) for one in trials]
        groups = tuple(SeedGroup("", (one,)) for one in unseen)
        values = mixed(replace(pool, seed_groups=groups), found.final[1], "test", np.arange(HIDDEN))
        right.append(values.argmax(1) == world.targets[hidden])
    # what these trials owe to the hidden samples, as to their own
    owed = [(one.margins[:, hidden] > 0).mean() - one.networks.mean() for one in trials]
    return found.score, float(np.mean(right) - np.mean(owed))


def measure_blends(repeats: int, trials: int = 20) -> np.ndarray:
    """What is printed less the truth, in points: (repeats, 2), of the best few chosen on all folds, and of all trials
    that have all folds: means of the best few are among the blenders, chosen on the folds that they are fitted on.
    """
    biases = []
    for repeat in range(repeats):
        world = draw_world(seed=repeat)
        finished, shared = search(world, trials)
        ranked = sorted(finished, key=lambda one: -pooled_score(one.folds))
        both = [blend(world, ranked[:BEST]), blend(world, finished)]
        biases.append([score - truth - shared for score, truth in both])
    return 100 * np.array(biases)


def measure(repeats: int | None = None) -> list[Measured]:
    """The printed numbers of searches; repeats: of each simulation (None: as many as take minutes in all)."""
    found, held = [], []
    for trials, usual in REPEATS.items():
        biases, intervals = measure_winners(trials, repeats or usual)
        what = f"a search's score after {trials} trials, less the truth, in points"
        found.append(_measured(f"search_{trials}", what, biases, "0, give or take .2"))
        held.append(intervals)
    biases = measure_blends(repeats or BLENDS)
    what = f"the cross-fitted score of a blend over the {BEST} best of 20 trials, less the truth, in points"
    found.append(_measured("blend_of_best", what, biases, "0, give or take .2"))
    own, ours, optimism = np.concatenate(held).T
    what = "how often the score's 95 % interval holds the truth"
    found.append(_measured("search_interval", what, np.column_stack([own, ours]).astype(float), ".95"))
    what = "how often the optimism's 95 % interval holds the winner's luck (before: there was none)"
    found.append(_measured("search_optimism", what, np.column_stack([0 * optimism, optimism]).astype(float), ".95"))
    return found


def _measured(key: str, what: str, values: np.ndarray, target: str) -> Measured:
    """values: (repeats, 2), before and now."""
    error = values.std(0, ddof=1) / np.sqrt(len(values))
    old, new = values.mean(0)
    return Measured(key, what, float(old), float(error[0]), float(new), float(error[1]), target)
