"""How fast a search finds a good recipe, beside Optuna's defaults, and what pruning saves on real trials.

    python -m benchmarks.search --collect workspace competitions/mars --table FILE    once, from finished runs
    python -m benchmarks.search [--table FILE] [--seeds 50] [--json] [--picture FILE]

Replay: the runs of the table in their order, each with its real predictions and fold after fold in shuffled order;
what `toolkit.tuning.pruning` would have left out, how much time that is, and whether the winner would have been lost.
Nothing is simulated there but the orders of the folds (100 of them). Runs that a search gave up can't be replayed:
what their missing folds would have taken, at the speed of those they have, is said beside it.

Equals: how often a trial is pruned though it is as good as the best, drawn as in the race.

Race: a simulation. Real runs are too few to search among, so a random forest is fitted on them (from a recipe's
parameters to its score, corrected for the folds it has, and to the seconds of a fold), and this forest is what is
searched, in the competition's own space: its best recipe is known, so regret is. A trial's score on a fold is what
the forest says, plus what that fold differs by, plus a residual drawn from those of the real runs' analysis of
variance. Its predictions are those of the two real runs next to it in score, group by group from one or the other in
a drawn order, so that paired tests meet real differences (beyond the best real run: of that one and of perfect ones,
below the worst: of that one and of wrong ones). Its learning curve is that of the real run nearest in score,
scaled to end where the trial ends. So the race shows how searches deal with noise, cost and dimensions of this size,
not how recipes really score. Hand-made recipes are left out: one of them comes from the very runs of the table.

Optuna's defaults: `create_study(direction="maximize")`, thus `TPESampler()` and `MedianPruner()`, folds in order,
the running mean reported after each, as in its tutorials; it names the best finished trial. Ours: the sampler of a
search with a budget, shuffled folds, `toolkit.tuning.pruning`, a fifth of the time for finishing the best three and
repeating two with another seed. All get the same time; what counts is the true score of the recipe that is named.
`cost_over_optuna`: the share of the time that a search of ours has to be given to end, in the median over seeds, with
the regret that the defaults end with; between which values it lies in nine of ten draws of the seeds stands beside
it. `behind`: by how much the mean regret is above the defaults', and the standard error of that. `best_tried` is the
regret of the truly best recipe that was tried: what is left to win by naming it.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_race import GRID, OPTUNA, OTHERS, OURS, compare
from benchmarks.search_replay import equals, inside, replay
from benchmarks.search_surrogate import Surrogate
from benchmarks.search_table import collect, load, save
from toolkit.competition import load_competition
from toolkit.errors import UserError
from toolkit.outcome import Table
from toolkit.screen import Screen
from toolkit.store import Workspace
from toolkit.tuning.pruning import THRESHOLD

ROOT = Path(__file__).parent.parent
TABLE = Path(__file__).parent / "search_mars.npz"


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
    screen = Screen(stderr=options.json)
    try:
        figures = measure(options, screen)
    except UserError as error:
        screen.say(str(error), "error: ", "bold red")
        raise SystemExit(1) from None
    if options.json:
        print(json.dumps(figures))


def _share(cost: float | None) -> str:
    return "not reached" if cost is None else f"{cost:.2f}"


def measure(options: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    if options.collect:
        folder, where = options.collect
        competition = load_competition(where)
        save(collect(Workspace(folder, competition.name), competition), options.table)
        screen.say(f"{options.table}: {options.table.stat().st_size / 1000:.0f} kB")
    table = load(options.table)
    competition = load_competition(ROOT / "competitions" / table.competition)
    replayed = replay(table, competition)
    rows = [
        ["given up when searched", f"{replayed['given_up']} of {len(table.trained)} runs"],
        ["time saved by that", f"{replayed['time_saved_when_searched']:.0%}"],
        ["folds trained", f"{replayed['folds_trained']:.0f} of {replayed['folds']}"],
        *([f"runs pruned {rule}", f"{number:.1f}"] for rule, number in replayed["pruned"].items()),
        ["time saved", "{time_saved:.0%} ({time_saved_low:.0%} to {time_saved_high:.0%})".format(**replayed)],
        ["winner kept, of 100 orders", f"{replayed['winner_kept']:.0%}"],
        ["score lost, mean and largest", f"{replayed['score_lost_mean']:.4f}, {replayed['score_lost_max']:.4f}"],
        ["the winner's own score", f"{replayed['naive']:.4f}"],
        [
            "chosen on the other folds",
            "{crossfitted:.4f} ({crossfitted_low:.4f} to {crossfitted_high:.4f})".format(**replayed),
        ],
        ["the choice's optimism", replayed["optimism_words"]],
    ]
    title = f"{table.competition}: pruning, and replayed on the {replayed['runs']} whole runs"
    screen.table(Table(title, ["", ""], rows))
    early = inside(table)
    screen.say(
        f"inside the first fold {early['stopped']:.0%} of all runs would be stopped, {early['best_quarter']:.1%} "
        f"though they ended in the best quarter; {early['saved']:.2f} of a fold a run is saved"
    )
    surrogate = Surrogate(table, competition)
    equal = equals(surrogate, rounds=6 * options.seeds)
    screen.say(
        f"a trial that is as good as the best of 8 is given up by the test with probability {equal['ours']:.3f} "
        f"(asked for: at most {THRESHOLD:g}); without the best one's luck {equal['folds']:.3f}, by the samples alone "
        f"{equal['alone']:.3f}; the truly best of 8 random recipes, trained again, with {equal['varied']:.3f} in all, "
        f"{equal['median']:.3f} by the median"
    )
    methods = [OPTUNA, OURS, *(OTHERS if options.others else ())]
    found = compare(surrogate, methods, options.seeds, options.trials)
    rows = []
    for name, one in found.items():
        share, low, high = (_share(one[f"cost_over_optuna{end}"]) for end in ("", "_low", "_high"))
        spread = "{regret:.4f} ({regret_low:.4f} to {regret_high:.4f})".format(**one)
        stopped = "{stopped:.0%}, {stopped_though_better:.1%}, {spent_on_stopped:.0%}".format(**one)
        best, behind = f"{one['best_tried']:.4f}", "{behind:+.4f} ± {behind_error:.4f}".format(**one)
        rows.append([name, spread, behind, f"{share} ({low} to {high})", best, f"{one['trials']:.0f}", stopped])
    title = f"{table.competition}: race on a forest fitted to {len(table.parameters)} runs, {options.seeds} seeds"
    stopped = "stopped, of these better than the best, share of the time"
    columns = ["", "regret", "mean over Optuna's", "time over Optuna's", "of the best tried", "trials", stopped]
    screen.table(Table(title, columns, rows))
    screen.say(
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
        "inside": early,
        "equals_pruned": equal,
        "race": plain,
        "seeds": options.seeds,
        "explained": surrogate.explained,
    }


if __name__ == "__main__":
    main()
