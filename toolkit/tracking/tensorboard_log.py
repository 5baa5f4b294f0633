"""TensorBoard: a folder a run, within it one a fold, so that folds and runs lie over each other in one chart."""

import shlex
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from toolkit.events import Epoch, Event
from toolkit.tracking.record import Record, recipe_fields

RECORD = "logged.json"


class TensorBoard:
    def __init__(self, folder: Path) -> None:
        self.folder, self.logs = folder, folder / "log" / "tensorboard"
        self.records: dict[str, Record] = {}
        self.writers: dict[Path, SummaryWriter] = {}

    @property
    def look(self) -> str:
        return shlex.join(["tensorboard", "--logdir", str(self.logs)])

    def __call__(self, event: Event) -> None:
        if event.run not in self.records:
            self.records[event.run] = Record.opened(self.logs / event.run / RECORD)
        record = self.records[event.run]
        if not record.is_new(event):
            return
        if isinstance(event, Epoch):
            self._write(f"{event.run}/fold_{event.fold}", event.measured, event.epoch)
        else:
            self._write(event.run, {f"{name} score": score for name, score in event.scores.items()}, 0)
            self._describe(event.run)
        record.keep(event)

    def _write(self, name: str, values: dict[str, float], step: int) -> None:
        writer = self._writer(name)
        for tag, value in values.items():
            writer.add_scalar(tag, value, step)
        writer.flush()

    def _describe(self, run: str) -> None:
        rows = "\n".join(f"| {name} | {value} |" for name, value in recipe_fields(self.folder, run).items())
        writer = self._writer(run)
        writer.add_text("recipe", f"| field | value |\n| --- | --- |\n{rows}")
        writer.flush()

    def _writer(self, name: str) -> SummaryWriter:
        folder = self.logs / name
        if folder not in self.writers:
            self.close()  # folds end one after the other: few files are open at once
            self.writers[folder] = SummaryWriter(str(folder))
        return self.writers[folder]

    def close(self) -> None:
        for writer in self.writers.values():
            writer.close()
        self.writers.clear()


def open_tracker(folder: Path) -> TensorBoard:
    return TensorBoard(folder)
