"""Artefacts appear whole or not at all, and a folder counts as finished by its manifest."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import UserError
from toolkit.store import (
    MANIFEST,
    Workspace,
    atomic,
    hash_file,
    hash_json,
    read_json,
    read_manifest,
    write_json,
    write_manifest,
    write_text,
)

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4)
VALUES = SCALARS | st.lists(SCALARS, max_size=3)


def fill(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def stop_half_way(path: Path, write: Callable[[Path], None], error: BaseException) -> None:
    with atomic(path) as partial:
        write(partial)
        raise error


def test_every_artefact_lies_in_the_folder_of_its_competition(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "mars")
    named = [getattr(workspace, name) for name, kind in vars(Workspace).items() if isinstance(kind, property)]
    named.remove(tmp_path / "mars")
    assert all(tmp_path / "mars" in path.parents for path in named) and len(set(named)) == len(named) > 10


def test_a_file_appears_at_the_end_of_the_block_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "table.csv"
    with atomic(path) as partial:
        partial.write_text("whole")
        assert not path.exists()
    assert contents(path.parent) == {"table.csv": "whole"}


def test_a_directory_appears_at_the_end_of_the_block_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with atomic(path) as partial:
        fill(partial, a="1", b="2")
        assert not path.exists()
    assert contents(path) == {"a": "1", "b": "2"} and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_appears_when_the_block_raises(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error):
        stop_half_way(tmp_path / "file", lambda partial: write_text(partial, "half"), error())
    with pytest.raises(error):
        stop_half_way(tmp_path / "folder", lambda partial: fill(partial, a="half"), error())
    assert not list(tmp_path.iterdir())


def test_the_old_artefact_survives_a_block_that_raises(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    fill(tmp_path / "folder", a="old")
    with pytest.raises(ValueError, match="stop"):
        stop_half_way(tmp_path / "file", lambda partial: write_text(partial, "half"), ValueError("stop"))
    with pytest.raises(ValueError, match="stop"):
        stop_half_way(tmp_path / "folder", lambda partial: fill(partial, a="half"), ValueError("stop"))
    assert (tmp_path / "file").read_text() == "old" and contents(tmp_path / "folder") == {"a": "old"}
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


def test_an_artefact_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old and longer")
    fill(tmp_path / "folder", a="old", gone="old")
    with atomic(tmp_path / "file") as partial:
        partial.write_text("new")
    with atomic(tmp_path / "folder") as partial:
        fill(partial, a="new", b="new")
    assert (tmp_path / "file").read_text() == "new" and contents(tmp_path / "folder") == {"a": "new", "b": "new"}
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


def test_a_block_that_leaves_nothing_is_an_error_and_the_old_artefact_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "file"):
        pass
    assert contents(tmp_path) == {"file": "old"}


def test_json_comes_back_as_it_was_written(tmp_path: Path) -> None:
    value = {"name": "Größe", "list": [1, 2.5, None, True]}
    write_json(tmp_path / "value.json", value)
    assert read_json(tmp_path / "value.json") == value


@pytest.mark.parametrize("damage", [b"", b'{"inputs": {', b"\x00" * 40, b"\xff\xfe{}", b"{'a': 1}"])
def test_a_damaged_json_file_is_a_clear_error(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(damage)
    with pytest.raises(UserError, match="not readable JSON") as caught:
        read_json(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_json_file_that_is_gone_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"metrics\.json is gone; bring it back"):
        read_json(tmp_path / "metrics.json")


def test_a_folder_without_a_manifest_is_not_finished(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None
    write_manifest(tmp_path, {"data": "abc", "seed": 0})
    assert read_manifest(tmp_path) == {"data": "abc", "seed": 0}


def test_a_manifest_tells_versions_command_and_time(tmp_path: Path) -> None:
    write_manifest(tmp_path, {})
    manifest = read_json(tmp_path / MANIFEST)
    known = {"inputs", "files", "versions", "python", "machine", "command", "finished"}
    assert set(manifest) - {"commit"} == known
    assert manifest["versions"]["numpy"] and manifest["command"] and manifest["finished"]


@given(st.dictionaries(st.text(max_size=4), VALUES, min_size=2, max_size=4))
def test_the_order_of_keys_does_not_change_the_hash(value: dict[str, object]) -> None:
    turned = dict(reversed(value.items()))
    assert hash_json(value) == hash_json(turned)
    assert hash_json([{"inner": value}]) == hash_json([{"inner": turned}])


def test_any_other_change_changes_the_hash() -> None:
    values = [{}, [], None, "", 0, {"a": 1}, {"a": 2}, {"b": 1}, {"a": "1"}, [1, 2], [2, 1], {"a": [1, 2]}]
    assert len({hash_json(value) for value in values}) == len(values)


def test_a_file_is_named_by_its_bytes_alone(tmp_path: Path) -> None:
    for name, text in (("a", "same"), ("b", "same"), ("c", "other")):
        (tmp_path / name).write_text(text)
    a, b, c = (hash_file(tmp_path / name) for name in "abc")
    assert a == b != c and len(a) == 12


@pytest.mark.parametrize("text", ["[]", "3", "null", '{"b": 1}', "{", "\udc80", "[" * 100_000])
def test_json_of_another_shape_is_told_with_its_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(UserError, match=r"plan\.json is (damaged|not readable JSON).*; remove it and run the command"):
        read_json(path, "a")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": None}, r"'a' in it should be a list, is null"),
        ({"a": "xyz"}, "'a' in it should be a list, is \"xyz\""),
        ({"a": ["x", {"b": 1}]}, r"1 in it should be a text, is"),
    ],
)
def test_unsealed_json_that_holds_something_else_is_told(value: object, said: str, tmp_path: Path) -> None:
    path = tmp_path / "holdout.json"
    path.write_text(json.dumps(value))
    with pytest.raises(UserError, match=f"holdout.json is damaged: {said}"):
        read_json(path, holds=dict[str, list[str]])
    path.write_text('{"a": ["x"], "b": []}')
    assert read_json(path, holds=dict[str, list[str]]) == {"a": ["x"], "b": []}


@pytest.mark.parametrize("name", ["..", ".", "", "../../..", "/etc", ["mean"], None, 3])
def test_what_is_noted_as_the_chosen_blend_leads_nowhere_else(name: object, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "mars")
    workspace.ensemble.mkdir(parents=True)
    workspace.chosen.write_text(json.dumps({"blend": name}))
    with pytest.raises(UserError, match=r"chosen\.json is damaged"):
        _ = workspace.chosen_blend
