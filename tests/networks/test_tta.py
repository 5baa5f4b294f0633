"""A view is undone where it can be, to the bit or within an interpolation's error; where not, it has no vote."""

import cmath
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import UserError
from toolkit.networks.predict import predict
from toolkit.networks.tta import (
    EXACT,
    SQUARE,
    Mean,
    apply_view,
    parse_view,
    parse_views,
    predict_views,
    undo_view,
)

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
ANY = st.one_of(
    st.sampled_from(sorted(EXACT)),
    st.integers(-25, 25).filter(bool).map(lambda angle: f"rotate{angle}"),
    st.sampled_from(["scale0.8", "scale0.9", "scale1.25", "shiftx3.5", "shifty-2", "shiftx-7", "shifty1.25"]),
)
ERROR = 0.05  # of the amplitude: two bilinear samplings of waves no shorter than 24 pixels, zoomed out to 19


def smooth(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Probabilities (2, 3, H, W) whose waves are 24 pixels and longer."""
    drawn = np.random.default_rng(seed).uniform((0, 24, 0), (np.pi, 60, 2 * np.pi), (2, 3, 3))
    angle, length, phase = np.moveaxis(drawn, 2, 0)[..., None, None]
    rows, columns = np.mgrid[:height, :width]
    across = rows * np.sin(angle) + columns * np.cos(angle)
    return torch.from_numpy(0.5 + 0.5 * np.sin(2 * np.pi * across / length + phase)).float()


def noise(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize("name", EXACT)
def test_an_exchange_of_pixels_is_what_numpy_makes_and_comes_back_to_the_bit(name: str) -> None:
    images = noise(2, 3, 12, 12)
    array = images.numpy()
    expected = {
        "identity": array,
        "horizontal": array[..., ::-1],
        "vertical": array[..., ::-1, :],
        "both": array[..., ::-1, ::-1],
        "transpose": array.swapaxes(2, 3),
        "antitranspose": array.swapaxes(2, 3)[..., ::-1, ::-1],
        "rot90": np.rot90(array, 1, (2, 3)),
        "rot270": np.rot90(array, 3, (2, 3)),
    }
    view = parse_view(name)
    seen = apply_view(view, images)
    assert seen.dtype == torch.uint8 and np.array_equal(seen.numpy(), expected[name])
    back, weight = undo_view(view, seen)
    assert torch.equal(back, images) and (weight == 1).all()


@given(st.lists(st.sampled_from(sorted(EXACT)), min_size=1, max_size=4))
@settings(max_examples=50)
def test_exchanges_one_after_the_other_are_one_of_the_eight(names: list[str]) -> None:
    images = noise(1, 1, 6, 6)
    expected = images
    for name in names:
        expected = apply_view(parse_view(name), expected)
    view = parse_view("+".join(names))
    assert view.name in EXACT and not view.resampled
    assert torch.equal(apply_view(view, images), expected)
    assert torch.equal(undo_view(view, expected)[0], images)


@given(st.integers(-9, 9), st.integers(-9, 9).filter(bool), st.sampled_from(sorted(EXACT)))
@settings(max_examples=50)
def test_a_shift_by_whole_pixels_comes_back_to_the_bit_where_it_was_seen(down: int, right: int, first: str) -> None:
    view = parse_view(f"{first}+shiftx{right}" + (f"+shifty{down}" if down else ""))
    images = noise(2, 1, 10, 10)
    seen = apply_view(view, images)
    reflected = np.pad(apply_view(parse_view(first), images), ((0, 0), (0, 0), (9, 9), (9, 9)), "symmetric")
    assert seen.dtype == torch.uint8
    assert np.array_equal(seen, reflected[:, :, 9 - down : 19 - down, 9 - right : 19 - right])
    back, weight = undo_view(view, seen.float())
    assert weight.sum() == (10 - abs(down)) * (10 - abs(right))
    assert torch.equal(back, images * weight)


@given(st.lists(ANY, min_size=1, max_size=3), st.booleans(), st.integers(0, 9))
@settings(max_examples=60)
def test_smooth_content_comes_back_from_any_view(names: list[str], square: bool, seed: int) -> None:
    if not square:
        names = [name for name in names if name not in SQUARE] or ["both"]
    view = parse_view("+".join(names))
    content = smooth(64, 64 if square else 128, seed)
    back, weight = undo_view(view, apply_view(view, content))
    assert ((weight == 0) | (weight == 1)).all()
    assert ((back - content).abs() * weight).max() < ERROR
    assert (back * (1 - weight)).abs().max() == 0


def turned(degrees: float) -> complex:
    return cmath.exp(1j * math.radians(degrees))


# counter-clockwise as one sees it: places are rows, counted downwards, + 1j columns
@pytest.mark.parametrize(
    ("name", "moved"),
    [
        ("rotate17", lambda place: place * turned(17)),
        ("rotate-10", lambda place: place * turned(-10)),
        ("scale0.8", lambda place: place * 0.8),
        ("scale1.25", lambda place: place * 1.25),
        ("horizontal+rotate10", lambda place: place.conjugate() * turned(10)),
        ("shiftx2.5", lambda place: place + 2.5j),
    ],
)
@pytest.mark.parametrize("size", [(64, 64), (64, 128), (65, 97)])
def test_a_spot_is_where_geometry_says_and_comes_back_without_a_drift(
    name: str, moved: Callable[[complex], complex], size: tuple[int, int]
) -> None:
    rows, columns = (torch.arange(side) - (side - 1) / 2 for side in size)
    spot = torch.exp(-((rows[:, None] - 6.8) ** 2 + (columns + 9.1) ** 2) / 18)[None, None]

    def centre(picture: torch.Tensor) -> complex:
        return complex((picture * (rows[:, None] + 1j * columns)).sum() / picture.sum())

    view = parse_view(name)
    seen = apply_view(view, spot)
    assert centre(seen) == pytest.approx(moved(centre(spot)), abs=0.02)
    assert centre(undo_view(view, seen)[0]) == pytest.approx(centre(spot), abs=0.02)


def test_what_is_composed_is_resampled_once_and_a_small_rotation_goes_the_way_of_rot90() -> None:
    content = smooth(64, 64)
    inner = (..., slice(2, -2), slice(2, -2))
    for name, same, error in (("rotate10+rotate-4", "rotate6", 1e-4), ("rotate89.99", "rot90", 0.01)):
        one, other = (apply_view(parse_view(each), content)[inner] for each in (name, same))
        assert (one - other).abs().max() < error
    assert parse_view("rotate45+rotate45").name == "rot90" and parse_view("rotate10+rotate-10").name == "identity"
    assert parse_view("shiftx0.5+shiftx0.5").whole


def test_a_reflection_has_no_vote() -> None:
    """Probabilities that are wrong wherever the seen image is a reflection must not come back."""
    for name in ("scale0.8", "rotate20", "scale0.8+rotate15+shiftx3.5", "shiftx5", "horizontal+shifty2.5"):
        view = parse_view(name)
        rows, columns = torch.meshgrid(torch.arange(32) + 0.5 - 16, torch.arange(48) + 0.5 - 24, indexing="ij")
        places = torch.stack([rows, columns]).reshape(2, -1).double() - torch.tensor(view.shift)[:, None]
        source = torch.linalg.inv(torch.tensor(view.linear).double()) @ places
        outside = (source.abs() > torch.tensor([[16.0], [24.0]]) + 1e-6).any(0).reshape(32, 48)
        assert outside.any()
        marked = torch.ones((1, 1, 32, 48))
        marked[..., outside] = 1000.0
        back, weight = undo_view(view, marked)
        assert torch.allclose(back, weight, atol=1e-5), name
        assert weight.mean() > 0.5


@pytest.mark.parametrize("width", [96, 97, 100, 128])
def test_what_lies_on_the_border_itself_has_its_vote(width: int) -> None:
    _, weight = undo_view(parse_view("shifty2.5"), torch.ones((1, 1, 60, width)))
    assert (weight == weight[..., :1]).all()  # a shift along columns loses rows alone
    assert weight[0, 0, :, 0].sum() == 60 - 4  # those shifted out, and of the ends those mixed with a reflection


def test_brightness_is_clipped_and_leaves_masks_alone() -> None:
    images = noise(1, 3, 4, 4)
    view = parse_view("vertical+bright1.5")
    assert torch.equal(apply_view(view, images), (images.flip(2).float() * 1.5).clamp(max=255))
    assert torch.equal(undo_view(view, images.flip(2))[0], images)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["flip"], "there is no view 'flip'; there are identity, horizontal, .*, rotate10, scale0.8"),
        (["horizontal+turn5"], r"there is no view 'turn5' \(in 'horizontal\+turn5'\)"),
        (["rotate"], "there is no view 'rotate'"),
        ([""], "there is no view ''"),
        (["scale1.0"], "view 'scale1.0' does nothing"),
        (["rotate0"], "view 'rotate0' does nothing"),
        (["scale9"], "view 'scale9' is out of range; scale goes from 0.25 to 4"),
        *(([name], f"view '{name}' needs square images, these have 64x128 pixels") for name in SQUARE),
        (["horizontal+rotate90"], "transpose' needs square"),
        (["both", "horizontal+vertical"], "is named twice; give it more weight instead"),
        (["rotate10", "rotate10.0"], "'rotate10' is named twice"),
        ([], "no view was named"),
    ],
)
def test_names_that_are_no_views_or_do_not_fit_are_refused(names: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse_views(names, 64, 128)
    assert len(parse_views(SQUARE, 96, 96)) == 4


class Pixels(torch.nn.Module):
    """Logits that depend on a pixel and on its place in the image, so that a view changes them."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[-2:]
        place = torch.linspace(0, 0.5, height)[:, None] + torch.linspace(0, 1, width) ** 2
        return images.float() / 60 * torch.tensor([1, -1, 0.5]).reshape(3, 1, 1) * place


class Labels(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return Pixels()(images).mean((2, 3))


IMAGES = np.random.default_rng(0).integers(0, 256, (5, 16, 24, 3), dtype=np.uint8)
SCORED = (0, 2)


def mean(network: torch.nn.Module, views: Sequence[str], **options: object) -> np.ndarray:
    return predict_views(network, IMAGES, SCORED, CPU, "float32", views, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("network", [Pixels(), Labels()])
def test_identity_alone_is_the_prediction_to_the_bit(network: torch.nn.Module) -> None:
    plain = predict(network, IMAGES, SCORED, CPU, "float32", batch=3)
    assert np.array_equal(mean(network, ["identity"], batch=3), plain)
    assert np.array_equal(mean(network, ["identity", "both"], weights=[2, 0], batch=3), plain)


def by_hand(network: torch.nn.Module, axes: tuple[int, ...]) -> np.ndarray:
    """Probabilities in float64 of images flipped over axes of (N, H, W, C), and put back."""
    logits = network(torch.from_numpy(np.flip(IMAGES, axes).copy()).permute(0, 3, 1, 2)).numpy().astype(np.float64)
    if logits.ndim == 4:
        logits = np.flip(logits, tuple(axis + 1 for axis in axes))
    powers = np.exp(logits[:, list(SCORED)])
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("network", [Pixels(), Labels()])
@pytest.mark.parametrize("batch", [2, 128])
def test_flips_are_undone_and_averaged_as_by_hand(network: torch.nn.Module, batch: int) -> None:
    parts = [by_hand(network, axes) for axes in ((), (2,), (1,), (1, 2))]
    expected = np.average(parts, axis=0, weights=[4, 3, 2, 1])
    result = mean(network, ["identity", "horizontal", "vertical", "both"], weights=[4, 3, 2, 1], batch=batch)
    assert result.dtype == np.float32 and (result[:, 1] == 0).all()
    assert np.allclose(result[:, list(SCORED)], expected, atol=1e-5)


class Same(torch.nn.Module):
    """The image's own red and blue as probabilities, so that a mean over views is known."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        share = (images[:, :1].float() / 255).clamp(0.01, 0.99)
        return torch.cat([share.log(), torch.zeros_like(share), (1 - share).log()], 1)


def test_every_pixel_is_the_mean_over_the_views_that_see_it() -> None:
    images = (255 * smooth(64, 96)[:, :1].clamp(0.05, 0.95).expand(-1, 3, -1, -1)).to(torch.uint8)
    array = images.permute(0, 2, 3, 1).numpy()
    plain = predict(Same(), array, SCORED, CPU, "float32")
    views = ["identity", "scale1.25", "rotate10", "horizontal+scale0.9", "shiftx3"]
    result = predict_views(Same(), array, SCORED, CPU, "float32", views)
    assert np.abs(result - plain).max() < ERROR  # a black border that votes would be far off
    alone = predict_views(Same(), array, SCORED, CPU, "float32", ["scale1.25"], gaps=True)
    voted = alone.sum(1)
    assert ((np.abs(voted - 1) < 1e-5) | (voted == 0)).all() and 0.58 < voted.mean() < 0.64  # 1 / 1.25²


def test_pixels_that_no_view_sees_are_refused() -> None:
    assert np.allclose(mean(Pixels(), ["shiftx3", "horizontal+shiftx4"]).sum(1), 1)
    with pytest.raises(UserError, match="48 pixels of a mask are seen by none of the views shiftx3; add identity"):
        mean(Pixels(), ["shiftx3"])
    assert mean(Labels(), ["shiftx3"]).shape == (5, 3)  # a label has no pixels


def test_stored_probabilities_are_averaged_like_a_networks() -> None:
    views = ["identity", "shiftx3", "both", "rotate10"]
    weights = [0.4, 0.1, 0.3, 0.2]
    stored = Mean()
    for view, weight in zip(views, weights, strict=True):
        stored.add(torch.from_numpy(mean(Pixels(), [view], gaps=True)[:, list(SCORED)]), weight)
    result = mean(Pixels(), views, weights=weights)[:, list(SCORED)]
    assert np.allclose(stored.result().numpy(), result, atol=1e-5)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0], [1.0, math.inf], [1.0, math.nan]])
def test_weights_that_make_no_mean_are_refused(weights: list[float]) -> None:
    with pytest.raises(UserError, match="2 views need as many weights, none below 0 and not all 0"):
        mean(Labels(), ["identity", "both"], weights=weights)
