"""Views are averaged only where that gains on folds that didn't choose them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from competitions.blood_cells import competition as blood_cells
from competitions.mars import competition as mars
from tests.blending.conftest import KINDS, drawn_values, noisy
from tests.tiny import labelled
from toolkit.blending import view_choice
from toolkit.blending.stored_views import averaged, averaged_out_of_fold
from toolkit.blending.view_choice import ViewChoice, choose_views, first_largest, read_choice, seen_where, write_choice
from toolkit.probabilities import probabilities
from toolkit.scoring.out_of_fold import score

SAMPLES, FOLDS = 600, 4
FOLD = np.arange(SAMPLES) % FOLDS
TARGETS = np.random.default_rng(0).integers(0, 8, SAMPLES)
CELLS = labelled(TARGETS, FOLD, of=blood_cells)


def drawn(*views: str, strength: float = 1.5) -> dict[str, np.ndarray]:
    return {name: noisy(TARGETS, 8, strength, seed) for seed, name in enumerate(views)}


def test_views_that_err_otherwise_are_averaged_and_the_gain_is_measured_on_other_folds() -> None:
    stored = drawn("identity", "horizontal", "vertical")
    choice = choose_views(CELLS, stored)
    assert set(choice.views) == set(stored) and sum(choice.weights) == pytest.approx(1)
    assert choice.plain == pytest.approx(score(CELLS, stored["identity"])["score"])
    assert choice.crossfitted > choice.plain + 0.05
    out_of_fold = np.concatenate(list(averaged_out_of_fold(CELLS, choice, stored)))
    assert score(CELLS, out_of_fold)["score"] == pytest.approx(choice.crossfitted)


def test_views_that_do_not_help_are_left_out_or_get_less_weight() -> None:
    stored = drawn("rot90", "horizontal", strength=0) | drawn("identity", strength=3)
    choice = choose_views(CELLS, stored)
    assert choice.views == ("identity",) and choice.weights == (1.0,)
    assert choose_views(CELLS, {"identity": stored["identity"]}).views == ("identity",)
    choice = choose_views(CELLS, drawn("identity", "horizontal") | {"rot90": noisy(TARGETS, 8, 0, 2)})
    weights = dict(zip(choice.views, choice.weights, strict=True))
    assert choice.crossfitted > choice.plain and weights.get("rot90", 0) < weights["horizontal"]


def test_the_cross_fitted_score_is_not_that_of_the_luckiest() -> None:
    """Views of nothing but noise: chosen on all samples they would look better than chance, cross-fitted not."""
    fitted, chosen_on_all = [], []
    for seed in range(12):
        targets = np.random.default_rng(seed).integers(0, 8, SAMPLES)
        stored = {f"rotate{n}": noisy(targets, 8, 0, 100 * seed + n) for n in range(1, 6)}
        stored["identity"] = noisy(targets, 8, 0, 100 * seed)
        fitted.append(choose_views(replace(CELLS, truth=targets), stored).crossfitted)
        chosen_on_all.append(max((each.argmax(1) == targets).mean() for each in stored.values()))
    error = np.sqrt(1 / 8 * 7 / 8 / SAMPLES / 12)
    assert abs(np.mean(fitted) - 1 / 8) < 3 * error < np.mean(chosen_on_all) - 1 / 8


def test_a_fold_is_scored_by_a_choice_that_did_not_see_it() -> None:
    """One view is right in the first fold alone, one in the second: what the other fold prefers is wrong here."""
    wrong, right = np.eye(8, dtype=np.float32)[(TARGETS + 1) % 8], np.eye(8, dtype=np.float32)[TARGETS]
    stored = {"identity": 0.3 * wrong + 0.7 / 8}
    for k, name in enumerate(("horizontal", "vertical")):
        stored[name] = np.where(np.equal(FOLD % 2, k)[:, None], right, wrong)
    choice = choose_views(labelled(TARGETS, FOLD % 2, of=blood_cells), stored)
    assert choice == ViewChoice(("identity",), (1.0,), 0, 0, ({"identity": 1.0},) * 2)


MASKS = np.random.default_rng(1).integers(0, 5, (40, 6, 10)).astype(np.uint8)
PICTURES = labelled(MASKS, np.arange(40) % 3 - (np.arange(40) == 7) * 9, of=mars, group=np.zeros(40, int))


def quantised(seed: int) -> np.ndarray:
    values = noisy(MASKS, 5, 1.5, seed).astype(np.float32)
    values[:, 0] = 0
    return np.rint(255 * values / values.sum(1, keepdims=True)).astype(np.uint8)


def test_masks_are_scored_in_parts_and_a_pixel_that_a_view_missed_is_not_its_vote(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = {name: quantised(seed) for seed, name in enumerate(("identity", "horizontal", "scale1.25"))}
    stored["scale1.25"][:, :, :2] = 0  # not seen
    choice = choose_views(PICTURES, stored)
    assert choice.crossfitted > choice.plain + 0.02
    blended = np.concatenate(list(averaged(PICTURES, choice, stored)))
    assert (blended[:, 0] == 0).all() and np.allclose(blended.sum(1), 1, atol=5 / 255)  # stored as 255ths
    two = replace(choice, views=choice.views[:2], weights=choice.weights[:2])
    without = np.concatenate(list(averaged(PICTURES, two, stored)))
    assert np.allclose(blended[:, :, :2], without[:, :, :2], atol=1e-5)
    out_of_fold = np.concatenate(list(averaged_out_of_fold(PICTURES, choice, stored)))
    assert score(PICTURES, out_of_fold)["score"] == pytest.approx(choice.crossfitted, abs=2e-3)
    assert not out_of_fold[PICTURES.fold < 0].any()
    taken = []

    def watched(part: np.ndarray) -> np.ndarray:
        taken.append(len(part))
        return probabilities(part)

    monkeypatch.setattr(view_choice, "probabilities", watched)
    monkeypatch.setattr(view_choice, "POSITIONS", 3 * 60)
    assert choose_views(PICTURES, stored) == choice and max(taken) == 3  # of 60 pixels


def test_of_equal_probabilities_the_first_class_wins_as_when_decoding() -> None:
    values = torch.from_numpy(np.random.default_rng(0).integers(0, 3, (5, 500)).astype(np.float32))
    assert np.array_equal(first_largest(values).numpy(), values.numpy().argmax(0))


def test_a_choice_is_kept_beside_the_blend(tmp_path: Path) -> None:
    choice = ViewChoice(("identity", "rot90"), (0.75, 0.25), 0.9, 0.8, ({"identity": 1.0},))
    write_choice(tmp_path / "views.json", choice)
    assert read_choice(tmp_path / "views.json") == choice


@pytest.mark.parametrize("name", ["RMSE", "macro F1", "AUC of two classes", "mean Dice"])
def test_views_of_any_kind_are_chosen_by_merit_and_without_the_fold_that_they_serve(name: str) -> None:
    of = KINDS[name]
    targets, values = drawn_values(of, 0, models=3, samples=24 if of.task.masks else 240)
    here = labelled(targets, np.arange(len(targets)) % 3, of=of)
    merits = [of.metric.sign * of.tally(targets, probabilities(one)).score() for one in values]
    ranked = [values[at] for at in np.argsort(merits)]  # the worst is what is seen without a view
    stored = dict(zip(("identity", "horizontal", "vertical"), ranked, strict=True))
    choice = choose_views(here, stored)
    assert of.better(choice.crossfitted, choice.plain) and sum(choice.weights) == pytest.approx(1)
    own = here.fold == 1
    out_of_fold = np.concatenate(list(averaged_out_of_fold(here, choice, stored)))
    assert out_of_fold.dtype == np.float32 and out_of_fold.shape == values[0].shape
    other = np.array(targets)
    other[own] = np.roll(other[own], 1, axis=0)
    again = choose_views(replace(here, truth=other), stored)
    if again.views != ("identity",):  # that is chosen by all folds
        assert again.by_fold[1] == choice.by_fold[1]
    assert again.crossfitted != choice.crossfitted


def test_a_pixel_that_a_view_does_not_see_of_overlapping_masks_is_not_its_vote() -> None:
    of = KINDS["mean Dice"]
    targets, values = drawn_values(of, 0, models=2, samples=12)
    stored = {"identity": values[0], "scale0.8": np.where(np.arange(5) == 0, 0, values[1]).astype(np.uint8)}
    choice = ViewChoice(("identity", "scale0.8"), (0.5, 0.5), 0.6, 0.5)
    found = np.concatenate(list(averaged(labelled(targets, np.arange(12) % 3, of=of), choice, stored)))
    unseen = (seen_where(of.task, "scale0.8").numpy() == 0)[0, 0]  # type: ignore[union-attr]
    assert unseen.any()
    assert np.allclose(found[..., unseen], probabilities(stored["identity"])[..., unseen], atol=1e-6)
