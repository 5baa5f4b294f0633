"""Training images predicted as a submission predicts test images: by all networks of a blend, mixed as it says."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from toolkit.blending.adaptation import write_adapted
from toolkit.blending.blend_folder import Blend
from toolkit.blending.candidates import NO_LIMITS, SeedGroups, candidate, make_seed_groups
from toolkit.blending.described import final_solution
from toolkit.blending.solution import write_mixed
from toolkit.blending.stored_views import averaged
from toolkit.blending.view_choice import ViewChoice
from toolkit.data.image_sets import part_of
from toolkit.errors import UserError
from toolkit.images.rows import Chosen
from toolkit.networks.devices import resolve_device
from toolkit.networks.predict import BATCH, at_once
from toolkit.networks.tta import IDENTITY, predict_views
from toolkit.probabilities import as_stored, chunks, open_probabilities, write_probabilities
from toolkit.runs import Boosted, Run
from toolkit.training.boosting import predict_boosted

AS_IT_IS = ViewChoice((IDENTITY,), (1.0,), 0.0, 0.0)


def blended_runs(blend: Blend) -> list[Run]:
    """The runs that have a share; UserError where they, or the blend, are no longer what was blended."""
    made_from = (blend.manifest or {})["runs"]
    runs = [blend.run(name) for name, share in blend.shares.items() if share]
    for run in runs:
        if run.manifest != made_from[run.name]:
            raise UserError(f"{run.folder} isn't what was blended any more; run `compete ensemble` again")
    if blend.is_older:
        raise UserError(f"{blend.folder} is of an older version; run `compete ensemble` again")
    return runs


def predict_blend(
    blend: Blend, runs: Sequence[Run], rows: np.ndarray, device: str, path: Path, scratch: Path
) -> list[np.ndarray]:
    """Write to `path` what the blend says of training images `rows`, and return what each of its runs does.

    runs: `blended_runs`; what they say is stored in `scratch`.
    """
    paths = [scratch / f"{run.name}.npy" for run in runs]
    for run, own in zip(runs, paths, strict=True):
        share = blend.adapted.get(run.name, 0.0)
        if share:  # to each other, as test images are
            seen, table = Chosen(run.images, rows), run.labelled.table_of(rows)
            kind: Any = np.float32 if run.labelled.competition.try_submission else None
            write_adapted(run, share, seen, table, blend.views, device, own, kind)
        else:
            _predict(run, blend.views or AS_IT_IS, rows, resolve_device(device), own)
    stored = [open_probabilities(own) for own in paths]
    _blend(blend, runs, stored, device, path)
    return stored


def _predict(run: Run, choice: ViewChoice, rows: np.ndarray, place: torch.device, path: Path) -> None:
    """The mean of all folds' networks, through the views: as test images are stored, or as a server computes it."""
    labelled, competition = run.labelled, run.labelled.competition
    if isinstance(run, Boosted):
        _predict_boosted(run, rows, place, path)
        return
    networks = run.networks(place)
    code = competition.try_submission is not None
    kind: Any = np.float32 if code else run.oof.dtype
    shape = labelled.probability_shape(len(rows))

    def mean(at: slice, images: np.ndarray, precision: str, views: Sequence[str], weights: Sequence[float]) -> Any:
        scored, table = competition.scored, labelled.table_of(rows[at])
        parts = [
            predict_views(each, images, scored, place, precision, views, weights, gaps=True, table=table)
            for each in networks
        ]
        return np.mean(parts, axis=0)

    def parts() -> Iterator[np.ndarray]:
        for at in chunks(len(rows), shape[2:], at_once(run.images, BATCH)):
            images = part_of(run.images, rows[at])
            if code:
                yield mean(at, images, "float32", choice.views, choice.weights)
            else:
                means = {view: mean(at, images, run.recipe.precision, [view], [1]) for view in choice.views}
                seen = {view: as_stored(part, kind) for view, part in means.items()}
                yield from averaged(labelled, choice, seen)

    write_probabilities(path, parts(), shape, kind)


def _predict_boosted(run: Boosted, rows: np.ndarray, place: torch.device, path: Path) -> None:
    """The mean of all folds' trees, on what the sources say of the images as they are."""
    labelled, values = run.labelled, []
    for source in run.sources:
        own = path.with_name(f"{path.stem}-{source.name}.npy")
        _predict(source, AS_IT_IS, rows, place, own)
        values.append(open_probabilities(own))
    table = labelled.table_of(rows)
    assert table is not None
    made = predict_boosted(run, table, values)
    write_probabilities(path, [made], made.shape, run.oof.dtype)


def _blend(blend: Blend, runs: Sequence[Run], stored: Sequence[np.ndarray], device: str, path: Path) -> None:
    """The blend of what its runs predict."""
    labelled = blend.labelled
    alone = [candidate(run, NO_LIMITS, device) for run in runs]
    seen = [replace(one, test=each) for one, each in zip(alone, stored, strict=True)]
    pool = SeedGroups(labelled, make_seed_groups(seen))
    solution = final_solution(blend.described, blend.quantiles, labelled.competition)
    like = blend.oof if blend.test is None else blend.test
    kind: Any = like.dtype if labelled.competition.try_submission is None else np.float32
    write_mixed(path, pool, solution, len(stored[0]), kind)
