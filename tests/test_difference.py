"""Two runs side by side."""

from pathlib import Path

import pytest

from tests.blending.conftest import made_runs
from toolkit.errors import UserError
from toolkit.outcome import Table, Warned
from toolkit.project import Project
from toolkit.store import read_json, write_json


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two that differ in seed and quality, and one that differs in its batch too."""
    made = made_runs(tmp_path_factory.mktemp("runs"), {"net-1a2b": 2.5, "net-3c4d": 0.5, "other-1a5e": 2.5})
    for path in made.workspace.train.glob("*/metrics.json"):
        write_json(path, read_json(path) | {"stress": None})
    return made


def test_scores_settings_and_classes_are_set_beside_each_other(runs: Project) -> None:
    found = runs.diff("net-1", "net-3")
    assert found.compared is not None and found.compared.words == "better"
    assert found.settings == {"seed": (0, 1)}
    head, said, settings, classes = found.told()
    assert isinstance(head, Table) and head.title == "A: net-1a2b\nB: net-3c4d"
    assert [row[0] for row in head.rows] == ["CV", "folds x epochs", "trained for", "finished"]
    assert "A less B on the same samples: +0." in str(said) and "better" in str(said)
    assert isinstance(settings, Table) and settings.rows == [["seed", "0", "1"]]
    assert isinstance(classes, Table) and [row[0] for row in classes.rows] == ["red", "green", "blue"]
    written = found.as_json()
    assert written["difference"]["words"] == "better" and written["settings"] == {"seed": [0, 1]}


def test_versions_that_differ_are_told(runs: Project) -> None:
    path = runs.workspace.train / "other-1a5e" / "manifest.json"
    made = read_json(path)
    write_json(path, made | {"versions": made["versions"] | {"torch": "1.0"}})
    head = runs.diff("net-1a2b", "other").told()[0]
    assert isinstance(head, Table) and head.rows[-1][0] == "torch" and head.rows[-1][2] == "1.0"


def test_runs_of_other_folds_are_not_compared(runs: Project) -> None:
    path = runs.workspace.train / "net-3c4d" / "manifest.json"
    made = read_json(path)
    write_json(path, made | {"inputs": made["inputs"] | {"folds": "others"}})
    found = runs.diff("net-1a2b", "net-3c4d")
    assert found.compared is None and isinstance(found.told()[1], Warned)
    write_json(path, made)


def test_a_run_is_found_by_a_part_of_its_name_if_that_is_of_one_alone(runs: Project) -> None:
    assert runs.diff("3c4d", "5e").one.name == "net-3c4d"
    for name, said in (
        ("net", "'net' could be net-1a2b or net-3c4d; write more of it"),
        ("zzz", "'zzz' is not a finished run of tiny-practice; there are net-1a2b, net-3c4d, other-1a5e"),
        ("3c4d", "both are net-3c4d; name two runs"),
    ):
        with pytest.raises(UserError, match=said):
            runs.diff(name, "net-3c4d")


def test_without_runs_it_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no run of tiny-practice yet; `compete train` makes one"):
        Project("tests/tiny", practice=True, workspace=tmp_path).diff("a", "b")
    assert not list(tmp_path.iterdir())
