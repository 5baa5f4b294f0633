"""A fold of a run, as it lies in its folder. File names are known here and to `Run` alone."""

from pathlib import Path
from typing import Any

from toolkit.checked import checked, train_again
from toolkit.errors import UserError
from toolkit.predictions import OutOfFold
from toolkit.recipe import RECIPE, Recipe, read_recipe
from toolkit.store import read_json


class RunFold(OutOfFold):
    """One fold of a run: its network's weights, what it predicts of its validation rows in their order, its epochs."""

    @property
    def number(self) -> int:
        return int(self.folder.name.removeprefix("fold_"))

    @property
    def weights(self) -> Path:
        return self.folder / "weights.safetensors"

    @property
    def recipe(self) -> Recipe:
        """Its run's."""
        return read_recipe(self.folder.parent / RECIPE)

    def remedy(self, path: Path) -> str:
        return train_again(self.folder.parent, remove=self.folder)

    @property
    def history_path(self) -> Path:
        return self.folder / "history.json"

    @property
    def state(self) -> Path:
        """What an interrupted training goes on from."""
        return self.folder / "state.pt"

    @property
    def snapshots(self) -> Path:
        """The weights of the last epochs, while they are needed."""
        return self.folder / "snapshots"

    @property
    def taught(self) -> Path:
        """What this fold's teacher predicts of what it teaches."""
        return self.folder / "taught.npy"

    def variant(self, kind: str) -> tuple[Path, Path]:
        """Weights and out-of-fold probabilities `last` or `averaged` over epochs, until one of the two is chosen."""
        return self.folder / f"{kind}_weights.safetensors", self.folder / f"{kind}_oof.npy"

    def judged(self, kind: str) -> Path:
        """What the metric counts of it, by group: what a search judges the fold by."""
        return self.folder / f"judged_{kind}.npz"

    @property
    def history(self) -> list[dict[str, Any]]:
        """The epochs so far: loss, score, lr, seconds; empty where the fold isn't trained. UserError where it is and
        they are gone, or damaged.
        """
        path, remedy = self.history_path, self.remedy(self.history_path)
        if not path.exists() and not self.finished:
            return []
        history: list[dict[str, Any]] = read_json(checked(path, remedy), kind=list, remedy=remedy)
        if not all(isinstance(epoch, dict) and "score" in epoch for epoch in history):
            raise UserError(f"{path} is damaged: it is no list of epochs; {remedy}")
        return history

    @property
    def seconds(self) -> float:
        """What training took, all epochs together, however often it was interrupted."""
        return float(sum(epoch.get("seconds", 0.0) for epoch in self.history))
