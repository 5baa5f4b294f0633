"""A network that is no toolkit.Network: it is trained and predicted with as any, but for what asks for a backbone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.tiny import competition, make_job, project, train
from toolkit import Competition, Project, Recipe, UserError
from toolkit.training.loop import Training

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")


class Plain(nn.Module):
    """Its body is no backbone and a head, and its attribute is no name."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.last = nn.Linear(8, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.last(self.layers(images.float() / 255))
        return result


@pytest.fixture
def with_network(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Recipe], nn.Module]], Competition]:
    def made(build: Callable[[Recipe], nn.Module]) -> Competition:
        other = replace(competition, build_model=build)
        monkeypatch.setattr("toolkit.training.jobs.load_competition", lambda _: other)
        return other

    return made


def test_it_goes_from_training_to_a_submission(with_network: Callable[..., Competition], tmp_path: Path) -> None:
    plain: Project = project(tmp_path, with_network(lambda _: Plain()))
    run = plain.train(schedule__epochs=2, schedule__average="swa")
    assert all(run.metrics[kind] for kind in ("clean", "stress"))
    plain.ensemble(views=["horizontal"])
    assert plain.submit().path.exists()
    assert plain.report().path.exists()


@pytest.mark.parametrize("asked", ["schedule.freeze=1", "optimizer.layer_decay=0.5", "schedule.freeze_norm=true"])
def test_what_needs_a_backbone_is_refused(
    asked: str, with_network: Callable[..., Competition], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="model tiny has no backbone; leave"):
        train(tmp_path, asked, of=with_network(lambda _: Plain()))


def test_what_is_no_module_is_refused(with_network: Callable[..., Competition], tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"build_model must return a torch\.nn\.Module, such as toolkit\.Network, not None"
    ):
        train(tmp_path, of=with_network(lambda _: None))


class Named(Plain):
    """With an attribute that a `Network` has too, and that means something else here."""

    def __init__(self, name: str, value: object) -> None:
        super().__init__()
        setattr(self, name, value)


@pytest.mark.parametrize("name", ["backbone", "outputs", "table", "scale", "pooling", "mask_size", "fixed_size"])
@pytest.mark.parametrize("value", [nn.Identity(), 30.0], ids=["module", "number"])
def test_its_attributes_may_have_any_name(
    name: str, value: object, with_network: Callable[..., Competition], tmp_path: Path
) -> None:
    of = with_network(lambda _: Named(name, value))
    run = project(tmp_path, of).train(schedule__epochs=1, stress="none")
    network = run.network(0, torch.device("cpu"))
    assert getattr(network, name) == value or isinstance(value, nn.Module)
    assert sorted(network.state_dict()) == sorted(Plain().state_dict())


def test_muon_finds_its_ends(with_network: Callable[..., Competition], tmp_path: Path) -> None:
    with_network(lambda _: Plain())
    groups = Training(make_job(tmp_path, "optimizer.name=muon")).optimizer.param_groups
    assert not any(group["use_muon"] for group in groups), "the first layer and the last"
