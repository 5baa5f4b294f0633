"""How often a score's interval holds the truth, and how often an equal run is called worse; both drawn."""

from dataclasses import replace

import numpy as np

from benchmarks.honesty.measured import Measured
from competitions.blood_cells import competition as blood_cells
from competitions.mars import competition as mars
from toolkit.scoring.bootstrap import interval, resample, score_interval
from toolkit.scoring.comparison import compare
from toolkit.task import Classification

SIZES = (10, 20, 50, 100)  # groups
RUNS, SAMPLES = 20, 1000
TWO = replace(blood_cells, task=Classification(("right", "wrong"), (8, 8, 1)))


def measure(repeats: int | None = None) -> list[Measured]:
    """Coverage of 95 % intervals of mean IoU by the number of groups, and false alarms in reports of 20 equal runs.

    repeats: samples drawn for each number of groups; an eighth as many reports.
    """
    repeats = repeats or 400
    rng = np.random.default_rng(0)
    truth = float(mars.score(panoramas(rng, 20_000).sum(0)))
    found = []
    for groups in SIZES:
        held = np.array([held_by(rng, groups, truth) for _ in range(repeats)])
        what = f"95 % interval of mean IoU over {groups} groups holds the truth"
        found.append(_share(f"coverage_{groups}", what, held, "at least .85" if groups < 20 else "at least .90"))
    called = np.array([_called_worse(rng) for _ in range(max(2, repeats // 8))])  # (reports, 2, RUNS - 1)
    what = f"of {RUNS} equal runs of {SAMPLES:,} samples, those called worse than the best"
    return [*found, _share("false_worse_20", what, called.mean(2), "at most .05")]


def panoramas(rng: np.random.Generator, number: int) -> np.ndarray:
    """Confusions (number, 5, 5) of groups that differ in difficulty, the last class in an eighth of them."""
    share = rng.dirichlet([0.6, 1, 0.8, 0.6], number)
    rare = rng.beta(1, 4, number) * (rng.random(number) < 0.12)
    counts = np.column_stack([share * (1 - rare[:, None]), rare]) * 1000
    logit = np.array([1, 2, 1.5, 1.2, 0.3]) + rng.normal(0, 0.8, (number, 1)) + rng.normal(0, 0.8, (number, 5))
    right = counts / (1 + np.exp(-logit))
    made = (counts - right)[:, :, None] * rng.dirichlet(np.full(5, 0.3), (number, 5))
    made[:, np.arange(5), np.arange(5)] += right
    return made


def held_by(rng: np.random.Generator, groups: int, truth: float) -> tuple[bool, bool]:
    """Is the truth in the interval of so many groups? By the percentile bootstrap alone, and as it is printed."""
    each, group = panoramas(rng, groups), np.arange(groups)
    ends = interval(mars.score(resample(each, group))), score_interval(mars.tally_of({"counts": each}), group)
    return ends[0][0] <= truth <= ends[0][1], ends[1][0] <= truth <= ends[1][1]


def _equal_runs(rng: np.random.Generator) -> np.ndarray:
    """Confusions (RUNS, SAMPLES, 2, 2) of runs that find the same samples hard, each right in 90 % of them."""
    right = rng.random((RUNS, SAMPLES)) < rng.beta(1.2, 0.133, SAMPLES)
    made = np.zeros((RUNS, SAMPLES, 2, 2))
    made[:, :, 0, 0], made[:, :, 0, 1] = right, ~right
    return made


def _called_worse(rng: np.random.Generator) -> np.ndarray:
    """bool (2, RUNS - 1): each run against the best one alone, and as a report says it."""
    runs = _equal_runs(rng)
    best = int(TWO.score(runs.sum(1)).argmax())
    others, group = [run for at, run in enumerate(runs) if at != best], np.arange(SAMPLES)
    draws = TWO.score(resample(runs.swapaxes(0, 1), group))  # (draws, RUNS)
    apart = np.delete(draws, best, 1) - draws[:, [best]]
    alone = (apart > 0).mean(0) + (apart == 0).mean(0) / 2 <= 0.05
    tallies = [TWO.tally_of({"counts": run}) for run in (*others, runs[best])]
    together = [one.words == "worse" for one in compare(tallies[:-1], tallies[-1], group, draws=1000)]
    return np.array([alone, together])


def _share(key: str, what: str, held: np.ndarray, target: str) -> Measured:
    """The mean of what was found (repeats, 2), before and now."""
    old, new = held.mean(0)
    errors = held.std(0) / len(held) ** 0.5
    return Measured(key, what, float(old), float(errors[0]), float(new), float(errors[1]), target)
