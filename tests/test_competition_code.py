"""The code that builds networks is known by its text; other code is said, and weights that don't fit it are told."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import tiny
from tests.tiny import Heard, prepare, project
from toolkit.competition import Competition, load_competition
from toolkit.competition_code import code_of, metric_key
from toolkit.errors import UserError
from toolkit.metrics.metric import metric_of
from toolkit.metrics.organisers import from_function
from toolkit.metrics.single_label import F1
from toolkit.runs import Run

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")
BACKBONE = "nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()"


class Place:
    """The tiny competition in a folder of its own, with its network in a file `models.py`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0
        text = Path(tiny.__file__).read_text(encoding="utf-8")
        begin, end = text.index("def build_model"), text.index("def suggest")
        self.models = f"""from collections import OrderedDict
from torch import nn
from toolkit import Network, Recipe
WIDTH = 3
UNUSED = 1

{text[begin:end]}"""
        rest = text[:begin] + text[end:].partition("looking = ")[0]
        self.init = rest.replace("def practice", "from .models import build_model\n\n\ndef practice", 1)

    def __call__(self) -> Competition:
        """As it is read by a command of its own."""
        self.number += 1
        here = self.folder.with_name(f"{self.folder.name}{self.number}") / "tiny"
        here.mkdir(parents=True)
        (here / "__init__.py").write_text(self.init)
        (here / "models.py").write_text(self.models)
        return load_competition(here)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "place")


def code(of: Competition) -> str:
    return code_of(of.build_model, of.folder)


def test_code_is_known_by_what_a_function_uses_wherever_it_lies(place: Place) -> None:
    place.models = place.models.replace("nn.Linear(8, 3)", "nn.Linear(8, WIDTH)")
    before = code(place())
    place.init = place.init.replace("epochs=4", "epochs=5")
    place.models = place.models.replace("UNUSED = 1", "UNUSED = 2")
    assert code(place()) == before
    place.models = place.models.replace("WIDTH = 3", "WIDTH = 4")
    assert code(place()) != before
    place.models = place.models.replace("WIDTH = 4", "WIDTH = 3")
    assert code(place()) == before
    place.models = place.models.replace("nn.ReLU()", "nn.GELU()")
    assert code(place()) != before


def test_a_competition_whose_network_is_in_its_own_module_alone(tmp_path: Path) -> None:
    assert code_of(tiny.build_model, tiny.competition.folder) == code_of(tiny.build_model, tiny.competition.folder)
    assert code_of(tiny.build_model, tiny.competition.folder) != code_of(tiny.load, tiny.competition.folder)
    assert code_of(shutil.rmtree, tmp_path) == code_of(shutil.copy, tmp_path), "nothing of theirs lies there"


def test_networks_of_other_code_are_said_and_such_as_dont_fit_are_told(place: Place, tmp_path: Path) -> None:
    of = place()
    prepare(tmp_path, of=of)
    heard = Heard()
    run = project(tmp_path, of, progress=heard).train("first", schedule__epochs=1, stress="none")
    project(tmp_path, of, progress=heard).train("first", schedule__epochs=1, stress="none")
    assert "already trained" in str(heard) and "has changed" not in str(heard)
    place.models = place.models.replace("nn.ReLU()", "nn.GELU()")
    other, heard = place(), Heard()
    opened = project(tmp_path, other, progress=heard)
    opened.train("first", schedule__epochs=1, stress="none")
    sentence = f"the code that builds networks in {other.folder} has changed since {run.name} was trained"
    assert sentence in str(heard)
    heard.lines.clear()
    opened.ensemble(views=["none"])
    assert str(heard).count(sentence) == 1
    heard.lines.clear()
    opened.submit()
    assert str(heard).count(sentence) == 1
    place.models = place.models.replace("(3, 8, 3)", "(3, 9, 3)").replace("(8)", "(9)").replace("(8, 3)", "(9, 3)")
    misfit = Run(run.folder, project(tmp_path, place()).labelled())
    with pytest.raises(
        UserError, match=r"doesn't fit the network that build_model of tiny makes of first now \(size mis"
    ):
        misfit.networks(torch.device("cpu"))


def test_a_metric_is_known_by_its_settings_and_an_own_one_by_its_code(tmp_path: Path) -> None:
    def half(truth: np.ndarray, predicted: np.ndarray) -> float:
        return float((truth == predicted).mean()) / 2

    def third(truth: np.ndarray, predicted: np.ndarray) -> float:
        return float((truth == predicted).mean()) / 3

    how: Any = {"needs": "labels", "lower_is_better": False, "name": "score"}
    metrics = [F1(), F1(beta=2, name="macro F1"), from_function(half, **how), from_function(third, **how)]
    keys = [metric_key(metric_of(metric, tiny.TASK), tmp_path) for metric in metrics]
    assert len(set(keys)) == 4
    assert keys == [metric_key(metric_of(metric, tiny.TASK), tmp_path) for metric in metrics]
    of = replace(tiny.competition, metric=metrics[2])
    assert of.scored_by == {"metric": "score", "metric_key": metric_key(of.metric, of.folder)}
    assert of.is_scored_by({}) and of.is_scored_by({"metric": "score"}) and of.is_scored_by(of.scored_by)
    assert not of.is_scored_by({"metric": "accuracy"}) and not of.is_scored_by({"metric": "score", "metric_key": "0"})
