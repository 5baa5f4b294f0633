"""Every network builds, and gives logits of the right shape."""

from dataclasses import replace

import pytest
import torch

from competitions.blood_cells import competition as blood_cells
from competitions.blood_cells.models import TIMM_NAMES
from competitions.mars import competition as mars
from competitions.mars.models import SMP_NAMES, UNETS, build
from toolkit.competition import Competition
from toolkit.errors import UserError
from toolkit.networks.network import Network, classifier, segmenter
from toolkit.networks.outputs import build_network, check_channels
from toolkit.recipe import Recipe, override
from toolkit.task import Classification

pytestmark = pytest.mark.usefixtures("one_thread")
LITE0 = blood_cells.recipes["efficientnet_lite0"]
SMALL_UNET = mars.recipes["small_unet"]
UNET = mars.recipes["unet_resnet18"]
SCRATCH = blood_cells.recipes["resnet18"].model
REFINED = mars.recipes["refined_attention_unet"]
ALL = [(competition, recipe) for competition in (blood_cells, mars) for recipe in competition.recipes.values()]


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
    network = Network(torch.nn.Identity(), "", (0.5,), (0.25,))
    assert network(torch.tensor([0, 127.5, 255]).reshape(1, 1, 1, 3)).flatten().tolist() == [-2, 0, 2]
    lite0 = blood_cells.build_model(override(LITE0, ["model.pretrained=false"]))
    assert lite0.get_buffer("mean").unique().tolist() == lite0.get_buffer("std").unique().tolist() == [127.5]


def test_what_every_team_begins_with_is_the_default() -> None:
    assert next(iter(mars.recipes)) == "small_unet_muon" and next(iter(blood_cells.recipes)) == "efficientnet_lite0"


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


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6, 13])
def test_networks_take_any_number_of_channels(channels: int) -> None:
    images = torch.randint(256, (2, channels, 64, 64), dtype=torch.uint8)
    for network in (
        classifier("resnet18", replace(LITE0.model, pretrained=False), 5, channels),
        segmenter("Unet", UNET.model, 5, channels),
        build(SMALL_UNET.model, 5, channels),
    ):
        said = network.eval()(images)
        assert said.shape[:2] == (2, 5) and said.isfinite().all()
        assert network.mean.shape == network.std.shape == (1, channels, 1, 1) and (network.std > 0).all()
        assert torch.equal(said, network(images.half()))


def test_pretrained_filters_are_summed_for_grey_and_repeated_for_others() -> None:
    def filters(channels: int) -> torch.Tensor:
        weight = classifier("tf_efficientnet_lite0", LITE0.model, 8, channels).get_parameter
        return weight("body.backbone.conv_stem.weight").detach()

    three = filters(3)
    assert torch.allclose(filters(1), three.sum(1, keepdim=True), atol=1e-6)
    assert torch.allclose(filters(5), three[:, [0, 1, 2, 0, 1]] * 3 / 5, atol=1e-6)


def test_where_a_network_cant_be_built_a_sentence_says_why() -> None:
    wrong = replace(blood_cells, build_model=lambda recipe: segmenter("Unet", "resnet18", recipe.model, 8, 3))  # type: ignore[call-arg, arg-type]
    with pytest.raises(
        UserError, match=r"^blood_cells can't build the network of recipe resnet18: TypeError: segmenter"
    ):
        build_network(wrong, blood_cells.recipes["resnet18"])


def test_a_network_for_other_images_is_named_before_anything_is_trained() -> None:
    task = Classification(blood_cells.task.classes, (96, 96, 6))
    other = replace(blood_cells, task=task, build_model=lambda _: classifier("resnet18", SCRATCH, 8, 3))
    network = build_network(other, blood_cells.recipes["resnet18"])
    with pytest.raises(
        UserError, match=r"can't take images of 96x96 with 6 channels .* build_model must make it for"
    ) as e:
        check_channels(network, blood_cells.recipes["resnet18"], task, torch.device("cpu"), blood_cells.folder)
    assert "\n" not in str(e.value)
