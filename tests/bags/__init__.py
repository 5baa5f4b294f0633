"""Samples that are sets of 2 to 7 small images: in sick ones a single image shows a bright spot."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
from torch import nn

from toolkit import (
    Augment,
    Classification,
    Competition,
    Dataset,
    Model,
    Network,
    Npz,
    Optimizer,
    Prediction,
    Recipe,
    RocAuc,
    Schedule,
    read_columns,
    write_columns,
)

TASK = Classification(classes=("healthy", "sick"), image_shape=(12, 12, 1))
MOST = 7  # images of a set


def drawn(sets: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images uint8 (F, 12, 12, 1), the set of each (F,), and labels (sets,)."""
    counts = rng.integers(2, MOST + 1, sets)
    labels = rng.permutation(np.arange(sets) % 2)
    of = np.repeat(np.arange(sets), counts)
    images = rng.normal(90, 25, (len(of), 12, 12, 1))
    first = np.cumsum(counts) - counts
    for row in np.flatnonzero(labels):
        at = first[row] + rng.integers(counts[row])
        top, left = rng.integers(0, 8, 2)
        images[at, top : top + 4, left : left + 4] += 70
    return images.clip(1, 255).astype(np.uint8), of, labels


def practice(folder: Path, seed: int, size: int) -> None:
    for name, sets in (("raw/data.npz", size), ("truth/truth.npz", max(10, size // 4))):
        images, of, labels = drawn(sets, np.random.default_rng([seed, sets]))
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.savez(folder / name, images=images, sets=of, targets=labels)
    np.savez(folder / "raw" / "test.npz", images=images, sets=of)


def load(folder: Path) -> Dataset:
    file, tests = Npz(folder / "data.npz"), Npz(folder / "test.npz")
    rows = np.arange(len(file["targets"]))
    ids = np.array([f"patient {row}" for row in range(tests["sets"].max() + 1)])
    return Dataset(
        file["images"],
        file["targets"],
        rows,
        rows,
        tests["images"],
        ids,
        np.array([f"p{row}" for row in rows]),
        sets=file["sets"],
        test_sets=tests["sets"],
    )


def build_model(recipe: Recipe) -> nn.Module:
    backbone = nn.Sequential(
        nn.Conv2d(1, 8, 5),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 8),
        nn.ReLU(),
    )
    head = nn.Sequential(nn.Dropout(recipe.model.dropout), nn.Linear(8, 2))
    return Network(nn.Sequential(OrderedDict(backbone=backbone, head=head)), "backbone", (0.4,), (0.2,))


FIRST = Recipe(
    name="first",
    model=Model(name="tiny", dropout=0.0),
    augment=Augment(),
    optimizer=Optimizer(lr=3e-3),
    schedule=Schedule(epochs=20, ema=0.9),
    batch_size=16,
    precision="float32",
)


def write_submission(prediction: Prediction, path: Path) -> None:
    write_columns(path, prediction.ids, prediction.values[:, 1], ("sick",))


def read_submission(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    given = read_columns(path, ids, ("sick",), low=0, high=1)[:, 0]
    return np.stack([1 - given, given], 1)


competition = Competition(
    name="bags",
    task=TASK,
    metric=RocAuc(),
    load=load,
    build_model=build_model,
    recipes={"first": FIRST},
    write_submission=write_submission,
    read_submission=read_submission,
    submission_suffix=".csv",
    practice=practice,
    practice_size=120,
    folder=Path(__file__).parent,
    symmetries="both",
)
