"""A competition without writer and reader follows the sample that lay beside its files when these were read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests import tiny
from tests.formats.cases import CASES
from toolkit.answers import differences, misfit
from toolkit.competition import Competition, by_sample
from toolkit.data.data_folder import open_dataset
from toolkit.data.loading import load
from toolkit.data.masks import Masks
from toolkit.data.sample_submission import followed, following
from toolkit.errors import UserError
from toolkit.progress import Progress
from toolkit.store import Workspace
from toolkit.submission.build import build
from toolkit.submission.ledger import Ledger

SHORT = replace(tiny.competition, write_submission=by_sample, read_submission=by_sample, submission_suffix="")
IDS = np.arange(18)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    tiny.practice(tmp_path, 0, 72)
    rows = [f"{at},green" for at in IDS[::-1]]
    (tmp_path / "raw" / "sampleSubmission.csv").write_text("\n".join(["Id,Category", *rows]))
    return tmp_path / "raw"


class Heard(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_it_is_recognised_said_kept_and_followed_after_the_files_are_gone(raw: Path, tmp_path: Path) -> None:
    workspace, heard = Workspace(tmp_path / "w", "tiny"), Heard()
    assert followed(SHORT, workspace) is SHORT
    load(SHORT, workspace, raw, heard)
    assert heard.said[-1] == (
        "the submission follows from sampleSubmission.csv: one row per image of `Id`, one class in Category"
    )
    (raw / "sampleSubmission.csv").unlink()
    made = followed(SHORT, workspace)
    assert made.submission_suffix == ".csv" and made.form is not None and not made.follows_sample
    stored = np.eye(3)[IDS % 3]
    prediction = made.prediction(open_dataset(workspace.data).test_images, IDS, stored)
    made.write_submission(prediction, tmp_path / "s.csv")
    table = pd.read_csv(tmp_path / "s.csv")
    assert table["Id"].tolist() == IDS[::-1].tolist() and table["Category"][0] == "blue"
    assert (made.read_submission(tmp_path / "s.csv", prediction.images, IDS) == prediction.labels).all()


def test_what_is_wrong_with_the_sample_ends_the_loading_and_leaves_nothing(raw: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w", "tiny")
    (raw / "sampleSubmission.csv").write_text("Id,Category\n0,mauve\n")
    with pytest.raises(UserError, match=r"of the test images '1', '2' and 15 more it has no row"):
        load(SHORT, workspace, raw)
    (raw / "sampleSubmission.csv").unlink()
    with pytest.raises(UserError, match=r"has no sample submission \(a CSV .*give it write_submission and read_sub"):
        load(SHORT, workspace, raw)
    assert not workspace.data.exists() and not workspace.sample.exists()


def test_it_is_read_again_where_the_dialect_is_another(raw: Path, tmp_path: Path) -> None:
    from toolkit.formats.dialect import Dialect

    workspace, words = Workspace(tmp_path / "w", "tiny"), {"green": "red", "red": "green"}
    load(SHORT, workspace, raw)
    load(replace(SHORT, dialect=Dialect(columns=words)), workspace, raw)
    form = followed(SHORT, workspace).form
    assert form is not None and form.words == (("green", "red", "blue"),)
    workspace.sample.unlink()
    load(SHORT, workspace, raw)
    assert workspace.sample.exists()


def test_a_submission_is_built_as_the_sample_has_it(raw: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w", "tiny")
    load(SHORT, workspace, raw)
    blend = tiny.blend(tmp_path, "one", "two")
    packed = replace(SHORT, submission_suffix=".csv.gz")
    for competition, suffix in ((SHORT, ".csv"), (packed, ".csv.gz")):
        labelled = replace(blend.labelled, competition=followed(competition, workspace))
        made = build(replace(blend, labelled=labelled), Ledger(tmp_path / "submissions", "tiny"), raw)
        assert made.path.name.endswith(suffix) and not any("compared" in str(one) for one in made.remarks)
        assert pd.read_csv(made.path)["Id"].tolist() == IDS[::-1].tolist()


def test_a_sample_that_was_exchanged_since_is_not_handed_in_for(raw: Path, tmp_path: Path) -> None:
    workspace, sample = Workspace(tmp_path / "w", "tiny"), raw / "sampleSubmission.csv"
    load(SHORT, workspace, raw)
    blend, ledger = tiny.blend(tmp_path, "one", "two"), Ledger(tmp_path / "submissions", "tiny")
    blend = replace(blend, labelled=replace(blend.labelled, competition=followed(SHORT, workspace)))
    sample.write_text("\n".join(["Id,Class", *(f"{at},1" for at in IDS)]))
    with pytest.raises(UserError, match=r"Submission\.csv is another sample .*; remove sample\.json"):
        build(blend, ledger, raw)
    workspace.sample.unlink()
    load(SHORT, workspace, raw)
    labelled = replace(blend.labelled, competition=followed(SHORT, workspace))
    assert pd.read_csv(build(replace(blend, labelled=labelled), ledger, raw).path).columns.tolist() == ["Id", "Class"]


@pytest.mark.usefixtures("one_thread", "undrawn")
def test_every_command_follows_it_with_practice_data(tmp_path: Path) -> None:
    def practice(folder: Path, seed: int, size: int) -> None:
        tiny.practice(folder, seed, size)
        lines = "".join(f"{at}.png,0\n" for at in IDS[::-1])
        (folder / "raw" / "sample_submission.csv").write_text(f"Id,Category\n{lines}")

    short = replace(SHORT, practice=practice)
    made = tiny.project(tmp_path, short)
    made.folds(2)
    made.train("first", stress="none", schedule__epochs=1)
    submitted = made.submit()
    assert pd.read_csv(submitted.path)["Id"].tolist() == [f"{at}.png" for at in IDS[::-1]]
    assert made.grade().samples == 18 and made.reproduce(submitted.path.stem).as_json()["identical"]


def test_masks_at_their_own_sizes_are_read_back_as_such(tmp_path: Path) -> None:
    case, sizes, rng = CASES["a row a mask"], np.array([(3, 7), (9, 2)]), np.random.default_rng(0)
    masks = [rng.integers(0, 4, shape, dtype=np.uint8) for shape in sizes]
    made = following(case.competition(tmp_path), case.form(tmp_path))
    answer: Any = Masks(2, masks.__getitem__, sizes)
    prediction = replace(case.prediction(case.stored()), labels=answer, answered=answer)
    made.write_submission(prediction, tmp_path / "s.csv")
    found = made.read_submission(tmp_path / "s.csv", prediction.read_with, prediction.ids)
    assert isinstance(found, Masks) and not misfit(found, answer)
    assert not differences(found, answer, 0).any() and (found[1] == masks[1]).all()


def test_before_the_files_are_read_it_says_that_it_follows_them() -> None:
    with pytest.raises(UserError, match="follows from the sample submission, which `audit` reads"):
        SHORT.read_submission(Path("s.csv"), IDS, IDS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"read_submission": by_sample}, "write_submission is given and read_submission isn't: give both, or neither"),
        (
            {"write_submission": by_sample},
            "read_submission is given and write_submission isn't: give both",
        ),
        ({"submission_suffix": ""}, "submission_suffix (is missing|says what)"),
        (
            {"write_submission": by_sample, "read_submission": by_sample, "try_submission": lambda path, images: None},
            "a code submission follows from no sample",
        ),
    ],
)
def test_half_of_it_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(tiny.competition, **changes)
    assert isinstance(SHORT, Competition)
