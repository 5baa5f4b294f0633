"""Which end of a network is thawed first, and that what is frozen keeps all it has."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import timm.layers
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.training import same_weights
from tests.training.layered import NETWORKS, PLAIN, made, step, without_backbone
from toolkit import Network, Schedule, UserError, override
from toolkit.training.freezing import frozen_epochs, frozen_layers, is_norm, layers, thaw, thawed_from
from toolkit.training.optimizers import build_optimizer

pytestmark = pytest.mark.usefixtures("one_thread")
ENDS = {  # the first weight, the first of the backbone's last layer
    "efficientnet_lite0": ("body.backbone.conv_stem.weight", "body.backbone.blocks.6.0.conv_pw.weight"),
    "resnet18": ("body.backbone.conv1.weight", "body.backbone.layer4.0.conv1.weight"),
    "convnext_tiny": ("body.backbone.stem.0.weight", "body.backbone.stages.3.downsample.0.weight"),
    "unet_resnet18": ("body.encoder.conv1.weight", "body.encoder.layer4.0.conv1.weight"),
    "unet_regnet": ("body.encoder.model.stem.conv.weight", "body.encoder.model.s4.b1.conv1.conv.weight"),
    "segformer_mit": ("body.encoder.patch_embed1.proj.weight", "body.encoder.block4.0.norm1.weight"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_run_from_the_input_end_to_the_output_end(name: str, networks: dict[str, Network]) -> None:
    network = networks[name]
    found = layers(network)
    assert (found[0][0][0], found[-2][0][0]) == ENDS[name] and len(found) > 4
    assert sorted(n for layer in found for n, _ in layer) == sorted(n for n, _ in network.named_parameters())
    assert all(n.startswith(f"body.{network.backbone}.") for layer in found[:-1] for n, _ in layer)
    assert not any(n.startswith(f"body.{network.backbone}.") for n, _ in found[-1])


@pytest.mark.parametrize("name", NETWORKS)
def test_what_a_layer_computes_is_untouched_by_the_layers_above_it(name: str, networks: dict[str, Network]) -> None:
    """The gradient of a layer's own outputs reaches that layer and those below, none above."""
    network = networks[name].train()
    found = layers(network)
    owners = {id(p): module for module in network.modules() for p in module.parameters(recurse=False)}
    outputs: list[tuple[nn.Module, torch.Tensor]] = []
    hooks = [m.register_forward_hook(lambda m, _, y: outputs.append((m, y))) for m in set(owners.values())]
    network(torch.randint(256, (2, network.mean.shape[1], 64, 64), dtype=torch.uint8))
    for hook in hooks:
        hook.remove()
    for depth, layer in enumerate(found[:-1]):
        mine = {id(owners[id(p)]) for _, p in layer}
        last = [y for m, y in outputs if id(m) in mine][-1]
        above = [p for other in found[depth + 1 :] for _, p in other]
        gradients = torch.autograd.grad(last.sum(), above, retain_graph=True, allow_unused=True)
        assert all(gradient is None for gradient in gradients), depth


def test_looking_for_the_order_changes_nothing(networks: dict[str, Network]) -> None:
    network = networks["unet_resnet18"].train()
    network.body.get_submodule("encoder.layer1").eval()
    modes = [module.training for module in network.modules()]
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    layers(network)
    assert modes == [module.training for module in network.modules()]
    assert same_weights(network.state_dict(), weights)
    assert torch.equal(state, torch.get_rng_state())


def test_a_network_of_one_size_is_shown_that_size() -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 10, 5))
    body = nn.Sequential(OrderedDict(backbone=backbone, head=nn.Linear(5, 2)))
    network = Network(body, "backbone", (0.5,) * 3, (0.25,) * 3)
    assert [len(layer) for layer in layers(network, (8, 12))] == [2, 2, 2]


def test_a_network_without_a_backbone_is_one_layer() -> None:
    network = without_backbone()
    assert [[name for name, _ in layer] for layer in layers(network)] == [[n for n, _ in network.named_parameters()]]


@pytest.mark.parametrize(
    ("field", "leave"),
    [
        ("schedule.freeze=0.5", r"schedule\.freeze=0"),
        ("schedule.unfreeze=gradual", r"schedule\.unfreeze=at_once"),
        ("schedule.freeze_norm=true", r"schedule\.freeze_norm=false"),
        ("optimizer.backbone_factor=0.1", r"optimizer\.backbone_factor=1"),
        ("optimizer.layer_decay=0.9", r"optimizer\.layer_decay=1"),
    ],
)
def test_words_for_a_backbone_are_refused_where_there_is_none(field: str, leave: str) -> None:
    network = without_backbone()
    with pytest.raises(UserError, match=rf"model made has no backbone; leave {leave}$"):
        build_optimizer(network, override(PLAIN, [field]))
    thaw(network.eval(), layers(network), PLAIN, 0)
    assert network.training and all(p.requires_grad for p in network.parameters())


@given(
    st.integers(1, 30),
    st.builds(
        Schedule, epochs=st.integers(1, 60), freeze=st.floats(0, 1), unfreeze=st.sampled_from(["at_once", "gradual"])
    ),
)
def test_layers_thaw_one_after_the_other_in_half_of_the_epochs_that_are_left(count: int, schedule: Schedule) -> None:
    frozen = [frozen_layers(count, schedule, epoch) for epoch in range(schedule.epochs)]
    first = frozen_epochs(schedule)
    left = schedule.epochs - first
    assert frozen == sorted(frozen, reverse=True)
    assert frozen[:first] == [count] * first
    if left:
        half = max(1, left // 2)
        assert set(frozen[first + half - 1 :]) == {0} and thawed_from(count, schedule) == frozen.index(0)
        thawed = -np.diff([count, *frozen[first : first + half]])
        assert thawed[0] == count if schedule.unfreeze == "at_once" else np.ptp(thawed) <= 1
    else:
        assert thawed_from(count, schedule) == 0


@pytest.mark.parametrize(
    ("freeze", "epochs", "frozen"),
    [(0, 4, 0), (0.1, 1, 0), (0.1, 2, 1), (0.1, 5, 1), (0.1, 20, 2), (0.3, 30, 9), (0.95, 4, 3), (1, 4, 4), (1, 1, 1)],
)
def test_some_epochs_are_frozen_where_any_are_asked_for_and_all_only_where_all_are(
    freeze: float, epochs: int, frozen: int
) -> None:
    assert frozen_epochs(Schedule(freeze=freeze, epochs=epochs)) == frozen


def test_the_layer_next_to_the_head_thaws_first_and_frozen_ones_keep_all_they_have() -> None:
    network = made()
    recipe = override(PLAIN, ["schedule.epochs=8", "schedule.freeze=0.25", "schedule.unfreeze=gradual"])
    optimizer, found = build_optimizer(network, recipe), layers(network)
    for epoch, frozen in enumerate([3, 3, 2, 1, 0]):
        thaw(network, found, recipe, epoch)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        step(network, optimizer, epoch)
        for name, value in network.state_dict().items():
            stage = int(name.split(".")[2]) if name.startswith("body.backbone.") else 3
            assert torch.equal(value, before[name]) == (stage < frozen), (epoch, name)
        assert [network.body.get_submodule(f"backbone.{stage}").training for stage in range(3)] == [
            stage >= frozen for stage in range(3)
        ]
        assert network.body.get_submodule("head").training


def test_an_epoch_s_state_does_not_depend_on_the_epochs_before() -> None:
    recipe = override(PLAIN, ["schedule.unfreeze=gradual", "schedule.freeze=0.2", "schedule.epochs=10"])

    def state(network: Network, epoch: int) -> list[Any]:
        thaw(network, layers(network), recipe, epoch)
        return [m.training for m in network.modules()] + [p.requires_grad for p in network.parameters()]

    used = made()
    for epoch in (9, 0, 4, 1, 2):
        assert state(used, epoch) == state(made(), epoch)


def test_frozen_norms_keep_weights_and_statistics_while_all_else_is_trained() -> None:
    network = made()
    recipe = override(PLAIN, ["schedule.freeze_norm=true"])
    optimizer = build_optimizer(network, recipe)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    for epoch in range(2):
        thaw(network, layers(network), recipe, epoch)
        step(network, optimizer, epoch)
    norms = {"body.backbone.0.1", "body.backbone.1.1", "body.backbone.2.1"}
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) == (name.rsplit(".", 1)[0] in norms), name


@pytest.mark.parametrize("name", ["efficientnet_lite0", "convnext_tiny", "segformer_mit"])
def test_only_the_backbone_s_norms_are_frozen(name: str, networks: dict[str, Network]) -> None:
    network = networks[name]
    thaw(network, layers(network), override(PLAIN, ["schedule.freeze_norm=true"]), 3)
    norms = {n: m for n, m in network.named_modules() if isinstance(m, nn.BatchNorm2d | nn.LayerNorm | nn.GroupNorm)}
    inside = {n for n in norms if n.startswith(f"body.{network.backbone}.")}
    assert {n.rsplit(".", 1)[0] for n, p in network.named_parameters() if not p.requires_grad} == inside
    assert {n for n, m in norms.items() if not m.training} == inside
    assert (norms.keys() == inside) == (name == "efficientnet_lite0")  # its head is the only one without a norm
    thaw(network, layers(network), PLAIN, 3)


def norm_layers() -> Iterator[nn.Module]:
    for name in ("BatchNormAct2d", "LayerNorm2d", "GroupNorm1", "RmsNorm", "RmsNorm2d", "SimpleNorm", "EvoNorm2dB0"):
        yield getattr(timm.layers, name)(8)
    yield from (nn.GroupNorm(2, 8), nn.RMSNorm(8), nn.BatchNorm2d(8), nn.LayerNorm(8), nn.InstanceNorm2d(8))


def test_normalisations_are_known_whoever_wrote_them() -> None:
    assert [type(module).__name__ for module in norm_layers() if not is_norm(module)] == []
    assert not is_norm(timm.layers.ConvNormAct(3, 8)) and not is_norm(nn.Conv2d(3, 8, 1))


def test_a_backbone_that_timm_groups_no_coarse_way_is_divided_at_its_stages() -> None:
    def refuse(coarse: bool) -> dict[str, str]:
        assert not coarse, "as of RDNet"
        return {}

    network, plain = made(), made()
    network.body.get_submodule("backbone").group_matcher = refuse  # type: ignore[assignment]
    names = [[[name for name, _ in layer] for layer in layers(one)] for one in (network, plain)]
    assert names[0] == names[1] and len(names[0]) > 2
