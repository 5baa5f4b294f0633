"""Where the organisers' folder lies on Kaggle, what is read there, and what a bundle and a script say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests import tiny
from tests.small import FOLDER
from toolkit import ImageFiles, Samples, UserError, image_folder
from toolkit.data.image_sets import ImageSets
from toolkit.images import jpeg
from toolkit.notebooks.hidden import Hidden, at_hand, competition_folder
from toolkit.notebooks.kernel import dataset_metadata, kernel_metadata, slug, title
from toolkit.notebooks.modules import project_modules

HOLDS = ["sample_submission.csv", "test", "train"]


def laid(folder: Path, names: list[str] = HOLDS) -> Path:
    for name in names:
        if name.endswith(".csv"):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        else:
            (folder / name).mkdir(parents=True)
    return folder


@pytest.mark.parametrize("place", ["leaves", "competitions/leaves", "competitions/leaves/data/unpacked"])
def test_the_organisers_folder_is_found_by_name_at_any_depth(place: str, tmp_path: Path) -> None:
    laid(tmp_path / "a-bundle" / "toolkit", ["test"])
    laid(tmp_path / "other-data")
    expected = laid(tmp_path / place)
    assert competition_folder(tmp_path, "leaves", HOLDS) == expected


def test_else_by_what_it_holds(tmp_path: Path) -> None:
    laid(tmp_path / "some", HOLDS[:2])
    expected = laid(tmp_path / "renamed" / "v2")
    assert competition_folder(tmp_path, "leaves", HOLDS) == expected
    with pytest.raises(UserError, match=r"has no folder leaves with rows\.csv: attach the competition's data"):
        competition_folder(tmp_path, "leaves", ["rows.csv"])


def test_images_that_can_not_be_read_are_black_and_told(tmp_path: Path) -> None:
    for number in range(3):
        Image.new("RGB", (8, 8), (90, 10, 10)).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes(b"no picture")
    tests = image_folder(tmp_path)

    def load(folder: Path) -> Samples:
        return Samples(tests, np.zeros(3, np.int64), test_images=tests)

    hidden = Hidden.opened(replace(tiny.competition, load=load), tmp_path, [])
    assert hidden.ids.tolist() == ["0", "1", "2"] and len(hidden) == 3
    images = hidden.at(((8, 8, 3), "letterbox"))[:]
    assert images.max((1, 2, 3)).tolist() == [90, 0, 90] and "1.png" in hidden.unread[1]


def test_no_test_image_and_another_table_are_refused(tmp_path: Path) -> None:
    def load(folder: Path) -> Samples:
        return Samples(ImageFiles([]), np.zeros(0, np.int64))

    with pytest.raises(UserError, match="finds no test image in"):
        Hidden.opened(replace(tiny.competition, load=load), tmp_path, [])
    tiny.practice(tmp_path, 0, 12)
    with pytest.raises(UserError, match="other columns or categories than networks were trained with"):
        Hidden.opened(tiny.competition, tmp_path / "raw", ["age"])


def test_sets_at_hand_are_those_that_were_asked_for() -> None:
    images = np.random.default_rng(0).integers(1, 256, (7, 2, 2, 3)).astype(np.uint8)
    sets: Any = ImageSets(images, np.array([1, 0, 2, 1, 3, 1, 0]))
    for at in (np.s_[0:2], np.s_[1:4], np.s_[2:3]):
        part = at_hand(sets, at)
        assert part.counts.tolist() == sets.counts[at].tolist()
        assert np.array_equal(part[:], sets[at])


def test_jpegs_are_the_same_without_simplejpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    path = tmp_path / "noise.jpg"
    Image.fromarray(noise).resize((400, 300)).save(path, quality=90)
    data, asked = path.read_bytes(), [(False, 0), (False, 150), (True, 120), (False, 250)]
    ours = [jpeg.decode_jpeg(data, grey, (least, least), 2) for grey, least in asked]
    monkeypatch.setattr(jpeg, "simplejpeg", None)
    assert jpeg.jpeg_size(data) == (300, 400)
    for image, (grey, least) in zip(ours, asked, strict=True):
        assert np.array_equal(jpeg.decode_jpeg(data, grey, (least, least), 2), image)


def test_modules_of_the_project_travel_with_the_competition() -> None:
    found = project_modules(FOLDER / "buds")
    assert list(found) == ["tests/__init__.py", "tests/small/__init__.py", "tests/small/drawing.py"]
    assert all(path.is_file() for path in found.values())


def test_modules_that_are_imported_relatively_travel_too(tmp_path: Path) -> None:
    home = tmp_path / "competitions" / "leaves"
    files = {
        "__init__.py": "",
        "common.py": "from .tools.scale import scale\n",
        "other.py": "",
        "tools/__init__.py": "from .. import other\n",
        "tools/scale.py": "",
        "leaves/__init__.py": "from .models import build\n",
        "leaves/models.py": "",
        "leaves/deep/parts.py": "from ..models import build\nfrom .... import beyond\n",
    }
    for name, text in files.items():
        (home.parent / name).parent.mkdir(parents=True, exist_ok=True)
        (home.parent / name).write_text(text)
    assert project_modules(home) == {}
    (home / "models.py").write_text("from ..common import f\n")
    names = ["__init__.py", "common.py", "other.py", "tools/__init__.py", "tools/scale.py"]
    assert list(project_modules(home)) == [f"competitions/{name}" for name in names]


def test_names_are_such_as_kaggle_takes() -> None:
    long = "a-competition-of-a-very-long-name-indeed-and-longer"
    for ending in ("0123456789ab", "by-blend"):
        made = title(long, ending)
        assert len(made) <= 50 and made.endswith(ending) and slug(made) == made
    about = dataset_metadata(title("mars", "0123456789ab"))
    assert about["id"] == "OWNER/mars-0123456789ab" and len(about["title"]) >= 6
    made_of = kernel_metadata("mars-by-blend", about["title"], "mars-2024")
    assert made_of["competition_sources"] == ["mars-2024"] and made_of["dataset_sources"] == [about["id"]]
    assert made_of["is_private"] and not made_of["enable_internet"] and made_of["title"] == slug(made_of["title"])
