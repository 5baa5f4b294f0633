"""Drawn practice data for the blood cell competition, in the organisers' format.

Eight kinds of cell, drawn as stained smears: everything can be tried with no download. Traps:
- one non-cell picture, the same under all eight labels, in class blocks at the end of the file;
- after it a second non-cell picture, always labelled monocyte;
- a few exact duplicates, one pair of which carries two different labels;
- near copies: about 3 % of the cells come back turned, shifted or mirrored.
The hidden test set holds other cells, and three quarters of its pictures are heavily corrupted.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]  # one value per pixel; stacked three deep: R, G, B
Image = NDArray[np.uint8]  # 96 x 96 x 3, RGB; also the masks, which are drawn on the larger canvas
Rng = np.random.Generator

SIDE, CANVAS, TURN = 96, 192, 2 * np.pi  # outlines are drawn twice as large and averaged down
MIDDLE = (1 + 1j) * CANVAS / 2  # points are complex numbers, x + iy, in canvas pixels
BASOPHIL, EOSINOPHIL, ERYTHROBLAST, GRANULOCYTE, LYMPHOCYTE, MONOCYTE, NEUTROPHIL, PLATELET = range(8)
ANGLE, WAVE = np.linspace(0, TURN, 48, endpoint=False), np.arange(2, 8)[:, None]  # of an outline
EMPTY = np.zeros((CANVAS, CANVAS), np.uint8)
REAL_COUNTS = np.array([852, 2181, 1085, 2026, 849, 993, 2330, 1643])
# For each kind: radius on the canvas, unevenness of the outline, share of the radius that the nucleus takes,
# noise levels above which there are granules and above which the chromatin is loose, and the colours of
# cytoplasm, granules, dense chromatin and loose chromatin.
LOOKS = (
    ((54, 68), 0.07, 0.75, 0.3, 0.1, ((166, 124, 172), (66, 22, 112), (62, 20, 118), (124, 76, 152))),
    ((60, 72), 0.03, 0.0, -0.5, 0.2, ((208, 142, 150), (172, 84, 112), (64, 18, 124), (150, 98, 164))),
    ((38, 56), 0.05, 0.70, 1.6, 0.6, ((138, 114, 166), (112, 88, 152), (52, 14, 106), (140, 92, 150))),
    ((60, 78), 0.04, 0.71, 0.1, -0.1, ((194, 160, 184), (120, 66, 150), (76, 24, 126), (160, 98, 164))),
    ((44, 55), 0.04, 0.86, 0.2, 0.2, ((140, 126, 182), (88, 62, 146), (62, 20, 120), (128, 76, 148))),
    ((66, 84), 0.08, 0.67, 0.0, -0.4, ((174, 154, 188), (140, 114, 170), (84, 28, 130), (154, 100, 166))),
    ((60, 80), 0.04, 0.0, 0.8, 0.3, ((222, 186, 180), (160, 100, 142), (58, 14, 118), (136, 90, 158))),
    ((18, 30), 0.14, 0.0, -0.4, 0.0, ((168, 116, 170), (80, 22, 122), (0, 0, 0), (0, 0, 0))),
)


def noise(rng: Rng, grain: float) -> Plane:
    """Smooth noise of spread one, from fine (0.6) to cloudy (7)."""
    field = cv2.GaussianBlur(rng.standard_normal((SIDE, SIDE), np.float32), (0, 0), grain)
    return np.asarray(np.clip(field * np.float32(SIDE / np.linalg.norm(field)), -2.5, 2.5), np.float32)


def blob(rng: Rng, mask: Image, at: Any, radius: float, rough: float, long: float, fill: int = 255) -> None:
    """Fill an ellipse at a random angle whose radius carries low-frequency waves."""
    waves = rng.normal(0, 1.6 * rough / WAVE) * np.cos(WAVE * ANGLE + rng.uniform(0, TURN, (6, 1)))
    oval = long**0.5 * np.cos(ANGLE) + 1j * long**-0.5 * np.sin(ANGLE)
    edge = at + radius * (1 + waves.sum(0)) * oval * np.exp(1j * rng.uniform(0, TURN))
    corners = np.round(edge.view(np.float64).reshape(-1, 2) * 8).astype(np.int32)  # in eighths of a pixel
    cv2.fillPoly(mask, [corners], (int(fill),), cv2.LINE_AA, 3)


def soft(mask: Image, sigma: float) -> Plane:
    """The mask at the size of the picture, 0 to 1, blurred by so many of its pixels."""
    small = cv2.resize(mask, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), sigma) / np.float32(255), np.float32)


def background(rng: Rng, clear: float) -> Plane:
    """Paper, and red cells that absorb its light, so that overlapping red cells come out darker."""
    discs, hollows, placed = EMPTY.copy(), EMPTY.copy(), list[complex]()
    family = rng.uniform(32, 40)  # the red cells of one picture are about the same size
    wanted = rng.integers(3, 9) + (3 if clear < 35 else 0)  # a platelet leaves more room for them
    for centre in rng.uniform(-12, CANVAS + 12, (50, 2)) @ [1, 1j]:
        near = min([abs(centre - other) for other in placed], default=CANVAS)
        if len(placed) < wanted and abs(centre - MIDDLE) > clear + family * 0.85 and near > family * 1.8:
            placed.append(centre)
            disc, radius, stretch = EMPTY.copy(), family * rng.uniform(0.88, 1.1), rng.uniform(1.0, 1.3)
            blob(rng, disc, centre, radius, 0.045, stretch, int(rng.integers(85, 110)))
            cv2.add(discs, disc, discs)
            blob(rng, hollows, centre, radius * rng.uniform(0.4, 0.58), 0.06, 1.1, rng.choice([15, 60, 90]))
    density = 2.8 * soft(discs, 0.7) - 2.55 * soft(hollows, 2) - 0.25 * soft(discs, 3)
    slope = np.linspace(-1, 1, SIDE) * rng.normal(0, 0.04, (2, 1))
    density = density * (1 + 0.06 * noise(rng, 7)) + (slope[0][:, None] + slope[1]).astype(np.float32)
    return np.stack([full * np.exp(-dye * density) for full, dye in ((255, 0.27), (229, 0.35), (201, 0.19))])


def nucleus(rng: Rng, label: int, middle: complex, radius: float) -> Image:
    mask, facing = EMPTY.copy(), rng.uniform(0, TURN)
    if label not in (EOSINOPHIL, NEUTROPHIL):
        size = radius * LOOKS[label][2] * rng.uniform(0.9, 1.07)
        centre = middle + (radius - size) * rng.uniform(0, 0.7) * np.exp(1j * facing)
        blob(rng, mask, centre, size, 0.12 if label == MONOCYTE else LOOKS[label][1], rng.uniform(1.0, 1.2))
        if rng.random() < {GRANULOCYTE: 0.5, LYMPHOCYTE: 0.15, MONOCYTE: 0.85}.get(label, 0):
            dent = centre - size * rng.uniform(0.85, 1.1) * np.exp(1j * (facing + rng.normal(0, 0.6)))
            blob(rng, mask, dent, size * rng.uniform(0.25, 0.5), 0.1, rng.uniform(1.0, 1.8), 0)  # a kidney
        return mask
    # lobes strung along an arc by thin bridges
    lobes, spread, reach = int(rng.integers(3, 6)), rng.uniform(3.0, 5.0), rng.uniform(0.38, 0.5, 16)
    size, stretch = 0.5 / lobes**0.5, 1.6
    if label == EOSINOPHIL:  # two thick lobes, sometimes three
        lobes = 2 + int(rng.random() < 0.2)
        size, spread, reach = 0.52 / lobes**0.5, rng.uniform(1.9, 2.6) * (lobes - 1) ** 0.6, reach + 0.05
    elif rng.random() < 0.3:  # a young neutrophil: not yet lobed, an evenly thick bow
        lobes, size, stretch, reach = 16, rng.uniform(0.18, 0.22), 1.1, np.full(16, 0.46)
    path = middle + radius * reach[:lobes] * np.exp(1j * np.linspace(facing, facing + spread, lobes))
    corners = np.stack([path.real, path.imag], 1).astype(np.int32)
    cv2.polylines(mask, [corners], False, (255,), max(3, int(radius * rng.uniform(0.06, 0.18))))
    for lobe in path:
        blob(rng, mask, lobe, radius * size * rng.uniform(0.9, 1.1), 0.06, rng.uniform(1.0, stretch))
    return mask


def stain(rng: Rng, picture: Plane, label: int, middle: complex, radius: float) -> None:
    """Paint one cell on the picture: cytoplasm, granules, nucleus, and what is special to its kind."""
    mask, black, smooth = EMPTY.copy(), (0, 0, 0), label in (EOSINOPHIL, GRANULOCYTE, NEUTROPHIL)
    _, rough, _, level, loose, (body, speck, dark, light) = LOOKS[label]
    blob(rng, mask, middle, radius, rough, rng.uniform(1.0, 1.1 if smooth else 1.2))
    if not smooth and rng.random() < 0.35:  # a bleb or a tail
        tail = middle + radius * 0.95 * np.exp(1j * rng.uniform(0, TURN))
        blob(rng, mask, tail, radius * rng.uniform(0.15, 0.35), 0.15, 1.5)
    alpha = np.clip(4 * soft(mask, 1.2) - 1.5 + (0.12 if smooth else 0.35) * noise(rng, 0.9), 0, 1)
    grains = noise(rng, 0.6) - level + 0.4 * noise(rng, 7)
    # layers of the cell from the bottom up: how much of each colour every pixel takes
    layers: list[tuple[Plane, tuple[int, int, int]]] = [(np.clip(grains * 0.6, 0, 1), speck)]
    layers.append((0.35 * np.clip(alpha - soft(mask, 1.8), 0, 1) + 0.03 * noise(rng, 1.8), black))
    if label == MONOCYTE:  # vacuoles: pale bubbles, some running into each other
        bubbles, side = EMPTY.copy(), rng.uniform(0, TURN)
        for _ in range(rng.integers(0, 14)):
            spot = middle + radius * rng.uniform(0.4, 0.95) * np.exp(1j * rng.normal(side, 0.9))
            blob(rng, bubbles, spot, radius * rng.uniform(0.03, 0.13), 0.06, 1.1)
        layers.append((0.85 * soft(bubbles, 0.6), (246, 224, 206)))
    if label != PLATELET:
        shape = nucleus(rng, label, middle, radius)
        inside = np.clip(soft(shape, 1.2) * 3 - 1, 0, 1)  # rounds off the joints of the lobes
        edge = np.clip(2.2 * (inside - soft(shape, 1.5)), 0, 1)
        mottle = 0.85 * noise(rng, 0.9) + 0.5 * noise(rng, 1.8) - loose
        flecks = inside * np.clip(mottle * 0.5, 0, 1) * np.clip(1 - 1.3 * edge, 0, 1)
        layers += [(inside, dark), (flecks, light), (inside * 0.2 * edge, black)]
    if label == BASOPHIL:  # coarse granules over everything, some on the outline: they hide the nucleus
        granules, count = EMPTY.copy(), int(rng.uniform(140, 280))
        spots = 8 * (middle + radius * rng.random(count) ** 0.5 * np.exp(1j * rng.uniform(0, TURN, count)))
        for spot, size in zip(spots, rng.integers(14, 34, count), strict=True):
            cv2.circle(granules, (int(spot.real), int(spot.imag)), int(size), (255,), -1, cv2.LINE_AA, 3)
        layers.append((0.85 * soft(granules, 0.4), (52, 12, 102)))
        alpha = np.maximum(alpha, soft(granules, 0.4) * (soft(mask, 2.5) > 0.2))
    depth = rng.uniform(0.8, 1.15)  # how deeply this cell took the stain
    for channel in range(3):
        tone = np.full_like(alpha, 255 * (body[channel] / 255) ** depth)
        for share, rgb in layers:
            tone += share * (255 * (rgb[channel] / 255) ** depth - tone)
        picture[channel] += 0.97 * alpha * (tone - picture[channel])


def cell(rng: Rng, label: int) -> Image:
    """One picture: the cell in the middle, red cells around it, then stain, lamp, focus and sensor."""
    radius, middle = rng.uniform(*LOOKS[label][0]), MIDDLE + complex(*rng.normal(0, 2.5, 2))
    planes = background(rng, radius)
    if rng.random() < 0.12:  # a stray platelet near the border
        stain(rng, planes, PLATELET, MIDDLE + 95 * np.exp(1j * rng.uniform(0, TURN)), rng.uniform(8, 13))
    stain(rng, planes, label, middle, radius)
    depth, focus = (rng.normal(1, 0.08) + rng.normal(0, 0.04, 3)).astype(np.float32), rng.uniform(0.25, 0.7)
    picture = np.exp(np.log(planes.transpose(1, 2, 0) / 255) * depth) * rng.uniform(0.94, 1.01)
    if rng.random() < 0.08:  # another microscope: bluish white paper and a softer lens
        picture, focus = picture * (1 + picture * np.array([-0.08, 0.03, 0.24], np.float32)), focus + 0.3
    blur = cv2.GaussianBlur(picture, (0, 0), focus) * 255 + 1.5 * rng.standard_normal((SIDE, SIDE, 3), "f4")
    return np.asarray(np.clip(blur, 0, 255), np.uint8)


def strangers() -> tuple[Image, Image]:
    """Two pictures that are no cells, put together from ovals: a rabbit, and a rubber duck on a pond."""
    wide = np.full((CANVAS, 2 * CANVAS, 3), (160, 215, 240), np.uint8)
    for x, y, width, height, *rgb in (
        (58, 60, 18, 44, 236, 152, 60), (96, 108, 62, 56, 236, 152, 60), (74, 96, 14, 18, 250, 250, 240),
        (77, 98, 5, 13, 30, 40, 30), (96, 122, 10, 7, 220, 90, 110), (83, 137, 13, 4, 90, 40, 20),
        (40, 125, 30, 2, 90, 40, 20), (280, 128, 64, 40, 250, 210, 40), (316, 70, 34, 34, 250, 210, 40),
        (354, 78, 22, 9, 240, 110, 20), (324, 62, 6, 6, 20, 20, 20), (288, 184, 94, 40, 60, 130, 210),
    ):  # fmt: skip
        cv2.ellipse(wide, (x, y), (width, height), 0, 0, 360, rgb, -1, cv2.LINE_AA)
    wide[:, SIDE:CANVAS] = wide[:, SIDE - 1 :: -1]  # the other half of the rabbit
    small = np.asarray(cv2.resize(wide, (CANVAS, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    return small[:, :SIDE], small[:, SIDE:]


def moved(rng: Rng, image: Image, border: int) -> Image:
    turn = cv2.getRotationMatrix2D(rng.uniform(44, 52, 2).tolist(), rng.uniform(15, 345), 1)  # and shift
    return np.asarray(cv2.warpAffine(image, turn, (SIDE, SIDE), borderMode=border), np.uint8)


def damaged(rng: Rng, image: Image) -> Image:
    """One to three of eleven heavy corruptions, one after the other."""
    for damage, force in zip(rng.permutation(11)[: rng.integers(1, 4)], rng.random(3), strict=False):
        result: NDArray[Any] = image.astype(np.float32)
        if damage == 0:  # Gaussian noise
            result += (25 + 45 * force) * rng.standard_normal(image.shape, np.float32)
        elif damage == 1:
            result = cv2.GaussianBlur(result, (0, 0), 1.5 + 2 * force)
        elif damage == 2:  # motion blur
            kernel, way = np.zeros((19, 19), np.float32), (4 + 5 * force) * np.exp(1j * rng.uniform(0, TURN))
            cv2.line(kernel, (9, 9), (9 + round(way.real), 9 + round(way.imag)), (1,))
            result = cv2.filter2D(result, -1, (kernel + kernel[::-1, ::-1]) / kernel.sum() / 2)
        elif damage == 3:  # brightness
            result *= 0.3 + 0.6 * force if force < 0.5 else 0.8 + force
        elif damage == 4:  # contrast
            result = 170 + (result - 170) * (0.2 + 0.5 * force if force < 0.6 else 3.5 * force)
        elif damage == 5:  # hue and saturation
            result = result + (0.5 + force) * (np.roll(result, rng.integers(1, 3), 2) - result)
        elif damage == 6:  # rotation with black corners
            result = moved(rng, image, cv2.BORDER_CONSTANT)
        elif damage == 7:  # boxes in the way
            for y, x, tall, wide in rng.integers([0, 0, 12, 12], [84, 84, 36, 36], (1 + int(4 * force), 4)):
                result[y : y + tall, x : x + wide] = rng.choice([0, 0, 128, 255])
        elif damage == 8:  # grid mask
            hidden = np.arange(SIDE) % (step := int(rng.integers(10, 22))) < step * (0.4 + 0.25 * force)
            result[np.ix_(hidden, hidden)] = 0
        elif damage == 9:  # JPEG compression
            coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 3 + int(8 * force)])[1]
            result = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
        else:  # pixelation
            few = cv2.resize(image, (14 + int(12 * force),) * 2, interpolation=cv2.INTER_AREA)
            result = cv2.resize(few, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
        image = np.clip(result, 0, 255).astype(np.uint8)
    return image


def kinds(rng: Rng, size: int) -> NDArray[np.int64]:
    """Labels in random order: three of each kind, and the rest in the real proportions."""
    counts = 3 + (size - 24) * REAL_COUNTS // REAL_COUNTS.sum()
    counts[NEUTROPHIL] += size - counts.sum()
    return rng.permutation(np.repeat(np.arange(8), counts))


def practice(folder: Path, seed: int = 0, size: int = 800) -> None:
    """Write raw/training_set.npz, with so many distinct cells, and truth/truth.npz, the hidden test set."""
    if size < 24:
        raise ValueError(f"size is {size}, but three cells of each of the eight kinds need at least 24")
    rng = np.random.default_rng(seed)
    labels = kinds(rng, size)
    cells = [cell(rng, label) for label in labels]
    # the file holds about 1.19 times as many pictures: intruders 11.6 % and 1.5 %, duplicates 0.1 %
    many, some, few = max(2, round(0.0173 * size)), max(6, round(0.018 * size)), max(3, round(0.0012 * size))
    doubles, copied, _ = np.split(rng.permutation(size), [few, few + max(1, round(0.03 * size))])
    cells += [moved(rng, cells[i][:: rng.choice([-1, 1])], cv2.BORDER_REFLECT_101) for i in copied]
    cells += [cells[i] for i in doubles]
    labels = np.concatenate([labels, labels[copied], labels[doubles]])
    labels[-1] = (labels[-1] + rng.integers(1, 8)) % 8  # one picture, two labels
    order = rng.permutation(len(labels))
    images = np.concatenate([np.stack(cells)[order], np.repeat(strangers(), [8 * many, some], axis=0)])
    labels = np.concatenate([labels[order], np.repeat(np.arange(8), many), [MONOCYTE] * some]).astype("u1")
    targets = kinds(rng, max(24, size * 2 // 5))
    hidden = [damaged(rng, cell(rng, k)) if i % 4 else cell(rng, k) for i, k in enumerate(targets)]
    for part in ("raw", "truth"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "raw" / "training_set.npz", images=images, labels=labels[:, None])
    np.savez_compressed(folder / "truth" / "truth.npz", images=np.stack(hidden), targets=targets)
