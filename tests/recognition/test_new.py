"""From a drawn download to a competition that loads, is split, and whose submission can be written and read back."""

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import toolkit
from tests.recognition import layouts
from tests.recognition.layouts import LAYOUTS, TEST, TRAIN, picture, table
from toolkit import Competition, Masks, Samples, UserError, load_competition, new_competition
from toolkit.data.data_folder import open_dataset
from toolkit.data.loading import load
from toolkit.new import new
from toolkit.progress import Progress
from toolkit.recognition.sheets import sheet_of

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")
Draw = Callable[[Path], None]


def project_of(home: Path, data: Path) -> toolkit.Project:
    folder = home.parents[1]
    places: dict[str, Any] = {"workspace": folder / "workspace", "submissions": folder / "submissions"}
    return toolkit.open(home, data=data, progress=Progress(), workers=1, **places)


@pytest.mark.parametrize(("draw", "task", "metric"), LAYOUTS, ids=[each[0].__name__ for each in LAYOUTS])
def test_a_download_is_recognised_and_read(draw: Draw, task: str, metric: str, home: Path, tmp_path: Path) -> None:
    data = tmp_path / "download"
    draw(data)
    made = new_competition(home, data)
    assert (made.proposal.task, made.proposal.word) == (task, metric)
    lines = (home / "__init__.py").read_text().splitlines()
    assert len(lines) < 63 and max(map(len, lines)) < 120
    unsaid = (draw is layouts.labels_in_names) + (made.proposal.targets.by is None)
    assert sum("# CHOOSE" in line for line in lines) == 2 + unsaid
    project = project_of(home, data)
    load(project.competition, project.workspace, data)  # which rehearses the submission
    loaded = open_dataset(project.workspace.data)
    assert len(loaded.targets) >= TRAIN and (loaded.test_ids is None or len(loaded.test_ids) in (6, TEST))
    assert not made.fault and "training images and " in made.read


def samples_of(home: Path, data: Path) -> tuple[Competition, Samples]:
    made = load_competition(home)
    samples = made.load(data)
    assert isinstance(samples, Samples)
    return made, samples


def test_targets_are_those_of_the_files(home: Path, tmp_path: Path) -> None:
    layouts.class_folders(tmp_path / "a")
    new_competition(home, tmp_path / "a")
    made, samples = samples_of(home, tmp_path / "a")
    said = [made.task.classes[label] for label in np.asarray(samples.targets)]
    assert said == [Path(path).parent.name for path in samples.images.paths] and len(set(said)) == 3
    layouts.one_hot(tmp_path / "b")
    new_competition(home.with_name("b"), tmp_path / "b")
    made, samples = samples_of(home.with_name("b"), tmp_path / "b")
    assert np.asarray(samples.targets).tolist() == [at % 3 for at in range(TRAIN)]
    assert samples.test_images is not None and samples.test_images.stems.tolist() == [
        f"Test_{at}" for at in range(TEST)
    ]
    layouts.masks_by_stem(tmp_path / "c")
    new_competition(home.with_name("c"), tmp_path / "c")
    _, samples = samples_of(home.with_name("c"), tmp_path / "c")
    heights = [int(stem) + 20 for stem in samples.images.stems]
    assert isinstance(samples.targets, Masks)
    assert [int(samples.targets[at].sum()) for at in range(TRAIN)] == [40 * height for height in heights]


def test_labels_with_marks_between_them_and_masks_in_other_folders(home: Path, tmp_path: Path) -> None:
    layouts.labels_with_marks_between(tmp_path / "a")
    new_competition(home, tmp_path / "a")
    made, samples = samples_of(home, tmp_path / "a")
    assert made.task.classes == ("Cardiomegaly", "Effusion", "No_Finding")
    assert np.asarray(samples.targets)[:4].tolist() == [[0, 0, 1], [1, 0, 0], [1, 1, 0], [0, 0, 1]]
    layouts.masks_of_cities(tmp_path / "b")
    new_competition(home.with_name("b"), tmp_path / "b")
    made, samples = samples_of(home.with_name("b"), tmp_path / "b")
    assert np.unique(np.asarray(samples.targets)).tolist() == [0, 1, 2, 255]


def test_patients_share_a_group_and_are_said(home: Path, tmp_path: Path) -> None:
    layouts.ids_without_suffix(tmp_path / "data")
    made = new_competition(home, tmp_path / "data")
    _, samples = samples_of(home, tmp_path / "data")
    assert samples.groups is not None and len(np.unique(samples.groups)) == TRAIN // 3
    (fact,) = (fact for fact in made.facts if fact["what"] == "groups")
    assert fact["found"] == "patient_id" and fact["sure"] == "likely"


def test_a_metric_that_is_given_is_no_guess_and_may_make_another_task(home: Path, tmp_path: Path) -> None:
    layouts.grades(tmp_path / "data")
    made = new_competition(home, tmp_path / "data", metric="accuracy")
    assert made.proposal.task == "Grades" and "METRIC = Accuracy()\n" in (home / "__init__.py").read_text()
    layouts.ids_without_suffix(tmp_path / "labels")
    made = new_competition(home, tmp_path / "labels", metric="balanced_accuracy", force=True)
    assert (made.proposal.task, made.proposal.names) == ("Classification", ("0", "1"))
    load_competition(home)
    with pytest.raises(UserError, match="the metric rmse is not for Labels, as which the targets were recognised"):
        new_competition(home, tmp_path / "labels", metric="rmse", force=True)
    with pytest.raises(UserError, match="'area' is no metric that `new` knows; there are accuracy"):
        new_competition(home, tmp_path / "labels", metric="area", force=True)
    with pytest.raises(UserError, match="did you mean accuracy"):
        new_competition(home, tmp_path / "labels", metric="acuracy", force=True)


def test_a_text_beside_the_data_names_the_metric(home: Path, tmp_path: Path) -> None:
    layouts.ids_without_suffix(tmp_path / "data")
    (tmp_path / "data" / "README.md").write_text("Submissions are evaluated by the log loss.")
    assert new_competition(home, tmp_path / "data").proposal.word == "log_loss"


def test_nothing_is_overwritten(home: Path, tmp_path: Path) -> None:
    layouts.arrays(tmp_path / "data")
    new_competition(home, tmp_path / "data")
    (home / "__init__.py").write_text("mine")
    with pytest.raises(UserError, match=r"__init__\.py is there already; --force replaces it"):
        new_competition(home, tmp_path / "data")
    assert (home / "__init__.py").read_text() == "mine"
    new_competition(home, tmp_path / "data", force=True)
    assert load_competition(home).name == "leaves"
    with pytest.raises(UserError, match=r"'plant-pathology' can't be the name of .* folder; plant_pathology can"):
        new_competition(home.with_name("plant-pathology"), tmp_path / "data")


def test_what_was_killed_once_it_had_written_goes_on(home: Path, tmp_path: Path) -> None:
    layouts.arrays(tmp_path / "data")
    new_competition(home, tmp_path / "data")
    written = (home / "__init__.py").stat().st_mtime_ns
    half = home / "._init__.py.67ce3253-1-1-0351c13d.partial"  # of a process of another machine, an hour ago
    half.touch()
    os.utime(half, (1, 1))
    assert new_competition(home, tmp_path / "data").folder == home
    assert not half.exists() and (home / "__init__.py").stat().st_mtime_ns >= written


def test_what_cannot_be_recognised_is_a_sentence(home: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with pytest.raises(UserError, match="data does not exist; point --data at the folder of the organisers' files"):
        new_competition(home, data)
    data.mkdir()
    with pytest.raises(UserError, match="data is empty; put the organisers' files there"):
        new_competition(home, data)
    (data / "train.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"no training images were recognised; train\.zip is packed: unpack it"):
        new_competition(home, data)
    for at in range(8):
        picture(data / "train" / f"{'abcdefgh'[at]}.png", 1)
    with pytest.raises(UserError, match="what is to be predicted of train wasn't recognised: no table names the"):
        new_competition(home, data)
    assert not home.exists()


def test_the_command_says_what_it_saw(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layouts.listed_labels(tmp_path / "data")
    assert new([str(home), "--data", str(tmp_path / "data"), "--json"]) == 0
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    assert said["task"] == "Labels" and said["classes"] == ["complex", "healthy", "rust", "scab"]
    assert {fact["sure"] for fact in said["recognised"]} == {"sure", "likely", "guess"}
    assert f"wrote {home / '__init__.py'}" in printed.err
    (home / "__init__.py").write_text("mine")
    assert new([str(home), "--data", str(tmp_path / "data")]) == 1
    assert capsys.readouterr().out.startswith("error: ")


def test_many_classes_lie_in_a_file_of_their_own(home: Path, tmp_path: Path) -> None:
    rows = [(f"{at}.png", f"species of plant {at % 12}") for at in range(TRAIN)]
    table(tmp_path / "data" / "train.csv", ("image", "species"), *rows)
    for name, _ in rows:
        picture(tmp_path / "data" / "train" / name, 1)
        picture(tmp_path / "data" / "test" / name, 1)
    new_competition(home, tmp_path / "data")
    made, samples = samples_of(home, tmp_path / "data")
    assert len(made.task.classes) == 12 == len((home / "classes.txt").read_text().splitlines())
    assert len(np.unique(np.asarray(samples.targets))) == 12


def test_what_was_written_leads_to_a_submission(home: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    layouts.class_folders(data)
    new_competition(home, data)
    project = project_of(home, data)
    project.folds(2)
    cheap = ("model.name=test_resnet", "schedule.epochs=1", "precision=float32")
    project.train(project.choose_recipe("resnet18", cheap), stress="none")
    done = project.submit()
    first, *lines = done.path.read_text().splitlines()
    assert first == (data / "sample_submission.csv").read_text().splitlines()[0] and len(lines) == TEST


def counted_files(folder: Path) -> None:
    """Ids that count from 1, files whose order by letters is another: t_1, t_10, t_2."""
    for at in range(TRAIN):
        picture(folder / "train" / f"x{at}.jpg", at % 3)
    for at in range(1, 13):
        picture(folder / "test" / f"t_{at}.jpg", at % 3)
    table(folder / "train.csv", ("image", "breed"), *((f"x{at}.jpg", "abc"[at % 3]) for at in range(TRAIN)))
    table(folder / "sample_submission.csv", ("id", "breed"), *((at, "a") for at in range(1, 13)))


def test_ids_that_count_are_the_numbers_in_the_names_not_the_order_of_the_files(home: Path, tmp_path: Path) -> None:
    counted_files(tmp_path / "data")
    assert not new_competition(home, tmp_path / "data").fault
    _, samples = samples_of(home, tmp_path / "data")
    assert samples.test_images is not None and samples.test_ids is not None
    assert [f"t_{one}" for one in samples.test_ids] == samples.test_images.stems.tolist()
    for at in range(1, 13):  # names without numbers: which is which can't be known
        path = tmp_path / "data" / "test" / f"t_{at}.jpg"
        path.rename(path.with_stem("abcdefghijkl"[at - 1]))
    assert new_competition(home.with_name("b"), tmp_path / "data").fault


def identities_with_species(folder: Path, said: str) -> None:
    """As in happy-whale: individuals are asked for, of which a word says that they are a group."""
    rows = [(f"i{at}.jpg", ("whale", "dolphin")[at % 2], f"f{at % 9:02}e") for at in range(TRAIN)]
    table(folder / "train.csv", ("image", "species", "individual_id"), *rows)
    for name, _, _ in rows:
        picture(folder / "train" / name, 1)
    for at in range(TEST):
        picture(folder / "test" / f"t{at}.jpg", 1)
    table(folder / "sample_submission.csv", ("image", "predictions"), *((f"t{at}.jpg", said) for at in range(TEST)))


def test_a_column_that_the_sample_lists_is_the_target_and_no_group(home: Path, tmp_path: Path) -> None:
    identities_with_species(tmp_path / "a", "f00e f01e f02e")
    made = new_competition(home, tmp_path / "a")
    assert made.proposal.names == tuple(f"f{at:02}e" for at in range(9)) and not made.fault
    assert made.proposal.targets.group == ""
    identities_with_species(tmp_path / "b", "37c7aba965a5 114207cab555 a6e325d8e924")  # none of those in training
    made = new_competition(home.with_name("b"), tmp_path / "b")
    (fact,) = (fact for fact in made.facts if fact["what"] == "targets")
    assert fact["sure"] == "guess" and "has none of what sample_submission.csv says" in fact["why"]


def test_a_parquet_file_of_many_columns_is_opened_quickly(tmp_path: Path) -> None:
    columns = {str(at): [0] for at in range(4_000)}
    pd.DataFrame({"image_id": ["a"], **columns}).to_parquet(tmp_path / "images.parquet")
    start = time.process_time()
    sheet = sheet_of(tmp_path, "images.parquet")
    assert sheet is not None and len(sheet.columns) == 4_001 and sheet.head["image_id"] == ("a",)
    assert time.process_time() - start < 2


def test_test_images_of_two_folders_beside_the_training_images(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    rows = [(f"train_{at}", "abc"[at % 3]) for at in range(TRAIN)]
    table(folder / "train.csv", ("name", "label"), *rows)
    for name, _ in rows:
        picture(folder / "train-jpg" / f"{name}.jpg", 1)
    names = [f"test_{at}" for at in range(TEST)]
    for at, name in enumerate(names):
        picture(folder / ("test-jpg", "test-jpg-additional")[at % 2] / f"{name}.jpg", 1)
    table(folder / "sample_submission.csv", ("name", "label"), *((name, "a") for name in names))
    assert not new_competition(home, folder).fault
    _, samples = samples_of(home, folder)
    assert samples.test_images is not None and sorted(samples.test_images.stems) == names


@pytest.mark.parametrize(
    ("images", "masks"), [("train/surface", "train/annotation"), ("photos", "photos_masks"), ("photos", "photos")]
)
def test_the_sample_names_test_images_in_a_folder_of_any_name(
    images: str, masks: str, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    for at in range(TRAIN):
        picture(folder / images / f"wall{at // 3}_{at % 3}.png", 1)
        layouts.mask(folder / masks / f"wall{at // 3}_{at % 3}_mask.png", 10, 40, 40)
    for at in range(TEST):
        picture(folder / "evaluation" / f"e{at}.png", 1)
    table(folder / "example_submission.csv", ("img", "EncodedPixels"), *((f"e{at}.png", "1 1") for at in range(TEST)))
    assert not new_competition(home, folder).fault
    _, samples = samples_of(home, folder)
    assert len(samples.images) == TRAIN and samples.test_images is not None
    assert sorted(samples.test_images.stems) == [f"e{at}" for at in range(TEST)]


def test_whose_probability_a_column_is_has_to_be_chosen_where_it_is_called_by_neither(
    home: Path, tmp_path: Path
) -> None:
    layouts.labels_in_names(tmp_path / "data")
    new_competition(home, tmp_path / "data")
    text = (home / "__init__.py").read_text()
    assert 'dialect=Dialect(positive="dog"),  # CHOOSE: whose probability label is' in text
    table(tmp_path / "data" / "sample_submission.csv", ("id", "is_cat"), *((at, 0.5) for at in range(1, TEST + 1)))
    new_competition(home, tmp_path / "data", force=True)
    assert "positive" not in (home / "__init__.py").read_text()


def test_images_of_one_origin_share_a_group_where_masks_are_asked_for(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    for subject in range(1, 9):
        for at in range(1, 6):
            picture(folder / "train" / f"{subject}_{at}.png", 1)
            layouts.mask(folder / "train" / f"{subject}_{at}_mask.png", 10, 40, 40)
    picture(folder / "test" / "1.png", 1)
    table(folder / "sample_submission.csv", ("img", "pixels"), ("1", "1 1"))
    made = new_competition(home, folder)
    _, samples = samples_of(home, folder)
    assert samples.groups is not None and not made.fault
    origins = [stem.partition("_")[0] for stem in samples.images.stems]
    assert len(set(zip(origins, samples.groups, strict=True))) == len(set(samples.groups)) == 8
    (fact,) = (fact for fact in made.facts if fact["what"] == "groups")
    assert fact["sure"] == "guess"


def test_patients_beside_run_lengths_are_groups_of_the_images(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for at in range(TRAIN):
        picture(folder / "train" / f"m{at}.png", 1)
    picture(folder / "test" / "t.png", 1)
    rows = [(f"m{at}", f"p{at % 9}", f"{at + 1} 3 90 2") for at in range(TRAIN) if at != 4]
    table(folder / "train.csv", ("image", "patient_id", "rle"), *rows)
    table(folder / "sample_submission.csv", ("image", "rle"), ("t", "1 1"))
    made = new_competition(home, folder)
    _, samples = samples_of(home, folder)
    assert samples.groups is not None and not made.fault
    group = dict(zip(samples.images.stems.tolist(), samples.groups.tolist(), strict=True))
    assert group["m0"] == group["m9"] and group["m0"] != group["m1"]
    assert list(group.values()).count(group["m4"]) == 1  # an image without a row is of its own


def test_folders_in_folders_and_rows_of_objects_are_a_guess(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    for at in range(TRAIN):
        picture(folder / "train" / f"{at % 3:03}" / f"{at % 6:02}" / f"{at}.png", 1)
    (folder / "train_metadata.json").write_text("{}")
    facts = {fact["what"]: fact for fact in new_competition(home, folder).facts}
    assert facts["targets"]["sure"] == "guess" and facts["JSON"]["found"] == "train_metadata.json"
    folder = tmp_path / "b"
    for at in range(TRAIN):
        picture(folder / "train" / f"m{'abcdefghi'[at % 9]}{at}.png", 1)
    rows = [(f"m{'abcdefghi'[at % 9]}{at}", f"{start} 3 {start + 60} 2") for at in range(TRAIN) for start in (1, 200)]
    table(folder / "train.csv", ("image", "rle"), *rows)
    facts = {fact["what"]: fact for fact in new_competition(home, folder, force=True).facts}
    assert facts["targets"]["sure"] == "guess" and "objects aren't told apart" in facts["targets"]["why"]


def labelled_by(
    data: Path, head: tuple[str, ...], rows: Sequence[tuple[object, ...]], sample: tuple[str, ...] = ()
) -> None:
    """Training images that a table of this head names; test images, and a sample of them."""
    table(data / "train.csv", head, *((f"k{at}", *row) for at, row in enumerate(rows)))
    for at in range(len(rows)):
        picture(data / "train" / f"k{at}.png", 1)
    for at in range(TEST):
        picture(data / "test" / f"t{at}.png", 1)
    if sample:
        table(data / "sample_submission.csv", sample, *((f"t{at}", *[0.5] * len(sample[1:])) for at in range(TEST)))


def test_a_column_that_looks_like_the_target_is_not_taken_for_it(home: Path, tmp_path: Path) -> None:
    both = [(at // 5 % 2, at % 3 % 2) for at in range(TRAIN)]
    labelled_by(tmp_path / "a", ("id", "left", "label"), both, ("id", "0", "1"))
    assert new_competition(home, tmp_path / "a").proposal.targets.columns == ("id", "label")
    labelled_by(tmp_path / "b", ("id", "left", "right"), both, ("id", "0", "1"))
    found = {one["what"]: one for one in new_competition(home, tmp_path / "b", force=True).facts}
    assert found["targets"]["sure"] == "guess" and "right" in found["targets"]["why"]
    labelled_by(tmp_path / "c", ("id", "view", "stage"), [(at % 2, at % 4) for at in range(TRAIN)], tuple("i0123"))
    assert new_competition(home, tmp_path / "c", force=True).proposal.targets.columns == ("id", "stage")
    labelled_by(tmp_path / "d", ("id", "x", "y", "species"), [(1, at % 5, "abc"[at % 3]) for at in range(TRAIN)])
    assert new_competition(home, tmp_path / "d", force=True).proposal.targets.columns == ("id", "species")
    labelled_by(tmp_path / "e", ("id", "pest", "kfold"), [(at % 3, at * 7 % 5) for at in range(TRAIN)])
    assert new_competition(home, tmp_path / "e", force=True).proposal.targets.columns == ("id", "pest")


def test_classes_may_be_called_train_val_or_testudo(home: Path, tmp_path: Path) -> None:
    classes = ("bus", "emys", "testudo", "train")
    for at in range(TRAIN):
        picture(tmp_path / "data" / "training" / classes[at % 4] / f"{at}.png", 1)
    for at in range(TEST):
        picture(tmp_path / "data" / "testing" / f"{at}.png", 1)
    made = new_competition(home, tmp_path / "data")
    assert made.proposal.names == classes and not made.fault
    _, samples = samples_of(home, tmp_path / "data")
    assert len(samples.images) == TRAIN and samples.test_images is not None and len(samples.test_images) == TEST


def test_test_images_that_their_folders_tell_apart(home: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    labelled_by(data, ("id", "kind"), [("abc"[at % 3],) for at in range(TRAIN)])
    paths = [f"p{at % 2}/{at // 2}" for at in reversed(range(TEST))]
    for path in paths:
        picture(data / "test" / f"{path}.png", 1)
    for at in range(TEST):
        (data / "test" / f"t{at}.png").unlink()
    table(data / "sample_submission.csv", ("id", "kind"), *((path, "a") for path in paths))
    assert not new_competition(home, data).fault
    _, samples = samples_of(home, data)
    assert samples.test_images is not None and samples.test_ids is not None
    called = [path.relative_to(data / "test").with_suffix("").as_posix() for path in samples.test_images.paths]
    assert called == paths == samples.test_ids.tolist()


def test_a_table_of_test_files_and_ids_with_more_beside(home: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for at in range(TRAIN):
        picture(data / "train" / f"{at:03}a.png", 1)
    for at in range(TEST):
        picture(data / "test" / f"{at:03}b.png", 1)
    head = ("id", "file", "age")
    rows = [(1000 + at, f"{at:03}a.png", 20 + at, "ab"[at % 2]) for at in range(TRAIN)]
    table(data / "train.csv", (*head, "label"), *rows)
    tests = [(2000 + at, f"{at:03}b.png", 50 + at) for at in range(TEST)]
    table(data / "test.csv", head, *reversed(tests))
    table(data / "sample_submission.csv", ("id", "label"), *((2000 + at, "a") for at in range(TEST)))
    assert not new_competition(home, data).fault
    _, samples = samples_of(home, data)
    assert samples.test_images is not None and samples.test_ids is not None and samples.test_table is not None
    stems = [f"{int(one) - 2000:03}b" for one in samples.test_ids]
    assert stems == samples.test_images.stems.tolist() and samples.table is not None
    assert np.asarray(samples.test_table).ravel().tolist() == [50.0 + at for at in reversed(range(TEST))]
