"""The competition in docs/competition.md is what it says: under 60 lines, and enough for every step."""

import re
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import toolkit
from toolkit import Competition, Prediction, UserError, load_competition, write_csv
from toolkit.answers import differences
from toolkit.data.data_folder import open_dataset
from toolkit.data.loading import load
from toolkit.data.placed import placed_prediction
from toolkit.images.places import Places
from toolkit.progress import Progress

pytestmark = pytest.mark.usefixtures("one_thread")
GUIDE = Path(__file__).parent.parent / "docs" / "competition.md"
CODE, *OTHERS = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)


@pytest.fixture
def leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Competition:
    """The guide's competition with 36 leaves, sick ones darker, and 6 to be told."""
    assert len(CODE.splitlines()) < 60
    folder = tmp_path / "competitions" / "leaves"
    rng = np.random.default_rng(0)
    for part, number in (("train", 36), ("test", 6)):
        (folder / "data" / part).mkdir(parents=True)
        for at in range(number):
            image = rng.integers(0, 100, (40, 50, 3)) + 100 * (at % 2)
            cv2.imwrite(str(folder / "data" / part / f"{at:02}.png"), image)
    lines = [f"{at:02}.png,{('healthy', 'sick')[at % 2]}" for at in range(36)]
    (folder / "data" / "train.csv").write_text("\n".join(["image,label", *lines]))
    (folder / "data" / "sample_submission.csv").write_text(
        "\n".join(["image,label", *(f"{at:02}.png,healthy" for at in range(6))])
    )
    (folder / "__init__.py").write_text(CODE)
    monkeypatch.delitem(sys.modules, "competitions.leaves", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return load_competition(folder)


def test_the_guide_takes_pictures_and_a_table_to_a_submission(leaves: Competition, tmp_path: Path) -> None:
    data = (leaves.folder / "data").rename(tmp_path / "elsewhere")
    made = toolkit.open(leaves.folder, data=data, workspace=tmp_path, submissions=tmp_path, progress=Progress())
    made.folds(2)
    cheap = ("model.pretrained=false", "model.input_scale=0.34", "schedule.epochs=1", "schedule.freeze=0")
    made.train(made.choose_recipe(None, cheap), stress="none")
    lines = made.submit().path.read_text().splitlines()
    assert lines[0] == "image,label" and [line.partition(",")[0] for line in lines[1:]] == [
        f"0{i}.png" for i in range(6)
    ]
    for number, said in ((5, "has 5 targets, there are 6 test images"), (6, "")):
        np.savez(tmp_path / "truth.npz", targets=np.arange(number) % 2)
        with pytest.raises(UserError, match=said) if said else nullcontext():
            assert 0 <= made.grade(truth=tmp_path / "truth.npz").score <= 1
    (tmp_path / "short.csv").write_text("\n".join(lines[:-1]))
    with pytest.raises(UserError, match=r"has no line for 05\.png; 1 of 6 are missing"):
        made.grade(tmp_path / "short.csv", tmp_path / "truth.npz")


def test_a_writer_that_cannot_write_is_found_out_before_training(leaves: Competition, tmp_path: Path) -> None:
    def of_other_files(prediction: Prediction, path: Path) -> None:
        write_csv(path, {"image": ["00.png"], "label": ["sick"] * len(prediction.labels)})

    places: dict[str, Any] = {"workspace": tmp_path, "submissions": tmp_path, "progress": Progress()}
    functions: dict[str, Any] = {
        "write_submission": of_other_files,
        "read_submission": lambda path, images, ids: np.zeros(5, np.uint8),
        "submission_suffix": ".csv",
    }
    made = toolkit.open(replace(leaves, **functions), **places)
    with pytest.raises(UserError, match=r"the 6 test images .* can't be written.*equally long.*image 1, label 6 rows"):
        made.audit()
    sample = (leaves.folder / "data" / "sample_submission.csv").read_text()
    functions["write_submission"] = lambda prediction, path: path.write_text(sample)
    made = toolkit.open(replace(leaves, **functions), **places)
    with pytest.raises(UserError, match=r"reads back with shape \(5,\), expected \(6,\); mend read_submission"):
        made.audit()
    assert not made.workspace.data.exists()


@pytest.mark.parametrize("example", ["a probability", "labels"])
def test_other_metrics_and_tasks_follow_their_sample(
    example: str, leaves: Competition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, data = CODE.index("competition = Competition("), leaves.folder / "data"
    if example == "labels":
        header, written = "image,scab,rust", [CODE[:start], OTHERS[0], CODE[start:].replace("Accuracy()", "METRIC")]
        lines = [f"{at:02}.png,p{at // 3},{at % 2},{'' if at % 5 == 0 else at % 3 // 2}" for at in range(36)]
        (data / "train.csv").write_text("\n".join(["image,plant,rust,scab", *lines]))
    else:
        header, written = "image,sick", [CODE.replace("Accuracy", "LogLoss")]
    rows = [f"0{5 - at}.png{',0.5' * header.count(',')}" for at in range(6)]
    (data / "sample_submission.csv").write_text("\n".join([header, *rows]))
    (leaves.folder / "__init__.py").write_text("\n".join(written))
    monkeypatch.delitem(sys.modules, "competitions.leaves", raising=False)
    made = toolkit.open(leaves.folder, workspace=tmp_path, progress=Progress())
    made.folds(2)
    labelled = made.labelled()
    stored = np.random.default_rng(0).dirichlet((1, 1), 6).astype(np.float16)
    prediction = labelled.competition.prediction(labelled.test_images, labelled.test_ids, stored)
    labelled.competition.write_submission(prediction, tmp_path / "s.csv")
    lines = (tmp_path / "s.csv").read_text().splitlines()
    assert lines[0] == header and [line[:6] for line in lines[1:]] == [row[:6] for row in rows]
    found = labelled.competition.read_submission(tmp_path / "s.csv", labelled.test_images, labelled.test_ids)
    assert found.dtype == np.float64 and np.allclose(found, prediction.answer, rtol=1e-12)
    assert len(np.unique(labelled.group)) == (12 if example == "labels" else 36)


def test_the_example_with_masks_of_several_sizes_reads_back(
    leaves: Competition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = CODE.index("competition = Competition(")
    (functions,) = re.findall("# (write_submission=.*), in the competition", OTHERS[1])
    end = CODE[start:].replace("metric=Accuracy()", f"metric=METRIC, {functions}").replace("LITE0", "UNET")
    (leaves.folder / "__init__.py").write_text("\n".join([CODE[:start], OTHERS[1], end]))
    (leaves.folder / "data" / "masks").mkdir()
    (leaves.folder / "data" / "sample_submission.csv").unlink()
    for at in range(36):
        size, file = (40, 50 + at % 2 * 30), f"{at:02}"
        cv2.imwrite(str(leaves.folder / "data" / "train" / f"{file}.png"), np.full((*size, 3), 7 * at, np.uint8))
        path = leaves.folder / "data" / "masks" / f"{file}_mask.png"
        cv2.imwrite(str(path), np.full(size, 255 * (at % 3 == 0), np.uint8))
    monkeypatch.delitem(sys.modules, "competitions.leaves", raising=False)
    made = load_competition(leaves.folder)
    project = toolkit.open(leaves.folder, workspace=tmp_path, submissions=tmp_path, progress=Progress())
    load(made, project.workspace, leaves.folder / "data")
    data = open_dataset(project.workspace.data)
    assert set(np.unique(data.targets[0])) == {1, 255} and data.sizes is not None
    assert data.sizes[:2].tolist() == [[40, 50], [40, 80]]
    assert tuple(made.build_model(made.recipes["unet"])(torch.zeros(2, 3, 96, 96)).shape) == (2, 2, 96, 96)
    assert data.test_ids is not None and data.test_places is not None and data.test_sizes is not None
    stored = np.random.default_rng(0).dirichlet((1, 1), (6, 96, 96)).transpose(0, 3, 1, 2).astype(np.float16)
    places = Places.of_stored(data.test_places, data.test_sizes)
    prediction = placed_prediction(made, data.test_images, data.test_ids, stored, places)
    made.write_submission(prediction, tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text().startswith("image,runs\n00,")
    found = made.read_submission(tmp_path / "s.csv", data.test_sizes, data.test_ids)
    assert found[5].shape == (40, 50) and not differences(found, prediction.labels, 0).any()


def test_without_practice_data_it_says_so(leaves: Competition, tmp_path: Path) -> None:
    made = toolkit.open(leaves.folder, workspace=tmp_path, practice=True, progress=Progress())
    with pytest.raises(UserError, match="draws no practice data; leave out --practice"):
        made.audit()
    assert not made.workspace.practice.exists()
