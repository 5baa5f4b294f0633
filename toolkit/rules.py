"""What the organisers of a competition forbid or limit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import UserError

if TYPE_CHECKING:
    from toolkit.recipe import Recipe


@dataclass(frozen=True)
class Rules:
    """What the organisers forbid or limit. None: no limit, or none published.

    `sources` says for each rule where it is stated, in the competition's folder or on the organisers' page;
    the sentence about a broken rule ends with it.
    """

    pretrained: bool = True
    external_data: bool = False  # may other data than the organisers' files be learnt from?
    unlabelled_test_images: bool = True  # may test images, where at hand, be looked at and learnt from?
    adapting: bool = True  # may what is said of a test image follow from all of them? Code sees those it predicts
    submission_bytes: int | None = None
    submission_packages: tuple[str, ...] = ()  # what a code submission may import on the server
    submission_seconds: float | None = None  # for loading and predicting everything
    submission_memory: int | None = None  # bytes of main memory
    daily_submissions: int | None = None
    deadline: str | None = None  # ISO 8601 with its zone: 2024-12-14T23:59:00+01:00
    team_size: int | None = None
    public_share: float | None = None  # of the test set that the public leaderboard scores
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.sources:
            if name not in type(self).__dataclass_fields__:
                raise ValueError(f"{name!r} is not a rule, so it can have no source")
        if self.public_share is not None and not 0 < self.public_share < 1:
            raise ValueError(f"public_share is {self.public_share}, expected a share between 0 and 1")
        if self.deadline is not None and datetime.fromisoformat(self.deadline).tzinfo is None:
            raise ValueError(f"the deadline {self.deadline} needs its time zone, such as +01:00")

    def sentence(self, rule: str, text: str) -> str:
        """`text`, and which rule it breaks, if the organisers published one."""
        stated = getattr(self, rule) is not None
        source = self.sources.get(rule, "no source given")
        return f"{text} (rule {rule}: {source})" if stated else f"{text} (rule {rule}: not published)"

    def check(self, recipe: "Recipe") -> None:
        """UserError if the recipe breaks a rule; called before any time is spent."""
        if recipe.model.pretrained and not self.pretrained:
            text = f"recipe {recipe.name} asks for pretrained weights, which this competition forbids"
            raise UserError(self.sentence("pretrained", f"{text}; set model.pretrained=false"))
        if recipe.pseudo.rounds and not self.unlabelled_test_images:
            text = f"recipe {recipe.name} learns from test images, which this competition forbids"
            raise UserError(self.sentence("unlabelled_test_images", f"{text}; set pseudo.rounds=0"))

    def check_data(self, run: str, trained_on: str, present: str) -> None:
        """UserError if a run was trained on other data than the organisers' files as they were read."""
        if trained_on != present and not self.external_data:
            text = f"run {run} was trained on other data ({trained_on}) than the organisers' files ({present})"
            raise UserError(self.sentence("external_data", f"{text}; train it again"))

    def check_size(self, path: Path) -> None:
        """UserError if the file is larger than the organisers take."""
        size, limit = path.stat().st_size, self.submission_bytes
        if limit is not None and size > limit:
            text = f"the submission has {size:,} bytes, more than {limit:,}; blend fewer runs"
            raise UserError(self.sentence("submission_bytes", text))

    def check_upload(self, today: int, now: datetime, team: int | None = None) -> None:
        """UserError if no submission is left today, the deadline has passed, or the team is too large.

        today: submissions made so far; now: with a time zone; team: its members, None if not told.
        """
        if self.deadline is not None and now > datetime.fromisoformat(self.deadline):
            raise UserError(self.sentence("deadline", f"the deadline was {self.deadline}; nothing is taken any more"))
        if self.daily_submissions is not None and today >= self.daily_submissions:
            text = f"{today} of {self.daily_submissions} submissions were made today; none is left, wait a day"
            raise UserError(self.sentence("daily_submissions", text))
        if self.team_size is not None and team is not None and team > self.team_size:
            text = f"the team has {team} members, at most {self.team_size} are allowed"
            raise UserError(self.sentence("team_size", text))
