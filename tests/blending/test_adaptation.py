"""A blend adapts to the test images where that gains on worn images out of fold, and says by how much."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import tiny
from tests.tiny import Heard
from toolkit.blending.adaptation import find_adaptation, seconds_to_adapt
from toolkit.blending.adaptation import words as adapted_words
from toolkit.errors import UserError
from toolkit.networks.adapted import adapt
from toolkit.networks.predict import predict
from toolkit.probabilities import open_probabilities, probabilities
from toolkit.project import Project
from toolkit.rules import Rules
from toolkit.runs import Run
from toolkit.scoring.adaptation import (
    CHOSEN,
    PLAIN,
    SHARES,
    Adaptation,
    adaptation,
    folder_of,
    smallest_enough,
    worn_images,
)
from toolkit.scoring.matched_to_test import Match, corrupted
from toolkit.submission.checks import blend_members

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")
CPU = torch.device("cpu")
NO_VIEWS = ("none",)


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Project, Run]:
    """Practice data whose test images, which may be looked at, are darker, and a run."""
    path = tiny.project(tmp_path, tiny.looking).raw / "test.npy"
    np.save(path, np.load(path) // 2)
    project = tiny.prepare(tmp_path, device="cpu", of=tiny.looking, holdout=0.2)
    return project, tiny.train(tmp_path, stress="none", of=tiny.looking)


def moved(run: Run, images: np.ndarray, share: float) -> np.ndarray:
    networks = run.networks(CPU)
    for network in networks:
        adapt(network, images, share, CPU, "float32")
    return np.mean([predict(network, images, range(3), CPU, "float32") for network in networks], axis=0)


def test_what_is_handed_in_is_predicted_by_networks_that_adapted(trained: tuple[Project, Run]) -> None:
    project, run = trained
    plain = project.ensemble(views=NO_VIEWS, adapt="none")
    hash_of_plain, before = plain.hash, probabilities(plain.test if plain.test is not None else np.zeros(0))
    made = project.ensemble(views=NO_VIEWS, adapt=0.5)
    assert made.adapted == {run.name: 0.5} and made.hash != hash_of_plain
    assert made.test is not None
    expected = moved(run, project.labelled().test_images, 0.5)
    assert np.allclose(probabilities(made.test), expected, atol=2e-3) and not np.allclose(before, expected, atol=2e-3)
    assert {member.adapt for member in blend_members(made)} == {0.5}
    worth = made.metrics["adapted"]
    assert worth["gain"] == pytest.approx(worth["score"] - worth["plain"])
    assert worth["gain_low"] <= worth["gain"] <= worth["gain_high"]
    assert any("adapted to the test images" in str(line) for line in made.told())
    submission = project.submit()
    assert project.reproduce(submission.path.stem).facts["identical"]
    # held-out samples adapt to each other
    held_out = np.flatnonzero(project.labelled().held_out)
    stored = probabilities(open_probabilities(made.holdout_path))
    assert np.allclose(stored, moved(run, np.array(run.images[held_out]), 0.5), atol=2e-3)
    again = project.ensemble(views=NO_VIEWS, adapt="none")
    assert again.hash == hash_of_plain and not again.adapted


def test_a_fold_adapts_to_its_own_worn_images_by_the_share_that_the_others_chose(trained: tuple[Project, Run]) -> None:
    _, run = trained
    labelled = run.labelled
    worn = worn_images(labelled)
    found = adaptation(run, worn, "cpu")
    assert set(found.scores) == {f"{share:g}" for share in (0.0, *SHARES)}
    plain, chosen = (probabilities(open_probabilities(folder_of(run) / name)) for name in (PLAIN, CHOSEN))
    fold = labelled.fold[worn.rows]
    assert sorted(np.unique(fold)) == [0, 1, 2] and labelled.inside[worn.rows].all()
    images = corrupted(run.images, None, worn.rows, worn.cells, labelled.competition.rgb)[0]
    for k, share in enumerate(found.by_fold):
        own, network = fold == k, run.network(k, CPU)
        assert np.allclose(plain[own], predict(network, images[own], range(3), CPU, "float32"), atol=2e-3)
        adapt(network, images[own], share, CPU, "float32")
        assert np.allclose(chosen[own], predict(network, images[own], range(3), CPU, "float32"), atol=2e-3)
    written = (folder_of(run) / CHOSEN).stat().st_mtime_ns
    assert adaptation(run, worn, "cpu") == found and (folder_of(run) / CHOSEN).stat().st_mtime_ns == written
    assert seconds_to_adapt([run], "cpu") > 0


def test_the_smallest_share_is_taken_that_gains_nearly_as_much() -> None:
    assert smallest_enough({0.0: 0.50, 0.25: 0.53, 0.5: 0.54, 1.0: 0.544}) == 0.25
    assert smallest_enough({0.0: 0.50, 0.25: 0.51, 0.5: 0.54, 1.0: 0.544}) == 0.5
    assert smallest_enough({0.0: 0.50, 0.25: 0.49, 0.5: 0.48}) == 0
    assert smallest_enough({0.0: np.nan, 0.25: 0.49}) == 0 and smallest_enough({0.0: -2.0, 0.5: np.nan}) == 0


def test_auto_adapts_only_where_that_gains(trained: tuple[Project, Run], monkeypatch: pytest.MonkeyPatch) -> None:
    project, run = trained

    def half(of: Run, worn: Match, device: str, _: float | None) -> Adaptation:
        return adaptation(of, worn, device, 0.5)

    for sure in (False, True):
        monkeypatch.setattr("toolkit.blending.adaptation.gains", lambda _, sure=sure: sure)
        monkeypatch.setattr("toolkit.blending.adaptation.adaptation", half)
        described = project.ensemble(views=NO_VIEWS, adapt="none").described
        shares, worth = find_adaptation(project.labelled(), described, {}, None, "cpu")
        assert shares == ({run.name: 0.5} if sure else {}) and worth is not None
        told = adapted_words(shares, worth, "accuracy")
        assert told.startswith("adapted to the test images" if sure else "not adapted to the test images")


def test_where_it_may_not_be_nothing_is_tried_and_asking_is_refused(tmp_path: Path) -> None:
    project = tiny.prepare(tmp_path, device="cpu")
    tiny.train(tmp_path, "schedule.epochs=1", stress="none")
    made = project.ensemble(views=NO_VIEWS)
    assert not made.adapted and "adapted" not in made.metrics
    with pytest.raises(UserError, match=r"no test images .* follow from together.*rule unlabelled_test_images"):
        project.ensemble(views=NO_VIEWS, adapt=0.5)
    for wrong in ("often", "1.5", "-1", "nan"):
        with pytest.raises(UserError, match="give `auto`, `none` or a share from 0 to 1"):
            project.ensemble(views=NO_VIEWS, adapt=wrong)
    forbidden = replace(tiny.competition, rules=Rules(adapting=False))
    with pytest.raises(UserError, match="rule adapting"):
        tiny.project(tmp_path, forbidden, device="cpu").ensemble(views=NO_VIEWS, adapt=0.5)


def test_a_share_that_was_asked_for_in_vain_is_told(
    trained: tuple[Project, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, _ = trained
    described = project.ensemble(views=NO_VIEWS, adapt="none").described
    monkeypatch.setattr("toolkit.scoring.adaptation.adapts", lambda network: False)
    for asked, said in ((0.5, "no network has a batch norm"), (None, "")):
        heard = Heard()
        assert find_adaptation(project.labelled(), described, {}, asked, "cpu", heard) == ({}, None)
        assert said in str(heard) and ("--adapt" in str(heard)) == bool(said)
    monkeypatch.setattr(Run, "is_whole", property(lambda run: False))
    heard = Heard()
    assert find_adaptation(project.labelled(), described, {}, 0.5, "cpu", heard) == ({}, None)
    assert "without networks at hand" in str(heard)


def test_no_share_of_all_folds_is_not_said_to_gain_nothing_where_those_of_each_gained() -> None:
    worth = {"plain": 0.5, "score": 0.6, "gain": 0.1, "gain_low": 0.0, "gain_high": 0.2, "samples": 9, "worn": 9}
    assert "no share gains by all folds together" in adapted_words({}, worth | {"unworn": None}, "accuracy")
    assert "that gains nothing" in adapted_words({}, worth | {"unworn": None, "gain": -0.1}, "accuracy")


def test_what_adapting_was_stored_in_is_missed_where_it_is_gone(trained: tuple[Project, Run]) -> None:
    project, run = trained
    made = project.ensemble(views=NO_VIEWS, adapt=0.5)
    made.adapted_path.unlink()
    for read in (lambda: made.adapted, lambda: made.hash, lambda: blend_members(made)):
        with pytest.raises(UserError, match=r"adapted\.json is gone; .*compete ensemble"):
            read()
    (folder_of(run) / "choice.json").unlink()
    with pytest.raises(UserError, match=r"choice\.json is gone; remove .*adapted and run `compete ensemble`"):
        adaptation(run, worn_images(project.labelled()), "cpu", 0.5)


@pytest.mark.parametrize("wrong", [{"adapt": "often"}, {"blender": "magic"}])
def test_what_is_refused_is_refused_before_anything_is_trained(wrong: dict[str, Any], tmp_path: Path) -> None:
    project = tiny.prepare(tmp_path, device="cpu")
    with pytest.raises(UserError, match=r"often|magic"):
        project.ensemble(**wrong)
    assert not project.workspace.train.exists()
    with pytest.raises(UserError, match="which `run` makes in the end alone"):
        project.run(budget="5m", distil__blend="chosen")
