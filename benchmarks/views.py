"""What eight test-time views cost, as a multiple of eight plain forward passes, beside ttach.

    python -m benchmarks.views [--json] [--peer PYTHON] [--images 64] [--repeats 9]

On 2 cores (AMD EPYC) that six other jobs were using, --images 32 --repeats 5, processor time over that of eight
plain passes: ResNet-18 1.002, U-Net 1.006, resampled 1.015 and 1.001, ttach 1.022 and 1.015. Times swung by half
from one repeat to the next there; their medians were .90, 1.02, 1.01, 1.01, 1.06 and .89. An earlier run gave 1.010
and 1.049 for ours, 1.028 and 1.010 for ttach: differences of a few percent are noise. Timed apart from the passes,
seeing and averaging took .3 % of a pass on ResNet-18 and .9 % on the U-Net; resampled ones 1.0 and 1.9 %.

ResNet-18 at 96x96 sees all eight exchanges of pixels, U-Net-ResNet18 at 64x128 the four flips in two brightnesses
(what ttach offers for images that aren't square); and both eight views most of which are resampled, which ttach
doesn't offer. Each repeat times eight plain passes and eight views one after the other, in one process; figures
are medians of their ratios, with the lowest and the highest; `work` is the ratio of processor time, which other
work on the machine disturbs less. ttach averages logits; ours are softmaxed, averaged with weights and handed over
as numpy arrays within the time. ttach runs by --peer's Python where it isn't
installed beside this project; it is measured against plain passes of the same process.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

VIEWS = 8
SIZES = {"resnet18": (96, 96, 3), "unet": (64, 128, 1)}
CLASSES = {"resnet18": 8, "unet": 5}
EXCHANGED = {
    "resnet18": ["identity", "horizontal", "vertical", "both", "transpose", "antitranspose", "rot90", "rot270"],
    "unet": [
        f"{flip}{light}" for flip in ("identity", "horizontal", "vertical", "both") for light in ("", "+bright1.1")
    ],
}
RESAMPLED = [
    "identity",
    "horizontal",
    "rotate5",
    "rotate-5",
    "scale0.9",
    "horizontal+scale1.1",
    "shiftx2.5",
    "shifty4",
]
# in a process of its own, which may have neither this project nor all that it needs
PEER = """
import json, sys, time
import numpy as np, segmentation_models_pytorch as smp, timm, torch, ttach
name, images, repeats, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(threads)
if name == "resnet18":
    network = timm.create_model("resnet18", num_classes=8)
    views = ttach.Compose([ttach.HorizontalFlip(), ttach.Rotate90([0, 90, 180, 270])])
    wrapped, shape = ttach.ClassificationTTAWrapper, (3, 96, 96)
else:
    network = smp.Unet("resnet18", encoder_weights=None, in_channels=1, classes=5)
    views = ttach.Compose([ttach.HorizontalFlip(), ttach.VerticalFlip(), ttach.Multiply([1, 1.1])])
    wrapped, shape = ttach.SegmentationTTAWrapper, (1, 64, 128)
assert len(views) == 8
network = network.eval().to(memory_format=torch.channels_last)
model = wrapped(network, views, merge_mode="mean")
x = torch.randn(images, *shape).to(memory_format=torch.channels_last)
ratios = []
def now():
    return np.array([time.perf_counter(), time.process_time()])
with torch.inference_mode():
    network(x)
    for _ in range(repeats):
        begun = now()
        for _ in range(8):
            network(x)
        plain = now()
        model(x)
        ratios.append(((now() - plain) / (plain - begun)).tolist())
print(json.dumps(ratios))
"""


def spread(name: str, ratios: Any) -> dict[str, float]:
    """ratios: (repeats, 2), of time and of processor time."""
    low, middle, high = np.percentile(ratios, (0, 50, 100), axis=0)
    times = {name: float(middle[0]), f"{name}_low": float(low[0]), f"{name}_high": float(high[0])}
    return times | {f"{name}_work": float(middle[1])}


def our_figures(name: str, images: int, repeats: int) -> dict[str, float]:
    """Both sets of views and plain passes, in turns."""
    import torch

    from toolkit.networks.network import classifier, segmenter
    from toolkit.networks.tta import predict_views
    from toolkit.recipe import Model

    classes, channels = CLASSES[name], SIZES[name][2]
    made = classifier("resnet18", Model(name=name), classes, channels)
    if name == "unet":
        made = segmenter("Unet", Model(name=name), classes, channels)
    network = made.to(memory_format=torch.channels_last).eval()
    given = np.random.default_rng(0).integers(0, 256, (images, *SIZES[name]), dtype=np.uint8)
    x = torch.from_numpy(given).permute(0, 3, 1, 2)

    def plain() -> None:
        with torch.inference_mode():
            for _ in range(VIEWS):
                network(x)

    def seen(views: list[str]) -> Callable[[], object]:
        scored, cpu = range(classes), torch.device("cpu")
        return lambda: predict_views(network, given, scored, cpu, "float32", views, batch=images)

    def seconds(action: Callable[[], object]) -> np.ndarray:
        begun = np.array([time.perf_counter(), time.process_time()])
        action()
        return np.array([time.perf_counter(), time.process_time()]) - begun

    exchanged, resampled = seen(EXCHANGED[name]), seen(RESAMPLED)
    seconds(exchanged)
    times = [(seconds(plain), seconds(exchanged), seconds(resampled)) for _ in range(repeats)]
    plainly = float(np.median([once[0] for once, _, _ in times]))
    figures = {f"{name}_plain_ms_per_image": plainly / VIEWS / images * 1000}
    figures |= spread(f"{name}_tta_over_plain", [other / once for once, other, _ in times])
    return figures | spread(f"{name}_resampled_over_plain", [other / once for once, _, other in times])


def peer_figures(name: str, images: int, repeats: int, python: str) -> dict[str, float]:
    import torch

    arguments = map(str, (name, images, repeats, torch.get_num_threads()))
    done = subprocess.run([python, "-c", PEER, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return spread(f"{name}_ttach_over_plain", json.loads(done.stdout))


def view_figures(images: int = 64, repeats: int = 9, peer: str | None = None) -> dict[str, Any]:
    """All figures; `tta_over_plain` and, where ttach is at hand, `ttach_over_plain` are those of the costlier network.

    peer: the Python of an environment that has ttach, torch, timm and smp; this one where it is None.
    """
    figures: dict[str, Any] = {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "views": VIEWS,
        "images": images,
    }
    python = peer or (sys.executable if find_spec("ttach") else None)
    for name in SIZES:
        figures |= our_figures(name, images, repeats)
        if python:
            figures |= peer_figures(name, images, repeats, python)
    names = ("tta_over_plain", "resampled_over_plain", "ttach_over_plain")
    for key in (f"{name}{work}" for name in names for work in ("", "_work")):
        if f"unet_{key}" in figures:
            figures[key] = max(figures[f"{name}_{key}"] for name in SIZES)
    return figures


def main() -> None:
    made = argparse.ArgumentParser(prog="python -m benchmarks.views", description=(__doc__ or "").split("\n")[0])
    made.add_argument("--json", action="store_true", help="one JSON object on stdout")
    made.add_argument("--images", type=int, default=64, metavar="N", help="in one pass (default: 64)")
    made.add_argument("--repeats", type=int, default=9, metavar="N", help="default: 9")
    made.add_argument("--peer", metavar="PYTHON", help="of an environment with ttach, torch, timm and smp")
    options = made.parse_args()
    figures = view_figures(options.images, options.repeats, options.peer)
    if options.json:
        print(json.dumps(figures))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value", title="test-time views")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.3f}" if isinstance(value, float) else str(value))
    Console().print(table)


if __name__ == "__main__":
    main()
