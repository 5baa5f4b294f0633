"""Does each example go from drawn files to a checked submission within a minute? Exit status 1 where one doesn't.

    python -m benchmarks.examples
    python -m benchmarks.examples --only aptos2019 pawpularity --budget 3m

Two at a time where there are two cores, each on its share of them. Where a minute is too short for an epoch on a
machine, the example gets LONGER, and its line says so. Scores are of drawn data: they say that the way is open from
end to end, and nothing of the real competitions. `practice` is the score on the hidden test pictures, which are a
little worse than those for training.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from toolkit import load_competition
from toolkit.errors import UserError

HOME = Path(__file__).parents[1] / "examples"
SIDE_BY_SIDE = 2
LONGER = "4m"


def names() -> list[str]:
    """All folders of examples."""
    return sorted(path.parent.name for path in HOME.glob("*/__init__.py"))


def ran(name: str, budget: str, root: Path, threads: int) -> dict[str, Any]:
    """What `run --json` printed of an example, with the `seconds` of the whole process, or its `error`."""
    options = ["--practice", "--folds", "3", "--budget", budget, "--json"]
    places = ["--workspace", str(root / name), "--submissions", str(root / name / "submissions")]
    begun = time.time()
    done = subprocess.run(
        [sys.executable, "-m", "toolkit.run", str(HOME / name), *options, *places],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        cwd=HOME.parent,
    )
    took: dict[str, Any] = {"name": name, "seconds": time.time() - begun}
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["nothing was said"]
        return took | {"error": f"exit status {done.returncode}: {said[-1]}"}
    return json.loads(done.stdout) | took


def tried(name: str, budget: str, root: Path, threads: int) -> dict[str, Any]:
    """As `ran`, and once more, within LONGER, where the budget was too short."""
    found = ran(name, budget, root, threads)
    if " is too short: " not in found.get("error", ""):
        return found
    return ran(name, LONGER, root, threads) | {"longer": LONGER}


def line(found: dict[str, Any]) -> str:
    if "error" in found:
        return f"{found['name']:<14} {found['error']}"
    metric = load_competition(HOME / found["name"]).metric.name
    local, low, high = (found["clean"][name] for name in ("score", "low", "high"))
    scores = f"{local:9.4f} ({low:.4f} to {high:.4f})"
    longer = f"  of {found['longer']}" if "longer" in found else ""
    return f"{found['name']:<14} {metric:<34} {scores:<28} {found['leaderboard']:9.4f} {found['seconds']:8.0f}{longer}"


def main() -> int:
    made = argparse.ArgumentParser(prog="python -m benchmarks.examples", description=(__doc__ or "").split("\n\n")[0])
    made.add_argument("--only", nargs="+", choices=names(), default=names(), metavar="NAME")
    made.add_argument("--budget", default="1m", metavar="TIME", help="of each; default: 1m")
    made.add_argument("--workspace", type=Path, default=Path("workspace/examples"), metavar="DIR", help="is made anew")
    options = made.parse_args()
    root, begun = options.workspace.resolve(), time.time()
    for name in options.only:
        shutil.rmtree(root / name, ignore_errors=True)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    several = min(SIDE_BY_SIDE, cores)
    print(f"{'example':<14} {'metric':<34} {'CV score':<28} {'practice':>9} {'seconds':>8}", flush=True)
    failed = 0
    with ThreadPoolExecutor(several) as pool:
        for found in pool.map(lambda name: tried(name, options.budget, root, cores // several), options.only):
            print(line(found), flush=True)
            failed += "error" in found
    print(f"{len(options.only) - failed} of {len(options.only)} in {time.time() - begun:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"error: {error}")
