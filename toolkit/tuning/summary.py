"""What a search leaves when it ends: tables, importances, pictures."""

import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import optuna
from optuna.study import Study
from optuna.trial import TrialState

from toolkit import console
from toolkit.store import atomic, write_json
from toolkit.tuning.board import scores, short, state
from toolkit.tuning.pruning import crossfit_winner
from toolkit.tuning.study import counted
from toolkit.tuning.trial_runs import BEST, Final, Search

SHOWN = 6  # parameters in a picture
ENOUGH = 8  # finished trials, with which importances begin to mean something
TOP = 5  # trials at least that count as the best ones


def importances(study: Study) -> dict[str, float]:
    """How much parameters set trials that are better in the first objective apart, as shares of 1, largest first.

    By PED-ANOVA (Watanabe et al. 2023), which compares the parameters of the best trials with those of all: a tenth of
    the finished ones, or as many as it takes to have TOP. Of parameters that ENOUGH finished trials have; else empty.
    """
    asked = _asked(study)
    if not asked["params"]:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that lower targets count as better
            found = optuna.importance.get_param_importances(study, **asked)
    except (ValueError, RuntimeError):  # all trials have the same value
        return {}
    return {name: float(value) for name, value in found.items()}


def _asked(study: Study) -> dict[str, Any]:
    """What importances are of. An evaluator that is given a target takes low ones as better."""
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    had = Counter(name for trial in finished for name in trial.params)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(
        target_quantile=max(0.1, min(0.5, TOP / max(1, len(finished))))
    )
    names = sorted(name for name, times in had.items() if times >= ENOUGH)
    return {"evaluator": evaluator, "params": names, "target": lambda trial: -trial.values[0]}


def draw(study: Study, folder: Path, names: list[str], metric: str) -> list[Path]:
    """Pictures of the study, as many as its trials allow. names: parameters, the most important first."""
    from optuna.visualization import matplotlib as pictures

    two = len(study.directions) > 1
    options: dict[str, Any] = {"target_name": metric}
    if two:
        options["target"] = lambda trial: trial.values[0]
    shown = names[:SHOWN]
    plots: dict[str, Callable[[], Any]] = {
        "history": lambda: pictures.plot_optimization_history(study, **options),
        "slice": lambda: pictures.plot_slice(study, params=shown, **options),
        "parallel": lambda: pictures.plot_parallel_coordinate(study, params=shown, **options),
        "contour": lambda: pictures.plot_contour(study, params=names[:2], **options),
    }
    if importances(study):
        plots["importances"] = lambda: pictures.plot_param_importances(study, target_name=metric, **_asked(study))
    if two:
        plots["pareto"] = lambda: pictures.plot_pareto_front(study, target_names=list(study.metric_names or ()))
    made = []
    before = matplotlib.get_backend()
    plt.switch_backend("agg")
    optuna_said = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        for name, plot in plots.items():
            if name == "contour" and len(names) < 2:
                continue
            try:
                # Optuna sets a style for all that is drawn later
                with warnings.catch_warnings(), matplotlib.rc_context():
                    warnings.simplefilter("ignore")
                    plot()
                    figure = plt.gcf()
                    figure.set_size_inches(max(8.0, 3.2 * len(shown)) if name in ("slice", "parallel") else 8.0, 5.0)
                    path = folder / f"{name}.png"
                    with atomic(path) as partial:
                        figure.savefig(partial, format="png", dpi=110, bbox_inches="tight")
                made.append(path)
            except Exception:  # a picture that these trials don't make: Optuna raises many kinds
                (folder / f"{name}.png").unlink(missing_ok=True)
            finally:
                plt.close("all")
    finally:
        plt.switch_backend(before)
        optuna.logging.set_verbosity(optuna_said)
    return made


def report(context: Search, best: Sequence[Final], left: int) -> dict[str, Any]:
    """Tables, pictures and `best.recipe`; what --json prints."""
    study, folder = context.study, context.folder
    trials = counted(study.get_trials(deepcopy=False))
    number = {name: sum(t.state.name == name for t in trials) for name in ("COMPLETE", "PRUNED", "FAIL")}
    result: dict[str, Any] = {
        "study": study.study_name,
        "trials": {
            "begun": len(trials),
            "finished": number["COMPLETE"],
            "pruned": number["PRUNED"],
            "failed": number["FAIL"],
        },
        "score": None,
        "naive": None,
        "crossfitted": None,
        "optimism": None,
        "recipe": None,
    }
    ranked = context.rivals.ranking(study)
    rows = [[f"{t.number} {state(t)}: {short(t)}", scores(t)] for t, _ in ranked[:10]]
    metric = context.competition.metric.name
    if rows:
        console.table(f"the best trials by {context.options.objective} {metric}", ["trial", "score"], rows)
    weights = importances(study)
    if weights:
        shares = [[name, f"{share:.0%}"] for name, share in weights.items() if share >= 0.005]
        console.table("what decided", ["parameter", "importance"], shares)
    names = list(weights) or sorted({name for t in trials for name in t.params})
    pictures = draw(study, folder, names, f"{context.options.objective.partition(',')[0]} {metric}")
    if pictures:
        console.say(f"{folder}: {', '.join(path.name for path in pictures)}")
    if left:
        console.say(f"{left} finished runs are not put together for want of time: no blend takes them yet")
    if best:
        winner = best[0]
        result |= {"score": winner.mean, "seeds": len(winner.values), "recipe": str(folder / BEST)}
        result |= {"run": str(winner.runs[0])}
        result |= _choice(context)
        _say_winner(context, best, result)
    else:
        console.warn("no trial was finished on all folds, so there is no winner; go on with the same command")
        if (folder / BEST).exists():
            console.warn(f"{folder / BEST} is an earlier search's")
    took = time.time() - context.clock.started
    result |= {"seconds": took, "overhead_seconds": took - context.clock.training}
    counts = {f"trials {state}": count for state, count in result["trials"].items()}
    write_json(folder / "summary.json", counts | result | {"importances": weights})
    console.say(
        f"{len(trials)} trials ({number['COMPLETE']} finished, {number['PRUNED']} pruned, {number['FAIL']} failed) in "
        f"{console.duration(took)}, {result['overhead_seconds']:.1f} s of them not spent on training"
    )
    return result


def _choice(context: Search) -> dict[str, float]:
    """The naive best score and what choosing the best is worth, by the trials that have all folds."""
    kind = context.objectives[0].judged
    assert kind is not None
    whole = [context.rivals.of(t, kind) for t, _ in context.rivals.ranking(context.study)]
    whole = [folds for folds in whole if len(folds) == context.folds]
    if len(whole) < 2 or context.folds < 2:
        return {}
    choice = crossfit_winner(context.competition, whole)
    return {"naive": choice.naive, "crossfitted": choice.crossfitted, "optimism": choice.optimism}


def _say_winner(context: Search, best: Sequence[Final], result: dict[str, Any]) -> None:
    metric = context.competition.metric.name
    rows = [
        [f"trial {final.trial}", " ".join(f"{value:.4f}" for value in final.values), f"{final.mean:.4f}"]
        for final in best
    ]
    console.table("the best, finished and repeated", ["", f"{metric}, a seed each", "mean"], rows)
    if result["crossfitted"] is not None:
        under = "" if context.objectives[0].name == "clean" else ", under one corruption an image"
        console.say(
            f"best {metric} of all trials{under} {result['naive']:.4f}; chosen on the other folds "
            f"{result['crossfitted']:.4f}: {result['optimism']:.4f} of it is the choice's optimism"
        )
    console.say(f"winner: {Path(result['run']).name}; python -m toolkit.train … --recipe {result['recipe']}")
