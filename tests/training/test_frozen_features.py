"""A frozen backbone is asked once, and the head learns from its answers what it would have learnt from images."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import RGB
from tests.tiny import FIRST, build_model, competition, load, practice, prepare, train
from tests.training import same
from toolkit import Dataset, Network, Recipe, override
from toolkit.networks.outputs import build_network
from toolkit.networks.predict import predict
from toolkit.networks.speed import Settings
from toolkit.training.fold import FoldResult, fit_fold
from toolkit.training.frozen_features import CHUNK, DRAWS, Features, frozen_features, images_source, network_source
from toolkit.training.jobs import FoldJob

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
PLAIN = Settings()
TURNED = override(FIRST, ["augment.rotate=30", "schedule.freeze=1"])


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
    network: Network,
    images: np.ndarray,
    folder: Path,
    recipe: Recipe = TURNED,
    settings: Settings = PLAIN,
    data: str = "data",
) -> Features:
    source = images_source(data, "images", recipe, images)
    return frozen_features(network, images, source, recipe, settings, CPU, folder, RGB)


def test_plain_features_are_the_output_the_others_of_augmented_images(
    network: Network, dataset: Dataset, tmp_path: Path
) -> None:
    features = of(network, dataset.images, tmp_path / "features")
    assert features.plain.shape == (CHUNK + 20, 8) and features.plain.dtype == np.float32
    assert features.augmented.shape == (DRAWS, CHUNK + 20, 8) and features.augmented.dtype == np.float16
    with torch.no_grad():
        wanted = network.eval().features(torch.from_numpy(dataset.images).permute(0, 3, 1, 2)).numpy()
    assert np.allclose(features.plain, wanted, rtol=1e-6, atol=1e-6)
    assert (features.augmented != features.plain.astype(np.float16)).any(2).mean() > 0.6
    assert (features.augmented[0] != features.augmented[1]).any()


def test_a_row_is_drawn_in_each_of_its_versions() -> None:
    versions = np.arange(4, dtype=np.float32)[:, None, None] + 10 * np.arange(90, dtype=np.float32)[:, None]
    features = Features(versions[0], versions[1:].astype(np.float16))
    rows = np.arange(90)[::-1]
    drawn = features.drawn(rows, 7)
    assert drawn.shape == (90, 1) and np.array_equal(drawn[:, 0] // 10, rows)
    assert np.bincount(drawn[:, 0].astype(int) % 10, minlength=4).min() > 10
    assert np.array_equal(drawn, features.drawn(rows, 7)) and not np.array_equal(drawn, features.drawn(rows, 8))


def test_they_are_computed_once(
    network: Network, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = of(network, dataset.images, tmp_path / "features")

    def refuse(network: Network, images: torch.Tensor) -> torch.Tensor:
        raise AssertionError("asked again")

    monkeypatch.setattr(Network, "features", refuse)
    mixed = override(TURNED, ["augment.mixup=1", "augment.cutmix=1", "batch_size=4", "optimizer.lr=1", "name=other"])
    for recipe in (TURNED, mixed):
        again = of(network, dataset.images, tmp_path / "features", recipe)
        assert np.array_equal(again.plain, first.plain) and np.array_equal(again.augmented, first.augmented)
    with torch.no_grad():
        network.get_parameter("body.head.1.weight").add_(1)
    again = of(network, dataset.images, tmp_path / "features")
    assert np.array_equal(again.plain, first.plain), "the head is no part of them"
    assert len(list((tmp_path / "features").iterdir())) == 2


def test_whatever_decides_on_them_names_another_file(network: Network, dataset: Dataset, tmp_path: Path) -> None:
    images = dataset.images[:8]
    folder = tmp_path / "features"

    def files(*more: str, **given: Any) -> int:
        of(network, images, folder, override(TURNED, more), **given)
        return len(list(folder.iterdir()))

    assert files() == 2
    assert files(data="other") == 4
    assert [files(more) for more in ("augment.flip=none", "augment.rotate=31", "seed=1")] == [5, 6, 7], "augmented"
    assert files(settings=Settings(precision="bfloat16")) == 8
    assert files(settings=Settings(channels_last=False)) == 9
    assert files("precision=bfloat16", settings=Settings(precision="bfloat16")) == 10, "plain"
    assert files("images.size=16") == 12
    network.get_buffer("body.backbone.1.running_mean").add_(1)
    assert files() == 14


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
        if images.any():  # else it is asked for the order of its layers
            seen.append(network.training)
        return forward(network, images)

    monkeypatch.setattr(Network, "forward", watched)
    turned = fit("features")
    assert not seen, "not even for predictions"
    assert difference(turned, fit("features", "augment.rotate=0", "augment.flip=none")) > 0
    seen.clear()
    fit("features", "schedule.freeze=0.5")
    assert sum(seen) == 2 * (48 // FIRST.batch_size)


@pytest.mark.parametrize("head", ["schedule.freeze=1", "schedule.patience=2"])
def test_values_from_features_are_those_of_the_whole_network(
    head: str, make_job: Callable[..., FoldJob], tmp_path: Path
) -> None:
    job = make_job("schedule.freeze=1", "augment.rotate=30", "schedule.epochs=6", head, features=tmp_path / "features")
    result, (competition, dataset) = fit_fold(job), job.open()
    network = build_network(competition, job.recipe)
    network.load_state_dict(result.main.weights)
    wanted = predict(network, dataset.images[job.valid_rows], competition.scored, CPU, "auto")
    assert np.allclose(result.main.probabilities, wanted, rtol=0, atol=1e-6)


def test_a_run_of_a_head_predicts_test_images_from_features_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path)
    asked: list[int] = []
    features, forward = Network.features, Network.forward

    def counted(network: Network, images: torch.Tensor) -> torch.Tensor:
        asked.append(len(images))
        return features(network, images)

    def refuse(network: Network, images: torch.Tensor) -> torch.Tensor:
        assert len(images) <= 2, "of the order of its layers and before all training alone"
        return forward(network, images)

    monkeypatch.setattr(Network, "features", counted)
    monkeypatch.setattr(Network, "forward", refuse)
    run = train(tmp_path, "schedule.freeze=1", stress="none")
    labelled = run.labelled
    backbones = run.labelled.folds  # drawn at random, and so each fold's own
    assert sum(asked) == backbones * ((1 + DRAWS) * len(labelled.images) + len(labelled.test_images))
    monkeypatch.setattr(Network, "forward", forward)
    each = [predict(one, labelled.test_images, (0, 1, 2), CPU, "float32") for one in run.networks(CPU)]
    assert run.test is not None and np.allclose(run.test, np.mean(each, axis=0), atol=5e-4)


@pytest.mark.parametrize(("freeze", "number"), [("0.25", 1), ("0.5", 2), ("1", 3)])
def test_images_are_augmented_no_oftener_than_a_head_sees_them(
    freeze: str, number: int, network: Network, dataset: Dataset, tmp_path: Path
) -> None:
    recipe = override(TURNED, [f"schedule.freeze={freeze}"])  # of four epochs
    assert len(of(network, dataset.images, tmp_path / "features", recipe).augmented) == number


def test_of_another_backbone_with_the_same_tensors_they_are_found_anew(dataset: Dataset, tmp_path: Path) -> None:
    images, found = dataset.images[:8], []
    for pool in (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d):
        torch.manual_seed(0)
        backbone = nn.Sequential(nn.Conv2d(3, 8, 3), pool(1), nn.Flatten())
        body = nn.Sequential(OrderedDict(backbone=backbone, head=nn.Linear(8, 3)))
        network = Network(body, "backbone", (0.5,) * 3, (0.25,) * 3)
        found.append(of(network, images, tmp_path / "features").plain)
    assert not np.allclose(found[0], found[1])


def test_code_and_words_that_build_a_backbone_are_part_of_their_name() -> None:
    known = network_source(competition, FIRST)
    assert network_source(competition, override(FIRST, ["model.dropout=0.1", "optimizer.lr=1"])) == known
    assert network_source(competition, override(FIRST, ["model.name=vit"])) != known
    assert network_source(replace(competition, build_model=lambda recipe: build_model(recipe)), FIRST) != known


def test_of_large_images_no_more_go_through_a_network_than_it_has_room_for(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    features = Network.features

    def counted(network: Network, images: torch.Tensor) -> torch.Tensor:
        asked.append(len(images))
        return features(network, images)

    monkeypatch.setattr(Network, "features", counted)
    images = np.zeros((5, 1024, 1024, 3), np.uint8)
    recipe = override(TURNED, ["schedule.epochs=1", "augment.rotate=0"])
    found = of(network, images, tmp_path / "features", recipe)
    assert max(asked) == CHUNK // 64 and sum(asked) == 10 and found.augmented.shape == (1, 5, 8)


def test_finding_them_is_no_part_of_an_epoch(
    make_job: Callable[..., FoldJob], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def slow(*given: Any) -> Features:
        time.sleep(0.5)
        asked.append(len(given))
        return frozen_features(*given)

    monkeypatch.setattr("toolkit.training.loop.frozen_features", slow)
    history = fit_fold(make_job("schedule.freeze=1", features=tmp_path / "features")).history
    assert len(asked) == 1 and max(line["seconds"] for line in history) < 0.5
