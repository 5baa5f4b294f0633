"""Images whose channels lie in a file each become one; what doesn't go together is named."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.images.cache import decode
from toolkit.images.channel_files import channel_files
from toolkit.images.file_list import describe_files, file_table, open_files
from toolkit.images.files import image_folder
from toolkit.images.reading import read_image
from toolkit.store import write_manifest

STAINS = ("_w1", "_w2", "_w3")


def drawn(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """Two wells of three stains each, grey pictures of their own numbers."""
    for at, well in enumerate(("B03_w1", "B04_w1")):  # the first mark stands in the folder as well
        for channel, mark in enumerate(STAINS):
            drawn(tmp_path / f"plate_w1/{well[:3]}{mark}.png", np.full((6, 8), 10 * at + channel, np.uint8))
    return tmp_path


def test_channels_follow_each_other_in_the_order_of_the_marks(cells: Path) -> None:
    images = channel_files(image_folder(cells, "*_w1.png"), STAINS)
    assert images.stems.tolist() == ["B03_w1", "B04_w1"]
    assert images.stored(1).shape == (6, 8, 3) and images.stored(1)[0, 0].tolist() == [10, 11, 12]
    backwards = channel_files(image_folder(cells, "*_w3.png"), STAINS[::-1])
    assert backwards.chosen(["B04_w3"]).stored(0)[0, 0].tolist() == [12, 11, 10]
    assert decode(images, 0, (3, 4, 3), "letterbox").tolist() == [[[0, 1, 2]] * 4] * 3


def test_folders_of_bands_with_several_channels_and_sixteen_bits(tmp_path: Path) -> None:
    drawn(tmp_path / "rgb" / "a.png", np.full((4, 4, 3), (300, 200, 100), np.uint16))
    drawn(tmp_path / "nir" / "a.png", np.full((4, 4), 4000, np.uint16))
    images = channel_files(image_folder(tmp_path / "rgb", values=(0, 4000)), ("rgb/", "nir/"))
    assert images.stored(0)[0, 0].tolist() == [100, 200, 300, 4000]
    assert images.dtype == np.float16 and decode(images, 0, (4, 4, 4), "letterbox")[0, 0, 3] == 255


def test_they_are_opened_again_where_the_files_lie_now(cells: Path, tmp_path: Path) -> None:
    files = {"images": channel_files(image_folder(cells, "*_w1.png"), STAINS)}
    said = describe_files(files, cells, "source")
    folder = tmp_path / "data"
    folder.mkdir()
    file_table(files, cells).to_parquet(folder / "files.parquet")
    write_manifest(folder, {**said, "raw": str(cells)})
    assert open_files(folder)["images"].stored(1)[0, 0].tolist() == [10, 11, 12]
    (cells / "plate_w1").rename(cells / "x")
    (cells / "elsewhere").mkdir()
    (cells / "x").rename(cells / "elsewhere" / "plate_w1")
    assert open_files(folder, cells / "elsewhere")["images"].stored(1)[0, 0].tolist() == [10, 11, 12]


def test_jpegs_at_reduced_scale_beside_other_files_come_whole(tmp_path: Path) -> None:
    drawn(tmp_path / "a_1.jpg", np.full((64, 64), 100, np.uint8))
    (tmp_path / "a_2.jpg").write_bytes(cv2.imencode(".png", np.full((64, 64), 50, np.uint8))[1].tobytes())
    images = channel_files(image_folder(tmp_path, "*_1.jpg"), ("_1", "_2"))
    assert images.stored(0, 8).shape == (64, 64, 2)


def test_faults_are_named(cells: Path) -> None:
    images = image_folder(cells, "*_w1.png")
    for marks, said in ((("_w1",), "two or more marks"), (("_w1", "_w1"), "all different")):
        with pytest.raises(UserError, match=said):
            channel_files(images, marks)
    with pytest.raises(UserError, match=r"B03_w1.png has no '_red' in its path; choose .*\"\*_red\*\""):
        channel_files(images, ("_red", "_green"))
    with pytest.raises(UserError, match="without a `read`"):
        channel_files(channel_files(images, STAINS), STAINS)
    made = channel_files(images, STAINS)
    (cells / "plate_w1" / "B03_w2.png").unlink()
    with pytest.raises(UserError, match=r"B03_w2\.png is missing$"):
        decode(made, 0, (6, 8, 3), "letterbox")
    drawn(cells / "plate_w1" / "B04_w3.png", np.zeros((5, 8), np.uint8))
    with pytest.raises(
        UserError, match=r"B04_w1\.png has 6 x 8 pixels, its channel B04_w3\.png 5 x 8; make them alike"
    ):
        decode(made, 1, (6, 8, 3), "letterbox")
    assert read_image(cells / "plate_w1" / "B04_w2.png").shape == (6, 8)
