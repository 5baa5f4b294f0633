"""What obeying the audit's suggestions does to a printed score, where no label is wrong."""

import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.honesty.measured import Measured
from competitions.blood_cells import competition as blood_cells
from toolkit.auditing.cleaning_proposal import propose
from toolkit.auditing.findings import LINKS, Findings
from toolkit.auditing.label_errors import LabelErrors, guessed_probabilities, label_quality
from toolkit.auditing.nested_labels import obey_suggestions
from toolkit.data.cleaning import COLUMNS
from toolkit.data.dataset import Dataset, relabel
from toolkit.data.folds import folds_hash, make_folds, obeyed_in, relabels, trained_on
from toolkit.data.labelled import Labelled
from toolkit.scoring.out_of_fold import score
from toolkit.store import Workspace
from toolkit.task import Classification

DIGITS = replace(blood_cells, task=Classification(tuple("0123456789"), (8, 8, 1)))
SAMPLES, FOLDS = 1200, 5
# standard deviation of the noise on pictures from 0 to 16, by judge: four of five digits are still known, or, where
# the first guess would else suggest few labels, three of five
NOISE = {"run": 5.0, "first guess": 8.0}


def measure(repeats: int | None = None) -> list[Measured]:
    """Handwritten digits (Alpaydin & Kaynak 1998) under noise, in points.

    A classifier is trained on folds, all `relabel?` lines that follow from its predictions, or from the audit's first
    guess, are obeyed, and it is then trained anew on the same folds. How much more the printed accuracy rises than
    that of the same classifiers on other digits. Before: all is obeyed in all folds, and the accuracy printed on the
    mended labels. Now: what `obey_suggestions` leaves of it, and the accuracy on the file's labels.
    """
    made = []
    for judge in NOISE:
        drawn = np.array([_once(judge, np.random.default_rng(seed)) for seed in range(repeats or 36)])
        (old, new), (old_error, new_error) = drawn.mean(0), drawn.std(0) / len(drawn) ** 0.5
        of = "run's" if judge == "run" else "first guess's"
        what = f"rise of the accuracy by obeying a {of} suggestions, no label being wrong, less that on a hidden set"
        key = "relabel" if judge == "run" else "relabel_first_guess"
        made.append(Measured(key, what, float(old), float(old_error), float(new), float(new_error), "near 0"))
    return made


def _once(judge: str, rng: np.random.Generator) -> tuple[float, float]:
    from sklearn.datasets import load_digits

    pictures, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(labels))
    pictures, labels = pictures[order] + rng.normal(0, NOISE[judge], pictures.shape), labels[order].astype(np.int64)
    known, truth, hidden, answers = pictures[:SAMPLES], labels[:SAMPLES], pictures[SAMPLES:], labels[SAMPLES:]
    rows, none = np.arange(SAMPLES), np.zeros((0, 8, 8, 1), np.uint8)
    dataset = Dataset(np.zeros((SAMPLES, 8, 8, 1), np.uint8), truth, rows, rows, none)
    table = _folds(dataset, pd.DataFrame(columns=list(COLUMNS)))
    unchanged = _labelled(dataset, table)
    before, there_before = _trained(known, unchanged, hidden, answers)
    cleaning = _list(dataset, before if judge == "run" else guessed_probabilities(known, truth, rows, 10))
    # the folds stay: the luck of another split is no part of the difference
    everywhere = _folds(dataset, cleaning).assign(fold=table["fold"])
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "rows.npy", rows)
        np.save(Path(folder) / "features.npy", known)
        nested = obey_suggestions(DIGITS, dataset, everywhere, cleaning, Path(folder))
    score_before = score(unchanged, before)["score"]
    rises = []
    for obeyed in (everywhere, nested):
        labelled = _labelled(dataset, obeyed)
        after, there = _trained(known, labelled, hidden, answers)
        printed = score(labelled, after)
        shown = printed.get("mended", printed) if obeyed is everywhere else printed
        rises.append(100 * (shown["score"] - score_before - (there - there_before)))
    return rises[0], rises[1]


def _list(dataset: Dataset, predicted: np.ndarray) -> pd.DataFrame:
    """The cleaning list that follows from out-of-fold probabilities (N, 10), all of it obeyed."""
    quality, issue = label_quality(dataset.targets, predicted)
    findings = Findings(
        same=(),
        masks=(),
        distinct=dataset.ids,
        links=pd.DataFrame(columns=list(LINKS)),
        outlyingness=np.zeros(SAMPLES),
        near=np.zeros((SAMPLES, 1), np.int64),
        label_errors=LabelErrors(quality, issue, predicted.argmax(1)),
    )
    proposal = propose(dataset, DIGITS.task, findings)
    return proposal.assign(action=proposal["action"].str.removesuffix("?"))


def _folds(dataset: Dataset, cleaning: pd.DataFrame) -> pd.DataFrame:
    return make_folds(dataset.targets, dataset.ids, dataset.groups, DIGITS.task, cleaning, {"folds": FOLDS, "seed": 0})


def _trained(
    pictures: np.ndarray, labelled: Labelled, hidden: np.ndarray, answers: np.ndarray
) -> tuple[np.ndarray, float]:
    """Probabilities float32 (N, 10) out of fold, and the mean accuracy of the folds' classifiers on hidden ones."""
    from sklearn.linear_model import LogisticRegression

    found, right = np.zeros((len(pictures), 10), np.float32), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it isn't trained to the end
        for k in range(FOLDS):
            targets, rows = relabel(labelled.truth, labelled.training_relabels(k)), labelled.training_rows(k)
            model = LogisticRegression(C=0.01, max_iter=60).fit(pictures[rows], targets[rows])
            found[labelled.rows(k)] = model.predict_proba(pictures[labelled.rows(k)])
            right.append(model.score(hidden, answers))
    return found, float(np.mean(right))


def _labelled(dataset: Dataset, table: pd.DataFrame) -> Labelled:
    changed = relabels(table)
    return Labelled(
        competition=DIGITS,
        workspace=Workspace(Path("nowhere"), "digits"),
        images=dataset.images,
        truth=dataset.targets,
        targets=relabel(dataset.targets, changed),
        trained=trained_on(table),
        ids=dataset.ids,
        test_images=dataset.test_images,
        test_ids=dataset.ids[:0],
        names=dataset.ids.astype(str),
        fold=table["fold"].to_numpy(),
        group=table["group"].to_numpy(),
        relabels=changed,
        obeyed=obeyed_in(table),
        data_hash="",
        folds_hash=folds_hash(table),
    )
