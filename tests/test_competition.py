"""Competitions are found by their folder, their rules are enforced, and their unscored classes never predicted."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from competitions.blood_cells import competition as blood_cells
from competitions.mars import competition as mars
from tests import tiny
from tests.conftest import ROOT
from toolkit import Classification, Segmentation, UserError
from toolkit.competition import choose_recipe, load_competition
from toolkit.metrics.confusion import Accuracy, MacroF1, MeanIoU
from toolkit.metrics.metric import Metric
from toolkit.recipe import Recipe, override, to_dict
from toolkit.rules import Rules

PROBABILITIES = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 3), st.just(5), st.integers(1, 3)), elements=st.floats(0, 1, width=32)
)


def package(folder: Path, text: str = "") -> Path:
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(text)
    return folder


@pytest.fixture(autouse=True)
def import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders that are loaded from are forgotten."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.mark.parametrize("recipe", mars.recipes.values(), ids=mars.recipes)
def test_mars_refuses_pretrained_weights(recipe: Recipe) -> None:
    mars.rules.check(recipe)
    asking = override(recipe, ["model.pretrained=true"])
    told = r"forbids; set model\.pretrained=false \(rule pretrained: competitions/mars/README"
    with pytest.raises(UserError, match=told) as caught:
        mars.rules.check(asking)
    assert recipe.name in str(caught.value)


def test_every_recipe_keeps_the_rules_of_its_competition() -> None:
    for competition in (mars, blood_cells):
        for name, recipe in competition.recipes.items():
            competition.rules.check(recipe)
            assert name == recipe.name
    Rules().check(override(mars.recipes["small_unet"], ["model.pretrained=true"]))


@pytest.mark.parametrize("metric", [Accuracy(ignore=("sky",)), MacroF1(ignore=("sky",)), MeanIoU(ignore=("sky",))])
def test_a_metric_cannot_ignore_a_class_that_does_not_exist(metric: Metric) -> None:
    with pytest.raises(ValueError, match=r"the metric ignores 'sky'.*'big rock'"):
        replace(mars, metric=metric)


def test_colour_is_what_the_competition_says_or_all_of_three_channels() -> None:
    four, three = (replace(mars, task=Segmentation(mars.task.classes, (8, 8, channels))) for channels in (4, 3))
    assert (mars.rgb, four.rgb, three.rgb) == ((), (), (0, 1, 2))
    assert replace(four, colour=(3, 1, 0)).rgb == (3, 1, 0) and replace(three, colour=()).rgb == ()
    for wrong in ((0, 1), (0, 1, 1), (1, 2, 4), (-1, 0, 1)):
        with pytest.raises(ValueError, match=r"colour is .*, expected three different channels of 0 to 3"):
            replace(four, colour=wrong)


def test_the_scored_classes_are_those_that_the_metric_does_not_ignore() -> None:
    assert mars.scored == (1, 2, 3, 4) and blood_cells.scored == tuple(range(8))
    assert replace(mars, metric=MeanIoU(ignore=("sand", "background"))).scored == (1, 2, 4)


def test_the_score_is_that_of_the_metric_on_the_scored_classes() -> None:
    confusion = np.diag([9, 4, 4, 4, 4])
    confusion[0, 1] = 50  # a truth of background is not scored, whatever was predicted there
    assert mars.score(confusion) == 1
    confusion[1, 0] = 4
    assert mars.score(confusion) == pytest.approx((0.5 + 3) / 4)


@given(PROBABILITIES, st.sets(st.sampled_from(mars.task.classes), max_size=4))
def test_an_unscored_class_is_never_predicted(probabilities: np.ndarray, ignored: set[str]) -> None:
    competition = replace(mars, metric=MeanIoU(ignore=tuple(ignored)))
    labels = competition.decode(probabilities)
    assert labels.dtype == np.uint8 and labels.shape == (len(probabilities), probabilities.shape[2])
    assert set(np.unique(labels)) <= set(competition.scored)
    chosen = np.take_along_axis(probabilities, labels[:, None].astype(int), 1)[:, 0]
    assert (chosen == probabilities[:, list(competition.scored)].max(1)).all()


@given(PROBABILITIES)
def test_decoding_is_the_arg_max_where_every_class_is_scored(probabilities: np.ndarray) -> None:
    task = Classification(classes=tuple("abcde"), image_shape=(8, 8, 1))
    competition = replace(blood_cells, task=task, metric=Accuracy())
    assert (competition.decode(probabilities) == probabilities.argmax(1)).all()


def test_a_competition_is_loaded_by_its_folder_which_may_be_relative(monkeypatch: pytest.MonkeyPatch) -> None:
    for competition in (mars, blood_cells):
        assert load_competition(competition.folder) is load_competition(str(competition.folder)) is competition
    monkeypatch.chdir(ROOT)
    assert load_competition("competitions/mars/") is mars
    monkeypatch.chdir(ROOT / "competitions" / "mars")
    assert load_competition(".") is mars


def test_competitions_of_one_name_in_two_folders_are_two(tmp_path: Path) -> None:
    text = "from dataclasses import replace\nfrom competitions.mars import competition as mars\n"
    text += "from pairs.one.words import NAME\ncompetition = replace(mars, name=NAME)"
    for place in ("here", "there"):
        folder = package(tmp_path / place / "pairs" / "one", text)
        (folder / "words.py").write_text(f"NAME = {place!r}")
        assert load_competition(folder).name == place
    assert load_competition(tmp_path / "here" / "pairs" / "one").name == "here"


def test_a_competition_is_found_whatever_else_is_imported_under_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "odd", ModuleType("odd"))
    folder = package(tmp_path / "odd" / "one", "nothing = 1")
    complaint(folder, ["defines no `competition"])


def complaint(folder: str | Path, expected: Sequence[str]) -> None:
    with pytest.raises(UserError) as caught:
        load_competition(folder)
    assert all(part in str(caught.value) for part in expected) and "\n" not in str(caught.value)


def test_what_is_no_competition_is_answered_with_what_may_be_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    complaint("competitions/marz", ["competitions/marz is not a competition; did you mean mars?"])
    complaint(tmp_path, [f"{tmp_path} is not a competition: it has no __init__.py; there are ", "blood_cells, mars"])


def test_a_package_must_define_a_competition(tmp_path: Path) -> None:
    complaint(package(tmp_path / "rooms" / "empty"), ["__init__.py defines no `competition"])
    complaint(package(tmp_path / "rooms" / "wrong", "competition = 3"), ["__init__.py defines no `competition"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not readable JSON"),
        ("[1]", "holds no recipe: expected a JSON object"),
        ('{"name": "x"}', "recipe field model: Field required"),
        ('{"name": "x", "model": {"name": "tiny", "depth": 3}}', "recipe has no field model.depth; remove it"),
    ],
)
def test_a_file_that_holds_no_recipe_is_an_error(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "some.recipe"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as error:
        choose_recipe(tiny.competition, str(path), ())
    assert str(path) in str(error.value)


def test_a_recipe_from_a_file_keeps_its_seed_takes_fields_and_obeys_the_rules(tmp_path: Path) -> None:
    path = tmp_path / "some.recipe"
    path.write_text(json.dumps(to_dict(override(tiny.FIRST, ["name=found", "seed=7", "model.pretrained=true"]))))
    assert [choose_recipe(tiny.competition, str(path), (), seed).seed for seed in (0, 3)] == [7, 3]
    made = choose_recipe(tiny.competition, str(path), ("batch_size=4",))
    assert (made.name, made.batch_size) == ("found", 4)
    strict = replace(tiny.competition, rules=replace(tiny.competition.rules, pretrained=False))
    with pytest.raises(UserError, match="recipe found asks for pretrained weights"):
        choose_recipe(strict, str(path), ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\nraise ValueError('no\\nsuch')", "__init__.py, line 2: ValueError: no such"),
        ("import pandas\nfrom pandas import nothing", "__init__.py, line 2: ImportError: "),
        ("x = 1\nx = = 2", "__init__.py, line 2: invalid syntax"),
    ],
)
def test_code_that_fails_is_named_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    name = f"fails{sum(map(ord, text))}"  # modules of one name are imported once
    with pytest.raises(UserError) as caught:
        load_competition(package(tmp_path / name / "fails", text))
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["../../escaped", "a/b", "", ".", "..", "x" * 101, "a\\b", "a\0"])
def test_a_name_is_the_name_of_a_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the workspace's folder is called by it"):
        replace(mars, name=name)


def test_a_competition_that_ends_the_program_is_told(tmp_path: Path) -> None:
    (tmp_path / "quits").mkdir()
    (tmp_path / "quits" / "__init__.py").write_text("import sys\nsys.exit(7)\n")
    with pytest.raises(UserError, match=r"quits can't be read: .*__init__\.py, line 2: SystemExit: 7"):
        load_competition(tmp_path / "quits")
