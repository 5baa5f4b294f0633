"""A page with every block, as tests and benchmarks look at it."""

import numpy as np

from toolkit.pages.html import (
    Advice,
    Bar,
    Bars,
    Block,
    Dots,
    Figure,
    Folded,
    Gallery,
    Grouping,
    Interval,
    Lines,
    Matrix,
    Page,
    Row,
    Section,
    Series,
    Table,
    Tiles,
    Words,
    mistaken,
)
from toolkit.pages.pictures import HUES, with_mask

CLASSES = ("soil", "bedrock", "sand", "big rock")
LONG = "small_unet_muon_half+epochs16+precision_float32-ceadd2d2"  # no blank where it may be broken
LEGEND = tuple(zip(CLASSES, HUES, strict=False))


def sample_page(runs: int = 14, points: int = 300, seed: int = 0) -> Page:
    """Tables, pictures and drawings of invented numbers."""
    rng = np.random.default_rng(seed)
    scores = Tiles(
        [
            ("0.517", "CV score", "95 %: 0.501 to 0.533 · blend “mean-biases”"),
            ("0.372", "test-like score", "0.344 to 0.395"),
            ("0.255", "stress score", "0.243 to 0.266"),
            ("0.357", "practice leaderboard", "submitted 28 Nov 02:37"),
        ],
        marked=0,
    )
    steps = [
        ("Big rocks are never found (IoU 0.00): oversample them.", "compete train mars sampling.power=0.5"),
        ("The score still rises in the last epoch: train longer.", "compete train mars schedule.epochs=30"),
        ("Label 13 looks wrong.", ""),
    ]
    sections: list[Block | Section] = [
        scores,
        Advice(steps),
        Section("Runs", [run_table(runs, rng), Row([curves(min(runs, 4), rng), confusion(rng), recalls()])]),
        Section("Most confident mistakes", [mistakes(rng)]),
        Section("Predictions", [masks(rng)], "Try `compete train mars augment.copy_paste=0.3` next."),
        Section(
            "Data",
            [Row([all_images(points, rng), Words([f"Every image by its looks: near ones are alike, says {LONG}."])])],
        ),
        Folded(
            "Data and versions", [Words(["400 samples in 3 folds."]), Table("", ("what", "n"), [["samples", "400"]])]
        ),
    ]
    return Page("mars · mean IoU", [], [], sections, "practice data · 3 runs", (("audit.html", "audit"),))


def run_table(runs: int, rng: np.random.Generator) -> Table:
    rows = []
    for at in range(runs):
        score = 0.5 - 0.01 * at
        bar = Interval(score - 0.02, score, score + 0.02, 0, 1)
        stress = "-" if at == 1 else f"{rng.random():.3f}"
        rows.append(
            [f"small_unet-{at}", f"{score:.3f}", bar, stress, f"{at + 1} min 05 s", f"lr=1e-{at}" if at else "-"]
        )
    tags = [["search" if at % 3 else "hand-made", *(["in the blend"] if at < 2 else [])] for at in range(runs)]
    columns = ("run", "CV", "95 % interval", "stress", "time", "changed settings")
    return Table("", columns, rows, "Best first.", 0, (0, 5), tags, folded=10)


def curves(runs: int, rng: np.random.Generator) -> Lines:
    epochs = np.arange(1, 9)
    series = [
        Series(f"run {run}, fold {fold}", epochs, 0.5 - 0.4 / epochs - 0.02 * run + 0.01 * rng.random(8), f"run {run}")
        for run in range(runs)
        for fold in range(2)
    ]
    return Lines("Learning curves", "epoch", "mean IoU", series, "A line a fold.")


def confusion(rng: np.random.Generator) -> Matrix:
    counts = rng.integers(1, 60, (4, 4)) + np.diag([300, 200, 90, 0])
    counts[3] = [4, 3, 0, 1]
    return Matrix("Confusion matrix", CLASSES, counts, "mistakes", "Click a cell to see its mistakes.")


def recalls() -> Bars:
    values = (0.9, 0.72, 0.61, 0.12)
    bars = [Bar(name, at, f"{at:.3f}", (at - 0.08, at + 0.09)) for name, at in zip(CLASSES, values, strict=True)]
    return Bars("Recall by class", bars, "With 95 % intervals.", 1.0)


def mistakes(rng: np.random.Generator) -> Gallery:
    figures = []
    for at in range(24):
        truth, said = (CLASSES[0], CLASSES[1]) if at < 12 else (CLASSES[at % 4], CLASSES[(at + 1) % 4])
        tags = ["worst" if at < 18 else "random", mistaken(truth, said), f"fold {at % 3}"]
        files = ((f"image_{at}.png", f"raw/image_{at}.png"),)
        figures.append(
            Figure(f"{0.99 - at / 100:.2f} sure", picture(rng), files, tags=tags, title=tags[1], choice=str(at))
        )
    advice = "Out of fold. Wrong labels look like this too."
    return Gallery("", advice, figures, tabs=True, alike=3, key="mistakes", command="compete audit mars --accept")


def masks(rng: np.random.Generator) -> Gallery:
    figures = []
    for at in range(4):
        image, truth = picture(rng, (64, 128)), np.repeat(np.repeat(rng.integers(0, 5, (8, 16)), 8, 0), 8, 1)
        layers = [
            ("truth", with_mask(image, truth)),
            ("prediction", with_mask(image, np.roll(truth, 8, 1))),
            (
                "difference",
                np.where((truth != np.roll(truth, 8, 1))[..., None], [213, 30, 30], image // 2).astype(np.uint8),
            ),
        ]
        figures.append(Figure(f"{at + 20} % of its pixels wrong", image, ((str(at), ""),), layers, [f"fold {at % 2}"]))
    return Gallery("Masks", "", figures, more=3, legend=LEGEND)


def all_images(points: int, rng: np.random.Generator) -> Dots:
    of = rng.integers(0, 4, points)
    places = rng.normal(size=(points, 2)) + 4 * np.stack([np.cos(of), np.sin(of)], 1)
    thumbnails = np.repeat(rng.integers(0, 255, (points, 8, 8, 3), dtype=np.uint8), 4, 1).repeat(4, 2)
    by = [Grouping("class", CLASSES, of), Grouping("fold", ("0", "1"), of % 2)]
    return Dots("All images", places, [f"image_{at}.png" for at in range(points)], by, thumbnails, "UMAP of features.")


def picture(rng: np.random.Generator, size: tuple[int, int] = (160, 160)) -> np.ndarray:
    """Smooth noise uint8 (*size, 3)."""
    small = rng.integers(60, 255, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
    return small.repeat(8, 0).repeat(8, 1)
