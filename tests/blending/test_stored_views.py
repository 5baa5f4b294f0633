"""Views of a run are stored once, out of fold, and averaged as they were chosen."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from competitions.blood_cells import competition as blood_cells
from competitions.mars import competition as mars
from tests import tiny
from tests.tiny import prepare, train
from toolkit.blending import stored_views
from toolkit.blending.stored_views import default_views, open_views, store_test_views, store_views, views_to_try
from toolkit.checked import keep
from toolkit.errors import UserError
from toolkit.networks.predict import predict
from toolkit.networks.tta import predict_views
from toolkit.probabilities import probabilities
from toolkit.recipe import override
from toolkit.runs import Run

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
    assert default_views(SMALL, (64, 128, 1)) == ("identity", "horizontal")


def test_views_are_tried_by_name_beside_identity_where_a_submission_can_honour_them(tmp_path: Path) -> None:
    labelled = tiny.labelled(np.zeros(1, int), np.zeros(1, int))
    run = Run(tmp_path, labelled)
    assert views_to_try([run], ["horizontal+vertical", "scale0.8"]) == ("identity", "both", "scale0.8")
    assert views_to_try([run], ["none"]) == ("identity",)
    code = replace(tiny.competition, try_submission=lambda path, images: None)  # type: ignore[arg-type,return-value]
    with pytest.raises(UserError, match=r"can't honour the view 'scale0\.8'; it can identity, horizontal"):
        views_to_try([Run(tmp_path, replace(labelled, competition=code))], ["scale0.8"])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Of data whose sixth sample was dropped."""
    cleaning = prepare(tmp_path).workspace.cleaning
    cleaning.write_text("index,action,value,reason,confidence\n5,drop,unscored,,1\n")
    prepare(tmp_path)
    return train(tmp_path, "schedule.epochs=1")


def turned(view: str, images: np.ndarray) -> np.ndarray:
    return images[:, :, ::-1] if view == "horizontal" else np.rot90(images, 1, (1, 2))


def test_a_view_is_predicted_out_of_fold_and_its_test_images_get_the_mean(run: Run) -> None:
    store_views(run, ["identity", "horizontal", "rot90"], "cpu")
    assert not [*run.view_folder("rot90").glob("test.npy")], "only where the run has a share"
    store_test_views(run, ["identity", "horizontal", "rot90"], "cpu")
    labelled, networks = run.labelled, run.networks(CPU)
    assert not run.view_folder("identity").exists()
    for view in ("horizontal", "rot90"):
        oof, test = (probabilities(open_views(run, [view], kind)[view]) for kind in ("oof", "test"))
        for k, network in enumerate(networks):
            rows = labelled.rows(k)
            expected = predict(network, turned(view, labelled.images[rows]), (0, 1, 2), CPU, "float32")
            assert np.allclose(oof[rows], expected, atol=1e-3)
        assert not oof[5].any()  # it was dropped
        seen = turned(view, labelled.test_images)
        parts = [predict(network, seen, (0, 1, 2), CPU, "float32") for network in networks]
        assert np.allclose(test, np.mean(parts, axis=0), atol=1e-3)
    same = open_views(run, ["identity"])["identity"]
    assert np.array_equal(same, run.oof) and same.dtype == open_views(run, ["rot90"])["rot90"].dtype


def bytes_of(run: Run, *views: str) -> list[bytes]:
    return [path.read_bytes() for view in views for path in sorted(run.view_folder(view).glob("*.npy"))]


def test_a_view_is_stored_once_and_anew_when_the_weights_are_others(run: Run) -> None:
    store_views(run, ["both"], "cpu")
    made, before = run.view_folder("both").stat().st_mtime_ns, bytes_of(run, "both")
    store_views(run, ["both"], "cpu")
    assert run.view_folder("both").stat().st_mtime_ns == made
    path = run.weights[1]
    save_file({name: value + 0.1 for name, value in load_file(path).items()}, path)
    keep([path])
    store_views(run, ["both"], "cpu")
    assert bytes_of(run, "both")[0] != before[0]


def test_what_is_killed_leaves_no_half_view_and_ends_with_the_same_result(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_views(run, ["both", "vertical"], "cpu")
    views = run.view_folder("both").parent
    whole, calls = bytes_of(run, "both", "vertical"), []
    shutil.rmtree(views)

    def dies(*arguments: object, **more: object) -> np.ndarray:
        calls.append(arguments)
        if len(calls) == 5:  # within the second view
            raise KeyboardInterrupt
        return predict_views(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(stored_views, "predict_views", dies)
    with pytest.raises(KeyboardInterrupt):
        store_views(run, ["both", "vertical"], "cpu")
    assert [folder.name for folder in views.glob("*")] == ["both"]
    store_views(run, ["both", "vertical"], "cpu")
    assert len(calls) == 5 + 3  # the first view was kept: three folds
    assert bytes_of(run, "both", "vertical") == whole


def test_a_run_that_cannot_be_predicted_again_is_refused(run: Run) -> None:
    with pytest.raises(UserError, match="there is no view 'flip'"):
        store_views(run, ["flip"], "cpu")
    run.weights[1].unlink()
    with pytest.raises(UserError, match=r"fold_1/weights\.safetensors is gone; remove"):
        store_views(run, ["both"], "cpu")
