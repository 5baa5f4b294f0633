"""A competition that trains in milliseconds: 8x8 pictures in three colours, each colour a class."""

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from toolkit import (
    Accuracy,
    Augment,
    Classification,
    Competition,
    Dataset,
    Model,
    Network,
    Npz,
    Prediction,
    Project,
    Recipe,
    Rules,
    Run,
    Schedule,
    Suggesting,
    UserError,
    Workspace,
    classifier,
)
from toolkit.blending.blend_folder import Blend
from toolkit.data.data_folder import save_dataset
from toolkit.data.labelled import Labelled
from toolkit.data.loading import load as load_raw
from toolkit.probabilities import write_probabilities
from toolkit.progress import SILENT, Progress
from toolkit.recipe import override, to_dict
from toolkit.scoring.out_of_fold import score
from toolkit.store import write_json, write_manifest
from toolkit.training.jobs import FoldJob

TASK = Classification(classes=("red", "green", "blue"), image_shape=(8, 8, 3))
FIRST = Recipe(
    name="first",
    model=Model(name="tiny", dropout=0.5),
    augment=Augment(mixup=0.3, cutmix=0.3),
    schedule=Schedule(epochs=4, ema=0.9),
    batch_size=8,
    precision="float32",  # measured settings could differ from one workspace to the next
)


def practice(folder: Path, seed: int, size: int) -> None:
    for name, number in (("raw/data.npz", size), ("truth/truth.npz", size // 4)):
        rng = np.random.default_rng([seed, number])
        targets = np.arange(number) % 3
        images = rng.integers(100, 200, size=(number, 8, 8, 3))
        images[np.arange(number), :, :, targets] += 8
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.savez(folder / name, images=images.astype(np.uint8), targets=targets)
    np.save(folder / "raw" / "test.npy", images.astype(np.uint8))


def load(folder: Path) -> Dataset:
    """Rows 3k to 3k + 2 are one group."""
    file = Npz(folder / "data.npz")
    rows = np.arange(len(file["targets"]))
    return Dataset(file["images"], file["targets"], rows, rows // 3, np.load(folder / "test.npy"))


def build_model(recipe: Recipe) -> nn.Module:
    if recipe.model.name == "vit":
        return classifier("test_vit", recipe.model, 3, 3)
    backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    head = nn.Sequential(nn.Dropout(recipe.model.dropout), nn.Linear(8, 3))
    body = nn.Sequential(OrderedDict(backbone=backbone, head=head))
    return Network(body, "backbone", (0.5,) * 3, (0.25,) * 3)


def suggest(trial: Suggesting) -> Recipe:
    return replace(
        FIRST,
        batch_size=trial.suggest_categorical("batch_size", [8, 16]),
        model=replace(FIRST.model, dropout=trial.suggest_float("model.dropout", 0, 0.5, step=0.25)),
        optimizer=replace(FIRST.optimizer, lr=trial.suggest_float("optimizer.lr", 1e-4, 1e-1, log=True)),
    )


def write_submission(prediction: Prediction, path: Path) -> None:
    path.write_text("\n".join(map(str, prediction.labels)))


def read_submission(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    if not path.exists():
        raise UserError(f"{path} does not exist")
    return np.array(path.read_text().split(), np.uint8)


competition = Competition(
    name="tiny",
    task=TASK,
    metric=Accuracy(),
    rules=Rules(unlabelled_test_images=False),  # what they look like is found out in a second: `looking` alone does
    load=load,
    build_model=build_model,
    recipes={recipe.name: recipe for recipe in (FIRST, replace(FIRST, name="second", seed=1, batch_size=16))},
    write_submission=write_submission,
    read_submission=read_submission,
    submission_suffix=".txt",
    practice=practice,
    practice_size=72,
    folder=Path(__file__).parent,
    suggest=suggest,
)
looking = replace(competition, rules=Rules())  # may look at its test images, and learn from them


def labelled(
    targets: np.ndarray,
    fold: np.ndarray,
    *,
    of: Competition = competition,
    root: Path = Path("nowhere"),
    images: np.ndarray | None = None,
    group: np.ndarray | None = None,
    test_images: np.ndarray | None = None,
) -> Labelled:
    """As if loaded and split: images are black and groups of one where none are given; row n is n in the raw file."""
    rows = np.arange(len(targets))
    images = np.zeros((len(rows), *of.task.image_shape), np.uint8) if images is None else images
    test_images = images[:0] if test_images is None else test_images
    return Labelled(
        competition=of,
        workspace=Workspace(root, of.name),
        images=images,
        truth=targets,
        targets=targets,
        trained=np.ones(len(rows), bool),
        ids=rows,
        test_images=test_images,
        fold=fold,
        group=rows if group is None else group,
        relabels=np.empty((0, 2), np.int64),
        data_hash="data",
        folds_hash="folds",
        test_ids=np.arange(len(test_images)),
        names=rows.astype(str),
    )


def arrays(of: Competition, folder: Path) -> Dataset:
    """What a competition loads whose images are no files."""
    found = of.load(folder)
    assert isinstance(found, Dataset)
    return found


def make_job(root: Path, *assignments: str, data: Dataset | None = None, fold: int = 0, **more: Any) -> FoldJob:
    """The first recipe on 48 samples, 24 others validated; data and the fold's folder lie below `root`."""
    if data is None:
        practice(root, 0, 72)
        data = load(root / "raw")
    if not (root / "data").exists():
        save_dataset(data, root / "data", "")
    return FoldJob(
        competition=competition.folder,
        data=root / "data",
        recipe=override(FIRST, assignments),
        fold=fold,
        train_rows=np.arange(48),
        train_groups=data.groups[:48],
        valid_rows=np.arange(48, 72),
        folder=root / f"fold_{fold}",
        **more,
    )


class Heard(Progress):
    """Keeps what is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    warn = say

    def __str__(self) -> str:
        return "\n".join(self.lines)


def project(root: Path, of: Competition = competition, **more: Any) -> Project:
    """Practice data of the tiny competition below `root`, silent."""
    made: dict[str, Any] = {"workspace": root, "submissions": root / "submissions", "progress": SILENT, **more}
    return Project(of, practice=True, **made)


def prepare(root: Path, folds: int = 3, holdout: float | str | None = None, **more: Any) -> Project:
    """Practice data, loaded and split."""
    made = project(root, **more)
    load_raw(made.competition, made.workspace, made.raw)
    made.folds(folds, holdout=holdout, again=True)
    return made


def copy_to_test(root: Path, number: int) -> None:
    """The first test images become the first training images, in the practice data of `looking`."""
    raw = project(root, looking).raw
    tests = np.load(raw / "test.npy")
    tests[:number] = Npz(raw / "data.npz")["images"][:number]
    np.save(raw / "test.npy", tests)


def train(root: Path, *assignments: str, recipe: str | None = None, stress: str = "auto", **more: Any) -> Run:
    """A finished run; assignments: fields such as `schedule.epochs=2`."""
    made = project(root, **more)
    return made.train(made.choose_recipe(recipe, assignments), stress=stress)


def leave_run(run: Run, recipe: Recipe, oof: np.ndarray, kind: type = np.float16, stress: Any = None) -> None:
    """As a training leaves it, but for weights: the recipe, what is predicted out of fold (N, C, ...), its scores."""
    write_json(run.recipe_path, to_dict(recipe))
    write_probabilities(run.oof_path, [oof], oof.shape, kind)
    clean = score(run.labelled, run.oof)
    metric = run.labelled.competition.metric.name
    write_json(run.metrics_path, {"metric": metric, "clean": clean, "stress": stress, "matched": None})
    made_from = {"data": run.labelled.data_hash, "folds": run.labelled.folds_hash}
    write_manifest(run.folder, {"recipe": recipe.hash, **made_from, "seed": recipe.seed, "complete": True})


def blend(root: Path, *runs: str) -> Blend:
    """Runs and their plain mean, chosen, made by hand in a moment: the probabilities are drawn, the weights empty."""
    labelled = prepare(root).labelled()
    made, rng = Blend(labelled.workspace.ensemble / "mean", labelled), np.random.default_rng(0)
    for name in runs:
        run = made.run(name)
        write_json(run.recipe_path, to_dict(FIRST))
        for fold in run.folds:
            fold.folder.mkdir(exist_ok=True)
            fold.weights.touch()
    for path, count in ((made.oof_path, len(labelled.images)), (made.test_path, len(labelled.test_images))):
        values = rng.dirichlet(np.ones(3), count)
        write_probabilities(path, [values], values.shape, np.float16)
    shares = {"runs": dict.fromkeys(runs, 1 / len(runs)), "biases": None}
    write_json(made.description_path, shares | {"folds": [shares] * labelled.folds})
    score = {"score": 0.61, "low": 0.58, "high": 0.64, "by_fold": [0.6, 0.62, 0.61]}
    write_json(made.metrics_path, {"clean": score, "stress": None})
    inputs = {"data": labelled.data_hash, "folds": labelled.folds_hash}
    write_manifest(made.folder, {"runs": dict.fromkeys(runs, inputs)})
    return made
