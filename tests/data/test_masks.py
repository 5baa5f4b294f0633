"""Masks from pictures, tables and JSON are the same masks; what doesn't fit is named by file or line."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from toolkit.data.coco import coco_masks
from toolkit.data.masks import Masks, label_mask_files, mask_files, run_length_masks
from toolkit.errors import UserError
from toolkit.formats.run_lengths import from_polygons, from_run_lengths, run_lengths
from toolkit.images.cache import decode
from toolkit.images.files import ImageFiles, image_folder
from toolkit.images.fitting import Fit
from toolkit.images.reading import read_image
from toolkit.task import IGNORED, OverlappingMasks, Segmentation

CLASSES = Segmentation(("none", "road", "car"), (6, 8, 3))
LABELS = OverlappingMasks(("road", "car"), (6, 8, 3))
CLASS = np.array([[0, 0, 1, 1], [2, 2, 1, 0], [2, 0, 0, 0]], np.uint8)
BITS = np.array([[0, 1, 3, 3], [2, 2, 1, 0], [2, 0, 0, 0]], np.uint8)


def png(path: Path, mask: np.ndarray) -> Path:
    Image.fromarray(mask).save(path)
    return path


def palette(path: Path, mask: np.ndarray) -> Path:
    image = Image.fromarray(mask, "P")
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    image.save(path)
    return path


COLOURS = {(0, 0, 0): 0, (200, 0, 0): 1, (0, 200, 0): 2}


def test_pictures_of_masks_are_read_by_their_greys_places_or_colours(tmp_path: Path) -> None:
    painted = np.array(list(COLOURS), np.uint8)[CLASS]
    paths = [
        png(tmp_path / "a.png", CLASS),
        palette(tmp_path / "b.png", CLASS),
        png(tmp_path / "c.png", np.dstack([CLASS] * 3)),
    ]
    masks = mask_files(paths, CLASSES)
    assert len(masks) == 3 and all((masks.read(row) == CLASS).all() for row in range(3))
    assert (mask_files([png(tmp_path / "d.png", painted)], CLASSES, COLOURS).read(0) == CLASS).all()
    greys = png(tmp_path / "e.png", (CLASS > 0).astype(np.uint8) * 255)
    assert (mask_files([greys], CLASSES, {255: 1}).read(0) == (CLASS > 0)).all()
    assert (mask_files([greys], CLASSES, {255: IGNORED}).read(0)[CLASS > 0] == IGNORED).all()
    assert (mask_files([png(tmp_path / "f.png", BITS)], LABELS).read(0) == BITS).all()


def test_a_mask_that_says_what_isnt_known_is_named(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", CLASS * 127)
    with pytest.raises(UserError, match=r"a.png has the value 127, expected 0 to 2; values=\{127: 1\} makes it"):
        mask_files([path], CLASSES).read(0)
    with pytest.raises(UserError, match=r"a.png has the value 254, expected 0 to 2"):
        mask_files([path], CLASSES, {127: 1}).read(0)
    painted = png(tmp_path / "b.png", np.array(list(COLOURS), np.uint8)[CLASS])
    with pytest.raises(UserError, match=r"b.png has colours: say which is which class"):
        mask_files([painted], CLASSES).read(0)
    with pytest.raises(UserError, match=r"b.png has the colour \(0, 200, 0\), which"):
        mask_files([painted], CLASSES, {(0, 0, 0): 0, (200, 0, 0): 1}).read(0)
    with pytest.raises(UserError, match=r"c.png does not exist"):
        mask_files([tmp_path / "c.png"], CLASSES).read(0)
    broken = bytearray(palette(tmp_path / "e.png", CLASS).read_bytes())
    broken[-20] ^= 1
    (tmp_path / "e.png").write_bytes(broken)
    with pytest.raises(UserError, match=r"e.png is damaged"):
        mask_files([tmp_path / "e.png"], CLASSES).read(0)
    (tmp_path / "d.png").write_text("x")
    with pytest.raises(UserError, match=r"d.png is no mask that can be read"):
        mask_files([tmp_path / "d.png"], CLASSES).read(0)


def test_pictures_of_each_label_are_put_together(tmp_path: Path) -> None:
    road, car = (png(tmp_path / f"{at}.png", (BITS >> at & 1) * 255) for at in (0, 1))
    second = png(tmp_path / "second.png", np.eye(3, 4, dtype=np.uint8))
    assert (label_mask_files([{"road": road, "car": [car]}], LABELS).read(0) == BITS).all()
    assert (
        label_mask_files([{"car": [car, second]}], LABELS).read(0) == 2 * ((BITS > 1) | np.eye(3, 4, dtype=bool))
    ).all()
    found = label_mask_files([{"road": road, "car": car}], CLASSES).read(0)
    assert (found == np.where(BITS & 2, 2, BITS & 1)).all()
    other = png(tmp_path / "other.png", np.ones((2, 2), np.uint8))
    with pytest.raises(UserError, match=r"other.png has the size \(2, 2\), expected \(3, 4\)"):
        label_mask_files([{"road": road, "car": other}], LABELS).read(0)
    with pytest.raises(UserError, match="the class is 'bus', expected road, car"):
        label_mask_files([{"bus": road}], LABELS).read(0)
    with pytest.raises(UserError, match="image 0 has no mask"):
        label_mask_files([{}], LABELS).read(0)


def test_run_lengths_in_a_table_are_put_together(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    road, car = (run_lengths(BITS >> at & 1) for at in (0, 1))
    path.write_text(f"id,class,rle\n1,road,{road}\n1,car,{car}\n2,car,\n1,car,3 1\n")
    masks = run_length_masks(path, ["2", "1", "0"], LABELS, (3, 4), ("id", "class", "rle"))
    assert not masks.read(0).any() and (masks.read(1) == BITS).all() and not masks.read(2).any()
    path.write_text(f"id,rle\n1,-\n2,{car}\n")
    one = Segmentation(("none", "car"), (6, 8, 3))
    assert (run_length_masks(path, ["2", "1"], one, (3, 4), empty="-").read(0) == BITS >> 1).all()
    cv2.imwrite(str(tmp_path / "2.png"), np.zeros((3, 4)))
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((7, 9)))
    sized = run_length_masks(path, ["1", "2"], one, image_folder(tmp_path), empty="-")
    assert sized.read(0).shape == (7, 9) and (sized.read(1) == BITS >> 1).all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,class,rle\n1,road,9 9\n", "line 2: a run ends at pixel 17, the image has 12"),
        ("id,class,rle\n1,road,1 1\n1,car,1\n", "line 3: 1 numbers are no pairs"),
        ("id,class,rle\n1,road,a b\n", "line 2: 'a b' isn't made of whole numbers"),
        ("id,class,rle\n1,bus,1 1\n", "line 2: the class is 'bus', expected road, car"),
        ("id,class,rle\n1,road,\n3,road,1 1\n", "line 3: there is no image '3'"),
        ("id,rle\n1,\n", "has no column 'class', it has id, rle"),
    ],
)
def test_a_fault_in_a_table_of_runs_is_named_by_its_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(text)
    with pytest.raises(UserError, match=f"train.csv {said}"):
        run_length_masks(tmp_path / "train.csv", ["1"], LABELS, (3, 4), ("id", "class", "rle")).read(0)


def test_runs_are_counted_along_rows_and_from_0_where_that_is_said() -> None:
    mask = np.array([[0, 1, 1], [1, 0, 0]], bool)
    assert (from_run_lengths("2 3", (2, 3), by="rows") == mask).all()
    assert (from_run_lengths("1 3", (2, 3), by="rows", first=0) == mask).all()
    assert (from_run_lengths("2 2 5 1", (2, 3)) == mask).all()


@given(st.integers(0, 5), st.integers(0, 5), st.integers(1, 6), st.integers(1, 6))
def test_a_polygon_fills_what_lies_in_it(left: int, top: int, wide: int, tall: int) -> None:
    corners = np.array([[left, top], [left + wide, top], [left + wide, top + tall], [left, top + tall]])
    expected = np.zeros((12, 12), bool)
    expected[top : top + tall, left : left + wide] = True
    found = from_polygons([corners], (12, 12))
    assert (found & expected).sum() == expected.sum() and (found & ~expected).sum() <= wide + tall + 1


def test_masks_come_to_the_size_of_the_task_as_images_do() -> None:
    large = CLASS.repeat(4, axis=0).repeat(4, axis=1)  # 12x16 into 6x8, then with a border into 8x8
    masks = Masks(1, lambda row: large)
    assert (masks.fitted((6, 8, 3))[0] == CLASS.repeat(2, axis=0).repeat(2, axis=1)).all()
    boxed = masks.fitted((8, 8, 3))[0]
    assert (boxed[1:7] == CLASS.repeat(2, axis=0).repeat(2, axis=1)).all() and (boxed[[0, 7]] == IGNORED).all()
    assert set(np.unique(masks.fitted((5, 5), "stretch"))) <= {0, 1, 2} and masks.fitted((5, 5), "crop").shape == (
        1,
        5,
        5,
    )


def test_a_mask_lies_on_its_image_at_any_size(tmp_path: Path) -> None:
    shape = np.zeros((90, 200), np.uint8)
    cv2.circle(shape, (60, 40), 25, 1, -1)
    images = ImageFiles([png(tmp_path / "a.png", shape * 255)])
    masks = mask_files([png(tmp_path / "m.png", shape)], Segmentation(("no", "yes"), (64, 64, 1)))
    fits: tuple[Fit, ...] = ("letterbox", "crop", "stretch")
    for fit in fits:
        shown = decode(images, 0, (64, 64, 1), fit)[..., 0] > 127
        mask = masks.fitted((64, 64, 1), fit)[0]
        assert ((mask == 1) != shown).sum() <= 12 and shown.sum() > 150  # of the circle's edge
        assert (mask == IGNORED).any(1).sum() == (64 - round(90 * 64 / 200) if fit == "letterbox" else 0)


def test_all_masks_that_cannot_be_read_are_named_at_once(tmp_path: Path) -> None:
    paths = [tmp_path / f"{at:02}.png" for at in range(13)]
    png(paths[1], CLASS)
    with pytest.raises(UserError) as caught:
        mask_files(paths, CLASSES).fitted((6, 8))
    lines = str(caught.value).splitlines()
    assert len(lines) == 11 and lines[-1] == "… and 2 more masks that can't be read"
    assert lines[1] == f"{paths[2]} does not exist"


def coco(path: Path, annotations: list[dict[str, object]]) -> Path:
    content = {
        "images": [
            {"id": 7, "file_name": "b.jpg", "height": 3, "width": 4},
            {"id": 3, "file_name": "a.jpg", "height": 5, "width": 5},
        ],
        "categories": [{"id": 1, "name": "road"}, {"id": 5, "name": "car"}],
        "annotations": annotations,
    }
    path.write_text(json.dumps(content))
    return path


def test_cocos_polygons_and_runs_are_masks(tmp_path: Path) -> None:
    square = {"id": 1, "image_id": 3, "category_id": 5, "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]]}
    runs = {"id": 2, "image_id": 7, "category_id": 1, "segmentation": {"size": [3, 4], "counts": [3, 2, 7]}}
    packed = {"id": 3, "image_id": 7, "category_id": 5, "segmentation": {"size": [3, 4], "counts": "02:"}}
    names, masks = coco_masks(coco(tmp_path / "a.json", [square, runs, packed]), LABELS)
    assert names == ["b.jpg", "a.jpg"] and masks.read(0).shape == (3, 4)
    expected = np.zeros((5, 5), int)
    expected[1:3, 1:4] = 2
    assert (masks.read(1) == expected).all()
    assert (masks.read(0) & 1).ravel("F").tolist() == [0] * 3 + [1] * 2 + [0] * 7
    assert (masks.read(0) >> 1).ravel("F").tolist() == [1] * 2 + [0] * 10


def test_what_isnt_cocos_or_isnt_known_is_refused(tmp_path: Path) -> None:
    box = {"id": 9, "image_id": 3, "category_id": 5, "bbox": [0, 0, 1, 1]}
    with pytest.raises(UserError, match=r"a.json, annotation 9 has no mask that can be read"):
        coco_masks(coco(tmp_path / "a.json", [box]), LABELS)[1].read(1)
    with pytest.raises(UserError, match=r"a.json has the category 'car', expected road"):
        coco_masks(coco(tmp_path / "a.json", [box]), OverlappingMasks(("road",), (6, 8, 3)))
    for coded in ({"size": [5, 5], "counts": [3, 2, 7]}, {"size": [3, 4], "counts": "02:"}):
        short = box | {"segmentation": coded}
        with pytest.raises(UserError, match=r"annotation 9 has no mask that can be read: .*5 x 5"):
            coco_masks(coco(tmp_path / "a.json", [short]), LABELS)[1].read(1)
    (tmp_path / "b.json").write_text("[]")
    with pytest.raises(UserError, match="isn't COCO's JSON"):
        coco_masks(tmp_path / "b.json", LABELS)
    with pytest.raises(UserError, match=r"c.json does not exist"):
        coco_masks(tmp_path / "c.json", LABELS)


def test_the_size_of_an_image_is_that_which_is_read(tmp_path: Path) -> None:
    from toolkit.images.regions import size_of

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(CLASS).save(tmp_path / "a.jpg", exif=exif)
    np.save(tmp_path / "b.npy", CLASS)
    images = ImageFiles([tmp_path / "a.jpg", tmp_path / "b.npy"])
    assert [size_of(images, row) for row in (0, 1)] == [(4, 3), (3, 4)]


def test_a_palette_and_greys_may_be_given_by_colours(tmp_path: Path) -> None:
    path = palette(tmp_path / "a.png", CLASS)
    colours = {(0, 0, 0): 0, (128, 0, 0): 1, (0, 128, 0): 2}
    assert (mask_files([path], CLASSES, colours).read(0) == CLASS).all()
    path = png(tmp_path / "b.png", CLASS * 100)
    assert (mask_files([path], CLASSES, {(grey,) * 3: grey // 100 for grey in (0, 100, 200)}).read(0) == CLASS).all()
    with pytest.raises(UserError, match=r"has the colour \(200, 200, 200\), which `values` doesn't know"):
        mask_files([path], CLASSES, {(0, 0, 0): 0, (100, 100, 100): 1}).read(0)


@pytest.mark.parametrize("task", [CLASSES, LABELS])
def test_a_table_of_several_classes_says_which(tmp_path: Path, task: Segmentation | OverlappingMasks) -> None:
    (tmp_path / "a.csv").write_text("id,rle\n1,1 3\n")
    with pytest.raises(UserError, match=r"road, car no column says which a row is"):
        run_length_masks(tmp_path / "a.csv", ["1"], task, (3, 4))


def test_a_number_that_no_computer_holds_is_no_run() -> None:
    with pytest.raises(ValueError, match="isn't made of whole numbers"):
        from_run_lengths("1 99999999999999999999", (3, 4))


def test_a_palette_turns_as_its_picture_does(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x112] = 6  # lies on its side
    mask = Image.fromarray(np.array([[0, 1, 1], [0, 0, 1]], np.uint8), "P")
    mask.putpalette([0, 0, 0, 9, 9, 9])
    mask.save(tmp_path / "mask.png", exif=turned)
    Image.new("RGB", (3, 2)).save(tmp_path / "image.png", exif=turned)
    read = mask_files([tmp_path / "mask.png"], Segmentation(("a", "b"), (3, 2, 3)))[0]
    assert read.shape == read_image(tmp_path / "image.png").shape[:2] == (3, 2)
    assert read.tolist() == [[0, 0], [0, 1], [1, 1]]


@pytest.mark.parametrize("empty", ["", "-1"])
def test_what_stands_for_an_empty_mask_and_lines_behind_a_blank_one(empty: str, tmp_path: Path) -> None:
    path, task = tmp_path / "masks.csv", Segmentation(("a", "b"), (8, 8, 3))
    path.write_text(f"id,rle\none,1 3\n\ntwo,{empty}\n")
    masks = run_length_masks(path, ["one", "two"], task, (8, 8))
    assert [int(masks[at].sum()) for at in (0, 1)] == [3, 0]
    path.write_text("id,rle\none,1 3\n\ntwo,1 x\n")
    with pytest.raises(UserError, match="line 4: '1 x' isn't made of whole numbers"):
        run_length_masks(path, ["one", "two"], task, (8, 8))[1]


@pytest.mark.parametrize("text", ["", " ", "-1", None, float("nan")])
def test_what_tables_hold_where_a_mask_is_empty(text: str | float | None) -> None:
    assert not from_run_lengths(text, (4, 5)).any()


def test_a_picture_of_a_label_goes_by_its_colours_whatever_the_palettes_order(tmp_path: Path) -> None:
    shape = np.zeros((16, 16), np.uint8)
    shape[3:7, 4:9] = 1
    white_first = Image.fromarray(1 - shape, "P")
    white_first.putpalette([255, 255, 255, 0, 0, 0])
    white_first.save(tmp_path / "a.png")
    Image.fromarray(shape * 255).convert("RGB").quantize(2).save(tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        assert (label_mask_files([{"road": tmp_path / name}], LABELS)[0] == shape).all()


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_smeared_edges_of_a_label_are_asked_about(suffix: str, tmp_path: Path) -> None:
    shape = np.zeros((64, 64), np.uint8)
    cv2.circle(shape, (30, 33), 14, 255, -1)
    path = tmp_path / f"mask.{suffix}"
    cv2.imwrite(str(path), cv2.GaussianBlur(shape, (5, 5), 1) if suffix == "png" else shape)
    with pytest.raises(UserError, match=r"has several values beside 0 \(.*, …\).* above=127\) takes"):
        label_mask_files([{"road": path}], LABELS)[0]
    assert ((label_mask_files([{"road": path}], LABELS, above=127)[0] > 0) != (shape > 0)).sum() < 8
    assert (label_mask_files([{"road": path}], LABELS, above=0)[0] > 0).sum() > (shape > 0).sum() + 40


@pytest.mark.parametrize("odd", [1.9, np.nan])
def test_fractions_are_no_classes(odd: float, tmp_path: Path) -> None:
    Image.fromarray(CLASS.astype(np.float32)).save(tmp_path / "a.tif")
    assert (mask_files([tmp_path / "a.tif"], CLASSES)[0] == CLASS).all()
    Image.fromarray(np.where(CLASS == 1, odd, CLASS).astype(np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=f"a.tif has the value {odd}, expected whole numbers"):
        mask_files([tmp_path / "a.tif"], CLASSES)[0]


@pytest.mark.parametrize(
    ("part", "missing", "said"),
    [
        ("images", "height", "the image a.jpg has no height and width"),
        ("images", "file_name", "isn't COCO's JSON .*'file_name'"),
        ("annotations", "image_id", "isn't COCO's JSON .*'image_id'"),
        ("annotations", "category_id", "isn't COCO's JSON .*'category_id'"),
    ],
)
def test_what_cocos_json_lacks_is_named(part: str, missing: str, said: str, tmp_path: Path) -> None:
    square = {"id": 1, "image_id": 3, "category_id": 5, "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]]}
    content = json.loads(coco(tmp_path / "a.json", [square]).read_text())
    del content[part][-1][missing]
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=said):
        coco_masks(tmp_path / "a.json", LABELS)[1].read(1)
