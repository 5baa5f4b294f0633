"""The audit's page and lists of samples in files: what is shown has its name, and leads to its file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from tests import tiny
from tests.auditing.test_duplicates import copy, texture
from toolkit import Classification, ImageFiles, Project, Rules, Samples, UserError
from toolkit.audit import add_options, audit
from toolkit.command_line import parser
from toolkit.outcome import Table
from toolkit.progress import SILENT

TASK = Classification(("red", "green"), (96, 96, 3))


def load(folder: Path) -> Samples:
    paths = sorted(folder.glob("train/*/*.png"))
    labels = np.array([TASK.classes.index(path.parent.name) for path in paths])
    return Samples(ImageFiles(paths), labels, skip_unreadable=True)


competition = replace(tiny.competition, name="filed", task=TASK, rules=Rules(pretrained=False), load=load)


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """25 pictures in files; `green/ä 9.png` is a copy of `green/3.png`, `red/x.png` is `red/4.png`, one is broken."""
    root = tmp_path_factory.mktemp("filed")
    pictures = {f"{TASK.classes[seed % 2]}/{seed}.png": texture(seed) for seed in range(22)}
    pictures["green/ä 9.png"] = copy(pictures["green/3.png"], 70, 0.95, False, cv2.BORDER_REFLECT_101)
    pictures["red/x.png"] = pictures["red/4.png"]
    for name, picture in pictures.items():
        path = root / "raw" / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    (root / "raw" / "train" / "green" / "broken.png").write_bytes(b"not a picture")
    project = Project(competition, data=root / "raw", workspace=root / "work", progress=SILENT, workers=1)
    project.audit()
    return project


def test_lists_and_tables_have_names(audited: Project) -> None:
    listed, table = pd.read_csv(audited.workspace.cleaning), pd.read_parquet(audited.workspace.audit)
    grouped = listed[listed["action"] == "group"]
    assert set(grouped["name"]) == {"train/green/3.png", "train/green/ä 9.png", "train/red/4.png", "train/red/x.png"}
    assert "exact copy: train/red/4.png, train/red/x.png" in set(grouped["reason"])
    assert list(table.columns[:3]) == ["index", "name", "group"] and table["name"].is_unique
    by_index = table.set_index("index")["name"]
    assert (by_index[listed["index"]].to_numpy() == listed["name"]).all()


def test_a_file_that_cannot_be_read_is_named_and_left_out(audited: Project) -> None:
    listed = pd.read_csv(audited.workspace.cleaning).set_index("name").loc["train/green/broken.png"]
    assert (
        listed["action"] == "drop" and listed["reason"].startswith("unreadable file: ") and len(listed["reason"]) > 20
    )
    assert "1 image can&#39;t be read (unreadable.csv)" in audited.workspace.page.read_text()
    split = audited.folds(2)
    assert audited.labelled().names[split.fold == -1].tolist() == ["train/green/broken.png"]


def test_pictures_lead_to_their_files(audited: Project) -> None:
    page = audited.workspace.page.read_text()
    assert "<title>filed: audit</title>" in page and "What the classes look like" in page
    assert '<a href="../../raw/train/green/%C3%A4%209.png">train/green/ä 9.png</a>' in page
    for part in page.split('href="')[1:]:
        address = part.partition('"')[0].replace("%C3%A4%20", "ä ")
        assert address.startswith("#") or (audited.workspace.folder / address).exists(), address


@pytest.mark.parametrize("text", ["train/green/3.png", "green/3.png", "3", "ä 9"])
def test_a_sample_is_explained_by_its_name(audited: Project, text: str) -> None:
    if text == "green/3.png":
        with pytest.raises(
            UserError, match=r"--explain green/3.png: no sample is called 'green/3.png'; names are such as"
        ):
            audited.explain(text)
        return
    why = audited.explain(text)
    assert why.png.exists() and why.as_json()["name"] == why.name and why.told()[0].startswith(why.name)
    expected = {"3": str(audited.labelled().names[3])}.get(text, text)
    assert expected in why.name


def test_folds_obey_lines_by_name_and_say_names(audited: Project) -> None:
    cleaning = audited.workspace.cleaning
    before = cleaning.read_text()
    try:
        cleaning.write_text("name,action,value\ntrain/red/8.png,drop,unscored\n")
        split = audited.folds(2)
        names = audited.labelled().names
        assert names[split.fold == -1].tolist() == ["train/red/8.png"]
        (table,) = (part for part in split.told() if isinstance(part, Table) and "validation pairs" in part.title)
        assert table.rows and all(name in names for row in table.rows for name in row[1:3])
    finally:
        cleaning.write_text(before)


def test_the_command_takes_a_name() -> None:
    made = parser("audit", "")
    add_options(made)
    options = made.parse_args(["competitions/mars", "--explain", "a/b.png"])

    class Asked:
        def explain(self, sample: str) -> str:
            return sample

    asked: Any = Asked()
    answer: Any = audit(asked, options)
    assert answer == "a/b.png"
