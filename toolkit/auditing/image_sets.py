"""What an audit finds in single images, as it stands for the samples that are sets of them."""

import numpy as np
import pandas as pd

from toolkit.auditing.evidence import storing
from toolkit.auditing.findings import LINKS, Findings, gather
from toolkit.auditing.label_errors import find_label_errors, nothing_said
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset, pictures_of
from toolkit.data.groups import REPEATS, empty_pictures, equal_pictures
from toolkit.data.image_sets import ImageSets, single_images
from toolkit.images.pictures import READ
from toolkit.progress import SILENT, Progress
from toolkit.runs import Run
from toolkit.store import Workspace

IMAGES = "images"  # folder in the evidence, for what is known of single images
RANKS = {"exact": 0, "copy": 1}  # of relations, the surest first; then neighbours


def gather_of_sets(
    competition: Competition,
    dataset: Dataset,
    workspace: Workspace,
    run: Run | None,
    jobs: int,
    progress: Progress = SILENT,
) -> Findings:
    """As `gather`, rows being sets: copies across sets link these, and within a set they are nothing to find; sets are
    equal where all of their images are. How far out a set lies says its outermost image.

    Links have the rows of the two images besides, `left_image` and `right_image`.
    """
    images, evidence = dataset.images, workspace.evidence / IMAGES
    assert isinstance(images, ImageSets)
    evidence.mkdir(parents=True, exist_ok=True)
    singles, sets, number = single_images(dataset), images.sets, len(images)
    found = gather(competition, singles, workspace, None, jobs, progress, evidence)
    pictures = pictures_of(dataset)[0]
    read = np.flatnonzero(pictures >= READ)
    same = equal_pictures(pictures)
    links = links_of_sets(pd.concat([found.links, _shared(found)]), sets)
    with storing(workspace.evidence / "links.parquet") as partial:
        links.to_parquet(partial, index=False)
    outlyingness, near = _outermost(found, sets, number)
    again = np.concatenate([rows if len(rows) > REPEATS else rows[1:] for rows in same] or [read[:0]])
    distinct = np.setdiff1d(read, again)
    errors = nothing_said(number, "nothing yet; run the audit again after a training")
    if run is not None:
        errors = find_label_errors(competition, dataset, distinct, lambda: outlyingness[distinct, None], links, run)
    unread = {int(sets[row]): why for row, why in found.unreadable.items() if pictures[sets[row]] < READ}
    empty = empty_pictures(same, images)
    return Findings(same, (), distinct, links, outlyingness, near, errors, found.unseen, unread, empty)


def _shared(found: Findings) -> pd.DataFrame:
    """Links between equal images, as between copies; those that are empty, or too many, are no sign of one origin."""
    lines: list[tuple[object, ...]] = []
    for rows in found.same:
        if len(rows) <= REPEATS and int(rows[0]) not in found.empty:
            lines += [(int(rows[0]), int(row), "copy", False, 0, 1.0, (1.0, 0, 0, 0, 1.0, 0)) for row in rows[1:]]
    return pd.DataFrame(lines, columns=list(LINKS))


def links_of_sets(links: pd.DataFrame, sets: np.ndarray) -> pd.DataFrame:
    """Links between images as those between their sets (F,): the surest of each two, and none within a set."""
    left, right = (links[side].to_numpy(np.int64) for side in ("left", "right"))
    one, other = sets[left], sets[right]
    made = links.assign(left=one, right=other, left_image=left, right_image=right)
    made = made.assign(low=np.minimum(one, other), high=np.maximum(one, other), rank=made["kind"].map(RANKS).fillna(2))
    made = made[one != other].sort_values(["rank", "similarity"], ascending=[True, False], kind="stable")
    made = made.drop_duplicates(["low", "high"]).sort_values(["low", "high"], ignore_index=True)
    return made.drop(columns=["low", "high", "rank"])


def relatives_of_sets(
    found: pd.DataFrame, test_sets: np.ndarray, sets: np.ndarray, pictures: tuple[np.ndarray, np.ndarray]
) -> pd.DataFrame:
    """Relations of test images to training images as those of their sets. pictures: hashes of the sets."""
    test, train = test_sets[found["test"].to_numpy(np.int64)], sets[found["train"].to_numpy(np.int64)]
    made = found.assign(test=test, train=train)
    whole = pictures[1][test] == pictures[0][train]
    made["kind"] = made["kind"].mask((made["kind"] == "exact") & ~whole, "copy")
    made = made.assign(rank=made["kind"].map(RANKS).fillna(2))
    made = made.sort_values(["rank", "similarity"], ascending=[True, False], kind="stable")
    return (
        made.drop_duplicates(["test", "train"]).drop(columns="rank").sort_values(["test", "train"], ignore_index=True)
    )


def _outermost(found: Findings, sets: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Outlyingness (N,) of the sets, and those nearest to each, (N, k), of its outermost image."""
    far, near = np.full(number, np.nan), np.zeros((number, found.near.shape[1]), np.int64)
    looked_at = np.flatnonzero(~np.isnan(found.outlyingness))
    order = looked_at[np.argsort(found.outlyingness[looked_at], kind="stable")]  # of each set the last one counts
    far[sets[order]] = found.outlyingness[order]
    near[sets[order]] = sets[found.near[order]]
    return far, near
