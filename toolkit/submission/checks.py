"""What a submission is made from, and whether the file that was made is it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from toolkit.answers import Member, Prediction, differences, lead, misfit
from toolkit.blending.blend_folder import Blend
from toolkit.checked import checked
from toolkit.competition import Competition
from toolkit.data.known_answers import KnownAnswers
from toolkit.data.placed import placed_prediction
from toolkit.data.sample_submission import compared, recognised
from toolkit.errors import UserError, others_code
from toolkit.formats.sample_file import USUAL, samples_in
from toolkit.networks.adapted import adapt
from toolkit.networks.devices import resolve_device
from toolkit.networks.network import load_network
from toolkit.networks.tta import predict_views
from toolkit.outcome import Warned
from toolkit.probabilities import chunks, probabilities
from toolkit.runs import Boosted
from toolkit.scoring.out_of_fold import score
from toolkit.submission.doubts import Said, doubts, parts_of, said

TIE = 1e-4  # two classes whose probabilities differ by less may fall either way in the last bit


def blend_prediction(
    blend: Blend,
    images: int,
    device: str,
    half: bool = False,
    known: KnownAnswers | None = None,
    folder: Path | None = None,
) -> Prediction:
    """What a submission of the blend is made from.

    images: on how many training images a code submission is going to be compared; 0 where it won't be, and
    then nothing is predicted. known: answers that a submission of a file gives in place of the blend's; folder: of the
    organisers' files. Raises UserError where weights of its networks are gone.
    """
    labelled, choice, stored = blend.labelled, blend.views, blend.test
    competition, members = labelled.competition, blend_members(blend)
    views, weights = (choice.views, choice.weights) if choice else (("identity",), None)
    if stored is not None and competition.try_submission is None:
        given = None if known is None else (known.rows, known.targets)
        more: dict[str, Any] = {"members": members, "views": views, "view_weights": weights, "folder": folder}
        test, decisions = (labelled.test_images, labelled.test_ids), blend.decisions
        if labelled.test_places is not None:
            return placed_prediction(competition, *test, stored, labelled.test_places, decisions, **more)
        return competition.prediction(*test, stored, decisions, given, **more)
    if competition.try_submission is None:
        raise UserError(f"there are no test images of {competition.name}, so no file can be handed in")
    rows = np.linspace(0, len(labelled.images) - 1, min(images, len(labelled.images))).astype(int)
    some, ids, labels = labelled.images[rows], labelled.ids[rows], np.zeros(0, np.uint8)
    biases = blend.described["biases"]
    made = Prediction(some, ids, labels, members, views, biases and tuple(biases), half, view_weights=weights)
    return predicted(competition, made, device) if images else made


def blend_members(blend: Blend) -> tuple[Member, ...]:
    """The networks of runs that have a share, fold by fold; UserError where weights of one are gone, damaged, or
    others than were blended.
    """
    blend.check_runs()
    folds = len(blend.described["folds"])  # of the split that was blended, whatever it is by now
    members = []
    for run, share in ((blend.run(name), share) for name, share in blend.shares.items() if share):
        if isinstance(run, Boosted):  # trees are no networks; code, which is made of these, is given no table
            continue
        if not run.recipe_path.exists():
            raise UserError(f"{run.folder}, which was blended, is gone; run `compete ensemble` again")
        places = [run.fold(k) for k in range(folds)]
        weights = [checked(place.weights, place.remedy(place.weights)) for place in places]
        members += [Member(run.recipe, path, share / folds, blend.adapted.get(run.name, 0.0)) for path in weights]
    return tuple(members)


def predicted(competition: Competition, prediction: Prediction, device_name: str) -> Prediction:
    """With the labels that the pipeline's own networks give to its images, and their margins."""
    device = resolve_device(device_name)
    total: Any = 0.0
    for member in prediction.members:
        network = load_network(competition, member.recipe, member.weights, device)
        network = _rounded(network) if prediction.half else network
        adapt(network, prediction.images, member.adapt, device, "float32")
        part = predict_views(
            network,
            prediction.images,
            competition.scored,
            device,
            "float32",
            prediction.views,
            prediction.view_weights,
        )
        total = total + member.share * part
    if prediction.biases is not None:
        total = total * np.exp(np.array(prediction.biases, np.float32))
    return replace(prediction, labels=competition.decode(total), margins=lead(total))


def _rounded(network: nn.Module) -> nn.Module:
    """Its parameters as float16 holds them."""
    for parameter in network.parameters():
        parameter.data = parameter.data.half().float()
    return network


def score_again(blend: Blend, device_name: str, half: bool) -> float:
    """The blend's out-of-fold score in float32, as a server predicts; half: with parameters rounded to float16."""
    labelled, choice, device = blend.labelled, blend.views, resolve_device(device_name)
    scored = labelled.competition.scored
    total = np.zeros(labelled.probability_shape(len(labelled.images)), np.float32)
    for k, fitted in enumerate(blend.described["folds"]):  # each scored as it was when cross-fitted
        rows = labelled.rows(k)
        views = choice.by_fold[k] if choice else {"identity": 1.0}
        for name, share in fitted["runs"].items():
            if share:
                network = blend.run(name).network(k, device)
                network = _rounded(network) if half else network
                images, weights = labelled.images[rows], tuple(views.values())
                part = predict_views(network, images, scored, device, "float32", tuple(views), weights)
                total[rows] += share * part
        if fitted["biases"] is not None:
            total[rows] *= np.exp(np.array(fitted["biases"], np.float32))
    return float(score(labelled, total)["score"])


def check_submission(
    competition: Competition, prediction: Prediction, path: Path, raw: Path, expected: Said
) -> tuple[dict[str, Any], list[str | Warned]]:
    """Figures for the ledger, and what else there is to say.

    raw: the organisers' files, where their sample submission may lie; expected: what is said out of fold. Raises
    UserError where the organisers would refuse the file, or it isn't the blend.
    """
    competition.rules.check_size(path)
    figures: dict[str, Any] = {}
    remarks: list[str | Warned] = []
    if competition.try_submission is not None:
        ran = competition.try_submission(path, prediction.images)
        found, margins = ran.labels, prediction.margins
        figures = {"seconds": round(ran.seconds, 2), "peak_bytes": ran.peak_bytes, "network": ran.network}
    else:
        with others_code(f"{competition.name}'s read_submission fails on {path.name}", competition.folder):
            found, margins = competition.read_submission(path, prediction.read_with, prediction.ids), None
        _check_sample(competition, raw, prediction.ids)
        if not compared(competition, path, raw):
            remarks.append(f"no {USUAL} in {raw}, or no CSV is handed in: ids not checked against it")
    answer = prediction.answer
    if fault := misfit(found, answer):
        raise UserError(f"the submission {fault}")
    differs = differences(found, answer, competition.tolerance)
    ties = np.zeros_like(differs) if margins is None else differs & (margins < TIE)
    if (differs & ~ties).any():
        raise UserError(_difference(competition, prediction, found, differs, ties))
    number = _number(prediction)
    figures |= {
        "checked": number,
        "agreement": 1 - float(differs.sum() / number) if number else 1.0,
        "ties": int(ties.sum()),
    }
    return figures, [
        *remarks,
        *map(Warned, doubts(competition, said(competition, parts_of(found, competition.task)), expected)),
    ]


def _check_sample(competition: Competition, raw: Path, ids: np.ndarray) -> None:
    """UserError where the organisers' sample isn't the one that was read with the data, which was followed."""
    if competition.form is None or not samples_in(raw, competition.dialect.file):
        return
    now = recognised(competition, raw, ids)
    if now.stored() != competition.form.stored():
        raise UserError(
            f"{raw / now.sample} is another sample than when the files were read, which the submission follows; "
            "remove sample.json from the workspace and run `compete audit` again"
        )


def _number(prediction: Prediction) -> int:
    """Of what the answer says: labels, pixels, values."""
    return prediction.answer.size if prediction.sizes is None else int(prediction.sizes.prod(1).sum())


def _difference(
    competition: Competition, prediction: Prediction, found: np.ndarray, differs: np.ndarray, ties: np.ndarray
) -> str:
    wrong, answer, number = int((differs & ~ties).sum()), prediction.answer, _number(prediction)
    if prediction.decided is not None:
        what = "places of lists" if competition.metric.needs == "lists" else "labels"
        tied = f" (and in {int(ties.sum()):,} ties)"
        moved = ""
        if any(member.adapt for member in prediction.members):
            moved = (
                "; its networks adapt to the images that they predict (`member.adapt`): where the code that is handed "
                "in doesn't, blend by `compete ensemble … --adapt none`"
            )
        return f"read back, the submission differs from the blend in {wrong:,} of {number:,} {what}{tied}{moved}"
    place = tuple(np.argwhere(differs)[0].tolist())
    return (
        f"read back, the submission differs from the blend in {wrong:,} of {number:,} values: for "
        f"{prediction.ids[place[0]]} it says {found[place]:.6g}, the blend {answer[place]:.6g}; write more digits, or "
        f"set `tolerance` in {competition.folder / '__init__.py'} above {competition.tolerance:g}"
    )


def out_of_fold_said(blend: Blend) -> Said:
    """What the blend says of the samples that it predicts out of fold, each by its fold's decisions.

    Those that are handed in belong to the runs that are: in a fold others may be blended, whose values lie elsewhere.
    """
    labelled, stored, decisions = blend.labelled, blend.oof, blend.fold_decisions
    if not blend.is_current:  # its folds were others, of another number perhaps
        decisions = [blend.decisions] * labelled.folds

    def parts() -> Iterator[np.ndarray]:
        for k in range(labelled.folds):
            rows = labelled.rows(k)
            for at in chunks(len(rows), stored.shape[2:]):
                yield labelled.competition.decide(probabilities(stored[rows[at]]), decisions[k])

    return said(labelled.competition, parts())
