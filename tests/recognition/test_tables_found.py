"""Which table, column or folder says what: layouts whose names lead astray are read rightly, or as a guess."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.recognition.layouts import TEST, TRAIN, picture, table
from tests.recognition.test_new import samples_of
from tests.recognition.test_odd import fact
from toolkit import Samples, UserError, image_folder, new_competition
from toolkit.recognition.new import New

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")
SPECIES = ("cat", "dog", "owl")
Drawn = Callable[[Path], None]


@pytest.fixture
def read(home: Path, tmp_path: Path) -> Callable[[Drawn], tuple[New, Samples]]:
    """Draws, writes, loads."""

    def of(draw: Drawn) -> tuple[New, Samples]:
        draw(tmp_path / "data")
        made = new_competition(home, tmp_path / "data")
        assert not made.fault, made.fault
        lines = (home / "__init__.py").read_text().splitlines()
        assert len(lines) < 63 and max(map(len, lines)) < 120
        return made, samples_of(home, tmp_path / "data")[1]

    return of


def said(made: New, samples: Samples) -> list[str]:
    """The class of each training image."""
    return [made.proposal.names[label] for label in np.asarray(samples.targets)]


def drawn(folder: Path, paths: Sequence[str]) -> None:
    for path in paths:
        picture(folder / path, 1, 24, 24)


def tabled(folder: Path, head: Sequence[str], rows: Sequence[Sequence[object]], name: str = "train.csv") -> None:
    """A table of `k0`, `k1`, …, which lie in `train`."""
    table(folder / name, ("image", *head), *((f"k{at}.png", *row) for at, row in enumerate(rows)))
    drawn(folder, [f"train/k{at}.png" for at in range(len(rows))])


def with_tests(folder: Path, head: Sequence[str], row: Callable[[int], Sequence[object]], name: str) -> None:
    """A table of test images."""
    table(folder / name, ("image", *head), *((f"t{at}.png", *row(at)) for at in range(TEST)))
    drawn(folder, [f"test/t{at}.png" for at in range(TEST)])


@pytest.mark.parametrize("start", ["k", "1.2.276."], ids=["names", "names with dots"])
def test_run_lengths_beside_what_is_known_of_test_images(
    start: str, read: Callable[[Drawn], tuple[New, Samples]]
) -> None:
    def draw(folder: Path) -> None:
        train, test = ([f"{start}{part}{at}" for at in range(number)] for part, number in (("1", TRAIN), ("2", TEST)))
        table(folder / "train.csv", ("id", "organ", "rle"), *((one, "lung", "25 5 49 5") for one in train))
        table(folder / "test.csv", ("id", "organ"), *((one, "lung") for one in test))
        table(folder / "sample_submission.csv", ("id", "rle"), *((one, "1 1") for one in test))
        drawn(folder, [*(f"train/{one}.png" for one in train), *(f"test/{one}.png" for one in test)])

    made, samples = read(draw)
    assert made.proposal.task == "OverlappingMasks" and samples.table is None
    assert {int(one.sum()) for one in samples.targets} == {10}


def test_the_number_of_a_row_is_no_target(home: Path, tmp_path: Path) -> None:
    paths = [f"00{at % 3}.Bird/b{at}.jpg" for at in range(TRAIN)]
    drawn(tmp_path / "images", paths)
    (tmp_path / "images.txt").write_text("".join(f"{at} {path}\n" for at, path in enumerate(paths, start=1)))
    made = new_competition(home, tmp_path)
    assert made.proposal.names == ("000.Bird", "001.Bird", "002.Bird")


WEIGHTS = [(1.5 * at, 90 - at) for at in range(TRAIN)]
SOURCES = [(SPECIES[at % 3], ("day", "night")[at % 2]) for at in range(TRAIN)]


@pytest.mark.parametrize(
    ("head", "rows", "given", "sample", "target", "sure"),
    [
        (("weight", "confidence"), WEIGHTS, lambda at: (0,), ("weight",), "weight", "sure"),
        (("weight", "confidence"), WEIGHTS, lambda at: (at + 0.5,), ("weight",), "weight", "sure"),
        (("weight", "confidence"), WEIGHTS, lambda at: (at, at), ("weight",), "weight", "sure"),
        (("label", "source"), SOURCES, lambda at: (SPECIES[at % 3],), (), "label", "likely"),
        (("label",), [row[:1] for row in SOURCES], lambda at: (SPECIES[at % 3],), (), "label", "sure"),
        (("seen",), [row[:1] for row in SOURCES], lambda at: (SPECIES[at % 3],), (), "seen", "guess"),
        (
            ("hour", "seen"),
            [row[::-1] for row in SOURCES],
            lambda at: ("day", "night")[at % 2 :][:1],
            (),
            "seen",
            "likely",
        ),
    ],
)
def test_a_target_stays_one_where_the_table_of_test_images_has_it_too(
    head: Sequence[str],
    rows: Sequence[Sequence[object]],
    given: Callable[[int], Sequence[object]],
    sample: Sequence[str],
    target: str,
    sure: str,
    read: Callable[[Drawn], tuple[New, Samples]],
) -> None:
    def draw(folder: Path) -> None:
        tabled(folder, head, rows)
        with_tests(folder, head[: len(given(0))], given, "test.csv")
        if sample:
            with_tests(folder, sample, lambda at: (0.5,), "sample_submission.csv")

    made, samples = read(draw)
    assert made.proposal.targets.columns == ("image", target) and fact(made, "targets")["sure"] == sure
    assert samples.table is None or target not in samples.table.columns


ACCENT = "im\u00fc"
SPELLINGS: dict[str, tuple[Callable[[int], str], Callable[[int], str]]] = {  # a file, and what a table calls it
    "case": (lambda at: f"{'ab'[at % 2]}/im{at}.JPG", lambda at: f"im{at}.jpg"),
    "slashes": (lambda at: f"{'ab'[at % 2]}/im{at}.jpg", lambda at: f"TRAIN\\{'ab'[at % 2]}\\im{at}.jpg"),
    "folders": (lambda at: f"{'ab'[at % 2]}/im{at}.jpg", lambda at: f"D:\\x\\train\\{'ab'[at % 2]}\\im{at}.jpg"),
    "suffix": (
        lambda at: f"{('cam', 'phone')[at % 2]}_{at:03}.jpg",
        lambda at: f"{('cam', 'phone')[at % 2]}_{at:03}.png",
    ),
    "accents": (
        lambda at: unicodedata.normalize("NFD", f"{'im' if at % 6 else ACCENT}{at}.jpg"),
        lambda at: f"{'im' if at % 6 else ACCENT}{at}.jpg",
    ),
}


@pytest.mark.parametrize("rows", [TRAIN, TRAIN + 1], ids=["", "a row without an image"])
@pytest.mark.parametrize("way", SPELLINGS)
def test_a_table_may_spell_names_otherwise_than_files_are_called(
    way: str, rows: int, read: Callable[[Drawn], tuple[New, Samples]]
) -> None:
    file, cell = SPELLINGS[way]

    def draw(folder: Path) -> None:
        drawn(folder / "train", [file(at) for at in range(TRAIN)])
        table(folder / "train.csv", ("image", "label"), *((cell(at), SPECIES[at % 3]) for at in range(rows)))

    made, samples = read(draw)
    true = {Path(file(at)).name: SPECIES[at % 3] for at in range(TRAIN)}
    assert said(made, samples) == [true[name] for name in samples.images.file_names.tolist()]
    assert len(samples.images) == TRAIN
    assert ("don't count" in fact(made, "table")["why"]) == (way not in ("slashes", "folders"))


def test_a_table_whose_names_fit_no_image_makes_folders_a_guess(
    read: Callable[[Drawn], tuple[New, Samples]],
) -> None:
    def draw(folder: Path) -> None:
        drawn(folder / "train", [f"{'ab'[at % 2]}/im{at}.jpg" for at in range(TRAIN)])
        table(folder / "train.csv", ("image", "label"), *((f"cam{at}.jpg", SPECIES[at % 3]) for at in range(TRAIN)))

    targets = fact(read(draw)[0], "targets")
    assert targets["sure"] == "guess" and "train.csv names images that aren't here, such as cam0.jpg" in targets["why"]


PLANTS = (
    *("Pepper__bell___spot", "Pepper__bell___healthy", "Potato___blight", "Potato___healthy", "Tomato_Leaf_Mold"),
    *("Tomato_healthy", "Tomato_Early_blight", "Tomato_Late_blight", "Tomato_Spider_mites"),
)
MASKED = ("WithMask", "WithoutMask")
BIRDS = ("001.Black_Albatross", "002.Laysan_Albatross", "003.Indigo_Bunting", "004.Lazuli_Bunting")


def in_folders(*paths: str, each: int = 6) -> Drawn:
    return lambda folder: drawn(folder, [f"{path}/{path[-1]}{at}.png" for path in paths for at in range(each)])


def with_plants_asked(folder: Path) -> None:
    in_folders(*(f"train/{name}" for name in PLANTS))(folder)
    with_tests(folder, ("label",), lambda at: ("Tomato_healthy",), "sample_submission.csv")


@pytest.mark.parametrize(
    ("draw", "classes"),
    [
        (in_folders(*(f"train/{name}" for name in PLANTS)), PLANTS),
        (with_plants_asked, PLANTS),
        (in_folders(*(f"train/{name}" for name in BIRDS)), BIRDS),
        (
            in_folders(*(f"{part}/{name}" for part in ("Train", "Validation") for name in MASKED)),
            MASKED,
        ),
        (in_folders(*MASKED), MASKED),
        (in_folders("train/masked", "train/unmasked", "train/half"), ("masked", "unmasked", "half")),
        (in_folders("train/mask", "train/hat", "train/glasses"), ("mask", "hat", "glasses")),
        (lambda folder: drawn(folder, [f"{one}/{at}.png" for one in ("gt", "labeled", "van") for at in range(9)]),
         ("gt", "labeled", "van")),
        (in_folders(*(f"train_{part}/{name}" for part in (1, 2) for name in SPECIES)), SPECIES),
        (in_folders(*(f"data/part{part}/{name}" for part in (1, 2) for name in SPECIES)), SPECIES),
    ],
)  # fmt: skip
def test_words_in_the_names_of_folders_of_classes_change_nothing(
    draw: Drawn, classes: Sequence[str], read: Callable[[Drawn], tuple[New, Samples]]
) -> None:
    made, samples = read(draw)
    assert made.proposal.names == tuple(sorted(classes)) and samples.groups is None
    assert said(made, samples) == [path.parent.name for path in samples.images.paths]


def test_test_images_in_folders_called_like_masks_are_no_training_images(home: Path, tmp_path: Path) -> None:
    names = [f"{part}/{name}" for part in ("Train", "Test") for name in MASKED]
    in_folders(*names)(tmp_path / "data")
    new_competition(home, tmp_path / "data")
    _, samples = samples_of(home, tmp_path / "data")
    assert {path.parts[-3] for path in samples.images.paths} == {"Train"} and samples.test_images is not None
    assert {path.parts[-3] for path in samples.test_images.paths} == {"Test"}


def test_masks_that_fit_no_image_are_said(read: Callable[[Drawn], tuple[New, Samples]]) -> None:
    def draw(folder: Path) -> None:
        tabled(folder, ("label",), [(SPECIES[at % 3],) for at in range(TRAIN)])
        drawn(folder / "masks", [f"m{'abcdefghi'[at]}.png" for at in range(9)])

    made, _ = read(draw)
    assert "called like masks" in fact(made, "not used")["why"] and made.proposal.names == SPECIES


def test_the_table_that_has_what_the_sample_asks_for_is_before_one_of_more_rows(
    read: Callable[[Drawn], tuple[New, Samples]],
) -> None:
    def draw(folder: Path) -> None:
        tabled(folder, ("species",), [(SPECIES[at % 3],) for at in range(TRAIN)], "train_labels.csv")
        boxes = [(f"k{at}.png", at, 3, 9, 9, ("head", "tail")[each]) for at in range(TRAIN) for each in range(2)]
        table(folder / "train_boxes.csv", ("image", "x", "y", "w", "h", "class"), *boxes)
        with_tests(folder, ("species",), lambda at: ("cat",), "sample_submission.csv")

    made, samples = read(draw)
    assert made.proposal.names == SPECIES and said(made, samples)[:3] == list(SPECIES)


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize(
    "classes",
    [
        ("airplane", "horse", "polar bear", "ship", "truck"),
        ("healthy", "multiple diseases", "rust", "scab"),
        ("arctic fox", "giant panda", "red fox", "red panda"),
    ],
)
def test_names_of_several_words_are_classes(
    classes: tuple[str, ...], sampled: bool, read: Callable[[Drawn], tuple[New, Samples]]
) -> None:
    def draw(folder: Path) -> None:
        tabled(folder, ("label",), [(classes[at % len(classes)],) for at in range(TRAIN)])
        if sampled:
            with_tests(folder, ("label",), lambda at: (classes[0],), "sample_submission.csv")

    made, _ = read(draw)
    assert (made.proposal.task, made.proposal.names) == ("Classification", classes)


def test_labels_that_come_back_beside_others_are_labels(read: Callable[[Drawn], tuple[New, Samples]]) -> None:
    cells = ("clear road", "haze road", "clear river", "haze river", "road clear")
    made, _ = read(lambda folder: tabled(folder, ("tags",), [(cells[at % 5],) for at in range(TRAIN)]))
    assert made.proposal.names == ("clear", "haze", "river", "road") and fact(made, "targets")["sure"] == "guess"


@pytest.mark.parametrize(("label", "left"), [("cat", TRAIN), ("dog", TRAIN - 1)])
def test_a_row_that_stands_twice_makes_no_labels(
    label: str, left: int, read: Callable[[Drawn], tuple[New, Samples]]
) -> None:
    def draw(folder: Path) -> None:
        rows = [(f"k{at}.png", SPECIES[at % 3]) for at in range(TRAIN)]
        tabled(folder, ("label",), [row[1:] for row in rows])
        table(folder / "train.csv", ("image", "label"), *rows, ("k3.png", label))

    made, samples = read(draw)
    assert made.proposal.task == "Classification" and len(samples.images) == left
    assert ("contradict" in fact(made, "rows")["why"]) == (label == "dog")
    true = {f"k{at}": SPECIES[at % 3] for at in range(TRAIN)}
    assert said(made, samples) == [true[stem] for stem in samples.images.stems.tolist()]


PATIENTS = [f"train/{name}/p{name[0]}{at}" for name in ("benign", "malignant") for at in range(6)]
BOTH = [f"{10250 + at}/{label}" for at in range(7) for label in (0, 1)]
SESSIONS = [f"train/{name}/session{at}" for name in SPECIES for at in range(3)]
DOMAINS = [f"{name}/{label}" for name in ("photo", "sketch") for label in SPECIES]


@pytest.mark.parametrize(
    ("folders", "classes", "groups", "sure"),
    [
        (PATIENTS, ("benign", "malignant"), 12, "likely"),
        (BOTH, ("0", "1"), 7, "likely"),
        ([*BOTH, *(f"again/{path}" for path in BOTH)], ("0", "1"), 7, "likely"),
        (SESSIONS, SPECIES, 9, "likely"),
        (DOMAINS, SPECIES, 0, "guess"),
    ],
)
def test_folders_in_folders_are_classes_or_origins(
    folders: Sequence[str],
    classes: tuple[str, ...],
    groups: int,
    sure: str,
    read: Callable[[Drawn], tuple[New, Samples]],
) -> None:
    made, samples = read(in_folders(*folders, each=4))
    assert made.proposal.names == classes and fact(made, "targets")["sure"] == sure
    parts = [path.parts[-3:-1] for path in samples.images.paths]
    assert all(label in part for label, part in zip(said(made, samples), parts, strict=True))
    assert (0 if samples.groups is None else len(set(samples.groups.tolist()))) == groups
    origins = [tuple(one for one in part if one not in classes or folders is SESSIONS) for part in parts]
    assert samples.groups is None or len(set(zip(origins, samples.groups.tolist(), strict=True))) == groups


OTHERS = [f"val/{name}/p{name[0]}{at}" for name in ("benign", "malignant") for at in range(6, 12)]
PARTED = [f"{part}_{number}/{name}" for part in ("train", "val") for number in (1, 2) for name in SPECIES]


@pytest.mark.parametrize(("folders", "groups"), [([*PATIENTS, *OTHERS], 24), (PARTED, 0)])
def test_validation_images_in_the_same_folders_are_used(
    folders: Sequence[str], groups: int, read: Callable[[Drawn], tuple[New, Samples]]
) -> None:
    made, samples = read(in_folders(*folders, each=4))
    assert len(samples.images) == 4 * len(folders)
    assert all(label in path.parts for label, path in zip(said(made, samples), samples.images.paths, strict=True))
    assert (0 if samples.groups is None else len(set(samples.groups.tolist()))) == groups


def in_names(at: int) -> tuple[str, str]:
    return f"patient_{at // 5}/s{at}.png", SPECIES[at // 5 % 3]


def in_deep_names(at: int) -> tuple[str, str]:
    return f"patient_{at // 5}/study{at % 2}/s{at}.png", SPECIES[at % 3]


def in_folders_of_classes(at: int) -> tuple[str, str]:
    return f"{at % 6:03}/s{at}.png", f"species {at % 6}"


@pytest.mark.parametrize(("row", "groups"), [(in_names, 8), (in_deep_names, 8), (in_folders_of_classes, 0)])
def test_folders_in_a_tables_names_are_origins_unless_they_are_the_classes(
    row: Callable[[int], tuple[str, str]], groups: int, read: Callable[[Drawn], tuple[New, Samples]]
) -> None:
    def draw(folder: Path) -> None:
        drawn(folder / "train", [row(at)[0] for at in range(TRAIN)])
        table(folder / "train.csv", ("image", "label"), *map(row, range(TRAIN)))

    _, samples = read(draw)
    assert (0 if samples.groups is None else len(set(samples.groups.tolist()))) == groups


@pytest.mark.parametrize("blank", ["", "NA"])
def test_a_patient_that_is_not_known_is_a_group_of_its_own(
    blank: str, read: Callable[[Drawn], tuple[New, Samples]]
) -> None:
    rows = [(SPECIES[at % 3], f"p{at // 4}" if at < 28 else blank) for at in range(TRAIN)]
    made, samples = read(lambda folder: tabled(folder, ("label", "patient_id"), rows))
    assert samples.groups is not None and Counter(Counter(samples.groups.tolist()).values()) == {4: 7, 1: TRAIN - 28}
    assert "8 rows have none" in fact(made, "groups")["why"]


def test_lesions_are_origins_and_a_diagnosis_is_the_target(read: Callable[[Drawn], tuple[New, Samples]]) -> None:
    rows = [(f"H{at // 3}", SPECIES[at % 3], "histo", ("back", "arm")[at % 2]) for at in range(TRAIN)]
    made, samples = read(lambda folder: tabled(folder, ("lesion_id", "dx", "dx_type", "localization"), rows))
    assert made.proposal.names == SPECIES and samples.groups is not None
    assert len(set(samples.groups.tolist())) == TRAIN // 3


def test_lesions_of_another_table_are_origins(read: Callable[[Drawn], tuple[New, Samples]]) -> None:
    inside = "ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training"

    def draw(folder: Path) -> None:
        eye = np.eye(3, dtype=int)
        tabled(folder, ("MEL", "NV", "BCC"), [eye[at % 3] for at in range(TRAIN)], f"{inside}_GroundTruth.csv")
        rows = [(f"k{at}.png", f"H{at // 3}" if at < 30 else "", "histo") for at in range(TRAIN)]
        table(folder / f"{inside}_LesionGroupings.csv", ("image", "lesion_id", "diagnosis_confirm_type"), *rows)

    made, samples = read(draw)
    assert made.proposal.names == ("MEL", "NV", "BCC") and samples.groups is not None
    assert Counter(Counter(samples.groups.tolist()).values()) == {3: 10, 1: 6}


def test_run_lengths_with_blanks_around_them(read: Callable[[Drawn], tuple[New, Samples]]) -> None:
    rows = [(" -1" if at % 4 else f" {at + 3} 4 {at + 90} 3",) for at in range(TRAIN)]
    made, samples = read(lambda folder: tabled(folder, (" EncodedPixels",), rows))
    assert made.proposal.task == "OverlappingMasks"
    assert [int(np.asarray(samples.targets[at]).sum()) for at in range(3)] == [7, 0, 0]


def test_a_table_without_titles_loses_no_row(read: Callable[[Drawn], tuple[New, Samples]]) -> None:
    def draw(folder: Path) -> None:
        drawn(folder / "train", [f"im{at}.jpg" for at in range(TRAIN)])
        table(folder / "labels.csv", *((f"im{at}", SPECIES[at % 3]) for at in range(TRAIN)))

    made, samples = read(draw)
    assert len(samples.images) == TRAIN and said(made, samples)[:4] == ["cat", "dog", "owl", "cat"]


def test_a_name_is_looked_for_as_it_stands_first_and_means_one_image(tmp_path: Path) -> None:
    drawn(tmp_path, ["a.png", "A.png", "b.jpg", "c.jpg", "x/c.tif"])
    images = image_folder(tmp_path)
    assert images.chosen(["A.png", "a", "B.PNG"]).stems.tolist() == ["A", "a", "b"]
    assert images.has(["a", "B.PNG", "x\\C.png", "d"]).tolist() == [True, True, True, False]
    with pytest.raises(UserError, match=r"^2 images are called 'c\.png'; call them by their folders as well$"):
        images.chosen(["c.png"])
