"""Trees on a table and on what runs predict: out of fold, of every kind of output, and a run to all that follows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import kinds, tiny
from tests.small import FOLDER
from toolkit import RocAuc, UserError
from toolkit.answers import values_of
from toolkit.competition import load_competition
from toolkit.data.labelled import Labelled
from toolkit.data.loading import load as load_raw
from toolkit.data.tables import columns_of, table_arrays
from toolkit.runs import Boosted, Run, all_runs, current_runs
from toolkit.store import write_manifest
from toolkit.task import Classification
from toolkit.training import boosting
from toolkit.training.boosting import boost

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")
NUMBER = 240
FOLD = np.arange(NUMBER) % 3


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boosting, "ROUNDS", 30)


def with_table(kind: str, root: Path, targets: np.ndarray | None = None, seed: int = 0) -> Labelled:
    """NUMBER samples in three folds, beside whose images the table has each target once more, blurred, and a field."""
    data, rng = kinds.drawn(kind, NUMBER), np.random.default_rng(seed)
    truth = data.targets if targets is None else targets
    first = np.asarray(data.targets, float).reshape(NUMBER, -1)[:, 0]
    table = pd.DataFrame({"blurred": first + rng.normal(0, np.nanstd(first), NUMBER)})
    table["field"] = rng.choice(["hill", "wood"], NUMBER)
    of = replace(kinds.competition(kind), metric=RocAuc()) if kind == "classes" else kinds.competition(kind)
    made = table_arrays(table)
    found = tiny.labelled(truth, FOLD, of=of, root=root)
    return replace(found, table=made["table"], columns=columns_of(made["columns"]))


def leave_source(labelled: Labelled, name: str = "first-1") -> Run:
    """A run that knows as much as the table does, from another blur."""
    run, rng = Run(labelled.workspace.train / name, labelled), np.random.default_rng(7)
    right = values_of(labelled.competition.task, labelled.truth)
    right = np.where(np.isnan(right), np.nanmean(right, 0), right)
    said = right + rng.normal(0, right.std(), right.shape)
    if labelled.competition.task.outputs[0].kind != "numbers":
        said = (said + 1).clip(0, 3) / 3
    kind = np.float32 if labelled.competition.task.outputs[0].kind == "numbers" else np.float16
    tiny.leave_run(run, kinds.RECIPE, said.astype(np.float32), kind)
    return run


@pytest.mark.parametrize("kind", ["classes", "identities", "labels", "numbers", "shares", "grades", "heads"])
def test_every_kind_of_output_is_predicted_as_networks_do(kind: str, tmp_path: Path) -> None:
    labelled = with_table(kind, tmp_path)
    leave_source(labelled)
    run, task = boost(labelled), labelled.competition.task
    values = np.asarray(run.oof, np.float32)
    assert values.shape == (NUMBER, task.channels) and np.isfinite(values).all() and (values != values[0]).any(0).all()
    for output, span in zip(task.outputs, task.spans, strict=True):
        if output.kind == "classes":
            assert np.allclose(values[:, span].sum(1), 1, atol=2e-3)
        if output.kind == "grades":
            assert (np.diff(values[:, span], axis=1) <= 0).all()
        if output.kind != "numbers" or kind == "shares":
            assert values.min() >= 0 and values.max() <= (100 if kind == "shares" else 1)
    assert run.metrics["stress"] is None and run.metrics["matched"] is None and run.test is None
    wanted = values_of(task, labelled.truth)
    known = ~np.isnan(wanted)
    off = {
        name: np.abs(said - wanted)[known].mean()
        for name, said in (("trees", values), ("mean", np.nanmean(wanted, 0)))
    }
    assert off["trees"] < 0.9 * off["mean"]


def test_trees_on_both_are_better_than_the_run_alone(tmp_path: Path) -> None:
    labelled = with_table("classes", tmp_path)
    source = leave_source(labelled)
    assert boost(labelled).score > source.score + 0.02


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_trees_grow_on_few_samples_too(kind: str, tmp_path: Path) -> None:
    labelled = with_table(kind, tmp_path)
    labelled = replace(labelled, trained=np.arange(NUMBER) < 75)  # 50 in each training: two leaves of 20 in no half
    leave_source(labelled)
    values = np.asarray(boost(labelled).oof, np.float32)[:, -1]
    wanted = values_of(labelled.competition.task, labelled.truth)[:, -1]
    known = ~np.isnan(wanted)
    assert np.corrcoef(values[known], wanted[known])[0, 1] > 0.3


def test_no_target_of_a_fold_has_a_say_in_what_is_predicted_of_it(tmp_path: Path) -> None:
    labelled = with_table("classes", tmp_path / "one")
    leave_source(labelled)
    turned = np.where(FOLD == 1, 1 - labelled.truth, labelled.truth)
    other = replace(
        labelled, truth=turned, targets=turned, workspace=replace(labelled.workspace, root=tmp_path / "other")
    )
    tiny.leave_run(
        Run(other.workspace.train / "first-1", other), kinds.RECIPE, np.asarray(leave_source(labelled).oof, np.float32)
    )
    one, two = boost(labelled).oof, boost(other).oof
    assert np.array_equal(one[FOLD == 1], two[FOLD == 1]) and not np.array_equal(one[FOLD == 0], two[FOLD == 0])


def test_a_class_that_a_fold_lacks_gets_nothing_and_many_classes_are_looked_at_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled = with_table("grades", tmp_path / "grades")
    task = Classification(("a", "b", "c", "d"), kinds.SHAPE)
    truth = np.where((labelled.truth == 3) & (FOLD != 0), 0, labelled.truth)
    of = replace(labelled.competition, task=task)
    labelled = replace(labelled, competition=of, truth=truth, targets=truth)
    leave_source(labelled)
    monkeypatch.setattr(boosting, "CHANNELS", 2)
    values = np.asarray(boost(labelled).oof, np.float32)
    assert (values[FOLD == 0, 3] == 0).all() and np.allclose(values.sum(1), 1, atol=2e-3)
    monkeypatch.setattr(boosting, "MOST", 3)
    with pytest.raises(UserError, match="4 outputs are too many for boosted trees, which can predict 3"):
        boost(labelled)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    labelled = with_table("classes", tmp_path)
    with pytest.raises(UserError, match="no trained run on the present data and folds; train one first"):
        boost(labelled)
    leave_source(labelled)
    with pytest.raises(UserError, match="no trained run 'else' on the present data and folds; it has first-1"):
        boost(labelled, ["else"])
    with pytest.raises(UserError, match="has no table beside its images"):
        boost(replace(labelled, table=None, columns=()))


def test_it_is_fitted_once_and_no_run_any_more_when_its_source_is_another(tmp_path: Path) -> None:
    labelled = with_table("classes", tmp_path)
    source, heard = leave_source(labelled), tiny.Heard()
    run = boost(labelled)
    made = run.oof_path.stat().st_mtime_ns
    again = boost(labelled, ["first-1"], progress=heard)
    assert (
        again == run and again.oof_path.stat().st_mtime_ns == made and heard.lines == [f"{run.name}: already fitted"]
    )
    assert [type(each) for each in current_runs(labelled)] == [Boosted, Run] and run.sources == [source]
    assert run.recipe.name == "boosted" and run.as_json()["recipe"] == "boosted" and run.told()
    assert boost(labelled, seed=1) != run
    manifest = source.manifest
    assert manifest is not None
    write_manifest(source.folder, manifest | {"complete": False})
    assert current_runs(labelled) == [source] and len(all_runs(labelled)) == 3


def test_two_folds_have_no_third_to_choose_on(tmp_path: Path) -> None:
    labelled = replace(with_table("numbers", tmp_path), fold=np.arange(NUMBER) % 2)
    leave_source(labelled)
    assert np.isfinite(boost(labelled).oof).all()


def test_a_boosted_run_is_blended_scored_held_out_and_handed_in_as_any(tmp_path: Path) -> None:
    berries = load_competition(FOLDER / "berries")
    project = tiny.project(tmp_path, berries)
    load_raw(berries, project.workspace, project.raw)
    project.folds(3, holdout=0.2)
    image = project.train("first", table__width=0, schedule__epochs=12)
    both = project.train("first", schedule__epochs=12, stress="none")
    boosted = project.boost([image])
    assert isinstance(boosted, Boosted)
    assert both.score > image.score + 0.05 and boosted.score > image.score + 0.05
    # what the trees see of corrupted images is what the run said of these
    stress = boosted.metrics["stress"]
    assert (
        stress["triples"] == image.metrics["stress"]["triples"] and stress["score"] > image.metrics["stress"]["score"]
    )
    blend = project.ensemble([image, boosted], views=["identity", "horizontal"])
    assert boosted.name in blend.shares and blend.metrics["stress"] is not None
    alone = project.ensemble([boosted], views=["identity", "horizontal"])
    assert np.allclose(np.asarray(alone.oof, np.float32), np.asarray(boosted.oof, np.float32), atol=2e-3)
    submission = project.submit()
    assert submission.scores["holdout"]["score"] > 0.7
    assert project.grade(submission.path).score > 0.7
    assert "boosted" in project.report().path.read_text(encoding="utf-8")
    assert next(run.name for run in project.runs()) in (both.name, boosted.name)
