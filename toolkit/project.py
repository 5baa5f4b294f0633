"""A competition being worked on: every command as a call, for Python and for notebooks.

    import toolkit
    project = toolkit.open("mars", practice=True)
    run = project.train("small_unet", schedule__epochs=4)
    project.ensemble()
    project.submit()

What a step needs and isn't there yet is made first, with defaults, and a line says so.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import needs
from toolkit.errors import UserError
from toolkit.opened import Opened
from toolkit.outcome import ROUGH_GROUPS, counted, seconds
from toolkit.store import read_manifest
from toolkit.tracking.trackers import OnEpoch, chosen, listening

if TYPE_CHECKING:
    from toolkit.auditing.audit import Audit, Explanation
    from toolkit.auditing.review import Review
    from toolkit.auditing.split_outcome import Split
    from toolkit.blending.blend_folder import Blend
    from toolkit.data.labelled import Labelled
    from toolkit.notebooks.build import Notebook
    from toolkit.outcome import Done
    from toolkit.pipeline import Result
    from toolkit.planning.planned import Planned
    from toolkit.recipe import Recipe
    from toolkit.reporting.page import Report
    from toolkit.runs import Run, Runs
    from toolkit.submission.build import Submission
    from toolkit.submission.grading import Grade
    from toolkit.tuning.summary import Search

TRAINED = ("trained",)  # test-time views that all recipes' augmentation made familiar


class Project(Opened):
    """One competition, its organisers' files and its workspace.

    Every method is one step; its result has the numbers and shows itself in a notebook. Steps that are done are not
    done again. UserError says what is wrong with what was given.
    """

    def audit(self) -> "Audit":
        """Load and check the data, find what is wrong with them, propose the cleaning."""
        raw = needs.files(self)
        from toolkit.auditing.audit import audit

        return audit(self.competition, self.workspace, raw, self.workers, self.progress)

    def explain(self, sample: int | str) -> "Explanation":
        """Why a sample, by its name or its row in the raw file, is in the cleaning list, as a picture."""
        needs.data(self)
        if not self.workspace.audit.exists():
            needs.audit(self)
        raw = needs.files(self)
        from toolkit.auditing.audit import explain

        return explain(self.competition, self.workspace, raw, str(sample), self.workers, self.progress)

    def accept(self, *suggestions: int | str) -> "Review":
        """Let suggestions of the cleaning list take effect, by sample (name or row) or kind: `unlike the rest`."""
        return self.review(accept=suggestions)

    def refuse(self, *suggestions: int | str) -> "Review":
        """Take suggestions, named as for `accept`, out of the cleaning list; or proposals that are obeyed."""
        return self.review(refuse=suggestions)

    def review(self, accept: Sequence[int | str] = (), refuse: Sequence[int | str] = ()) -> "Review":
        """Both at once: all of it is done, or nothing."""
        from toolkit.auditing.review import review

        return review(self.competition, self.workspace, [*map(str, accept)], [*map(str, refuse)])

    def folds(
        self,
        folds: int | None = None,
        repeats: int | None = None,
        holdout: float | str | None = None,
        split: str | None = None,
        again: bool = False,
    ) -> "Split":
        """The split that is there, or one that is made: which sample is validated when. folds: None: as many as there
        are, else 5, or as many as groups can fill.

        holdout: the share of the samples that is in no fold, so that only what is handed in is scored on it (None: as
        the folds have it that are there, else 0; `auto`: as they have it, else 0.1 where there are many samples).

        split: `groups` keeps relatives in one fold, in `plain` those that the audit found may be divided; `auto`: as
        the audit concludes of the test images. again: make other folds than are there although runs are on these,
        which join no blend with new ones then; without it that is a UserError, which says how many.
        """
        needs.data(self)
        from toolkit.auditing.split_check import split as make

        if folds is not None:
            self.workspace.undecided.unlink(missing_ok=True)
        with self.progress.phase("folds"):
            return make(self.competition, self.workspace, folds, repeats, holdout, self.seed, split, again)

    def labelled(self) -> "Labelled":
        """The data with its folds: images, targets, fold, group and test images as arrays."""
        labelled = needs.labelled(self)
        groups = len(set(labelled.group[labelled.inside]))
        if groups < ROUGH_GROUPS and not self._told_of_groups:
            self._told_of_groups = True
            self.progress.warn(
                f"the samples are of only {counted(groups, 'group')} of one origin: below {ROUGH_GROUPS} even the "
                "intervals of scores are rough, so take differences for chance unless they are large"
            )
        return labelled

    def train(
        self,
        recipe: "Recipe | str | None" = None,
        *,
        stress: str = "auto",
        log: str | Sequence[str] | None = None,
        on_epoch: OnEpoch | None = None,
        **fields: Any,
    ) -> "Run":
        """Train one recipe on all folds; fields as for `recipe`.

        stress: the score under corruptions of as many as fit into a tenth of the training time (`auto`), of all
        (`full`), or not (`none`). log: trackers (default: the project's). on_epoch: called with an `Epoch` after each
        epoch of each fold, in this process; where it fails training goes on without it.
        """
        log = chosen(self.log if log is None else log)
        labelled = needs.tried(self, given := self.recipe(recipe, **fields))
        from toolkit.training.cross_validation import train

        with listening(self.progress, self.workspace.folder, log, on_epoch):
            return train(labelled, given, stress=stress, teacher=needs.teacher(labelled, given), **self._how)

    def boost(self, runs: "Sequence[Run | str] | None" = None) -> "Run":
        """Boosted trees on the table beside the images and on what these runs predict (none: the best): a run too."""
        labelled = self.labelled()
        if runs is None and labelled.table is not None:
            needs.runs(self, labelled)
        from toolkit.training.boosting import boost

        names = None if runs is None else [run if isinstance(run, str) else run.name for run in runs]
        with listening(self.progress, self.workspace.folder, self.log):
            return boost(labelled, names, seed=self.seed, device=self.device, progress=self.progress)

    def train_fold(self, recipe: "Recipe | str | None", fold: int) -> "Run":
        """Train a single fold of a run, which isn't finished by that."""
        labelled = needs.tried(self, given := self.recipe(recipe))
        from toolkit.training.cross_validation import train_one_fold

        with listening(self.progress, self.workspace.folder, self.log):
            return train_one_fold(labelled, given, fold, **self._how)

    def train_without_families(self, run: "Run", *, stress: str = "auto") -> dict[str, dict[str, float]]:
        """Train a run's recipe anew without each family of corruptions that it trains on: scores by family."""
        from toolkit.training.cross_validation import train_without_families

        return train_without_families(run, stress=stress, **self._how)

    def runs(self) -> "Runs":
        """The finished runs on the present data and folds, the best first."""
        from toolkit.runs import Runs, current_runs

        return Runs(sorted(current_runs(self.labelled()), key=lambda run: -run.merit))

    def search(
        self,
        *,
        trials: int | None = None,
        budget: float | str | None = None,
        recipe: "Recipe | str | None" = None,
        objective: str = "clean",
        stress: str = "auto",
        sampler: str = "auto",
        storage: str = "sqlite",
        repeats: int = 1,
        until_no_gain: int | None = None,
        assignments: Sequence[str] = (),
        **fields: Any,
    ) -> "Search":
        """Look for better recipes in the competition's space, with Optuna.

        trials: of the study (none: 30, or as the budget allows); budget: of this call, seconds or `40m`; recipe: what
        is tried first (none: the competition's hand-made ones); objective: `clean`, `stress`, `test-matched`, or two
        such as `clean,seconds`; stress: as for `train`, of the best; sampler: `auto`, `tpe`, `gp`, `cmaes`, `qmc`,
        `random`; storage: `sqlite`, `journal` or an address in PostgreSQL; repeats: other seeds for the best;
        until_no_gain: end after so many trials without a better one. Fields, as for `recipe`, or as on the command
        line in `assignments`, are given and not searched.
        """
        from toolkit.recipe import assignments as written
        from toolkit.tuning.clock import start
        from toolkit.tuning.settings import SearchSettings

        settings = SearchSettings(
            trials=trials,
            budget=None if budget is None else seconds(budget),
            recipe=recipe,
            objective=objective,
            stress=stress,
            sampler=sampler,
            storage=storage,
            repeats=repeats,
            until_no_gain=until_no_gain,
            fields=(*assignments, *written(fields)),
            seed=self.seed,
            device=self.device,
        )
        clock = start(settings)  # a budget is that of the whole call
        labelled = needs.tried(self, *settings.recipes_to_try(self.competition))
        from toolkit.tuning.search_loop import search

        with listening(self.progress, self.workspace.folder, self.log):
            return search(labelled, settings, self.progress, clock)

    def ensemble(
        self,
        runs: "Sequence[Run | str] | None" = None,
        *,
        views: Sequence[str] = TRAINED,
        blender: str | None = None,
        adapt: str | float = "auto",
        max_models: int | None = None,
        max_seconds: float | None = None,
        max_bytes: int | None = None,
        test_images: int | None = None,
    ) -> "Blend":
        """Blend the finished runs, or these, by the simplest way that is as good as the best up to noise.

        views: test-time views to try, by name, or `none`. blender: a way to blend, by name, taken whatever its score.
        adapt: networks to the test images: `auto`, `none` or a share. The limits are those of the organisers' machine.
        """
        labelled = self.labelled()
        from toolkit.blending.blend import blend, check_wishes
        from toolkit.blending.candidates import Limits

        limits = Limits(max_models, max_seconds, max_bytes, test_images)
        check_wishes(labelled, blender, str(adapt))  # before anything is trained for it
        if runs is None:
            needs.runs(self, labelled)
        given = [runs] if isinstance(runs, str) else runs
        if given is not None and not len(given):
            raise UserError("no run is named to be blended; leave `runs` out to blend all")
        names = None if given is None else [run if isinstance(run, str) else run.name for run in given]
        how = {"views": views, "blender": blender, "adapt": str(adapt), **self._how}
        return blend(labelled, names, limits=limits, **how)

    def submit(self, *, half: bool = False, images: int | None = None, known_answers: bool = False) -> "Submission":
        """Build the submission of the chosen blend, read it back as the organisers would, register it.

        half: store a code submission's parameters as float16, if the score stays. images: of the training set, to run
        code on. known_answers: in a file, test images that are training images get these' labels.
        """
        if not self.practice and read_manifest(self.workspace.data) is None:
            needs.files(self)
        from toolkit.submission.build import build, check_options

        check_options(self.competition, half=half, known=known_answers)
        blend = needs.blend(self, self.labelled())
        return build(blend, self.ledger, self.raw, half=half, images=images, known=known_answers, **self._how)

    def submit_notebook(self, *, kaggle: str | None = None, **trial: Any) -> "Notebook":
        """Make the chosen blend a notebook for Kaggle, try it, register it; trial: options of `try_notebook`."""
        raw = needs.files(self)
        from toolkit.notebooks.build import build_notebook, kaggle_name

        how = {"kaggle": kaggle_name(self.competition, kaggle), **trial, **self._how}
        return build_notebook(needs.blend(self, self.labelled()), self.ledger, raw, **how)

    def reproduce(self, name: str) -> "Done":
        """Build the submission of that ID again and prove that it is the same, byte for byte."""
        self.ledger.find(name)  # before anything heavy is imported
        from toolkit.blending.blend_folder import Blend
        from toolkit.data.labelled import open_labelled
        from toolkit.notebooks.hand_in import reproduce

        needs.unchanged(self)
        # of what is missing nothing is made: it would be another submission
        blend = Blend(self.workspace.chosen_blend, open_labelled(self.competition, self.workspace))
        return reproduce(blend, self.ledger, name, self.device)

    def upload(self, name: str | None = None, *, kaggle: str | None = None, team: int | None = None) -> "Done":
        """Hand a registered submission in (none: the newest): to Kaggle, or by telling where.

        kaggle: the competition's name there; team: the number of its members, checked against the rules.
        """
        if self.practice:
            raise UserError("practice submissions can't be uploaded; leave out --practice")
        self.ledger.find(name)  # before anything heavy is imported
        from toolkit.notebooks.hand_in import upload

        return upload(self.competition, self.ledger, name, kaggle=kaggle, team=team, progress=self.progress)

    def record_score(
        self, name: str | None = None, *, public: float | None = None, private: float | None = None
    ) -> "Done":
        """Write down what the leaderboard said of a registered submission (none: the newest)."""
        from toolkit.submission.hand_in import record_score

        return record_score(self.ledger, name, public=public, private=private)

    def grade(self, submission: Path | str | None = None, truth: Path | str | None = None) -> "Grade":
        """Score a submission (none: the newest in the ledger) against truth (none: that of practice data, whose score
        the ledger keeps as the leaderboard's).
        """
        import numpy as np

        from toolkit.data.data_folder import open_dataset
        from toolkit.data.sample_submission import followed
        from toolkit.submission.grading import grade, practice_truth
        from toolkit.submission.ledger import identity

        if truth is None and not self.practice:
            raise UserError(
                "only the organisers know the truth of the test set: give --truth FILE, grade practice data "
                "(--practice), or hand in and record the score: `compete submit … --score 0.71`"
            )
        needs.unchanged(self)
        data = open_dataset(self.workspace.data) if read_manifest(self.workspace.data) else None
        ids, sizes = (None, None) if data is None else (data.test_ids, data.test_sizes)
        if data is not None and ids is None and len(data.test_images):
            ids = np.arange(len(data.test_images))
        given, submission = truth, Path(submission or self.ledger.newest_file)
        truth = Path(truth or practice_truth(self.workspace))
        found = grade(followed(self.competition, self.workspace), submission, truth, ids, sizes)
        if given is None and (line := self.ledger.line_of(submission)):
            self.ledger.update(identity(line), {"practice": f"{found.score:.6g}"})
        return found

    def report(self) -> "Report":
        """Everything that is known, on one page; UserError where nothing is trained yet."""
        needs.something_to_report(self)
        labelled = self.labelled()
        from toolkit.reporting.page import write_report

        return write_report(labelled, self.ledger, self.device, self.progress)

    def run(
        self,
        *,
        budget: float | str = "30m",
        recipe: "Recipe | str | None" = None,
        stress: str = "auto",
        folds: int | None = None,
        repeats: int | None = None,
        holdout: float | str = "auto",
        split: str | None = None,
        again: bool = False,
        **fields: Any,
    ) -> "Result":
        """Everything, from raw files to a checked submission, within `budget`: seconds, or text such as `2h`.

        Part after part is trained, each that which promises most for its time; recipe, fields: that one alone, as for
        `train`. folds, repeats, holdout, split, again: as for `folds`.
        """
        needs.files(self)
        from toolkit.pipeline import run, wishes

        with listening(self.progress, self.workspace.folder, self.log):
            return run(self, wishes(budget, recipe, stress, folds, repeats, holdout, split, again, **fields))

    def plan(self, **how: Any) -> "Planned":
        """What `run`, given the same, would train at the speeds that are measured now; nothing is trained."""
        from toolkit.pipeline import plan, wishes

        return plan(self, wishes(**how))


open = Project  # as `toolkit.open`
