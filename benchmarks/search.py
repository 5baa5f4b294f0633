"""How fast a search finds a good recipe, beside Optuna's defaults, and what pruning saves on real trials.

    python -m benchmarks.search --collect workspace competitions/mars --table FILE    once, from finished runs
    python -m benchmarks.search [--table FILE] [--seeds 50] [--json] [--picture FILE]

Replay: the runs of the table in their order, each with its real predictions and fold after fold in shuffled order;
what `toolkit.pruning` would have left out, how much time that is, and whether the winner would have been lost.
Nothing is simulated there but the orders of the folds (100 of them).

Race: a simulation. Real runs are too few to search among, so a random forest is fitted on them (from a recipe's
fields to its score, corrected for the folds it has, and to the seconds of a fold), and this forest is what is
searched: its best recipe is known, so regret is. A trial's score on a fold is what the forest says, plus what that
fold differs by, plus a residual drawn from those of the real runs' analysis of variance. Its predictions are those
of the two real runs next to it in score, group by group from one or the other in a drawn order, so that paired tests
meet real differences (beyond the best real run: of that one and of perfect ones). Its course over the epochs is that
of the real run nearest in score, scaled to end where the trial ends. The space spans what the runs span. It follows
that the race shows how searches deal with noise, cost and dimension of this size; not how recipes really score.

Optuna's defaults: `create_study(direction="maximize")`, thus `TPESampler()` and `MedianPruner()`, folds in order,
the running mean reported after each, as in its tutorials. Ours: TPE with groups, hand-made recipes first where the
table's fields tell them apart, shuffled folds, `toolkit.pruning`. Both get the same time; what counts is the true
score of the trial that each would name. `cost_over_optuna`: the share of the time in which ours has, in the median
over seeds, the regret that the defaults end with.
"""

import argparse
import json
import math
import time
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_surrogate import Drawn, Params, Surrogate
from benchmarks.search_table import Table, collect, load, save
from toolkit import console
from toolkit.competition import Competition, load_competition
from toolkit.errors import UserError
from toolkit.pruning import (
    THRESHOLD,
    Fold,
    Noise,
    crossfit_winner,
    fold_noise,
    pooled_score,
    should_prune,
    should_stop_epoch,
)
from toolkit.store import Workspace

ROOT = Path(__file__).parent.parent
TABLE = Path(__file__).parent / "search_mars.npz"
GRID = 50  # shares of the time at which regret is compared
RESERVE, FINALISTS, REPEATED = 0.2, 3, 2  # as in the search itself: share of the time, trials finished and repeated


@dataclass(frozen=True)
class Method:
    """How to search. pruning: ours, median, none; grouped: our sampler; first: hand-made recipes before others;
    finals: a share of the time is kept for finishing and repeating the best."""

    name: str
    pruning: str = "ours"
    grouped: bool = True
    first: bool = True
    finals: bool = True
    threshold: float = THRESHOLD


OURS = Method("ours")
OPTUNA = Method("Optuna's defaults", "median", grouped=False, first=False, finals=False)
BLIND = Method("ours, no hand-made recipes", first=False)
OTHERS = (
    Method("ours, nothing pruned", "none"),
    Method("ours, median pruner", "median"),
    Method("ours, threshold 0.3", threshold=0.3),
    Method("ours, no finals", finals=False),
    Method("Optuna's, hand-made recipes", "median", grouped=False, finals=False),
    Method("Optuna's, nothing pruned", "none", grouped=False, first=False, finals=False),
)


@dataclass(frozen=True)
class Tried:
    """A trial of a race. known: its score, or what a stopped one's is taken for, from the folds that it has."""

    over: float  # the time at which it ended
    recipe: Params
    true: float
    score: float  # on all folds, whether it was stopped or not
    known: float
    stopped: bool
    left: float  # seconds of the folds that it lacks
    wronged: bool  # stopped, and truly better than the best so far


class Judge:
    """Which folds and epochs a trial gets, as our search decides, from the trials that were finished before."""

    def __init__(self, competition: Competition, threshold: float = THRESHOLD) -> None:
        self.competition, self.threshold = competition, threshold
        self.finished: list[tuple[float, Drawn]] = []
        self.noise: Noise | None = None
        self.courses: dict[int, list[dict[float, float]]] = defaultdict(list)  # of all trials, by fold

    def run(self, trial: Drawn, order: Sequence[int]) -> tuple[float, list[Fold]]:
        """The cost, and the folds that were trained; fewer than all where it was stopped."""
        cost = 0.0
        done: list[Fold] = []
        for k in order:
            if not done:
                for share, score in sorted(trial.courses[k].items()):
                    if should_stop_epoch(score, share, self.courses[k]):
                        return share * float(trial.seconds[k]), []
            self.courses[k].append(trial.courses[k])
            cost += float(trial.seconds[k])
            done.append(trial.folds[k])
            if self.finished:
                best = max(self.finished, key=lambda one: one[0])[1].folds
                if should_prune(self.competition, done, best, self.threshold, self.noise):
                    break
        if len(done) == len(trial.folds):
            self.finished.append((pooled_score(self.competition, done), trial))
            self.noise = fold_noise(self.competition, [one.folds for _, one in self.finished])
        return cost, done

    def expected(self, done: Sequence[Fold]) -> float:
        """The best's score and the difference on the folds that both have; -inf without a fold."""
        if not done or not self.finished:
            return -math.inf
        score, best = max(self.finished, key=lambda one: one[0])
        shared = [best.folds[fold.number] for fold in done]
        return score + pooled_score(self.competition, done) - pooled_score(self.competition, shared)


def race(surrogate: Surrogate, method: Method, seed: int, budget: float) -> list[Tried]:
    """The trials that one search makes in that time."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    settings: dict[str, Any] = {"group": True, "multivariate": True} if method.grouped else {}
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, **settings))
    for recipe in surrogate.hand_made() if method.first else ():
        study.enqueue_trial(recipe)
    competition, judge, spent = surrogate.competition, Judge(surrogate.competition, method.threshold), 0.0
    tried: list[Tried] = []
    best: Tried | None = None
    while True:
        trial = study.ask()
        surrogate.suggest(trial)
        random = np.random.default_rng((seed, trial.number))
        drawn = surrogate.draw(trial.params, random)
        if method.pruning == "ours":
            score = pooled_score(competition, drawn.folds)
            cost, done = judge.run(drawn, [int(k) for k in random.permutation(len(drawn.folds))])
            stopped, known = len(done) < len(drawn.folds), score
            for step in range(len(done)):
                trial.report(pooled_score(competition, done[: step + 1]), step)
            if stopped:
                known = judge.expected(done)
        else:
            each = [pooled_score(competition, [fold]) for fold in drawn.folds]
            score, step, stopped = float(np.mean(each)), 0, False
            for step in range(len(each)):
                trial.report(float(np.mean(each[: step + 1])), step)
                if method.pruning == "median" and trial.should_prune():
                    stopped = True
                    break
            cost, known = float(drawn.seconds[: step + 1].sum()), float(np.mean(each[: step + 1]))
        spent += cost
        if spent > budget:
            return tried
        study.tell(trial, **({"state": optuna.trial.TrialState.PRUNED} if stopped else {"values": score}))
        true = float(surrogate.predict([trial.params])[0, 0])
        wronged = stopped and best is not None and true > best.true
        left = float(drawn.seconds.sum()) - cost
        tried.append(Tried(spent, dict(trial.params), true, score, known, stopped, left, wronged))
        if not stopped and (best is None or score > best.score):
            best = tried[-1]


def named(surrogate: Surrogate, method: Method, tried: Sequence[Tried], seed: int, budget: float) -> float:
    """The true score of the recipe that a search given this time names; a random recipe's where it names none."""
    until = budget * (1 - RESERVE if method.finals else 1)
    tried = [one for one in tried if one.over <= until]
    if not method.finals:
        whole = [one for one in tried if not one.stopped]
        return max(whole, key=lambda one: one.score).true if whole else surrogate.blind
    left = budget - until
    finals: list[tuple[Tried, list[float]]] = []
    for one in sorted(tried, key=lambda one: -one.known)[:FINALISTS]:
        if one.left <= left:
            left -= one.left
            finals.append((one, [one.score]))
    finals.sort(key=lambda final: -final[1][0])
    for at, (one, scores) in enumerate(finals[:REPEATED]):
        again = surrogate.draw(one.recipe, np.random.default_rng((seed, 10**6, at)))
        if again.seconds.sum() <= left:
            left -= float(again.seconds.sum())
            scores.append(pooled_score(surrogate.competition, again.folds))
    if not finals:
        return surrogate.blind
    return max(finals, key=lambda final: (len(final[1]), np.mean(final[1])))[0].true


def compare(surrogate: Surrogate, methods: Sequence[Method], seeds: int, trials: float) -> dict[str, dict[str, Any]]:
    """Every method on the same seeds and time, that of `trials` whole random ones; figures by name.

    With curves: `named` (seeds, GRID), what is named by a search that is given each share of the time.
    """
    budget = trials * len(surrogate.fold_effect) * surrogate.usual_seconds
    shares = np.linspace(0, 1, GRID + 1)[1:]
    found: dict[str, dict[str, Any]] = {}
    optimum = surrogate.optimum
    for method in methods:
        begun = time.perf_counter()
        raced = [race(surrogate, method, seed, budget) for seed in range(seeds)]
        every = [one for tried in raced for one in tried]
        optimum = max(optimum, max(one.true for one in every))
        stopped = sum(one.stopped for one in every)
        found[method.name] = {
            "curves": np.array(
                [
                    [named(surrogate, method, tried, seed, share * budget) for share in shares]
                    for seed, tried in enumerate(raced)
                ]
            ),
            "trials": float(np.median([len(tried) for tried in raced])),
            "stopped": stopped / len(every),
            "stopped_though_better": sum(one.wronged for one in every) / max(1, stopped),
            "seconds": time.perf_counter() - begun,
        }
    for figures in found.values():
        figures["curves"] = optimum - figures["curves"]
        low, middle, high = np.percentile(figures["curves"][:, -1], [25, 50, 75])
        figures |= {"regret": float(middle), "regret_low": float(low), "regret_high": float(high)}
    goal = found[OPTUNA.name]["regret"]
    for figures in found.values():
        figures["cost_over_optuna"] = cost_to_reach(shares, np.median(figures["curves"], 0), goal)
    return found


def cost_to_reach(shares: np.ndarray, median: np.ndarray, goal: float) -> float | None:
    """The share of the time from which on the median regret is never above the goal; None: not reached."""
    above = np.flatnonzero(median > goal + 1e-12)
    if not len(above):
        return float(shares[0])
    return None if above[-1] == len(shares) - 1 else float(shares[above[-1] + 1])


def replay(table: Table, competition: Competition, orders: int = 100, threshold: float = THRESHOLD) -> dict[str, Any]:
    """What pruning would have left out of the table's complete runs, in medians over orders of their folds."""
    runs = [Drawn(table.folds(run), table.seconds[run], table.courses[run]) for run in table.complete]
    choice = crossfit_winner(competition, [run.folds for run in runs])
    saved, folds, lost, kept = [], [], [], 0
    for seed in range(orders):
        random = np.random.default_rng(seed)
        judge, spent, trained = Judge(competition, threshold), 0.0, 0
        for run in runs:
            cost, done = judge.run(run, [int(k) for k in random.permutation(len(run.folds))])
            spent += cost
            trained += len(done)
        saved.append(1 - spent / sum(float(run.seconds.sum()) for run in runs))
        folds.append(trained)
        best = max(score for score, _ in judge.finished)
        lost.append(choice.naive - best)
        kept += best == choice.naive
    low, middle, high = np.percentile(saved, [5, 50, 95])
    return {
        "runs": len(runs),
        "folds": sum(len(run.folds) for run in runs),
        "folds_trained": float(np.median(folds)),
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


def picture(found: dict[str, dict[str, Any]], path: Path) -> None:
    """Median regret over time, with the middle half of the seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    shares = np.linspace(0, 1, GRID + 1)[1:]
    for name, figures in found.items():
        low, middle, high = np.percentile(figures["curves"], [25, 50, 75], axis=0)
        axes.plot(shares, middle, label=name)
        axes.fill_between(shares, low, high, alpha=0.15)
    axes.set(xlabel="share of the time", ylabel="regret", ylim=(0, None))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    made = argparse.ArgumentParser(prog="python -m benchmarks.search", description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--table", type=Path, default=TABLE, metavar="FILE", help=f"default: benchmarks/{TABLE.name}")
    made.add_argument("--collect", nargs=2, type=Path, metavar=("WORKSPACE", "COMPETITION"), help="make the table")
    made.add_argument("--seeds", type=int, default=50, metavar="S", help="of the race (default: 50)")
    made.add_argument("--trials", type=float, default=20, metavar="N", help="time of N whole trials (default: 20)")
    made.add_argument("--others", action="store_true", help="race ours and Optuna's with one thing changed, too")
    made.add_argument("--picture", type=Path, metavar="FILE", help="median regret over time, as a PNG")
    made.add_argument("--json", action="store_true", help="one JSON object on stdout, all else on stderr")
    options = made.parse_args()
    console._to_stderr = options.json
    try:
        figures = measure(options)
    except UserError as error:
        console.say(str(error), "error: ", "bold red")
        raise SystemExit(1) from None
    if options.json:
        print(json.dumps(figures))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    if options.collect:
        folder, where = options.collect
        competition = load_competition(where)
        save(collect(Workspace(folder, competition.name), competition), options.table)
        console.say(f"{options.table}: {options.table.stat().st_size / 1000:.0f} kB")
    table = load(options.table)
    competition = load_competition(ROOT / "competitions" / table.competition)
    replayed = replay(table, competition)
    rows = [
        ["folds trained", f"{replayed['folds_trained']:.0f} of {replayed['folds']}"],
        ["time saved", "{time_saved:.0%} ({time_saved_low:.0%} to {time_saved_high:.0%})".format(**replayed)],
        ["winner kept, of 100 orders", f"{replayed['winner_kept']:.0%}"],
        ["score lost, mean and largest", f"{replayed['score_lost_mean']:.4f}, {replayed['score_lost_max']:.4f}"],
        ["winner's score, cross-fitted", "{naive:.4f}, {crossfitted:.4f}".format(**replayed)],
    ]
    console.table(f"{table.competition}: pruning replayed on {replayed['runs']} real runs", ["", ""], rows)
    surrogate = Surrogate(table, competition)
    found = compare(
        surrogate, [OPTUNA, OURS, BLIND, *(OTHERS if options.others else ())], options.seeds, options.trials
    )
    rows = []
    for name, one in found.items():
        reached = one["cost_over_optuna"]
        spread = "{regret:.4f} ({regret_low:.4f} to {regret_high:.4f})".format(**one)
        stopped = f"{one['stopped']:.0%}, {one['stopped_though_better']:.1%}"
        share = "not reached" if reached is None else f"{reached:.2f}"
        rows.append([name, spread, share, f"{one['trials']:.0f}", stopped])
    title = f"{table.competition}: race on a forest fitted to {len(table.parameters)} runs, {options.seeds} seeds"
    columns = ["", "regret", "time over Optuna's", "trials", "stopped, of these better than the best"]
    console.table(title, columns, rows)
    console.say(
        f"best of the forest {surrogate.optimum:.4f}, a random recipe {surrogate.blind:.4f}; out of bag it explains "
        f"{surrogate.explained:.0%} of the runs' scores; a fold's residual is {surrogate.residuals.std():.4f}"
    )
    if options.picture:
        picture(found, options.picture)
    plain = {
        name: {key: value for key, value in one.items() if not isinstance(value, np.ndarray)}
        for name, one in found.items()
    }
    return {
        "competition": table.competition,
        "cost_over_optuna": found[OURS.name]["cost_over_optuna"],
        "cost_over_optuna_without_hand_made": found[BLIND.name]["cost_over_optuna"],
        "replay": replayed,
        "race": plain,
        "seeds": options.seeds,
        "explained": surrogate.explained,
    }


if __name__ == "__main__":
    main()
