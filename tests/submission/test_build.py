"""From a blend to a registered file: checked against the blend, written down, and built again."""

import gzip
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny
from toolkit import Dialect, MacroF1
from toolkit.answers import Prediction, SandboxRun
from toolkit.blending.blend_folder import Blend
from toolkit.blending.view_choice import ViewChoice, write_choice
from toolkit.checked import keep
from toolkit.competition import Competition
from toolkit.data.rehearsal import written_by
from toolkit.errors import UserError
from toolkit.outcome import Table, Warned
from toolkit.rules import Rules
from toolkit.store import read_json, write_json
from toolkit.submission.build import blended_first, build, reproduce
from toolkit.submission.ledger import Ledger


@pytest.fixture
def blend(tmp_path: Path) -> Blend:
    return tiny.blend(tmp_path, "one", "two")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "submissions", "tiny-practice")


def of(competition: Competition, blend: Blend) -> Blend:
    """The blend as if it were of another competition."""
    return replace(blend, labelled=replace(blend.labelled, competition=competition))


def test_a_submission_is_built_checked_and_written_down(blend: Blend, ledger: Ledger, tmp_path: Path) -> None:
    made = build(blend, ledger, tmp_path)
    (line,) = ledger.lines
    assert line["submission"] == f"tiny-practice/{made.path.name}" and len(line["sha256"]) == 64
    assert line["blend"] == "one=0.5 two=0.5 --views none"
    assert (line["folds"], line["data"]) == (blend.labelled.folds_hash, blend.labelled.data_hash)
    assert (line["clean"], line["low"], line["high"], line["stress"]) == ("0.61", "0.58", "0.64", "")
    assert int(line["bytes"]) == made.path.stat().st_size
    assert (line["checked"], line["agreement"], line["ties"]) == ("18", "1.0", "0")
    folder = blend.labelled.competition.folder
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=False)
    assert line["commit"] == head.stdout.strip() and line["tree"] in ("clean", "changed", "")
    *_, table, passed, score = made.told()
    assert isinstance(table, Table) and table.rows[0][1:] == ["18 of 18 labels, 0 ties", "all"]
    assert table.rows[1][2] == "not published" and str(passed).endswith(" kB) passed its check")
    assert score == "CV score (accuracy): 0.6100 (0.5800 to 0.6400)"
    assert list(made.as_json()) == ["submission", "clean", "stress", "matched", "holdout", "ledger"]


def test_a_blend_of_other_folds_than_the_present_ones_is_built(blend: Blend, ledger: Ledger, tmp_path: Path) -> None:
    fold = np.arange(len(blend.labelled.fold)) % 7
    labelled = replace(blend.labelled, fold=fold, folds_hash="others")
    assert build(replace(blend, labelled=labelled), ledger, tmp_path).path.is_file()


def test_it_is_not_built_twice(blend: Blend, ledger: Ledger, tmp_path: Path) -> None:
    first = build(blend, ledger, tmp_path)
    written = first.path.stat().st_mtime_ns
    again = build(blend, ledger, tmp_path)
    assert again.path == first.path and again.path.stat().st_mtime_ns == written and len(ledger.lines) == 1
    assert again.told()[0] == f"{first.path}: already built and checked"


def test_a_file_that_was_touched_or_never_registered_is_built_again(
    blend: Blend, ledger: Ledger, tmp_path: Path
) -> None:
    path = build(blend, ledger, tmp_path).path
    whole = path.read_bytes()
    path.write_bytes(whole[:-2])
    build(blend, ledger, tmp_path)
    assert path.read_bytes() == whole
    ledger.path.unlink()  # as a kill between file and line would leave it
    build(blend, ledger, tmp_path)
    assert len(ledger.lines) == 1


def test_other_views_of_the_same_runs_are_another_submission(blend: Blend, ledger: Ledger, tmp_path: Path) -> None:
    first = build(blend, ledger, tmp_path).path
    names = {first}
    for weight in (0.5, 0.75):
        write_choice(blend.views_path, ViewChoice(("identity", "horizontal"), (weight, 1 - weight), 0.6, 0.5))
        names.add(build(blend, ledger, tmp_path).path)
    assert len(names) == 3
    np.save(blend.test_path, np.load(blend.test_path)[::-1])  # as it is through other views
    keep([blend.test_path])
    with pytest.raises(UserError, match=f"to reproduce {first.stem}, blend its runs first"):
        reproduce(blend, ledger, first.stem)


def spaced(prediction: Prediction, path: Path) -> None:
    path.write_text(" ".join(map(str, prediction.labels)))


@pytest.mark.parametrize(
    "changes",
    [
        {"write_submission": spaced},
        {"submission_suffix": ".csv"},
        {"dialect": Dialect(positive="green")},
        {"metric": MacroF1()},
        {"task": replace(tiny.TASK, classes=("red", "blue", "green"))},
    ],
)
def test_the_submission_of_an_edited_competition_is_another_one(
    changes: dict[str, Any], blend: Blend, ledger: Ledger, tmp_path: Path
) -> None:
    first = build(blend, ledger, tmp_path)
    edited = of(replace(tiny.competition, **changes), blend)
    again = build(edited, ledger, tmp_path)
    assert again.path.stem != first.path.stem and again.images == 18 and len(ledger.lines) == 2
    assert build(edited, ledger, tmp_path).images is None and build(blend, ledger, tmp_path).path == first.path


def test_what_a_submission_is_written_by_is_known_by_its_words(tmp_path: Path) -> None:
    separated = [replace(tiny.competition, write_submission=partial(print, sep=sign)) for sign in ",,;"]
    assert [written_by(one) == written_by(separated[0]) for one in separated] == [True, True, False]
    server, file = tmp_path / "server_model.py", replace(tiny.competition, folder=tmp_path)
    code = replace(file, try_submission=lambda path, images: pytest.fail("is not run"))
    known: list[tuple[str, str]] = []
    for text in ("VIEWS = 1", "VIEWS = 2"):
        server.write_text(text)
        known.append((written_by(code), written_by(file)))
        for beside in (tmp_path / "data" / "theirs.py", tmp_path / "README.md"):
            beside.parent.mkdir(exist_ok=True)
            beside.write_text(text)
        assert known[-1] == (written_by(code), written_by(file))
    assert known[0][0] != known[1][0] and known[0][1] == known[1][1]


def test_a_writer_that_changes_labels_is_caught_and_leaves_nothing(
    blend: Blend, ledger: Ledger, tmp_path: Path
) -> None:
    def write(prediction: Prediction, path: Path) -> None:
        labels = prediction.labels.copy()
        labels[3:5] = (labels[3:5] + 1) % 3
        tiny.write_submission(replace(prediction, labels=labels), path)

    with pytest.raises(UserError, match="differs from the blend in 2 of 18 labels"):
        build(of(replace(tiny.competition, write_submission=write), blend), ledger, tmp_path)
    assert not list((ledger.folder / "tiny-practice").iterdir())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"rules": Rules(submission_bytes=20, sources={"submission_bytes": "README.md, Rules"})},
            r"bytes, more than 20; blend fewer runs \(rule submission_bytes: README.md, Rules\)",
        ),
        ({"submission_suffix": ".csv"}, "the first line is '0', that of the sample submission .* is 'Id,Predicted'"),
        (
            {
                "submission_suffix": ".csv.gz",
                "write_submission": lambda made, path: np.savetxt(path, made.labels, "%d"),
                "read_submission": lambda path, images, ids: np.loadtxt(path, np.uint8),
            },
            "the first line is '0', that of the sample submission .* is 'Id,Predicted'",
        ),
    ],
)
def test_what_the_organisers_would_refuse_is_refused(
    changes: dict[str, Any], reason: str, blend: Blend, ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "sample_submission.csv").write_text("Id,Predicted\n0,0\n")
    with pytest.raises(UserError, match=reason):
        build(of(replace(tiny.competition, **changes), blend), ledger, tmp_path)


def test_that_no_sample_was_compared_and_what_is_strange_is_told(blend: Blend, ledger: Ledger, tmp_path: Path) -> None:
    one = np.zeros((18, 3), np.float16)
    one[:, 1] = 1
    np.save(blend.test_path, one)
    keep([blend.test_path])
    made = build(of(replace(tiny.competition, submission_suffix=".csv"), blend), ledger, tmp_path)
    said, doubt, *_ = made.told()
    assert str(said).startswith(f"no sample_submission.csv in {tmp_path}, or no CSV is handed in: ids not checked")
    assert doubt == Warned("every prediction is 'green'")


def test_a_run_on_other_data_is_refused(blend: Blend, ledger: Ledger, tmp_path: Path) -> None:
    other = replace(blend, labelled=replace(blend.labelled, data_hash="other"))
    with pytest.raises(UserError, match=r"run one was trained on other data \(.*\) than .* \(other\); .* \(rule ext"):
        build(other, ledger, tmp_path)


def test_the_ledger_holds_the_matched_score_where_there_is_one(blend: Blend, ledger: Ledger, tmp_path: Path) -> None:
    matched = {"score": 0.5, "low": 0.4, "high": 0.6}
    write_json(blend.metrics_path, blend.metrics | {"matched": matched})
    made = build(blend, ledger, tmp_path)
    assert [made.line[name] for name in ("matched", "matched_low", "matched_high")] == [0.5, 0.4, 0.6]
    assert made.as_json()["matched"] == matched and made.line["stress"] is None


def test_a_past_submission_is_built_again_and_proved_identical(blend: Blend, ledger: Ledger, tmp_path: Path) -> None:
    made = build(blend, ledger, tmp_path)
    assert reproduce(blend, ledger, made.path.stem).as_json() == {
        "id": made.path.stem,
        "sha256": made.line["sha256"],
        "identical": True,
    }
    np.save(blend.test_path, np.load(blend.test_path)[::-1])
    keep([blend.test_path])
    with pytest.raises(UserError, match=f"{made.path.stem} can't be reproduced: .* it was built at commit"):
        reproduce(blend, ledger, made.path.stem)
    manifest = read_json(blend.folder / "manifest.json")
    write_json(blend.folder / "manifest.json", manifest | {"inputs": {"runs": {}}})
    with pytest.raises(UserError, match=r"first: `compete ensemble … --runs one two --views none`"):
        reproduce(blend, ledger, made.path.stem)


def test_one_that_a_version_before_named_is_built_again_too(blend: Blend, ledger: Ledger, tmp_path: Path) -> None:
    made, name = build(blend, ledger, tmp_path), f"mean-{blend.hash[:8]}"
    ledger.path.write_text(ledger.path.read_text().replace(made.path.stem, name))
    assert made.path.stem != name and reproduce(blend, ledger, name).facts["identical"]
    edited = of(replace(tiny.competition, write_submission=spaced), blend)
    with pytest.raises(UserError, match=f"{name} can't be .* it would be mean-.* as the blend, or the code, form or"):
        reproduce(edited, ledger, name)
    described = read_json(blend.description_path)
    write_json(blend.description_path, described | {"runs": {"one": 1.0}})
    with pytest.raises(UserError, match=f"the blend is now mean-.*; to reproduce {name}, blend its runs first"):
        reproduce(blend, ledger, name)


def test_where_there_is_no_blend_it_says_what_to_run(blend: Blend, ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no blend in .*other yet; run `compete ensemble` first"):
        build(replace(blend, folder=blend.folder.with_name("other")), ledger, tmp_path)


def test_a_file_has_no_parameters_to_halve(blend: Blend, ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="half is for code submissions; tiny takes files"):
        build(blend, ledger, tmp_path, half=True)


@pytest.mark.parametrize("score", [0.61, 0.6099999])
def test_parameters_are_halved_only_where_the_score_stays_to_the_last_digit(
    score: float, blend: Blend, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def scored(blend: Blend, device: str, half: bool) -> float:
        asked.append(half)
        return score if half else 0.61

    def ran(path: Path, images: np.ndarray) -> SandboxRun:
        return SandboxRun(np.ones(len(images), np.uint8), 1.0, 0.5, 10**8, "network namespace")

    def predicted(competition: Competition, prediction: Prediction, device: str) -> Prediction:
        return replace(prediction, labels=np.ones(len(prediction.images), np.uint8))

    def write(prediction: Prediction, path: Path) -> None:
        path.write_text(f"parameters halved: {prediction.half}")

    monkeypatch.setattr("toolkit.submission.build.score_again", scored)
    monkeypatch.setattr("toolkit.submission.checks.predicted", predicted)
    blend = of(replace(tiny.competition, try_submission=ran, write_submission=write), blend)
    heard = tiny.Heard()
    made = build(blend, ledger, tmp_path, half=True, images=40, progress=heard)
    assert made.path.stem.endswith("-fp16") == (score == 0.61)
    assert ("parameters stay float32" in str(heard)) == (score != 0.61)
    table = next(part for part in made.told() if isinstance(part, Table))
    assert [row[0] for row in table.rows[2:]] == ["seconds for 40 images", "memory", "network"]
    assert build(blend, ledger, tmp_path, half=True).path == made.path
    assert len(asked) == (2 if score == 0.61 else 4)  # what is there already is not scored again
    assert reproduce(blend, ledger, made.path.stem).facts["identical"]


def test_code_is_run_again_where_another_number_of_images_is_asked_for(
    blend: Blend, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran_on: list[int] = []

    def ran(path: Path, images: np.ndarray) -> SandboxRun:
        ran_on.append(len(images))
        return SandboxRun(np.ones(len(images), np.uint8), 1.0, 0.5, 10**8, "network namespace")

    def predicted(competition: Competition, prediction: Prediction, device: str) -> Prediction:
        return replace(prediction, labels=np.ones(len(prediction.images), np.uint8))

    monkeypatch.setattr("toolkit.submission.checks.predicted", predicted)
    blend = of(replace(tiny.competition, try_submission=ran, write_submission=written), blend)
    paths = {build(blend, ledger, tmp_path, images=images).path for images in (40, None, 40, 20, 5000, 72)}
    assert ran_on == [40, 20, 72] and len(paths) == len(ledger.lines) == 1


def written(prediction: Prediction, path: Path) -> None:
    path.write_text("code")


def packed(prediction: Prediction, path: Path) -> None:
    path.write_bytes(gzip.compress("\n".join(map(str, prediction.labels)).encode(), mtime=0))


def unpacked(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return np.array(gzip.decompress(path.read_bytes()).decode().split(), np.uint8)


@pytest.fixture
def copied(tmp_path: Path) -> Blend:
    """Of a competition whose first five test images are training images, and may be looked at."""
    tiny.copy_to_test(tmp_path, 5)
    return of(tiny.looking, tiny.blend(tmp_path, "one"))


def test_known_answers_are_offered_and_given_only_when_asked_for(
    copied: Blend, ledger: Ledger, tmp_path: Path
) -> None:
    plain = build(copied, ledger, tmp_path)
    assert plain.told()[-1] == "5 test images are equal to training images: --known-answers gives their answers"
    given = build(copied, ledger, tmp_path, known=True)
    assert given.path.stem.endswith("-known") and given.path.stem.split("-")[1] != plain.path.stem.split("-")[1]
    before, after = (
        tiny.read_submission(made.path, copied.labelled.test_images, copied.labelled.test_ids)
        for made in (plain, given)
    )
    assert (after[:5] == copied.labelled.targets[:5]).all() and (after[5:] == before[5:]).all()
    assert (after != before).any()
    assert [line["known"] for line in ledger.lines] == ["", "5"]
    table = next(part for part in given.told() if isinstance(part, Table))
    assert table.rows[0][:2] == ["agrees with the blend and the known answers", "18 of 18 labels, 0 ties"]
    assert given.told()[-1] == "5 test images are given the answers of equal training images, not the blend's"
    again = build(copied, ledger, tmp_path, known=True)
    assert again.images is None and again.path == given.path and again.told()[-1] == given.told()[-1]
    for made in (plain, given):
        assert reproduce(copied, ledger, made.path.stem).facts["identical"]


def test_one_that_is_packed_is_built_again_by_an_id_without_suffixes(
    copied: Blend, ledger: Ledger, tmp_path: Path
) -> None:
    ways = {"write_submission": packed, "read_submission": unpacked, "submission_suffix": ".csv.gz"}
    blend = of(replace(tiny.looking, **ways), copied)  # type: ignore[arg-type]
    for known in (False, True):
        made = build(blend, ledger, tmp_path, known=known)
        name = made.path.name.removesuffix(".csv.gz")
        assert name.endswith("-known") == known and reproduce(blend, ledger, name).facts["id"] == name
        assert reproduce(blend, ledger, made.path.name).facts["identical"]


def test_without_its_blend_a_submission_names_the_runs_to_blend_first(
    copied: Blend, ledger: Ledger, tmp_path: Path
) -> None:
    name = build(copied, ledger, tmp_path).path.stem
    gone = replace(copied, folder=tmp_path / "gone")
    with pytest.raises(UserError, match=r"there is no blend; .*: `compete ensemble … --runs one --"):
        reproduce(gone, ledger, name)
    line = {**ledger.find(name), "blend": ""}
    assert "--runs" not in blended_first(line)


def test_other_known_answers_are_another_submission(copied: Blend, ledger: Ledger, tmp_path: Path) -> None:
    first = build(copied, ledger, tmp_path, known=True)
    fold = copied.labelled.fold.copy()
    fold[:4] = -1  # dropped since
    fewer = replace(copied, labelled=replace(copied.labelled, fold=fold))
    second = build(fewer, ledger, tmp_path, known=True)
    assert second.path != first.path and second.line["known"] == 1
    with pytest.raises(UserError, match=f"to reproduce {first.path.stem}, blend its runs first"):
        reproduce(fewer, ledger, first.path.stem)


def test_a_file_without_the_known_answers_fails_its_check(copied: Blend, ledger: Ledger, tmp_path: Path) -> None:
    written = []

    def write(prediction: Prediction, path: Path) -> None:
        written.append(prediction.labels)
        tiny.write_submission(replace(prediction, labels=written[0]), path)

    forgetful = of(replace(tiny.looking, write_submission=write), copied)
    build(forgetful, ledger, tmp_path)
    with pytest.raises(UserError, match=r"read back, the submission differs from the blend in [1-5] of 18 labels"):
        build(forgetful, ledger, tmp_path, known=True)


def test_code_gives_no_known_answers(copied: Blend, ledger: Ledger, tmp_path: Path) -> None:
    code = replace(tiny.looking, try_submission=lambda path, images: pytest.fail("is not run"))
    with pytest.raises(UserError, match="known_answers is for submissions of files; tiny takes code"):
        build(of(code, copied), ledger, tmp_path, known=True)


def test_where_no_answer_is_known_it_says_so(blend: Blend, ledger: Ledger, tmp_path: Path) -> None:
    looking = of(tiny.looking, blend)
    assert "--known-answers" not in str(build(looking, ledger, tmp_path).told())
    with pytest.raises(UserError, match="no test image is equal to a training image whose answer is sure"):
        build(looking, ledger, tmp_path, known=True)


def test_what_the_competition_never_takes_is_refused_before_anything_is_made_for_it(tmp_path: Path) -> None:
    project = tiny.project(tmp_path)
    with pytest.raises(UserError, match="half is for code submissions"):
        project.submit(half=True)
    with pytest.raises(UserError, match="may not be looked at"):
        project.submit(known_answers=True)
    assert not project.workspace.folder.exists()


def test_a_writer_sees_the_suffix_by_which_it_compresses(blend: Blend, ledger: Ledger, tmp_path: Path) -> None:
    seen = []

    def write(prediction: Prediction, path: Path) -> None:
        seen.append(path.name)
        tiny.write_submission(prediction, path)

    packed = replace(tiny.competition, write_submission=write, submission_suffix=".csv.gz")
    made = build(of(packed, blend), ledger, tmp_path)
    assert seen == [made.path.name] and [made.path] == list(made.path.parent.glob("[!.]*"))


def nothing(prediction: Prediction, path: Path) -> None:
    """Forgets to write."""


def failing(prediction: Prediction, path: Path) -> None:
    raise KeyError("level")


@pytest.mark.parametrize(("write", "said"), [(nothing, "wrote no file"), (failing, "fails: .*KeyError: 'level'")])
def test_a_writer_that_fails_is_named(write: Any, said: str, blend: Blend, ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"tiny's write_submission {said}"):
        build(of(replace(tiny.competition, write_submission=write), blend), ledger, tmp_path)
