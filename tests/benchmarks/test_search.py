"""The benchmark of searches: its table from a workspace's runs, what it replays, and that its race is what it says."""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from optuna.samplers import RandomSampler

from benchmarks.search import measure
from benchmarks.search_race import OPTUNA, OURS, compare, cost_between, cost_to_reach, named, race
from benchmarks.search_replay import equals, inside, replay
from benchmarks.search_surrogate import Random, Surrogate
from benchmarks.search_table import Table, collect, load, save
from tests.conftest import ROOT
from toolkit.competition import Competition, load_competition
from toolkit.data.cleaning import cleaning_hash, read_cleaning
from toolkit.data.data_folder import data_hash, save_dataset
from toolkit.data.dataset import Dataset
from toolkit.data.folds import folds_hash, make_folds, read_folds
from toolkit.errors import UserError
from toolkit.probabilities import write_probabilities
from toolkit.recipe import override, to_dict
from toolkit.scoring.selection import pooled_score
from toolkit.screen import Screen
from toolkit.store import MANIFEST, Workspace, hash_json, read_json, write_json, write_manifest
from toolkit.tuning.settings import UNPRUNED

BLOCKS = 12


def drawn(mars: Competition, runs: int = 12) -> Table:
    """Random recipes that are the better the more weight rare classes have, on three folds of a dozen blocks."""
    rng = np.random.default_rng(0)
    truth = rng.multinomial(400, [0, 0.4, 0.3, 0.25, 0.05], size=(3, BLOCKS))
    recipes, confusions = [], np.zeros((runs, 3, BLOCKS, 5, 5), np.int64)
    for run in range(runs):
        trial = Random(rng)
        assert mars.suggest is not None
        mars.suggest(trial)
        recipes.append(trial.made)
        quality = 0.5 + 0.5 * trial.made["loss.balance"] + 0.01 * rng.standard_normal((3, 1, 1))
        right = rng.binomial(truth, quality)
        confusions[run] = right[..., None] * np.eye(5, dtype=np.int64)
        confusions[run, ..., 1:, 1] += (truth - right)[..., 1:] * (np.arange(1, 5) != 1)
        confusions[run, ..., 1, 2] += (truth - right)[..., 1]
    curves = [[{0.5: 0.2 + 0.01 * run, 1.0: 0.4 + 0.01 * run} for _ in range(3)] for run in range(runs)]
    return Table("mars", [], recipes, confusions, np.ones((runs, 3), bool), np.full((runs, 3), 60.0), curves)


@pytest.fixture(scope="module")
def surrogate() -> Surrogate:
    mars = load_competition(ROOT / "competitions" / "mars")
    return Surrogate(drawn(mars), mars)


def test_runs_that_all_gain_the_same_are_stopped_where_they_are_below_the_median(mars: Competition) -> None:
    found = inside(drawn(mars), orders=20)
    assert 0.1 < found["stopped"] < 0.5 and found["saved"] == pytest.approx(found["stopped"] / 2)
    assert found["best_quarter"] == 0


def test_a_table_is_collected_from_the_runs_of_a_workspace(mars: Competition, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 5, (30, 64, 128)).astype(np.uint8)
    rows = np.arange(30)
    workspace = Workspace(tmp_path, "mars")
    save_dataset(Dataset(masks[..., None], masks, rows, rows // 2, masks[:0, ..., None]), workspace.data, "")
    inputs = {"folds": 3, "seed": 0, "data": data_hash(workspace.data), "cleaning": cleaning_hash(workspace)}
    make_folds(masks, rows, rows // 2, mars.task, read_cleaning(workspace, rows, mars.task), inputs).to_parquet(
        workspace.folds
    )
    table = read_folds(workspace)
    wrongs = []
    for number, rate in enumerate((1e-3, 2e-3, 4e-3)):
        recipe = override(mars.recipes["small_unet"], [f"optimizer.lr={rate}", "schedule.epochs=2"])
        name = hash_json([recipe.hash, folds_hash(table), data_hash(workspace.data)])[:8]
        folder = workspace.train / f"{recipe.name}-{name}"
        write_json(folder / "recipe.json", to_dict(recipe))
        for k in range(3 - (number == 2)):  # the last one was pruned after two folds
            at = np.flatnonzero(table["fold"] == k)
            predicted = np.where(rng.random(masks[at].shape) < 0.2 * number, 1, np.maximum(masks[at], 1))
            wrongs.append((number, k, ((predicted != masks[at]) & (masks[at] > 0)).sum()))
            values = np.moveaxis(np.eye(5, dtype=np.float32)[predicted], -1, 1)
            write_probabilities(folder / f"fold_{k}" / "oof.npy", [values], values.shape, np.float16)
            write_json(folder / f"fold_{k}" / "history.json", [{"score": 0.1}, {"score": 0.2}])
            write_manifest(folder / f"fold_{k}", {"fold": k, "complete": True, "seconds": 10.0 + k})
            stamp = read_json(folder / f"fold_{k}" / MANIFEST) | {"finished": f"2026-01-01T00:0{number}:0{k}+0000"}
            write_json(folder / f"fold_{k}" / MANIFEST, stamp)
    write_json(workspace.train / "small_unet-elsewhere" / "recipe.json", to_dict(recipe))
    made = collect(workspace, mars, blocks=4)
    save(made, tmp_path / "table.npz")
    read = load(tmp_path / "table.npz")
    assert read.curves == made.curves and read.curves[0][0] == {0.5: 0.1, 1.0: 0.2}
    assert (read.confusions == made.confusions).all() and read.confusions.shape == (3, 3, 4, 5, 5)
    assert read.trained.sum(1).tolist() == [3, 3, 2] and read.complete.tolist() == [0, 1]
    assert read.seconds[0].tolist() == [10, 11, 12]
    assert "schedule.epochs=2" in read.given
    assert [one and one["optimizer.lr@adamw"] for one in read.parameters] == [1e-3, 2e-3, 4e-3]
    for number, k, wrong in wrongs:
        matrix = read.confusions[number, k].sum(0)
        assert matrix.sum() - np.trace(matrix) == wrong and not matrix[0].any()
    with pytest.raises(UserError, match=r"not there; make it from a search's runs with --collect"):
        load(tmp_path / "other.npz")


def test_a_replay_saves_time_and_says_what_it_costs(mars: Competition) -> None:
    table = drawn(mars)
    found = replay(table, mars, orders=5)
    assert found["runs"] == 12 and found["folds"] == 36
    assert found["folds_trained"] < 36 and 0 < found["time_saved"] < 1
    assert 0 <= found["winner_kept"] <= 1 and found["score_lost_max"] >= found["score_lost_mean"] >= 0
    nothing = replay(replace(table, curves=[[{1.0: 0.5}] * 3] * 12), mars, orders=2, threshold=0.0, median=False)
    assert not any(nothing["pruned"].values()) and any(found["pruned"].values())
    assert nothing["given_up"] == nothing["time_saved_when_searched"] == 0
    pruned = table.trained.copy()
    pruned[2, 1:], pruned[5, 2] = False, False
    found = replay(replace(table, trained=pruned), mars, orders=2)
    assert found["given_up"] == 2 and found["runs"] == 10
    assert found["time_saved_when_searched"] == pytest.approx(3 / 36)  # all folds take the same time
    assert nothing["folds_trained"] == 36 and nothing["time_saved"] == 0 and nothing["winner_kept"] == 1


def test_a_drawn_trial_scores_what_the_forest_says_give_or_take_the_residuals(
    mars: Competition, surrogate: Surrogate
) -> None:
    rng = np.random.default_rng(0)
    recipe = surrogate.random_recipe(rng)
    mean = surrogate.predict([recipe])[0, 0]
    scores = [[pooled_score([fold]) for fold in surrogate.draw(recipe, rng).folds] for _ in range(100)]
    away = np.array(scores) - mean - surrogate.fold_effect
    assert abs(away.mean()) < 4 * surrogate.residuals.std() / np.sqrt(300)
    assert away.std() == pytest.approx(surrogate.residuals.std(), rel=0.2)
    assert surrogate.optimum > surrogate.blind
    assert len(surrogate.hand_made()) == len(mars.first_trials)
    balanced = surrogate.predict([recipe | {"loss.balance": 0.6}])[0, 0]
    assert balanced > surrogate.predict([recipe | {"loss.balance": 0.0}])[0, 0]


def test_a_race_is_the_same_twice_and_keeps_to_its_time(surrogate: Surrogate) -> None:
    for method in (OURS, OPTUNA):
        tried = race(surrogate, method, 0, 1500.0)
        assert tried == race(surrogate, method, 0, 1500.0)
        assert all(one.over <= 1500 for one in tried) and len(tried) > 5
        assert any(one.stopped for one in tried)
        assert named(surrogate, method, tried, 0, 1500.0) in [one.true for one in tried]
        assert named(surrogate, method, tried, 0, 10.0) == surrogate.blind
    found = compare(surrogate, [OPTUNA, OURS], seeds=2, trials=4)
    assert all((one["curves"] >= 0).all() for one in found.values())
    assert found[OPTUNA.name]["cost_over_optuna"] is not None
    for one in found.values():
        assert one["best_tried"] <= one["regret"] + 1e-12 and 0 <= one["spent_on_stopped"] < 1


def test_the_race_is_run_by_the_sampler_of_the_search(surrogate: Surrogate, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def random(name: str, trials: int, seed: int) -> tuple[RandomSampler, str]:
        asked.append((name, trials, seed))
        return RandomSampler(seed=seed), ""

    monkeypatch.setattr("benchmarks.search_race.make_sampler", random)
    race(surrogate, OURS, 3, 600.0)
    race(surrogate, OPTUNA, 3, 600.0)
    assert asked == [("auto", UNPRUNED, 3)]  # of a search with a budget; Optuna's defaults are its own


def test_equals_are_pruned_no_more_often_than_was_asked_for(surrogate: Surrogate) -> None:
    found = equals(surrogate, rounds=80)
    assert found["ours"] <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / 80)
    assert found["ours"] <= found["folds"] <= found["alone"]
    assert found["median"] <= found["varied"] < 0.5


def test_the_time_to_reach_a_regret_is_the_last_time_it_comes_under_it() -> None:
    shares = np.array([0.25, 0.5, 0.75, 1.0])
    assert cost_to_reach(shares, np.array([0.3, 0.1, 0.2, 0.1]), 0.15) == 1.0
    assert cost_to_reach(shares, np.array([0.3, 0.1, 0.1, 0.1]), 0.1) == 0.5
    assert cost_to_reach(shares, np.array([0.1, 0.1, 0.1, 0.1]), 0.2) == 0.25
    assert cost_to_reach(shares, np.array([0.3, 0.1, 0.1, 0.2]), 0.15) is None


def test_what_a_ratio_of_costs_is_worth_follows_from_the_seeds() -> None:
    shares = np.array([0.25, 0.5, 0.75, 1.0])
    curve = np.array([0.3, 0.1, 0.1, 0.1])
    assert cost_between(shares, np.tile(curve, (20, 1)), np.full(20, 0.1)) == (0.5, 0.5)
    assert cost_between(shares, np.tile(curve, (20, 1)), np.full(20, 0.05)) == (None, None)
    spread = curve + np.random.default_rng(0).uniform(0, 0.2, (20, 4))
    low, high = cost_between(shares, spread, np.full(20, 0.2))
    assert low is not None and (high is None or high > low)


def test_all_of_it_on_a_small_table(mars: Competition, tmp_path: Path) -> None:
    save(drawn(mars), tmp_path / "table.npz")
    options = argparse.Namespace(
        table=tmp_path / "table.npz", collect=None, seeds=1, trials=3, others=False, picture=tmp_path / "race.png"
    )
    figures = measure(options, Screen())
    assert figures["replay"]["runs"] == 12
    assert figures["cost_over_optuna"] == figures["race"][OURS.name]["cost_over_optuna"]
    assert (tmp_path / "race.png").stat().st_size > 5000
