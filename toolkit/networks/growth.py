"""How images grow while a network is trained: small ones, which cost less, first (Howard 2018, fast.ai on DAWNBench).

They are made from whole ones on the device that trains, so nothing is decoded twice, and the last epochs, whose
statistics of batch norm are kept, see them whole.
"""

from math import ceil

SMALLEST, STEPS = 0.5, 4  # of a side, and how many smaller sizes there are: each is compiled, and tuned, anew
LEAST = 0.15  # of the pixels: a side is rounded to a multiple of what is a quarter of it at most
STRIDE = 32  # of most networks


def growing_epochs(grow: float, epochs: int) -> int:
    """Epochs at the start with smaller images: some where any are asked for, never the last."""
    return min(ceil(round(grow * epochs, 6)), epochs - 1)


def sides(grow: float, whole: tuple[int, int], epochs: int, epoch: int) -> tuple[int, int]:
    """Height and width in an epoch, of images that are `whole` in the end.

    Multiples of STRIDE, or of the largest power of two below it that divides `whole` and is at most a quarter of it.
    """
    growing = growing_epochs(grow, epochs)
    if epoch >= growing:
        return whole
    share = SMALLEST + (1 - SMALLEST) * (epoch * STEPS // growing) / STEPS
    short, long = sorted(whole)
    step = STRIDE
    while step > 1 and (step > short // 4 or short % step or long % step):
        step //= 2
    shorter = max(step, round(short * share / step) * step)
    longer = max(step, round(long * shorter / short / step) * step)
    return (shorter, longer) if whole[0] <= whole[1] else (longer, shorter)


def pixels(grow: float, whole: tuple[int, int], epochs: int, first: int = 0) -> float:
    """How many epochs of whole images have as many pixels as these epochs, from `first` on: what they cost."""
    if not grow:
        return epochs - first
    areas = [height * width for height, width in (sides(grow, whole, epochs, e) for e in range(first, epochs))]
    return sum(areas) / (whole[0] * whole[1])
