"""Very many classes from folds to the report: how long each step takes, and how much memory at its peak.

    OMP_NUM_THREADS=2 python -m benchmarks.classes [--classes 20000] [--samples 100000] [--metric "macro F1"] [--json]

Pictures of 8x8 are drawn (`benchmarks/many_classes`), as it is the classes that are measured. Each step is a process
of its own: its peak is the resident memory of the process, in GiB, imports of about half a GiB included. `stored` is
what the out-of-fold predictions of a run take on disk, beside what all probabilities would take as float16.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from toolkit.outcome import Table
from toolkit.screen import Screen

STEPS = ("load", "folds", "train", "train again", "ensemble", "submit", "report")


def step(name: str, workspace: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One step in this process: what it took, and a score where it has one."""
    from toolkit.data.loading import draw_practice, load
    from toolkit.progress import SILENT
    from toolkit.project import Project

    folder = Path(__file__).parent / "many_classes"
    project = Project(
        folder,
        practice=True,
        workspace=workspace,
        submissions=workspace / "handed_in",
        practice_size=options.samples,
        device="cpu",
        progress=SILENT,
    )
    begun, score = time.time(), None
    if name == "load":
        raw = draw_practice(project.competition, project.workspace, 0, options.samples, SILENT)
        load(project.competition, project.workspace, raw)
    elif name == "folds":
        score = project.folds(options.folds).as_json()["uneven"]
    elif name.startswith("train"):
        seed = int(name == "train again")
        score = project.train(stress="none", seed=seed, schedule__epochs=options.epochs).score
    elif name == "ensemble":
        score = project.ensemble(views=("none",)).score
    elif name == "submit":
        project.submit()
    else:
        project.report()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": time.time() - begun, "peak_gib": peak, "score": score}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=20_000)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--metric", default="macro F1")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--workspace", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(step(options.step, options.workspace, options)))
        return
    screen = Screen(stderr=options.json)
    asked = {"MANY_CLASSES": str(options.classes), "MANY_METRIC": options.metric}
    found: dict[str, Any] = {"classes": options.classes, "samples": options.samples, "metric": options.metric}
    with tempfile.TemporaryDirectory() as place:
        for name in STEPS:
            command = [sys.executable, "-m", "benchmarks.classes", *sys.argv[1:], "--step", name, "--workspace", place]
            done = subprocess.run(command, env=os.environ | asked, stdout=subprocess.PIPE, text=True, check=True)
            found[name] = json.loads(done.stdout.splitlines()[-1])
        stored = next(Path(place).glob("*/train/*/oof.npy")).stat().st_size
    found["stored_mib"], found["whole_mib"] = stored / 2**20, options.classes * options.samples * 2 / 2**20
    found["peak_gib"] = max(found[name]["peak_gib"] for name in STEPS)
    if options.json:
        print(json.dumps(found))
    rows = []
    for name in STEPS:
        one, score = found[name], found[name]["score"]
        rows.append([name, f"{one['seconds']:.0f} s", f"{one['peak_gib']:.2f} GiB", f"{score:.4f}" if score else "-"])
    size = f"{found['stored_mib']:,.0f} MiB of {found['whole_mib']:,.0f} stored"
    title = f"{options.classes:,} classes, {options.samples:,} samples, {options.metric}: {size}"
    screen.table(Table(title, ["", "time", "peak", "score"], rows))


if __name__ == "__main__":
    main()
