"""What is sent is named by its content, written once, and nothing of the organisers' files goes with the code."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests import tiny
from toolkit.cluster.parcels import BLOCK, Parcel, code_of, data_of, parcel, unpack, weights_of
from toolkit.errors import UserError
from toolkit.store import write_manifest
from toolkit.training.jobs import FoldJob


def names(one: Parcel) -> set[str]:
    return {name for name, _ in one.files}


@pytest.fixture
def job(tmp_path: Path) -> FoldJob:
    """Of a competition in a folder of its own, with the organisers' files in it."""
    folder = tmp_path / "competitions" / "buds"
    for name in (
        "__init__.py",
        "networks.py",
        "data/secret.csv",
        "__pycache__/x.pyc",
        ".git/head",
        "labels/names.json",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (tmp_path / "competitions" / "shared.py").write_text("")
    return replace(tiny.make_job(tmp_path), competition=folder)


def test_code_goes_without_the_organisers_files(job: FoldJob) -> None:
    expected = {f"competitions/{name}" for name in ("shared.py", "buds/__init__.py", "buds/networks.py")}
    assert names(code_of(job)) == expected | {"competitions/buds/labels/names.json"}
    before = code_of(job).key
    assert code_of(job).key == before
    (job.competition / "networks.py").write_text("other")
    assert code_of(job).key != before


def test_a_parcel_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.cluster.parcels.BLOCK", 1000)
    assert BLOCK > 1000
    (tmp_path / "large").write_bytes(bytes(range(250)) * 10)
    (tmp_path / "empty").touch()
    made = parcel([("a/large", tmp_path / "large"), ("empty", tmp_path / "empty")])
    blocks = list(made.blocks())
    assert [len(parts) for _, parts in blocks] == [3, 0] and made.size == 2500
    cache = tmp_path / "cache"
    assert unpack(cache, made.key, blocks, lambda block: block) == 2500
    assert (cache / made.key / "a" / "large").read_bytes() == (tmp_path / "large").read_bytes()
    assert (cache / made.key / "empty").read_bytes() == b""
    assert unpack(cache, made.key, [], lambda block: block) == 0


def test_images_that_are_decoded_each_time_are_not_sent(job: FoldJob) -> None:
    assert "data/images.npy" in names(data_of(job))
    write_manifest(job.data.parent / "decoded" / "8x8x3", {"kept": False})
    with pytest.raises(UserError, match="--no-cache"):
        data_of(replace(job, images=job.data.parent / "decoded" / "8x8x3"))


def test_a_network_without_pretrained_weights_needs_none(tmp_path: Path) -> None:
    assert weights_of(tiny.make_job(tmp_path, "model.pretrained=false")).files == ()
