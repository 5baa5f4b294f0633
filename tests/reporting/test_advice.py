"""What is advised follows from numbers of the data, is legal, and its commands do what they say."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny
from tests.tiny import labelled, leave_run, prepare
from toolkit import Competition, Project, Recipe, Run
from toolkit.competition import choose_recipe
from toolkit.data.labelled import Labelled
from toolkit.data.rehearsal import network, once
from toolkit.recipe import override
from toolkit.reporting.advice import (
    MOST,
    Known,
    advise_next,
    few_seeds,
    longer,
    of_practice,
    unblended,
    unfinished,
    unscored,
    unsearched,
    unseen_suggestions,
    untried_recipes,
    weak_class,
)
from toolkit.reporting.commands import compete, train_command
from toolkit.reporting.weaknesses import still_rising, weakest_class, weakest_family
from toolkit.scoring.corruption_families import FAMILIES, CorruptedScores, FamilyScore, corrupted_scores
from toolkit.scoring.corruption_suite import SUITE
from toolkit.scoring.stress import read_evidence
from toolkit.store import write_json, write_manifest
from toolkit.submission.ledger import COLUMNS, Ledger

FOLDS = np.arange(72) % 3
TRUTH = np.arange(72) % 3


def run_of(
    made: Labelled, *fields: str, name: str = "", right: float = 0.9, epochs: int = 3, of: Recipe = tiny.FIRST
) -> Run:
    """A hand-made run: the classes are right in so many of its samples, of the last one in a tenth."""
    recipe = override(of, fields)
    run = Run(made.workspace.train / (name or f"{recipe.name}-{recipe.hash}"), made)
    truth, classes = made.truth, made.competition.task.channels
    rng = np.random.default_rng(recipe.seed)
    said = np.where(rng.random(len(truth)) < np.where(truth == classes - 1, 0.1, right), truth, (truth + 1) % classes)
    leave_run(run, recipe, np.eye(classes, dtype=np.float32)[said])
    for fold in run.folds:
        leave_history(fold.history_path, [0.5] * epochs)
    return run


def leave_history(path: Path, scores: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, [{"loss": 1.0, "score": score, "lr": 1e-3, "seconds": 2.0} for score in scores])


def known(*runs: Run) -> Known:
    labelled = runs[0].labelled
    root = labelled.workspace.root
    return Known(labelled, Ledger(root / "submissions", labelled.workspace.name), runs)


def data(root: Path, **more: Any) -> Labelled:
    return labelled(TRUTH, FOLDS, root=root, **more)


def recipe_in(command: str, competition: Competition = tiny.competition) -> Recipe:
    """What `train` would train, called so."""
    _, verb, _, *words = shlex.split(command)
    named = words[words.index("--recipe") + 1] if "--recipe" in words else None
    assert verb == "train"
    return choose_recipe(competition, named, [word for word in words if "=" in word])


def test_a_run_that_was_cut_short_is_finished_by_its_own_command(tmp_path: Path) -> None:
    run = run_of(data(tmp_path), "schedule.epochs=9")
    assert unfinished(known(run)) is None
    write_manifest(run.folder, (run.manifest or {}) | {"complete": False})
    leave_history(run.fold(0).history_path, [0.5])
    step = unfinished(known(run))
    assert step is not None
    assert step.text.startswith(
        f"{run.name} was cut short by the budget: its folds have 1 to 3 epochs of 9; finish it"
    )
    assert step.text.endswith("about 40 s.")  # 8 + 6 + 6 epochs of 2 s
    assert recipe_in(step.command).hash == run.recipe.hash


def test_a_recipe_that_is_not_the_competitions_is_named_by_its_file(tmp_path: Path) -> None:
    made = data(tmp_path)
    other = run_of(made, of=replace(tiny.FIRST, name="first-t7", batch_size=4))
    assert str(other.recipe_path) in train_command(other)
    assert recipe_in(train_command(other, "sampling=0.5")) == replace(other.recipe, sampling=0.5)
    own = run_of(made, "optimizer.lr=0.0012345678", "model.pretrained=true")
    command = train_command(own, "seed=2")
    assert "--recipe" not in command and recipe_in(command) == replace(own.recipe, seed=2)
    assert shlex.split(command)[:3] == ["compete", "train", "tests/tiny"]
    assert f" --workspace {tmp_path} " in command


def test_a_competition_that_is_found_by_its_name_is_called_by_it(mars: Competition) -> None:
    made = labelled(np.zeros((3, 64, 128), np.uint8), np.arange(3), of=mars, root=Path("workspace"))
    assert compete(made, "search", "--budget", "1h") == "compete search mars --budget 1h"


def test_the_weakest_class_is_drawn_more_often_where_it_is_rare(tmp_path: Path) -> None:
    truth = np.where(np.arange(72) < 8, 2, np.arange(72) % 2)
    made = labelled(truth, FOLDS, root=tmp_path)
    step = weak_class(known(run_of(made)))
    assert step is not None
    assert step.text.startswith("Blue ") and "% of it predicted as red, and it is 11% of the images" in step.text
    assert "draw it more often" in step.text and recipe_in(step.command).sampling == 0.5
    assert step.text.endswith("(about 18 s)."), "as long as the run: 3 folds of 3 epochs of 2 s"
    on = run_of(made, "sampling=0.5", "loss.names=focal")
    assert weakest_class(on) is None, "all that helps is on"


def test_a_weak_class_that_is_common_is_weighed_and_one_within_chance_left_alone(tmp_path: Path) -> None:
    run = run_of(data(tmp_path))
    found = weakest_class(run)
    assert found is not None and found.fields == ("loss.names=focal",)
    metrics = run.metrics
    metrics["clean"]["by_class_interval"]["blue"] = [0.0, 0.99]
    write_json(run.metrics_path, metrics)
    assert weakest_class(run) is None


def test_pixels_are_pasted_for_masks_alone(mars: Competition, tmp_path: Path) -> None:
    truth = np.ones((24, 64, 128), np.uint8)
    truth[:, :32], truth[:, :2, :2] = 2, 4  # bedrock, and rocks that are never found
    truth[:, 40:50] = 3
    made = labelled(truth, np.arange(24) % 3, of=mars, root=tmp_path)
    said = np.where(truth == 4, 2, truth)
    run = Run(made.workspace.train / "run", made)
    recipe = mars.recipes["small_unet"]
    leave_run(run, recipe, np.eye(5, dtype=np.float32)[said].transpose(0, 3, 1, 2))
    found = weakest_class(run)
    assert found is not None and found.text.startswith("big rock is never found: IoU 0.000 (0.000 to 0.")
    assert "100% of it predicted as bedrock, and it is 0.05% of the pixels: draw it more often" in found.text
    assert found.fields == ("sampling=0.5", "augment.copy_paste=0.4")
    found = weakest_class(run_with(run, "sampling=0.6", "augment.copy_paste=0.5"))
    assert found is not None and found.fields == ("loss.names=focal,dice",)


def run_with(run: Run, *fields: str) -> Run:
    write_json(run.recipe_path, _stored(override(run.recipe, fields)))
    return Run(run.folder, run.labelled)


def _stored(recipe: Recipe) -> dict[str, Any]:
    from toolkit.recipe import to_dict

    return to_dict(recipe)


def test_families_are_those_of_the_suite() -> None:
    assert {one.name: one.family for one in SUITE} == FAMILIES


def scores_of(*families: tuple[str, float, float, float]) -> CorruptedScores:
    return CorruptedScores(tuple(FamilyScore(*one, 90) for one in families), {})


def test_a_family_is_called_the_weakest_only_where_its_interval_is_below_all_others(tmp_path: Path) -> None:
    run = run_of(data(tmp_path))
    clear = scores_of(("blur", 0.2, 0.15, 0.25), ("noise", 0.4, 0.35, 0.45), ("light", 0.5, 0.45, 0.55))
    found = weakest_family(run, clear)
    assert found is not None and found.fields == ("augment.degrade=0.5",)
    assert found.text.startswith("Blur costs most: 0.200 (0.150 to 0.250) under it, ")
    blurred = scores_of(("blur", 0.2, 0.1, 0.4), ("noise", 0.3, 0.2, 0.45), ("light", 0.4, 0.3, 0.5))
    assert blurred.weakest == () and weakest_family(run, blurred) is None
    two = scores_of(("blur", 0.2, 0.1, 0.3), ("noise", 0.25, 0.2, 0.3), ("light", 0.5, 0.4, 0.6))
    assert [one.name for one in two.weakest] == ["blur", "noise"]
    assert weakest_family(run_with(run, "augment.degrade=0.2"), clear) is None, "it is trained on already"


def test_a_curve_that_rises_in_the_last_epochs_of_all_folds_wants_more(tmp_path: Path) -> None:
    run = run_of(data(tmp_path), "schedule.epochs=6")
    rising = [0.3, 0.4, 0.5, 0.55, 0.6, 0.65]
    for at, fold in enumerate(run.folds):
        leave_history(fold.history_path, [score + 0.01 * at for score in rising])
    step = longer(known(run))
    assert step is not None and "score still rises at the end, by 0.100 from epoch 4 to 6, in all 3 folds" in step.text
    assert step.text.endswith("(about 72 s).") and recipe_in(step.command).schedule.epochs == 12
    leave_history(run.fold(2).history_path, [*rising[:5], 0.5])
    assert still_rising(run) is None, "not in one fold"
    for fold in run.folds:
        leave_history(fold.history_path, [None, None, 0.3, None, None, 0.5])
    found = still_rising(run)
    assert found is not None and "by 0.200 from epoch 3 to 6" in found.text, "looked at now and then"
    for fold in run.folds:
        leave_history(fold.history_path, [None] * 5 + [0.6])
    assert still_rising(run) is None, "nothing is known of its course"
    for fold in run.folds:
        losses = [0.9, 0.7, 0.6, 0.5, 0.45, 0.4]
        history = [epoch | {"validation_loss": loss} for epoch, loss in zip(fold.history, losses, strict=True)]
        write_json(fold.history_path, history)
    found = still_rising(run)
    assert found is not None and "validation loss still falls at the end, by 0.100 from epoch 4" in found.text


def test_runs_are_blended_and_new_ones_too(tmp_path: Path) -> None:
    made = data(tmp_path)
    runs = [run_of(made, f"seed={seed}", name=f"r{seed}") for seed in range(3)]
    assert unblended(known(runs[0])) is None
    step = unblended(known(*runs))
    assert step is not None and step.text.startswith("3 runs are not blended yet") and " ensemble " in step.command
    write_manifest(made.workspace.ensemble / "mean", {"runs": {"r0": {}, "r1": {}}})
    step = unblended(known(*runs))
    assert step is not None and step.text.startswith("1 run is not in the blend, such as r2")
    assert unblended(known(*runs[:2])) is None


def test_a_submission_wants_its_score(tmp_path: Path) -> None:
    run = run_of(data(tmp_path))
    one = known(run)
    assert unscored(one) is None, "nothing to hand in"
    write_manifest(run.labelled.workspace.ensemble / "mean", {"runs": {run.name: {}}})
    step = unscored(known(run))
    assert step is not None and " submit " in step.command
    line = dict.fromkeys(COLUMNS, "") | {"competition": "tiny", "submission": "tiny/mean-1.txt", "sha256": "a"}
    one.ledger.append(line)
    step = unscored(known(run))
    assert step is not None and step.text.startswith("No leaderboard score of mean-1 is recorded; a forecast needs 3")
    assert step.command.startswith("compete submit tests/tiny ") and step.command.endswith(" --score 0.xx")
    one.ledger.update("mean-1", {"public": 0.5})
    assert unscored(known(run)) is None


def test_practice_points_to_the_real_data(tmp_path: Path) -> None:
    assert of_practice(known(run_of(data(tmp_path)))) is None
    run = run_of(prepare(tmp_path).labelled())
    step = of_practice(known(run))
    assert step is not None and step.text.endswith("of the real ones (FOLDER: with the organisers' files).")
    assert step.command.endswith(" --data FOLDER --budget 30m")
    assert "--practice" not in shlex.split(step.command) and "--practice" in train_command(run)


def test_suggestions_of_the_audit_wait_for_a_person(tmp_path: Path) -> None:
    run = run_of(data(tmp_path))
    assert unseen_suggestions(known(run)) is None
    lines = ["index,action,value,reason,confidence", "3,relabel?,red,doubtful label,0.7", "5,drop?,,unlike,0.9"]
    run.labelled.workspace.cleaning.write_text("\n".join([*lines, "7,drop,,unlike,0.99"]))
    step = unseen_suggestions(known(run))
    assert step is not None and step.text.startswith("2 suggestions of the audit wait for review, 5, 3 first")
    assert "--accept 5 3" in step.command


def test_recipes_that_no_run_has_are_named_if_they_are_allowed(mars: Competition, tmp_path: Path) -> None:
    made = data(tmp_path)
    run = run_of(made)
    step = untried_recipes(known(run))
    assert step is not None and step.text == "1 of 2 recipes was never trained: second."
    assert recipe_in(step.command) == tiny.competition.recipes["second"]
    other = run_of(made, of=replace(tiny.competition.recipes["second"], name="second-t3"))
    assert untried_recipes(known(run, other)) is None
    wanting = replace(tiny.FIRST, name="third", model=replace(tiny.FIRST.model, name="large", pretrained=True))
    both = replace(tiny.competition, recipes={"third": wanting, **tiny.competition.recipes})
    runs = known(run_of(data(tmp_path / "weights", of=both)))
    step = untried_recipes(runs)
    assert step is not None and step.text.endswith("trained: second, third.") and "--recipe second" in step.command
    runs = known(*runs.runs, run_of(runs.labelled, of=replace(both.recipes["second"], name="second-t3")))
    step = untried_recipes(runs)
    assert step is not None and "third begins with pretrained weights that weren't used here yet" in step.text
    once(runs.labelled.workspace, network(wanting), "key", lambda: None)
    step = untried_recipes(runs)
    assert step is not None and step.text == "1 of 3 recipes was never trained: third.", "it could be built here"
    forbidden = replace(tiny.FIRST, name="third", model=replace(tiny.FIRST.model, pretrained=True))
    rules = replace(tiny.competition.rules, pretrained=False)
    strict = replace(tiny.competition, rules=rules, recipes={"first": tiny.FIRST, "third": forbidden})
    assert untried_recipes(known(run_of(data(tmp_path / "strict", of=strict)))) is None


def test_a_search_and_further_seeds_are_for_the_end(tmp_path: Path) -> None:
    made = data(tmp_path)
    runs = [run_of(made, f"seed={seed}") for seed in range(3)]
    step = unsearched(known(*runs))
    assert step is not None and " search " in step.command
    write_json(made.workspace.search_summary, {"study": "tiny"})
    assert unsearched(known(*runs)) is None and few_seeds(known(*runs)) is None
    step = few_seeds(known(runs[0]))
    assert step is not None and "trained with 1 seed;" in step.text and recipe_in(step.command).seed == 1


def test_no_more_than_a_few_steps_come_in_their_order(tmp_path: Path) -> None:
    project: Project = prepare(tmp_path)
    made = project.labelled()
    (step,) = advise_next(made, project.ledger)
    assert step.text.startswith("Nothing is trained") and " run " in step.command and "--practice" in step.command
    run = run_of(made)
    write_manifest(run.folder, (run.manifest or {}) | {"complete": False})
    steps = advise_next(made, project.ledger)
    assert len(steps) <= MOST and "cut short" in steps[0].text and "synthetic practice data" in steps[1].text


def test_what_is_advised_is_known_without_torch() -> None:
    import subprocess
    import sys

    code = "import sys, toolkit.reporting.advice; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.usefixtures("one_thread")
def test_scores_of_families_are_those_of_their_corrupted_images(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = tiny.train(tmp_path, "schedule.epochs=1")
    found, evidence = corrupted_scores(run), read_evidence(run)
    assert found is not None and evidence is not None
    rows, kinds, _ = evidence.triples.T
    right = np.asarray(evidence.probabilities).argmax(1) == run.labelled.truth[rows]
    assert sum(one.images for one in found.families) == len(rows) == sum(map(sum, found.images.values()))
    for one in found.families:
        of_family = [SUITE[kind].family == one.name for kind in kinds]
        assert one.low <= one.score <= one.high and one.score == pytest.approx(right[of_family].mean())
