"""What a split may leak: pairs of one origin that are divided, and the most alike pair on two sides that is left."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.auditing.appearance import nearest
from toolkit.auditing.duplicates import Pictures, verify
from toolkit.auditing.evidence import stored_array, stored_table
from toolkit.auditing.image_sets import IMAGES
from toolkit.auditing.keypoints import open_keypoints
from toolkit.data.balance import HELD_OUT
from toolkit.data.dataset import Dataset
from toolkit.data.folds import ALWAYS
from toolkit.data.image_sets import ImageSets, single_images
from toolkit.data.preview import previewed
from toolkit.images.rows import Chosen
from toolkit.pages.pictures import stacked, strip
from toolkit.task import Rgb

LOOKED_AT = 3  # most alike pairs of each fold that are verified
NEIGHBOURS = 20


@dataclass(frozen=True)
class Pair:
    """Two rows, one `validated` in the fold, or held out if that is HELD_OUT, and one trained on then. cosine: of
    their vectors. leak: of one origin?
    """

    fold: int
    validated: int
    trained_on: int
    cosine: float
    leak: bool

    @property
    def part(self) -> str:
        return "holdout" if self.fold == HELD_OUT else f"fold {self.fold}"


@dataclass(frozen=True)
class Divided:
    """How many pairs of one origin there are of which one is scored by what was trained on the other. inside: both are
    in folds, in different ones; always: one is in a fold, the other trained on by every fold; held_out: one is.
    """

    inside: int = 0
    always: int = 0
    held_out: int = 0

    @property
    def total(self) -> int:
        return self.inside + self.always + self.held_out


def closest_samples(
    dataset: Dataset, fold: np.ndarray, trained: np.ndarray, evidence: Path, rgb: Rgb
) -> tuple[list[Pair], Any]:
    """As `closest_pairs` of samples, and their picture, uint8 (h, w, 3), None where there are none.

    Of sets of images: which pair of sets has the most alike pair of images, which are those of the picture.
    """
    singles, sets = previewed(single_images(dataset), rgb), None
    if isinstance(dataset.images, ImageSets):
        sets, evidence = dataset.images.sets, evidence / IMAGES
        fold, trained = fold[sets], trained[sets]
    pairs = closest_pairs(singles, fold, trained, evidence)
    picture = picture_of_pairs(singles, pairs) if pairs else None
    if sets is not None:
        pairs = [
            replace(pair, validated=int(sets[pair.validated]), trained_on=int(sets[pair.trained_on])) for pair in pairs
        ]
    return pairs, picture


def closest_pairs(dataset: Dataset, fold: np.ndarray, trained: np.ndarray, evidence: Path) -> list[Pair]:
    """The most alike pictures on two sides of each fold's boundary, and of the holdout's; none where there is no
    evidence of an audit.

    dataset: as pictures. fold: int64 (N,), as in the table of folds; trained: bool (N,), False for what is at most
    scored. evidence: what an audit left.
    """
    if not (evidence / "links.parquet").exists():
        return []
    rows = stored_array(evidence / "rows.npy")
    vectors = stored_array(evidence / "vectors.npy")
    pictures = Pictures(Chosen(dataset.images, rows), open_keypoints(evidence / "keypoints"))
    sides, learnt = fold[rows], _learnt(fold, trained)[rows]
    found = []
    looked = [(flipped, *nearest(vectors[0], vectors[flipped], min(NEIGHBOURS, len(rows) - 1))) for flipped in (0, 1)]
    for k in (*range(int(fold.max()) + 1), *([HELD_OUT] if (fold == HELD_OUT).any() else [])):
        candidates = []
        for flipped, cosine, near in looked:
            across = (sides == k)[:, None] & (near >= 0) & (learnt & (sides != k))[near]
            for at in np.argsort(-np.where(across, cosine, -np.inf), axis=None)[:LOOKED_AT]:
                row, rank = divmod(int(at), near.shape[1])
                if across[row, rank]:
                    candidates.append((float(cosine[row, rank]), row, int(near[row, rank]), bool(flipped)))
        checked = [
            (verify(pictures, pictures, right, left, flipped) is not None, product, left, right)
            for product, left, right, flipped in candidates
        ]
        if checked:
            leak, product, left, right = max(checked)
            found.append(Pair(k, int(rows[left]), int(rows[right]), product, leak))
    return found


def count_divided(fold: np.ndarray, trained: np.ndarray, pairs: list[Pair], evidence: Path) -> Divided:
    """Pairs of one origin that are divided: among these, and the audit's links, as when lines left the list."""
    links = stored_table(evidence / "links.parquet", "left", "right")[["left", "right"]].to_numpy(np.int64)
    found = np.array([(pair.validated, pair.trained_on) for pair in pairs if pair.leak], np.int64).reshape(-1, 2)
    related = np.unique(np.sort(np.concatenate([links, found]), axis=1), axis=0)
    sides, learnt = fold[related], _learnt(fold, trained)[related]
    scored = (sides >= 0) | (sides == HELD_OUT)
    divided = sides[(scored & learnt[:, ::-1]).any(1) & (sides[:, 0] != sides[:, 1])]
    held_out, always = (divided == HELD_OUT).any(1), (divided == ALWAYS).any(1)
    return Divided(int((~held_out & ~always).sum()), int((~held_out & always).sum()), int(held_out.sum()))


def _learnt(fold: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """bool (N,): samples that some fold is trained on."""
    return trained & ((fold >= 0) | (fold == ALWAYS))


def picture_of_pairs(dataset: Dataset, pairs: list[Pair]) -> np.ndarray:
    """The pairs below each other, uint8 (h, w, 3)."""
    strips, called = [], dataset.called
    for pair in pairs:
        verdict = "SAME SOURCE" if pair.leak else "different"
        first = f"{pair.part}: {called[pair.validated]}"
        second = f"trained on: {called[pair.trained_on]}, {verdict}"
        strips.append(strip([(first, dataset.images[pair.validated]), (second, dataset.images[pair.trained_on])]))
    return stacked(strips, gap=8)
