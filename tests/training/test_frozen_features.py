"""A frozen backbone is asked once, and the head learns from its answers what it would have learnt from images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import FIRST, build_model, load, practice
from tests.training import same
from toolkit import Dataset, Network, Recipe, override
from toolkit.networks.speed import Settings
from toolkit.training.fold import FoldResult, fit_fold
from toolkit.training.frozen_features import CHUNK, VERSIONS, frozen_features
from toolkit.training.loop import FoldJob

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
PLAIN = Settings()
TURNED = override(FIRST, ["augment.rotate=30"])


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    practice(tmp_path, 0, CHUNK + 20)
    return load(tmp_path / "raw")


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    made = build_model(FIRST)
    assert isinstance(made, Network)
    return made


def of(
    network: Network, images: np.ndarray, folder: Path, recipe: Recipe = TURNED, settings: Settings = PLAIN
) -> np.ndarray:
    return frozen_features(network, images, recipe, settings, CPU, folder)


def test_the_first_version_is_the_output_the_others_are_augmented(
    network: Network, dataset: Dataset, tmp_path: Path
) -> None:
    features = of(network, dataset.images, tmp_path / "features")
    assert features.shape == (VERSIONS, CHUNK + 20, 8) and features.dtype == np.float16
    with torch.no_grad():
        wanted = network.eval().features(torch.from_numpy(dataset.images).permute(0, 3, 1, 2)).numpy()
    assert np.allclose(features[0], wanted, rtol=1e-3, atol=1e-5)
    assert (features[1:] != features[0]).any(2).mean() > 0.6
    assert (features[1] != features[2]).any() and (features[2] != features[3]).any()


def test_they_are_computed_once(
    network: Network, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = np.array(of(network, dataset.images, tmp_path / "features"))

    def refuse(network: Network, images: torch.Tensor) -> torch.Tensor:
        raise AssertionError("asked again")

    monkeypatch.setattr(Network, "features", refuse)
    mixed = override(TURNED, ["augment.mixup=1", "augment.cutmix=1", "batch_size=4", "optimizer.lr=1", "name=other"])
    for recipe in (TURNED, mixed):
        assert np.array_equal(of(network, dataset.images, tmp_path / "features", recipe), first)
    with torch.no_grad():
        network.get_parameter("body.head.1.weight").add_(1)
    assert np.array_equal(of(network, dataset.images, tmp_path / "features"), first), "the head is no part of them"
    assert len(list((tmp_path / "features").iterdir())) == 1


def test_whatever_decides_on_them_names_another_file(network: Network, dataset: Dataset, tmp_path: Path) -> None:
    images = dataset.images[:8]
    folder = tmp_path / "features"
    of(network, images, folder)
    of(network, images[::-1], folder)
    for more in ("augment.flip=none", "augment.rotate=31", "seed=1"):
        of(network, images, folder, override(TURNED, [more]))
    for settings in (Settings(precision="bfloat16"), Settings(channels_last=False)):
        of(network, images, folder, settings=settings)
    network.get_buffer("body.backbone.1.running_mean").add_(1)
    of(network, images, folder)
    assert len(list(folder.iterdir())) == 8


@pytest.fixture
def fit(make_job: Callable[..., FoldJob], tmp_path: Path) -> Callable[..., FoldResult]:
    """Train with a frozen backbone, on features that lie in `features`, or with None on images."""

    def run(features: str | None, *overrides: str) -> FoldResult:
        folder = tmp_path / features if features else None
        return fit_fold(make_job("schedule.freeze=1", "augment.rotate=30", *overrides, features=folder))

    return run


def difference(one: FoldResult, other: FoldResult) -> float:
    return max((one.main.weights[name] - value).abs().max().item() for name, value in other.main.weights.items())


def test_without_chance_the_head_learns_the_same_from_features_as_from_images(fit: Callable[..., FoldResult]) -> None:
    still = ("augment.rotate=0", "augment.flip=none", "augment.mixup=0", "augment.cutmix=0", "model.dropout=0")
    untrained, from_images = fit(None, *still, "optimizer.lr=1e-12"), fit(None, *still)
    from_features = fit("features", *still)
    assert 0 < difference(from_images, from_features) < 0.01 * difference(from_images, untrained)


def test_features_that_lie_there_already_give_the_same_bits(fit: Callable[..., FoldResult]) -> None:
    first, again, elsewhere = fit("features"), fit("features"), fit("other")
    assert same(first, again) and same(first, elsewhere)


def test_the_head_sees_several_versions_and_the_network_rests(
    fit: Callable[..., FoldResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    forward = Network.forward

    def watched(network: Network, images: torch.Tensor) -> torch.Tensor:
        seen.append(network.training)
        return forward(network, images)

    monkeypatch.setattr(Network, "forward", watched)
    turned = fit("features")
    assert seen and not any(seen), "only for predictions"
    assert difference(turned, fit("features", "augment.rotate=0", "augment.flip=none")) > 0
    seen.clear()
    fit("features", "schedule.freeze=0.5")
    assert sum(seen) == 2 * (48 // FIRST.batch_size)
