"""What a table beside the images is worth: images alone, the table alone, and both in a network, in trees, in a blend.

    OMP_NUM_THREADS=1 python -m benchmarks.tables [--seeds 3] [--samples 600] [--epochs 30] [--json]

Drawn berries (`tests/small/berries`): half of what decides is in the colour, half in two columns of a table, of which
one isn't known of a tenth; a third column is noise. ROC AUC out of fold and on hidden test images, means over seeds,
which draw other data; `best` is what the drawing itself knows. The table alone: gradient boosting on the same folds.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from tests.small import FOLDER
from toolkit.competition import load_competition
from toolkit.data.labelled import Labelled
from toolkit.data.loading import load
from toolkit.outcome import Table
from toolkit.progress import SILENT
from toolkit.project import Project
from toolkit.screen import Screen

WAYS = ("images alone", "table alone", "both, network", "both, trees", "blend of the two", "best")


def table_alone(labelled: Labelled) -> tuple[np.ndarray, np.ndarray]:
    """Values (N, 2) out of fold and (M, 2) of the test images."""
    assert labelled.table is not None
    categorical = [column.categories is not None for column in labelled.columns]
    oof, tests = np.zeros((len(labelled.truth), 2)), []
    for k in range(labelled.folds):
        rows, own = labelled.training_rows(k), labelled.rows(k)
        trees = HistGradientBoostingClassifier(
            learning_rate=0.05, max_iter=60, categorical_features=categorical, early_stopping=False, random_state=0
        ).fit(labelled.table[rows], labelled.truth[rows])
        oof[own] = trees.predict_proba(labelled.table[own])
        tests.append(trees.predict_proba(labelled.test_table))
    return oof, np.mean(tests, axis=0)


def measure(seed: int, samples: int, epochs: int, place: Path) -> dict[str, list[float]]:
    """By way: ROC AUC out of fold and on the hidden test images."""
    competition = load_competition(FOLDER / "berries")
    project = Project(
        competition,
        practice=True,
        practice_size=samples,
        seed=seed,
        workspace=place,
        submissions=place / "handed_in",
        device="cpu",
        progress=SILENT,
    )
    load(competition, project.workspace, project.raw)
    project.folds(5)
    hidden = np.load(project.workspace.practice / "truth" / "truth.npz")

    def scores(oof: np.ndarray, tests: np.ndarray | None, truth: np.ndarray) -> list[float]:
        assert tests is not None
        pairs = ((truth, oof), (hidden["targets"], tests))
        return [competition.tally(targets, np.asarray(values, np.float32)).score() for targets, values in pairs]

    image = project.train("first", stress="none", schedule__epochs=epochs, table__width=0)
    both = project.train("first", stress="none", schedule__epochs=epochs)
    trees = project.boost([image])
    blend = project.ensemble([both, trees], views=("none",))
    labelled = project.labelled()
    of = zip(WAYS, (image, None, both, trees, blend), strict=False)
    found = {}
    for name, one in of:
        oof, tests = table_alone(labelled) if one is None else (one.oof, one.test)
        found[name] = scores(oof, tests, labelled.truth)
    return found | {"best": [np.nan, scores(hidden["values"], hidden["values"], hidden["targets"])[1]]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    each = []
    for seed in range(1, options.seeds + 1):
        with tempfile.TemporaryDirectory() as place:
            each.append(measure(seed, options.samples, options.epochs, Path(place)))
    means = {way: np.mean([one[way] for one in each], axis=0).tolist() for way in WAYS}
    if options.json:
        print(json.dumps({"seeds": options.seeds, "samples": options.samples, "scores": means, "each": each}))
        return
    rows = [[way, "-" if np.isnan(oof) else f"{oof:.4f}", f"{test:.4f}"] for way, (oof, test) in means.items()]
    title = f"ROC AUC, {options.samples:,} drawn berries, mean of {options.seeds} seeds"
    Screen().table(Table(title, ["", "out of fold", "hidden"], rows))


if __name__ == "__main__":
    main()
