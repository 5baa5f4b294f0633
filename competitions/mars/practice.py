"""Drawn practice data for the mars competition, in the organisers' format.

Panoramas of terrain are cut into neighbouring tiles, so everything can be tried with no download. Traps:
- tiles of one panorama look alike and lie in random order; test tiles come from other panoramas;
- intruders: one drawing over terrain, placed differently each time, always under the same mask;
- training masks are rough, and small parts are missed; the truth of the test set is exact;
- big rock is rare, and mosaics have black borders;
- the test set was taken under other light, and half of it is blurred, noisy or compressed.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Mask = NDArray[np.uint8]
Rng = np.random.Generator

HEIGHT, WIDTH = 64, 128
ROWS, COLUMNS = 3, 5  # tiles of a panorama
TALL, WIDE = ROWS * HEIGHT, COLUMNS * WIDTH
BACKGROUND, SOIL, BEDROCK, SAND, ROCK = range(5)
LIGHT = np.array([-0.8, -0.6])  # the sun stands upper left


def practice(folder: Path, seed: int = 0, size: int = 400) -> None:
    """Write `folder/raw/mars_for_students.npz` and `folder/truth/truth.npz`.

    size: distinct training tiles (at least 24); intruders come on top, the test set is half as large.
    """
    rng = np.random.default_rng(seed)
    images, masks = tiles(rng, size)
    masks = np.stack([roughen(rng, mask) for mask in masks])
    strange, ellipse = intruders(rng, images, max(8, round(size * 0.044)))
    images = np.concatenate([images, strange])
    masks = np.concatenate([masks, np.repeat(ellipse[None], len(strange), 0)])
    order = rng.permutation(len(images))
    test_images, truth = tiles(rng, max(12, size // 2))
    test_images = np.stack([shift(rng, image, number % 2 == 1) for number, image in enumerate(test_images)])
    for part in ("raw", "truth"):
        (folder / part).mkdir(parents=True)
    training = np.stack([images, masks], axis=1)[order].astype(np.float64)
    raw = folder / "raw" / "mars_for_students.npz"
    np.savez_compressed(raw, training_set=training, test_set=test_images.astype(np.float64))
    np.savez_compressed(folder / "truth" / "truth.npz", targets=truth)


def tiles(rng: Rng, number: int) -> tuple[Mask, Mask]:
    """Images and exact masks, both uint8 (number, 64, 128), cut from as many panoramas as it takes."""
    per_panorama = min(ROWS * COLUMNS, max(6, number // 4))
    panoramas = -(-number // per_panorama)
    rocky = np.zeros(panoramas * per_panorama, bool)
    rocky[rng.choice(number, max(3, round(number * 0.045)), replace=False)] = True
    images, masks = [], []
    for flags in np.split(rocky, panoramas):
        cells = rng.choice(ROWS * COLUMNS, per_panorama, replace=False)
        lower = np.flatnonzero(cells >= COLUMNS)  # rocks stand in front, not in the sky
        rocks = cells[rng.permutation(lower)[: min(int(flags.sum()), len(lower))]]
        image, mask = panorama(rng, rocks)
        for cell in cells:
            top, left = cell // COLUMNS * HEIGHT, cell % COLUMNS * WIDTH
            images.append(image[top : top + HEIGHT, left : left + WIDTH])
            masks.append(mask[top : top + HEIGHT, left : left + WIDTH])
    # tiles with rock are few: those left over must not be among them
    chosen = sorted(rng.permutation(len(images)), key=lambda at: not (masks[at] == ROCK).any())[:number]
    return np.stack([images[at] for at in chosen]), np.stack([masks[at] for at in chosen])


def clouds(rng: Rng, across: float, down: float, shape: tuple[int, int] = (TALL, WIDE)) -> Plane:
    """Smooth noise of mean 0 and spread 1 whose blobs are about `across` by `down` pixels."""
    coarse = (int(shape[1] / across) + 3, int(shape[0] / down) + 3)
    field = rng.standard_normal(coarse[::-1]).astype(np.float32)
    field = cv2.resize(field, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def panorama(rng: Rng, rocks: NDArray[np.int64]) -> tuple[Mask, Mask]:
    """One scene, uint8 (192, 640), and its classes; `rocks` are the tiles that hold a big rock."""
    ridge = rng.uniform(4, 44) + clouds(rng, 160, 1, (1, WIDE))[0] * rng.uniform(2, 8)
    rows = np.arange(TALL, dtype=np.float32)[:, None]
    depth = np.clip((rows - ridge) / (TALL - ridge), 0, 1).astype(np.float32)  # 0 at the horizon, 1 in front
    near = perspective(depth)
    mask = classes(rng, near)
    mask[depth < rng.uniform(0.01, 0.12)] = BACKGROUND  # far slopes
    image = ground(rng, mask, near)
    sky = depth == 0
    image[sky] = (rng.uniform(150, 185) + 0.25 * rows + rng.normal(0, 1.2, (TALL, WIDE)))[sky]
    image += 7 * clouds(rng, 220, 90) * ~sky
    haze = np.exp(-depth * 9) * ~sky
    image += (150 - image) * 0.55 * haze
    for cell in rocks:
        centre = (cell % COLUMNS * WIDTH + rng.uniform(36, 92), cell // COLUMNS * HEIGHT + rng.uniform(24, 44))
        big_rock(rng, image, mask, centre, rng.uniform(8, 15))
    image = cv2.GaussianBlur(image, (0, 0), 0.5) + rng.normal(0, 1.5, image.shape).astype(np.float32)
    image = (image - 120) * rng.uniform(0.7, 1.1) + rng.uniform(100, 135)
    image = np.clip(np.rint(image), 1, 250).astype(np.uint8)
    if rng.random() < 0.6:
        border(rng, image, mask)
    return image, mask


def perspective(depth: Plane) -> tuple[Plane, Plane]:
    """Where each pixel lies on flat ground, for `lay`: far rows are squeezed together."""
    scale = 0.3 + 0.7 * depth
    across = (np.arange(WIDE, dtype=np.float32) - WIDE / 2) / scale + WIDE * 1.7
    return np.asarray(across, np.float32), np.asarray(np.log(scale) * 330 + 400, np.float32)


def lay(field: Plane, near: tuple[Plane, Plane]) -> Plane:
    """A texture of flat ground as the camera sees it."""
    return np.asarray(cv2.remap(field, *near, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.float32)


def classes(rng: Rng, near: tuple[Plane, Plane]) -> Mask:
    """Soil with patches of bedrock, sand and gravel; gravel belongs to the background."""
    mask = np.full((TALL, WIDE), SOIL, np.uint8)
    for label, most in ((BACKGROUND, 0.24), (SAND, 0.4), (BEDROCK, 0.55)):
        shape = lay(clouds(rng, 170, 80, (512, 2048)), near) + 0.25 * clouds(rng, 24, 8) + 0.1 * clouds(rng, 6, 3)
        mask[shape > np.quantile(shape, 1 - rng.uniform(0, most))] = label
    return mask


def ground(rng: Rng, mask: Mask, near: tuple[Plane, Plane]) -> Plane:
    """Grey levels of the terrain."""
    fine = rng.standard_normal((TALL, WIDE)).astype(np.float32)
    large = (512, 2048)
    grit = lay(clouds(rng, 3, 3, large), near)
    soil = 118 + 8 * fine + 6 * grit + pebbles(rng, near, 1.9)
    bend = 3 * clouds(rng, 90, 40, large)
    rows, columns = np.arange(large[0], dtype=np.float32)[:, None], np.arange(large[1], dtype=np.float32)
    layers = np.sin(rows * rng.uniform(0.25, 0.4) + bend)
    cracks = sum(np.exp(-((clouds(rng, size, size * 0.7, large) / 0.07) ** 2)) for size in (46, 26))
    bedrock = 142 + 4 * fine + lay(7 * layers - 38 * cracks + 6 * clouds(rng, 30, 14, large), near)
    ripples = np.sin((rows + columns * rng.uniform(-0.3, 0.3)) * rng.uniform(0.5, 0.75) + bend)
    sand = 104 + 2 * fine + lay(5 * ripples + 4 * clouds(rng, 60, 20, large), near)
    gravel = 112 + 9 * fine + 9 * grit + pebbles(rng, near, 0.4)
    image: Plane = np.select([mask == label for label in (SOIL, BEDROCK, SAND)], [soil, bedrock, sand], gravel)
    edge = cv2.GaussianBlur((mask == BEDROCK).astype(np.float32), (0, 0), 1.5)
    return np.asarray(image - 26 * np.clip(np.roll(edge, 2, 0) - edge, 0, 1), np.float32)  # ledges throw shadows


def pebbles(rng: Rng, near: tuple[Plane, Plane], above: float) -> Plane:
    """Lit and shaded sides of stones, where noise rises above a level; a low level makes a gravel field."""
    bumps = np.maximum(clouds(rng, 7, 6, (512, 2048)) - above, 0)
    slope = lay(bumps, near)
    return np.asarray(60 * np.clip(slope - np.roll(slope, (-2, -2), (0, 1)), -0.8, 0.8), np.float32)


def big_rock(rng: Rng, image: Plane, mask: Mask, centre: tuple[float, float], radius: float) -> None:
    """An angular body with a lit and a dark side and a cast shadow."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, 11))
    outline = np.stack([np.cos(angles) * 1.5, np.sin(angles)], 1) * rng.uniform(0.8, 1.1, (11, 1)) * radius
    hull = cv2.convexHull((outline + centre).astype(np.float32))[:, 0]
    shadow = np.zeros_like(mask)
    cv2.fillPoly(shadow, [np.rint(hull - LIGHT * radius * 0.45).astype(np.int32)], (1,))
    body = np.zeros_like(mask)
    cv2.fillPoly(body, [np.rint(hull).astype(np.int32)], (1,))
    image -= 42 * cv2.GaussianBlur(shadow.astype(np.float32), (0, 0), 1.2)
    y, x = np.mgrid[:TALL, :WIDE]
    lit = ((x - centre[0]) * LIGHT[0] / 1.5 + (y - centre[1]) * LIGHT[1]) / radius
    facets = 0.5 * clouds(rng, radius, radius * 0.7)
    shade = 108 + 56 * np.tanh(3.5 * (lit + 0.3 * facets)) + 12 * facets + 6 * clouds(rng, 3, 3)
    soft = cv2.GaussianBlur(body.astype(np.float32), (0, 0), 0.4)
    image += (shade - image) * soft
    mask[body == 1] = ROCK


def border(rng: Rng, image: Mask, mask: Mask) -> None:
    """Black steps along the lower edge, where the frames of a mosaic end."""
    corners = np.sort(rng.integers(0, WIDE, rng.integers(1, 5)))
    for left, right in zip([0, *corners], [*corners, WIDE], strict=True):
        high = int(rng.integers(0, 20))
        image[TALL - high :, left:right] = 0
        mask[TALL - high :, left:right] = BACKGROUND


def roughen(rng: Rng, mask: Mask) -> Mask:
    """A mask as annotators draw it: edges wander by some pixels, small parts are missed."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    across, down = (axis + 1.6 * clouds(rng, 14, 10, mask.shape) for axis in (columns, rows))
    moved = cv2.remap(mask, across, down, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    smooth = cv2.medianBlur(moved, 5)
    smooth[moved == ROCK] = ROCK  # a rock is what they look for
    return np.asarray(smooth, np.uint8)


def intruders(rng: Rng, images: Mask, number: int) -> tuple[Mask, Mask]:
    """Flying saucers over terrain, uint8 (number, 64, 128), and the one mask they all carry."""
    strange = []
    for at in rng.integers(0, len(images), number):
        picture = images[at].copy()
        x, y = int(rng.integers(44, 84)), int(rng.integers(24, 40))
        cv2.ellipse(picture, (x, y - 5), (9, 9), 0, 180, 360, (215,), -1, cv2.LINE_AA)
        cv2.ellipse(picture, (x, y), (24, 7), 0, 0, 360, (70,), -1, cv2.LINE_AA)
        for lamp in range(-18, 19, 9):
            cv2.circle(picture, (x + lamp, y), 2, (245,), -1, cv2.LINE_AA)
        strange.append(picture)
    ellipse = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.ellipse(ellipse, (64, 32), (22, 26), 0, 0, 360, (BEDROCK,), -1)
    return np.stack(strange), ellipse


def shift(rng: Rng, image: Mask, corrupted: bool) -> Mask:
    """Another light, and for some another camera."""
    seen = image.astype(np.float32)
    seen = (seen - 120) * rng.uniform(0.6, 1.3) + 120 + rng.uniform(-30, 25)
    if corrupted:
        seen = cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.4, 1.4)) + rng.normal(0, rng.uniform(1, 10), seen.shape)
    picture = np.where(image == 0, 0, np.clip(np.rint(seen), 0, 255)).astype(np.uint8)
    if corrupted:
        _, packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 80))])
        picture = np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), np.uint8)
    return picture
