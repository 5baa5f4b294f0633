"""What it costs to see pictures at another size than they are handed in at, and to stitch a very large one.

    python -m benchmarks.native [--only accuracy|stitch] [--side 20000] [--seeds 3] [--json]

accuracy: drawn blobs on noise, in pictures of 80 to 240 pixels a side. One and the same network of a few convolutions
is trained on them at 96 x 96, letterboxed, and brought back (probabilities enlarged, then decided; and, beside it,
decided first and enlarged by nearest pixels), and trained on the pictures as they are. IoU of the blobs at the size of
other pictures, mean over seeds.

stitch: seconds, those of a processor, and the peak of main memory, of a mask of side x side pixels from two classes'
stored probabilities of overlapping tiles of 512 pixels, and of its counts; in a process of its own.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from toolkit import MeanIoU, Places, Segmentation, load_competition
from toolkit.competition import Competition
from toolkit.data.masks import nearest
from toolkit.data.native import Native
from toolkit.data.placed import placed_mask, placed_tally
from toolkit.decisions.decide import PLAIN
from toolkit.images.fitting import fitted, letterboxed
from toolkit.outcome import Table, duration
from toolkit.screen import Screen
from toolkit.task import IGNORED

SIDE = 96
TRAINED, TESTED, STEPS, BATCH = 48, 32, 400, 4
TILE, STRIDE = 512, 448
MARS = Path(__file__).parent.parent / "competitions" / "mars"


def competition(side: int) -> Competition:
    """Of two classes; nothing else of it is looked at."""
    return replace(load_competition(MARS), task=Segmentation(("ground", "blob"), (side, side, 3)), metric=MeanIoU())


def drawn(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A picture float32 (h, w, 3) and its mask uint8 (h, w): blobs a little brighter than the ground, under noise."""
    height, width = (int(side) for side in rng.integers(80, 241, 2))
    mask = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(2, 6)):
        centre = int(rng.integers(0, width)), int(rng.integers(0, height))
        axes = int(rng.integers(6, 40)), int(rng.integers(6, 40))
        cv2.ellipse(mask, centre, axes, float(rng.integers(0, 180)), 0, 360, 1, -1)
    picture = 110 + 30 * mask[..., None] + rng.normal(0, 40, (height, width, 3))
    return picture.clip(0, 255).astype(np.float32), mask


def accuracy(seed: int) -> dict[str, float]:
    """IoU of blobs: at the task's size and brought back, decided there and enlarged, at the pictures' own size."""
    rng = np.random.default_rng(seed)
    train, test = ([drawn(rng) for _ in range(number)] for number in (TRAINED, TESTED))
    small = [(_small(image, 0), _small_mask(mask)) for image, mask in train]
    at_task, at_own = _trained(small, seed), _trained(train, seed)
    of, found = competition(SIDE), {"brought back": [0, 0], "decided, then enlarged": [0, 0], "own size": [0, 0]}
    for image, mask in test:
        size = (mask.shape[0], mask.shape[1])
        values = _values(at_task, _small(image, 0))[None]
        top, left, tall, wide = letterboxed(size, (SIDE, SIDE))
        labels = values[0].argmax(0).astype(np.uint8)[top : top + tall, left : left + wide]
        said = {
            "brought back": placed_mask(of, values, [0], np.array([(0, 0, *size)]), size),
            "decided, then enlarged": nearest(labels[..., None], *size)[..., 0],
            "own size": _values(at_own, image).argmax(0),
        }
        for name, each in said.items():
            found[name][0] += int(((each == 1) & (mask == 1)).sum())
            found[name][1] += int(((each == 1) | (mask == 1)).sum())
    return {name: both / either for name, (both, either) in found.items()}


def _small(image: np.ndarray, beside: int) -> np.ndarray:
    return fitted(image, SIDE, SIDE, "letterbox", beside=beside)


def _small_mask(mask: np.ndarray) -> np.ndarray:
    return fitted(mask[..., None], SIDE, SIDE, "letterbox", nearest, IGNORED)[..., 0]


def _trained(pictures: list[tuple[np.ndarray, np.ndarray]], seed: int) -> Any:
    import torch
    from torch import nn

    torch.manual_seed(seed)
    rng, layers = np.random.default_rng(seed), []
    for channels, dilation in ((3, 1), (16, 2), (16, 4), (16, 8)):
        layers += [nn.Conv2d(channels, 16, 3, padding=dilation, dilation=dilation), nn.BatchNorm2d(16), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Conv2d(16, 2, 1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        for at in rng.integers(0, len(pictures), BATCH):
            image, mask = pictures[at]
            logits = network(_tensor(image))
            truth = torch.from_numpy(mask[None].astype(np.int64))
            nn.functional.cross_entropy(logits, truth, ignore_index=IGNORED).div(BATCH).backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def _tensor(image: np.ndarray) -> Any:
    import torch

    return torch.from_numpy((image / 127.5 - 1).transpose(2, 0, 1)[None].copy())


def _values(network: Any, image: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        values: np.ndarray = network(_tensor(image)).softmax(1)[0].numpy()
    return values


def stitch(side: int, folder: str) -> dict[str, float]:
    """Of one picture, in a process of its own, whose files lie in `folder`."""
    of, corners = competition(TILE), [*range(0, side - TILE, STRIDE), side - TILE]
    boxes = np.array([(top, left, TILE, TILE) for top in corners for left in corners])
    stored = np.load(Path(folder) / "stored.npy", mmap_mode="r")
    pixels = np.load(Path(folder) / "pixels.npy", mmap_mode="r")
    before, started, of_cpu = _peak(), time.perf_counter(), time.process_time()
    mask = placed_mask(of, stored, range(len(boxes)), boxes, (side, side))
    seconds, peak, of_cpu = time.perf_counter() - started, _peak(), time.process_time() - of_cpu
    assert mask.shape == (side, side)
    del mask
    native = Native(Places(np.zeros(len(boxes), np.int64), boxes, np.array([(side, side)])), pixels)
    started = time.perf_counter()
    placed_tally(of, native, stored, np.arange(len(boxes)), [PLAIN] * len(boxes))
    counted = time.perf_counter() - started
    return {
        "tiles": len(boxes),
        "seconds": seconds,
        "seconds of a processor": of_cpu,
        "seconds with counts": counted,
        "MB before": before,
        "MB at most": peak,
        "MB at most with counts": _peak(),
    }


def _peak() -> float:
    """MB of main memory that the process has held at most; ru_maxrss would count its parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000


def draw_stored(side: int, folder: Path) -> None:
    """Stored probabilities of smooth tiles, and a truth, written a tile at a time."""
    number, rng = len([*range(0, side - TILE, STRIDE), side - TILE]) ** 2, np.random.default_rng(0)
    stored = np.lib.format.open_memmap(folder / "stored.npy", "w+", np.uint8, (number, 2, TILE, TILE))
    for at in range(number):
        stored[at, 0] = cv2.resize(rng.integers(0, 256, (8, 8)).astype(np.uint8), (TILE, TILE))
        stored[at, 1] = 255 - stored[at, 0]
    np.lib.format.open_memmap(folder / "pixels.npy", "w+", np.uint8, (side * side,)).flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.native", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=("accuracy", "stitch"))
    parser.add_argument("--side", type=int, default=20000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    screen = Screen(stderr=options.json)
    if options.only != "stitch":
        seeds = [accuracy(seed) for seed in range(options.seeds)]
        found["accuracy"] = {name: [one[name] for one in seeds] for name in seeds[0]}
        rows = [
            [name, f"{np.mean(each):.4f}", f"{min(each):.4f} to {max(each):.4f}"]
            for name, each in found["accuracy"].items()
        ]
        screen.table(Table("IoU at the pictures' own size", ["trained and predicted", "mean", "of seeds"], rows))
    if options.only != "accuracy":
        with tempfile.TemporaryDirectory() as folder:
            draw_stored(options.side, Path(folder))
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found["stitch"] = pool.apply(stitch, (options.side, folder))
        rows = [[name, duration(x) if "seconds" in name else f"{x:,.0f}"] for name, x in found["stitch"].items()]
        screen.table(Table(f"a picture of {options.side:,} x {options.side:,} pixels", ["", ""], rows))
    if options.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
