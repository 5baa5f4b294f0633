"""timm's networks see images of any size as timm itself would, and drop paths where they have some."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F

from tests.networks.weights import stored
from toolkit import Model, UserError, classifier, segmenter
from toolkit.networks.backbones import timm_options

pytestmark = pytest.mark.usefixtures("one_thread")
PRETRAINED = Model(name="", pretrained=True)


def as_timm_has_it(name: str, file: Path, images: torch.Tensor, sides: tuple[int, int]) -> torch.Tensor:
    """Features by timm's own loading for images of these sides, normalised by the network's own mean and std."""
    config, channels = timm.get_pretrained_cfg(name), images.shape[1]
    size: dict[str, Any] = {"img_size": sides} if config.fixed_input_size else {}
    model = timm.create_model(
        name, pretrained=True, pretrained_cfg_overlay={"file": str(file)}, num_classes=0, in_chans=channels, **size
    ).eval()
    mean, std = (
        torch.tensor([getattr(config, what)[channel % 3] for channel in range(channels)]).reshape(1, -1, 1, 1)
        for what in ("mean", "std")
    )
    x = (images / 255 - mean) / std
    if sides != images.shape[2:]:
        x = F.interpolate(x, size=sides, mode="bilinear", align_corners=False)
    features: torch.Tensor = model(x)
    return features


@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("name", ["test_convnext2", "test_efficientnet", "test_resnet", "test_vit3"])
def test_features_are_those_of_timm_s_own_loading(name: str, channels: int, weights_folder: Path) -> None:
    file = stored(weights_folder, name)
    network = classifier(name, PRETRAINED, 5, channels).eval()
    for sides, seen in {(96, 96): (96, 96), (160, 160): (160, 160), (97, 130): (96, 128)}.items():
        images = torch.randint(256, (2, channels, *sides), dtype=torch.uint8)
        with torch.inference_mode():
            theirs = as_timm_has_it(name, file, images, seen if network.stride > 1 else sides)
            assert torch.allclose(network.features(images), theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()))


@pytest.mark.parametrize(("name", "stride"), [("vit_tiny_patch16_224", 16), ("swin_tiny_patch4_window7_224", 4)])
def test_a_transformer_takes_images_of_any_size(name: str, stride: int) -> None:
    network = classifier(name, Model(name=""), 5, 3).eval()
    assert (network.stride, network.fixed_size) == (stride, None)
    with torch.inference_mode():
        for sides in ((32, 32), (50, 75)):
            assert network(torch.zeros(2, 3, *sides)).shape == (2, 5)


def test_one_that_takes_a_single_size_says_which() -> None:
    network = classifier("test_vit_relpos", Model(name=""), 5, 3)
    assert network.fixed_size == (160, 160)


def test_stochastic_depth_drops_paths_while_training_alone() -> None:
    torch.manual_seed(0)
    plain = classifier("test_vit", Model(name="", dropout=0), 5, 3)
    torch.manual_seed(0)
    dropping = classifier("test_vit", Model(name="", dropout=0, drop_path=0.5), 5, 3)
    assert [name for name, _ in plain.named_parameters()] == [name for name, _ in dropping.named_parameters()]
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), dropping.parameters(), strict=True))
    images = torch.randint(256, (8, 3, 64, 64), dtype=torch.uint8)
    rates: list[Any] = [module.drop_prob for module in dropping.modules() if type(module).__name__ == "DropPath"]
    assert rates == sorted(rates) and rates[-1] == pytest.approx(0.5)
    with torch.no_grad():
        assert torch.equal(plain.eval()(images), dropping.eval()(images))
        assert not torch.equal(plain.train()(images), dropping.train()(images))


@pytest.mark.parametrize("name", ["vgg11", "densenet121"])
def test_a_network_without_stochastic_depth_refuses_it(name: str) -> None:
    assert timm_options(name, 0.0) == {}
    with pytest.raises(UserError, match=rf"model.drop_path does nothing in {name}, for which timm has no stochastic"):
        timm_options(name, 0.1)


def test_asking_for_options_draws_nothing() -> None:
    before = torch.get_rng_state()
    assert timm_options("test_vit3", 0.1) == {"dynamic_img_size": True, "drop_path_rate": 0.1}
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("pretrained", [True, False])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ResNet18", "timm has no network 'ResNet18'; did you mean resnet18, "),
        ("", "timm has no network ''; timm.list_models"),
        ("resnet18.nonsense", "timm has no weights 'nonsense' of resnet18; there are a1_in1k, "),
        ("hf-hub:timm/resnet18.a1_in1k", "hf-hub:timm/resnet18.a1_in1k is an address: name the network as timm"),
        ("local-dir:/weights/resnet18", "--weights FOLDER for a folder with a file of its weights"),
    ],
)
def test_a_network_that_timm_does_not_know_is_told(name: str, said: str, pretrained: bool) -> None:
    with pytest.raises(UserError, match=said):
        classifier(name, Model(name="", pretrained=pretrained), 5, 3)


def test_an_encoder_that_does_not_fit_its_architecture_is_told() -> None:
    model = Model(name="", encoder="densenet121", pretrained=False)
    with pytest.raises(UserError, match="encoder 'densenet121' for DeepLabV3Plus: DenseNet encoders do"):
        segmenter("DeepLabV3Plus", model, 2, 3)
    with pytest.raises(UserError, match="smp has no architecture 'Unet9'; there are"):
        segmenter("Unet9", model, 2, 3)
