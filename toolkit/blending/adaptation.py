"""Does a blend adapt its networks to the test images? It does where that gains out of fold."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.blending.candidates import seconds_per_image
from toolkit.blending.described import fold_decisions, out_of_fold_mix, runs_used
from toolkit.blending.view_choice import ViewChoice
from toolkit.data.image_sets import part_of
from toolkit.data.labelled import Labelled
from toolkit.errors import UserError
from toolkit.images.rows import ImageRows
from toolkit.networks.adapted import MOST as LOOKED_AT
from toolkit.networks.adapted import adapt
from toolkit.networks.devices import resolve_device
from toolkit.networks.predict import BATCH, at_once
from toolkit.networks.tta import IDENTITY, predict_views
from toolkit.outcome import number
from toolkit.probabilities import as_stored, chunks, open_probabilities, write_probabilities
from toolkit.progress import SILENT, Progress
from toolkit.runs import Boosted, Run, run_at
from toolkit.scoring.adaptation import (
    MOST,
    SHARES,
    adaptation,
    blend_adaptation,
    gains,
    may_adapt,
    precision_of,
    worn_images,
)

ADAPTING, WORN = "trying to adapt", "degrading validation images"  # phases
AUTO, NONE = "auto", "none"


def check_asked(labelled: Labelled, asked: str) -> float | None:
    """The share that is asked for in words; None where it is to be chosen. UserError where it may not be.

    asked: `auto`, `none`, or a share from 0 to 1.
    """
    if asked == AUTO:
        return None
    try:
        share = 0.0 if asked == NONE else float(asked)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UserError(f"--adapt is {asked!r}; give `auto`, `none` or a share from 0 to 1, such as 0.5")
    if share and not may_adapt(labelled):
        rule = "adapting" if not labelled.competition.rules.adapting else "unlabelled_test_images"
        text = "there are no test images that predictions may follow from together; leave out --adapt"
        raise UserError(labelled.competition.rules.sentence(rule, text))
    return share


def find_adaptation(
    labelled: Labelled,
    described: Mapping[str, Any],
    quantiles: Mapping[str, np.ndarray],
    asked: float | None,
    device: str,
    progress: Progress = SILENT,
) -> tuple[dict[str, float], dict[str, Any] | None]:
    """Shares of the test's statistics by run, of those that have some; and what that is worth, as `blend_adaptation`.

    described: as `blend.json` has it. Nothing is measured where nothing may be adapted, or a run is
    of trees or has lost its weights.
    """
    runs = [run_at(labelled.workspace.train / name, labelled) for name in runs_used(described)]
    if asked == 0 or not may_adapt(labelled):
        return {}, None
    if lacking := [run.name for run in runs if not run.is_whole or isinstance(run, Boosted)]:
        if asked:
            progress.warn(f"nothing is adapted by --adapt: {' and '.join(lacking)} is without networks at hand")
        return {}, None
    progress.say("trying whether the networks gain by adapting to the images that they predict")
    found = {}
    with progress.phase(ADAPTING, costs={WORN: 1.0} | {run.name: 2.0 for run in runs}):
        with progress.phase(WORN):
            worn = worn_images(labelled)
        for run in runs:
            with progress.phase(run.name):
                found[run.name] = adaptation(run, worn, device, asked)
    if not any(one.share or any(one.by_fold) for one in found.values()):
        if asked:
            progress.warn("nothing is adapted by --adapt: no network has a batch norm, whose statistics could be")
        return {}, None
    mix = out_of_fold_mix(described, quantiles, labelled.competition)
    worth = blend_adaptation(runs, worn, mix, fold_decisions(described))
    shares = {name: found[name].share for name, share in described["runs"].items() if share and found[name].share}
    taken = shares if asked is not None or gains(worth) else {}
    return taken, worth


def words(shares: Mapping[str, float], worth: Mapping[str, Any], metric: str) -> str:
    """What came of it, in a sentence."""
    gain = f"{number(worth['gain'], '+')} ({number(worth['gain_low'], '+')} to {number(worth['gain_high'], '+')})"
    of = f"on {worth['samples']:,} validation images, {worth['worn']:,} corrupted, a fold's together: {metric} "
    told = f"{of}{number(worth['plain'])} without, {number(worth['score'])} with, a gain of {gain}"
    if worth["unworn"] is not None:
        before, after = worth["unworn"]
        told += f"; on the others {number(before)} and {number(after)}"
    if not shares:
        why = "no share gains by all folds together" if worth["gain"] > 0 else "that gains nothing"
        return f"not adapted to the test images, as {why}: {told}"
    each = ", ".join(f"{name} {share:g}" for name, share in shares.items())
    return f"adapted to the test images, share of their statistics {each}: {told}"


def images_to_adapt(labelled: Labelled) -> float:
    """Images that all folds' networks of a run predict for it: to choose a share, and the test images anew."""
    tried = min(MOST, int(labelled.inside.sum())) * (1 + 2 * len(SHARES)) / labelled.folds
    tests = len(labelled.test_images) if labelled.competition.try_submission is None else 0
    return tried + tests + 2 * min(LOOKED_AT, tests)


def seconds_to_adapt(runs: Sequence[Run], device: str) -> float:
    """Seconds that choosing shares and predicting test images anew may take, by what an image takes; measured once."""
    images = images_to_adapt(runs[0].labelled)
    return sum(seconds_per_image(run, device) * images for run in runs if not isinstance(run, Boosted))


def adapted_tests(
    labelled: Labelled,
    runs: Mapping[str, Run],
    shares: Mapping[str, float],
    choice: ViewChoice | None,
    scratch: Path,
    device: str,
    progress: Progress = SILENT,
) -> dict[str, np.ndarray]:
    """Test predictions (M, C, ...) of the runs that adapt, by name, made anew and averaged over the chosen views."""
    found = {}
    for name, share in shares.items():
        run, path = runs[name], scratch / f"{name}-adapted.npy"
        progress.say(f"predicting {len(run.test_images):,} test images with {name}, adapted to them")
        with progress.phase(f"test images with {name}, adapted"):
            write_adapted(run, share, run.test_images, labelled.test_table, choice, device, path)
        found[name] = open_probabilities(path)
    return found


def write_adapted(
    run: Run,
    share: float,
    images: ImageRows,
    table: np.ndarray | None,
    choice: ViewChoice | None,
    device: str,
    path: Path,
    kind: Any = None,
) -> None:
    """Write the mean of all folds' networks, each adapted to all of the images (M, H, W, C), through the views.

    kind: the type that values are stored in; that of the run's own, if not given.
    """
    place, precision, scored = resolve_device(device), precision_of(run), run.labelled.competition.scored
    networks = run.networks(place)
    for network in networks:
        adapt(network, images, share, place, precision, table)
    views, weights = ((IDENTITY,), None) if choice is None else (choice.views, choice.weights)
    shape = run.labelled.probability_shape(len(images))
    stored = run.oof.dtype if kind is None else kind

    def parts() -> Iterator[np.ndarray]:
        for at in chunks(len(images), shape[2:], at_once(images, BATCH)):
            some, beside = part_of(images, at), None if table is None else table[at]
            each = [
                predict_views(one, some, scored, place, precision, views, weights, gaps=True, table=beside)
                for one in networks
            ]
            yield as_stored(np.mean(each, axis=0), stored)

    write_probabilities(path, parts(), shape, stored)
