"""Pictures of 8x8 of one of very many classes, a few of each: some have a single one.

MANY_CLASSES says how many there are (20,000), MANY_METRIC by what they are scored (`macro F1`, `accuracy`, `MAP` or
`log loss`), MANY_TEST how many test images there are: processes that train read them too.
"""

import os
from pathlib import Path

import numpy as np
from torch import nn

from toolkit import (
    MAP,
    Accuracy,
    Augment,
    Classification,
    Competition,
    Dataset,
    LogLoss,
    Loss,
    MacroF1,
    Model,
    Npz,
    Optimizer,
    Prediction,
    Recipe,
    Rules,
    Schedule,
    from_scratch,
    read_columns,
    read_labels,
    read_lists,
    write_columns,
    write_csv,
    write_lists,
)

CLASSES = int(os.environ.get("MANY_CLASSES", "20000"))
TEST = int(os.environ.get("MANY_TEST", "2000"))
SHAPE = (8, 8, 3)
TASK = Classification(tuple(f"c{at:05}" for at in range(CLASSES)), SHAPE)
METRIC = {"macro F1": MacroF1(), "accuracy": Accuracy(), "MAP": MAP(), "log loss": LogLoss()}[
    os.environ.get("MANY_METRIC", "macro F1")
]
NOISE = 30.0
FIRST = Recipe(
    name="first",
    model=Model(name="small"),
    augment=Augment(flip="none"),
    optimizer=Optimizer(lr=1e-2),
    schedule=Schedule(epochs=4, ema=0.0),
    loss=Loss(names=("cross_entropy",)),
    batch_size=256,
    precision="float32",
)


def pictures(classes: np.ndarray, seed: int) -> np.ndarray:
    """uint8 (n, 8, 8, 3): a pattern of their class, and noise."""
    patterns = np.random.default_rng(0).normal(128, 40, (CLASSES, 4, 4, 3)).astype(np.float32)
    rng, made = np.random.default_rng(seed), np.empty((len(classes), *SHAPE), np.uint8)
    for start in range(0, len(classes), 1000):
        at = slice(start, start + 1000)
        large = patterns[classes[at]].repeat(2, axis=1).repeat(2, axis=2)
        made[at] = np.clip(np.rint(large + rng.normal(0, NOISE, large.shape)), 0, 255)
    return made


def drawn(rng: np.random.Generator, size: int) -> np.ndarray:
    """Classes int64 (size,): each has one at least, the others fall by a power of their rank."""
    chances = 1 / np.arange(3, CLASSES + 3) ** 0.5
    more = rng.choice(CLASSES, max(size - CLASSES, 0), p=chances / chances.sum())
    return rng.permutation(np.concatenate([np.arange(CLASSES), more]))


def practice(folder: Path, seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    classes, others = drawn(rng, size), rng.integers(0, CLASSES, TEST)
    tests = pictures(others, seed + 2)
    (folder / "raw").mkdir()
    np.savez(folder / "raw" / "all.npz", images=pictures(classes, seed + 1), classes=classes, tests=tests)
    (folder / "truth").mkdir()
    np.savez(folder / "truth" / "truth.npz", targets=others)


def load(folder: Path) -> Dataset:
    file = Npz(folder / "all.npz")
    rows = np.arange(len(file["classes"]))
    return Dataset(file["images"], file["classes"], rows, rows, file["tests"])


def build_model(recipe: Recipe) -> nn.Module:
    body = nn.Sequential(nn.Flatten(), nn.Linear(192, 96), nn.BatchNorm1d(96), nn.ReLU(), nn.Linear(96, CLASSES))
    return from_scratch(body, recipe.model, 3, 1)


def write_submission(prediction: Prediction, path: Path) -> None:
    if METRIC.needs == "labels":
        write_csv(path, {"id": prediction.ids, "label": prediction.names})
    elif METRIC.needs == "lists":
        write_lists(path, prediction.ids, prediction.answer, TASK.classes)
    else:
        write_columns(path, prediction.ids, prediction.answer, TASK.classes)


def read_submission(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    if METRIC.needs == "labels":
        return read_labels(path, ids, TASK.classes)
    return read_lists(path, ids, TASK.classes, 5) if METRIC.needs == "lists" else read_columns(path, ids, TASK.classes)


competition = Competition(
    name="many_classes",
    task=TASK,
    metric=METRIC,
    rules=Rules(unlabelled_test_images=False),
    load=load,
    build_model=build_model,
    recipes={"first": FIRST},
    write_submission=write_submission,
    read_submission=read_submission,
    submission_suffix=".csv",
    practice=practice,
    practice_size=5 * CLASSES,
    symmetries="none",
    folder=Path(__file__).parent,
)
