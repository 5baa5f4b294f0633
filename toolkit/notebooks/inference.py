"""What a notebook does on Kaggle: test images as they lie there, through a bundle's networks, to a submission.

The same code reads, fits, averages, decides and writes as at home. What Kaggle's machine lacks isn't imported here.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from toolkit.answers import Prediction
from toolkit.blending.candidates import Candidate, SeedGroups, make_seed_groups
from toolkit.blending.described import FINAL, decisions_of, final_solution
from toolkit.blending.solution import mixed
from toolkit.blending.stored_views import averaged
from toolkit.blending.view_choice import ViewChoice
from toolkit.competition import Competition, load_competition
from toolkit.data.dataset import Dataset, Samples
from toolkit.data.loading import loaded
from toolkit.data.sample_submission import following, recognised
from toolkit.data.sizes import image_shape
from toolkit.errors import UserError
from toolkit.images.fitting import Fit
from toolkit.images.rows import Undecoded
from toolkit.networks.devices import resolve_device
from toolkit.networks.predict import BATCH, at_once
from toolkit.networks.tta import predict_views
from toolkit.outcome import duration
from toolkit.probabilities import as_stored, chunks, open_probabilities, value_type, write_probabilities
from toolkit.recipe import from_dict
from toolkit.store import read_json, write_json

FIGURES = "inference.json"  # what it took, beside the submission
TELL = 30.0  # seconds between two lines


def submit(bundle: Path, inputs: Path, out: Path) -> Path:
    """Write the submission of the folder of a bundle into `out`, for the test images that lie below `inputs`."""
    begun = time.monotonic()
    said = read_json(bundle / "bundle.json")
    competition = load_competition(bundle / said["competition"])
    folder = competition_folder(inputs, said["kaggle"], said["raw"])
    print(f"{competition.name}: {folder}", flush=True)
    data = loaded(competition, folder)
    dataset = data.as_dataset(folder) if isinstance(data, Samples) else data
    ids = np.arange(len(dataset.test_images)) if dataset.test_ids is None else dataset.test_ids
    if competition.follows_sample:
        competition = following(competition, recognised(competition, folder, ids))
    with tempfile.TemporaryDirectory() as scratch:
        stored = Path(scratch) / "test.npy"
        predicting = time.monotonic()
        _predict(competition, bundle, said, Tests(dataset, data), stored)
        figures = {"images": len(ids), "seconds": time.monotonic() - predicting}
        prediction = _prediction(competition, said, dataset, ids, open_probabilities(stored), folder)
        path = out / said["file"]
        written = Path(scratch) / path.name
        competition.write_submission(prediction, written)
        path.write_bytes(written.read_bytes())
    took = time.monotonic() - begun
    write_json(out / FIGURES, figures | {"seconds_besides": took - figures["seconds"]})
    print(f"{path.name} is written, after {duration(took)}", flush=True)
    return path


def competition_folder(inputs: Path, name: str, holds: list[str]) -> Path:
    """The organisers' folder: the one of that name that holds most of these files and folders, else any that has all.

    UserError where there is none.
    """
    named: list[tuple[int, Path]] = []
    level = [inputs]
    whole: Path | None = None
    while level:
        below: list[Path] = []
        for folder in level:
            entries = {one.name: one.is_dir() for one in os.scandir(folder)}
            found = sum(one in entries for one in holds)
            if name in folder.parts[len(inputs.parts) :] and found:
                named.append((-found, folder))
            if whole is None and holds and found == len(holds):
                whole = folder
            folders = [folder / one for one, is_folder in sorted(entries.items()) if is_folder]
            below += folders if len(folders) < 1000 else []
        if named:
            return min(named, key=lambda one: one[0])[1]
        level = below
    if whole is None:
        raise UserError(f"{inputs} has no folder {name} with {', '.join(holds)}: attach the competition's data")
    return whole


@dataclass(frozen=True)
class Tests:
    """The test images, at any size."""

    dataset: Dataset
    data: Dataset | Samples

    def __len__(self) -> int:
        return len(self.dataset.test_images)

    def at(self, shape: tuple[int, int, int], fit: Fit) -> Any:
        """(M, H, W, C), decoded as rows are asked for."""
        if isinstance(self.data, Dataset):
            return self.dataset.test_images
        files = self.data.files["test_images"]
        return Undecoded(files, (len(files), *shape), fit, np.zeros(0, np.int64))


def _predict(competition: Competition, bundle: Path, said: Mapping[str, Any], tests: Tests, path: Path) -> None:
    """The blend's values of all test images, as its own file holds them."""
    device, task = resolve_device("auto"), competition.task
    choice = ViewChoice(tuple(said["views"]["views"]), tuple(said["views"]["weights"]), 0.0, 0.0)
    quantiles = {} if said["quantiles"] is None else {FINAL: np.array(said["quantiles"])}
    solution = final_solution(said["blend"], quantiles, competition)
    of: Any = SimpleNamespace(competition=competition)
    runs = [_Run.opened(run, bundle, competition, tests, device) for run in said["runs"]]
    shape, number = (task.channels, *(task.image_shape[:2] if task.masks else ())), len(tests)
    largest = max((run.images for run in runs), key=lambda images: images.shape[1] * images.shape[2])

    def parts() -> Iterator[np.ndarray]:
        begun = told = time.monotonic()
        for at in chunks(number, largest.shape[1:3], at_once(largest, BATCH)):
            seen = [run.values(at, competition, choice, of, device) for run in runs]
            pool = SeedGroups(of, make_seed_groups(seen))
            yield mixed(pool, solution, "test", np.arange(at.stop - at.start))
            now = time.monotonic()
            if now - told > TELL or at.start == 0:
                told, took = now, now - begun
                left = duration(took / at.stop * (number - at.stop))
                print(f"{at.stop:,} of {number:,} images after {duration(took)}, {left} left", flush=True)

    write_probabilities(path, parts(), (number, *shape), _type(said["stored"], competition))


@dataclass(frozen=True)
class _Run:
    name: str
    seed_group: str
    stored: np.dtype
    images: Any
    networks: list[nn.Module]

    @classmethod
    def opened(
        cls, run: Mapping[str, Any], bundle: Path, competition: Competition, tests: Tests, device: torch.device
    ) -> "_Run":
        settings = from_dict(run["recipe"]).images
        images = tests.at(image_shape(settings, competition.task), settings.fit)
        networks: list[nn.Module] = [Exported(bundle / name, competition, device) for name in run["networks"]]
        return cls(run["name"], run["seed_group"], _type(run["stored"], competition), images, networks)

    def values(
        self, at: slice, competition: Competition, choice: ViewChoice, of: Any, device: torch.device
    ) -> Candidate:
        """What it says of some test images, as its own file would hold it."""
        images, seen = self.images[at], {}
        for view in choice.views:
            each = [
                predict_views(network, images, competition.scored, device, "float32", [view], gaps=True)
                for network in self.networks
            ]
            seen[view] = as_stored(np.mean(each, axis=0), self.stored)
        made = as_stored(np.concatenate(list(averaged(of, choice, seen))), self.stored)
        return Candidate(self.name, self.seed_group, made, made)


class Exported(nn.Module):
    """A network that was written as TorchScript, with what it knew of its task."""

    def __init__(self, path: Path, competition: Competition, device: torch.device) -> None:
        super().__init__()
        self.script = torch.jit.load(str(path), map_location=device).eval()
        task = competition.task
        self.outputs = task.outputs
        if task.masks:
            self.mask_size = task.image_shape[:2]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        said: torch.Tensor = self.script(images.float())
        return said


def _type(stored: str, competition: Competition) -> np.dtype:
    return value_type(competition.task) if stored == "top" else np.dtype(stored)


def _prediction(
    competition: Competition,
    said: Mapping[str, Any],
    dataset: Dataset,
    ids: np.ndarray,
    stored: np.ndarray,
    folder: Path,
) -> Prediction:
    return competition.prediction(dataset.test_images, ids, stored, decisions_of(said["blend"]), folder=folder)
