"""A competition tried in seconds, before anything is trained: its networks, its metric, its submission.

What was tried is remembered, and tried again where the code of it, the data or a recipe changed.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from toolkit.answers import Member, Prediction
from toolkit.competition import Competition
from toolkit.competition_code import code_of
from toolkit.data import rehearsal
from toolkit.data.data_folder import data_hash, open_dataset
from toolkit.data.image_sets import images_each, in_sets
from toolkit.data.labelled import Labelled
from toolkit.data.rehearsal import once
from toolkit.data.sample_submission import followed
from toolkit.data.sizes import image_shape
from toolkit.data.tables import Column
from toolkit.errors import UserError, said_by
from toolkit.networks.outputs import build_network, check_channels
from toolkit.networks.pretrained import NoWeightsError, files_of
from toolkit.networks.table import nothing_known
from toolkit.outcome import counted, duration
from toolkit.progress import Progress
from toolkit.recipe import Recipe
from toolkit.store import Workspace, hash_json, read_manifest

BATCH = 2  # images that a network is shown
SECONDS = 30.0  # after which no further network is tried
CODE = 8  # images that code is run on
WORTH_A_LINE = 0.5  # seconds


@dataclass(frozen=True)
class Beside:
    """What networks are given beside single images: a table with these columns; sets of images in place of each."""

    columns: tuple[Column, ...] = ()
    in_sets: bool = False

    def __str__(self) -> str:
        return "" if self == ALONE else ", as it is trained"


ALONE = Beside()


def try_networks(
    competition: Competition,
    recipes: Sequence[Recipe],
    workspace: Workspace,
    progress: Progress,
    seconds: float = SECONDS,
    beside: Beside = ALONE,
) -> list[Recipe]:
    """The recipes whose networks can be built and trained, shown a batch of drawn images; no data are needed.

    A line says why others can't; UserError where none can. Once one can and `seconds` are over, the rest are taken as
    they are: they are tried when their turn comes.
    """
    code = code_of(competition.build_model, competition.folder)
    good: list[Recipe] = []
    faults: dict[str, UserError] = {}  # by recipe
    begun, new = time.monotonic(), 0
    with progress.counting("trying networks", len(recipes)) as done:
        for recipe in recipes:
            done(1)
            if good and time.monotonic() - begun > seconds:
                good.append(recipe)
                continue
            try:
                competition.check(recipe)
                files = files_of(competition, recipe)
                known = [
                    code,
                    recipe.hash,
                    repr(competition.task),
                    str(torch.__version__),
                    *([files] if files else []),
                ]
                key = hash_json([*known, *([] if beside == ALONE else [repr(beside)])])
                what = f"{rehearsal.network(recipe)}{beside}"
                new += once(workspace, what, key, lambda: try_network(competition, recipe, beside))  # noqa: B023
                good.append(recipe)
            except UserError as error:
                faults[recipe.name] = error
    if not good:
        raise next(iter(faults.values()))
    for text in told_together(faults):
        progress.warn(text)
    _tell(progress, "networks" if len(good) > 1 else "network", new, begun)
    return good


def told_together(faults: Mapping[str, UserError]) -> list[str]:
    """A sentence for each fault by recipe, but one for all that lack their weights for the same reason."""
    lacking: dict[str, dict[str, str]] = {}
    for name, one in faults.items():
        if isinstance(one, NoWeightsError):
            lacking.setdefault(one.why, {})[name] = one.of
    grouped = {why: of for why, of in lacking.items() if len(of) > 1}
    told = [
        f"{name} can't be trained: {one}"
        for name, one in faults.items()
        if not (isinstance(one, NoWeightsError) and one.why in grouped)
    ]
    for why, of in grouped.items():
        weights, how = ", ".join(dict.fromkeys(of.values())), "`--weights FOLDER` says where they lie"
        told.append(f"{', '.join(of)} can't be trained: the pretrained weights of {weights} {why}; {how}")
    return told


def try_beside(labelled: Labelled, recipes: Sequence[Recipe], progress: Progress) -> list[Recipe]:
    """`try_networks` once the data are known: where a table lies beside the images, or samples are sets of these,
    networks are built and shown what they are in training.
    """
    beside = Beside(labelled.columns, images_each(labelled.images) is not None)
    if beside == ALONE:
        return list(recipes)
    return try_networks(labelled.competition, recipes, labelled.workspace, progress, beside=beside)


def try_network(competition: Competition, recipe: Recipe, beside: Beside = ALONE) -> None:
    """Build the recipe's network and make one step of training without learning; UserError, one sentence."""
    device = torch.device("cpu")
    height, width, channels = image_shape(recipe.images, competition.task)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(competition, recipe, beside.columns, beside.in_sets)
        check_channels(network, recipe, competition.task, device, competition.folder)
        each = recipe.sets.drawn if beside.in_sets else 1
        number = min(BATCH, recipe.batch_size * (1 if beside.in_sets else recipe.sets.drawn))
        drawn = torch.randint(0, 256, (number, each * channels, height, width)).float()
        try:
            network.train()(*nothing_known(network, drawn)).float().square().mean().backward()
        except Exception as error:  # of code that isn't ours
            shown = f"{counted(number, 'set')} of {each}" if beside.in_sets else counted(number, "image")
            shown += f" of {height}x{width}"
            said = said_by(error, competition.folder)
            raise UserError(f"the network of recipe {recipe.name} can't be trained on {shown}: {said}") from error


def try_answers(competition: Competition, workspace: Workspace, recipe: Recipe | None, progress: Progress) -> None:
    """The metric on drawn predictions, and a submission of such, written and read back; UserError where one fails.

    recipe: whose network, untrained, a code submission is made of and run as the server would; None: it isn't tried.
    """
    competition = followed(competition, workspace)
    begun, data = time.monotonic(), data_hash(workspace.data)
    raw = Path((read_manifest(workspace.data) or {}).get("raw", ""))
    with progress.phase("trying the metric and a submission"):
        new = rehearsal.try_answers(competition, workspace, in_sets(open_dataset(workspace.data)), data, raw)
    if competition.try_submission is not None and recipe is not None:
        made_by = [rehearsal.made_by(competition), code_of(competition.build_model, competition.folder)]
        key = hash_json([*made_by, recipe.hash, data, competition.rules.submission_packages])
        with progress.phase("trying code as the server would run it"):
            new += once(
                workspace, "code", key, lambda: try_code(competition, recipe, open_dataset(workspace.data).images)
            )
    _tell(progress, "metric and submission", new, begun)


def try_code(competition: Competition, recipe: Recipe, images: np.ndarray) -> None:
    """Write a submission of the recipe's network, untrained, and run it; UserError where either fails."""
    network: nn.Module = build_network(competition, recipe)
    assert competition.try_submission is not None
    some = np.asarray(images[:CODE])
    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(scratch) / "run" / "fold_0" / "weights.safetensors"
        weights.parent.mkdir(parents=True)
        save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, weights)
        labels: Any = np.zeros(len(some), np.uint8)
        members = (Member(recipe, weights, 1.0),)
        prediction = Prediction(some, np.arange(len(some)), labels, members, task=competition.task)
        path = Path(scratch) / f"rehearsal{competition.submission_suffix}"
        try:
            competition.write_submission(prediction, path)
        except UserError:
            raise
        except Exception as error:  # of code that isn't ours
            said = said_by(error, competition.folder)
            raise UserError(f"{competition.name}'s write_submission fails on an untrained network: {said}") from error
        competition.rules.check_size(path)
        competition.try_submission(path, some)


def _tell(progress: Progress, what: str, new: int, begun: float) -> None:
    if new and (took := time.monotonic() - begun) >= WORTH_A_LINE:
        progress.say(f"tried before anything is trained, in {duration(took)}: {what}")
