"""What is said of a set is the mean or maximum of what is said of its images, or follows from their mean features."""

from collections import OrderedDict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests import bags
from tests.kinds import KINDS
from toolkit import Network, UserError, from_scratch, predict_views
from toolkit.data.image_sets import ImageSets
from toolkit.data.tables import Column
from toolkit.networks.outputs import Scale, build_network, values_of
from toolkit.networks.pooling import Pooling
from toolkit.networks.predict import at_once, predict
from toolkit.networks.table import join_table
from toolkit.recipe import Table
from toolkit.task import Numbers

CPU = torch.device("cpu")
COUNTS = (3, 1, 4, 2)


def sets() -> ImageSets:
    of = np.repeat(np.arange(len(COUNTS)), COUNTS)
    images = np.random.default_rng(0).integers(1, 255, (len(of), 6, 6, 1)).astype(np.uint8)
    return ImageSets(images, of)


def network(channels: int) -> Network:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    body = nn.Sequential(OrderedDict(backbone=backbone, head=nn.Linear(4, channels)))
    return Network(body, "backbone", (0.5,), (0.1,)).eval()


@pytest.mark.parametrize("kind", [kind for kind, (task, _) in KINDS.items() if not task.masks])
@pytest.mark.parametrize("pool", ["mean", "max"])
def test_values_of_a_set_are_the_mean_or_maximum_over_its_images(kind: str, pool: str) -> None:
    task = KINDS[kind][0]
    made = network(task.channels)
    made.outputs = task.outputs
    if isinstance(task, Numbers):
        made.scale = Scale(task.channels, task.low, task.high, False).eval()
    scored = range(len(task.classes))
    images = sets()
    single = predict(made, images.images, scored, CPU, "float32")
    made.pooling = Pooling(pool, task.outputs, scored).eval()
    found = predict(made, images, scored, CPU, "float32")
    parts = [single[images.sets == at] for at in range(len(COUNTS))]
    expected = np.stack([part.mean(0) if pool == "mean" else part.max(0) for part in parts])
    if pool == "max":  # probabilities of one of several sum to 1 again
        first = 0
        for output in task.outputs:
            if output.kind == "classes":
                part = expected[:, first : first + output.channels]
                part /= part.sum(1, keepdims=True)
            first += output.channels
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_classes_that_are_not_scored_have_no_part_in_a_mean() -> None:
    made, images, scored = network(3), sets(), (0, 2)
    single = predict(made, images.images, scored, CPU, "float32")
    made.pooling = Pooling("mean", (), scored).eval()
    found = predict(made, images, scored, CPU, "float32")
    expected = np.stack([single[images.sets == at].mean(0) for at in range(len(COUNTS))])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert (found[:, 1] == 0).all()


def test_early_pooling_is_of_the_mean_of_the_features_and_of_any_number_of_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, images = network(2), sets()
    with torch.no_grad():
        features = made.features(torch.from_numpy(images.images).permute(0, 3, 1, 2))
        means = torch.stack([features[images.sets == at].mean(0) for at in range(len(COUNTS))])
        expected = values_of(made.said(means), (), (0, 1))
    made.pooling = Pooling("features", (), (0, 1)).eval()
    found = predict(made, images, (0, 1), CPU, "float32")
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    seen: list[int] = []
    made.body.get_submodule("backbone").register_forward_hook(lambda _, given, made: seen.append(len(given[0])))
    monkeypatch.setattr("toolkit.networks.pooling.PIXELS", 2 * 36)  # a slide of a thousand tiles goes in parts
    np.testing.assert_allclose(predict(made, images, (0, 1), CPU, "float32"), expected, rtol=1e-5)
    assert max(seen) == 2 and sum(seen) == sum(COUNTS), "images that aren't there cost nothing"
    assert at_once(images, 8) == 2, "as many sets as have eight images"


def test_black_images_are_absent_but_where_there_is_no_other_and_views_pool_too() -> None:
    made = network(2)
    made.pooling = Pooling("mean", (), (0, 1)).eval()
    images = sets()[:]
    images[1] = 0
    found = predict(made, images, (0, 1), CPU, "float32")
    np.testing.assert_allclose(found[0], predict(made, images[:1, ..., :3], (0, 1), CPU, "float32")[0], rtol=1e-5)
    np.testing.assert_allclose(found[1], predict(made, images[1:2, ..., :1], (0, 1), CPU, "float32")[0], rtol=1e-5)
    views = predict_views(made, sets(), (0, 1), CPU, "float32", ["identity", "both"])  # type: ignore[arg-type]
    turned = predict(made, sets()[:][:, ::-1, ::-1].copy(), (0, 1), CPU, "float32")
    plain = predict(made, sets(), (0, 1), CPU, "float32")
    np.testing.assert_allclose(views, (plain + turned) / 2, rtol=1e-4)


@pytest.mark.parametrize("pool", ["mean", "features"])
def test_what_is_known_of_a_set_goes_with_each_of_its_images_or_with_their_mean(pool: str) -> None:
    made, images = network(2), sets()
    join_table(made, (Column("age"), Column("place", ("a", "b"))), Table(width=4, dropout=0))
    made.eval()
    table = np.array([[3, 0], [np.nan, 1], [1, 1], [2, np.nan]], np.float32)
    single = predict(made, images.images, (0, 1), CPU, "float32", table=table[images.sets])
    made.pooling = Pooling(pool, (), (0, 1)).eval()
    found = predict(made, images, (0, 1), CPU, "float32", table=table)
    if pool == "mean":
        expected = np.stack([single[images.sets == at].mean(0) for at in range(len(COUNTS))])
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    else:
        np.testing.assert_allclose(found[1], single[COUNTS[0]], rtol=1e-5)  # a set of one
    other = predict(made, images, (0, 1), CPU, "float32", table=table[::-1])
    assert (np.abs(found - other).max(1) > 0).all()


def test_networks_that_can_not_pool_are_refused() -> None:
    early = replace(bags.FIRST, sets=replace(bags.FIRST.sets, pool="features"))

    def body(recipe: Any) -> nn.Module:
        return from_scratch(nn.Sequential(nn.Flatten(), nn.Linear(144, 2)), replace(recipe.model, dropout=0.2), 1, 1)

    with pytest.raises(UserError, match=r"sets\.pool=features needs a network of a backbone and a head"):
        build_network(replace(bags.competition, build_model=body), early, in_sets=True)
    plain = replace(bags.competition, build_model=lambda recipe: nn.Linear(1, 1))
    with pytest.raises(UserError, match=r"must give a toolkit\.Network where samples are sets"):
        build_network(plain, bags.FIRST, in_sets=True)
    assert "pooling.kind" not in build_network(bags.competition, bags.FIRST).state_dict(), "single images as ever"
