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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_table import Table, collect, flat, load, save
from toolkit import console
from toolkit.competition import Competition, load_competition
from toolkit.errors import UserError
from toolkit.pruning import Fold, Noise, crossfit_winner, fold_noise, pooled_score, should_prune, should_stop_epoch
from toolkit.recipe import to_dict
from toolkit.store import Workspace

ROOT = Path(__file__).parent.parent
TABLE = Path(__file__).parent / "search_mars.npz"
LOG_RATIO = 10.0  # a number that spans more than this is searched on a logarithmic scale
TREES = 100
GRID = 200  # points of the time at which regret is compared
Params = dict[str, Any]


@dataclass(frozen=True)
class Drawn:
    """A simulated trial: on each fold its predictions, seconds and course."""

    folds: list[Fold]
    seconds: np.ndarray
    courses: list[dict[float, float]]


class Surrogate:
    """Scores and costs of any recipe in the space that the table's runs span."""

    def __init__(self, table: Table, competition: Competition) -> None:
        from sklearn.ensemble import RandomForestRegressor

        self.table, self.competition = table, competition
        self.names = list(table.parameters[0])
        self.values = {name: [run[name] for run in table.parameters] for name in self.names}
        self.choices = {name: sorted(set(seen)) for name, seen in self.values.items() if _named(seen)}
        self.scores = np.where(table.trained, competition.score(table.confusions.sum(2)), np.nan)
        whole = self.scores[table.complete]
        self.fold_effect = whole.mean(0) - whole.mean()
        means = np.nanmean(self.scores - self.fold_effect, 1)
        rest = whole - whole.mean(0) - whole.mean(1, keepdims=True) + whole.mean()
        self.residuals = rest.ravel() * math.sqrt(rest.size / max(1, (rest.shape[0] - 1) * (rest.shape[1] - 1)))
        seconds = np.log(np.nanmean(np.where(table.trained, table.seconds, np.nan), 1))
        goals = np.stack([means, seconds], 1)
        self.centre, self.spread = goals.mean(0), goals.std(0) + 1e-12
        self.forest = RandomForestRegressor(TREES, max_features=0.5, oob_score=True, random_state=0)
        self.forest.fit(self.encode(table.parameters), (goals - self.centre) / self.spread)
        said = self.forest.oob_prediction_[:, 0] * self.spread[0] + self.centre[0]
        self.explained = float(1 - ((said - means) ** 2).mean() / means.var())
        everywhere = self.predict([*table.parameters, *self.anywhere(20_000)])[:, 0]
        self.optimum, self.blind = float(everywhere.max()), float(everywhere[len(table.parameters) :].mean())

    def encode(self, recipes: Sequence[Params]) -> np.ndarray:
        columns = []
        for name in self.names:
            if name in self.choices:
                columns += [[float(one[name] == choice) for one in recipes] for choice in self.choices[name]]
            else:
                log = self.is_log(name)
                columns.append([math.log(one[name]) if log else float(one[name]) for one in recipes])
        return np.array(columns, np.float32).T

    def is_log(self, name: str) -> bool:
        return bool(min(self.values[name]) > 0 and max(self.values[name]) / min(self.values[name]) >= LOG_RATIO)

    def anywhere(self, number: int) -> list[Params]:
        """Random recipes of the space."""
        random = np.random.default_rng(0)
        columns: dict[str, Any] = {}
        for name in self.names:
            low, high = (0, 1) if name in self.choices else (min(self.values[name]), max(self.values[name]))
            if name in self.choices:
                columns[name] = [self.choices[name][at] for at in random.integers(len(self.choices[name]), size=number)]
            elif isinstance(self.values[name][0], int):
                columns[name] = random.integers(low, high + 1, number).tolist()
            else:
                log = self.is_log(name)
                drawn = random.uniform(math.log(low), math.log(high), number) if log else random.uniform(low, high, number)
                columns[name] = (np.exp(drawn) if log else drawn).tolist()
        return [dict(zip(self.names, one, strict=True)) for one in zip(*columns.values(), strict=True)]

    def suggest(self, trial: Any) -> Params:
        made: Params = {}
        for name, seen in self.values.items():
            if name in self.choices:
                made[name] = trial.suggest_categorical(name, self.choices[name])
            elif isinstance(seen[0], int):
                made[name] = trial.suggest_int(name, min(seen), max(seen))
            else:
                made[name] = trial.suggest_float(name, min(seen), max(seen), log=self.is_log(name))
        return made

    def hand_made(self) -> list[Params]:
        """The competition's own recipes, as far as the space tells them apart and has their values."""
        found: list[Params] = []
        for recipe in self.competition.recipes.values():
            values = flat(to_dict(recipe))
            made = {}
            for name, seen in self.values.items():
                if name not in self.choices:
                    made[name] = type(seen[0])(min(max(values[name], min(seen)), max(seen)))
                elif values[name] in self.choices[name]:
                    made[name] = values[name]
            if len(made) == len(self.names) and made not in found:
                found.append(made)
        return found

    def predict(self, recipes: Sequence[Params]) -> np.ndarray:
        """True score and seconds a fold, (n, 2)."""
        encoded = self.encode(recipes)
        # each tree by itself: scikit-learn's own way costs milliseconds a call
        said = np.mean([tree.tree_.predict(encoded)[:, :, 0] for tree in self.forest.estimators_], axis=0)
        score, seconds = (said * self.spread + self.centre).T
        return np.stack([score, np.exp(seconds)], 1)

    def draw(self, recipe: Params, random: np.random.Generator) -> Drawn:
        mean, seconds = self.predict([recipe])[0]
        folds, courses = [], []
        for k, effect in enumerate(self.fold_effect):
            target = float(np.clip(mean + effect + random.choice(self.residuals), 0, 1))
            folds.append(Fold(k, np.arange(self.table.confusions.shape[2]), self._mixture(k, target, random)))
            courses.append(self._course(k, target))
        return Drawn(folds, np.full(len(folds), seconds), courses)

    def _mixture(self, k: int, target: float, random: np.random.Generator) -> np.ndarray:
        """Confusions (B, C, C) that score `target`, from the runs next to it, perfect and always wrong ones."""
        has = np.flatnonzero(self.table.trained[:, k])
        here = self.scores[has, k]
        truth = self.table.confusions[has[0], k].sum(-1)
        perfect = truth[..., None] * np.eye(truth.shape[-1], dtype=np.int64)
        below, above = has[here <= target], has[here > target]
        low = self.table.confusions[below[self.scores[below, k].argmax()], k] if len(below) else np.roll(perfect, 1, -1)
        high = self.table.confusions[above[self.scores[above, k].argmin()], k] if len(above) else perfect
        order = random.permutation(len(low))
        replaced = np.concatenate([np.zeros((1, *low.shape[1:])), (high - low)[order].cumsum(0)]) + low.sum(0)
        scores = self.competition.score(replaced)
        at = min(int(np.argmax(scores > target)) or len(low), len(low))
        step = scores[at] - scores[at - 1]
        mixed = low.astype(float)
        mixed[order[: at - 1]] = high[order[: at - 1]]
        share = np.clip((target - scores[at - 1]) / step, 0, 1) if step else 1.0  # of the last block, to meet the target
        mixed[order[at - 1]] += share * (high - low)[order[at - 1]]
        return mixed

    def _course(self, k: int, target: float) -> dict[float, float]:
        runs = [run for run in np.flatnonzero(self.table.trained[:, k]) if self.table.courses[run][k]]
        if not runs:
            return {1.0: target}
        course = self.table.courses[min(runs, key=lambda run: abs(self.scores[run, k] - target))][k]
        return {share: score * target / max(course[max(course)], 1e-9) for share, score in course.items()}


def _named(seen: Sequence[Any]) -> bool:
    return any(isinstance(value, str | bool) for value in seen)


@dataclass(frozen=True)
class Method:
    """How to search. pruning: ours, median, none; grouped: our sampler; first: hand-made recipes before others."""

    name: str
    pruning: str = "ours"
    grouped: bool = True
    first: bool = True


OURS = Method("ours")
OPTUNA = Method("Optuna's defaults", "median", grouped=False, first=False)
OTHERS = (
    Method("ours, nothing pruned", pruning="none"),
    Method("ours, median pruner", pruning="median"),
    Method("ours, no hand-made recipes", first=False),
    Method("Optuna's, hand-made recipes", "median", grouped=False),
    Method("Optuna's, nothing pruned", "none", grouped=False, first=False),
)


@dataclass(frozen=True)
class Raced:
    """One search: at which cost a trial was finished, and the regret from then on; what was pruned."""

    costs: np.ndarray
    regrets: np.ndarray
    trials: int
    pruned: int
    wronged: int  # pruned, and truly better than the best trial they were compared with


class Judge:
    """Which folds and epochs a trial gets, as our search decides, from the trials that were finished before."""

    def __init__(self, competition: Competition, threshold: float | None = None) -> None:
        self.competition, self.threshold = competition, threshold
        self.finished: list[tuple[float, Drawn]] = []
        self.noise: Noise | None = None

    def run(self, trial: Drawn, order: Sequence[int]) -> tuple[float, list[Fold]]:
        """The cost, and the folds that were trained; fewer than all where it was stopped."""
        cost, done = 0.0, []
        for k in order:
            if not done:
                courses = [other.courses[k] for _, other in self.finished]
                for share, score in sorted(trial.courses[k].items()):
                    if should_stop_epoch(score, share, courses):
                        return share * float(trial.seconds[k]), []
            cost += float(trial.seconds[k])
            done.append(trial.folds[k])
            if self.finished:
                best = max(self.finished, key=lambda one: one[0])[1].folds
                threshold = {} if self.threshold is None else {"threshold": self.threshold}
                if should_prune(self.competition, done, best, noise=self.noise, **threshold):
                    break
        if len(done) == len(trial.folds):
            self.finished.append((pooled_score(self.competition, done), trial))
            self.noise = fold_noise(self.competition, [one.folds for _, one in self.finished])
        return cost, done


def race(surrogate: Surrogate, method: Method, seed: int, budget: float) -> Raced:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed, **({"group": True, "multivariate": True} if method.grouped else {}))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for recipe in surrogate.hand_made() if method.first else ():
        study.enqueue_trial(recipe)
    judge, spent, trials, pruned, wronged = Judge(surrogate.competition), 0.0, 0, 0, 0
    best, best_true = -math.inf, surrogate.blind
    costs, regrets = [0.0], [surrogate.optimum - best_true]
    while spent < budget:
        trial = study.ask()
        recipe = surrogate.suggest(trial)
        random = np.random.default_rng((seed, trial.number))
        drawn = surrogate.draw(recipe, random)
        true = float(surrogate.predict([recipe])[0, 0])
        folds = len(drawn.folds)
        scores = [pooled_score(surrogate.competition, [fold]) for fold in drawn.folds]
        if method.pruning == "ours":
            cost, done = judge.run(drawn, [int(k) for k in random.permutation(folds)])
            reported = [scores[fold.number] for fold in done]
            whole = len(done) == folds
            value = pooled_score(surrogate.competition, drawn.folds)
            for step in range(len(reported)):
                trial.report(float(np.mean(reported[: step + 1])), step)
        else:
            cost, whole, value = 0.0, True, float(np.mean(scores))
            for step in range(folds):
                cost += float(drawn.seconds[step])
                trial.report(float(np.mean(scores[: step + 1])), step)
                if method.pruning == "median" and trial.should_prune():
                    whole = False
                    break
        spent += cost
        if spent > budget:
            break
        trials += 1
        if whole:
            study.tell(trial, value)
            if value > best:
                best, best_true = value, true
                costs.append(spent)
                regrets.append(surrogate.optimum - true)
        else:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            pruned += 1
            wronged += true > best_true
    return Raced(np.array(costs), np.array(regrets), trials, pruned, wronged)


def regret_over_cost(raced: Sequence[Raced], budget: float) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the budget (GRID,), and each search's regret at them (searches, GRID)."""
    grid = np.linspace(0, 1, GRID + 1)[1:]
    at = [np.searchsorted(one.costs, grid * budget, side="right") - 1 for one in raced]
    return grid, np.array([one.regrets[each] for one, each in zip(raced, at, strict=True)])


def cost_to_reach(grid: np.ndarray, median: np.ndarray, goal: float) -> float | None:
    """The share of the budget from which on the median regret is never above the goal; None: not reached."""
    above = np.flatnonzero(median > goal + 1e-12)
    if not len(above):
        return float(grid[0])
    return None if above[-1] == len(grid) - 1 else float(grid[above[-1] + 1])


def replay(table: Table, competition: Competition, orders: int = 100, threshold: float | None = None) -> dict[str, Any]:
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


def compare(surrogate: Surrogate, methods: Sequence[Method], seeds: int, trials: float) -> dict[str, dict[str, Any]]:
    """Every method on the same seeds and time, that of `trials` whole ones; figures by name, with their curves."""
    folds = len(surrogate.fold_effect)
    budget = trials * folds * float(surrogate.predict(surrogate.anywhere(2000))[:, 1].mean())
    found: dict[str, dict[str, Any]] = {}
    for method in methods:
        begun = time.perf_counter()
        raced = [race(surrogate, method, seed, budget) for seed in range(seeds)]
        grid, regrets = regret_over_cost(raced, budget)
        pruned = sum(one.pruned for one in raced)
        found[method.name] = {
            "regret": float(np.median(regrets[:, -1])),
            "regret_low": float(np.percentile(regrets[:, -1], 25)),
            "regret_high": float(np.percentile(regrets[:, -1], 75)),
            "regret_mean": float(regrets.mean(0)[-1]),
            "trials": float(np.median([one.trials for one in raced])),
            "pruned_share": pruned / max(1, sum(one.trials for one in raced)),
            "pruned_though_better": sum(one.wronged for one in raced) / max(1, pruned),
            "seconds": time.perf_counter() - begun,
            "grid": grid,
            "regrets": regrets,
        }
    goal = found[OPTUNA.name]["regret"]
    mean_goal = found[OPTUNA.name]["regret_mean"]
    for figures in found.values():
        figures["cost_over_optuna"] = cost_to_reach(figures["grid"], np.median(figures["regrets"], 0), goal)
        figures["cost_over_optuna_mean"] = cost_to_reach(figures["grid"], figures["regrets"].mean(0), mean_goal)
    return found


def picture(found: dict[str, dict[str, Any]], path: Path) -> None:
    """Median regret over time, with the middle half of the seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, figures in found.items():
        low, middle, high = np.percentile(figures["regrets"], [25, 50, 75], axis=0)
        axes.plot(figures["grid"], middle, label=name)
        axes.fill_between(figures["grid"], low, high, alpha=0.15)
    axes.set(xlabel="share of the time", ylabel="regret", yscale="symlog", ylim=(0, None))
    axes.set_yscale("linear")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    made = argparse.ArgumentParser(prog="python -m benchmarks.search", description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--table", type=Path, default=TABLE, metavar="FILE", help=f"default: benchmarks/{TABLE.name}")
    made.add_argument("--collect", nargs=2, type=Path, metavar=("WORKSPACE", "COMPETITION"), help="make the table")
    made.add_argument("--seeds", type=int, default=50, metavar="S", help="of the race (default: 50)")
    made.add_argument("--trials", type=float, default=40, metavar="N", help="time of N whole trials (default: 40)")
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
    found = compare(surrogate, [OPTUNA, OURS, *(OTHERS if options.others else ())], options.seeds, options.trials)
    rows = []
    for name, one in found.items():
        share = one["cost_over_optuna"]
        spread = "{regret:.4f} ({regret_low:.4f} to {regret_high:.4f})".format(**one)
        pruned = f"{one['pruned_share']:.0%}, {one['pruned_though_better']:.1%}"
        rows.append([name, spread, "not reached" if share is None else f"{share:.2f}", f"{one['trials']:.0f}", pruned])
    title = f"{table.competition}: race on a forest fitted to {len(table.parameters)} runs, {options.seeds} seeds"
    console.table(title, ["", "regret", "time over Optuna's", "trials", "pruned, of these better than the best"], rows)
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
        "replay": replayed,
        "race": plain,
        "seeds": options.seeds,
        "explained": surrogate.explained,
    }


if __name__ == "__main__":
    main()
