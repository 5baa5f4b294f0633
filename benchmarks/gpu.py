"""All that the toolkit does on a GPU, tried and measured in under 8 minutes.

    python -m benchmarks.gpu [--json] [--device auto] [--only correct mars …] [--tiny] [--out FILE]

start: that the device is there. correct: gradients, predictions, views and augmentation beside a CPU's; the same
training twice to the same bits; where a step waits for the GPU. mars, cells: practice data to a graded submission, in
two precisions, with stress scores, a blend with views, the sandbox. folds: side by side on one GPU, and on two where
there are two. resnet50, convnext_tiny, unet_resnet34: images/s and memory at two sizes over a bare loop on one batch
that lies ready, beside a DataLoader with albumentations, beside timm's loader and optimiser. compiled: what
torch.compile gains. parted: a batch that doesn't fit.

Every part has a process and a time of its own: one that fails is one line, and the others go on. A table, then one
JSON object on the last line (`--json`: that alone; `--out`: also into a file). The exit status is 1 where something
failed or is wrong. --tiny: as the suite runs it, in seconds on a CPU.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_parts import PARTS, TINY, WHOLE
from benchmarks.training import ROOT
from toolkit.networks.devices import resolve_device
from toolkit.networks.speed import machine
from toolkit.outcome import Table
from toolkit.screen import Screen
from toolkit.store import write_json

ALL = 475.0  # seconds that all parts have together


def tried(name: str, device: torch.device, tiny: bool, seconds: float) -> dict[str, Any]:
    """A part, in this process."""
    part, _ = PARTS[name]
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        found = part(device, TINY if tiny else WHOLE, seconds, Path(folder))
        took = time.monotonic() - begun
    return {"seconds": took, "figures": found.figures, "checks": found.checks, "fault": ""}


def alone(name: str, device: str, tiny: bool, seconds: float) -> dict[str, Any]:
    """The same in a process of its own, which is ended when its time is over."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.gpu", "--part", name, "--device", device]
    command += ["--seconds", str(seconds), *(["--tiny"] if tiny else [])]
    begun = time.monotonic()
    fault: dict[str, Any] = {"figures": {}, "checks": {}}
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return fault | {"seconds": seconds, "fault": f"took longer than {seconds:.0f} s"}
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()] or ["no reason given"]
        return fault | {"seconds": time.monotonic() - begun, "fault": f"{lines[-1][:300]} (status {done.returncode})"}
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer | {"seconds": time.monotonic() - begun}


def measure(names: list[str], device: str, tiny: bool = False) -> dict[str, Any]:
    """`machine` and `parts`, each as of `tried`; `passed`: nothing failed, and all checks hold."""
    until = time.monotonic() + ALL
    parts: dict[str, Any] = {}
    for name in names:
        seconds = min(PARTS[name][1], until - time.monotonic())
        if seconds < 5:
            parts[name] = {"seconds": 0.0, "figures": {}, "checks": {}, "fault": "no time was left"}
            continue
        print(f"{name} …", file=sys.stderr, flush=True)
        parts[name] = alone(name, device, tiny, seconds)
    passed = all(not part["fault"] and all(part["checks"].values()) for part in parts.values())
    return {"machine": described(resolve_device(device)), "passed": passed, "parts": parts}


def described(device: torch.device) -> dict[str, Any]:
    made: dict[str, Any] = {"device": str(device), "name": machine(device), "threads": torch.get_num_threads()}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        made |= {
            "memory_gib": properties.total_memory / 2**30,
            "capability": f"{properties.major}.{properties.minor}",
            "gpus": torch.cuda.device_count(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return made


def table(found: dict[str, Any]) -> Table:
    rows = []
    for name, part in found["parts"].items():
        wrong = [check for check, holds in part["checks"].items() if not holds]
        verdict = part["fault"] or (f"WRONG: {', '.join(wrong)}" if wrong else f"{len(part['checks'])} checks hold")
        rows.append([name, "", f"{part['seconds']:.0f} s", verdict])
        rows += [["", key, _shown(value), ""] for key, value in part["figures"].items()]
    verdict = "all parts passed" if found["passed"] else "NOT all parts passed"
    return Table(f"{found['machine']['name']}: {verdict}", ["part", "figure", "value", "verdict"], rows, text=True)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--out", type=Path, metavar="FILE")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(tried(options.part, resolve_device(options.device), options.tiny, options.seconds)))
        return 0
    found = measure(options.only, options.device, options.tiny)
    if options.out:
        write_json(options.out, found)
    if not options.json:
        Screen().table(table(found))
    print(json.dumps(found))
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
