"""What corruptions do to the best run: by family with intervals, by kind and severity, and how they look."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from toolkit.data.image_sets import ImageSets
from toolkit.data.preview import find_preview
from toolkit.outcome import counted, number
from toolkit.pages.html import Block, Figure, Gallery, Heat, Interval, Section, Table, Words
from toolkit.pages.pictures import enlarged
from toolkit.probabilities import probabilities
from toolkit.reporting.commands import train_command
from toolkit.reporting.mask_pictures import layers, legend
from toolkit.reporting.weaknesses import TRAINED_BY
from toolkit.runs import Boosted, Run
from toolkit.scoring.corruption_families import FAMILIES, CorruptedScores, corrupted_scores
from toolkit.scoring.corruption_suite import corrupt_each
from toolkit.scoring.stress import read_evidence
from toolkit.scoring.stress_sampling import SEED, Evidence, cells_of
from toolkit.task import OverlappingMasks

ENOUGH = 30  # images below which a score is shown of more together
EXAMPLES, OF_MASKS = 3, 1  # pictures of a family, and of masks rows of four


def stress_section(run: Run) -> Section:
    """The score under corruptions, by family, kind and severity."""
    stress = run.metrics.get("stress")
    if not stress:
        how = "" if isinstance(run, Boosted) else f": `{train_command(run)}`"
        return Section("Corruptions", [], f"No stress score was measured for the best run{how}.")
    found = corrupted_scores(run)
    clean = run.metrics["clean"].get("resized") or run.metrics["clean"]  # at the size that stress is scored at
    as_they_are, under = (number(one) for one in (clean["score"], stress["score"]))
    sentences = [
        f"{run.name}{run.beside}: {as_they_are} on images as they are, {under} under corruptions, measured on "
        f"{counted(stress['triples'], 'corrupted image')} ({stress['share']:.2%} of all variants).",
        *_weakest(run, found),
    ]
    blocks: list[Block] = [Words(sentences)]
    if found is not None:
        blocks += [_families(run, found, clean), *_cells(stress, found, clean["score"]), *_examples(run, found)]
    else:
        rows = [[name, number(score)] for name, score in stress["by_family"].items() if score is not None]
        blocks.append(Table("Families", ("family", "score"), rows))
    return Section("Corruptions", blocks)


def _weakest(run: Run, found: CorruptedScores | None) -> list[str]:
    """Which families are surely the weakest, and what of the recipe trains on the first."""
    weakest = found.weakest if found else ()
    if not weakest:
        return ["No family is surely the weakest: their intervals overlap."] if found else []
    names = " and ".join(f"{one.name} {number(one.score, digits=3)}" for one in weakest)
    sentences = [f"Weakest under {names}, below all other families by their intervals."]
    group, _, leaf = TRAINED_BY[weakest[0].name][0].partition(".")
    value: Any = run.recipe_fields.get(group, {}).get(leaf)
    if value is not None:  # trees see no image
        sentences.append(f"`{group}.{leaf}`, which makes training images of that kind, is {value:g} in this recipe.")
    return sentences


def _families(run: Run, found: CorruptedScores, clean: Mapping[str, Any]) -> Table:
    """Each with its interval, and whether the recipe trains on it."""
    scores = [*found.families]
    least = min([clean["low"], *(one.low for one in scores)])
    most = max([clean["high"], *(one.high for one in scores)])
    augment = getattr(run.recipe, "augment", None) if run.recipe_fields.get("augment") else None
    trained = augment.families(run.labelled.competition.rgb) if augment else ()
    rows: list[list[str]] = [
        [
            one.name,
            number(one.score),
            Interval(one.low, one.score, one.high, least, most),
            number(one.score - clean["score"], "+"),
            f"{one.images:,}",
            "-" if one.name == "mixture" else "yes" if one.name in trained else "no",
        ]
        for one in scores
    ]
    columns = ("family", "score", "95 % interval", "vs clean", "images", "trained on")
    return Table("Families, the worst first", columns, rows, text=(0, 2, 5))


def _cells(stress: Mapping[str, Any], found: CorruptedScores, clean: float) -> list[Block]:
    """Each corruption at each severity, where that is not chance; those of few images are left empty."""
    counts = found.images
    cells = {
        name: [score if images[at] >= ENOUGH else None for at, score in enumerate(stress["cells"][name])]
        for name, images in counts.items()
    }
    numbers = np.array(list(counts.values()))
    if not any(score is not None for five in cells.values() for score in five):
        most = counted(int(numbers.max()), "image")
        return [Words([f"A single corruption at one severity has {most} at most, too few to be shown by itself."])]
    note = f"Of {numbers.min()} to {numbers.max()} images each; those of fewer than {ENOUGH} are left out."
    rows = [
        (name.replace("_", " "), FAMILIES[name], list(zip(five, counts[name], strict=True)))
        for name, five in cells.items()
        if any(score is not None for score in five)
    ]
    top = max(clean, *(score for five in cells.values() for score in five if score is not None), 1e-6)
    severities = [str(severity) for severity in range(1, numbers.shape[1] + 1)]
    return [Heat("Corruption and severity", "corruption \\ severity", severities, rows, top, note)]


def _examples(run: Run, found: CorruptedScores) -> list[Block]:
    """A few corrupted images of each family, with what is predicted of them; none where that isn't kept."""
    evidence = read_evidence(run)
    labelled = run.labelled
    if evidence is None or isinstance(labelled.images, ImageSets) or not _plain(run):
        return []
    families, each = [one.name for one in found.families], OF_MASKS if labelled.masks else EXAMPLES
    chosen = _chosen(evidence, list(found.images), families, each)
    if not len(chosen):
        return []
    figures = _figures(run, evidence, chosen, list(found.images))
    advice = "Corrupted validation images and what is predicted of them, a few of each family."
    return [Gallery("How they look", advice, figures, legend=legend(labelled.competition))]


def _plain(run: Run) -> bool:
    task = run.labelled.competition.task
    return task.exclusive and not isinstance(task, OverlappingMasks) and len(task.classes) <= 1000


def _chosen(evidence: Evidence, names: Sequence[str], families: Sequence[str], each: int) -> np.ndarray:
    """Places of triples whose predictions are kept: of each family different corruptions, at middle severities."""
    triples = evidence.triples[: len(evidence.probabilities)]
    of_family = np.array([FAMILIES[name] for name in names])[triples[:, 1]]
    found: list[int] = []
    for family in families:
        places = np.flatnonzero((of_family == family) & (triples[:, 2] >= 2))
        nth = np.zeros(len(places), int)
        seen: dict[int, int] = {}
        for at, kind in enumerate(triples[places, 1].tolist()):
            nth[at] = seen[kind] = seen.get(kind, -1) + 1
        order = np.lexsort([np.abs(triples[places, 2] - 3.5), nth])
        found += places[order][:each].tolist()
    return np.array(found, int)


def _figures(run: Run, evidence: Evidence, chosen: np.ndarray, names: Sequence[str]) -> list[Figure]:
    """Tagged by family, so that chips show one."""
    import torch

    labelled, triples = run.labelled, evidence.triples[chosen]
    competition, rows = labelled.competition, triples[:, 0]
    pixels = torch.from_numpy(np.asarray(labelled.images[rows])).permute(0, 3, 1, 2)
    masks = torch.from_numpy(np.asarray(labelled.truth[rows])) if labelled.masks else None
    height, width, channels = competition.task.image_shape
    images, moved = corrupt_each(
        pixels, masks, cells_of(triples), SEED, competition.rgb, rows, (height, width), channels
    )
    pictures = images.permute(0, 2, 3, 1).cpu().numpy()
    preview, said = find_preview(labelled.images, competition.rgb), probabilities(evidence.probabilities[chosen])
    figures = []
    for at, (_, kind, severity) in enumerate(triples.tolist()):
        name = names[kind]
        title, tags, image = f"{name.replace('_', ' ')} {severity}", [FAMILIES[name]], preview(pictures[at])
        if moved is not None:
            (first, picture), *others = layers(competition, image, moved[at].numpy(), said[at])
            figures.append(Figure("", picture, (), others, tags, title, first))
            continue
        label, truth = int(competition.decode(said[at : at + 1])[0]), int(labelled.truth[rows[at]])
        caption = f"predicted {competition.task.classes[label]} {said[at, label]:.2f}"
        caption += ", right" if label == truth else f", it is {competition.task.classes[truth]}" if truth >= 0 else ""
        figures.append(Figure(caption, enlarged(image), (), (), tags, title))
    return figures
