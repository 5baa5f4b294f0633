"""A network takes what is known beside its images: standardised by training rows, unknown where they lack it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests import kinds
from toolkit import Model, Network, Table, UserError, classifier
from toolkit.data.tables import Column
from toolkit.networks.network import head_of, load_network
from toolkit.networks.outputs import build_network
from toolkit.networks.predict import predict, predict_features
from toolkit.networks.table import TableInput, beside, nothing_known
from toolkit.networks.tta import predict_views
from toolkit.recipe import override

CPU = torch.device("cpu")
COLUMNS = (Column("age"), Column("site", ("arm", "back", "leg")), Column("width"))
nan = np.nan
ROWS = np.array([[10, 0, 5], [20, 1, 5], [nan, 1, 5], [30, 0, 5]], np.float32)


def learnt() -> TableInput:
    made = TableInput(COLUMNS, Table())
    made.learn(ROWS)
    return made


def test_numbers_are_standardised_by_what_was_learnt_from_and_what_it_lacks_says_nothing() -> None:
    spread = np.std([10, 20, 30])
    seen = learnt().encoded(torch.tensor([[20 + spread, 1, 5], [nan, 2, nan], [nan, nan, 9]])).numpy()
    # age, width, three times "not known", three sites
    wanted = [[1, 0, 0, 0, 0, 0, 1, 0], [0, 0, 1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0, 0]]
    assert np.allclose(seen, wanted, atol=1e-6)
    far = learnt().encoded(torch.tensor([[1e9, 0, 5]]))
    assert far[0, 0] == 8


def made(kind: str = "classes", **changes: object) -> Network:
    recipe = replace(kinds.RECIPE, **changes)  # type: ignore[arg-type]
    torch.manual_seed(0)
    network: Network = build_network(kinds.competition(kind), recipe, COLUMNS)
    if isinstance(network.table, TableInput):
        network.table.learn(ROWS)
    return network.eval()


@pytest.mark.parametrize("kind", ["classes", "numbers", "grades", "heads"])
def test_the_table_has_a_say_beside_the_image_in_batches_views_and_features(kind: str) -> None:
    network, images = made(kind), kinds.drawn(kind, 4).images
    channels = kinds.KINDS[kind][0].channels
    scored = range(len(kinds.KINDS[kind][0].classes))
    found = predict(network, images, scored, CPU, "float32", table=ROWS, batch=2)
    assert found.shape == (4, channels)
    alone = np.concatenate(
        [
            predict(network, images[row : row + 1], scored, CPU, "float32", table=ROWS[row : row + 1])
            for row in range(len(images))
        ]
    )
    assert np.allclose(found, alone, atol=1e-4 * abs(found).max())
    assert not np.allclose(found, predict(network, images, scored, CPU, "float32", table=ROWS[::-1]))
    views = predict_views(network, images, scored, CPU, "float32", ["identity", "horizontal"], table=ROWS)
    assert np.allclose(views, found, atol=1e-4 * abs(found).max())  # pixels see themselves, so flips change nothing
    head = head_of(network, kinds.KINDS[kind][0])
    assert head is not None
    with torch.no_grad():
        features = network.features(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    assert np.allclose(predict_features(network, head, features, scored, CPU, "float32", table=ROWS), found)


def test_a_network_with_a_table_wants_it_and_one_without_leaves_it_aside() -> None:
    images = kinds.drawn("classes", 4).images
    with pytest.raises(UserError, match="give its rows as `table`"):
        predict(made(), images, (0, 1), CPU, "float32")
    without = made(table=Table(width=0))
    assert without.table is None
    given = predict(without, images, (0, 1), CPU, "float32", table=ROWS)
    assert np.array_equal(given, predict(without, images, (0, 1), CPU, "float32"))
    x = torch.zeros(2, 3, 4, 4)
    assert nothing_known(without, x) == (x,) and nothing_known(made(), x)[1].shape == (2, 8)
    assert [len(part) for part in beside(without, [x, x], None)] == [1, 1]


def test_stored_weights_know_what_was_learnt_of_the_table(tmp_path: Path) -> None:
    network, images = made(), kinds.drawn("classes", 4).images
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    loaded = load_network(kinds.competition("classes"), kinds.RECIPE, tmp_path / "weights.safetensors", CPU, COLUMNS)
    first, again = (predict(each, images, (0, 1), CPU, "float32", table=ROWS) for each in (network, loaded))
    assert np.array_equal(first, again)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_a_classifier_with_either_head_takes_a_table(head: str) -> None:
    def build(recipe: object) -> nn.Module:
        return classifier("resnet18", Model(name="r", head=head), 2, 3)  # type: ignore[arg-type]

    competition = replace(kinds.competition("classes"), build_model=build)
    network = build_network(competition, kinds.RECIPE, COLUMNS)
    assert network(*nothing_known(network, torch.zeros(2, 3, 32, 32))).shape == (2, 2)


def test_a_network_without_a_head_of_its_own_can_not_take_a_table() -> None:
    message = "must give a toolkit.classifier, or a Network of a backbone and a head; set table.width=0"
    with pytest.raises(UserError, match=message):
        build_network(kinds.competition("masks"), kinds.RECIPE, COLUMNS)
    plain = replace(kinds.competition("classes"), build_model=lambda recipe: nn.Flatten())
    with pytest.raises(UserError, match=message):
        build_network(plain, kinds.RECIPE, COLUMNS)
    build_network(plain, replace(kinds.RECIPE, table=Table(width=0)), COLUMNS)


@pytest.mark.parametrize("pool", ["mean", "max", "features"])
def test_a_set_of_images_has_one_row(pool: str) -> None:
    torch.manual_seed(0)
    network = build_network(kinds.competition("classes"), override(kinds.RECIPE, [f"sets.pool={pool}"]), COLUMNS, True)
    network.table.learn(ROWS)
    images = kinds.drawn("classes", 8).images
    pairs = np.concatenate([images[:4], images[4:]], axis=3)  # side by side in channels
    pairs[0, ..., 3:] = 0  # of the first set one image is there
    found = predict(network, pairs, (0, 1), CPU, "float32", table=ROWS)
    alone = predict(network, images[:1], (0, 1), CPU, "float32", table=ROWS[:1])
    assert np.allclose(found[0], alone[0], atol=1e-5)
    assert not np.allclose(found, predict(network, pairs, (0, 1), CPU, "float32", table=ROWS[::-1]))
