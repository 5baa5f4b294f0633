"""Copies are found through rotation, flips, scale, shear, shift, light and compression; look-alikes are not."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from toolkit.auditing.duplicates import Link, Pictures, alignment, find_copies, find_copies_across, verify
from toolkit.auditing.findings import kept_pictures
from toolkit.auditing.keypoints import learn_vocabulary, working_image
from toolkit.data.groups import connect


def texture(seed: int, side: int = 96, channels: int = 3) -> np.ndarray:
    """A picture with blobs of several sizes, no two alike."""
    rng = np.random.default_rng(seed)
    image = np.zeros((side, side, channels), np.float32)
    for size in (4, 8, 16):
        noise = rng.normal(size=(side // size + 2, side // size + 2, channels)).astype(np.float32)
        image += cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC).reshape(image.shape)
    return np.clip(128 + 40 * image, 20, 255).astype(np.uint8)


def copy(image: np.ndarray, degrees: float, scale: float, flipped: bool, border: int) -> np.ndarray:
    """The picture turned about its centre, relit and compressed."""
    source = np.ascontiguousarray(image[:, ::-1] if flipped else image)
    middle = (image.shape[1] / 2, image.shape[0] / 2)
    matrix = cv2.getRotationMatrix2D(middle, degrees, scale) + np.array([[0.0, 0.08, 3], [0, 0, -4]])
    moved = cv2.warpAffine(source, matrix, image.shape[1::-1], borderMode=border).reshape(image.shape)
    light = np.clip(moved * 0.9 + 12 * (moved > 0), 0, 255).astype(np.uint8)
    coded = cv2.imencode(".jpg", light, [cv2.IMWRITE_JPEG_QUALITY, 70])[1]
    flags = cv2.IMREAD_COLOR if image.shape[2] == 3 else cv2.IMREAD_GRAYSCALE
    return np.asarray(cv2.imdecode(coded, flags)).reshape(image.shape)


def pictures_of(images: np.ndarray, folder: Path) -> Pictures:
    return kept_pictures(images, folder / "keypoints", jobs=1)


def copies_of(pictures: Pictures) -> list[Link]:
    return find_copies(pictures, learn_vocabulary(pictures.keypoints).vectors(pictures.keypoints), jobs=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_copies_are_joined_and_others_stay_single(channels: int, tmp_path: Path) -> None:
    sources = [texture(seed, channels=channels) for seed in range(30)]
    pictures, truth = list(sources), list(range(30))
    for number in range(10):
        for turn, flipped, border in ((37, False, cv2.BORDER_CONSTANT), (200, True, cv2.BORDER_REFLECT_101)):
            scale = 0.85 if flipped else 1.2
            pictures.append(copy(sources[number], turn + 11 * number, scale, flipped, border))
            truth.append(number)
    images = np.stack(pictures)
    links = copies_of(pictures_of(images, tmp_path))
    group = connect(len(images), [(link.left, link.right) for link in links])
    same = group[:, None] == group
    assert (same == (np.array(truth)[:, None] == np.array(truth))).all()


def test_copies_of_another_set_are_found_and_none_is_made_up(tmp_path: Path) -> None:
    known = pictures_of(np.stack([texture(seed) for seed in range(30)]), tmp_path / "known")
    turned = [copy(texture(seed), 50 + 9 * seed, 0.9, seed % 2 == 1, cv2.BORDER_CONSTANT) for seed in range(8)]
    others = pictures_of(np.stack([*turned, *(texture(seed) for seed in range(100, 108))]), tmp_path / "others")
    words = learn_vocabulary(known.keypoints)
    vectors, other_vectors = (words.vectors(each.keypoints) for each in (known, others))
    links = find_copies_across(known, vectors, others, other_vectors, jobs=1)
    assert {(link.left, link.right) for link in links} == {(row, row) for row in range(8)}
    assert all(link.mirrored == (link.right % 2 == 1) for link in links)


@pytest.mark.parametrize("shape", [(64, 128), (128, 64), (40, 60), (300, 400)])
def test_a_link_knows_how_one_picture_lies_on_the_other(shape: tuple[int, int], tmp_path: Path) -> None:
    whole = cv2.resize(texture(5, side=512), (shape[1] * 2, shape[0] * 2), interpolation=cv2.INTER_AREA)
    height, width = shape
    shift = height // 4
    left, right = whole[:height, :width], whole[shift : shift + height, shift : shift + width]
    images = np.stack([left, right[:, ::-1]])
    both = pictures_of(images, tmp_path)
    link = verify(both, both, 0, 1, True)
    assert link is not None
    factor = working_image(left).shape[0] / height
    assert np.array(link.matrix).reshape(2, 3) == pytest.approx(
        np.array([[1, 0, shift * factor], [0, 1, shift * factor]]), abs=0.05 * shift * factor + 0.5
    )
    assert link.similarity > 0.9


def test_two_pictures_of_one_kind_are_not_linked(tmp_path: Path) -> None:
    """The same outline with another inside, as two cells of one kind."""
    rows, columns = np.mgrid[:96, :96]
    disc = (((rows - 48) ** 2 + (columns - 48) ** 2) < 30**2)[..., None]
    images = np.stack([np.where(disc, texture(seed) // 2, 210).astype(np.uint8) for seed in (1, 2)])
    both = pictures_of(images, tmp_path)
    assert verify(both, both, 0, 1, False) is None and verify(both, both, 0, 1, True) is None


def test_flat_pictures_have_no_keypoints_and_no_copies(tmp_path: Path) -> None:
    images = np.full((12, 32, 32, 1), 90, np.uint8)
    pictures = pictures_of(images, tmp_path)
    assert pictures.keypoints.counts.tolist() == [0] * 12
    assert copies_of(pictures) == []


def test_alignment_is_one_for_the_same_picture_and_zero_where_they_hardly_overlap() -> None:
    grey = working_image(texture(0))
    still = np.array([[1.0, 0, 0], [0, 1, 0]])
    assert alignment(grey, grey, still) == pytest.approx(1)
    assert alignment(grey, grey // 2 + 40, still) > 0.95
    assert alignment(grey, grey, still + np.array([[0, 0, 90], [0, 0, 0]])) == 0
    assert abs(alignment(grey, working_image(texture(1)), still)) < 0.3
