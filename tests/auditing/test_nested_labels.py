"""A label that predictions suggested is obeyed where predictions suggest it that know nothing of the scored fold."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import tiny
from toolkit.auditing.nested_labels import obey_suggestions
from toolkit.data.dataset import Dataset, relabel
from toolkit.data.folds import folds_hash, make_folds, obeyed_in, relabels

NUMBER, FOLDS = 300, 3
WRONG = np.array([4, 50, 121, 200, 290])
HEARSAY = 7  # what it looks like only samples of fold 0 say


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Labels that follow from features, but for the WRONG ones; beside them a heap of class 1 that is in one fold."""
    monkeypatch.setattr("toolkit.auditing.nested_labels.SURE", 0.9)  # of so few samples a judge is never surer
    rows = np.arange(NUMBER)
    heap = (rows % FOLDS == 0) & (rows > NUMBER / 2)
    labels = np.where(heap, 1, rows // FOLDS % 3)
    signal = np.column_stack([np.eye(3)[labels] * ~heap[:, None], heap])
    signal[HEARSAY] = 0, 0, 0, 1
    features = np.repeat(3 * signal, 16, axis=1) + np.random.default_rng(0).normal(size=(NUMBER, 64))
    labels[HEARSAY] = 2
    labels[WRONG] = (labels[WRONG] + 1) % 3
    np.save(tmp_path / "rows.npy", rows)
    np.save(tmp_path / "features.npy", features.astype(np.float32))
    images = np.zeros((NUMBER, 8, 8, 3), np.uint8)
    return Dataset(images, labels, rows, rows, images[:0])


def listed(dataset: Dataset, reason: str = "doubtful label: red, looks like blue") -> pd.DataFrame:
    """All doubtful labels relabelled to what they look like."""
    rows = np.append(WRONG, HEARSAY)
    values = np.append((dataset.targets[WRONG] + 2) % 3, 1)
    lines = pd.DataFrame({"index": rows, "action": "relabel", "value": values.astype(str)})
    return lines.assign(reason=reason, confidence="")


def split(dataset: Dataset, cleaning: pd.DataFrame) -> pd.DataFrame:
    table = make_folds(dataset.targets, dataset.ids, dataset.groups, tiny.TASK, cleaning, {"folds": FOLDS, "seed": 0})
    return table.assign(fold=np.arange(NUMBER) % FOLDS)


def nested(dataset: Dataset, evidence: Path, cleaning: pd.DataFrame | None = None) -> pd.DataFrame:
    cleaning = listed(dataset) if cleaning is None else cleaning
    return obey_suggestions(tiny.competition, dataset, split(dataset, cleaning), cleaning, evidence)


def trained_labels(dataset: Dataset, table: pd.DataFrame, fold: int) -> np.ndarray:
    targets = relabel(dataset.targets, relabels(table)[obeyed_in(table)[:, fold]])
    return targets[table["fold"] != fold]


def test_the_labels_of_a_fold_change_no_label_that_its_training_sees(dataset: Dataset, tmp_path: Path) -> None:
    cleaning = listed(dataset)
    table = nested(dataset, tmp_path, cleaning)
    for k in range(FOLDS):
        flipped = np.where(table["fold"] == k, (dataset.targets + 1) % 3, dataset.targets)
        other = Dataset(dataset.images, flipped, dataset.ids, dataset.groups, dataset.test_images)
        found = nested(other, tmp_path, cleaning)
        assert (trained_labels(other, found, k) == trained_labels(dataset, table, k)).all()
        assert obeyed_in(found)[:, k].any() and not obeyed_in(found)[:, k].all()


def test_what_others_know_too_is_obeyed_and_what_the_scored_fold_alone_knows_is_not(
    dataset: Dataset, tmp_path: Path
) -> None:
    table = nested(dataset, tmp_path)
    fold = table["fold"]
    obeyed = dict(zip(relabels(table)[:, 0].tolist(), obeyed_in(table), strict=True))
    assert obeyed[HEARSAY].tolist() == [False, False, True]
    for row in WRONG.tolist():
        assert [k for k in range(FOLDS) if obeyed[row][k]] == [k for k in range(FOLDS) if k != fold[row]]
    assert table.loc[HEARSAY, "label_in"] == "2" and table["label_in"].notna().sum() == len(WRONG) + 1


def test_what_a_person_decided_is_obeyed_in_all_folds(dataset: Dataset, tmp_path: Path) -> None:
    own = listed(dataset, "I looked at it")
    table = nested(dataset, tmp_path, own)
    assert table.equals(split(dataset, own)) and obeyed_in(table).all()
    both = pd.concat([listed(dataset), own[own["index"] == HEARSAY]])
    obeyed = obeyed_in(nested(dataset, tmp_path, both))
    assert obeyed[relabels(table)[:, 0] == HEARSAY].all() and not obeyed.all()


def test_without_evidence_or_groups_all_is_obeyed(dataset: Dataset, tmp_path: Path) -> None:
    cleaning = listed(dataset)
    assert nested(dataset, tmp_path / "nowhere").equals(split(dataset, cleaning))
    few = Dataset(dataset.images, dataset.targets, dataset.ids, np.arange(NUMBER) % FOLDS, dataset.test_images)
    assert "label_in" not in nested(few, tmp_path)


def test_the_hash_names_where_labels_are_obeyed_and_the_table_is_read_as_it_was_stored(
    dataset: Dataset, tmp_path: Path
) -> None:
    table = nested(dataset, tmp_path)
    table.to_parquet(tmp_path / "folds.parquet")
    stored = pd.read_parquet(tmp_path / "folds.parquet")
    assert stored.attrs == table.attrs and (obeyed_in(stored) == obeyed_in(table)).all()
    everywhere = table.drop(columns="label_in")
    other = table.assign(label_in=table["label_in"].replace("2", "0 2"))
    assert len({folds_hash(each) for each in (table, everywhere, other)}) == 3
    assert folds_hash(stored) == folds_hash(table)
