"""Kills, damaged files, bad command lines, attacks, full disks, two at once: tried on one small competition, counted.

    python -m benchmarks.faults [--only kills damage …] [--count N] [--kept FILE] [--list] [--json]

What was tried is kept in a file, a line each, and not tried again, but for what came to no good: the same command goes
on where it was, and tries what was wrong once more after it was mended. Remove the file to begin anew.
Exit status 1 where something is wrong.
"""

import argparse
import importlib
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path

from benchmarks.faults.cases import RIGHT, WRONG, Counted, Kept, Tries, Try, code
from toolkit.outcome import Table
from toolkit.screen import Screen

COUNTS = {"kills": 1000, "damage": 200, "lines": 250, "attacks": 100, "disk": 400, "together": 100}
MEANING = {
    "kills": "killed, then called again",
    "damage": "a stored file damaged, then all commands",
    "lines": "bad command lines",
    "attacks": "by code and zips that are handed in",
    "disk": "full or not to be written, then called again",
    "together": "two of a command at once",
}
SHOWN = (*WRONG, *RIGHT)
Drawn = Callable[..., Tries]  # of stages, how many, and a generator of random numbers


def campaign(
    names: Sequence[str], counts: dict[str, int], kept: Kept, seed: int = 0, tell: Callable[[Counted], None] = print
) -> None:
    """Try what isn't kept as right, of the kinds in turn and of each in a drawn order, so that a campaign that is
    stopped has tried some of everything.
    """
    from benchmarks.faults.steps import Stages, imported  # torch, and all else

    imported()
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        stages = Stages(Path(place).resolve())
        drawn: dict[str, list[Try]] = {}
        for name in names:
            tries: Drawn = importlib.import_module(f"benchmarks.faults.{name}").tries
            drawn[name] = list(tries(stages, counts[name], random.Random(seed)))
            random.Random(seed).shuffle(drawn[name])
        for turn in zip_longest(*drawn.values()):
            for name, one in zip(drawn, turn, strict=True):
                if one is not None and not kept.is_right(name, one.what):
                    tell(kept.add(name, one.what, one.attempt()))


def main(arguments: Sequence[str] | None = None) -> int:
    made = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__.partition("\n")[0])
    made.add_argument("--only", nargs="+", choices=tuple(COUNTS), default=tuple(COUNTS))
    made.add_argument("--count", type=int, metavar="N", help=f"tries of each (default: {COUNTS})")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="which are drawn")
    made.add_argument("--kept", type=Path, default=Path("workspace/faults.jsonl"), metavar="FILE")
    made.add_argument("--list", action="store_true", help="tell of each try, on stderr")
    made.add_argument("--json", action="store_true")
    options = made.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    counts = COUNTS if options.count is None else dict.fromkeys(COUNTS, options.count)
    kept = Kept(options.kept)

    def tell(case: Counted) -> None:
        if options.list or case.kind in WRONG:
            print(f"{case.campaign}, {case.kind}: {case.what}\n    {case.said}", file=sys.stderr, flush=True)

    campaign(options.only, counts, kept, options.seed, tell)
    totals = {name: Counter(case.kind for case in kept.of(name)) for name in options.only}
    wrong = [case for name in options.only for case in kept.of(name) if case.kind in WRONG]
    if options.json:
        json.dump({"counts": totals, "wrong": [vars(case) for case in wrong]}, sys.stdout)
        return bool(wrong)
    rows = [
        [MEANING[name], str(sum(each.values()) - each["unreached"]), *(str(each[kind]) for kind in SHOWN)]
        for name, each in totals.items()
    ]
    Screen().table(Table("what was tried, and what came of it", ["", "tried", *SHOWN], rows))
    others = sum(case.code != code() for name in options.only for case in kept.of(name))
    if others:
        print(f"{others} of these were tried before the toolkit's code was last changed")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
