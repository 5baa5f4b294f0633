"""Are the printed numbers true? Simulations whose truth is known, each number as it was made before and as it is now.

    python -m benchmarks.honesty                 about a quarter of an hour on one core
    python -m benchmarks.honesty --only intervals forecast
    python -m benchmarks.honesty --json          by key: what, old, old_error, new, new_error, target

A bias is what is printed less what is true, in points (hundredths of the metric); a coverage the share of 95 %
intervals that hold the truth; a rate the share of equal runs that are called worse. Beside each, the simulation's
standard error. Seeds are fixed: the same machine gives the same numbers.
"""

import argparse
import importlib
import json
import sys
from dataclasses import asdict

from benchmarks.honesty.measured import Measured
from toolkit.outcome import Table
from toolkit.screen import Screen

PARTS = ("search", "relabel", "intervals", "forecast")


def measure(parts: tuple[str, ...], repeats: int | None = None) -> list[Measured]:
    """The numbers of these parts, in order; repeats: of each simulation (None: as many as its error asks for)."""
    modules = [importlib.import_module(f"benchmarks.honesty.{part}") for part in parts]
    return [one for module in modules for one in module.measure(repeats)]


def main() -> None:
    made = argparse.ArgumentParser(prog="python -m benchmarks.honesty", description=__doc__.partition("\n")[0])
    made.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    made.add_argument("--repeats", type=int, metavar="N", help="of each simulation (default: as its error asks for)")
    made.add_argument("--json", action="store_true")
    options = made.parse_args()
    found = measure(tuple(options.only), options.repeats)
    if options.json:
        json.dump({one.key: {k: v for k, v in asdict(one).items() if k != "key"} for one in found}, sys.stdout)
        return
    rows = [
        [
            f"{one.key}: {one.what}",
            f"{one.old:+.3f} ± {one.old_error:.3f}",
            f"{one.new:+.3f} ± {one.new_error:.3f}",
            one.target,
        ]
        for one in found
    ]
    Screen().table(Table("printed numbers, held against the truth", ["", "before", "now", "asked"], rows))


if __name__ == "__main__":
    main()
