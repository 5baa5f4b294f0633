"""Trials judged as a search judges them: real ones of a table, replayed, and drawn ones that are equals."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.search_surrogate import Drawn, Surrogate
from benchmarks.search_table import Table
from toolkit.competition import Competition
from toolkit.scoring.selection import Folds, FoldTally, pooled_score, worth_of_best
from toolkit.tuning.pruning import (
    THRESHOLD,
    Noise,
    below_median,
    end_if_pruned,
    expected_score,
    fold_change,
    fold_noise,
    should_prune,
)

INSIDE, TEST, MEDIAN = RULES = ("inside their first fold", "by the test", "by the median")


class Judge:
    """Which folds and epochs a trial gets, as our search decides, from the trials that were finished before."""

    def __init__(self, competition: Competition, threshold: float = THRESHOLD, median: bool = True) -> None:
        self.competition, self.threshold, self.median = competition, threshold, median
        self.finished: list[tuple[float, Drawn]] = []
        self.noise: Noise | None = None
        self.pruned = dict.fromkeys(RULES, 0)  # trials, by what pruned them
        self.curves: list[dict[int, dict[float, float]]] = []  # of each trial, by fold

    def run(self, trial: Drawn, order: Sequence[int], report: Callable[[float], None]) -> tuple[float, Folds]:
        """The cost, and the folds that were trained; fewer than all where it was pruned.

        What the trial is likely to have on all folds is reported after each, and where it is pruned before.
        """
        cost = 0.0
        done: list[FoldTally] = []
        for k in order:
            if not done:
                for share, score in sorted(trial.curves[k].items()):
                    end = end_if_pruned(score, share, k, self.curves)
                    if end is not None:
                        self.pruned[INSIDE] += 1
                        report(end + fold_change([k], [one.folds for _, one in self.finished]))
                        return share * float(trial.seconds[k]), []
                self.curves.append({})
            self.curves[-1][k] = trial.curves[k]
            cost += float(trial.seconds[k])
            done.append(trial.folds[k])
            report(expected_score(done, [one.folds for _, one in self.finished]))
            if self.finished:
                best = max(self.finished, key=lambda one: one[0])[1].folds
                if should_prune(done, best, self.threshold, self.noise):
                    self.pruned[TEST] += 1
                    break
                if self.median and below_median(done, [one.folds for _, one in self.finished]):
                    self.pruned[MEDIAN] += 1
                    break
        if len(done) == len(trial.folds):
            self.finished.append((pooled_score(done), trial))
            self.noise = fold_noise([one.folds for _, one in self.finished])
        return cost, done


def replay(
    table: Table, competition: Competition, orders: int = 100, threshold: float = THRESHOLD, median: bool = True
) -> dict[str, Any]:
    """What pruning would have left out of the table's complete runs, in medians over orders of their folds.

    pruned: runs in the mean over the orders, by rule; given_up: runs without all folds, which were pruned when they
    were searched; what the folds that they lack would have taken, as a share of the time of all runs with all folds.
    """
    runs = [Drawn(table.folds(run), table.seconds[run], table.curves[run]) for run in table.complete]
    choice = worth_of_best([run.folds for run in runs])
    saved, folds, lost, kept = [], [], [], 0
    pruned = dict.fromkeys(RULES, 0.0)
    for seed in range(orders):
        rng = np.random.default_rng(seed)
        judge, spent, trained = Judge(competition, threshold, median), 0.0, 0
        for run in runs:
            cost, done = judge.run(run, rng.permutation(len(run.folds)).tolist(), lambda score: None)
            spent += cost
            trained += len(done)
        saved.append(1 - spent / sum(float(run.seconds.sum()) for run in runs))
        folds.append(trained)
        pruned = {rule: number + judge.pruned[rule] / orders for rule, number in pruned.items()}
        best = max(score for score, _ in judge.finished)
        lost.append(choice.naive - best)
        kept += best == choice.naive
    low, middle, high = np.percentile(saved, [5, 50, 95])
    given_up = table.trained.any(1) & ~table.trained.all(1)
    each = np.where(table.trained, table.seconds, 0).sum(1) / np.maximum(table.trained.sum(1), 1)
    unspent = float((each * (~table.trained).sum(1))[given_up].sum())
    return {
        "given_up": int(given_up.sum()),
        "time_saved_when_searched": unspent / float(each.sum() * table.trained.shape[1]),
        "runs": len(runs),
        "folds": sum(len(run.folds) for run in runs),
        "folds_trained": float(np.median(folds)),
        "pruned": pruned,
        "time_saved": float(middle),
        "time_saved_low": float(low),
        "time_saved_high": float(high),
        "winner_kept": kept / orders,
        "score_lost_mean": float(np.mean(lost)),
        "score_lost_max": float(np.max(lost)),
        "naive": choice.naive,
        "crossfitted": choice.score,
        "crossfitted_low": choice.low,
        "crossfitted_high": choice.high,
        "optimism": choice.optimism,
        "optimism_words": choice.words,
    }


def inside(table: Table, orders: int = 100) -> dict[str, float]:
    """What stopping inside the first fold would have done to all runs of the table, those given up later included.

    stopped: share of the trials; saved: folds a trial; best_quarter: share of all trials that were stopped though
    they ended in the best quarter on that fold.
    """
    stopped, saved, wronged = 0, 0.0, 0
    ends = [[one[k][1.0] for one in table.curves if one[k]] for k in range(table.trained.shape[1])]
    for seed in range(orders):
        rng = np.random.default_rng(seed)
        known: list[dict[int, dict[float, float]]] = []
        for run in rng.permutation(len(table.curves)):
            curves = {k: curve for k, curve in enumerate(table.curves[run]) if curve}
            k = int(rng.choice(list(curves)))
            at = [share for share, score in curves[k].items() if end_if_pruned(score, share, k, known) is not None]
            if at:
                stopped, saved = stopped + 1, saved + 1 - min(at)
                wronged += int(curves[k][1.0] >= np.quantile(ends[k], 0.75))
            else:
                known.append(curves)
    trials = orders * len(table.curves)
    return {"stopped": stopped / trials, "saved": saved / trials, "best_quarter": wronged / trials}


def equals(surrogate: Surrogate, rounds: int = 300, finished: int = 8) -> dict[str, float]:
    """How often a trial is pruned that is as good as the best.

    One more draw of a recipe that was drawn 8 times: alone, judged by the samples alone; folds, by what folds disagree
    on, too; ours, and by the best one's luck. varied: one more draw of the truly best of 8 random recipes, judged by
    the test and the median, as in a search; median: by the median alone.
    """
    pruned = dict.fromkeys(("alone", "folds", "ours", "varied", "median"), 0)
    competition = surrogate.competition
    for seed in range(rounds):
        rng = np.random.default_rng(seed)
        recipe = surrogate.random_recipe(rng)
        trial, *others = (surrogate.draw(recipe, rng).folds for _ in range(finished + 1))
        noise, best = _known(competition, others)
        for name, known in (("alone", None), ("folds", replace(noise, luck=0.0)), ("ours", noise)):
            pruned[name] += any(should_prune(trial[:k], best, noise=known) for k in range(1, len(trial)))
        recipes = [surrogate.random_recipe(rng) for _ in range(finished)]
        truly = recipes[int(surrogate.predict(recipes)[:, 0].argmax())]
        trial, *others = (surrogate.draw(one, rng).folds for one in (truly, *recipes))
        noise, best = _known(competition, others)
        below = any(below_median(trial[:k], others) for k in range(1, len(trial)))
        pruned["median"] += below
        pruned["varied"] += below or any(should_prune(trial[:k], best, noise=noise) for k in range(1, len(trial)))
    return {name: count / rounds for name, count in pruned.items()}


def _known(competition: Competition, finished: Sequence[Folds]) -> tuple[Noise, Folds]:
    """What finished trials say of chance, and the best of them."""
    noise = fold_noise(finished)
    assert noise is not None
    return noise, max(finished, key=lambda folds: pooled_score(folds))
