"""What a run costs on the organisers' machine: time for an image, and bytes of weights."""

import time
from pathlib import Path

import numpy as np

from toolkit.competition import Competition
from toolkit.networks.devices import resolve_device
from toolkit.networks.network import load_network
from toolkit.networks.predict import predict
from toolkit.recipe import from_dict
from toolkit.store import read_json, write_json

MEASURED = 64  # images


def seconds_per_image(competition: Competition, run: Path, images: np.ndarray, device_name: str) -> float:
    """Seconds in which all folds' networks of a run predict one image; measured once and kept in `cost.json`.

    A code submission predicts in float32, whatever the run was trained in.
    """
    device, recipe = resolve_device(device_name), from_dict(read_json(run / "recipe.json"))
    precision = recipe.precision if competition.try_submission is None else "float32"
    kept, name = run / "cost.json", f"{device} {precision}"
    known: dict[str, float] = read_json(kept) if kept.exists() else {}
    if name not in known:
        weights = sorted(run.glob("fold_*/weights.safetensors"))
        network = load_network(competition, recipe, weights[0], device)
        some = images[:MEASURED]
        took = []
        for _ in range(3):  # the first is a warm-up
            begun = time.perf_counter()
            predict(network, some, competition.scored, device, precision)
            took.append(time.perf_counter() - begun)
        known[name] = min(took[1:]) * len(weights) / len(some)
        write_json(kept, known)
    return known[name]


def weight_bytes(run: Path) -> int:
    return sum(path.stat().st_size for path in run.glob("fold_*/weights.safetensors"))
