"""A competition is tried in seconds before anything is trained, and not again until something changed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests import kinds, tiny
from toolkit import preflight
from toolkit.competition import Competition
from toolkit.data import rehearsal
from toolkit.data.image_sets import ImageSets
from toolkit.data.tables import Column
from toolkit.errors import UserError
from toolkit.metrics.organisers import from_function
from toolkit.networks.pretrained import NoWeightsError
from toolkit.progress import SILENT
from toolkit.project import Project
from toolkit.recipe import Recipe
from toolkit.store import Workspace


class Broken(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) @ torch.ones(5, 3)


class OnlyWhenTrained(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(192, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            raise KeyError("auxiliary")
        said: torch.Tensor = self.layer(images.flatten(1).float())
        return said


def building(make: Any, **more: Any) -> Competition:
    return replace(tiny.competition, build_model=lambda recipe: make(), folder=Path(__file__).parent, **more)


def fails() -> nn.Module:
    raise ValueError("no such encoder")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (fails, "in fails: ValueError: no such encoder"),
        (Broken, "in forward: RuntimeError: "),
        (OnlyWhenTrained, "in forward: KeyError: 'auxiliary'"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), r"gives (4,) numbers, the task needs (3,)"),
    ],
)
def test_a_network_that_cannot_be_trained_is_named_with_its_line_before_anything_is_read(
    make: Any, said: str, tmp_path: Path
) -> None:
    def unread(folder: Path) -> Any:
        raise AssertionError("the files were read first")

    (tmp_path / "raw").mkdir()
    made = Project(building(make, load=unread), data=tmp_path / "raw", workspace=tmp_path, progress=SILENT)
    for step in (made.train, made.run):
        with pytest.raises(UserError) as caught:
            step()
        assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_recipe_that_cannot_be_trained_is_told_and_the_others_are(tmp_path: Path) -> None:
    def build(recipe: Recipe) -> nn.Module:
        return fails() if recipe.name == "first" else tiny.build_model(recipe)

    of, heard = replace(tiny.competition, build_model=build, folder=Path(__file__).parent), tiny.Heard()
    workspace = Workspace(tmp_path, "tiny")
    able = preflight.try_networks(of, list(of.recipes.values()), workspace, heard)
    assert [recipe.name for recipe in able] == ["second"]
    assert "first can't be trained: tiny can't build the network" in str(heard)


def test_nothing_is_tried_twice_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    made = tiny.prepare(tmp_path)
    plain = preflight.try_network

    def attempt(of: Competition, recipe: Recipe, beside: preflight.Beside) -> None:
        seen.append(recipe.name)
        plain(of, recipe, beside)

    monkeypatch.setattr(preflight, "try_network", attempt)
    for _ in range(2):
        preflight.try_networks(made.competition, [tiny.FIRST], made.workspace, SILENT)
    assert seen == ["first"]
    other = replace(tiny.FIRST, model=replace(tiny.FIRST.model, dropout=0.25))
    preflight.try_networks(made.competition, [other], made.workspace, SILENT)
    assert seen == ["first", "first"]
    wrote: list[Path] = []

    def write(prediction: Any, path: Path) -> None:
        wrote.append(path)
        tiny.write_submission(prediction, path)

    preflight.try_answers(made.competition, made.workspace, tiny.FIRST, SILENT)  # as when the files were read
    edited = replace(made.competition, write_submission=write, folder=Path(__file__).parent)
    for _ in range(2):
        preflight.try_answers(edited, made.workspace, tiny.FIRST, SILENT)
    assert len(wrote) == 1


def test_code_that_writes_was_edited_after_the_audit_and_is_tried_before_training(tmp_path: Path) -> None:
    tiny.prepare(tmp_path)

    def write(prediction: Any, path: Path) -> None:
        path.write_text("\n".join(map(str, prediction.labels * 0)))  # of a single class that is right, wrong of others

    edited = replace(tiny.competition, write_submission=write, folder=Path(__file__).parent)
    with pytest.raises(UserError, match="reads back as something else than what was written"):
        tiny.project(tmp_path, edited).train()
    assert not list(Workspace(tmp_path, "tiny-practice").train.glob("*/fold_*"))


def test_a_metric_that_fails_on_what_is_not_right_is_found(tmp_path: Path) -> None:
    def score(truth: np.ndarray, prediction: np.ndarray) -> float:
        return 1 / float((truth == prediction).all())

    of = replace(tiny.competition, metric=from_function(score, needs="labels", lower_is_better=False))
    made = tiny.project(tmp_path, of)
    with pytest.raises(UserError, match=r"score fails: .*in score: ZeroDivisionError"):
        made.audit()


def test_networks_are_tried_with_the_table_beside_their_images_and_with_sets(tmp_path: Path) -> None:
    labelled = tiny.labelled(np.arange(6) % 3, np.arange(6) % 3, root=tmp_path)
    heard, recipe = tiny.Heard(), tiny.FIRST
    assert preflight.try_beside(labelled, [recipe], heard) == [recipe] and heard.lines == []
    plain = building(lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 3)))
    tabled = replace(labelled, competition=plain, columns=(Column("age"),))
    assert preflight.try_networks(plain, [recipe], labelled.workspace, heard) == [recipe]
    with pytest.raises(UserError, match="where a table lies beside the images"):
        preflight.try_beside(tabled, [recipe], heard)
    assert preflight.try_beside(replace(tabled, competition=tiny.competition), [recipe], heard) == [recipe]
    images: Any = ImageSets(labelled.images, np.repeat(np.arange(3), 2))
    in_sets = replace(labelled, images=images)
    with pytest.raises(UserError, match=r"a toolkit\.Network where samples are sets of images"):
        preflight.try_beside(replace(in_sets, competition=plain), [recipe], heard)
    assert preflight.try_beside(in_sets, [recipe], heard) == [recipe]


def test_a_metric_of_masks_is_tried_and_so_are_different_masks_in_a_submission(tmp_path: Path) -> None:
    data, said = kinds.drawn("masks"), []

    def score(truth: np.ndarray, prediction: np.ndarray) -> float:
        said.append(prediction)
        if not (truth == prediction).all():
            raise ZeroDivisionError("no overlap")
        return 1.0

    of = replace(kinds.competition("masks"), folder=Path(__file__).parent)
    metric = from_function(score, needs="labels", lower_is_better=False)
    with pytest.raises(UserError, match=r"score fails: .*in score: ZeroDivisionError: no overlap"):
        rehearsal.try_metric(replace(of, metric=metric), data.targets)
    assert said
    wrote: list[np.ndarray] = []

    def write(prediction: Any, path: Path) -> None:
        wrote.append(np.asarray(prediction.answer))
        np.save(path.with_suffix(".npy"), prediction.answer)
        path.with_suffix(".npy").rename(path)

    def read(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.load(path)
        return found

    of = replace(of, metric=metric, write_submission=write, read_submission=read)
    rehearsal.rehearse(of, data, tmp_path)
    assert len(np.unique(wrote[0].reshape(len(wrote[0]), -1), axis=0)) > 1
    with pytest.raises(UserError, match="reads back as something else"):
        rehearsal.rehearse(replace(of, read_submission=lambda *given: read(*given)[::-1]), data, tmp_path)


def test_recipes_that_lack_weights_for_one_reason_are_told_of_together() -> None:
    faults: dict[str, UserError] = {
        "convnext": NoWeightsError("convnext_tiny", "are not on this machine", "fetch a"),
        "broken": UserError("there is no such network"),
        "unet": NoWeightsError("resnet18", "are not on this machine", "fetch b"),
    }
    other, together = preflight.told_together(faults)
    assert other == "broken can't be trained: there is no such network"
    assert together.startswith(
        "convnext, unet can't be trained: the pretrained weights of convnext_tiny, resnet18 are"
    )
    assert "fetch a" in preflight.told_together({"convnext": faults["convnext"]})[0]
