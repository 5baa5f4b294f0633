"""Files of pretrained weights are found by name, as users and the hub lay them, and by no other."""

from pathlib import Path

import pytest

from toolkit import weight_files
from toolkit.errors import UserError
from toolkit.weight_files import Wanted, find, look_in, others

TINY = Wanted("tiny", ("tiny.in1k", "tiny"), "timm/tiny.in1k")


@pytest.fixture(autouse=True)
def _no_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_files, "FOLDERS", [])


def laid(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize(
    "name",
    [
        *("tiny.in1k.safetensors", "tiny.safetensors", "tiny.in1k.pth", "tiny.bin"),
        *("timm/tiny.in1k/model.safetensors", "tiny.in1k/model.safetensors", "tiny.in1k/pytorch_model.bin"),
        "models--timm--tiny.in1k/snapshots/0123abcd/model.safetensors",
    ],
)
def test_weights_lie_by_name_or_as_the_hub_lays_them(name: str, tmp_path: Path) -> None:
    look_in(tmp_path)
    assert find(TINY) is None
    path = laid(tmp_path, name)
    assert find(TINY) == path


def test_the_tag_comes_before_the_bare_name_and_other_tags_are_other_weights(tmp_path: Path) -> None:
    look_in(tmp_path)
    laid(tmp_path, "tiny.in22k.safetensors")
    assert find(TINY) is None and others(TINY) == ["tiny.in22k.safetensors"]
    laid(tmp_path, "tiny.safetensors")
    assert find(TINY) == tmp_path / "tiny.safetensors"
    tagged = laid(tmp_path, "tiny.in1k.safetensors")
    assert find(TINY) == tagged


def test_the_folder_named_last_is_asked_first(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    files = [laid(folder, "tiny.safetensors") for folder in folders]
    for folder in folders:
        look_in(folder)
    assert find(TINY) == files[1]
    look_in(folders[0])
    look_in(None)
    assert find(TINY) == files[0] and len(weight_files.FOLDERS) == 2


def test_a_folder_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a folder; --weights names"):
        look_in(tmp_path / "gone")
