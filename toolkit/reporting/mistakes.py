"""Predictions out of fold with their pictures: the worst ones, some at random, and the best."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.data.image_sets import shown
from toolkit.data.naming import with_addresses
from toolkit.data.preview import find_preview
from toolkit.data.targets import in_words
from toolkit.decisions.decide import as_targets
from toolkit.pages.html import Figure, Gallery, Section, mistaken
from toolkit.pages.pictures import enlarged
from toolkit.probabilities import probabilities
from toolkit.reporting.best_run import GALLERY
from toolkit.reporting.mask_pictures import layers, legend, numbers
from toolkit.runs import Run
from toolkit.task import Classification

WORST, PAIR = 90, 6  # labels that are shown, and of one (truth, prediction) at most
ALIKE = 3  # of one (truth, prediction) that are seen before "more" is pressed
OTHERS = 18  # at random, and best
MASKS, OTHER_MASKS = 12, 6  # four pictures each
CONSIDERED = 2000  # mistakes among which those that are shown are chosen
CONFUSED, SEEN = 3, 0.01  # pairs of classes by which a mask is found, and the least share of its pixels
LOOKED_AT = 300  # masks of which the best are chosen
TOP = 3  # probabilities beside a picture


@dataclass(frozen=True)
class Shown:
    """A sample's row, and in which tab it stands."""

    row: int
    tab: str


def mistakes_section(run: Run) -> Section:
    task = run.labelled.competition.task
    title = "Predictions"
    worst = "most confident mistakes" if task.exclusive else "worst"
    chosen = [*_worst(run, worst), *_others(run)]
    if not any(one.tab == worst for one in chosen):
        return Section(title, [], "The best run is right about everything out of fold.")
    mend = "drop or relabel it" if task.exclusive and not task.masks else "drop it"
    advice = f"Out of fold, by {run.name}. A wrong label in the file looks like a mistake too: then {mend}."
    figures = figures_of(run, chosen)
    alike = ALIKE if task.exclusive and not task.masks else 0
    colours = legend(run.labelled.competition)
    return Section(title, [Gallery("", advice, figures, legend=colours, tabs=True, alike=alike, key=GALLERY)])


def _worst(run: Run, tab: str) -> list[Shown]:
    """The worst first, of one (truth, prediction) a few."""
    masks = run.labelled.masks
    table = run.mistakes(MASKS if masks else CONSIDERED)
    most = MASKS if masks else OTHERS
    if run.labelled.competition.task.exclusive and not masks:
        few = len(run.labelled.competition.task.classes) <= WORST  # of more, pairs hardly repeat
        table, most = table[table.groupby(["truth", "predicted"]).cumcount() < PAIR], WORST if few else OTHERS
    return [Shown(row, tab) for row in table["row"].tolist()[:most]]


def _others(run: Run) -> list[Shown]:
    """Some at random, and the best: most surely right, of masks with the fewest wrong pixels."""
    labelled = run.labelled
    rows, count = np.flatnonzero(labelled.inside), OTHER_MASKS if labelled.masks else OTHERS
    random = np.random.default_rng(0).permutation(rows)[:count]
    best = _best(run, rows)[:count] if labelled.competition.task.exclusive else rows[:0]
    return [*(Shown(int(row), "at random") for row in random), *(Shown(int(row), "best") for row in best)]


def _best(run: Run, rows: np.ndarray) -> np.ndarray:
    labelled, competition = run.labelled, run.labelled.competition
    if labelled.masks:
        some = rows[np.linspace(0, len(rows) - 1, min(LOOKED_AT, len(rows))).astype(int)]
        wrong = np.array([_share_wrong(run, row) for row in some])
        return some[np.argsort(wrong, kind="stable")]
    if len(competition.task.classes) > WORST:
        return rows[:0]
    said, truth = probabilities(run.oof[rows]), np.asarray(labelled.truth[rows])
    right = (competition.decode(said) == truth) & (truth >= 0)
    sure = np.where(right, said[np.arange(len(rows)), np.maximum(truth, 0)], -1)
    order = np.argsort(-sure, kind="stable")
    order = order[sure[order] > 0]
    # in turn of each class
    nth = np.zeros(len(order), int)
    seen: dict[int, int] = {}
    for at, label in enumerate(truth[order].tolist()):
        nth[at] = seen[label] = seen.get(label, -1) + 1
    return rows[order[np.argsort(nth, kind="stable")]]


def _share_wrong(run: Run, row: int) -> float:
    truth, said = np.asarray(run.labelled.truth[row]), probabilities(run.oof[row : row + 1])[0]
    _, _, error, scored = numbers(run.labelled.competition, truth, said)
    return float(error.sum() / max(scored.sum(), 1)) if scored.any() else 1.0


def figures_of(run: Run, chosen: Sequence[Shown]) -> list[Figure]:
    """Pictures with what is true and predicted: the image, of a set the first; of masks the three others as layers."""
    images = shown(run.labelled.images)
    preview = find_preview(images, run.labelled.competition.rgb)
    make = _mask if run.labelled.masks else _label
    return [make(run, one, preview(np.asarray(images[one.row]))) for one in chosen]


def _tags(run: Run, one: Shown, *pairs: str) -> list[str]:
    return [one.tab, *pairs, f"fold {run.labelled.fold[one.row]}"]


def _mask(run: Run, one: Shown, image: np.ndarray) -> Figure:
    labelled, competition = run.labelled, run.labelled.competition
    truth, said = np.asarray(labelled.truth[one.row]), probabilities(run.oof[one.row : one.row + 1])[0]
    true, label, error, scored = numbers(competition, truth, said)
    pairs: list[str] = []
    if competition.task.exclusive:
        pairs = _confused(competition.task.classes, true[error], label[error], int(scored.sum()))
    caption = f"{error.sum() / scored.sum():.0%} of the scored pixels wrong" if scored.any() else "nothing is scored"
    (name, first), *others = layers(competition, image, truth, said)
    files = with_addresses([labelled.names[one.row]], labelled.workspace)
    return Figure(caption, first, files, others, _tags(run, one, *pairs), "", name)


def _confused(names: Sequence[str], truth: np.ndarray, label: np.ndarray, scored: int) -> list[str]:
    """Tags of what wrong pixels (n,) are mistaken for most, of shares of the scored pixels that can be seen."""
    pairs, counts = np.unique(np.stack([truth, label]), axis=1, return_counts=True)
    seen = np.argsort(-counts, kind="stable")[:CONFUSED]
    return [mistaken(*(names[at] for at in pairs[:, place])) for place in seen if counts[place] >= SEEN * scored]


def _label(run: Run, one: Shown, image: np.ndarray) -> Figure:
    labelled, task = run.labelled, run.labelled.competition.task
    files = with_addresses([labelled.names[one.row]], labelled.workspace)
    said = probabilities(run.oof[one.row : one.row + 1])
    if not task.exclusive:
        predicted = in_words(as_targets(task, said, labelled.competition.scored)[0], task)
        truth = in_words(labelled.truth[one.row], task)
        return Figure(f"predicted {predicted}", enlarged(image), files, (), _tags(run, one), truth)
    names = task.classes
    label = int(labelled.truth[one.row])
    unknown = task.unknown if isinstance(task, Classification) else None
    truth = names[label] if label >= 0 else unknown or "unknown"
    predicted = names[int(labelled.competition.decode(said)[0])]
    first = [(float(said[0, at]), names[at]) for at in np.argsort(-said[0], kind="stable")[:TOP]]
    likeliest = ", ".join(f"{name} {share:.2f}" for share, name in first)
    title = mistaken(truth, predicted) if truth != predicted else truth
    return Figure(likeliest, enlarged(image), files, (), _tags(run, one, mistaken(truth, predicted)), title)
