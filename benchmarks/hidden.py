"""Hidden test sets for `benchmarks.stress`: images as another camera, file format or room would show them.

Nothing in `toolkit` imports this, and none of it is a member of the stress score's suite or of the training
augmentation: other families, other forms, drawn for each image with one generator. A part of the images stays clean.
"""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from toolkit.task import IGNORED

CLEAN = 0.3  # share of the images that nothing happens to
MOST = 3  # of the effects, an image
Rng = np.random.Generator
Image = np.ndarray  # float32 (H, W, C) from 0 to 255
Look = Callable[[Rng, Image, float], Image]
Move = Callable[[Rng, np.ndarray, np.ndarray, float], tuple[np.ndarray, np.ndarray]]  # of x and y in -1..1


def hide(images: np.ndarray, masks: np.ndarray | None, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Images uint8 (N, H, W, C) as a hidden test set has them, and masks (N, H, W) moved along.

    Parts of a mask that come from outside the picture get IGNORED.
    """
    made, moved = images.copy(), None if masks is None else masks.copy()
    colour = images.shape[3] == 3
    names = [name for name in (*LOOKS, *MOVES) if colour or name not in COLOURED]
    for row in range(len(images)):
        rng = np.random.default_rng([seed, row])
        if rng.random() < CLEAN:
            continue
        for name in rng.choice(names, rng.integers(1, MOST, endpoint=True), replace=False):
            strength = rng.uniform(0.15, 1)
            if name in LOOKS:
                changed = LOOKS[name](rng, made[row].astype(np.float32), strength)
                made[row] = np.rint(changed.reshape(made[row].shape)).clip(0, 255)
            else:
                made[row], mask = _move(MOVES[name], rng, strength, made[row], None if moved is None else moved[row])
                if moved is not None and mask is not None:
                    moved[row] = mask
    return made, moved


def _move(
    move: Move, rng: Rng, strength: float, image: np.ndarray, mask: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    height, width = image.shape[:2]
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    source_x, source_y = move(rng, x, y, strength)
    across = ((source_x + 1) * (width - 1) / 2).astype(np.float32)
    down = ((source_y + 1) * (height - 1) / 2).astype(np.float32)
    border = cv2.BORDER_REFLECT if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    made = cv2.remap(image, across, down, cv2.INTER_CUBIC, borderMode=border).reshape(image.shape)
    if mask is None:
        return made, None
    outside = (np.abs(source_x) > 1) | (np.abs(source_y) > 1)
    moved = cv2.remap(mask, across, down, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return made, np.where(outside, np.uint8(IGNORED), moved)


def _clouds(rng: Rng, shape: tuple[int, ...], cells: int) -> np.ndarray:
    """Smooth noise from 0 to 1, float32 (H, W)."""
    coarse = rng.random((cells + 2, cells + 2)).astype(np.float32)
    field = np.asarray(cv2.resize(coarse, shape[1::-1], interpolation=cv2.INTER_CUBIC), np.float32)
    return np.asarray((field - field.min()) / (np.ptp(field) + 1e-6))


def stripes(rng: Rng, image: Image, strength: float) -> Image:
    """The rows or columns of a sensor, each with an offset of its own."""
    axis = int(rng.integers(2))
    offsets = rng.normal(0, 45 * strength, (image.shape[axis],)).astype(np.float32)
    return image + np.expand_dims(offsets, (1 - axis, 2))


def grain(rng: Rng, image: Image, strength: float) -> Image:
    """Film grain: noise that neighbouring pixels share."""
    noise = rng.normal(0, 1, image.shape[:2]).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.8, 1.6))
    return image + (60 * strength * noise / noise.std())[..., None]


def smear(rng: Rng, image: Image, strength: float) -> Image:
    """A median filter, as cameras remove noise with."""
    size = 3 + 2 * int(np.ceil(2 * strength))
    return cv2.medianBlur(image.astype(np.uint8), size).astype(np.float32)


def frost(rng: Rng, image: Image, strength: float) -> Image:
    """Pixels exchanged with near ones, as through rippled glass."""
    height, width = image.shape[:2]
    reach = 1 + 3 * strength
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y += rng.uniform(-reach, reach, y.shape).astype(np.float32)
    x += rng.uniform(-reach, reach, x.shape).astype(np.float32)
    return cv2.remap(image, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)


def ghost(rng: Rng, image: Image, strength: float) -> Image:
    """A second exposure beside the first."""
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(3, 12)
    shift = np.array([[1, 0, length * np.cos(angle)], [0, 1, length * np.sin(angle)]], np.float32)
    second = cv2.warpAffine(image, shift, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT).reshape(image.shape)
    share = 0.5 * strength
    return (1 - share) * image + share * second


def fog(rng: Rng, image: Image, strength: float) -> Image:
    """Haze of uneven density."""
    density = 0.85 * strength * (0.4 + 0.6 * _clouds(rng, image.shape, 3))[..., None]
    return (1 - density) * image + density * rng.uniform(150, 245)


def shadow(rng: Rng, image: Image, strength: float) -> Image:
    """The shadow of something with straight edges."""
    height, width = image.shape[:2]
    corners = rng.uniform(-0.3, 1.3, (3, 2)) * (width, height)
    lit = np.ones((height, width), np.float32)
    cv2.fillPoly(lit, [np.rint(corners).astype(np.int32)], 1 - 0.8 * strength)
    return image * cv2.GaussianBlur(lit, (0, 0), 0.8)[..., None]


def scratches(rng: Rng, image: Image, strength: float) -> Image:
    """Bright and dark scratches, and dust."""
    made = np.ascontiguousarray(image)
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(1, int(2 + 9 * strength)))):
        start, end = (rng.uniform(0, 1, (2, 2)) * (width, height)).astype(int).tolist()
        value = float(rng.choice([15, 240]))
        if rng.random() < 0.5:
            cv2.line(made, start, end, (value,) * image.shape[2], 1, cv2.LINE_AA)
        else:
            cv2.circle(made, start, int(rng.integers(1, int(2 + 3 * strength))), (value,) * image.shape[2], -1)
    return made


def webp(rng: Rng, image: Image, strength: float) -> Image:
    """Another codec than the suite's."""
    quality = int(28 - 26 * strength)
    whole = np.broadcast_to(image, (*image.shape[:2], 3)).astype(np.uint8)
    _, packed = cv2.imencode(".webp", np.ascontiguousarray(whole), [cv2.IMWRITE_WEBP_QUALITY, max(1, quality)])
    read = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))
    return read[..., : image.shape[2]].astype(np.float32)


def levels(rng: Rng, image: Image, strength: float) -> Image:
    """Few grey levels, with the thresholds anywhere."""
    step = 255 / (2 + 10 * (1 - strength))
    start = rng.uniform(0, step)
    return np.floor((image + start) / step) * step - start + step / 2


def clipped(rng: Rng, image: Image, strength: float) -> Image:
    """Over- or underexposed: a part of the range is lost."""
    lost = 110 * strength
    return (image if rng.random() < 0.5 else image - lost) * 255 / (255 - lost)


def interlaced(rng: Rng, image: Image, strength: float) -> Image:
    """Odd rows taken a moment later."""
    made = image.copy()
    made[1::2] = np.roll(image[1::2], int(np.ceil(5 * strength)) * int(rng.choice([-1, 1])), axis=1)
    return made


def temperature(rng: Rng, image: Image, strength: float) -> Image:
    """The white balance of another lamp."""
    warm = 0.45 * strength * rng.choice([-1, 1])
    return image * np.array([1 + warm, 1 + rng.uniform(-0.1, 0.1), 1 - warm], np.float32)


def aberration(rng: Rng, image: Image, strength: float) -> Image:
    """Red and blue of slightly different magnification and place."""
    made = image.copy()
    for channel in (0, 2):
        zoom, (dx, dy) = 1 + rng.uniform(-0.06, 0.06) * strength, rng.uniform(-4, 4, 2) * strength
        centre = np.array(image.shape[1::-1]) / 2
        matrix = np.array([[zoom, 0, (1 - zoom) * centre[0] + dx], [0, zoom, (1 - zoom) * centre[1] + dy]])
        made[..., channel] = cv2.warpAffine(
            image[..., channel], matrix, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT
        )
    return made


def perspective(rng: Rng, x: np.ndarray, y: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Seen from the side."""
    tilt = rng.uniform(-0.35, 0.35, 2) * strength
    depth = 1 + tilt[0] * x + tilt[1] * y
    return x / depth, y / depth


def lens(rng: Rng, x: np.ndarray, y: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """A barrel or a pincushion."""
    bend = 0.3 * strength * rng.choice([-1, 1])
    factor = 1 + bend * (x**2 + y**2 - 0.5)
    return x * factor, y * factor


def swirl(rng: Rng, x: np.ndarray, y: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """The middle turned, the rim not."""
    angle = 1.2 * strength * rng.choice([-1, 1]) * np.exp(-2.5 * (x**2 + y**2))
    return x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)


def zoomed(rng: Rng, x: np.ndarray, y: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Nearer or farther."""
    zoom = (1 + 0.6 * strength) ** rng.choice([-1, 1])
    return x * zoom, y * zoom


def _stretched(rng: Rng, x: np.ndarray, y: np.ndarray, strength: float, most: float) -> tuple[np.ndarray, np.ndarray]:
    """One axis longer than the other."""
    factor = 1 + most * strength
    return (x / factor, y) if rng.random() < 0.5 else (x, y / factor)


LOOKS: dict[str, Look] = {
    look.__name__: look
    for look in (
        *(stripes, grain, smear, frost, ghost, fog, shadow),
        *(scratches, webp, levels, clipped, interlaced, temperature, aberration),
    )
}
MOVES: dict[str, Move] = {
    **{move.__name__: move for move in (perspective, lens, swirl, zoomed)},
    "stretched": partial(_stretched, most=0.5),
}
COLOURED = ("temperature", "aberration")
