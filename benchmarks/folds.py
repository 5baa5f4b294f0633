"""How even our folds are, and how long they take, beside scikit-learn's and iterative-stratification's.

    python -m benchmarks.folds --data ../shared/data [--json]

On 2 cores (AMD EPYC), both in use by other work: 37 data sets, 5 seeds, and one figure of them all in which a peer
is more even (20 classes in 67 scenes, 10 folds: mean deviation 1.3693 against scikit-learn's 1.3682, which has one
more class missing from a fold and sizes 38 % off in place of 6 %). Masks: real mars in 1,157 groups, 5 folds, largest
deviation of a class's pixels 0.2 %, peers 30 to 42 %. At most 1.1 s a split, scikit-learn 1.0 s,
iterative-stratification 0.1 s.

Evenness is not measured by our objective but by plain relative deviations: of each class's count in a fold from
its total / folds (for masks: of the images that hold it, and of its pixels), their maximum and mean, and the
largest deviation of a fold's number of samples. All methods keep groups whole and get the same data, groups and
seeds; each figure is the median over seeds.

Peers: scikit-learn's StratifiedGroupKFold knows one label a sample, so for masks it gets the dominant or the rarest
class. iterative-stratification's MultilabelStratifiedKFold knows no groups, so it gets each group as one sample
that holds what its members hold.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.competition import load_competition
from toolkit.data.balance import assign
from toolkit.data.cleaning import read_cleaning
from toolkit.data.data_folder import open_dataset
from toolkit.data.groups import merge_groups
from toolkit.data.targets import describe
from toolkit.outcome import Table
from toolkit.screen import Screen
from toolkit.store import Workspace
from toolkit.task import Classification

ROOT = Path(__file__).parent.parent
REAL = {"blood_cells": "blood_cells", "blood_copies": "blood_cells", "mars": "mars"}  # folder, competition
BLOOD = np.array([852, 2181, 1085, 2026, 849, 993, 2330, 1643])
OURS = "ours"
Method = Callable[[int, int], np.ndarray]  # folds, seed → fold of each sample


@dataclass(frozen=True)
class Case:
    """held, pixels: int64 (N, C), does a sample hold a class, and how much of it; pixels is None for labels."""

    name: str
    folds: int
    held: np.ndarray
    pixels: np.ndarray | None
    groups: np.ndarray

    @property
    def contents(self) -> np.ndarray:
        return self.held if self.pixels is None else np.concatenate([self.held, self.pixels], axis=1)


def generated(samples: int) -> Iterator[Case]:
    """Class imbalances by group sizes, from a fixed seed."""
    random = np.random.default_rng(0)
    sizes = {
        "single": np.arange(samples),
        "pairs": random.integers(0, samples // 2, samples),
        "copies": np.repeat(np.arange(samples), random.geometric(0.25, samples))[:samples],
        "67 scenes": np.sort(random.choice(67, samples, p=random.dirichlet(np.full(67, 2.0)))),
    }
    imbalances = {
        "balanced": np.full(10, 0.1),
        "as blood_cells": BLOOD / BLOOD.sum(),
        "20 classes, 1/rank²": 1 / np.arange(1, 21) ** 2 / (1 / np.arange(1, 21) ** 2).sum(),
    }
    for size, groups in sizes.items():
        _, inverse = np.unique(groups, return_inverse=True)
        for imbalance, share in imbalances.items():
            common = random.choice(len(share), inverse.max() + 1, p=share)
            own = random.choice(len(share), samples, p=share)
            labels = np.where(random.random(samples) < 0.9, common[inverse], own)  # a group is mostly of one class
            for folds in (5, 10):
                yield Case(f"{imbalance}, {size}", folds, np.eye(len(share), dtype=np.int64)[labels], None, groups)
        scene = random.dirichlet([0.5, 1.2, 0.3, 0.2, 0.02], inverse.max() + 1)[inverse]
        share = 0.6 * scene + 0.4 * random.dirichlet([0.3, 1, 0.3, 0.2, 0.01], samples)
        pixels = np.rint(np.where(share < 0.05, 0, share) * 8192).astype(np.int64)
        for folds in (5, 10):
            yield Case(f"masks, {size}", folds, (pixels > 0).astype(np.int64), pixels, groups)


def from_files(name: str, competition_name: str, data: Path | None, folds: int) -> Case:
    """Practice data (no `data`) or real files, with the groups and drops of our audit."""
    competition = load_competition(ROOT / "competitions" / competition_name)
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "toolkit.audit", str(competition.folder), "--workspace", scratch]
        source = ["--practice"] if data is None else ["--data", str(data)]
        subprocess.run([*command, *source], check=True, capture_output=True)
        workspace = Workspace(Path(scratch), competition.name + ("-practice" if data is None else ""))
        dataset = open_dataset(workspace.data)
        cleaning = read_cleaning(workspace, dataset.ids, competition.task)
        kept = ~np.isin(dataset.ids, cleaning.loc[cleaning["action"] == "drop", "index"])
        groups = merge_groups(dataset.groups, dataset.ids, cleaning)[kept]
        contents = describe(dataset.targets, competition.task)[kept]
    classes = len(competition.task.classes)
    labels = isinstance(competition.task, Classification)
    return Case(name, folds, contents[:, :classes], None if labels else contents[:, classes:], groups)


def methods(case: Case) -> dict[str, Method]:
    from sklearn.model_selection import StratifiedGroupKFold

    def stratified(labels: np.ndarray) -> Method:
        def split(folds: int, seed: int) -> np.ndarray:
            splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
            return _fold_of(splitter.split(labels, labels, case.groups), len(labels))

        return split

    found: dict[str, Method] = {OURS: lambda folds, seed: assign(case.contents, case.groups, folds, seed)}
    if case.pixels is None:
        found["sklearn"] = stratified(case.held.argmax(1))
    else:
        rarity = case.held.sum(0)
        rarest = np.where(case.held > 0, rarity, len(case.held) + 1).argmin(1)
        found["sklearn, dominant"] = stratified(case.pixels.argmax(1))
        found["sklearn, rarest"] = stratified(rarest)
    try:
        from iterstrat.ml_stratifiers import MultilabelStratifiedKFold
    except ImportError:
        return found

    def multilabel(folds: int, seed: int) -> np.ndarray:
        names, inverse = np.unique(case.groups, return_inverse=True)
        held = np.zeros((len(names), case.held.shape[1]), np.int64)
        np.maximum.at(held, inverse, case.held)
        splitter = MultilabelStratifiedKFold(folds, shuffle=True, random_state=seed)
        return _fold_of(splitter.split(held, held), len(names))[inverse]

    found["iterstrat"] = multilabel
    return found


def _fold_of(splits: Any, samples: int) -> np.ndarray:
    fold = np.empty(samples, np.int64)
    for k, (_, rows) in enumerate(splits):
        fold[rows] = k
    return fold


def evenness(case: Case, fold: np.ndarray) -> dict[str, float]:
    """Largest and mean relative deviation from an even split; how often a class is missing from a fold."""

    def deviations(counts: np.ndarray) -> np.ndarray:
        counts = counts[:, counts.any(0)]
        in_folds = np.stack([counts[fold == k].sum(0) for k in range(case.folds)])
        return abs(in_folds * case.folds / counts.sum(0) - 1)

    found = {"size max": deviations(np.ones((len(fold), 1))).max()}
    kinds = {"images": case.held} | ({} if case.pixels is None else {"pixels": case.pixels})
    for kind, counts in kinds.items():
        away = deviations(counts)
        found |= {f"{kind} max": away.max(), f"{kind} mean": away.mean()}
    found["missing"] = sum((~case.held[fold == k][:, case.held.any(0)].any(0)).sum() for k in range(case.folds))
    return {name: float(value) for name, value in found.items()}


def measure(case: Case, seeds: int) -> dict[str, dict[str, float]]:
    """Medians over seeds of evenness and seconds, by method."""
    result = {}
    for name, split in methods(case).items():
        found = []
        for seed in range(seeds):
            begun = time.perf_counter()
            with warnings.catch_warnings():  # scikit-learn's, of a class with fewer samples than folds
                warnings.simplefilter("ignore", UserWarning)
                fold = split(case.folds, seed)
            seconds = time.perf_counter() - begun
            if len(np.unique(np.stack([case.groups, fold]), axis=1).T) != len(np.unique(case.groups)):
                raise AssertionError(f"{name} divided a group")
            found.append(evenness(case, fold) | {"seconds": seconds})
        result[name] = {key: float(np.median([one[key] for one in found])) for key in found[0]}
    return result


def lost(measured: dict[str, dict[str, float]]) -> list[str]:
    """Where a peer is more even than ours."""
    return [
        f"{key}: ours {measured[OURS][key]:.4f}, {name} {value:.4f}"
        for name, figures in measured.items()
        for key, value in figures.items()
        if key != "seconds" and value < measured[OURS][key] - 1e-9
    ]


def main() -> None:
    made = argparse.ArgumentParser(prog="python -m benchmarks.folds", description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--data", type=Path, metavar="DIR", help=f"folder of the real files: {', '.join(REAL)}")
    made.add_argument("--samples", type=int, default=2000, metavar="N", help="of generated data (default: 2000)")
    made.add_argument("--seeds", type=int, default=5, metavar="S", help="default: 5")
    made.add_argument("--json", action="store_true", help="one JSON object on stdout, all else on stderr")
    options = made.parse_args()
    screen = Screen(stderr=options.json)
    cases = list(generated(options.samples))
    for name in ("blood_cells", "mars"):
        cases.append(from_files(f"{name} practice", name, None, 5))
    skipped = {}
    for name, competition in REAL.items():
        if options.data is not None and (options.data / name).is_dir():
            cases.append(from_files(f"{name} real", competition, options.data / name, 5))
        else:
            skipped[name] = f"{options.data / name} is not there" if options.data else "no --data given"
    figures, losses = [], 0
    for case in cases:
        measured = measure(case, options.seeds)
        keys = list(measured[OURS])
        rows = [
            [name, *(f"{values[key]:.0f}" if key == "missing" else f"{values[key]:.4f}" for key in keys)]
            for name, values in measured.items()
        ]
        groups = len(np.unique(case.groups))
        title = f"{case.name}: {len(case.groups):,} samples, {groups:,} groups, {case.folds} folds"
        screen.table(Table(title, ["", *keys], rows))
        found = lost(measured)
        losses += len(found)
        for sentence in found:
            screen.warn(f"a peer is more even in {sentence}")
        if "iterstrat" not in measured:
            skipped["iterstrat"] = "iterative-stratification is not installed"
        figures.append({"case": case.name, "folds": case.folds, "groups": groups, "methods": measured, "lost": found})
    for name, reason in skipped.items():
        screen.say(f"{name}: skipped, {reason}")
    screen.say(f"{len(figures)} data sets, {losses} figures in which a peer is more even than ours")
    if options.json:
        print(json.dumps({"cases": figures, "skipped": skipped, "lost": losses}))


if __name__ == "__main__":
    main()
