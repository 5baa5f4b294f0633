"""A competition that is open: its files and its workspace, and what can be told of them without making anything."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.commands import options
from toolkit.disk import bytes_of
from toolkit.errors import UserError
from toolkit.leftovers import sweep_leftovers
from toolkit.progress import Progress
from toolkit.screen import here
from toolkit.store import Workspace
from toolkit.tracking.trackers import chosen
from toolkit.weight_files import look_in

if TYPE_CHECKING:
    from toolkit.competition import Competition
    from toolkit.difference import Difference
    from toolkit.outcome import Done
    from toolkit.overview import Status
    from toolkit.recipe import Recipe
    from toolkit.removable import Cleaned
    from toolkit.runs import Run
    from toolkit.submission.ledger import Ledger


class Opened:
    """Where a project's data, results and submissions lie, its recipes, and what was made so far."""

    def __init__(
        self,
        competition: "Competition | str | Path",
        *,
        data: str | Path | None = None,
        practice: bool = False,
        workspace: str | Path = "workspace",
        submissions: str | Path = "submissions",
        practice_size: int | None = None,
        seed: int = 0,
        device: str = "auto",
        workers: int | None = None,
        cache: bool = True,
        max_disk: int | str | None = None,
        weights: str | Path | None = None,
        log: str | Sequence[str] = (),
        progress: Progress | None = None,
        cluster: str | None = None,
    ) -> None:
        """A competition, its folder (`competitions/mars`) or its name (`mars`).

        data: the organisers' files (default: `data` in the competition's folder). practice: drawn data instead,
        practice_size samples. workspace, submissions: folders of what is made. cache: images that lie in files are
        decoded once and kept; max_disk: what the workspace may take, bytes or text such as `50GB`. weights: a folder
        of pretrained weights, for all of this process. log: trackers that hear of epochs and scores, of `tensorboard`,
        `wandb` and `mlflow`. progress: what hears of steps (default: screen or notebook). cluster: folds are trained
        by Ray, on this machine (`local`), on the cluster it belongs to (`auto`), or on that at `host:port`; device is
        then `auto`, `cpu` or `cuda`, of those machines.
        """
        from toolkit.competition import load_competition
        from toolkit.competition_folders import data_folder

        found = load_competition(competition) if isinstance(competition, str | Path) else competition
        self.competition = found
        most = None if max_disk is None else bytes_of(max_disk)
        self.workspace = Workspace(Path(workspace), found.name + ("-practice" if practice else ""), most, cache)
        self.data, self.data_is_given = Path(data_folder(found.folder) if data is None else data), data is not None
        self.submissions, self._told_of_groups = Path(submissions), False
        self.practice, self.practice_size, self.seed = practice, practice_size, seed
        self.device, self.workers, self.progress = device, workers, progress or here()
        if cluster is not None:
            from toolkit.cluster.place import ask

            self.device = ask(cluster, device, self.progress)
        self.log = chosen(log)
        look_in(weights)
        if practice and practice_size is not None:  # also where nothing needs the files themselves
            from toolkit.data.loading import check_practice_size

            check_practice_size(self.workspace, practice_size)
        sweep_leftovers(self.workspace, self.submissions)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.workspace.name} in {self.workspace.folder})"

    @property
    def name(self) -> str:
        """What `compete` calls its competition: a name such as `mars`, else the folder."""
        from toolkit.competition_folders import called

        return called(self.competition.folder)

    @property
    def options(self) -> list[str]:
        """Those that a command needs, beside the name, to be about the same data and workspace."""
        data = self.data if self.data_is_given else None
        return options(self.practice, self.workspace.root, self.submissions, data)

    @property
    def ledger(self) -> "Ledger":
        """The submissions that were registered."""
        from toolkit.submission.ledger import Ledger

        return Ledger(self.submissions, self.workspace.name, self.progress, self.competition.metric.sign)

    @property
    def raw(self) -> Path:
        """The folder of the organisers' files; practice files are drawn on first use."""
        if not self.practice:
            return self.data
        from toolkit.data.loading import draw_practice  # imports pandas, which a missing folder is told without

        return draw_practice(self.competition, self.workspace, self.seed, self.practice_size, self.progress)

    def recipe(self, recipe: "Recipe | str | None" = None, **fields: Any) -> "Recipe":
        """A recipe of the competition by its name (none: its first), or one in a file, with fields replaced, named as
        in `optimizer__lr=1e-3`, or by **{"optimizer.lr": 1e-3}.
        """
        from toolkit.recipe import assignments

        return self.choose_recipe(recipe, assignments(fields))

    def choose_recipe(self, recipe: "Recipe | str | None", assignments: Sequence[str]) -> "Recipe":
        """As `recipe`, fields as on the command line: `optimizer.lr=1e-3`."""
        from toolkit.competition import choose_recipe

        return choose_recipe(self.competition, recipe, assignments, self.seed)

    def save_recipe(self, recipe: "Recipe | str | None", name: str, **fields: Any) -> "Recipe":
        """Keep a recipe, given as for `recipe`, under a name of its own: from then on it is found by that."""
        from toolkit.saved_recipes import save_recipe

        return save_recipe(self.competition, self.recipe(recipe, **fields), name)

    def forget(self, name: str) -> "Done":
        """Take the submission of that ID off the ledger; `remember` takes it back."""
        from toolkit.submission.hand_in import forget

        return forget(self.ledger, name)

    def remember(self, name: str) -> "Done":
        """Put a submission that was forgotten back on the ledger."""
        from toolkit.submission.hand_in import remember

        return remember(self.ledger, name)

    def status(self) -> "Status":
        """What was run, what is best, what was handed in, what takes the disk, what to do next; nothing is made."""
        from toolkit.overview import status

        return status(self)

    def next_steps(self) -> list[tuple[str, str]]:
        """Commands that may be next, each with a reason."""
        from toolkit.next_steps import next_steps

        return next_steps(self)

    def diff(self, one: "Run | str", other: "Run | str") -> "Difference":
        """Two runs side by side, by their names or how these begin: settings, scores, time and versions."""
        if not self.workspace.folds.exists():
            raise UserError(f"there is no run of {self.workspace.name} yet; `compete train` makes one")
        from toolkit.data.labelled import open_labelled
        from toolkit.difference import difference

        labelled = open_labelled(self.competition, self.workspace)
        return difference(labelled, *(name if isinstance(name, str) else name.name for name in (one, other)))

    def clean(self, *, keep: int = 10, dry_run: bool = False, submitted_too: bool = False) -> "Cleaned":
        """Remove what takes room and can be made again: caches, what is on old data or folds, trials that were given
        up, and runs beyond the best `keep` that are in no blend and no submission. Nothing is made for it.

        submitted_too: runs of past submissions as well, which can't be built again then. UserError where a run is
        being trained.
        """
        from toolkit.data.labelled import open_labelled
        from toolkit.removable import clean

        if not self.workspace.folds.exists():
            raise UserError(f"there is nothing to remove: {self.workspace.folder} has no folds, and so no runs")
        labelled = open_labelled(self.competition, self.workspace)
        how: Any = {"dry_run": dry_run, "submitted_too": submitted_too, "progress": self.progress}
        return clean(labelled, self.ledger.lines, keep, **how)

    @property
    def _how(self) -> dict[str, Any]:
        return {"device": self.device, "progress": self.progress}
