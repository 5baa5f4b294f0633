"""What is known beside the images is trained on: by every way of training, and to the same bits again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests import kinds
from toolkit import table_arrays
from toolkit.augmentation.mixing import mixed_rows
from toolkit.data.data_folder import save_dataset
from toolkit.data.dataset import Dataset
from toolkit.data.tables import columns_of
from toolkit.networks.outputs import build_network
from toolkit.networks.predict import predict
from toolkit.networks.table import TableInput
from toolkit.probabilities import write_probabilities
from toolkit.training.fold import FoldResult, fit_fold
from toolkit.training.jobs import FoldJob
from toolkit.training.loop import Training
from toolkit.training.pseudo_labels import Teacher

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def opened_by_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.training.jobs.load_competition", kinds.known)


def both_needed(number: int = kinds.NUMBER) -> Dataset:
    """Yes where the image's red and a number beside it make more than one; a category is noise, a tenth is missing."""
    data = kinds.drawn("classes", number)
    red = data.images[..., 0].mean((1, 2)) / 255
    rng = np.random.default_rng(5)
    size, site = rng.random(number), rng.choice(["arm", "leg"], number)
    known = np.where(rng.random(number) < 0.1, np.nan, size)
    table = pd.DataFrame({"size": 1000 * known, "site": site})
    targets = ((red - red.mean()) / red.std() + (size - 0.5) * 3.46 > 0).astype(np.int64)
    return replace(data, targets=targets, **table_arrays(table, table[: len(data.test_images)]))


def job_of(root: Path, *words: str, number: int = kinds.NUMBER) -> FoldJob:
    if not (root / "data").exists():
        save_dataset(both_needed(number), root / "data", "")
    return replace(kinds.make_job("classes", root, *words), folder=root / "_".join(["fold", *words]).replace("/", ""))


def same(one: FoldResult, other: FoldResult) -> bool:
    return all(torch.equal(value, other.main.weights[name]) for name, value in one.main.weights.items())


def right(result: FoldResult, root: Path) -> float:
    return float((result.main.probabilities.argmax(1) == both_needed().targets[:24]).mean())


def test_what_the_image_does_not_show_is_learnt_from_the_table(tmp_path: Path) -> None:
    words = ("schedule.epochs=30",)
    with_both, alone = fit_fold(job_of(tmp_path, *words)), fit_fold(job_of(tmp_path, *words, "table.width=0"))
    assert right(with_both, tmp_path) >= right(alone, tmp_path) + 0.1
    assert not any(name.startswith("table.") for name in alone.main.weights)


def test_statistics_are_those_of_the_training_rows(tmp_path: Path) -> None:
    training = Training(job_of(tmp_path))
    taken = training.table.taken
    assert isinstance(taken, TableInput)
    rows = both_needed().table[24:, 0]  # type: ignore[index]
    assert float(taken.mean) == pytest.approx(np.nanmean(rows), rel=1e-5)
    assert float(taken.std) == pytest.approx(np.nanstd(rows), rel=1e-5)


@pytest.mark.parametrize(
    "words",
    [
        ("augment.mixup=0.5", "augment.cutmix=0.5"),
        ("optimizer.accumulate=2", "schedule.average=soup", "schedule.patience=1", "optimizer.name=muon"),
        ("sampling=0.5", "schedule.freeze=0.5", "schedule.average=swa"),
    ],
    ids="+".join,
)
def test_all_words_of_a_recipe_go_with_a_table(words: tuple[str, ...], tmp_path: Path) -> None:
    first, again = (fit_fold(replace(job_of(tmp_path, *words), folder=tmp_path / name)) for name in "ab")
    assert all(np.isfinite(line["loss"]) for line in first.history) and same(first, again)


def test_a_head_is_trained_on_stored_features_and_the_table(tmp_path: Path) -> None:
    words = ("schedule.freeze=1", "schedule.epochs=30")
    stored = fit_fold(replace(job_of(tmp_path, *words), features=tmp_path / "features"))
    data = both_needed()
    network = build_network(kinds.competition("classes"), kinds.RECIPE, columns_of(data.columns))
    network.load_state_dict(stored.main.weights)
    assert data.table is not None
    wanted = predict(network, data.images[:24], (0, 1), CPU, "float32", table=data.table[:24])
    assert np.allclose(stored.main.probabilities, wanted, atol=1e-5)
    assert right(stored, tmp_path) > 0.7


def test_a_batch_in_parts_has_the_gradients_of_the_whole(tmp_path: Path) -> None:
    """Without batch norm in the way: what it counts differs between a part and the whole."""

    def gradient(micro: int | None) -> torch.Tensor:
        job = job_of(tmp_path, "schedule.freeze=1", "schedule.freeze_norm=true", "table.dropout=0")
        training = Training(replace(job, settings=replace(job.settings, micro_batch=micro)))
        training.thaw(0)
        images, targets = training.batches[0, 0]
        inputs = (images, *training.table.of(training.batches.chosen(0, 0)))
        training.backward(training.model, inputs, lambda logits, at: training.loss(logits, targets[at]), True)
        assert training.table.taken is not None
        weight = training.table.taken.layers.get_parameter("0.weight")
        assert weight.grad is not None
        return weight.grad

    whole, parts = gradient(None), gradient(4)
    assert whole.abs().sum() > 0 and torch.allclose(whole, parts, atol=1e-6)


def test_rows_are_mixed_as_images_are() -> None:
    rows = torch.tensor([[0.0, 1.0], [1.0, 0.0], [4.0, 4.0]])
    (mixed,) = mixed_rows((rows,), 0.75)
    assert torch.allclose(mixed, 0.75 * rows + 0.25 * rows.roll(1, 0))
    assert mixed_rows((rows,), 1.0)[0] is rows and mixed_rows((), 0.5) == ()


def test_pseudo_labels_come_with_the_rows_of_their_test_images(tmp_path: Path) -> None:
    data = both_needed()
    assert data.test_table is not None
    taught = tmp_path / "taught.npy"
    write_probabilities(taught, [np.full((8, 2), 0.5, np.float32)], (8, 2), np.float16)
    job = job_of(tmp_path, "pseudo.rounds=1", "pseudo.confidence=0", "augment.flip=none")
    batch = Teacher(data, taught, job.recipe, 0, CPU, (0, 1, 2)).batch(0, 0)
    assert batch.table is not None and batch.share == 1
    for image, row in zip(batch.images, batch.table, strict=True):
        at = next(at for at, one in enumerate(data.test_images) if np.array_equal(one, image.permute(1, 2, 0).numpy()))
        assert np.array_equal(row.numpy(), data.test_table[at], equal_nan=True)
    result = fit_fold(replace(job, teacher=taught))
    assert all(np.isfinite(line["loss"]) for line in result.history)
