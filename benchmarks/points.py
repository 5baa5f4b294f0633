"""What `run` reaches on a hidden test set in so many minutes, with this code and with another checkout of it.

    python -m benchmarks.points --data FOLDER [--before CHECKOUT] [--budgets 10m,30m] [--only mars] [--json]

FOLDER holds `mars/` and `blood_cells/`, each as its organisers hand it out. A quarter of the groups of each is taken
out of the training file as a hidden test set: of mars as it is (its images, without masks, are the test images), of
the cells half as it is and half corrupted by `benchmarks.hidden`. Every run begins in an empty workspace, in a process
of its own, and is graded on the hidden set. CHECKOUT runs beside this code, by the same Python, each on half of the
processor's cores, so that whatever else the machine does is borne by both. What is finished is kept in the workspace
and not run again.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import toolkit
from benchmarks.hidden import hide
from toolkit.command_line import parse_duration
from toolkit.outcome import Table
from toolkit.screen import Screen

ROOT = Path(__file__).parent.parent
NAMES = ("mars", "blood_cells")
HIDDEN = 0.25  # of the groups


def hide_quarter(name: str, data: Path, folder: Path) -> None:
    """Write the organisers' file without the hidden quarter, and `truth.npz`, into the folder."""
    screen = Screen(stderr=True)
    project = toolkit.open(ROOT / "competitions" / name, data=data / name, workspace=folder / "split", progress=screen)
    project.audit()
    project.folds(3, holdout=HIDDEN)
    labelled = project.labelled()
    held = np.flatnonzero(labelled.held_out)
    images, truth = np.asarray(labelled.images[held]), labelled.truth[held]
    (file,) = (data / name).glob("*.npz")
    with np.load(file, allow_pickle=False) as raw:
        kept = np.ones(len(raw[raw.files[0]]), bool)
        kept[labelled.ids[held]] = False
        if name == "mars":
            np.savez(folder / file.name, training_set=raw["training_set"][kept], test_set=images[..., 0])
            np.savez(folder / "truth.npz", targets=truth)
        else:
            np.savez(folder / file.name, images=raw["images"][kept], labels=raw["labels"][kept])
            corrupted, _ = hide(images[::2], None, 0)
            images[::2] = corrupted
            np.savez(folder / "truth.npz", images=images, targets=truth)


def reached(code: Path, name: str, data: Path, budget: str, folder: Path, cores: set[int]) -> dict[str, Any]:
    """Scores of one `run` on these cores, and of what it hands in on the hidden set."""
    kept = folder / "scores.json"
    folder.mkdir(parents=True, exist_ok=True)
    if kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text())
        return found
    stored: list[str | Path] = ["--workspace", folder / "workspace", "--submissions", folder / "submissions"]
    common = [f"competitions/{name}", *stored]
    ran = _command(code, cores, "run", *common, "--data", data, "--budget", budget)
    truth: list[str | Path] = ["--submission", ran["submission"], "--truth", data / "truth.npz"]
    graded = _command(code, cores, "grade", *common, "--data", data, *truth)
    found = {kind: ran[kind]["score"] for kind in ("clean", "stress", "matched") if ran.get(kind)}
    found |= {"hidden": graded["leaderboard"], "low": graded["low"], "high": graded["high"], "seconds": ran["seconds"]}
    kept.write_text(json.dumps(found))
    return found


def _command(code: Path, cores: set[int], verb: str, *words: str | Path) -> dict[str, Any]:
    command = [sys.executable, "-m", f"toolkit.{verb}", *map(str, words), "--json"]
    process = subprocess.Popen(command, cwd=code, stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(process.pid, cores)
    answer, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    result: dict[str, Any] = json.loads(answer)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--before", type=Path, help="another checkout of this project")
    parser.add_argument("--budgets", default="10m")
    parser.add_argument("--only", choices=NAMES)
    parser.add_argument("--workspace", type=Path, default=Path("workspace/points"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    root = options.workspace.resolve()
    codes = ({"before": options.before.resolve()} if options.before else {}) | {"after": ROOT}
    cores = sorted(os.sched_getaffinity(0))
    shares = [set(cores[at :: len(codes)]) or set(cores) for at in range(len(codes))]
    figures: dict[str, Any] = {}
    for budget in options.budgets.split(","):
        parse_duration(budget)
        for name in (options.only,) if options.only else NAMES:
            folder = root / name
            if not (folder / "truth.npz").exists():
                folder.mkdir(parents=True, exist_ok=True)
                hide_quarter(name, options.data.resolve(), folder)
            with ThreadPoolExecutor(len(codes)) as side_by_side:
                waiting = {
                    which: side_by_side.submit(reached, code, name, folder, budget, folder / which / budget, share)
                    for (which, code), share in zip(codes.items(), shares, strict=True)
                }
            found = {which: each.result() for which, each in waiting.items()}
            figures[f"{name.removeprefix('blood_')}_{budget}"] = found
    if options.json:
        print(json.dumps(figures))
        return
    columns = ("clean", "stress", "matched", "hidden", "seconds")
    rows = [
        [key, which, *(f"{scores[kind]:.4g}" if kind in scores else "" for kind in columns)]
        for key, found in figures.items()
        for which, scores in found.items()
    ]
    Screen().table(Table("Reached on a hidden test set", ["run", "code", *columns], rows))


if __name__ == "__main__":
    main()
