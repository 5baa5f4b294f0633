"""Masks belong to their images wherever they lie, mean what they say, and no image is left out or bleached."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.recognition.layouts import TEST, TRAIN, mask, picture, table
from tests.recognition.test_new import samples_of
from tests.recognition.test_odd import fact, lines_of
from toolkit import Masks, OverlappingMasks, UserError, mask_files, new_competition
from toolkit.formats.run_lengths import By, run_lengths
from toolkit.recognition.new import _tried

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")
HOMES, EACH, SIDE = 6, 3, 24
Draw = Callable[[Path], None]


def pair(image: Path, its_mask: Path, number: int) -> None:
    """An image as bright as its mask is large, of which no two are alike."""
    image.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(image), np.full((SIDE, SIDE, 3), 10 * number, np.uint8))
    mask(its_mask, number + 2, SIDE, SIDE)


def in_homes(image: str, its_mask: str) -> Draw:
    """Equal names in the folder of each patient."""

    def draw(folder: Path) -> None:
        for at in range(HOMES * EACH):
            names = {"home": at // EACH, "name": at % EACH}
            pair(folder / image.format(**names), folder / its_mask.format(**names), at)

    return draw


def in_two_folders(image: str, its_mask: str) -> Draw:
    def draw(folder: Path) -> None:
        for at in range(HOMES * EACH):
            pair(folder / image.format(at), folder / its_mask.format(at), at)

    return draw


def parts_with_equal_names(folder: Path) -> None:
    for at, part in enumerate(("train", "val", "test")):
        for name in range(EACH):
            home = folder / part
            pair(home / "images" / f"{name}.png", home / "masks" / f"{name}.png", at * EACH + name)


def masks_of_two_kinds(folder: Path) -> None:
    for at in range(HOMES * EACH):
        pair(folder / "images" / f"{at}.jpg", folder / "masks" / f"{at}.png", at)
        mask(folder / "masks_instances" / f"{at}.png", 1, SIDE, SIDE)


def suffixes_mixed(folder: Path) -> None:
    for at in range(HOMES * EACH):
        pair(folder / f"c{at}.{('jpg', 'PNG')[at % 2]}", folder / f"c{at}_mask.png", at)


def parts_before_the_kinds(folder: Path) -> None:
    for at, part in enumerate(("train", "val")):
        for name in range(EACH):
            pair(folder / "photos" / part / f"{name}.jpg", folder / "masks" / part / f"{name}.png", at * EACH + name)


def masks_in_parts(folder: Path) -> None:
    for at in range(HOMES * EACH):
        pair(folder / "images" / f"{at}.png", folder / f"masks_{at % 3}" / f"{at}.png", at)


def cases_beside_others(folder: Path) -> None:
    """Tests that have masks too, a table: none of them is a training image."""
    in_homes("case{home}/{name}.png", "case{home}/{name}_mask.png")(folder)
    for name in range(EACH):
        pair(folder / "test" / f"{name}.png", folder / "test" / f"{name}_mask.png", name)
    table(folder / "case0" / "about.csv", ("width", "height"), (0.25, 0.5), (0.5, 0.75))


def several_ends(folder: Path) -> None:
    for at in range(HOMES * EACH):
        home, name = f"train/{'ab'[at % 2]}", f"{'ab'[at % 2]}_{at:03}"
        pair(folder / "photos" / home / f"{name}_photo.png", folder / "gtMask" / home / f"{name}_gt_id.png", at)
        mask(folder / "gtMask" / home / f"{name}_gt_instance.png", 1, SIDE, SIDE)


LAYOUTS: dict[str, tuple[Draw, int]] = {  # and the number of groups
    "patients": (in_homes("train/patient{home}/images/{name}.jpg", "train/patient{home}/masks/{name}.png"), HOMES),
    "one suffix": (in_homes("train/patient{home}/images/{name}.png", "train/patient{home}/masks/{name}.png"), HOMES),
    "cases": (in_homes("case{home}/{name}.png", "case{home}/{name}_mask.png"), HOMES),
    "large letters": (in_homes("case{home}/c{name}.JPG", "case{home}/c{name}_mask.PNG"), HOMES),
    "below the images": (in_homes("case{home}/{name}.png", "case{home}/mask/{name}.png"), HOMES),
    "a set called seg": (in_two_folders("Set-SEG/images/{}.jpg", "Set-SEG/masks/{}.png"), 0),
    "GroundTruth": (in_two_folders("Training_Input/{}.jpg", "Training_GroundTruth/{}_mask.png"), 0),
    "parts": (parts_with_equal_names, 0),
    "parts before the kinds": (parts_before_the_kinds, 0),
    "two kinds": (masks_of_two_kinds, 0),
    "suffixes": (suffixes_mixed, 0),
    "masks in parts": (masks_in_parts, 0),
    "cases beside others": (cases_beside_others, HOMES),
    "several ends": (several_ends, 0),
}


@pytest.mark.parametrize(("draw", "groups"), LAYOUTS.values(), ids=LAYOUTS)
def test_each_image_has_its_own_mask(draw: Draw, groups: int, home: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    draw(data)
    made = new_competition(home, data)
    assert not made.fault and max(map(len, lines_of(made))) < 120
    _, samples = samples_of(home, data)
    assert isinstance(samples.targets, Masks)
    drawn = [path for path in data.rglob("*") if path.suffix.lower() in (".png", ".jpg")]
    drawn = [path for path in drawn if "mask" not in str(path.relative_to(data)).lower() and "test" not in path.parts]
    assert set(samples.images.paths) == set(drawn)
    numbers = [round(samples.images.stored(row).mean() / 10) for row in range(len(samples.images))]
    assert [int(one.sum()) for one in samples.targets] == [(number + 2) ** 2 for number in numbers]
    assert (samples.groups is None) == (not groups)
    if samples.groups is not None:
        homes = {(number // EACH, group) for number, group in zip(numbers, samples.groups.tolist(), strict=True)}
        assert len(homes) == len(set(samples.groups.tolist())) == groups and fact(made, "groups")["sure"] == "likely"
    if draw is masks_of_two_kinds:
        assert "or masks_instances" in "".join(lines_of(made)) and fact(made, "masks")["sure"] == "guess"


def test_masks_that_no_folder_tells_apart_are_a_sentence(home: Path, tmp_path: Path) -> None:
    for at in range(HOMES * EACH):
        picture(tmp_path / "images" / f"{at}.png", 1, SIDE, SIDE)
        mask(tmp_path / "masks_a" / f"{at}.png", 3, SIDE, SIDE)
        mask(tmp_path / "masks_b" / f"{at}.png", 4, SIDE, SIDE)
    with pytest.raises(UserError, match="each image has a mask in several folders, masks_a, masks_b; leave one"):
        new_competition(home, tmp_path)


def test_several_masks_an_image_in_folders_of_other_names(home: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for at in range(HOMES):
        picture(data / f"id{at}" / "image" / f"id{at}.png", 1, SIDE, SIDE)
        for nucleus in range(3):
            mask(data / f"id{at}" / "mask" / f"{nucleus}.png", at + nucleus, SIDE, SIDE)
    assert not new_competition(home, data).fault
    _, samples = samples_of(home, data)
    assert [int(one.sum()) for one in samples.targets] == [(at + 2) ** 2 for at in range(HOMES)]


def test_smeared_edges_of_several_masks_an_image_are_no_part_of_them(home: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for at in range(HOMES):
        picture(data / f"id{at}" / "image" / f"id{at}.png", 1, SIDE, SIDE)
        made = np.zeros((SIDE, SIDE), np.uint8)
        made[8:16, 8:16] = 255
        (data / f"id{at}" / "mask").mkdir()
        for nucleus, one in enumerate((made, made[::-1])):
            assert cv2.imwrite(str(data / f"id{at}" / "mask" / f"{nucleus}.png"), cv2.GaussianBlur(one, (3, 3), 0.5))
    assert not new_competition(home, data).fault
    _, samples = samples_of(home, data)
    assert {int(one.sum()) for one in samples.targets} == {64}


def greys(folder: Path, number: int, *values: Sequence[int]) -> None:
    """The last of the images has the last of these values, others the first."""
    for at in range(number):
        picture(folder / "images" / f"{at:03}.png", 1, SIDE, SIDE)
        made = np.resize(np.array(values[at == number - 1], np.uint8), (SIDE, SIDE))
        (folder / "masks").mkdir(exist_ok=True)
        assert cv2.imwrite(str(folder / "masks" / f"{at:03}.png"), made)


def test_a_value_of_few_masks_is_a_class(home: Path, tmp_path: Path) -> None:
    greys(tmp_path / "data", 40, (0, 2, 3), (0, 1, 2, 3))
    made = new_competition(home, tmp_path / "data")
    assert len(made.proposal.names) == 4 and fact(made, "targets")["why"] == "pixels of 40 masks are 0, 1, 2, 3"


def test_masks_without_0_say_which_value_is_taken_for_the_background(home: Path, tmp_path: Path) -> None:
    greys(tmp_path / "data", 20, (1, 2), (2, 2))
    made = new_competition(home, tmp_path / "data")
    assert fact(made, "targets")["why"].endswith("none is 0, so 1 is taken for the background")
    assert fact(made, "targets")["sure"] == "guess"
    _, samples = samples_of(home, tmp_path / "data")
    assert isinstance(samples.targets, Masks)
    assert [np.unique(samples.targets[row]).tolist() for row in (0, 19)] == [[0, 1], [1]]


def test_a_grey_that_another_one_becomes_is_no_class(tmp_path: Path) -> None:
    greys(tmp_path, 2, (0, 2, 3), (0, 1, 2))
    paths = [tmp_path / "masks" / f"{at:03}.png" for at in range(2)]
    task = OverlappingMasks(("a", "b"), (SIDE, SIDE, 1))
    masks = mask_files(paths, task, {2: 1, 3: 2})
    assert np.unique(masks[0]).tolist() == [0, 1, 2]
    with pytest.raises(UserError, match=r"001\.png has the value 1, which `values` doesn't name, though 2 becomes 1"):
        masks[1]
    assert np.unique(mask_files(paths, task, {2: 1, 1: 1})[1]).tolist() == [0, 1]


def runs_of(folder: Path, by: By, first: int, height: int, width: int, *, shown: bool = True) -> None:
    rows = []
    for at in range(TRAIN):
        made = np.zeros((height, width), np.uint8)
        if at or first:
            made[at % 5 + 3 : at % 5 + 7, at % 4 + 1 : at % 4 + 15] = 200
        else:
            made[:4, :9] = 200
        path = folder / "train" / f"{at}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), made if shown else np.full_like(made, 9))
        rows.append((f"{at}", run_lengths(made > 0, by, first)))
    for at in range(TEST):
        picture(folder / "test" / f"t{at}.png", 1, height, width)
    table(folder / "train.csv", ("id", "rle"), *rows)
    table(folder / "sample_submission.csv", ("id", "rle"), *((f"t{at}", "") for at in range(TEST)))


def test_masks_beside_test_images_are_said(home: Path, tmp_path: Path) -> None:
    cases_beside_others(tmp_path)
    assert fact(new_competition(home, tmp_path), "not told apart")["found"] == "masks in test"


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("size", [(24, 24), (24, 40), (40, 20)])
@pytest.mark.parametrize("by", ["columns", "rows"])
def test_runs_go_as_masks_hang_together_or_as_images_have_edges(
    by: By, size: tuple[int, int], first: int, home: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    runs_of(data, by, first, *size)
    made = new_competition(home, data)
    assert not made.fault and fact(made, "run lengths")["sure"] == "likely"
    competition, samples = samples_of(home, data)
    assert isinstance(samples.targets, Masks)
    for row in range(TRAIN):
        np.testing.assert_array_equal(samples.targets[row], samples.images.stored(row) > 0)
    assert (competition.dialect.by, competition.dialect.first) == (by, first)
    assert sum("# CHOOSE" in line for line in lines_of(made)) == 2


def test_where_nothing_says_how_runs_go_it_is_to_be_chosen(home: Path, tmp_path: Path) -> None:
    runs_of(tmp_path / "data", "rows", 1, 24, 24, shown=False)
    made = new_competition(home, tmp_path / "data")
    assert not made.fault and fact(made, "run lengths")["sure"] == "guess"
    lines = lines_of(made)
    place = next(at for at, line in enumerate(lines) if 'CHOOSE: by="rows"' in line)
    assert 'by="columns"' in lines[place + 1]


@pytest.mark.parametrize(
    ("deep", "said"),
    [
        ("train/b/5.png", r"has 8 bits a pixel and train/b/5\.png more; save all images with as many"),
        ("test/t.png", "training images have 8 bits a pixel, test images more"),
    ],
)
def test_images_of_8_bits_and_of_more_are_a_sentence(deep: str, said: str, home: Path, tmp_path: Path) -> None:
    for name in (*(f"train/{'ab'[at % 2]}/{at}.png" for at in range(TRAIN)), "test/t.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        made = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
        assert cv2.imwrite(str(tmp_path / name), made.astype(np.uint16 if name == deep else np.uint8))
    with pytest.raises(UserError, match=said):
        new_competition(home, tmp_path)


def test_files_that_are_channels_in_folders_of_classes(home: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for at in range(TRAIN):
        for place, colour in enumerate(("red", "green", "blue")):
            path = data / "train" / "ab"[at % 2] / f"{at}_{colour}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), np.full((SIDE, SIDE), 50 * place, np.uint8))
    made = new_competition(home, data)
    assert not made.fault and made.proposal.shape == (SIDE, SIDE, 3)
    _, samples = samples_of(home, data)
    assert len(samples.images) == len(np.asarray(samples.targets)) == TRAIN
    assert samples.images.stored(0)[0, 0].tolist() == [0, 50, 100]


def test_a_load_that_finds_no_image_is_a_fault(home: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    LAYOUTS["cases"][0](data)
    new_competition(home, data)
    for path in data.rglob("*.png"):
        path.unlink()
    with pytest.raises(UserError, match="finds no training image"):
        _tried(home, data)
