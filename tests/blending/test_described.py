"""What is written of a blend makes of its runs what the blend itself makes of them."""

from dataclasses import replace

import numpy as np
import pytest

from tests.blending.conftest import FOLD, LABELS, LABELS_AND_MASKS, drawn, pool_of
from toolkit.blending.blenders import BLENDERS, Blender, blenders_for
from toolkit.blending.candidates import Candidate, SeedGroups, make_seed_groups
from toolkit.blending.crossfit import cross_fit
from toolkit.blending.described import (
    decisions_of,
    describe,
    final_solution,
    fold_decisions,
    out_of_fold_mix,
    quantiles_of,
    runs_used,
)
from toolkit.blending.solution import mixed
from toolkit.competition import Competition
from toolkit.decisions.decide import PLAIN


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
    mix = out_of_fold_mix(described, quantiles_of(fitted), of)
    by_name: dict[str, Candidate] = {run.name: run for run in pool.runs}
    found = mix([by_name[name].oof for name in runs_used(described)], FOLD)
    for k, (_, solution) in enumerate(fitted.parts):
        rows = pool.labelled.rows(k)
        assert np.allclose(found[rows], mixed(pool, solution, "oof", rows), atol=1e-5), blender.name
    used = [run for run in pool.runs if described["runs"][run.name]]
    handed_in = final_solution(described, quantiles_of(fitted), of)
    alone, rows = SeedGroups(pool.labelled, make_seed_groups(used)), np.arange(20)
    assert np.allclose(mixed(alone, handed_in, "oof", rows), mixed(pool, fitted.final[1], "oof", rows), atol=1e-5)


def test_what_an_older_version_wrote_has_nothing_to_decide() -> None:
    targets, candidates = drawn(LABELS)
    pool = pool_of(LABELS, targets, candidates)
    described = describe(pool, cross_fit(pool, blenders_for(pool)[:2]))
    older = {name: value for name, value in described.items() if name not in ("decisions", "slopes")}
    older["folds"] = [{"runs": part["runs"], "biases": part["biases"]} for part in described["folds"]]
    assert decisions_of(older) == PLAIN and fold_decisions(older) == [PLAIN] * 4
    now, then = (final_solution(each, {}, LABELS) for each in (described, older))
    assert str(now) == str(then)
