"""What a submission is made from is the blend, and a file that is something else is found out."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests import tiny
from tests.small import FOLDER
from toolkit.answers import Member, Prediction, SandboxRun
from toolkit.blending.blend_folder import Blend
from toolkit.blending.view_choice import ViewChoice, write_choice
from toolkit.competition import Competition, load_competition
from toolkit.decisions.decide import PLAIN, Decisions
from toolkit.errors import UserError
from toolkit.networks.network import load_network
from toolkit.networks.predict import predict
from toolkit.networks.tta import predict_views
from toolkit.store import write_manifest
from toolkit.submission.checks import (
    blend_members,
    blend_prediction,
    check_submission,
    out_of_fold_said,
    predicted,
    score_again,
)
from toolkit.submission.doubts import Said

NONE = np.zeros(0, np.uint8)
CPU = torch.device("cpu")


def test_a_prediction_has_the_blends_labels_networks_and_views(tmp_path: Path) -> None:
    blend = tiny.blend(tmp_path, "one", "two")
    write_choice(blend.views_path, ViewChoice(("identity", "horizontal"), (0.75, 0.25), 0.6, 0.5))
    made = blend_prediction(blend, 0, "cpu")
    assert made.images is blend.labelled.test_images and blend.test is not None
    assert (made.labels == np.asarray(blend.test).argmax(1)).all()
    assert [(member.weights.parts[-3:-1], round(member.share, 3)) for member in made.members] == [
        ((run, f"fold_{fold}"), 0.167) for run in ("one", "two") for fold in range(3)
    ]
    assert made.views == ("identity", "horizontal") and made.view_weights == (0.75, 0.25)
    blend.run("two").fold(1).weights.unlink()
    with pytest.raises(UserError, match=r"weights\.safetensors is gone; remove .*two/fold_\d and run `compete train"):
        blend_prediction(blend, 0, "cpu")


@pytest.fixture
def code(tmp_path: Path) -> Blend:
    """One of a competition that takes code, of a run whose networks are of chance; the views chosen differ by fold."""
    blend = tiny.blend(tmp_path, "one")
    for fold in blend.run("one").folds:
        torch.manual_seed(fold.number)
        save_file(tiny.build_model(tiny.FIRST).state_dict(), fold.weights)
    by_fold = ({"identity": 0.25, "rot90": 0.75}, {"identity": 1.0}, {"rot90": 1.0})
    write_choice(blend.views_path, ViewChoice(("identity", "rot90"), (0.25, 0.75), 0.5, 0.4, by_fold))
    competition = replace(tiny.competition, try_submission=lambda path, images: pytest.fail("isn't run here"))
    return replace(blend, labelled=replace(blend.labelled, competition=competition))


def views_of(blend: Blend, fold: int, images: np.ndarray, half: bool, *weights: float) -> np.ndarray:
    network = blend.run("one").network(fold, CPU)
    if half:
        network.load_state_dict({name: value.half().float() for name, value in network.state_dict().items()})
    return predict_views(network, images, range(3), CPU, "float32", ("identity", "rot90"), weights)


def test_code_is_compared_on_training_images_seen_through_the_views_chosen(code: Blend) -> None:
    made, halves = (blend_prediction(code, 40, "cpu", half) for half in (False, True))
    assert (made.images == code.labelled.images[np.linspace(0, 71, 40).astype(int)]).all()
    expected = np.mean([views_of(code, fold, made.images, False, 1, 3) for fold in range(3)], axis=0)
    assert (made.labels == expected.argmax(1)).all() and halves.half
    ranked = np.sort(expected, axis=1)
    assert made.margins is not None and np.allclose(made.margins, ranked[:, 2] - ranked[:, 1], atol=1e-6)
    assert halves.margins is not None and (halves.margins != made.margins).any()
    assert len(blend_prediction(code, 0, "cpu").labels) == 0


@pytest.mark.parametrize("half", [False, True])
def test_each_fold_is_scored_again_by_its_own_network_and_views(half: bool, code: Blend) -> None:
    labelled, right = code.labelled, 0
    for fold, weights in enumerate([(0.25, 0.75), (1.0, 0.0), (0.0, 1.0)]):
        rows = labelled.rows(fold)
        labels = views_of(code, fold, labelled.images[rows], half, *weights).argmax(1)
        right += int((labels == labelled.targets[rows]).sum())
    assert score_again(code, "cpu", half) == right / 72


def test_masks_seen_through_views_are_put_back_before_they_are_averaged(mars: Competition, tmp_path: Path) -> None:
    recipe = mars.recipes["small_unet"]
    torch.manual_seed(0)
    path = tmp_path / "weights.safetensors"
    save_file({k: v.contiguous() for k, v in mars.build_model(recipe).state_dict().items()}, path)
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 128, 1), dtype=np.uint8)
    plain = Prediction(images, np.arange(len(images)), NONE, (Member(recipe, path, 1.0),))
    weights, views = (0.4, 0.3, 0.2, 0.1), ("identity", "horizontal", "vertical", "both")
    found = predicted(mars, replace(plain, views=views, view_weights=weights), "cpu")
    network, total = load_network(mars, recipe, path, CPU), np.zeros((3, 5, 64, 128))
    for weight, axes in zip(weights, ((), (2,), (1,), (1, 2)), strict=True):
        part = predict(network, np.flip(images, axes), mars.scored, CPU, "float32")
        total += weight * np.flip(part, tuple(axis + 1 for axis in axes))
    sure = np.diff(np.sort(total, axis=1)[:, -2:], axis=1)[:, 0] > 1e-5
    assert sure.mean() > 0.99 and (found.labels == mars.decode(total))[sure].all()
    assert (found.labels != predicted(mars, plain, "cpu").labels).any()


def code_check(
    blood_cells: Competition, path: Path, labels: Sequence[int], margins: Sequence[float], adapt: float = 0.0
) -> Any:
    path.write_bytes(b"zip")
    ran = SandboxRun(np.array(labels, np.uint8), 3.2, 1.0, 10**8, "network namespace")
    competition = replace(blood_cells, try_submission=lambda path, images: ran)
    images = np.zeros((len(labels), 96, 96, 3), np.uint8)
    ids, blended = np.arange(len(labels)), np.arange(len(labels), dtype=np.uint8)
    members = (Member(next(iter(blood_cells.recipes.values())), path, 1.0, adapt),)
    prediction = Prediction(images, ids, blended, members, margins=np.array(margins, np.float32))
    return check_submission(competition, prediction, path, path.parent / "none", Said(8, *np.ones((4, 8))))


def test_a_code_submission_must_agree_in_every_label_but_ties(blood_cells: Competition, tmp_path: Path) -> None:
    path = tmp_path / "s.zip"
    figures, _ = code_check(blood_cells, path, [0, 1, 2, 3], [0.5] * 4)
    assert figures["agreement"] == 1 and figures["ties"] == 0 and figures["seconds"] == 3.2
    figures, _ = code_check(blood_cells, path, [0, 1, 2, 7], [0.5, 0.5, 0.5, 1e-6])
    assert figures["agreement"] == 0.75 and figures["ties"] == 1
    with pytest.raises(UserError, match=r"differs from the blend in 1 of 4 labels \(and in 1 ties\)"):
        code_check(blood_cells, path, [0, 1, 5, 7], [0.5, 0.5, 1e-3, 1e-6])
    with pytest.raises(UserError, match=r"1 of 4 labels .*networks adapt .*--adapt none"):
        code_check(blood_cells, path, [0, 1, 5, 3], [0.5] * 4, adapt=0.5)


def said_of(competition: Competition, values: np.ndarray, rows: list[list[int]], decisions: list[Decisions]) -> Said:
    """By a blend of so many folds, whose rows are given."""
    labelled = SimpleNamespace(competition=competition, folds=len(rows), rows=lambda k: np.array(rows[k]))
    blend = SimpleNamespace(labelled=labelled, oof=values, fold_decisions=decisions, is_current=True)
    return out_of_fold_said(cast(Blend, blend))


def test_samples_that_were_left_out_count_for_no_class() -> None:
    values = np.zeros((5, 3), np.float16)
    values[[0, 3, 4], [1, 2, 2]] = 1
    found = said_of(tiny.competition, values, [[0, 4], [3]], [PLAIN, PLAIN])
    assert found.samples == 3 and found.total.tolist() == [0, 1, 2]


def test_what_is_said_out_of_fold_is_decided_as_it_was_there() -> None:
    """The blend of a fold may be of other runs than the one that is handed in, and its values lie elsewhere."""
    spots = load_competition(FOLDER / "spots")
    values = np.full((2, 2, 16, 16), 0.5, np.float16)
    never, always = Decisions(thresholds=(0.9, 0.9)), Decisions(thresholds=(0.1, 0.1))
    assert said_of(spots, values, [[0], [1]], [never, always]).mean.tolist() == [0.5, 0.5]


def test_members_are_all_folds_networks_as_they_were_trained(tmp_path: Path) -> None:
    made = tiny.blend(tmp_path, "one", "two")
    weights = made.run("two").fold(1).weights
    write_manifest(weights.parent, {"fold": 1, "complete": True})
    assert len(blend_members(made)) == 6
    weights.write_bytes(b"another fold's")
    with pytest.raises(UserError, match=r"fold_1/weights\.safetensors is damaged: .*; remove .*two/fold_1 and run"):
        blend_members(made)
    shutil.rmtree(made.run("two").folder)
    with pytest.raises(UserError, match=r"two, which was blended, is gone; run `compete ensemble` again"):
        blend_members(made)
