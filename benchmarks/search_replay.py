"""Trials judged as a search judges them: real ones of a table, replayed, and drawn ones that are equals."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.search_surrogate import Drawn, Surrogate
from benchmarks.search_table import Table
from toolkit.competition import Competition
from toolkit.tuning.pruning import (
    THRESHOLD,
    Fold,
    Noise,
    below_median,
    crossfit_winner,
    expected_score,
    fold_change,
    fold_noise,
    hopeless_end,
    pooled_score,
    should_prune,
)


class Judge:
    """Which folds and epochs a trial gets, as our search decides, from the trials that were finished before."""

    def __init__(self, competition: Competition, threshold: float = THRESHOLD, median: bool = True) -> None:
        self.competition, self.threshold, self.median = competition, threshold, median
        self.finished: list[tuple[float, Drawn]] = []
        self.noise: Noise | None = None
        self.courses: list[dict[int, dict[float, float]]] = []  # of each trial, by fold

    def run(self, trial: Drawn, order: Sequence[int], report: Callable[[float], None]) -> tuple[float, list[Fold]]:
        """The cost, and the folds that were trained; fewer than all where it was stopped.

        What the trial is likely to have on all folds is reported after each, and where it is stopped before.
        """
        cost = 0.0
        done: list[Fold] = []
        for k in order:
            if not done:
                for share, score in sorted(trial.courses[k].items()):
                    end = hopeless_end(score, share, k, self.courses)
                    if end is not None:
                        report(end + fold_change(self.competition, [k], [one.folds for _, one in self.finished]))
                        return share * float(trial.seconds[k]), []
                self.courses.append({})
            self.courses[-1][k] = trial.courses[k]
            cost += float(trial.seconds[k])
            done.append(trial.folds[k])
            report(expected_score(self.competition, done, [one.folds for _, one in self.finished]))
            if self.finished:
                best = max(self.finished, key=lambda one: one[0])[1].folds
                if should_prune(self.competition, done, best, self.threshold, self.noise):
                    break
                if self.median and below_median(self.competition, done, [one.folds for _, one in self.finished]):
                    break
        if len(done) == len(trial.folds):
            self.finished.append((pooled_score(self.competition, done), trial))
            self.noise = fold_noise(self.competition, [one.folds for _, one in self.finished])
        return cost, done


def replay(
    table: Table, competition: Competition, orders: int = 100, threshold: float = THRESHOLD, median: bool = True
) -> dict[str, Any]:
    """What pruning would have left out of the table's complete runs, in medians over orders of their folds.

    given_up: runs without all folds, which were pruned when they were searched; what the folds that they lack would
    have taken, as a share of the time of all runs with all folds.
    """
    runs = [Drawn(table.folds(run), table.seconds[run], table.courses[run]) for run in table.complete]
    choice = crossfit_winner(competition, [run.folds for run in runs])
    saved, folds, inside, lost, kept = [], [], [], [], 0
    for seed in range(orders):
        random = np.random.default_rng(seed)
        judge, spent, trained, within = Judge(competition, threshold, median), 0.0, 0, 0
        for run in runs:
            cost, done = judge.run(run, random.permutation(len(run.folds)).tolist(), lambda score: None)
            spent += cost
            trained += len(done)
            within += not done
        saved.append(1 - spent / sum(float(run.seconds.sum()) for run in runs))
        folds.append(trained)
        inside.append(within)
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
        "stopped_inside_a_fold": float(np.median(inside)),
        "time_saved": float(middle),
        "time_saved_low": float(low),
        "time_saved_high": float(high),
        "winner_kept": kept / orders,
        "score_lost_mean": float(np.mean(lost)),
        "score_lost_max": float(np.max(lost)),
        "naive": choice.naive,
        "crossfitted": choice.crossfitted,
        "optimism": choice.optimism,
    }


def inside(table: Table, orders: int = 100) -> dict[str, float]:
    """What stopping inside the first fold would have done to all runs of the table, those given up later included.

    stopped: share of the trials; saved: folds a trial; best_quarter: share of all trials that were stopped though
    they ended in the best quarter on that fold.
    """
    stopped, saved, wronged = 0, 0.0, 0
    ends = [[one[k][1.0] for one in table.courses if one[k]] for k in range(table.trained.shape[1])]
    for seed in range(orders):
        random = np.random.default_rng(seed)
        known: list[dict[int, dict[float, float]]] = []
        for run in random.permutation(len(table.courses)):
            courses = {k: course for k, course in enumerate(table.courses[run]) if course}
            k = int(random.choice(list(courses)))
            at = [share for share, score in courses[k].items() if hopeless_end(score, share, k, known) is not None]
            if at:
                stopped, saved = stopped + 1, saved + 1 - min(at)
                wronged += int(courses[k][1.0] >= np.quantile(ends[k], 0.75))
            else:
                known.append(courses)
    trials = orders * len(table.courses)
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
        random = np.random.default_rng(seed)
        recipe = surrogate.random_recipe(random)
        trial, *others = (surrogate.draw(recipe, random).folds for _ in range(finished + 1))
        noise, best = _known(competition, others)
        for name, known in (("alone", None), ("folds", replace(noise, luck=0.0)), ("ours", noise)):
            pruned[name] += any(should_prune(competition, trial[:k], best, noise=known) for k in range(1, len(trial)))
        recipes = [surrogate.random_recipe(random) for _ in range(finished)]
        truly = recipes[int(surrogate.predict(recipes)[:, 0].argmax())]
        trial, *others = (surrogate.draw(one, random).folds for one in (truly, *recipes))
        noise, best = _known(competition, others)
        below = any(below_median(competition, trial[:k], others) for k in range(1, len(trial)))
        pruned["median"] += below
        pruned["varied"] += below or any(
            should_prune(competition, trial[:k], best, noise=noise) for k in range(1, len(trial))
        )
    return {name: count / rounds for name, count in pruned.items()}


def _known(competition: Competition, finished: Sequence[Sequence[Fold]]) -> tuple[Noise, Sequence[Fold]]:
    """What finished trials say of chance, and the best of them."""
    noise = fold_noise(competition, finished)
    assert noise is not None
    return noise, max(finished, key=lambda folds: pooled_score(competition, folds))
