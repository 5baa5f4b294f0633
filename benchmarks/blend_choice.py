"""What it is worth to choose a blend by worn images too: all pools of the runs of `benchmarks.techniques`, replayed.

    python -m benchmarks.blend_choice blood_cells --data FOLDER [--workspace workspace/techniques] [--json]

Of each pool a blend is chosen by the CV score alone, and by that and the score on images as the test may have them.
Both are scored on the held-out images, half of which are corrupted by effects of which none is in the stress score.
"""

import argparse
import json
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np

import toolkit
from benchmarks.techniques import ROOT, TECHNIQUES, Hidden
from toolkit.blending.blenders import blenders_for
from toolkit.blending.candidates import NO_LIMITS, candidate
from toolkit.blending.crossfit import cross_fit
from toolkit.blending.pool import make_pool, with_test
from toolkit.blending.solution import mixed
from toolkit.blending.worn import find_worn, kept_of
from toolkit.outcome import Table
from toolkit.project import Project
from toolkit.screen import Screen

SCORES = ("CV", "hidden", "corrupted half", "other half")


def measure(project: Project, screen: Screen) -> dict[str, Any]:
    """Mean change of each score by the second way to choose, and in how many pools there is one."""
    labelled = project.labelled()
    hidden, runs, of = Hidden(labelled), list(project.runs()), labelled.competition
    said = {run.name: hidden.mean(run) for run in runs}
    every = np.arange(len(hidden.truth))
    changes = []
    for some in chain.from_iterable(combinations(runs, size + 1) for size in range(len(runs))):
        pool = with_test(make_pool(labelled, [candidate(run, NO_LIMITS, "cpu") for run in some]), said)
        found = []
        for worn in (None, find_worn(kept_of(labelled, some), pool)):
            fitted = cross_fit(pool, blenders_for(pool), worn=worn)
            _, solution = fitted.final
            tally = of.tally(hidden.truth, mixed(pool, solution, "test", every), solution.decisions)
            halves = tally[every[::2]].score(), tally[every[1::2]].score()
            found.append([fitted.score, tally.score(), *halves])
        changes.append(np.subtract(found[1], found[0]))
        screen.say(f"pool {len(changes)} of {2 ** len(runs) - 1}")
    change = of.metric.sign * np.array(changes)
    means = dict(zip(SCORES, change.mean(0).tolist(), strict=True))
    return {"pools": len(change), "changed": int(change.any(1).sum()), **means}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("competition", choices=TECHNIQUES)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--workspace", type=Path, default=Path("workspace/techniques"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    name, screen = options.competition, Screen(stderr=True)
    where: Any = {"data": options.data.resolve() / name, "workspace": options.workspace.resolve()}
    found = measure(toolkit.open(ROOT / "competitions" / name, **where, progress=screen), screen)
    if options.json:
        print(json.dumps(found))
        return
    rows = [[key, str(value) if isinstance(value, int) else f"{value:+.4f}"] for key, value in found.items()]
    Screen().table(Table(f"{name}: chosen by worn images too", ["", "better by"], rows))


if __name__ == "__main__":
    main()
