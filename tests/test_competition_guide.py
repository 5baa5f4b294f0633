"""The competition in docs/competition.md is what it says: under 60 lines, and enough for every step."""

import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import toolkit
from toolkit import Competition, UserError, load_competition
from toolkit.progress import Progress

pytestmark = pytest.mark.usefixtures("one_thread")
GUIDE = Path(__file__).parent.parent / "docs" / "competition.md"


@pytest.fixture
def leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Competition:
    """The guide's competition with 36 leaves, sick ones darker, and 6 to be told."""
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(code.splitlines()) < 60
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
    (folder / "__init__.py").write_text(code)
    monkeypatch.delitem(sys.modules, "competitions.leaves", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return load_competition(folder)


def test_the_guide_takes_pictures_and_a_table_to_a_submission(leaves: Competition, tmp_path: Path) -> None:
    made = toolkit.open(leaves.folder, workspace=tmp_path, submissions=tmp_path, progress=Progress())
    made.folds(2)
    cheap = ("model.pretrained=false", "model.input_scale=0.34", "schedule.epochs=1", "schedule.freeze=0")
    made.train(made.choose_recipe(None, cheap), stress="none")
    lines = made.submit().path.read_text().splitlines()
    assert lines[0] == "image,label" and [line.partition(",")[0] for line in lines[1:]] == [
        f"0{i}.png" for i in range(6)
    ]
    (tmp_path / "short.csv").write_text("\n".join(lines[:-1]))
    with pytest.raises(UserError, match="needs a line for each test image"):
        leaves.read_submission(tmp_path / "short.csv", np.zeros(6))


def test_without_practice_data_it_says_so(leaves: Competition, tmp_path: Path) -> None:
    made = toolkit.open(leaves.folder, workspace=tmp_path, practice=True, progress=Progress())
    with pytest.raises(UserError, match="draws no practice data; leave out --practice"):
        made.audit()
    assert not made.workspace.practice.exists()
