"""What a notebook does on Kaggle: test images as they lie there, through a bundle's networks, to a submission.

The same code reads, fits, averages, decides and writes as at home. What Kaggle's machines lack isn't imported here:
networks are TorchScript, and nothing is fetched.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from toolkit.answers import Prediction
from toolkit.blending.candidates import Candidate, SeedGroups, make_seed_groups
from toolkit.blending.described import FINAL, decisions_of, final_solution
from toolkit.blending.solution import mixed
from toolkit.blending.stored_views import averaged
from toolkit.blending.view_choice import ViewChoice
from toolkit.competition import Competition, load_competition
from toolkit.data.placed import placed_prediction
from toolkit.data.sample_submission import following, recognised
from toolkit.data.sizes import image_shape
from toolkit.errors import UserError
from toolkit.formats.sample_format import SampleFormat
from toolkit.networks.devices import resolve_device
from toolkit.networks.predict import BATCH, at_once
from toolkit.networks.tta import predict_views
from toolkit.notebooks.exported import Exported
from toolkit.notebooks.hidden import Hidden, Size, competition_folder, read_parts
from toolkit.outcome import counted, duration
from toolkit.probabilities import as_stored, chunks, open_probabilities, value_type, write_probabilities
from toolkit.recipe import from_dict
from toolkit.store import read_json, write_others_json

FIGURES = "inference.json"  # what it took, beside the submission
TELL = 30.0  # seconds between two lines
SHOWN = 5  # images that can't be read


def submit(bundle: Path, inputs: Path, out: Path) -> Path:
    """Write the submission of the folder of a bundle into `out`, for the test images that lie below `inputs`.

    Its name is the bundle's `file`. UserError where the images or the submission's form aren't found.
    """
    begun = time.monotonic()
    said = read_json(bundle / "bundle.json")
    competition = load_competition(bundle / said["competition"])
    folder = competition_folder(inputs, said["kaggle"], said["raw"])
    tests = Hidden.opened(competition, folder, said["columns"])
    if competition.follows_sample:
        known = SampleFormat.of(said["form"], competition.task, competition.metric)
        competition = following(competition, recognised(competition, folder, tests.ids).as_written_in(known))
    device = resolve_device("auto")
    print(f"{competition.name}: {counted(len(tests), 'test sample')} in {folder}, on {device}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        predicting = time.monotonic()
        stored = _predict(competition, bundle, said, tests, device, Path(scratch) / "test.npy")
        predicted = time.monotonic() - predicting
        _tell_unread(tests)
        path = out / said["file"]
        written = Path(scratch) / path.name
        competition.write_submission(_prediction(competition, said, tests, stored, folder), written)
        shutil.copyfile(written, path)
    took = time.monotonic() - begun
    write_others_json(out / FIGURES, {"images": len(tests), "seconds": predicted, "seconds_besides": took - predicted})
    print(f"{path.name} is written, after {duration(took)}", flush=True)
    return path


@dataclass(frozen=True)
class _Run:
    """A run's networks, of all folds, and how what they say is kept."""

    name: str
    seed_group: str
    stored: np.dtype
    size: Size
    networks: list[Exported]

    @classmethod
    def opened(
        cls, run: Mapping[str, Any], bundle: Path, competition: Competition, device: torch.device, columns: int
    ) -> "_Run":
        recipe = from_dict(run["recipe"])
        size = image_shape(recipe.images, competition.task), recipe.images.fit
        networks = [
            Exported(bundle / one["file"], competition, device, columns if recipe.table.width else 0, one["pool"])
            for one in run["networks"]
        ]
        return cls(run["name"], run["seed_group"], _type(run["stored"], competition), size, networks)

    def values(
        self,
        images: Any,
        table: np.ndarray | None,
        competition: Competition,
        choice: ViewChoice,
        device: torch.device,
    ) -> Candidate:
        """What it says of some test images, as its own file would hold it."""
        seen = {}
        for view in choice.views:
            each = [
                predict_views(one, images, competition.scored, device, "float32", [view], gaps=True, table=table)
                for one in self.networks
            ]
            seen[view] = as_stored(np.mean(each, axis=0), self.stored)
        of: Any = SimpleNamespace(competition=competition)
        made = as_stored(np.concatenate(list(averaged(of, choice, seen))), self.stored)
        return Candidate(self.name, self.seed_group, made, made)


def _predict(
    competition: Competition, bundle: Path, said: Mapping[str, Any], tests: Hidden, device: torch.device, path: Path
) -> np.ndarray:
    """The blend's values of all test images, (M, channels, ...), as its own file holds them, in the file `path`."""
    task, choice = competition.task, ViewChoice(tuple(said["views"]), tuple(said["weights"]), 0.0, 0.0)
    quantiles = {} if said["quantiles"] is None else {FINAL: np.array(said["quantiles"])}
    solution = final_solution(said["blend"], quantiles, competition)
    of: Any = SimpleNamespace(competition=competition)
    runs = [_Run.opened(run, bundle, competition, device, len(said["columns"])) for run in said["runs"]]
    images = {size: tests.at(size) for size in dict.fromkeys(run.size for run in runs)}
    largest = max(images, key=lambda size: size[0][0] * size[0][1])
    number, together = len(tests), at_once(images[largest], BATCH)
    parts_of = list(chunks(number, largest[0][:2], together))

    def parts() -> Iterator[np.ndarray]:
        begun = told = time.monotonic()
        with ThreadPoolExecutor(1) as ahead:
            read = ahead.submit(read_parts, images, parts_of[0])
            for at, following in zip(parts_of, [*parts_of[1:], None], strict=True):
                part = read.result()
                if following is not None:
                    read = ahead.submit(read_parts, images, following)
                table = tests.table(at)
                seen = [run.values(part[run.size], table, competition, choice, device) for run in runs]
                pool = SeedGroups(of, make_seed_groups(seen))
                yield mixed(pool, solution, "test", np.arange(at.stop - at.start))
                now = time.monotonic()
                if now - told > TELL or at.start == 0:
                    told = now
                    left = duration((now - begun) / at.stop * (number - at.stop))
                    print(f"{at.stop:,} of {number:,} after {duration(now - begun)}, {left} left", flush=True)

    shape = (number, task.channels, *(task.image_shape[:2] if task.masks else ()))
    write_probabilities(path, parts(), shape, _type(said["stored"], competition))
    return open_probabilities(path)


def _type(stored: str, competition: Competition) -> np.dtype:
    return value_type(competition.task) if stored == "top" else np.dtype(stored)


def _tell_unread(tests: Hidden) -> None:
    """UserError where not one image could be read."""
    if not tests.unread:
        return
    first = "; ".join(tests.unread[row] for row in sorted(tests.unread)[:SHOWN])
    if len(tests.unread) == len(getattr(tests.dataset.test_images, "sets", tests.dataset.test_images)):
        raise UserError(f"not one test image can be read: {first}")
    print(f"{counted(len(tests.unread), 'test image')} can't be read and counted as black: {first}", flush=True)


def _prediction(
    competition: Competition, said: Mapping[str, Any], tests: Hidden, stored: np.ndarray, folder: Path
) -> Prediction:
    decisions, images = decisions_of(said["blend"]), tests.shown(competition.task.image_shape)
    if tests.places is not None:
        return placed_prediction(competition, images, tests.ids, stored, tests.places, decisions, folder=folder)
    return competition.prediction(images, tests.ids, stored, decisions, folder=folder)
