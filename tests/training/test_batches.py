"""A batch follows from (seed, fold, epoch, step), wherever and whenever it is made."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import RGB
from tests.tiny import FIRST
from toolkit import Dataset, Recipe, UserError, override
from toolkit.training.batches import Batches, free_memory, sampling_chances

CPU = torch.device("cpu")
MakeBatches = Callable[..., Batches]


@pytest.fixture
def dataset() -> Dataset:
    """Each image says its row in every pixel; classes 0, 1, 2 have 20, 10 and 5 rows."""
    rows = np.arange(35)
    images = np.broadcast_to(rows.astype(np.uint8)[:, None, None, None], (35, 8, 8, 3)).copy()
    return Dataset(images, np.repeat([0, 1, 2], [20, 10, 5]), rows, rows, images[:0])


@pytest.fixture
def make_batches(dataset: Dataset) -> MakeBatches:
    def make(*overrides: str, fold: int = 0, data: Dataset = dataset, rows: np.ndarray | None = None) -> Batches:
        chosen = np.arange(len(data.images)) if rows is None else rows
        recipe: Recipe = override(FIRST, overrides)
        return Batches(data, chosen, recipe, fold, CPU, range(int(data.targets.max()) + 1), rgb=RGB)

    return make


def same(one: tuple[torch.Tensor, torch.Tensor], other: tuple[torch.Tensor, torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("sampling", ["0", "0.5"])
def test_seed_fold_epoch_and_step_alone_decide_a_batch(sampling: str, make_batches: MakeBatches) -> None:
    words = (f"sampling={sampling}", "augment.rotate=30", "augment.colour=0.5")
    batches = make_batches(*words)
    wanted = batches[(2, 3)]
    torch.manual_seed(0)
    assert same(wanted, make_batches(*words)[(2, 3)]), "made first or after others"
    for other in (batches[(2, 2)], batches[(1, 3)], make_batches(*words, "seed=1")[(2, 3)]):
        assert not same(wanted, other)
    assert not same(wanted, make_batches(*words, fold=1)[(2, 3)])


def test_an_epoch_has_every_row_at_most_once_and_no_other(make_batches: MakeBatches) -> None:
    rows = np.arange(3, 30)
    batches = make_batches(rows=rows)
    seen = []
    for images, targets in (batches[0, step] for step in range(batches.steps)):
        assert images.shape == (8, 3, 8, 8) and images.dtype == torch.uint8
        seen += images[:, 0, 0, 0].tolist()
        assert targets.tolist() == np.repeat([0, 1, 2], [20, 10, 5])[images[:, 0, 0, 0]].tolist()
    assert len(seen) == len(set(seen)) == 24 and set(seen) <= set(rows.tolist())
    missing = [set(rows) - set(np.concatenate([batches.chosen(epoch, step) for step in range(3)])) for epoch in (0, 1)]
    assert missing[0] != missing[1], "what an epoch leaves out comes in another"


def test_fewer_rows_than_a_batch_are_one_batch(make_batches: MakeBatches) -> None:
    batches = make_batches("batch_size=64")
    assert batches.steps == 1 and sorted(batches.chosen(0, 0).tolist()) == list(range(35))


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_sampling_draws_a_class_by_its_frequency_to_the_power(power: float, make_batches: MakeBatches) -> None:
    batches = make_batches(f"sampling={power}")
    epochs = 100
    drawn = np.concatenate([batches.chosen(epoch, step) for epoch in range(epochs) for step in range(4)])
    counts = np.array([20, 10, 5])
    wanted = counts ** (1 - power) / (counts ** (1 - power)).sum() * len(drawn)
    got = np.bincount(np.repeat([0, 1, 2], counts)[drawn])
    assert ((got - wanted) ** 2 / wanted).sum() < 9.2, "chi-square, 2 degrees of freedom, 1 %"
    assert ((got - counts / 35 * len(drawn)) ** 2 / wanted).sum() > 100, "and it is not what no sampling gives"


def test_a_mask_is_drawn_by_its_rarest_class_that_is_scored() -> None:
    masks = np.ones((10, 4, 4), np.uint8)
    masks[:5, :2] = 2
    masks[0, 0, 0] = 3
    masks[9, 0, 0] = 0  # as rare as class 3, but not scored
    masks[8, 0, 0] = 255  # of no class
    chances = sampling_chances(masks, 1.0, (1, 2, 3))
    assert np.allclose(chances * (10 + 4 * 2 + 5), [10, 2, 2, 2, 2, 1, 1, 1, 1, 1])
    masks[8:] = 0  # like one of a class that is everywhere
    assert np.allclose(sampling_chances(masks, 1.0, (1, 2))[[0, 8, 9]] * (5 * 2 + 3 * 10 / 8 + 2), [2, 1, 1])


@pytest.mark.parametrize("sampling", [0, 1])
def test_neighbours_in_a_batch_are_of_one_class_as_often_as_chance_has_it(
    sampling: int, make_batches: MakeBatches
) -> None:
    """Neighbours are mixed, and a part of a batch has statistics of its own; the file is in the order of classes."""
    targets = np.repeat(np.arange(6), [200, 120, 80, 60, 40, 20])
    rows, images = np.arange(len(targets)), np.zeros((len(targets), 4, 4, 1), np.uint8)
    data = Dataset(images, targets, rows, rows, images[:0])
    batches = make_batches(f"sampling={sampling}", "batch_size=32", data=data)
    drawn = [batches[epoch, step][1] for epoch in range(8) for step in range(batches.steps)]
    same = torch.cat([labels == labels.roll(1) for labels in drawn]).float().mean()
    chance = 1 / 6 if sampling else ((np.bincount(targets) / len(targets)) ** 2).sum()
    assert same == pytest.approx(chance, abs=0.03)


def test_batches_that_are_read_ahead_are_the_ones_that_are_asked_for(make_batches: MakeBatches) -> None:
    one, other = make_batches("schedule.epochs=2"), make_batches("schedule.epochs=2")
    asked = [(epoch, step) for epoch in (0, 1) for step in range(one.steps)]
    in_order = [one[at] for at in asked]
    assert not one.ahead, "nothing is read after the last batch"
    jumping = {at: other[at] for at in (asked[3], asked[0], asked[1], *asked[4:], asked[2])}
    assert all(same(batch, jumping[at]) for at, batch in zip(asked, in_order, strict=True))


def test_a_fault_in_reading_ahead_is_raised_by_the_batch_that_has_it(
    make_batches: MakeBatches, dataset: Dataset
) -> None:
    class Failing(np.ndarray):
        def __getitem__(self, at: Any) -> Any:
            if 34 in np.atleast_1d(at):
                raise UserError("row 34 can't be read")
            return super().__getitem__(at)

    batches = make_batches(data=replace(dataset, images=dataset.images.view(Failing)))
    failing = next(step for step in range(batches.steps) if 34 in batches.chosen(1, step))
    for step in range(batches.steps):
        if step < failing:
            batches[1, step]
    with pytest.raises(UserError, match="row 34"):
        batches[1, failing]


def test_a_memory_map_is_neither_written_nor_held(make_batches: MakeBatches, dataset: Dataset) -> None:
    frozen = replace(dataset, images=dataset.images.copy(), targets=dataset.targets.copy())
    frozen.images.setflags(write=False)
    frozen.targets.setflags(write=False)
    images, targets = make_batches("augment.flip=none", data=frozen)[(0, 0)]
    images += 1
    targets += 1
    assert np.array_equal(frozen.images, dataset.images) and np.array_equal(frozen.targets, dataset.targets)


def test_what_pytorch_keeps_of_a_gpu_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, found in (("mem_get_info", (3, 20)), ("memory_reserved", 10), ("memory_allocated", 4)):
        monkeypatch.setattr(torch.cuda, name, lambda device, found=found: found)
    assert free_memory(torch.device("cuda")) == 9
