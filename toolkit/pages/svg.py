"""Where lines, ticks and dots of a drawing lie, for the page's SVG; its script finds points by the same numbers."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from toolkit.pages.pictures import HUES

if TYPE_CHECKING:
    from toolkit.pages.html import Dots, Grouping, Lines, Series

WIDTH, HEIGHT = 460, 270  # of a drawing of lines, in its own units
LEFT, TOP, RIGHT, BOTTOM = 46, 26, 12, 40  # around its axes
TICKS = 5  # about so many an axis
MARKED = 40  # points of each line of a drawing, which are marked where they aren't more
STYLES = 6  # of lines, as the page's style sheet colours them
MAP, MARGIN = (1000, 640), 14  # a map of dots
SPRITE = 2_500_000  # pixels of all thumbnails together
THUMBNAIL = 48  # pixels of one, at most
NEUTRAL = "#8c9199"  # of dots without a group


class Tick(NamedTuple):
    place: float
    text: str


class Path(NamedTuple):
    """What an SVG's path draws, in the colour of its group: the style sheet's of that number, or one of its own."""

    drawn: str
    group: int
    style: int
    colour: str
    dashed: bool = False
    marks: str = ""


class Key(NamedTuple):
    """An entry of a legend."""

    name: str
    group: int
    style: int
    colour: str
    dashed: bool = False
    number: int = 0  # of dots


class Layer(NamedTuple):
    """Paths and their legend; a drawing shows one of its layers at a time."""

    paths: Sequence[Path]
    keys: Sequence[Key]


@dataclass(frozen=True)
class Drawing:
    """across, up: ticks of the axes. data: what the script finds points by."""

    size: tuple[int, int]
    layers: Sequence[Layer]
    data: dict[str, Any]
    across: Sequence[Tick] = ()
    up: Sequence[Tick] = ()
    dot: float = 0.0  # its width
    sprite: np.ndarray | None = None


def round_ticks(low: float, high: float, whole: bool = False, count: int = TICKS) -> list[float]:
    """Round numbers (1, 2, 5 times powers of ten) within low..high, about so many; whole: integers alone."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= 0.75 * rough)
    step = max(1.0, step) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def tick_texts(ticks: Sequence[float]) -> list[str]:
    """Each number with as many decimals as the distance between them asks for."""
    step = min((b - a for a, b in pairwise(ticks)), default=abs(ticks[0]) or 1.0)
    if max(map(abs, ticks)) >= 1e6 or step < 1e-4:
        return [f"{tick:.3g}" for tick in ticks]
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{tick:,.{places}f}" for tick in ticks]


def draw_lines(block: "Lines") -> Drawing:
    """Axes around all finite points; groups are coloured in the order in which they come."""
    groups = list(dict.fromkeys(one.group or one.name for one in block.series))
    xs, ys = (np.concatenate([[], *(np.asarray(one[at], float) for one in block.series)]) for at in (1, 2))
    finite = np.isfinite(xs) & np.isfinite(ys)
    across = _range(xs[finite], 0.0)
    up = _range(ys[finite], 0.06)
    whole = bool(finite.any()) and bool((xs[finite] == np.round(xs[finite])).all())
    marked = all(len(one.xs) <= MARKED for one in block.series)
    paths = [_line(one, groups.index(one.group or one.name), across, up, marked) for one in block.series]
    keys = {path.group: Key(groups[path.group], *path[1:5]) for path in reversed(paths)}
    series = [
        {"name": one.name, "group": path.group} | dict(zip("xy", _short(one), strict=True))
        for one, path in zip(block.series, paths, strict=True)
    ]
    frame = [LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM]
    data = {"series": series, "frame": frame, "range": [*across, *up], "x": block.x, "y": block.y}
    return Drawing(
        (WIDTH, HEIGHT),
        [Layer(paths, [keys[at] for at in range(len(groups))] if len(groups) > 1 else [])],
        data,
        [Tick(_x(tick, across), text) for tick, text in _ticks(*across, whole)],
        [Tick(_y(tick, up), text) for tick, text in _ticks(*up, False)],
    )


def draw_dots(block: "Dots") -> Drawing:
    """Each way of colouring as a layer, of dots that are the larger the fewer they are."""
    places = _placed(np.asarray(block.points, float).reshape(-1, 2))
    sprite, side, columns = _sprite(block.thumbnails)
    data: dict[str, Any] = {"x": places[:, 0].tolist(), "y": places[:, 1].tolist(), "labels": list(block.labels)}
    data |= {"side": side, "columns": columns}
    data["by"] = [{"name": by.name, "names": list(by.names), "of": list(map(int, by.of))} for by in block.by]
    dot = round(min(max(260 / math.sqrt(len(places) + 1), 6), 14), 1)
    return Drawing(MAP, [_coloured(places, by) for by in block.by], data, dot=dot, sprite=sprite)


def _placed(points: np.ndarray) -> np.ndarray:
    """Points (N, 2) within the map's margin, both axes on one scale, int64; what is not finite lies at its centre."""
    points = np.where(np.isfinite(points), points, np.nanmean(points, 0) if np.isfinite(points).any() else 0.0)
    if not len(points):
        return np.zeros((0, 2), np.int64)
    room, span = np.array(MAP) - 2 * MARGIN, np.ptp(points, 0)
    scale = min((float(size / width) for size, width in zip(room, span, strict=True) if width > 0), default=1.0)
    placed = MARGIN + (room - span * scale) / 2 + (points - points.min(0)) * scale
    return np.round(placed * [1, -1] + [0, MAP[1]]).astype(np.int64)


def _coloured(places: np.ndarray, by: "Grouping") -> Layer:
    """Dots in the colours of their groups, those of none first, below the others."""
    of = np.asarray(by.of, int)
    groups = [at for at in range(-1, len(by.names)) if (of == at).any()]
    paths = [Path(dots(places[of == at]), at, 0, colour_of(by, at)) for at in groups]
    counts = np.bincount(of + 1, minlength=len(by.names) + 1)[1:].tolist()
    return Layer(paths, [Key(name, at, 0, colour_of(by, at), number=counts[at]) for at, name in enumerate(by.names)])


def dots(places: np.ndarray) -> str:
    """A path of lines without length, which round ends make dots of."""
    return "".join(f"M{x} {y}h0" for x, y in places)


def colour_of(by: "Grouping", at: int) -> str:
    """CSS colour of a group of dots."""
    if at < 0:
        return NEUTRAL
    return by.colours[at] if by.colours else HUES[at % len(HUES)]


def _sprite(thumbnails: np.ndarray | None) -> tuple[np.ndarray | None, int, int]:
    """All thumbnails as one picture, the side of each and how many stand in a line of it."""
    if thumbnails is None or not len(thumbnails):
        return None, 0, 1
    side = max(12, min(THUMBNAIL, math.isqrt(SPRITE // len(thumbnails))))
    columns = math.isqrt(len(thumbnails) - 1) + 1
    sheet = np.zeros((-(-len(thumbnails) // columns) * side, columns * side, 3), np.uint8)
    for at, picture in enumerate(thumbnails):
        top, left = at // columns * side, at % columns * side
        small = _fitted(picture, side)
        top, left = top + (side - small.shape[0]) // 2, left + (side - small.shape[1]) // 2
        sheet[top : top + small.shape[0], left : left + small.shape[1]] = small
    return sheet, side, columns


def _fitted(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture (h, w, 1 or 3) as colours within a square."""
    colour = np.repeat(picture, 3, 2) if picture.shape[2] == 1 else picture
    scale = side / max(colour.shape[:2])
    size = (max(1, round(colour.shape[1] * scale)), max(1, round(colour.shape[0] * scale)))
    return np.asarray(cv2.resize(np.ascontiguousarray(colour), size, interpolation=cv2.INTER_AREA))


def _line(series: "Series", group: int, across: tuple[float, float], up: tuple[float, float], marked: bool) -> Path:
    points = [(round(_x(x, across), 1), round(_y(y, up), 1)) for x, y in _finite(series)]
    drawn = "".join(f"{'L' if at else 'M'}{x:g} {y:g}" for at, (x, y) in enumerate(points))
    marks = "".join(f"M{x:g} {y:g}h0" for x, y in points) if marked else ""
    return Path(drawn, group, group % STYLES, series.colour, series.dashed or group // STYLES % 2 > 0, marks)


def _finite(series: "Series") -> Iterator[tuple[float, float]]:
    return (
        (float(x), float(y))
        for x, y in zip(series.xs, series.ys, strict=True)
        if math.isfinite(x) and math.isfinite(y)
    )


def _range(values: np.ndarray, margin: float) -> tuple[float, float]:
    """What an axis spans; some space around a single number."""
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low - (abs(low) * 0.1 or 0.5), high + (abs(high) * 0.1 or 0.5)
    return low - margin * (high - low), high + margin * (high - low)


def _ticks(low: float, high: float, whole: bool) -> Iterator[tuple[float, str]]:
    found = round_ticks(low, high, whole)
    return zip(found, tick_texts(found), strict=True) if found else iter(())


def _x(value: float, across: tuple[float, float]) -> float:
    return LEFT + (value - across[0]) / (across[1] - across[0]) * (WIDTH - LEFT - RIGHT)


def _y(value: float, up: tuple[float, float]) -> float:
    return HEIGHT - BOTTOM - (value - up[0]) / (up[1] - up[0]) * (HEIGHT - TOP - BOTTOM)


def _short(series: "Series") -> tuple[list[float], list[float]]:
    """Finite points in few digits, for the script."""
    points = [(float(f"{x:.6g}"), float(f"{y:.4g}")) for x, y in _finite(series)]
    return [x for x, _ in points], [y for _, y in points]
