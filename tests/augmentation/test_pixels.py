"""What changes the values of pixels does as OpenCV does."""

import cv2
import numpy as np
import pytest
import torch

from tests.augmentation import PHOTO, changed
from tests.conftest import RGB
from toolkit.augmentation import pixels

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("sigma", [0.5, 1.3, 2.4])
def test_gaussian_blur_is_that_of_opencv(sigma: float) -> None:
    def blur(images: torch.Tensor) -> torch.Tensor:
        rows, columns = (pixels.gaussian_matrices(np.array([sigma]), side, images.device) for side in PHOTO.shape[:2])
        return pixels.separable(images, rows, columns)

    size = 2 * int(3.5 * sigma) + 1
    assert np.abs(changed(blur) - cv2.GaussianBlur(PHOTO.astype(np.float32), (size, size), sigma)).max() < 0.01


@pytest.mark.parametrize("scale", [0.3, 0.5, 0.61])
def test_a_loss_of_resolution_is_that_of_opencv(scale: float) -> None:
    sides = [(side, round(side * scale)) for side in PHOTO.shape[:2]]

    def coarsen(images: torch.Tensor) -> torch.Tensor:
        rows, columns = (torch.from_numpy(pixels.resolution_matrix(*side))[None] for side in sides)
        return pixels.separable(images, rows, columns)

    small = cv2.resize(PHOTO.astype(np.float32), (sides[1][1], sides[0][1]), interpolation=cv2.INTER_AREA)
    assert np.abs(changed(coarsen) - cv2.resize(small, PHOTO.shape[1::-1])).max() < 0.01


@pytest.mark.parametrize("quality", [15, 49, 80])
@pytest.mark.parametrize("grey", [True, False])
def test_compression_is_that_of_jpeg(quality: int, grey: bool) -> None:
    photo = PHOTO[..., :1] if grey else PHOTO
    ours = changed(lambda images: pixels.compress(images, np.array([quality]), () if grey else RGB), photo)
    _, file = cv2.imencode(".jpg", photo[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
    theirs = np.asarray(cv2.imdecode(file, cv2.IMREAD_UNCHANGED), np.float32).reshape(photo.shape)[..., ::-1]
    loss = np.abs(theirs - photo).mean()
    assert np.abs(ours - theirs).mean() < 0.25 * loss
    assert np.abs(ours - photo).mean() == pytest.approx(loss, rel=0.05)


@pytest.mark.parametrize("shift", [(40, 30, -20), (-60, -60, 30), (0, 60, 0), (25, 0, 0)])
def test_hue_saturation_and_value_are_those_of_opencv(shift: tuple[int, int, int]) -> None:
    arrays = [np.array([value], float) for value in shift]
    photo = PHOTO.copy()
    photo[:10] = photo[:10, :, :1]  # grey has no hue and gets none
    ours = changed(lambda images: pixels.shift_hsv(images, *arrays), photo)
    hsv = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    grey = hsv[..., 1] == 0
    hsv[..., 0] = (hsv[..., 0] + shift[0]) % 360
    hsv[..., 1:] = np.clip(hsv[..., 1:] + np.array(shift[1:]) / 255, 0, 1)
    hsv[..., 1][grey] = 0
    assert np.abs(ours - 255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)).max() < 0.1


def test_motion_is_a_line_of_its_length_and_angle_about_the_middle() -> None:
    lengths, angles = np.repeat([1.0, 4.5, 8.0], 5), np.tile(np.linspace(0, 2.5, 5), 3)
    kernels = pixels.motion_kernels(lengths, angles)
    y, x = np.indices((9, 9)) - 4
    np.testing.assert_allclose(kernels.sum((1, 2)), 1, rtol=1e-5)
    for way in (y, x):
        np.testing.assert_allclose((kernels * way).sum((1, 2)), 0, atol=1e-5)
    cos, sin = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]
    spread = np.sqrt((kernels * (x * cos + y * sin) ** 2).sum((1, 2)) * 12)  # of an even line: its length
    np.testing.assert_allclose(spread[lengths > 4], lengths[lengths > 4], rtol=0.15)
    assert (kernels * (y * cos - x * sin) ** 2).sum((1, 2)).max() < 0.35, "no wider than the pixels that share a point"


def test_noise_is_normal_and_another_in_each_image() -> None:
    grey = torch.full((6, 3, 64, 64), 128.0)
    noise = pixels.add_noise(grey.clone(), np.array([4, 8, 12, 16, 20, 24.0]), np.random.default_rng(0)) - 128
    np.testing.assert_allclose(noise.flatten(1).std(1), [4, 8, 12, 16, 20, 24], rtol=0.03)
    assert (noise.flatten(1).mean(1).abs() < 1).all()
    assert (torch.corrcoef(noise.flatten(1)) - torch.eye(6)).abs().max() < 0.04


def test_gamma_is_a_power_and_black_stays_black() -> None:
    photo = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    ours = changed(lambda images: pixels.adjust_gamma(images, np.array([1.4])), photo)
    np.testing.assert_allclose(ours, 255 * (photo / 255.0) ** 1.4, atol=0.01)
