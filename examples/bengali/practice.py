"""Drawn: a root, a vowel on its left and a consonant on its right, black on white, at the organisers' 137x236 pixels.

Of the 168 roots 46 occur, of the 11 vowels and 7 consonants all, but only six, four and three of them more than a few
times or in the test set; writers differ in size, slant and stroke, and some combinations are in the test set alone.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from examples import drawing

HIDDEN = 80  # test pictures
HEIGHT, WIDTH = 137, 236  # of the files; drawn at half of it
FILES = {"train": 2, "test": 1}  # the organisers have four of each
ONCE = 40  # roots that occur once
SHAPES: tuple[drawing.Shape, ...] = ("ring", "frame", "cross", "wave", "disc", "triangle", "square", "bar")
COUNTS = {"grapheme_root": 168, "vowel_diacritic": 11, "consonant_diacritic": 7}
SHARES = ((0.3, 0.2, 0.2, 0.12, 0.1, 0.08), (0.4, 0.3, 0.2, 0.1), (0.6, 0.25, 0.15))  # of those that are frequent
Said = tuple[int, int, int]  # root, vowel and consonant


def draw(folder: Path, seed: int, size: int) -> None:
    """`raw/train_image_data_0.parquet …`, `raw/test_image_data_0.parquet …`, `raw/train.csv`, `raw/test.csv`,
    `raw/sample_submission.csv`, `truth/truth.npz`.
    """
    raw, rng = folder / "raw", drawing.rng_of(seed, drawing.TRAIN)
    once = [(root, root % 11, root % 7) for root in range(len(SHARES[0]), len(SHARES[0]) + ONCE)]
    said = [*once, *graphemes(rng, size - len(once), seen=True)]
    rng.shuffle(said)
    names = write(raw, "train", [written(rng, one) for one in said])
    heads = dict(zip(COUNTS, zip(*said, strict=True), strict=True))
    letters = [chr(0x995 + root % 34) + chr(0x9BE + vowel) * (vowel > 0) for root, vowel, _ in said]
    drawing.table(raw / "train.csv", {"image_id": names, **heads, "grapheme": letters})
    rng = drawing.rng_of(seed, drawing.TEST)
    said = graphemes(rng, HIDDEN, seen=False)
    names = write(raw, "test", [drawing.worn(rng, written(rng, one)) for one in said])
    keys = [(name, head) for name in names for head in sorted(COUNTS)]
    rows = [f"{name}_{head}" for name, head in keys]
    drawing.table(
        raw / "test.csv",
        {"row_id": rows, "image_id": [name for name, _ in keys], "component": [head for _, head in keys]},
    )
    drawing.table(raw / "sample_submission.csv", {"row_id": rows, "target": [0] * len(rows)})
    drawing.truth(folder, np.array(said))


def graphemes(rng: drawing.Rng, number: int, seen: bool) -> list[Said]:
    """Frequent ones; those whose sum is 4 or 9 aren't in the training set, where they are to be `seen`."""
    made: list[Said] = []
    while len(made) < number:
        root, vowel, consonant = (int(rng.choice(len(shares), p=shares)) for shares in SHARES)
        if not seen or (root + vowel + consonant) % 5 != 4:
            made.append((root, vowel, consonant))
    return made


def written(rng: drawing.Rng, said: Said) -> np.ndarray:
    """Float32 (137, 236, 3)."""
    root, vowel, consonant = said
    height, width = HEIGHT // 2, WIDTH // 2
    image, ink = drawing.ground(rng, height, width, (245, 245, 245), 2), [rng.uniform(10, 60)] * 3
    size, slant = rng.uniform(12, 16), rng.normal(0, 8)
    y, x = height / 2 + rng.normal(0, 3), width / 2 + rng.normal(0, 5)
    drawing.mark(rng, image, "bar", (y - 1.5 * size, x), 1.6 * size, ink, slant / 4)  # the line that letters hang on
    drawing.mark(rng, image, SHAPES[root % 8], (y, x), size, ink, slant)
    if root >= len(SHARES[0]):
        drawing.mark(rng, image, SHAPES[root // 8 % 8], (y, x), size / 2, [140] * 3, slant)
    for at in range(vowel % 4):
        drawing.mark(rng, image, "bar", (y, x - (1.5 + 0.55 * at) * size), 0.9 * size, ink, 90 + slant)
    for at in range(vowel // 4):
        drawing.mark(rng, image, "disc", (y + 1.6 * size, x - (0.5 - at) * size), 0.3 * size, ink)
    if consonant:
        drawing.mark(rng, image, SHAPES[(consonant * 3) % 8], (y, x + 2 * size), 0.7 * size, ink, slant)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    shake = (30 * cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), 4.5) for _ in range(2))
    down, across = (way.astype(np.float32) for way in shake)
    moved = (columns + across, rows + down)
    image = cv2.remap(image, *moved, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def write(raw: Path, part: str, images: Sequence[np.ndarray]) -> list[str]:
    """Parquet files with a row an image and a column a pixel; returns the names in the order of the files' rows."""
    names = [f"{part.capitalize()}_{at}" for at in range(len(images))]
    flat = np.stack([drawing.whole(image)[..., 0].ravel() for image in images])
    raw.mkdir(parents=True, exist_ok=True)
    for at, rows in enumerate(np.array_split(np.arange(len(images)), FILES[part])):
        columns = [pa.array([names[row] for row in rows]), *map(pa.array, flat[rows].T.copy())]
        table = pa.table(columns, ["image_id", *map(str, range(HEIGHT * WIDTH))])
        quick = {"use_dictionary": False, "write_statistics": False}  # or 32,000 columns take seconds
        parquet.write_table(table, raw / f"{part}_image_data_{at}.parquet", **quick)
    return names
