"""The competition in docs/competition.md is what it says: under 60 lines, and enough for every step."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from toolkit import Competition, UserError, Workspace, audit, console, ensemble, folds, load_competition, submit
from toolkit import train as training

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


def run(verb: Callable[..., Any], add: Callable[..., None], of: Competition, root: Path, *more: str) -> Any:
    made = console.parser("train", "", overrides=True)
    add(made)
    shared = [str(of.folder), "--workspace", str(root / "workspace"), "--submissions", str(root / "submissions")]
    return verb(of, Workspace(root / "workspace", of.name), made.parse_intermixed_args([*shared, *more]))


def test_the_guide_takes_pictures_and_a_table_to_a_submission(leaves: Competition, tmp_path: Path) -> None:
    run(audit.audit, audit.add_options, leaves, tmp_path)
    run(folds.folds, folds.add_options, leaves, tmp_path, "--folds", "2")
    cheap = ("model.pretrained=false", "model.input_scale=0.34", "schedule.epochs=1", "schedule.freeze=0")
    run(training.train_verb, training.add_options, leaves, tmp_path, "--stress", "none", *cheap)
    run(ensemble.ensemble, ensemble.add_options, leaves, tmp_path)
    result = run(submit.submit_verb, submit.add_options, leaves, tmp_path)
    lines = Path(result["submission"]).read_text().splitlines()
    assert lines[0] == "image,label" and [line.partition(",")[0] for line in lines[1:]] == [
        f"0{i}.png" for i in range(6)
    ]
    (tmp_path / "short.csv").write_text("\n".join(lines[:-1]))
    with pytest.raises(UserError, match="needs a line for each test image"):
        leaves.read_submission(tmp_path / "short.csv", np.zeros(6))


def test_without_practice_data_it_says_so(leaves: Competition, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="draws no practice data; leave out --practice"):
        run(audit.audit, audit.add_options, leaves, tmp_path, "--practice")
    assert not Workspace(tmp_path / "workspace", leaves.name).practice.exists()
