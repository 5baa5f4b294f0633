"""Every weight is trained once, at its layer's rate, and optimisers go on exactly."""

import io
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.models import group_parameters
from timm.optim import param_groups_weight_decay
from torch import nn

from competitions.mars.unets import RefinedAttentionUNet
from tests.training import same_weights
from tests.training.layered import NETWORKS, PLAIN, made, step, without_backbone
from toolkit import Model, Network, classifier, from_scratch, override
from toolkit.training.freezing import layers, thaw
from toolkit.training.optimizers import build_optimizer, lr_factor

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("optimizer", ["adamw", "lion", "muon"])
@pytest.mark.parametrize("name", [*NETWORKS, "small_unet"])
def test_every_weight_is_in_exactly_one_group(name: str, optimizer: str, networks: dict[str, Network]) -> None:
    network = without_backbone() if name == "small_unet" else networks[name]
    fields = () if name == "small_unet" else ("optimizer.backbone_factor=0.5", "optimizer.layer_decay=0.8")
    groups = build_optimizer(network, override(PLAIN, [f"optimizer.name={optimizer}", *fields])).param_groups
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in network.parameters())
    vectors = {id(p) for p in network.parameters() if p.ndim == 1}
    for group in groups:
        assert len({id(p) in vectors for p in group["params"]}) == 1
        assert group["weight_decay"] == (0 if id(group["params"][0]) in vectors else PLAIN.optimizer.weight_decay)


@given(st.floats(0.01, 2), st.floats(0.1, 1), st.sampled_from(["adamw", "lion", "muon"]))
def test_a_layer_s_rate_is_the_decay_of_the_one_above_it(factor: float, decay: float, name: str) -> None:
    network = made()
    fields = [f"optimizer.backbone_factor={factor}", f"optimizer.layer_decay={decay}", f"optimizer.name={name}"]
    groups = build_optimizer(network, override(PLAIN, fields)).param_groups
    found = {id(p): group["factor"] for group in groups for p in group["params"]}
    assert len(found) == sum(len(group["params"]) for group in groups) == len(list(network.parameters()))
    rates = [{found[id(p)] for _, p in layer} for layer in layers(network)]
    expected = [factor * decay**depth for depth in (3, 2, 1)] + [1]
    assert [list(layer) for layer in rates] == [[pytest.approx(rate)] for rate in expected]


def test_tokens_and_positions_have_no_weight_decay() -> None:
    network = classifier("vit_tiny_patch16_224", Model(name=""), 8, 3)
    groups = build_optimizer(network, PLAIN).param_groups
    decayed = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    assert {name.rsplit(".")[-1] for name, p in network.named_parameters() if p.ndim > 1 and id(p) not in decayed} == {
        "cls_token",
        "pos_embed",
    }


@pytest.mark.parametrize(
    "name", ["test_vit3", "test_convnext2", "test_efficientnet", "swin_tiny_patch4_window7_224", "xcit_nano_12_p8_224"]
)
def test_what_decays_and_what_a_layer_is_are_as_timm_has_them(name: str) -> None:
    network = classifier(name, Model(name=""), 8, 3)
    backbone: Any = network.body.get_submodule("backbone")
    groups = build_optimizer(network, override(PLAIN, ["optimizer.layer_decay=0.8"])).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    exempt = backbone.no_weight_decay() if hasattr(backbone, "no_weight_decay") else ()
    theirs = param_groups_weight_decay(backbone, PLAIN.optimizer.weight_decay, no_weight_decay_list=exempt)
    assert all(decay[id(p)] == group["weight_decay"] for group in theirs for p in group["params"])
    factor = {id(p): group["factor"] for group in groups for p in group["params"]}
    named = dict(backbone.named_parameters())
    stages = group_parameters(backbone, backbone.group_matcher(coarse=True))
    rates = [{round(factor[id(named[part])], 9) for part in stages[depth]} for depth in sorted(stages)]
    assert all(len(rate) == 1 for rate in rates)
    assert len({min(rate) for rate in rates}) >= len(rates) - 1, "a last norm alone is of the layer below it"


def changes(fields: list[str]) -> dict[str, torch.Tensor]:
    """What the first step at a learning rate of 0.01 adds to each weight."""
    network = made()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    step(network, build_optimizer(network, override(PLAIN, ["optimizer.weight_decay=0", *fields])), 0)
    return {name: p.detach() - before[name] for name, p in network.named_parameters()}


def test_lion_moves_every_weight_by_the_learning_rate() -> None:
    for name, change in changes(["optimizer.name=lion"]).items():
        moved = change[change != 0].abs()  # a gradient of exactly 0 has no sign
        assert torch.allclose(moved, torch.full_like(moved, 0.01), atol=1e-6), name


def test_muon_moves_inner_matrices_in_all_directions_alike_and_the_rest_as_adamw_does() -> None:
    ours, adamw = changes(["optimizer.name=muon"]), changes([])
    inner = {"body.backbone.1.0.weight", "body.backbone.2.0.weight"}
    for name, change in ours.items():
        assert torch.allclose(change, adamw[name], atol=1e-6) == (name not in inner), name
    for name in inner:
        flat = ours[name].flatten(1)
        singular = torch.linalg.svdvals(flat) / (0.01 * 0.2 * max(flat.shape) ** 0.5)
        assert singular.median() > 0.7 and singular.max() < 1.5, name  # some directions have no gradient


def test_muon_leaves_the_ends_and_depthwise_filters_to_adamw(networks: dict[str, Network]) -> None:
    network = networks["efficientnet_lite0"]
    groups = build_optimizer(network, override(PLAIN, ["optimizer.name=muon"])).param_groups
    muon = {id(p) for group in groups if group["use_muon"] for p in group["params"]}
    rest = {name for name, p in network.named_parameters() if p.ndim > 1 and id(p) not in muon}
    depthwise = {name for name, _ in network.named_parameters() if "conv_dw" in name}
    assert rest == depthwise | {"body.backbone.conv_stem.weight", "body.head.1.weight"}


def by_adamw(network: Network) -> set[str]:
    """Names of the matrices that a recipe with Muon leaves to AdamW; depthwise filters and tokens left out."""
    groups = build_optimizer(network, override(PLAIN, ["optimizer.name=muon"])).param_groups
    muon = {id(p) for group in groups if group["use_muon"] for p in group["params"]}
    matrices = {name: p for name, p in network.named_parameters() if p.ndim > 1 and min(p.shape[:2]) > 1}
    return {name for name, p in matrices.items() if id(p) not in muon}


def test_muon_leaves_each_layer_that_gives_logits_to_adamw() -> None:
    network = from_scratch(RefinedAttentionUNet(5, 1), Model(name=""), 1, 32)
    stem = "body.first.down.0.first.0.weight"
    assert by_adamw(network) == {stem, "body.first.logits.0.weight", "body.correction.0.weight"}


def test_muon_takes_all_hidden_convolutions_of_a_network_for_one_channel(networks: dict[str, Network]) -> None:
    unet = networks["unet_resnet18"]
    assert unet.body.get_parameter("encoder.conv1.weight").shape[1] == 1, "a stem that looks like a depthwise filter"
    assert by_adamw(unet) == {"body.segmentation_head.0.weight"}


@pytest.mark.parametrize("sides", [(64, 64), (48, 80)])
def test_looking_for_the_ends_changes_nothing_and_takes_images_of_any_size(sides: tuple[int, int]) -> None:
    flat = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten())
    flat.append(nn.Linear(4 * (sides[0] - 2) * (sides[1] - 2), 6)).append(nn.ReLU(inplace=True)).append(
        nn.Linear(6, 3)
    )
    network = Network(flat, "", (0.5,) * 3, (0.25,) * 3)
    network.body.get_submodule("1").eval()
    modes = [module.training for module in network.modules()]
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    groups = build_optimizer(network, override(PLAIN, ["optimizer.name=muon"]), sides).param_groups
    assert [[p.shape for p in group["params"]] for group in groups if group["use_muon"]] == [[flat[3].weight.shape]]
    assert modes == [module.training for module in network.modules()]
    assert same_weights(network.state_dict(), weights) and torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("name", ["adamw", "lion", "muon"])
def test_training_goes_on_to_the_same_bits_from_a_file(name: str) -> None:
    recipe = override(
        PLAIN,
        [f"optimizer.name={name}", "optimizer.layer_decay=0.7", "schedule.epochs=6", "schedule.unfreeze=gradual"],
    )

    def epochs(model: Network, optimizer: torch.optim.Optimizer, numbers: range) -> None:
        for epoch in numbers:
            thaw(model, layers(model), recipe, epoch)
            step(model, optimizer, epoch)

    whole = made()
    epochs(whole, build_optimizer(whole, recipe), range(6))
    first = made()
    optimizer = build_optimizer(first, recipe)
    epochs(first, optimizer, range(3))
    file = io.BytesIO()
    torch.save({"model": first.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    second = made()
    optimizer = build_optimizer(second, recipe)
    second.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    assert not same_weights(second.state_dict(), whole.state_dict())
    epochs(second, optimizer, range(3, 6))
    assert same_weights(second.state_dict(), whole.state_dict())


@given(st.integers(1, 500), st.floats(0, 1))
def test_the_learning_rate_rises_then_falls(total: int, warmup: float) -> None:
    factors = [lr_factor(step, total, warmup) for step in range(total)]
    rise = round(warmup * total)
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[:rise] == sorted(set(factors[:rise]))
    assert factors[rise:] == sorted(set(factors[rise:]), reverse=True)
    assert rise == total or factors[rise] == 1


@given(st.integers(2, 500), st.floats(0, 0.5), st.floats(0, 0.9))
def test_what_thaws_later_warms_up_as_long_below_the_same_cosine(total: int, warmup: float, share: float) -> None:
    begins, rise = round(share * total), round(warmup * total)
    ours = [lr_factor(step, total, warmup, begins) for step in range(total)]
    heads = [lr_factor(step, total, warmup) for step in range(total)]
    assert not any(ours[:begins]) and all(ours[begins:])
    assert ours[begins + rise :] == heads[begins + rise :]
    for since, at in enumerate(range(begins, min(begins + rise, total))):
        if at >= rise:  # the head's warm-up is over
            assert ours[at] == pytest.approx(heads[at] * (since + 1) / (rise + 1))


@given(st.integers(1, 300), st.floats(0, 0.5), st.floats(0.5, 1))
def test_a_held_rate_falls_to_where_it_is_held_and_stays(total: int, warmup: float, share: float) -> None:
    held = round(share * total)
    free, ours = ([lr_factor(step, total, warmup, held=until) for step in range(total)] for until in (total, held))
    assert ours[: held + 1] == free[: held + 1] and len(set(ours[max(held, round(warmup * total)) :])) <= 1


def test_each_layer_begins_when_it_thaws() -> None:
    network = made()

    def begins(*fields: str) -> list[set[int]]:
        recipe = override(PLAIN, ["schedule.epochs=10", *fields])
        groups = build_optimizer(network, recipe).param_groups
        found = {id(p): group["begins"] for group in groups for p in group["params"]}
        return [{found[id(p)] for _, p in layer} for layer in layers(network)]

    assert begins() == [{0}] * 4
    assert begins("schedule.freeze=0.3") == [{3}, {3}, {3}, {0}]
    assert begins("schedule.freeze=0.2", "schedule.unfreeze=gradual") == [{4}, {3}, {2}, {0}]
    assert begins("schedule.freeze=1") == [{0}] * 4, "never"
