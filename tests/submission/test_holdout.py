"""The held-out samples are predicted as the submission predicts, once, and the blends they are shown are counted."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests import tiny
from tests.tiny import Heard, prepare, train
from toolkit.blending.blend import blend
from toolkit.blending.blend_folder import Blend
from toolkit.blending.blenders import Blender
from toolkit.blending.solution import Solution
from toolkit.blending.view_choice import ViewChoice
from toolkit.competition import Competition
from toolkit.data.labelled import Labelled
from toolkit.data.loading import load as load_raw
from toolkit.errors import UserError
from toolkit.networks.tta import predict_views
from toolkit.outcome import Table, Warned, interval
from toolkit.progress import SILENT
from toolkit.project import Project
from toolkit.recipe import Recipe
from toolkit.runs import Run
from toolkit.store import read_json, write_json
from toolkit.submission import holdout, predicted_anew
from toolkit.submission.checks import blend_prediction, predicted
from toolkit.submission.holdout import holdout_score, ordinal, score_held_out
from toolkit.training.saving import store_test

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")
QUICK = "schedule.epochs=1"
PLAIN = ("none",)
FLIPPED = ViewChoice(("identity", "horizontal"), (0.75, 0.25), 0.6, 0.5, ({"horizontal": 1.0},) * 3)


def of_chance(labelled: Labelled, recipe: Recipe, kind: type) -> Run:
    """A run of untrained networks: what it predicts out of fold is drawn, what of test images is its networks'."""
    run = Run(labelled.workspace.train / f"{recipe.name}-{recipe.seed}", labelled)
    for fold in run.folds:
        torch.manual_seed(10 * recipe.seed + fold.number)
        fold.folder.mkdir(parents=True)
        network = labelled.competition.build_model(recipe)
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, fold.weights)
    values = np.random.default_rng(recipe.seed).random(labelled.probability_shape(len(labelled.images)))
    values[:, [at for at in range(values.shape[1]) if at not in labelled.competition.scored]] = 0
    tiny.leave_run(run, recipe, values / values.sum(1, keepdims=True), kind)
    store_test(run, "cpu")
    return run


def as_test_images(project: Project) -> Labelled:
    """As if the held-out samples were the test images."""
    labelled = project.labelled()
    return replace(labelled, test_images=np.array(labelled.images[labelled.held_out]))


def blended(
    monkeypatch: pytest.MonkeyPatch, labelled: Labelled, recipes: Sequence[Recipe], kind: type, solution: Solution
) -> Blend:
    """Of runs of chance, through two views, fitted to this solution."""
    for recipe in recipes:
        of_chance(labelled, recipe, kind)
    blender = Blender("drawn", True, lambda pool, folds: solution)
    monkeypatch.setattr("toolkit.blending.blend.blenders_for", lambda *_: (blender,))
    monkeypatch.setattr("toolkit.blending.stored_views.choose_views", lambda *_: FLIPPED)
    return blend(labelled, views=["horizontal"], device="cpu")


# two runs differ in seed alone, so that they are one seed group; the third is the other
RUNS = (tiny.FIRST, replace(tiny.FIRST, seed=1), replace(tiny.FIRST, name="third", batch_size=16))
QUANTILES = np.sort(np.random.default_rng(0).random((2, 3, 9)), axis=2)
SOLUTIONS = (
    Solution(np.array([2, 1])),
    Solution(np.array([0, 1])),
    Solution(np.array([1, 3]), biases=np.array([0.2, -0.3, 0.1])),
    Solution(np.array([1, 1]), temperatures=np.array([0.3, 4.0])),
    Solution(np.array([True, True]), quantiles=QUANTILES),
)


@pytest.mark.parametrize("solution", SOLUTIONS, ids=("weights", "one alone", "biases", "temperatures", "ranks"))
def test_held_out_labels_get_what_the_file_holds_of_the_same_test_images(
    solution: Solution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = prepare(tmp_path, holdout=0.25)
    made = blended(monkeypatch, as_test_images(project), RUNS, np.float16, solution)
    found = holdout_score(made, "cpu")
    assert found is not None and made.holdout_path.read_bytes() == made.test_path.read_bytes()
    labels, labelled = blend_prediction(made, 0, "cpu").labels, made.labelled
    assert found["score"] == (labels == labelled.targets[labelled.held_out]).mean() and found["samples"] == len(labels)
    assert found["runs"].keys() == {name for name, share in made.shares.items() if share}


def test_held_out_masks_get_what_the_file_holds_small_regions_cleaned_up(
    mars: Competition, drawn: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(mars, data=drawn["mars"] / "raw", workspace=tmp_path, progress=SILENT)
    load_raw(mars, project.workspace, project.raw)
    project.folds(3, holdout=0.1)
    recipes = [replace(mars.recipes["small_unet"], seed=seed, batch_size=8 + seed) for seed in (0, 1)]
    solution = Solution(np.array([2, 1]), smallest=16)
    made = blended(monkeypatch, as_test_images(project), recipes, np.uint8, solution)
    found = holdout_score(made, "cpu")
    assert found is not None and made.holdout_path.read_bytes() == made.test_path.read_bytes()
    assert found["samples"] == made.labelled.held_out.sum() > 2


def test_where_code_is_handed_in_they_get_what_the_server_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = replace(tiny.competition, try_submission=lambda path, images: pytest.fail("isn't run here"))
    labelled = replace(as_test_images(prepare(tmp_path, holdout=0.25)), competition=code)
    made = blended(monkeypatch, labelled, RUNS, np.float16, Solution(np.array([1, 3]), np.array([0.01, -0.03, 0.02])))
    found = holdout_score(made, "cpu")
    handed_in = blend_prediction(made, 1, "cpu")
    served = predicted(code, replace(handed_in, images=labelled.images[labelled.held_out]), "cpu")
    stored = np.load(made.holdout_path)
    ranked = np.sort(stored, axis=1)
    assert served.margins is not None and served.margins.min() > 1e-6  # no ties, which may fall either way
    assert (served.labels == stored.argmax(1)).all()
    assert stored.dtype == np.float32 and np.allclose(ranked[:, 2] - ranked[:, 1], served.margins, rtol=0.1)
    assert found is not None and found["score"] == (served.labels == labelled.targets[labelled.held_out]).mean()


def held(project: Project) -> Project:
    """With two runs."""
    for seed in (0, 1):
        train(project.workspace.root, QUICK, f"seed={seed}", stress="none")
    return project


def test_they_are_predicted_once_and_by_what_is_handed_in_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, calls = held(prepare(tmp_path, holdout=0.25)), []

    def counted(*given: object, **more: object) -> np.ndarray:
        calls.append(given)
        return predict_views(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(predicted_anew, "predict_views", counted)
    made = project.ensemble(views=PLAIN)
    assert not calls and "holdout" not in made.metrics and not project.workspace.holdout.exists()
    submission = project.submit()
    found, times = submission.scores["holdout"], len(calls)
    assert times == 3 * sum(share > 0 for share in made.shares.values()) and (found["look"], found["looks"]) == (1, 1)
    assert submission.as_json()["holdout"] == found
    text = f"held out, as it is handed in: accuracy {interval(found)} on "
    assert submission.told()[-1] == f"{text}{found['samples']} samples"
    (line,) = project.ledger.lines
    assert [float(line[name]) for name in ("holdout", "holdout_low", "holdout_high")] == [
        round(found[name], 6) for name in ("score", "low", "high")
    ]
    (table,) = (part for part in project.ledger.told() if isinstance(part, Table))
    assert "held\nout" in table.columns
    assert project.submit().scores["holdout"] == found
    assert len(calls) == times and made.metrics["holdout"]["score"] == found["score"]


def looks(project: Project, *runs: Run) -> tuple[int, int]:
    found = holdout_score(project.ensemble(runs, views=PLAIN))
    assert found is not None
    return found["look"], found["looks"]


def test_each_other_blend_is_another_look_and_is_said_to_be_one(tmp_path: Path) -> None:
    project = held(prepare(tmp_path, holdout=0.25))
    one, two = project.runs()
    assert looks(project, one) == (1, 1)
    assert looks(project, one, two) == (2, 2) == looks(project, one, two)
    assert looks(project, one) == (1, 2)  # blended and predicted again, it is no other one
    warned = project.submit().told()[-1]
    assert isinstance(warned, Warned) and warned.text.startswith("this is the 1st of 2 blends that were scored on the")
    assert looks(project, two) == (3, 3)
    other = prepare(tmp_path, holdout=0.25, seed=1)  # other samples were never looked at
    assert looks(other, train(tmp_path, QUICK, stress="none", seed=1)) == (1, 1)


def test_a_kill_leaves_no_look_uncounted_and_counts_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = held(prepare(tmp_path, holdout=0.25))
    made = project.ensemble(views=PLAIN)

    def killed(path: Path, value: object) -> None:
        if path == made.metrics_path:
            raise KeyboardInterrupt
        write_json(path, value)

    with monkeypatch.context() as patch:
        patch.setattr(holdout, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            holdout_score(made)
    assert list(read_json(project.workspace.holdout).values()) == [[made.hash]]
    found = holdout_score(made)
    assert found is not None and (found["look"], found["looks"]) == (1, 1)
    assert not list(project.workspace.folder.rglob("*.partial")) + list(project.workspace.ensemble.glob(".scratch-*"))


def test_a_blend_of_runs_that_were_trained_on_them_is_not_scored(tmp_path: Path) -> None:
    project = held(prepare(tmp_path))
    project.ensemble(views=PLAIN)
    assert project.submit().scores["holdout"] is None and "held out" not in str(project.submit().told())
    heard = Heard()
    project = prepare(tmp_path, holdout=0.25, progress=heard)
    assert project.submit().scores["holdout"] is None
    assert "the blend's runs are on other folds" in str(heard) and "isn't scored on what these hold out" in str(heard)
    assert not project.workspace.holdout.exists()


def test_a_blend_on_other_folds_is_handed_in_with_a_warning(tmp_path: Path) -> None:
    project, heard = held(prepare(tmp_path)), Heard()
    project.ensemble(views=PLAIN)
    project.submit()
    prepare(tmp_path, seed=1, progress=heard).submit()
    assert "on other folds than the present ones; `compete ensemble`" in str(heard)


def test_what_was_blended_must_still_be_there(tmp_path: Path) -> None:
    project = held(prepare(tmp_path, holdout=0.25))
    one, _ = project.runs()
    made = project.ensemble([one], views=PLAIN)
    write_json(one.manifest_path, {"inputs": (one.manifest or {}) | {"complete": False}})
    with pytest.raises(
        UserError, match=rf"{re.escape(one.name)} isn't what was blended any more; run `compete ensemble`"
    ):
        holdout_score(made)


def test_they_are_scored_by_the_labels_in_the_file() -> None:
    truth = np.array([0, 1, 2, 2, 1])
    labelled = tiny.labelled(truth, np.array([-2, 0, -2, -2, 1]), group=np.array([0, 1, 2, 2, 3]))
    mended = replace(labelled, targets=(truth + 1) % 3)
    found = score_held_out(mended, np.eye(3, dtype=np.float16)[[0, 2, 2]])
    assert (found["score"], found["samples"], found["groups"]) == (1, 3, 2)
    assert found["by_class"].keys() == {"red", "green", "blue"}


def test_a_number_is_named() -> None:
    assert list(map(ordinal, (1, 2, 3, 11, 22))) == ["1st", "2nd", "3rd", "11th", "22nd"]
