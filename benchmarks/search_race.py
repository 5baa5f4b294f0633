"""Searches raced against each other on a surrogate: the same seeds, the same time."""

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.search_replay import Judge
from benchmarks.search_surrogate import Params, Surrogate
from toolkit.scoring.selection import pooled_score
from toolkit.tuning.clock import RESERVE
from toolkit.tuning.pruning import THRESHOLD
from toolkit.tuning.samplers import make_sampler
from toolkit.tuning.settings import FINALISTS, REPEATED, UNPRUNED

GRID = 50  # shares of the time at which regret is compared
RESAMPLED = 300  # times the seeds are drawn anew, for what the ratio of costs is worth


@dataclass(frozen=True)
class Method:
    """How to search. pruning: ours, median, none; own_sampler: our sampler, else Optuna's TPE; first: hand-made
    recipes before others; finals: a share of the time is kept for finishing and repeating the best; median: a trial
    below it is given up.
    """

    name: str
    pruning: str = "ours"
    own_sampler: bool = True
    first: bool = False
    finals: bool = True
    threshold: float = THRESHOLD
    median: bool = True


OURS = Method("ours")
OPTUNA = Method("Optuna's defaults", "median", own_sampler=False, finals=False)
OTHERS = (
    Method("ours, nothing pruned", "none"),
    Method("ours, median pruner", "median"),
    Method("ours, threshold 0.3", threshold=0.3),
    Method("ours, without the median", median=False),
    Method("ours, Optuna's sampler", own_sampler=False),
    Method("ours, no finals", finals=False),
    Method("ours, hand-made recipes first", first=True),
    Method("Optuna's, nothing pruned", "none", own_sampler=False, finals=False),
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


def race(surrogate: Surrogate, method: Method, seed: int, budget: float) -> list[Tried]:
    """The trials that one search makes in that time."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    sampler = make_sampler("auto", UNPRUNED, seed)[0] if method.own_sampler else optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for recipe in surrogate.hand_made() if method.first else ():
        study.enqueue_trial(recipe)
    competition, spent = surrogate.competition, 0.0
    judge = Judge(competition, method.threshold, method.median)
    tried: list[Tried] = []
    best: Tried | None = None
    while True:
        trial = study.ask()
        surrogate.suggest(trial)
        rng = np.random.default_rng((seed, trial.number))
        drawn = surrogate.draw(trial.params, rng)
        if method.pruning == "ours":
            score = pooled_score(drawn.folds)
            reports: list[float] = []
            cost, done = judge.run(drawn, rng.permutation(len(drawn.folds)).tolist(), reports.append)
            for step, report in enumerate(reports):
                trial.report(report, step)
            stopped = len(done) < len(drawn.folds)
            known = -math.inf if not done else reports[-1] if stopped else score
        else:
            each = [pooled_score([fold]) for fold in drawn.folds]
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
            scores.append(pooled_score(again.folds))
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
        costs = np.concatenate([np.diff([0.0, *(one.over for one in tried)]) for tried in raced])
        found[method.name] = {
            "curves": np.array(
                [
                    [named(surrogate, method, tried, seed, share * budget) for share in shares]
                    for seed, tried in enumerate(raced)
                ]
            ),
            "trials": float(np.median([len(tried) for tried in raced])),
            "best_tried": float(
                np.median([max((one.true for one in tried), default=surrogate.blind) for tried in raced])
            ),
            "stopped": stopped / len(every),
            "spent_on_stopped": float(costs[[one.stopped for one in every]].sum() / costs.sum()),
            "stopped_though_better": sum(one.wronged for one in every) / max(1, stopped),
            "seconds": time.perf_counter() - begun,
        }
    for figures in found.values():
        figures["curves"] = optimum - figures["curves"]
        figures["best_tried"] = optimum - figures["best_tried"]
        low, middle, high = np.percentile(figures["curves"][:, -1], [25, 50, 75])
        figures |= {"regret": float(middle), "regret_low": float(low), "regret_high": float(high)}
    goals = found[OPTUNA.name]["curves"][:, -1]
    for figures in found.values():
        curves = figures["curves"]
        figures["cost_over_optuna"] = cost_to_reach(shares, np.median(curves, 0), float(np.median(goals)))
        low, high = cost_between(shares, curves, goals)
        figures |= {"cost_over_optuna_low": low, "cost_over_optuna_high": high}
        spread = np.hypot(curves[:, -1].std(), goals.std())
        figures |= {"behind": float(curves[:, -1].mean() - goals.mean()), "behind_error": float(spread / seeds**0.5)}
    return found


def cost_between(shares: np.ndarray, curves: np.ndarray, goals: np.ndarray) -> tuple[float | None, float | None]:
    """Nine of ten values of `cost_to_reach` where the seeds are drawn anew, those of both searches together."""
    rng = np.random.default_rng(0)
    costs = []
    for _ in range(RESAMPLED):
        at = rng.integers(len(goals), size=len(goals))
        cost = cost_to_reach(shares, np.median(curves[at], 0), float(np.median(goals[at])))
        costs.append(np.inf if cost is None else cost)
    low, high = (float(np.quantile(costs, share, method="nearest")) for share in (0.05, 0.95))
    return low if np.isfinite(low) else None, high if np.isfinite(high) else None


def cost_to_reach(shares: np.ndarray, median: np.ndarray, goal: float) -> float | None:
    """The share of the time from which on the median regret is never above the goal; None: not reached."""
    above = np.flatnonzero(median > goal + 1e-12)
    if not len(above):
        return float(shares[0])
    return None if above[-1] == len(shares) - 1 else float(shares[above[-1] + 1])
