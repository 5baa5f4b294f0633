"""Averages that are what they say, to the same bits after a kill, and a soup that never tastes worse."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.training import same_weights
from toolkit.networks.network import Network
from toolkit.training.weight_averages import (
    EAGER,
    EVERY,
    MOST,
    Average,
    Snapshots,
    Weights,
    greedy_soup,
    refresh_norm,
    uniform,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def run(average: Average, model: nn.Module, steps: range) -> None:
    for step in steps:
        with torch.no_grad():
            model.weight.fill_(step)  # type: ignore[operator]
            model.get_buffer("num_batches_tracked").fill_(step)
        average.update()


def test_the_moving_average_has_a_short_memory_at_first_and_counts_every_step_once() -> None:
    model = nn.BatchNorm1d(1)
    average, expected = Average(model, 0.5), 1.0
    for step in range(1, EAGER + 3 * EVERY + 2):
        run(average, model, range(step, step + 1))
        if step <= EAGER or step % EVERY == 0:
            decay = min(0.5, (1 + step) / (10 + step)) ** (1 if step <= EAGER else EVERY)
            expected = decay * expected + (1 - decay) * step
            assert average.weights["num_batches_tracked"] == step
        assert average.weights["weight"].item() == pytest.approx(expected, rel=1e-5)


@given(st.floats(0.9, 0.9999), st.integers(1, 30))
def test_an_average_of_some_steps_is_as_old_as_one_of_each(decay: float, more: int) -> None:
    """On weights that grow by 1 a step, the difference in age is less than the steps between updates."""
    model, steps = nn.BatchNorm1d(1), range(1, EAGER + more * EVERY + 1)
    average, exact = Average(model, decay), 1.0
    run(average, model, steps)
    for step in steps:
        exact += (1 - min(decay, (1 + step) / (10 + step))) * (step - exact)
    assert -0.01 <= average.weights["weight"].item() - exact < EVERY


def test_the_average_of_weights_that_stay_is_those_weights() -> None:
    model = nn.Conv2d(3, 4, 3)
    average = Average(model, 0.99)
    for _ in range(EAGER + 9):
        average.update()
    assert same_weights(model.state_dict(), average.weights)


@given(st.integers(0, EAGER + 30))
def test_an_average_goes_on_to_the_same_bits_from_a_file(cut: int) -> None:
    model, steps = nn.BatchNorm1d(2), EAGER + 30
    whole = Average(model, 0.98)
    run(whole, model, range(steps))
    model = nn.BatchNorm1d(2)
    first, file = Average(model, 0.98), io.BytesIO()
    run(first, model, range(cut))
    torch.save(first.state(), file)
    file.seek(0)
    model = nn.BatchNorm1d(2)
    second = Average(model, 0.98)
    second.restore(torch.load(file, weights_only=True))
    run(second, model, range(cut, steps))
    assert same_weights(whole.weights, second.weights)


@given(st.integers(1, 200))
def test_snapshots_are_of_the_last_quarter_and_never_many(epochs: int) -> None:
    chosen = list(Snapshots(Path("nowhere"), epochs).paths)
    assert 1 <= len(chosen) <= MOST and len(set(chosen)) == len(chosen) and chosen[-1] == epochs - 1
    assert chosen == sorted(chosen) and chosen[0] >= epochs * 3 // 4


def test_snapshots_come_back_to_the_same_bits_and_are_not_taken_before_their_time(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, 8)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    for epoch in range(8):
        with torch.no_grad():
            model.get_parameter("0.weight").fill_(epoch)
            model.get_buffer("1.num_batches_tracked").fill_(epoch)
        snapshots.keep(epoch, model.state_dict())
    assert len(Snapshots(tmp_path, 8)) == len(snapshots) == 2
    assert [weights["0.weight"][0, 0, 0, 0].item() for weights in snapshots] == [6, 7]
    assert [weights["1.num_batches_tracked"].item() for weights in snapshots] == [6, 7]
    assert same_weights(model.state_dict(), snapshots[-1])


def weights(value: float, count: int = 0) -> Weights:
    return {"w": torch.tensor([value, -value], dtype=torch.float32), "n": torch.tensor(count)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_uniform_average_is_the_mean_with_the_last_integers(dtype: torch.dtype) -> None:
    snapshots = [{"w": torch.tensor([k, 3.0], dtype=dtype), "n": torch.tensor(k)} for k in (1, 2, 6)]
    result = uniform(snapshots)
    assert result["w"].tolist() == [3, 3] and result["w"].dtype == dtype and result["n"] == 6
    assert [s["w"].tolist() for s in snapshots] == [[1, 3], [2, 3], [6, 3]], "the snapshots are left alone"


@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=9), st.integers(1, 5))
def test_the_average_of_equal_weights_is_those_weights_to_the_bit(values: list[float], count: int) -> None:
    one = {"w": torch.tensor(values)}
    assert torch.equal(uniform([one] * count)["w"], one["w"])


def test_a_greedy_soup_takes_the_best_first_and_leaves_out_what_lowers_the_score() -> None:
    seen: list[float] = []

    def score(candidate: Weights) -> float:
        seen.append(candidate["w"][0].item())
        return -abs(seen[-1] - 10)

    soup = greedy_soup([weights(6, 1), weights(12, 2), weights(0, 3), weights(9, 4)], score)
    # each alone; 9 with 12, which is better; both with 6, then with 0, which are worse
    assert seen == [6, 12, 0, 9, 10.5, 9, 7]
    assert soup["w"].tolist() == [10.5, -10.5] and soup["n"] == 4


@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=5), st.floats(-10, 10))
def test_a_soup_scores_no_less_than_the_best_snapshot(values: list[float], target: float) -> None:
    def score(candidate: Weights) -> float:
        return -abs(candidate["w"][0].item() - target)

    snapshots = [weights(value) for value in values]
    assert score(greedy_soup(snapshots, score)) >= max(map(score, snapshots))


def test_a_snapshot_whose_score_is_no_number_is_in_no_soup() -> None:
    def score(candidate: Weights) -> float:
        return 1.0 if candidate["w"][0] == 5 else float("nan")

    for order in ((5, 1), (1, 5)):
        assert greedy_soup([weights(value) for value in order], score)["w"].tolist() == [5, -5]


def normed() -> Network:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 4, 1))
    body = nn.Sequential(backbone, nn.BatchNorm2d(4))
    return Network(body, "0", (0.5,) * 3, (0.25,) * 3)


def batches(count: int = 3) -> list[torch.Tensor]:
    return [torch.randint(256, (4, 3, 5, 5), dtype=torch.uint8) for _ in range(count)]


def test_batch_norm_is_estimated_anew_as_the_mean_over_the_batches() -> None:
    network, images = normed().train(), batches()
    network.body.get_submodule("0.2").eval()
    modes = [module.training for module in network.modules()]
    state = torch.get_rng_state()
    refresh_norm(network, [(x,) for x in images])
    assert torch.equal(state, torch.get_rng_state()), "nothing is dropped"
    assert modes == [module.training for module in network.modules()]
    conv: nn.Module = network.body.get_submodule("0.0")
    norm = network.body.get_submodule("0.1")
    with torch.no_grad():
        inputs = [conv((x.float() - network.mean) / network.std).transpose(0, 1).flatten(1) for x in images]
    assert torch.allclose(norm.get_buffer("running_mean"), torch.stack([x.mean(1) for x in inputs]).mean(0), atol=1e-5)
    assert torch.allclose(norm.get_buffer("running_var"), torch.stack([x.var(1) for x in inputs]).mean(0), rtol=1e-4)
    assert norm.momentum == 0.1 and norm.get_buffer("num_batches_tracked") == 3
    before = {name: value.clone() for name, value in network.state_dict().items()}
    refresh_norm(network.eval(), [(x,) for x in images])
    assert same_weights(network.state_dict(), before)


def test_frozen_statistics_stay() -> None:
    network = normed()
    network.body.get_submodule("0.1").requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    refresh_norm(network, [(x,) for x in batches()])
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {f"body.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}


def test_a_network_without_batch_norm_is_not_even_run() -> None:
    refresh_norm(nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4)), [(torch.empty(0),)])


def test_averaged_weights_need_statistics_of_their_own() -> None:
    """Two networks whose units are each other's negative: their mean is constant, its variance not theirs."""
    network, images = normed().eval(), batches()
    one = {name: value.clone() for name, value in network.state_dict().items()}
    two = one | {"body.0.0.weight": -one["body.0.0.weight"], "body.0.0.bias": -one["body.0.0.bias"]}
    network.load_state_dict(uniform([one, two]))
    refresh_norm(network, [(x,) for x in images])
    assert np.allclose(network.body.get_submodule("0.1").get_buffer("running_var"), 0, atol=1e-6)


@pytest.mark.parametrize(("most", "sizes"), [(None, [5, 5]), (5, [5, 5]), (3, [3, 2] * 2), (2, [3, 2] * 2)])
def test_batches_that_do_not_fit_in_memory_are_seen_in_parts(most: int | None, sizes: list[int]) -> None:
    network, seen = normed().train(), list[int]()
    network.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    images = [torch.randint(256, (5, 3, 5, 5), dtype=torch.uint8) for _ in range(2)]
    refresh_norm(network, [(x,) for x in images], most)
    assert seen == sizes
