"""What a search leaves when it ends: tables, importances, pictures."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import optuna
from optuna.study import Study
from optuna.trial import TrialState

from toolkit.store import atomic

SHOWN = 6  # parameters in a picture
ENOUGH = 8  # finished trials, with which importances begin to mean something


def importances(study: Study) -> dict[str, float]:
    """Shares of the first objective's spread that parameters explain, largest first; empty with too few trials.

    By PED-ANOVA (Watanabe et al. 2023), which asks what sets the better trials apart, and takes parameters that
    only some trials have one by one.
    """
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(finished) < ENOUGH:
        return {}
    found: dict[str, float] = {}
    names = {name for trial in finished for name in trial.params}
    target = None if len(study.directions) == 1 else (lambda trial: trial.values[0])
    for group in _groups(study, names):
        try:
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # few trials make it inaccurate
                part = optuna.importance.get_param_importances(
                    study, evaluator=evaluator, params=group, target=target, normalize=False
                )
        except (ValueError, RuntimeError):  # too few trials have them, or all the same value
            continue
        found |= {name: float(value) for name, value in part.items()}
    total = sum(found.values())
    if not total > 0:
        return {}
    return {name: value / total for name, value in sorted(found.items(), key=lambda item: -item[1])}


def _groups(study: Study, names: set[str]) -> list[list[str]]:
    """Parameters that every trial has, together; each of the others alone."""
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    common = sorted(name for name in names if all(name in trial.params for trial in finished))
    return ([common] if common else []) + [[name] for name in sorted(names - set(common))]


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
        "importances": lambda: pictures.plot_param_importances(
            study, evaluator=optuna.importance.PedAnovaImportanceEvaluator(), **options
        ),
        "slice": lambda: pictures.plot_slice(study, params=shown, **options),
        "parallel": lambda: pictures.plot_parallel_coordinate(study, params=shown, **options),
        "contour": lambda: pictures.plot_contour(study, params=names[:2], **options),
    }
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
                    figure.set_size_inches(max(8.0, 2.4 * len(shown)) if name in ("slice", "parallel") else 8.0, 5.0)
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
