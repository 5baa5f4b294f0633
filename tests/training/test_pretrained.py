"""A run that begins with a file of pretrained weights is of that file."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.networks.weights import stored
from tests.tiny import FIRST, Heard, prepare
from tests.training import same_run
from toolkit import Run, UserError, override
from toolkit.store import read_manifest
from toolkit.training.cross_validation import run_of
from toolkit.weight_files import FOLDERS, look_in

pytestmark = pytest.mark.usefixtures("one_thread")
VIT = ("model.name=vit", "model.pretrained=true", "schedule.epochs=1", "schedule.freeze=1", "schedule.ema=0")


def trained(root: Path, **more: Any) -> Run:
    return prepare(root, practice_size=24, **more).train(override(FIRST, VIT), stress="none")


def test_another_file_gives_another_run_and_the_same_file_the_same_bits(weights_folder: Path, tmp_path: Path) -> None:
    file = stored(weights_folder, "test_vit")
    first = trained(tmp_path / "a")
    manifest = read_manifest(first.folder)
    assert manifest is not None and list(manifest["pretrained"]) == [file.name]
    begun = load_file(file)
    ended = load_file(first.weights[0])
    assert torch.equal(ended["body.backbone.pos_embed"], begun["pos_embed"]), "frozen, as it lay in the file"
    heard = Heard()
    assert trained(tmp_path / "a", progress=heard).folder == first.folder
    assert "already trained" in str(heard)
    assert same_run(trained(tmp_path / "b"), first)
    stored(weights_folder, "test_vit", seed=1)
    other = run_of(first.labelled, first.recipe)
    assert other.folder != first.folder and not other.folder.exists()


def test_a_finished_run_needs_the_file_no_more(weights_folder: Path, tmp_path: Path) -> None:
    stored(weights_folder, "test_vit")
    run = trained(tmp_path)
    for path in weights_folder.iterdir():
        path.unlink()
    with torch.inference_mode():
        assert run.network(0, torch.device("cpu"))(torch.zeros(2, 3, 8, 8)).shape == (2, 3)


def test_a_project_names_the_folder_and_a_process_of_its_own_looks_there_too(tmp_path: Path) -> None:
    folder = tmp_path / "pretrained"
    folder.mkdir()
    stored(folder, "test_vit")
    try:
        alone = trained(tmp_path / "alone", weights=folder)
        apart = trained(tmp_path / "apart", weights=folder, device="cpu,cpu")
        assert alone.name == apart.name and apart.complete
    finally:
        look_in(folder)
        FOLDERS.remove(folder.resolve())


def test_without_the_file_training_says_which_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        UserError, match=r"test_vit are not on this machine .*test_vit\.r160_in1k\.safetensors and say --w"
    ):
        trained(tmp_path)
