"""Every kind of output is learnt, in each of its losses, and its values come back from the stored weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests import kinds
from tests.kinds import KINDS
from toolkit import UserError
from toolkit.data.data_folder import save_dataset
from toolkit.networks.network import load_network
from toolkit.networks.predict import predict
from toolkit.networks.tta import predict_views
from toolkit.probabilities import write_probabilities
from toolkit.training.fold import first_batch, fit_fold
from toolkit.training.loop import Training

CPU = torch.device("cpu")
LOSSES = [
    ("classes", "focal"),
    ("masks", "dice"),
    ("labels", "focal"),
    ("labels", "asymmetric"),
    ("overlapping", "bce,dice"),
    ("overlapping", "lovasz"),
    ("numbers", "l1"),
    ("numbers", "smooth_l1"),
    ("shares", "bce"),
    ("grades", "mse"),
    ("heads", "focal"),
]


@pytest.fixture(autouse=True)
def opened_by_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.training.jobs.load_competition", kinds.known)


@pytest.mark.parametrize(
    ("kind", "names"), [*((kind, "cross_entropy") for kind in KINDS), *LOSSES], ids=lambda text: text
)
def test_each_kind_is_learnt(kind: str, names: str, tmp_path: Path) -> None:
    result = fit_fold(kinds.make_job(kind, tmp_path, f"loss.names={names}"))
    losses = [line["loss"] for line in result.history]
    assert losses[-1] < 0.9 * losses[0] and all(np.isfinite(losses))
    task = KINDS[kind][0]
    values = result.main.probabilities
    assert values.shape == (24, task.channels, *((16, 16) if task.masks else ()))
    if "numbers" not in task.outputs[0].kind:
        assert values.min() >= 0 and values.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_words_for_more_than_the_plain_loss_fit_each_kind(kind: str, tmp_path: Path) -> None:
    words = ["augment.mixup=0.5", "augment.cutmix=0.5", "schedule.epochs=1", "schedule.patience=1"]
    if "numbers" not in KINDS[kind][0].outputs[0].kind:
        words += ["loss.label_smoothing=0.1", "loss.balance=0.5", "sampling=0.5"]
    job = kinds.make_job(kind, tmp_path, *words)
    kinds.competition(kind).check(job.recipe)
    assert np.isfinite(fit_fold(job).history[0]["loss"])
    images, targets = first_batch(job)
    assert len(images) == len(targets) == 16


@pytest.mark.filterwarnings("ignore")  # of what traces them
@pytest.mark.parametrize("kind", ["numbers", "shares", "labels", "heads"])
def test_stored_weights_predict_the_same(kind: str, tmp_path: Path) -> None:
    job = kinds.make_job(kind, tmp_path, "schedule.epochs=1")
    result = fit_fold(job)
    save_file(result.main.weights, tmp_path / "weights.safetensors")
    competition, images = kinds.competition(kind), kinds.drawn(kind).images[:24]
    network = load_network(competition, job.recipe, tmp_path / "weights.safetensors", CPU)
    assert np.array_equal(predict(network, images, competition.scored, CPU, "float32"), result.main.probabilities)
    example = torch.from_numpy(images[:2]).permute(0, 3, 1, 2).float()
    traced = torch.jit.trace(network, example)
    torch.testing.assert_close(traced(example), network(example))


@pytest.mark.parametrize("kind", ["numbers", "labels", "grades", "heads"])
def test_a_head_alone_is_learnt_from_stored_features(kind: str, tmp_path: Path) -> None:
    job = kinds.make_job(kind, tmp_path, "schedule.freeze=1", "schedule.epochs=4")
    losses = [line["loss"] for line in fit_fold(replace(job, features=tmp_path / "features")).history]
    assert list((tmp_path / "features").glob("*.npy")) and losses[-1] < losses[0]


def test_numbers_are_predicted_in_their_own_units_between_their_bounds(tmp_path: Path) -> None:
    result = fit_fold(kinds.make_job("numbers", tmp_path, "schedule.epochs=6"))
    truth = kinds.drawn("numbers").targets[:24]
    error = np.sqrt(np.nanmean((result.main.probabilities - truth) ** 2, axis=0))
    assert (error < 0.6 * np.nanstd(truth, axis=0)).all()
    train = kinds.drawn("numbers").targets[24:]
    assert result.main.weights["scale.mean"].numpy() == pytest.approx(np.nanmean(train, axis=0), rel=1e-5)
    shares = fit_fold(kinds.make_job("shares", tmp_path / "other", "schedule.epochs=1"))
    assert shares.main.probabilities.min() >= 0 and shares.main.probabilities.max() <= 100


@pytest.mark.parametrize("kind", KINDS)
def test_a_teacher_teaches_each_kind(kind: str, tmp_path: Path) -> None:
    job = replace(kinds.make_job(kind, tmp_path, "augment.cutmix=1"), teacher=tmp_path / "taught.npy")
    task = KINDS[kind][0]
    values = np.random.default_rng(0).random((8, task.channels, *((16, 16) if task.masks else ())))
    write_probabilities(tmp_path / "taught.npy", [values], values.shape, np.float32)
    training = Training(job)
    taught = training.teacher.batch(0, 0)  # type: ignore[union-attr]
    assert taught.images.shape[0] == len(taught.probabilities) == len(taught.weight)
    before = [parameter.clone() for parameter in training.model.parameters()]
    loss = training.step(*training.batches[(0, 0)], 5)
    assert torch.isfinite(loss) and any(
        not torch.equal(one, other) for one, other in zip(before, training.model.parameters(), strict=True)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_views_are_averaged_as_values(kind: str, tmp_path: Path) -> None:
    training = Training(kinds.make_job(kind, tmp_path))
    images, scored = kinds.drawn(kind).images[:4], training.competition.scored
    plain = predict(training.model, images, scored, CPU, "float32")
    both = predict_views(training.model, images, scored, CPU, "float32", ["identity", "horizontal"])
    assert both.shape == plain.shape and np.isfinite(both).all()
    alone = predict_views(training.model, images, scored, CPU, "float32", ["identity"])
    np.testing.assert_allclose(alone, plain, rtol=1e-6, atol=1e-6)
    # these networks see no places, so that a mirrored image says the same
    np.testing.assert_allclose(both, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "assignment", "said"),
    [
        ("classes", "loss.names=mse", "loss mse is not for classes; there are cross_entropy, focal"),
        ("labels", "loss.names=ordinal", "loss ordinal is not for labels; there are cross_entropy, bce, focal, asym"),
        ("grades", "loss.names=dice", "loss dice is not for grades"),
        ("overlapping", "loss.names=mse", "loss mse is not for masks; there are cross_entropy, bce"),
        ("numbers", "loss.balance=0.5", "loss.balance does nothing for numbers"),
        ("overlapping", "augment.copy_paste=0.5", "copy_paste is for masks that exclude each other"),
    ],
)
def test_what_a_kind_has_no_use_for_is_refused(kind: str, assignment: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        kinds.competition(kind).check(kinds.make_job(kind, tmp_path, assignment).recipe)


def test_a_head_of_another_size_and_numbers_without_bounds_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="loss bce of numbers needs a lowest and a highest one"):
        Training(kinds.make_job("numbers", tmp_path, "loss.names=bce"))
    other = replace(kinds.competition("grades"), build_model=kinds.competition("labels").build_model)
    wrong = replace(other, build_model=kinds.competition("classes").build_model)
    monkeypatch.setattr("toolkit.training.jobs.load_competition", lambda folder: wrong)
    save_dataset(kinds.drawn("grades"), tmp_path / "grades" / "data", "")
    with pytest.raises(UserError, match=r"of an image the network gives \(2,\) numbers, the task needs \(3,\)"):
        Training(kinds.make_job("grades", tmp_path / "grades"))
