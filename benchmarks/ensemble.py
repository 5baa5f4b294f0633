"""How fast weights are found and how honest their score is, against AutoGluon's EnsembleSelection.

    python -m benchmarks.ensemble [--json] [--peer-python PATH] [--only classification masks metrics bias]

Greedy selection of 50 steps on the same drawn probabilities, ours and the peer's in turn, each in a process of its
own; times are medians. Imports, kernels and the peer's reading of its data are left out. Classification: 12,000
samples, 8 classes. Masks: 2,500 of 64x128, 5 classes, as bytes on disk; the peer, with a scorer from one confusion
matrix (scikit-learn's would take far longer), does `--peer-steps` of the 50 steps, which all cost the same, and its
time is scaled up. The peer needs autogluon.core in an environment of its own; without --peer-python its rows are
left out.

Metrics: AUC, log loss, RMSE, kappa, F1 with thresholds and mean Dice an image, 20 models, 24,000 samples (1,000 masks
of 64x64), of which half is held out, 50 steps, once (benchmarks/ensemble_metrics.py).

Bias: 200 drawn problems on which the true accuracy is known from fresh samples. The error of a score is measured
against that of a blend of the same kind fitted on other samples: it has no bias on these, and most of their noise.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import ensemble_metrics
from toolkit.outcome import Table
from toolkit.screen import Screen

ROOT = Path(__file__).parent.parent
STEPS = 50
OURS = """
import json, sys, time
from pathlib import Path
import numpy as np
from toolkit.blending.contested import gather
from toolkit.blending.greedy import greedy
from toolkit.metrics.confusion import Accuracy, MacroF1, MeanIoU
from toolkit.submission.sandbox_server import peak
folder, name, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
metric = {"accuracy": Accuracy(), "macro F1": MacroF1(), "mean IoU": MeanIoU()}[name]
targets = np.load(folder / "targets.npy")
files, count = sorted(folder.glob("model_*.npy")), len(targets)
if targets.ndim == 1:
    stored = np.stack([np.load(path) for path in files])
def parts():
    if targets.ndim == 1:
        yield 0, np.arange(count), np.rint(stored * 65535).astype(np.uint16), targets
        return
    for start in range(0, count, 50):
        at = slice(start, min(start + 50, count))
        read = np.stack([np.load(path, mmap_mode="r")[at] for path in files])
        yield 0, np.arange(count)[at], read, targets[at]
classes = np.load(files[0], mmap_mode="r").shape[1]
begun = time.perf_counter()  # the kernels' compiled code is read from disk, or compiled
small = np.uint16 if targets.ndim == 1 else np.uint8
tiny = np.random.default_rng(0).integers(255, size=(len(files), 9, classes, *[2] * (targets.ndim - 1))).astype(small)
truth = np.zeros((9, *tiny.shape[3:]), targets.dtype)
greedy(gather([(0, np.arange(9), tiny, truth)], np.zeros(9, np.int64), classes, metric, range(classes)), [0], 2)
loaded = time.perf_counter() - begun
begun = time.perf_counter()
contested = gather(parts(), np.zeros(count, np.int64), classes, metric, range(classes), folder)
weights = greedy(contested, [0], steps)
seconds = time.perf_counter() - begun
print(json.dumps({"seconds": seconds, "weights": weights.tolist(), "peak": peak(), "loaded": loaded}))
"""
PEER = """
import json, sys, time
from pathlib import Path
import numpy as np
from autogluon.core.metrics import accuracy, f1_macro, make_scorer
from autogluon.core.models.greedy_ensemble.ensemble_selection import EnsembleSelection
folder, name, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
targets = np.load(folder / "targets.npy")
read = [np.load(path) for path in sorted(folder.glob("model_*.npy"))]
if targets.ndim > 1:
    classes = read[0].shape[1]
    for number, one in enumerate(read):
        read[number] = np.ascontiguousarray(np.moveaxis(one, 1, -1).reshape(-1, classes))
        del one
    targets = targets.ravel().astype(np.int64)
def mean_iou(truth, predicted):
    matrix = np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)
    right = np.diagonal(matrix)
    return float((right / (matrix.sum(0) + matrix.sum(1) - right)).mean())
metric = {"accuracy": accuracy, "macro F1": f1_macro, "mean IoU": make_scorer("iou", mean_iou)}[name]
begun = time.perf_counter()
fitted = EnsembleSelection(steps, "multiclass", metric).fit(read, targets)
print(json.dumps({"seconds": time.perf_counter() - begun, "weights": list(fitted.weights_)}))
"""


def draw_labels(folder: Path, models: int, samples: int = 12_000, classes: int = 8) -> None:
    """Runs of unlike strength that share a part of their errors."""
    rng = np.random.default_rng(0)
    targets = rng.integers(classes, size=samples)
    shared = 1.2 * rng.normal(size=(samples, classes)) + 4 * (np.arange(classes) == targets[:, None])
    np.save(folder / "targets.npy", targets)
    for number in range(models):
        own = shared + (0.9 + 0.03 * (number % 20)) * rng.normal(size=(samples, classes))
        np.save(folder / f"model_{number:03}.npy", _softmax(own).astype(np.float32))


def draw_masks(folder: Path, models: int, count: int = 2_500, classes: int = 5) -> None:
    """Smooth regions; runs that share a part of their smooth errors."""
    import cv2

    rng = np.random.default_rng(0)
    fields = rng.normal(size=(40 * (models + 2), 8, 16, 1)).astype(np.float32)
    large = np.stack([cv2.resize(field, (128, 64), interpolation=cv2.INTER_CUBIC) for field in fields])

    def some() -> np.ndarray:
        return large[rng.integers(len(large), size=classes)]

    targets = np.empty((count, 64, 128), np.uint8)
    files = [
        np.lib.format.open_memmap(folder / f"model_{m:03}.npy", "w+", np.uint8, (count, classes, 64, 128))
        for m in range(models)
    ]
    for n in range(count):
        truth = some()
        truth[-1] -= 2  # a rare class
        targets[n] = truth.argmax(0)
        shared = 3 * truth + 1.5 * some()
        for m, file in enumerate(files):
            file[n] = np.rint(255 * _softmax(shared + (0.5 + 0.02 * m) * some(), 0))
    np.save(folder / "targets.npy", targets)


def _softmax(logits: np.ndarray, axis: int = -1) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis, keepdims=True))
    result: np.ndarray = powers / powers.sum(axis, keepdims=True)
    return result


def scored(folder: Path, weights: list[float], metric: str) -> float:
    """The official metric of the weighted mean, computed without any kernel."""
    from toolkit.metrics.confusion import Accuracy, ConfusionMetric, MacroF1, MeanIoU, confusion_matrix

    targets = np.load(folder / "targets.npy")
    files = [np.load(path, mmap_mode="r") for path in sorted(folder.glob("model_*.npy"))]
    classes = files[0].shape[1]
    total = np.zeros((classes, classes), np.int64)
    for start in range(0, len(targets), 250):
        at = slice(start, start + 250)
        mixed = sum(w * file[at].astype(np.float64) for w, file in zip(weights, files, strict=True) if w)
        total += confusion_matrix(targets[at], np.asarray(mixed).argmax(1), classes)
    known: dict[str, ConfusionMetric] = {"accuracy": Accuracy(), "macro F1": MacroF1(), "mean IoU": MeanIoU()}
    made = known[metric]
    return float(made.of_counts(total, range(classes)))


def call(python: str, script: str, *arguments: str, **more: str) -> dict[str, Any]:
    """One measurement in a process of its own, with one thread."""
    settings = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [python, "-c", script, *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | settings | more, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{python} failed: {done.stderr.strip().splitlines()[-1]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def compare(folder: Path, metric: str, peer: str, repeats: int, peer_steps: int) -> dict[str, Any]:
    """Medians, lowest and highest of interleaved repeats."""
    call(sys.executable, OURS, str(folder), metric, "1")  # kernels are compiled and kept on disk
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(call(sys.executable, OURS, str(folder), metric, str(STEPS)))
        if peer:
            theirs.append(call(peer, PEER, str(folder), metric, str(peer_steps)))
    seconds = [one["seconds"] for one in ours]
    found: dict[str, Any] = {
        "seconds": float(np.median(seconds)),
        "seconds_low": min(seconds),
        "seconds_high": max(seconds),
        "score": scored(folder, ours[0]["weights"], metric),
        "load_seconds": float(np.median([one["loaded"] for one in ours])),
        "peak_mib": max(one["peak"] for one in ours) / 2**20,
    }
    if peer:
        took = [one["seconds"] * STEPS / peer_steps for one in theirs]
        found |= {
            "peer_seconds": float(np.median(took)),
            "peer_seconds_low": min(took),
            "peer_seconds_high": max(took),
            "peer_score": scored(folder, theirs[0]["weights"], metric),
            "peer_steps": peer_steps,
            "over_autogluon": float(np.median(took) / np.median(seconds)),
        }
        if peer_steps != STEPS:
            same = call(sys.executable, OURS, str(folder), metric, str(peer_steps))
            found["score_after_peer_steps"] = scored(folder, same["weights"], metric)
    return found


def bias(problems: int, samples: int = 2_000, models: int = 20) -> dict[str, float]:
    """Mean errors, in points, of the cross-fitted and of the naive score, with their standard errors."""
    points = 100 * np.array([errors(number, samples, models) for number in range(problems)])
    error = points.std(0, ddof=1) / np.sqrt(problems)
    return {
        "crossfit_bias": float(points[:, 0].mean()),
        "crossfit_bias_error": float(error[0]),
        "naive_bias": float(points[:, 1].mean()),
        "naive_bias_error": float(error[1]),
        "problems": problems,
    }


def errors(seed: int, samples: int, models: int, classes: int = 4, fresh: int = 20_000) -> tuple[float, float]:
    """Of the cross-fitted and of the naive score, on one drawn problem."""
    from competitions.blood_cells import competition
    from toolkit.blending.blenders import BLENDERS, Blender
    from toolkit.blending.candidates import Candidate
    from toolkit.blending.crossfit import cross_fit
    from toolkit.blending.pool import make_pool
    from toolkit.blending.solution import Solution, mixed
    from toolkit.data.labelled import Labelled
    from toolkit.store import Workspace
    from toolkit.task import Classification

    competition = replace(competition, task=Classification(tuple("abcdefgh"[:classes]), (1, 1, 1)))
    fast = [one for one in BLENDERS if one.name in ("mean", "single", "greedy", "mean-biases", "greedy-biases")]
    rng = np.random.default_rng(seed)
    targets = rng.integers(classes, size=2 * samples + fresh)
    shared = rng.normal(size=(len(targets), classes)) + 1.5 * (np.arange(classes) == targets[:, None])
    shared[:, 0] += 0.8  # a class that is said too often
    stored = [
        _softmax(shared + rng.uniform(0.8, 2) * rng.normal(size=shared.shape)).astype(np.float16)
        for _ in range(models)
    ]
    seen, other, unseen = np.split(targets, [samples, 2 * samples])
    rows, none = np.arange(samples), np.zeros((0, 1, 1, 1), np.uint8)
    fold = rng.permutation(rows % 5)
    here = Labelled(
        competition=competition,
        workspace=Workspace(Path(), "drawn"),
        images=none,
        truth=seen,
        targets=seen,
        trained=np.ones(samples, bool),
        ids=rows,
        test_images=none,
        test_ids=rows[:0],
        names=rows.astype(str),
        fold=fold,
        group=rows,
        relabels=np.zeros((0, 2), np.int64),
        data_hash="",
        folds_hash="",
    )
    # what is never fitted plays the part of the test set
    candidates, apart = (
        [Candidate(f"{m}", f"{m}", one[start : start + samples], one[2 * samples :]) for m, one in enumerate(stored)]
        for start in (0, samples)
    )
    pool, elsewhere = make_pool(here, candidates), make_pool(replace(here, truth=other), apart)
    found = cross_fit(pool, fast)
    controls: dict[str, Solution] = {}

    def error(blender: Blender, solution: Solution, rows: np.ndarray) -> float:
        """Accuracy on rows less the true one, and less the same of such a blend that was fitted elsewhere."""
        if blender.name not in controls:
            after = [one for one in fast if one.name == blender.after]
            first = [one.fit(elsewhere, range(5)) for one in after]
            controls[blender.name] = blender.fit(elsewhere, range(5), *first)
        each = [
            (competition.decode(mixed(pool, one, "oof", rows)) == seen[rows]).mean()
            - (competition.decode(mixed(pool, one, "test", np.arange(fresh))) == unseen).mean()
            for one in (solution, controls[blender.name])
        ]
        return float(each[0] - each[1])

    parts = [error(*part, here.rows(k)) for k, part in enumerate(found.parts)]
    whole = float(np.average(parts, weights=[len(here.rows(k)) for k in range(5)]))
    return whole, error(*found.final, rows)


def main() -> None:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.ensemble", description=(__doc__ or "").partition("\n")[0]
    )
    made.add_argument("--json", action="store_true", help="one JSON object on stdout, all else on stderr")
    made.add_argument("--peer-python", default="", metavar="PATH", help="an interpreter that has autogluon.core")
    made.add_argument("--only", nargs="+", choices=("classification", "masks", "metrics", "bias"), metavar="PART")
    made.add_argument("--models", type=int, nargs="+", metavar="M", help="default: 10 20 100, masks 10 20")
    made.add_argument("--samples", type=int, metavar="N", help="default: 12,000, masks 2,500")
    made.add_argument("--repeats", type=int, default=3, metavar="R", help="default: 3; of masks 1 with a peer")
    made.add_argument("--peer-steps", type=int, default=2, metavar="S", help="of 50 on masks (default: 2)")
    made.add_argument("--problems", type=int, default=200, metavar="P", help="for the bias (default: 200)")
    made.add_argument("--scratch", type=Path, metavar="DIR", help="room for 2 GB of masks (default: the system's)")
    options = made.parse_args()
    screen = Screen(stderr=options.json)
    only = options.only or ("classification", "masks", "metrics", "bias")
    figures: dict[str, Any] = {"skipped": {}}
    if not options.peer_python:
        figures["skipped"]["autogluon"] = "no --peer-python given"
    parts = [
        ("classification", ("accuracy", "macro F1"), draw_labels, (10, 20, 100), 12_000, STEPS, options.repeats),
        ("masks", ("mean IoU",), draw_masks, (10, 20), 2_500, options.peer_steps, options.repeats),
    ]
    rows = []
    for part, metrics, draw, models, samples, steps, repeats in parts:
        for number in (options.models or models) if part in only else ():
            with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
                draw(Path(scratch), number, options.samples or samples)
                if "compile_seconds" not in figures:
                    with tempfile.TemporaryDirectory() as empty:
                        cold = call(sys.executable, OURS, scratch, metrics[0], "2", NUMBA_CACHE_DIR=empty)
                    figures["compile_seconds"] = cold["loaded"]
                for metric in metrics:
                    found = compare(Path(scratch), metric, options.peer_python, repeats, steps)
                    key = {"accuracy": "classification", "macro F1": "macro_f1", "mean IoU": "masks"}[metric]
                    figures[f"{key}_{number}"] = found
                    if "over_autogluon" in found and number == 20:
                        figures[f"{key}_over_autogluon"] = found["over_autogluon"]
                    theirs = [f"{found[k]:.4g}" if k in found else "-" for k in ("peer_seconds", "peer_score")]
                    ratio = f"{found['over_autogluon']:.0f}x" if "over_autogluon" in found else "-"
                    spread = f"{found['seconds']:.3f} ({found['seconds_low']:.3f} to {found['seconds_high']:.3f})"
                    line = [f"{metric}, {number} models", spread, theirs[0], ratio, f"{found['score']:.4f}", theirs[1]]
                    rows.append([*line, f"{found['peak_mib']:,.0f}"])
    if rows:
        columns = ["", "seconds", "AutoGluon", "ratio", "score", "AutoGluon", "peak MiB"]
        screen.table(Table("Greedy selection, 50 steps", columns, rows))
        screen.say(
            f"compiling the kernels, once after installation: {figures['compile_seconds']:.1f} s; reading them from "
            f"disk: {found['load_seconds']:.1f} s a process"
        )
    if "metrics" in only:
        lines = []
        for name in ensemble_metrics.MEASURED:
            with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
                number = (options.models or [20])[0]
                count = options.samples or (1_000 if name == "mean Dice" else 24_000)
                found = ensemble_metrics.compare(call, Path(scratch), name, options.peer_python, STEPS, count, number)
                figures[name] = found
                lines.append(ensemble_metrics.line(name, found))
        columns = ["metric", "seconds", "AutoGluon", "ratio", "held out", "AutoGluon", "mean of all"]
        screen.table(Table("Greedy selection, 50 steps", columns, lines))
    if "bias" in only:
        figures |= bias(options.problems)
        rows = [
            [name, f"{figures[f'{key}_bias']:+.3f} ± {figures[f'{key}_bias_error']:.3f}"]
            for name, key in (("cross-fitted", "crossfit"), ("naive", "naive"))
        ]
        title = f"Bias on {options.problems} problems, points of accuracy"
        screen.table(Table(title, ["score", "mean error"], rows))
    for name, reason in figures["skipped"].items():
        screen.say(f"{name}: skipped, {reason}")
    if options.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
