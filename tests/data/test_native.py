"""Masks at the size of the organisers' pictures: read once, kept beside the targets that are cut from them."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests import tiny
from toolkit import Masks, MeanIoU, Places, Project, Samples, Segmentation, image_folder
from toolkit.data import origin
from toolkit.data.data_folder import data_hash, hash_dataset, open_dataset
from toolkit.data.labelled import open_labelled
from toolkit.data.loading import load
from toolkit.data.native import cut
from toolkit.disk import NoRoom
from toolkit.errors import UserError
from toolkit.images.places import check_places
from toolkit.progress import SILENT
from toolkit.task import IGNORED

TASK = Segmentation(("ground", "thing"), (8, 8, 3))
SIZES = ((8, 8), (20, 12), (5, 16), (24, 24), (9, 9), (16, 8))


def draw(folder: Path, sizes: tuple[tuple[int, int], ...] = SIZES) -> list[np.ndarray]:
    """Pictures in `train/` and `test/`, bright where their masks are 1, which are returned."""
    masks = []
    for part in ("train", "test"):
        (folder / part).mkdir(parents=True)
        rng = np.random.default_rng(0)
        for at, (height, width) in enumerate(sizes):
            mask = np.zeros((height, width), np.uint8)
            mask[height // 4 : height // 2 + 1, width // 3 :] = 1
            image = (60 + 120 * mask[..., None] + rng.integers(0, 20, (height, width, 3))).astype(np.uint8)
            Image.fromarray(image).save(folder / part / f"{at}.png")
            masks.append(mask)
    return masks[: len(sizes)]


def of_whole(folder: Path) -> Samples:
    masks = [np.array(Image.open(path))[..., 0] > 100 for path in image_folder(folder / "train").paths]
    given = Masks(len(masks), lambda row: masks[row].astype(np.uint8))
    return Samples(image_folder(folder / "train"), given, test_images=image_folder(folder / "test"))


def write(prediction: object, path: Path) -> None:
    raise AssertionError("nothing is handed in here")


COMPETITION = replace(
    tiny.competition, task=TASK, metric=MeanIoU(), load=of_whole, write_submission=write, name="native"
)


def project(root: Path, of: object = COMPETITION) -> Project:
    made: Project = Project(of, data=root / "raw", workspace=root, submissions=root, progress=SILENT)  # type: ignore[arg-type]
    return made


def loaded(root: Path, samples: object = of_whole) -> Project:
    made = project(root, replace(COMPETITION, load=samples))  # type: ignore[arg-type]
    load(made.competition, made.workspace, made.raw)
    return made


@pytest.fixture(autouse=True)
def unrehearsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.data.rehearsal.rehearse", lambda *_: None)


def test_whole_pictures_keep_their_masks_and_are_trained_on_at_the_task_s_size(tmp_path: Path) -> None:
    masks = draw(tmp_path / "raw")
    made = loaded(tmp_path)
    data, again = open_dataset(made.workspace.data), of_whole(tmp_path / "raw")
    assert isinstance(again.targets, Masks) and (data.targets == again.targets.fitted(TASK.image_shape)).all()
    assert data.targets[1, 0].tolist() == [IGNORED] * 1 + data.targets[1, 0, 1:6].tolist() + [IGNORED] * 2
    assert data.sizes is not None and data.sizes.tolist() == [list(size) for size in SIZES]
    assert data.test_sizes is not None and data.test_sizes.tolist() == data.sizes.tolist()
    assert hash_dataset(replace(data, native=np.array(data.native))) == hash_dataset(data)
    made.folds(2)
    labelled = open_labelled(made.competition, made.workspace)
    assert labelled.native is not None and len(labelled.native) == len(SIZES)
    assert all((labelled.native[at] == mask).all() for at, mask in enumerate(masks))
    assert (labelled.native.rows(3, 5, 9) == masks[3][5:9]).all()
    assert labelled.test_places is not None and labelled.test_ids.tolist() == [str(at) for at in range(6)]
    assert not list(made.workspace.folder.glob(".masks-*"))
    before = data_hash(made.workspace.data)
    loaded(tmp_path)
    assert data_hash(made.workspace.data) == before


def tiles(folder: Path) -> Samples:
    """Of 8 x 8 pixels, over the edges, of two pictures of the folder's; the second test picture has none."""
    whole = of_whole(folder)
    assert isinstance(whole.targets, Masks)
    pictures, sizes, read = np.array([1, 3]), np.array([SIZES[1], SIZES[3]]), whole.targets.read
    corners = [(p, top, left) for p in (0, 1) for top in range(0, sizes[p, 0], 8) for left in range(0, sizes[p, 1], 8)]
    boxes = np.array([(top, left, 8, 8) for _, top, left in corners])
    picture = np.array([p for p, _, _ in corners])
    images = whole.images[pictures[picture]]
    return Samples(
        replace(images, read=corner, rows=np.arange(len(images)), options={"corners": str(boxes[:, :2].tolist())}),
        Masks(2, lambda row: read(int(pictures[row]))),
        groups=picture,
        test_images=whole.images[np.array([1, 1])],
        test_ids=np.array(["b", "d"]),
        places=Places(picture, boxes, sizes),
        test_places=Places(np.array([0, 0]), np.array([(0, 0, 20, 6), (0, 6, 20, 6)]), sizes),
    )


def corner(path: Path, row: int, least: int, corners: str) -> np.ndarray:
    top, left = json.loads(corners)[row]
    part = np.array(Image.open(path))[top : top + 8, left : left + 8]
    return np.pad(part, [(0, 8 - part.shape[0]), (0, 8 - part.shape[1]), (0, 0)])


def test_targets_of_tiles_are_cut_from_the_masks_of_their_pictures(tmp_path: Path) -> None:
    masks = draw(tmp_path / "raw")
    made = loaded(tmp_path, tiles)
    data = open_dataset(made.workspace.data)
    assert data.places is not None and data.native is not None and len(data.native) == 20 * 12 + 24 * 24
    assert (data.targets[0] == masks[1][:8, :8]).all()
    assert (data.targets[5, :4, :4] == masks[1][16:, 8:]).all() and (data.targets[5, 4:] == IGNORED).all()
    assert (data.targets[-1] == masks[3][16:, 16:]).all()
    made.folds(2)
    labelled = open_labelled(made.competition, made.workspace)
    assert labelled.native is not None and labelled.test_places is not None
    assert [len(rows) for rows in labelled.native.places.samples] == [6, 9]
    assert [len(rows) for rows in labelled.test_places.samples] == [2, 0] and labelled.test_ids.tolist() == ["b", "d"]


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    draw(tmp_path / "raw")
    good = tiles(tmp_path / "raw")
    assert good.places is not None
    whole, small = of_whole(tmp_path / "raw"), Masks(6, lambda row: np.zeros((8, 8), np.uint8))
    outside = good.places.boxes.copy()
    outside[2] = 0, 40, 8, 8
    for samples, said in (
        (replace(good, targets=np.zeros((15, 8, 8), np.uint8)), "targets of another kind need none"),
        (replace(good, test_places=None), "test_places="),
        (replace(good, groups=None), "lie in one picture and have different groups"),
        (replace(good, test_ids=None), "test picture 1 has no tile that could name it"),
        (replace(good, test_ids=np.array(["b"])), "2 test pictures and 1 ids"),
        (replace(good, targets=Masks(3, len)), "there are 2 pictures and 3 masks"),  # type: ignore[arg-type]
        (replace(good, places=replace(good.places, boxes=outside)), r"sample 2, \(0, 40, 8, 8\).*outside its picture"),
        (replace(whole, targets=Masks(6, lambda row: small[row] + np.uint8(2))), "has values of 2 to 2 of type uint8"),
        (replace(whole, targets=small), r"1.png is \(8, 8\), expected \(20"),
    ):
        with pytest.raises(UserError, match=said):
            loaded(tmp_path, giving(samples))


def giving(samples: Samples) -> Callable[[Path], Samples]:
    return lambda _: samples


@pytest.mark.parametrize(
    "changed",
    [
        {"picture": np.zeros(2)},
        {"picture": np.zeros(3, int)},
        {"boxes": np.ones((2, 4))},
        {"boxes": np.ones((1, 4), int)},
        {"boxes": np.ones((2, 3), int)},
        {"sizes": np.array([5, 5])},
    ],
)
def test_places_of_another_form_are_refused(changed: dict[str, np.ndarray]) -> None:
    places = Places(np.zeros(2, int), np.array([[0, 0, 5, 5]] * 2), np.array([[5, 5]]))
    check_places(places, 2, "`load`")
    with pytest.raises(UserError, match=r"^`load`: (picture|boxes|sizes) of places are .*, expected whole numbers"):
        check_places(replace(places, **changed), 2, "`load`")


def test_a_cut_beyond_the_edge_is_ignored() -> None:
    mask = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert cut(mask, (0, 0, 3, 4)) is mask
    assert cut(mask, (-1, 2, 3, 3)).tolist() == [[255] * 3, [2, 3, 255], [6, 7, 255]]
    assert (cut(mask, (1, 1, 2, 2)) == mask[1:, 1:3]).all()


def test_what_a_kill_left_of_the_masks_is_removed(tmp_path: Path) -> None:
    def killed(folder: Path) -> Samples:
        samples = of_whole(folder)
        return replace(samples, targets=Masks(len(samples.targets), lambda row: os._exit(9)))

    draw(tmp_path / "raw")
    child = os.fork()
    if not child:
        loaded(tmp_path, killed)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert any(tmp_path.rglob(".scratch.*.partial/*"))
    loaded(tmp_path)
    assert not [*tmp_path.rglob(".scratch.*.partial")]


def test_room_is_asked_for_before_masks_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path / "raw")
    free = shutil.disk_usage(tmp_path)._replace(free=1_000_001_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    with pytest.raises(NoRoom, match=r"keeping 6 masks at the size of each picture takes .* make room"):
        loaded(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr("toolkit.data.rehearsal.rehearse", lambda *_: None)
    ready = loaded(tmp_path)
    reads = origin.Reading(ready.competition, ready.workspace, ready.raw)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    with pytest.raises(NoRoom):  # and not that the files are others
        reads.same(pd.DataFrame(), pd.DataFrame())


def test_masks_have_their_place_before_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int, begin: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    draw(tmp_path / "raw")
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match=r"No space left on device: .*targets\.npy"):
        loaded(tmp_path)
