"""Downloads that say things in other ways: what is read of them is what they say."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.recognition import foreign, odd_layouts
from tests.recognition.layouts import TEST, TRAIN, labels_in_names, picture, table
from tests.recognition.test_new import project_of, samples_of
from toolkit import Dataset, UserError, load_competition, new_competition
from toolkit.data.data_folder import open_dataset
from toolkit.data.loading import load
from toolkit.recognition import found
from toolkit.recognition.new import New
from toolkit.recognition.packed import unpack

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")


def lines_of(made: New) -> list[str]:
    return (made.folder / "__init__.py").read_text().splitlines()


@pytest.fixture
def taken(home: Path, tmp_path: Path) -> Callable[..., New]:
    """Draws, writes, loads it all the way, with a submission's rehearsal; only rules and metric are to be chosen."""

    def of(draw: Callable[[Path], None], **given: object) -> New:
        draw(tmp_path / "data")
        made = new_competition(home, tmp_path / "data", **given)  # type: ignore[arg-type]
        assert not made.fault, made.fault
        lines = lines_of(made)
        assert len(lines) < 63 and max(map(len, lines)) < 120, max(lines, key=len)
        unsaid = ("metric" not in given) + (made.proposal.targets.by is None)
        assert sum("# CHOOSE" in line for line in lines) == 1 + unsaid
        project = project_of(home, tmp_path / "data")
        load(project.competition, project.workspace, tmp_path / "data")
        open_dataset(project.workspace.data)
        return made

    return of


def fact(made: New, what: str) -> dict[str, str]:
    return next(one for one in made.facts if one["what"] == what)


def test_coco_names_classes_and_a_list_the_test_images_ids(
    taken: Callable[..., New], home: Path, tmp_path: Path
) -> None:
    made = taken(odd_layouts.coco_labels)
    assert made.proposal.names == ("0", "7", "14", "21")
    _, samples = samples_of(home, tmp_path / "data")
    assert np.asarray(samples.targets).tolist() == [int(stem.rpartition("_")[2]) % 4 for stem in samples.images.stems]
    assert samples.test_images is not None and samples.test_ids is not None
    called = [f"test-{int(one):06}" for one in samples.test_ids]
    assert called == samples.test_images.stems.tolist()


def test_labels_by_name_in_json(taken: Callable[..., New]) -> None:
    made = taken(odd_layouts.labels_by_name)
    assert made.proposal.names == ("a", "b", "c") and "(JSON)" in fact(made, "table")["found"]


def test_rows_of_labels_become_lists(taken: Callable[..., New], home: Path, tmp_path: Path) -> None:
    made = taken(odd_layouts.rows_of_labels)
    assert made.proposal.task == "Labels" and made.proposal.names == ("red_spot", "rust", "scab")
    _, samples = samples_of(home, tmp_path / "data")
    place = samples.images.stems.tolist().index("i4")
    assert np.asarray(samples.targets)[place].tolist() == [0, 1, 1]


def test_rows_of_one_patient_and_side_are_a_sample(taken: Callable[..., New], home: Path, tmp_path: Path) -> None:
    made = taken(odd_layouts.sets_by_columns)
    assert fact(made, "sets")["found"] == "rows of one prediction_id: patient_id, laterality"
    _, samples = samples_of(home, tmp_path / "data")
    assert samples.sets is not None and Counter(Counter(samples.sets.tolist()).values()) == {2: TRAIN // 2}
    assert samples.names is not None and samples.names[:2].tolist() == ["9_L", "9_R"]
    assert samples.groups is not None and samples.groups[0] == samples.groups[1] != samples.groups[2]
    assert samples.test_ids is not None and samples.test_ids[0] == "90_L" and len(samples.test_ids) == TEST


def test_channels_in_files_and_ids_in_paths(taken: Callable[..., New], home: Path, tmp_path: Path) -> None:
    made = taken(odd_layouts.wells)
    assert made.proposal.task == "Classification" and made.proposal.shape == (16, 16, 3)
    assert fact(made, "channels")["found"] == "3 files an image: _w1, _w2, _w3" and fact(made, "groups")
    _, samples = samples_of(home, tmp_path / "data")
    assert samples.sets is not None and len(samples.images) == 2 * TRAIN and len(samples.targets) == TRAIN
    assert samples.test_images is not None and len(samples.test_images) == 2 * TEST
    image = samples.images.stored(0)
    assert image.shape == (16, 16, 3) and image[..., 0].max() < 50 < image[..., 2].max()


def test_pixels_in_several_tables_that_another_one_names(
    taken: Callable[..., New], home: Path, tmp_path: Path
) -> None:
    made = taken(odd_layouts.graphemes)
    assert made.proposal.task == "Heads" and fact(made, "training images")["sure"] == "guess"
    _, samples = samples_of(home, tmp_path / "data")
    assert samples.images.stored(3).shape == (10, 16)
    assert samples.images.named(tmp_path)[3] == "Train_3" and np.asarray(samples.targets)[3].tolist() == [3, 0]


def test_pairs_of_images_and_masks(taken: Callable[..., New], home: Path, tmp_path: Path) -> None:
    made = taken(odd_layouts.pairs)
    assert made.proposal.task == "Segmentation" and made.proposal.shape == (16, 24, 1)
    samples = load_competition(home).load(tmp_path / "data")
    assert isinstance(samples, Dataset) and np.unique(samples.targets).tolist() == [0, 1, 2]


@pytest.mark.parametrize("draw", [odd_layouts.validation_folders, odd_layouts.validation_tables])
def test_validation_images_are_used(
    draw: Callable[[Path], None], taken: Callable[..., New], home: Path, tmp_path: Path
) -> None:
    made = taken(draw)
    assert "9 in val" in fact(made, "validation images")["found"]
    _, samples = samples_of(home, tmp_path / "data")
    assert len(samples.targets) == TRAIN + 9


def test_packed_files_are_said_and_unpacked_at_a_word(taken: Callable[..., New], home: Path, tmp_path: Path) -> None:
    odd_layouts.zipped(tmp_path / "packed")
    with pytest.raises(UserError, match=r"test\.zip is packed: unpack it there, or let `new` do it by --unpack"):
        new_competition(home, tmp_path / "packed")
    made = taken(odd_layouts.zipped, unpack=True)
    assert made.unpacked == ("unpacked test.zip: 8 files", "unpacked train.zip: 36 files")
    assert (
        fact(made, "training images")["found"] == "36 in train" and fact(made, "test images")["found"] == "8 in test"
    )
    assert unpack(tmp_path / "data") == [f"{one}.zip is left, as {one} is there already" for one in ("test", "train")]
    (tmp_path / "data" / "more.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"more\.zip can't be unpacked"):
        unpack(tmp_path / "data")
    assert not (tmp_path / "data" / "more").exists()


def test_slides_are_cut_into_tiles(
    taken: Callable[..., New], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found, "HUGE", 9000)
    made = taken(odd_layouts.slides)
    text = "\n".join(lines_of(made))
    assert "tiles(slides, TASK.image_shape[0], overlap=0.25, at=0.25, blank=0.02)" in text
    _, samples = samples_of(home, tmp_path / "data")
    assert samples.places is not None and samples.test_places is not None and samples.groups is not None
    assert len(np.unique(samples.groups)) == TRAIN // 3


def test_a_column_of_what_something_is_not(home: Path, tmp_path: Path) -> None:
    labels_in_names(tmp_path / "data")
    table(tmp_path / "data" / "sample_submission.csv", ("id", "not_dog"), *((at, 0.5) for at in range(1, TEST + 1)))
    made = new_competition(home, tmp_path / "data")
    assert "positive" not in "\n".join(lines_of(made)) and "a probability in not_dog (cat)" in made.read


def test_breeders_in_german(taken: Callable[..., New], home: Path, tmp_path: Path) -> None:
    made = taken(foreign.breeders, targets=("Gewicht in g",), metric="rmse")
    _, samples = samples_of(home, tmp_path / "data")
    assert np.asarray(samples.targets)[:3, 0].tolist() == [12.5, 13.5, 14.5]
    assert samples.test_ids is not None and samples.test_ids[0] == "B_0036.JPG"
    assert fact(made, "targets")["sure"] == "sure"
    with pytest.raises(
        UserError, match=r"--target 'Gewicht' is no column of Tabellen/Messwerte\.csv to predict; it has"
    ):
        new_competition(home, tmp_path / "data", targets=("Gewicht",), force=True)


def test_a_clinic_with_diagnoses_in_folders_names(taken: Callable[..., New], home: Path, tmp_path: Path) -> None:
    made = taken(foreign.clinic)
    assert made.proposal.names == ("benigne", "maligne") and fact(made, "targets")["sure"] == "likely"
    _, samples = samples_of(home, tmp_path / "data")
    assert samples.sets is not None and len(samples.targets) == TRAIN and samples.test_ids is not None
    assert samples.test_ids.tolist() == [f"P{900 + at}" for at in range(TEST)]


def test_field_parts_keyed_by_path(taken: Callable[..., New], home: Path, tmp_path: Path) -> None:
    made = taken(foreign.field_parts)
    assert fact(made, "groups")["found"] == "plot" and fact(made, "sample submission")["found"].startswith(
        "predict.csv"
    )
    _, samples = samples_of(home, tmp_path / "data")
    assert samples.test_ids is not None and samples.test_ids[0] == "part_1/09.png"


def test_forms_of_samples_that_are_not_followed_are_a_sentence(home: Path, tmp_path: Path) -> None:
    said = {
        "rust 0.9 scab 0.1": "has 'rust 0.9 scab 0.1', a confidence behind each name; else give the",
        "rust 0.9 1.0 2.0 3.0 4.0": "boxes, which are not for this toolkit",
    }
    for at in range(TRAIN):
        picture(tmp_path / "data" / "train" / ("rust", "scab")[at % 2] / f"{at}.png", 1)
    for at in range(TEST):
        picture(tmp_path / "data" / "test" / f"{at}.png", 1)
    sample = tmp_path / "data" / "sample_submission.csv"
    for text, why in said.items():
        table(sample, ("id", "labels"), *((at, text) for at in range(TEST)))
        assert why in new_competition(home, tmp_path / "data", force=True).fault
    table(
        sample,
        ("id", "value"),
        *((f"{at}_{row}_{column}", 1) for at in range(TEST) for row in range(9) for column in range(9)),
    )
    assert (
        "has one row per pixel, '0_0_0', which isn't recognised"
        in new_competition(home, tmp_path / "data", force=True).fault
    )
