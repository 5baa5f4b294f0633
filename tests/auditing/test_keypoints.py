"""Keypoints lie on content, and mirrored ones follow from those that are there."""

from pathlib import Path

import numpy as np
import pytest

from tests.auditing.test_duplicates import pictures_of, texture
from toolkit.auditing.keypoints import content, detect, learn_vocabulary, mirror


def test_empty_pictures_are_nobodys_neighbours(tmp_path: Path) -> None:
    images = np.stack([texture(0), texture(1), *np.full((2, 96, 96, 3), 90, np.uint8)])
    keypoints = pictures_of(images, tmp_path).keypoints
    plain, mirrored = learn_vocabulary(keypoints).vectors(keypoints)
    assert np.linalg.norm(plain, axis=1) == pytest.approx([1, 1, 0, 0], abs=1e-5)
    assert (mirrored[2:] == 0).all()


def test_the_descriptors_of_the_mirrored_picture_need_no_second_look() -> None:
    image = texture(3)
    points, descriptors = detect(image)
    there, mirrored = detect(np.ascontiguousarray(image[:, ::-1]))
    distance = np.linalg.norm(mirror(descriptors)[:, None].astype(float) - mirrored[None], axis=2)
    found = distance.argmin(1)
    right_place = np.abs(95 - points[:, 0] - there[found, 0]) < 1
    assert right_place.mean() > 0.8 and np.median(distance.min(1)) < 0.1 * np.median(distance)
    assert (mirror(mirror(descriptors)) == descriptors).all()


def test_black_borders_are_no_content_but_dark_parts_inside_are() -> None:
    grey = np.full((40, 60), 100, np.uint8)
    grey[:, :10] = 0
    grey[15:25, 30:40] = 0
    inside = content(grey)
    assert (inside[:, :10] == 0).all() and (inside[:, 10:] == 1).all()
