"""Every weight is trained once, at its layer's rate, and optimisers go on exactly."""

import io

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training import same_weights
from tests.training.layered import NETWORKS, PLAIN, made, step, without_backbone
from toolkit import Model, Network, classifier, override
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
