"""A run: one recipe trained on all folds, as it lies in its folder."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.checked import train_again
from toolkit.data.data_folder import open_decoded
from toolkit.data.image_sets import like
from toolkit.data.labelled import Labelled
from toolkit.data.sizes import decoded
from toolkit.disk import bytes_in
from toolkit.errors import UserError
from toolkit.events import NAMES
from toolkit.frames import History, runs_table
from toolkit.images import rows
from toolkit.outcome import MENDED, RESIZED, Table, counted, duration, html, interval, mended, number, resized
from toolkit.predictions import Predictions
from toolkit.recipe import RECIPE, Chosen, Recipe, choices_in, read_recipe, stored_choice, to_dict
from toolkit.run_folds import RunFold
from toolkit.store import digest, hash_json, read_json, write_json

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from torch import nn

BOOSTED = "boosted.json"
BITS = "bits"  # in a run's manifest: names what it predicts out of fold, and its weights
SCORES = ("clean", "stress", "matched")  # kinds of a run's and a blend's scores, as in metrics.json


class Run(Predictions):
    """One recipe on all folds: what it was made from, what it predicts, how good it is.

    Its `manifest` has hashes of recipe, data and folds, `seed` and `complete`.
    """

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}{self.beside})"

    @property
    def recipe_path(self) -> Path:
        return self.folder / RECIPE

    @cached_property
    def recipe_fields(self) -> dict[str, Any]:
        """The recipe as it is stored, but for where it comes from: all that runs can differ in."""
        gone = f"remove {self.folder} and train it again"
        return {name: value for name, value in read_json(self.recipe_path, remedy=gone).items() if name != "chosen"}

    @property
    def alike(self) -> str:
        """The same for runs that differ in name or seed alone."""
        return hash_json({name: value for name, value in self.recipe_fields.items() if name not in ("name", "seed")})

    @cached_property
    def recipe(self) -> Recipe:
        return read_recipe(self.recipe_path)

    def store_recipe(self, recipe: Recipe) -> None:
        """Leave the recipe; the search that is known to have chosen it stays, where this one comes from none."""
        known = stored_choice(self.recipe_path) if recipe.chosen is None else recipe.chosen
        write_json(self.recipe_path, to_dict(replace(recipe, chosen=known)))
        choices_in.cache_clear()

    @property
    def chosen(self) -> Chosen | None:
        """The search that its recipe comes from, with as many of its trials as any run of the workspace tells of."""
        own = stored_choice(self.recipe_path)
        if own is None:
            return None
        others = (one.trials for _, one in _of_study(self.labelled, own.study))
        return replace(own, trials=max(own.trials, *others))

    @property
    def beside(self) -> str:
        """What is said beside its scores: among how many trials a search chose it; empty where none did."""
        return f", {self.chosen.words}" if self.chosen else ""

    @property
    def searched(self) -> bool:
        """Was it a trial of a search, or repeated by one?"""
        return any(self.folder.glob("fold_*/judged_*.npz"))

    @property
    def handicapped(self) -> bool:
        """Was it trained without what is like some corruptions, to see what training on them is worth?"""
        return bool(self.recipe_fields.get("augment", {}).get("leave_out"))

    @property
    def settings_path(self) -> Path:
        """How it is trained on this machine."""
        return self.folder / "settings.json"

    @property
    def log_path(self) -> Path:
        """The epochs of all folds as a table."""
        return self.folder / "log.csv"

    @property
    def picture(self) -> Path:
        """Its first batch, as the network sees it."""
        return self.folder / "augmented.png"

    @property
    def teacher_path(self) -> Path:
        """Hashes of what it was taught by."""
        return self.folder / "teacher.json"

    @property
    def families_path(self) -> Path:
        """Scores under corruptions that it was and was not trained on."""
        return self.folder / "families.json"

    @property
    def cost_path(self) -> Path:
        """Seconds an image takes, measured."""
        return self.folder / "cost.json"

    @property
    def stress_folder(self) -> Path:
        """What its stress score was made from."""
        return self.folder / "stress"

    @property
    def matched_folder(self) -> Path:
        """What its test-like score was made from."""
        return self.folder / "matched"

    @property
    def size(self) -> int:
        """Bytes that all of it takes on the disk."""
        return bytes_in(self.folder)

    def view_folder(self, view: str) -> Path:
        """Its predictions through a test-time view."""
        return self.folder / "views" / view

    def remedy(self, path: Path) -> str:
        return train_again(self.folder, remove=path if path.parent == self.folder else path.parent)

    @property
    def bits(self) -> str:
        """12 hex digits that name its out-of-fold predictions and its weights."""
        return hash_json([digest(path) for path in (self.oof_path, *self.weights)])

    @property
    def is_whole(self) -> bool:
        """Are its predictions, its scores and all weights there?"""
        there = self.oof_path.exists() and self.metrics_path.exists()
        return there and all(fold.finished and fold.weights.exists() for fold in self.folds)

    @property
    def is_of_present(self) -> bool:
        """Finished on the present data and folds."""
        done = self.manifest or {}
        return (done.get("data"), done.get("folds")) == (self.labelled.data_hash, self.labelled.folds_hash)

    @property
    def is_current(self) -> bool:
        """The same, and scored by the present metric."""
        path, competition = self.metrics_path, self.labelled.competition
        return self.is_of_present and competition.is_scored_by(read_json(path, remedy=self.remedy(path)))

    @cached_property
    def _own_images(self) -> "tuple[np.ndarray, np.ndarray]":
        labelled = self.labelled
        folder = decoded(labelled.workspace, self.recipe.images, labelled.competition.task)
        if folder is None:
            return labelled.images, labelled.test_images
        opened = open_decoded(labelled.workspace.data, folder)
        return like(opened["images"], labelled.images), like(opened["test_images"], labelled.test_images)

    @property
    def images(self) -> "np.ndarray":
        """The data's, uint8 (N, h, w, C), as its networks see them: at the recipe's own size."""
        return self._own_images[0]

    @property
    def test_images(self) -> "np.ndarray":
        """The same of the test images."""
        return self._own_images[1]

    def fold(self, number: int) -> RunFold:
        return RunFold(self.folder / f"fold_{number}")

    @property
    def folds(self) -> list[RunFold]:
        return [self.fold(number) for number in range(self.labelled.folds)]

    def oof_of(self, fold: int) -> Any:
        """What a fold predicts of its rows: its own file, or its part of all, where a run of masks is put together."""
        place = self.fold(fold)
        return place.oof if place.oof_path.exists() else rows.Chosen(self.oof, self.labelled.rows(fold))

    @property
    def history(self) -> History:
        """The epochs of each fold: loss, validation_loss, score, lr, seconds; as a table by `to_pandas`."""
        return History(fold.history for fold in self.folds)

    @property
    def seconds(self) -> float:
        """What training all folds took, one after the other."""
        return sum(fold.seconds for fold in self.folds)

    def weights_of(self, fold: int) -> Path:
        """A fold's trained weights, safetensors; UserError where they are gone."""
        path = self.fold(fold).weights
        if not path.exists():
            raise UserError(f"{path} is gone; {self.fold(fold).remedy(path)}")
        return path

    @property
    def weights(self) -> list[Path]:
        """Those of all folds."""
        return [self.weights_of(fold) for fold in range(self.labelled.folds)]

    def network(self, fold: int, device: "torch.device") -> "nn.Module":
        """The trained network of a fold, ready to predict."""
        from toolkit.networks.network import load_network

        path, of = self.weights_of(fold), self.labelled
        return load_network(of.competition, self.recipe, path, device, of.columns)

    def networks(self, device: "torch.device") -> "list[nn.Module]":
        """Those of all folds."""
        return [self.network(fold, device) for fold in range(self.labelled.folds)]

    def told(self) -> Sequence[str | Table]:
        """Scores with their 95 % intervals, and those of each class; what chose it stands in the title."""
        if not self.finished:
            return [f"{self.name}: not finished"]
        metrics, metric = self.metrics, self.labelled.competition.metric.name
        scores = [[f"{NAMES[kind]} score", interval(metrics[kind])] for kind in SCORES if metrics.get(kind)]
        clean = metrics["clean"]
        scores[1:1] = [[MENDED, text] for text in mended(clean)] + [[RESIZED, text] for text in resized(clean)]
        ends, known = clean["by_class_interval"], clean["by_class"].items()
        of_class = [[name, "-" if score is None else number(score), _ends(ends[name])] for name, score in known]
        tables = [Table(self.name + self.beside, ["", metric], scores)]
        title = f"the {len(of_class)} worst of {clean['classes']:,} classes" if "classes" in clean else "by class"
        return [*tables, Table(title, ["", NAMES["clean"], "95 % interval"], of_class)] if of_class else tables

    @property
    def next(self) -> Sequence[tuple[str, str]]:
        """What a run is good for, beside the others that are there."""
        others = len(current_runs(self.labelled)) - 1
        blend = ("compete ensemble", f"blends it with {counted(others, 'other run')}")
        submit = ("compete submit", "builds and checks a submission")
        search = ("compete search … --budget 1h", "looks for better recipes")
        report = ("compete report", "shows scores and mistakes on one page, and what to try next")
        searches = self.labelled.competition.suggest is not None
        return [*([blend] if others else [submit]), report, *([search] if searches and not others else [])]

    def as_json(self) -> dict[str, Any]:
        named = {"run": str(self.folder), "recipe": self.recipe.name}
        chosen = asdict(self.chosen) if self.chosen else None
        return {**named, "chosen": chosen, **{kind: self.metrics.get(kind) for kind in SCORES}}


class Boosted(Run):
    """Trees on the table beside the images and on what other runs, its sources, predict of these.

    It has no networks and no recipe of its own: what it is made of lies in `boosted.json`.
    """

    @property
    def recipe_path(self) -> Path:
        return self.folder / BOOSTED

    @cached_property
    def sources(self) -> list[Run]:
        """The runs whose values it takes."""
        return [Run(self.labelled.workspace.train / name, self.labelled) for name in self.recipe_fields["features"]]

    @cached_property
    def recipe(self) -> Recipe:
        """That of the first source, by which images and their views are chosen, under its own name."""
        return replace(self.sources[0].recipe, name=self.recipe_fields["name"])

    @property
    def chosen(self) -> Chosen | None:
        """The search that a source comes from."""
        return next((source.chosen for source in self.sources if source.chosen), None)

    def remedy(self, path: Path) -> str:
        return f"remove {self.folder} and run `compete boost` again"

    @property
    def is_current(self) -> bool:
        made_from = (self.manifest or {}).get("features", {})
        return super().is_current and all(source.manifest == made_from[source.name] for source in self.sources)

    @property
    def weights(self) -> list[Path]:
        """Those of its sources."""
        return [path for source in self.sources for path in source.weights]


def run_at(folder: Path, labelled: Labelled) -> Run:
    """The run that lies in a folder, of whichever kind."""
    return Boosted(folder, labelled) if (folder / BOOSTED).exists() else Run(folder, labelled)


class Runs(list[Run]):
    """Runs, the best first; a notebook shows their table."""

    def _repr_html_(self) -> str:
        rows = []
        for run in self:
            history, metrics = run.history, run.metrics
            scores = [interval(metrics[kind]) if metrics.get(kind) else "-" for kind in SCORES]
            rows.append([run.name + run.beside, f"{max(map(len, history))}", duration(run.seconds), *scores])
        return html([Table("", ["run", "epochs", "trained", *(NAMES[kind] for kind in SCORES)], rows)])

    def to_pandas(self) -> "pd.DataFrame":
        """A line a run: run and folder text; clean, stress and matched with the ends of their 95 % intervals, `…_low`
        and `…_high`, float64, NaN where not measured; epochs int64, the fewest of a fold; seconds float64; complete
        bool; then the fields of recipes that differ among them, such as `optimizer.lr`.
        """
        return runs_table(self)


def _ends(interval: Sequence[float] | None) -> str:
    return f"{number(interval[0])} to {number(interval[1])}" if interval else "-"


def all_runs(labelled: Labelled) -> list[Run]:
    """The finished runs of the workspace, by name, on whatever data and folds."""
    folders = sorted(labelled.workspace.train.glob("[!.]*/"))  # not what is half written, or half removed
    return [run for run in (run_at(folder, labelled) for folder in folders) if run.finished]


def current_runs(labelled: Labelled) -> list[Run]:
    """Those on the present data and folds, by name."""
    return [run for run in all_runs(labelled) if run.is_current]


def without_handicap(runs: Sequence[Run]) -> list[Run]:
    """Those that are meant to be handed in; all where none is."""
    return [run for run in runs if not run.handicapped] or list(runs)


def best_run(runs: Sequence[Run]) -> Run | None:
    """The one of the best clean score among those without a handicap; None where there is none."""
    return max(without_handicap(runs), key=lambda run: run.merit, default=None)


def _of_study(labelled: Labelled, study: str) -> list[tuple[Path, Chosen]]:
    train = labelled.workspace.train
    return choices_in(train, train.stat().st_mtime_ns).get(study, []) if train.exists() else []


def of_study(labelled: Labelled, study: str) -> list[tuple[Run, Chosen]]:
    """The runs that come from a search, finished or not, by name, and among how many trials each was chosen."""
    return [(Run(folder, labelled), chosen) for folder, chosen in _of_study(labelled, study)]
