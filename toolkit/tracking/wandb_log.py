"""Weights & Biases: a run of theirs for each of ours, in a project that is called like the workspace.

Offline unless the environment says otherwise (WANDB_MODE=online): what lies in the folder is sent by `wandb sync`.
"""

import os
import shlex
from pathlib import Path
from typing import Any
from uuid import uuid4

import wandb

from toolkit.events import Epoch, Event
from toolkit.tracking.record import Record, recipe_fields

QUIET: dict[str, Any] = {
    "silent": True,
    "console": "off",
    "x_disable_stats": True,
    "x_disable_meta": True,
    "disable_git": True,
}


class WeightsAndBiases:
    def __init__(self, folder: Path) -> None:
        self.folder, self.logs = folder, folder / "log" / "wandb"
        self.records: dict[str, Record] = {}
        self.open: tuple[str, Any] | None = None  # one run at a time

    @property
    def look(self) -> str:
        return f"cd {shlex.quote(str(self.logs))} && wandb sync"

    def __call__(self, event: Event) -> None:
        if event.run not in self.records:
            self.records[event.run] = Record.opened(self.logs / "runs" / f"{event.run}.json")
        record = self.records[event.run]
        if not record.is_new(event):
            return
        run = self._run(event.run, record)
        if isinstance(event, Epoch):
            values = {f"fold_{event.fold}/{name}": value for name, value in event.measured.items()}
            run.log({"epoch": event.epoch, **values})
        else:
            for name, score in event.scores.items():
                run.summary[f"{name} score"] = score
        record.keep(event)

    def _run(self, name: str, record: Record) -> Any:
        if self.open is None or self.open[0] != name:
            self.close()
            if not record.name:
                record.name = uuid4().hex[:12]
                record.store()
            self.logs.mkdir(parents=True, exist_ok=True)
            mode: Any = os.environ.get("WANDB_MODE", "offline")
            made = wandb.init(
                project=self.folder.name,
                name=name,
                id=record.name,
                resume="allow",
                dir=str(self.logs),
                mode=mode,
                config=recipe_fields(self.folder, name),
                settings=wandb.Settings(**QUIET),
            )
            made.define_metric("epoch", hidden=True)
            made.define_metric("fold_*", step_metric="epoch")
            self.open = name, made
        return self.open[1]

    def close(self) -> None:
        if self.open is not None:
            self.open[1].finish()
            self.open = None


def open_tracker(folder: Path) -> WeightsAndBiases:
    return WeightsAndBiases(folder)
