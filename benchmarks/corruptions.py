"""How many images a second the corruption suite makes; and the picture in docs/stress.md.

    python -m benchmarks.corruptions [--threads 2] [--json]
    python -m benchmarks.corruptions --picture docs/corruptions.png

On an AMD EPYC: 1,600 to 1,700 colour images of 96x96 a second of processor time, 5,200 to 5,400 grey ones of 64x128.
By the clock 1,200 and 2,400 (1 thread, both cores busy with other jobs).
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from toolkit.competition import load_competition
from toolkit.data.dataset import Dataset
from toolkit.outcome import Table
from toolkit.scoring.corruption_suite import SUITE, corrupt, suite
from toolkit.screen import Screen

ROOT = Path(__file__).parent.parent
CELL, LABEL, GAP = 56, 112, 3  # pixels of the picture


def speed(name: str, batch: int, repeats: int = 3) -> dict[str, float]:
    """Images a second under each corruption, on practice images of a competition.

    `all`: under the whole suite; `all, processor`: in a second of processor time, summed over the threads.
    """
    images, _ = _practice(name, max(24, batch))
    tensor = torch.from_numpy(np.resize(images, (batch, *images.shape[1:]))).permute(0, 3, 1, 2)
    rgb = load_competition(ROOT / "competitions" / name).rgb
    took = {}
    busy = 0.0
    for corruption in suite(rgb):
        corrupt(tensor, None, corruption.name, 3, 0, rgb)
        times, before = [], time.process_time()
        for _ in range(repeats):
            begun = time.perf_counter()
            for severity in range(1, 6):
                corrupt(tensor, None, corruption.name, severity, 0, rgb)
            times.append(time.perf_counter() - begun)
        took[corruption.name] = float(np.median(times)) / 5 / batch
        busy += (time.process_time() - before) / repeats / 5 / batch
    figures = {"all": len(took) / sum(took.values()), "all, processor": len(took) / busy}
    return figures | {corruption: 1 / seconds for corruption, seconds in took.items()}


def draw(path: Path) -> None:
    """Rows: corruptions; columns: a practice cell and a practice tile of mars, clean and at severities 1 to 5."""
    cells, _ = _practice("blood_cells", 24)
    tiles, masks = _practice("mars", 24)
    _, kind, times = np.unique(masks, axis=0, return_inverse=True, return_counts=True)
    tiles = tiles[times[kind.ravel()] == 1]  # without the intruders, which share a mask
    tiles = tiles[np.argsort(-tiles.std((1, 2, 3)), kind="stable")[:8]]  # those in which there is something to see
    columns = 12
    sheet = np.full((len(SUITE) * (CELL + GAP) + 20, LABEL + columns * (CELL + GAP) + GAP, 3), 255, np.uint8)
    for column in range(columns):
        _write(sheet, str(column % 6) if column % 6 else "clean", (LABEL + column * (CELL + GAP) + 8, 14))
    for row, corruption in enumerate(SUITE):
        top = 20 + row * (CELL + GAP)
        _write(sheet, corruption.name, (2, top + CELL // 2))
        for first, images in ((0, cells), (6, tiles)):
            if corruption.colour and images.shape[3] == 1:
                continue
            image = torch.from_numpy(images[row % len(images)][None]).permute(0, 3, 1, 2)
            rgb = (0, 1, 2) if images.shape[3] == 3 else ()
            each = (corrupt(image, None, corruption.name, severity, 0, rgb, [row])[0] for severity in range(1, 6))
            made = [image, *each]
            for column, one in enumerate(made, start=first):
                left = LABEL + column * (CELL + GAP)
                sheet[top : top + CELL, left : left + CELL] = _shown(one[0].permute(1, 2, 0).numpy())
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = Image.fromarray(sheet[:, : LABEL + 6 * (CELL + GAP)]).quantize(96).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*colours[: 3 * 96], *np.linspace(0, 255, 32).round().astype(int).repeat(3).tolist()])
    Image.fromarray(sheet).quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)


def _shown(image: np.ndarray) -> np.ndarray:
    """The whole cell, smaller; of a tile the middle, in its own pixels."""
    height, width = image.shape[:2]
    side = min(height, width)
    image = image[:, (width - side) // 2 : (width + side) // 2]
    shown = cv2.resize(image, (CELL, CELL), interpolation=cv2.INTER_AREA)
    return np.broadcast_to(shown.reshape(CELL, CELL, -1), (CELL, CELL, 3))


def _write(sheet: np.ndarray, text: str, at: tuple[int, int]) -> None:
    cv2.putText(sheet, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)


def _practice(name: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    competition = load_competition(ROOT / "competitions" / name)
    with tempfile.TemporaryDirectory() as folder:
        competition.practice(Path(folder), 0, size)
        dataset = competition.load(Path(folder) / "raw")
    assert isinstance(dataset, Dataset)
    return dataset.images, dataset.targets


def main() -> None:
    made = argparse.ArgumentParser(prog="python -m benchmarks.corruptions", description=__doc__.partition("\n")[0])
    made.add_argument("--picture", type=Path, metavar="FILE", help="draw the suite instead")
    made.add_argument("--threads", type=int, default=2, metavar="N")
    made.add_argument("--batch", type=int, default=128, metavar="N")
    made.add_argument("--json", action="store_true")
    options = made.parse_args()
    if options.picture:
        draw(options.picture)
        return
    torch.set_num_threads(options.threads)
    figures = {name: speed(name, options.batch) for name in ("blood_cells", "mars")}
    if options.json:
        json.dump(figures, sys.stdout)
        return
    names = ["all", "all, processor", *(corruption.name for corruption in SUITE)]
    rows = [[name, *(f"{made[name]:,.0f}" if name in made else "" for made in figures.values())] for name in names]
    Screen().table(Table(f"images a second, {options.threads} threads", ["", *figures], rows))


if __name__ == "__main__":
    main()
