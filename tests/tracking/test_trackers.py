"""The real TensorBoard, W&B and MLflow hear of a training, and what they wrote is read back by their own readers."""

import json
import shutil
import struct
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests import tiny
from toolkit import Epoch, Run, UserError
from toolkit.tracking import trackers
from toolkit.tracking.trackers import chosen
from toolkit.training import fold as fit

pytestmark = pytest.mark.usefixtures("one_thread")


def scalars(folder: Path, tag: str) -> dict[int, list[Any]]:
    """By step, from all event files of a folder."""
    read = EventAccumulator(str(folder))
    read.Reload()
    found: dict[int, list[Any]] = {}
    for event in read.Scalars(tag):
        found.setdefault(event.step, []).append(event.value)
    return found


def losses(run: Run, fold: int) -> dict[int, list[Any]]:
    return {n: [pytest.approx(line["loss"], rel=1e-5)] for n, line in enumerate(run.fold(fold).history, start=1)}


def interrupted(root: Path, log: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that was killed after its sixth epoch, finished, and asked for again."""
    tiny.prepare(root)
    monkeypatch.setattr(fit, "SAVE_SECONDS", 0.0)
    heard: list[Epoch] = []

    def kill(epoch: Epoch) -> None:
        heard.append(epoch)
        if len(heard) == 6:
            raise KeyboardInterrupt

    project = tiny.project(root, log=log)
    with pytest.raises(KeyboardInterrupt):
        project.train(stress="none", on_epoch=kill)
    project.train(stress="none")
    return project.train(stress="none")


def records(file: Path) -> Iterator[bytes]:
    """Of W&B's file, which is a log as LevelDB has them: blocks of 32 KiB, in them records, whole or in parts."""
    data, at, whole = file.read_bytes(), 7, b""
    while at < len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield whole
            whole = b""


def test_tensorboard_has_every_epoch_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = interrupted(tmp_path, "tensorboard", monkeypatch)
    logs = run.labelled.workspace.folder / "log" / "tensorboard" / run.name
    for fold in range(3):
        assert scalars(logs / f"fold_{fold}", "loss") == losses(run, fold)
    assert scalars(logs, "CV score") == {0: [pytest.approx(run.score)]}


def test_wandb_offline_has_every_epoch_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Record: Any = import_module("wandb.proto.wandb_internal_pb2").Record

    monkeypatch.setenv("WANDB_MODE", "offline")
    run = interrupted(tmp_path, "wandb", monkeypatch)
    found: dict[str, list[Any]] = {}
    names = set()
    for file in sorted((run.labelled.workspace.folder / "log" / "wandb" / "wandb").glob("offline-run-*/*.wandb")):
        for data in records(file):
            record = Record()
            record.ParseFromString(data)
            names |= {record.run.run_id} - {""}
            for item in record.history.item:
                found.setdefault("/".join(item.nested_key) or item.key, []).append(json.loads(item.value_json))
    assert len(names) == 1
    for fold in range(3):
        expected = [line["loss"] for line in run.fold(fold).history]
        assert found[f"fold_{fold}/loss"] == pytest.approx(expected)


def test_mlflow_has_every_epoch_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "elsewhere").as_uri())  # a database takes seconds to make
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    run = interrupted(tmp_path, "mlflow", monkeypatch)
    client = MlflowClient(tracking_uri=(tmp_path / "elsewhere").as_uri())
    experiment = client.get_experiment_by_name("tiny-practice")
    assert experiment is not None
    (logged,) = client.search_runs([experiment.experiment_id])
    assert logged.info.run_name == run.name and logged.data.params["optimizer.lr"] == str(run.recipe.optimizer.lr)
    assert logged.data.metrics["CV score"] == pytest.approx(run.score) and logged.info.status == "FINISHED"
    for fold in range(3):
        history = client.get_metric_history(logged.info.run_id, f"fold_{fold}/loss")
        assert {metric.step: [metric.value] for metric in history} == losses(run, fold) and len(history) == 4


def test_a_tracker_that_fails_in_the_middle_is_warned_of_once_and_made_good_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.prepare(tmp_path)
    heard = tiny.Heard()
    project = tiny.project(tmp_path, log="tensorboard", progress=heard)
    from toolkit.tracking.tensorboard_log import TensorBoard

    plain, calls = TensorBoard._write, list[str]()

    def full(board: TensorBoard, name: str, values: dict[str, float], step: int) -> None:
        calls.append(name)
        if len(calls) > 2:
            raise OSError(28, "No space left on device")
        plain(board, name, values, step)

    monkeypatch.setattr(TensorBoard, "_write", full)
    run = project.train(stress="none")
    assert run.complete and len(calls) == 3
    (warned,) = [line for line in heard.lines if "failed" in line]
    assert warned.startswith("tensorboard failed, so it is told nothing more, and training goes on: OSError: ")
    monkeypatch.setattr(TensorBoard, "_write", plain)
    project.train(stress="none")
    logs = run.labelled.workspace.folder / "log" / "tensorboard" / run.name
    assert scalars(logs / "fold_0", "loss") == losses(run, 0) and scalars(logs / "fold_2", "loss") == losses(run, 2)


def test_a_callable_of_ones_own_hears_each_epoch_that_is_trained_now(tmp_path: Path) -> None:
    tiny.prepare(tmp_path)
    heard: list[Epoch] = []
    progress = tiny.Heard()
    project = tiny.project(tmp_path, progress=progress)
    run = project.train(stress="none", on_epoch=heard.append)
    assert [(epoch.fold, epoch.epoch) for epoch in heard] == [(k, n) for k in range(3) for n in range(1, 5)]
    assert {epoch.run for epoch in heard} == {run.name} and all(epoch.seconds > 0 for epoch in heard)
    project.train(stress="none", on_epoch=heard.append)
    assert len(heard) == 12 and progress.listeners == ()

    project.train("second", stress="none", on_epoch=lambda epoch: 1 / 0)
    assert [line for line in progress.lines if line.startswith("on_epoch failed")] == [
        "on_epoch failed, so it is told nothing more, and training goes on: ZeroDivisionError: division by zero"
    ]


def test_trackers_are_checked_before_anything_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen("tensorboard, wandb") == ("tensorboard", "wandb") and chosen(None) == () == chosen([])
    with pytest.raises(
        UserError, match="nothing is known of logging to 'tensorbord'; there are tensorboard, wandb, m"
    ):
        tiny.project(tmp_path, log="tensorbord")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"logging to mlflow needs .* isn't installed: pip install mlflow-skinny$"):
        tiny.project(tmp_path, log=["mlflow"])


def test_a_search_logs_its_trials_and_their_scores(tmp_path: Path) -> None:
    tiny.prepare(tmp_path)
    project = tiny.project(tmp_path, log="tensorboard")
    project.search(trials=1, repeats=0, stress="none", schedule__epochs=2)
    shutil.rmtree(project.workspace.folder / "log")
    found = project.search(trials=1, repeats=0, stress="none", schedule__epochs=2)
    logs = project.workspace.folder / "log" / "tensorboard"
    assert found.run is not None and len(scalars(logs / found.run.name / "fold_1", "loss")) == 2
    assert scalars(logs / found.run.name, "CV score") == {0: [pytest.approx(found.run.score)]}


@pytest.mark.parametrize(
    ("address", "look"),
    [
        ("https://me:s3cret@flow.example.com:5000/a?token=s3cret", "https://flow.example.com:5000/a"),
        ("http://flow.example.com", "http://flow.example.com"),
        ("postgresql://me:s3cr@t@db.example.com/a", 'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"'),
        ("sqlite:////tmp/a.db", "mlflow ui --backend-store-uri sqlite:////tmp/a.db"),
    ],
)
def test_where_to_look_says_no_password(
    address: str, look: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.tracking.mlflow_log import MLflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert MLflow(tmp_path).look == look


def test_what_fails_is_told_without_its_password() -> None:
    heard = tiny.Heard()

    def refused(event: Any) -> None:
        raise OSError("API request to https://me:s3cret@flow.example.com/api failed")

    trackers._Guarded("mlflow", refused, heard)(None)  # type: ignore[arg-type]
    assert "request to https://flow.example.com/api failed" in heard.lines[-1]
