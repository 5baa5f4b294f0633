"""How fast a submission is written and checked, and what a code submission costs.

    python -m benchmarks.submission [--json] [--only csv faults code] [--images 3400] [--workspace DIR]

The CSV has the size of the mars competition's (10,022 rows of 8,192 pixels). pandas and polars write a part
of the rows (their time is linear in them) in the same run. The code submission is the blood_cells blend in
--workspace; without one, ten EfficientNet-Lite0 with ImageNet weights and heads that were never trained, which
cost the same. Times are medians, with the lowest and the highest.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = (64, 128)
PEERS = 20  # they write one row in so many
REPEATS = 5
ROOT = Path(__file__).parent.parent
# each in a process of its own, so that its memory is its own
WRITE = """
import json, sys, time
from pathlib import Path
import numpy as np
from toolkit.submission.sandbox_server import peak
from toolkit.formats.writers import write_pixels
masks, seconds = np.load(sys.argv[1], mmap_mode="r"), []
for _ in range(int(sys.argv[3])):
    Path(sys.argv[2]).unlink(missing_ok=True)
    begun = time.perf_counter()
    write_pixels(Path(sys.argv[2]), masks)
    seconds.append(time.perf_counter() - begun)
print(json.dumps({"seconds": seconds, "peak": peak()}))
"""
CHECK = """
import json, sys, time
from pathlib import Path
import numpy as np
from toolkit.formats.readers import read_pixels
from toolkit.submission.sandbox_server import peak
masks, seconds = np.load(sys.argv[1], mmap_mode="r"), []
for _ in range(int(sys.argv[3])):
    begun = time.perf_counter()
    found = read_pixels(Path(sys.argv[2]), len(masks), masks.shape[1:], 5)
    seconds.append(time.perf_counter() - begun)
held = peak()
print(json.dumps({"seconds": seconds, "peak": held, "same": bool((found == masks).all())}))
"""
READ = """
import json, sys
import numpy as np
masks = np.load(sys.argv[1], mmap_mode="r").reshape(-1, 8192)
if sys.argv[3] == "pandas":
    import pandas as pd
    names = [str(i) for i in range(8192)]
    table = pd.read_csv(sys.argv[2], dtype={"id": np.int64} | dict.fromkeys(names, np.uint8))
    ids, values = table["id"].to_numpy(), table[names].to_numpy()
else:
    import polars as pl
    table = pl.read_csv(sys.argv[2], infer_schema_length=1)
    ids, values = table["id"].to_numpy(), table.drop("id").to_numpy()
print(json.dumps({"same": bool((ids == np.arange(len(masks))).all() and (values == masks).all())}))
"""


def measured(code: str, *arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def repeat(action: Callable[[], object], times: int = REPEATS) -> list[float]:
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - begun)
    return seconds


def spread(name: str, seconds: list[float], factor: float = 1.0) -> dict[str, float]:
    low, middle, high = (float(np.percentile(seconds, q)) * factor for q in (0, 50, 100))
    return {name: middle, f"{name}_low": low, f"{name}_high": high}


def csv_figures(rows: int) -> dict[str, Any]:
    """The mars CSV: ours against pandas, polars (where it is installed) and the bare bytes."""
    import pandas as pd

    masks = np.random.default_rng(0).integers(1, 5, (rows, *SHAPE), dtype=np.uint8)
    figures: dict[str, Any] = {"csv_rows": rows, "pandas_rows": max(1, rows // PEERS)}
    part = masks[: figures["pandas_rows"]].reshape(figures["pandas_rows"], -1)
    scale = rows / len(part)
    with tempfile.TemporaryDirectory() as scratch:
        given, path, other = (Path(scratch) / name for name in ("masks.npy", "ours.csv", "theirs.csv"))
        np.save(given, masks)
        wrote = measured(WRITE, given, path, REPEATS)
        table = pd.DataFrame(part)
        table.insert(0, "id", range(len(part)))
        figures |= spread("csv_seconds", wrote["seconds"])
        figures |= spread("pandas_seconds", repeat(lambda: table.to_csv(other, index=False), 3), scale)
        with open(path, "rb") as file, open(other, "rb") as theirs:
            figures["csv_same_bytes_as_pandas"] = all(a == b for a, b in zip(theirs, file, strict=False))
        figures |= spread("disk_seconds", _bare(path.read_bytes(), other))
        figures |= {"csv_bytes": path.stat().st_size, "csv_write_peak_mib": wrote["peak"] / 2**20}
        figures["csv_over_pandas"] = figures["pandas_seconds"] / figures["csv_seconds"]
        figures["csv_over_disk"] = figures["csv_seconds"] / figures["disk_seconds"]
        if find_spec("polars"):
            import polars as pl

            frame = pl.from_pandas(table)
            figures |= spread("polars_seconds", repeat(lambda: frame.write_csv(other)), scale)
            figures["csv_over_polars"] = figures["polars_seconds"] / figures["csv_seconds"]
            figures["csv_same_in_polars"] = measured(READ, given, path, "polars")["same"]
        read = measured(CHECK, given, path, REPEATS)
        figures |= spread("csv_check_seconds", read["seconds"])
        figures |= {"csv_check_peak_mib": read["peak"] / 2**20, "csv_same": read["same"]}
        figures["csv_same_in_pandas"] = measured(READ, given, path, "pandas")["same"]
    return figures


def _bare(content: bytes, path: Path) -> list[float]:
    return repeat(lambda: path.write_bytes(content))


def code_figures(images: int, workspace: Path | None) -> dict[str, Any]:
    """A blood_cells zip of ten networks: built twice, run in the sandbox, compared with the pipeline."""
    from competitions.blood_cells import competition
    from toolkit.answers import Prediction
    from toolkit.store import sha256
    from toolkit.submission.checks import check_submission, predicted
    from toolkit.submission.doubts import said

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        begun = time.perf_counter()
        members, pictures, what = _blend(competition, folder, images, workspace)
        prediction = predicted(
            competition, Prediction(pictures, np.arange(len(pictures)), np.zeros(0, np.uint8), members), "auto"
        )
        pipeline = time.perf_counter() - begun
        building = repeat(lambda: competition.write_submission(prediction, folder / "a.zip"), 1)
        competition.write_submission(prediction, folder / "b.zip")
        expected = said(competition, [prediction.labels])
        checked, _ = check_submission(competition, prediction, folder / "a.zip", folder / "none", expected)
        return {
            "code_what": what,
            "code_networks": len(members),
            "code_images": len(pictures),
            "code_bytes": (folder / "a.zip").stat().st_size,
            "code_same_bytes_twice": sha256(folder / "a.zip") == sha256(folder / "b.zip"),
            "code_build_seconds": building[0],
            "code_pipeline_seconds": pipeline,
            "code_seconds": checked["seconds"],
            "code_peak_mib": checked["peak_bytes"] / 2**20,
            "code_agreement": checked["agreement"],
            "code_ties": checked["ties"],
            "code_network": checked["network"],
        }


def _blend(competition: Any, folder: Path, images: int, workspace: Path | None) -> tuple[Any, np.ndarray, str]:
    """Members, pictures uint8 (images, 96, 96, 3), and what they are in words."""
    from toolkit.answers import Member
    from toolkit.blending.blend_folder import chosen_blend
    from toolkit.data.labelled import open_labelled
    from toolkit.store import Workspace
    from toolkit.submission.checks import blend_members

    if workspace is not None:
        labelled = open_labelled(competition, Workspace(workspace, competition.name))
        rows = np.linspace(0, len(labelled.images) - 1, images).astype(int)
        blend = chosen_blend(labelled)
        assert blend is not None, f"there is no blend in {workspace}"
        return blend_members(blend), labelled.images[rows], f"the blend in {blend.folder}"
    import torch
    from safetensors.torch import save_file

    members = []
    for number in range(10):
        recipe = competition.recipes["efficientnet_lite0"]
        recipe = replace(recipe, model=replace(recipe.model, head=("linear", "mlp")[number % 2]))
        torch.manual_seed(number)
        weights = folder / f"{number}.safetensors"
        save_file({k: v.contiguous() for k, v in competition.build_model(recipe).state_dict().items()}, weights)
        members.append(Member(recipe, weights, 0.1))
    competition.practice(folder / "practice", 0, 240)
    drawn = competition.load(folder / "practice" / "raw").images
    pictures = drawn[np.arange(images) % len(drawn)]
    # drawn pictures repeat; a little noise makes each another one
    noise = np.random.default_rng(0).integers(-8, 9, pictures.shape, dtype=np.int16)
    return tuple(members), np.clip(pictures + noise, 0, 255).astype(np.uint8), "untrained heads on drawn pictures"


def fault_figures() -> dict[str, Any]:
    """How many broken submissions are caught with the right sentence, by the tests that make them."""
    names = "fails_on_the_server or stopped_at_its_limit or looked_at or damaged or encrypted or twice or broken_file"
    files = [f"tests/submission/test_{room}.py" for room in ("sandbox", "readers")]
    command = [sys.executable, "-m", "pytest", *files, "-k", names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    counts = dict(re.findall(r"(\d+) (passed|failed)", done.stdout))
    found = {outcome: int(number) for number, outcome in counts.items()}
    return {"faults_caught": found.get("passed", 0), "faults_missed": found.get("failed", 0)}


def main() -> None:
    made = argparse.ArgumentParser(prog="python -m benchmarks.submission", description=(__doc__ or "").split("\n")[0])
    made.add_argument("--json", action="store_true", help="one JSON object on stdout")
    made.add_argument("--rows", type=int, default=10022, metavar="N", help="of the CSV (default: 10022)")
    made.add_argument("--images", type=int, default=3400, metavar="N", help="for the code submission (default: 3400)")
    made.add_argument("--workspace", type=Path, metavar="DIR", help="with a blood_cells blend")
    made.add_argument("--only", nargs="+", choices=("csv", "faults", "code"), default=("csv", "faults", "code"))
    options = made.parse_args()
    figures: dict[str, Any] = {"machine": platform.machine(), "cores": os.cpu_count()}
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "csv": lambda: csv_figures(options.rows),
        "faults": fault_figures,
        "code": lambda: code_figures(options.images, options.workspace),
    }
    for part in options.only:
        figures |= parts[part]()
    if options.json:
        print(json.dumps(figures))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value", title="submissions")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.3f}" if isinstance(value, float) else str(value))
    Console().print(table)


if __name__ == "__main__":
    main()
