"""Which folds are to validation as the training set is to the test set: those that keep relatives together, or not.

The share of test images that have a relative in training is held against the share of validation images that would
have one under plain folds. Exact copies are left out of both: folds keep them together, and a test image that is a
training image has a known answer.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from toolkit.auditing.evidence import stored_table
from toolkit.auditing.relatives import COPY, EXACT, RELATIVES, tests_looked_at
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset
from toolkit.data.folds import GROUPS, PLAIN
from toolkit.data.groups import connect

BETWEEN = "between"
FOLDS = 5  # where nobody said yet how many there will be
NEAR = 1 / 3  # of the way between the two shares: so far from one end, an interval still counts as being there


@dataclass(frozen=True)
class Share:
    """A share of images with its 95 % interval."""

    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Mimicry:
    """tests: test images; related: those with a relative in training, as `exact`, `copies` or `neighbours`.

    test: the share with a relative, of those that are no exact copies; plain: the share of validation images with one
    under plain folds, of which there are `folds`.
    """

    tests: int
    related: int
    exact: int
    copies: int
    neighbours: int
    test: Share
    plain: Share
    folds: int

    @property
    def verdict(self) -> str:
        """GROUPS where surely few test images have relatives, PLAIN where surely about as many as in plain folds."""
        if not self.plain.share or self.test.high < NEAR * self.plain.low:
            return GROUPS
        return PLAIN if self.test.low > (1 - NEAR) * self.plain.high else BETWEEN

    @property
    def counted(self) -> str:
        kinds = [(self.exact, "exact copies"), (self.copies, "copies"), (self.neighbours, "neighbouring tiles")]
        listed = ", ".join(f"{name}: {number:,}" for number, name in kinds if number)
        return (
            f"{self.related:,} of {self.tests:,} test images ({self.related / self.tests:.1%}) have a copy or a "
            f"neighbour in training" + (f" ({listed})" if listed else "")
        )

    @property
    def words(self) -> str:
        if not self.plain.share:
            return (
                "no relatives among the training images were found but those that the competition's own groups, if it "
                "has any, keep together: group folds and plain folds are the same"
            )
        held_against = (
            f"{self.test.share:.1%} ({self.test.low:.1%} to {self.test.high:.1%}) of the test images have a relative "
            f"in training, {self.plain.share:.1%} of the validation images would have one in {self.folds} plain folds"
        )
        said = {
            GROUPS: "group folds mimic the test",
            PLAIN: "plain folds mimic the test",
            BETWEEN: "whether group or plain folds mimic the test can't be told: group folds, the pessimistic choice",
        }
        return f"{said[self.verdict]}; {held_against}"


def stored_mimicry(
    competition: Competition, dataset: Dataset, evidence: Path, whole: np.ndarray, kept: np.ndarray, folds: int
) -> Mimicry | None:
    """As `mimicry`, from what the last audit left; None where it didn't look for relatives, or may not."""
    if not competition.may_look_at(dataset.test_images) or not (evidence / RELATIVES).exists():
        return None
    relatives, links = (stored_table(evidence / name) for name in (RELATIVES, "links.parquet"))
    return mimicry(relatives, links, whole, kept, tests_looked_at(dataset), folds)


def mimicry(
    relatives: pd.DataFrame, links: pd.DataFrame, whole: np.ndarray, kept: np.ndarray, tests: int, folds: int = FOLDS
) -> Mimicry:
    """relatives: of `tests` test images, as `find_relatives` returns them; links: between training rows, as in
    `Findings`. whole: int64 (N,), equal for rows that even plain folds keep together, those with equal pictures among
    them; kept: bool (N,), those that are trained on.
    """
    rank = relatives["kind"].map({EXACT: 0, COPY: 1}).fillna(2)  # of what is surest
    surest = relatives.assign(rank=rank)[kept[relatives["train"].to_numpy()]].sort_values("rank", kind="stable")
    surest = surest.drop_duplicates("test")
    exact, copies, neighbours = (int((surest["rank"] == one).sum()) for one in range(3))
    unit, origin, others = _units(links, whole, kept)
    under_plain = (1.0 - float(folds) ** -others)[unit[kept]]
    inexact = surest.loc[surest["rank"] > 0, "train"].to_numpy(np.int64)
    alone = np.ones(tests - exact - len(inexact), np.int64)
    return Mimicry(
        tests=tests,
        related=len(surest),
        exact=exact,
        copies=copies,
        neighbours=neighbours,
        test=_share(len(inexact), np.concatenate([np.bincount(origin[unit[inexact]]), alone])),
        plain=_share(float(under_plain.sum()), np.bincount(origin[unit[kept]])),
        folds=folds,
    )


def _units(links: pd.DataFrame, whole: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What plain folds keep whole: unit of each row (-1: not kept), and of each unit its origin (units that a chain of
    links joins), and how many other units are its relatives: all copies of a picture, tiles beside it.
    """
    unit = np.full(len(whole), -1)
    unit[kept] = np.unique(whole[kept], return_inverse=True)[1]
    number = int(unit.max(initial=-1)) + 1
    pairs = unit[links[["left", "right"]].to_numpy(np.int64)].reshape(-1, 2)
    inside = (pairs >= 0).all(1) & (pairs[:, 0] != pairs[:, 1])
    is_copy = (links["kind"] == COPY).to_numpy()
    origin = connect(number, pairs[inside])
    copies = connect(number, pairs[inside & is_copy])
    beside = np.unique(np.sort(pairs[inside & ~is_copy], axis=1), axis=0)
    beside = beside[copies[beside[:, 0]] != copies[beside[:, 1]]]
    others = np.bincount(copies)[copies] - 1 + np.bincount(beside.ravel(), minlength=number)
    return unit, origin, others


def _share(count: float, clusters: np.ndarray) -> Share:
    """Wilson's interval (1927) for a share of images that come in clusters of these sizes: as if there were fewer
    (Kish 1965), since those of one origin have relatives together or not at all.
    """
    images = int(clusters.sum())
    if not images:
        return Share(0.0, 0.0, 1.0)
    share, number, z = count / images, images**2 / float((clusters.astype(float) ** 2).sum()), 1.96
    middle = (share + z**2 / (2 * number)) / (1 + z**2 / number)
    half = z / (1 + z**2 / number) * np.sqrt(share * (1 - share) / number + z**2 / (4 * number**2))
    return Share(share, max(0.0, float(middle - half)), min(1.0, float(middle + half)))


def why_unknown(competition: Competition, dataset: Dataset) -> str:
    """Why nothing may be known of relatives of the test images."""
    if competition.may_look_at(dataset.test_images):
        return "the audit has not looked for relatives of the test images; run `compete audit`"
    if len(dataset.test_images):
        return competition.rules.sentence("unlabelled_test_images", "the test images may not be looked at")
    return "there are no test images to look for relatives of"
