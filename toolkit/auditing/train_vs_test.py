"""How test images differ from training images: a classifier that tells them apart, and by what."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

MOST = 5_000  # images of each side that are looked at


@dataclass(frozen=True)
class Shift:
    """auc: 0.5 where the sets can't be told apart, 1 where always. by_property: the same for each property alone,
    with the sign of the test set's difference. probabilities: float (M,), that each test image is one; rows: int64
    (M,), which those are.
    """

    auc: float
    by_property: pd.DataFrame
    probabilities: np.ndarray
    rows: np.ndarray


def measure_shift(
    train: pd.DataFrame, test: pd.DataFrame, groups: np.ndarray, tests: np.ndarray | None = None, seed: int = 0
) -> Shift:
    """Adversarial validation: properties of training (N rows, of these groups) against test images (M rows, which are
    `tests` of all; None: all).

    The classifier is that of `tell_apart`.
    """
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(train))[:MOST])
    train, groups = train.iloc[rows], groups[rows]
    auc, probabilities = tell_apart(train.to_numpy(), test.to_numpy(), groups, rng)
    values = np.concatenate([train.to_numpy(), test.to_numpy()])
    is_test = np.repeat([0, 1], [len(train), len(test)])
    alone = [roc_auc_score(is_test, values[:, column]) for column in range(values.shape[1])]
    by_property = pd.DataFrame(
        {
            "property": train.columns,
            "train": train.median().to_numpy(),
            "test": test.median().to_numpy(),
            "auc": alone,
        }
    )
    order = by_property["auc"].sub(0.5).abs().sort_values(ascending=False).index
    which = np.arange(len(test)) if tests is None else tests
    return Shift(auc, by_property.loc[order], probabilities[len(train) :], which)


def tell_apart(
    train: np.ndarray, test: np.ndarray, groups: np.ndarray, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """A classifier two-sample test (Lopez-Paz and Oquab 2017): AUC, and how surely each row is called a test row.

    train: (N, F) of these groups (N,); test: (M, F). The classifier is a random forest, in which both sides weigh the
    same; every row is judged by one that has not seen its group. Returns the rows of train, then those of test.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold, StratifiedKFold

    values, is_test = np.concatenate([train, test]), np.repeat([0, 1], [len(train), len(test)])
    # no test image belongs to a training group, so each is a group of its own
    apart = np.concatenate([groups, groups.max(initial=0) + 1 + np.arange(len(test))])
    probabilities = np.zeros(len(values))
    seed = int(rng.integers(2**31))
    folds = list(GroupKFold(3, shuffle=True, random_state=seed).split(values, is_test, apart))
    if any(len(np.unique(is_test[fitted])) < 2 for fitted, _ in folds):  # too few groups to be kept apart
        folds = list(StratifiedKFold(3, shuffle=True, random_state=seed).split(values, is_test))
    for fitted, held_out in folds:
        chosen = rng.permutation(fitted)[: 2 * MOST]
        model = RandomForestClassifier(100, min_samples_leaf=5, class_weight="balanced", random_state=seed)
        probabilities[held_out] = model.fit(values[chosen], is_test[chosen]).predict_proba(values[held_out])[:, 1]
    return float(roc_auc_score(is_test, probabilities)), probabilities
