"""A competition whose test images are copies of what is in training: pictures that were turned, split at random."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from tests import tiny
from tests.auditing.test_duplicates import copy, texture
from toolkit import Classification, Project, Rules

SOURCES, TESTS = 30, 30  # each source four times: 90 training images


def draw(folder: Path, seed: int, size: int) -> None:
    sources = [texture(number) for number in range(SOURCES)]
    turned = [
        copy(sources[number], turn + 7 * number, 0.95, turn > 90, cv2.BORDER_REFLECT_101)
        for number in range(SOURCES)
        for turn in (20, 80, 140, 200)
    ]
    order = np.random.default_rng(0).permutation(len(turned))
    images, targets = np.stack(turned)[order], order // 4 % 3
    raw = folder / "raw"
    raw.mkdir(parents=True)
    np.savez(raw / "data.npz", images=images[TESTS:], targets=targets[TESTS:])
    tests = images[:TESTS]
    tests[:2] = images[TESTS : TESTS + 2]
    np.save(raw / "test.npy", tests)


def load(folder: Path) -> tiny.Dataset:
    """Without groups: only an audit knows what belongs together."""
    data = tiny.load(folder)
    return replace(data, groups=data.ids)


competition = replace(
    tiny.looking,
    name="leaky",
    task=Classification(("red", "green", "blue"), (96, 96, 3)),
    rules=Rules(pretrained=False),
    load=load,
    practice=draw,
)


def project(root: Path) -> Project:
    return tiny.project(root, competition, workers=1)
