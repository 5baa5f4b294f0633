"""Labels that predictions suggested, obeyed where others do so that know nothing of the scored fold."""

from pathlib import Path

import numpy as np
import pandas as pd

from toolkit.auditing.evidence import stored_array
from toolkit.auditing.findings import kept_features
from toolkit.auditing.label_errors import enough, guessed_probabilities, suggested_labels
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset
from toolkit.data.folds import relabels, suggested, trained_on, with_obeyed
from toolkit.task import UNKNOWN

# More than a line needs to get on the list (`CERTAINTY`): the list knows the scored fold, so what is obeyed must not
# hang on whether it is on the list. With the same certainty a fifth of what obeying flatters the score by was left.
SURE = 0.99


def obey_suggestions(
    competition: Competition, dataset: Dataset, table: pd.DataFrame, cleaning: pd.DataFrame, evidence: Path
) -> pd.DataFrame:
    """The table of folds with `label_in` for the labels that predictions suggested.

    Such a label was made by networks that were trained on the fold that is scored, and would tell it to those that are
    scored. So each fold has a judge of its own, the audit's first guess without that fold: in its training a label is
    obeyed if the judge, without having seen the sample, suggests it too. The table stays as it is where there is no
    such label, or no judge: for want of an audit's evidence or of groups, or as samples are sets of images.
    """
    rows = suggested(table, cleaning)
    if not len(rows) or dataset.sets is not None or not (evidence / "rows.npy").exists():
        return table
    distinct = stored_array(evidence / "rows.npy")
    features = kept_features(competition, dataset, distinct, evidence)
    fold, group, labels = table["fold"].to_numpy(), table["group"].to_numpy(), np.asarray(dataset.targets)
    asked = dict(relabels(table).tolist())
    obeyed = np.zeros((len(rows), int(fold.max()) + 1), bool)
    for k in range(obeyed.shape[1]):
        at = np.flatnonzero(((fold >= 0) & (fold != k) & trained_on(table))[distinct])
        at = at[labels[distinct[at]] != UNKNOWN]
        others = distinct[at]
        if not enough(labels[others], group[others]):
            return table
        predicted = guessed_probabilities(features[at], labels[others], group[others], len(competition.task.classes))
        found = dict(zip(others.tolist(), suggested_labels(labels[others], predicted, SURE).tolist(), strict=True))
        obeyed[:, k] = [found.get(row) == asked[row] for row in rows.tolist()]
    return with_obeyed(table, rows, obeyed)
