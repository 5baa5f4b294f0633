"""A first look at very many pictures finds those that were saved anew, and costs no more for being many."""

import cv2
import numpy as np
import pytest

from tests.auditing.test_duplicates import texture
from toolkit.auditing import findings
from toolkit.auditing.findings import _looked_at
from toolkit.auditing.fingerprints import alike, fingerprint, fingerprints
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset
from toolkit.progress import SILENT


def saved_anew(image: np.ndarray) -> np.ndarray:
    """Smaller, brighter, compressed, and large again."""
    small = cv2.convertScaleAbs(cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA), alpha=0.9, beta=12)
    coded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 70])[1]
    return cv2.resize(cv2.imdecode(coded, cv2.IMREAD_COLOR), image.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def test_a_picture_that_was_saved_anew_is_alike_and_no_other_is() -> None:
    images = [texture(seed) for seed in range(60)]
    images += [saved_anew(image) for image in images[:10]]
    found = np.flatnonzero(alike(fingerprints(np.stack(images))))
    again = set(range(10)) | set(range(60, 70))
    assert len(again & set(found.tolist())) >= 16 and set(found.tolist()) <= again


def test_empty_pictures_are_not_alike() -> None:
    flat = np.stack([np.full((32, 32, 1), grey, np.uint8) for grey in (0, 9, 200)])
    assert fingerprint(flat[0]) == 0 and not alike(fingerprints(flat)).any()


@pytest.mark.parametrize("apart", [1, 2, 3])
def test_few_bits_apart_are_found_wherever_they_are(apart: int) -> None:
    rng = np.random.default_rng(apart)
    prints = rng.integers(1, 2**63, 5000, dtype=np.uint64)
    others = prints[:200].copy()
    for row in range(200):
        for bit in rng.choice(64, apart, replace=False):
            others[row] ^= np.uint64(1) << np.uint64(bit)
    found = alike(np.concatenate([prints, others]))
    assert found[:200].all() and found[5000:].all() and found.sum() == 400


def test_of_very_many_pictures_those_that_look_alike_are_compared_first(
    blood_cells: Competition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "LOOKED_AT", 12)
    images = np.stack([*(texture(seed) for seed in range(30)), saved_anew(texture(3))])
    tests = np.stack([saved_anew(texture(8))])
    rows = np.arange(31)
    chosen = _looked_at(blood_cells, Dataset(images, rows, rows, rows, tests), rows, 1, SILENT)
    assert len(chosen) == 12 and (np.diff(chosen) > 0).all() and {3, 30} <= set(chosen.tolist())
    assert (8 in chosen) == blood_cells.may_look_at(tests)
