"""MLflow: a run of theirs for each of ours, in an experiment that is called like the workspace.

In a database in the workspace, unless the environment names a server (MLFLOW_TRACKING_URI).
"""

import os
import shlex
import time
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from toolkit.events import Epoch, Event
from toolkit.tracking.record import Record, recipe_fields, without_password

LONGEST = 500  # letters of a parameter


class MLflow:
    def __init__(self, folder: Path) -> None:
        self.folder, self.logs = folder, folder / "log" / "mlflow"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.address = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.logs / 'mlflow.db'}"
        self.client: MlflowClient | None = None
        self.experiment = ""
        self.records: dict[str, Record] = {}

    @property
    def look(self) -> str:
        if self.address.startswith(("http://", "https://")):
            return without_password(self.address).partition("?")[0]
        if "@" in self.address or "?" in self.address:  # a database and its password
            return 'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"'
        return shlex.join(["mlflow", "ui", "--backend-store-uri", self.address])

    def __call__(self, event: Event) -> None:
        if event.run not in self.records:
            self.records[event.run] = Record.opened(self.logs / f"{event.run}.json")
        record = self.records[event.run]
        if not record.is_new(event):
            return
        client = self._client()
        if not record.name:
            record.name = self._begin(client, event.run)
            record.store()
        now = int(time.time() * 1000)
        if isinstance(event, Epoch):
            values = {f"fold_{event.fold}/{name}": value for name, value in event.measured.items()}
            client.log_batch(record.name, [Metric(name, value, now, event.epoch) for name, value in values.items()])
        else:
            client.log_batch(record.name, [Metric(f"{name} score", x, now, 0) for name, x in event.scores.items()])
            client.set_terminated(record.name)
        record.keep(event)

    def _client(self) -> MlflowClient:
        if self.client is None:
            self.client = MlflowClient(tracking_uri=self.address)
            found = self.client.get_experiment_by_name(self.folder.name)
            files: dict[str, Any] = (
                {}
                if "MLFLOW_TRACKING_URI" in os.environ
                else {"artifact_location": (self.logs.resolve() / "files").as_uri()}
            )
            self.experiment = (
                found.experiment_id if found else self.client.create_experiment(self.folder.name, **files)
            )
        return self.client

    def _begin(self, client: MlflowClient, run: str) -> str:
        made = client.create_run(self.experiment, run_name=run)
        fields = recipe_fields(self.folder, run)
        client.log_batch(made.info.run_id, params=[Param(name, str(x)[:LONGEST]) for name, x in fields.items()])
        found: str = made.info.run_id
        return found

    def close(self) -> None:
        """It keeps nothing open."""


def open_tracker(folder: Path) -> MLflow:
    return MLflow(folder)
