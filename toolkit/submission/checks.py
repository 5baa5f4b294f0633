"""What a submission is made from, and whether the file that was made is it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from toolkit.blending.view_choice import read_choice
from toolkit.competition import Competition, Member, Prediction
from toolkit.data.dataset import open_dataset, relabel
from toolkit.data.folds import read_folds, relabels
from toolkit.errors import UserError
from toolkit.networks.devices import resolve_device
from toolkit.networks.network import load_network
from toolkit.networks.views import predict_views
from toolkit.probabilities import chunks, open_probabilities, probabilities
from toolkit.recipe import from_dict
from toolkit.scoring.out_of_fold import score
from toolkit.store import Workspace, read_json
from toolkit.submission.readers import compare_with_sample, suspicions

TIE = 1e-4  # two classes whose probabilities differ by less may fall either way in the last bit


def blend_prediction(
    competition: Competition, workspace: Workspace, blend: Path, images: int, device: str, half: bool = False
) -> Prediction:
    """What a submission of the blend in `blend` is made from.

    images: on how many training images a code submission is going to be compared; 0 where it won't be, and
    then nothing is predicted. Raises UserError where code would have to average views in another space than that
    of probabilities.
    """
    dataset = open_dataset(workspace.data)
    described, choice = read_json(blend / "blend.json"), read_choice(blend)
    members = blend_members(workspace, described["runs"])
    views, weights = (choice.views, choice.weights) if choice else (("identity",), None)
    if len(dataset.test_images) and competition.try_submission is None:
        stored = open_probabilities(blend / "test.npy")
        labels = np.concatenate([competition.decode(probabilities(stored[at])) for at in chunks(len(stored))])
        return Prediction(dataset.test_images, labels, members, views, view_weights=weights)
    if choice and choice.space != "probability":
        raise UserError(
            f"{blend} averages views in the space {choice.space}, a code submission can only average probabilities; "
            "choose the views again in that space"
        )
    rows = np.linspace(0, len(dataset.images) - 1, min(images, len(dataset.images))).astype(int)
    biases = None if described["biases"] is None else tuple(described["biases"])
    if not images:
        return Prediction(dataset.images[rows], np.zeros(0, np.uint8), members, views, biases, half, None, weights)
    return predicted(
        competition, dataset.images[rows], members, device, views, biases=biases, half=half, view_weights=weights
    )


def blend_members(workspace: Workspace, runs: dict[str, float]) -> tuple[Member, ...]:
    """The networks of runs that have a share, fold by fold; UserError where their weights are gone."""
    members = []
    for name, share in runs.items():
        if not share:
            continue
        run = workspace.train / name
        recipe = from_dict(read_json(run / "recipe.json"))
        weights = sorted(run.glob("fold_*/weights.safetensors"))
        if not weights:
            raise UserError(f"{run} holds no weights any more; train {recipe.name} again and blend")
        members += [Member(recipe, path, share / len(weights)) for path in weights]
    return tuple(members)


def predicted(
    competition: Competition,
    images: np.ndarray,
    members: tuple[Member, ...],
    device_name: str,
    views: tuple[str, ...] = ("identity",),
    biases: tuple[float, ...] | None = None,
    half: bool = False,
    view_weights: tuple[float, ...] | None = None,
) -> Prediction:
    """The labels that the pipeline's own networks give to images uint8 (N, H, W, C), and their margins."""
    device = resolve_device(device_name)
    total: Any = 0.0
    for member in members:
        network = _network(competition, member, device, half)
        part = predict_views(network, images, competition.scored, device, "float32", views, view_weights)
        total = total + member.share * part
    if biases is not None:
        total = total * np.exp(np.array(biases, np.float32))
    ranked = np.sort(total, axis=1)
    margins = ranked[:, -1] - ranked[:, -2]
    return Prediction(images, competition.decode(total), members, views, biases, half, margins, view_weights)


def _network(competition: Competition, member: Member, device: torch.device, half: bool) -> nn.Module:
    network = load_network(competition, member.recipe, member.weights, device)
    if half:
        for parameter in network.parameters():
            parameter.data = parameter.data.half().float()
    return network


def score_again(competition: Competition, workspace: Workspace, blend: Path, device_name: str, half: bool) -> float:
    """The blend's out-of-fold score in float32, as a server predicts; half: with parameters rounded to float16."""
    dataset, table, device = open_dataset(workspace.data), read_folds(workspace), resolve_device(device_name)
    fold = table["fold"].to_numpy()
    total = np.zeros((len(dataset.images), len(competition.task.classes), *dataset.targets.shape[1:]), np.float32)
    choice = read_choice(blend)
    for k, fitted in enumerate(read_json(blend / "blend.json")["folds"]):  # each scored as it was when cross-fitted
        rows = np.flatnonzero(fold == k)
        views = choice.by_fold[k] if choice else {"identity": 1.0}
        for member in blend_members(workspace, fitted["runs"]):
            if member.weights.parent.name == f"fold_{k}":
                network = _network(competition, member, device, half)
                part = predict_views(
                    network,
                    dataset.images[rows],
                    competition.scored,
                    device,
                    "float32",
                    tuple(views),
                    tuple(views.values()),
                )
                total[rows] += member.share * part
        if fitted["biases"] is not None:
            total[rows] *= np.exp(np.array(fitted["biases"], np.float32))
    return float(score(competition, relabel(dataset.targets, relabels(table)), table, total)["score"])


def check_submission(
    competition: Competition, prediction: Prediction, path: Path, sample: Path, expected: np.ndarray
) -> tuple[dict[str, Any], list[str]]:
    """Figures for the ledger, and doubts to be spoken out.

    sample: the organisers' sample submission, if the file exists; expected: how often each class is predicted
    out of fold, int64 (C,). Raises UserError where the organisers would refuse the file, or it isn't the blend.
    """
    competition.rules.check_size(path)
    figures: dict[str, Any] = {}
    if competition.try_submission is not None:
        trial = competition.try_submission(path, prediction.images)
        labels = trial.labels
        figures = {"seconds": round(trial.seconds, 2), "peak_bytes": trial.peak_bytes, "network": trial.network}
    else:
        labels = competition.read_submission(path, prediction.images)
        if compares(competition, sample):
            compare_with_sample(path, sample)
    if labels.shape != prediction.labels.shape:
        raise UserError(f"read back, the submission has shape {labels.shape}, expected {prediction.labels.shape}")
    differs = labels != prediction.labels
    ties = np.zeros_like(differs) if prediction.margins is None else differs & (prediction.margins < TIE)
    wrong = int((differs & ~ties).sum())
    if wrong:
        raise UserError(
            f"read back, the submission differs from the blend in {wrong:,} of {labels.size:,} labels "
            f"(and in {int(ties.sum()):,} ties)"
        )
    figures |= {
        "checked": labels.size,
        "agreement": 1 - float(differs.mean()) if labels.size else 1.0,
        "ties": int(ties.sum()),
    }
    classes = competition.task.classes
    return figures, suspicions(np.bincount(labels.ravel(), minlength=len(classes)), expected, classes)


def compares(competition: Competition, sample: Path) -> bool:
    """Is the submission a CSV that can be held against the organisers' sample?"""
    return competition.submission_suffix == ".csv" and sample.exists()


def oof_counts(competition: Competition, oof: Path) -> np.ndarray:
    """How often each class is predicted out of fold, int64 (C,)."""
    stored = open_probabilities(oof)
    counts = np.zeros(len(competition.task.classes), np.int64)
    for at in chunks(len(stored)):
        part = probabilities(stored[at])
        part = part[part.reshape(len(part), -1).any(1)]  # a sample that is left out has no prediction
        counts += np.bincount(competition.decode(part).ravel(), minlength=len(counts))
    return counts
