"""Samples that are sets of images through every step, from the audit to the file that is handed in."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

import toolkit
from tests import bags
from tests.conftest import ROOT
from tests.tiny import FIRST as TINY
from tests.tiny import Heard
from tests.tiny import prepare as tiny_prepare
from toolkit import Dataset, ImageFiles, Npz, OverlappingMasks, Project, Samples, UserError
from toolkit.data.data_folder import open_dataset
from toolkit.data.dataset import check_dataset
from toolkit.data.image_sets import ImageSets
from toolkit.data.loading import load
from toolkit.networks.pooling import KINDS
from toolkit.recipe import Recipe, Sets, check_fits, from_dict, override, to_dict
from toolkit.training import saving
from toolkit.training.batches import Batches
from toolkit.training.cross_validation import prepare
from toolkit.training.fold import fit_fold

QUICK = ("schedule.epochs=1",)
COPIED = (0, 5)  # sets of which an image lies in the next set too


def row_of(path: Path, row: int, least: int, of: str = "images") -> np.ndarray:
    return Npz(path)[of][row]


def load_files(folder: Path) -> Samples:
    """As `bags.load`, but that the images aren't read."""
    made = bags.load(folder)
    images, tests = (
        ImageFiles([folder / name] * len(sets), np.arange(len(sets)), row_of)
        for name, sets in (("data.npz", np.asarray(made.sets)), ("test.npz", np.asarray(made.test_sets)))
    )
    return Samples(
        images,
        made.targets,
        sets=made.sets,
        names=made.names,
        test_images=tests,
        test_sets=made.test_sets,
        test_ids=made.test_ids,
    )


def project(root: Path, of: object = bags.competition, **more: object) -> Project:
    how = {"workspace": root, "submissions": root / "submissions", "progress": Heard(), "workers": 1, **more}
    return Project(replace(of, practice_size=36), practice=True, **how)  # type: ignore[type-var, arg-type]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Audited, in folds and trained, each way of pooling once."""
    made = project(tmp_path_factory.mktemp("bags"))
    made.audit()
    made.folds(3)
    made.train(made.choose_recipe(None, QUICK))
    early = ("sets.pool=features", "sets.together=2", "sets.same_augment=true", "augment.mixup=0.5", *QUICK)
    made.train(made.choose_recipe(None, (*early, "augment.colour=0.3", "schedule.average=swa")), stress="none")
    return made


def test_every_step_takes_sets_and_hands_in_a_row_a_set(made: Project) -> None:
    runs = made.runs()
    assert [run.metrics["pooled"] for run in runs if run.recipe.sets.pool == "features"] == [["features"] * 3]
    late = next(run for run in runs if run.recipe.sets.pool == "auto")
    assert set(late.metrics["pooled"]) <= {"mean", "max"} and late.oof.shape == (36, 2)
    for fold, kind in zip(late.folds, late.metrics["pooled"], strict=True):
        assert KINDS[int(load_file(fold.weights)["pooling.kind"])] == kind
        assert not list(fold.folder.glob("*_max_*")), "what was tried is removed"
    assert late.metrics["stress"]["triples"] > 0 and late.metrics["matched"] is not None
    made.ensemble(views=["horizontal", "rot90"])
    submission = made.submit()
    table = pd.read_csv(submission.path)
    assert table["id"].tolist() == [f"patient {row}" for row in range(10)]
    assert made.report().path.exists() and made.explain("p3").png.exists()


def test_the_test_values_are_those_of_each_folds_own_way(made: Project) -> None:
    run = next(run for run in made.runs() if run.recipe.sets.pool == "auto")
    from toolkit.networks.devices import resolve_device
    from toolkit.networks.predict import predict

    cpu = resolve_device("cpu")
    values = [predict(network, run.test_images, (0, 1), cpu, "float32") for network in run.networks(cpu)]
    np.testing.assert_allclose(np.asarray(run.test), np.mean(values, 0), atol=1e-3)


def test_images_in_files_kept_or_not_train_to_the_bits_of_arrays(tmp_path: Path) -> None:
    found = []
    in_files = replace(bags.competition, load=load_files)
    ways = {"arrays": (bags.competition, {}), "files": (in_files, {}), "live": (in_files, {"cache": False})}
    for name, (of, more) in ways.items():
        one = project(tmp_path / name, of, **more)
        load(one.competition, one.workspace, one.raw)
        one.folds(2)
        run = one.train(one.choose_recipe(None, QUICK), stress="none")
        found.append((np.array(run.oof), np.array(run.test)))
        assert isinstance(one.labelled().images, ImageSets)
    for oof, test in found[1:]:
        np.testing.assert_array_equal(oof, found[0][0])
        np.testing.assert_array_equal(test, found[0][1])


def test_late_steps_see_one_image_of_a_set_and_early_ones_several(tmp_path: Path) -> None:
    bags.practice(tmp_path, 0, 24)
    data = bags.load(tmp_path / "raw")
    assert data.sets is not None
    images = np.arange(1, len(data.sets) + 1, dtype=np.uint8)[:, None, None, None]
    made = replace(data, images=ImageSets(np.broadcast_to(images, data.images.shape), data.sets))  # type: ignore[arg-type]
    seen: dict[int, set[int]] = {}
    for epoch in range(12):
        batches = _batches(made, ())
        for step in range(batches.steps):
            found, _ = batches[epoch, step]
            assert found.shape == (4, 1, 12, 12)
            for image, row in zip(found[:, 0, 0, 0].int().tolist(), batches.chosen(epoch, step), strict=True):
                assert data.sets[image - 1] == row
                seen.setdefault(int(row), set()).add(image)
    assert np.mean([len(seen[row]) / (data.sets == row).sum() for row in seen]) > 0.8, "another in each epoch"
    batches = _batches(made, ("sets.pool=features", "sets.together=3"))
    found, targets = batches[0, 0]
    assert found.shape == (4, 3, 12, 12) and len(targets) == 4
    for three, row in zip(found[:, :, 0, 0].int().tolist(), batches.chosen(0, 0), strict=True):
        assert all(data.sets[image - 1] == row for image in three)
        assert len(set(three)) == min(3, (data.sets == row).sum())


def _batches(data: Dataset, assignments: tuple[str, ...]) -> Batches:
    import torch

    recipe = override(replace(bags.FIRST, batch_size=4), ("augment.flip=none", *assignments))
    return Batches(data, np.arange(24), recipe, 0, torch.device("cpu"), (0, 1), rgb=())


@pytest.mark.parametrize("alike", [False, True])
def test_images_of_a_set_are_augmented_each_by_itself_or_alike(alike: bool) -> None:
    import torch

    from toolkit.training.batches import augmented_sets

    word = f"sets.same_augment={str(alike).lower()}"
    recipe = override(bags.FIRST, ("sets.pool=features", word, "augment.colour=1", "augment.rotate=90"))
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (1, 1, 12, 12)).astype(np.uint8))
    found = augmented_sets(recipe, image.repeat(6, 1, 1, 1), 2, 5, (), 0)
    assert found.shape == (2, 3, 12, 12)
    assert torch.equal(found[:, 0], found[:, 1]) == torch.equal(found[:, 1], found[:, 2]) == alike
    assert not torch.equal(found[0], found[1])


def test_mean_or_maximum_of_a_fold_is_chosen_by_the_others(made: Project) -> None:
    labelled = made.labelled()
    run, jobs = prepare(labelled, made.choose_recipe(None, ("seed=5",)))
    right = {
        "last": (1, 1, 0),
        "last_max": (0, 0, 1),
    }  # share of the rows; on the other folds: mean, mean, max is worse
    result = fit_fold(replace(jobs[0], recipe=override(jobs[0].recipe, QUICK)))
    assert set(result.pooled) == {"last_max"}
    for job in jobs:
        truth = labelled.truth[job.valid_rows]
        endings = []
        for kind in right:
            said = np.where(right[kind][job.fold], truth, 1 - truth)
            source = result.main if kind == "last" else result.pooled[kind]
            endings.append(replace(source, probabilities=np.eye(2, dtype=np.float32)[said]))
        saving.store_fold(job, replace(result, main=endings[0], pooled={"last_max": endings[1]}))
    assert saving.choose_averages(run) == []
    assert saving.pooling(run) == ["mean", "mean", "mean"]
    kinds = [saving.POOLED[0] if kind == "max" else "last" for kind in saving.pooling(run)]
    assert [fold.oof_path.read_bytes() for fold in run.folds] == [
        fold.variant(kind)[1].read_bytes() for fold, kind in zip(run.folds, kinds, strict=True)
    ]


def copied(folder: Path) -> Dataset:
    """As `bags.load`; two sets have an image of the set before, and the last training set is the first test set."""
    data = bags.load(folder)
    assert data.sets is not None
    assert data.test_sets is not None
    images = data.images.copy()
    rng = np.random.default_rng(0)
    images[:] = rng.integers(1, 255, (len(images), 6, 6, 1)).astype(np.uint8).repeat(2, 1).repeat(2, 2)
    for row in COPIED:
        images[np.flatnonzero(data.sets == row + 1)[0]] = images[np.flatnonzero(data.sets == row)[-1]]
    for row in (10, 20):
        images[np.flatnonzero(data.sets == row)[0]] = 200
    last = images[data.sets == 35][::-1]
    tests = np.concatenate([last, data.test_images[data.test_sets > 0]])
    test_sets = np.concatenate([np.zeros(len(last), np.int64), data.test_sets[data.test_sets > 0]])
    return replace(data, images=images, test_images=tests, test_sets=test_sets)


def test_copies_across_sets_link_these_and_whole_copies_have_a_known_answer(tmp_path: Path) -> None:
    one = project(tmp_path, replace(bags.competition, load=copied))
    audit = one.audit()
    group = audit.table["group"].to_numpy()
    assert len(audit.table) == 36 and (group[:4] == group[0]).sum() == 2 and group[5] == group[6]
    assert len(np.unique(group)) == 34, "within a set, and of single empty images, nothing follows"
    assert audit.known == 1 and audit.as_json()["test_images"] == 10
    lines = audit.proposal.query("action == 'group'")
    assert "of p1, an image is the same to the last bit" in lines["reason"].iloc[0]
    assert lines["name"].tolist() == ["p0", "p1", "p5", "p6"]
    split = one.folds(3)
    fold = split.table["fold"].to_numpy()
    assert fold[0] == fold[1] and fold[5] == fold[6]
    assert one.explain("p5").png.exists()


def test_recipes_say_what_they_ask_of_sets_and_are_refused_where_that_does_nothing(tmp_path: Path) -> None:
    assert "sets" not in to_dict(bags.FIRST), "the hashes of recipes stay"
    early = override(bags.FIRST, ("sets.pool=features", "sets.together=6"))
    assert from_dict(to_dict(early)) == early and early.sets == Sets("features", 6) and early.sets.drawn == 6
    assert bags.FIRST.sets.drawn == 1 and Sets("features").drawn == 4
    for assignments, said in (
        (("sets.together=3",), "sets.together is for sets.pool=features"),
        (("sets.same_augment=true",), "sets.same_augment is for sets.pool=features"),
    ):
        with pytest.raises(UserError, match=said):
            bags.competition.check(override(bags.FIRST, assignments))
    masks = OverlappingMasks(("a",), (8, 8, 1))
    with pytest.raises(UserError, match="samples that are sets of images have no masks"):
        check_fits(Recipe("x", TINY.model, sets=Sets("max")), masks)
    single = tiny_prepare(tmp_path)
    with pytest.raises(UserError, match=r"samples of tiny are single images; leave out sets"):
        single.train("first", sets__pool="max")
    bags.practice(tmp_path / "sets", 0, 8)
    data = bags.load(tmp_path / "sets" / "raw")
    with pytest.raises(UserError, match="samples that are sets of images can't have masks"):
        check_dataset(replace(data, targets=np.zeros((8, 8, 8), np.uint8)), masks, "here")


def test_code_that_is_handed_in_takes_no_sets(tmp_path: Path) -> None:
    from toolkit import Accuracy

    of = replace(bags.competition, metric=Accuracy(), try_submission=lambda path, images: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(UserError, match="samples are sets of images, and a code submission is given single ones"):
        project(tmp_path, of).audit()


def test_the_guides_load_reads_scans_of_patients(tmp_path: Path) -> None:
    code = re.search(r"## Sets.*?```python\n(.*?)```", (ROOT / "docs" / "data.md").read_text(), re.DOTALL)
    assert code is not None
    rng = np.random.default_rng(0)
    folder = tmp_path / "raw"
    for part, scans in (
        ("train", ("007_left", "007_right", "8_left", "9_right")),
        ("test", ("5_left", "6_left", "5_top")),
    ):
        (folder / part).mkdir(parents=True)
        for name in scans:
            cv2.imwrite(str(folder / part / f"{name}.png"), rng.integers(1, 255, (14, 14)).astype(np.uint8))
    (folder / "train.csv").write_text("patient,label\n8,sick\n007,healthy\n9,sick\n")
    found: dict[str, Any] = {"TASK": bags.TASK, "Path": Path, "np": np, "Samples": Samples}
    found |= {name: getattr(toolkit, name) for name in ("image_folder", "sets_of", "target_table")}
    exec(code.group(1), found)
    one = project(tmp_path / "w", replace(bags.competition, load=found["load"]))
    load(one.competition, one.workspace, folder)
    data = open_dataset(one.workspace.data)
    assert isinstance(data.images, ImageSets) and data.images.counts.tolist() == [1, 2, 1]
    assert data.called.tolist() == ["8", "007", "9"] and data.targets.tolist() == [1, 0, 1]
    assert data.test_ids is not None
    assert data.test_ids.tolist() == ["5", "6"] and len(data.test_images) == 2
