"""The zip of blood_cells: the server's model predicts what the pipeline predicts, and the same blend the same zip."""

import importlib.util
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from competitions.blood_cells import submission
from competitions.blood_cells.server_model import BATCH, VIEWS
from tests import tiny
from toolkit.answers import Member, Prediction
from toolkit.competition import Competition
from toolkit.errors import UserError
from toolkit.networks.tta import EXACT, apply_view, parse_view
from toolkit.recipe import Recipe, override
from toolkit.store import hash_file
from toolkit.submission.checks import check_submission, predicted
from toolkit.submission.doubts import Said
from toolkit.submission.torchscript import export

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")  # docs/design.md says why it is used all the same
CLASSES = 8
NONE = np.zeros(0, np.uint8)
WEIGHTS = (0.3, 0.05, 0.1, 0.05, 0.2, 0.1, 0.15, 0.05)  # of the eight views


class Small(nn.Module):
    """A network that sees left from right and top from bottom."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, stride=8), nn.ReLU(), nn.Flatten(), nn.LazyLinear(CLASSES))
        self(torch.zeros(1, 3, 96, 96))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layers(images.float() / 32)
        return result


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)


def loaded(folder: Path) -> Any:
    """The Model of an unpacked zip."""
    spec = importlib.util.spec_from_file_location("model", folder / "model.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Model()


@pytest.fixture
def unpacked(tmp_path: Path) -> Callable[..., Any]:
    """Makes the Model of a zip that was unpacked into a folder of its own."""

    def make(networks: Sequence[nn.Module], half: bool = False, **blend: Any) -> Any:
        (tmp_path / "model.py").write_bytes(submission.SERVER_SIDE.read_bytes())
        for number, network in enumerate(networks):
            traced = torch.jit.trace(network.eval(), torch.zeros(2, 3, 96, 96))
            if half:
                for parameter in traced.parameters():
                    parameter.data = parameter.data.half()
            torch.jit.save(traced, str(tmp_path / f"network_{number}.pt"))
        settings = {"shares": [1 / len(networks)] * len(networks), "views": {"identity": 1.0}, "biases": None} | blend
        (tmp_path / "blend.json").write_text(json.dumps(settings))
        return loaded(tmp_path)

    return make


@torch.no_grad()
def mean_probabilities(networks: Sequence[nn.Module], shares: Sequence[float], images: np.ndarray) -> np.ndarray:
    x = torch.from_numpy(images.copy()).permute(0, 3, 1, 2)
    parts = [share * network(x).softmax(1).numpy() for share, network in zip(shares, networks, strict=True)]
    return np.asarray(sum(parts))


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH + 3])
def test_any_number_of_images_gets_as_many_labels(count: int, unpacked: Callable[..., Any]) -> None:
    networks = [Small(0), Small(1)]
    labels = unpacked(networks).predict(pictures(count))
    assert labels.shape == (count,) and labels.dtype == np.int64
    assert (labels == mean_probabilities(networks, (0.5, 0.5), pictures(count)).argmax(1)).all()


@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64, np.int64])
def test_any_type_on_the_same_scale_gets_the_same_labels(kind: type, unpacked: Callable[..., Any]) -> None:
    model = unpacked([Small(0)])
    images: np.ndarray = pictures(70).astype(kind)
    images.flags.writeable = False
    assert (model.predict(images) == model.predict(pictures(70))).all()
    assert len(set(model.predict(images))) > 2  # the network does tell the pictures apart


def test_shares_views_and_biases_are_those_of_the_blend(unpacked: Callable[..., Any]) -> None:
    networks, images = [Small(0), Small(1)], pictures(200)
    shares, biases = [0.7, 0.3], [0.3, 0, -0.2, 0, 0, 0.1, 0, 0]
    turned = images.swapaxes(1, 2)
    seen = [images, images[:, :, ::-1], images[:, ::-1], images[:, ::-1, ::-1]]
    seen += [turned, turned[:, ::-1, ::-1], np.rot90(images, 1, (1, 2)), np.rot90(images, 3, (1, 2))]
    parts = [mean_probabilities(networks, shares, each) for each in seen]
    expected = sum(weight * part for weight, part in zip(WEIGHTS, parts, strict=True))
    views = dict(zip(VIEWS, WEIGHTS, strict=True))
    labels = unpacked(networks, shares=shares, views=views, biases=biases).predict(images)
    assert (labels == (np.log(expected) + biases).argmax(1)).all()
    equal = dict.fromkeys(VIEWS, 1 / 8)
    for other in ({}, {"views": views}, {"views": equal, "biases": biases}):
        assert (unpacked(networks, **{"shares": shares} | other).predict(images) != labels).any(), other
    assert (unpacked(networks, views=views, biases=biases).predict(images) != labels).any()


def test_the_server_knows_all_exact_views_and_sees_the_same_through_them() -> None:
    assert list(VIEWS) == list(EXACT)
    batch = torch.arange(3 * 6 * 6).reshape(1, 3, 6, 6)
    for name, (exchanged, flipped) in VIEWS.items():
        expected = (batch.transpose(2, 3) if exchanged else batch).flip(flipped)
        assert torch.equal(expected, apply_view(parse_view(name), batch))


def test_parameters_that_lie_there_as_halves_are_computed_with_as_floats(unpacked: Callable[..., Any]) -> None:
    network = Small(0)
    labels = unpacked([network], half=True).predict(pictures(50))
    rounded = Small(0)
    rounded.load_state_dict({name: value.half().float() for name, value in network.state_dict().items()})
    assert (labels == mean_probabilities([rounded], [1], pictures(50)).argmax(1)).all()


@pytest.fixture
def recipe(blood_cells: Competition) -> Recipe:
    return override(blood_cells.recipes["efficientnet_lite0"], ["model.pretrained=false"])


def member(competition: Competition, recipe: Recipe, folder: Path) -> Member:
    torch.manual_seed(0)
    path = folder / "weights.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in competition.build_model(recipe).state_dict().items()}, path)
    return Member(recipe, path, 1.0)


def test_the_zip_is_flat_and_the_same_whatever_ran_before(
    blood_cells: Competition, recipe: Recipe, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    one = member(blood_cells, recipe, tmp_path)
    prediction = Prediction(pictures(0), NONE, NONE, (one,))
    torch.jit.trace(Small(0), torch.zeros(2, 3, 96, 96))  # names in a file used to depend on what was traced before
    blood_cells.write_submission(prediction, tmp_path / "a.zip")
    request.getfixturevalue("forked_exports")  # of a process in which nothing was traced
    blood_cells.write_submission(prediction, tmp_path / "b.zip")
    assert hash_file(tmp_path / "a.zip") == hash_file(tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["model.py", "network_0.pt", "blend.json"]
        inside = archive.read("network_0.pt")
    assert str(Path(submission.__file__).parents[2]).encode() not in inside  # nor on where the project lies
    assert b"toolkit/networks" not in inside  # nor on the room that the network's class is in


@pytest.mark.usefixtures("forked_exports")
def test_what_was_exported_predicts_what_the_pipeline_predicts(
    blood_cells: Competition, recipe: Recipe, tmp_path: Path
) -> None:
    members = (member(blood_cells, recipe, tmp_path),)
    prediction = predicted(blood_cells, Prediction(pictures(40), np.arange(40), NONE, members), "cpu")
    (path,) = export(blood_cells.folder, members, tmp_path)
    x = torch.from_numpy(prediction.images).permute(0, 3, 1, 2)
    with torch.no_grad():
        probabilities = torch.jit.load(str(path))(x).softmax(1).numpy()
    assert (probabilities.argmax(1) == prediction.labels).all()
    ranked = np.sort(probabilities, axis=1)
    assert prediction.margins is not None
    assert np.allclose(ranked[:, -1] - ranked[:, -2], prediction.margins, atol=1e-5)


@pytest.mark.usefixtures("forked_exports")
def test_views_and_biases_agree_with_the_pipeline_in_the_sandbox(
    blood_cells: Competition, tmp_path: Path, drawn: dict[str, Path]
) -> None:
    # ImageNet's features under a head of chance, so that labels differ from picture to picture
    recipe = blood_cells.recipes["efficientnet_lite0"]
    images = tiny.arrays(blood_cells, drawn["blood_cells"] / "raw").images[:16]
    biases = (0.0, 0.2, 0.0, -0.1, 0.0, 0.0, 0.1, 0.0)
    members = (member(blood_cells, recipe, tmp_path),)
    given = Prediction(images, np.arange(16), NONE, members, views=tuple(VIEWS), biases=biases, view_weights=WEIGHTS)
    prediction = predicted(blood_cells, given, "cpu")
    assert len(set(prediction.labels)) > 2
    blood_cells.write_submission(prediction, tmp_path / "s.zip")
    said = Said(16, *np.ones((4, 8)))
    figures, _ = check_submission(blood_cells, prediction, tmp_path / "s.zip", tmp_path / "none", said)
    assert figures["agreement"] == 1 or figures["ties"] > 0
    assert figures["checked"] == 16 and figures["peak_bytes"] > 1e8


@pytest.mark.usefixtures("forked_exports")
def test_a_view_that_the_zip_cannot_honour_is_refused(
    blood_cells: Competition, recipe: Recipe, tmp_path: Path
) -> None:
    prediction = Prediction(pictures(0), NONE, NONE, (member(blood_cells, recipe, tmp_path),))
    for name in ("rotate10", "horizontal+scale0.8", "bright1.2", "shiftx4"):
        with pytest.raises(UserError, match=r"the zip can't honour the view '.*'; choose among identity, horizontal"):
            blood_cells.write_submission(replace(prediction, views=("identity", name)), tmp_path / "s.zip")
    odd = replace(prediction, views=("identity", "both"), view_weights=(1.0,))
    with pytest.raises(UserError, match="2 views need as many weights"):
        blood_cells.write_submission(odd, tmp_path / "s.zip")
    assert not (tmp_path / "s.zip").exists()


@pytest.mark.usefixtures("forked_exports")
def test_weights_that_are_gone_are_named(blood_cells: Competition, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the networks can't be exported"):
        export(blood_cells.folder, [Member(recipe, tmp_path / "none", 1.0)], tmp_path)


@pytest.mark.usefixtures("forked_exports")
def test_a_recipe_for_another_size_is_exported_with_its_own(
    blood_cells: Competition, recipe: Recipe, tmp_path: Path
) -> None:
    small = replace(recipe, model=replace(recipe.model, input_scale=0.5, head="mlp"))
    (path,) = export(blood_cells.folder, [member(blood_cells, small, tmp_path)], tmp_path, half=True)
    assert torch.jit.load(str(path)).float()(torch.zeros(3, 3, 96, 96)).shape == (3, CLASSES)
    assert path.stat().st_size < (tmp_path / "weights.safetensors").stat().st_size * 0.6


@pytest.mark.usefixtures("forked_exports")
def test_what_adapts_to_the_images_it_is_given_does_so_on_the_server(
    blood_cells: Competition, tmp_path: Path, drawn: dict[str, Path]
) -> None:
    recipe = override(blood_cells.recipes["efficientnet_lite0"], ["model.input_scale=0.5"])
    images = tiny.arrays(blood_cells, drawn["blood_cells"] / "raw").images[:70] // 3  # dark: there is what to adapt to
    plain = member(blood_cells, recipe, tmp_path)
    moved = replace(plain, share=0.5, adapt=0.8)
    given = Prediction(images, np.arange(70), NONE, (moved, replace(plain, share=0.5)))
    prediction, other = (
        predicted(blood_cells, given, "cpu"),
        predicted(blood_cells, replace(given, members=(plain,)), "cpu"),
    )
    assert (prediction.labels != other.labels).any()
    blood_cells.write_submission(prediction, tmp_path / "s.zip")
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        archive.extractall(tmp_path / "server")
    model = loaded(tmp_path / "server")
    sure = prediction.margins > 1e-3 if prediction.margins is not None else None
    order = np.random.default_rng(0).permutation(70)
    for labels in (
        model.predict(images),
        model.predict(images),  # no call changes the next
        model.predict(images[order].astype(np.float64))[np.argsort(order)],
    ):
        assert (labels == prediction.labels)[sure].all()
    assert len(model.predict(images[:0])) == 0 and len(model.predict(images[:1])) == 1
    single = predicted(blood_cells, replace(given, images=images[:1]), "cpu")
    assert (model.predict(images[:1]) == single.labels).all()
