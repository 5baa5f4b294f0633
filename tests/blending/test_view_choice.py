"""Views of a run are stored once, and averaged only where that gains on folds that didn't choose them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from competitions.blood_cells import competition as blood_cells
from competitions.mars import competition as mars
from tests import tiny
from tests.tiny import prepare, train
from toolkit.blending import view_choice as views
from toolkit.blending.view_choice import (
    ViewChoice,
    averaged,
    averaged_out_of_fold,
    choose_views,
    default_views,
    open_views,
    read_choice,
    store_views,
    write_choice,
)
from toolkit.competition import Competition
from toolkit.data.dataset import open_dataset
from toolkit.data.folds import read_folds
from toolkit.errors import UserError
from toolkit.networks.network import load_network
from toolkit.networks.predict import predict
from toolkit.networks.views import Space, predict_view
from toolkit.probabilities import open_probabilities, probabilities
from toolkit.recipe import from_dict, override
from toolkit.scoring.out_of_fold import score
from toolkit.store import Workspace, read_json

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
LITE0, SMALL = blood_cells.recipes["efficientnet_lite0"], mars.recipes["small_unet"]


@pytest.mark.parametrize(
    ("changes", "shape", "expected"),
    [
        (["flip=none", "rotate=0"], (96, 96, 3), ["identity"]),
        (["flip=horizontal", "rotate=5"], (64, 128, 1), ["identity", "horizontal"]),
        (["flip=both", "rotate=89"], (96, 96, 3), ["identity", "horizontal", "vertical", "both"]),
        (["flip=none", "rotate=90"], (96, 96, 3), ["identity", "rot90", "rot270"]),
        (["flip=none", "rotate=180"], (64, 128, 1), ["identity", "both"]),
        (["flip=horizontal", "rotate=180"], (64, 128, 1), ["identity", "horizontal", "both", "vertical"]),
    ],
)
def test_the_views_of_a_recipe_are_those_that_it_trained(
    changes: list[str], shape: tuple[int, int, int], expected: list[str]
) -> None:
    recipe = override(LITE0, [f"augment.{change}" for change in changes])
    assert list(default_views(recipe, shape)) == expected


def test_views_of_the_competitions_own_recipes() -> None:
    assert len(default_views(LITE0, (96, 96, 3))) == 8
    assert default_views(SMALL, (64, 128, 1), exact=False) == (
        *("identity", "horizontal"),
        *("rotate2.5", "rotate-2.5", "scale0.95", "scale1.05"),
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    prepare(tmp_path)
    Workspace(tmp_path, "tiny-practice").cleaning.write_text("index,action,value,reason,confidence\n5,drop,,,1\n")
    return prepare(tmp_path)


@pytest.fixture
def run(workspace: Workspace, tmp_path: Path) -> Path:
    return train(tmp_path, "schedule.epochs=1")


def test_a_view_is_predicted_out_of_fold_and_its_test_images_get_the_mean(workspace: Workspace, run: Path) -> None:
    store_views(tiny.competition, workspace, run, ["identity", "horizontal", "rot90"], "cpu")
    dataset, fold = open_dataset(workspace.data), read_folds(workspace)["fold"].to_numpy()
    recipe = from_dict(read_json(run / "recipe.json"))
    networks = [
        load_network(tiny.competition, recipe, run / f"fold_{k}" / "weights.safetensors", CPU) for k in range(3)
    ]
    assert not (run / "views" / "identity").exists()
    for view in ("horizontal", "rot90"):
        oof, test = (probabilities(open_views(run, [view], kind)[view]) for kind in ("oof", "test"))
        for k, network in enumerate(networks):
            rows = np.flatnonzero(fold == k)
            expected = predict(network, turned(view, dataset.images[rows]), (0, 1, 2), CPU, "float32")
            assert np.allclose(oof[rows], expected, atol=1e-3)
        assert not oof[5].any()  # it was dropped
        parts = [
            predict(network, turned(view, dataset.test_images), (0, 1, 2), CPU, "float32") for network in networks
        ]
        assert np.allclose(test, np.mean(parts, axis=0), atol=1e-3)
    same = open_views(run, ["identity"])["identity"]
    assert np.array_equal(same, open_probabilities(run / "oof.npy")) and same.dtype == oof_dtype(run, "rot90")


def turned(view: str, images: np.ndarray) -> np.ndarray:
    return images[:, :, ::-1] if view == "horizontal" else np.rot90(images, 1, (1, 2))


def oof_dtype(run: Path, view: str) -> np.dtype:
    return open_probabilities(run / "views" / view / "oof.npy").dtype


def test_a_view_is_stored_once_and_anew_when_the_weights_are_others(workspace: Workspace, run: Path) -> None:
    file = run / "views" / "both" / "oof.npy"
    store_views(tiny.competition, workspace, run, ["both"], "cpu")
    written, before = file.stat().st_mtime_ns, file.read_bytes()
    store_views(tiny.competition, workspace, run, ["both"], "cpu")
    assert file.stat().st_mtime_ns == written
    path = run / "fold_1" / "weights.safetensors"
    save_file({name: value + 0.1 for name, value in load_file(path).items()}, path)
    store_views(tiny.competition, workspace, run, ["both"], "cpu")
    assert file.read_bytes() != before


def test_what_is_killed_leaves_no_half_view_and_ends_with_the_same_result(
    workspace: Workspace, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_views(tiny.competition, workspace, run, ["both", "vertical"], "cpu")
    whole = [
        (run / "views" / view / f"{kind}.npy").read_bytes()
        for view in ("both", "vertical")
        for kind in ("oof", "test")
    ]
    for folder in (run / "views").glob("*"):
        for file in folder.glob("*"):
            file.unlink()
        folder.rmdir()
    calls = []

    def dies(*arguments: object) -> np.ndarray:
        calls.append(arguments)
        if len(calls) == 8:  # within the second view
            raise KeyboardInterrupt
        return predict_view(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(views, "predict_view", dies)
    with pytest.raises(KeyboardInterrupt):
        store_views(tiny.competition, workspace, run, ["both", "vertical"], "cpu")
    assert [folder.name for folder in (run / "views").glob("*")] == ["both"]
    store_views(tiny.competition, workspace, run, ["both", "vertical"], "cpu")
    assert len(calls) == 8 + 6  # the first view was kept: three folds and three networks on the test images
    assert whole == [
        (run / "views" / view / f"{kind}.npy").read_bytes()
        for view in ("both", "vertical")
        for kind in ("oof", "test")
    ]


def test_a_run_that_cannot_be_predicted_again_is_refused(workspace: Workspace, run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no view 'flip'"):
        store_views(tiny.competition, workspace, run, ["flip"], "cpu")
    with pytest.raises(UserError, match="has no stored view 'both'; store it first"):
        open_views(run, ["both"])
    (run / "fold_1" / "weights.safetensors").unlink()
    with pytest.raises(UserError, match=r"fold_1/weights.safetensors does not exist any more; train first again"):
        store_views(tiny.competition, workspace, run, ["both"], "cpu")
    prepare(tmp_path, "--seed", "1")
    with pytest.raises(UserError, match="is no finished run on the present data and folds"):
        store_views(tiny.competition, workspace, run, ["both"], "cpu")


SAMPLES, FOLDS = 600, 4
FOLD = np.arange(SAMPLES) % FOLDS
TABLE = pd.DataFrame({"index": np.arange(SAMPLES), "fold": FOLD, "group": np.arange(SAMPLES)})


def noisy(targets: np.ndarray, classes: int, strength: float, seed: int) -> np.ndarray:
    """Probabilities (N, C, ...) that are right by `strength` and wrong by noise of their own."""
    random = np.random.default_rng(seed)
    truth = np.moveaxis(np.eye(classes)[targets], -1, 1)
    powers = np.exp(strength * truth + random.normal(size=truth.shape))
    return (powers / powers.sum(1, keepdims=True)).astype(np.float16)


LABELS = np.random.default_rng(0).integers(0, 8, SAMPLES)


def test_views_that_err_otherwise_are_averaged_and_the_gain_is_measured_on_other_folds() -> None:
    stored = {name: noisy(LABELS, 8, 1.5, seed) for seed, name in enumerate(("identity", "horizontal", "vertical"))}
    choice = choose_views(blood_cells, LABELS, TABLE, stored)
    assert set(choice.views) == set(stored) and sum(choice.weights) == pytest.approx(1)
    assert choice.plain == pytest.approx(score(blood_cells, LABELS, TABLE, stored["identity"])["score"])
    assert choice.crossfitted > choice.plain + 0.05
    blended = np.concatenate(list(averaged(blood_cells, choice, stored)))
    expected = sum(w * stored[v].astype(np.float32) for v, w in zip(choice.views, choice.weights, strict=True))
    assert np.allclose(blended, expected, atol=1e-5)
    out_of_fold = np.concatenate(list(averaged_out_of_fold(blood_cells, choice, stored, FOLD)))
    assert score(blood_cells, LABELS, TABLE, out_of_fold)["score"] == pytest.approx(choice.crossfitted)


def test_views_that_do_not_help_leave_the_image_as_it_is() -> None:
    stored = {"identity": noisy(LABELS, 8, 3, 0)}
    stored |= {name: noisy(LABELS, 8, 0, 1 + seed) for seed, name in enumerate(("horizontal", "rot90"))}
    choice = choose_views(blood_cells, LABELS, TABLE, stored)
    assert choice.views == ("identity",) and choice.weights == (1.0,)
    assert choose_views(blood_cells, LABELS, TABLE, {"identity": stored["identity"]}).views == ("identity",)


def test_a_weak_view_gets_less_weight_than_a_strong_one() -> None:
    stored = {
        "identity": noisy(LABELS, 8, 1.5, 0),
        "horizontal": noisy(LABELS, 8, 1.5, 1),
        "rot90": noisy(LABELS, 8, 0, 2),
    }
    choice = choose_views(blood_cells, LABELS, TABLE, stored)
    weights = dict(zip(choice.views, choice.weights, strict=True))
    assert choice.crossfitted > choice.plain and weights.get("rot90", 0) < weights["horizontal"]


def test_the_cross_fitted_score_is_not_that_of_the_luckiest() -> None:
    """Views of nothing but noise: chosen on all samples they would look better than chance, cross-fitted not."""
    fitted, chosen_on_all = [], []
    for seed in range(12):
        targets = np.random.default_rng(seed).integers(0, 8, SAMPLES)
        stored = {f"rotate{n}": noisy(targets, 8, 0, 100 * seed + n) for n in range(1, 6)}
        stored["identity"] = noisy(targets, 8, 0, 100 * seed)
        fitted.append(choose_views(blood_cells, targets, TABLE, stored).crossfitted)
        chosen_on_all.append(max((each.argmax(1) == targets).mean() for each in stored.values()))
    error = np.sqrt(1 / 8 * 7 / 8 / SAMPLES / 12)
    assert abs(np.mean(fitted) - 1 / 8) < 3 * error < np.mean(chosen_on_all) - 1 / 8


def test_a_fold_is_scored_by_a_choice_that_did_not_see_it() -> None:
    """One view is right in the first fold alone, one in the second: what the other fold prefers is wrong here."""
    table = TABLE.assign(fold=FOLD % 2)
    wrong, right = np.eye(8, dtype=np.float32)[(LABELS + 1) % 8], np.eye(8, dtype=np.float32)[LABELS]
    stored = {"identity": 0.3 * wrong + 0.7 / 8}
    for k, name in enumerate(("horizontal", "vertical")):
        stored[name] = np.where(np.equal(FOLD % 2, k)[:, None], right, wrong)
    choice = choose_views(blood_cells, LABELS, table, stored)
    assert choice == ViewChoice(("identity",), (1.0,), "probability", 0, 0, ({"identity": 1.0},) * 2)


MASKS = np.random.default_rng(1).integers(0, 5, (40, 6, 10)).astype(np.uint8)
MASK_TABLE = pd.DataFrame({"index": np.arange(40), "fold": np.arange(40) % 3 - (np.arange(40) == 7) * 9, "group": 0})


def quantised(competition: Competition, seed: int) -> np.ndarray:
    values = noisy(MASKS, 5, 1.5, seed).astype(np.float32)
    values[:, 0] = 0
    return np.rint(255 * values / values.sum(1, keepdims=True)).astype(np.uint8)


@pytest.mark.parametrize("space", ["probability", "log", "logit"])
def test_masks_are_scored_in_parts_and_a_pixel_that_a_view_missed_is_not_its_vote(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = {name: quantised(mars, seed) for seed, name in enumerate(("identity", "horizontal", "scale1.25"))}
    stored["scale1.25"][:, :, :2] = 0  # not seen
    choice = choose_views(mars, MASKS, MASK_TABLE, stored, space)
    assert choice.crossfitted > choice.plain + 0.02 and choice.space == space
    blended = np.concatenate(list(averaged(mars, choice, stored)))
    assert (blended[:, 0] == 0).all() and np.allclose(blended.sum(1), 1, atol=5 / 255)  # stored as 255ths
    two = replace(choice, views=choice.views[:2], weights=choice.weights[:2])
    without = np.concatenate(list(averaged(mars, two, stored)))
    assert np.allclose(blended[:, :, :2], without[:, :, :2], atol=1e-5)
    # the score of the chosen mean, as the search saw it, is that of the mean which is then made
    table = views._Confusions(mars, MASKS, MASK_TABLE["fold"].to_numpy(), stored, space)
    weights = tuple(dict(zip(choice.views, choice.weights, strict=True)).get(name, 0.0) for name in stored)
    table.measure([weights])
    assert table.score(weights, np.arange(3)) == pytest.approx(
        score(mars, MASKS, MASK_TABLE, blended)["score"], abs=2e-3
    )
    monkeypatch.setattr(views, "POSITIONS", 100)
    assert choose_views(mars, MASKS, MASK_TABLE, stored, space) == choice


def test_of_equal_probabilities_the_first_class_wins_as_when_decoding() -> None:
    values = torch.from_numpy(np.random.default_rng(0).integers(0, 3, (5, 500)).astype(np.float32))
    assert np.array_equal(views._first_largest(values).numpy(), values.numpy().argmax(0))


def test_masks_are_never_all_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def watched(part: np.ndarray) -> np.ndarray:
        taken.append(len(part))
        return probabilities(part)

    monkeypatch.setattr(views, "probabilities", watched)
    targets = np.random.default_rng(0).integers(1, 5, (200, 64, 128)).astype(np.uint8)
    same = np.array([0, 60, 70, 80, 45], np.uint8).reshape(1, 5, 1, 1)
    stored = {name: np.broadcast_to(same, (200, 5, 64, 128)) for name in ("identity", "horizontal")}
    table = pd.DataFrame({"index": np.arange(200), "fold": np.arange(200) % 2, "group": np.arange(200)})
    assert choose_views(mars, targets, table, stored).views == ("identity",)
    assert max(taken) == views.POSITIONS // (64 * 128) < 100


def test_a_choice_without_what_it_is_compared_with_is_refused() -> None:
    stored = {"horizontal": noisy(LABELS, 8, 1, 0)}
    with pytest.raises(UserError, match="views are compared with identity; store it too"):
        choose_views(blood_cells, LABELS, TABLE, stored)
    with pytest.raises(UserError, match="one fold is not enough"):
        choose_views(blood_cells, LABELS, TABLE.assign(fold=0), {"identity": stored["horizontal"]})


def test_a_choice_is_kept_beside_the_blend(tmp_path: Path) -> None:
    assert read_choice(tmp_path) is None
    choice = ViewChoice(("identity", "rot90"), (0.75, 0.25), "log", 0.9, 0.8)
    write_choice(tmp_path, choice)
    assert read_choice(tmp_path) == choice
