"""A blend is made of the runs on the present data and folds, each of them once, and the submission follows it."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import tiny
from tests.blending.conftest import leave_match, made_runs
from tests.tiny import Heard, prepare, train
from toolkit.blending.blend import blend
from toolkit.blending.blend_folder import chosen_blend
from toolkit.blending.plots import draw
from toolkit.blending.view_choice import ViewChoice
from toolkit.checked import keep
from toolkit.disk import bytes_in
from toolkit.errors import UserError
from toolkit.networks.tta import predict_views
from toolkit.outcome import Table, Warned
from toolkit.probabilities import probabilities
from toolkit.project import Project
from toolkit.recipe import Chosen, override, to_dict
from toolkit.runs import Run, current_runs
from toolkit.scoring.corruption_suite import VERSION
from toolkit.scoring.matched_to_test import matched_score
from toolkit.scoring.out_of_fold import score
from toolkit.scoring.stress import keep_evidence
from toolkit.scoring.stress_sampling import Evidence, all_triples, score_triples
from toolkit.store import read_json, write_json, write_manifest

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")
QUICK = "schedule.epochs=1"
PLAIN = ("none",)
BOTH = ("identity", "horizontal")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return prepare(tmp_path, device="cpu")


def read(stored: np.ndarray | None) -> np.ndarray:
    assert stored is not None
    return probabilities(stored)


def chosen(monkeypatch: pytest.MonkeyPatch, choice: ViewChoice) -> None:
    monkeypatch.setattr("toolkit.blending.stored_views.choose_views", lambda *_: choice)


def test_the_blend_is_the_mean_and_its_score_that_of_the_mean(project: Project, tmp_path: Path) -> None:
    runs = [train(tmp_path), train(tmp_path, recipe="second")]
    made = project.ensemble(views=PLAIN, blender="mean")
    assert np.allclose(read(made.oof), np.mean([read(run.oof) for run in runs], axis=0), atol=1e-3)
    assert np.allclose(read(made.test), np.mean([read(run.test) for run in runs], axis=0), atol=1e-3)
    assert made.metrics["clean"] == score(project.labelled(), made.oof)
    assert made.shares == {run.name: 0.5 for run in runs}
    stress = made.metrics["stress"]
    assert stress["low"] <= stress["score"] <= stress["high"]
    assert stress["triples"] == min(run.metrics["stress"]["triples"] for run in runs)


def test_a_blend_that_the_disk_cannot_hold_is_not_begun(project: Project, tmp_path: Path) -> None:
    train(tmp_path, QUICK, stress="none")
    most = bytes_in(project.workspace.folder) + 1
    with pytest.raises(UserError, match=r"a blend of 1 run, through 2 views takes .* --max-disk is"):
        prepare(tmp_path, device="cpu", max_disk=most).ensemble(views=BOTH)
    assert not project.workspace.ensemble.exists()


def test_runs_are_averaged_over_views_each_fold_over_those_that_the_others_chose(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, cpu = train(tmp_path), torch.device("cpu")
    by_fold = ({"identity": 1.0}, {"identity": 0.5, "horizontal": 0.5}, {"horizontal": 1.0})
    choice = ViewChoice(BOTH, (0.75, 0.25), 0.6, 0.5, by_fold)
    chosen(monkeypatch, choice)
    made, labelled = project.ensemble(), project.labelled()
    networks = run.networks(cpu)
    for k, views in enumerate(by_fold):
        rows, weights = labelled.rows(k), list(views.values())
        images = labelled.images[rows]
        expected = predict_views(networks[k], images, range(3), cpu, "float32", list(views), weights)
        assert np.allclose(read(made.oof)[rows], expected, atol=2e-3)
    seen = [predict_views(n, labelled.test_images, range(3), cpu, "float32", BOTH, [3, 1]) for n in networks]
    assert np.allclose(read(made.test), np.mean(seen, axis=0), atol=2e-3)
    assert made.views == choice
    assert made.metrics["stress"]["score"] == run.metrics["stress"]["score"], "runs keep nothing through views"
    assert made.metrics["stress"]["without"] == ["views"]
    assert "the blend's stress score is that without its views, as runs keep it" in made.told()
    # where views don't gain, the images are taken as they are
    chosen(monkeypatch, replace(choice, crossfitted=0.5))
    (made.folder / "manifest.json").unlink()
    made = project.ensemble()
    assert made.views is None and np.allclose(read(made.oof), read(run.oof), atol=1e-3)


def test_a_blend_is_made_once_and_anew_of_other_runs_each_of_which_counts_once(tmp_path: Path) -> None:
    project = made_runs(tmp_path, {"a": 2, "b": 2})
    made = project.ensemble(["a"], views=PLAIN)
    before, written, (a, b) = made.as_json(), made.oof_path.stat().st_mtime_ns, (made.run(name) for name in "ab")
    assert project.ensemble(["a"], views=PLAIN).as_json() == before and made.oof_path.stat().st_mtime_ns == written
    both = project.ensemble([a, "a", "b"], views=PLAIN)
    assert both.shares == {"a": 0.5, "b": 0.5} and project.ensemble(views=PLAIN) == both
    assert np.allclose(read(both.test), (read(a.test) + read(b.test)) / 2, atol=1e-3)
    assert project.ensemble(["a"], views=PLAIN).as_json() == before


def test_a_blend_of_an_older_version_is_blended_again(tmp_path: Path) -> None:
    project = made_runs(tmp_path, {"a": 2, "b": 2})
    made = project.ensemble(views=PLAIN)
    described = made.described
    write_json(made.description_path, {name: value for name, value in described.items() if name != "seed_groups"})
    keep([made.description_path])
    assert made.is_older and project.ensemble(views=PLAIN).described == described and not made.is_older


def test_runs_on_other_folds_and_unfinished_ones_are_not_blended(project: Project, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run on the present data and folds; train one first"):
        blend(project.labelled())
    with pytest.raises(UserError, match="no finished run 'best' on the present data and folds; it has none"):
        project.ensemble(["best"])
    old = train(tmp_path, QUICK)
    other = prepare(tmp_path, seed=1)
    other.train_fold("second", 0)
    new, heard = train(tmp_path, QUICK, seed=1), Heard()
    made = blend(other.labelled(), views=PLAIN, progress=heard)
    assert made.manifest and made.manifest["runs"] == {new.name: new.manifest}
    assert made.manifest["views"] == ["identity"] and made.manifest["metric"] == "accuracy"
    assert heard.lines[0].startswith("1 run is on other data or folds than the present ones")
    with pytest.raises(UserError, match=rf"no finished run '{re.escape(old.name)}' on .* {re.escape(new.name)}"):
        other.ensemble([old])


EQUAL = dict.fromkeys("abcd", 2.0)


def test_the_plain_mean_is_chosen_also_where_a_kill_came_before_it_was(tmp_path: Path) -> None:
    project = made_runs(tmp_path, EQUAL)
    chosen = project.ensemble(views=PLAIN, blender="mean").folder.parent / "chosen.json"
    content = chosen.read_text()
    chosen.unlink()
    project.ensemble(views=PLAIN, blender="mean")
    assert chosen.read_text() == content


def test_a_blend_that_gains_is_chosen_drawn_and_the_submission_follows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.blending.blend.draw", draw)
    project = made_runs(tmp_path, EQUAL, biased=True)
    made = project.ensemble(views=PLAIN)
    metrics, (mean, *_) = made.metrics, made.metrics["blenders"]
    assert mean["name"] == "mean" and made.score > mean["score"] + 0.02
    assert chosen_blend(project.labelled()) == made
    assert metrics["optimism"] == pytest.approx(metrics["naive"] - made.score, abs=2e-3)
    assert metrics["gain"] > 0 and metrics["gain_is_real"] > 0.95
    submission = project.submit()
    assert submission.path.name.startswith(f"{made.name}-") and submission.scores["clean"] == metrics["clean"]
    assert np.array(submission.path.read_text().split(), int).tolist() == read(made.test).argmax(1).tolist()
    pictures = {path.name for path in made.folder.glob("*.png")}
    assert pictures == {"weights.png", "correlation.png", "gain.png", "repairs.png"}


def test_where_code_is_handed_in_only_what_the_server_can_do_is_chosen(tmp_path: Path) -> None:
    labelled = made_runs(tmp_path, EQUAL, biased=True).labelled()
    code = replace(tiny.competition, try_submission=lambda path, images: None)  # type: ignore[arg-type,return-value]
    made = blend(replace(labelled, competition=code), views=PLAIN)
    described = made.described
    out = [one for one in made.metrics["blenders"] if not one["eligible"]]
    assert [one["name"] for one in out] == ["calibrated", "ranks"]
    assert all(one["score"] > 0.3 and not one["within"] for one in out)
    assert made.name.endswith("biases") and described["linear"]
    assert sum(made.shares.values()) == pytest.approx(1) and described["biases"][0] < min(described["biases"][1:])
    # what is stored is each fold as its own blend, fitted without it, predicts it
    for k, part in enumerate(described["folds"]):
        assert part["method"] not in ("calibrated", "ranks")
        rows = labelled.rows(k)
        mean = sum(share * read(made.run(run).oof)[rows] for run, share in part["runs"].items())
        mean = mean * np.exp(part["biases"] or np.zeros(3))
        assert np.allclose(read(made.oof)[rows], mean / mean.sum(1, keepdims=True), atol=2e-3)


def test_what_is_asked_for_is_another_blend_and_a_poor_one_is_doubted_where_it_is_handed_in(tmp_path: Path) -> None:
    project = made_runs(tmp_path, {"a": 3.0} | dict.fromkeys("bcde", -1.0))
    chosen, heard = project.ensemble(views=PLAIN), Heard()
    assert chosen.name == "single" and chosen.doubt is None and chosen.metrics["gain_is_real"] >= 0.05
    project.progress = heard
    project.submit()
    assert not heard.lines
    asked = project.ensemble(views=PLAIN, blender="mean")
    written = asked.oof_path.stat().st_mtime_ns
    assert asked.name == "mean" and asked.metrics["gain_is_real"] < 0.05 and asked.score < chosen.score
    assert (
        "cross-fitted, as was asked for; in sample" in str(asked.told()) and Warned(str(asked.doubt)) in asked.told()
    )
    assert "asked for" in str(asked.told()) and "'chosen'" not in str(asked.told())
    again = project.ensemble(views=PLAIN, blender="mean")
    assert again.hash == asked.hash and again.oof_path.stat().st_mtime_ns == written
    submission = project.submit()
    assert "above 0 with probability 0.0" in heard.lines[-1] and "leave out `--blender mean`" in heard.lines[-1]
    assert "--blender=mean --views none" in str(submission.line["blend"])
    assert project.ensemble(views=PLAIN).name == "single"
    with pytest.raises(UserError, match="there is no blender 'best' for labels; there are mean, single, best-1"):
        project.ensemble(blender="best")


def test_limits_are_kept_and_another_limit_is_another_blend(tmp_path: Path) -> None:
    project = made_runs(tmp_path, EQUAL)
    project.device = "cpu"

    def used(**limits: float) -> set[str]:
        made = project.ensemble(views=PLAIN, **limits)  # type: ignore[arg-type]
        return {name for name, share in made.shares.items() if share}

    assert len(used()) > 2 and 0 < len(used(max_models=2)) <= 2
    size = {"a": 3000, "b": 6000, "c": 9000, "d": 12000}
    assert sum(size[name] for name in used(max_bytes=12000)) <= 12000
    with pytest.raises(UserError, match="no run fits --max-bytes even alone"):
        used(max_bytes=10)
    for name in size:
        run = Run(project.workspace.train / name, project.labelled())
        write_json(run.cost_path, {"cpu float32": 0.001 if name in "bc" else 1.0})
    assert used(max_seconds=3.0, test_images=1000) <= {"b", "c"}
    assert "--max-seconds=3.0 --test-images=1000" in str(project.submit().line["blend"])


def test_the_time_of_a_run_is_measured_once_and_kept(project: Project, tmp_path: Path) -> None:
    run = train(tmp_path, QUICK)
    assert project.ensemble(views=PLAIN, max_seconds=60).shares == {run.name: 1}
    cost = read_json(run.cost_path)
    assert 0 < cost["cpu float32"] < 0.1
    project.ensemble(views=PLAIN, max_seconds=61)
    assert read_json(run.cost_path) == cost


def test_views_count_in_the_time_and_are_left_out_where_no_run_has_it(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_fold = ({"identity": 0.5, "horizontal": 0.5},) * 3
    chosen(monkeypatch, ViewChoice(BOTH, (0.5, 0.5), 0.6, 0.5, by_fold))
    for seed, seconds in ((1, 0.001), (2, 0.003)):
        write_json(train(tmp_path, QUICK, seed=seed).cost_path, {"cpu float32": seconds})
    for limit, runs, views in ((20, 2, True), (5, 1, True), (1.5, 1, False)):
        made = project.ensemble(max_seconds=limit, test_images=1000)
        assert (len(made.shares), made.views is not None) == (runs, views)


def test_a_blend_gets_the_score_that_its_runs_got_later_and_says_how(project: Project, tmp_path: Path) -> None:
    run = train(tmp_path, QUICK, stress="none")
    blend = project.ensemble(views=PLAIN, blender="mean")
    assert blend.metrics["stress"] is None and "stress" not in str(blend.told()), "nobody asked for it"
    train(tmp_path, QUICK, recipe="second")
    blend = project.ensemble(views=PLAIN, blender="mean")
    before = blend.metrics
    missing = "the blend has no stress score, as not all runs of its cross-fitting have one"
    missing += f": `train --recipe {run.recipe_path}`"
    assert before["stress"] is None and any(str(told).startswith(missing) for told in blend.told())
    train(tmp_path, recipe=str(run.recipe_path))
    after = project.ensemble(views=PLAIN, blender="mean").metrics
    assert after["stress"]["score"] > 0 and after["clean"] == before["clean"]


def test_test_images_are_predicted_for_runs_that_have_a_share_alone(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, heard = [train(tmp_path, QUICK), train(tmp_path, QUICK, recipe="second")], Heard()
    project.progress = heard
    before = {run.name: run.test_path.read_bytes() for run in runs}
    chosen(monkeypatch, ViewChoice(BOTH, (0.75, 0.25), 0.6, 0.5, ({"identity": 0.75, "horizontal": 0.25},) * 3))
    for views, made in ((PLAIN, ["test.npy"]), (BOTH, ["test.npy", "views/horizontal/test.npy"])):
        for run in runs:
            run.test_path.unlink(missing_ok=True)
        blend = project.ensemble(views=views, blender="single")
        (used,) = (run for run in runs if blend.shares[run.name])
        (other,) = (run for run in runs if run != used)
        assert sorted(str(path.relative_to(used.folder)) for path in used.folder.rglob("test.npy")) == made
        assert not [*other.folder.rglob("test.npy")] and used.test_path.read_bytes() == before[used.name]
        assert heard.lines.count(f"predicting 18 test images with {used.name}") == len(made)
    assert project.submit().path.exists()


def test_what_runs_predict_under_corruptions_is_blended_as_it_is_handed_in(tmp_path: Path) -> None:
    project = made_runs(tmp_path, EQUAL, biased=True)
    labelled = project.labelled()
    triples = all_triples(labelled)[:2000]
    rows = triples[:, 0]
    match = leave_match(labelled, np.ones(50))
    for run in current_runs(labelled):  # as if no corruption did anything
        run.stress_folder.mkdir()
        np.save(run.stress_folder / "triples.npy", triples)
        np.save(run.stress_folder / "probabilities.npy", run.oof[rows])
        write_manifest(run.stress_folder, {"version": VERSION})
    for blender in ("mean-biases", "ranks", "calibrated"):
        made = project.ensemble(views=PLAIN, blender=blender)
        plain = score_triples(labelled, Evidence(triples, made.oof[rows]), len(all_triples(labelled)))
        assert made.metrics["stress"] == plain and "without" not in plain
        assert made.metrics["matched"] == matched_score(labelled, match, made.oof[:50])


def test_a_blend_is_made_anew_and_chosen_by_corrupted_images_too_once_all_runs_kept_these(tmp_path: Path) -> None:
    project = made_runs(tmp_path, {"a": 2, "b": 2})
    labelled = project.labelled()
    triples = all_triples(labelled)[:300]
    assert "chosen_by" not in (project.ensemble(views=PLAIN).manifest or {})
    for run in current_runs(labelled):
        keep_evidence(run, Evidence(triples, np.asarray(run.oof)[triples[:, 0]]))
    made = project.ensemble(views=PLAIN)
    assert made.manifest and made.manifest["chosen_by"] == {"corrupted": 300}
    mean, *_ = made.metrics["blenders"]
    values = np.mean([probabilities(run.oof) for run in current_runs(labelled)], axis=0)[triples[:, 0]]
    expected = labelled.competition.tally(labelled.truth[triples[:, 0]], values).score()
    assert mean["name"] == "mean" and mean["worn"] == pytest.approx(expected)
    table = next(told for told in made.told() if isinstance(told, Table) and "blending" in told.title)
    assert table.columns[1:3] == ["cross-fitted", "corrupted"]
    assert project.ensemble(views=PLAIN).manifest == made.manifest
    assert "chosen_by" not in (project.ensemble(views=PLAIN, blender="mean").manifest or {})
    current_runs(labelled)[0].stress_folder.rename(tmp_path / "elsewhere")
    assert "chosen_by" not in (project.ensemble(views=PLAIN).manifest or {}), "where one run has none"


def test_runs_that_were_held_back_from_corruptions_are_blended_only_by_name(tmp_path: Path) -> None:
    project, heard = made_runs(tmp_path, EQUAL), Heard()
    recipe = project.labelled().workspace.train / "c" / "recipe.json"
    write_json(recipe, to_dict(override(tiny.FIRST, ["augment.leave_out=blur,noise"])))
    project.progress = heard
    assert set(project.ensemble(views=PLAIN).shares) == {"a", "b", "d"}
    (said,) = heard.lines
    assert said.startswith("1 run is not blended unless --runs")
    assert set(project.ensemble(["a", "c"], views=PLAIN).shares) == {"a", "c"}
    left_out = (
        "2 other runs on these folds take no part: if scores had a say in that, the blend's score knows nothing of it"
    )
    assert heard.lines[1:] == [left_out]


def test_the_table_of_a_blend_has_among_how_many_trials_its_runs_were_chosen(tmp_path: Path) -> None:
    project = made_runs(tmp_path, {"a": 2, "b": 2})
    (plain, *_) = project.ensemble(views=PLAIN).told()
    assert isinstance(plain, Table) and plain.columns[-1] != "chosen among"
    assert all(len(cell) <= len("0.1234 to 0.5678") for row in plain.rows for cell in row[1:]), "fits in 80 columns"
    (run,) = (run for run in project.runs() if run.name == "a")
    run.store_recipe(replace(run.recipe, chosen=Chosen("study", 60, "clean")))
    (table, *_) = project.ensemble(views=PLAIN).told()
    assert isinstance(table, Table) and table.columns[-1] == "chosen among"
    assert [row[-1] for row in table.rows] == ["60 trials", "-", "-"]
