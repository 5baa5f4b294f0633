"""Encoders of segmentation networks begin with the weights that lie in a folder or in a package."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from competitions.mars import competition as mars
from tests.networks.weights import drawn, stored
from toolkit import Model, UserError, override, segmenter
from toolkit.networks.encoders import scaling
from toolkit.networks.network import load_network
from toolkit.networks.pretrained import packaged_weights

pytestmark = pytest.mark.usefixtures("one_thread")


def unet(encoder: str, channels: int = 3, drop_path: float = 0.0) -> Any:
    model = Model(name="unet", encoder=encoder, pretrained=True, drop_path=drop_path)
    return segmenter("Unet", model, 5, channels).eval()


@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("name", ["resnet18.imagenet.safetensors", "smp-hub/resnet18.imagenet/model.safetensors"])
def test_an_encoder_of_smp_has_the_file_s_weights(name: str, channels: int, weights_folder: Path) -> None:
    weights = drawn("resnet18")  # by the names of torchvision, which smp's have too
    (weights_folder / name).parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, weights_folder / name)
    network = unet("resnet18", channels)
    ours = network.body.encoder.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in ours.items() if key != "conv1.weight")
    first = weights["conv1.weight"]
    expected = {1: first.sum(1, keepdim=True), 3: first, 6: first.repeat(1, 2, 1, 1) / 2}[channels]
    assert torch.allclose(ours["conv1.weight"], expected, atol=1e-6)
    assert network.mean.flatten()[0] == pytest.approx(255 * 0.485)
    with torch.inference_mode():
        assert network(torch.zeros(1, channels, 48, 80)).shape == (1, 5, 48, 80)


def test_an_encoder_of_timm_has_the_file_s_weights_and_drops_paths(weights_folder: Path) -> None:
    weights = load_file(stored(weights_folder, "test_resnet"))
    network = unet("tu-test_resnet", drop_path=0.3)
    ours = {name.replace("_", "."): value for name, value in network.body.encoder.model.state_dict().items()}
    theirs = {name.replace("_", "."): value for name, value in weights.items()}
    assert len(ours) > 50 and all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert any(type(module).__name__ == "DropPath" for module in network.modules())
    assert scaling("tu-test_resnet") == ((0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize("encoder", ["timm-tf_efficientnet_lite0", "tu-tf_efficientnet_lite0"])
def test_the_packaged_weights_are_an_encoder_s_too(encoder: str) -> None:
    network = unet(encoder, 1)
    part = network.body.encoder if encoder.startswith("timm-") else network.body.encoder.model
    known = packaged_weights("tf_efficientnet_lite0")
    same = [torch.equal(value, known[name]) for name, value in part.state_dict().items() if name in known]
    assert len(same) > 200 and same.count(False) == 1, "the first layer's filters are summed for grey"
    assert network.mean.flatten().tolist() == [127.5] and "state_dict" not in getattr(part, "pretrained_cfg", {})


def test_scaling_is_stored_with_what_is_trained(tmp_path: Path) -> None:
    """Without the weights at hand, and without a word of them, the network sees images as it was trained on them."""
    fields = ["model.encoder=timm-tf_efficientnet_lite0", "model.pretrained=true"]
    recipe = override(mars.recipes["unet_resnet18"], fields)
    network: Any = mars.build_model(recipe).eval()
    assert float(network.mean) == 127.5 and float(network.std) == 127.5
    (tmp_path / "fold_0").mkdir()
    path = tmp_path / "fold_0" / "weights.safetensors"
    save_file(network.state_dict(), path)
    images = torch.randint(256, (1, 1, 64, 128), dtype=torch.uint8)
    loaded = load_network(mars, recipe, path, torch.device("cpu"))
    with torch.inference_mode():
        assert torch.allclose(loaded(images), network(images), atol=1e-4)
    bare = mars.build_model(override(recipe, ["model.pretrained=false"]))
    assert not {"mean", "std"} & bare.state_dict().keys(), "as ever"


def test_a_file_of_another_encoder_says_which_tensors_differ(weights_folder: Path) -> None:
    save_file(drawn("resnet34"), weights_folder / "resnet18.imagenet.safetensors")
    said = r"is not of encoder resnet18: has layer1\.2\.bn1\S+, .* and 93 more, unknown there"
    with pytest.raises(UserError, match=said):
        unet("resnet18")


def test_smp_s_own_encoders_have_no_stochastic_depth() -> None:
    with pytest.raises(UserError, match=r"model\.drop_path does nothing in smp's own encoder resnet18"):
        segmenter("Unet", Model(name="unet", drop_path=0.1), 5, 3)
