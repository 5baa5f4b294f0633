"""How to train here is measured once, and never ends slower than plainly."""

import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.tiny import FIRST, competition
from toolkit.errors import UserError
from toolkit.networks import speed
from toolkit.networks.contention import BUSY, Contention
from toolkit.networks.network import Network
from toolkit.networks.speed import GAIN, GIVE_UP, RACE, SMALL, UNMEASURED, Race, Settings, fastest
from toolkit.recipe import Recipe, override
from toolkit.store import read_json

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
RECIPE = replace(FIRST, precision="auto", batch_size=32)
PLAIN = Settings(channels_last=False)
CHANNELS_LAST = Settings()
HALF = Settings(precision="bfloat16")
HALF_FIRST = Settings(precision="bfloat16", channels_last=False)
ALL = (PLAIN, CHANNELS_LAST, HALF, HALF_FIRST)
Times = dict[Settings, float]
Tried = list[tuple[int, Settings]]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else this machine does."""

    @contextmanager
    def alone() -> Iterator[Contention]:
        yield Contention(BUSY / 2)

    monkeypatch.setattr(speed, "contention", alone)


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Tried]:
    """A machine that takes so many seconds a step on few images and on whole batches; what was timed on it."""

    def arrange(
        whole: Times, few: Times | None = None, compiled: float = 1.0, products: dict[str, str] | None = None
    ) -> Tried:
        tried: Tried = []

        def time(race: Race, settings: Settings, limit: float = float("inf")) -> float:
            tried.append((len(race.images), settings))
            if settings.compiled:
                return compiled
            return (few if few is not None and len(race.images) == SMALL else whole)[settings]

        monkeypatch.setattr(Race, "time", time)
        monkeypatch.setattr(Race, "products", lambda race, settings: products or {})
        return tried

    return arrange


def choose(path: Path, recipe: Recipe = RECIPE, steps: int = 0) -> Settings:
    return fastest(competition, recipe, CPU, path / "speed.json", steps)


def times(*seconds: float) -> Times:
    return dict(zip(ALL, seconds, strict=True))


def test_a_machine_is_measured_once_for_a_network_and_batch_size(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    measured = choose(tmp_path)
    assert measured.seconds and measured.plain_seconds and measured.micro_batch is None
    assert torch.equal(torch.random.get_rng_state(), before), "nobody's draws depend on it"


def test_what_was_measured_is_read_from_the_file(tmp_path: Path, pretend: Callable[..., Tried]) -> None:
    tried = pretend(times(4, 3, 2, 5))
    first = choose(tmp_path)
    assert first == replace(HALF, seconds=2, plain_seconds=4)
    assert len(read_json(tmp_path / "speed.json")) == 1
    tried.clear()
    again = replace(RECIPE, seed=5, name="other", optimizer=replace(RECIPE.optimizer, lr=1e-4))
    assert choose(tmp_path, again) == first and not tried
    for other in (replace(RECIPE, batch_size=16), replace(RECIPE, model=replace(RECIPE.model, input_scale=2))):
        choose(tmp_path, other)
        assert tried
        tried.clear()
    assert choose(tmp_path) == first and not tried


def test_what_would_take_longer_than_there_is_time_for_is_not_measured(
    tmp_path: Path, pretend: Callable[..., Tried]
) -> None:
    tried = pretend(times(4, 3, 2, 5))

    def within(seconds: float) -> Settings:
        return fastest(competition, RECIPE, CPU, tmp_path / "speed.json", within=seconds)

    assert within(0) == UNMEASURED and not tried
    assert within(4 * RACE * RECIPE.batch_size / SMALL - 1) == UNMEASURED
    assert tried == [(SMALL, PLAIN)] and not (tmp_path / "speed.json").exists(), "by a few images"
    assert within(4 * RACE * RECIPE.batch_size / SMALL).precision == "bfloat16"
    assert within(0).precision == "bfloat16", "what is known takes no time"


def test_a_network_that_can_not_be_built_is_not_measured(tmp_path: Path, pretend: Callable[..., Tried]) -> None:
    def without_weights(recipe: Recipe) -> torch.nn.Module:
        if recipe.model.pretrained:
            raise UserError("the weights are not on this machine")
        return competition.build_model(recipe)

    tried = pretend(times(1, 1, 1, 1))
    recipe = override(RECIPE, ["model.pretrained=true"])
    with pytest.raises(UserError, match="not on this machine"):
        fastest(replace(competition, build_model=without_weights), recipe, CPU, tmp_path / "speed.json")
    assert tried == []


def test_of_a_head_alone_the_features_it_is_trained_on_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradients: list[bool] = []
    features = Network.features

    def watched(network: Network, images: torch.Tensor) -> torch.Tensor:
        gradients.append(torch.is_grad_enabled() or network.training)
        return features(network, images)

    def refuse(network: Network, images: torch.Tensor) -> torch.Tensor:
        assert not images.any(), "a black one, of which the channels are counted"
        return forward(network, images)

    choose(tmp_path)
    forward = Network.forward
    monkeypatch.setattr(Network, "features", watched)
    monkeypatch.setattr(Network, "forward", refuse)
    found = choose(tmp_path, override(RECIPE, ["schedule.freeze=1"]))
    assert found.seconds and gradients and not any(gradients) and not found.products
    assert len(read_json(tmp_path / "speed.json")) == 2


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_precision_that_is_set_is_not_measured(
    precision: str, tmp_path: Path, pretend: Callable[..., Tried]
) -> None:
    tried = pretend(times(1, 1, 1, 1))
    assert choose(tmp_path, override(RECIPE, [f"precision={precision}"])) == Settings(precision=precision)
    assert not tried and not (tmp_path / "speed.json").exists()


@pytest.mark.parametrize("fastest_one", range(4))
def test_the_fastest_on_whole_batches_wins(fastest_one: int, tmp_path: Path, pretend: Callable[..., Tried]) -> None:
    seconds = [1.1, 1.2, 1.3, 1.4]
    seconds[fastest_one] = 1.0
    pretend(times(*seconds), few=times(1, 1, 1, 1))
    assert choose(tmp_path) == replace(ALL[fastest_one], seconds=1.0, plain_seconds=seconds[0])


@pytest.mark.parametrize(("share", "chosen"), [(GAIN + 0.001, PLAIN), (GAIN - 0.001, HALF)])
def test_plain_stays_unless_another_is_clearly_faster(
    share: float, chosen: Settings, tmp_path: Path, pretend: Callable[..., Tried]
) -> None:
    pretend(times(1, 1, share, 2))
    made = choose(tmp_path)
    assert replace(made, seconds=None, plain_seconds=None) == chosen
    assert made.seconds is not None and made.plain_seconds is not None and made.seconds <= made.plain_seconds


@pytest.mark.parametrize(("seconds", "used"), [(1.9, True), (2.1, False)])
def test_convolutions_are_products_where_the_whole_step_gains(
    seconds: float, used: bool, tmp_path: Path, pretend: Callable[..., Tried]
) -> None:
    products = replace(HALF, products={"body.head": "all"})
    pretend(times(4, 3, 2, 5) | {products: seconds}, few=times(1, 1, 1, 1), products=products.products)
    best = replace(products, seconds=seconds) if used else replace(HALF, seconds=2)
    assert choose(tmp_path) == choose(tmp_path) == replace(best, plain_seconds=4)


def test_what_is_slow_on_few_images_is_not_tried_on_whole_batches(
    tmp_path: Path, pretend: Callable[..., Tried]
) -> None:
    tried = pretend(times(1, 0.9, 0.1, 0.1), few=times(1, 1, GIVE_UP + 0.1, float("inf")))
    assert choose(tmp_path) == replace(CHANNELS_LAST, seconds=0.9, plain_seconds=1)
    assert [settings for images, settings in tried if images == 32] == [PLAIN, CHANNELS_LAST]


def test_a_setting_far_too_slow_costs_one_step_and_one_that_this_machine_lacks_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    race = Race(competition, RECIPE, CPU, 8)
    clock: list[float] = []
    monkeypatch.setattr(speed, "step_seconds", lambda step, device: clock.pop(0))
    clock[:] = [100.0, 1.0]
    assert race.time(PLAIN, limit=2.0) == float("inf") and clock == [1.0]
    clock[:] = [15.0, 3.0, 1.0, 1.0]
    assert race.time(PLAIN, limit=2.0) == 3.0 and clock == [1.0, 1.0]
    clock[:] = [15.0, 1.5, 1.0, 1.2]
    assert race.time(PLAIN, limit=2.0) == 1.0 and not clock

    def refuse(step: Callable[[], None], device: torch.device) -> float:
        raise RuntimeError("no kernel")

    monkeypatch.setattr(speed, "step_seconds", refuse)
    assert race.time(HALF) == float("inf")


def test_where_a_batch_is_trained_in_parts_seconds_are_those_of_a_step(
    tmp_path: Path, pretend: Callable[..., Tried], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "largest_batch", lambda *_: 16)
    tried = pretend(times(4, 3, 2, 5))
    assert choose(tmp_path) == replace(HALF, micro_batch=16, seconds=4, plain_seconds=8)
    assert {images for images, _ in tried} == {SMALL, 16}


@pytest.mark.parametrize(("memory", "images"), [(32, None), (31, 16), (15, 8), (2, 2)])
def test_the_largest_half_that_fits_is_found(memory: int, images: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Race, "__init__", lambda race, *given: setattr(race, "size", given[-1]))
    monkeypatch.setattr(Race, "step", lambda race, settings: race.size)

    def seconds(size: int, device: torch.device) -> float:
        if size > memory:
            raise torch.cuda.OutOfMemoryError
        return 1.0

    monkeypatch.setattr(speed, "step_seconds", seconds)
    gpu = torch.device("cuda")
    assert speed.largest_batch(competition, RECIPE, gpu, PLAIN) == images
    assert speed.largest_batch(competition, RECIPE, CPU, PLAIN) is None
    memory = 1
    with pytest.raises(UserError, match="not even 2 images of tiny fit in the memory of cuda"):
        speed.largest_batch(competition, RECIPE, gpu, PLAIN)


@pytest.mark.parametrize(
    ("steps", "step", "chosen"),
    [
        pytest.param(100, 0.5, False, id="too short a training to try it"),
        pytest.param(2000, 0.5, True, id="it pays"),
        pytest.param(2000, 1.5, False, id="slower"),
        pytest.param(2000, float("inf"), False, id="it can't be compiled"),
    ],
)
def test_compiling_is_tried_once_where_it_can_pay(
    steps: int,
    step: float,
    chosen: bool,
    tmp_path: Path,
    pretend: Callable[..., Tried],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(speed, "can_compile", lambda device: True)
    tried = pretend(times(1.2, 1.2, 1, 1.2), compiled=step)
    assert choose(tmp_path, steps=steps).compiled == chosen
    assert any(settings.compiled for _, settings in tried) == (steps == 2000)
    tried.clear()
    assert choose(tmp_path, steps=steps).compiled == chosen and not tried
    assert not choose(tmp_path).compiled


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_memory_that_was_freed_is_used_again_by_the_next_step() -> None:
    """Pages that the system had to give, out of the 16,384 of 64 MiB."""
    script = """
import resource, torch
from toolkit.networks.speed import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
as_it_is = [faults(), faults()][1]
keep_freed_memory()
print(as_it_is, min(faults() for _ in range(8)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before > 1000 and after < 100


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_memory_that_was_kept_can_be_given_back() -> None:
    """Of 64 blocks of 4 MiB, of which every second is still held: what lies between them goes back, too."""
    script = """
from pathlib import Path
import torch
from toolkit.networks.speed import give_back_memory, keep_freed_memory
def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) // 1024
keep_freed_memory()
blocks = [torch.ones(2**20) for _ in range(64)]
full = held()
del blocks[::2]
kept = held()
give_back_memory()
print(full - kept, kept - held())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    freed, given_back = map(int, done.stdout.split())
    assert freed < 20 and given_back > 100


def test_images_of_another_size_are_measured_apart(tmp_path: Path, pretend: Callable[..., Tried]) -> None:
    tried = pretend(times(4, 3, 2, 5))
    choose(tmp_path)
    tried.clear()
    choose(tmp_path, override(RECIPE, ["images.size=12"]))
    assert tried and len(read_json(tmp_path / "speed.json")) == 2
    assert Race(competition, override(RECIPE, ["images.size=12"]), CPU, 4).images.shape == (4, 3, 12, 12)


def test_what_was_measured_on_a_busy_machine_is_measured_again_a_few_times(
    tmp_path: Path, pretend: Callable[..., Tried], monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = [0.5, 0.7, 0.3, 0.0]
    seconds = [2.0, 9.0, 1.0, 7.0]

    @contextmanager
    def busy() -> Iterator[Contention]:
        yield Contention(shares.pop(0))

    monkeypatch.setattr(speed, "contention", busy)
    shares.insert(0, 0.5)
    tried = pretend(times(4, 3, 2, 5), few=times(1, 1, 1, 1))
    choose(tmp_path / "at_once")
    tried.clear()
    choose(tmp_path / "at_once")
    assert not tried, "not twice in one command"
    monkeypatch.setattr(speed, "AGAIN", 0.0)
    chosen = []
    for took in seconds:
        tried = pretend(times(4, 3, took, 5), few=times(1, 1, 1, 1))
        chosen.append((choose(tmp_path).seconds, bool(tried)))
    assert chosen == [(2, True), (2, True), (1, True), (1, False)], "the quietest one counts, and three are enough"


def test_an_edited_network_is_measured_anew(tmp_path: Path, pretend: Callable[..., Tried]) -> None:
    tried = pretend(times(4, 3, 2, 5))
    choose(tmp_path)
    tried.clear()
    edited = replace(competition, build_model=lambda recipe: competition.build_model(recipe))
    fastest(edited, RECIPE, CPU, tmp_path / "speed.json")
    assert tried


def test_on_a_gpu_the_step_that_loads_kernels_gives_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    race = Race(competition, RECIPE, CPU, 8)
    race.device = torch.device("cuda")
    monkeypatch.setattr(Race, "step", lambda race, settings: None)
    clock = [100.0, 15.0, 1.5, 1.0, 1.2]
    monkeypatch.setattr(speed, "step_seconds", lambda step, device: clock.pop(0))
    assert race.time(PLAIN, limit=2.0) == 1.0 and not clock
