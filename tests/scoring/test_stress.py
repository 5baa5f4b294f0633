"""The stress score: which triples it takes, that it is the plain definition, and that blends need no prediction."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from tests.tiny import FIRST, competition, prepare, train
from toolkit.competition import Competition
from toolkit.data.dataset import open_dataset
from toolkit.data.folds import read_folds
from toolkit.metrics import MeanIoU, confusion_matrix
from toolkit.networks.network import load_network
from toolkit.networks.predict import predict
from toolkit.probabilities import probabilities
from toolkit.scoring.corruptions import SEVERITIES, corrupt, suite
from toolkit.scoring.stress import blend_stress, read_evidence, score_run, stress_score, stressed, suite_seconds
from toolkit.scoring.stress_sampling import SEED, Evidence, all_triples, ladder, score_draws, score_triples
from toolkit.store import Workspace, read_json
from toolkit.task import Segmentation

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
CELLS = 5 * len(suite(3))
TERRAIN = replace(
    competition,
    name="terrain",
    task=Segmentation(classes=("none", "low", "high"), image_shape=(12, 16, 1)),
    metric=MeanIoU(ignore=("none",)),
)


class Threshold(nn.Module):
    """Classes by how bright a pixel is, each network with borders of its own."""

    def __init__(self, border: float) -> None:
        super().__init__()
        self.border = border

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        away = (images[:, 0].float() - self.border) / 20
        return torch.stack([torch.zeros_like(away), -away, away], 1)


def terrain() -> tuple[np.ndarray, np.ndarray, pd.DataFrame, list[nn.Module]]:
    """Images, masks with some pixels that aren't scored, a table of three folds, the folds' networks."""
    random = np.random.default_rng(0)
    masks = random.integers(0, 3, (30, 3, 4)).astype(np.uint8).repeat(4, 1).repeat(4, 2)
    images = np.clip(60 * masks.astype(int) + random.normal(60, 20, masks.shape), 0, 255).astype(np.uint8)[..., None]
    folds = pd.DataFrame({"index": range(30), "fold": np.arange(30) // 2 % 3, "group": np.arange(30) // 2})
    folds.loc[0, "fold"] = -1
    return images, masks, folds, [Threshold(border) for border in (140.0, 155.0, 170.0)]


def naive(
    of: Competition, images: np.ndarray, targets: np.ndarray, folds: pd.DataFrame, networks: list[nn.Module]
) -> dict[str, float]:
    """The score of every corruption over the whole suite, one severity and fold after the other."""
    found = {}
    for corruption in suite(images.shape[3]):
        total = np.zeros((len(of.task.classes),) * 2, int)
        for severity in SEVERITIES:
            for fold, network in enumerate(networks):
                rows = np.flatnonzero(folds["fold"] == fold)
                part = torch.from_numpy(images[rows]).permute(0, 3, 1, 2)
                masks = torch.from_numpy(targets[rows]) if targets.ndim > 1 else None
                part, moved = corrupt(part, masks, corruption.name, severity, SEED, rows.tolist())
                seen = part.permute(0, 2, 3, 1).numpy()
                labels = of.decode(predict(network, seen, of.scored, CPU, "auto").astype(np.float16))
                truth = targets[rows] if moved is None else moved.numpy()
                total += confusion_matrix(truth, labels, len(of.task.classes))
        found[corruption.name] = float(of.score(total))
    return found


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Path, Path]:
    """Two recipes' runs, the first under the whole suite, the second under a share of it."""
    root = tmp_path_factory.mktemp("runs")
    torch.set_num_threads(1)
    workspace = prepare(root)
    return workspace, train(root, "--stress", "full"), train(root, "--recipe", "second")


def test_any_beginning_of_the_triples_is_balanced() -> None:
    random = np.random.default_rng(0)
    targets = random.choice(3, 1000, p=[0.7, 0.2, 0.1])
    folds = pd.DataFrame({"fold": random.integers(-1, 5, 1000)})
    triples = all_triples(targets, folds, competition.task)
    rows = np.flatnonzero(folds["fold"] >= 0)
    assert len(np.unique(triples, axis=0)) == len(triples) == len(rows) * CELLS
    assert set(triples[:, 0]) == set(rows)
    assert set(triples[:, 1]) == set(range(len(suite(3)))) and set(triples[:, 2]) == set(SEVERITIES)
    for count in ladder(len(triples), 2 * CELLS):
        part = triples[:count]
        samples = np.bincount(part[:, 0], minlength=1000)[rows]
        assert samples.max() - samples.min() <= 1
        cells = np.bincount(part[:, 1] * 5 + part[:, 2] - 1, minlength=CELLS)
        assert abs(cells - count / CELLS).max() < 1 + 4 * np.sqrt(count / CELLS) / 2
        shares = np.bincount(targets[part[:, 0]]) / count
        assert shares == pytest.approx(np.bincount(targets[rows]) / len(rows), abs=0.05)
    # where every sample is used as often, every cell has its share of each class, as far as it divides
    part = triples[: 40 * len(rows)]
    for label in range(3):
        of_label = part[targets[part[:, 0]] == label]
        cells = np.bincount(of_label[:, 1] * 5 + of_label[:, 2] - 1, minlength=CELLS)
        assert cells.std() < 0.6 * np.sqrt(cells.mean())  # of chance: as the square root


def test_rare_classes_of_masks_are_spread_over_the_cells() -> None:
    masks = np.zeros((260, 4, 4), np.uint8)
    masks[::2, 0] = 1
    masks[:115, 1, 1] = 2  # as many as there are cells for grey
    triples = all_triples(masks, pd.DataFrame({"fold": np.zeros(260, int)}), TERRAIN.task)
    rare = triples[:260][triples[:260, 0] < 115]
    assert len(np.unique(rare[:, 1:], axis=0)) == 115


def test_the_steps_of_the_ladder() -> None:
    assert ladder(1000, 130) == [1000, 500, 250]
    assert ladder(7, 1) == [7, 4, 2, 1]
    assert ladder(100, 130) == [100]


def test_the_score_of_labels_is_the_plain_definition(two_runs: tuple[Workspace, Path, Path]) -> None:
    workspace, run, _ = two_runs
    dataset, folds = open_dataset(workspace.data), read_folds(workspace)
    networks = [load_network(competition, FIRST, run / f"fold_{k}" / "weights.safetensors", CPU) for k in range(3)]
    stress = read_json(run / "metrics.json")["stress"]
    expected = naive(competition, dataset.images, dataset.targets, folds, networks)
    assert stress["by_corruption"] == pytest.approx(expected, abs=2e-3)  # a tie may be broken by the batch
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


def test_the_score_of_masks_is_the_plain_definition() -> None:
    images, masks, folds, networks = terrain()
    stress, evidence = stress_score(TERRAIN, images, masks, folds, networks, CPU, "auto")
    expected = naive(TERRAIN, images, masks, folds, networks)
    assert stress["by_corruption"] == pytest.approx(expected, abs=1e-3)
    assert stress["score"] == pytest.approx(np.mean(list(expected.values())), abs=1e-3)
    assert 0.3 < stress["score"] < 0.99
    assert evidence.truth is not None and evidence.confusions is not None
    assert evidence.probabilities.dtype == np.uint8 and len(evidence.probabilities) == 29 * 5 * len(suite(1))
    at = int(np.flatnonzero(evidence.triples[:, 1] == [c.name for c in suite(1)].index("rotation"))[3])
    row, _, severity = evidence.triples[at].tolist()
    image, mask = torch.from_numpy(images[[row]]).permute(0, 3, 1, 2), torch.from_numpy(masks[[row]])
    made, moved = corrupt(image, mask, "rotation", severity, SEED, [row])
    assert moved is not None and np.array_equal(evidence.truth[at], moved[0].numpy())
    network = networks[folds.loc[row, "fold"]]
    alone = predict(network, made.permute(0, 2, 3, 1).numpy(), TERRAIN.scored, CPU, "auto")[0]
    assert np.abs(probabilities(evidence.probabilities[at]) - alone).max() < 0.003


def test_a_share_is_the_beginning_of_the_whole_and_its_error_is_about_right() -> None:
    images, masks, folds, networks = terrain()
    whole, all_evidence = stress_score(TERRAIN, images, masks, folds, networks, CPU, "auto")
    part, evidence = stress_score(TERRAIN, images, masks, folds, networks, CPU, "auto", seconds=0.0)
    assert part["triples"] in ladder(whole["triples"], 1) and 115 <= part["triples"] < 2 * 115
    assert part["share"] == part["triples"] / whole["triples"]
    assert np.array_equal(evidence.triples, all_evidence.triples[: len(evidence.triples)])
    assert evidence.confusions is not None and all_evidence.confusions is not None
    assert np.array_equal(evidence.confusions, all_evidence.confusions[: len(evidence.triples)])
    assert 0 < abs(part["score"] - whole["score"]) < 3 * part["error"] < 0.3
    more, _ = stress_score(TERRAIN, images, masks, folds, networks, CPU, "auto", seconds=60.0)
    assert more["share"] == 1 and {**more, "seconds": 0} == {**whole, "seconds": 0}


def test_a_class_that_few_corruptions_have_seen_counts_in_all_of_them() -> None:
    """Left out where no sample shows it, the hard rare class would lift the score of most corruptions."""
    members, classes = len(suite(1)), len(TERRAIN.task.classes)
    triples = np.stack([np.arange(4 * members), np.arange(4 * members) % members, np.full(4 * members, 3)], 1)
    confusions = np.zeros((len(triples), classes, classes), int)
    confusions[:, 1, 1] = 9  # low: right in all samples
    confusions[:2, 2, 2], confusions[:2, 2, 0] = 1, 3  # high: in two samples, and a quarter of it is found
    folds = pd.DataFrame({"fold": np.arange(len(triples)) % 2, "group": np.arange(len(triples))})
    evidence = Evidence(triples.astype(np.int32), np.empty((0, classes), np.float16), None, confusions)
    found = score_triples(TERRAIN, np.zeros((len(triples), 12, 16), np.uint8), folds, evidence, 10**6)
    assert found["score"] == pytest.approx((1 + 0.25) / 2)
    assert np.mean(list(found["by_corruption"].values())) == pytest.approx(found["score"])


def test_intervals_of_few_triples_a_cell_hold_the_truth(mars: Competition) -> None:
    """A bootstrap that is not widened holds it in 42 of these 50."""
    random = np.random.default_rng(0)
    cells, share, right_share = 5 * len(suite(1)), np.array([0.4, 0.3, 0.25, 0.05]), 2 / 3
    expected = share * right_share / (share + np.roll(share, 1) * (1 - right_share))
    held = 0
    for _ in range(50):
        cell = random.permutation(np.tile(np.arange(cells), 2))
        triples = np.stack([np.arange(len(cell)), cell // 5, cell % 5 + 1], 1)
        truth = random.multinomial(20, [0, *share], size=len(cell))
        right = random.binomial(truth, random.beta(4, 2, (len(cell), 1)))  # a tile is good or bad as a whole
        confusions = right[..., None] * np.eye(5, dtype=np.int64)
        confusions[:, np.arange(1, 5), [2, 3, 4, 1]] += (truth - right)[:, 1:]
        folds = pd.DataFrame({"fold": 0, "group": np.arange(len(cell))})
        evidence = Evidence(triples.astype(np.int32), np.empty((0, 5), np.float16), None, confusions)
        low, high = np.percentile(score_draws(mars, np.empty(0), folds, evidence), [5, 95])
        held += low <= expected.mean() <= high
    assert held >= 45


def test_the_blend_of_one_run_is_the_run(two_runs: tuple[Workspace, Path, Path]) -> None:
    workspace, *runs = two_runs
    targets, folds = open_dataset(workspace.data).targets, read_folds(workspace)
    for run in runs:
        stress = read_json(run / "metrics.json")["stress"]
        del stress["seconds"]
        assert blend_stress(competition, targets, folds, [run], np.ones(1)) == stress


def test_a_blend_is_the_metric_of_the_mean_on_what_the_runs_share(two_runs: tuple[Workspace, Path, Path]) -> None:
    workspace, first, second = two_runs
    targets, folds = open_dataset(workspace.data).targets, read_folds(workspace)
    one, other = read_evidence(first), read_evidence(second)
    assert one is not None and other is not None and len(other.triples) < len(one.triples)
    triples = other.triples
    by_fold = np.array([[1.0, 0.0], [0.0, 1.0], [0.3, 0.7]])
    for weights in (np.array([0.25, 0.75]), by_fold):
        share = np.broadcast_to(weights, (3, 2))[folds["fold"].to_numpy()[triples[:, 0]]]
        mean = share[:, :1] * one.probabilities[: len(triples)] + share[:, 1:] * other.probabilities
        right = mean.astype(np.float16).argmax(1) == targets[triples[:, 0]]
        expected = [  # severities weigh the same
            np.mean([right[at & (triples[:, 2] == s)].mean() for s in SEVERITIES if (at & (triples[:, 2] == s)).any()])
            for number in range(len(suite(3)))
            if (at := triples[:, 1] == number).any()
        ]
        blended = blend_stress(competition, targets, folds, [first, second], weights)
        assert blended is not None and blended["triples"] == len(triples)
        assert blended["score"] == pytest.approx(np.mean(expected))
        assert list(blended["by_corruption"].values()) == pytest.approx(expected)


def test_a_blend_of_masks_scores_the_masks_that_were_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, masks, folds, networks = terrain()
    monkeypatch.setattr("toolkit.scoring.stress.load_networks", lambda of, recipe, run, device: networks)
    monkeypatch.setattr("toolkit.scoring.stress.KEPT_BYTES", 1000 * 3 * 12 * 16)
    whole = score_run(TERRAIN, FIRST, images, masks, folds, tmp_path, "cpu", None)
    evidence = read_evidence(tmp_path)
    assert evidence is not None and evidence.confusions is not None
    assert len(evidence.probabilities) == 1000 and len(evidence.triples) == len(evidence.confusions) == 29 * 115
    blended = blend_stress(TERRAIN, masks, folds, [tmp_path, tmp_path], np.array([0.5, 0.5]))
    assert blended is not None and blended["triples"] == 1000
    assert blended["score"] == pytest.approx(whole["score"], abs=4 * blended["error"])
    assert sum(path.stat().st_size for path in (tmp_path / "stress").iterdir()) < 1_000_000


def test_runs_without_common_triples_have_no_blend_score(
    two_runs: tuple[Workspace, Path, Path], tmp_path: Path
) -> None:
    workspace, first, second = two_runs
    targets, folds = open_dataset(workspace.data).targets, read_folds(workspace)
    assert blend_stress(competition, targets, folds, [first, tmp_path], np.ones(2)) is None
    moved = folds.assign(fold=(folds["fold"] + 1) % 3)
    moved.loc[:2, "fold"] = -1
    assert blend_stress(competition, targets, moved, [first, second], np.ones(2)) is None


def test_a_finished_run_gets_what_it_lacks_and_is_not_trained_again(tmp_path: Path) -> None:
    prepare(tmp_path)
    run = train(tmp_path, "--stress", "none", "schedule.epochs=1")
    weights = run / "fold_0" / "weights.safetensors"
    made = weights.stat().st_mtime_ns
    assert read_json(run / "metrics.json")["stress"] is None and read_evidence(run) is None
    assert train(tmp_path, "schedule.epochs=1") == run
    some = read_json(run / "metrics.json")["stress"]
    assert CELLS <= some["triples"] < 72 * CELLS and read_evidence(run) is not None
    train(tmp_path, "schedule.epochs=1")
    assert read_json(run / "metrics.json")["stress"] == some
    train(tmp_path, "--stress", "full", "schedule.epochs=1")
    whole = read_json(run / "metrics.json")["stress"]
    assert whole["share"] == 1
    for wish in ("auto", "none", "full"):
        train(tmp_path, "--stress", wish, "schedule.epochs=1")
        assert read_json(run / "metrics.json")["stress"] == whole
    assert weights.stat().st_mtime_ns == made


def test_each_sample_under_one_member_of_the_suite() -> None:
    images, masks, _, _ = terrain()
    made, moved = stressed(images, masks, 5)
    again, _ = stressed(images, masks, 5)
    assert np.array_equal(made, again) and not np.array_equal(made, stressed(images, masks, 6)[0])
    few, fewer = stressed(images[:4], masks[:4], 5)
    assert moved is not None and fewer is not None
    assert np.array_equal(few, made[:4]) and np.array_equal(fewer, moved[:4])
    assert (made != images).any((1, 2, 3)).mean() > 0.9 and 0 < (moved != masks).any((1, 2)).mean() < 0.6
    assert stressed(images, None, 5)[1] is None


def test_the_time_of_the_whole_suite_is_at_least_that_of_its_predictions() -> None:
    images = np.zeros((3, 8, 8, 3), np.uint8)
    assert 100 * CELLS * 0.5 < suite_seconds(images, 100, 0.5) < 100 * CELLS * 0.6
