"""A run's folder says what differs in its recipe from the competition's of that name."""

import re
from pathlib import Path

import pytest

from tests import tiny
from toolkit.recipe import override
from toolkit.store import write_json
from toolkit.training.cross_validation import run_of
from toolkit.training.run_names import LONGEST, folder_name


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ([], "first"),
        (["optimizer.lr=0.002", "schedule.epochs=60", "seed=3"], "first+lr2e-3+epochs60+seed3"),
        (["model.name=vit", "model.pretrained=true", "augment.colour=.25"], "first+model_vit+2more"),
        (["loss.names=focal,dice", "augment.leave_out=blur"], "first+leave_out_blur+1more"),
        (["distil.blend=../a b"], "first+blend_.._a_b"),
        (["model.dropout=0", "seed=7"], "first+model_dropout0+seed7"),
        (["table.dropout=0.5"], "first+table_dropout0.5"),
        (["name=mine", "seed=3"], "mine"),
        (["precision=float32", "seed=3"], "first+seed3"),  # as `run` sets it by itself
        (["precision=bfloat16"], "first+precision_bfloat16"),
    ],
)
def test_it_names_what_differs(fields: list[str], name: str) -> None:
    assert folder_name(tiny.competition, override(tiny.FIRST, fields), "0a1b2c3d") == f"{name}-0a1b2c3d"


def test_it_is_short_and_safe_whatever_differs() -> None:
    fields = ["model.encoder=" + "x" * 100, "optimizer.lr=1", "seed=7", "batch_size=64", "optimizer.clip=3"]
    long = folder_name(tiny.competition, override(tiny.FIRST, fields), "0a1b2c3d")
    assert long == "first+5more-0a1b2c3d"
    many = override(tiny.FIRST, ["schedule.warmup=.25", "schedule.freeze=.125", *fields[1:]])
    many_named = folder_name(tiny.competition, many, "0a1b2c3d")
    assert many_named == "first+lr1+clip3+4more-0a1b2c3d"
    named = folder_name(tiny.competition, override(tiny.FIRST, ["name=" + "n" * 99]), "0a1b2c3d")
    assert all(len(one) <= LONGEST and re.fullmatch(r"[\w.+-]+", one) for one in (long, named, many_named))


def test_a_run_of_an_older_name_is_found(tmp_path: Path) -> None:
    labelled = tiny.prepare(tmp_path).labelled()
    recipe = override(tiny.FIRST, ["optimizer.lr=0.002"])
    named = run_of(labelled, recipe)
    assert re.fullmatch(r"first\+lr2e-3-[0-9a-f]{8}", named.name)
    old = named.folder.with_name("first-" + named.name[-8:])
    write_json(old / "recipe.json", {})
    assert run_of(labelled, recipe).folder == old and run_of(labelled, override(recipe, ["name=other"])).folder == old
