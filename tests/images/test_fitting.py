"""Images of any number of channels and either type come to any size, each channel as if it were alone."""

import numpy as np
import pytest

from toolkit.images.fitting import fitted, resized

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 13, 200])
@pytest.mark.parametrize("size", [(30, 20), (33, 17), (120, 75), (90, 30)])
def test_each_channel_is_resized_as_if_it_were_alone(kind: type, channels: int, size: tuple[int, int]) -> None:
    image: np.ndarray = (RNG.random((60, 41, channels)) * 255).astype(kind)
    made = resized(image, *size)
    assert made.shape == (*size, channels) and made.dtype == kind
    for channel in {0, channels // 2, channels - 1}:
        alone = resized(image[..., [channel]], *size)[..., 0]
        assert np.abs(made[..., channel].astype(float) - alone).max() <= (1 if kind is np.uint8 else 1e-3)


@pytest.mark.parametrize("fit", ["letterbox", "crop", "stretch"])
def test_floats_stay_on_their_scale_where_they_are_enlarged(fit: str) -> None:
    image = np.zeros((6, 9, 6), np.float32)
    image[2:4, 3:6] = 255
    made = fitted(image, 24, 24, fit)  # type: ignore[arg-type]
    assert made.shape == (24, 24, 6) and made.min() == 0 and made.max() == 255
