"""The stress score: which triples it takes, that it is the plain definition, and that blends need no prediction."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import RGB
from tests.scoring.test_stress_sampling import TERRAIN
from tests.tiny import FIRST, labelled, prepare, project, train
from toolkit.metrics.confusion import Accuracy, MacroF1, confusion_matrix
from toolkit.metrics.single_label import F1
from toolkit.networks.predict import predict
from toolkit.probabilities import Mix, probabilities
from toolkit.runs import Run, all_runs
from toolkit.scoring.corruption_suite import SEVERITIES, corrupt, count_cells, suite
from toolkit.scoring.stress import blend_stress, read_evidence, store_stress, stress_score, stressed, suite_seconds
from toolkit.scoring.stress_sampling import SEED, Evidence, ladder, score_triples

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
LEVELS = range(1, SEVERITIES + 1)
CELLS = count_cells(RGB)


class Threshold(nn.Module):
    """Classes by how bright a pixel is, each network with borders of its own."""

    def __init__(self, border: float) -> None:
        super().__init__()
        self.border = border

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        away = (images[:, 0].float() - self.border) / 20
        return torch.stack([torch.zeros_like(away), -away, away], 1)


class Terrain(Run):
    """30 images in three folds, masks with some pixels that aren't scored, and networks that need no training."""

    recipe = FIRST

    def networks(self, device: torch.device) -> list[nn.Module]:
        return [Threshold(border) for border in (140.0, 155.0, 170.0)]


@pytest.fixture
def terrain(tmp_path: Path) -> Run:
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 3, (30, 3, 4)).astype(np.uint8).repeat(4, 1).repeat(4, 2)
    images = np.clip(60 * masks.astype(int) + rng.normal(60, 20, masks.shape), 0, 255).astype(np.uint8)[..., None]
    fold = np.arange(30) // 2 % 3
    fold[0] = -1
    return Terrain(tmp_path, labelled(masks, fold, of=TERRAIN, images=images, group=np.arange(30) // 2))


def naive(run: Run) -> dict[str, float]:
    """The score of every corruption over the whole suite, one severity and fold after the other."""
    given, of, found = run.labelled, run.labelled.competition, {}
    for corruption in suite(of.rgb):
        total = np.zeros((len(of.task.classes),) * 2, int)
        for severity in LEVELS:
            for fold, network in enumerate(run.networks(CPU)):
                rows = given.rows(fold)
                part = torch.from_numpy(given.images[rows]).permute(0, 3, 1, 2)
                masks = torch.from_numpy(given.targets[rows]) if given.masks else None
                part, moved = corrupt(part, masks, corruption.name, severity, SEED, of.rgb, rows.tolist())
                seen = part.permute(0, 2, 3, 1).numpy()
                labels = of.decode(predict(network, seen, of.scored, CPU, "auto").astype(np.float16))
                truth = given.targets[rows] if moved is None else moved.numpy()
                total += confusion_matrix(truth, labels, len(of.task.classes))
        found[corruption.name] = float(of.score(total))
    return found


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """Of two recipes, the first under the whole suite, the second under a share of it."""
    root = tmp_path_factory.mktemp("runs")
    torch.set_num_threads(1)
    prepare(root)
    return train(root, stress="full"), train(root, recipe="second")


def test_the_score_of_labels_is_the_plain_definition(two_runs: tuple[Run, Run]) -> None:
    stress = two_runs[0].metrics["stress"]
    assert stress["by_corruption"] == pytest.approx(naive(two_runs[0]), abs=2e-3)  # a tie may be broken by the batch
    assert stress["score"] == pytest.approx(np.mean(list(stress["by_corruption"].values())))
    assert stress["share"] == 1 and stress["triples"] == 72 * CELLS and stress["error"] == 0
    assert stress["low"] < stress["score"] < stress["high"] and stress["seconds"] > 0
    assert (
        stress["score"] == pytest.approx(np.mean(stress["by_severity"])) == pytest.approx(np.mean(stress["by_fold"]))
    )
    assert stress["by_family"]["occlusion"] == pytest.approx(
        (stress["by_corruption"]["occlusion"] + stress["by_corruption"]["grid_mask"]) / 2
    )
    assert stress["by_corruption"]["hue"] == pytest.approx(np.mean(stress["cells"]["hue"]))


def test_the_score_of_masks_is_the_plain_definition(terrain: Run) -> None:
    stress, evidence = stress_score(terrain, CPU)
    expected = naive(terrain)
    assert stress["by_corruption"] == pytest.approx(expected, abs=1e-3)
    assert stress["score"] == pytest.approx(np.mean(list(expected.values())), abs=1e-3)
    assert 0.3 < stress["score"] < 0.99
    assert evidence.truth is not None and evidence.confusions is not None
    assert evidence.probabilities.dtype == np.uint8 and len(evidence.probabilities) == 29 * 5 * len(suite(()))
    at = int(np.flatnonzero(evidence.triples[:, 1] == [c.name for c in suite(())].index("rotation"))[3])
    row, _, severity = evidence.triples[at].tolist()
    given = terrain.labelled
    image, mask = torch.from_numpy(given.images[[row]]).permute(0, 3, 1, 2), torch.from_numpy(given.targets[[row]])
    made, moved = corrupt(image, mask, "rotation", severity, SEED, (), [row])
    assert moved is not None and np.array_equal(evidence.truth[at], moved[0].numpy())
    network = terrain.networks(CPU)[given.fold[row]]
    alone = predict(network, made.permute(0, 2, 3, 1).numpy(), TERRAIN.scored, CPU, "auto")[0]
    assert np.abs(probabilities(evidence.probabilities[at]) - alone).max() < 0.003


def test_a_share_is_the_beginning_of_the_whole_and_its_error_is_about_right(terrain: Run) -> None:
    whole, all_evidence = stress_score(terrain, CPU)
    part, evidence = stress_score(terrain, CPU, seconds=0.0)
    assert part["triples"] in ladder(whole["triples"], 1) and 115 <= part["triples"] < 2 * 115
    assert part["share"] == part["triples"] / whole["triples"]
    assert np.array_equal(evidence.triples, all_evidence.triples[: len(evidence.triples)])
    assert evidence.confusions is not None and all_evidence.confusions is not None
    assert np.array_equal(evidence.confusions, all_evidence.confusions[: len(evidence.triples)])
    assert 0 < abs(part["score"] - whole["score"]) < 3 * part["error"] < 0.3
    more, _ = stress_score(terrain, CPU, seconds=60.0)
    assert more["share"] == 1 and {**more, "seconds": 0} == {**whole, "seconds": 0}


def weighted(weights: np.ndarray) -> Mix:
    """The mean of runs by weights (runs,) or (folds, runs)."""

    def mix(stored: Sequence[np.ndarray], fold: np.ndarray) -> np.ndarray:
        shares = np.broadcast_to(weights, (3, len(stored)))[fold]
        return np.einsum("nm,mn...->n...", shares, [probabilities(one) for one in stored])

    return mix


def test_the_blend_of_one_run_is_the_run(two_runs: tuple[Run, Run]) -> None:
    for run in two_runs:
        stress = run.metrics["stress"]
        del stress["seconds"]
        assert blend_stress([run], weighted(np.ones(1))) == stress


def test_a_blend_is_the_metric_of_the_mean_on_what_the_runs_share(two_runs: tuple[Run, Run]) -> None:
    given = two_runs[0].labelled
    one, other = map(read_evidence, two_runs)
    assert one is not None and other is not None and len(other.triples) < len(one.triples)
    triples = other.triples
    by_fold = np.array([[1.0, 0.0], [0.0, 1.0], [0.3, 0.7]])
    for weights in (np.array([0.25, 0.75]), by_fold):
        share = np.broadcast_to(weights, (3, 2))[given.fold[triples[:, 0]]]
        mean = share[:, :1] * one.probabilities[: len(triples)] + share[:, 1:] * other.probabilities
        right = mean.astype(np.float16).argmax(1) == given.targets[triples[:, 0]]
        expected = [  # severities weigh the same
            np.mean([right[at & (triples[:, 2] == s)].mean() for s in LEVELS if (at & (triples[:, 2] == s)).any()])
            for number in range(len(suite(RGB)))
            if (at := triples[:, 1] == number).any()
        ]
        blended = blend_stress(two_runs, weighted(weights))
        assert blended is not None and blended["triples"] == len(triples)
        assert blended["score"] == pytest.approx(np.mean(expected))
        assert list(blended["by_corruption"].values()) == pytest.approx(expected)


def test_a_blend_of_masks_scores_the_masks_that_were_moved(terrain: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.scoring.stress.KEPT_BYTES", 1000 * 3 * 12 * 16)
    whole = store_stress(terrain, "cpu", None)
    evidence = read_evidence(terrain)
    assert evidence is not None and evidence.confusions is not None
    assert len(evidence.probabilities) == 1000 and len(evidence.triples) == len(evidence.confusions) == 29 * 115
    blended = blend_stress([terrain, terrain], weighted(np.array([0.5, 0.5])))
    assert blended is not None and blended["triples"] == 1000
    assert blended["score"] == pytest.approx(whole["score"], abs=4 * blended["error"])
    assert sum(path.stat().st_size for path in terrain.stress_folder.iterdir()) < 1_000_000


def test_a_class_that_a_corruption_lacks_is_filled_in_for_every_metric_of_classes(two_runs: tuple[Run, Run]) -> None:
    given = two_runs[0].labelled
    evidence = read_evidence(two_runs[0])
    assert evidence is not None
    few = Evidence(evidence.triples[:CELLS], evidence.probabilities[:CELLS])
    found = []
    for metric in (MacroF1(), F1("macro"), F1("micro"), Accuracy()):
        labelled = replace(given, competition=replace(given.competition, metric=metric))
        found.append(score_triples(labelled, few, CELLS)["score"])
    assert found[0] == found[1] and found[2] == pytest.approx(found[3])


def test_runs_without_common_triples_have_no_blend_score(two_runs: tuple[Run, Run], tmp_path: Path) -> None:
    first = two_runs[0]
    assert blend_stress([first, Run(tmp_path, first.labelled)], weighted(np.ones(2))) is None
    fold = (first.labelled.fold + 1) % 3
    fold[:3] = -1
    moved = replace(first.labelled, fold=fold)
    assert blend_stress([Run(run.folder, moved) for run in two_runs], weighted(np.ones(2))) is None


def test_a_finished_run_gets_what_it_lacks_and_is_not_trained_again(tmp_path: Path) -> None:
    prepare(tmp_path)

    def after(wish: str) -> dict[str, Any]:
        stress: dict[str, Any] = train(tmp_path, "schedule.epochs=1", stress=wish).metrics["stress"]
        return stress

    assert after("none") is None
    (run,) = all_runs(project(tmp_path).labelled())
    made = run.weights[0].stat().st_mtime_ns
    assert read_evidence(run) is None
    some = after("auto")
    assert CELLS <= some["triples"] < 72 * CELLS and read_evidence(run) is not None
    assert after("auto") == some
    whole = after("full")
    assert whole["share"] == 1
    assert [after(wish) for wish in ("auto", "none", "full")] == [whole] * 3
    assert run.weights[0].stat().st_mtime_ns == made


def test_each_sample_under_one_member_of_the_suite(terrain: Run) -> None:
    images, masks = terrain.labelled.images, terrain.labelled.targets
    made, moved = stressed(images, masks, 5, ())
    again, _ = stressed(images, masks, 5, ())
    assert np.array_equal(made, again) and not np.array_equal(made, stressed(images, masks, 6, ())[0])
    few, fewer = stressed(images[:4], masks[:4], 5, ())
    assert moved is not None and fewer is not None
    assert np.array_equal(few, made[:4]) and np.array_equal(fewer, moved[:4])
    assert (made != images).any((1, 2, 3)).mean() > 0.9 and 0 < (moved != masks).any((1, 2)).mean() < 0.6
    assert stressed(images, None, 5, ())[1] is None


def test_the_time_of_the_whole_suite_is_at_least_that_of_its_predictions() -> None:
    images = np.zeros((3, 8, 8, 3), np.uint8)
    assert 100 * CELLS * 0.5 < suite_seconds(images, 100, 0.5, RGB) < 100 * CELLS * 0.6
