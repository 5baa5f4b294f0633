"""Networks as TorchScript say what they said, of other numbers of images, of sets of them, with a table beside."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests import bags, tiny
from tests.small import FOLDER
from toolkit.answers import Member
from toolkit.competition import Competition, load_competition
from toolkit.data.image_sets import ImageSets
from toolkit.data.tables import Column
from toolkit.errors import UserError
from toolkit.networks.network import load_network
from toolkit.networks.outputs import build_network
from toolkit.networks.tta import predict_views
from toolkit.notebooks.exported import Exported
from toolkit.recipe import Recipe, override
from toolkit.submission.torchscript import export

pytestmark = pytest.mark.usefixtures("forked_exports")
CPU = torch.device("cpu")
COLUMNS = (Column("age"), Column("sex", ("f", "m")), Column("where", ("a", "b", "c")))


def left(of: Competition, recipe: Recipe, folder: Path, columns: Any = (), in_sets: bool = False) -> Member:
    """A network that has learnt nothing, as a training leaves it."""
    torch.manual_seed(0)
    network = build_network(of, recipe, columns, in_sets)
    path = folder / "weights.safetensors"
    save_file(network.state_dict(), path)
    return Member(recipe, path, 1.0)


def both(of: Competition, member: Member, folder: Path, columns: Any = (), pool: str = "") -> tuple[Any, Exported]:
    (path,) = export(of.folder, [member], folder, columns=columns, in_sets=bool(pool))
    network = load_network(of, member.recipe, member.weights, CPU, columns)
    return network, Exported(path, of, CPU, len(columns), pool)


def same(one: Any, other: Any, of: Competition, images: Any, table: np.ndarray | None = None) -> None:
    views = ("identity", "horizontal")
    ours, theirs = (
        predict_views(each, images, of.scored, CPU, "float32", views, batch=4, table=table) for each in (one, other)
    )
    np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-6)
    assert len(images) == 1 or len(np.unique(ours.round(4), axis=0)) > 1  # it does look


def drawn(of: Competition, number: int) -> np.ndarray:
    shape = (number, *of.task.image_shape)
    return np.random.default_rng(0).integers(1, 256, shape).astype(np.uint8)


def test_of_other_numbers_of_images(tmp_path: Path) -> None:
    of = tiny.competition
    for number in (1, 7):
        same(*both(of, left(of, tiny.FIRST, tmp_path), tmp_path), of, drawn(of, number))


@pytest.mark.parametrize("pool", ["mean", "max", "features"])
def test_of_sets_of_images(pool: str, tmp_path: Path) -> None:
    of = bags.competition
    recipe = override(next(iter(of.recipes.values())), [f"sets.pool={pool}"])
    images: Any = ImageSets(drawn(of, 9), np.array([0, 0, 0, 1, 2, 2, 3, 3, 3]))
    same(*both(of, left(of, recipe, tmp_path, in_sets=True), tmp_path, pool=pool), of, images)


def test_with_a_table_beside_them(tmp_path: Path) -> None:
    of = load_competition(FOLDER / "berries")
    recipe = next(iter(of.recipes.values()))
    table = np.array([[40, 0, 2], [np.nan, 1, np.nan], [71, np.nan, 0], [12, 1, 1], [33, 0, 1]], np.float32)
    network, exported = both(of, left(of, recipe, tmp_path, COLUMNS), tmp_path, COLUMNS)
    same(network, exported, of, drawn(of, 5), table)
    only = drawn(of, 5)
    only[:] = only[:1]
    values = predict_views(exported, only, of.scored, CPU, "float32", ["identity"], table=table)
    assert len(np.unique(values.round(5), axis=0)) == 5


def test_at_a_recipes_own_size(tmp_path: Path) -> None:
    of = tiny.competition
    recipe = override(tiny.FIRST, ["images.size=16"])
    network, exported = both(of, left(of, recipe, tmp_path), tmp_path)
    same(network, exported, of, np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8))


def test_a_network_that_counts_its_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "__init__.py").write_text(
        "from dataclasses import replace\nfrom pathlib import Path\nfrom torch import nn\nfrom tests import tiny\n"
        "class Odd(nn.Module):\n"
        "    def __init__(self, made):\n        super().__init__()\n        self.made = made\n"
        "    def forward(self, images):\n        return self.made(images) * int(images.shape[0])\n"
        "def build_model(recipe):\n    return Odd(tiny.build_model(recipe))\n"
        "competition = replace(tiny.competition, build_model=build_model, folder=Path(__file__).parent)\n"
    )
    of = load_competition(tmp_path / "odd")
    with pytest.raises(UserError, match="must not depend on how many images it is given at once"):
        export(of.folder, [left(of, tiny.FIRST, tmp_path)], tmp_path)


def test_what_it_makes_meanwhile_is_on_its_device(tmp_path: Path) -> None:
    class Counting(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean((2, 3)) + torch.arange(3, device=images.device) + torch.ones(1)

    images = torch.zeros((2, 3, 8, 8))
    torch.jit.save(torch.jit.trace(Counting(), images), tmp_path / "network.pt")
    elsewhere = torch.device("meta")  # a device that every machine has beside its processor
    found = Exported(tmp_path / "network.pt", tiny.competition, elsewhere, 0, "")(images.to(elsewhere))
    assert found.device == elsewhere and found.shape == (2, 3)
