"""What a study's trials show: which parameters decide, and pictures."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import optuna
from optuna.study import Study, StudyDirection
from optuna.trial import TrialState

from toolkit.store import atomic

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
    best = max(0.1, min(0.5, TOP / max(1, len(finished))))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=best)
    names = sorted(name for name, times in had.items() if times >= ENOUGH)
    sign = -1 if study.directions[0] == StudyDirection.MAXIMIZE else 1
    return {"evaluator": evaluator, "params": names, "target": lambda trial: sign * trial.values[0]}


def draw(study: Study, folder: Path, names: list[str], metric: str) -> list[Path]:
    """Pictures of the study, as many as its trials allow. names: parameters, the most important first."""
    made = []
    with _without_a_screen():
        for name, plot in _plots(study, names, metric).items():
            path = folder / f"{name}.png"
            try:
                # Optuna sets a style for all that is drawn later
                with warnings.catch_warnings(), matplotlib.rc_context():
                    warnings.simplefilter("ignore")
                    plot()
                    figure = plt.gcf()
                    width = max(8.0, 3.2 * len(names[:SHOWN])) if name in ("slice", "parallel") else 8.0
                    figure.set_size_inches(width, 5.0)
                    with atomic(path) as partial:
                        figure.savefig(partial, format="png", dpi=110, bbox_inches="tight")
                made.append(path)
            except Exception:  # a picture that these trials don't make: Optuna raises many kinds
                path.unlink(missing_ok=True)
            finally:
                plt.close("all")
    return made


def _plots(study: Study, names: list[str], metric: str) -> dict[str, Callable[[], Any]]:
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
    }
    if len(names) > 1:
        plots["contour"] = lambda: pictures.plot_contour(study, params=names[:2], **options)
    if importances(study):
        plots["importances"] = lambda: pictures.plot_param_importances(study, target_name=metric, **_asked(study))
    if two:
        plots["pareto"] = lambda: pictures.plot_pareto_front(study, target_names=list(study.metric_names or ()))
    return plots


@contextmanager
def _without_a_screen() -> Iterator[None]:
    """Optuna draws on pyplot's own figure, and logs what it can't draw."""
    before, verbosity = matplotlib.get_backend(), optuna.logging.get_verbosity()
    plt.switch_backend("agg")
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        yield
    finally:
        plt.switch_backend(before)
        optuna.logging.set_verbosity(verbosity)
