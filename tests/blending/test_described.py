"""What is written of a blend makes of its runs what the blend itself makes of them."""

from dataclasses import replace

import numpy as np
import pytest

from tests.blending.conftest import FOLD, LABELS_AND_MASKS, drawn, pool_of
from toolkit.blending.blenders import BLENDERS, Blender, blenders_for
from toolkit.blending.candidates import Candidate
from toolkit.blending.crossfit import cross_fit
from toolkit.blending.described import describe, out_of_fold_mix, quantiles_by_fold, runs_used
from toolkit.blending.solution import mixed
from toolkit.competition import Competition


@pytest.mark.parametrize("blender", BLENDERS, ids=lambda blender: blender.name)
@LABELS_AND_MASKS
def test_each_fold_is_mixed_as_it_was_out_of_fold(blender: Blender, of: Competition) -> None:
    targets, candidates = drawn(of)
    pool = pool_of(of, targets, candidates)
    if blender not in (offered := blenders_for(pool)):
        pytest.skip("not for such a task")
    needed = [one for one in offered if one.name in ("mean", blender.after) or one is blender]
    fitted = cross_fit(pool, needed, blender.name)
    # two folds of another kind than the rest
    fitted = replace(fitted, parts=[*fitted.parts[:2], *[(offered[0], offered[0].fit(pool, [0, 1]))] * 2])
    described = describe(pool, fitted)
    mix = out_of_fold_mix(described, quantiles_by_fold(fitted.parts), of)
    by_name: dict[str, Candidate] = {run.name: run for run in pool.runs}
    found = mix([by_name[name].oof for name in runs_used(described)], FOLD)
    for k, (_, solution) in enumerate(fitted.parts):
        rows = pool.labelled.rows(k)
        assert np.allclose(found[rows], mixed(pool, solution, "oof", rows), atol=1e-5), blender.name
